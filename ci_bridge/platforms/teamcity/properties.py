"""Java properties files, as ``java.util.Properties.load`` documents them: the form of TeamCity's build parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANK = " \t\f"
_LINE_END = re.compile(r"\r\n|\r|\n")
_PAIR = re.compile(r"((?:[^\\:= \t\f]|\\.)*)[ \t\f]*[:=]?[ \t\f]*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.)|$)", re.DOTALL)
_CONTROL = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse_properties(data: bytes) -> dict[str, str]:
    r"""Read a properties file.

    Args:
        data: ISO 8859-1, other characters as ``\uXXXX`` (pairs of surrogates for those beyond U+FFFF).

    Returns:
        Key -> value; of a repeated key the last value. A malformed ``\u`` stands for itself without the backslash,
        where Java would refuse the file; a surrogate without its partner becomes U+FFFD.
    """
    properties: dict[str, str] = {}
    for line in _logical_lines(data.decode("latin-1")):
        match = _PAIR.fullmatch(line)
        if match:
            properties[_unescaped(match[1])] = _unescaped(match[2])
    return properties


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with their continuations, without leading blanks; empty lines and comments left out."""
    parts: list[str] = []
    for natural in _LINE_END.split(text):
        line = natural.lstrip(_BLANK)
        if not parts and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            parts.append(line[:-1])
            continue
        yield "".join([*parts, line])
        parts = []
    if parts:
        yield "".join(parts)


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    text = _ESCAPE.sub(_character, text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _character(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    return _CONTROL.get(match[2] or "", match[2] or "")
