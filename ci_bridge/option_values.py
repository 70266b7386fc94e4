"""From what a source of configuration holds to a value of the right type and range, with messages that help."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ci_bridge.names import told_apart
from ci_bridge.options import NOT_YET, Option, Secret, platform_names

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}

_LONGEST_SHARD = 200

_HARMLESS = frozenset(" _./:@*,+=~?&%-'{}()!…")
"""What error messages show as it is, beside letters and digits: nothing that a terminal or a log viewer obeys."""


def value_of(option: Option, raw: object, directory: Path, *, text: bool) -> Any:
    """Turn what a source holds into the value that :class:`ci_bridge.options.Settings` takes.

    Args:
        option: What it is a value of.
        raw: As read.
        directory: Where relative paths of templates start.
        text: The source knows only texts: those may spell a number or a truth value.

    Raises:
        ValueError: Says what is allowed.
    """
    return _check(option, _convert(option, raw, text=text), directory)


def _convert(option: Option, raw: object, *, text: bool) -> Any:
    """Give the value its type.

    Raises:
        ValueError: Says what is allowed.
    """
    if isinstance(raw, os.PathLike):
        raw = os.fspath(raw)
    if option.type == "list":
        return _convert_list(option, raw)
    if option.type == "boolean":
        if text and isinstance(raw, str) and raw.strip().lower() in _TRUE | _FALSE:
            return raw.strip().lower() in _TRUE
        if isinstance(raw, bool):
            return raw
        raise ValueError("must be true or false" + (", yes or no, on or off, 1 or 0" if text else ", without quotes"))
    if option.type in ("integer", "number"):
        return _convert_number(option, raw, text=text)
    if option.secret and isinstance(raw, Secret):
        return raw
    if not isinstance(raw, str):
        raise ValueError("must be a text" + ("" if text else " in quotes"))
    return raw.strip()


def _convert_list(option: Option, raw: object) -> tuple[Any, ...]:
    if isinstance(raw, str):
        raw = re.split(r"[,\n]", raw)
    if not isinstance(raw, list | tuple):
        raise ValueError("must be a list of texts")
    if not all(isinstance(item, str | os.PathLike) or (option.secret and isinstance(item, Secret)) for item in raw):
        raise ValueError("must be a list of texts, each in quotes")
    items = (item if isinstance(item, Secret) else os.fspath(item).strip() for item in raw)
    return tuple(dict.fromkeys(item for item in items if item))


def _convert_number(option: Option, raw: object, *, text: bool) -> int | float:
    kind = "a whole number" if option.type == "integer" else "a number"
    number: int | float
    if text and isinstance(raw, str):
        pattern = r"[+-]?\d{1,15}" if option.type == "integer" else r"[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})"
        if not re.fullmatch(pattern, raw.strip(), re.ASCII):
            raise ValueError(f"must be {kind}{_range(option)}")
        number = float(raw) if "." in raw else int(raw)
    elif isinstance(raw, bool) or not isinstance(raw, int | float if option.type == "number" else int):
        raise ValueError(f"must be {kind}{_range(option)}" + ("" if text else ", without quotes"))
    else:
        number = raw
    if not math.isfinite(number) or not option.minimum <= number <= option.maximum:
        raise ValueError(f"must be {kind}{_range(option)}")
    return number


def _range(option: Option) -> str:
    unit = f" {option.unit}" if option.unit else ""
    return f" from {option.minimum:g} to {option.maximum:.15g}{unit}"


def _check(option: Option, value: Any, directory: Path) -> Any:
    """Check a value that has its type already, and give it its final form.

    Raises:
        ValueError: Says what is allowed.
    """
    texts = value if isinstance(value, tuple) else (value,)
    for item in texts:
        if isinstance(item, str):
            _check_text(option, item)
    if option.secret:
        value = tuple(map(_secret, texts)) if isinstance(value, tuple) else _secret(value)
    elif option.shape == "template" and value not in option.choices:
        value = str((directory / value).absolute())
    elif option.name == "shard":
        value = _shard_key(value)
    if value == "" or (isinstance(value, Secret) and not value.reveal()):
        value = option.default
    missing = NOT_YET.get(option.name)
    if missing and value != option.default and (not missing.values or missing.values in value):
        raise ValueError(f"not available in this version ({missing.reason}); leave it out")
    return value


def _secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _check_text(option: Option, text: str) -> None:
    if option.name != "shard" and any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in text):
        raise ValueError("must not contain control characters")
    if any(0xD800 <= ord(char) < 0xE000 for char in text):
        raise ValueError("is not valid Unicode")
    if option.choices and text not in option.choices:
        if not is_template_path(option, text):
            raise ValueError(_one_of(text, option.choices, "a path" if option.shape == "template" else ""))
    elif option.shape == "platform":
        if text != "auto" and text not in (names := platform_names()):
            raise ValueError(_one_of(text, ("auto", *names)))
    elif option.shape == "url" and text:
        _check_url(text, ("http", "https"))
    elif option.shape == "store" and "://" in text:
        _check_url(text, ("s3", "postgresql"))
    elif option.shape == "folder" and Path(text).name in ("", ".."):
        raise ValueError("must name a folder of its own")
    elif option.shape == "key" and text and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise ValueError("must be up to 100 letters, digits, dots, hyphens and underscores, first a letter or digit")


def _check_url(text: str, schemes: tuple[str, ...]) -> None:
    try:
        url = urlsplit(text)
        port_is_sound = url.port is None or url.port > 0
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in schemes or not url.netloc or not port_is_sound or " " in text:
        raise ValueError("must be a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
    if "@" in url.netloc and "http" in schemes:
        raise ValueError("must not hold a user name or a password")


def is_template_path(option: Option, value: object) -> bool:
    """True if the value names a template by path: it has a folder or a suffix."""
    return option.shape == "template" and isinstance(value, str) and bool(re.search(r"[/\\.]", value))


def _shard_key(text: str) -> str:
    """The key of a parallel job; a matrix given as a JSON object becomes ``os=ubuntu / python=3.12``.

    The names are part of it, since the jobs of one matrix may differ in nothing else. Keys that differ are never cut or
    cleaned to the same one.
    """
    if text == "null":
        return ""  # the matrix of a job that has none
    whole = ""
    if text.startswith("{"):
        import json

        try:
            matrix = json.loads(text)
        except (ValueError, RecursionError):
            matrix = None
        if isinstance(matrix, dict):
            # A number and its text are the same: to the job's steps they are, too.
            pairs = {
                name: item if isinstance(item, str) else json.dumps(item, sort_keys=True)
                for name, item in matrix.items()
            }
            text = " / ".join(f"{name}={value}" for name, value in pairs.items())
            is_plain = not any("=" in name or " / " in f" {name} " or " / " in f" {pairs[name]} " for name in pairs)
            whole = text if is_plain else json.dumps(matrix, sort_keys=True)
    shown = " ".join(re.sub(r"[\x00-\x20\x7f-\xa0]+", " ", text).split())
    return told_apart(shown, _LONGEST_SHARD, whole)


def _one_of(text: str, choices: Iterable[str], more: str = "") -> str:
    allowed = [*choices, *([more] if more else [])]
    near = nearest(text, choices)
    return f"must be one of {', '.join(allowed)}" + (f"; did you mean {near}?" if near else "")


def nearest(text: str, words: Iterable[str]) -> str:
    """The word that somebody who typed this text may have meant; empty if none is close."""
    from difflib import get_close_matches

    spelt = {word.replace("_", "-"): word for word in words}
    close = get_close_matches(text[:80].lower().replace("_", "-"), spelt, 1, 0.6)
    return spelt[close[0]] if close else ""


def show(value: object, option: Option) -> str:
    """A value for people: secrets masked, everything else harmless in any log and at most 80 characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(show(item, option) for item in value[:20]) if value else "none"
    if value is None or value == "":
        return "none"
    if option.secret:
        return "***"
    if isinstance(value, str | os.PathLike):
        text = re.sub(r"(?<=://)[^/\s]*@", "***@", os.fspath(value))
        return printable(text)
    if isinstance(value, int | float):
        return "a very large number" if 1e15 < abs(value) < math.inf else f"{value:.15g}"
    return type(value).__name__


def printable(text: str) -> str:
    """The text with everything escaped that a terminal or a log viewer could obey, cut to 80 characters."""
    cut = text if len(text) <= 80 else text[:79] + "…"
    return "".join(char if char.isalnum() or char in _HARMLESS else _escape(char) for char in cut)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
