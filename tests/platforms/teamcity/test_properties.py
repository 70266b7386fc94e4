"""Java properties files: what ``java.util.Properties.load`` documents, and files that are none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_bridge.platforms.teamcity.properties import parse_properties


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a=b", ("a", "b")),
        ("a:b", ("a", "b")),
        ("a b", ("a", "b")),
        ("a\tb", ("a", "b")),
        ("a\fb", ("a", "b")),
        ("a = b", ("a", "b")),
        ("a : b", ("a", "b")),
        ("a = = b", ("a", "= b")),
        ("  a=b  ", ("a", "b  ")),
        ("a==b", ("a", "=b")),
        ("a=b=c:d", ("a", "b=c:d")),
        ("a", ("a", "")),
        ("a=", ("a", "")),
        ("=b", ("", "b")),
        (r"a\=b=c", ("a=b", "c")),
        (r"a\:b:c", ("a:b", "c")),
        (r"a\ b c", ("a b", "c")),
        (r"url=https\://x\=y", ("url", "https://x=y")),
        (r"a=\t\n\r\f", ("a", "\t\n\r\f")),
        (r"a=\\", ("a", "\\")),
        (r"a=\q\"\'", ("a", "q\"'")),
        (r"a=C\:\\dir\\file", ("a", "C:\\dir\\file")),
        (r"\u0061=\u00e4\u20AC", ("a", "ä€")),
        (r"a=\ud83d\ude80", ("a", "🚀")),
        (r"a=\ud83dx", ("a", "\ufffdx")),
        (r"a=\ude80\ud83d", ("a", "\ufffd\ufffd")),
        (r"a=\u12", ("a", "u12")),
        (r"a=\u12g4", ("a", "u12g4")),
        (r"a=\\u0041", ("a", r"\u0041")),
        ("a=# no comment", ("a", "# no comment")),
        ("a=\xe4", ("a", "ä")),
        ("a=b\\", ("a", "b")),
        ("a=b\\\\", ("a", "b\\")),
    ],
)
def test_a_line_is_read_as_java_reads_it(line: str, pair: tuple[str, str]) -> None:
    assert parse_properties(line.encode("latin-1")) == dict([pair])


@pytest.mark.parametrize("text", ["", "\n\n", "# a=b", "! a=b", "   # a=b", "\t!a=b", " \t\f", "#a=b\\\n", "\r\r\n\n"])
def test_blank_lines_and_comments_hold_nothing(text: str) -> None:
    assert parse_properties(text.encode()) == {}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_and_continue_with_every_line_end(end: str) -> None:
    text = end.join(["a=1\\", "   2\\", "\t3", "#c\\", "b\\", "=4", "d=\\\\", "e=5"])
    assert parse_properties(text.encode()) == {"a": "123", "b": "4", "d": "\\", "e": "5"}


def test_a_comment_mark_in_a_continuation_is_text() -> None:
    assert parse_properties(b"a=1\\\n#2") == {"a": "1#2"}


def test_a_blank_line_ends_a_continuation() -> None:
    assert parse_properties(b"a=1\\\n\nb=2") == {"a": "1", "b": "2"}


def test_of_a_repeated_key_the_last_value_counts() -> None:
    assert parse_properties(b"a=1\na=2") == {"a": "2"}


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=5))
def test_what_is_written_escaped_is_read_back(pairs: dict[str, str]) -> None:
    def escaped(text: str) -> str:
        units = text.encode("utf-16-be")
        return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

    text = "\n".join(f"{escaped(key)}={escaped(value)}" for key, value in pairs.items())
    assert parse_properties(text.encode("latin-1")) == pairs


@given(st.binary(max_size=200))
def test_any_bytes_give_pairs_of_text(data: bytes) -> None:
    for key, value in parse_properties(data).items():
        assert (key + value).encode("utf-8") is not None


@pytest.mark.parametrize("unit", [b"\\", b"\\\n", b"\\\\", b"a", b"a=\\\n", b"\\u", b" ", b"=", b"\n", b"a=b\n"])
def test_a_megabyte_of_the_worst_takes_little_time(unit: bytes) -> None:
    start = time.process_time()
    parse_properties(unit * (1_000_000 // len(unit)))
    assert time.process_time() - start < 5
