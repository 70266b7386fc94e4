"""When a build's history travels: where its store is, what is read before judging and stored after it.

:mod:`ci_bridge.history.travelling` knows how; here is decided who may and when, and a store that does not answer costs
a warning and never the run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ci_bridge.atomic import read_small, write_atomically
from ci_bridge.errors import CIBridgeError, HistoryError
from ci_bridge.models import BuildContext, JudgedCase, Receipt, Report, Row, StoredObject
from ci_bridge.protocols import SupportsStore
from ci_bridge.retry import Deadline, retrying, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_bridge.history.recording import RunRecord
    from ci_bridge.history.travelling import PullRequestScope, Reading, TravellingHistory
    from ci_bridge.workplace import Workplace

logger = logging.getLogger("ci_bridge")

FETCH_SECONDS = 30.0
FETCH_SHARE = 0.25
"""Reading the store takes at most so long, and at most this share of what ``deadline_seconds`` leaves: all deliveries
come after it."""

STORE_SECONDS = 60.0
COMPACT_SECONDS = 60.0
"""Storing one segment, and after it making one base, take at most so long: nothing comes after them."""

LEAST_SECONDS = 5.0
"""With less left no base is begun; a later build will."""

T = TypeVar("T")

_LARGEST_MARK = 1 << 20

_SCHEDULES = ("schedule", "Schedule", "cron")


@dataclass(slots=True)
class Travels:
    """The travelling history of one client. Its state is touched on the worker's thread and between its jobs only.

    Attributes:
        begun: The store was read, or that failed for good; it is read once a build.
        problem: Why it could not be read, empty if it could.
        stored: Ids of the runs whose segments are stored.
        downloads: When no further segment may be fetched; None where nothing waits for us.
    """

    history: TravellingHistory
    context: BuildContext
    mark: Path
    trusted: bool
    begun: bool = False
    problem: str = ""
    stored: set[str] = field(default_factory=set)
    downloads: Deadline | None = None
    _given_up: bool = False

    @property
    def reading(self) -> Reading | None:
        """What was read."""
        return self.history.reading

    def fetch(self) -> None:
        """Read the store, unless another process of this very job has done so; its working copy holds more by now."""
        if self._given_up:
            raise HistoryError("reading the store was given up")
        self.history.reading = self._earlier_reading()
        if self.history.reading is None:
            with suppress(OSError):  # a folder, say, which is no mark either
                self.mark.unlink(missing_ok=True)
            reading = self.history.fetch(pull_request=not self.trusted)
            self._leave_mark(reading)
        self.begun = True

    def may_continue(self) -> bool:
        """Asked before each download: False shortly before time is up, so that what was read by then can be used."""
        if self._given_up:
            raise HistoryError("reading the store was given up")
        return self.downloads is None or self.downloads.remaining > 0

    def give_up(self, error: CIBridgeError) -> None:
        """Go on without the store's history."""
        self._given_up, self.begun, self.problem = True, True, str(error)

    def _build(self) -> str:
        context = self.context
        if not context.build_id:
            return ""  # nothing tells this build from the next one
        return json.dumps([context.platform, context.build_id, context.attempt, context.job_id, context.job_name])

    def _leave_mark(self, reading: Reading) -> None:
        if self._build():
            base = reading.base
            facts = {
                "build": self._build(),
                "base": base and [base.id, base.name, base.created_at.isoformat(), base.size],
                "read": reading.read,
                "left": reading.left,
                "waiting": [moment.isoformat() for moment in reading.waiting],
                "own": reading.own,
            }
            with suppress(OSError):  # without it the next process reads the store once more
                write_atomically(self.mark, json.dumps(facts) + "\n")

    def _earlier_reading(self) -> Reading | None:
        from ci_bridge.history.travelling import Reading

        try:
            facts = json.loads(read_small(self.mark, _LARGEST_MARK))
            if not self._build() or facts["build"] != self._build():
                return None
            base = facts["base"]
            if base is not None:
                base = StoredObject(str(base[0]), str(base[1]), datetime.fromisoformat(base[2]), int(base[3]))
                if not self.history.cache.is_file():
                    return None
            waiting = tuple(datetime.fromisoformat(moment) for moment in facts["waiting"])
            return Reading(base, int(facts["read"]), int(facts["left"]), waiting, own=int(facts["own"]))
        except (OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            return None  # whatever runs in the job can write this file


def is_main(context: BuildContext) -> bool:
    """True where compacting is this build's task: on the default branch, in schedules, and where no branch is known."""
    return context.default_branch is None or context.branch == context.default_branch or context.event in _SCHEDULES


def store_of(place: Workplace) -> SupportsStore | None:
    """The store that this build's history and its jobs' parts travel in, None where one file on this machine does.

    A folder in ``history_url`` is one, unless it holds a history file already. Otherwise it is the platform's own.
    """
    settings, context = place.settings, place.context
    if settings.history_url:
        from ci_bridge.history.folder_store import FolderStore

        if place.history_path_in(settings.history_url).exists():
            return None
        build = "/".join(filter(None, (context.platform, context.repository, context.build_id)))
        return FolderStore(
            place.folder(settings.history_url), build=build if context.build_id else "", trusted=place.is_trusted
        )
    adapter = place.adapter
    # On a laptop the one file is the history: nothing else writes to it, and nothing has to travel.
    if isinstance(adapter, SupportsStore) and adapter.context.platform != "local":
        return adapter
    return None


def travels_of(place: Workplace) -> Travels | None:
    """The travelling history of this build, None where nothing travels or history is switched off."""
    store = store_of(place) if place.settings.enable_history_tracking else None
    if store is None:
        return None
    from ci_bridge.history.travelling import TravellingHistory

    cache = place.history_path_in(None)
    signed_with = place.settings.history_secret
    secret = signed_with.reveal().encode("utf-8", "replace") if signed_with else b""
    history = TravellingHistory(store, cache, place.settings.history_key or "", secret=secret, scope=_scope_of(place))
    travels = Travels(history, place.context, cache.with_name(cache.name + ".read.json"), place.is_trusted)
    history.pause = travels.may_continue
    return travels


def _scope_of(place: Workplace) -> PullRequestScope | None:
    """The pull request whose own runs this build's history may hold; a merge queue's build is of several."""
    from ci_bridge.history.travelling import PullRequestScope

    context = place.context
    if context.pr_number is None or place.is_queue:
        return None
    report = json.dumps([place.settings.comment_title, context.pipeline_name, context.job_name])
    return PullRequestScope(context.pr_number, report, context.build_id or "", place.settings.shard or "")


async def recall(place: Workplace, share: float = FETCH_SHARE) -> list[str]:
    """Read the store before the history is looked at; once a build.

    Args:
        place: Whose travels are meant.
        share: Of the time that is left; the whole where nothing but reading is to be done.

    Returns:
        What a person should know: what could not be read.
    """
    travels = place.travels
    if travels is None:
        return []
    if not travels.begun:
        seconds = min(FETCH_SECONDS, share * place.courier.deadline.remaining)
        try:
            await patiently(place, travels.fetch, seconds, downloads=0.75)
        except CIBridgeError as error:
            travels.give_up(error)
        if travels.problem:
            logger.warning("history not read from its store: %s", travels.problem)
    if travels.problem:
        return [f"history not read from its store: {travels.problem}"]
    return list(travels.reading.notes) if travels.reading else []


async def share(
    place: Workplace, record: RunRecord, report: Report | None = None, judged: Iterable[JudgedCase] = ()
) -> str:
    """Store this job's own segment; once a run and its contents.

    Args:
        place: Whose travels are meant.
        record: The run.
        report: Its cases, where there are any.
        judged: Its failing and flaky cases.

    Returns:
        Why it failed, empty if it did not.
    """
    travels = place.travels
    if travels is None:
        return ""
    batches: Iterable[Sequence[Row]] = report.results.rows() if report is not None else ()

    def pack() -> bytes:
        from ci_bridge.history import History
        from ci_bridge.history.segments import encode

        with History.read(place.history_path) as history:
            metrics = history.run_metrics(record.uid)
        return encode(record, batches, judged, metrics, secret=travels.history.secret)

    try:
        data = await place.courier.worker.run(lambda: _on_disk(place, pack))
        await patiently(place, lambda: travels.history.publish(record.uid, data, record.shard), STORE_SECONDS)
        travels.stored.add(record.uid)
    except CIBridgeError as error:
        logger.warning("history: this run's segment was not stored: %s", error)
        return f"this run's segment was not stored, so other builds will not know it: {error}"
    return ""


async def compact(place: Workplace) -> str:
    """Make a new base where that is due and this build may; never in pull requests.

    Returns:
        What was done or why it failed, empty if nothing was due.
    """
    travels = place.travels
    if travels is None or travels.problem or not place.is_trusted:
        return ""
    if place.courier.deadline.remaining < LEAST_SECONDS:
        logger.info("history not compacted: no time is left for it (deadline_seconds)")
        return ""

    def work() -> str:
        return travels.history.compact_if_due(
            main=is_main(place.context), retention_days=place.settings.history_retention_days
        )

    try:
        return await patiently(place, work, COMPACT_SECONDS, downloads=0.5)
    except CIBridgeError as error:
        logger.warning("history not compacted: %s", error)
        return f"not compacted, a later build will: {error}"


async def hand_on(
    place: Workplace, travels: Travels, saved: Receipt, record: RunRecord, report: Report, judged: Sequence[JudgedCase]
) -> Receipt:
    """Store this run for other builds once it is saved here, and compact if that is due.

    Returns:
        The receipt of saving it, with what was read of the store and what became of the segment.
    """
    read = travels.problem or f"read {travels.reading}"
    problem = "" if record.uid in travels.stored else await share(place, record, report, judged)
    compacted = await compact(place) if saved and not problem else ""
    reason = "; ".join(filter(None, (saved.reason, read, problem, compacted)))
    stored = record.uid in travels.stored
    if stored and saved.state in ("sent", "degraded"):
        return replace(saved, via="store", reason=reason, state="degraded" if travels.problem else saved.state)
    # Saved on this machine only, which may be gone in a minute; or the other way round.
    delivered = bool(saved) or stored
    return replace(saved, delivered=delivered, reason=reason, state="degraded" if delivered else "failed")


async def patiently(place: Workplace, work: Callable[[], T], seconds: float, downloads: float = 1.0) -> T:
    """Do something with the store: all tries and the waits between them together within ``seconds``.

    Args:
        place: Whose travels are meant.
        work: Called on the worker's thread.
        seconds: At most; never more than the budget leaves.
        downloads: Share of the time in which segments are fetched; the rest is for using them.

    Raises:
        CIBridgeError: The store does not answer, or the disk is full or not writable.
    """
    courier, travels = place.courier, place.travels
    budget = Deadline(min(seconds, courier.deadline.remaining), courier.deadline.clock)
    if travels is not None:
        travels.downloads = Deadline(budget.seconds * downloads, budget.clock)

    async def once(budget: Deadline) -> T:
        return await courier.worker.run(lambda: _on_disk(place, work), timeout=max(0.05, budget.remaining))

    with waiting(budget.clock):
        return await retrying(once, courier.policy, budget)


def _on_disk(place: Workplace, work: Callable[[], T]) -> T:
    try:
        return work()
    except OSError as error:
        raise HistoryError(f"{error.filename or place.history_path}: {error.strerror or error}") from error
