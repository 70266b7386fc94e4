"""Files that are whole or absent: written beside their place, synced, then renamed."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

_unfinished: set[str] = set()
_lock = threading.Lock()


@contextlib.contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open ``path`` for writing bytes; it appears under its name only when the block ends without an error.

    The parent folder must exist. A symbolic link at ``path`` is replaced, never followed.

    Raises:
        OSError: If it cannot be written; what stood at ``path`` before is untouched.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    with _lock:
        _unfinished.add(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; results are as readable as any other file of the build.
        with contextlib.suppress(OSError):
            Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    finally:
        with _lock:
            _unfinished.discard(name)


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


def write_atomically(path: Path, text: str) -> None:
    """Write a whole UTF-8 text file; see :func:`open_atomically`."""
    with open_atomically(path) as stream:
        stream.write(text.encode("utf-8", "replace"))


def discard_unfinished() -> None:
    """Remove what an abandoned writer left; for a process that stops without waiting for its worker."""
    with _lock:
        names = list(_unfinished)
    for name in names:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def _umask() -> int:
    # There is no way to read it without setting it; both calls together are quicker than any writer's first byte.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
