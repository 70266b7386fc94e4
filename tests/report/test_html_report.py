"""The HTML page: self-contained, escaped, useful without JavaScript, quick with very many tests."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.models import BuildContext, Judgement, Report, RunState, Verdict
from ci_bridge.report import write_html
from ci_bridge.report.templates import template_text
from tests.report.builders import (
    ManyResults,
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
from tests.report.test_escape import FORBIDDEN, NASTY, given
from tests.report.test_markdown import hostile_report


class Page(HTMLParser):
    """The tags, attributes, texts, scripts and styles of a page."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.pieces: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in self.raw:
            self.raw[tag].append("")
        if tag not in ("meta", "input", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "path"):
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]][-1] += data
        else:
            self.text += data
            self.pieces.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def html_of(report: Report, **options: Any) -> str:
    stream = io.StringIO()
    write_html(report, stream, **options)
    return stream.getvalue()


def page_of(report: Report, **options: Any) -> Page:
    return Page(html_of(report, **options))


def rows_of(page: Page) -> list[list[Any]]:
    blocks = [json.loads(text) for text in page.raw["script"][:-1]]
    return [
        [block["places"][block["rows"][at]], *block["rows"][at + 1 : at + 4]]
        for block in blocks
        for at in range(0, len(block["rows"]), 4)
    ]


def test_the_page_tells_everything_without_its_script() -> None:
    words = page_of(rich_report()).words
    for part in (
        "1 new failure · 1 already failing on main · 1 flaky · 1 fixed",
        "Passed 20 +2",
        "Time 7.5 s +25 %",
        "out/cut.xml",
        "tests/test_cart.py::test_total",
        "AssertionError: 41 != 42",
        "first seen in this pull request",
        "assert 41 == 42",
        "tests/test_cart.py::test_tax",
        "flaked in 7 of the last 200 runs",
        "tests.test_shop::test_ok_1",
        "1.2 s → 4.9 s (median of 30 runs)",
        "2 failures, first seen 2026-03-04, in 3 earlier runs",
        "rows_per_second 1234.5 1/s",
        "platform Linux-6.1-x86_64",
        "Search and filters need JavaScript",
        "passed tests.test_shop::test_ok_0 250 ms",
    ):
        assert part in words


def test_the_policy_allows_nothing_but_our_style_and_script() -> None:
    page = page_of(rich_report())
    (policy,) = (meta["content"] or "" for meta in page.all("meta") if meta.get("http-equiv"))
    digests = {
        kind: base64.b64encode(hashlib.sha256(page.raw[kind][-1].encode()).digest()).decode()
        for kind in ("style", "script")
    }
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digests['style']}'; script-src 'sha256-{digests['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "unsafe" not in policy


def test_the_page_needs_no_network_and_no_inline_handlers() -> None:
    page = page_of(rich_report())
    assert not {"img", "link", "iframe", "object", "embed", "form", "base", "video", "audio"} & {
        t for t, _ in page.tags
    }
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("src", "style", "srcset") for name in attributes), tag
    assert not re.search(r"url\(|@import|https?://", template_text("report.css"))
    assert not re.search(r"https?://|\beval\b|innerHTML|insertAdjacentHTML|document\.write", template_text("report.js"))


def test_every_case_is_embedded_with_its_verdict_and_the_way_to_its_details() -> None:
    page = page_of(rich_report())
    rows = {name: (place, code, seconds) for place, name, code, seconds in rows_of(page)}
    assert len(rows) == 24
    assert rows["test_ok_0"] == ("tests.test_shop", "p", 0.25)
    assert rows["test_ok_1"][1] == "px"
    assert rows["test_windows"][1] == "s"
    ids = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    for name, letters in (("test_total", "fn"), ("test_tax", "fk"), ("test_reconnect", "py")):
        code = rows[name][1]
        assert code.startswith(letters)
        assert f"case-{code[2:]}" in ids


def test_filters_add_up() -> None:
    buttons = re.findall(r'data-filter="(\w*)"[^>]*>(\w+) ([0-9]+)<', html_of(rich_report()))
    counts = {title: int(number) for _, title, number in buttons}
    assert counts["All"] == counts["Passed"] + counts["Failed"] + counts["Flaky"] + counts["Skipped"] == 24
    assert counts["Failed"] == counts["New"] + counts["Known"]


def test_known_failures_are_folded_and_new_ones_are_open() -> None:
    source = html_of(rich_report())
    known = source[source.index('<section class="known"') :]
    assert known.index("<details>") < known.index("test_tax")
    assert re.search(r'<details class="entry" id="case-0" open>', source)


def test_history_is_a_picture_with_a_description() -> None:
    assert 'aria-label="failed in 2 of the last 5 runs"' in html_of(rich_report())


@pytest.mark.parametrize("state", list(RunState))
def test_an_empty_run_has_its_own_page(state: RunState) -> None:
    page = page_of(report_of([], state=state))
    assert page.all("header") == [{"class": str(state)}]
    assert "All tests" not in page.text


def test_a_run_whose_failures_are_all_known_does_not_look_red() -> None:
    report = report_of([failed()], [judged(failed(), Verdict.KNOWN)])
    assert page_of(report).all("header") == [{"class": "known"}]


def test_what_the_page_cannot_hold_is_counted_and_located() -> None:
    others = [failed(str(n)) for n in range(5)]
    report = report_of(ManyResults(3_000, others), links={"json": "out/report.json"})
    page = page_of(report, embedded=1_000)
    assert "2\u202f000 tests more than this page can hold are in out/report.json." in page.text
    codes = [row[2] for row in rows_of(page)]
    assert codes.count("p") == 1_000
    assert sum(code.startswith("fu") for code in codes) == 5


def test_very_many_failures_are_cut_with_a_count() -> None:
    cases = [failed(f"test_{n}", details="x" * 30_000) for n in range(1_500)]
    source = html_of(report_of(cases, [judged(case) for case in cases]))
    assert "and 500 more in report.json" in source
    assert "characters more]" in source
    assert len(source) < 12_000_000


def test_a_large_page_is_written_in_small_pieces() -> None:
    class Watching(io.StringIO):
        longest = 0

        def write(self, text: str, /) -> int:
            self.longest = max(self.longest, len(text))
            return len(text)

    stream = Watching()
    write_html(report_of(ManyResults(100_000)), stream)
    assert stream.longest < 200_000


@given(NASTY.filter(lambda text: "\x1f" not in text))
def test_no_data_becomes_markup(text: str) -> None:
    source = html_of(hostile_report(text))
    source.encode()
    page = Page(source)
    allowed = {tag for tag, _ in Page(html_of(rich_report(shard="x"))).tags}
    assert {tag for tag, _ in page.tags} <= allowed
    assert len(page.raw["script"]) == 2
    assert not FORBIDDEN.search(page.text)
    assert "<!--" not in source
    for attributes in page.all("a"):
        assert re.match(r"https?://|(?![a-z]+:|//)", attributes["href"] or "", re.IGNORECASE)
    for row in rows_of(page):
        assert row[2][0] in "pfes"


def test_names_in_the_embedded_list_are_what_was_read(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script> & \u2028 <!--"
    page = page_of(report_of([passed(name), skipped(), flaky()]))
    assert rows_of(page)[0][1] == name


def test_the_bar_shows_small_parts_too() -> None:
    report = report_of(ManyResults(10_000, [failed()]), judgement=Judgement(baseline=baseline()))
    widths = [float(rect["width"] or 0) for rect in page_of(report).all("rect") if "fill" in (rect["class"] or "")]
    assert min(widths) > 5
    assert sum(widths) == pytest.approx(1000, abs=0.1)


def test_files_with_problems_are_listed_first() -> None:
    report = rich_report()
    assert isinstance(report.results, MemoryResults)
    source = html_of(report)
    files = source[source.index("Files read") :]
    assert files.index("out/cut.xml") < files.index("out/junit.xml")


def test_commit_pull_request_and_lines_of_code_are_links() -> None:
    web = "https://git.example/acme/shop"
    report = rich_report(
        context=BuildContext("ci", commit_sha="f" * 40, pr_number="42", job_name="unit"),
        links={"commit": f"{web}/commit/ffff", "pull_request": f"{web}/pull/42"},
        sources={failed().identity: ("test_cart.py:12", f"{web}/blob/ffff/tests/test_cart.py#L12")},
    )
    source = html_of(report)
    for text, url in {
        "fffffff": f"{web}/commit/ffff",
        "#42": f"{web}/pull/42",
        "test_cart.py:12": f"{web}/blob/ffff/tests/test_cart.py#L12",
    }.items():
        assert re.search(f'<a [^>]*href="{re.escape(url)}" rel="noopener noreferrer">{re.escape(text)}</a>', source)
    assert source.count("blob/ffff") == 1 and "Test results · unit" in source
    line = source[source.index("tests/test_cart.py::test_total") :]
    assert line.index('class="evidence"') < line.index("<svg") < line.index("</summary>")


def test_where_nothing_was_read_there_are_no_zeros_and_the_sign_is_not_red() -> None:
    for state in (RunState.ERROR, RunState.NO_RESULTS):
        results = MemoryResults([], files=(), notes=["nothing matches 'x'"])
        source = html_of(report_of(results, state=state, judgement=Judgement(baseline=baseline())))
        assert '<dl class="tiles">' not in source and "Compared with" not in source and "All tests" not in source
        assert f'<header class="{state}">' in source and "all files" not in source
    style = template_text("report.css")
    assert re.search(r"header\.error, [^{]*\{ border-top-color: var\(--flaky-fill\)", style)
    assert ".error .disc, .no_results .disc, .known .disc { fill: var(--flaky-fill)" in style
