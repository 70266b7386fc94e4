"""Each escaper: nothing dangerous survives, nothing that was said is lost."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, settings
from hypothesis import given as given_by
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ci_bridge.errors import ConfigError
from ci_bridge.report import escape


def given(*strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Properties that a busy machine must not fail for being slow."""
    return lambda test: settings(max_examples=150, deadline=None, database=None)(given_by(*strategies)(test))


ANY_TEXT = st.text(st.characters(codec=None), max_size=80)
NASTY_PIECES = st.sampled_from(
    [
        "`", "```", "~~~~", "|", "*", "_", "[a](http://x.test)", "![i](http://x.test/i.png)",
        "<img src=x onerror=y>", "<script>", "</script>", "<!-- ci-bridge:report -->", "-->", "]]>", "&amp;",
        "&#64;", "@everyone", "#1", "fixes #1", "acme/shop#2", "www.evil.test", "https://evil.test/a", "a@b.test",
        "\n", "\r", "\r\n", "\n\n", "\n/merge", "\n    code", "\n# head", "\n- item", "\n> quote", "\n---\n", "\t",
        " ", "\x1b[31m", "\x1b]8;;http://x\x07", "\u202e", "\u200b", "\u2028", "\x85", "\x0b", "\x0c", "\ufeff",
        "\ud800", "\ufffe", "::error::x", " ::set-output name=a::b", "##[group]x", "##vso[task.complete]",
        "##teamcity[x]", "###[x]", "</details>", "</code>", "</pre>", "/close", "$$", "\\", "=1+1", "+1", "-1",
        "@SUM(1)", "h\xe9llo", "\u65e5\u672c", "\U0001f389", "word",
    ]
)  # fmt: skip
NASTY = st.one_of(ANY_TEXT, st.lists(NASTY_PIECES, max_size=12).map("".join))
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


class Tags(HTMLParser):
    """Collects the tags and the text of a piece of HTML."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.text_outside_code = ""
        self._depth = 0
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._depth += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag in ("code", "pre")

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        if not self._depth:
            self.text_outside_code += data


def tags_of(markdown: str) -> Tags:
    return Tags(MARKDOWN.render(markdown))


@given(NASTY)
def test_revealed_text_holds_no_unseen_character_and_stays_as_it_is_the_second_time(text: str) -> None:
    shown = escape.reveal(text)
    assert not FORBIDDEN.search(shown)
    assert escape.reveal(shown) == shown


def test_reveal_names_what_cannot_be_seen() -> None:
    assert escape.reveal("a\x1b[31mb\u202ec\u200b\ud800\U000e0041") == r"a\x1b[31mb\u202ec\u200b\ud800\U000e0041"
    assert escape.reveal("a\r\nb\rc\td") == "a\nb\nc\td"


@given(NASTY, st.integers(1, 50))
def test_a_folded_text_is_one_line_within_its_limit(text: str, limit: int) -> None:
    line = escape.fold(text, limit)
    assert len(line) <= limit
    assert "\n" not in line
    assert line == line.strip()


@given(NASTY)
def test_html_text_comes_back_from_a_parser_as_the_revealed_text(text: str) -> None:
    escaped = escape.html_text(text)
    assert not re.search("[<>\"']", escaped)
    assert html.unescape(escaped) == escape.reveal(text)


@given(NASTY)
@example("</script><!--<script>")
def test_json_in_a_script_element_cannot_end_it_and_means_the_same(text: str) -> None:
    escaped = escape.json_in_script({text.encode("utf-8", "replace").decode(): [text]})
    assert not re.search("[<>&\u2028\u2029\ud800-\udfff]", escaped)
    (value,) = json.loads(escaped).values()
    assert value == [re.sub("[\ud800-\udfff]", "\ufffd", text)]


def test_json_in_a_script_element_refuses_numbers_that_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        escape.json_in_script([float("nan")])


XML_CHARACTERS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n"),
    max_size=60,
)


@given(XML_CHARACTERS)
def test_what_xml_allows_survives_a_parser(text: str) -> None:
    document = f'<a b="{escape.xml_attribute(text)}">{escape.xml_text(text)}</a>'
    element = ET.fromstring(document)
    assert element.get("b") == text
    assert (element.text or "") == text


@given(NASTY)
def test_xml_made_from_any_text_is_well_formed(text: str) -> None:
    document = f'<a b="{escape.xml_attribute(text)}">{escape.xml_text(text)}</a>'
    element = ET.fromstring(document.encode("utf-8"))
    assert not [char for char in (element.text or "") if unicodedata.category(char) == "Cc" and char not in "\t\n\r"]


@given(NASTY)
def test_inline_markdown_renders_as_one_code_element_with_the_text_in_it(text: str) -> None:
    shown = escape.markdown_inline(text)
    page = tags_of(f"before {shown} after")
    assert {tag for tag, _ in page.tags} <= {"p", "code"}
    assert page.text_outside_code.strip() == "before  after"
    assert not page.comments
    inside = shown.removeprefix("<code>").removesuffix("</code>")
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"&#[0-9]+;", "", inside))
    assert html.unescape(inside) == escape.fold(text)


@given(NASTY)
def test_a_cell_cannot_break_its_table(text: str) -> None:
    page = tags_of(f"| a | b |\n| --- | --- |\n| {escape.markdown_cell(text)} | x |\n")
    assert [tag for tag, _ in page.tags].count("td") == 2
    assert {tag for tag, _ in page.tags} <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


@given(NASTY)
@example("see www.evil.test and @all, fixes #1 (https://x.test)")
@example("deadbeefcafe 1234567")
def test_prose_keeps_plain_words_and_nothing_that_a_host_would_act_on(text: str) -> None:
    page = tags_of(f"x {escape.markdown_prose(text)}")
    assert {tag for tag, _ in page.tags} <= {"p", "code"}
    assert not re.search(r"[@#!\[\]<>|`*_~\\$&]|://|\bwww\.|\b[0-9a-f]{7,40}\b", page.text_outside_code)


def test_prose_reads_as_it_was_written() -> None:
    assert escape.markdown_prose("flaked in 7 of the last 200 runs") == "flaked in 7 of the last 200 runs"
    assert "<code>main&#64;a1b2c3d</code>" in escape.markdown_prose("failing on main@a1b2c3d since 2026-03-04")
    assert "since 2026-03-04" in escape.markdown_prose("failing on main@a1b2c3d since 2026-03-04")


@given(NASTY)
@example("```\n/merge\n```")
@example("~~~\n</details>\n<!-- ci-bridge:report -->")
def test_a_block_cannot_be_left(text: str) -> None:
    block = escape.markdown_block(text)
    page = tags_of(f"before\n\n{block}\n\nafter")
    assert [tag for tag, _ in page.tags] == ["p", "pre", "code", "p"]
    assert page.text_outside_code.split() == ["before", "after"]
    assert "<!--" not in block
    assert not FORBIDDEN.search(block)
    assert escape.refuse_commands(f"before\n\n{block}\n\nafter")
    assert not re.search(r"^\s*(```|~~~)", "\n".join(block.split("\n")[1:-1]), re.MULTILINE)


@given(st.text(st.sampled_from("`ab\n"), max_size=200))
def test_the_fence_is_longer_than_every_run_of_backticks(text: str) -> None:
    fence, *body, last = escape.markdown_block(text).split("\n")
    assert fence == f"{last}text"
    assert last not in "\n".join(body)


def test_a_long_block_keeps_both_ends_and_says_how_much_is_gone() -> None:
    block = escape.markdown_block("first\n" + "x" * 5000 + "\nlast", 300)
    assert "first" in block
    assert "last" in block
    assert "characters left out" in block
    assert len(block) < 400


@pytest.mark.parametrize(
    "line", ["/merge", "  /approve", "\t/close issue", "text\n/assign me", "```\nx\n```\n/merge", "\u00a0/label"]
)
def test_a_body_with_a_command_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match="executed as a command"):
        escape.refuse_commands(f"hello\n{line}")


@pytest.mark.parametrize(
    "body", ["/1", "a /merge", "```\n/merge\n```", "~~~\n```\n/merge\n~~~", "/", "//host/x", "> /merge"]
)
def test_a_body_without_a_command_passes(body: str) -> None:
    assert escape.refuse_commands(body) == body


@given(ANY_TEXT, ANY_TEXT)
def test_markers_are_comments_and_differ_as_their_keys_do(one: str, other: str) -> None:
    marker = escape.marker(one)
    assert re.fullmatch(r"<!-- ci-bridge:[A-Za-z0-9._~%]* -->", marker)
    clean = [re.sub("[\ud800-\udfff]", "?", key) for key in (one, other)]
    assert (marker == escape.marker(other)) == (clean[0] == clean[1])


@given(st.lists(NASTY_PIECES, max_size=12).map("".join))
@example("<!-- ci-bridge:report --> <!--ci-bridge:x--> <!--\nCI-Bridge:y -->")
def test_a_body_bears_exactly_one_marker(text: str) -> None:
    body = escape.with_marker(text, "report")
    assert body.startswith("<!-- ci-bridge:report -->\n")
    assert len(re.findall(r"<!--\s*ci-bridge:", body, re.IGNORECASE)) == 1


PATTERNS = (r"section_(?:start|end):\d+", r"\x1b\[0K", r"travis_fold:\w+", r"^\s*!!\w+")
LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@given(
    st.lists(
        st.one_of(NASTY_PIECES, st.sampled_from(["section_start:12:x", "travis_fold:start", "!!x", "#"])), max_size=12
    )
)
def test_a_log_line_holds_no_command_and_no_control(pieces: list[str]) -> None:
    for line in escape.log_lines("".join(pieces), patterns=PATTERNS):
        assert not FORBIDDEN.search(line)
        assert not any(char in line for char in LINE_ENDS)
        assert not re.search(r"##[A-Za-z\[]", line)
        assert not re.match(r"\s*::", line)
        assert not any(re.search(pattern, line) for pattern in PATTERNS)


@given(NASTY)
def test_every_log_line_bears_the_prefix(text: str) -> None:
    assert all(line.startswith("│ ") for line in escape.escape_log(text, prefix="│ ").split("\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("::error::x", r":\:error::x"),
        ("\u2003::add-mask::x", "\u2003:\\:add-mask::x"),
        ("tests/a.py::test_b", "tests/a.py::test_b"),
        ("x ##vso[task.complete]", r"x #\#vso[task.complete]"),
        ("###[group]", r"##\#[group]"),
        ("a\r::stop", "a\n:\\:stop"),
        ("\x1b[2Jx", r"\x1b[2Jx"),
        ("## heading", "## heading"),
    ],
)
def test_commands_in_a_log_are_broken_and_the_rest_is_left(text: str, expected: str) -> None:
    assert escape.escape_log(text) == expected


def test_a_command_behind_a_colour_is_broken() -> None:
    assert escape.break_commands("\x1b[31m::error::x") == "\x1b[31m:\\:error::x"


def test_a_pattern_that_still_matches_after_the_break_is_spelled_out() -> None:
    assert not re.search(r"a.*z", escape.break_commands("a to z", [r"a.*z"]))


@given(NASTY)
def test_no_cell_of_a_csv_file_is_a_formula(text: str) -> None:
    cell = escape.csv_cell(text)
    assert cell.lstrip()[:1] not in ("=", "+", "-", "@", "|")
    stream = io.StringIO()
    csv.writer(stream).writerow([cell, "x"])
    assert next(csv.reader(io.StringIO(stream.getvalue(), newline="")))[0].removeprefix("'") == escape.reveal(
        text
    ).removeprefix("'")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://ci.test/a?b=c#d", "https://ci.test/a?b=c#d"),
        ("https://user:pass@ci.test:8443/a", "https://ci.test:8443/a"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("reports/index.html", "reports/index.html"),
        ("https://ci.test/a(b)'\"<c>", "https://ci.test/a%28b%29%27%22%3Cc%3E"),
        ("javascript:alert(1)", ""),
        ("JaVaScRiPt:alert(1)", ""),
        ("java\tscript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("//evil.test/x", ""),
        ("\\\\evil.test\\x", ""),
        ("https:///x", ""),
        ("https://[::1", ""),
        ("https://ci.test:99999/", ""),
        ("a:b", ""),
        ("", ""),
        ("\u202ehttps://x.test", ""),
    ],
)
def test_only_web_addresses_and_relative_paths_are_linked(url: str, safe: str) -> None:
    assert escape.safe_url(url) == safe


@given(NASTY)
@example("https://a.test/)[x](javascript:1)")
def test_a_safe_url_stays_inside_its_link(text: str) -> None:
    url = escape.safe_url(text)
    assert escape.safe_url(url) == url
    assert not re.search(r"[\s<>\"'`()\\|]", url)
    page = tags_of(f"x {escape.markdown_link('here', text)} y")
    for tag, attributes in page.tags:
        assert tag in ("p", "a", "code")
        if tag == "a":
            assert re.match(r"https?://", attributes["href"] or "")


def test_credentials_leave_a_text_with_urls() -> None:
    text = "push to https://bot:" + "hunter2" + "@git.test/a.git and mail a@b.test"
    assert escape.without_credentials(text) == "push to https://git.test/a.git and mail a@b.test"


@given(NASTY)
def test_text_without_surrogates_can_be_encoded(text: str) -> None:
    escape.without_surrogates(text).encode()


@pytest.mark.parametrize(
    "emoji",
    [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u2764\ufe0f\u200d\U0001f525",
        "\U0001f469\U0001f3fd\u200d\U0001f680",
    ],
)
def test_an_emoji_of_several_stays_one(emoji: str) -> None:
    assert escape.reveal(f"pays {emoji}!") == f"pays {emoji}!"
    assert escape.fold(emoji) == emoji
    assert escape.fold(emoji * 9, 3).rstrip("…")[-1] != "\u200d"
    assert emoji in escape.markdown_inline(emoji)
    assert escape.log_lines(emoji) == [emoji]


@pytest.mark.parametrize(
    "text",
    [
        "ad\u200dmin", "\u200d", "a\u200d\U0001f469", "\U0001f468\u200da", "\U0001f468\u200d", "\u200d\U0001f469",
        "\U0001f468\u200d\u200d\U0001f469", "\U0001f468\u200d\u200b\U0001f469", "a\ufe0f\u200d\U0001f469",
        "\U0001f468 \u200d\U0001f469", "1\ufe0f\u20e3\u200d1", "\u2192\u200d\u2192", "/\u200dmerge", "@\u200dteam",
    ],
)  # fmt: skip
def test_a_joiner_that_joins_no_emoji_is_shown(text: str) -> None:
    assert "\u200d" not in escape.reveal(text)
    assert escape.reveal(text).count("\\u200d") == text.count("\u200d")


def test_other_unseen_characters_are_shown_between_emoji_too() -> None:
    for char in "\u200b\u200c\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufeff\U000e0041\xad\x1b":
        assert char not in escape.reveal(f"\U0001f468{char}\U0001f469")
        assert char not in escape.reveal(f"\U0001f468\u200d{char}\U0001f469")
