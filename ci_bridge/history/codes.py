"""One byte per test and run: absent, skipped, or how long it took.

Byte 0 is *absent*, byte 1 *skipped*, byte ``k`` from 2 on stands for ``1 ms · e^(0.0624·(k - 2))``: steps of 6.4 %
from a millisecond to two hours. Whether it passed is told apart by the rows of ``nonpass``.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_right

ABSENT, SKIPPED, SHORTEST, LONGEST = 0, 1, 2, 255

STEP = 0.0624

_bounds = [0.001 * math.exp(STEP * (code - SHORTEST + 0.5)) for code in range(SHORTEST, LONGEST)]

SECONDS = [math.nan, math.nan, *(0.001 * math.exp(STEP * (code - SHORTEST)) for code in range(SHORTEST, 256))]
"""What each byte stands for, in seconds."""

LETTERS = bytes([ord("-"), ord("S"), *[ord("P")] * 254])
"""A table for ``bytes.translate``: absent ``-``, skipped ``S``, else ``P``."""


def encode_duration(seconds: float) -> int:
    """The byte nearest to a duration in seconds."""
    return SHORTEST + bisect_right(_bounds, seconds)


def pack(codes: bytes | bytearray) -> bytes:
    """Compress a run's codes."""
    return zlib.compress(bytes(codes).rstrip(b"\0"), 6)


def unpack(blob: bytes, limit: int) -> bytes:
    """The codes of a run.

    Args:
        blob: As :func:`pack` made it.
        limit: Bytes that it may inflate to.

    Raises:
        ValueError: If it is not such a blob, or is a bomb.
    """
    inflater = zlib.decompressobj()
    try:
        codes = inflater.decompress(blob, limit + 1)
    except zlib.error as error:
        raise ValueError(f"a run's outcomes do not unpack: {error}") from None
    if len(codes) > limit:
        raise ValueError("a run's outcomes unpack to more bytes than there are tests")
    if not inflater.eof or inflater.unused_data:
        raise ValueError("a run's outcomes are cut short or have something behind them")
    return codes


def peek(blob: bytes, width: int) -> bytes:
    """The first ``width`` codes of a blob that :func:`unpack` has let pass, filled up with *absent*."""
    return zlib.decompressobj().decompress(blob, width).ljust(width, b"\0")
