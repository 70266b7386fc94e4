"""Test runs while they last: what is shown of them, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ci_bridge.delivery import Rung, show_run, status_of
from ci_bridge.models import Artifact, CommitStatus, Receipt, TestRun
from ci_bridge.progress import progress_text
from ci_bridge.protocols import SupportsStatus, SupportsTestRuns
from ci_bridge.workplace import Workplace


@dataclass(slots=True)
class LiveRun:
    """A test run of this client.

    Attributes:
        run: As it is now.
        sent_at: When it was last shown, on the monotonic clock.
        flush: Shows a coalesced update when its interval is over.
        artifacts: Kept so far.
    """

    run: TestRun
    sent_at: float = float("-inf")
    flush: asyncio.TimerHandle | None = None
    artifacts: list[Artifact] = field(default_factory=list)


class Announcer:
    """Shows live runs on the platform.

    Args:
        place: Answers what to work with, with a fresh time budget.
        monotonic: A clock in seconds.
    """

    def __init__(self, place: Callable[[], Workplace], monotonic: Callable[[], float]) -> None:
        self._place = place
        self._monotonic = monotonic
        self._tasks: set[asyncio.Task[Any]] = set()

    async def update(self, live: LiveRun, interval: float) -> Receipt:
        """Show the run, but not within ``interval`` seconds of the last time: then it is shown when that is over."""
        wait = live.sent_at + interval - self._monotonic()
        if wait <= 0:
            return await self.push(live)
        if live.flush is None:
            live.flush = asyncio.get_running_loop().call_later(wait, self._due, live)
        reason = f"sent with the next update, in {wait:.0f} s at the latest (update_interval)"
        return Receipt(True, "", None, reason, "run", "coalesced")

    def _due(self, live: LiveRun) -> None:
        live.flush = None
        task = asyncio.get_running_loop().create_task(self.push(live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, live: LiveRun) -> None:
        """Show what was coalesced now."""
        if live.flush is not None:
            await self.push(live)
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def push(self, live: LiveRun) -> Receipt:
        """Show the run as it is now: as a test run, else as a commit status, else in the log."""
        if live.flush is not None:
            live.flush.cancel()
            live.flush = None
        live.sent_at = self._monotonic()
        place, run = self._place(), live.run
        adapter, host, settings = place.adapter, place.host, place.settings
        text = progress_text(run, settings.status_update_format)
        run = replace(run, title=run.title or text.partition("\n")[0], text=text)
        rungs = []
        if settings.enable_test_runs and isinstance(adapter, SupportsTestRuns):

            def send() -> str | None:
                remote = show_run(adapter, run)
                live.run = replace(live.run, remote_id=remote.id, url=remote.url)
                return remote.url

            rungs.append(Rung("run", send))
        sha = run.commit_sha or place.context.status_sha
        if isinstance(host, SupportsStatus) and sha:
            line = text.partition("\n")[0][:140]
            status = CommitStatus(sha, status_of(run.state), run.name, line, run.url or place.context.build_url)
            rungs.append(Rung("status", lambda: host.set_status(status)))
        rungs.append(place.log_rung(text))
        return await place.courier.send("run", rungs)
