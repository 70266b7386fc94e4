"""JUnit XML in the dialects of the tools that write it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ci_bridge.formats import read_results
from ci_bridge.formats.collect import Collected
from ci_bridge.models import Case, FileState, Outcome, case_of_row

Read = Callable[..., Collected]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read documents as the files of one run, in the given order."""

    def read_documents(*documents: str | bytes, **options) -> Collected:
        for number, document in enumerate(documents):
            raw = document.encode() if isinstance(document, str) else document
            (tmp_path / f"results-{number}.xml").write_bytes(raw)
        return read_results(["results-*.xml"], workspace=tmp_path, **options)

    return read_documents


def cases(results: Collected) -> list[Case]:
    return [case_of_row(row) for batch in results.rows() for row in batch]


def outcomes(results: Collected) -> dict[str, str]:
    return {case.name: case.outcome.value for case in cases(results)}


def suite(body: str, attributes: str = 'name="s"') -> str:
    return f"<testsuite {attributes}>{body}</testsuite>"


def test_a_plain_file_yields_its_cases_with_suite_class_file_line_and_time(read: Read) -> None:
    results = read(
        '<?xml version="1.0"?><testsuites name="all"><testsuite name="unit">'
        '<testcase classname="a.B" name="x[1]" file="a/b.py" line="7" time="0.25"/>'
        "</testsuite></testsuites>"
    )
    assert cases(results) == [Case(name="x[1]", classname="a.B", suite=("unit",), file="a/b.py", line=7, duration=0.25)]
    assert results.files[0].state is FileState.READ
    assert results.files[0].note == ""


@pytest.mark.parametrize(
    "document",
    [
        '<testsuite name="s"><testcase name="a"/></testsuite>',
        '<testsuites><testsuite name="s"><testcase name="a"/></testsuite></testsuites>',
        '<t:testsuites xmlns:t="urn:x"><t:testsuite name="s"><t:testcase name="a"/></t:testsuite></t:testsuites>',
        '<testsuites xmlns="urn:x"><testsuite name="s"><testcase name="a"></testcase></testsuite></testsuites>',
        '<!DOCTYPE testsuites><testsuite name="s"><testcase name="a"/></testsuite>',
        '<!DOCTYPE t SYSTEM "http://127.0.0.1:1/x.dtd"><testsuite name="s"><testcase name="a"/></testsuite>',
        (
            '<!-- c --><?pi?><testsuite name="s"><properties><property name="k" value="v"/></properties>'
            '<testcase name="a"><properties/></testcase><system-out>o</system-out><system-err/></testsuite>'
        ),
    ],
)
def test_every_usual_shape_of_document_gives_the_same_case(read: Read, document: str) -> None:
    results = read(document)
    assert cases(results) == [Case(name="a", suite=("s",))]
    assert results.files[0].state is FileState.READ


def test_nested_suites_are_a_path_and_a_case_after_a_nested_suite_belongs_to_the_outer_one(read: Read) -> None:
    results = read(
        suite(
            suite(suite('<testcase name="deep"/>', 'name="c"'), 'name="b" file="t/b.php"')
            + '<testcase name="after"/>'
            + suite("", 'name="empty"')
            + '<testcase name="last"/>',
            'name="a"',
        )
    )
    assert [(case.suite, case.file, case.name) for case in cases(results)] == [
        (("a", "b", "c"), "t/b.php", "deep"),
        (("a",), "", "after"),
        (("a",), "", "last"),
    ]


def test_a_case_directly_under_the_root_is_read(read: Read) -> None:
    results = read('<testsuites><testcase name="a" time="1"/><testcase name="b"><failure/></testcase></testsuites>')
    assert outcomes(results) == {"a": "passed", "b": "failed"}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("", "passed"),
        ("<failure/>", "failed"),
        ("<error/>", "error"),
        ("<skipped/>", "skipped"),
        ("<disabled/>", "skipped"),
        ("<skipped/><failure/>", "failed"),
        ("<failure/><error/>", "error"),
        ("<error/><failure/>", "error"),
        ("<system-out>x</system-out>", "passed"),
        ("<flakyFailure/>", "passed"),
        ("<failure/><rerunFailure/>", "failed"),
        ("<error/><rerunError/>", "error"),
    ],
)
def test_result_elements_decide_the_outcome_and_the_worst_wins(read: Read, body: str, outcome: str) -> None:
    results = read(suite(f'<testcase name="before"/><testcase name="a">{body}</testcase><testcase name="z"/>'))
    assert outcomes(results) == {"before": "passed", "a": outcome, "z": "passed"}


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        ('status="run"', "passed"),
        ('status="run" result="completed"', "passed"),
        ('status="notrun" result="suppressed"', "skipped"),
        ('status="run" result="skipped"', "skipped"),
        ('status="disabled"', "skipped"),
        ('status="Not Run"', "skipped"),
        ('status="failed"', "failed"),
        ('status="FAIL"', "failed"),
        ('result="error"', "error"),
        ('status="timed-out"', "error"),
        ('status="passed" result="failed"', "failed"),
    ],
)
def test_status_and_result_attributes_count_where_no_element_says_worse(
    read: Read, attributes: str, outcome: str
) -> None:
    results = read(suite(f'<testcase name="a" {attributes}/><testcase name="b" {attributes}></testcase>'))
    assert outcomes(results) == {"a": outcome, "b": outcome}


def test_a_stated_pass_does_not_hide_a_failure_element(read: Read) -> None:
    results = read(suite('<testcase name="a" status="passed"><failure message="no"/></testcase>'))
    assert results.totals.failed == 1


def test_an_unknown_status_is_noted_and_ignored(read: Read) -> None:
    results = read(suite('<testcase name="a" status="purple"/>'))
    assert outcomes(results) == {"a": "passed"}
    assert "'purple' is not known" in results.files[0].note


def test_all_texts_of_a_failure_are_kept(read: Read) -> None:
    results = read(
        suite(
            '<testcase name="a" time="1.5"><failure message="41 != 42" type="AssertionError">trace\nline 2</failure>'
            "<system-out><![CDATA[out <1>]]></system-out><system-err>err</system-err></testcase>"
        )
    )
    (case,) = results.failures
    assert (case.message, case.type, case.details) == ("41 != 42", "AssertionError", "trace\nline 2")
    assert (case.output, case.error_output, case.duration) == ("out <1>", "err", 1.5)


def test_several_results_of_one_case_keep_all_their_texts(read: Read) -> None:
    results = read(
        suite('<testcase name="a"><failure message="first">one</failure><error message="second">two</error></testcase>')
    )
    (case,) = results.failures
    assert case.outcome is Outcome.ERROR
    assert case.message == "second"
    assert case.details == "two\n\nfirst\none"


def test_a_message_is_taken_from_the_text_where_the_attribute_is_missing(read: Read) -> None:
    results = read(suite('<testcase name="a"><failure>\n  boom: it broke\n  at x\n</failure></testcase>'))
    assert results.failures[0].message == "boom: it broke"


def test_a_message_of_many_lines_moves_to_the_details_and_leaves_its_first_line(read: Read) -> None:
    results = read(suite('<testcase name="a"><failure message="one&#10;two&#10;three"/></testcase>'))
    assert results.failures[0].message == "one"
    assert results.failures[0].details == "one\ntwo\nthree"


def test_output_of_a_passed_case_is_kept_and_the_case_counts_as_passed(read: Read) -> None:
    results = read(suite('<testcase name="a"><system-out>hello</system-out></testcase>'))
    assert cases(results)[0].output == "hello"
    assert results.totals.passed == 1


def test_surefire_flaky_elements_become_failed_attempts_of_a_passed_case(read: Read) -> None:
    results = read(
        suite(
            '<testcase name="a" classname="c" time="2">'
            '<flakyFailure message="m1" type="T"><stackTrace>at x</stackTrace><system-out>o1</system-out>'
            "</flakyFailure>"
            '<flakyError message="m2"><system-err>e2</system-err></flakyError>'
            "<system-out>final</system-out></testcase>"
        )
    )
    (case,) = results.flaky
    assert case.is_flaky
    assert [(attempt.outcome, attempt.message, attempt.details) for attempt in case.attempts] == [
        (Outcome.FAILED, "m1", "at x"),
        (Outcome.ERROR, "m2", ""),
    ]
    assert (case.attempts[0].output, case.attempts[1].error_output, case.output) == ("o1", "e2", "final")
    assert results.totals.flaky == results.totals.passed == results.totals.total == 1


def test_surefire_rerun_elements_are_later_attempts_of_a_failed_case(read: Read) -> None:
    results = read(
        suite(
            '<testcase name="a"><failure message="first"/><rerunFailure message="second"><stackTrace>s</stackTrace>'
            '</rerunFailure><rerunError message="third"/></testcase>'
        )
    )
    (case,) = results.failures
    assert (case.outcome, case.message) == (Outcome.ERROR, "third")
    assert [attempt.message for attempt in case.attempts] == ["first", "second"]


def test_the_same_test_again_in_one_file_is_a_further_attempt(read: Read) -> None:
    results = read(
        suite(
            '<testcase name="a" time="1"><failure message="no"/></testcase>'
            '<testcase name="b"/><testcase name="a" time="3"/>'
        )
    )
    (case,) = results.flaky
    assert case.duration == 3
    assert [(attempt.outcome, attempt.message, attempt.duration) for attempt in case.attempts] == [
        (Outcome.FAILED, "no", 1.0)
    ]
    assert [case.name for case in cases(results)] == ["a", "b"]
    assert results.totals.duration == 3


def test_a_test_that_fails_after_it_passed_is_failed(read: Read) -> None:
    results = read(suite('<testcase name="a" time="2"/><testcase name="a" time="5"><failure/></testcase>'))
    (case,) = results.failures
    assert [(attempt.outcome, attempt.duration) for attempt in case.attempts] == [(Outcome.PASSED, 2.0)]
    assert (results.totals.total, results.totals.duration) == (1, 5.0)


def test_a_file_with_an_earlier_timestamp_is_the_earlier_attempt_whatever_it_is_called(read: Read) -> None:
    rerun = suite('<testcase name="a"/>', 'name="s" timestamp="2024-05-02T10:00:00"')
    first = suite('<testcase name="a"><failure/></testcase>', 'name="s" timestamp="2024-05-02T09:00:00Z"')
    results = read(rerun, first)
    assert [file.path for file in results.files] == ["results-1.xml", "results-0.xml"]
    assert results.totals.flaky == 1


def test_files_stay_in_their_order_if_one_of_them_has_no_timestamp(read: Read) -> None:
    first = suite('<testcase name="a"/>', 'name="s" timestamp="2024-05-02T10:00:00"')
    second = suite('<testcase name="a"><failure/></testcase>')
    results = read(first, second)
    assert results.totals.failed == 1


@pytest.mark.parametrize("difference", ['classname="other"', 'file="other.py"'])
def test_tests_that_share_only_their_name_are_two(read: Read, difference: str) -> None:
    results = read(suite(f'<testcase name="a"/><testcase name="a" {difference}/>'))
    assert results.totals.total == 2


def test_the_same_name_in_two_suites_is_two_tests(read: Read) -> None:
    case = '<testcase name="a"/>'
    results = read("<testsuites>" + suite(case) + suite(case, 'name="t"') + "</testsuites>")
    assert results.totals.total == 2


def test_a_crashed_suite_is_a_case_of_its_own_and_never_green(read: Read) -> None:
    results = read(suite('<error message="could not load" type="ImportError">trace</error><testcase name="a"/>'))
    (case,) = results.failures
    assert (case.outcome, case.name, case.suite, case.message) == (Outcome.ERROR, "s", ("s",), "could not load")
    assert results.totals.passed == 1


def test_output_and_properties_of_a_suite_are_not_results(read: Read) -> None:
    results = read(suite('<system-out>failure</system-out><properties><property name="error"/></properties>'))
    assert results.totals.total == 0


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("0.5", 0.5), ("0,123", 0.123), ("1,234.5", 1234.5), ("", 0.0), ("1e-3", 0.001), (" 2 ", 2.0), ("00:01:01", 61)],
)
def test_times_are_read_in_every_notation(read: Read, time: str, seconds: float) -> None:
    results = read(suite(f'<testcase name="a" time="{time}"/>'))
    assert cases(results)[0].duration == pytest.approx(seconds)
    assert results.files[0].note == ""


def test_times_are_milliseconds_if_asked(read: Read) -> None:
    results = read(
        suite('<testcase name="a" time="1500"/><testcase name="b" time="1,5" status="x"/>'), time_unit="milliseconds"
    )
    assert [case.duration for case in cases(results)] == pytest.approx([1.5, 0.0015])


def test_missing_names_do_not_merge_two_tests(read: Read) -> None:
    results = read(suite('<testcase/><testcase name=""/><testcase classname="c"/>'))
    assert [case.name for case in cases(results)] == ["unnamed test 1", "unnamed test 2", "unnamed test 3"]


def test_a_class_attribute_stands_for_a_missing_classname(read: Read) -> None:
    results = read(suite('<testcase name="a" class="C"/><testcase name="b" classname="" class="C" time="x"/>'))
    assert {case.classname for case in cases(results)} == {"C"}


def test_attributes_in_changing_order_are_read_by_name(read: Read) -> None:
    results = read(
        suite(
            '<testcase name="a" classname="c" time="1"/><testcase time="2" name="b" classname="d"/>'
            '<testcase classname="e" file="f" name="g" line="3"/><testcase name="h"/>'
        )
    )
    assert [(case.name, case.classname, case.file, case.line, case.duration) for case in cases(results)] == [
        ("a", "c", "", None, 1.0),
        ("b", "d", "", None, 2.0),
        ("g", "e", "f", 3, 0.0),
        ("h", "", "", None, 0.0),
    ]


def test_counters_that_lie_are_noted_and_the_cases_believed(read: Read) -> None:
    results = read(
        suite('<testcase name="a"/>', 'name="liar" tests="5" failures="3" errors="0"').replace(
            "</testsuite>", '<testcase name="b"><failure/></testcase></testsuite>'
        )
    )
    assert (results.totals.passed, results.totals.failed) == (1, 1)
    assert "'liar' claims 3 failures and errors, its cases show 1" in results.files[0].note


def test_true_counters_are_not_worth_a_note(read: Read) -> None:
    results = read(
        '<testsuites tests="4" failures="1" errors="1">'
        + suite(
            '<testcase name="a"/><testcase name="b"><failure/></testcase>'
            + suite('<testcase name="c"><error/></testcase><testcase name="d"/>', 'name="t" tests="2" errors="1"'),
            'name="s" tests="4" failures="1" errors="1"',
        )
        + "</testsuites>"
    )
    assert results.files[0].note == ""


def test_a_suite_that_holds_fewer_tests_than_it_claims_is_noted(read: Read) -> None:
    results = read(suite('<testcase name="a"/>', 'name="s" tests="2"'))
    assert "'s' claims 2 tests, it holds 1" in results.files[0].note


def test_a_case_within_a_case_is_not_lost(read: Read) -> None:
    results = read(
        suite(
            '<testcase name="outer"><testcase name="inner"><failure/></testcase><error/></testcase><testcase name="z"/>'
        )
    )
    assert outcomes(results) == {"outer": "error", "inner": "failed", "z": "passed"}


def test_fast_and_slow_cases_keep_their_order(read: Read) -> None:
    body = "".join(
        f'<testcase name="t{number}">{"<failure/>" if number % 3 == 0 else ""}</testcase>' for number in range(50)
    )
    results = read(suite(body))
    assert [case.name for case in cases(results)] == [f"t{number}" for number in range(50)]
    assert results.totals.failed == 17


def test_an_empty_root_holds_no_case_and_says_so(read: Read) -> None:
    results = read("<testsuites/>")
    assert results.totals.total == 0
    assert results.files[0].note == "it holds no test case"


def test_names_beyond_ascii_and_with_references_are_read(read: Read) -> None:
    results = read(suite('<testcase name="größe &lt;&#x1F600;&gt; &#10;x"/>'))
    assert cases(results)[0].name == "größe <😀> ␊x"


RERUNS = (
    '<testsuite name="s" {}><testcase name="a"/><testcase name="b" time="3"><flakyFailure message="no" time="1.5"/>'
    '<flakyError time="0.5"/></testcase><testcase name="c"><failure/><rerunFailure time="2"/></testcase></testsuite>'
)


@pytest.mark.parametrize("counters", ['tests="3" failures="1"', 'tests="6" failures="2"', 'tests="6" failures="4"'])
def test_counters_that_count_reruns_are_no_lie(tmp_path: Path, counters: str) -> None:
    (tmp_path / "r.xml").write_text(RERUNS.format(counters))
    with read_results(["r.xml"], workspace=tmp_path) as results:
        assert results.files[0].note == ""


@pytest.mark.parametrize("counters", ['tests="7"', 'tests="3" failures="5"', 'tests="3" failures="0"'])
def test_counters_that_reruns_do_not_explain_get_a_note(tmp_path: Path, counters: str) -> None:
    (tmp_path / "r.xml").write_text(RERUNS.format(counters))
    with read_results(["r.xml"], workspace=tmp_path) as results:
        assert "counters disagree" in results.files[0].note


def test_the_durations_of_earlier_attempts_are_read(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(RERUNS.format(""))
    with read_results(["r.xml"], workspace=tmp_path) as results:
        (case,) = results.flaky
        assert [attempt.duration for attempt in case.attempts] == [1.5, 0.5]
        assert case.duration == 3.0


@pytest.mark.parametrize(
    "end",
    ["<!-- cut", "<", "</", "<!", "<!--", "<![CDATA", "<?", "<?pi", "<!DOCTYPE x", "<!-- a <!-- b -->", "<?a <?b ?>"],
)
def test_a_file_that_ends_within_markup_is_not_complete(tmp_path: Path, end: str) -> None:
    start = '<testsuite name="s"><testcase name="a"/><testcase name="b"><system-out>\x01</system-out></testcase>'
    (tmp_path / "r.xml").write_text(f"{start}</testsuite>{end}")
    with read_results(["r.xml"], workspace=tmp_path) as results:
        assert (results.files[0].incomplete, results.totals.passed) == (True, 2)


def test_what_an_unclosed_comment_swallows_is_not_called_recovered(tmp_path: Path) -> None:
    red = '<testcase name="b"><failure/></testcase>'
    for opening in ("<!-- ", "<? "):
        (tmp_path / "r.xml").write_text(f'<testsuite name="s"><testcase name="a"/>{opening}{red}</testsuite>')
        with read_results(["r.xml"], workspace=tmp_path) as results:
            assert results.files[0].incomplete


def test_a_log_in_front_of_the_document_may_hold_tags(tmp_path: Path) -> None:
    xml = '<?xml version="1.0"?>\n<testsuite name="s"><testcase name="a"/><testcase name="b"><failure/></testcase>'
    for text in (xml, xml.partition("\n")[2]):
        (tmp_path / "r.xml").write_text(f"npm WARN x <b> & <i\n{text}</testsuite>\n")
        with read_results(["r.xml"], workspace=tmp_path) as results:
            assert (results.totals.passed, results.totals.failed) == (1, 1)
            assert (results.files[0].state, results.files[0].incomplete) == (FileState.RECOVERED, False)
