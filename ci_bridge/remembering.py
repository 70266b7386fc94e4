"""The part of the client that remembers: earlier runs, tests and performance numbers."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from ci_bridge.arguments import finite_of, masked_value
from ci_bridge.config import Settings
from ci_bridge.delivery import Courier, Rung, skipped
from ci_bridge.errors import ConfigError
from ci_bridge.masking import Masker
from ci_bridge.memory import Memory
from ci_bridge.models import Metric, Receipt
from ci_bridge.option_values import nearest
from ci_bridge.protocols import Adapter, SupportsMetrics


class Remembering:
    """What :class:`ci_bridge.client.Client` answers from its history, and what it adds to it."""

    settings: Settings
    _adapter: Adapter
    _clock: Callable[[], datetime]
    _masker: Masker
    _memory: Memory
    _workspace: Path

    @abstractmethod
    def _courier(self) -> Courier:
        """A fresh time budget for one call."""

    async def get_test_history(self, limit: int = 10, branch: str | None = None) -> list[dict[str, Any]]:
        """The newest test runs, newest first.

        Returns:
            Rows with ``id created_at completed_at status build_id commit_sha branch total_tasks completed_tasks
            failed_tasks duration metadata``; times are ISO 8601 in UTC, durations seconds.
        """
        await self._memory.save()
        return await self._memory.read(lambda history: history.runs(limit=limit, branch=branch))

    async def record_performance_metric(
        self,
        test_run_id: str,
        task_id: str | None = None,
        metric_name: str = "",
        metric_value: float = 0.0,
        unit: str = "",
    ) -> Receipt:
        """Remember a number.

        Args:
            test_run_id: The run it belongs to.
            task_id: What was measured within the run.
            metric_name: Not empty.
            metric_value: Finite.
            unit: For people, ``seconds`` for instance.

        Raises:
            ConfigError: The name is empty or the value is not a finite number.
        """
        if not metric_name:
            raise ConfigError("metric_name is empty")
        texts = masked_value({"name": metric_name, "unit": unit, "task_id": task_id}, self._masker.clean)
        metric = Metric(value=finite_of(metric_value), run_id=test_run_id, recorded_at=self._clock(), **texts)
        adapter = self._adapter
        receipt = Receipt(True, "history", None, "", "metric")
        if not self.settings.enable_history_tracking:
            receipt = skipped("metric", "enable_history_tracking = false")
        else:
            await self._memory.keep_metric(metric)
        if isinstance(adapter, SupportsMetrics):
            shown = await self._courier().send("metric", [Rung("metric", lambda: adapter.record_metric(metric))])
            receipt = receipt or shown
        return receipt

    async def get_performance_metrics(
        self,
        test_run_id: str | None = None,
        metric_name: str | None = None,
        *,
        task_id: str | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """The newest ``limit`` numbers, oldest first.

        Returns:
            Rows with ``id run_id task_id metric_name metric_value unit recorded_at``; times are ISO 8601 in UTC.
        """
        await self._memory.save()
        return await self._memory.read(
            lambda history: history.metrics(run_id=test_run_id, metric_name=metric_name, task_id=task_id, limit=limit)
        )

    async def analyze_performance_trends(
        self, metric_name: str, grouping: str = "branch", timeframe: str = "1w", limit: int = 10
    ) -> dict[str, Any]:
        """Statistics of a metric over time and where it changed.

        Args:
            metric_name: As recorded.
            grouping: ``branch``, ``commit``, ``task_type``, ``test`` or ``platform``.
            timeframe: ``1d``, ``1w``, ``1m``, ``all`` or any ``<n>[hdwm]``.
            limit: Most groups to answer, most recent first.

        Returns:
            ``metric_name unit grouping timeframe overall groups change_points``, and a ``message`` where there is no
            data.

        Raises:
            ConfigError: The grouping or the timeframe is none.
        """
        from ci_bridge.analysis import analyze_trend

        await self._memory.save()
        now = self._clock()
        points = await self._memory.read(lambda history: history.metric_points(metric_name))
        try:
            trend = analyze_trend(
                points, metric_name=metric_name, grouping=grouping, timeframe=timeframe, limit=limit, now=now
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if not points:
            rows = await self._memory.read(lambda history: history.metrics())
            near = nearest(metric_name, {str(row["metric_name"]) for row in rows})
            trend["message"] = f"nothing was recorded as {metric_name}" + (f"; did you mean {near}?" if near else "")
        return trend

    async def get_tests(self, pattern: str | None = None, *, limit: int = 20) -> list[dict[str, Any]]:
        """Tests with their record in the history, the most troublesome first.

        Args:
            pattern: Part of the name; None for all.
            limit: Most rows.
        """
        await self._memory.save()
        return await self._memory.read(lambda history: history.tests(pattern or "", limit=limit))

    async def check_history(self, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Whether a history file is sound: ``path``, ``sound``, and its counts or what is wrong with it."""
        return await self._memory.check(self._workspace / path if path else None)

    async def prune_history(self, days: int | None = None, *, force: bool = False) -> int:
        """Drop runs older than ``days`` (by default ``history_retention_days``).

        Returns:
            The number of runs dropped.

        Raises:
            HistoryError: It would drop more than half of them, and ``force`` is not set.
        """
        await self._memory.save()
        return await self._memory.prune(days or self.settings.history_retention_days, force=force)

    async def compact_history(self, *, force: bool = False) -> str:
        """Make a new base of a history that travels, so that other builds have less to read.

        Args:
            force: Even if the newest base is younger than an hour, and if more than half of the runs are too old.

        Returns:
            What was done, or why nothing was to be done.

        Raises:
            HistoryError: Nothing was stored.
            PlatformError: The store refused.
        """
        await self._memory.save()
        return await self._memory.compact(force=force)

    async def forget_run(self, test_run_id: str) -> bool:
        """Drop a run for good, with its cases and numbers: nothing that is stored brings it back.

        Returns:
            True if it was in the history. It is kept from coming in either way.

        Raises:
            HistoryError: It could not be dropped.
            PlatformError: The store refused.
        """
        await self._memory.save()
        return await self._memory.forget(test_run_id)
