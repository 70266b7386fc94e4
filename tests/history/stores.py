"""Stores for the tests: one with a clock of its own, late listings, crashes and broken uploads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from ci_bridge.errors import NotFoundError, PlatformError
from ci_bridge.models import StoredObject
from ci_bridge.protocols import SupportsStore
from tests.history.samples import NOW


class Killed(BaseException):
    """The job died in the middle of storing something."""


@dataclass
class Faults:
    """How often what goes wrong, and how long the listing lags behind.

    Attributes:
        dies: Share of uploads in which the job dies before anything is stored.
        cut: Share that is stored in part only.
        twice: Share that is stored a second time under another id.
        lag: Mean seconds until an object is listed; ``tail`` is the share that takes 15 minutes.
    """

    dies: float = 0.03
    cut: float = 0.01
    twice: float = 0.02
    lag: float = 20.0
    tail: float = 0.02


@dataclass
class VirtualStore(SupportsStore):
    """Immutable objects in memory, under a clock that the test moves."""

    expires: bool = True
    now: datetime = NOW
    faults: Faults | None = None
    random: Random = field(default_factory=lambda: Random(1))
    objects: dict[str, tuple[StoredObject, bytes, datetime, datetime]] = field(default_factory=dict)
    stored: int = 0
    intact: set[str] = field(default_factory=set)
    gets: int = 0
    lists: int = 0
    deleted: list[str] = field(default_factory=list)
    fails: Callable[[str, StoredObject | None], None] = lambda _method, _stored: None

    @property
    def store_expires(self) -> bool:
        return self.expires

    def put_object(self, name: str, data: bytes, retention_days: int) -> StoredObject:
        self.fails("put", None)
        faults, random = self.faults, self.random
        if faults and random.random() < faults.dies:
            raise Killed
        cut = bool(faults) and random.random() < faults.cut  # type: ignore[union-attr]
        stored = self._keep(name, data[: len(data) // 2] if cut else data, retention_days)
        if not cut:
            self.intact.add(stored.id)
        if faults and random.random() < faults.twice:
            self.intact.add(self._keep(name, data, retention_days).id)
        return stored

    def _keep(self, name: str, data: bytes, days: int) -> StoredObject:
        self.stored += 1
        stored = StoredObject(str(1000 + self.stored), name, self.now, len(data), "build")
        lag = timedelta()
        if self.faults:
            late = self.random.random() < self.faults.tail
            lag = timedelta(seconds=900 if late else self.random.expovariate(1 / self.faults.lag))
        expiry = self.now + timedelta(days=days if self.expires else 100_000)
        self.objects[stored.id] = stored, data, self.now + lag, expiry
        return stored

    def _listed(self, prefix: str) -> list[StoredObject]:
        self.lists += 1
        found = [
            stored
            for stored, _, visible, expiry in self.objects.values()
            if stored.name.startswith(prefix) and visible <= self.now < expiry
        ]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)

    def list_objects(self, prefix: str, limit: int, *, every_pipeline: bool = False) -> Sequence[StoredObject]:
        self.fails("list", None)
        return self._listed(prefix)[:limit]

    def list_siblings(self, prefix: str) -> Sequence[StoredObject]:
        return self._listed(prefix)[::-1]

    def get_object(self, stored: StoredObject, limit: int) -> bytes:
        self.gets += 1
        self.fails("get", stored)
        if stored.id not in self.objects or self.objects[stored.id][3] <= self.now:
            raise NotFoundError(f"{stored.id} is gone")
        data = self.objects[stored.id][1]
        if len(data) > limit:
            raise PlatformError("too large")
        return data

    def delete_object(self, stored: StoredObject) -> None:
        assert not self.expires
        self.deleted.append(stored.id)
        self.objects.pop(stored.id, None)

    def named(self, start: str) -> list[str]:
        """Ids of the objects whose name begins so, oldest first, whether listed yet or not."""
        return [one.id for one, *_ in self.objects.values() if one.name.startswith(start)]
