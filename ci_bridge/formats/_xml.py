"""Streams XML through expat with every defence that untrusted input needs; shared by the XML formats.

An internal DTD subset is refused in the parser, before anything in it is declared (a byte filter would miss UTF-16);
a bare DOCTYPE is ignored; nothing external is ever fetched; depth and token size are capped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from xml.parsers import expat

from ci_bridge.errors import ResultsError
from ci_bridge.formats.plugin import Limits, Source

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

_PROLOG = re.compile(rb"\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^<>\[]*>", re.DOTALL)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
CHUNK = 1 << 15
"""Bytes fed to expat at once: what fits a processor's cache is fastest by measurement."""

MOST_NAMES = 200_000
"""Different names of elements and attributes in a document; expat keeps each one until the end."""


class Readable(Protocol):
    """All that a parser needs of a stream."""

    def read(self, size: int, /) -> bytes: ...


class ForbiddenMarkup(ResultsError):  # noqa: N818 - it names what was found, like the tree's other leaves
    """The file declares entities or an internal DTD subset; it is refused whole and not tried again."""


def root_name(head: bytes) -> str:
    """Local name of the first element of an XML text, empty if the text does not look like XML.

    Args:
        head: Start of the file as ``Format.sniff`` gets it.
    """
    position = 0
    while match := _PROLOG.match(head, position):
        position = match.end()
    found = _ROOT.match(head, position)
    return found[1].decode("ascii", "replace") if found else ""


def guarded_parser(encoding: str | None = None) -> XMLParserType:
    """An expat parser that raises :class:`ForbiddenMarkup` for a DTD with content and for any entity of its own.

    Args:
        encoding: Overrides what the document declares.
    """
    parser = expat.ParserCreate(encoding, intern={})

    def doctype(_name: str, _system: str | None, _public: str | None, internal_subset: bool) -> None:
        if internal_subset:
            raise ForbiddenMarkup(
                "the document has a DOCTYPE with an internal subset", hint="result files need none; it was refused"
            )

    def entity(*_: object) -> None:
        raise ForbiddenMarkup("the document declares an entity", hint="result files need none; it was refused")

    def external(*_: object) -> int:
        raise ForbiddenMarkup("the document refers to an external entity", hint="nothing is ever fetched")

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = entity
    parser.UnparsedEntityDeclHandler = entity
    parser.ExternalEntityRefHandler = external
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.buffer_text = True
    return parser


class TokenTooLong(ResultsError):  # noqa: N818 - as above
    """One tag, comment or instruction is larger than ``limits.token_size``."""


def feed(
    parser: XMLParserType,
    stream: Readable,
    limits: Limits,
    *,
    before: Callable[[bytes], object] | None = None,
    after: Callable[[], object] | None = None,
) -> None:
    """Feed a stream in chunks, and give up on a token that exceeds its cap.

    Expat before 2.6 (Python 3.11 brings 2.5.0) scans an unfinished token again with every chunk (CVE-2023-52425); the
    cap bounds that work, and the memory.

    Args:
        parser: From :func:`guarded_parser`, its handlers set.
        stream: Binary, at the start of the document.
        limits: ``token_size`` counts here.
        before: Called with each chunk before it is parsed.
        after: Called when a chunk is parsed.

    Raises:
        ResultsError: The XML is malformed, forbidden or beyond a cap.
    """
    fed = 0
    try:
        while chunk := stream.read(CHUNK):
            if before is not None:
                before(chunk)
            parser.Parse(chunk, False)
            fed += len(chunk)
            if after is not None:
                after()
            if len(parser.intern) > MOST_NAMES:
                raise ResultsError(
                    f"the document has more than {MOST_NAMES} different names of elements and attributes"
                )
            if fed - parser.CurrentByteIndex > limits.token_size:
                raise TokenTooLong(
                    f"one XML token in line {parser.CurrentLineNumber} is larger than {limits.token_size} bytes"
                )
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ResultsError(f"malformed XML: {error}") from error
    except (LookupError, ValueError) as error:  # an encoding that expat asks Python for and Python lacks or refuses
        raise ResultsError(f"unreadable XML: {error}") from error


def local_name(tag: str) -> str:
    """The tag without its namespace prefix."""
    return tag.rpartition(":")[2]


def read_xml(
    source: Source,
    *,
    start: Callable[[str, dict[str, str]], object],
    end: Callable[[str], object],
    text: Callable[[str], object],
) -> None:
    """Parse a file with plain callbacks.

    Args:
        source: The file.
        start: Called with an element's local name and its attributes, their prefixes kept.
        end: Called with an element's local name.
        text: Called with pieces of character data, white space between elements included.

    Raises:
        ResultsError: The XML is malformed, forbidden or beyond a cap; the callbacks have seen all that was before.
    """
    parser, depth = guarded_parser(), 0

    def on_start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > source.limits.depth:
            raise ResultsError(f"elements are nested more than {source.limits.depth} deep")
        start(local_name(tag), attributes)

    def on_end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        end(local_name(tag))

    parser.StartElementHandler = on_start
    parser.EndElementHandler = on_end
    parser.CharacterDataHandler = text
    feed(parser, source.stream, source.limits)
