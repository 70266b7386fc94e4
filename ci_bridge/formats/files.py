"""Finds and opens input files without trusting anything in the workspace.

Only regular files are read, links are never followed, and what a pattern finds must really lie in the workspace, or
below the folder that the pattern itself spells out before its first wildcard.
"""

# Paths are text here: links must be seen as links, and a million entries are looked at.
# ruff: noqa: PTH100, PTH112, PTH113, PTH114, PTH117, PTH118, PTH119, PTH120

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

from ci_bridge.errors import ResultsError
from ci_bridge.formats.plugin import Limits, clean_name, encoding_of
from ci_bridge.models import FileState, InputFile

HEAD = 1 << 16
"""Bytes of a file's start that decide its format."""

OWN_MARK = ".ci-bridge"
"""The file that says of a folder that ci-bridge writes there."""

OWN_FILES = (
    "report.json",
    "report.xml",
    "report.ctrf.json",
    "report.html",
    "report.md",
    "summary.md",
    "outputs.json",
    "annotations.json",
    "receipts.json",
)
"""What it writes there under names that others use too."""

OWN_FOLDERS = ("artifacts", "runs", "statuses", "comments", "metrics")

_MAGIC = re.compile(r"[*?\[]")
_DIGITS = re.compile(r"([0-9]+)")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MOST_ALTERNATIVES = 64
_KINDS = (
    (stat.S_ISLNK, "a symbolic link, which is not followed"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_OUTSIDE = "its real path is outside the workspace; if it is meant, name its folder by the absolute path"


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file that a pattern found.

    Attributes:
        path: Where it is.
        shown: The path for display, relative to the workspace where it is inside.
        is_named: True if the user spelled it out, without wildcards.
        size: Bytes.
    """

    path: Path
    shown: str
    is_named: bool
    size: int


@dataclass(slots=True)
class Search:
    """What the patterns found.

    Attributes:
        files: In the order of the patterns, natural order within each.
        rejected: What is there but is not read, with the reason.
        notes: Patterns that match nothing, and the like.
    """

    files: list[Found] = field(default_factory=list)
    rejected: list[InputFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_files(
    patterns: Sequence[str | os.PathLike[str]], *, workspace: Path, limits: Limits, exclude: Iterable[Path] = ()
) -> Search:
    """Find the input files.

    Args:
        patterns: Paths, folders (all files in them) or globs with ``* ? [] {,} **``, relative to the workspace; one
            that starts with ``!`` takes away what it matches from the others.
        workspace: Folder that the job works in.
        limits: ``files`` and the sizes count here.
        exclude: Folders that are never looked into.
    """
    search = _Searcher(workspace, limits, exclude)
    wanted = [os.fspath(pattern) for pattern in patterns]
    refused = {path for pattern in wanted if pattern.startswith("!") for path, _ in search.expand(pattern[1:])}
    search.rejected.clear()
    for pattern in wanted:
        if not pattern.startswith("!"):
            search.add(pattern, refused)
    return search.result()


class _Searcher:
    def __init__(self, workspace: Path, limits: Limits, exclude: Iterable[Path]) -> None:
        self._workspace = os.path.abspath(workspace)
        self._real_workspace = _real(workspace)
        self._limits = limits
        self._excluded = {_real(os.path.join(self._workspace, path)) for path in exclude}
        self._excluded.add(os.path.join(self._real_workspace, ".git"))
        self._found: dict[str, Found] = {}
        self._total = 0
        self._notes: list[str] = []
        self.rejected: dict[str, InputFile] = {}

    def result(self) -> Search:
        return Search(list(self._found.values()), list(self.rejected.values()), self._notes)

    def add(self, pattern: str, refused: set[str]) -> None:
        """Add what a pattern finds."""
        before = len(self._found) + len(self.rejected)
        matches = sorted(self.expand(pattern), key=lambda match: natural_key(match[0]))
        for path, is_named in matches:
            if path in refused:
                continue
            if len(self._found) >= self._limits.files:
                self._notes.append(f"more than {self._limits.files} files were found; the others are not read")
                return
            self._take(path, is_named)
        if not matches and len(self._found) + len(self.rejected) == before:
            self._notes.append(self._nothing(pattern))

    def _nothing(self, pattern: str) -> str:
        where = clean_name(self._workspace)
        if pattern.startswith("{"):
            return f"no test result in {where} where common tools write theirs; name yours with `results`"
        return f"nothing matches {clean_name(pattern)!r} in {where}{self._elsewhere(pattern)}"

    def _elsewhere(self, pattern: str) -> str:
        """Which pattern finds something where this one does not: we may have been started one folder off."""
        if os.path.isabs(pattern) or pattern.startswith("..") or not pattern.strip():
            return ""
        first, _, rest = pattern.replace(os.sep, "/").partition("/")
        known = dict(self.rejected)
        try:
            for other in ([rest] if rest and first == os.path.basename(self._workspace) else []) + [f"**/{pattern}"]:
                matches = (path for path, _ in self.expand(other) if os.path.lexists(path) and not is_own(path))
                if found := next(matches, None):
                    return f"; {self._shown(found)} is there: did you mean {clean_name(other)!r}?"
            return ""
        finally:
            self.rejected = known

    def expand(self, pattern: str) -> Iterator[tuple[str, bool]]:
        """Absolute paths that a pattern matches, and whether it spells them out."""
        if not pattern.strip():
            return
        literal = os.path.join(self._workspace, pattern)
        if os.path.lexists(literal) or not _MAGIC.search(pattern.replace("{", "*")):
            if os.path.isdir(literal) and not os.path.islink(literal):
                yield from ((path, False) for path in self._walk(literal, ["**", "*"], self._root_of(literal)))
            else:
                yield os.path.normpath(literal), True
            return
        for alternative in _alternatives(pattern):
            drive, rest = os.path.splitdrive(os.path.join(self._workspace, alternative))
            parts = [part for part in rest.replace(os.sep, "/").split("/") if part not in ("", ".")]
            spelled = next((index for index, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
            start = os.path.normpath(os.path.join(drive + os.sep, *parts[:spelled]))
            yield from ((path, False) for path in self._walk(start, parts[spelled:], self._root_of(start)))

    def _root_of(self, start: str) -> str:
        """The real folder that everything found from ``start`` has to lie in."""
        is_inside = os.path.commonpath([self._workspace, start]) == self._workspace
        return self._real_workspace if is_inside else _real(start)

    def _walk(self, start: str, parts: list[str], root: str) -> Iterator[str]:
        """Match path parts below a folder, without following links; iterative, so depth costs no stack."""
        if not _is_below(_real(start), root):
            self._reject(start, _OUTSIDE)
            return
        todo = [(start, 0)]
        seen: set[tuple[str, int]] = set()
        while todo:
            folder, index = todo.pop()
            if (folder, index) in seen or _real(folder) in self._excluded:
                continue
            seen.add((folder, index))
            part = parts[index]
            is_last = index == len(parts) - 1
            if part == "**" and not is_last:
                todo.append((folder, index + 1))
            for entry in _entries(folder):
                if part == "**":
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        todo.append((entry.path, index))
                    elif is_last and not entry.name.startswith("."):
                        yield entry.path
                elif not _matches(entry.name, part):
                    continue
                elif is_last:
                    if not entry.is_dir(follow_symlinks=False):
                        yield entry.path
                elif entry.is_dir(follow_symlinks=False):
                    todo.append((entry.path, index + 1))
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    self._reject(entry.path, "a link to a folder, which is not followed")

    def _take(self, path: str, is_named: bool) -> None:
        if path in self._found or path in self.rejected:
            return
        try:
            status = os.lstat(path)
        except OSError as error:
            reason = error.strerror or str(error)
            if isinstance(error, FileNotFoundError):
                reason = f"it does not exist{self._elsewhere(os.path.relpath(path, self._workspace))}"
            self._reject(path, reason, FileState.UNREADABLE)
            return
        if not stat.S_ISREG(status.st_mode):
            reason = next((reason for test, reason in _KINDS if test(status.st_mode)), "no regular file")
            # What the user spells out is meant to be read, so the run cannot be green without it.
            self._reject(path, reason, FileState.UNREADABLE if is_named else FileState.IGNORED)
            return
        real = _real(path)
        if not _is_below(real, self._root_of(os.path.dirname(path))):
            self._reject(path, _OUTSIDE, FileState.UNREADABLE if is_named else FileState.IGNORED)
        elif any(_is_below(real, folder) for folder in self._excluded) or is_own(real):
            if is_named:  # what a pattern happens to find there is nobody's business
                self._reject(path, "it is in a folder that is never read")
        elif status.st_size > self._limits.file_size:
            self._reject(path, f"larger than the cap of {self._limits.file_size} bytes", FileState.UNREADABLE)
        elif self._total + status.st_size > self._limits.total_size:
            reason = f"all files together are larger than the cap of {self._limits.total_size} bytes"
            self._reject(path, reason, FileState.UNREADABLE)
        else:
            self._total += status.st_size
            self._found[path] = Found(Path(path), self._shown(path), is_named, status.st_size)

    def _reject(self, path: str, reason: str, state: FileState = FileState.IGNORED) -> None:
        if len(self.rejected) < self._limits.files:
            shown = self._shown(path)
            incomplete = state is FileState.UNREADABLE
            self.rejected.setdefault(path, InputFile(shown, "", state, note=reason, incomplete=incomplete))

    def _shown(self, path: str) -> str:
        if _is_below(path, self._workspace):
            path = os.path.relpath(path, self._workspace)
        return clean_name(path.replace(os.sep, "/"))


def is_own(path: str) -> bool:
    """True for what ci-bridge wrote itself, in whatever folder it was told to write: that is never a test result."""
    folder, name = os.path.split(path)
    is_ours = name in (*OWN_FILES, OWN_MARK, ".gitignore", "current-run.json") or ".sqlite" in name
    if is_ours and _is_marked(folder):
        return True
    while folder != (parent := os.path.dirname(folder)):
        if os.path.basename(folder) in OWN_FOLDERS and _is_marked(parent):
            return True
        folder = parent
    return False


def _is_marked(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, OWN_MARK))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _real(path: str | os.PathLike[str]) -> str:
    try:
        return os.path.realpath(path)
    except OSError:  # a link that nobody may read; what cannot be resolved lies nowhere
        return ""


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def leads_outside(pattern: str) -> bool:
    """True if a pattern names, or can name, something outside the workspace: an absolute path, or one with ``..``."""
    return any(
        os.path.isabs(text) or os.path.splitdrive(text)[0] or ".." in re.split(r"[/\\]", text)
        for text in _alternatives(pattern)
    )


def _alternatives(pattern: str) -> list[str]:
    """The pattern with ``{a,b}`` written out."""
    done: list[str] = []
    todo = [pattern]
    while todo and len(done) + len(todo) <= _MOST_ALTERNATIVES:
        current = todo.pop(0)
        if match := _BRACES.search(current):
            todo.extend(current[: match.start()] + choice + current[match.end() :] for choice in match[1].split(","))
        else:
            done.append(current)
    return done + todo


@lru_cache(maxsize=256)
def _expression(part: str) -> re.Pattern[str]:
    return re.compile(translate(part), re.DOTALL)


def _matches(name: str, part: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return _expression(part).match(name) is not None


def natural_key(path: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``TEST-9`` before ``TEST-10``."""
    return [
        (0, int(part[:18]), part) if part.isascii() and part.isdigit() else (1, 0, part)
        for part in _DIGITS.split(path)
        if part
    ]


class BoundedFile(io.RawIOBase):
    """A file descriptor that ends at a limit, whatever is appended to the file meanwhile.

    Args:
        descriptor: Owned from now on.
        limit: Bytes.
        on_read: Called with the number of bytes of every read.
    """

    def __init__(self, descriptor: int, limit: int, on_read: Callable[[int], object] | None = None) -> None:
        super().__init__()
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._limit = limit
        self._on_read = on_read

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        left = max(0, self._limit - self._file.tell())
        count = self._file.readinto(memoryview(buffer)[:left]) or 0
        if self._on_read is not None:
            self._on_read(count)
        return count

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def open_file(found: Found, limits: Limits, on_read: Callable[[int], object] | None = None) -> io.BufferedReader:
    """Open a found file, and check again that it is what it was.

    Raises:
        ResultsError: It cannot be opened, or was replaced by something else meanwhile.
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(found.path, flags)
    except OSError as error:
        raise ResultsError(f"it cannot be opened: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ResultsError("it is no regular file any more")
    return io.BufferedReader(BoundedFile(descriptor, min(limits.file_size, status.st_size), on_read), 1 << 16)


def head_of(raw: bytes) -> bytes:
    """The start of a file as ``Format.sniff`` gets it: UTF-8 without byte order mark and leading blanks."""
    encoding = encoding_of(raw)
    if encoding != "utf-8-sig":
        raw = raw.decode(encoding, "replace").encode("utf-8", "replace")
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip()


_STARTED = re.compile(
    rb"(?:\b(?:timestamp|start-time|start|startTime|creation)=|\"(?:Time|start|startTime|timestamp)\"\s*:\s*)[\"']?"
    rb"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.,Z+-]{0,24}|\d{10,13}(?=[,\s}]))"
)


def started_at(head: bytes) -> datetime | None:
    """When the run that wrote a file began, as far as the start of the file says; naive times are taken for UTC."""
    if not (match := _STARTED.search(head)):
        return None
    text = match[1].decode()
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), UTC)
        moment = datetime.fromisoformat(text.replace(",", "."))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
