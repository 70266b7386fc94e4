"""Zip files that hold exactly one file: how artifacts travel. Nothing is ever extracted by a name from inside."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ci_bridge.errors import PlatformError

_CHUNK = 1 << 20
_FREE = 64 << 20
_DIRECTORY = 256 << 10
"""Bytes that the directory at the end may take, several times what one entry and a comment can."""
MAX_RATIO = 200
"""Most bytes out of one byte in, once more than 64 MiB come out: far above any log, far below a bomb."""


def pack(source: Path, name: str, target: Path, *, compress: bool) -> None:
    """Write a zip that holds the file ``source`` under ``name``."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    # A fixed date: the same bytes always make the same archive, and files from before 1980 make one at all.
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = method
    entry.create_system = 3  # Unix, on every system: it says what the next line means
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    with (
        zipfile.ZipFile(target, "w", method, allowZip64=True) as archive,
        source.open("rb") as stream,
        archive.open(entry, "w", force_zip64=source.stat().st_size > 1 << 31) as out,
    ):
        while chunk := stream.read(_CHUNK):
            out.write(chunk)


def unpack(archive_file: BinaryIO, *, title: str, limit: int, name: str | None = None) -> Iterator[bytes]:
    """Yield the bytes of the one file inside.

    Args:
        archive_file: The archive, seekable.
        title: Of the artifact, for messages.
        limit: Bytes that may come out.
        name: What the file must be called, None for any name.

    Raises:
        PlatformError: It is no zip, damaged, or holds anything but one regular file within the limits.
    """
    try:
        sparing = _Sparing(archive_file)
        with zipfile.ZipFile(sparing) as archive:
            sparing.most = None
            entries = archive.infolist()
            if len(entries) != 1:
                raise PlatformError(f"artifact {title}: holds {len(entries)} files, expected one")
            entry = entries[0]
            _refuse_odd(entry, title, limit, name)
            written = 0
            with archive.open(entry) as stream:
                while chunk := stream.read(_CHUNK):
                    written += len(chunk)
                    if written > min(limit, entry.file_size) or _is_bomb(written, entry.compress_size):
                        raise PlatformError(f"artifact {title}: unpacks to more than it says or may")
                    yield chunk
            if written != entry.file_size:
                raise PlatformError(f"artifact {title}: cut short")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise PlatformError(f"artifact {title}: damaged ({error})") from error


class _Sparing:
    """An archive that gives little at a time while its directory is read, which is done in one go, however large."""

    def __init__(self, stream: BinaryIO) -> None:
        self.most: int | None = _DIRECTORY
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if self.most is None:
            return self._stream.read(size)
        data = self._stream.read(min(size if size >= 0 else self.most + 1, self.most + 1))
        if len(data) > self.most:
            raise zipfile.BadZipFile("its directory is longer than that of one file")
        return data


def _refuse_odd(entry: zipfile.ZipInfo, title: str, limit: int, name: str | None) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.is_dir() or kind not in (0, stat.S_IFREG):
        raise PlatformError(f"artifact {title}: holds no regular file")
    if entry.flag_bits & 0x1:
        raise PlatformError(f"artifact {title}: is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PlatformError(f"artifact {title}: is compressed in an unknown way")
    if name is not None and entry.filename != name:
        raise PlatformError(f"artifact {title}: the file inside does not have the expected name")
    if entry.file_size > limit or _is_bomb(entry.file_size, entry.compress_size):
        raise PlatformError(f"artifact {title}: unpacks to {entry.file_size} bytes, more than is allowed")


def _is_bomb(size: int, packed: int) -> bool:
    return size > _FREE and size > MAX_RATIO * max(packed, 1)
