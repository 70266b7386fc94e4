"""``ci-bridge run -- CMD``: run a test command, show how it goes, report what it wrote, and exit as it did."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_bridge.artifacts import staging_folder
from ci_bridge.errors import CIBridgeError
from ci_bridge.formats.plugin import Limits
from ci_bridge.worker import Worker

if TYPE_CHECKING:
    from ci_bridge.client import Client
    from ci_bridge.reporting import ReportOutcome

GRACE_SECONDS = 5.0
"""What a stopped command gets to end before it is killed: a runner grants 7.5 s after SIGINT."""

START_SECONDS = 5.0
"""How long a command waits for its pending status to be shown; a slow API delays no tests."""

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes for a command that did not start, as POSIX shells give them."""

_LEAST_PAUSE = 0.2
_SHARE_OF_LOOKING = 20  # looking for results takes at most one part in 20 of the time
_LIVE_BYTES = 32 << 20
_Stamp = tuple[int, int, int]


class Command:
    """A child process that gets our standard streams and, where nobody sits at a terminal, a process group of its own.

    Args:
        words: The program and its arguments; no shell sees them.
        directory: Where it works; None is the current folder.
        stdout: File descriptor for its standard output, None for ours.

    Attributes:
        code: Once it has ended, its exit code as a shell gives it: 128 + N where signal N ended it.
    """

    def __init__(self, words: Sequence[str], *, directory: Path | None = None, stdout: int | None = None) -> None:
        self.words = tuple(words)
        self._directory = directory
        self._stdout = stdout
        self._process: subprocess.Popen[bytes] | None = None
        # A terminal's Ctrl-C reaches its foreground group only, and only that group may read from it.
        self._has_group = os.name == "posix" and not os.isatty(0)
        self._signals = 0
        self.code = 0

    def start(self) -> str:
        """Start it.

        Returns:
            Why it could not be started, empty if it was.
        """
        group: dict[str, Any] = {"process_group": 0} if self._has_group else {}
        try:
            # Descriptors that we inherited are passed on, as a shell would: a make's job server for instance.
            self._process = subprocess.Popen(
                self.words, cwd=self._directory, stdout=self._stdout, close_fds=False, **group
            )
        except FileNotFoundError:
            self.code = NOT_FOUND
            hint = "; results are named with --results" if "*" in self.words[0] else ""
            return f"the command {self.words[0]!r} was not found{hint}"
        except (OSError, ValueError) as error:
            self.code = NOT_EXECUTABLE
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return f"the command {self.words[0]!r} cannot be executed: {reason}"
        return ""

    @property
    def is_running(self) -> bool:
        """True from its start to its end."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Wait for its end; blocks."""
        if self._process is not None:
            status = self._process.wait()
            self.code = status if status >= 0 else 128 - status

    def tell(self, number: int) -> None:
        """Hand a signal on to the command and all it started; the second one kills them."""
        self._signals += 1
        if self._signals > 1 and os.name == "posix":
            self._send(signal.SIGKILL)
        elif self._has_group or number != signal.SIGINT:  # a terminal's Ctrl-C has reached it already
            self._send(number)

    def _send(self, number: int) -> None:
        if self._process is None:
            return
        with contextlib.suppress(OSError, ValueError):
            if self._has_group:
                os.killpg(self._process.pid, number)
            elif os.name == "posix":
                self._process.send_signal(number)
            else:
                self._process.terminate()

    async def end(self, seconds: float) -> None:
        """Give it this long to end by itself, then kill whatever is left of it."""
        limit = time.monotonic() + seconds
        while self.is_running and time.monotonic() < limit:
            await asyncio.sleep(0.02)
        if os.name == "posix":
            self._send(signal.SIGKILL)


class Watch:
    """Tells the result files that a command writes from those that lay there before.

    Args:
        patterns: Of result files.
        workspace: What they are relative to.
        exclude: Folders that are never looked into.
        time_unit: As for :func:`ci_bridge.formats.read_results`.
    """

    def __init__(self, patterns: Sequence[str], *, workspace: Path, exclude: Sequence[Path], time_unit: str) -> None:
        self.patterns = tuple(patterns)
        self._workspace = workspace
        self._exclude = exclude
        self._time_unit = time_unit
        self._counted: dict[Path, tuple[_Stamp, dict[str, int]]] = {}
        self._before = self._find()

    def _find(self) -> dict[Path, _Stamp]:
        from ci_bridge.formats.files import find_files

        search = find_files(self.patterns, workspace=self._workspace, limits=Limits(), exclude=self._exclude)
        stamps = {}
        for found in search.files:
            with contextlib.suppress(OSError):
                status = found.path.lstat()
                stamps[found.path] = (status.st_ino, status.st_size, status.st_mtime_ns)
        return stamps

    def stale(self) -> list[Path]:
        """Result files that are as they were at the start: another run's."""
        now = self._find()
        return [path for path, stamp in self._before.items() if now.get(path) == stamp]

    def counts(self) -> dict[str, int]:
        """Outcome -> cases in the whole result files so far; a file that is still being written waits for its end."""
        for path, stamp in self._find().items():
            known = self._counted.get(path)
            if self._before.get(path) == stamp or (known and known[0] == stamp) or stamp[1] > _LIVE_BYTES:
                continue
            self._counted[path] = (stamp, self._read(path) or (known[1] if known else {}))
        total: dict[str, int] = {}
        for _, counts in self._counted.values():
            for outcome, number in counts.items():
                total[outcome] = total.get(outcome, 0) + number
        return total

    def _read(self, path: Path) -> dict[str, int]:
        from ci_bridge.formats import read_results
        from ci_bridge.models import FileState

        with read_results(
            [path], workspace=self._workspace, time_unit=self._time_unit, spool=False, exclude=self._exclude
        ) as results:
            if any(file.state is not FileState.READ for file in results.files):
                return {}
            totals = results.totals
        return {
            "completed": totals.passed,
            "failed": totals.failed,
            "error": totals.error,
            "skipped": totals.skipped,
        }


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of a command and of its report.

    Attributes:
        command: The words that were run.
        command_code: How it ended, as a shell gives it.
        seconds: How long it took.
        exit_code: Ours: the command's unless that is 0, else the report's. See docs/commands.md.
        report: None where there could be none; ``error`` says why.
        ignored: Result files that lay there before, and were not read.
        warnings: For people.
    """

    command: tuple[str, ...]
    command_code: int
    seconds: float
    exit_code: int
    report: ReportOutcome | None = None
    error: CIBridgeError | None = None
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default_factory=tuple)
    problem: str = ""


async def run_command(
    client: Client,
    command: Command,
    *,
    workspace: Path,
    on_progress: Callable[[int, int], None] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> RunOutcome:
    """Run a command between a pending status and a report.

    Cancelling it stops the command, shows the run as cancelled and kills what does not end in time.

    Args:
        client: Delivers and judges.
        command: Not started yet.
        workspace: The folder that the command works in.
        on_progress: As for :meth:`ci_bridge.client.Client.report`.
        monotonic: A clock in seconds.
    """
    from ci_bridge.reporting import DEFAULT_RESULTS

    settings = client.settings
    waiter, looker = Worker(), Worker()
    folder = staging_folder(Path(settings.artifact_dir), workspace)
    patterns = list(settings.results) or list(DEFAULT_RESULTS)

    def begin() -> Watch:
        return Watch(patterns, workspace=workspace, exclude=[folder], time_unit=settings.time_unit)

    watch = await looker.run(begin)
    started = monotonic()
    shown = asyncio.Event()
    live = asyncio.create_task(_show(client, watch, looker, shown, lambda: monotonic() - started))
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(shown.wait(), START_SECONDS)
        started = monotonic()
        problem = command.start()
        await waiter.run(command.wait)
    except asyncio.CancelledError:
        live.cancel()
        await asyncio.gather(command.end(GRACE_SECONDS), _cancelled(client), return_exceptions=True)
        raise
    seconds = monotonic() - started
    # What is on its way now would arrive after the report; the request in the air still ends before that begins.
    live.cancel()
    await asyncio.gather(live, return_exceptions=True)
    run_id = client.get_ci_status()["test_run_id"]
    stale = await looker.run(watch.stale)
    outcome, error = None, None
    try:
        chosen = [*watch.patterns, *(f"!{path}" for path in stale)]
        outcome = await client.report(chosen, test_run_id=run_id, on_progress=on_progress)
    except CIBridgeError as caught:
        error = caught
    ending = problem or f"the command exited with {command.code}"
    warnings = []
    if outcome is not None and not outcome.report.results.totals.total and command.code:
        problem = problem or f"{ending} and wrote no results"
        await client.update_test_run(run_id, {"status": problem, "end_time": outcome.report.run.completed_at})
    elif outcome is not None and command.code and not outcome.report.results.totals.red:
        warnings.append(f"{ending}, though none of its tests failed")
    waiter.close()
    looker.close()
    reported = outcome.exit_code if outcome else error.exit_code if error else 0
    return RunOutcome(
        command=command.words,
        command_code=command.code,
        seconds=seconds,
        exit_code=command.code or reported,
        report=outcome,
        error=error,
        ignored=tuple(_shown(path, workspace) for path in stale),
        warnings=tuple(warnings),
        problem=problem,
    )


async def _show(
    client: Client, watch: Watch, looker: Worker, shown: asyncio.Event, elapsed: Callable[[], float]
) -> None:
    """Show the run as pending, then every ``update_interval`` how far it is, until cancelled."""
    settings = client.settings
    try:
        run = await client.begin_run()
    finally:
        shown.set()
    if not settings.enable_status_updates or settings.update_on_completion_only:
        return
    pause = max(settings.update_interval, _LEAST_PAUSE)
    while True:
        await asyncio.sleep(pause)
        begun = elapsed()
        counts = await looker.run(watch.counts)
        pause = max(settings.update_interval, _LEAST_PAUSE, (elapsed() - begun) * _SHARE_OF_LOOKING)
        await client.update_test_run(
            run.id, {"status": "running", "summary": {"task_statuses": counts, "duration": elapsed()}}
        )


async def _cancelled(client: Client) -> None:
    """Leave no run behind that seems to go on for ever."""
    run_id = client.get_ci_status()["test_run_id"]
    if run_id:
        await asyncio.wait_for(client.update_test_run(run_id, {"status": "cancelled"}), GRACE_SECONDS)


def _shown(path: Path, workspace: Path) -> str:
    absolute = workspace.absolute()
    return (path.relative_to(absolute) if path.is_relative_to(absolute) else path).as_posix()
