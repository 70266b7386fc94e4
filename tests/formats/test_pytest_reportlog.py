from __future__ import annotations

import json
from typing import Any

import pytest

from ci_bridge.formats.pytest_reportlog import FORMAT
from ci_bridge.models import Outcome

from .recording import Recording, read

NODE = "tests/test_cart.py::TestCart::test_total[a::b]"
CRASH = {
    "reprcrash": {"path": "/home/ci/shop/cart.py", "lineno": 9, "message": "ValueError: no\nreally"},
    "reprtraceback": {
        "reprentries": [
            {
                "type": "ReprEntry",
                "data": {
                    "lines": [">   cart.add()", "E   ValueError: no"],
                    "reprfileloc": {"path": "tests/test_cart.py", "lineno": 12, "message": "ValueError"},
                },
            }
        ]
    },
    "sections": [],
    "chain": [],
}


def phase(when: str, outcome: str = "passed", node: str = NODE, **more: Any) -> dict[str, Any]:
    fields = {
        "$report_type": "TestReport",
        "nodeid": node,
        "location": ["tests/test_cart.py", 4, "TestCart.test_total"],
        "when": when,
        "outcome": outcome,
        "longrepr": None,
        "sections": [],
        "duration": 0.25,
    }
    return fields | more


def log(*reports: dict[str, Any], end: bool = True) -> Recording:
    start = {"$report_type": "SessionStart", "pytest_version": "9.0.0"}
    finish = [{"$report_type": "SessionFinish", "exitstatus": 0}] if end else []
    return read(FORMAT, "".join(json.dumps(report) + "\n" for report in (start, *reports, *finish)))


def test_the_three_phases_of_a_passed_test_are_one_case():
    recording = log(phase("setup"), phase("call"), phase("teardown"))
    (case,) = recording.cases
    assert (case.file, case.classname, case.name, case.line) == (
        "tests/test_cart.py",
        "tests.test_cart.TestCart",
        "test_total[a::b]",
        5,
    )
    assert (case.outcome, case.duration) == (Outcome.PASSED, 0.75)
    assert recording.error is None


def test_a_failing_call_is_a_failure_with_type_message_and_traceback():
    (case,) = log(phase("setup"), phase("call", "failed", longrepr=CRASH), phase("teardown")).cases
    assert (case.outcome, case.type, case.message) == (Outcome.FAILED, "ValueError", "ValueError: no")
    assert case.details == ">   cart.add()\nE   ValueError: no\n\ntests/test_cart.py:12: ValueError"


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([phase("setup", "failed", longrepr=CRASH), phase("teardown")], "in setup: ValueError: no"),
        ([phase("setup"), phase("call"), phase("teardown", "failed", longrepr=CRASH)], "in teardown: ValueError: no"),
    ],
)
def test_a_failing_set_up_or_tear_down_is_an_error(phases, message):
    (case,) = log(*phases).cases
    assert (case.outcome, case.message) == (Outcome.ERROR, message)


def test_a_failing_tear_down_does_not_hide_the_failure_before_it():
    (case,) = log(
        phase("setup"),
        phase("call", "failed", longrepr="E   assert 1 == 2"),
        phase("teardown", "failed", longrepr="E   OSError: gone"),
    ).cases
    assert (case.outcome, case.message) == (Outcome.FAILED, "assert 1 == 2")
    assert "OSError: gone" in case.details


def test_a_skip_has_its_reason_as_message():
    (case,) = log(
        phase("setup", "skipped", longrepr=["/x/test_cart.py", 5, "Skipped: no printer"]), phase("teardown")
    ).cases
    assert (case.outcome, case.message) == (Outcome.SKIPPED, "no printer")


def test_an_expected_failure_is_skipped_and_an_unexpected_success_passes():
    recording = log(
        phase("setup", node="a.py::test_a"),
        phase("call", "skipped", node="a.py::test_a", longrepr=CRASH, wasxfail="in spring"),
        phase("teardown", node="a.py::test_a"),
        phase("setup", node="a.py::test_b"),
        phase("call", node="a.py::test_b", wasxfail="in spring"),
        phase("teardown", node="a.py::test_b"),
        phase("setup", node="a.py::test_c"),
        phase("call", "failed", node="a.py::test_c", longrepr="[XPASS(strict)] in spring"),
        phase("teardown", node="a.py::test_c"),
    )
    assert recording.counts() == (1, 1, 0, 1)
    assert recording.case("test_a").message == "expected failure: in spring"


def test_reruns_are_delivered_as_executions_of_one_identity_in_their_order():
    recording = log(
        phase("setup"),
        phase("call", "rerun", longrepr=CRASH),
        phase("teardown"),
        phase("setup"),
        phase("call"),
        phase("teardown"),
    )
    assert [case.outcome for case in recording.cases] == [Outcome.FAILED, Outcome.PASSED]
    assert len({case.identity for case in recording.cases}) == 1


def test_a_rerun_without_a_tear_down_is_not_lost():
    recording = log(
        phase("setup"), phase("call", "rerun", longrepr=CRASH), phase("setup"), phase("call"), phase("teardown")
    )
    assert [case.outcome for case in recording.cases] == [Outcome.FAILED, Outcome.PASSED]


def test_captured_output_is_kept_once_and_apart_from_errors():
    sections = [["Captured stdout call", "hello\n"], ["Captured stderr call", "oh\n"]]
    (case,) = log(phase("setup"), phase("call", sections=sections), phase("teardown", sections=sections)).cases
    assert (case.output, case.error_output) == ("hello\n", "oh\n")


def test_a_module_that_cannot_be_collected_is_an_error():
    recording = log(
        {
            "$report_type": "CollectReport",
            "nodeid": "tests/test_x.py",
            "outcome": "failed",
            "longrepr": "E   ImportError: y",
        }
    )
    (case,) = recording.cases
    assert (case.outcome, case.file, case.classname, case.name) == (
        Outcome.ERROR,
        "tests/test_x.py",
        "tests.test_x",
        "[collection]",
    )
    assert case.message == "ImportError: y"


def test_a_module_that_is_skipped_whole_is_a_skip():
    recording = log(
        {
            "$report_type": "CollectReport",
            "nodeid": "tests/test_x.py",
            "outcome": "skipped",
            "longrepr": ["x", 1, "Skipped: not on this system"],
        }
    )
    assert recording.counts() == (0, 0, 0, 1)
    assert recording.cases[0].message == "not on this system"


def test_a_failing_subtest_is_a_case_of_its_own():
    sub = phase("call", "failed", longrepr=CRASH) | {
        "$report_type": "SubtestReport",
        "_subtest.context": {"msg": "apples", "kwargs": {"i": 3}},
    }
    recording = log(phase("setup"), sub, phase("call"), phase("teardown"))
    assert recording.names() == ["test_total[a::b] [apples] (i=3)", "test_total[a::b]"]
    assert recording.counts() == (1, 1, 0, 0)


def test_tests_that_run_at_the_same_time_are_kept_apart():
    recording = log(
        phase("setup", node="a.py::test_a"),
        phase("setup", node="a.py::test_b"),
        phase("call", "failed", node="a.py::test_b", longrepr="E   boom"),
        phase("call", node="a.py::test_a"),
        phase("teardown", node="a.py::test_a"),
        phase("teardown", node="a.py::test_b"),
    )
    assert {case.name: case.outcome for case in recording.cases} == {"test_a": Outcome.PASSED, "test_b": Outcome.FAILED}


def test_a_test_that_never_ended_is_an_error():
    recording = log(phase("setup"), phase("call"))
    assert recording.counts() == (0, 0, 1, 0)
    assert recording.cases[0].message == "the test began but never ended"


def test_a_log_without_its_end_is_malformed_but_its_tests_count():
    recording = log(phase("setup"), phase("call"), phase("teardown"), end=False)
    assert recording.counts() == (1, 0, 0, 0)
    assert "before the session has finished" in str(recording.error)


def test_other_json_lines_are_not_taken_for_a_log():
    assert FORMAT.sniff(b'{"pytest_version": "9.2.0", "$report_type": "SessionStart"}\n')
    assert not FORMAT.sniff(b'{"report_type": "SessionStart"}\n')
    assert not FORMAT.sniff(b'{"Action":"run","Package":"p","Test":"T"}\n')


def report(node: str, when: str, outcome: str = "passed") -> str:
    return json.dumps({"nodeid": node, "when": when, "outcome": outcome, "$report_type": "TestReport"})


def session(*lines: str, status: int = 0) -> str:
    end = json.dumps({"exitstatus": status, "$report_type": "SessionFinish"})
    return "\n".join(['{"pytest_version": "8.0", "$report_type": "SessionStart"}', *lines, end]) + "\n"


GREEN = [report("t.py::a", when) for when in ("setup", "call", "teardown")]


def test_a_damaged_line_in_the_middle_makes_the_file_incomplete() -> None:
    damaged = report("t.py::b", "call", "failed")[:-20] + "\0garbage"
    read_ = read(FORMAT, session(*GREEN, damaged))
    assert read_.counts() == (1, 0, 0, 0)
    assert read_.error is not None
    assert "line 5 is cut off or damaged" in read_.error.message


def test_a_line_whose_beginning_is_damaged_makes_the_file_incomplete() -> None:
    assert read(FORMAT, session(*GREEN, "\0\0" + report("t.py::b", "call", "failed")[2:])).error is not None
    assert read(FORMAT, session(*GREEN, "a line of a log")).error is None


def test_a_test_without_its_call_is_an_error() -> None:
    read_ = read(FORMAT, session(*GREEN, report("t.py::b", "setup"), report("t.py::b", "teardown")))
    assert read_.counts() == (1, 0, 1, 0)
    assert read_.case("b").message == "the log does not tell how the test itself went"


def test_a_test_that_begins_anew_without_an_end_is_an_error() -> None:
    again = [report("t.py::b", when) for when in ("setup", "call", "setup", "call", "teardown")]
    assert [case.outcome.value for case in read(FORMAT, session(*again)).cases] == ["error", "passed"]


@pytest.mark.parametrize("status", [1, 2, 3, 4, 77])
def test_a_failing_exit_status_without_a_failing_test_is_an_error(status: int) -> None:
    read_ = read(FORMAT, session(*GREEN, status=status))
    assert read_.counts() == (1, 0, 1, 0)
    assert f"exit status {status}" in read_.case("[session]").message


def test_an_exit_status_that_the_cases_explain_is_no_case_of_its_own() -> None:
    red = [report("t.py::b", "setup"), report("t.py::b", "call", "failed"), report("t.py::b", "teardown")]
    assert read(FORMAT, session(*red, status=1)).counts() == (0, 1, 0, 0)
    assert read(FORMAT, session(status=5)).counts() == (0, 0, 0, 0)


def test_a_failed_attempt_does_not_explain_a_failing_exit_status() -> None:
    rerun = [report("t.py::b", when, outcome) for when, outcome in (("setup", "passed"), ("call", "rerun"))]
    rerun.append(report("t.py::b", "teardown"))
    good = [report("t.py::b", when) for when in ("setup", "call", "teardown")]
    assert read(FORMAT, session(*rerun, *good)).names() == ["b", "b"]
    assert read(FORMAT, session(*rerun, *good, status=1)).names() == ["b", "b", "[session]"]


@pytest.mark.parametrize(("first", "names"), [("rerun", ["b", "b"]), ("retried", ["b", "b"]), ("failed", ["b"])])
def test_only_a_marked_rerun_is_an_attempt(first: str, names: list[str]) -> None:
    red = [report("t.py::b", "setup"), report("t.py::b", "call", first), report("t.py::b", "teardown")]
    green = [report("t.py::b", when) for when in ("setup", "call", "teardown")]
    recording = read(FORMAT, session(*red, *green, status=1 if first == "failed" else 0))
    assert recording.names() == names
    assert recording.cases[0].is_failure
