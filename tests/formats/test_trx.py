from __future__ import annotations

import pytest

from ci_bridge.formats.plugin import Limits
from ci_bridge.formats.trx import FORMAT
from ci_bridge.models import Outcome

from .recording import Recording, read

NAMESPACE = "http://microsoft.com/schemas/VisualStudio/TeamTest/2010"


def result(name: str, outcome: str | None = "Passed", inner: str = "", test: str = "t1", **attributes: str) -> str:
    given = {"testId": test, "testName": name, "duration": "00:00:01.5000000"} | attributes
    if outcome is not None:
        given["outcome"] = outcome
    text = " ".join(f'{key}="{value}"' for key, value in given.items())
    return f"<UnitTestResult {text}>{inner}</UnitTestResult>"


def definition(test: str = "t1", classname: str = "Shop.CartTest", path: str = "/src/bin/net8.0/Shop.Tests.dll") -> str:
    return (
        f'<UnitTest name="n" id="{test}" storage="{path.lower()}"><Execution id="e"/>'
        f'<TestMethod codeBase="{path}" className="{classname}" name="Adds"/></UnitTest>'
    )


def run(
    results: str, definitions: str | None = None, summary: str = '<ResultSummary outcome="Completed"/>'
) -> Recording:
    defined = definition() if definitions is None else definitions
    return read(
        FORMAT,
        f'<?xml version="1.0" encoding="utf-8"?><TestRun id="1" xmlns="{NAMESPACE}"><Results>{results}</Results>'
        f"<TestDefinitions>{defined}</TestDefinitions>{summary}</TestRun>",
    )


def test_class_and_assembly_come_from_the_definitions_behind_the_results():
    (case,) = run(result("Shop.CartTest.Adds")).cases
    assert (case.suite, case.classname, case.name) == (("Shop.Tests (net8.0)",), "Shop.CartTest", "Adds")
    assert (case.outcome, case.duration) == (Outcome.PASSED, 1.5)


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("Passed", Outcome.PASSED),
        ("Completed", Outcome.PASSED),
        ("Warning", Outcome.PASSED),
        ("Failed", Outcome.FAILED),
        ("Error", Outcome.ERROR),
        ("Timeout", Outcome.ERROR),
        ("Aborted", Outcome.ERROR),
        ("Disconnected", Outcome.ERROR),
        ("PassedButRunAborted", Outcome.ERROR),
        ("InProgress", Outcome.ERROR),
        ("NotExecuted", Outcome.SKIPPED),
        ("Inconclusive", Outcome.SKIPPED),
        ("NotRunnable", Outcome.SKIPPED),
        ("Pending", Outcome.SKIPPED),
        ("a word of the future", Outcome.ERROR),
        (None, Outcome.ERROR),
    ],
)
def test_every_word_of_the_vocabulary_has_its_outcome(word, outcome):
    assert run(result("Adds", word)).cases[0].outcome is outcome


def test_error_info_and_output_are_kept():
    inner = (
        "<Output><StdOut>hello</StdOut><StdErr>oh</StdErr><ErrorInfo>"
        "<Message>System.InvalidOperationException: no &lt;cart&gt;\nreally</Message><StackTrace>at Shop</StackTrace>"
        "</ErrorInfo></Output>"
    )
    (case,) = run(result("Adds", "Failed", inner)).cases
    assert (case.type, case.message) == (
        "System.InvalidOperationException",
        "System.InvalidOperationException: no <cart>",
    )
    assert case.details == "System.InvalidOperationException: no <cart>\nreally\nat Shop"
    assert (case.output, case.error_output) == ("hello", "oh")


def test_rows_are_counted_and_the_test_above_them_is_not():
    rows = result("Adds (1)", "Passed", dataRowInfo="0") + result("Adds (2)", "Failed", dataRowInfo="1")
    recording = run(result("Adds", "Failed", f"<InnerResults>{rows}</InnerResults>"))
    assert recording.names() == ["Adds (1)", "Adds (2)"]
    assert recording.counts() == (1, 1, 0, 0)


def test_rows_that_carry_the_name_of_their_test_get_their_number():
    rows = result("Adds", "Passed", dataRowInfo="0") + result("Adds", "Failed", dataRowInfo="1")
    assert run(result("Adds", "Failed", f"<InnerResults>{rows}</InnerResults>")).names() == [
        "Adds (row 0)",
        "Adds (row 1)",
    ]


def test_a_data_driven_test_that_failed_without_a_failing_row_is_a_case():
    recording = run(result("Adds", "Failed", f"<InnerResults>{result('Adds (1)')}</InnerResults>"))
    assert recording.counts() == (1, 1, 0, 0)


def test_one_assembly_on_two_frameworks_makes_two_suites():
    recording = run(
        result("Adds", "Failed", test="a") + result("Adds", test="b"),
        definition("a", path=r"C:\src\bin\Debug\net48\Shop.Tests.dll") + definition("b"),
    )
    assert [case.suite for case in recording.cases] == [("Shop.Tests (net48)",), ("Shop.Tests (net8.0)",)]


def test_the_same_name_again_is_another_test_and_hides_no_failure():
    assert run(result("Adds", "Failed") + result("Adds")).names() == ["Adds", "Adds (2)"]


def test_an_error_of_the_run_is_a_case():
    info = '<RunInfos><RunInfo outcome="Error"><Text>The test host crashed.</Text></RunInfo></RunInfos>'
    recording = run(result("Adds"), summary=f'<ResultSummary outcome="Failed">{info}</ResultSummary>')
    assert recording.counts() == (1, 0, 1, 0)
    assert recording.case("[run]").message == "The test host crashed."


def test_a_warning_of_the_run_is_no_case():
    info = '<RunInfos><RunInfo outcome="Warning"><Text>slow</Text></RunInfo></RunInfos>'
    recording = run(result("Adds"), summary=f'<ResultSummary outcome="Completed">{info}</ResultSummary>')
    assert recording.counts() == (1, 0, 0, 0)


def test_a_failed_run_without_a_failing_test_is_not_green():
    recording = run(result("Adds"), summary='<ResultSummary outcome="Failed"/>')
    assert recording.counts() == (1, 0, 1, 0)


def test_a_summary_before_the_results_accuses_no_run_that_has_its_failure():
    text = f'<TestRun><ResultSummary outcome="Failed"/><Results>{result("Adds", "Failed")}</Results></TestRun>'
    assert read(FORMAT, text).counts() == (0, 1, 0, 0)


def test_a_truncated_file_yields_its_whole_results():
    text = f"<TestRun><Results>{result('A')}{result('B')}<UnitTestResult testName="
    recording = read(FORMAT, text)
    assert recording.names() == ["A", "B"]
    assert recording.error is not None


def test_a_dtd_with_content_is_refused():
    recording = read(FORMAT, '<!DOCTYPE x [<!ENTITY a "b">]><TestRun><Results/></TestRun>')
    assert recording.cases == []
    assert "internal subset" in str(recording.error)


def test_results_nested_too_deep_are_malformed():
    text = "<TestRun><Results>" + "<UnitTestResult><InnerResults>" * 100
    assert "nested more than 50 deep" in str(read(FORMAT, text, limits=Limits(depth=50)).error)


def test_long_texts_are_bounded_while_they_are_read():
    inner = f"<Output><StdOut>{'x' * 100_000}</StdOut></Output>"
    recording = read(
        FORMAT, f"<TestRun><Results>{result('A', inner=inner)}</Results></TestRun>", limits=Limits(text=500)
    )
    assert len(recording.cases[0].output) < 600


def test_many_messages_of_one_test_are_bounded_together():
    inner = f"<Output><TextMessages>{'<Message>hello</Message>' * 100_000}</TextMessages></Output>"
    recording = read(
        FORMAT, f"<TestRun><Results>{result('A', inner=inner)}</Results></TestRun>", limits=Limits(text=500)
    )
    assert len(recording.cases[0].output) < 600


def test_only_test_runs_are_taken_for_trx():
    assert FORMAT.sniff(f'<?xml version="1.0"?><TestRun id="1" xmlns="{NAMESPACE}">'.encode())
    assert not FORMAT.sniff(b"<testsuites/>")
    assert not FORMAT.sniff(b"<test-run/>")


def counted(outcome: str, failed: int, result: str = "Passed") -> Recording:
    return read(
        FORMAT,
        f'<TestRun><Results><UnitTestResult testName="a" outcome="{result}" testId="1"/></Results>'
        f'<ResultSummary outcome="{outcome}"><Counters total="5" passed="1" failed="{failed}"/></ResultSummary>'
        "</TestRun>",
    )


def test_counters_that_tell_of_failures_are_never_green() -> None:
    assert counted("Completed", 0).names() == ["a"]
    assert counted("Completed", 4).counts() == (1, 0, 1, 0)
    assert "4 failures" in counted("Failed", 4).case("[run]").message


def test_counters_that_tell_of_more_failures_than_there_are_get_a_note() -> None:
    assert counted("Failed", 1, "Failed").notes == []
    assert counted("Failed", 4, "Failed").notes == ["the counters claim 4 failures, the results show 1"]
