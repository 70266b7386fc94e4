"""Finds the tracked file that a reported path means: by dictionary look-up, never by opening anything."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")
_FOREIGN = frozenset({"site-packages", "dist-packages", "node_modules", ".cargo", ".m2", ".gradle", "vendor", "gems"})
_MAX_PATH = 4096


class SourceIndex:
    """The tracked files of a repository, found by the longest matching end of a path.

    Args:
        tracked: Paths relative to the repository's root, with forward slashes, as ``git ls-files`` prints them.
        workspace: Absolute path of the checkout; a reported path inside of it is looked up exactly.
    """

    def __init__(self, tracked: Iterable[str], workspace: str | None = None) -> None:
        self._by_name: dict[str, list[str]] = {}
        for path in tracked:
            self._by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
        self._tracked = frozenset(path for paths in self._by_name.values() for path in paths)
        self._workspace = _normal(workspace).rstrip("/") if workspace else ""

    def find(self, reported: str, *, from_trace: bool = False, from_class: bool = False) -> str | None:
        """The tracked file that ``reported`` means, None if there is none or more than one.

        Args:
            reported: A path as a tool wrote it: absolute on some machine, relative to some folder, with either slash.
            from_trace: It comes from a stack trace, whose frames are mostly other people's files; a bare file name
                must then not be taken from the end of an absolute path.
            from_class: It is made of a class's or a package's name: a bare file name must not be taken from its end.
        """
        if not reported or len(reported) > _MAX_PATH or "\0" in reported:
            return None
        path = _normal(reported)
        absolute = path.startswith("/")
        if absolute and self._workspace and path.startswith(self._workspace + "/"):
            path, absolute = path[len(self._workspace) + 1 :], False
            if path in self._tracked:
                return path
        if from_trace and _FOREIGN.intersection(path.split("/")[:-1]) and path not in self._tracked:
            return None
        while path.startswith("../"):
            path = path[3:]
        path = path.lstrip("/")
        return self._exact_or_only(path, absolute, may_be_bare=not (from_class or (absolute and from_trace)))

    def only(self, name: str) -> str | None:
        """The tracked file of this name, folders left out, if there is just one."""
        found = self._by_name.get(name, ())
        return found[0] if len(found) == 1 else None

    def _exact_or_only(self, path: str, absolute: bool, *, may_be_bare: bool) -> str | None:
        if path in self._tracked and not absolute:
            return path
        candidates = self._by_name.get(path.rsplit("/", 1)[-1], ())
        # A tracked path that the reported one ends with: the longest is the only one that explains all of it.
        inside = [one for one in candidates if path == one or path.endswith("/" + one)]
        if not may_be_bare:
            inside = [one for one in inside if "/" in one]
        if inside:
            return max(inside, key=len)
        if absolute:
            return None
        # A reported path that tracked ones end with (a Java package's, a monorepo member's): only if it is one.
        around = [one for one in candidates if one.endswith("/" + path)]
        return around[0] if len(around) == 1 else None


def _normal(path: str) -> str:
    path = path.strip().replace("\\", "/")
    if path.startswith("file://"):
        path = path[len("file://") :]
        path = path[1:] if re.match(r"/[A-Za-z]:/", path) else path
    path = _DRIVE.sub("", path)
    return posixpath.normpath(path) if path else ""


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in a stack trace."""

    file: str
    line: int


_LINES = 400
_LINE_LENGTH = 1_000

# One pattern per way of writing a frame, each linear on a line of bounded length.
_PYTHON = re.compile(r'^\s*File "([^"]+)", line ([0-9]{1,7})\b')
_JAVA = re.compile(r"^\s*at ([\w.$/@-]+)\.[\w$<>]+\(([\w$-]+\.[A-Za-z]{1,8}):([0-9]{1,7})\)")
_CSHARP = re.compile(r"^\s*at .*? in (.+):line ([0-9]{1,7})\s*$")
_PHP = re.compile(r"^#[0-9]+ (.+?)\(([0-9]{1,7})\)")
_PATH_LINE = re.compile(
    r"(?:file://)?((?:(?<![A-Za-z])[A-Za-z]:(?=[\\/]))?[^\s:()\"'<>|*?\[\]]+\.[A-Za-z][A-Za-z0-9]{0,7})"
    r":([0-9]{1,7})(?=[:)\],\s]|$)"
)
_NOT_CLASS = re.compile(r"^(?:java\.base|[\w.]+@[\w.]+)/")


def frames_of(trace: str) -> Iterator[Frame]:
    """The places that a stack trace names, the innermost first.

    Read are the notations of Python and pytest, Java and Kotlin, JavaScript, Go, C#, Ruby, PHP and Rust.
    """
    lines = trace.split("\n")
    if len(lines) > _LINES:
        lines = [*lines[: _LINES // 2], *lines[-_LINES // 2 :]]
    found: list[Frame] = []
    outermost_first = False
    for line in lines:
        text = line[:_LINE_LENGTH]
        if match := _PYTHON.match(text):
            outermost_first = True
            found.append(Frame(match[1], int(match[2])))
        elif match := _JAVA.match(text):
            found.append(Frame(_java_path(match[1], match[2]), int(match[3])))
        elif (match := _CSHARP.match(text) or _PHP.match(text)) or (match := _PATH_LINE.search(text)):
            found.append(Frame(match[1], int(match[2])))
    return iter(found[::-1] if outermost_first else found)


def _java_path(qualified: str, file: str) -> str:
    """``com.acme.FooTest`` and ``FooTest.java`` as ``com/acme/FooTest.java``."""
    package = _NOT_CLASS.sub("", qualified).rsplit("/", 1)[-1].rpartition(".")[0]
    return f"{package.replace('.', '/')}/{file}" if package else file


_EXTENSIONS = ("py", "java", "kt", "groovy", "scala", "cs", "php", "rb")


def paths_of_class(classname: str) -> Iterator[str]:
    """Files that a class or module of this name may live in, the most specific first."""
    name = classname.split("$", 1)[0].replace("\\", "/")
    if not name or len(name) > 500 or not re.fullmatch(r"[\w./-]+", name):
        return
    parts = [part for part in re.split(r"[./]", name) if part]
    for length in range(len(parts), 0, -1):
        # A single word is too weak to name a file, unless it is all there is.
        if length == 1 and len(parts) > 1:
            return
        stem = "/".join(parts[:length])
        for extension in _EXTENSIONS:
            yield f"{stem}.{extension}"
