"""How the history travels: every job stores its own segment, some jobs fold segments into a new base.

Nothing that is stored ever changes, so nothing needs a lock. A base names the objects that it covers; whatever is
listed and not named is read besides. Two jobs that compact at once are harmless: whichever base is the newer, what it
does not name is still there. docs/history.md ("How it travels") has the rules; their letters are in the comments.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ci_bridge.atomic import private_folder
from ci_bridge.errors import AuthenticationError, HistoryError, NotFoundError, PermissionDeniedError, PlatformError
from ci_bridge.history.checked import Deadline, Limits, NewerHistoryError, open_checked, private_copy
from ci_bridge.history.envelope import DamagedObjectError, Packer, UnsignedObjectError, unpack
from ci_bridge.history.recording import RunRecord
from ci_bridge.history.saving import previous_of
from ci_bridge.history.segments import NewerSegmentError, SegmentLimits, decode, encode
from ci_bridge.history.store import History
from ci_bridge.models import StoredObject
from ci_bridge.protocols import Listing, SupportsStore

SEGMENT_DAYS = 30
"""How long a segment is kept; must outlive the longest gap between two compactions."""

BASE_DAYS = 14
BASES_KEPT = 3
MOST_SEGMENTS_FOR_PULL_REQUEST = 10
MOST_OWN_SEGMENTS = 3
"""Of the pull request itself, among those ten."""

MANY_UNCOVERED = 20
MOST_LISTED = 20_000

LONGEST_NAME = 200
"""Characters of an object's name that every store takes."""

_BASES_LISTED = 20
_FIRST_LISTED = 100
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_LEVEL = 1  # the outcomes inside are packed already
_LARGEST_BASE = 1 << 30
_OTHERS = (
    "what the project's other pipelines, or builds that anybody can start, have stored was passed over: "
    "pipelines share a history if they name the same history_key"
)


class DamagedStoreError(HistoryError):
    """There are bases, but none can be used or told to be ours; nothing may begin afresh beside them."""


@dataclass(frozen=True, slots=True)
class PullRequestScope:
    """Whose earlier runs a pull request's build reads beside the trusted ones: those of the same report in it.

    Attributes:
        number: Of the pull request.
        report: What tells it from others: title, pipeline and job.
        build: This build's own id: of its other parallel jobs nothing is read.
        shard: This parallel job's key.
    """

    number: str
    report: str
    build: str = ""
    shard: str = ""

    @property
    def mark(self) -> str:
        """How the names of its segments go on after the prefix; it is for finding them and vouches for nothing."""
        return f"{self._start}.{_digest(self.build)}{_digest(self.shard)}"

    @property
    def _start(self) -> str:
        return f"pr{_plain(self.number)}.{_digest(self.report, 8)}"

    def takes(self, name: str) -> bool:
        """True for the rest of the name of an earlier run's segment."""
        others = name.startswith(f"{self._start}.") and not name.startswith(f"{self._start}.{_digest(self.build)}")
        return others or name.startswith(f"{self.mark}-")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of the store.

    Attributes:
        base: The base, None where there is none yet.
        read: Segments that were added to it.
        left: Listed segments that were not: over the limit of a pull request, out of time, or of an origin that
            would have taken too long to find out.
        waiting: When the segments were stored that no base covers, oldest first.
        notes: What a person should know.
        own: Segments of the pull request itself that were read besides.
    """

    base: StoredObject | None = None
    read: int = 0
    left: int = 0
    waiting: tuple[datetime, ...] = ()
    notes: tuple[str, ...] = ()
    own: int = 0

    def __str__(self) -> str:
        own = f"{self.own} of this pull request's own"
        if self.base is None and not self.read:
            return f"no earlier history but {own}" if self.own else "no earlier history"
        start = f"base of {self.base.created_at:%Y-%m-%d %H:%M} UTC" if self.base else "no base yet"
        count = f"{self.read} of {self.read + self.left}" if self.left else str(self.read)
        text = f"{start} + {count} segment{'' if count == '1' else 's'}"
        return f"{text} + {own}" if self.own else text


@dataclass(slots=True)
class TravellingHistory:
    """The history of one project in a store, and its private working copy.

    Args:
        store: Where base and segments are.
        cache: The working copy: an ordinary history file, replaced by :meth:`fetch`.
        key: Name of the history where one project keeps several (option ``history_key``).
        secret: What objects are signed with (option ``history_secret``); those without its signature are not there for
            us. Empty signs nothing and takes any.
        limits: Caps for a base and for a segment.
        pause: Called before each download; it may raise to stop, and answers False where time is short.
        segment_days: How long the store keeps a segment, and base_days a base.
        scope: The pull request that is built, None without one.
        reading: What :meth:`fetch` read.
    """

    store: SupportsStore
    cache: Path
    key: str = ""
    limits: Limits = field(default_factory=Limits)
    segment_limits: SegmentLimits = field(default_factory=SegmentLimits)
    pause: Callable[[], bool] = lambda: True
    segment_days: int = SEGMENT_DAYS
    base_days: int = BASE_DAYS
    reading: Reading | None = None
    secret: bytes = b""
    scope: PullRequestScope | None = None
    _turn: int = 0
    _unsigned: set[str] = field(default_factory=set)
    _own: list[tuple[StoredObject, str]] = field(default_factory=list)

    @property
    def base_name(self) -> str:
        """The one name of all bases: a platform's listing may filter by exact name only."""
        return f"ci-bridge.{self.key}.base" if self.key else "ci-bridge-base"

    @property
    def segment_prefix(self) -> str:
        """What the names of all segments begin with."""
        return f"ci-bridge.{self.key}.segment-" if self.key else "ci-bridge-segment-"

    # --- reading -----------------------------------------------------------------------------------------------------

    def fetch(self, *, pull_request: bool = False) -> Reading:
        """Bring the working copy to what the store holds: its newest sound base and the segments not covered by it.

        Args:
            pull_request: Read ten segments only: the newest three of the pull request itself, and the newest
                uncovered ones.

        Raises:
            HistoryError: If there are bases and none is sound, or a newer version wrote the newest.
            PlatformError: If the store does not answer. The working copy holds nothing then.
        """
        self._turn += 1
        turn, self.reading = self._turn, None
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        for old in (self.cache, previous_of(self.cache)):
            old.unlink(missing_ok=True)
        # Half of a history would be taken for the whole, so it gets its name at the end.
        with private_folder("history", self.cache.parent) as folder:
            fresh = folder / "history.sqlite"
            reading = self._fetch(fresh, pull_request=pull_request)
            if turn != self._turn:
                raise HistoryError("reading the store took too long and was begun again")
            if fresh.exists():
                fresh.replace(self.cache)
        self.reading = reading
        return reading

    def _fetch(self, fresh: Path, *, pull_request: bool) -> Reading:
        notes: list[str] = []
        bases = self._list_bases(most=_BASES_LISTED if pull_request else MOST_LISTED)
        try:
            base, covered = self._restore(bases, fresh, notes)
        except DamagedStoreError:
            if pull_request or (bases.is_whole and not bases.unsure):
                raise
            base, covered = self._restore(self._list(self.base_name, MOST_LISTED), fresh, notes)
        if base is None and bases.has_others:
            notes.append(_OTHERS)
        listed = self._list_segments(covered, most=_FIRST_LISTED if pull_request else MOST_LISTED)
        segments = sorted(listed, key=_age)
        uncovered = [one for one in segments if one.id not in covered]
        unsure = sum(one.id not in covered for one in listed.unsure)
        own = self._own_segments(listed) if pull_request else []
        wanted = uncovered[len(own) - MOST_SEGMENTS_FOR_PULL_REQUEST :] if pull_request else uncovered
        if unsure:
            notes.append(f"segments of {unsure} more builds were left: where they come from takes too long to find out")
        if not listed.is_whole and len(uncovered) == len(segments) and len(uncovered) == len(wanted):
            notes.append("older segments may be missing: the list of what is stored was too long to read to its end")
        read = added = own_read = 0
        if wanted or own:
            with History.writing(fresh, limits=self.limits) as history:
                read, added = self._add(history, wanted, notes)
                own_read, _ = self._add(history, own, notes, self.scope)
        waiting = tuple(one.created_at for one in uncovered if one.id not in self._unsigned)
        left = len(uncovered) + unsure - added
        return Reading(base, read, left, waiting, tuple(dict.fromkeys(notes)), own_read)

    def _own_segments(self, listed: Listing) -> list[StoredObject]:
        """The newest of this pull request and report, oldest first."""
        scope, start = self.scope, len(self.segment_prefix)
        own = [one for one in listed.own if scope is not None and scope.takes(one.name[start:])]
        return sorted(own, key=_age)[-MOST_OWN_SEGMENTS:]

    def _list_bases(self, most: int = MOST_LISTED) -> Listing:
        """All that may be used. Listing goes on until there is one.

        Raises:
            DamagedStoreError: None could be told to be ours among those that there are.
        """
        for size in sorted({_BASES_LISTED, most}):
            found = self._list(self.base_name, size)
            if found or (found.is_whole and not found.unsure):
                return found
        raise DamagedStoreError(
            f"too many objects are called {self.base_name} to find out which of them are to be trusted",
            hint="set history_key to a name of its own",
        )

    def bases(self) -> list[StoredObject]:
        """The bases that may be used, newest first.

        Raises:
            DamagedStoreError: None could be told to be ours among those that there are.
            PlatformError: The store does not answer.
        """
        return sorted(self._list_bases(), key=_age, reverse=True)

    def _list(self, name: str, limit: int) -> Listing:
        """What the store lists under this name, or of names that begin so."""
        found = self.store.list_objects(name, limit, every_pipeline=bool(self.key))

        def fitting(listed: Iterable[StoredObject]) -> list[StoredObject]:
            named = (one for one in listed if one.name == name or (name.endswith("-") and one.name.startswith(name)))
            return [one for one in named if one.id not in self._unsigned]

        if not isinstance(found, Listing):
            return Listing(fitting(found), is_whole=len(found) < limit)
        return Listing(
            fitting(found),
            is_whole=found.is_whole,
            unsure=found.unsure,
            has_others=found.has_others,
            own=fitting(found.own),
        )

    def _restore(
        self, bases: Sequence[StoredObject], fresh: Path, notes: list[str]
    ) -> tuple[StoredObject | None, set[str]]:
        """R: the newest base that is sound by the store's clock, and the objects that it covers.

        Older ones are the fallback; a history never begins afresh while there is a base.
        """
        problem: HistoryError | PlatformError | None = None
        for base in sorted(bases, key=_age, reverse=True):
            try:
                return base, self._take_base(self.store.get_object(base, _LARGEST_BASE), fresh)
            except NotFoundError as error:
                problem = problem or error  # dropped since it was listed; or hidden from us, which looks the same
            except NewerHistoryError:
                raise  # V
            except UnsignedObjectError as error:
                self._unsigned.add(base.id)
                notes.append(f"the base of {base.created_at:%Y-%m-%d %H:%M} UTC was passed over: {error}")
            except HistoryError as error:
                problem = error
                notes.append(f"the base of {base.created_at:%Y-%m-%d %H:%M} UTC was passed over: {error}")
        if problem is not None:
            raise DamagedStoreError(f"none of the {len(bases)} bases in the store can be used: {problem}")
        return None, set()

    def _take_base(self, data: bytes, fresh: Path) -> set[str]:
        try:
            with fresh.open("wb") as stream:
                for piece in unpack(data, self.limits.size, self.secret):
                    stream.write(piece)
            with History.read(fresh, limits=self.limits) as history:
                return history.covered()
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise

    def _check(self, path: Path) -> None:
        with private_copy(path, self.limits) as copy:
            open_checked(copy, path, self.limits, Deadline(self.limits.seconds)).close()

    def _list_segments(self, covered: set[str], most: int) -> Listing:
        """Listing goes on until the oldest quarter of what it met is covered; who compacts lists all."""
        size = min(_FIRST_LISTED, most)
        while True:
            found = self._list(self.segment_prefix, size)
            oldest = sorted(found, key=_age)[: -(-len(found) // 4)]
            is_met = bool(oldest) and all(one.id in covered for one in oldest)
            is_sure = all(one.id in covered for one in found.unsure)
            if size >= most or (is_sure and (is_met or found.is_whole)):
                return found
            size = min(size * 8, most)

    def _add(
        self,
        history: History,
        wanted: Iterable[StoredObject],
        notes: list[str],
        scope: PullRequestScope | None = None,
    ) -> tuple[int, int]:
        """Fold segments into the working copy; how many runs were read, and how many objects are done with.

        With a ``scope`` they are the pull request's own, and nothing that they claim is believed.
        """
        read = done = unsigned = 0
        for one in wanted:
            if not self.pause():
                notes.append("time is short: not all segments were read")
                break
            try:
                data = self.store.get_object(one, self.segment_limits.packed)
                segment = decode(data, self.segment_limits, self.secret)
                if scope is None:
                    history.add_segment(one, segment)
                else:
                    history.add_own_segment(one, segment, scope.number)
                read += 1
            except DamagedObjectError as error:
                # R: what is stored does not change, so it is bad for ever.
                notes.append(f"the segment {one.id} is damaged and was passed over: {error}")
                history.cover(one.id)
            except UnsignedObjectError:
                self._unsigned.add(one.id)
                unsigned += 1
            except NewerSegmentError as error:
                notes.append(f"a segment was left for a newer ci-bridge: {error}")
                continue
            except NotFoundError:
                continue
            except (AuthenticationError, PermissionDeniedError):
                raise
            except PlatformError as error:
                notes.append(f"a segment could not be read this time: {error}")
                continue
            done += 1
        if unsigned:
            notes.append(f"segments passed over because they are not signed with history_secret: {unsigned}")
        return read, done

    # --- writing -----------------------------------------------------------------------------------------------------

    def publish(self, uid: str, data: bytes, shard: str = "") -> StoredObject:
        """Store this job's own segment (W1, W2); the name is the same when the same bytes are tried again.

        Args:
            uid: Of its run.
            data: From :func:`ci_bridge.history.segments.encode`.
            shard: For people who look at the list.

        Raises:
            PlatformError: If the store refuses; the run is lost to others then, and to nobody else.
        """
        stored = self._put_segment(uid, data, shard)
        if all(stored.id != own.id for own, _ in self._own):
            self._own.append((stored, uid))
        return stored

    def forget(self, uid: str, *, now: datetime) -> None:
        """Have everybody forget a run. The wish travels like a segment: no base that is made meanwhile undoes it."""
        self._put_segment(uid, encode(RunRecord(uid, now), forgotten=True, secret=self.secret), "forgotten")

    def _put_segment(self, uid: str, data: bytes, shard: str) -> StoredObject:
        start = self.segment_prefix + (f"{self.scope.mark}-" if self.scope else "") + _plain(uid)
        end = f"-{_digest_of(data, 8)}"
        leg = re.sub(r"[^A-Za-z0-9]+", "-", shard).strip("-")[: min(40, LONGEST_NAME - len(start + end) - 1)]
        name = f"{start}-{leg}{end}" if leg else start + end
        return self.store.put_object(name, data, self.segment_days)

    def why_compact(self, *, main: bool, now: datetime) -> str:
        """Why a trusted job should compact now (C), empty if it should not.

        Args:
            main: True on the default branch and in scheduled builds.
            now: By the store's clock.
        """
        reading = self.reading
        if reading is None:
            return ""
        waiting = [*reading.waiting, *(own.created_at for own, _ in self._own)]
        age = now - reading.base.created_at if reading.base else None
        if not waiting or (age is not None and age < _HOUR):
            return ""
        if main and age is None:
            return "there is no base yet"
        if main and len(waiting) >= MANY_UNCOVERED:
            return f"{len(waiting)} segments are not covered"
        if main and age is not None and age >= _DAY:
            return "the base is older than a day"
        if now - min(waiting) > timedelta(days=self.segment_days / 2):
            return "a segment has passed half its life"
        if age is not None and age > timedelta(days=self.base_days / 2):
            return "the base has passed half its life"
        return ""

    def compact_if_due(self, *, main: bool, retention_days: int, now: datetime | None = None) -> str:
        """Compact if it is due, after :meth:`fetch` and :meth:`publish`. Only for jobs that are trusted.

        Returns:
            What was done and why, empty if nothing was.
        """
        now = now or max((own.created_at for own, _ in self._own), default=None)
        if now is None or not (reason := self.why_compact(main=main, now=now)):
            return ""
        return self.compact(retention_days=retention_days, now=now, reason=reason)

    def compact(
        self,
        *,
        retention_days: int,
        now: datetime | None = None,
        reason: str = "asked for",
        force: bool = False,
        at_once: bool = False,
    ) -> str:
        """Fold every uncovered segment into the working copy and store it as a new base (C).

        Args:
            retention_days: Runs older than that are dropped.
            now: By the store's clock; by default that of the newest object listed.
            reason: For the answer.
            at_once: Compact however young the newest base is.
            force: That, and drop more than half of the runs if so many are too old.

        Returns:
            What was done; empty if nothing was, because there is nothing yet or the newest base is too young.

        Raises:
            HistoryError: Nothing was stored.
            PlatformError: The store refused.
        """
        if self.reading is None:
            raise HistoryError("the history was not read, so it cannot be compacted")
        if self.reading.own:
            raise HistoryError("a pull request's own runs were read with it, and they are never part of a base")
        bases = self.bases()
        notes: list[str] = []
        listed = self._list(self.segment_prefix, MOST_LISTED)
        segments = sorted(listed, key=_age)
        times = [one.created_at for one in (*segments, *bases, *(own for own, _ in self._own))]
        now = max([*times, *([now] if now else [])], default=datetime.now(UTC))
        if bases and now - bases[0].created_at < _HOUR and not (at_once or force):
            return ""  # D: at most one an hour; another job was quicker
        with History.writing(self.cache, limits=self.limits) as history:
            for own, uid in self._own:
                if history.holds(uid):
                    history.cover(own.id, uid)
            covered = history.covered()
            self._add(history, (one for one in segments if one.id not in covered), notes)
            history.prune(retention_days, now=now, force=force)
            more = len(history.covered()) - len(history.covered(before=now))
            known = {one.id for one in (*listed, *listed.unsure)}
            history.settle(known, now=now, before=now - timedelta(days=2 * self.segment_days))
            notes += history.warnings
        if not self.cache.exists():
            return ""  # there is nothing yet
        self._check(self.cache)
        stored = self.store.put_object(self.base_name, _packed(self.cache, self.secret), self.base_days)
        self.reading, self._own = Reading(stored, notes=tuple(notes)), []
        if not self.store.store_expires:
            self._clear_away(stored, segments, now)
        return f"compacted ({reason}): covers {more} more segment{'' if more == 1 else 's'}"

    def _clear_away(self, own: StoredObject, segments: Sequence[StoredObject], now: datetime) -> None:
        """D: where nothing expires by itself, drop old bases, and segments past their time covered for a day."""
        bases = self.bases()
        if not bases or bases[0].id != own.id:
            return  # another base is the newest, and it may not cover what ours does
        with History.read(self.cache, limits=self.limits) as history:
            settled = history.covered(before=now - _DAY)
        old = [
            one for one in segments if one.id in settled and now - one.created_at > timedelta(days=self.segment_days)
        ]
        with contextlib.suppress(PlatformError):  # the next one tries again
            for one in (*bases[BASES_KEPT:], *old):
                self.store.delete_object(one)


def _age(stored: StoredObject) -> tuple[datetime, str]:
    return stored.created_at, stored.id


def _plain(uid: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9-]{1,40}", uid):
        return uid
    return hashlib.sha256(uid.encode("utf-8", "replace")).hexdigest()[:32]


def _digest(text: str, length: int = 4) -> str:
    return _digest_of(text.encode("utf-8", "replace"), length)


def _digest_of(data: bytes, length: int) -> str:
    return hashlib.sha256(data).hexdigest()[:length]


def _packed(path: Path, secret: bytes) -> bytes:
    packer = Packer(_LEVEL, secret)
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            packer.write(piece)
    return packer.finish()
