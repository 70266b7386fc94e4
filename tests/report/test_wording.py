"""The verdict in words."""

from __future__ import annotations

import pytest

from ci_bridge.models import FileState, InputFile, Judgement, RunState, Totals, Verdict, identity_of
from ci_bridge.report import headline, status_description
from ci_bridge.report.wording import (
    all_judged,
    count_text,
    delta_text,
    duration_delta_text,
    duration_text,
    emoji,
    spark_text,
    tally,
)
from tests.report.builders import (
    MemoryResults,
    baseline,
    failed,
    flaky,
    judged,
    passed,
    report_of,
    rich_report,
    skipped,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.0001, "<1 ms"), (0.34, "340 ms"), (0.9996, "1.0 s"), (1.24, "1.2 s"), (9.97, "10 s"),
        (41.2, "41 s"), (59.7, "1m 00s"), (161, "2m 41s"), (3599.6, "1h 00m"),
        (3720, "1h 02m"), (7.2e6, "2\u202f000h 00m"),
    ],
)  # fmt: skip
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_numbers_have_narrow_thousands() -> None:
    assert count_text(1215) == "1\u202f215"
    assert delta_text(1215, 15) == "+1\u202f200"
    assert delta_text(3, 5) == "−2"
    assert delta_text(3, 3) == delta_text(3, None) == ""


def test_durations_compare_in_per_cent_or_factors() -> None:
    assert duration_delta_text(104, 100) == "+4 %"
    assert duration_delta_text(90, 100) == "−10 %"
    assert duration_delta_text(400, 100) == "×4.0"
    assert duration_delta_text(100.1, 100) == duration_delta_text(1, None) == duration_delta_text(1, 0.0) == ""


def test_sparks_show_passes_failures_skips_and_absence() -> None:
    assert spark_text("PFS-") == "▁█▂·"
    assert len(spark_text("P" * 500)) == 40


def test_the_headline_names_new_known_and_flaky_failures() -> None:
    assert headline(rich_report()) == "1 new failure · 1 already failing on main · 1 flaky · 1 fixed"


def test_a_green_run_says_how_many_passed() -> None:
    assert headline(report_of([passed(), passed("b"), skipped()])) == "2 tests passed · 1 skipped"
    assert headline(report_of([skipped()])) == "no test ran · 1 skipped"


def test_known_failures_alone_are_no_news() -> None:
    report = report_of([failed(), passed()], [judged(failed(), Verdict.KNOWN)])
    assert headline(report) == "no new failures · 1 already failing"
    assert emoji(report) == "🟡"


def test_a_new_failure_beside_known_ones_is_red() -> None:
    report = report_of([failed(), failed("b")], [judged(failed("b")), judged(failed(), Verdict.KNOWN)])
    assert emoji(report) == "❌"


def test_failures_that_nobody_judged_are_counted_as_such() -> None:
    report = report_of([failed(), failed("b"), flaky()])
    assert headline(report) == "2 failures with nothing to compare to · 1 flaky"
    assert emoji(report) == "❌"


def test_flaky_cases_that_failed_are_told_from_those_that_passed() -> None:
    report = report_of([failed(), flaky()], [judged(failed(), Verdict.FLAKY), judged(flaky(), Verdict.FLAKY)])
    assert headline(report) == "no new failures · 1 flaky failure · 1 flaky"


def test_the_tally_adds_up_where_only_some_failures_were_judged() -> None:
    report = report_of([failed(str(n)) for n in range(5)], [judged(failed("0")), judged(failed("1"), Verdict.KNOWN)])
    counts = tally(report)
    assert (counts.new, counts.known, counts.unjudged) == (1, 1, 3)
    assert counts.new + counts.known + counts.unjudged + counts.flaky_failed == report.results.totals.red


def test_an_unreadable_file_comes_first() -> None:
    files = (InputFile("a.xml", "junit", FileState.READ, 1), InputFile("b.xml", "", FileState.UNREADABLE, 0, "not XML"))
    report = report_of(MemoryResults([passed()], files=files), state=RunState.ERROR)
    assert headline(report) == "1 file could not be read · 1 test passed"
    assert emoji(report) == "⚠️"
    assert status_description(report, "minimal") == "1 file could not be read"
    assert status_description(report, "basic") == "1 file could not be read · 1 passed"


def test_no_results_is_neither_green_nor_red() -> None:
    report = report_of([], state=RunState.NO_RESULTS)
    assert headline(report) == "no test results"
    assert emoji(report) not in ("✅", "❌")


def test_dropped_cases_are_named() -> None:
    report = report_of(MemoryResults([passed()], dropped=7), state=RunState.ERROR)
    assert headline(report).startswith("7 tests beyond the cap left out")


def test_a_running_run_says_so() -> None:
    report = report_of([], state=RunState.PENDING)
    assert status_description(report) == headline(report) == "tests are running"


def test_status_formats_differ_in_how_much_they_say() -> None:
    report = rich_report()
    assert status_description(report, "minimal") == "1 new failure"
    assert status_description(report, "basic") == "20 passed, 2 failed, 1 flaky, 1 skipped"
    assert status_description(report, "detailed").endswith("20 passed, 2 failed, 1 flaky, 1 skipped · in 7.5 s")


@pytest.mark.parametrize("wanted", ["minimal", "basic", "detailed"])
@pytest.mark.parametrize("limit", [1, 10, 40, 140])
def test_a_status_fits_and_is_one_visible_line(wanted: str, limit: int) -> None:
    cases = [failed()]
    judgement = Judgement((judged(cases[0], Verdict.KNOWN),), baseline=baseline(branch="a\n\u202eb\x1b[31m" * 9))
    text = status_description(report_of(cases, judgement=judgement), wanted, limit)
    assert 0 < len(text) <= limit
    assert text.isprintable()


def test_fixed_tests_are_good_news_in_a_green_run() -> None:
    judgement = Judgement(fixed=(identity_of((), "c", "", "x"),), baseline=baseline(totals=Totals(failed=1)))
    assert headline(report_of([passed()], judgement=judgement)) == "1 test passed · 1 fixed"


def test_cases_that_the_judge_left_out_are_still_told() -> None:
    report = report_of([failed(), failed("b"), flaky()], [judged(failed())])
    assert [(one.case.name, one.verdict) for one in all_judged(report)] == [
        ("test_total", Verdict.NEW),
        ("b", Verdict.UNJUDGED),
        ("test_reconnect", Verdict.FLAKY),
    ]
