"""``ci-bridge run -- CMD``: run a test command, show how it goes, report what it wrote, and exit as it did."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_bridge.artifacts import own_paths, staging_folder
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

TIMED_OUT = 124
"""Exit code of ``timeout`` where it had to end the command."""

_LEAST_PAUSE = 0.2
_SHARE_OF_LOOKING = 20  # looking for results takes at most one part in 20 of the time
_LIVE_BYTES = 32 << 20
_MOST_NAMES = 5
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
        self._ended_by = 0
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
            self.code, self._ended_by = (status, 0) if status >= 0 else (128 - status, -status)

    @property
    def ending(self) -> str:
        """How it ended, in our own words; empty if it succeeded."""
        if not self.code:
            return ""
        if self._process is None:
            return f"the command {'was not found' if self.code == NOT_FOUND else 'cannot be executed'}"
        if self._ended_by:
            return f"the command was ended by {_signal_text(self._ended_by)}"
        text = f"the command exited with {self.code}"
        if self.code == TIMED_OUT:
            return f"{text}, perhaps because its time was up"
        # A shell passes on so what became of its own child.
        told = _signal_text(self.code - 128) if os.name == "posix" and self.code > 128 else ""
        return f"{text}, as after {told}" if told else text

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

    def sorted(self) -> tuple[list[Path], list[Path]]:
        """Result files that are as they were at the start, another run's; and the others."""
        now = self._find()
        stale = [path for path, stamp in self._before.items() if now.get(path) == stamp]
        return stale, [path for path, stamp in now.items() if self._before.get(path) != stamp]

    def counts(self) -> dict[str, int]:
        """Outcome -> cases in the whole result files so far; a file that is still being written waits for its end."""
        with contextlib.suppress(OSError, CIBridgeError):  # what is being written is told when it is there
            self._look()
        total: dict[str, int] = {}
        for _, counts in self._counted.values():
            for outcome, number in counts.items():
                total[outcome] = total.get(outcome, 0) + number
        return total

    def _look(self) -> None:
        for path, stamp in self._find().items():
            known = self._counted.get(path)
            if self._before.get(path) == stamp or (known and known[0] == stamp) or stamp[1] > _LIVE_BYTES:
                continue
            self._counted[path] = (stamp, self._read(path) or (known[1] if known else {}))

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
        problem: Why there are no results to speak of, in our own words; empty if there are.
    """

    command: tuple[str, ...]
    command_code: int
    seconds: float
    exit_code: int
    report: ReportOutcome | None = None
    error: CIBridgeError | None = None
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str = ""


async def run_command(
    client: Client,
    command: Command,
    *,
    workspace: Path,
    on_progress: Callable[[int, int], None] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> RunOutcome:
    """Run a command between a pending status and a report.

    Cancelling it stops the command, shows the run as cancelled and kills what does not end in time.

    Args:
        client: Delivers and judges.
        command: Not started yet.
        workspace: The folder that the command works in.
        on_progress: As for :meth:`ci_bridge.client.Client.report`.
        monotonic: A clock in seconds.
        sleep: Waits so long, by the same clock, between two looks at how far the tests are.
    """
    from ci_bridge.reporting import patterns_of

    settings = client.settings
    looker = Worker()
    folder = staging_folder(Path(settings.artifact_dir), workspace)
    await client.preflight()
    watch = await looker.run(
        partial(
            Watch, patterns_of(settings), workspace=workspace, exclude=own_paths(folder), time_unit=settings.time_unit
        )
    )
    problem, seconds = await _run_shown(client, command, watch, looker, monotonic, sleep)
    stale, fresh = await looker.run(watch.sorted)
    looker.close()
    ignored = tuple(_shown(path, workspace) for path in stale)
    chosen = [*watch.patterns, *(f"!{path}" for path in stale)]
    # Where there are results, files that have lain there for ever are no news.
    remarks = [] if fresh or not stale else [not_counted(ignored)]
    told = await _report(client, command, chosen, remarks, on_progress)
    report, error = (None, told) if isinstance(told, CIBridgeError) else (told, None)
    finding = report.report.problem if report else ""
    has_cases = bool(report and report.report.results.totals.total)
    return RunOutcome(
        command=command.words,
        command_code=command.code,
        seconds=seconds,
        exit_code=command.code or told.exit_code,
        report=report,
        error=error,
        ignored=ignored,
        warnings=(finding,) if finding and has_cases else (),
        problem=problem or ("" if has_cases else finding),
    )


async def _run_shown(
    client: Client,
    command: Command,
    watch: Watch,
    looker: Worker,
    monotonic: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> tuple[str, float]:
    """Run the command and show meanwhile how far it is; answers why it did not start, and the seconds that it took."""
    waiter, started = Worker(), monotonic()
    shown = asyncio.Event()
    live = asyncio.create_task(_show(client, watch, looker, shown, lambda: monotonic() - started, sleep))
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await shown.wait()
        started = monotonic()
        problem = command.start()
        await waiter.run(command.wait)
    except asyncio.CancelledError:
        live.cancel()
        await asyncio.gather(command.end(GRACE_SECONDS), _cancelled(client), return_exceptions=True)
        raise
    seconds = monotonic() - started
    waiter.close()
    # What is on its way now would arrive after the report; the request in the air still ends before that begins.
    live.cancel()
    await asyncio.gather(live, return_exceptions=True)
    return problem, seconds


async def _report(
    client: Client,
    command: Command,
    results: Sequence[str],
    remarks: Sequence[str],
    on_progress: Callable[[int, int], None] | None,
) -> ReportOutcome | CIBridgeError:
    """Report what the command wrote; answers the error where that is impossible."""
    run_id = client.get_ci_status()["test_run_id"]
    try:
        return await client.report(
            results, test_run_id=run_id, on_progress=on_progress, ending=command.ending, remarks=remarks
        )
    except CIBridgeError as error:
        await client.update_test_run(run_id, {"status": "error"})  # it must not seem to go on for ever
        return error


async def _show(
    client: Client,
    watch: Watch,
    looker: Worker,
    shown: asyncio.Event,
    elapsed: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
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
        await sleep(pause)
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
        async with asyncio.timeout(GRACE_SECONDS):
            await client.update_test_run(run_id, {"status": "cancelled"})


def not_counted(ignored: Sequence[str]) -> str:
    """Which files did not count, and why."""
    first = ", ".join(ignored[:_MOST_NAMES])
    more = f" and {len(ignored) - _MOST_NAMES} more" if len(ignored) > _MOST_NAMES else ""
    return f"not counted, because they lay there before the command ran: {first}{more}"


def _signal_text(number: int) -> str:
    """``SIGKILL (9), perhaps out of memory``; empty where there is no such signal."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return ""
    return f"{name} ({number})" + (", perhaps out of memory" if name == "SIGKILL" else "")


def _shown(path: Path, workspace: Path) -> str:
    absolute = workspace.absolute()
    return (path.relative_to(absolute) if path.is_relative_to(absolute) else path).as_posix()
