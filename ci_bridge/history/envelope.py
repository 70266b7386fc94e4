"""Bytes on their way: SHA-256, then zlib, then a signature if there is a secret.

Whatever was damaged on the way, or was not made by who knows the secret, shows before anything is unpacked.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Iterator

from ci_bridge.errors import HistoryError

_DIGEST = 32
_PIECE = 1 << 18


class DamagedObjectError(HistoryError):
    """Not what was stored, or never one of ours. Stored objects never change, so it stays so."""


class UnsignedObjectError(HistoryError):
    """Whole, but not signed with our secret: to be passed over as if it were not there."""


class Packer:
    """Compresses piece by piece.

    Args:
        level: Of zlib: 1 fastest, 9 smallest.
        secret: What to sign with, empty for no signature.
    """

    def __init__(self, level: int, secret: bytes = b"") -> None:
        self._deflater = zlib.compressobj(level)
        self._packed: list[bytes] = [b""]
        self._digest = hashlib.sha256()
        self._signature = hmac.new(secret, digestmod="sha256") if secret else None

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._keep(self._deflater.compress(data))

    def finish(self) -> bytes:
        """The whole: 32 bytes of SHA-256 over what follows, the zlib stream, and its HMAC-SHA256 where it is signed."""
        self._keep(self._deflater.flush())
        if self._signature:
            self._keep(self._signature.digest())
        self._packed[0] = self._digest.digest()
        return b"".join(self._packed)

    def _keep(self, packed: bytes) -> None:
        if packed:
            self._digest.update(packed)
            if self._signature:
                self._signature.update(packed)
            self._packed.append(packed)


def unpack(data: bytes, limit: int, secret: bytes = b"") -> Iterator[bytes]:
    """What :class:`Packer` packed, in pieces of at most 256 KiB.

    Args:
        data: From :meth:`Packer.finish`.
        limit: Bytes that it may inflate to.
        secret: What it must be signed with; empty to take it with a signature or without.

    Raises:
        DamagedObjectError: If the digest differs (before the first piece), or it inflates to too much.
        UnsignedObjectError: If it is not signed with ``secret`` (before the first piece).
    """
    packed = memoryview(data)[_DIGEST:]
    if len(data) <= _DIGEST or hashlib.sha256(packed).digest() != data[:_DIGEST]:
        raise DamagedObjectError("its SHA-256 differs: it is cut short, damaged or not ours")
    behind = {0, _DIGEST}
    if secret:
        packed, signature = packed[:-_DIGEST], packed[-_DIGEST:]
        behind = {0}
        if not hmac.compare_digest(hmac.digest(secret, packed, "sha256"), signature):
            raise UnsignedObjectError("it is not signed with history_secret")
    inflater = zlib.decompressobj()
    total = start = 0
    # What the inflater still holds back comes out only when it is asked for more, even where all was fed to it.
    while not inflater.eof:
        waiting = inflater.unconsumed_tail or packed[start : start + _PIECE]
        start += 0 if inflater.unconsumed_tail else len(waiting)
        try:
            piece = inflater.decompress(waiting, _PIECE)
        except zlib.error as error:
            raise DamagedObjectError(f"it does not unpack: {error}") from None
        if not piece and not len(waiting):
            break
        total += len(piece)
        if total > limit:
            raise DamagedObjectError(f"it unpacks to more than {limit >> 20} MiB")
        yield piece
    if not inflater.eof or len(packed) - start + len(inflater.unused_data) not in behind:
        raise DamagedObjectError("it is cut short or has something behind it")
