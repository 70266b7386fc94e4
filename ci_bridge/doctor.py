"""``ci-bridge doctor``: what will work here and what will not, looked at without changing anything."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ci_bridge import platforms
from ci_bridge.artifacts import staging_folder
from ci_bridge.config import LoadedSettings, Settings
from ci_bridge.errors import CIBridgeError
from ci_bridge.models import BuildContext, Credentials
from ci_bridge.protocols import ROLES, Adapter, Finding, Health, Platform, SupportsStore, capabilities_of

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
    folder = staging_folder(Path(settings.artifact_dir), workspace)
    findings = [*_configuration(loaded), *_build(platform, context), _git(workspace), _folder(folder)]
    findings.append(_results(settings, workspace, folder))
    token = settings.api_token.reveal() if settings.api_token else None
    credentials = Credentials(token=token, api_url=settings.api_url, directory=folder)
    with _warnings() as said:
        try:
            adapter = platforms.open_adapter(platform, env, credentials)
        except CIBridgeError as error:
            return [*findings, Finding("Connection", Health.PROBLEM, error.message, error.hint)]
    try:
        findings += [Finding("Connection", Health.WARNING, text) for text in said]
        findings += _roles(settings, platform, adapter)
        if platform.probe is not None and adapter.context.platform == platform.name:
            with _warnings():  # what the probe meets is in its findings
                findings += platform.probe(adapter, context)
        findings += _history(settings, adapter, clock())
    finally:
        adapter.close()
    return findings


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
            [
                "git",
                "-c",
                f"safe.directory={workspace.resolve()}",
                "-C",
                str(workspace),
                "rev-parse",
                "--show-toplevel",
            ],
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("Git", Health.WARNING, f"git does not work here: {type(error).__name__}")
    if done.returncode:
        return Finding("Git", Health.WARNING, "this folder is no checkout: no line of code can be remarked on")
    return Finding("Git", Health.OK, "the checkout is here")


def _folder(folder: Path) -> Finding:
    """Whether reports can be written, without writing anything."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        line = "artifact_dir: a folder that can be written"
        return Finding("Reports", Health.PROBLEM, f"{folder} cannot be written", line)
    return Finding("Reports", Health.OK, f"go to {folder}")


def _results(settings: Settings, workspace: Path, folder: Path) -> Finding:
    from ci_bridge.formats import read_results
    from ci_bridge.models import FileState
    from ci_bridge.reporting import DEFAULT_RESULTS, unreadable_files

    patterns = list(settings.results) or list(DEFAULT_RESULTS)
    with read_results(
        patterns, workspace=workspace, time_unit=settings.time_unit, spool=False, exclude=[folder]
    ) as found:
        files = [file for file in found.files if file.state in (FileState.READ, FileState.RECOVERED)]
        broken = unreadable_files(found)
        total = found.totals.total
    where = "the patterns of `results`" if settings.results else "the places that common tools write to"
    if broken:
        return Finding(
            "Results", Health.WARNING, f"{len(broken)} files cannot be read in full: {', '.join(broken[:3])}"
        )
    if not total:
        detail = f"no test result matches {where}; that is right before the tests ran"
        return Finding("Results", Health.WARNING, detail, "results: the pattern of your tool's result files")
    formats = ", ".join(sorted({file.format for file in files if file.format}))
    return Finding("Results", Health.OK, f"{total} cases in {len(files)} files ({formats}), found by {where}")


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


def _history(settings: Settings, adapter: Adapter, now: datetime) -> Iterator[Finding]:
    """The condition of docs/history.md: segments must outlive the longest gap between two compactions."""
    if not settings.enable_history_tracking:
        yield Finding("History", Health.WARNING, "enable_history_tracking = false: failures are not judged")
        return
    if settings.history_url or adapter.context.platform == platforms.FALLBACK:
        yield Finding("History", Health.OK, f"in {settings.history_url or settings.artifact_dir}")
        return
    if not isinstance(adapter, SupportsStore):
        detail = "nothing is kept between builds here: failures are judged only where artifact_dir or history_url is"
        yield Finding("History", Health.WARNING, detail, "history_url: a folder that outlives the build")
        return
    from ci_bridge.history.travelling import SEGMENT_DAYS, TravellingHistory

    names = TravellingHistory(adapter, Path(), settings.history_key or "")
    try:
        bases = names.bases()
    except CIBridgeError as error:
        yield Finding("History", Health.UNKNOWN, str(error))
        return
    kept = f"segments are kept {SEGMENT_DAYS} days"
    if not bases:
        yield Finding("History", Health.WARNING, f"{kept}; no compaction has been made yet, the first builds do it")
        return
    moments = sorted(base.created_at for base in bases)
    gap = max(later - earlier for earlier, later in zip(moments, [*moments[1:], now], strict=True))
    detail = f"{kept}; the longest gap between compactions was {gap / timedelta(days=1):.1f} days"
    if gap >= timedelta(days=SEGMENT_DAYS):
        yield Finding("History", Health.PROBLEM, f"{detail}: runs are lost", _SCHEDULE)
    elif gap > timedelta(days=SEGMENT_DAYS / 2):
        yield Finding("History", Health.WARNING, detail, _SCHEDULE)
    else:
        yield Finding("History", Health.OK, detail)


_SCHEDULE = "a weekly scheduled build of the default branch"


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Catch what is said to the log; here it is a finding."""
    said: list[str] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                said.append(record.getMessage())

    logger, handler = logging.getLogger("ci_bridge"), Catch()
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
