"""Keeps tests apart that merely share a name; shared by the formats that hold no repeated executions."""

from __future__ import annotations

from collections.abc import Hashable


class Distinct:
    """Gives the second, third … test of a name a number, for the formats in which a name seen twice is another test.

    Without it a failure and a success of two tests called alike would look like one flaky test. It keeps a hash a
    name, so that a million names cost little memory.

    Args:
        limit: Names to remember; further ones come back as they are, because as many cases are dropped anyway.
    """

    __slots__ = ("_again", "_limit", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[int] = set()
        self._again: dict[int, int] = {}

    def name(self, scope: Hashable, name: str) -> str:
        """The name, with `` (2)`` or more at its end if ``scope`` has had it before."""
        key = hash((scope, name))
        if key not in self._seen:
            if len(self._seen) < self._limit:
                self._seen.add(key)
            return name
        self._again[key] = number = self._again.get(key, 1) + 1
        return f"{name} ({number})"
