"""Whatever a file holds, a parser raises nothing but ResultsError and calls no damaged file whole and green."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_bridge.formats.plugin import Format, Limits
from ci_bridge.formats.read import available

from .recording import Recording, read

DATA = Path(__file__).parents[1] / "data"
SMALL = Limits(depth=20, text=2000, name=500, line_size=5000, token_size=50_000, document_size=200_000)
FORMATS = {item.name: item for item in available()}
SAMPLES = {
    "cucumber": ("cucumber.json", "behave.json"),
    "cucumber-messages": ("cucumber.ndjson",),
    "dart": ("written/dart.json",),
    "gotest": ("go-broken.json", "go-1.19.json"),
    "mocha": ("mocha.json", "mochawesome.json"),
    "nunit": ("written/nunit3.xml", "nunit2.xml"),
    "pytest-reportlog": ("pytest-reportlog.jsonl",),
    "tap": ("node.tap", "tap.tap", "perl.tap"),
    "trx": ("written/vstest.trx", "jest.trx"),
    "xunit": ("written/xunit2.xml", "written/xunit1.xml"),
}
PAIRS = [(name, sample) for name, samples in SAMPLES.items() for sample in samples]
WORDS = [
    *(b'{"', b'":', b"[", b"]", b"{", b"}", b"null", b"true", b"-1e999", b"9" * 400, b'"\\ud800"'),
    *(b"\x00", b"\xff\xfe", b"\r", b"\x1b[31m"),
    *(b"<", b"</", b"/>", b"<![CDATA[", b"]]>", b"&#0;", b"&x;", b"<!DOCTYPE a [<!ENTITY x 'y'>]>", b"<InnerResults>"),
    *(b"\nok 1\n", b"\nnot ok\n", b"\n1..3\n", b"\n    ", b"\n  ---\n", b"\n  ...\n", b" # SKIP "),
    *(b"Bail out!", b" {\n", b"\n}\n"),
    *(b'"Action":"fail"', b'"$report_type":"TestReport"', b'"type":"testDone"', b'"pickle":{}', b'"elements":[1]'),
]  # fmt: skip
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def is_green(recording: Recording) -> bool:
    """True if someone may take the file for a whole one without failures."""
    return recording.error is None and bool(recording.cases) and not any(case.is_failure for case in recording.cases)


def parse(parser: Format, data: bytes) -> Recording:
    recording = read(parser, data, limits=SMALL)
    for case in recording.cases:
        assert all(isinstance(text, str) for text in (*case.suite, case.name, case.classname, case.file, case.message))
        assert case.line is None or case.line > 0
        assert 0.0 <= case.duration < 1e9
    return recording


@pytest.mark.parametrize("name", sorted(SAMPLES))
@given(data=st.binary(max_size=400) | st.lists(st.sampled_from(WORDS), max_size=30).map(b"".join))
@RELAXED
def test_arbitrary_bytes_raise_nothing_but_a_results_error(name, data):
    FORMATS[name].sniff(data)
    parse(FORMATS[name], data)


@pytest.mark.parametrize(("name", "sample"), PAIRS)
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(WORDS)), min_size=1, max_size=6))
@RELAXED
def test_damaged_files_raise_nothing_but_a_results_error(name, sample, edits):
    data = (DATA / sample).read_bytes()
    for place, length, word in edits:
        at = int(place * len(data))
        data = data[:at] + word + data[at + length :]
    parse(FORMATS[name], data)


@pytest.mark.parametrize(("name", "sample"), PAIRS)
@given(place=st.floats(0, 1))
@RELAXED
def test_a_truncated_file_keeps_its_whole_cases_and_is_never_green(name, sample, place):
    data = (DATA / sample).read_bytes()
    whole = read(FORMATS[name], data)
    end = int(place * len(data))
    if name == "tap":  # a line of TAP has no end but the newline
        end = data.rfind(b"\n", 0, end) + 1
    cut = read(FORMATS[name], data[:end])
    if len(cut.cases) < len(whole.cases):
        assert not is_green(cut)
    # What the cut made of a case may be an error, never a success that was none. Only names and outcomes are compared,
    # because some formats write the class or the file behind the cases.
    known = {(case.name, case.outcome) for case in whole.cases}
    for case in cut.cases:
        assert case.is_failure or (case.name, case.outcome) in known, case


@pytest.mark.parametrize("name", sorted(SAMPLES))
@pytest.mark.parametrize("bomb", [b"[" * 300_000, b'{"a":' * 300_000, b"<a>" * 300_000, b"    " * 300_000 + b"ok 1"])
def test_depth_bombs_raise_nothing_but_a_results_error(name, bomb):
    parse(FORMATS[name], bomb)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_an_empty_file_gives_no_passed_case(name):
    assert read(FORMATS[name], b"").counts()[0] == 0
