"""When a build's history travels: where its store is, what is read before judging and stored after it.

:mod:`ci_bridge.history.travelling` knows how; here is decided who may and when, and a store that does not answer costs
a warning and never the run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ci_bridge.atomic import write_atomically
from ci_bridge.errors import CIBridgeError, HistoryError
from ci_bridge.models import BuildContext, JudgedCase, Receipt, Report, Row, StoredObject
from ci_bridge.protocols import SupportsStore
from ci_bridge.retry import retrying

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_bridge.history.recording import RunRecord
    from ci_bridge.history.travelling import Reading, TravellingHistory
    from ci_bridge.workplace import Workplace

logger = logging.getLogger("ci_bridge")

FETCH_SECONDS = 30.0
"""Wall clock for reading the store, within what ``deadline_seconds`` leaves."""

STORE_SECONDS = 60.0
"""Wall clock for storing one segment or one base."""

T = TypeVar("T")

_TRUSTED_EVENTS = ("push", "schedule", "dispatch", "manual", "trigger", "cron", "timer", "api", "web")


@dataclass(slots=True)
class Travels:
    """The travelling history of one client. Its state is touched on the worker's thread and between its jobs only.

    Attributes:
        begun: The store was read, or that failed for good; it is read once a build.
        problem: Why it could not be read, empty if it could.
        stored: Ids of the runs whose segments are stored.
    """

    history: TravellingHistory
    context: BuildContext
    mark: Path
    begun: bool = False
    problem: str = ""
    stored: set[str] = field(default_factory=set)
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
            self.mark.unlink(missing_ok=True)
            reading = self.history.fetch(pull_request=not is_trusted(self.context))
            self._leave_mark(reading)
        self.begun = True

    def may_continue(self) -> bool:
        """Asked before each download; raises once nobody waits for it any more."""
        if self._given_up:
            raise HistoryError("reading the store was given up")
        return True

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
            }
            write_atomically(self.mark, json.dumps(facts) + "\n")

    def _earlier_reading(self) -> Reading | None:
        from ci_bridge.history.travelling import Reading

        try:
            facts = json.loads(self.mark.read_text(encoding="utf-8"))
            if not self._build() or facts["build"] != self._build():
                return None
            base = facts["base"]
            if base is not None:
                base = StoredObject(str(base[0]), str(base[1]), datetime.fromisoformat(base[2]), int(base[3]))
                if not self.history.cache.is_file():
                    return None
            waiting = tuple(datetime.fromisoformat(moment) for moment in facts["waiting"])
            return Reading(base, int(facts["read"]), int(facts["left"]), waiting)
        except (OSError, ValueError, TypeError, KeyError, IndexError):
            return None


def is_trusted(context: BuildContext) -> bool:
    """True for what the project itself built: pushes, schedules and what its members start, no pull requests."""
    event = (context.event or "push").lower()
    known = any(word in event for word in _TRUSTED_EVENTS)
    return context.pr_number is None and not context.is_fork and known


def is_main(context: BuildContext) -> bool:
    """True where compacting is this build's task: on the default branch, in schedules, and where no branch is known."""
    return (
        context.default_branch is None
        or context.branch == context.default_branch
        or "schedule" in (context.event or "").lower()
    )


def store_of(place: Workplace) -> SupportsStore | None:
    """The store that this build's history and its jobs' segments travel in, None where one file on this machine does.

    A folder in ``history_url`` is one, unless it holds a history file already. Otherwise it is the platform's own.
    """
    settings, context = place.settings, place.context
    if settings.history_url:
        from ci_bridge.history.folder_store import FolderStore

        if place.history_path_in(settings.history_url).exists():
            return None
        build = "/".join(filter(None, (context.platform, context.repository, context.build_id)))
        return FolderStore(
            place.folder(settings.history_url), build=build if context.build_id else "", trusted=is_trusted(context)
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
    history = TravellingHistory(store, cache, place.settings.history_key or "")
    travels = Travels(history, place.context, cache.with_name(cache.name + ".read.json"))
    history.pause = travels.may_continue
    return travels


async def recall(place: Workplace) -> list[str]:
    """Read the store before the history is looked at; once a build.

    Returns:
        What a person should know: what could not be read.
    """
    travels = place.travels
    if travels is None:
        return []
    if not travels.begun:
        try:
            await _patiently(place, travels.fetch, FETCH_SECONDS)
        except CIBridgeError as error:
            travels.give_up(error)
        except OSError as error:
            travels.give_up(HistoryError(f"{travels.history.cache}: {error.strerror or error}"))
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
        return encode(record, batches, judged, metrics)

    try:
        data = await place.courier.worker.run(pack)
        await _patiently(place, lambda: travels.history.publish(record.uid, data, record.shard), STORE_SECONDS)
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
    if travels is None or travels.problem or not is_trusted(place.context):
        return ""

    def work() -> str:
        return travels.history.compact_if_due(
            main=is_main(place.context), retention_days=place.settings.history_retention_days
        )

    try:
        return await _patiently(place, work, FETCH_SECONDS)
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


async def _patiently(place: Workplace, work: Callable[[], T], seconds: float) -> T:
    courier = place.courier

    async def once() -> T:
        return await courier.worker.run(work, timeout=min(seconds, max(0.05, courier.deadline.remaining)))

    return await retrying(once, courier.policy, courier.deadline)
