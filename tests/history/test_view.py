"""A new run sees of the history what it may be judged by."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci_bridge.history import History, View
from tests.history.samples import NOW, identity, record, remember, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def names(view: View) -> list[str]:
    return [run.uid for run in view.base_runs]


def test_only_trusted_runs_of_the_branch_and_shard_are_a_base(path: Path) -> None:
    cases = {"test_one": "P"}
    remember(
        path,
        (record(9, "base"), cases),
        (record(8, "untrusted", trusted=False), cases),
        (record(7, "branch", branch="topic"), cases),
        (record(6, "shard", shard="2"), cases),
        (record(5, "running", status="running"), cases),
        (record(4, "no cases"), {}),
        (record(3, "own build", build="77"), cases),
        (record(2, "other build", build="76"), cases),
        (record(1, "self"), cases),
    )
    with History.read(path) as history:
        assert names(history.view(branch="main", uid="self", build="77", now=NOW)) == ["other build", "base"]
        assert names(history.view(branch="main", now=NOW)) == ["self", "other build", "own build", "base"]
        assert names(history.view(branch="main", shard="2", now=NOW)) == ["shard"]
        assert names(history.view(branch=None, now=NOW)) == []


def test_evidence_comes_from_every_trusted_branch_of_the_last_30_days_and_from_ones_own_pull_request(
    path: Path,
) -> None:
    cases = {"test_one": "P"}
    remember(
        path,
        (record(40, "too old"), cases),
        (record(29, "old"), cases),
        (record(9, "topic", branch="topic"), cases),
        (record(8, "own pr", branch="mine", pr="5", trusted=False), cases),
        (record(7, "other pr", branch="theirs", pr="6", trusted=False), cases),
        (record(6, "shard", shard="2"), cases),
        (record(0, "new", build="77"), cases),
    )
    with History.read(path) as history:
        view = history.view(branch="main", build="77", pr="5", now=NOW)
        assert [run.uid for run in view.recent_runs] == ["old", "topic", "own pr", "new"]
        view = history.view(branch="main", now=NOW)
        assert [run.uid for run in view.recent_runs] == ["old", "topic", "new"]


def test_the_baseline_is_the_newest_run_that_was_complete(path: Path) -> None:
    remember(path, (record(3, "cut short", status="error"), {"test_one": "P"}))
    with History.read(path) as history:
        view = history.view(branch="main", now=NOW)
        assert view.baseline is None
        assert names(view) == ["cut short"], "what it holds is known all the same"
    remember(
        path,
        (record(2, "whole", letters="PF", status="failure"), {"test_one": "P", "test_two": "F"}),
        (record(1, "cut again", letters="P", status="error"), {"test_one": "P"}),
    )
    with History.read(path) as history:
        view = history.view(branch="main", now=NOW)
        assert view.baseline is not None
        assert (view.baseline.run_id, view.baseline.totals.total) == ("whole", 2)
        assert view.base_outcomes([identity("test_two")]) == {identity("test_two"): "-F-"}


def test_at_most_30_base_runs_are_looked_at(path: Path) -> None:
    with History.writing(path) as history:
        for day in range(40):
            history.record(record(day), rows({"test_one": "P"}))
        assert names(history.view(branch="main", now=NOW)) == [f"run-{day}" for day in range(30)]


def test_the_base_runs_of_a_report_are_its_own_however_many_others_there_are(path: Path) -> None:
    reports = ["T / CI / unit", *["T / CI / lint"] * 35, "T / Nightly / unit", "T / Nightly / unit (2)", 7]
    with History.writing(path) as history:
        for place, report in enumerate(reports):
            one = record(9 - place / 10, f"{report}-{place}", extra={"report": report})
            history.record(one, rows({"test_a": "P" if place else "F"}))
    with History.read(path) as history:

        def view(report: str, job: str) -> View:
            return history.view(branch="main", report=report, kin=("T / ", f" / {job}"), now=NOW)

        own = view("T / CI / unit", "unit")
        assert names(own) == ["T / CI / unit-0"] == [run.uid for run in own.recent_runs]
        assert own.baseline is not None and own.baseline.run_id == "T / CI / unit-0"
        assert own.base_outcomes([identity("test_a")]) == {identity("test_a"): "F"}
        kin = view("T / Forks / unit", "unit")  # the newest pipeline that has the job
        assert names(kin) == ["T / Nightly / unit-36"] == [run.uid for run in kin.recent_runs]
        assert kin.baseline is None
        other = view("T / CI / renamed", "renamed")
        assert len(names(other)) == 30 and not other.recent_runs and other.baseline is None


def test_outcomes_are_letters_run_by_run(path: Path) -> None:
    for day, letter in ((5, "P"), (4, "F"), (3, "E"), (2, "S"), (1, "R")):
        remember(path, (record(day), {"test_one": letter, "test_all": "P"}))
    remember(path, (record(0), {"test_all": "P"}))
    with History.read(path) as history:
        view = history.view(branch="main", now=NOW)
        asked = [identity("test_one"), "unknown", identity("test_all")]
        assert view.base_outcomes(asked) == {asked[0]: "-RSFFP", asked[2]: "PPPPPP"}
        assert view.recent_outcomes(asked)[asked[0]] == "PFFSR-"
        assert view.base_outcomes([]) == {}


def test_many_failing_tests_are_read_as_few_are(path: Path) -> None:
    few, many = {f"test_{n}": "PFRS"[n % 4] for n in range(20)}, {f"test_{n}": "PFRS"[n % 4] for n in range(6000)}
    remember(path, (record(1), many), (record(0), few))
    with History.read(path) as history:
        view = history.view(branch="main", now=NOW)
        all_letters = view.base_outcomes([identity(name) for name in many])
        for number in (0, 1, 2, 3, 17, 5998, 5999):
            name = identity(f"test_{number}")
            assert all_letters[name] == view.base_outcomes([name])[name], number
        assert all_letters[identity("test_5997")] == "-F"
        assert len(view.base_failures()) == 1500


def test_what_failed_last_on_the_base_branch_is_found_through_skips(path: Path) -> None:
    remember(
        path,
        (record(3), {"mended": "F", "skipped": "F", "absent": "F", "retried": "F", "passing": "P"}),
        (record(2), {"mended": "P", "skipped": "S", "retried": "R", "passing": "P", "new": "E"}),
    )
    with History.read(path) as history:
        view = history.view(branch="main", now=NOW)
        assert sorted(view.base_failures()) == sorted(map(identity, ("skipped", "absent", "new")))


def test_durations_are_those_of_passed_executions_newest_first(path: Path) -> None:
    with History.writing(path) as history:
        for day, letter, seconds in ((4, "P", 4.0), (3, "F", 30.0), (2, "S", 0.0), (1, "R", 99.0), (0, "P", 1.0)):
            history.record(record(day), rows({"test_one": letter}, seconds))
        name = identity("test_one")
        found = history.view(branch="main", now=NOW).base_durations([name, "unknown"])
        assert [*found] == [name]
        assert found[name] == pytest.approx([1.0, 4.0], rel=0.033)


def test_tests_that_failed_twice_are_suspects(path: Path) -> None:
    remember(
        path,
        (record(3), {"twice": "F", "once": "F", "never": "P", "retried": "R"}),
        (record(2), {"twice": "F", "once": "P", "never": "P", "retried": "R"}),
        (record(60), {"once": "F"}),
    )
    with History.read(path) as history:
        assert sorted(history.view(branch="main", now=NOW).suspects()) == sorted(map(identity, ("twice", "retried")))
        assert history.view(branch="main", shard="none", now=NOW).suspects() == []
