from __future__ import annotations

import pytest

from ci_bridge.formats.nunit import FORMAT
from ci_bridge.models import Outcome

from .recording import Recording, read


def case3(name: str, result: str, label: str = "", inner: str = "") -> str:
    given = f' label="{label}"' if label else ""
    return (
        f'<test-case id="1" name="{name}" fullname="Shop.CartTest.{name}" classname="Shop.CartTest" methodname="x" '
        f'result="{result}"{given} duration="0.25">{inner}</test-case>'
    )


def run3(cases: str, fixture: str = 'result="Passed"', inner: str = "", assembly: str = 'result="Passed"') -> Recording:
    return read(
        FORMAT,
        f'<test-run id="0"><test-suite type="Assembly" name="Shop.Tests.dll" fullname="/src/bin/net8.0/Shop.Tests.dll" '
        f'{assembly}><test-suite type="TestFixture" name="CartTest" fullname="Shop.CartTest" {fixture}>{inner}{cases}'
        "</test-suite></test-suite></test-run>",
    )


@pytest.mark.parametrize(
    ("result", "label", "outcome"),
    [
        ("Passed", "", Outcome.PASSED),
        ("Warning", "", Outcome.PASSED),
        ("Failed", "", Outcome.FAILED),
        ("Failed", "Error", Outcome.ERROR),
        ("Failed", "Cancelled", Outcome.ERROR),
        ("Failed", "Invalid", Outcome.ERROR),
        ("Failed", "a label of the future", Outcome.FAILED),
        ("Skipped", "Ignored", Outcome.SKIPPED),
        ("Skipped", "Explicit", Outcome.SKIPPED),
        ("Inconclusive", "", Outcome.SKIPPED),
        ("a word of the future", "", Outcome.ERROR),
    ],
)
def test_result_and_label_of_nunit_3_decide(result, label, outcome):
    (case,) = run3(case3("Adds", result, label)).cases
    assert (case.suite, case.classname, case.name) == (("Shop.Tests (net8.0)",), "Shop.CartTest", "Adds")
    assert (case.outcome, case.duration) == (outcome, 0.25)


def test_failure_reason_and_output_are_kept():
    failure = (
        "<failure><message><![CDATA[System.Exception : no\nreally]]></message><stack-trace>at X</stack-trace></failure>"
    )
    recording = run3(
        case3("A", "Failed", "Error", f"{failure}<output>hello</output>")
        + case3("B", "Skipped", "Ignored", "<reason><message>in spring</message></reason>")
        + case3("C", "Passed", inner="<output>printed</output>")
    )
    case = recording.case("A")
    assert (case.type, case.message) == ("System.Exception", "System.Exception : no")
    assert (case.details, case.output) == ("System.Exception : no\nreally\nat X", "hello")
    assert recording.case("B").message == "in spring"
    assert recording.case("C").output == "printed"


def test_attachments_and_assertions_do_not_overwrite_the_failure():
    inner = (
        "<failure><message>the failure</message></failure><assertions><assertion><message>one of two</message>"
        "</assertion></assertions><attachments><attachment><message>x</message></attachment></attachments>"
    )
    assert run3(case3("A", "Failed", "", inner)).cases[0].message == "the failure"


def test_a_failed_set_up_of_a_fixture_is_an_error_of_its_own():
    recording = run3(
        case3("Adds", "Failed", "Error"),
        'result="Failed" label="Error" site="SetUp"',
        "<failure><message>no database</message></failure>",
        'result="Failed" site="Child"',
    )
    assert recording.names() == ["Adds", "[OneTimeSetUp]"]
    case = recording.case("[OneTimeSetUp]")
    assert (case.classname, case.outcome, case.message) == ("Shop.CartTest", Outcome.ERROR, "no database")


def test_a_failed_tear_down_makes_a_run_of_passed_tests_red():
    recording = run3(case3("Adds", "Passed"), 'result="Failed" site="TearDown"')
    assert recording.counts() == (1, 0, 1, 0)
    assert recording.case("[OneTimeTearDown]").is_failure


def test_a_suite_that_only_sums_up_its_tests_is_no_case():
    recording = run3(
        case3("Adds", "Failed"),
        'result="Failed" site="Child"',
        "<failure><message>One or more child tests had errors</message></failure>",
        'result="Failed" site="Child"',
    )
    assert recording.counts() == (0, 1, 0, 0)


def test_an_assembly_that_could_not_be_loaded_is_an_error():
    text = (
        '<test-run><test-suite type="Assembly" name="Shop.Tests.dll" result="Failed" label="Invalid">'
        "<reason><message>File not found</message></reason></test-suite></test-run>"
    )
    (case,) = read(FORMAT, text).cases
    assert (case.outcome, case.suite, case.name, case.message) == (
        Outcome.ERROR,
        ("Shop.Tests",),
        "[suite]",
        "File not found",
    )


def test_the_same_name_again_is_another_test():
    assert run3(case3("Adds", "Failed") + case3("Adds", "Passed")).names() == ["Adds", "Adds (2)"]


def run2(cases: str) -> Recording:
    return read(
        FORMAT,
        f'<test-results name="C:\\src\\Shop.Tests.dll"><test-suite type="TestFixture" name="CartTest" executed="True" '
        f'result="Failure"><results>{cases}</results></test-suite></test-results>',
    )


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        ('executed="True" result="Success" success="True"', Outcome.PASSED),
        ('executed="True" result="Failure" success="False"', Outcome.FAILED),
        ('executed="True" result="Error" success="False"', Outcome.ERROR),
        ('executed="False" result="Ignored"', Outcome.SKIPPED),
        ('executed="False" result="NotRunnable"', Outcome.ERROR),
        ('executed="True" result="Inconclusive" success="False"', Outcome.SKIPPED),
        ('executed="True" success="True"', Outcome.PASSED),
        ('executed="True" success="False"', Outcome.FAILED),
        ('executed="False"', Outcome.SKIPPED),
    ],
)
def test_the_words_of_nunit_2_are_read(attributes, outcome):
    recording = run2(f'<test-case name="Shop.CartTest.Adds(&quot;a.b(c)&quot;,1)" {attributes} time="1,5"/>')
    case = recording.cases[0]
    assert (case.suite, case.classname, case.name) == (("Shop.Tests",), "Shop.CartTest", 'Adds("a.b(c)",1)')
    assert (case.outcome, case.duration) == (outcome, 1.5)


def test_a_truncated_file_yields_its_whole_cases():
    text = (
        f'<test-run><test-suite type="TestFixture" name="x">{case3("A", "Passed")}{case3("B", "Failed")}<test-case na'
    )
    recording = read(FORMAT, text)
    assert recording.names() == ["A", "B"]
    assert recording.error is not None


def test_only_nunit_is_taken_for_nunit():
    assert FORMAT.sniff(b'<?xml version="1.0"?><!--c--><test-run id="2">')
    assert FORMAT.sniff(b"<test-results name='x'>")
    assert not FORMAT.sniff(b"<TestRun/>")
    assert not FORMAT.sniff(b"<testsuite/>")


@pytest.mark.parametrize(
    ("run", "suite", "names"),
    [
        ('result="Passed"', 'result="Passed"', ["a"]),
        ('result="Failed"', 'result="Passed"', ["a", "[run]"]),
        ('failed="2"', 'result="Passed"', ["a", "[run]"]),
        ('result="Failed" failed="2"', 'result="Failed" site="Child"', ["a", "[suite]"]),
    ],
)
def test_a_document_that_says_it_failed_is_never_green(run: str, suite: str, names: list[str]) -> None:
    text = f'<test-run {run}><test-suite type="Assembly" name="x.dll" {suite}><test-case name="a" result="Passed"/>'
    read_ = read(FORMAT, f"{text}</test-suite></test-run>")
    assert read_.names() == names
    assert read_.counts() == (1, 0, len(names) - 1, 0)
