"""A digest inside the file, so that damage shows which no structural check can see.

SQLite's own checks pass a file whose content changed by a flipped bit. The only row of the table ``seal`` holds 52
bytes: 16 random ones to find it by, the header's change counter, and the SHA-256 of the whole file with these last 32
bytes taken as zeros. It is written into the finished file in place, which stays plain SQLite. A program that edits the
file raises the change counter, and the seal no longer speaks for it. It guards against accidents, not against forgers.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from typing import BinaryIO

_NONCE, _COUNTER, _DIGEST = 16, 4, 32
_HEADER_COUNTER = 24  # offset of the file change counter (https://www.sqlite.org/fileformat2.html)
_CHUNK = 1 << 20


def new_mark() -> bytes:
    """The row of an unsealed file."""
    return os.urandom(_NONCE) + bytes(_COUNTER + _DIGEST)


def read_mark(connection: sqlite3.Connection) -> tuple[bytes, int]:
    """The mark and the number of the page that holds it.

    Raises:
        ValueError: If there is not exactly one.
    """
    marks = connection.execute("SELECT mark FROM seal LIMIT 2").fetchall()
    if len(marks) != 1:
        raise ValueError("it has no seal, or more than one")
    ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'seal'")
    return marks[0][0], page


def write_seal(stream: BinaryIO, mark: bytes, page: int, page_size: int) -> None:
    """Seal the finished file that ``stream`` is open on for reading and writing."""
    offset = _find(stream, mark, page, page_size)
    stream.seek(_HEADER_COUNTER)
    counter = stream.read(_COUNTER)
    stream.seek(offset + _NONCE)
    stream.write(counter)
    digest = _digest(stream, offset + _NONCE + _COUNTER)
    stream.seek(offset + _NONCE + _COUNTER)
    stream.write(digest)


def check_seal(stream: BinaryIO, mark: bytes, page: int, page_size: int) -> None:
    """Compare the file with its seal; a file edited by another program since then is let pass.

    Raises:
        ValueError: If it was changed by no program that SQLite knows of.
    """
    offset = _find(stream, mark, page, page_size)
    stream.seek(_HEADER_COUNTER)
    if stream.read(_COUNTER) != mark[_NONCE : _NONCE + _COUNTER]:
        return
    if _digest(stream, offset + _NONCE + _COUNTER) != mark[-_DIGEST:]:
        raise ValueError("its content is not what was written (the SHA-256 differs)")


def _find(stream: BinaryIO, mark: bytes, page: int, page_size: int) -> int:
    start = (page - 1) * page_size
    stream.seek(start)
    at = stream.read(page_size).find(mark)
    if at < 0:
        raise ValueError("its seal is not where it belongs")
    return start + at


def _digest(stream: BinaryIO, hole: int) -> bytes:
    digest = hashlib.sha256()
    stream.seek(0)
    digest.update(stream.read(hole))
    digest.update(bytes(_DIGEST))
    stream.seek(hole + _DIGEST)
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()
