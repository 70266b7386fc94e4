"""Replacing the history file so that it is whole at every moment and no writer undoes another's work."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ci_bridge.atomic import unfinished_file
from ci_bridge.errors import HistoryError

_POLL = 0.02  # seconds between two tries for the lock


def previous_of(path: Path) -> Path:
    """Where the state before the last save is kept."""
    return path.with_name(path.name + ".previous")


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Hold the right to replace ``path``; other processes wait up to ``patience`` seconds for it.

    The lock lives with the process: one that was killed holds nothing. Its file is removed at the end.

    Raises:
        HistoryError: If the folder is not writable or the wait was in vain.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(lock, patience)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        # Removed while still held: whoever waits for this very file sees that it is gone and takes a new one.
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> HistoryError:
    """What to tell when the history cannot be saved."""
    return HistoryError(
        f"the history {path} cannot be saved: {error.strerror or error}; what was there is untouched",
        hint="it needs a writable folder with free space",
    )


def _acquire(lock: Path, patience: float) -> int:
    end = time.monotonic() + patience
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError:
            # Not replaced: two who do so at once would each hold a lock of their own.
            if lock.is_symlink() or lock.is_dir():
                raise HistoryError(f"{lock} is no lock of ours but a link or a folder", hint="remove it") from None
            raise
        try:
            if _try_lock(descriptor) and _is_at(lock, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() > end:
            raise HistoryError(f"another process has held {lock} for {patience:g} s", hint="try again when it is done")
        time.sleep(_POLL)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _is_at(lock: Path, descriptor: int) -> bool:
    try:
        found = lock.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


@contextlib.contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """A new empty file beside ``path``, with the permissions of a new file; removed at the end if still there.

    Call it with the lock held: what an earlier writer left when it was killed is removed first.
    """
    prefix = f".{path.name}.new-"
    with contextlib.ExitStack() as stack:
        try:
            for leftover in path.parent.glob(f"{_literal(prefix)}*"):
                leftover.unlink(missing_ok=True)
            descriptor, name = stack.enter_context(unfinished_file(path.parent, prefix))
            os.close(descriptor)
            fresh = Path(name)
            with contextlib.suppress(OSError):
                fresh.chmod(_mode_like(path))
        except OSError as error:
            raise unwritable(path, error) from error
        yield fresh


def _literal(text: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def _mode_like(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0o022)
        os.umask(mask)
        return 0o666 & ~mask


def publish(fresh: Path, path: Path, *, damaged: bool, now: datetime) -> Path | None:
    """Put a finished file in its place in one step; the old one becomes the previous one.

    Args:
        fresh: From :func:`fresh_file`.
        path: The history.
        damaged: True if the old one is broken: then it is kept under a name of its own.
        now: For that name.

    Returns:
        Where the damaged one is kept, None if there was none.
    """
    kept = None
    with fresh.open("rb+") as stream:
        os.fsync(stream.fileno())
    if damaged:
        kept = _unused(path.with_name(f"{path.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"))
        path.replace(kept)
    elif path.exists():
        _keep_previous(path)
    fresh.replace(path)
    _sync_folder(path.parent)
    return kept


def _keep_previous(path: Path) -> None:
    previous = previous_of(path)
    link = path.with_name(f".{path.name}.new-previous")
    try:
        os.link(path, link)
    except (OSError, NotImplementedError):
        # No hard links here: for a moment only the previous file exists, and readers fall back on it.
        path.replace(previous)
        return
    link.replace(previous)
    # Renaming one name of a file over another of its names does nothing at all.
    link.unlink(missing_ok=True)


def _unused(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
