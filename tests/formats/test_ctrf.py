"""CTRF, as its specification and its reporters have it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ci_bridge.formats.ctrf import FORMAT
from ci_bridge.formats.plugin import Limits
from ci_bridge.models import Attempt, Case, Outcome
from tests.formats.recording import Recording, read


def document(*tests: dict[str, Any], **summary: int) -> str:
    return json.dumps(
        {
            "reportFormat": "CTRF",
            "specVersion": "0.0.0",
            "results": {"tool": {"name": "vitest"}, "summary": {"tests": len(tests)} | summary, "tests": list(tests)},
        }
    )


def only(recording: Recording) -> Case:
    assert recording.error is None
    (case,) = recording.cases
    return case


def test_every_field_of_a_test_is_read() -> None:
    case = only(
        read(
            FORMAT,
            document(
                {
                    "name": "adds", "status": "failed", "duration": 1500, "suite": ["cart", "total"], "line": 7,
                    "filePath": "src/cart.test.ts", "message": "41 != 42", "trace": "at cart.ts:1", "snippet": "x + 1",
                    "stdout": ["a", "b"], "stderr": ["c"], "extra": {"classname": "Cart", "type": "AssertionError"},
                }
            ),
        )
    )  # fmt: skip
    assert case == Case(
        name="adds", classname="Cart", suite=("cart", "total"), file="src/cart.test.ts", line=7, duration=1.5,
        outcome=Outcome.FAILED, type="AssertionError", message="41 != 42", details="at cart.ts:1\n\nx + 1",
        output="a\nb", error_output="c",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"status": "passed"}, Outcome.PASSED),
        ({"status": "failed"}, Outcome.FAILED),
        ({"status": "skipped"}, Outcome.SKIPPED),
        ({"status": "pending"}, Outcome.SKIPPED),
        ({"status": "other", "rawStatus": "timedOut"}, Outcome.ERROR),
        ({"status": "other", "rawStatus": "todo"}, Outcome.SKIPPED),
        ({"status": "other"}, Outcome.ERROR),
        ({"status": "failed", "rawStatus": "error"}, Outcome.ERROR),
        ({"status": 7}, Outcome.ERROR),
        ({}, Outcome.ERROR),
    ],
)
def test_what_is_neither_passed_nor_skipped_is_never_green(fields: dict[str, Any], outcome: Outcome) -> None:
    assert only(read(FORMAT, document({"name": "t", "duration": 0} | fields))).outcome is outcome


def test_a_suite_may_be_one_string() -> None:
    assert only(read(FORMAT, document({"name": "t", "status": "passed", "suite": "a > b"}))).suite == ("a > b",)


def test_one_test_in_two_browsers_is_two_tests_and_a_browser_update_makes_no_new_one() -> None:
    tests = [{"name": "t", "status": "passed", "browser": browser} for browser in ("chrome 120.1", "firefox 118")]
    assert [case.suite for case in read(FORMAT, document(*tests)).cases] == [("chrome",), ("firefox",)]


def test_parameters_that_the_name_does_not_show_are_added_to_it() -> None:
    tests = [
        {"name": "t", "status": "passed", "parameters": {"size": 1}},
        {"name": "t [2]", "status": "passed", "parameters": {"size": 2}},
    ]
    assert read(FORMAT, document(*tests)).names() == ["t [size=1]", "t [2]"]


def test_listed_attempts_come_before_the_last_one() -> None:
    earlier = {"attempt": 1, "status": "failed", "duration": 5, "message": "no", "trace": "at x"}
    last = {"attempt": 2, "status": "passed", "duration": 7}
    expected = (Attempt(Outcome.FAILED, 0.005, "", "no", "at x"),)
    for listed in ([earlier], [earlier, last], [last, earlier]):
        test = {"name": "t", "status": "passed", "retries": 1, "flaky": True, "retryAttempts": listed}
        case = only(read(FORMAT, document(test)))
        assert case.is_flaky
        assert case.attempts == expected


def test_a_failed_test_keeps_its_failed_attempts() -> None:
    listed = [{"attempt": number, "status": "failed", "message": str(number)} for number in (1, 2, 3)]
    case = only(read(FORMAT, document({"name": "t", "status": "failed", "retries": 2, "retryAttempts": listed})))
    assert [attempt.message for attempt in case.attempts] == ["1", "2"]


@pytest.mark.parametrize(
    ("fields", "attempts"),
    [
        ({"status": "passed", "retries": 2}, 2),
        ({"status": "passed", "flaky": True}, 1),
        ({"status": "failed", "retries": 1}, 1),
        ({"status": "passed", "retries": 10**9}, 20),
        ({"status": "skipped", "retries": 3}, 0),
        ({"status": "passed", "retries": 0, "flaky": False}, 0),
        ({"status": "failed", "flaky": True}, 0),
    ],
)
def test_counted_retries_stand_for_failed_attempts(fields: dict[str, Any], attempts: int) -> None:
    case = only(read(FORMAT, document({"name": "t"} | fields)))
    assert case.attempts == (Attempt(Outcome.FAILED),) * attempts


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-5", "1e999", "null", "true", "[]", '"x"', "9" * 5000])
def test_a_duration_that_is_none_is_zero_or_bounded(value: str) -> None:
    text = document({"name": "t", "status": "passed", "duration": 987654}).replace("987654", value)
    case = only(read(FORMAT, text))
    assert 0 <= case.duration <= 1e9


def test_values_of_the_wrong_type_are_absent() -> None:
    test = {
        "name": ["x"], "status": "failed", "suite": {"a": 1}, "filePath": 3.5, "line": "7", "message": None,
        "trace": [1], "stdout": {"a": 1}, "retryAttempts": "no", "retries": "1", "extra": [], "parameters": 1,
    }  # fmt: skip
    case = only(read(FORMAT, document(test)))
    assert case == Case(name="", outcome=Outcome.FAILED, file="3.5")
    assert read(FORMAT, '{"reportFormat":"CTRF","results":[]}').cases == []


def test_a_truncated_document_yields_its_whole_tests() -> None:
    text = document(*({"name": f"t{number}", "status": "passed", "duration": 1} for number in range(90)))
    recording = read(FORMAT, text[: text.index('"t89"')])
    assert recording.error is not None
    assert recording.names() == [f"t{number}" for number in range(89)]


def test_a_summary_that_lies_is_noted() -> None:
    recording = read(FORMAT, document({"name": "t", "status": "passed"}, tests=5))
    assert recording.notes == ["the summary claims 5 tests, the document holds 1"]


def test_deep_nesting_and_documents_beyond_the_cap_are_refused() -> None:
    deep = read(FORMAT, '{"reportFormat":"CTRF","results":' + "[" * 100_000)
    assert deep.error is not None
    large = read(FORMAT, document({"name": "t" * 1000, "status": "passed"}), limits=Limits(document_size=500))
    assert large.error is not None
    assert "more than 500 bytes" in large.error.message


@pytest.mark.parametrize(
    ("head", "is_ctrf"),
    [
        ('{"reportFormat": "CTRF", "specVersion": "1.0.0"', True),
        ('{"results": {"tool": {"name": "jest"}, "summary": {', True),
        ('{"specVersion":"0.0.1","results":{"tests":[{"name":', True),
        ('{"results": [{"uuid": "x"}], "stats": {}}', False),
        ('{"testResults": []}', False),
        ('[{"results": {"tool": 1}}]', False),
        ('{"runs":[{"results": {"tool": 1}}]}', False),
        ("<testsuite/>", False),
    ],
)
def test_the_format_is_known_by_its_content(head: str, is_ctrf: bool) -> None:
    assert FORMAT.sniff(head.encode()) is is_ctrf


def test_a_document_in_utf_16_is_read() -> None:
    assert only(read(FORMAT, document({"name": "größe", "status": "passed"}).encode("utf-16"))).name


def test_two_tests_of_one_name_are_two_tests() -> None:
    tests = [{"name": "a", "status": "failed"}, {"name": "a", "status": "passed"}]
    read_ = read(FORMAT, json.dumps({"results": {"tool": {}, "tests": tests}}))
    assert read_.names() == ["a", "a (2)"]
    assert read_.counts() == (1, 1, 0, 0)


def test_a_document_with_two_lists_of_tests_is_damaged() -> None:
    both = '{"results":{"tool":{},"tests":[{"name":"a","status":"failed"}],"tests":[{"name":"b","status":"passed"}]}}'
    read_ = read(FORMAT, both)
    assert read_.error is not None
    assert "two values for 'tests'" in read_.error.message
    assert read(FORMAT, '{"results":{"tool":{},"tool":{},"tests":[]}}').error is None


def test_a_summary_that_claims_more_failures_gets_a_note() -> None:
    document = {"results": {"summary": {"failed": 2}, "tests": [{"name": "a", "status": "failed"}]}}
    assert read(FORMAT, json.dumps(document)).notes == ["the summary claims 2 failures, the document holds 1"]
