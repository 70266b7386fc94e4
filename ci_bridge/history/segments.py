"""A segment: one run as an immutable object that travels by itself.

SHA-256, then zlib, then lines of JSON: first the run, then its cases in portions of sorted names (so that a million
cases never lie in memory at once), then its performance numbers. It is plain data, and nothing of it is believed before
its kind and range are checked. Keys that this version does not know are passed over; docs/history.md has the format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import lt
from typing import Any

from ci_bridge.errors import HistoryError
from ci_bridge.history.envelope import DamagedObjectError, Packer, unpack
from ci_bridge.history.recording import (
    EXAMPLES_PER_RUN,
    LONGEST_EXAMPLE,
    LONGEST_TEXT,
    RunRecord,
    clean,
    json_text,
    milliseconds,
)
from ci_bridge.history.schema import LAST_TIMESTAMP
from ci_bridge.history.view import moment
from ci_bridge.models import (
    SEPARATOR,
    JudgedCase,
    Metric,
    Outcome,
    Row,
    Totals,
)

FORMAT = 1
"""Version of the segments that this program writes; it reads this one and older ones."""

_KEY = "ci_bridge_segment"
_LEVEL = 6
_TESTS_PER_LINE = 20_000
_CHARACTERS_PER_LINE = 1_000_000
_METRICS_PER_LINE = 2_000
_LARGEST = (1 << 53) - 1
_NEST = chr(30)
_OUTCOMES = {"P": "passed", "F": "failed", "E": "error", "S": "skipped", "R": "passed"}
_LETTERS = {"passed": "P", "failed": "F", "error": "E", "skipped": "S"}
_RED = (Outcome.FAILED, Outcome.ERROR)
_NOTHING = ("", "", "", "", "", ())


class NewerSegmentError(HistoryError):
    """Written by a newer version; to be left for one."""


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """Caps for reading one segment: bytes as stored, unpacked, of one line, of the first; lines, cases, numbers."""

    packed: int = 256 << 20
    unpacked: int = 1 << 30
    line: int = 8 << 20
    head: int = 8 << 20
    lines: int = 100_000
    tests: int = 5_000_000
    metrics: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """One run, checked. Its cases stay packed and are read as often as asked for.

    Attributes:
        run: Its totals are counted from the cases where there are any, whatever the segment claims.
        metrics: Performance numbers of the run.
        tests: Number of cases.
        forgotten: It says that the run of this id is to be forgotten, and nothing else.
    """

    run: RunRecord
    metrics: tuple[Metric, ...] = ()
    tests: int = 0
    forgotten: bool = False
    _packed: bytes = field(default=b"", repr=False)
    _limits: SegmentLimits = SegmentLimits()

    def rows(self) -> Iterator[list[Row]]:
        """Its cases, as :meth:`ci_bridge.models.Results.rows` yields them; durations to the millisecond."""
        for rows, _ in self.parts():
            yield rows

    def parts(self) -> Iterator[tuple[list[Row], dict[str, str]]]:
        """Its cases in portions, each with the failure signatures of these cases by identity."""
        for portion in self._portions():
            signatures = {
                portion["names"][entry["at"]]: entry["signature"]
                for entry in portion["messages"]
                if entry.get("signature")
            }
            yield _rows_of(portion), signatures

    def _portions(self) -> Iterator[dict[str, Any]]:
        lines = _lines(self._packed, self._limits) if self.tests else iter(())
        return (_check_portion(line) for line in lines if "names" in line)


def encode(
    run: RunRecord,
    batches: Iterable[Sequence[Row]] = (),
    judged: Iterable[JudgedCase] = (),
    metrics: Iterable[Metric] = (),
    *,
    forgotten: bool = False,
    secret: bytes = b"",
) -> bytes:
    """Pack a run.

    Args:
        run: What is known of it.
        batches: Its cases, as :meth:`ci_bridge.models.Results.rows` yields them.
        judged: Where the failures' signatures are taken from.
        metrics: Its performance numbers; those that are not finite are left out.
        forgotten: Pack the wish that all forget this run.
        secret: What to sign with, empty for no signature.
    """
    packer = Packer(_LEVEL, secret)
    _write(packer, {_KEY: FORMAT, "run": _facts_of(run)} | ({"forgotten": True} if forgotten else {}))
    portion = _Portion(packer, {item.case.identity: item.signature for item in judged if item.signature})
    for batch in batches:
        for row in batch:
            portion.add(row)
    portion.flush()
    numbers = [
        [clean(m.name), clean(m.task_id or ""), clean(m.unit), float(m.value), milliseconds(m.recorded_at)]
        for m in metrics
        if math.isfinite(m.value)
    ]
    for start in range(0, len(numbers), _METRICS_PER_LINE):
        _write(packer, {"metrics": numbers[start : start + _METRICS_PER_LINE]})
    return packer.finish()


def _write(packer: Packer, line: Mapping[str, Any]) -> None:
    text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    packer.write(text.encode("utf-8", "replace") + b"\n")


def _facts_of(run: RunRecord) -> dict[str, Any]:
    facts = {
        name: clean(getattr(run, name))
        for name in ("uid", "platform", "repo", "branch", "sha", "pr", "build", "attempt", "job", "shard", "status")
    }
    return {
        **facts,
        "ts": milliseconds(run.ts),
        "completed": None if run.completed_at is None else milliseconds(run.completed_at),
        "counts": _counts_of(run.totals),
        "duration_ms": _ms(run.duration),
        "trusted": run.trusted,
        "extra": json.loads(json_text(run.extra)),
    }


def _counts_of(totals: Totals) -> list[int]:
    counts = (totals.passed, totals.failed, totals.error, totals.skipped, totals.flaky)
    return [*(max(count, 0) for count in counts), _ms(totals.duration)]


def _ms(seconds: float) -> int:
    return min(max(round(seconds * 1000), 0), _LARGEST) if math.isfinite(seconds) else 0


class _Portion:
    """Gathers cases until a line is full."""

    def __init__(self, packer: Packer, signatures: Mapping[str, str]) -> None:
        self._packer, self._signatures = packer, signatures
        self._room = EXAMPLES_PER_RUN
        self._begin()

    def _begin(self) -> None:
        self._cases: dict[str, tuple[int, str]] = {}
        self._entries: dict[str, dict[str, Any]] = {}
        self._size = 0

    def add(self, row: Row) -> None:
        suite, classname, file, name, line, outcome, seconds, extra = row
        identity = key = f"{_NEST.join(suite)}{SEPARATOR}{classname}{SEPARATOR}{file}{SEPARATOR}{name}"
        if len(key) > LONGEST_TEXT or not key.isascii():
            key = _short(identity)
        letter = _LETTERS[outcome]
        if extra is not None:
            if letter == "P" and any(attempt[0] in _RED for attempt in extra[5]):
                letter = "R"
            if letter in "FER":
                self._entries[key] = entry = self._entry(letter, line, extra, self._signatures.get(identity, ""))
                self._size += 200 + sum(len(value) for value in entry.values() if isinstance(value, str))
        self._cases[key] = (int(seconds * 1000 + 0.5) if 0 <= seconds < 1e9 else _ms(seconds), letter)
        self._size += len(key) + 10
        if self._size > _CHARACTERS_PER_LINE or len(self._cases) >= _TESTS_PER_LINE:
            self.flush()

    def _entry(self, letter: str, line: int, extra: tuple[Any, ...], signature: str) -> dict[str, Any]:
        kind, message, details = extra[:3]
        if letter == "R":
            kind, message, details = next(attempt[2:5] for attempt in extra[5] if attempt[0] in _RED)
        entry: dict[str, Any] = {"line": line} if line else {}
        texts = {"type": kind, "message": message, "details": details}
        for key, text in texts.items():
            kept = text[: min(LONGEST_EXAMPLE, max(self._room, 0))]
            if kept:
                entry[key] = clean(kept)
                self._room -= len(kept)
        if signature:
            entry["signature"] = clean(signature)[:LONGEST_EXAMPLE]
        return entry

    def flush(self) -> None:
        """Write what was gathered."""
        if not self._cases:
            return
        names = sorted(self._cases)
        cases = [self._cases[name] for name in names]
        places = {name: place for place, name in enumerate(names)} if self._entries else {}
        line = {
            "names": names,
            "ms": [ms for ms, _ in cases],
            "status": "".join([letter for _, letter in cases]),
            "messages": [{"at": at, **self._entries[name]} for name, at in places.items() if name in self._entries],
        }
        _write(self._packer, line)
        self._begin()


def _short(identity: str) -> str:
    """An identity that a line can hold and that still has its four parts."""
    if len(identity) <= LONGEST_TEXT:
        return str(clean(identity))
    return SEPARATOR.join(clean(part)[: LONGEST_TEXT // 4 - 1] for part in identity.split(SEPARATOR, 3))


# --- reading ---------------------------------------------------------------------------------------------------------


def decode(data: bytes, limits: SegmentLimits | None = None, secret: bytes = b"") -> Segment:
    """Check a segment as a whole.

    Args:
        data: From :func:`encode`.
        limits: Caps.
        secret: What it must be signed with; empty to take it with a signature or without.

    Raises:
        NewerSegmentError: If a newer version wrote it.
        UnsignedObjectError: If it is not signed with ``secret``.
        DamagedObjectError: If it is not a sound segment.
    """
    limits = limits or SegmentLimits()
    if len(data) > limits.packed:
        raise DamagedObjectError(f"it is larger than {limits.packed >> 20} MiB")
    lines = _lines(data, limits, secret)
    head = next(lines, None)
    if head is None:
        raise DamagedObjectError("it is empty")
    version = head.get(_KEY)
    if type(version) is not int or version < 1:
        raise DamagedObjectError("it is not a segment")
    if version > FORMAT:
        raise NewerSegmentError(f"it is of version {version}, this ci-bridge knows {FORMAT}", hint="update ci-bridge")
    run = _run_of(_want(head, "run", dict))
    letters = dict.fromkeys(_OUTCOMES, 0)
    tests = took = 0
    metrics: list[Metric] = []
    for line in lines:
        if "names" in line:
            portion = _check_portion(line)
            for letter in letters:
                letters[letter] += portion["status"].count(letter)
            tests += len(portion["names"])
            took += sum(portion["ms"])
            if tests > limits.tests:
                raise DamagedObjectError(f"it holds more than {limits.tests} cases")
        elif "metrics" in line:
            metrics += _metrics_of(_want(line, "metrics", list), run.uid)
            if len(metrics) > limits.metrics:
                raise DamagedObjectError(f"it holds more than {limits.metrics} performance numbers")
    if tests:
        passed, flaky = letters["P"] + letters["R"], letters["R"]
        seconds = run.totals.duration or took / 1000
        run = replace(run, totals=Totals(passed, letters["F"], letters["E"], letters["S"], flaky, seconds))
    return Segment(run, tuple(metrics), tests, head.get("forgotten") is True, data, limits)


def _lines(data: bytes, limits: SegmentLimits, secret: bytes = b"") -> Iterator[dict[str, Any]]:
    buffer, most, left = bytearray(), limits.head, limits.lines
    for piece in unpack(data, limits.unpacked, secret):
        searched = len(buffer)
        buffer += piece
        start = 0
        while (end := buffer.find(b"\n", max(start, searched))) >= 0:
            if end - start > most:
                raise DamagedObjectError(f"it has a line of more than {most >> 10} KiB")
            yield _parse(buffer[start:end])
            start, most, left = end + 1, limits.line, left - 1
            if left < 0:
                raise DamagedObjectError(f"it has more than {limits.lines} lines")
        del buffer[:start]
        if len(buffer) > most:
            raise DamagedObjectError(f"it has a line of more than {most >> 10} KiB")
    if buffer:
        raise DamagedObjectError("its last line has no end")


def _parse(line: bytearray) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DamagedObjectError(f"it is not JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise DamagedObjectError("one of its lines is not an object")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _want(facts: Mapping[str, Any], key: str, kind: type) -> Any:
    value = facts.get(key)
    if type(value) is not kind:
        raise DamagedObjectError(f"its {key!r} is not of the right kind")
    return value


def _text_in(facts: Mapping[str, Any], key: str) -> str:
    text = facts.get(key, "")
    if type(text) is not str or len(text) > LONGEST_TEXT or not _is_unicode(text):
        raise DamagedObjectError(f"its {key!r} is not a text within bounds")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number_in(facts: Mapping[str, Any], key: str, most: int = _LARGEST) -> int:
    return _within_range(facts.get(key, 0), key, most)


def _within_range(number: Any, key: str, most: int = _LARGEST, least: int = 0) -> int:
    if type(number) is not int or not least <= number <= most:
        raise DamagedObjectError(f"its {key!r} is not a whole number within bounds")
    return number


def _run_of(facts: dict[str, Any]) -> RunRecord:
    def optional(key: str) -> str | None:
        return None if facts.get(key) is None else _text_in(facts, key)

    uid = _text_in(facts, "uid")
    if not uid or len(uid) > 1000:
        raise DamagedObjectError("its run has no id")
    completed = facts.get("completed")
    extra = facts.get("extra", {})
    if type(extra) is not dict or type(facts.get("trusted", False)) is not bool:
        raise DamagedObjectError("its 'extra' or 'trusted' is not of the right kind")
    return RunRecord(
        uid=uid,
        ts=moment(_number_in(facts, "ts", LAST_TIMESTAMP)),
        completed_at=None if completed is None else moment(_number_in(facts, "completed", LAST_TIMESTAMP)),
        platform=_text_in(facts, "platform"),
        **{key: optional(key) for key in ("repo", "branch", "sha", "pr", "build", "attempt", "job")},
        shard=_text_in(facts, "shard"),
        status=_text_in(facts, "status"),
        totals=_totals_of(_want(facts, "counts", list)),
        duration=_number_in(facts, "duration_ms") / 1000,
        trusted=facts.get("trusted", False),
        extra=extra,
    )


def _totals_of(counts: list[Any]) -> Totals:
    if len(counts) < 6:
        raise DamagedObjectError("its counts are too few")
    passed, failed, error, skipped, flaky, ms = (_within_range(count, "counts") for count in counts[:6])
    return Totals(passed, failed, error, skipped, flaky, ms / 1000)


def _checked_names(names: Any) -> list[str]:
    if type(names) is not list or set(map(type, names)) - {str}:
        raise DamagedObjectError("its names are not texts")
    if max(map(len, names), default=0) > LONGEST_TEXT or not _is_unicode("".join(names)):
        raise DamagedObjectError("its names are not texts within bounds")
    if any(name.count(SEPARATOR) < 3 for name in names):
        raise DamagedObjectError("its names do not have four parts")
    return names


def _check_portion(line: dict[str, Any]) -> dict[str, Any]:
    names, ms, status = _checked_names(line["names"]), _want(line, "ms", list), _want(line, "status", str)
    if not len(names) == len(ms) == len(status):
        raise DamagedObjectError("it has not as many times or outcomes as names")
    if not all(map(lt, names, names[1:])):
        raise DamagedObjectError("its names are not sorted, or one occurs twice")
    if set(map(type, ms)) - {int} or (ms and not 0 <= min(ms) <= max(ms) <= _LARGEST):
        raise DamagedObjectError("its times are not whole numbers within bounds")
    if set(status) - set(_OUTCOMES):
        raise DamagedObjectError("it has outcomes that do not exist")
    entries = line.get("messages", [])
    if type(entries) is not list:
        raise DamagedObjectError("its 'messages' is not of the right kind")
    last = -1
    for entry in entries:
        if type(entry) is not dict or status[_within_range(entry.get("at"), "at", len(names) - 1, last + 1)] in "PS":
            raise DamagedObjectError("it has a message for a case that did not fail")
        last = entry["at"]
        for key in ("type", "message", "details", "signature"):
            _text_in(entry, key)
        _number_in(entry, "line")
    return {"names": names, "ms": ms, "status": status, "messages": entries}


def _rows_of(portion: Mapping[str, Any]) -> list[Row]:
    entries = {entry["at"]: entry for entry in portion["messages"]}
    rows: list[Row] = []
    for at, (identity, ms, letter) in enumerate(zip(portion["names"], portion["ms"], portion["status"], strict=True)):
        suite, classname, file, name = identity.split(SEPARATOR, 3)
        nested = tuple(suite.split(_NEST)) if suite else ()
        extra, line = None, 0
        if letter == "S":
            extra = _NOTHING
        elif letter != "P":
            entry = entries.get(at, {})
            line = entry.get("line", 0)
            texts = tuple(entry.get(key, "") for key in ("type", "message", "details"))
            retried = ((str(Outcome.FAILED), 0.0, *texts, "", ""),)
            extra = ("", "", "", "", "", retried) if letter == "R" else (*texts, "", "", ())
        rows.append((nested, classname, file, name, line, _OUTCOMES[letter], ms / 1000, extra))
    return rows


def _metrics_of(numbers: list[Any], uid: str) -> Iterator[Metric]:
    for number in numbers:
        if type(number) is not list or len(number) < 5:
            raise DamagedObjectError("its performance numbers are not of the right kind")
        name, task, unit, value, ts = number[:5]
        facts = {"name": name, "task": task, "unit": unit}
        texts = [_text_in(facts, key) for key in facts]
        sound = math.isfinite(value) if type(value) is float else type(value) is int and abs(value) <= _LARGEST
        if not name or not sound:
            raise DamagedObjectError("its performance numbers are not finite numbers with a name")
        at = moment(_within_range(ts, "recorded at", LAST_TIMESTAMP))
        yield Metric(texts[0], float(value), texts[2], uid, texts[1] or None, at)
