"""What formats share: names, texts, durations, lines."""

from __future__ import annotations

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_bridge.formats.plugin import (
    MAX_SECONDS,
    CappedText,
    Limits,
    Source,
    clean_name,
    clean_text,
    cut_text,
    lines,
    seconds_of,
)

anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


@given(anything, st.integers(40, 200))
def test_a_clean_name_has_no_control_fits_and_stays_as_it_is(text: str, limit: int) -> None:
    name = clean_name(text, limit)
    assert clean_name(name, limit) == name
    assert len(name.encode()) <= limit
    assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in name)


@given(st.text(st.characters(max_codepoint=0x7F), max_size=60), st.text(st.characters(max_codepoint=0x7F), max_size=60))
def test_two_names_never_become_one(first: str, second: str) -> None:
    assert (clean_name(first) == clean_name(second)) == (first == second)


def test_long_names_that_differ_at_their_end_stay_two() -> None:
    first, second = clean_name("x" * 10_000 + "1"), clean_name("x" * 10_000 + "2")
    assert first != second
    assert len(first.encode()) == 4096


@given(anything, st.integers(1, 200))
def test_a_clean_text_has_only_newlines_and_tabs_and_fits(text: str, limit: int) -> None:
    cleaned = clean_text(text, limit)
    assert not any((char < " " and char not in "\n\t") or "\x7f" <= char <= "\x9f" for char in cleaned)
    assert len(cleaned.encode()) <= limit + len("\n[… 1000 bytes cut]".encode())
    assert clean_text(clean_text(text)) == clean_text(text)


def test_colours_are_removed_and_line_ends_are_one_kind() -> None:
    assert clean_text("\x1b[31mred\x1b[0m\r\nnext\rlast\tx\x07") == "red\nnext\nlast\tx␇"


@given(anything)
def test_a_cut_text_tells_how_much_is_missing(text: str) -> None:
    clean = clean_text(text)
    cut = cut_text(clean, 10)
    if len(clean.encode()) <= 10:
        assert cut == clean
    else:
        kept, mark = cut.rsplit("\n[… ", 1)
        assert len(kept.encode()) + int(mark.split()[0]) == len(clean.encode())


def test_capped_text_keeps_its_start_and_counts_the_rest() -> None:
    text = CappedText(5)
    for piece in ("ab", "cdef", "ghü"):
        text.append(piece)
    assert str(text) == "abcde\n[… 5 bytes cut]"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.5", 1.5), ("0,123", 0.123), ("1,234", 1.234), ("1,234.5", 1234.5), ("1.234,5", 1234.5),
        ("1,234,567", 1234567.0), ("1.234.567,5", 1234567.5), ("1 234.5", 1234.5), ("1'234.5", 1234.5), ("1e-3", 0.001),
        ("12ms", 0.012), ("1.5s", 1.5), ("2 min", 120.0), ("250 µs", 0.00025), ("00:00:01.5", 1.5), ("1:30", 5400.0),
        ("1.02:03:04", 93784.0), ("PT1M1.5S", 61.5), (".5", 0.5), ("5.", 5.0), ("", 0.0), ("  ", 0.0), (None, 0.0),
        (2, 2.0), (-0.0, 0.0), ("-0.0", 0.0), ("+1", 1.0),
    ],
)  # fmt: skip
def test_durations_are_read_in_every_notation(text: str | float | None, seconds: float) -> None:
    noted: list[str] = []
    assert seconds_of(text, note=noted.append) == pytest.approx(seconds)
    assert noted == []


@pytest.mark.parametrize(
    "text",
    ["NaN", "inf", "-Infinity", "-1", "²", "1" * 50_000, "1e400", "x", "1.2.3", "1:2:3:4", "0x10", "١", math.nan,
     -math.inf, 10**400],
)  # fmt: skip
def test_what_is_no_duration_is_zero_and_noted(text: str | float) -> None:
    noted: list[str] = []
    assert seconds_of(text, note=noted.append) == 0.0
    assert len(noted) == 1
    assert len(noted[0]) < 120


def test_a_huge_duration_is_bounded_and_noted() -> None:
    noted: list[str] = []
    assert seconds_of("1e300", note=noted.append) == MAX_SECONDS
    assert len(noted) == 1


def test_milliseconds_apply_to_plain_numbers_only() -> None:
    assert seconds_of("1500", "milliseconds") == 1.5
    assert seconds_of(1500, "milliseconds") == 1.5
    assert seconds_of("1.5s", "milliseconds") == 1.5
    assert seconds_of("00:01:00", "milliseconds") == 60.0


@given(st.one_of(anything, st.floats(), st.integers(), st.from_regex(r"[0-9.,:eE+ msPTHD'-]{0,20}")))
def test_any_value_gives_a_sane_duration(value: str | float) -> None:
    assert 0.0 <= seconds_of(value) <= MAX_SECONDS


def read_lines(raw: bytes, **limits: int) -> list[str]:
    return list(lines(Source(io.BytesIO(raw), "x", Limits(**limits))))


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20), max_size=20),
    st.sampled_from(["utf-8-sig", "utf-16"]),
)
def test_lines_come_back_in_every_encoding(written: list[str], encoding: str) -> None:
    raw = "".join(f"{line}\r\n" for line in written).encode(encoding)
    assert read_lines(raw) == written


def test_an_endless_line_is_cut_and_the_next_one_is_whole() -> None:
    assert read_lines(b"x" * 1_000_000 + b"\nnext\n\nlast", line_size=10) == ["x" * 10, "next", "", "last"]
