"""``ci-bridge doctor``: what will work here and what will not, looked at without changing anything."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ci_bridge import platforms
from ci_bridge.artifacts import own_paths, refuse_results, staging_folder
from ci_bridge.config import LoadedSettings, Settings
from ci_bridge.errors import CIBridgeError, ConfigError, TransientError
from ci_bridge.history.folder_store import FolderStore
from ci_bridge.history.travelling import BASE_DAYS, SEGMENT_DAYS, TravellingHistory
from ci_bridge.models import BuildContext, Credentials
from ci_bridge.protocols import ROLES, Adapter, Finding, Health, Platform, SupportsStore, capabilities_of
from ci_bridge.worker import Worker
from ci_bridge.workplace import history_file

logger = logging.getLogger("ci_bridge")

_FALLBACKS = {
    "test_runs": "a commit status stands for the test run",
    "annotations": "nothing is remarked on beside the code",
    "status": "the state goes to the log",
    "comments": "the comment becomes a part of the summary",
    "summary": "the summary goes to the log",
    "outputs": "later steps get no values",
    "upload": "files wait in artifact_dir for the platform's own step",
}
"""Role -> what happens where nobody fills it."""

_ROLES_OF_CHANNEL = {
    "outputs": ("outputs",),
    "summary": ("summary",),
    "annotations": ("annotations",),
    "run": ("test_runs", "status"),
    "status": ("status",),
    "comment": ("comments",),
    "artifacts": ("upload",),
}
"""Channel -> the roles of which one must be filled."""


def examine(
    loaded: LoadedSettings,
    platform: Platform,
    context: BuildContext,
    *,
    env: Mapping[str, str],
    workspace: Path,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Finding]:
    """Look at everything that a report will need, in the order in which it will.

    Args:
        loaded: The options in force.
        platform: That runs this job.
        context: The build.
        env: The job's environment.
        workspace: The folder that the job works in.
        clock: Answers the time in UTC.
    """
    settings = loaded.settings
    folder = workspace / settings.artifact_dir
    findings = [*_configuration(loaded), *_build(platform, context), _git(workspace)]
    findings.append(_folder(settings, workspace))
    findings.append(_results(settings, workspace, folder))
    token = settings.api_token.reveal() if settings.api_token else None
    credentials = Credentials(token=token, api_url=settings.api_url, directory=folder)
    with _warnings() as said:
        try:
            adapter = platforms.open_adapter(platform, env, credentials)
        except CIBridgeError as error:
            return [*findings, Finding("Connection", Health.PROBLEM, error.message, error.hint)]
    findings += [Finding("Connection", Health.WARNING, text) for text in said]
    findings += _roles(settings, platform, adapter)
    seconds = float(settings.deadline_seconds)
    try:
        with _warnings():  # what is met on the way is in the findings
            findings += _in_time(_asked(settings, platform, adapter, context, workspace, clock), seconds)
    finally:
        adapter.close()
    return findings


def _asked(
    settings: Settings,
    platform: Platform,
    adapter: Adapter,
    context: BuildContext,
    workspace: Path,
    clock: Callable[[], datetime],
) -> Iterator[Finding]:
    """What only the platform can tell, one after the other."""
    if platform.probe is not None and adapter.context.platform == platform.name:
        yield from platform.probe(adapter, context)
    yield from _history(settings, platform, adapter, workspace, clock)


def _in_time(findings: Iterator[Finding], seconds: float) -> list[Finding]:
    """What is found within this time; an API that hangs costs the rest and no more."""
    found: list[Finding] = []
    worker = Worker()
    try:
        asyncio.run(worker.run(lambda: found.extend(findings), timeout=seconds))
    except TransientError:
        detail = f"not everything was answered within {seconds:g} s (deadline_seconds)"
        return [*found, Finding("Connection", Health.UNKNOWN, detail)]
    except Exception as error:  # another package's platform may do anything
        logger.debug("looking broke off", exc_info=True)
        return [*found, Finding("Connection", Health.UNKNOWN, f"looking broke off: {type(error).__name__}: {error}")]
    finally:
        worker.close()
    return found


def _configuration(loaded: LoadedSettings) -> Iterator[Finding]:
    for warning in loaded.warnings:
        yield Finding("Configuration", Health.WARNING, warning)
    if not loaded.warnings:
        sources = sorted({origin for origin in loaded.origins.values() if origin != "default"})
        yield Finding("Configuration", Health.OK, ", ".join(sources) or "defaults only")


def _build(platform: Platform, context: BuildContext) -> Iterator[Finding]:
    if platform.connect is None:
        detail = f"{platform.title}; it has no adapter in this version: deliveries go to files"
        yield Finding("Platform", Health.WARNING, detail)
    else:
        yield Finding("Platform", Health.OK, platform.title)
    for name, reason in platforms.problems().items():
        yield Finding("Platform", Health.WARNING, f"the platform {name} of another package cannot be used: {reason}")
    sha = context.status_sha
    if sha:
        pull = f", pull request {context.pr_number}" if context.pr_number else ""
        yield Finding("Build", Health.OK, f"commit {sha[:12]}{pull}")
    else:
        yield Finding("Build", Health.WARNING, "the commit is not known, so no status can be set")
    host = platforms.code_host_of(context.repository_url) if context.repository_url else None
    if host is None:
        detail = f"the repository's address {'tells none' if context.repository_url else 'is not known'}"
        yield Finding("Code host", Health.UNKNOWN, detail)
    elif host.name == platform.name or platform.connect is None:
        yield Finding("Code host", Health.OK, f"{host.title} ({context.repository})")
    else:
        detail = f"{host.title} ({context.repository}); statuses and comments do not go there in this version"
        yield Finding("Code host", Health.UNKNOWN, detail)


def _git(workspace: Path) -> Finding:
    if shutil.which("git") is None:
        return Finding("Git", Health.WARNING, "git is not installed: no line of code can be remarked on")
    try:
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(workspace), "rev-parse", "--show-toplevel"],
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("Git", Health.WARNING, f"git does not work here: {type(error).__name__}")
    if done.returncode:
        return Finding("Git", Health.WARNING, "this folder is no checkout: no line of code can be remarked on")
    return Finding("Git", Health.OK, "the checkout is here")


def _folder(settings: Settings, workspace: Path) -> Finding:
    """Whether reports can be written, without writing anything."""
    from ci_bridge.reporting import patterns_of

    try:
        folder = staging_folder(Path(settings.artifact_dir), workspace)
        refuse_results(folder, patterns_of(settings), workspace=workspace)
    except ConfigError as error:
        return Finding("Reports", Health.PROBLEM, error.message, "artifact_dir: a folder of its own")
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK | os.X_OK):
        line = "artifact_dir: a folder that can be written"
        return Finding("Reports", Health.PROBLEM, f"{folder} cannot be written", line)
    return Finding("Reports", Health.OK, f"go to {folder}")


def _results(settings: Settings, workspace: Path, folder: Path) -> Finding:
    from ci_bridge.concluding import unreadable_files
    from ci_bridge.formats import read_results
    from ci_bridge.models import FileState
    from ci_bridge.report.wording import plural
    from ci_bridge.reporting import patterns_of

    with read_results(
        patterns_of(settings), workspace=workspace, time_unit=settings.time_unit, spool=False, exclude=own_paths(folder)
    ) as found:
        files = [file for file in found.files if file.state in (FileState.READ, FileState.RECOVERED)]
        broken = unreadable_files(found)
        total = found.totals.total
    where = "the patterns of `results`" if settings.results else "the places that common tools write to"
    if broken:
        return Finding(
            "Results", Health.WARNING, f"{plural(len(broken), 'file')} cannot be read in full: {', '.join(broken[:3])}"
        )
    if not total:
        detail = f"no test result matches {where}; that is right before the tests ran"
        return Finding("Results", Health.WARNING, detail, "results: the pattern of your tool's result files")
    formats = ", ".join(sorted({file.format for file in files if file.format}))
    counts = f"{plural(total, 'case')} in {plural(len(files), 'file')}"
    return Finding("Results", Health.OK, f"{counts} ({formats}), found by {where}")


def _roles(settings: Settings, platform: Platform, adapter: Adapter) -> Iterator[Finding]:
    present = capabilities_of(adapter)
    missing = [role for role in ROLES if role in _FALLBACKS and role not in present]
    if missing:
        detail = "; ".join(f"no {role.replace('_', ' ')}: {_FALLBACKS[role]}" for role in missing)
        yield Finding("Deliveries", Health.WARNING, detail)
    else:
        yield Finding("Deliveries", Health.OK, "every channel is there")
    for channel in settings.required_channels:
        wanted = _ROLES_OF_CHANNEL.get(channel, ())
        if wanted and not present & set(wanted):
            detail = f"{channel} is required, and {platform.title} does not offer it here"
            yield Finding("Required channel", Health.PROBLEM, detail, f"required_channels: without {channel}")


def _history(
    settings: Settings, platform: Platform, adapter: Adapter, workspace: Path, clock: Callable[[], datetime]
) -> Iterator[Finding]:
    """Where the history is, and the condition of docs/history.md: what is stored must outlive the longest gap."""
    if not settings.enable_history_tracking:
        yield Finding("History", Health.WARNING, "enable_history_tracking = false: failures are not judged")
        return
    store: object = adapter
    if settings.history_url:
        folder = workspace / settings.history_url
        store = None if (folder / history_file(settings)).exists() else FolderStore(folder)
    elif adapter.context.platform == platforms.FALLBACK:
        store = None
    if store is None:
        yield Finding("History", Health.OK, f"in one file in {settings.history_url or settings.artifact_dir}")
    elif isinstance(store, SupportsStore):
        yield _condition(settings, platform, store, clock())
    else:
        detail = "nothing is kept between builds here: failures are judged only where artifact_dir or history_url is"
        yield Finding("History", Health.WARNING, detail, _FOLDER_LINE)


def _condition(settings: Settings, platform: Platform, store: SupportsStore, now: datetime) -> Finding:
    """How long things are kept against the longest time that nobody compacted."""
    try:
        bases = TravellingHistory(store, Path(), settings.history_key or "").bases()
    except CIBridgeError as error:
        return Finding("History", Health.UNKNOWN, str(error))
    segments, base = (min(days, store.longest_retention or days) for days in (SEGMENT_DAYS, BASE_DAYS))
    if not store.store_expires:  # whoever compacts drops what a base covers, and nothing else
        kept = f"segments are kept {SEGMENT_DAYS} days, and until a base covers them"
    else:
        kept = f"segments are kept {segments} days, bases {base}"
    if store.no_puts and not bases:
        detail = f"nothing is stored, and this job cannot store anything: {store.no_puts}"
        return Finding("History", Health.WARNING, detail, _FOLDER_LINE)
    if not bases:
        detail = f"{kept}; no compaction has been made yet, or none in that time: the next builds do it"
        return Finding("History", Health.WARNING, detail)
    moments = sorted(base.created_at for base in bases)
    gap = max(later - earlier for earlier, later in zip(moments, [*moments[1:], now], strict=True)) / timedelta(days=1)
    detail = f"{kept}; the longest gap between compactions was {gap:.1f} days"
    if store.no_puts:
        detail += f"; this job adds nothing: {store.no_puts}"
    limit = min(segments, base) if store.store_expires else math.inf
    if gap >= limit:
        return Finding("History", Health.PROBLEM, f"{detail}: runs are lost", platform.weekly_line or _WEEKLY)
    if gap > limit * _NEAR:
        return Finding("History", Health.WARNING, detail, platform.weekly_line or _WEEKLY)
    return Finding("History", Health.OK, detail)


_FOLDER_LINE = "history_url: a folder that outlives the build"
_WEEKLY = "a weekly scheduled build of the default branch"
_NEAR = 0.6
"""Part of the time that things are kept; a weekly build is just below it."""


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Catch what is said to the log; here it is a finding."""
    said: list[str] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                said.append(record.getMessage())

    handler = Catch()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def exit_code_of(findings: Sequence[Finding]) -> int:
    """1 if anything is a problem."""
    return int(any(finding.state is Health.PROBLEM for finding in findings))
