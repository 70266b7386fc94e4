"""How the parallel jobs of one build find each other's parts: each puts one small object and reads the others'.

An object is written once and never changed, so nothing is lost when jobs race. Its name tells title, shard, attempt and
job by hash and number: a job learns from one listing how many have reported, and reads the newest attempts only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ci_bridge.errors import HistoryError, NotFoundError, ResultsError
from ci_bridge.history import envelope
from ci_bridge.legs import MOST_BYTES, leg_of_json, leg_to_json
from ci_bridge.merging import Leg, merge
from ci_bridge.models import RunState, StoredObject
from ci_bridge.names import short_hash
from ci_bridge.protocols import SupportsStore

PREFIX = "ci-bridge-part-"
MOST_STORED = 1 << 20
"""Bytes of one stored part; what unpacks to more than :data:`MOST_UNPACKED` is refused as well."""
MOST_UNPACKED = 8 * MOST_BYTES
MOST_PARTS = 1_000
"""Parts of one build that are read at most."""
FEW = 24
"""Up to so many parallel jobs, each updates the comment; beyond, only about every eighth part of them does."""
FEW_RED = 8
"""Beyond, so many that are not green do as well, and of the further ones about every eighth part."""

_RED = "red"
_NAME = re.compile(
    re.escape(PREFIX)
    + rf"(?P<title>[0-9a-f]{{12}})-(?P<shard>[0-9a-f]{{12}})-(?P<attempt>[0-9]{{1,9}})-(?P<red>{_RED}-)?"
    r"(?:(?P<job>[0-9a-f]{12})-)?.*"
)


def pack(data: object) -> bytes:
    """Plain data as it is stored: JSON in an envelope of the history's objects."""
    packer = envelope.Packer(6)
    packer.write(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    return packer.finish()


def unpack(stored: bytes, limit: int = MOST_UNPACKED) -> object:
    """Read what :func:`pack` wrote.

    Raises:
        ResultsError: It is cut, damaged, no JSON, or more than ``limit`` bytes unpacked.
    """
    try:
        return json.loads(b"".join(envelope.unpack(stored, limit)), parse_constant=_refuse)
    except (HistoryError, ValueError, RecursionError) as error:
        raise ResultsError(f"damaged in the store: {error}") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


@dataclass(slots=True)
class Siblings:
    """The parts of one build under one title, as one of its jobs sees them.

    Attributes:
        store: Where they are.
        title: Of the report; jobs with another title are no siblings.
        own: This job's part, once it is put.
        shows_own: True if the last listing showed it: what a store lists may lag behind what it holds.
        warnings: Parts that could not be read, each once.
    """

    store: SupportsStore
    title: str
    own: Leg | None = None
    shows_own: bool = False
    warnings: list[str] = field(default_factory=list)
    _read: dict[str, Leg | None] = field(default_factory=dict)
    _tried: bool = False

    @property
    def prefix(self) -> str:
        """What the names of all parts begin with."""
        return f"{PREFIX}{short_hash(self.title)}-"

    def put(self, leg: Leg, retention_days: int) -> Leg:
        """Store this job's part; safe to repeat, since the newest one of a job counts.

        Raises:
            CIBridgeError: The store does not take it.
        """
        red = "" if leg.result.state is RunState.SUCCESS else f"{_RED}-"
        job = short_hash(self.store.job_key) if self.store.job_key else ""
        name = f"{self.prefix}{short_hash(leg.shard)}-{leg.attempt}-{red}{f'{job}-' if job else ''}{leg.uid}"
        stored = self._stored_before(name) if self._tried else None
        self._tried = True
        stored = stored or self.store.put_object(name, pack(leg_to_json(leg)), retention_days)
        self.own = replace(leg, job=job, object_id=stored.id, put_at=stored.created_at)
        self._read[stored.id] = self.own
        return self.own

    def _stored_before(self, name: str) -> StoredObject | None:
        """What a call stored whose answer was lost: names hold the run's id, so only a retry can meet its own."""
        return next((stored for stored in self.store.list_siblings(name) if stored.name == name), None)

    def listed(self) -> list[StoredObject]:
        """The newest attempt of each shard that has reported, this job's own at least; one call of the store."""
        newest: dict[tuple[str, str | None], tuple[tuple[int, object, int, str], StoredObject]] = {}
        last: dict[str, int] = {}
        self.shows_own = False
        for stored in self.store.list_siblings(self.prefix):
            self.shows_own |= self.own is not None and stored.id == self.own.object_id
            match = _NAME.fullmatch(stored.name)
            if match is None or stored.size > MOST_STORED:
                continue
            rank = (int(match["attempt"]), stored.created_at, len(stored.id), stored.id)
            shard, key = match["shard"], (match["shard"], match["job"])
            if self._read.get(stored.id, ...) is None:
                continue  # known as damaged: an older attempt is better than none
            last[shard] = max(rank[0], last.get(shard, 0))
            if key not in newest or rank > newest[key][0]:
                newest[key] = (rank, stored)
        return [stored for (shard, _), (rank, stored) in newest.items() if rank[0] == last[shard]][:MOST_PARTS]

    def read(self, listed: Iterable[StoredObject]) -> tuple[Leg, ...]:
        """The parts, sorted by shard. What cannot be read is left out with a warning; what was read before is kept.

        Raises:
            CIBridgeError: The store does not answer.
        """
        legs = []
        for stored in listed:
            if stored.id not in self._read:
                self._read[stored.id] = self._fetch(stored)
            if (leg := self._read[stored.id]) is not None:
                # The list's own time, for this job's part too: all must order them alike.
                legs.append(replace(leg, put_at=stored.created_at))
        mine = [self.own] if self.own and all(leg.object_id != self.own.object_id for leg in legs) else []
        return merge(legs, mine)

    def _fetch(self, stored: StoredObject) -> Leg | None:
        try:
            data = unpack(self.store.get_object(stored, MOST_STORED))
            if isinstance(data, Mapping) and self.prefix + short_hash(str(data.get("shard"))) not in stored.name:
                raise ResultsError("its name is another shard's")
            match = _NAME.fullmatch(stored.name)
            job = (match["job"] if match else None) or ""
            return replace(leg_of_json(data), job=job, object_id=stored.id, put_at=stored.created_at)
        except (ResultsError, NotFoundError) as error:
            self.warnings.append(f"part of the build left out: {stored.name}: {error}")
            return None

    def is_due(self, listed: list[StoredObject], shard_total: int | None) -> bool:
        """True if this job should update the comment now: always in a small matrix and when all have reported.

        One that is not green does not wait for others, which may never come; but each update reads all parts, so where
        many are red the first of them do it at once and the further ones now and then.
        """
        here, total = len(listed), shard_total or 0
        if total <= FEW or here >= total or here == 1:
            return True
        step = -(-total // 8)
        red = sum(1 for stored in listed if (match := _NAME.fullmatch(stored.name)) and match["red"])
        is_red = self.own is not None and self.own.result.state is not RunState.SUCCESS
        return here % step == 0 or (is_red and (red <= FEW_RED or red % step == 0))
