"""What a format plug-in is made of: Format, Source, Sink, Limits, and the readers that formats share.

A format is one module in this package, or one in another distribution named by the entry point group
``ci_bridge.formats``, that holds ``FORMAT = Format(name=…, title=…, sniff=…, parse=…)``.
"""

from __future__ import annotations

import codecs
import hashlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from ci_bridge.models import Case, Row

MAX_SECONDS = 10 * 365.25 * 86400.0
"""Longest duration that is believed, in seconds (ten years); it keeps every sum finite."""


NAME_LIMIT = 4 << 10
"""Bytes of UTF-8 that a name may take."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps that hold before and while a file is parsed. Sizes are bytes.

    Attributes:
        depth: Nested elements, suites or JSON containers.
        file_size: One input file.
        total_size: All input files together.
        document_size: One input file of a format that has to be read whole (JSON documents).
        token_size: One XML tag with its attributes, one comment; a longer attribute is cut.
        line_size: One line of a line-oriented format; the rest of a longer line is dropped.
        text: Stored text of one case, all attempts together.
        name: One name; a longer one is cut and ends in a hash of the whole.
        cases: Cases in a run; further ones are counted as dropped.
        kept_text: Failure text held whole in memory for all cases together; later texts are cut there.
        files: Input files that the patterns may find.
    """

    depth: int = 100
    file_size: int = 1 << 30
    total_size: int = 4 << 30
    document_size: int = 256 << 20
    token_size: int = 1 << 20
    line_size: int = 16 << 20
    text: int = 64 << 10
    name: int = NAME_LIMIT
    cases: int = 5_000_000
    kept_text: int = 32 << 20
    files: int = 100_000


@dataclass(frozen=True, slots=True)
class Source:
    """One opened input file.

    Attributes:
        stream: Binary, positioned at the start, seekable, and bounded by ``limits.file_size``.
        path: For messages only; never opened again.
        time_unit: ``seconds`` or ``milliseconds``: the unit of durations that carry none (option ``time_unit``).
        size: Bytes of the file when it was opened.
        clean_name: Makes a name fit for :meth:`Sink.passed_rows`; like :func:`clean_name` with the limit, but a secret
            is hidden before a long name is cut. None where there are no secrets.
    """

    stream: BinaryIO
    path: str
    limits: Limits = Limits()
    time_unit: str = "seconds"
    size: int = 0
    clean_name: Callable[[str], str] | None = None


@dataclass(slots=True)
class Part:
    """A part of a file, such as one suite element, whose names may be those of other tests.

    Attributes:
        attempts: A name that comes twice in this part is a further attempt; otherwise that is another test, too.
        label: Tells this part's tests from those of the same name in earlier parts, if anything does.
        own: Hashes of the identities that came here first, kept by the sink.
        renamed: The names it gave to those that an earlier part has used, by the hash of the identity as written.
    """

    attempts: bool = True
    label: str = ""
    own: set[int] = field(default_factory=set)
    renamed: dict[int, str] = field(default_factory=dict)


class Sink(Protocol):
    """Takes the cases of one file in the order of their execution.

    It cleans and cuts names and texts, masks secrets and merges attempts: a parser hands over what it read. The same
    identity seen again is a further attempt of the same case, but for what :meth:`part` says.
    """

    def passed(self, suite: tuple[str, ...], classname: str, file: str, name: str, line: int, seconds: float) -> None:
        """Take a case that plainly passed: no message, no output, no attempts. ``line`` is 0 where unknown."""
        ...

    def passed_rows(self, rows: list[Row]) -> None:
        """Take many plainly passed cases at once; their names are already clean (:func:`clean_name`)."""
        ...

    def add(self, case: Case) -> None:
        """Take any other case."""
        ...

    def part(self, part: Part | None) -> None:
        """Say that the next cases belong to this part: a name that another part has used before is another test.

        A part may be left and come again. None, as at the start of a file: every name seen again is an attempt.
        """
        ...

    def note(self, text: str) -> None:
        """Remark on the file that a user should see, such as a counter that disagrees."""
        ...

    def repaired(self, text: str) -> None:
        """Say that the file was malformed but that no case was lost in reading it."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """A result format.

    Attributes:
        name: Short lower-case name (``junit``).
        title: For people (``JUnit XML``).
        sniff: Tells from the start of a file whether it is of this format. It gets up to 64 KiB as UTF-8: byte order
            mark and leading whitespace removed, UTF-16 and UTF-32 recoded; the end may be cut anywhere.
        parse: Reads a whole file. Raises :class:`ci_bridge.errors.ResultsError` for malformed input after having
            delivered every whole case seen so far.
        priority: Formats are asked in descending order of it, then by name.
    """

    name: str
    title: str
    sniff: Callable[[bytes], bool]
    parse: Callable[[Source, Sink], None]
    priority: int = 0


# Control characters become visible and stay distinct (U+2400 …), so that two names never fall together; C1 controls,
# lone surrogates and the two non-characters that XML forbids become U+FFFD.
_VISIBLE = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_UNFIT = dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "\ufffd")
_NAME_TABLE = str.maketrans(_VISIBLE | _UNFIT)
_TEXT_TABLE = str.maketrans({code: char for code, char in (_VISIBLE | _UNFIT).items() if code not in (0x09, 0x0A)})
_UNCLEAN_NAME = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_UNCLEAN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_COLOUR = re.compile("\x1b\\[[0-9;:]{0,64}m")
_CUT = re.compile(r"\n?\[… ([0-9]{1,15}) bytes cut\]\Z")
_DIGEST_LENGTH = 16


def clean_name(text: str, limit: int = NAME_LIMIT) -> str:
    """Make a name fit for identities, files and screens.

    Args:
        text: As the tool wrote it.
        limit: Bytes of UTF-8; a longer name is cut and ends in a hash of the whole, so that it stays distinct.

    Returns:
        The name without control characters and lone surrogates. Cleaning it again changes nothing.
    """
    if len(text) * 4 > limit and len(text.encode("utf-8", "surrogatepass")) > limit:
        text = _cut_name(text, limit)
    if text.isprintable() or not _UNCLEAN_NAME.search(text):
        return text
    cleaned = text.translate(_NAME_TABLE)  # a replacement takes up to three bytes where the control took one
    return cleaned if len(cleaned.encode()) <= limit else _cut_name(cleaned, limit)


def _cut_name(text: str, limit: int) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    tail = f"…#{hashlib.sha256(raw).hexdigest()[:_DIGEST_LENGTH]}"
    return raw[: max(0, limit - len(tail.encode()))].decode("utf-8", "ignore") + tail


def clean_text(text: str, limit: int | None = None) -> str:
    r"""Make a text fit to be stored and shown: newlines are ``\n``, colours are gone, controls are visible.

    Args:
        text: As the tool wrote it.
        limit: Bytes of UTF-8 to keep; a longer text is cut and ends in ``[… N bytes cut]``. None keeps all.
    """
    if limit is not None and len(text) > limit:
        # Nothing beyond the limit can survive; cleaning a gigabyte of it would only cost time.
        text, spare = text[:limit], _size(text[limit:])
    else:
        spare = 0
    if _UNCLEAN_TEXT.search(text):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _COLOUR.sub("", text).translate(_TEXT_TABLE)
    return cut_text(text, limit, spare) if limit is not None else text


def cut_text(text: str, limit: int, spare: int = 0) -> str:
    """Cut a clean text to ``limit`` bytes of UTF-8 and say so at its end.

    Args:
        text: Clean text.
        limit: Bytes to keep, the mark not counted.
        spare: Bytes that were left out before.
    """
    if len(text) * 4 > limit:
        if match := _CUT.search(text, max(0, len(text) - 40)):  # cut before: the new mark tells the sum
            text, spare = text[: match.start()], spare + int(match[1])
        raw = text.encode()
        if len(raw) > limit:
            text = raw[:limit].decode("utf-8", "ignore")
            spare += len(raw) - _size(text)
    return f"{text}\n[… {spare} bytes cut]" if spare else text


def _size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class CappedText:
    """Collects pieces of text up to a cap and counts the bytes that are beyond it.

    Args:
        limit: Characters to keep.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._parts: list[str] = []
        self.cut = 0

    def append(self, piece: str) -> None:
        """Take a piece; what does not fit is only counted."""
        kept = piece[: self._left] if len(piece) > self._left else piece
        if kept:
            self._parts.append(kept)
            self._left -= len(kept)
        self.cut += _size(piece[len(kept) :])

    def __str__(self) -> str:
        text = "".join(self._parts)
        return f"{text}\n[… {self.cut} bytes cut]" if self.cut else text


_PLAIN = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,4})?|\.[0-9]{1,30}")
_UNIT = re.compile(r"(.*[0-9.,])\s*(ns|us|µs|μs|ms|s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?)")
_CLOCK = re.compile(r"(?:([0-9]{1,6})\.)?([0-9]{1,6}):([0-9]{1,2})(?::([0-9]{1,2}(?:\.[0-9]{1,12})?))?")
_ISO = re.compile(
    r"P(?:([0-9]{1,6})D)?T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,12}(?:[.,][0-9]{1,12})?)S)?", re.IGNORECASE
)
_GROUPS = re.compile(r"[0-9]{1,3}(?:([,.])[0-9]{3})(?:\1[0-9]{3})*(?:(?!\1)[,.][0-9]{0,30})?")
_FACTORS = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "ms": 1e-3, "m": 60.0, "h": 3600.0}


def seconds_of(value: str | float | None, unit: str = "seconds", note: Callable[[str], object] | None = None) -> float:
    """Read a duration in any notation that result files are known to hold.

    Understood are ``1.5``, ``0,123`` and ``1,234`` (decimal comma), ``1,234.5``, ``1.234,5``, ``1,234,567``,
    ``1 234.5``, ``1e-3``, ``12ms``, ``1.5s``, ``00:00:01.5``, ``1.02:03:04`` (days) and ``PT1.5S``.

    Args:
        value: A number or its text; None and blank text are 0.
        unit: ``seconds`` or ``milliseconds``: the unit of a value that names none itself.
        note: Called with a remark if the value is not a sane duration.

    Returns:
        Seconds, finite, at least 0 and at most :data:`MAX_SECONDS`; 0 for anything that is not a duration.
    """
    factor = 0.001 if unit == "milliseconds" else 1.0
    if value is None:
        return 0.0
    if isinstance(value, str):
        if not (text := value.strip()):
            return 0.0
        seconds = _seconds_of_text(text, factor)
    else:
        try:
            seconds = float(value) * factor
        except OverflowError:
            seconds = math.inf
    if 0.0 <= seconds <= MAX_SECONDS:
        return seconds or 0.0  # never -0.0
    if note is not None:
        note(f"a duration that makes no sense was ignored: {str(value)[:40]!r}")
    return MAX_SECONDS if MAX_SECONDS < seconds < math.inf else 0.0


def _seconds_of_text(text: str, factor: float) -> float:
    """Seconds, NaN for what is no duration."""
    if len(text) > 64:
        return math.nan
    sign = -1.0 if text[0] in "-\u2212" else 1.0
    text = text.lstrip("+-\u2212").strip()
    if _PLAIN.fullmatch(text):
        return sign * float(text) * factor
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, rest = (float(part or 0) for part in match.groups())
        return sign * (((days * 24 + hours) * 60 + minutes) * 60 + rest)
    if (match := _ISO.fullmatch(text)) and any(match.groups()):
        days, hours, minutes, rest = (float((part or "0").replace(",", ".")) for part in match.groups())
        return sign * (((days * 24 + hours) * 60 + minutes) * 60 + rest)
    if match := _UNIT.fullmatch(text):
        text, name = match.groups()
        factor = _FACTORS.get(name[:2] if name == "ms" else name[0], 1.0)
    text = re.sub(r"[ '_\u00a0\u2009\u202f]", "", text)
    commas, points = text.count(","), text.count(".")
    if commas == 1 and points == 0:
        text = text.replace(",", ".")
    elif commas and _GROUPS.fullmatch(text):
        text = text.replace(",", "") if text.rfind(".") > text.rfind(",") or not points else _german(text)
    elif points > 1 and _GROUPS.fullmatch(text):
        text = text.replace(".", "")
    return sign * float(text) * factor if _PLAIN.fullmatch(text) else math.nan


def _german(text: str) -> str:
    return text.replace(".", "").replace(",", ".")


def encoding_of(head: bytes) -> str:
    """Name the codec of a text by its byte order mark, or by the NUL bytes of UTF-16 and UTF-32 without one.

    Returns:
        ``utf-8-sig`` where nothing speaks for another one.
    """
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    start = head[:4]
    if len(start) == 4 and b"\0" in start:
        for pattern, name in (
            ((0, 1, 0, 1), "utf-16-be"),
            ((1, 0, 1, 0), "utf-16-le"),
            ((0, 0, 0, 1), "utf-32-be"),
            ((1, 0, 0, 0), "utf-32-le"),
        ):
            if all(bool(byte) == bool(want) for byte, want in zip(start, pattern, strict=True)):
                return name
    return "utf-8-sig"


def lines(source: Source) -> Iterator[str]:
    """The lines of a text file without their ends: any Unicode encoding, bad bytes replaced, each bounded in size.

    A line longer than ``limits.line_size`` bytes is cut there.
    """
    encoding = encoding_of(source.stream.read(4))
    source.stream.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    limit, left, parts = source.limits.line_size, source.limits.line_size, list[str]()
    while True:
        block = source.stream.read(1 << 16)
        first, *rest = decoder.decode(block, not block).split("\n")
        parts.append(first[:left])
        left -= len(parts[-1])
        if rest:
            yield "".join(parts).removesuffix("\r")
            for line in rest[:-1]:
                yield line.removesuffix("\r")
            parts, left = [rest[-1]], limit - len(rest[-1])
        if not block:
            break
    if last := "".join(parts).removesuffix("\r"):
        yield last
