"""Opening a history file that somebody else may have written.

Nothing in the file is run or believed before its schema text has been found equal to ours: until then only its header
and the table of its objects are read, from a private copy, read-only. What is built into SQLite to keep hostile files
harmless is switched on besides (https://www.sqlite.org/security.html).
"""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ci_bridge.atomic import private_folder
from ci_bridge.errors import HistoryError
from ci_bridge.history import codes, seal
from ci_bridge.history.schema import APPLICATION_ID, CONDITIONS, MOST_TESTS, VERSION, expected_schema, schema_of

LARGEST_FILE = 2 << 30
PATIENCE = 60.0
"""Seconds that opening may take, and each query after it."""

_MAGIC = b"SQLite format 3\0"
_STEPS = 100_000  # of SQLite's virtual machine between two looks at the clock


class NewerHistoryError(HistoryError):
    """Written by a newer version; to be left alone."""


class ForeignFileError(HistoryError):
    """Not a history file at all; to be left alone."""


class DamagedHistoryError(HistoryError):
    """A history file that is broken or hostile; to be set aside."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps for opening: bytes of the file, seconds for opening and for each query."""

    size: int = LARGEST_FILE
    seconds: float = PATIENCE


class Deadline:
    """Stops a connection's statements when their time is over."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self.restart()

    def restart(self) -> None:
        """Grant the full time again."""
        self._end = self._clock() + self._seconds

    def is_over(self) -> bool:
        """True if it is too late."""
        return self._clock() > self._end


@contextlib.contextmanager
def private_copy(path: Path, limits: Limits) -> Iterator[Path]:
    """A copy of the file in a fresh private folder, its header checked.

    Raises:
        FileNotFoundError: If nothing is there.
        HistoryError: One of the three classes above, or itself where the file cannot be read.
    """
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        opened = io.FileIO(path, "rb", opener=lambda name, wanted: os.open(name, wanted | flags))
    except FileNotFoundError:
        raise
    except OSError as error:
        if path.is_symlink():
            raise HistoryError(f"{path} is a symbolic link; a history must be a plain file") from None
        raise unreadable(path, error) from error
    with opened as source:
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise HistoryError(f"{path} is not a plain file, so it is not a history")
        if status.st_size > limits.size:
            raise HistoryError(f"{path} is larger than {limits.size >> 20} MiB; no history grows to that")
        _check_header(path, source, status.st_size)
        with _private_folder() as folder:
            copy = folder / "history.sqlite"
            source.seek(0)
            try:
                with copy.open("wb") as target:
                    # Bounded, should the file grow meanwhile; what is over the header's size is refused below.
                    _copy(source, target, status.st_size)
            except OSError as error:
                raise HistoryError(f"no room to copy the history {path} to {folder}: {error.strerror}") from error
            yield copy


def unreadable(path: Path, error: Exception) -> HistoryError:
    """What to tell when the disk does not let us read: that says nothing of the history itself."""
    return HistoryError(f"the history {path} cannot be read: {getattr(error, 'strerror', None) or error}")


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(private_folder("history"))
        except OSError as error:
            raise HistoryError(
                f"no folder for temporary files is writable: {error.strerror}", hint="set TMPDIR to one that is"
            ) from error
        yield folder


def _copy(source: io.FileIO, target: BinaryIO, size: int) -> None:
    while size > 0 and (chunk := source.read(min(size, 1 << 20))):
        target.write(chunk)
        size -= len(chunk)


def _check_header(path: Path, source: io.FileIO, size: int) -> None:
    """Look at the first 100 bytes (https://www.sqlite.org/fileformat2.html#the_database_header)."""
    header = source.read(100)
    if not header.strip(b"\0"):
        raise DamagedHistoryError(f"the history {path} is empty or blank")
    if header[: len(_MAGIC)] != _MAGIC[: len(header)]:
        raise ForeignFileError(f"{path} is not a history: it is not an SQLite file")
    if len(header) < 100:
        raise DamagedHistoryError(f"the history {path} is cut short")
    (
        page_size, write_format, read_format, reserved, most, least, leaf, counter, pages, _, _, _, schema_format, _,
        largest_root, encoding, user_version, incremental, application_id, valid_for,
    ) = struct.unpack(">16x H 6B 12I 20x I 4x", header)  # fmt: skip
    if application_id != APPLICATION_ID:
        raise ForeignFileError(f"{path} is not a history: it is some other program's SQLite file")
    if user_version > VERSION:
        raise NewerHistoryError(
            f"the history {path} is of version {user_version}, this ci-bridge knows {VERSION}; it was left untouched",
            hint="update ci-bridge",
        )
    problem = ""
    if user_version != VERSION:
        problem = f"its version {user_version} does not exist"
    elif (write_format, read_format) != (1, 1):
        problem = "it is in WAL mode, whose other half does not travel with it"
    elif reserved > 32 or (most, least, leaf, largest_root, incremental, encoding, schema_format) != (
        64, 32, 32, 0, 0, 1, 4,
    ):  # fmt: skip
        problem = "its header is not one that ci-bridge writes"
    elif counter != valid_for or page_size < 512 or page_size & (page_size - 1) or page_size * pages != size:
        problem = f"its header promises {pages} pages of {page_size} bytes, it has {size} bytes"
    if problem:
        raise DamagedHistoryError(f"the history {path} is damaged: {problem}")


def open_checked(copy: Path, path: Path, limits: Limits, deadline: Deadline) -> sqlite3.Connection:
    """Open a private copy read-only and check everything in it.

    Args:
        copy: From :func:`private_copy`.
        path: Where it comes from, for messages.
        limits: Caps.
        deadline: Of the connection; the caller restarts it before each query.

    Raises:
        DamagedHistoryError: If it is not exactly what ci-bridge writes.
        HistoryError: If the copy cannot be read.
    """
    try:
        connection = sqlite3.connect(
            f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    try:
        _harden(connection)
        connection.set_progress_handler(deadline.is_over, _STEPS)
        if schema_of(connection) != expected_schema():
            raise ValueError("its tables are not exactly those that ci-bridge makes")
        mark, page = seal.read_mark(connection)
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        with copy.open("rb") as stream:
            seal.check_seal(stream, mark, page, page_size)
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise ValueError(f"SQLite says: {found}")
        connection.set_authorizer(_allow_reads)
        _check_values(connection)
        _check_outcomes(connection, deadline)
    except (sqlite3.Error, ValueError) as error:
        connection.close()
        reason = f"checking took longer than {limits.seconds:g} s" if deadline.is_over() else str(error)
        raise DamagedHistoryError(f"the history {path} is damaged or was tampered with: {reason}") from error
    except OSError as error:
        connection.close()
        raise unreadable(path, error) from error
    return connection


def _harden(connection: sqlite3.Connection) -> None:
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON", "mmap_size=0", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.set_authorizer(_allow_checks)
    caps = {
        sqlite3.SQLITE_LIMIT_LENGTH: max(MOST_TESTS + 4096, 1 << 20),
        sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
        sqlite3.SQLITE_LIMIT_COLUMN: 64,
        sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
        sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 8,
        sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
        sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
        sqlite3.SQLITE_LIMIT_ATTACHED: 0,
        sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
        sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 1000,
        sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    }
    for category, cap in caps.items():
        connection.setlimit(category, cap)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)
    connection.text_factory = _text


def _text(data: bytes) -> str:
    """Text that is not UTF-8 is still shown, and hurts nobody."""
    return data.decode("utf-8", "replace")


_FUNCTIONS = frozenset(
    {"abs", "length", "count", "min", "max", "sum", "lower", "instr", "glob", "replace", "trim", "char", "coalesce"}
)


def _allow_reads(action: int, _first: str | None, second: str | None, _db: str | None, _by: str | None) -> int:
    # A savepoint on a read-only file changes nothing; sqlite-utils puts one around each query.
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_SAVEPOINT):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _allow_checks(action: int, first: str | None, second: str | None, db: str | None, by: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA and first in ("integrity_check", "page_size"):
        return sqlite3.SQLITE_OK
    return _allow_reads(action, first, second, db, by)


def _check_values(connection: sqlite3.Connection) -> None:
    for table, conditions in CONDITIONS.items():
        query = f"SELECT count(*) FROM {table} WHERE NOT ({' AND '.join(conditions)})"  # noqa: S608 - our own schema
        if conditions and connection.execute(query).fetchone() != (0,):
            raise ValueError(f"the table {table} holds values that are out of range")


def _check_outcomes(connection: sqlite3.Connection, deadline: Deadline) -> None:
    """Unpack every blob once: SQLite holds them for fine whatever is in them."""
    (width,) = connection.execute("SELECT coalesce(max(test_no), -1) + 1 FROM test").fetchone()
    for (blob,) in connection.execute("SELECT codes FROM outcome"):
        codes.unpack(blob, width)
        if deadline.is_over():
            raise ValueError("its outcomes take too long to unpack")
