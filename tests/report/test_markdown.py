"""The comment, the summary and report.md."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st

from ci_bridge.errors import ConfigError
from ci_bridge.models import (
    BuildContext,
    Case,
    Evidence,
    FailureGroup,
    FileState,
    InputFile,
    JudgedCase,
    Judgement,
    Outcome,
    Report,
    RunState,
    Totals,
    Verdict,
)
from ci_bridge.report import render_comment, render_markdown, render_summary
from tests.report.builders import MemoryResults, baseline, failed, judged, passed, report_of, rich_report, skipped
from tests.report.test_escape import NASTY, given, tags_of

OURS = {
    "p", "h2", "h3", "table", "thead", "tbody", "tr", "th", "td", "strong", "b", "code", "pre", "ul", "li", "a", "sub",
    "details", "summary",
}  # fmt: skip


def many_failures(number: int, details: int = 500) -> Report:
    cases = [failed(f"test_{n}", details=f"trace {n}\n" + "x" * details) for n in range(number)]
    known = [failed(f"test_known_{n}") for n in range(number)]
    return report_of(
        [*cases, *known],
        judgement=Judgement(
            (*(judged(case) for case in cases), *(judged(case, Verdict.KNOWN) for case in known)),
            baseline=baseline(),
        ),
        links={"report": "https://ci.example.com/report.html"},
    )


def test_the_marker_is_the_first_line_and_the_verdict_the_second() -> None:
    first, second, *_ = render_comment(rich_report(), marker_key="unit").split("\n")
    assert first == "<!-- ci-bridge:unit -->"
    assert second == "### ❌ 1 new failure · 1 already failing on <code>main</code> · 1 flaky · 1 fixed"


def test_the_table_adds_up_and_shows_what_changed() -> None:
    body = render_comment(rich_report())
    assert "| Passed | Failed | Flaky | Skipped | Total | Time |" in body
    assert "| 20 (+2) | 2 | 1 (+1) | 1 | 24 (+3) | 7.5 s (+25 %) |" in body
    assert 20 + 2 + 1 + 1 == 24


def test_a_shard_has_its_name_in_the_table() -> None:
    body = render_comment(rich_report(shard="ubuntu / 3.12"))
    assert "| | Passed |" in body
    assert "| <code>ubuntu &#47; 3&#46;12</code> | 20 (+2) |" in body


@pytest.mark.parametrize("template", ["default", "detailed"])
def test_every_section_shows_its_evidence(template: str) -> None:
    body = render_comment(rich_report(), template=template)
    for text in (
        "first seen in this pull request · ▁▁▁▁█",
        "flaked in 7 of the last 200 runs",
        "failing since 2026-02-01 on <code>main&#64;a1b2c3d</code>",
        "1.2 s → 4.9 s",
        "2 failures, first seen 2026-03-04, in 3 earlier runs",
        "<code>out&#47;cut&#46;xml</code> <code>ends in the middle of a case</code> · recovered",
        "compared with <code>main&#64;a1b2c3d</code>",
        "[full report](<https://ci.example.com/report.html>)",
        "assert 41 == 42",
    ):
        assert text in body


def test_templates_differ_in_how_much_they_say() -> None:
    minimal, default, detailed = (
        render_comment(rich_report(), template=name) for name in ("minimal", "default", "detailed")
    )
    assert len(minimal) < len(default) < len(detailed)
    assert "assert 41" not in minimal
    assert "test&#95;total" in minimal
    assert "rows&#95;per&#95;second" in detailed
    assert "3&#46;12&#46;1" in detailed
    assert "rows" not in default


def test_what_the_options_switch_off_is_not_shown() -> None:
    report = report_of([failed()], [judged(failed())])
    body = render_comment(report, template="detailed")
    assert not any(word in body for word in ("Metrics", "System", "Same cause"))


def test_a_green_unchanged_run_is_one_line() -> None:
    report = report_of(
        [passed(), skipped()], judgement=Judgement(baseline=baseline(totals=Totals(passed=1, skipped=1, duration=0.25)))
    )
    marker, line, end = render_comment(report).split("\n")
    assert marker.startswith("<!--")
    assert line.startswith("✅ **1 test passed · 1 skipped** · 250 ms · compared with <code>main")
    assert "<sub>" not in line and "1 file" not in line
    assert end == ""


def test_a_green_run_that_fixed_something_is_not_just_one_line() -> None:
    report = report_of([passed()], judgement=Judgement(fixed=(passed().identity,), baseline=baseline()))
    assert "**Fixed**" in render_comment(report) or "<b>Fixed</b>" in render_comment(report)


def test_no_results_and_unreadable_files_are_said_out_loud() -> None:
    assert "### ⚠️ No test results" in render_comment(report_of([], state=RunState.NO_RESULTS))
    files = (InputFile("bad.xml", "", FileState.UNREADABLE, 0, "not well-formed (line 3)"),)
    body = render_comment(report_of(MemoryResults([passed()], files=files), state=RunState.ERROR))
    assert "### ⚠️ 1 file could not be read" in body
    assert "bad&#46;xml" in body
    assert "✅" not in body


@pytest.mark.parametrize("limit", [65_536, 20_000, 5_000, 2_000, 1_000, 400, 200, 80])
@pytest.mark.parametrize("unit", ["characters", "bytes"])
@pytest.mark.parametrize("template", ["default", "detailed", "minimal"])
def test_a_comment_fits_its_budget(limit: int, unit: str, template: str) -> None:
    body = render_comment(many_failures(120), template=template, limit=limit, unit=unit, marker_key="k")
    assert (len(body) if unit == "characters" else len(body.encode())) <= limit
    assert body.count("<details>") == body.count("</details>")
    assert "120 new" in body


def test_the_least_valuable_gives_way_first_and_a_line_says_what_is_missing() -> None:
    body = render_comment(many_failures(30), limit=6_000)
    assert body.count("test&#95;known") == 0
    assert body.count("<code>tests&#47;test&#95;cart&#46;py&#58;&#58;test&#95;") > 10
    assert "30 known failures" in body
    assert "long texts; see the [full report](<https://ci.example.com/report.html>)." in body


def test_what_is_shown_and_what_is_left_out_add_up() -> None:
    body = render_comment(many_failures(100), limit=8_000)
    shown = len(re.findall(r"test&#95;[0-9]+</code>", body))
    missing = re.search(r"Left out here: ([0-9]+) new failures", body)
    assert missing
    assert shown + int(missing[1]) == 100


def test_a_budget_that_cannot_hold_the_verdict_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot hold"):
        render_comment(rich_report(), limit=10)


def test_the_summary_and_the_file_hold_more_than_the_comment() -> None:
    report = many_failures(200)
    assert len(render_comment(report)) < len(render_summary(report)) <= len(render_markdown(report))
    assert "<!--" not in render_summary(report)
    assert len(render_summary(report, limit_bytes=9_000).encode()) <= 9_000
    assert render_markdown(report).count("test&#95;known") == 200


def hostile_report(text: str) -> Report:
    case = Case(f"n{text}", text, (text,), text, 3, Outcome.FAILED, 1.0, text, text, text, text, text)
    other = Case(f"m{text}", "c", outcome=Outcome.FAILED, message=text, details=text)
    files = (InputFile(text, "junit", FileState.UNREADABLE, 0, text),)
    return report_of(
        MemoryResults([case, other, passed(text)], files=files, notes=(text,)),
        judgement=Judgement(
            (JudgedCase(case, Verdict.NEW, Evidence(text, spark="PF"), text, text), judged(other, Verdict.KNOWN, text)),
            fixed=(passed(text).identity,) if "\x1f" not in text else (),
            baseline=baseline(branch=text or None, commit_sha=text),
        ),
        title=text,
        shard=text,
        system_info={text: text},
        links={"report": text},
    )


@given(NASTY.filter(lambda text: "\x1f" not in text), st.sampled_from(["default", "minimal", "detailed"]))
def test_no_data_breaks_out_of_a_comment(text: str, template: str) -> None:
    body = render_comment(hostile_report(text), template=template)
    page = tags_of(body.split("\n", 1)[1])
    assert {tag for tag, _ in page.tags} <= OURS
    assert not page.comments
    assert len(re.findall("<!--", body)) == 1
    for tag, attributes in page.tags:
        assert set(attributes) <= ({"href"} if tag == "a" else {"class", "style"})
        assert tag != "a" or re.match("https?://", attributes["href"] or "")
    outside = page.text_outside_code
    assert not re.search(r"@|#[0-9]|://|\bwww\.|!\[|fixes #", outside)


@given(NASTY.filter(lambda text: "\x1f" not in text))
def test_no_data_breaks_out_of_a_summary(text: str) -> None:
    page = tags_of(render_summary(hostile_report(text)))
    assert {tag for tag, _ in page.tags} <= OURS
    assert not page.comments


def test_a_custom_template_gets_the_same_values_escaped(tmp_path: Path) -> None:
    template = tmp_path / "mine.md.j2"
    template.write_text(
        "# {{ emoji }} {{ headline }}\n\n"
        "{% for section in sections %}{% for entry in section.entries %}* {{ entry.name }}\n{% endfor %}{% endfor %}\n"
        "total {{ counts[4].text }}, raw {{ sections[0].entries[0].name|striptags }}\n",
        encoding="utf-8",
    )
    report = rich_report()
    assert isinstance(report.results, MemoryResults)
    report.results.files = (InputFile("<img> @all", "junit", FileState.UNREADABLE),)
    body = render_comment(report, template=template)
    assert body.startswith("<!-- ci-bridge:report -->\n# ❌ 1 file could not be read · 1 new failure")
    assert "* <code>tests&#47;test&#95;cart&#46;py&#58;&#58;test&#95;total</code>" in body
    assert "total 24, raw <code>&#60;img&#62; &#64;all</code>" in body


def test_a_custom_template_that_is_too_long_falls_back_to_the_verdict(tmp_path: Path) -> None:
    template = tmp_path / "long.md"
    template.write_text("x" * 1_000, encoding="utf-8")
    body = render_comment(rich_report(), template=str(template), limit=200)
    assert "### ❌" in body
    assert len(body) <= 200


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("one\n{% for x in %}\n", "line 2"),
        ("one\ntwo\n{{ nothing.at.all }}\n", "line 3"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "line 1"),
        ("{{ 1 / 0 }}", "line 1"),
        ("\n{{ emoji.nope() }}", "line 2"),
        ("{% include 'missing.j2' %}", "line 1"),
        ("hi\n/merge\n", "line 2"),
    ],
)
def test_a_bad_custom_template_is_a_configuration_error_with_its_place(tmp_path: Path, source: str, place: str) -> None:
    template = tmp_path / "mine.md"
    template.write_text(source, encoding="utf-8")
    with pytest.raises(ConfigError, match=place):
        render_comment(rich_report(), template=template)


def test_a_missing_or_binary_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.md"):
        render_comment(rich_report(), template=tmp_path / "nowhere.md")
    (tmp_path / "x.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        render_comment(rich_report(), template=tmp_path / "x.md")
    with pytest.raises(ConfigError, match="one of default, minimal, detailed"):
        render_comment(rich_report(), template="detialed")


def test_a_custom_template_cannot_plant_a_second_marker(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("<!-- ci-bridge:other -->\nhi\n", encoding="utf-8")
    body = render_comment(rich_report(), template=tmp_path / "x.md")
    assert len(re.findall("<!--", body)) == 1


def test_a_local_report_is_named_and_not_linked() -> None:
    body = render_comment(rich_report(links={"html": "out/report.html"}))
    assert "full report <code>out&#47;report&#46;html</code>" in body


def test_what_is_left_out_is_only_said_to_be_where_it_is() -> None:
    page = BuildContext("ci", build_url="https://ci.example.com/1", workspace="/work")
    report = replace(many_failures(30), context=page)
    places = {
        "; see the [full report](<https://ci.example.com/a/1>).": {
            "report": "https://ci.example.com/a/1", "summary": "https://ci.example.com/1", "html": "/work/out/r.html",
        },
        "; see the [build page](<https://ci.example.com/1>).": {
            "summary": "https://ci.example.com/1", "html": "/work/out/r.html",
        },
        "; see the full report <code>out&#47;r&#46;html</code>.": {"html": "/work/out/r.html"},
        "long texts.": {},
    }  # fmt: skip
    for told, links in places.items():
        body = render_comment(replace(report, links=links), limit=6_000)
        line = next(line for line in body.splitlines() if line.startswith("Left out here"))
        assert line.endswith(told), line
        footer = "full report" if "report" in links else "build page"
        assert f"[{footer}](<https://ci.example.com/" in body.splitlines()[-1]


def test_the_heading_begins_with_the_verdict_and_the_job_is_below() -> None:
    first, second = (rich_report(context=BuildContext("ci", job_name=job)) for job in ("unit", "<b>e2e</b>"))
    for body in (render_comment(first), render_comment(first, template="detailed"), render_summary(first)):
        heading = next(line for line in body.splitlines() if line.startswith("#"))
        assert re.fullmatch(r"###? ❌ 1 new failure · .*", heading) and "unit" not in heading
        assert "| <code>unit</code> | 20 (+2) |" in body and "<sub><code>unit</code> · " in body
    other = render_comment(second)
    assert "| <code>&#60;b&#62;e2e&#60;&#47;b&#62;</code> | 20 (+2) |" in other
    assert other != render_comment(first)
    titled = render_comment(replace(first, title="Nightly"))
    assert "### ❌ Nightly: 1 new failure" in titled
    green = report_of([passed()], judgement=Judgement(baseline=baseline()), context=first.context, title="Nightly")
    assert render_comment(green).splitlines()[1].startswith("✅ **Nightly: 1 test passed** (−2) · 250 ms · <code>unit")


def test_a_failure_links_its_line_of_code() -> None:
    case = failed()
    url = "https://github.com/acme/shop/blob/abc/tests/a%20%22b.py#L12"
    report = rich_report(sources={case.identity: ('a "b.py:12', url)})
    for body in (render_comment(report), render_summary(report)):
        assert f'<a href="{url}"><code>a &#34;b&#46;py&#58;12</code></a>' in body
        assert body.count("<a href=") == 1
    refused = rich_report(sources={case.identity: ("x:1", "javascript:alert(1)")})
    assert "<a href" not in render_comment(refused) and "javascript" not in render_comment(refused)


def test_where_nothing_was_read_there_are_no_zeros_and_nothing_was_compared() -> None:
    results = MemoryResults([], files=(), notes=["nothing matches 'x'"])
    report = report_of(results, judgement=Judgement(baseline=baseline()), state=RunState.NO_RESULTS)
    for body in (render_comment(report), render_summary(report)):
        assert "- <code>nothing matches &#39;x&#39;</code>\n" in body
        assert "all files" not in body and "compared with" not in body and "| 0 |" not in body


def test_with_very_many_failures_their_common_errors_come_first() -> None:
    def order(number: int) -> list[str]:
        report = many_failures(number)
        members = tuple(item.case.identity for item in report.judgement.judged)
        groups = (FailureGroup("AssertionError: # != #", "assertion", members),)
        body = render_comment(replace(report, judgement=replace(report.judgement, groups=groups)))
        assert "Same error" in body and len(body) <= 65_536
        return re.findall(r"(?:<b>|\*\*)(New failures|Known failures|Same error)", body)

    assert order(25) == ["New failures", "Known failures", "Same error"]
    assert order(300) == ["Same error", "New failures", "Known failures"]


def test_the_group_of_a_cause_lists_its_members() -> None:
    body = render_comment(rich_report(), template="detailed")
    assert "tests/test_cart.py::test_tax" in body


def test_remarks_on_files_do_not_make_a_green_run_loud() -> None:
    files = (
        InputFile("a.xml", "junit", FileState.READ, 1, "claims 2 tests, holds 1"),
        InputFile("notes.xml", "", FileState.IGNORED, 0, "not a test result"),
    )
    report = report_of(MemoryResults([passed()], files=files))
    assert render_comment(report).count("\n") == 2
    summary = render_summary(report)
    assert "Remarks on files" in summary
    assert "not a test result" in summary
    assert "claims 2 tests&#44; holds 1" in summary


def test_a_category_that_says_nothing_is_not_shown() -> None:
    body = render_comment(report_of([failed()], [judged(failed(), category="unknown")]))
    assert "unknown" not in body
