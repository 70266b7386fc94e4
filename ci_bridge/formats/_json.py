"""Reads a whole JSON document of untrusted origin; shared by the formats that are one document."""

from __future__ import annotations

import json

from ci_bridge.errors import ResultsError
from ci_bridge.formats.plugin import Source, encoding_of

_LONGEST_INTEGER = 300


def _integer(text: str) -> int:
    # Python refuses integers beyond 4300 digits with an exception; nothing in a result file needs even 300.
    return int(text) if len(text) <= _LONGEST_INTEGER else 0


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        for key, value in pairs:
            if value != made[key]:
                # Python keeps the last one, other readers the first: which of them holds the failures is unknown.
                raise ResultsError(f"malformed JSON: an object has two values for {key[:40]!r}")
    return made


# One for all: ``json.loads`` with these arguments would make a new one for every line of a log.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=lambda _name: None)


def decode_json(text: str) -> object:
    """Decode a JSON text; ``NaN`` and ``Infinity``, which JSON does not have, become None.

    Raises:
        ResultsError: It is malformed, nested too deep, or an object of it has two values of one name.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ResultsError(f"malformed JSON: {error.msg} in line {error.lineno}") from error
    except RecursionError:
        raise ResultsError("malformed JSON: it is nested too deep") from None


def read_text(source: Source) -> str:
    """The whole file as text: any Unicode encoding, bad bytes replaced.

    Raises:
        ResultsError: The file is larger than ``limits.document_size``.
    """
    raw = source.stream.read(source.limits.document_size + 1)
    if len(raw) > source.limits.document_size:
        raise ResultsError(
            f"a document of more than {source.limits.document_size} bytes is not read whole",
            hint="split it, or let the tool write JUnit XML",
        )
    return raw.decode(encoding_of(raw[:4]), "replace")


def read_json(source: Source) -> object:
    """The whole file as JSON values.

    Raises:
        ResultsError: See :func:`read_text` and :func:`decode_json`.
    """
    return decode_json(read_text(source))
