"""What every delivery of one client works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ci_bridge.arguments import uuid7
from ci_bridge.config import Settings
from ci_bridge.delivery import Courier, Rung
from ci_bridge.masking import Masker
from ci_bridge.models import BuildContext, TestRun
from ci_bridge.names import told_apart
from ci_bridge.protocols import NO_PAGES, Adapter, WebPages
from ci_bridge.report.escape import log_lines

if TYPE_CHECKING:
    from ci_bridge.travels import Travels


_LONGEST_NAME = 255


@dataclass(slots=True)
class Workplace:
    """The settings, the build, the adapters and the folders; the client fills it.

    Attributes:
        tested_job: Key of the job that ran the tests, where that is another one than this; empty if it is this one.
    """

    settings: Settings
    context: BuildContext
    adapter: Adapter
    host: Adapter
    courier: Courier
    masker: Masker
    workspace: Path
    directory: Path
    log: Callable[[str], None]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    stopped: Callable[[], bool] = lambda: False
    queue_events: tuple[str, ...] = ()
    trusted_events: tuple[str, ...] = ()
    pages: WebPages = NO_PAGES
    travels: Travels | None = None
    tested_job: str = ""

    @property
    def report_name(self) -> str:
        """What this job's report is called: its title, pipeline and job, so that no other one's passes for it.

        The parallel jobs of a matrix share it.
        """
        return self._named(self.context.job_name)

    @property
    def run_name(self) -> str:
        """What runs and statuses of this job are called: parallel jobs must not overwrite each other's."""
        shard = self.settings.shard
        return told_apart(f"{self.report_name} ({shard})" if shard else self.report_name, _LONGEST_NAME)

    @property
    def history_name(self) -> str:
        """The report's name in the job that ran the tests: what is remembered is compared with runs of this name."""
        return self._named(self.tested_job or self.context.job_name)

    @property
    def history_kin(self) -> tuple[str, str] | None:
        """How that name begins and ends in the same job of any pipeline."""
        job = self.tested_job or self.context.job_name
        return (f"{self.settings.comment_title} / ", f" / {job}") if job else None

    def _named(self, job: str | None) -> str:
        return " / ".join(filter(None, (self.settings.comment_title, self.context.pipeline_name, job)))

    def new_run(self, run_id: str = "") -> TestRun:
        """A test run of this build that begins now, by default under an id of its own."""
        context, now = self.context, self.clock()
        return TestRun(
            id=run_id or uuid7(now),
            name=self.run_name,
            build_id=context.build_id,
            commit_sha=context.status_sha,
            branch=context.branch,
            pr_number=context.pr_number,
            created_at=now,
        )

    def log_rung(self, text: str) -> Rung:
        """The last rung of a ladder: say it in the log, every line escaped."""

        def send() -> None:
            for line in log_lines(text, patterns=self.courier.patterns):
                self.log(line)

        return Rung("log", send, is_local=True)

    @property
    def is_queue(self) -> bool:
        """True in a merge queue: the build is of a commit that several pull requests make up together."""
        return self.context.pr_number is not None and self.context.event in self.queue_events

    @property
    def is_trusted(self) -> bool:
        """True for what the project itself built: pushes, schedules and what its members start, no pull requests.

        An event that the platform does not name is not trusted. Where none is told, nothing but a pull request tells a
        stranger's build from one of ours.
        """
        context = self.context
        known = context.event is None or context.event in self.trusted_events
        return known and context.pr_number is None and not context.is_fork

    @property
    def history_path(self) -> Path:
        """Where the history of this project lies; its working copy where it travels."""
        return self.history_path_in(None if self.travels else self.settings.history_url)

    def history_path_in(self, folder: str | None) -> Path:
        """The history file of this project in a folder, by default ``artifact_dir``."""
        return (self.folder(folder) if folder else self.directory) / history_file(self.settings)

    def folder(self, path: str) -> Path:
        """A folder that an option names; relative ones are in the workspace."""
        return self.workspace / path


def history_file(settings: Settings) -> str:
    """What the history's file is called; a project may keep several."""
    return f"history-{settings.history_key}.sqlite" if settings.history_key else "history.sqlite"
