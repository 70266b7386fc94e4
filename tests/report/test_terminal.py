"""What people see on a terminal and in a log."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import strategies as st

from ci_bridge.models import BuildContext, FileState, InputFile, Judgement, Receipt, Report, RunState, Verdict
from ci_bridge.report import print_terminal
from tests.report.builders import MemoryResults, baseline, failed, judged, passed, report_of, rich_report
from tests.report.test_escape import FORBIDDEN, LINE_ENDS, NASTY, given
from tests.report.test_markdown import hostile_report

PATTERNS = (r"section_start:\d+",)


def printed(report: Report, encoding: str = "utf-8", *, width: int = 80, color: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    print_terminal(report, console_width=width, color=color, stream=stream, patterns=PATTERNS)
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode(encoding)


def test_the_verdict_the_counts_and_the_reasons_are_there() -> None:
    text = printed(rich_report())
    for part in (
        "✘ 1 new failure · 1 already failing on main · 1 flaky · 1 fixed",
        "Test results · compared with main@a1b2c3d",
        "out/cut.xml",
        "ends in the middle of a case",
        "tests/test_cart.py::test_total",
        "AssertionError: 41 != 42",
        "assertion · first seen in this pull request · ▁▁▁▁█",
        "│     assert 41 == 42",
        "flaked in 7 of the last 200 runs",
        "Known failures (1)",
        "tests.test_shop::test_ok_1",
        "1.2 s → 4.9 s (median of 30 runs)",
        "no token: set CI_BRIDGE_API_TOKEN",
        "report  https://ci.example.com/report.html",
    ):
        assert part in text
    assert "\x1b" not in text


def test_known_failures_are_counted_and_not_listed() -> None:
    report = report_of([failed("test_old")], [judged(failed("test_old"), Verdict.KNOWN)])
    assert "Known failures (1)" in printed(report)
    assert "test_old" not in printed(report)


@pytest.mark.parametrize("width", [40, 80, 132])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    cases = [failed("test_" + "long" * 60, message="word " * 80, details="x" * 300)]
    receipts = (Receipt(False, "", "https://ci.test/" + "a" * 120, "because " * 20, "comment", "failed"),)
    assert max(map(len, printed(report_of(cases, receipts=receipts), width=width).split("\n"))) <= width


def test_colours_are_used_only_where_wanted() -> None:
    coloured = printed(rich_report(), color=True)
    assert "\x1b[1;31m" in coloured
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).split("\n")] == [
        line.rstrip() for line in printed(rich_report()).split("\n")
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_the_signs_gets_ascii(encoding: str) -> None:
    text = printed(rich_report(), encoding)
    assert "FAIL 1 new failure | 1 already failing on main" in text
    assert "____#" in text
    assert text.isascii()


def test_names_that_an_ascii_terminal_cannot_say_are_spelled() -> None:
    assert r"test_h\xe9llo_\u65e5" in printed(report_of([failed("test_héllo_日")]), "ascii")


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (report_of([passed()]), "✔ 1 test passed"),
        (report_of([], state=RunState.NO_RESULTS), "! no test results"),
        (
            report_of(
                MemoryResults([passed()], files=(InputFile("b.xml", "", FileState.UNREADABLE, 0, "not XML"),)),
                state=RunState.ERROR,
            ),
            "! 1 file could not be read · 1 test passed",
        ),
    ],
)
def test_every_state_has_its_own_first_line(report: Report, text: str) -> None:
    assert printed(report).lstrip("\n").split("\n")[0] == text


@given(NASTY.filter(lambda text: "\x1f" not in text), st.sampled_from(["utf-8", "ascii"]))
def test_no_data_runs_a_command_or_moves_the_cursor(text: str, encoding: str) -> None:
    for line in printed(hostile_report(text), encoding, width=40).split("\n"):
        assert not FORBIDDEN.search(line)
        assert not any(char in line for char in LINE_ENDS)
        assert not re.search(r"##[A-Za-z\[]", line)
        assert not re.match(r"\s*::", line)


def test_a_command_that_wrapping_brings_to_the_start_of_a_line_is_broken() -> None:
    name = "x" * 38 + "::set-output name=a::b"
    lines = printed(report_of([failed(name, file="")]), width=40).split("\n")
    assert not any(re.match(r"\s*::", line) for line in lines)
    assert any(re.match(r"\s*:\\:set", line) for line in lines)


def test_log_commands_of_the_platforms_are_broken() -> None:
    assert "section_start:12" not in printed(report_of([failed("section_start:12:x")]))


def test_a_receipt_names_what_carried_it() -> None:
    receipt = Receipt(True, "summary", "out/summary.md", "no token", "comment", "degraded")
    assert "degraded: comment (to the summary) · no token" in printed(report_of([passed()], receipts=(receipt,)))


def test_what_was_sent_is_one_line_and_all_else_is_said_once() -> None:
    url = f"https://code.example/{'x' * 100}/report.html"
    receipts = (
        *(Receipt(True, name, url, "", name, "sent") for name in ("files", "outputs", "history")),
        *(Receipt(False, "", None, "no token", name, "unsupported") for name in ("run", "annotations")),
    )
    report = report_of([passed()], receipts=receipts)
    lines = printed(report).split("\n")
    assert "sent: files, outputs, history" in lines and "unsupported: run, annotations · no token" in lines
    assert not any(url in line for line in lines)
    whole = io.StringIO()
    print_terminal(report, stream=whole, every_receipt=True)
    assert any(url in line for line in whole.getvalue().split("\n"))  # in one piece, though wider than the page


def test_long_lines_of_a_trace_are_cut_so_that_the_bar_stays_whole() -> None:
    lines = printed(report_of([failed(details="x" * 300 + "\n\n" + "last")])).split("\n")
    assert [line for line in lines if "│" in line] == [f"    │ {'x' * 73}…", "    │ last"]


def test_what_is_not_printed_is_said_to_be_in_the_report() -> None:
    cases = [failed(f"test_{number}") for number in range(30)]
    new = [judged(case) for case in cases]
    report = report_of(cases, new, links={"json": "out/report.json", "html": "/work/out/report.html"})
    assert "  … and 10 more, see /work/out/report.html\n" in printed(report)
    assert "  … and 10 more\n" in printed(report_of(cases, new))


def test_where_nothing_was_read_nothing_was_compared() -> None:
    results = MemoryResults([], files=(), notes=["nothing matches 'x'"])
    context = BuildContext("ci", pipeline_name="Tests", job_name="unit")
    text = printed(
        report_of(results, judgement=Judgement(baseline=baseline()), state=RunState.NO_RESULTS, context=context)
    )
    assert "Test results · Tests / unit\n" in text and "compared" not in text
    assert "Problems (1)\n  nothing matches 'x'\n" in text
