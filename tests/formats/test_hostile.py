"""Result files written by an attacker: each test fails without the defence that it names."""

from __future__ import annotations

import http.server
import io
import os
import random
import resource
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ci_bridge.errors import ResultsError
from ci_bridge.formats import available, read_results
from ci_bridge.formats._xml import feed, guarded_parser
from ci_bridge.formats.collect import Collected
from ci_bridge.formats.plugin import Limits, Source
from ci_bridge.models import FileState, InputFile, case_of_row

CASES = '<testsuite name="s"><testcase name="a"/><testcase name="b"><failure message="no"/></testcase></testsuite>'

Read = Callable[..., Collected]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    opened: list[Collected] = []

    def read_document(document: str | bytes, **options) -> Collected:
        (tmp_path / "r.xml").write_bytes(document.encode() if isinstance(document, str) else document)
        opened.append(read_results(["r.xml"], workspace=tmp_path, **options))
        return opened[-1]

    yield read_document
    for results in opened:
        results.close()


def only(results: Collected) -> InputFile:
    (file,) = results.files
    return file


def names(results: Collected) -> list[str]:
    return [case_of_row(row).name for batch in results.rows() for row in batch]


class Frugal:
    """Asserts that its block takes little CPU and memory, by bounds generous enough for a busy machine."""

    def __init__(self, seconds: float, megabytes: float | None = None) -> None:
        self.seconds, self.megabytes = seconds, megabytes

    def __enter__(self) -> None:
        if self.megabytes is not None:
            tracemalloc.start()
        self.before = time.process_time()

    def __exit__(self, kind: object, *_: object) -> None:
        seconds = time.process_time() - self.before
        peak = 0.0
        if self.megabytes is not None:
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
        if kind is None:
            assert seconds < self.seconds
            assert peak < (self.megabytes or 1.0)


# -- row 1: entities, external references ----------------------------------------------------------------------------

LAUGHS = '<!DOCTYPE t [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)
)  # fmt: skip
BOMB = f'{LAUGHS}]><testsuite name="s"><testcase name="x"><failure>&a11;</failure></testcase></testsuite>'


@pytest.mark.parametrize(
    "raw",
    [
        BOMB.encode(),
        b'<?xml version="1.0"?>' + BOMB.encode(),
        ('<?xml version="1.0" encoding="utf-16"?>' + BOMB).encode("utf-16"),
        ('<?xml version="1.0" encoding="utf-16"?>' + BOMB).encode("utf-16-be"),
        b"\n\n<?xml version='1.0'?>" + BOMB.encode(),
        b"log line\n" + BOMB.encode(),
        BOMB.encode("utf-32"),
        b"\x00" + BOMB.encode(),
    ],
)
def test_a_billion_laughs_are_refused_before_anything_expands(read: Read, raw: bytes) -> None:
    with Frugal(5, 30):
        file = only(read(raw))
    assert (file.state, file.cases) == (FileState.UNREADABLE, 0)


def test_the_refusal_names_the_doctype(read: Read) -> None:
    assert "a DOCTYPE with an internal subset" in only(read(BOMB)).note


def test_a_doctype_that_only_follows_a_flaw_is_refused_too(read: Read) -> None:
    file = only(read(CASES + BOMB))
    assert "a DOCTYPE with an internal subset" in file.note
    assert file.incomplete


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE t [<!ENTITY x SYSTEM "{url}">]>',
        '<!DOCTYPE t [<!ENTITY % p SYSTEM "{url}"> %p;]>',
        "<!DOCTYPE t [<!ENTITY % p \"<!ENTITY x SYSTEM '{url}'>\"> %p;]>",
        '<!DOCTYPE t SYSTEM "{url}">',
        '<!DOCTYPE t PUBLIC "-//x//y" "{url}">',
        '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    ],
)
@pytest.mark.parametrize("flaw", ["", "\x01"])
def test_nothing_external_is_ever_fetched_or_shown(read: Read, doctype: str, flaw: str) -> None:
    asked: list[str] = []

    class Trap(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Trap) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url = f"http://127.0.0.1:{server.server_port}/x"
        document = f'{doctype.replace("{url}", url)}<testsuite name="s"><testcase name="a&x;{flaw}"/></testsuite>'
        results = read(document)
        server.shutdown()
    assert asked == []
    assert set(names(results)) <= {"a", "a␁", "a&x;␁"}
    assert (only(results).state is FileState.UNREADABLE) == ("[" in doctype)


def test_an_undeclared_entity_stays_what_it_is(read: Read) -> None:
    assert names(read('<testsuite name="s"><testcase name="a&x;"/></testsuite>')) == ["a&x;"]


# -- row 2: depth, attributes, tokens, numbers, surrogates -----------------------------------------------------------


@pytest.mark.parametrize("tag", ["testsuite", "testcase", "x"])
def test_nesting_beyond_the_cap_is_refused_without_recursion(read: Read, tag: str) -> None:
    document = f'<testsuite name="s"><testcase name="a"/>{f"<{tag}>" * 200_000}'
    with Frugal(10):
        results = read(document)
    assert only(results).incomplete
    assert "a" in names(results)


def test_nesting_up_to_the_cap_is_read(read: Read) -> None:
    document = '<testsuite name="s">' * 99 + '<testcase name="a"/>' + "</testsuite>" * 99
    assert only(read(document)).state is FileState.READ


def test_a_deep_tree_within_a_failure_is_refused(read: Read) -> None:
    tree = "<b>" * 1000 + "</b>" * 1000
    document = f'<testsuite name="s"><testcase name="a"><failure>{tree}</failure></testcase></testsuite>'
    assert only(read(document)).incomplete


def test_a_flood_of_attributes_neither_hangs_nor_hides_the_case(read: Read) -> None:
    flood = " ".join(f'a{number}=""' for number in range(150_000))
    document = (
        f'<testsuite name="s"><testcase name="a" {flood}/>'
        f'<testcase name="b" {flood}><failure message="no" {flood}/></testcase><testcase name="c"/></testsuite>'
    )
    with Frugal(15):
        results = read(document)
    assert names(results) == ["a", "b", "c"]
    assert len(results.failures) == 1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ('<testcase name="big"><failure message="{}"/></testcase>', ["a", "big", "z"]),
        ('<testcase name="{}"/>', ["a", None, "z"]),
        ('<testcase name="big" bogus="{}"/>', ["a", "big", "z"]),
        ("<!-- {} -->", ["a", "z"]),
        ("<?pi {}?>", ["a", "z"]),
        ('<testcase name="big"><failure>{}</failure></testcase>', ["a", "big", "z"]),
        ('<testcase name="big"><system-out><![CDATA[{}]]></system-out></testcase>', ["a", "big", "z"]),
    ],
)
def test_a_token_of_60_megabytes_is_cut_and_its_case_still_counts(
    read: Read, shape: str, expected: list[str | None]
) -> None:
    document = (
        f'<testsuite name="s"><testcase name="a"/>{shape.format("x" * 60_000_000)}<testcase name="z"/></testsuite>'
    )
    raw = document.encode()
    with Frugal(20, 10):
        results = read(raw)
    found = names(results)
    assert len(found) == len(expected)
    assert all(want is None or want == got for want, got in zip(expected, found, strict=True))
    assert max(len(name.encode()) for name in found) <= 4096
    assert not only(results).incomplete


@pytest.mark.parametrize("shape", ["<{}/>", "<testcase {}/>", "</{}>"])
def test_a_tag_name_of_60_megabytes_is_given_up(read: Read, shape: str) -> None:
    raw = f'<testsuite name="s"><testcase name="a"/>{shape.format("x" * 60_000_000)}</testsuite>'.encode()
    with Frugal(20, 10):
        results = read(raw)
    assert names(results) == ["a"]
    assert only(results).incomplete


def test_an_unfinished_token_is_not_scanned_again_and_again() -> None:
    """The work on one endless tag is counted: without a cap, expat 2.5.0 scans it anew with each chunk."""

    class Endless(io.RawIOBase):
        served = 0

        def read(self, size: int = -1) -> bytes:
            Endless.served += size
            return b'<testsuite a="'[: size if Endless.served == size else 0] or b"x" * size

    with pytest.raises(ResultsError, match="larger than 1048576 bytes"):
        feed(guarded_parser(), Endless(), Limits())
    assert Endless.served < 4 << 20


def test_a_flood_of_different_names_is_given_up_before_it_fills_the_memory(read: Read) -> None:
    document = '<testsuite name="s"><testcase name="a"/>' + "".join(f"<x{number}/>" for number in range(400_000))
    with Frugal(20):
        results = read(f"{document}</testsuite>")
    assert names(results) == ["a"]
    assert only(results).incomplete
    assert "different names" in only(results).note


def test_a_flood_of_results_in_one_case_keeps_few_and_the_case_red(read: Read) -> None:
    for red, outcome in (("<failure/>", "failed"), ("<error/>", "error")):
        flood = "<skipped>x</skipped>" * 5000
        results = read(f'<testsuite name="s"><testcase name="a">{flood}{red}{flood}</testcase></testsuite>')
        assert [case.outcome for case in results.failures] == [outcome]
        assert len(results.failures[0].details) < 1000


@pytest.mark.parametrize("time", ["NaN", "inf", "-inf", "-5", "²", "9" * 50_000, "1e999", "0x1", "1__0"])
def test_times_that_are_no_numbers_do_no_harm(read: Read, time: str) -> None:
    results = read(f'<testsuite name="s" time="{time}"><testcase name="a" time="{time}" line="{time}"/></testsuite>')
    assert results.totals.passed == 1
    assert 0 <= results.totals.duration <= 1e9
    assert only(results).state is FileState.READ
    assert len(only(results).note) < 300


def test_counters_of_50_000_digits_are_ignored(read: Read) -> None:
    results = read(f'<testsuite name="s" tests="{"9" * 50_000}" failures="²"><testcase name="a"/></testsuite>')
    assert only(results).note == ""


@pytest.mark.parametrize("name", ["&#xD800;", "&#55296;", "\udcff"])
def test_lone_surrogates_and_bad_bytes_never_reach_a_name(read: Read, name: str) -> None:
    raw = f'<testsuite name="s"><testcase name="a{name}"/></testsuite>'.encode("utf-8", "surrogateescape")
    (found,) = names(read(raw))
    assert found.encode()


def test_a_separator_of_identities_cannot_be_smuggled_into_a_name(read: Read) -> None:
    document = (
        '<testsuite name="s"><testcase name="a&#31;b"/><testcase classname="&#x1F;" name="b"/>'
        '<testcase name="c\x1fd\x1ee"/></testsuite>'
    )
    results = read(document)
    identities = [case_of_row(row).identity for batch in results.rows() for row in batch]
    assert len(identities) == 3
    assert all(identity.count("\x1f") == 3 and "\x1e" not in identity for identity in identities)


def test_a_codec_that_maps_bytes_to_controls_does_not_smuggle_them_either(read: Read) -> None:
    head = '<?xml version="1.0" encoding="cp1026"?>'
    body = '<testsuite name="s"><testcase name="a\x85\x9fb"/></testsuite>'
    for raw in ((head + body).encode("latin-1"), (head + body).encode("cp1026"), head.encode() + body.encode("cp1026")):
        results = read(raw)
        assert all(name.isprintable() for name in names(results))


@pytest.mark.parametrize("codec", ["zip", "hex", "rot13", "idna", "punycode", "undefined", "utf-7", "../x"])
def test_python_codecs_that_are_no_encodings_are_not_let_loose(read: Read, codec: str) -> None:
    with Frugal(5, 60):
        results = read(f'<?xml version="1.0" encoding="{codec}"?>{CASES}')
    assert names(results) == ["a", "b"]


def test_thousands_of_attempts_of_one_test_stay_few(read: Read) -> None:
    document = '<testsuite name="s">' + '<testcase name="a"><failure>x</failure></testcase>' * 3000 + "</testsuite>"
    with Frugal(60, 30):
        results = read(document)
    assert results.totals.failed == 1
    assert len(results.failures[0].attempts) == 20


def test_very_many_failures_stay_within_memory(read: Read) -> None:
    text = "x" * 2000  # 20 MB of it in all
    document = '<testsuite name="s">' + "".join(
        f'<testcase name="t{number}"><failure message="no {number}">{text}</failure></testcase>'
        for number in range(10_000)
    )
    raw = f"{document}</testsuite>".encode()
    del document
    with Frugal(60, 20):
        results = read(raw, limits=Limits(kept_text=1_000_000))
    assert results.totals.failed == len(results.failures) == 10_000
    assert results.failures[9999].message == "no 9999"


# -- row 3: truncated, lying, garbage --------------------------------------------------------------------------------


def test_no_prefix_of_a_red_file_is_read_as_complete_or_invents_a_case(read: Read) -> None:
    whole = CASES.encode()
    for end in range(len(whole)):
        results = read(whole[:end])
        file = only(results)
        assert file.state in (FileState.UNREADABLE, FileState.RECOVERED), end
        assert file.incomplete
        assert set(names(results)) <= {"a", "b"}
        assert "b" not in names(results) or results.totals.failed == 1


@pytest.mark.parametrize("suffix", [b"\0" * 1000, b"\xff\xfe", b"<", b"<x>", b"</testsuite>", b"]]>"])
def test_garbage_after_the_root_is_never_silent(read: Read, suffix: bytes) -> None:
    results = read(CASES.encode() + suffix)
    assert results.totals.total == 2
    assert only(results).state is FileState.RECOVERED


def test_counters_that_say_green_do_not_hide_a_red_case(read: Read) -> None:
    results = read(CASES.replace('name="s"', 'name="s" tests="1" failures="0" errors="0"'))
    assert results.totals.failed == 1
    assert "disagree" in only(results).note


# -- row 8: the workspace --------------------------------------------------------------------------------------------


def test_links_pipes_and_devices_in_the_workspace_are_named_and_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/s.xml").write_text(CASES.replace('"a"', '"stolen"'))
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (workspace / "good.xml").write_text(CASES)
    (workspace / "link.xml").symlink_to(tmp_path / "secret/s.xml")
    (workspace / "folder").symlink_to(tmp_path / "secret")
    (workspace / "zero.xml").symlink_to("/dev/zero")
    os.mkfifo(workspace / "pipe.xml")
    (workspace / "new\nline.xml").write_text(CASES.replace('name="s"', 'name="t"'))
    with Frugal(5, 30), read_results(["**/*.xml", "folder/*.xml"], workspace=workspace) as results:
        assert results.totals.total == 4
        assert "stolen" not in names(results)
        states = {file.path: file.state for file in results.files}
    assert states == {
        "good.xml": FileState.READ,
        "new␊line.xml": FileState.READ,
        "link.xml": FileState.IGNORED,
        "zero.xml": FileState.IGNORED,
        "pipe.xml": FileState.IGNORED,
        "folder": FileState.IGNORED,
    }


# -- anything at all -------------------------------------------------------------------------------------------------

WHOLE = (
    b'<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="s" tests="3"><properties><property name="k"/>'
    b'</properties><testcase name="a" time="0.1"/><testcase name="b" classname="c"><failure message="m">t &amp; u'
    b'</failure><system-out><![CDATA[o]]></system-out></testcase><testsuite name="n"><testcase name="d"><skipped/>'
    b"</testcase></testsuite><testcase name='e' status='run'/></testsuite></testsuites>"
)


def parse_all(raw: bytes) -> None:
    """Every format on every input: a parser may only raise ResultsError, and what it delivers must add up."""
    for item in available():
        with Collected(Limits(cases=1000)) as results:
            failure: ResultsError | None = None
            try:
                item.parse(Source(io.BytesIO(raw), "x", size=len(raw)), results)
            except ResultsError as error:
                failure = error
            results.finish_file("x", item.name, failure)
            results.finish()
            rows = [row for batch in results.rows() for row in batch]
            assert len(rows) == results.totals.total
            assert all(row[3].encode() is not None for row in rows)
            assert results.totals.red == len(results.failures)


@given(st.binary(max_size=300))
@example(b"<testsuite>" + b"<" * 100)
def test_arbitrary_bytes_crash_no_parser(raw: bytes) -> None:
    parse_all(raw)


@given(st.data())
@settings(max_examples=300)
def test_arbitrary_mutations_of_a_valid_file_crash_no_parser(data: st.DataObject) -> None:
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw)))
        length = data.draw(st.integers(0, 20))
        raw[at : at + length] = data.draw(
            st.one_of(
                st.binary(max_size=8), st.sampled_from([b"<", b">", b'"', b"&", b"]]>", b"<!--", b"<testcase>", b"/"])
            )
        )
    parse_all(bytes(raw))


def test_the_repair_gives_what_strict_reading_gives_wherever_a_block_ends() -> None:
    """A flaw at the end makes the whole file be read leniently; long fillers move every mark over a block's edge."""
    from ci_bridge.formats._repair import RepairedStream

    rng = random.Random(7)
    marks = ["&amp;", "&#65;", "<![CDATA[x&y]]>", "<!-- c -->", '<testcase name="q&lt;"/>', "<?p i?>", "]] >", "ü"]
    body = "".join(rng.choice(marks) + "." * rng.randrange(0, 90) for _ in range(4000))
    text = f'<testsuite name="s"><system-out>{body}</system-out></testsuite>'
    events: list[list[object]] = []
    for stream in (io.BytesIO(text.encode()), RepairedStream(Source(io.BytesIO(text.encode()), "x"))):
        seen: list[object] = []
        parser = guarded_parser()
        parser.StartElementHandler = lambda tag, attributes, seen=seen: seen.append((tag, attributes))
        parser.CharacterDataHandler = lambda data, seen=seen: seen.append(data)
        feed(parser, stream, Limits())
        pieces = "".join(item for item in seen if isinstance(item, str))
        events.append([pieces, [item for item in seen if isinstance(item, tuple) and item[0] != "ci-bridge"]])
    assert events[0] == events[1]


def test_the_parser_of_this_python_leaks_no_memory_over_many_files(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(CASES)
    for _ in range(50):
        read_results(["r.xml"], workspace=tmp_path).close()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(500):
        read_results(["r.xml"], workspace=tmp_path).close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
