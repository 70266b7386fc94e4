"""The plugin for the Distributed Testing Framework's coordinator: its live events become a test run in CI.

The framework's own base class and enums are used, so this module imports only where the framework is installed. The
hooks and what they are called with: ``TASK_CREATED(task_id, task_data)``, ``TASK_STARTED(task_id, worker_id)``,
``TASK_COMPLETED(task_id, result)``, ``TASK_FAILED(task_id, error)``, ``TASK_CANCELLED(task_id, reason)`` (the
framework's plugin architecture guide).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from distributed_testing.plugin_architecture import (  # type: ignore[import-not-found,unused-ignore]
    HookType,
    Plugin,
    PluginType,
)

from ci_bridge.client import Client, open_client
from ci_bridge.errors import ConfigError

_FINISHED = ("completed", "failed", "cancelled")


class CICDIntegrationPlugin(Plugin):  # type: ignore[misc,unused-ignore]
    """Creates a test run when the coordinator starts, keeps it current, completes it at shutdown.

    Every call of the client's API is also a method here.

    Args:
        config: Options by name, as for :func:`ci_bridge.open_client`.
        env: The environment, by default the process's own.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, *, env: Mapping[str, str] | None = None) -> None:
        super().__init__(name="CICDIntegration", version="1.0.0", plugin_type=PluginType.INTEGRATION)
        self.config = dict(config or {})
        self._env = dict(os.environ) if env is None else dict(env)
        self._stack = AsyncExitStack()
        self._client: Client | None = None
        self._run_id = ""
        self._tasks: dict[str, str] = {}
        self._started: dict[str, float] = {}
        self._begun = 0.0
        for hook, handler in (
            (HookType.TASK_CREATED, self.on_task_created),
            (HookType.TASK_STARTED, self.on_task_started),
            (HookType.TASK_COMPLETED, self.on_task_completed),
            (HookType.TASK_FAILED, self.on_task_failed),
            (HookType.TASK_CANCELLED, self.on_task_cancelled),
        ):
            self.register_hook(hook, handler)

    async def initialize(self, coordinator: Any) -> bool:
        """Open the client and begin the test run.

        Returns:
            True; a wrong configuration raises instead.
        """
        self.coordinator = coordinator
        self._client = await self._stack.enter_async_context(open_client(self.config, env=self._env))
        self._begun = time.monotonic()
        run = await self._client.create_test_run({"name": "Distributed Test Run"})
        self._run_id = run.id
        return True

    async def shutdown(self) -> bool:
        """Complete the test run and close the client."""
        if self._client is not None:
            await self._client.update_test_run(self._run_id, {"status": "completed", "summary": self._summary()})
        await self._stack.aclose()
        return True

    async def on_task_created(self, task_id: str, _task_data: Any = None) -> None:
        """Count a task that waits."""
        self._tasks.setdefault(task_id, "pending")

    async def on_task_started(self, task_id: str, _worker_id: Any = None) -> None:
        """Note when a task began."""
        self._tasks[task_id] = "running"
        self._started[task_id] = time.monotonic()

    async def on_task_completed(self, task_id: str, _result: Any = None) -> None:
        """Count a task that passed and record how long it took."""
        began = self._started.pop(task_id, None)
        if began is not None:
            await self.client.record_performance_metric(
                self._run_id, task_id, "execution_time", time.monotonic() - began, "seconds"
            )
        await self._finish(task_id, "completed")

    async def on_task_failed(self, task_id: str, _error: Any = None) -> None:
        """Count a task that failed."""
        await self._finish(task_id, "failed")

    async def on_task_cancelled(self, task_id: str, _reason: Any = None) -> None:
        """Count a task that was cancelled; it shows as skipped."""
        await self._finish(task_id, "cancelled")

    async def _finish(self, task_id: str, status: str) -> None:
        self._tasks[task_id] = status
        await self.client.update_test_run(self._run_id, {"status": "running", "summary": self._summary()})

    def _summary(self) -> dict[str, Any]:
        finished = Counter(status for status in self._tasks.values() if status in _FINISHED)
        return {
            "total_tasks": len(self._tasks),
            "task_statuses": dict(finished),
            "duration": time.monotonic() - self._begun,
        }

    @property
    def client(self) -> Client:
        """The open client.

        Raises:
            ConfigError: Before :meth:`initialize`.
        """
        if self._client is None:
            raise ConfigError("the plugin is not initialized", hint="start the coordinator first")
        return self._client

    def get_ci_status(self) -> dict[str, Any]:
        """See :meth:`ci_bridge.Client.get_ci_status`."""
        return self.client.get_ci_status()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in _PASSED_ON:
            method: Callable[..., Any] = getattr(self.client, name)
            return method
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")


_PASSED_ON = frozenset(
    {
        "create_test_run",
        "update_test_run",
        "upload_artifact",
        "download_artifact",
        "add_pr_comment",
        "set_status",
        "get_test_history",
        "record_performance_metric",
        "get_performance_metrics",
        "analyze_performance_trends",
        "report",
    }
)
"""The client's calls that the plugin answers with the client's own methods."""
