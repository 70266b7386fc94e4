"""Walks the XML of the .NET test tools; shared by TRX, NUnit and xUnit.net."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from ci_bridge.formats._xml import read_xml
from ci_bridge.formats.plugin import CappedText, Source

_FRAMEWORK = re.compile(r"(?:net|netcoreapp|netstandard)[0-9][\w.-]{0,40}", re.IGNORECASE)


def walk(
    source: Source,
    opened: Callable[[list[str], dict[str, str]], object],
    closed: Callable[[list[str], str], object],
    texts: Collection[str],
) -> None:
    """Parse a file and report each element with its path.

    Args:
        source: The file.
        opened: Called with the local names from the root to the element, and its attributes.
        closed: Called with the same path and the element's own text, stripped.
        texts: Local names of the elements whose text is wanted; it is bounded by ``limits.text``.

    Raises:
        ResultsError: See :func:`ci_bridge.formats._xml.read_xml`.
    """
    path: list[str] = []
    wanted: list[CappedText | None] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        path.append(tag)
        wanted.append(CappedText(source.limits.text) if tag in texts else None)
        opened(path, attributes)

    def end(_tag: str) -> None:
        text = wanted.pop()
        closed(path, "" if text is None else str(text).strip())
        path.pop()

    def characters(text: str) -> None:
        if wanted and (collector := wanted[-1]) is not None:
            collector.append(text)

    read_xml(source, start=start, end=end, text=characters)


def assembly_of(path: str) -> tuple[str, ...]:
    """The suite that a path of a test assembly stands for: ``shop.tests``, or ``shop.tests (net8.0)``.

    The target framework is part of it, because one project is often run once per framework: a failure on one of them
    must not look like an earlier attempt of the success on the other.
    """
    parts = path.replace("\\", "/").split("/")
    name = re.sub(r"\.(?:dll|exe)$", "", parts[-1].strip(), flags=re.IGNORECASE)
    framework = next((part.lower() for part in reversed(parts[:-1]) if _FRAMEWORK.fullmatch(part)), "")
    return (f"{name} ({framework})" if framework else name,) if name else ()


def number_of(attributes: Mapping[str, str], name: str) -> int:
    """A whole number from an attribute, 0 for anything else."""
    text = attributes.get(name, "").strip()
    return int(text) if len(text) < 10 and text.isascii() and text.isdigit() else 0


def without_class(name: str, classname: str) -> str:
    """The name without the class in front of it; parameters, which may hold dots, stay whole."""
    return name[len(classname) + 1 :] if classname and name.startswith(f"{classname}.") else name


def split_full_name(name: str) -> tuple[str, str]:
    """Class and own name of a full name such as ``Shop.CartTest.Add("a.b")``."""
    end = len(name)
    for bracket in "(<":
        if 0 <= (at := name.find(bracket)) < end:
            end = at
    dot = name.rfind(".", 0, end)
    return (name[:dot], name[dot + 1 :]) if dot > 0 else ("", name)
