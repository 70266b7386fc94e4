"""The client's side of the history: what is not saved yet, and one door for reading and writing.

Runs and numbers are kept back and saved together, since each save writes the whole file anew.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_bridge.arguments import outcome_counts
from ci_bridge.errors import CIBridgeError, ConfigError, HistoryError
from ci_bridge.models import Metric, Report, TestRun, Totals
from ci_bridge.retry import Deadline
from ci_bridge.travels import FETCH_SHARE, patiently, recall, share, travels_of
from ci_bridge.worker import Worker
from ci_bridge.workplace import Workplace

if TYPE_CHECKING:
    from ci_bridge.history import History, RunRecord

logger = logging.getLogger("ci_bridge")

METRICS_KEPT_BACK = 1000
"""Numbers that wait in memory at most."""


class Memory:
    """The history of one client.

    Args:
        worker: The thread that SQLite is used on.
        place: Knows where the file lies and what the build is.
    """

    def __init__(self, worker: Worker, place: Workplace) -> None:
        self._worker = worker
        self._place = place
        place.travels = travels_of(place)
        self._runs: dict[str, TestRun] = {}
        self._metrics: list[Metric] = []

    @property
    def path(self) -> Path:
        """The file."""
        return self._place.history_path

    def keep_run(self, run: TestRun) -> None:
        """Save this run next time."""
        self._runs[run.id] = run

    def forget_run(self, run_id: str) -> None:
        """The run is saved already, with its cases."""
        self._runs.pop(run_id, None)

    async def keep_metric(self, metric: Metric) -> None:
        """Save this number next time, at once if many wait."""
        self._metrics.append(metric)
        if len(self._metrics) >= METRICS_KEPT_BACK:
            await self.save()

    async def save(self) -> str:
        """Save what was kept back; what fails is kept for the next time.

        Returns:
            Why it failed, empty if it did not.
        """
        if not self._place.settings.enable_history_tracking or not (self._runs or self._metrics):
            return ""
        from ci_bridge.history import History

        runs, metrics = list(self._runs.values()), list(self._metrics)
        place = await self._recalled()

        def write() -> list[RunRecord]:
            with History.writing(self.path) as history:
                for run in runs:
                    history.record(record_of(place, run), ())
                history.record_metric(*metrics)
                return self._to_share(history, {*(run.id for run in runs), *(metric.run_id for metric in metrics)})

        try:
            ready = await self._worker.run(write)
        except CIBridgeError as error:
            logger.warning("history not saved: %s", error)
            return str(error)
        for run in runs:
            if self._runs.get(run.id) is run:
                del self._runs[run.id]
        del self._metrics[: len(metrics)]
        for record in ready:
            await share(place, record)  # a warning says what was not stored
        return ""

    async def _recalled(self, time_share: float = FETCH_SHARE) -> Workplace:
        """The workplace with a fresh time budget, what the store holds having been read."""
        courier = self._place.courier
        deadline = Deadline(courier.deadline.seconds, courier.deadline.clock)
        place = replace(self._place, courier=replace(courier, deadline=deadline))
        is_news = place.travels is not None and not place.travels.begun
        notes = await recall(place, time_share)
        if is_news and place.travels is not None and not place.travels.problem:  # a problem was logged already
            for note in notes:
                logger.warning("history: %s", note)
        return place

    def _to_share(self, history: History, run_ids: set[str]) -> list[RunRecord]:
        """Those of the runs that are complete; the others' segments are stored when they are.

        Where nothing tells this build from the next, whatever has numbers is stored at once: nobody may come back.
        """
        travels = self._place.travels
        if travels is None:
            return []
        found = (history.run_record(run_id) for run_id in sorted(run_ids))
        measured = set() if self._place.context.build_id else {metric.run_id for metric in self._metrics}
        return [record for record in found if record and (record.completed_at or record.uid in measured)]

    async def read(self, query: Callable[[History], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Ask the history; it is empty where there is none yet.

        Raises:
            HistoryError: If there is a file but no sound one.
        """
        from ci_bridge.history import History

        def ask() -> list[dict[str, Any]]:
            with History.read(self.path) as history:
                return query(history)

        await self._ready()
        return await self._worker.run(ask)

    async def check(self, path: Path | None) -> dict[str, Any]:
        """Whether a file, by default our own, is sound."""
        from ci_bridge.history import History

        if path is None:
            await self._ready()
        found = await self._worker.run(lambda: History.check(path or self.path))
        return {
            "path": str(found.path),
            "sound": found.sound,
            "size_bytes": found.size,
            "problems": list(found.problems),
        }

    async def prune(self, days: int, *, force: bool) -> int:
        """Drop runs older than ``days``; answers how many.

        Raises:
            HistoryError: It would drop more than half of them, and ``force`` is not set; or it cannot be saved.
        """
        from ci_bridge.history import History

        def drop() -> int:
            with History.writing(self.path) as history:
                dropped = history.prune(days, now=self._place.clock(), force=force)
                if not dropped and history.warnings:
                    raise HistoryError(history.warnings[-1])
                return dropped

        place = await self._ready(changes=True)
        dropped = await self._worker.run(drop)
        if dropped:
            await self._new_base(place, days, reason="pruned", force=True)
        return dropped

    async def compact(self, *, force: bool) -> str:
        """Make a new base of what the store holds; answers what was done, or why nothing was to be.

        Raises:
            HistoryError: Nothing was stored.
            PlatformError: The store refused.
        """
        place = await self._ready(changes=True)
        days = self._place.settings.history_retention_days
        if done := await self._new_base(place, days, reason="asked for", force=force):
            return done
        if place.travels is None:
            return "nothing to do: the history is one file, which each save writes anew"
        if not self.path.exists():
            return "nothing to do: the history is empty"
        return "nothing to do: it was compacted within the hour (--force does it all the same)"

    async def forget(self, run_id: str) -> bool:
        """Drop a run for good, in the store as well; True if it was here.

        Raises:
            ConfigError: It is no id.
            HistoryError: It could not be dropped.
            PlatformError: The store refused.
        """
        from ci_bridge.history import History

        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", run_id):
            raise ConfigError(f"{run_id!r} is no id of a run", hint="`ci-bridge history runs` lists them")
        now = self._place.clock()

        def drop() -> bool:
            with History.writing(self.path) as history:
                return history.forget(run_id, now=now)

        place = await self._ready(changes=True)
        travels = place.travels
        if travels is not None:
            await patiently(place, lambda: travels.history.forget(run_id, now=now), place.courier.deadline.remaining)
        found = await self._worker.run(drop)
        await self._new_base(place, self._place.settings.history_retention_days, reason="forgotten", at_once=True)
        return found

    async def _new_base(
        self, place: Workplace, days: int, *, reason: str, force: bool = False, at_once: bool = False
    ) -> str:
        travels = place.travels
        if travels is None:
            return ""

        def work() -> str:
            done = travels.history.compact(retention_days=days, reason=reason, force=force, at_once=at_once)
            return "; ".join(filter(None, (done, *(travels.reading.notes if done and travels.reading else ()))))

        return await patiently(place, work, place.courier.deadline.remaining, downloads=0.5)

    async def _ready(self, *, changes: bool = False) -> Workplace:
        """Read the store where the history travels.

        Args:
            changes: The answer is for changing what all builds share.

        Raises:
            HistoryError: If that failed: the answer would be taken for the whole. Or others may change it, not we.
        """
        place = await self._recalled(time_share=1.0)
        travels = place.travels
        if travels is not None and travels.problem:
            raise HistoryError(f"the history was not read from its store: {travels.problem}")
        if travels is not None and changes and not place.is_trusted:
            raise HistoryError("the history that all builds share is changed by a build of the project itself only")
        return place


def record_of(place: Workplace, run: TestRun, report: Report | None = None) -> RunRecord:
    """The history's row for a run."""
    from ci_bridge.history import RunRecord

    context, settings = place.context, place.settings
    if report is not None:
        totals = report.results.totals
    else:
        counts = outcome_counts(run.summary)
        totals = Totals(**counts, duration=float(run.summary.get("duration") or 0.0))
    end = run.completed_at
    return RunRecord(
        uid=run.id,
        ts=run.created_at,
        completed_at=end,
        platform=context.platform,
        repo=context.repository,
        branch=run.branch,
        sha=run.commit_sha,
        pr=run.pr_number,
        build=run.build_id,
        attempt=context.attempt,
        job=context.job_name or context.job_id,
        shard=settings.shard or "",
        status=str(report.state) if report is not None else run.status,
        totals=totals,
        duration=float(run.summary.get("duration") or ((end - run.created_at).total_seconds() if end else 0.0)),
        # Only what the project itself built may judge others; a pull request's author chooses its branch's name.
        trusted=run.pr_number is None and place.is_trusted,
        extra={**run.metadata, "name": run.name, "report": place.history_name},
    )
