from __future__ import annotations

import json
from typing import Any

import pytest

from ci_bridge.formats.dart import FORMAT
from ci_bridge.models import Outcome

from .recording import Recording, read

START = {"protocolVersion": "0.1.1", "runnerVersion": "1.25.0", "pid": 1, "type": "start", "time": 0}
SUITE = {"suite": {"id": 0, "platform": "vm", "path": "test/cart_test.dart"}, "type": "suite", "time": 0}


def started(number: int, name: str, time: int = 100, suite: int = 0, **more: Any) -> dict[str, Any]:
    test = {"id": number, "name": name, "suiteID": suite, "groupIDs": [], "line": 7, "metadata": {"skip": False}}
    return {"test": test | more, "type": "testStart", "time": time}


def done(number: int, result: str = "success", time: int = 600, **more: Any) -> dict[str, Any]:
    return {
        "testID": number,
        "result": result,
        "skipped": False,
        "hidden": False,
        "type": "testDone",
        "time": time,
    } | more


def end(success: object = True) -> dict[str, Any]:
    return {"success": success, "type": "done", "time": 900}


def run(*events: dict[str, Any]) -> Recording:
    return read(FORMAT, "".join(json.dumps(event) + "\n" for event in (START, SUITE, *events)))


def test_a_passed_test_has_file_line_and_seconds():
    recording = run(started(1, "cart adds"), done(1), end())
    (case,) = recording.cases
    assert (case.file, case.name, case.line, case.duration) == ("test/cart_test.dart", "cart adds", 7, 0.5)
    assert (case.outcome, recording.error) == (Outcome.PASSED, None)


@pytest.mark.parametrize(("result", "outcome"), [("failure", Outcome.FAILED), ("error", Outcome.ERROR)])
def test_failures_and_errors_keep_their_texts(result, outcome):
    error = {"testID": 1, "error": "Expected: 3\n  Actual: 1", "stackTrace": "cart_test.dart 9:5", "type": "error"}
    (case,) = run(started(1, "a"), error, done(1, result), end(False)).cases
    assert (case.outcome, case.message) == (outcome, "Expected: 3")
    assert "cart_test.dart 9:5" in case.details


def test_a_skipped_test_has_its_reason():
    (case,) = run(
        started(1, "a", metadata={"skip": True, "skipReason": "no printer"}), done(1, skipped=True), end()
    ).cases
    assert (case.outcome, case.message) == (Outcome.SKIPPED, "no printer")


def test_hidden_tests_are_no_cases_unless_they_fail():
    recording = run(
        started(1, "loading test/cart_test.dart"),
        done(1, hidden=True),
        started(2, "loading test/broken_test.dart"),
        done(2, "error", hidden=False),
        end(False),
    )
    assert recording.names() == ["loading test/broken_test.dart"]
    assert recording.cases[0].outcome is Outcome.ERROR


def test_printed_lines_become_output():
    (case,) = run(started(1, "a"), {"testID": 1, "message": "hello", "type": "print"}, done(1), end()).cases
    assert case.output == "hello\n"


def test_a_second_platform_of_a_file_is_told_apart():
    chrome = {"suite": {"id": 1, "platform": "chrome", "path": "test/cart_test.dart"}, "type": "suite"}
    recording = run(chrome, started(1, "a"), done(1, "failure"), started(2, "a", suite=1), done(2), end(False))
    assert recording.names() == ["a", "a [chrome]"]


def test_a_test_that_never_ended_is_an_error():
    recording = run(started(1, "a"), end())
    assert recording.counts() == (0, 0, 1, 0)


@pytest.mark.parametrize("last", [[], [end(None)]])
def test_output_without_its_end_is_malformed_but_its_tests_count(last):
    recording = run(started(1, "a"), done(1), *last)
    assert recording.counts() == (1, 0, 0, 0)
    assert "before the test run has finished" in str(recording.error)


def test_a_run_that_failed_without_a_failing_test_is_not_green():
    assert run(started(1, "a"), done(1), end(False)).counts() == (1, 0, 1, 0)


def test_lines_of_flutter_between_the_events_are_passed_over():
    text = json.dumps(START) + '\n[{"event":"test.startedProcess","params":{}}]\n' + json.dumps(end()) + "\n"
    recording = read(FORMAT, text)
    assert recording.notes == ["lines that are no events were passed over: 1"]
    assert recording.error is None


def test_the_protocol_is_recognised():
    assert FORMAT.sniff(json.dumps(START).encode() + b"\n")
    assert FORMAT.sniff(b"Downloading packages...\n" + json.dumps(START).encode() + b"\n")
    assert not FORMAT.sniff(b'{"type":"start"}\n')
    assert not FORMAT.sniff(b'{"Action":"start","Package":"p"}\n')


HEAD = '{"protocolVersion":"0.1","type":"start","time":0}\n'
PASSING = (
    '{"test":{"id":1,"name":"a","suiteID":0},"type":"testStart","time":1}\n'
    '{"testID":1,"result":"success","hidden":false,"type":"testDone","time":2}\n'
)
FINISH = '{"success":true,"type":"done","time":4}\n'


def test_an_error_after_the_end_of_its_test_is_red() -> None:
    late = '{"testID":1,"error":"late","isFailure":false,"type":"error","time":3}\n'
    read_ = read(FORMAT, HEAD + PASSING + late + late + FINISH)
    assert read_.names() == ["a", "[late error]", "[late error] (2)"]
    assert read_.counts() == (1, 0, 2, 0)


def test_missing_and_damaged_events_make_the_file_incomplete() -> None:
    assert read(FORMAT, HEAD + PASSING + FINISH).error is None
    assert read(FORMAT, HEAD + PASSING.splitlines()[1] + "\n" + FINISH).error is not None
    assert read(FORMAT, HEAD + PASSING.replace('"time":1}', '"ti') + FINISH).error is not None


def test_a_name_seen_again_is_another_test_and_hides_no_failure():
    recording = run(started(1, "a"), done(1, "failure"), started(2, "a"), done(2), end(False))
    assert [(case.name, case.outcome) for case in recording.cases] == [("a", "failed"), ("a (2)", "passed")]
