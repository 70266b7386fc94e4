"""JUnit XML: what CI systems accept, and what our own reader reads back as the same run."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import junitparser
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_by
from hypothesis import strategies as st

from ci_bridge.formats import read_results
from ci_bridge.models import Attempt, Case, FileState, InputFile, Outcome, Report, case_of_row
from ci_bridge.report import junit_report, write_junit
from tests.report.builders import ManyResults, MemoryResults, failed, flaky, passed, report_of, rich_report, skipped

RERUNS = ("rerunFailure", "rerunError", "flakyFailure", "flakyError")
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
    "testcase": {
        *("skipped", "error", "failure", "system-out", "system-err"),
        *RERUNS,
    },
    **{tag: {"stackTrace", "system-out", "system-err"} for tag in RERUNS},
}
"""What may stand in what, after ``junit-10.xsd`` of Jenkins' xUnit plugin."""

REQUIRED = {
    "testsuite": {"name", "tests", "failures", "errors"},
    "testcase": {"name"},
    **{tag: {"type"} for tag in RERUNS},
}


def xml_of(report: Report) -> str:
    stream = io.StringIO()
    write_junit(report, stream)
    return stream.getvalue()


def tree_of(report: Report) -> ET.Element:
    root = ET.fromstring(xml_of(report).encode())
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        assert REQUIRED.get(element.tag, set()) <= set(element.attrib)
    return root


def read_back(report: Report, folder: Path) -> tuple[list[Case], Any]:
    (folder / "junit.xml").write_text(xml_of(report), encoding="utf-8", newline="\n")
    with read_results(["junit.xml"], workspace=folder) as results:
        cases = [case_of_row(row) for batch in results.rows() for row in batch]
        return cases, results.files


def counters(element: ET.Element) -> list[int]:
    return [int(element.get(key, "-1")) for key in ("tests", "failures", "errors", "skipped")]


def test_counters_are_those_of_the_cases() -> None:
    cases = [passed(suite=("a",)), failed(suite=("a",)), failed("e", suite=("b",), outcome=Outcome.ERROR), skipped()]
    root = tree_of(report_of(cases))
    assert counters(root) == [4, 1, 1, 1]
    assert [counters(suite) for suite in root] == [[2, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]
    assert [suite.get("time") for suite in root] == ["0.75", "0.5", "0"]


def test_suites_nest_as_their_path_says_and_may_come_back() -> None:
    cases = [passed("x", suite=("a", "b")), passed("y", suite=("c",)), passed("z", suite=("a", "b"))]
    root = tree_of(report_of(MemoryResults(cases, batch=2)))
    assert [suite.get("name") for suite in root] == ["a", "c", "a"]
    assert [suite.get("name") for suite in root.iter("testsuite")] == ["a", "b", "c", "a", "b"]
    assert [counters(suite)[0] for suite in root.iter("testsuite")] == [1] * 5


def test_one_suite_over_many_batches_is_one_element() -> None:
    root = tree_of(report_of(MemoryResults([passed(str(n), suite=("a",)) for n in range(10)], batch=3)))
    assert [suite.get("tests") for suite in root] == ["10"]


def test_a_retried_pass_is_written_as_surefire_does() -> None:
    case = tree_of(report_of([flaky()])).find(".//testcase")
    assert case is not None
    (attempt,) = case
    assert attempt.tag == "flakyFailure"
    assert attempt.get("message") == "no answer in 5 s"
    assert attempt.findtext("stackTrace") == "trace of the first attempt"
    assert attempt.findtext("system-out") == "sent\n"


def test_a_retried_failure_shows_its_first_attempt_and_the_reruns() -> None:
    first, second = Attempt(Outcome.FAILED, 0.1, "A", "one"), Attempt(Outcome.ERROR, 0.2, "B", "two", "t", "out")
    case = tree_of(report_of([failed(attempts=(first, second))])).find(".//testcase")
    assert case is not None
    assert [(child.tag, child.get("message")) for child in case] == [
        ("failure", "one"),
        ("rerunError", "two"),
        ("rerunFailure", "41 != 42"),
    ]


def test_attempts_that_surefire_cannot_tell_are_cases_of_their_own() -> None:
    case = failed(attempts=(Attempt(Outcome.PASSED, 0.1),))
    root = tree_of(report_of(MemoryResults([case], files=(InputFile("a.xml", "junit", FileState.READ, 2),))))
    assert [len(one) for one in root.iter("testcase")] == [0, 1]
    assert counters(root) == counters(root[0]) == [2, 1, 0, 0]


def test_a_large_suite_goes_through_a_file_and_comes_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = xml_of(report_of(ManyResults(5_000, [failed()], per_suite=2_500)))
    monkeypatch.setattr(junit_report, "_SPILL", 10_000)
    assert xml_of(report_of(ManyResults(5_000, [failed()], per_suite=2_500))) == whole
    assert whole.count("<testcase ") == 5_001


def test_other_readers_accept_it() -> None:
    parsed = junitparser.JUnitXml.fromstring(xml_of(rich_report()).encode())
    assert parsed.tests == 24
    assert parsed.failures == 2
    assert sum(1 for suite in parsed for _ in suite) == 24


def test_control_characters_do_not_make_it_malformed() -> None:
    report = report_of([failed("a\x00b\ud800\x1b[0m", message="\x0b\ufffe]]>", details="x\x85]]>&<", output="\x07")])
    assert tree_of(report).find(".//failure") is not None


def test_reading_it_back_gives_the_rich_run(tmp_path: Path) -> None:
    report = rich_report()
    assert isinstance(report.results, MemoryResults)
    cases, files = read_back(report, tmp_path)
    assert [without_attempt_times(case) for case in cases] == [without_attempt_times(c) for c in report.results.cases]
    assert [file.note for file in files] == [""]


def without_attempt_times(case: Case) -> Case:
    """Surefire's elements have no durations; the reader cannot be asked for those of earlier attempts."""
    return replace(case, attempts=tuple(replace(attempt, duration=0.0) for attempt in case.attempts))


NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=12
)
LINES = st.text(st.characters(exclude_categories=["C"], include_characters="\t"), max_size=20)
TEXTS = st.lists(LINES, max_size=3).map("\n".join).map(lambda text: text.strip("\n"))
REASONS = LINES.map(str.strip).filter(bool)  # the reader strips them and wants one
TYPES = NAMES | st.just("")
BAD = st.sampled_from((Outcome.FAILED, Outcome.ERROR))
ATTEMPTS = st.builds(Attempt, BAD, st.just(0.0), TYPES, REASONS, TEXTS, TEXTS, TEXTS)
SECONDS = st.floats(0, 1e6, allow_nan=False).map(lambda value: round(value, 6))
PLACE = {"classname": NAMES | st.just(""), "suite": st.lists(NAMES, max_size=3).map(tuple), "duration": SECONDS}
FILES = NAMES | st.just("")
PASSING = st.builds(
    Case, NAMES, file=FILES, line=st.none() | st.integers(1, 9999), output=TEXTS, error_output=TEXTS,
    attempts=st.lists(ATTEMPTS, max_size=2).map(tuple), **PLACE,
)  # fmt: skip
FAILING = st.builds(
    Case, NAMES, file=FILES, outcome=BAD, type=TYPES, message=REASONS, details=TEXTS, output=TEXTS, error_output=TEXTS,
    attempts=st.lists(ATTEMPTS, max_size=2).map(tuple), **PLACE,
)  # fmt: skip
SKIPPED = st.builds(Case, NAMES, outcome=st.just(Outcome.SKIPPED), message=REASONS, **PLACE)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given_by(st.lists(PASSING | FAILING | SKIPPED, max_size=6, unique_by=lambda case: case.identity))
def test_reading_it_back_gives_the_same_run(tmp_path: Path, cases: list[Case]) -> None:
    report = report_of(cases)
    tree_of(report)
    if cases:
        read, files = read_back(report, tmp_path)
        assert sorted(read, key=lambda case: case.identity) == sorted(cases, key=lambda case: case.identity)
        assert [file.note for file in files] == [""]
