"""What makes a file a rerun of another one, and what becomes of a test that two files have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ci_bridge.formats import read_results
from ci_bridge.formats._reruns import Execution
from ci_bridge.formats.collect import Collected
from ci_bridge.models import Case, Outcome, case_of_row

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("pytest-1.xml", "pytest-2-retry.xml"),
        ("junit.xml", "junit-retry.xml"),
        ("junit.xml", "retry.xml"),
        ("junit.xml", "junit_rerun_2.xml"),
        ("j.xml", "j.rerun1.xml"),
        ("junit.xml", "junit-attempt2.xml"),
        ("junit-rerun-1.xml", "junit-rerun-2.xml"),
        ("results/junit.xml", "results-retry/junit.xml"),
        ("attempt-1/j.xml", "attempt-2/j.xml"),
        ("run-1.xml", "run-2.xml"),
        ("first/j.xml", "rerun/j.xml"),
        ("run-2/j.xml", "run-2/j-flaky.xml"),
    ],
)
def test_a_name_says_that_a_file_is_a_rerun(earlier: str, later: str) -> None:
    assert Execution(later).is_rerun_of(Execution(earlier))
    assert not Execution(earlier).is_rerun_of(Execution(later))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("py311/junit.xml", "py312/junit.xml"),
        ("A/target/surefire-reports/TEST-x.T.xml", "B/target/surefire-reports/TEST-x.T.xml"),
        ("py311/junit.xml", "py312/junit-retry.xml"),
        ("junit-3.11.xml", "junit-3.12-retry.xml"),
        ("junit-py311.xml", "junit-py312.xml"),
        ("unit/TEST-RetryTest.xml", "it/TEST-RetryTest.xml"),
        ("chrome-run-1/j.xml", "firefox-run-2/j.xml"),
        ("dryrun/j.xml", "prerun-2/j.xml"),
        ("a/retry-tests/j.xml", "b/retry-tests/j.xml"),
    ],
)
def test_other_executions_are_no_reruns_whenever_they_began(earlier: str, later: str) -> None:
    first, second = Execution(earlier, START, 1.0), Execution(later, START + timedelta(hours=1), 1.0)
    assert not second.is_rerun_of(first)


def test_a_numbered_file_is_a_rerun_only_if_it_began_after_the_end_of_the_other() -> None:
    first = Execution("junit-1.xml", START, 60.0)
    assert Execution("junit-2.xml", START + timedelta(seconds=61)).is_rerun_of(first)
    assert not Execution("junit-2.xml", START + timedelta(seconds=59)).is_rerun_of(first)
    assert not Execution("junit-2.xml").is_rerun_of(first)
    assert not Execution("other/junit-2.xml", START + timedelta(seconds=61)).is_rerun_of(first)


RED = '<testsuite name="s"{}><testcase classname="t" name="x"><failure message="{}"/></testcase></testsuite>'
GREEN = '<testsuite name="s"{}><testcase classname="t" name="x"/></testsuite>'


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("legs", [("py311", "py312"), ("py312", "py311")])
def test_a_failure_in_one_leg_is_not_hidden_by_a_success_in_another(tmp_path: Path, legs: tuple[str, str]) -> None:
    write(tmp_path, {f"{legs[0]}/junit.xml": RED.format("", "no"), f"{legs[1]}/junit.xml": GREEN.format("")})
    with read_results(["*/junit.xml"], workspace=tmp_path) as results:
        assert (results.totals.total, results.totals.failed, results.totals.flaky) == (1, 1, 0)
        assert "ended otherwise in another file: 1" in results.files[1].note
        (case,) = [case_of_row(row) for batch in results.rows() for row in batch]
        assert (case.outcome, case.message) == (Outcome.FAILED, "no")


def test_modules_of_a_build_that_run_one_after_the_other_are_no_retries(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "A/target/surefire-reports/TEST-T.xml": RED.format(' timestamp="2026-01-01T10:00:00"', "no"),
            "B/target/surefire-reports/TEST-T.xml": GREEN.format(' timestamp="2026-01-01T11:00:00"'),
        },
    )
    with read_results(["**/TEST-*.xml"], workspace=tmp_path) as results:
        assert (results.totals.failed, results.totals.flaky) == (1, 0)


def test_two_failures_of_one_name_keep_both_texts(tmp_path: Path) -> None:
    write(tmp_path, {"a/junit.xml": RED.format("", "first"), "b/junit.xml": RED.format("", "second")})
    with read_results(["*/junit.xml"], workspace=tmp_path) as results:
        (case,) = results.failures
        assert (case.message, case.attempts) == ("first", ())
        assert "Also failed in another file: second" in case.details
        assert results.files[1].note == ""


def test_a_retry_of_one_leg_says_nothing_of_the_other(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a/junit.xml": RED.format("", "first"),
            "b/junit.xml": RED.format("", "second"),
            "b/junit-retry.xml": GREEN.format(""),
        },
    )
    with read_results(["a/junit.xml", "b/junit*.xml"], workspace=tmp_path) as results:
        assert (results.totals.failed, results.totals.flaky) == (1, 0)
    with read_results(["b/junit*.xml"], workspace=tmp_path) as results:
        assert (results.totals.failed, results.totals.flaky) == (0, 1)


def test_attempts_in_the_second_file_are_attempts_there_and_nowhere_else() -> None:
    def red(message: str) -> Case:
        return Case("x", outcome=Outcome.FAILED, message=message, duration=2.0)

    with Collected() as results:
        results.add(red("in a"))
        results.passed((), "", "", "y", 0, 1.0)
        results.finish_file("a/j.xml", "junit", None)
        for name in "xy":
            results.add(red("in b") if name == "x" else Case("y", outcome=Outcome.FAILED, message="once"))
            results.passed((), "", "", name, 0, 4.0)
        results.finish_file("b/j.xml", "junit", None)
        results.finish()
        cases = {row[3]: case_of_row(row) for batch in results.rows() for row in batch}
    assert (cases["x"].outcome, cases["x"].message) == (Outcome.FAILED, "in a")
    assert cases["y"].is_flaky
    assert results.totals.duration == 2.0 + 4.0


def test_a_skip_in_one_place_gives_way_to_a_success_in_another(tmp_path: Path) -> None:
    skip = '<testsuite name="s"><testcase classname="t" name="x"><skipped/></testcase></testsuite>'
    write(tmp_path, {"a/junit.xml": skip, "b/junit.xml": GREEN.format(""), "c/junit.xml": skip})
    with read_results(["*/junit.xml"], workspace=tmp_path) as results:
        assert (results.totals.passed, results.totals.skipped) == (1, 0)
        assert [file.note for file in results.files] == ["", "", ""]
