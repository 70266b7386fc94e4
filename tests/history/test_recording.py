"""What is recorded can be read again, by the API, by people and by plain SQLite."""

from __future__ import annotations

import math
import sqlite3
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ci_bridge.errors import HistoryError
from ci_bridge.history import History, codes
from ci_bridge.history.recording import LONGEST_EXAMPLE
from ci_bridge.models import Attempt, Case, JudgedCase, Metric, Outcome, Totals, Verdict
from tests.history.samples import NOW, identity, record, remember, rows, simple_history


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Ask the file with plain SQLite."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_the_rows_of_the_api_have_its_keys(path: Path) -> None:
    run = record(
        1, "run-a", completed_at=NOW, build="77", pr="42", status="failure", duration=120.5,
        totals=Totals(passed=8, failed=1, error=1, skipped=2), extra={"name": "nightly", "python": "3.12"},
    )  # fmt: skip
    with History.writing(path) as history:
        history.record(run)
    with History.read(path) as history:
        assert history.runs() == [
            {
                "id": "run-a", "created_at": "2026-11-21T12:00:00.000Z", "completed_at": "2026-11-22T12:00:00.000Z",
                "status": "failure", "build_id": "77", "commit_sha": run.sha, "branch": "main", "total_tasks": 12,
                "completed_tasks": 8, "failed_tasks": 2, "duration": 120.5,
                "metadata": {"name": "nightly", "python": "3.12"},
            }
        ]  # fmt: skip


def test_runs_are_filtered_and_come_newest_first(path: Path) -> None:
    remember(
        path,
        (record(3, "a", branch="main", status="success", pr="7"), {}),
        (record(2, "b", branch="topic", status="failure"), {}),
        (record(1, "c", branch="main", status="failure"), {}),
    )
    with History.read(path) as history:

        def found(**filters):
            return [row["id"] for row in history.runs(**filters)]

        assert found() == ["c", "b", "a"]
        assert found(limit=2) == ["c", "b"]
        assert found(limit=0) == []
        assert found(branch="main") == ["c", "a"]
        assert found(branch="main", status="failure") == ["c"]
        assert found(since=NOW - timedelta(days=2)) == ["c", "b"]
        assert found(pr_number="7") == ["a"]
        assert found(run_id="b") == ["b"]
        assert found(branch="' OR 1=1 --") == []


def test_the_same_run_again_replaces_itself(path: Path) -> None:
    for letters in ({"test_one": "F", "test_two": "P"}, {"test_one": "P", "test_three": "F"}):
        remember(path, (record(0, "run", letters=letters.values()), letters))
    with History.read(path) as history:
        assert history.statistics()["runs"] == 1
        assert [(row["outcome"]) for row in history.test_series(identity("test_one"))] == ["passed"]
        assert history.test_series(identity("test_two")) == []
        assert history.tests("test_three")[0]["failures"] == 1


def test_a_run_recorded_again_without_cases_keeps_its_outcomes_and_metrics(path: Path) -> None:
    with History.writing(path) as history:
        history.record(record(0, "run"), rows({"test_one": "F"}), metrics=[Metric("speed", 1.0, "s", "run", None, NOW)])
        history.record(record(0, "run", status="completed"), ())
    with History.read(path) as history:
        assert history.runs()[0]["status"] == "completed"
        assert history.tests("test_one")[0]["failures"] == 1
        assert len(history.metrics()) == 1


def test_outcomes_of_every_kind_come_back(path: Path) -> None:
    for day, letter in ((5, "P"), (4, "F"), (3, "E"), (2, "S"), (1, "R")):
        remember(path, (record(day), {"test_one": letter, "other": "P"}))
    remember(path, (record(0), {"other": "P"}))
    with History.read(path) as history:
        series = history.test_series(identity("test_one"))
        assert [row["outcome"] for row in series] == ["passed", "failed", "failed", "skipped", "passed on retry"]
        assert [row["duration"] for row in series][3] is None
        assert series[0]["duration"] == pytest.approx(0.5, rel=0.033)
        assert [row["run_id"] for row in history.test_series(identity("test_one"), limit=2)] == ["run-2", "run-1"]
        assert history.test_series("unknown") == []
        (row,) = history.tests("test_one")
        assert (row["runs"], row["failures"], row["flips"], row["last_status"]) == (4, 2, 2, "passed on retry")
        assert row["p50"] == pytest.approx(0.5, rel=0.033)
        assert row["last_run"] == "2026-11-21T12:00:00.000Z"


@pytest.mark.parametrize("seconds", [0.001, 0.0015, 0.01, 0.5, 1.0, 59.9, 3600.0, 7000.0])
def test_a_duration_is_kept_within_three_and_a_half_percent(seconds: float) -> None:
    assert codes.SECONDS[codes.encode_duration(seconds)] == pytest.approx(seconds, rel=0.033)


@pytest.mark.parametrize(("seconds", "code"), [(0.0, 2), (-1.0, 2), (1e-9, 2), (1e9, 255), (math.inf, 255)])
def test_durations_out_of_range_take_the_nearest_byte(seconds: float, code: int) -> None:
    assert codes.encode_duration(seconds) == code


def test_tests_are_ranked_filtered_and_counted_by_branch(path: Path) -> None:
    remember(
        path,
        (record(3), {"test_alpha": "F", "test_beta": "P"}),
        (record(2, branch="topic"), {"test_alpha": "F", "test_beta": "F"}),
        (record(1), {"test_alpha": "P", "test_beta": "F"}),
        (record(0), {"test_alpha": "F", "test_beta": "F"}),
    )
    with History.read(path) as history:
        assert [(row["test"].split("::")[-1], row["failures"], row["flips"]) for row in history.tests()] == [
            ("test_alpha", 3, 2), ("test_beta", 3, 1),
        ]  # fmt: skip
        assert [row["failures"] for row in history.tests(branch="topic")] == [1, 1]
        assert [row["identity"] for row in history.tests("ALPHA")] == [identity("test_alpha")]
        assert [row["identity"] for row in history.tests("*beta")] == [identity("test_beta")]
        assert history.tests("*alph") == []
        assert len(history.tests(limit=1)) == 1
        assert len(history.tests(limit=None)) == 2
        assert history.tests("%") == []


def test_metrics_are_exact_and_kept_once(path: Path) -> None:
    value = 0.1 + 0.2
    metric = Metric("time", value, "s", "run", "task-1", NOW)
    with History.writing(path) as history:
        history.record_metric(metric, metric)
        history.record(record(0, "run", branch="main"), metrics=[metric, replace(metric, task_id=None, value=-3)])
    with History.read(path) as history:
        first, second = history.metrics()
        assert first == {
            "id": 1, "run_id": "run", "task_id": "task-1", "metric_name": "time", "metric_value": value, "unit": "s",
            "recorded_at": "2026-11-22T12:00:00.000Z",
        }  # fmt: skip
        assert (second["task_id"], second["metric_value"]) == (None, -3.0)
        assert history.runs()[0]["branch"] == "main"
        assert [row["id"] for row in history.metrics(task_id="task-1")] == [1]
        assert history.metrics(run_id="other") == []
        assert len(history.metrics(metric_name="time", branch="main")) == 2
        assert [row["id"] for row in history.metrics(limit=1)] == [2]


def test_a_metric_may_come_before_its_run(path: Path) -> None:
    with History.writing(path) as history:
        history.record_metric(Metric("time", 1.0, "s", "run", None, NOW))
    with History.read(path) as history:
        assert history.runs()[0]["status"] == "running"
        assert history.view(branch=None, now=NOW).recent_runs == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(path: Path, value: float) -> None:
    with History.writing(path) as history, pytest.raises(ValueError, match="only finite numbers"):
        history.record_metric(Metric("time", value, "s", "run"))


def test_a_metric_without_a_run_and_a_run_without_an_id_are_refused(path: Path) -> None:
    with History.writing(path) as history:
        with pytest.raises(HistoryError, match="id of its run"):
            history.record_metric(Metric("time", 1.0))
        with pytest.raises(HistoryError, match="without an id"):
            history.record(replace(record(0), uid=""))


def test_points_for_trends_know_their_branch_and_kind_of_task(path: Path) -> None:
    with History.writing(path) as history:
        history.record(
            record(0, "run", extra={"task_type": "load"}), metrics=[Metric("time", 1.0, "s", "run", "task-1", NOW)]
        )
    with History.read(path) as history:
        (point,) = history.metric_points("time")
        assert (point["branch"], point["platform"], point["task_type"]) == ("main", "local", "load")


def test_a_failure_text_is_kept_once_per_test_and_signature_and_cut(path: Path) -> None:
    def failing(message: str) -> Case:
        return Case("test_one", outcome=Outcome.FAILED, type="ValueError", message=message, details="é" * 5000)

    for day, message, signature in ((3, "old", "A"), (2, "new", "A"), (1, "other", "B")):
        one = failing(message)
        judged = [JudgedCase(one, Verdict.NEW, signature=signature)]
        with History.writing(path) as history:
            history.record(record(day), rows([one]), judged=judged)
    texts = query(path, "SELECT signature, text FROM failures ORDER BY time")
    assert [signature for signature, _ in texts] == ["A", "A", "B"]
    assert [str(text).split("\n")[0] for _, text in texts] == [
        "ValueError: new",
        "ValueError: new",
        "ValueError: other",
    ]
    assert all(len(str(text).encode()) <= LONGEST_EXAMPLE for _, text in texts)
    assert query(path, "SELECT count(*) FROM example") == [(2,)]


def test_a_run_in_which_everything_fails_does_not_swell_the_file(path: Path) -> None:
    cases = [Case(f"test_{n}", outcome=Outcome.FAILED, details=f"{n} " + "x" * 4000) for n in range(3000)]
    with History.writing(path) as history:
        history.record(record(0), rows(cases))
    assert path.stat().st_size < 6_000_000
    assert query(path, "SELECT count(*) FROM nonpass") == [(3000,)]


def test_the_text_of_a_retried_case_is_its_failed_attempts(path: Path) -> None:
    attempts = (Attempt(Outcome.SKIPPED), Attempt(Outcome.ERROR, 0.1, "OSError", "gone", "Traceback"))
    with History.writing(path) as history:
        history.record(record(0), rows([Case("test_one", attempts=attempts)]))
    assert query(path, "SELECT outcome, text FROM failures") == [("passed on retry", "OSError: gone\nTraceback")]


def test_the_views_are_readable(path: Path) -> None:
    simple_history(path)
    nested = Case("test_deep", suite=("api", "v2"), outcome=Outcome.FAILED)
    with History.writing(path) as history:
        history.record(
            record(0, letters="F", duration=2.5), rows([nested]), metrics=[Metric("time", 1.5, "s", "run-0", "t", NOW)]
        )
    assert query(path, "SELECT created_at, total, failed, duration FROM runs LIMIT 1") == [
        ("2026-11-22T12:00:00.000Z", 1, 1, 2.5)
    ]
    assert query(path, "SELECT DISTINCT test, outcome FROM failures ORDER BY 1") == [
        ("api > v2 › test_deep", "failed"),
        ("unit › shop.TestCart › tests/test_cart.py › test_two", "failed"),
    ]
    assert query(path, "SELECT test, failures, last_failure FROM tests LIMIT 1") == [
        ("unit › shop.TestCart › tests/test_cart.py › test_two", 3, "2026-11-21T12:00:00.000Z")
    ]
    assert query(path, "SELECT metric, task, value, unit, recorded_at FROM metrics") == [
        ("time", "t", 1.5, "s", "2026-11-22T12:00:00.000Z")
    ]


def test_another_tool_opens_the_file_by_its_library(path: Path) -> None:
    import sqlite_utils

    simple_history(path)
    connection = sqlite3.connect(path)
    database = sqlite_utils.Database(connection, execute_plugins=False)
    assert {"runs", "failures", "tests", "metrics"} == set(database.view_names())
    assert database["runs"].count == 3
    connection.close()


def test_names_of_any_language_and_broken_ones_survive(path: Path) -> None:
    names = ["тест", "测试", "test 🎉", "quote'\"", "lone \ud800 surrogate", "x" * 4000]
    with History.writing(path) as history:
        history.record(record(0, branch="ветка/\ud800"), rows(dict.fromkeys(names, "P")))
    with History.read(path) as history:
        found = {row["identity"].rsplit("\x1f")[-1] for row in history.tests(limit=None)}
        assert found == {*names[:4], "lone ? surrogate", names[5]}
        assert history.runs()[0]["branch"] == "ветка/?"


def test_times_without_a_zone_are_utc_and_extreme_ones_are_held(path: Path) -> None:
    for uid, moment in (("naive", datetime(2026, 1, 2)), ("first", datetime(1, 1, 1)), ("last", datetime.max)):  # noqa: DTZ001, DTZ901
        remember(path, (replace(record(0, uid), ts=moment), {"test_one": "P"}))
    with History.read(path) as history:
        assert [row["created_at"] for row in history.runs()] == [
            "9999-12-31T23:59:59.999Z", "2026-01-02T00:00:00.000Z", "1970-01-01T00:00:00.000Z",
        ]  # fmt: skip


def test_a_very_large_run_is_recorded_in_portions(path: Path) -> None:
    batches = (rows({f"test_{start + n}": "P" for n in range(1000)})[0] for start in range(0, 30_000, 1000))
    with History.writing(path) as history:
        history.record(record(0), batches)
        history.record(record(1), rows({f"test_{n}": "PF"[n % 7 == 0] for n in range(29_000, 30_000)}))
    with History.read(path) as history:
        assert history.statistics()["tests"] == 30_000
        assert history.tests("test_29001")[0]["runs"] == 2
        assert history.test_series(identity("test_29001"))[0]["outcome"] in ("passed", "failed")


def test_metadata_that_json_cannot_hold_does_not_cost_the_run(path: Path) -> None:
    endless: dict[str, object] = {}
    endless["self"] = endless
    extras = {
        "nan": {"load": math.nan, "when": NOW, ("a", "b"): 1},
        "endless": endless,
        "huge": {"log": "x" * 100_000},
    }
    for uid, extra in extras.items():
        remember(path, (record(0, uid, extra=extra), {"test_one": "P"}))
    with History.read(path) as history:
        found = {row["id"]: row["metadata"] for row in history.runs()}
    assert found["nan"] == {"load": "NaN", "when": "2026-11-22 12:00:00+00:00"}
    assert [*found["endless"]] == [*found["huge"]] == ["left_out"]


def test_enormous_texts_leave_a_file_that_can_be_read(path: Path) -> None:
    big = "x" * 20_000_000
    one = Case(big, outcome=Outcome.FAILED, type=big, message=big, details=big)
    with History.writing(path) as history:
        history.record(
            record(0, sha=big), rows([one]), judged=[JudgedCase(one, Verdict.NEW, signature=big)],
            metrics=[Metric(big, 1.0, big, "run-0", big, NOW)],
        )  # fmt: skip
    assert History.check(path).problems == ()
    assert path.stat().st_size < 1_000_000


def test_a_reader_leaves_nothing_in_the_temporary_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simple_history(path)
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with History.read(path) as history:
        assert len(history.runs()) == 3
        assert sys.platform == "win32" or not [*folder.iterdir()]
    assert not [*folder.iterdir()]
