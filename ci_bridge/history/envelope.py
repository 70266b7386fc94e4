"""Bytes on their way: SHA-256, then zlib. Whatever was damaged on the way shows before anything is unpacked."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator

from ci_bridge.errors import HistoryError

_DIGEST = 32
_PIECE = 1 << 18


class DamagedObjectError(HistoryError):
    """Not what was stored, or never one of ours. Stored objects never change, so it stays so."""


class Packer:
    """Compresses piece by piece.

    Args:
        level: Of zlib: 1 fastest, 9 smallest.
    """

    def __init__(self, level: int) -> None:
        self._deflater = zlib.compressobj(level)
        self._packed: list[bytes] = [b""]
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._keep(self._deflater.compress(data))

    def finish(self) -> bytes:
        """The whole: 32 bytes of SHA-256 over what follows, and the zlib stream."""
        self._keep(self._deflater.flush())
        self._packed[0] = self._digest.digest()
        return b"".join(self._packed)

    def _keep(self, packed: bytes) -> None:
        if packed:
            self._digest.update(packed)
            self._packed.append(packed)


def unpack(data: bytes, limit: int) -> Iterator[bytes]:
    """What :class:`Packer` packed, in pieces of at most 256 KiB.

    Args:
        data: From :meth:`Packer.finish`.
        limit: Bytes that it may inflate to.

    Raises:
        DamagedObjectError: If the digest differs (before the first piece), or it inflates to too much.
    """
    packed = memoryview(data)[_DIGEST:]
    if len(data) <= _DIGEST or hashlib.sha256(packed).digest() != data[:_DIGEST]:
        raise DamagedObjectError("its SHA-256 differs: it is cut short, damaged or not ours")
    inflater = zlib.decompressobj()
    total = 0
    for start in range(0, len(packed), _PIECE):
        waiting: bytes | memoryview = packed[start : start + _PIECE]
        while len(waiting) and not inflater.eof:
            try:
                piece = inflater.decompress(waiting, _PIECE)
            except zlib.error as error:
                raise DamagedObjectError(f"it does not unpack: {error}") from None
            waiting = inflater.unconsumed_tail
            total += len(piece)
            if total > limit:
                raise DamagedObjectError(f"it unpacks to more than {limit >> 20} MiB")
            yield piece
    # What the inflater still holds back comes out only when it is asked for more; the stream's end settles both.
    while not inflater.eof and (piece := inflater.decompress(inflater.unconsumed_tail, _PIECE)):
        total += len(piece)
        if total > limit:
            raise DamagedObjectError(f"it unpacks to more than {limit >> 20} MiB")
        yield piece
    if not inflater.eof or inflater.unused_data:
        raise DamagedObjectError("it is cut short or has something behind it")
