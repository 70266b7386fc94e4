from __future__ import annotations

import pytest

from ci_bridge.formats.xunit import FORMAT
from ci_bridge.models import Outcome

from .recording import Recording, read


def entry(name: str, result: str = "Pass", inner: str = "", **attributes: str) -> str:
    more = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return (
        f'<test name="Shop.CartTest.{name}" type="Shop.CartTest" method="Adds" time="0.25" result="{result}"{more}>'
        f"{inner}</test>"
    )


def run(tests: str, errors: str = "") -> Recording:
    return read(
        FORMAT,
        f'<assemblies timestamp="x"><assembly name="/src/bin/Debug/net8.0/Shop.Tests.dll" test-framework="xUnit.net">'
        f'<errors>{errors}</errors><collection name="c">{tests}</collection></assembly></assemblies>',
    )


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("Pass", Outcome.PASSED),
        ("Fail", Outcome.FAILED),
        ("Skip", Outcome.SKIPPED),
        ("NotRun", Outcome.SKIPPED),
        ("a word of the future", Outcome.ERROR),
    ],
)
def test_every_result_has_its_outcome(word, outcome):
    (case,) = run(entry("Adds(price: 1.5)", word)).cases
    assert (case.suite, case.classname, case.name) == (("Shop.Tests (net8.0)",), "Shop.CartTest", "Adds(price: 1.5)")
    assert (case.outcome, case.duration) == (outcome, 0.25)


def test_failure_reason_and_output_are_kept():
    failure = (
        '<failure exception-type="Xunit.Sdk.EqualException"><message><![CDATA[Assert.Equal() Failure:\nExpected: 1]]>'
        "</message><stack-trace>at X</stack-trace></failure><output>hello</output>"
    )
    recording = run(entry("A", "Fail", failure) + entry("B", "Skip", "<reason><![CDATA[in spring]]></reason>"))
    case = recording.case("A")
    assert (case.type, case.message) == ("Xunit.Sdk.EqualException", "Assert.Equal() Failure: Expected: 1")
    assert case.details == "Assert.Equal() Failure:\nExpected: 1\nat X"
    assert case.output == "hello"
    assert recording.case("B").message == "in spring"


def test_version_3_gives_file_and_line():
    (case,) = run(entry("A", source_file="/src/CartTest.cs", source_line="12")).cases
    assert (case.file, case.line) == ("/src/CartTest.cs", 12)


def test_errors_of_an_assembly_are_cases():
    error = (
        '<error type="assembly-cleanup" name="/src/Shop.Tests.dll"><failure exception-type="System.Exception">'
        "<message>no database</message></failure></error>"
    )
    recording = run(entry("A"), error)
    assert recording.counts() == (1, 0, 1, 0)
    (case,) = [case for case in recording.cases if case.is_failure]
    assert (case.name, case.type, case.message) == (
        "[assembly-cleanup] /src/Shop.Tests.dll",
        "System.Exception",
        "no database",
    )


def test_version_1_with_classes_is_read():
    text = (
        '<assembly name="C:\\src\\Shop.Tests.dll" run-date="2010-01-02" test-framework="xUnit.net 1.9" total="2">'
        '<class name="Shop.CartTest"><test name="Shop.CartTest.Adds" type="Shop.CartTest" method="Adds" result="Pass" '
        'time="0.5"/><test name="Shop.CartTest.Sells" type="Shop.CartTest" method="Sells" result="Skip">'
        "<reason><message>in spring</message></reason></test></class></assembly>"
    )
    recording = read(FORMAT, text)
    assert FORMAT.sniff(text.encode())
    assert [(case.name, case.outcome, case.message) for case in recording.cases] == [
        ("Adds", Outcome.PASSED, ""),
        ("Sells", Outcome.SKIPPED, "in spring"),
    ]


def test_parameters_that_were_shortened_to_the_same_text_hide_no_failure():
    assert run(entry("A(x: ···)", "Fail") + entry("A(x: ···)")).names() == ["A(x: ···)", "A(x: ···) (2)"]


def test_a_truncated_file_yields_its_whole_tests():
    recording = read(FORMAT, f"<assemblies><assembly name='x'><collection>{entry('A')}{entry('B', 'Fail')}<test ")
    assert recording.names() == ["A", "B"]
    assert recording.error is not None


def test_only_xunit_is_taken_for_xunit():
    assert FORMAT.sniff(b"<assemblies>")
    assert not FORMAT.sniff(b"<assembly><id>bin</id></assembly>")
    assert not FORMAT.sniff(b"<testsuites/>")


@pytest.mark.parametrize(("counters", "extra"), [('failed="1"', 1), ('errors="2"', 1), ('failed="0" errors="0"', 0)])
def test_an_assembly_that_claims_failures_and_holds_none_is_an_error(counters: str, extra: int) -> None:
    test = '<collection><test name="a" type="T" result="Pass"/></collection>'
    read_ = read(FORMAT, f'<assemblies><assembly name="x.dll" {counters}>{test}</assembly></assemblies>')
    assert read_.counts() == (1, 0, extra, 0)


def test_an_assembly_that_claims_more_failures_than_it_holds_gets_a_note() -> None:
    test = '<collection><test name="a" type="T" result="Fail"/></collection>'
    read_ = read(FORMAT, f'<assemblies><assembly name="x.dll" failed="3">{test}</assembly></assemblies>')
    assert read_.counts() == (0, 1, 0, 0)
    assert read_.notes == ["an assembly claims 3 failures and errors, it holds 1"]
