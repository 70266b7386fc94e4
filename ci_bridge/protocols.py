"""What a platform is and what its adapter can do.

A role is one thing an adapter can do. Adapters subclass the roles they fill, so the class line is the capability list
and mypy checks each signature. Roles hold primitives; policy (what to send when, ladders, retries, sticky comments)
is written once, in the client.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from ci_bridge.models import (
    Annotation,
    Artifact,
    ArtifactQuery,
    BuildContext,
    Comment,
    CommitStatus,
    Credentials,
    Metric,
    PullRequest,
    RemoteRun,
    StoredObject,
    TestRun,
)


class Adapter(Protocol):
    """A live connection to one platform. Its methods are synchronous and raise :mod:`ci_bridge.errors` only."""

    @property
    def context(self) -> BuildContext: ...

    @abstractmethod
    def close(self) -> None: ...


@runtime_checkable
class SupportsTestRuns(Protocol):
    """Shows a test run as an object of its own."""

    @property
    def max_page_size(self) -> int:
        """Bytes of Markdown that it shows of a run, 0 where it shows none but plain text."""
        return 0

    @abstractmethod
    def create_test_run(self, run: TestRun) -> RemoteRun: ...

    @abstractmethod
    def update_test_run(self, remote_id: str, run: TestRun) -> RemoteRun: ...


@runtime_checkable
class SupportsAnnotations(Protocol):
    """Shows remarks on lines of code."""

    @property
    @abstractmethod
    def max_annotations(self) -> int: ...

    @abstractmethod
    def annotate(self, annotations: Sequence[Annotation]) -> str | None:
        """Show these annotations; answers where they can be seen."""


@runtime_checkable
class SupportsStatus(Protocol):
    """Sets a status on a commit: creates it, or replaces the one with the same context."""

    @abstractmethod
    def set_status(self, status: CommitStatus) -> str | None:
        """Set it; answers where it can be seen."""


@runtime_checkable
class SupportsComments(Protocol):
    """Comments on pull requests."""

    @property
    @abstractmethod
    def max_comment_size(self) -> int:
        """Characters that one comment may hold."""

    @abstractmethod
    def whoami(self) -> str:
        """The author name that our comments bear."""

    @abstractmethod
    def list_comments(self, pr_number: str) -> Iterable[Comment]:
        """All comments of the pull request, oldest first, all pages."""

    @abstractmethod
    def create_comment(self, pr_number: str, body: str) -> Comment: ...

    @abstractmethod
    def update_comment(self, pr_number: str, comment_id: str, body: str) -> Comment: ...

    @abstractmethod
    def delete_comment(self, pr_number: str, comment_id: str) -> None:
        """Remove a comment of ours; one that is gone already is fine. Two jobs that create at once end in one so."""


@runtime_checkable
class SupportsSummary(Protocol):
    """Shows Markdown on the build's own page."""

    @property
    @abstractmethod
    def max_summary_size(self) -> int:
        """Bytes of UTF-8 that one summary may hold."""

    @abstractmethod
    def write_summary(self, markdown: str) -> str | None:
        """Write it; answers where it can be seen."""


@runtime_checkable
class SupportsOutputs(Protocol):
    """Hands values to later steps and hides secrets in the log."""

    @abstractmethod
    def set_outputs(self, outputs: Mapping[str, str]) -> str | None: ...

    @abstractmethod
    def add_mask(self, secret: str) -> None: ...


@runtime_checkable
class SupportsUpload(Protocol):
    """Keeps a file beyond the build."""

    @abstractmethod
    def upload_artifact(self, path: Path, artifact: Artifact, retention_days: int) -> Artifact:
        """Store the file at ``path``, described by ``artifact``; answers it with id, URL, size and digest filled."""


@runtime_checkable
class SupportsDownload(Protocol):
    """Finds and fetches kept files."""

    @abstractmethod
    def list_artifacts(self, query: ArtifactQuery) -> Sequence[Artifact]:
        """Matching artifacts, newest first."""

    @abstractmethod
    def download_artifact(self, artifact: Artifact, to: Path) -> None:
        """Write the bytes as stored to the file ``to``."""


@runtime_checkable
class SupportsMetrics(Protocol):
    """Charts numbers itself."""

    @abstractmethod
    def record_metric(self, metric: Metric) -> None: ...


class Listing(list[StoredObject]):
    """What a look at a store found, newest first, and what it had to leave open.

    Attributes:
        is_whole: False if there may be more, behind the limit or behind what was looked at.
        unsure: Objects that it would have taken too long to find out of whether they may be trusted.
        has_others: True if another pipeline's trusted objects were passed over.
        own: Where a pull request is built: what its own builds have put, found on the way. Nothing to be trusted.
    """

    def __init__(
        self,
        found: Iterable[StoredObject] = (),
        *,
        is_whole: bool = True,
        unsure: Iterable[StoredObject] = (),
        has_others: bool = False,
        own: Iterable[StoredObject] = (),
    ) -> None:
        super().__init__(found)
        self.is_whole, self.unsure, self.has_others, self.own = is_whole, tuple(unsure), has_others, tuple(own)


@runtime_checkable
class SupportsStore(Protocol):
    """Keeps immutable objects between builds: what the history travels in."""

    @property
    @abstractmethod
    def store_expires(self) -> bool:
        """True if the store drops objects by itself after their retention; then nothing is ever deleted by us."""

    @property
    def job_key(self) -> str:
        """Tells this job from every other of the build, where one may have the same name; empty where nothing does."""
        return ""

    @property
    def longest_retention(self) -> int | None:
        """Days that the store keeps an object at most, whatever is asked for; None where it does as it is told."""
        return None

    @property
    def no_puts(self) -> str:
        """Why this job can put nothing, though it can read; empty where it can."""
        return ""

    @abstractmethod
    def put_object(self, name: str, data: bytes, retention_days: int) -> StoredObject:
        """Store bytes under a name; never replaces anything."""

    @abstractmethod
    def list_objects(self, prefix: str, limit: int, *, every_pipeline: bool = False) -> Sequence[StoredObject]:
        """The newest objects whose name begins with ``prefix``, newest first.

        Only those that may be trusted: put by trusted events (push, schedule, dispatch) of the same repository, on its
        default or the same protected branch or, in a pull request, the protected one that it is for, by the same
        pipeline (where one build triggers another, the triggering one's). What builds of the same head, repository
        and branch, have put is apart from them, in :attr:`Listing.own`.

        Args:
            prefix: Ends in ``-``, or is the whole name.
            limit: The most that is wanted. Up to 100 the answer may be found out in few calls and leave something
                open, which a :class:`Listing` tells; more means that it is worth the calls that it takes.
            every_pipeline: Trust what the repository's other pipelines put as well. A platform that does not know
                its pipelines always does.
        """

    @abstractmethod
    def list_siblings(self, prefix: str) -> Sequence[StoredObject]:
        """The objects that the jobs of this very build have put, all attempts, oldest first; trusted or not."""

    @abstractmethod
    def get_object(self, stored: StoredObject, limit: int) -> bytes:
        """The bytes, at most ``limit``; a larger object is refused."""

    @abstractmethod
    def delete_object(self, stored: StoredObject) -> None:
        """Remove it; only where ``store_expires`` is false."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The build that started this one, by the platform's own word; empty where there is none or nothing is told.

    Attributes:
        id: Of the build.
        attempt: Its newest attempt, counted from 1.
        repository: Where its commit lies, ``owner/name``: a fork's own, where it was for a fork's pull request.
        branch: Of its commit, there.
        pipeline: What the pipeline is called that it is a build of.
        url: Of its page.
    """

    id: str = ""
    attempt: int = 0
    repository: str = ""
    branch: str = ""
    pipeline: str = ""
    url: str = ""


@runtime_checkable
class SupportsPullRequests(Protocol):
    """Knows which pull request a commit is the head of, and which build started this one."""

    @property
    def trigger(self) -> Trigger:
        """The build that started this one."""
        return Trigger()

    @abstractmethod
    def pull_requests_of(self, sha: str) -> Sequence[PullRequest]:
        """The open pull requests whose head is exactly this commit, forks' too, as the code host tells it."""

    @abstractmethod
    def list_triggering(self, prefix: str) -> Sequence[StoredObject]:
        """The objects that the jobs of the build which triggered this one have put, newest first; never trusted.

        Read them with :meth:`SupportsStore.get_object`. Empty where no build triggered this one.
        """


@runtime_checkable
class ExplainsGaps(Protocol):
    """Knows why it lacks roles that its platform could fill."""

    @abstractmethod
    def why_not(self, capability: str) -> str:
        """Why it lacks this one, and the next step; empty where it is not the platform's to fill."""


def why_missing(adapter: object, capability: str, otherwise: str) -> str:
    """Why an adapter lacks a role: in its own words, else ``otherwise``."""
    return (adapter.why_not(capability) if isinstance(adapter, ExplainsGaps) else "") or otherwise


ROLES: Mapping[str, type] = {
    "test_runs": SupportsTestRuns,
    "annotations": SupportsAnnotations,
    "status": SupportsStatus,
    "comments": SupportsComments,
    "summary": SupportsSummary,
    "outputs": SupportsOutputs,
    "upload": SupportsUpload,
    "download": SupportsDownload,
    "metrics": SupportsMetrics,
    "store": SupportsStore,
    "pull_requests": SupportsPullRequests,
}
"""Capability -> role."""


def capabilities_of(adapter: object) -> frozenset[str]:
    """The names of the roles that this adapter fills."""
    return frozenset(name for name, role in ROLES.items() if isinstance(adapter, role))


Environment = Mapping[str, str]


class Health(StrEnum):
    """What a look at the environment found of one thing."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that works here, or does not.

    Attributes:
        title: What was looked at, in a word or two.
        state: ``warning`` where something degrades, ``problem`` where something fails.
        detail: What was found, in one line.
        line_to_add: The line of the pipeline or of the configuration that closes the gap, empty if there is none.
    """

    title: str
    state: Health
    detail: str
    line_to_add: str = ""


@dataclass(frozen=True, slots=True)
class WebPages:
    """What a code host's pages are called below a repository's URL; empty where that is not known.

    Attributes:
        commit: With ``{sha}``.
        pull_request: With ``{number}``.
        line: Of a file as it was in a commit, with ``{sha}``, ``{path}`` and ``{line}``.
    """

    commit: str = ""
    pull_request: str = ""
    line: str = ""


NO_PAGES = WebPages()


@dataclass(frozen=True, slots=True)
class Platform:
    """A CI system as pure functions and tables.

    Attributes:
        name: Value of the option ``ci_system``.
        title: As its vendor writes it.
        priority: Where two platforms claim one environment, the smaller number wins.
        token_variables: Environment variables that may hold its token, best first.
        log_command_patterns: Regular expressions of what its log viewer would execute or fold; neutralised in
            untrusted text.
        detect: True if this environment is a build of this platform. Pure; never raises.
        read_context: The build that the environment describes. Pure but for the event or properties file that the
            environment names; never raises.
        owns_url: True if this repository URL lives on this platform's code host.
        connect: Opens the adapter; None where it does not exist yet.
        queue_events: Values of ``BuildContext.event`` of a merge queue's builds.
        trusted_events: Values of ``BuildContext.event`` that only those can cause who may write to the repository, as
            long as no pull request is told beside them. What stands here may judge other builds; nothing else may.
        fill: Fills absent fields of a context from the checkout at a directory; None where the environment tells all.
        pipeline_folder: Where in a checkout its pipelines lie; the first part tells whose checkout it is. Empty where
            there is none, or no template for it.
        upload_step: The step to add to a pipeline whose jobs may store no bundle by themselves; ``{folder}`` is where
            the bundle waits. Empty where there is none.
        probe: Finds out what will work with this adapter, and changes nothing on the platform; None where there is
            nothing to ask. What it has found counts though the rest is not found in time.
        weekly_line: The line of a pipeline that starts it once a week; empty where it is no single line.
        pages: Of the repositories whose URL its context tells; empty where another code host keeps them.
    """

    name: str
    title: str
    priority: int
    token_variables: tuple[str, ...]
    log_command_patterns: tuple[str, ...]
    detect: Callable[[Environment], bool]
    read_context: Callable[[Environment], BuildContext]
    owns_url: Callable[[str], bool]
    connect: Callable[[Environment, Credentials], Adapter] | None = None
    fill: Callable[[BuildContext, Path], BuildContext] | None = None
    queue_events: tuple[str, ...] = ()
    trusted_events: tuple[str, ...] = ()
    probe: Callable[[Adapter, BuildContext], Iterable[Finding]] | None = None
    pipeline_folder: str = ""
    upload_step: str = ""
    weekly_line: str = ""
    pages: WebPages = NO_PAGES
