"""What started the workflow runs that stored objects come from, and which workflow they ran: whom to believe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_bridge.errors import NotFoundError
from ci_bridge.models import BuildContext
from ci_bridge.platforms import github
from ci_bridge.platforms._read import Variables, read_json
from ci_bridge.platforms.github.answers import Lists, Page

TRUSTED_EVENTS = frozenset(github.platform.trusted_events)

RUN_PAGES = 10
"""GitHub shows the first thousand runs of a list that is filtered, whatever their number."""

_WORKFLOW = re.compile(r"(?P<file>\.github/workflows/.+?\.ya?ml)(?:@.*)?", re.DOTALL)
_IN_A_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def workflow_of(path: str) -> str:
    """A workflow's file, of a run's ``path`` or of ``GITHUB_WORKFLOW_REF`` behind the repository; empty if none.

    Both may name a ref behind an ``@``.
    """
    match = _WORKFLOW.fullmatch(path)
    return match["file"] if match else ""


def own_workflow(env: Mapping[str, str], context: BuildContext) -> str:
    """File of the workflow whose history this build's is; empty if the environment does not tell.

    In a ``workflow_run`` event that is the workflow which started this one. A reusable workflow is part of its caller.
    """
    if context.event == "workflow_run":
        started = read_json(Variables(env)("GITHUB_EVENT_PATH"))("workflow_run.path")
        return workflow_of(started.value) if started else ""
    owner, _, rest = env.get("GITHUB_WORKFLOW_REF", "").partition("/")
    name, _, path = rest.partition("/")
    return workflow_of(path) if f"{owner}/{name}" == context.repository else ""


def own_head(env: Mapping[str, str]) -> tuple[int, str] | None:
    """Repository and branch that a pull request comes from, by the event; None where no pull request is built."""
    event = read_json(Variables(env)("GITHUB_EVENT_PATH"))
    repository, branch = event.find("pull_request.head.repo.id"), event("pull_request.head.ref")
    return (repository, branch.value) if isinstance(repository, int) and branch else None


@dataclass(slots=True)
class _Branch:
    """How far the runs of one branch were read, newest first."""

    read: int = 0
    oldest: int | None = None
    newest: int = 0
    is_over: bool = False

    def covers(self, run: int) -> bool:
        """True if the run would have been among those that were read."""
        return self.oldest is not None and run >= self.oldest


@dataclass(slots=True)
class RunOrigins:
    """Tells whether a run may be believed, in as few calls as that takes.

    Attributes:
        lists: Makes the calls.
        path: The repository's.
        workflow: File whose runs are believed; empty for all workflows of the repository.
    """

    lists: Lists
    path: str
    workflow: str
    _believed: dict[int, bool] = field(default_factory=dict)
    _branches: dict[str, _Branch] = field(default_factory=dict)

    def learn(self, runs: Mapping[int, str], *, pages: int, singles: int) -> int:
        """Find out about runs.

        Args:
            runs: Id -> branch.
            pages: Of the list of a branch's runs, in all; a hundred runs each.
            singles: Runs to ask for by themselves, the newest of those that the lists do not hold.

        Returns:
            How many were asked for by themselves.
        """
        missing = {run: branch for run, branch in runs.items() if run not in self._believed}
        for branch in set(missing.values()):
            self._read(branch, min(run for run, its in missing.items() if its == branch), pages)
        asked = sorted((run for run, branch in missing.items() if self._is_open(run, branch)), reverse=True)[:singles]
        for run in asked:
            try:
                _, facts = self.lists.get(f"{self.path}/actions/runs/{run}", {})
                self._believed[run] = self._is_believed(facts)
            except NotFoundError:
                self._believed[run] = False
        return len(asked)

    def is_believed(self, run: int, branch: str) -> bool | None:
        """Whether the run may be believed; None if that was not found out."""
        if run in self._believed:
            return self._believed[run]
        known = self._branches.get(branch)
        # What began after the list was read belongs to the next reader; what it passed over is another workflow's.
        return False if known is not None and known.covers(run) else None

    def _is_open(self, run: int, branch: str) -> bool:
        known = self._branches[branch]
        return run not in self._believed and (run > known.newest or not known.covers(run))

    def _read(self, branch: str, down_to: int, pages: int) -> None:
        known = self._branches.setdefault(branch, _Branch())
        while known.read < pages and not known.is_over and not known.covers(down_to):
            page = self._page(branch, known.read + 1)
            numbers = [int(run["id"]) for run in page.items]
            self._believed |= {int(run["id"]): self._is_believed(run) for run in page.items}
            known.read, known.is_over = known.read + 1, page.is_last
            known.newest = max([known.newest, *numbers])
            is_whole = page.is_last and known.read < RUN_PAGES
            known.oldest = 0 if is_whole else min(numbers, default=known.oldest)

    def _page(self, branch: str, number: int) -> Page:
        # By its file's name a workflow is asked for where that name can stand in a path.
        name = self.workflow.rpartition("/")[2]
        place = f"workflows/{name}/runs" if _IN_A_PATH.fullmatch(name) else "runs"
        try:
            return self.lists.page(f"{self.path}/actions/{place}", "workflow_runs", number, branch=branch)
        except NotFoundError:  # a workflow that has never run here
            return Page([], is_last=True)

    def _is_believed(self, facts: Mapping[str, object]) -> bool:
        own = not self.workflow or workflow_of(str(facts["path"])) == self.workflow
        return own and facts["event"] in TRUSTED_EVENTS
