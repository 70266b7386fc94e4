"""Files that are whole or absent: written beside their place, synced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

WRITABLE = "give artifact_dir a writable folder with free space"
"""What to do about it."""

_unfinished: set[str] = set()
_lock = threading.Lock()

_TRIES = 5
"""Tries to remove a folder that an abandoned worker still writes to."""

_LEFT_HERE = re.compile(r"\..+\.tmp|\.(staging|history)-[a-z0-9_]{8}|\.history.*\.sqlite\.new-.+")
_LEFT_ELSEWHERE = re.compile(r"ci-bridge-[a-z]+-[a-z0-9_]{8}\.tmp")
"""Names of what is unfinished: in our own folder, and where others keep temporary files, too."""


def why_unwritable(folder: Path) -> str:
    """Why nothing can be written into ``artifact_dir``, which is made if it is absent; empty if something can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        reason = error.strerror or str(error)
        return f"artifact_dir {folder} cannot be written: {reason} ({WRITABLE})"


@contextlib.contextmanager
def open_atomically(path: Path, *, over: bool = True) -> Iterator[BinaryIO]:
    """Open ``path`` for writing bytes; it appears under its name only when the block ends without an error.

    The parent folder must exist. A symbolic link at ``path`` is replaced, never followed.

    Args:
        path: The file.
        over: False refuses a name that is taken, even by a writer who was quicker by an instant.

    Raises:
        OSError: If it cannot be written; what stood at ``path`` before is untouched. A ``FileExistsError`` if taken.
    """
    with unfinished_file(path.parent, f".{path.name[:40]}.", ".tmp") as (descriptor, name):
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; results are as readable as any other file of the build.
        with contextlib.suppress(OSError):
            Path(name).chmod(0o666 & ~_umask())
        if over or not _link(name, path):
            Path(name).replace(path)


@contextlib.contextmanager
def unfinished_file(folder: Path, prefix: str, suffix: str = "") -> Iterator[tuple[int, str]]:
    """A fresh private file, as its descriptor and its path; gone at the end unless it has got another name by then.

    Raises:
        OSError: If it cannot be made.
    """
    with _lock:  # a process that is told to stop in between would not know of it
        descriptor, name = tempfile.mkstemp(suffix, prefix, folder)
        _unfinished.add(name)
    try:
        yield descriptor, name
    finally:
        _discard(name)


@contextlib.contextmanager
def private_folder(kind: str, folder: Path | None = None) -> Iterator[Path]:
    """A fresh folder that nobody else can look into, removed at the end, even if the process is told to stop.

    Args:
        kind: Part of its name: one word of lower-case letters.
        folder: Where it is made, by default where the system keeps temporary files.

    Raises:
        OSError: If it cannot be made.
    """
    prefix, suffix = (f".{kind}-", "") if folder else (f"ci-bridge-{kind}-", ".tmp")
    with _lock:
        name = tempfile.mkdtemp(suffix, prefix, folder)
        _unfinished.add(name)
    try:
        yield Path(name)
    finally:
        _discard(name)


@contextlib.contextmanager
def open_text_atomically(path: Path) -> Iterator[TextIO]:
    """Like :func:`open_atomically`, for UTF-8 text with line feeds as line ends. Lone surrogates become ``?``."""
    with open_atomically(path) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8", errors="replace", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            # A full disk must be reported once, by the block or the flush above; closing belongs to the outer block.
            with contextlib.suppress(OSError, ValueError):
                text.detach()


def _link(name: str, path: Path) -> bool:
    """Give a finished file its free name, in one step where the file system has hard links; False where it has none."""
    try:
        os.link(name, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        return False
    Path(name).unlink()
    return True


def write_atomically(path: Path, text: str, *, over: bool = True) -> None:
    """Write a whole UTF-8 text file; see :func:`open_atomically`."""
    with open_atomically(path, over=over) as stream:
        stream.write(text.encode("utf-8", "replace"))


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading without following a link or waiting on a FIFO.

    Raises:
        OSError: If it cannot be opened, is a link, or is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield stream


def read_small(path: Path, limit: int = 1 << 16) -> bytes:
    """The bytes of a small file of ours that anybody in the job could have replaced.

    Raises:
        OSError: See :func:`open_regular`; also if the file is larger than ``limit`` bytes.
    """
    with open_regular(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return data


def discard_unfinished() -> None:
    """Remove what an abandoned writer left; for a process that stops without waiting for its worker."""
    held = _lock.acquire(timeout=1.0)  # whoever has it may hang in a file system
    names = list(_unfinished)
    if held:
        _lock.release()
    for name in names:
        _remove(name)


def sweep(folder: Path, before: float) -> None:
    """Remove what killed processes left unfinished: in a folder of ours, and of ours where temporary files are kept.

    Args:
        folder: Where reports and the history are written.
        before: Only what nothing has changed since this time, in seconds since 1970; others may be at work.
    """
    for place, names in ((folder, _LEFT_HERE), (Path(tempfile.gettempdir()), _LEFT_ELSEWHERE)):
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if names.fullmatch(entry.name) and _is_forgotten(entry.path, before, ours=place == folder):
                    _remove(entry.path)


def _is_forgotten(name: str, before: float, *, ours: bool) -> bool:
    """True for a file or a folder that nothing has touched since then; elsewhere only if it belongs to us."""
    try:
        facts = os.lstat(name)
        belongs = ours or facts.st_uid == getattr(os, "geteuid", lambda: facts.st_uid)()
        if facts.st_mtime >= before or not belongs or not stat.S_ISDIR(facts.st_mode):
            return facts.st_mtime < before and ours and stat.S_ISREG(facts.st_mode)
        # A long download changes the time of the file that it fills, not that of the folder.
        with os.scandir(name) as inside:
            return all(entry.stat(follow_symlinks=False).st_mtime < before for entry in inside)
    except OSError:
        return False


def _discard(name: str) -> None:
    _remove(name)
    with _lock:
        _unfinished.discard(name)


def _remove(name: str) -> None:
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            Path(name).unlink()
        if not os.path.lexists(name):
            return
        shutil.rmtree(name, ignore_errors=True)  # follows no link


def _umask() -> int:
    # There is no way to read it without setting it; both calls together are quicker than any writer's first byte.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
