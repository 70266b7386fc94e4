"""A segment holds one run exactly, is small, and nothing hostile in one gets further than its check."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.history import History
from ci_bridge.history.envelope import DamagedObjectError, Packer, UnsignedObjectError, unpack
from ci_bridge.history.segments import NewerSegmentError, SegmentLimits, decode, encode
from ci_bridge.models import JudgedCase, Metric, Row, Totals, Verdict
from tests.history.samples import NOW, case, identity, record, rows

ROOT = Path(__file__).resolve().parents[2]
CASES = {"test_a": "P", "test_b": "F", "test_c": "S", "test_d": "E", "test_e": "R"}
RUN = record(1, "run-1", CASES.values(), platform="fake", pr=None, shard="linux", build="7", extra={"task_type": "x"})
METRIC = Metric("requests", 12.5, "1/s", "run-1", "task-1", NOW)


def sealed(*lines: object) -> bytes:
    """Lines as a segment, whatever they say."""
    packer = Packer(6)
    for line in lines:
        packer.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    return packer.finish()


def opened(data: bytes) -> list[dict[str, Any]]:
    """The lines of a segment."""
    return [json.loads(line) for line in b"".join(unpack(data, 1 << 30)).splitlines()]


def whole() -> bytes:
    judged = [JudgedCase(case("test_b", "F"), Verdict.NEW, signature="AssertionError: N != N")]
    return encode(RUN, rows(CASES), judged, [METRIC])


def test_a_segment_holds_the_whole_run() -> None:
    segment = decode(whole())
    assert segment.run == replace(RUN, totals=segment.run.totals)
    assert segment.run.totals == Totals(passed=2, failed=1, error=1, skipped=1, flaky=1, duration=2.5)
    assert segment.metrics == (METRIC,)
    (batch,) = segment.rows()
    assert [(row[3], row[5]) for row in batch] == [
        ("test_a", "passed"), ("test_b", "failed"), ("test_c", "skipped"), ("test_d", "error"), ("test_e", "passed"),
    ]  # fmt: skip
    expected = dict(zip(CASES, rows(CASES)[0], strict=True))
    for row in batch:
        if row[5] in ("failed", "error"):
            assert row == expected[row[3]]
    assert batch[4][7] is not None and batch[4][7][5][0][:4] == ("failed", 0.0, "AssertionError", "41 != 42")
    ((_, signatures),) = segment.parts()
    assert signatures == {identity("test_b"): "AssertionError: N != N"}


def test_the_cases_of_a_segment_can_be_read_again_and_again() -> None:
    segment = decode(whole())
    assert list(segment.rows()) == list(segment.rows())


def test_a_run_without_cases_keeps_its_own_counts() -> None:
    totals = Totals(passed=7, failed=2, duration=3.5)
    segment = decode(encode(record(0, "bare", totals=totals)))
    assert (segment.tests, segment.run.totals) == (0, totals)
    assert list(segment.rows()) == []


def test_totals_are_counted_from_the_cases_whatever_the_segment_claims() -> None:
    head, *rest = opened(whole())
    head["run"]["counts"] = [999, 0, 0, 0, 0, 100]
    totals = decode(sealed(head, *rest)).run.totals
    assert (totals.passed, totals.failed, totals.error, totals.skipped) == (2, 1, 1, 1)


def test_a_history_filled_from_a_segment_equals_one_filled_from_the_run(tmp_path: Path) -> None:
    judged = [JudgedCase(case("test_b", "F"), Verdict.NEW, signature="AssertionError: N != N")]
    with History.writing(tmp_path / "direct.sqlite") as history:
        history.record(RUN, rows(CASES), judged=judged, metrics=[METRIC])
    segment = decode(whole())
    with History.writing(tmp_path / "travelled.sqlite") as history:
        history.record(segment.run, segment.rows(), judged=judged, metrics=segment.metrics)
    seen = []
    for name in ("direct", "travelled"):
        with History.read(tmp_path / f"{name}.sqlite") as history:
            view = history.view(branch="main", shard="linux", now=NOW)
            names = [identity(test) for test in CASES]
            seen.append(
                (
                    history.runs(), view.base_outcomes(names), view.base_durations(names), view.base_failures(),
                    dict(view.signatures(["AssertionError: N != N"])), history.run_metrics("run-1"),
                )
            )  # fmt: skip
    assert seen[0][0][0].pop("total_tasks") == seen[1][0][0].pop("total_tasks") == 5
    assert seen[0] == seen[1]


def test_awkward_names_and_texts_survive_or_are_cut_but_never_break_a_segment() -> None:
    awkward = [
        case("ünïcode ✓ 日本"), case("quote \" back \\ slash"), case("lone \ud800"), case("x" * 300_000),
        case("nul \0 in it"), case("[p1=\t]"), case("f", "F", message="\udfff" * 50_000),
    ]  # fmt: skip
    segment = decode(encode(RUN, rows(awkward)))
    assert segment.tests == len(awkward)
    names = {row[3] for batch in segment.rows() for row in batch}
    assert {"ünïcode ✓ 日本", 'quote " back \\ slash', "lone ?", "nul \0 in it"} <= names


def test_two_names_that_become_one_are_one_case() -> None:
    segment = decode(encode(RUN, rows([case("a\ud800"), case("a\udfff", "F")])))
    assert segment.tests == 1


def test_numbers_that_json_cannot_hold_are_left_out() -> None:
    endless = [Metric("m", value, "", "run-1", None, NOW) for value in (float("nan"), float("inf"), 3.0)]
    segment = decode(encode(record(0, "run-1", extra={"n": float("nan")}, duration=float("inf")), [], [], endless))
    assert [metric.value for metric in segment.metrics] == [3.0]
    assert segment.run.duration == 0.0


def test_a_newer_segment_is_told_from_a_damaged_one_and_new_keys_are_passed_over() -> None:
    head, *rest = opened(whole())
    assert decode(sealed({**head, "colour": "red"}, *rest, {"later": [1, 2]})).tests == 5
    with pytest.raises(NewerSegmentError, match="version 2"):
        decode(sealed({**head, "ci_bridge_segment": 2, "run": "something else"}, *rest))


# --- size and time


def many(count: int, every: int = 200) -> Iterator[list[Row]]:
    """Cases with names of about 90 characters, some of which fail."""
    batch: list[Row] = []
    for number in range(count):
        module = f"tests.{['checkout', 'cart', 'stock', 'search'][number % 4]}.test_part_{number // 40}"
        mixed = (number * 2654435761) % 99991
        name = f"test_{mixed:05d}_{['empty', 'full', 'long', 'short', 'wide'][mixed % 5]}[{number}]"
        extra = (
            ("AssertionError", f"assert {mixed} == 42", "  in test\n" * 5, "", "", ()) if not number % every else None
        )
        outcome = "failed" if extra else "passed"
        batch.append(
            (("pytest",), f"{module}.TestCase", module.replace(".", "/") + ".py", name, 0, outcome, 0.01, extra)
        )
        if len(batch) == 5000:
            yield batch
            batch = []
    yield batch


def test_ten_thousand_tests_cost_at_most_180_kilobytes() -> None:
    data = encode(RUN, list(many(10_000)))
    assert len(data) <= 180_000
    assert decode(data).run.totals.failed == 50


def test_a_million_tests_pass_through_within_300_megabytes() -> None:
    code = """
        import pathlib
        from tests.history.test_segments import RUN, many
        from ci_bridge.history.segments import decode, encode
        segment = decode(encode(RUN, many(1_000_000)))
        count = sum(len(batch) for batch in segment.rows())
        status = pathlib.Path("/proc/self/status")  # getrusage counts what the process was before it became this one
        peak = status.read_text().partition("VmHWM:")[2].split()[0] if status.exists() else 0
        print(count, segment.run.totals.failed, int(peak) // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())], cwd=ROOT, capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    count, failed, megabytes = map(int, done.stdout.split())
    assert (count, failed) == (1_000_000, 5_000)
    assert megabytes < 300


# --- hostile


def change(**facts: object) -> Callable[[list[dict[str, Any]]], None]:
    def apply(lines: list[dict[str, Any]]) -> None:
        for path, value in facts.items():
            *way, last = path.split("__")
            target: Any = lines
            for step in way:
                target = target[int(step) if step.isdigit() else step]
            if value is REMOVED:
                del target[last]
            elif isinstance(target, list):
                target[int(last)] = value
            else:
                target[last] = value

    return apply


REMOVED = object()
HEAD, TESTS, NUMBERS = "0", "1", "2"
US = "\x1f"

HOSTILE: dict[str, Callable[[list[dict[str, Any]]], None]] = {
    "no version": change(**{"0__ci_bridge_segment": REMOVED}),
    "version as text": change(**{"0__ci_bridge_segment": "1"}),
    "version true": change(**{"0__ci_bridge_segment": True}),
    "version zero": change(**{"0__ci_bridge_segment": 0}),
    "no run": change(**{"0__run": REMOVED}),
    "run is a list": change(**{"0__run": []}),
    "empty uid": change(**{"0__run__uid": ""}),
    "uid is a number": change(**{"0__run__uid": 7}),
    "endless uid": change(**{"0__run__uid": "u" * 2000}),
    "surrogate in the branch": change(**{"0__run__branch": "\ud800"}),
    "branch is a list": change(**{"0__run__branch": ["main"]}),
    "endless branch": change(**{"0__run__branch": "b" * 100_000}),
    "negative time": change(**{"0__run__ts": -1}),
    "time after the year 9999": change(**{"0__run__ts": 10**18}),
    "time as 1e9": change(**{"0__run__ts": 1e9}),
    "time as text": change(**{"0__run__ts": "2026-01-01"}),
    "completed is a list": change(**{"0__run__completed": [1]}),
    "trusted as number": change(**{"0__run__trusted": 1}),
    "extra as list": change(**{"0__run__extra": [1]}),
    "negative counts": change(**{"0__run__counts": [-1, 0, 0, 0, 0, 0]}),
    "huge counts": change(**{"0__run__counts": [10**30, 0, 0, 0, 0, 0]}),
    "counts as floats": change(**{"0__run__counts": [1.5, 0, 0, 0, 0, 0]}),
    "too few counts": change(**{"0__run__counts": [1]}),
    "negative duration": change(**{"0__run__duration_ms": -5}),
    "names as text": change(**{"1__names": "abcde"}),
    "names of numbers": change(**{"1__names": [1, 2, 3, 4, 5]}),
    "names of null": change(**{"1__names__0": None}),
    "a name twice": change(**{"1__names__1": identity("test_a")}),
    "names out of order": change(**{"1__names__0": identity("test_z")}),
    "a name with too few parts": change(**{"1__names__0": "a"}),
    "a surrogate in a name": change(**{"1__names__0": f"{US}{US}{US}\ud800"}),
    "an endless name": change(**{"1__names__0": f"{US}{US}{US}" + "n" * 100_000}),
    "no times": change(**{"1__ms": REMOVED}),
    "too few times": change(**{"1__ms": [1, 2, 3]}),
    "negative time of a case": change(**{"1__ms__0": -1}),
    "a case of 1e9 ms": change(**{"1__ms__0": 1e9}),
    "a case of 10^40 ms": change(**{"1__ms__0": 10**40}),
    "a case of true ms": change(**{"1__ms__0": True}),
    "a case of no ms": change(**{"1__ms__0": None}),
    "unknown outcomes": change(**{"1__status": "PFSEX"}),
    "too few outcomes": change(**{"1__status": "PF"}),
    "outcomes as list": change(**{"1__status": ["P"] * 5}),
    "messages as mapping": change(**{"1__messages": {}}),
    "a message as text": change(**{"1__messages__0": "boom"}),
    "a message for nobody": change(**{"1__messages__0__at": 99}),
    "a message for a negative place": change(**{"1__messages__0__at": -1}),
    "a message for true": change(**{"1__messages__0__at": True}),
    "a message for a passed case": change(**{"1__messages__0__at": 0}),
    "two messages for one case": change(**{"1__messages__1__at": 1}),
    "a message that is a number": change(**{"1__messages__0__message": 5}),
    "an endless message": change(**{"1__messages__0__details": "d" * 100_000}),
    "a surrogate in a message": change(**{"1__messages__0__type": "\udc00"}),
    "a line that is a text": change(**{"1__messages__0__line": "7"}),
    "a negative line": change(**{"1__messages__0__line": -7}),
    "numbers as mapping": change(**{"2__metrics": {}}),
    "a number as text": change(**{"2__metrics__0__3": "12.5"}),
    "a huge whole number": change(**{"2__metrics__0__3": 10**400}),
    "a number true": change(**{"2__metrics__0__3": True}),
    "a number without a name": change(**{"2__metrics__0__0": ""}),
    "a short number": change(**{"2__metrics__0": ["m"]}),
    "a number of the far future": change(**{"2__metrics__0__4": 10**17}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_segment_is_refused(name: str) -> None:
    lines = opened(whole())
    HOSTILE[name](lines)
    with pytest.raises(DamagedObjectError):
        decode(sealed(*lines))


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity", b"9" * 5000, b"[" * 100_000, b'"\xff"', b"{"])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    head, *rest = (json.dumps(line).encode() for line in opened(whole()))
    for lines in ([head, *rest, b'{"x":' + text + b"}"], [head.replace(b'"linux"', text), *rest]):
        with pytest.raises(DamagedObjectError):
            decode(sealed(*lines))


def test_a_line_that_is_no_object_or_has_no_end_is_refused() -> None:
    with pytest.raises(DamagedObjectError, match="not an object"):
        decode(sealed([1]))
    packer = Packer(6)
    packer.write(b'{"ci_bridge_segment": 1')
    with pytest.raises(DamagedObjectError, match="no end"):
        decode(packer.finish())
    with pytest.raises(DamagedObjectError, match="empty"):
        decode(Packer(6).finish())


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    data = whole()
    for place in range(0, len(data), 7):
        for damaged in (data[:place], data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :], data + b"\0"):
            with pytest.raises(DamagedObjectError, match="SHA-256"):
                decode(damaged)


def with_digest(packed: bytes) -> bytes:
    return hashlib.sha256(packed).digest() + packed


def test_a_stream_that_is_cut_or_followed_by_more_is_refused_even_with_a_right_digest() -> None:
    packed = whole()[32:]
    for wrong in (packed[:-3], packed[:-20], packed + b"more", b"not zlib at all"):
        with pytest.raises(DamagedObjectError):
            decode(with_digest(wrong))


def test_more_behind_a_long_stream_is_noticed_wherever_it_begins() -> None:
    packer = Packer(0)
    packer.write(b"x" * ((1 << 18) - 100))  # its end lies near the end of a piece
    packed = packer.finish()[32:]
    for more in (1, 31, 33, 89, 300, 1 << 18):
        with pytest.raises(DamagedObjectError, match="something behind it"):
            list(unpack(with_digest(packed + b"y" * more), 1 << 20))


@pytest.mark.parametrize("size", [0, 1, 100, (1 << 18) - 5, 1 << 18, 1_000_000])
def test_what_is_signed_is_read_with_its_secret_or_with_none(size: int) -> None:
    text = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    for level in (0, 6):
        packer = Packer(level, b"key")
        packer.write(text)
        signed = packer.finish()
        assert b"".join(unpack(signed, 1 << 20, b"key")) == b"".join(unpack(signed, 1 << 20)) == text
        with pytest.raises(UnsignedObjectError):
            list(unpack(signed, 1 << 20, b"another"))


def test_a_signature_is_of_these_very_bytes() -> None:
    signed, other = encode(RUN, rows(CASES), secret=b"key"), encode(RUN, rows({"test_a": "F"}), secret=b"key")
    assert decode(signed, secret=b"key").run == decode(signed).run == decode(whole()).run
    for forged in (whole(), with_digest(whole()[32:] + b"\0" * 32), with_digest(other[32:-32] + signed[-32:])):
        assert decode(forged).run.uid == RUN.uid
        with pytest.raises(UnsignedObjectError, match="history_secret"):
            decode(forged, secret=b"key")
    with pytest.raises(DamagedObjectError):
        decode(signed[:-1], secret=b"key")


def test_a_bomb_costs_neither_memory_nor_much_time() -> None:
    deflater = zlib.compressobj(9)
    one = deflater.compress(b" " * (1 << 20))
    packed = one + b"".join(deflater.compress(b" " * (1 << 20)) for _ in range(2047)) + deflater.flush()
    data = with_digest(packed)
    assert len(data) < 3 << 20
    tracemalloc.start()
    with pytest.raises(DamagedObjectError, match="line of more than"):
        decode(data)
    with pytest.raises(DamagedObjectError, match="unpacks to more than 1 MiB"):
        list(unpack(data, 1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


def test_a_bomb_of_many_lines_ends_at_the_limit() -> None:
    head = opened(whole())[0]
    data = sealed(head, *[{"x": " " * 1_000_000}] * 40)
    with pytest.raises(DamagedObjectError, match="unpacks to more than 16 MiB"):
        decode(data, SegmentLimits(unpacked=16 << 20))


def test_limits_of_cases_numbers_and_size_hold() -> None:
    data = encode(RUN, many(100), [], [METRIC] * 10)
    for limits in (SegmentLimits(tests=99), SegmentLimits(metrics=9), SegmentLimits(packed=100)):
        with pytest.raises(DamagedObjectError):
            decode(data, limits)
    assert decode(data).tests == 100


def test_a_thousand_failures_with_long_texts_stay_small() -> None:
    cases = [case(f"test_{number}", "F", message=f"{number}" + "x" * 2000) for number in range(5000)]
    segment = decode(encode(RUN, rows(cases)))
    texts = sum(len(row[7][1]) for batch in segment.rows() for row in batch if row[7])
    assert segment.run.totals.failed == 5000
    assert 3 << 20 < texts <= 4 << 20


def test_time_of_a_run_travels_to_the_millisecond() -> None:
    moment = NOW + timedelta(microseconds=123_456)
    segment = decode(encode(record(0, "t", completed_at=moment)))
    assert segment.run.completed_at == NOW + timedelta(milliseconds=123)
