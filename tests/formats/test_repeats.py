"""A test that one file holds more than once: a retry, a repetition, or another test of the same name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci_bridge.formats import read_results
from ci_bridge.formats.collect import Collected
from ci_bridge.formats.cucumber import FORMAT as CUCUMBER
from ci_bridge.formats.plugin import Part
from ci_bridge.models import Case, Outcome, case_of_row

from .recording import read


def case(name: str, outcome: str = "passed") -> str:
    body = {"passed": "", "failed": '<failure message="no"/>', "skipped": "<skipped/>"}[outcome]
    return f'<testcase classname="c" name="{name}">{body}</testcase>'


def suite(*cases: str, attributes: str = 'name="s"') -> str:
    return f"<testsuite {attributes}>{''.join(cases)}</testsuite>"


def outcomes(folder: Path, *suites: str, root: str = "testsuites") -> dict[str, str]:
    """What a file of these suites holds: outcomes by name, ``flaky`` for what a retry made good."""
    (folder / "r.xml").write_text(f"<{root}>{''.join(suites)}</{root.split()[0]}>")
    with read_results(["r.xml"], workspace=folder) as results:
        cases = [case_of_row(row) for batch in results.rows() for row in batch]
        assert results.totals.total == len(cases)
        return {case.name: "flaky" if case.is_flaky else str(case.outcome) for case in cases}


X, RED_X = case("x"), case("x", "failed")


@pytest.mark.parametrize("order", [1, -1])
def test_a_test_of_another_suite_element_makes_no_failure_good(tmp_path: Path, order: int) -> None:
    found = outcomes(tmp_path, *[suite(RED_X), suite(X)][::order])
    assert found == dict(zip(("x", "x (2)"), ["failed", "passed"][::order], strict=True))


def test_a_test_of_another_suite_element_is_numbered_though_it_passed_as_well(tmp_path: Path) -> None:
    assert outcomes(tmp_path, suite(X), suite(X), suite(X)) == dict.fromkeys(("x", "x (2)", "x (3)"), "passed")


def test_a_retry_stays_within_its_suite_element(tmp_path: Path) -> None:
    found = outcomes(tmp_path, suite(RED_X, case("y")), suite(RED_X, case("y"), X), suite(RED_X, X, case("z")))
    assert found == {"x": "failed", "y": "passed", "x (2)": "flaky", "y (2)": "passed", "x (3)": "flaky", "z": "passed"}


def test_a_name_that_looks_numbered_already_is_never_taken_twice(tmp_path: Path) -> None:
    red = case("x (2)", "failed")
    assert outcomes(tmp_path, suite(X, red), suite(X)) == {"x": "passed", "x (2)": "failed", "x (3)": "passed"}
    assert outcomes(tmp_path, suite(X), suite(X, red)) == {"x": "passed", "x (2)": "passed", "x (2) (2)": "failed"}


@pytest.mark.parametrize("attribute", ["hostname", "package"])
def test_what_tells_two_suites_apart_tells_their_tests_apart(tmp_path: Path, attribute: str) -> None:
    suites = [
        suite(RED_X, attributes=f'name="s" {attribute}="chromium"'),
        suite(X, case("y"), attributes=f'name="s" {attribute}="firefox"'),
        suite(X, attributes=f'name="s" {attribute}="firefox"'),
    ]
    assert outcomes(tmp_path, *suites) == {
        "x": "failed", "x [firefox]": "passed", "y": "passed", "x [firefox] (2)": "passed",
    }  # fmt: skip


def test_suites_without_a_name_are_different_ones(tmp_path: Path) -> None:
    assert outcomes(tmp_path, suite(RED_X, attributes=""), suite(X, attributes="")) == {
        "x": "failed",
        "x (2)": "passed",
    }


def test_a_suite_goes_on_after_the_one_in_it(tmp_path: Path) -> None:
    inner = suite(X, attributes='name="t"')
    (tmp_path / "r.xml").write_text(f"<testsuites>{suite(RED_X, case('y'), inner, X)}{suite(inner, X)}</testsuites>")
    with read_results(["r.xml"], workspace=tmp_path) as results:
        found = [(row[0], row[3]) for batch in results.rows() for row in batch]
        assert [flaky.suite for flaky in results.flaky] == [("s",)]
    assert found == [(("s",), "x"), (("s",), "y"), (("s", "t"), "x"), (("s", "t"), "x (2)"), (("s",), "x (2)")]


@pytest.mark.parametrize(
    "root",
    [
        'testsuite name="rspec"',
        'testsuite name="rspec2"',
        'testsuites name="jest tests"',
        'testsuites name="vitest tests"',
        'testsuites name="Mocha Tests"',
    ],
)
def test_who_writes_each_test_once_writes_no_attempts(tmp_path: Path, root: str) -> None:
    found = outcomes(tmp_path, suite(RED_X, X, case("y")), root=root)
    assert found == {"x": "failed", "x (2)": "passed", "y": "passed"}


def test_the_once_written_tests_of_two_browsers_are_told_apart_by_them(tmp_path: Path) -> None:
    suites = [suite(X, attributes='name="s" hostname="a"'), suite(RED_X, X, attributes='name="s" hostname="b"')]
    found = outcomes(tmp_path, *suites, root='testsuites name="vitest tests"')
    assert found == {"x": "passed", "x [b]": "failed", "x [b] (2)": "passed"}


def test_cases_beside_the_suites_are_no_attempts(tmp_path: Path) -> None:
    assert outcomes(tmp_path, RED_X, suite(case("y")), X) == {"x": "failed", "y": "passed", "x (2)": "passed"}


@pytest.mark.parametrize(
    ("cases", "found"),
    [
        ([RED_X, X], {"x": "flaky"}),
        ([RED_X, RED_X, X], {"x": "flaky"}),
        ([RED_X, case("y"), X], {"x": "flaky", "y": "passed"}),
        ([RED_X, case("y"), case("z"), X, case("y")], {"x": "flaky", "y": "passed", "z": "passed"}),
        ([X, RED_X, X], {"x": "failed"}),
        ([RED_X, X, X], {"x": "failed"}),
        ([RED_X, case("y"), X, case("y")], {"x": "failed", "y": "passed"}),
        ([RED_X, case("y", "skipped"), X, case("y", "skipped")], {"x": "flaky", "y": "skipped"}),
        ([RED_X, case("y"), case("x", "skipped"), case("y")], {"x": "failed", "y": "passed"}),
    ],
)
def test_only_a_retry_makes_a_failure_good(tmp_path: Path, cases: list[str], found: dict[str, str]) -> None:
    assert outcomes(tmp_path, suite(*cases)) == found


def test_a_repetition_is_told_of_and_keeps_what_the_failure_said(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(suite(RED_X, case("y"), X, case("y")))
    with read_results(["r.xml"], workspace=tmp_path) as results:
        (failure,) = results.failures
        assert (failure.message, [attempt.outcome for attempt in failure.attempts]) == ("no", [Outcome.PASSED])
        assert "it was no retry: 1 that failed and passed count as failed" in results.files[0].note


def test_every_file_is_judged_by_itself(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(suite(case("a")))
    (tmp_path / "b.xml").write_text(suite(RED_X, case("y"), X, case("y"), attributes='name="b"'))
    (tmp_path / "c.xml").write_text(suite(RED_X, case("y"), X, attributes='name="c"'))
    with read_results(["*.xml"], workspace=tmp_path) as results:
        assert [failure.suite for failure in results.failures] == [("b",)]
        assert [flaky.suite for flaky in results.flaky] == [("c",)]


def test_a_rerun_in_another_file_makes_both_tests_of_one_name_good(tmp_path: Path) -> None:
    (tmp_path / "j.xml").write_text(f"<testsuites>{suite(RED_X)}{suite(RED_X)}</testsuites>")
    (tmp_path / "j-retry.xml").write_text(f"<testsuites>{suite(X)}{suite(X)}</testsuites>")
    with read_results(["*.xml"], workspace=tmp_path) as results:
        assert [flaky.name for flaky in results.flaky] == ["x", "x (2)"]


def test_a_rerun_that_fails_in_one_of_two_suites_stays_failed(tmp_path: Path) -> None:
    (tmp_path / "j.xml").write_text(f"<testsuites>{suite(RED_X)}{suite(X)}</testsuites>")
    (tmp_path / "j-retry.xml").write_text(f"<testsuites>{suite(RED_X)}{suite(X)}</testsuites>")
    with read_results(["*.xml"], workspace=tmp_path) as results:
        assert [(failure.name, len(failure.attempts)) for failure in results.failures] == [("x", 1)]


def test_a_damaged_file_is_read_on_in_the_right_part(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(
        f"<testsuites>{suite(RED_X, case('y'))}{suite(X, case('bad' + chr(1)), case('y'))}</testsuites>"
    )
    with read_results(["r.xml"], workspace=tmp_path) as results:
        found = {row[3]: row[5] for batch in results.rows() for row in batch}
    assert found == {"x": "failed", "y": "passed", "x (2)": "passed", "bad␁": "passed", "y (2)": "passed"}


def test_a_failing_todo_is_skipped_and_no_lie(tmp_path: Path) -> None:
    todo = '<testcase name="a"><skipped type="todo" message="{}"/><failure message="no"/></testcase>'
    for message, shown in (("true", "todo"), ("in spring", "todo: in spring")):
        (tmp_path / "r.xml").write_text(suite(todo.format(message), attributes='name="s" tests="1" failures="1"'))
        with read_results(["r.xml"], workspace=tmp_path) as results:
            ((row,),) = results.rows()
            assert (case_of_row(row).outcome, case_of_row(row).message) == (Outcome.SKIPPED, shown)
            assert results.files[0].note == ""


def test_any_other_skip_hides_no_failure(tmp_path: Path) -> None:
    skip = '<testcase name="a"><skipped type="skipped"/><failure message="no"/></testcase>'
    assert outcomes(tmp_path, suite(skip)) == {"a": "failed"}


@pytest.mark.parametrize(
    ("name", "value", "outcome"),
    [("skip", "true", "skipped"), ("todo", "later", "skipped"), ("skip", "false", "passed"), ("time", "1", "passed")],
)
def test_only_node_tap_skips_by_a_property(tmp_path: Path, name: str, value: str, outcome: str) -> None:
    properties = f'<properties><property name="{name}" value="{value}"/></properties>'
    cases = f'<testcase name="a">{properties}</testcase>'
    assert outcomes(tmp_path, suite(cases), root='testsuites name="TAP Tests"') == {"a": outcome}
    red = f'<testcase name="a">{properties}<failure/></testcase>'
    assert outcomes(tmp_path, suite(cases)) == {"a": "passed"}
    assert outcomes(tmp_path, suite(red)) == {"a": "failed"}


@pytest.mark.parametrize(
    ("attributes", "output", "errors"),
    [
        ('tests="1" failures="0" errors="1"', "<system-err>refused</system-err>", 1),
        ('tests="1" failures="0" errors="1"', "", 0),
        ('tests="1" failures="0" errors="0"', "<system-err>only a warning</system-err>", 0),
        ('tests="1" failures="1" errors="0"', "<system-err>what else</system-err>", 0),
    ],
)
def test_an_error_that_only_the_suite_tells_of_is_an_error(
    tmp_path: Path, attributes: str, output: str, errors: int
) -> None:
    text = suite(output, X, attributes=f'name="request" {attributes}')
    (tmp_path / "r.xml").write_text(f"<testsuites {attributes}>{text}</testsuites>")
    with read_results(["r.xml"], workspace=tmp_path) as results:
        assert (results.totals.passed, results.totals.error) == (1, errors)
        assert [(failure.name, failure.suite) for failure in results.failures] == [("request", ("request",))] * errors
        assert bool(results.files[0].note) is (not errors and "1" in attributes[9:])


def test_a_part_that_comes_again_knows_its_names() -> None:
    part = Part()
    with Collected() as results:
        for here in (None, part, None, part):
            results.part(here)
            results.passed((), "", "", "x", 0, 1.0)
        results.add(Case("x", outcome=Outcome.FAILED))
        results.finish_file("f", "", None)
        results.finish()
        rows = [row for batch in results.rows() for row in batch]
    assert [(row[3], row[5]) for row in rows] == [("x", "passed"), ("x (2)", "failed")]


def test_very_many_tests_of_one_name_are_numbered_one_after_the_other() -> None:
    with Collected() as results:
        results.part(Part(attempts=False))
        for _ in range(20_000):
            results.passed((), "", "", "x", 0, 1.0)
        results.finish_file("f", "", None)
        results.finish()
        assert results.totals.total == 20_000
        assert results.outcome_of(rows_last(results)) is Outcome.PASSED


def rows_last(results: Collected) -> str:
    (*_, last) = [row for batch in results.rows() for row in batch]
    assert last[3] == "x (20000)"
    return case_of_row(last).identity


def test_a_feature_that_a_cucumber_document_has_had_is_another_part() -> None:
    feature = '{"keyword": "Feature", "uri": "a.feature", "name": "F", "elements": []}'
    other = feature.replace('"F"', '"G"')
    parts = read(CUCUMBER, f"[{feature}, {other}, {feature}]").parts
    assert (parts[:2], parts[2].attempts if parts[2] else None) == ([None, None], True)
