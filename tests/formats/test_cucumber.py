from __future__ import annotations

import json
from typing import Any

import pytest

from ci_bridge.formats.cucumber import FORMAT
from ci_bridge.formats.cucumber_messages import FORMAT as MESSAGES
from ci_bridge.models import Outcome

from .recording import Recording, read


def step(status: str, name: str = "a cart", duration: int = 1_000_000_000, **result: Any) -> dict[str, Any]:
    return {"keyword": "Given ", "name": name, "line": 4, "result": {"status": status, "duration": duration} | result}


def scenario(*steps: dict[str, Any], name: str = "Buying", line: int = 3, **more: Any) -> dict[str, Any]:
    fields = {"keyword": "Scenario", "type": "scenario", "id": "cart;buying", "name": name, "line": line}
    return fields | {"steps": list(steps)} | more


def feature(*elements: dict[str, Any]) -> Recording:
    document = [{"uri": "features/cart.feature", "keyword": "Feature", "name": "The cart", "elements": list(elements)}]
    return read(FORMAT, json.dumps(document))


def test_a_scenario_is_a_case_of_its_feature_with_the_sum_of_its_steps():
    (case,) = feature(scenario(step("passed"), step("passed"))).cases
    assert (case.suite, case.file, case.name, case.line) == (("The cart",), "features/cart.feature", "Buying", 3)
    assert (case.outcome, case.duration) == (Outcome.PASSED, 2.0)


@pytest.mark.parametrize(
    ("statuses", "outcome", "kind"),
    [
        (["passed", "failed", "skipped"], Outcome.FAILED, ""),
        (["passed", "undefined", "skipped"], Outcome.FAILED, "undefined"),
        (["pending", "skipped"], Outcome.FAILED, "pending"),
        (["ambiguous"], Outcome.FAILED, "ambiguous"),
        (["skipped", "skipped"], Outcome.SKIPPED, ""),
        (["passed", "skipped"], Outcome.SKIPPED, ""),
        (["FAILED"], Outcome.FAILED, ""),
        (["a word of the future"], Outcome.ERROR, "a word of the future"),
        ([], Outcome.PASSED, ""),
    ],
)
def test_the_worst_step_decides(statuses, outcome, kind):
    (case,) = feature(scenario(*(step(status) for status in statuses))).cases
    assert (case.outcome, case.type) == (outcome, kind)


def test_the_failed_step_and_its_error_are_the_details():
    (case,) = feature(scenario(step("failed", "the total is 3", error_message="AssertionError: 2\n  at x"))).cases
    assert case.message == "AssertionError: 2"
    assert case.details == "failed: Given the total is 3\nAssertionError: 2\n  at x\n"


def test_a_failing_hook_fails_the_scenario():
    (case,) = feature(scenario(step("passed"), after=[step("failed", error_message="no")])).cases
    assert case.outcome is Outcome.FAILED
    (case,) = feature(scenario(step("passed") | {"after": [{"result": {"status": "failed"}}]})).cases
    assert case.outcome is Outcome.FAILED


def test_a_background_on_its_own_belongs_to_the_scenario_after_it():
    background = scenario(step("failed", error_message="no database"), keyword="Background", type="background")
    recording = feature(
        background, scenario(step("skipped"), name="First"), scenario(step("passed"), name="Second", line=9)
    )
    assert recording.case("First").outcome is Outcome.FAILED
    assert recording.case("Second").outcome is Outcome.PASSED


def test_examples_of_an_outline_are_told_apart_by_their_line():
    recording = feature(
        scenario(step("failed"), line=17), scenario(step("passed"), line=18), scenario(step("passed"), name="Other")
    )
    assert recording.names() == ["Buying (line 17)", "Buying (line 18)", "Other"]
    (case,) = feature(scenario(step("passed"), keyword="Scenario Outline", line=17)).cases
    assert case.name == "Buying (line 17)"


def test_the_same_scenario_again_is_another_attempt():
    recording = feature(scenario(step("failed")), scenario(step("passed")))
    assert len({case.identity for case in recording.cases}) == 1


def test_two_scenarios_of_one_name_in_behave_are_told_apart_by_their_lines():
    elements = [
        {
            "type": "scenario", "keyword": "Scenario", "name": "Buying", "location": f"a.feature:{line}",
            "status": status, "steps": [{"keyword": "When", "name": "x", "result": {"status": status, "duration": 1}}],
        }
        for line, status in ((3, "failed"), (9, "passed"))
    ]  # fmt: skip
    feature = {"keyword": "Feature", "name": "F", "location": "a.feature:1", "elements": elements}
    recording = read(FORMAT, json.dumps([feature]))
    assert [(case.name, case.outcome) for case in recording.cases] == [
        ("Buying (line 3)", "failed"), ("Buying (line 9)", "passed"),
    ]  # fmt: skip


def test_behave_counts_in_seconds_and_states_its_own_status():
    document = [
        {
            "keyword": "Feature",
            "name": "The cart",
            "location": "features/cart.feature:1",
            "status": "failed",
            "elements": [
                {"type": "background", "keyword": "Background", "location": "features/cart.feature:2", "steps": [{}]},
                {
                    "type": "scenario",
                    "keyword": "Scenario",
                    "name": "Buying",
                    "location": "features/cart.feature:6",
                    "steps": [{"name": "a", "result": {"status": "passed", "duration": 1.5}}],
                    "status": "passed",
                },
                {
                    "type": "scenario",
                    "keyword": "Scenario",
                    "name": "Hooked",
                    "location": "features/cart.feature:9",
                    "steps": [{"name": "a"}],
                    "status": "hook_error",
                },
                {
                    "type": "scenario",
                    "keyword": "Scenario",
                    "name": "Left out",
                    "location": "features/cart.feature:12",
                    "steps": [{"name": "a"}],
                    "status": "untested",
                },
            ],
        }
    ]
    recording = read(FORMAT, json.dumps(document))
    assert [(case.name, case.line, case.outcome, case.duration) for case in recording.cases] == [
        ("Buying", 6, Outcome.PASSED, 1.5),
        ("Hooked", 9, Outcome.ERROR, 0.0),
        ("Left out", 12, Outcome.SKIPPED, 0.0),
    ]
    assert recording.cases[0].file == "features/cart.feature"


def test_a_cut_document_yields_its_whole_scenarios_only():
    text = json.dumps(
        [
            {
                "uri": "a.feature",
                "name": "A",
                "keyword": "Feature",
                "elements": [scenario(step("passed")), scenario(step("passed"), step("failed"), name="Cut", line=8)],
            }
        ]
    )
    recording = read(FORMAT, text[: text.index('"failed"')])
    assert recording.names() == ["Buying"]
    assert recording.error is not None


def test_a_document_nested_too_deep_is_malformed():
    recording = read(FORMAT, "[" * 200_000)
    assert recording.cases == []
    assert recording.error is not None


def test_only_features_are_taken_for_cucumber():
    assert FORMAT.sniff(b'[{"uri": "a.feature", "keyword": "Feature", "elements": []}]')
    assert FORMAT.sniff(b'[\n  {\n    "line": 1,\n    "elements": [\n      {\n   "start_timestamp": 1, "keyword": "X"')
    assert not FORMAT.sniff(b'{"stats": {}}')
    assert not FORMAT.sniff(b'[{"title": "x"}]')


PICKLE = {"id": "p1", "uri": "a.feature", "name": "Buying", "location": {"line": 17}, "astNodeIds": ["s", "row"]}


def messages(*envelopes: dict[str, Any], end: bool = True) -> Recording:
    before: list[dict[str, Any]] = [
        {"meta": {"protocolVersion": "32.0.0"}},
        {"gherkinDocument": {"uri": "a.feature", "feature": {"name": "The cart"}}},
        {"pickle": PICKLE | {"steps": [{"id": "ps", "text": "a cart"}]}},
        {"testRunStarted": {}},
        {"testCase": {"id": "c1", "pickleId": "p1", "testSteps": [{"id": "t1", "pickleStepId": "ps"}]}},
    ]
    after = [{"testRunFinished": {"success": True}}] if end else []
    return read(MESSAGES, "".join(json.dumps(envelope) + "\n" for envelope in (*before, *envelopes, *after)))


def execution(identifier: str, status: str, attempt: int = 0, *, finished: bool = True) -> list[dict[str, Any]]:
    result = {"status": status, "duration": {"seconds": 1, "nanos": 500_000_000}, "message": "Error: no"}
    envelopes: list[dict[str, Any]] = [
        {"testCaseStarted": {"id": identifier, "testCaseId": "c1", "attempt": attempt}},
        {"testStepFinished": {"testCaseStartedId": identifier, "testStepId": "t1", "testStepResult": result}},
    ]
    if finished:
        envelopes.append({"testCaseFinished": {"testCaseStartedId": identifier, "willBeRetried": status == "FAILED"}})
    return envelopes


def test_messages_give_every_attempt_of_a_scenario():
    recording = messages(*execution("e1", "FAILED"), *execution("e2", "PASSED", 1))
    assert [case.outcome for case in recording.cases] == [Outcome.FAILED, Outcome.PASSED]
    (identity,) = {(case.suite, case.file, case.name, case.line, case.duration) for case in recording.cases}
    assert identity == (("The cart",), "a.feature", "Buying (line 17)", 17, 1.5)
    assert recording.cases[0].details == "failed: a cart\nError: no\n"
    assert recording.error is None


def test_a_scenario_that_was_not_retried_stays_failed_whatever_follows():
    lost = [*execution("e1", "FAILED")[:2], {"testCaseFinished": {"testCaseStartedId": "e1", "willBeRetried": False}}]
    assert messages(*lost, *execution("e2", "PASSED")).counts() == (0, 1, 0, 0)
    assert messages(*execution("e1", "PASSED"), *lost).counts() == (1, 1, 0, 0)


def test_a_scenario_without_its_end_is_an_error():
    recording = messages(*execution("e1", "PASSED", finished=False))
    assert recording.counts() == (0, 0, 1, 0)


def test_messages_without_their_end_are_malformed():
    recording = messages(*execution("e1", "PASSED"), end=False)
    assert recording.counts() == (1, 0, 0, 0)
    assert "before the test run has finished" in str(recording.error)


def test_a_failing_hook_of_the_run_is_an_error_of_its_own():
    recording = messages({"testRunHookFinished": {"result": {"status": "FAILED", "message": "no database"}}})
    assert recording.names() == ["[hook of the run]"]
    assert recording.cases[0].is_failure


def test_messages_are_recognised():
    assert MESSAGES.sniff(b'{"meta":{"protocolVersion":"32.2.0"}}\n{"source":{}}\n')
    assert not MESSAGES.sniff(b'{"meta":{"version":"1"}}\n')


def stream(*changes: tuple[int, object], success: bool = True, status: str = "PASSED") -> str:
    """One scenario as messages; a change replaces a line by a text, or removes it."""
    lines: list[object] = [
        {"meta": {"protocolVersion": "1"}},
        {"gherkinDocument": {"uri": "f", "feature": {"name": "F"}}},
        {"pickle": {"id": "p", "uri": "f", "name": "S", "steps": [{"id": "q", "text": "x"}], "astNodeIds": ["1"]}},
        {"testCase": {"id": "c", "pickleId": "p", "testSteps": [{"id": "t", "pickleStepId": "q"}]}},
        {"testCaseStarted": {"id": "s", "testCaseId": "c"}},
        {"testStepFinished": {"testCaseStartedId": "s", "testStepId": "t", "testStepResult": {"status": status}}},
        {"testCaseFinished": {"testCaseStartedId": "s"}},
        {"testRunFinished": {"success": success}},
    ]
    for index, text in changes:
        lines[index] = text
    return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines if line is not None) + "\n"


def test_a_damaged_message_in_the_middle_makes_the_file_incomplete() -> None:
    read_ = read(MESSAGES, stream((5, '{"testStepFinished": {"testCaseSta')))
    assert read_.error is not None
    assert read_.counts() == (0, 0, 1, 0)


def test_a_scenario_whose_step_never_ended_is_an_error() -> None:
    read_ = read(MESSAGES, stream((5, None)))
    assert (read_.counts(), read_.error) == ((0, 0, 1, 0), None)
    assert "never ended" in read_.case("S").message


def test_a_run_that_failed_without_a_failing_scenario_is_an_error() -> None:
    assert read(MESSAGES, stream()).names() == ["S"]
    assert read(MESSAGES, stream(success=False)).names() == ["S", "[run]"]
    assert read(MESSAGES, stream(success=False, status="FAILED")).names() == ["S"]


def test_a_scenario_that_ends_and_never_began_makes_the_file_incomplete() -> None:
    read_ = read(MESSAGES, stream((4, None)))
    assert read_.error is not None
    assert "1 scenarios end that never began" in read_.error.message
