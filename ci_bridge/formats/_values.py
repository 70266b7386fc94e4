"""Takes JSON values of untrusted origin for what they should be; shared by the JSON formats.

A value of the wrong type counts as absent: a result file may hold anything, and no reader should fall over it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ci_bridge.errors import ResultsError
from ci_bridge.formats._json import decode_json, read_text
from ci_bridge.formats.plugin import Sink, Source, lines, seconds_of

CUT = "\x00cut"
"""Key of an object that the end of a truncated document cut off: it is not whole."""

# A string that never ends is a token too: were it none, each quote in it would be tried again.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{}\[\]]', re.DOTALL)

MOST_RUNNING = 100_000
"""Tests that may have begun and not ended at one moment; no tool runs as many side by side."""


def text_of(value: object) -> str:
    """The text, or the digits of a number; empty for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def dict_of(value: object) -> dict[str, Any]:
    """The object, empty for anything else."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """The array, empty for anything else."""
    return value if isinstance(value, list) else []


def dicts_of(value: object) -> Iterator[dict[str, Any]]:
    """The whole objects of an array."""
    return (item for item in list_of(value) if isinstance(item, dict) and CUT not in item)


def int_of(value: object) -> int:
    """The number if it is a whole one from 0 to 2**31, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else 0


def duration_of(value: object, unit: float = 1.0) -> float:
    """Seconds of a JSON number.

    Args:
        value: The number.
        unit: Seconds in one of its units.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        return seconds_of(value * unit)
    except OverflowError:
        return 0.0


def first_line(text: str, limit: int = 1000) -> str:
    """The first line that is not blank, and the next one if it ends in a colon.

    Args:
        text: Any text; its first 64 000 characters are looked at.
        limit: Characters from which on the line is cut, at a blank: half a word could be half a secret, which nothing
            would recognise and hide any more. A word that is longer stays whole; the sink cuts what is too long.
    """
    found = ""
    for line in text[: 64 * limit].split("\n"):
        if stripped := line.strip():
            found = f"{found} {stripped}" if found else stripped
            if not stripped.endswith(":"):
                break
    if len(found) <= limit:
        return found
    head, blank, _ = found[:limit].rpartition(" ")
    return f"{head}…" if blank else found


def whole_cases(source: Source, deliver: Callable[[object], object]) -> None:
    """Read a JSON document and deliver it; of a damaged one deliver what is whole before the damage.

    Args:
        source: The file.
        deliver: Takes the document. Objects that were not whole hold the key :data:`CUT`.

    Raises:
        ResultsError: The document is damaged, too large or nested too deep.
    """
    text = read_text(source)
    try:
        document = decode_json(text)
    except ResultsError as error:
        end = error.__cause__.pos if isinstance(error.__cause__, json.JSONDecodeError) else 0
        if (rest := _closed(text[:end], source.limits.depth)) is not None:
            deliver(decode_json(rest))
        raise
    deliver(document)


def _closed(text: str, depth: int) -> str | None:
    """The text up to its last whole object or array, with what is open there closed; None if nothing is whole."""
    stack: list[str] = []
    best: tuple[int, str] | None = None
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[" as bracket:
                stack.append(bracket)
                if len(stack) > depth:
                    return None
            case "}" | "]":
                if not stack or stack.pop() + token[0] not in ("{}", "[]"):
                    break
                best = token.end(), "".join(stack)
    if best is None or not best[1]:
        return None
    ends = {"{": f",{json.dumps(CUT)}:1}}", "[": "]"}
    return text[: best[0]] + "".join(ends[bracket] for bracket in reversed(best[1]))


def check_running(count: int) -> None:
    """Refuse what would fill the memory with tests that begin and never end.

    Raises:
        ResultsError: There are more than :data:`MOST_RUNNING`.
    """
    if count > MOST_RUNNING:
        raise ResultsError(f"more than {MOST_RUNNING} tests have begun and not ended")


def events(
    source: Source, sink: Sink, mark: str, other: Callable[[str], object] | None = None
) -> Iterator[dict[str, Any]]:
    """The objects of a file that holds one a line; lines that are something else are passed over and counted.

    A line that was meant to be an event and cannot be decoded may have told of a failure: whatever the other lines
    say, such a file is not whole.

    Args:
        source: The file.
        sink: Gets one note on the lines that were passed over.
        mark: What only an event of this format holds: it tells a damaged event from a line of a log.
        other: Called with every line that is no event.

    Raises:
        ResultsError: A line is damaged, after every whole one was yielded.
    """
    strange, damaged, first, number = 0, 0, 0, 0
    for line in lines(source):
        number += 1
        is_event = line.startswith("{") or line.lstrip().startswith("{")
        if is_event:
            try:
                event = decode_json(line)
            except ResultsError:
                pass
            else:
                if isinstance(event, dict):
                    yield event
                    continue
        if is_event or mark in line:
            damaged += 1
            first = first or number
        if line.strip():
            strange += 1
            if other is not None:
                other(line)
    if damaged:
        where = f"line {first} is" if damaged == 1 else f"{damaged} lines, the first of them line {first}, are"
        raise ResultsError(f"{where} cut off or damaged")
    if strange:
        sink.note(f"lines that are no events were passed over: {strange}")


def read_events(
    source: Source,
    sink: Sink,
    take: Callable[[dict[str, Any]], object],
    close: Callable[[], object],
    mark: str,
    other: Callable[[str], object] | None = None,
) -> None:
    """Hand every event to ``take``, and call ``close`` at the end of the file, be it whole or not.

    Raises:
        ResultsError: See :func:`events`; or what ``take`` and ``close`` raise.
    """
    try:
        for event in events(source, sink, mark, other):
            take(event)
    finally:
        close()
