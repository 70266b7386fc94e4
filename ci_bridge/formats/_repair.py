"""Turns malformed XML into something that a strict parser can read, without losing or inventing an element.

Mended are what test tools are known to get wrong: raw control characters and references to them, bytes of another
encoding, a bare ``&`` or ``<``, HTML entities, an XML declaration or DOCTYPE in the middle, several roots, attributes
of many megabytes. Everything before the first flaw comes out with the same meaning that a strict parser gives it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html.entities import name2codepoint
from itertools import chain

from ci_bridge.errors import ResultsError
from ci_bridge.formats._xml import ForbiddenMarkup
from ci_bridge.formats.plugin import Source, encoding_of

ROOT = "ci-bridge"
"""Name of the element that is put around everything, so that several roots are one document."""

_BLOCK = 1 << 16
_LOOKAHEAD = 48  # more than any mark or reference is long
_DECLARED = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_BEGINNING = re.compile(rb"<\?xml\s|<!DOCTYPE\s|<(?:[\w.-]+:)?testsuites?[\s>/]")
_SAFE_CODECS = ("iso", "latin", "windows", "cp", "koi8", "gb", "big5", "shift", "sjis", "euc", "mac", "us-ascii", "hz")
# Bytes that are no UTF-8 are taken for what Windows tools write; those that even cp1252 lacks become U+FFFD.
_FOREIGN = {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)}
_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A, 0x0D)}
_CONTROLS |= dict.fromkeys([*range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "\ufffd")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&(?:#(?:x([0-9A-Fa-f]{1,8})|([0-9]{1,8}));|([A-Za-z][A-Za-z0-9]{0,30});)?")
_PREDEFINED = frozenset({"amp", "lt", "gt", "quot", "apos"})
_TAG_STOP = re.compile("[\"'>]")
# Text and tags without any flaw, so that only what is around a flaw is looked at in detail. No group is possessive:
# Python before 3.11.5, Debian 12's among them, gets those wrong (its issue 106052).
_FLAWLESS = re.compile(
    r"""(?:[^<&\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]*+
    </?[A-Za-z_:][^<>&"'\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]*+
    (?:"[^"<&\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]*+"
       [^<>&"'\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]*+)*>)+""",
    re.VERBOSE,
)
_CUT_MARKUP = re.compile(r"</?|<!\S{0,7}")  # all that is left of the file, because more was looked at
_NAME_START = re.compile(r"</?[A-Za-z_:\u0080-\U0010ffff]")


class RepairedStream:
    """The repaired document as a stream of UTF-8 that :func:`ci_bridge.formats._xml.feed` can read.

    Args:
        source: The malformed file; it is read from its start.
    """

    def __init__(self, source: Source) -> None:
        self._pieces = chain([f"<{ROOT}>"], _Mender(source).mend(_decoded(source)))
        self._flaw: ResultsError | None = None
        self.is_exhausted = False
        """True once everything but the end tag of the wrapping was read: a flaw met before is in the middle."""

    def read(self, size: int, /) -> bytes:
        """About ``size`` bytes, empty at the end; never crumbs, with each of which expat would scan a long tag anew."""
        parts, length = [], 0
        if self._flaw is not None:
            raise self._flaw
        try:
            for piece in self._pieces:
                parts.append(piece)
                length += len(piece)
                if length >= size:
                    break
        except ForbiddenMarkup:
            raise
        except ResultsError as error:
            self._flaw = error  # first comes what was mended before it
            if not length:
                raise
        if length:
            return "".join(parts).encode()
        if self.is_exhausted:
            return b""
        self.is_exhausted = True
        return f"</{ROOT}>".encode()


def _decoded(source: Source) -> Iterator[str]:
    """The file as text in blocks; every byte comes out as something."""
    source.stream.seek(0)
    start = _start_of_xml(source.stream.read(_BLOCK))
    source.stream.seek(start)
    head = source.stream.read(1024)
    source.stream.seek(start)
    encoding, errors = encoding_of(head), "replace"
    if encoding == "utf-8-sig":
        declared = _DECLARED.search(head)
        name = declared[1].decode().lower() if declared else ""
        if name.startswith(_SAFE_CODECS) and _is_known(name):
            encoding = name
        else:
            errors = "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while block := source.stream.read(_BLOCK):
        yield decoder.decode(block).translate(_FOREIGN) if errors == "surrogateescape" else decoder.decode(block)
    yield decoder.decode(b"", True).translate(_FOREIGN)


def _start_of_xml(head: bytes) -> int:
    """Where the document begins if a log is in front of it, which may hold tags too."""
    if encoding_of(head) != "utf-8-sig" or head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
        return 0
    found = _BEGINNING.search(head)
    return found.start() if found else 0


def _is_known(encoding: str) -> bool:
    try:
        codecs.lookup(encoding)
    except LookupError:
        return False
    return True


class _Mender:
    """A scanner with one state per kind of markup; it never holds more than a block and a few characters."""

    def __init__(self, source: Source) -> None:
        self._limits = source.limits
        self._longest_value = source.limits.text * 2
        self._state = self._text
        self._buffer = ""
        self._at = 0
        self._stop = 0
        self._quote = ""
        self._value_left = 0
        self._value_cut = 0
        self._tag_left = 0
        self._swallowed = False
        self._tail = ""

    def mend(self, blocks: Iterator[str]) -> Iterator[str]:
        """The mended document.

        Raises:
            ResultsError: At its end, because what is inside of markup that does not end is lost.
        """
        for block in blocks:
            self._buffer, self._at = self._buffer[self._at :] + block, 0
            yield from self._scan(len(self._buffer) - _LOOKAHEAD)
        yield from self._scan(len(self._buffer))
        if self._swallowed or self._state in (self._comment, self._instruction, self._doctype):
            raise ResultsError("malformed XML: a comment or a declaration does not end")

    def _scan(self, stop: int) -> Iterator[str]:
        """Run the states until fewer than the look-ahead's characters are left."""
        self._stop = stop
        while self._at < self._stop:
            yield self._state()

    def _take(self, end: int) -> str:
        taken, self._at = self._buffer[self._at : end], end
        return taken

    def _partial(self) -> int:
        """Where to stop in a text that goes on in the next block: not within a reference."""
        ampersand = self._buffer.rfind("&", max(self._at, self._stop - _LOOKAHEAD), self._stop)
        reference = _REFERENCE.match(self._buffer, ampersand) if ampersand >= 0 else None
        return max(self._stop, reference.end()) if reference else self._stop

    def _text(self) -> str:
        if flawless := _FLAWLESS.match(self._buffer, self._at, self._stop):
            return self._take(flawless.end())
        end = self._buffer.find("<", self._at, self._stop)
        if end < 0:
            return _mended(self._take(self._partial()))
        if end > self._at:
            return _mended(self._take(end))
        ahead = self._buffer[self._at : self._at + 9]
        if ahead.startswith("<!--"):
            self._state, self._at = self._comment, self._at + 4
        elif ahead == "<![CDATA[":
            self._state, self._at = self._cdata, self._at + 9
            return ahead
        elif ahead.upper() == "<!DOCTYPE":
            self._state, self._at = self._doctype, self._at + 9
        elif ahead.startswith("<?"):
            self._state, self._at = self._instruction, self._at + 2
        elif _NAME_START.match(ahead):
            self._state, self._at, self._tag_left = self._tag, self._at + 1, self._limits.token_size // 2
            return "<"
        else:
            if _CUT_MARKUP.fullmatch(ahead):
                raise ResultsError("malformed XML: it ends within markup")
            self._at += 1
            return "&lt;"
        return ""

    def _until(self, mark: str) -> tuple[str, bool]:
        """What is before a mark, and whether the mark was found and passed."""
        end = self._buffer.find(mark, self._at, self._stop + len(mark))
        if end < 0:
            return self._take(self._stop), False
        before = self._take(end)
        self._at += len(mark)
        return before, True

    def _comment(self) -> str:
        return self._left_out("-->", "<!--")

    def _instruction(self) -> str:
        return self._left_out("?>", "<?")

    def _left_out(self, mark: str, opening: str) -> str:
        """Pass over markup; if another one begins inside, its own end is missing and elements were passed over."""
        content, ended = self._until(mark)
        content = self._tail + content
        self._swallowed = self._swallowed or opening in content
        self._tail = "" if ended else content[-3:]  # an opening may lie across two blocks
        if ended:
            self._state = self._text
        return ""

    def _cdata(self) -> str:
        content, ended = self._until("]]>")
        if ended:
            self._state = self._text
        return _fit(content) + ("]]>" if ended else "")

    def _doctype(self) -> str:
        content, ended = self._until(">")
        if "[" in content:
            raise ForbiddenMarkup(
                "the document has a DOCTYPE with an internal subset", hint="result files need none; it was refused"
            )
        if ended:
            self._state = self._text
        return ""

    def _tag(self) -> str:
        """From the last quote, or the start of the tag, to the next quote or the end of the tag."""
        found = _TAG_STOP.search(self._buffer, self._at, self._stop)
        if found is None and self._stop - self._at <= 2 * _BLOCK and self._stop < len(self._buffer):
            self._stop = self._at  # wait for the next block
            return ""
        if found is None:
            raise ResultsError("malformed XML: a tag does not end")
        piece = _fit(self._take(found.start())).replace("<", "")
        self._at += 1
        if self._tag_left < len(piece):  # enough attributes were kept; the others are left out
            self._tag_left = 0
            piece = "/" if piece.endswith("/") else ""
        self._tag_left -= len(piece)
        if found[0] == ">":
            self._state = self._text
            return f"{piece}>"
        self._state, self._quote, self._value_left, self._value_cut = self._value, found[0], self._longest_value, 0
        return piece + found[0] if self._tag_left > 0 else ""

    def _value(self) -> str:
        end = self._buffer.find(self._quote, self._at, self._stop)
        piece = self._take(end if end >= 0 else self._partial())
        kept = piece
        if len(piece) > self._value_left:
            kept = piece[: self._value_left]
            if (ampersand := kept.rfind("&", max(0, len(kept) - _LOOKAHEAD))) >= 0:
                kept = kept[:ampersand]
        self._value_cut += len(piece) - len(kept)
        self._value_left = self._value_left - len(kept) if len(kept) == len(piece) else 0
        out = _mended(kept).replace("<", "&lt;")
        is_kept = self._tag_left > 0
        if end >= 0:
            self._at += 1
            self._state = self._tag
            out += f"[… {self._value_cut} bytes cut]{self._quote}" if self._value_cut else self._quote
            self._tag_left = max(0, self._tag_left - self._longest_value + self._value_left)
        return out if is_kept else ""


def _fit(text: str) -> str:
    return text.translate(_CONTROLS) if _UNFIT.search(text) else text


def _mended(text: str) -> str:
    text = _fit(text)
    return _REFERENCE.sub(_reference, text) if "&" in text else text


def _reference(match: re.Match[str]) -> str:
    hexadecimal, decimal, name = match.groups()
    if name:
        if name in _PREDEFINED:
            return match[0]
        return f"&#{name2codepoint[name]};" if name in name2codepoint else f"&amp;{name};"
    if not (hexadecimal or decimal):
        return "&amp;"
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if code in _CONTROLS:
        return _CONTROLS[code]
    is_character = code in (0x09, 0x0A, 0x0D) or 0x20 <= code < 0xD800 or 0xE000 <= code <= 0x10FFFF
    return match[0] if is_character else "\ufffd"
