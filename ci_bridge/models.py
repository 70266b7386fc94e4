"""The words of ci-bridge as values: frozen dataclasses and enums, standard library only.

Durations are seconds, sizes are bytes, timestamps are timezone-aware UTC datetimes unless a field says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeAlias


class Outcome(StrEnum):
    """What became of one case."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class Verdict(StrEnum):
    """What a case's outcome means against the history (docs/design.md, "Verdicts")."""

    NEW = "new"
    KNOWN = "known"
    FLAKY = "flaky"
    FIXED = "fixed"
    UNJUDGED = "unjudged"


class RunState(StrEnum):
    """The state of a whole test run. ``NO_RESULTS`` is neither green nor red."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    NO_RESULTS = "no_results"


class StatusState(StrEnum):
    """The state of a commit status; the values are the same on every platform's side of our API."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


class FileState(StrEnum):
    """What became of one input file."""

    READ = "read"
    RECOVERED = "recovered"
    UNREADABLE = "unreadable"
    IGNORED = "ignored"


CHANNELS = ("files", "outputs", "summary", "annotations", "run", "status", "comment", "artifacts", "history")
"""What a report is delivered to; the names in receipts and in the option ``required_channels``."""

SEPARATOR = "\x1f"
"""Joins the parts of an identity. No reader lets a control character into a name, so it cannot occur in one."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One earlier execution of a case within a run; the last execution is the case itself."""

    outcome: Outcome
    duration: float = 0.0
    type: str = ""
    message: str = ""
    details: str = ""
    output: str = ""
    error_output: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One test of a run. Names hold no control characters; texts hold none but tab and newline.

    Attributes:
        name: The test's own name, parameters included.
        classname: The class or module, if the tool names one. suite: The nested suites' names, outermost first.
        file: Path as the tool reported it; never opened. line: Line in it, counted from 1.
        outcome: Outcome of the last attempt.
        duration: Seconds of the last attempt.
        type: Exception or failure type.
        message: One-line reason of a failure, an error or a skip.
        details: Stack trace or the long text; ``output`` and ``error_output`` are what it printed.
        attempts: The earlier attempts in order, without the last one.
    """

    name: str
    classname: str = ""
    suite: tuple[str, ...] = ()
    file: str = ""
    line: int | None = None
    outcome: Outcome = Outcome.PASSED
    duration: float = 0.0
    type: str = ""
    message: str = ""
    details: str = ""
    output: str = ""
    error_output: str = ""
    attempts: tuple[Attempt, ...] = ()

    @property
    def identity(self) -> str:
        """What tells this test from every other."""
        return identity_of(self.suite, self.classname, self.file, self.name)

    @property
    def display_name(self) -> str:
        """The shortest text that a reader recognises."""
        return display_name_of(self.identity)

    @property
    def is_failure(self) -> bool:
        """True for the outcomes ``failed`` and ``error``."""
        return self.outcome in (Outcome.FAILED, Outcome.ERROR)

    @property
    def is_flaky(self) -> bool:
        """True if it passed after an earlier attempt failed."""
        return self.outcome is Outcome.PASSED and any(
            attempt.outcome in (Outcome.FAILED, Outcome.ERROR) for attempt in self.attempts
        )


def identity_of(suite: Sequence[str], classname: str, file: str, name: str) -> str:
    """``suite / nested suite US class US file US name``: US is :data:`SEPARATOR`, U+001E joins nested suites."""
    return f"{chr(30).join(suite)}{SEPARATOR}{classname}{SEPARATOR}{file}{SEPARATOR}{name}"


def display_name_of(identity: str) -> str:
    """The part of an identity that people read: ``file::name``, else ``class::name``, else ``suite::name``.

    A class stays beside a file unless the path spells it already (``tests.test_cart`` and ``tests/test_cart.py``).
    """
    suite, classname, file, name = identity.split(SEPARATOR, 3)
    if not file:
        prefix = classname or suite.replace(chr(30), " > ")
        return f"{prefix}::{name}" if prefix and prefix != name else name
    module = file.rsplit(".", 1)[0].replace("/", ".").replace("\\", ".")
    if classname == module or not classname:
        return f"{file}::{name}"
    if classname.startswith(module + "."):
        return f"{file}::{classname[len(module) + 1 :].replace('.', '::')}::{name}"
    return f"{file}::{classname}::{name}"


Row: TypeAlias = tuple[tuple[str, ...], str, str, str, int, str, float, tuple[Any, ...] | None]
"""One case as a plain tuple: suite, classname, file, name, line (0 = unknown), outcome, duration in seconds, and None
for a plainly passed case, else what Case needs beyond it (see case_of_row): what streams through the report writers, a
million at a time."""


def row_of_case(case: Case) -> Row:
    """Pack a case into a row."""
    extra = None
    if case.outcome is not Outcome.PASSED or case.attempts or case.message or case.output or case.error_output:
        extra = (
            case.type, case.message, case.details, case.output, case.error_output,
            tuple(
                (str(a.outcome), a.duration, a.type, a.message, a.details, a.output, a.error_output)
                for a in case.attempts
            ),
        )  # fmt: skip
    return (case.suite, case.classname, case.file, case.name, case.line or 0, str(case.outcome), case.duration, extra)


def case_of_row(row: Row) -> Case:
    """Unpack a row into a case."""
    suite, classname, file, name, line, outcome, duration, extra = row
    type_, message, details, output, error_output, attempts = extra or ("", "", "", "", "", ())
    return Case(
        name=name, classname=classname, suite=suite, file=file, line=line or None, outcome=Outcome(outcome),
        duration=duration, type=type_, message=message, details=details, output=output, error_output=error_output,
        attempts=tuple(Attempt(Outcome(a[0]), *a[1:]) for a in attempts),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file that a glob found, and what became of it.

    Attributes:
        path: As found, for display.
        format: Name of the format, empty if none was recognised.
        state: See :class:`FileState`.
        cases: Cases read from it, attempts counted singly.
        note: Why it is not simply ``read``, or what is odd about it (a lying counter, a cut text).
        incomplete: True if it was cut short or refused midway: cases may be missing. A ``recovered`` file that is
            complete was merely malformed (raw control characters, a wrong encoding) and lost nothing.
    """

    path: str
    format: str
    state: FileState
    cases: int = 0
    note: str = ""
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a run. ``total = passed + failed + error + skipped``; ``flaky`` cases are among the passed.

    Attributes:
        duration: Sum of the cases' durations in seconds.
    """

    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0
    flaky: int = 0
    duration: float = 0.0

    @property
    def total(self) -> int:
        """All cases."""
        return self.passed + self.failed + self.error + self.skipped

    @property
    def red(self) -> int:
        """Failed cases and errors together."""
        return self.failed + self.error


class Results(Protocol):
    """Everything read from a set of result files; implemented by :mod:`ci_bridge.formats`.

    ``failures`` and ``flaky`` are whole cases in reading order; when there are very many, the texts of the later ones
    are cut in memory (``rows`` keeps them whole on disk). Close it to drop its temporary file.
    """

    @property
    def files(self) -> Sequence[InputFile]: ...
    @property
    def totals(self) -> Totals: ...
    @property
    def failures(self) -> Sequence[Case]: ...
    @property
    def flaky(self) -> Sequence[Case]: ...
    @property
    def slowest(self) -> Sequence[tuple[str, float]]:
        """Identity and seconds of the slowest cases, slowest first."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader should know of the whole set: caps that were hit, cases that were dropped."""

    @property
    def dropped(self) -> int:
        """Cases beyond the cap, which makes the run's state ``error``."""

    def outcome_of(self, identity: str) -> Outcome | None:
        """Outcome of the case with this identity; None if the run does not hold it."""

    def rows(self) -> Iterator[list[Row]]:
        """Every case once, its attempts merged, in batches; can be called again and again."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class BuildContext:
    """The build that we are inside, as its platform describes it. Absent values are None.

    Attributes:
        platform: One of the values of the option ``ci_system`` except ``auto``.
        repository: ``owner/name`` or the full group path of the project that is built.
        repository_url: Web URL without credentials.
        commit_sha: What the job checked out; on a pull request maybe a merge commit.
        branch: Short source branch; None on tags and detached heads.
        pr_number: The number that URLs and APIs use.
        pr_head_sha: Head of the pull request's source: where statuses and comments go.
        build_id: Globally unique id of the run or pipeline. build_number: the human number.
        attempt: Number of the re-run, counted from 1, as text.
        is_fork: True if the pull request comes from another repository.
        event: The platform's own word for what started the build.
        workspace: Absolute path of the checkout.
        origins: Field name -> the variable or file that the value came from. Not part of the value.
    """

    platform: str
    repository: str | None = None
    repository_url: str | None = None
    commit_sha: str | None = None
    branch: str | None = None
    tag: str | None = None
    pr_number: str | None = None
    pr_base_branch: str | None = None
    pr_head_sha: str | None = None
    pr_base_sha: str | None = None
    build_id: str | None = None
    build_number: str | None = None
    build_url: str | None = None
    job_id: str | None = None
    job_name: str | None = None
    job_url: str | None = None
    pipeline_name: str | None = None
    actor: str | None = None
    server_url: str | None = None
    api_url: str | None = None
    is_fork: bool | None = None
    event: str | None = None
    attempt: str | None = None
    default_branch: str | None = None
    workspace: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def values(self) -> dict[str, Any]:
        """The record as a mapping, ``origins`` left out."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "origins"}

    @property
    def status_sha(self) -> str | None:
        """The commit that statuses and comments belong to."""
        return self.pr_head_sha or self.commit_sha


@dataclass(frozen=True, slots=True)
class TestRun:
    """One execution of a suite. ``run["id"]`` and ``run.id`` are the same.

    Attributes:
        id: uuid7 made by ``create_test_run``; the key of the run everywhere.
        status: ``running``, ``completed`` or what the caller's update said.
        summary: ``total_tasks``, ``task_statuses``, ``duration`` as the caller gave them.
        system_info: Free facts about the machine.
        metadata: What the caller gave beyond the named fields.
        remote_id: The platform's own id of the run, if it has one.
        url: Where the platform shows the run.
        title, text, page: What it shows there: one line, a short text, and all in Markdown where there is room.
    """

    __test__ = False

    id: str
    name: str = ""
    build_id: str | None = None
    commit_sha: str | None = None
    branch: str | None = None
    pr_number: str | None = None
    status: str = "running"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    completed_at: datetime | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    system_info: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: RunState = RunState.PENDING
    title: str = ""
    text: str = ""
    page: str = ""
    remote_id: str | None = None
    url: str | None = None

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self, key)
        except AttributeError:
            raise KeyError(key) from None


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """A test run as the platform knows it."""

    id: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """A commit status; replaced by the next one with the same ``sha`` and ``context``."""

    sha: str
    state: StatusState
    context: str
    description: str = ""
    target_url: str | None = None


@dataclass(frozen=True, slots=True)
class Comment:
    """A pull request comment as the code host knows it."""

    id: str
    author: str
    body: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the code host knows it; branches by their short names, ``head_repository`` None if deleted."""

    number: str
    head_sha: str
    head_branch: str = ""
    head_repository: str | None = None
    base_branch: str = ""


class Severity(StrEnum):
    """How bad an annotation is."""

    NOTICE = "notice"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark on a line of a tracked file. ``file`` is relative to the repository's root."""

    file: str
    line: int
    severity: Severity
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file in an artifact store.

    Attributes:
        size: Bytes as stored.
        digest: ``sha256:<hex>`` of the bytes as stored, empty if unknown.
        compressed: True if the store holds a gzip of the file.
    """

    id: str
    name: str
    run_id: str = ""
    category: str = ""
    size: int = 0
    digest: str = ""
    compressed: bool = False
    url: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ArtifactQuery:
    """Which artifacts to list; None matches all."""

    run_id: str | None = None
    name: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An immutable object of the store that the history travels in.

    Attributes:
        id: The store's own key; covers are recorded by it, never by name.
        name: As put; several objects may share one.
        created_at: By the store's clock, UTC.
        size: Bytes.
        build_id: The build that put it, where the store knows; None otherwise.
    """

    id: str
    name: str
    created_at: datetime
    size: int = 0
    build_id: str | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One performance number."""

    name: str
    value: float
    unit: str = ""
    run_id: str = ""
    task_id: str | None = None
    recorded_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a delivery. Its truth value is ``delivered``.

    Attributes:
        delivered: True if it reached its channel or a rung below it.
        via: What carried it (``comment``, ``summary``, ``log``, ``file`` …), empty if nothing did.
        url: Where to look: a URL or a path.
        reason: Why it is degraded, failed, skipped or unsupported, with the next step.
        channel: What it was meant for (``comment``, ``status``, ``run``, ``artifact:reports`` …).
        state: ``sent``, ``degraded``, ``skipped``, ``failed``, ``unsupported`` or ``coalesced``.
    """

    delivered: bool
    via: str = ""
    url: str | None = None
    reason: str = ""
    channel: str = ""
    state: str = "sent"

    def __bool__(self) -> bool:
        return self.delivered


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a verdict is what it is, in numbers; ``text`` says it in one line of plain text.

    Attributes:
        runs: Runs of the window in which the case took part. failures, flips, mixed_commits: counted in them.
        baseline_sha: Commit of the run that the case was compared with.
        first_seen: When the failure was first seen (UTC).
        log_bayes_factor: Nats in favour of independent flakiness; 0.0 if not computed.
        spark: Oldest first, this run last: one of ``P R F S -`` (passed, passed on retry, failed, skipped, absent) per
            recent run.
    """

    text: str = ""
    runs: int = 0
    failures: int = 0
    flips: int = 0
    mixed_commits: int = 0
    baseline_sha: str | None = None
    first_seen: datetime | None = None
    log_bayes_factor: float = 0.0
    spark: str = ""


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """A failing or flaky case of this run with its verdict.

    Attributes:
        category: Failure class (``assertion``, ``timeout``, ``infrastructure`` …), empty if not analysed.
        signature: Normalised failure text shared by failures with the same error, empty if not analysed.
        shards: Keys of the parallel jobs in which it is so; empty in the report of a single job.
    """

    case: Case
    verdict: Verdict
    evidence: Evidence = Evidence()
    category: str = ""
    signature: str = ""
    shards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """The run that this one is compared with.

    Attributes:
        duration: Sum of its cases' durations in seconds.
    """

    run_id: str
    branch: str | None
    commit_sha: str | None
    created_at: datetime
    totals: Totals


@dataclass(frozen=True, slots=True)
class SlowerCase:
    """A case that took clearly longer than it used to. Durations in seconds."""

    identity: str
    before: float
    now: float
    runs: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures that share a signature.

    Attributes:
        members: Identities in this run.
        first_seen: When the history first held the signature (UTC), and ``seen_runs`` the earlier runs with it; only
            with depth ``comprehensive``.
    """

    signature: str
    category: str
    members: tuple[str, ...]
    first_seen: datetime | None = None
    seen_runs: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the analysis says of a run.

    Attributes:
        judged: Every failing case and every case that passed on retry, worst news first (new, unjudged, known, flaky).
        fixed: Identities that failed in the baseline and pass now.
        counts: Verdict -> number of cases.
    """

    judged: tuple[JudgedCase, ...] = ()
    fixed: tuple[str, ...] = ()
    baseline: Baseline | None = None
    slower: tuple[SlowerCase, ...] = ()
    groups: tuple[FailureGroup, ...] = ()

    @property
    def counts(self) -> dict[Verdict, int]:
        counts = dict.fromkeys(Verdict, 0)
        for judged in self.judged:
            counts[judged.verdict] += 1
        counts[Verdict.FIXED] = len(self.fixed)
        return counts

    def of(self, verdict: Verdict) -> list[JudgedCase]:
        """The judged cases with this verdict."""
        return [judged for judged in self.judged if judged.verdict is verdict]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What one parallel job of a build found: ``new + known + unjudged + flaky_failed = totals.red``.

    ``before`` holds the totals of the run that it was compared with, ``fixed`` counts what failed there and passes now.
    """

    shard: str
    state: RunState
    totals: Totals
    before: Totals | None = None
    new: int = 0
    known: int = 0
    unjudged: int = 0
    flaky_failed: int = 0
    flaky_passed: int = 0
    fixed: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """All that the renderers know: one value, many sinks.

    Attributes:
        title: Of the run, for people (option ``comment_title``).
        shard: Key of this parallel job, empty if there is none.
        system_info, metrics: Empty where ``include_system_info`` or ``include_performance_metrics`` is off.
        links: Name -> URL or path of further material (``report``, ``json`` …).
        sources: Identity -> place in the code and the URL that shows it there.
        shards: One per parallel job that this report sums up, sorted by name; empty for the report of a single job.
        shard_total: Number of parallel jobs where that is known.
        problem: What went wrong beside the tests, such as how their command ended, in our own words.
    """

    run: TestRun
    context: BuildContext
    results: Results
    judgement: Judgement
    state: RunState
    title: str = "Test results"
    shard: str = ""
    system_info: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[Metric] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    receipts: Sequence[Receipt] = ()
    shards: tuple[ShardResult, ...] = ()
    shard_total: int | None = None
    problem: str = ""

    @property
    def missing_shards(self) -> int:
        """Parallel jobs that have not reported yet, as far as their number is known."""
        return max(0, (self.shard_total or 0) - len(self.shards)) if self.shards else 0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an adapter needs beyond the environment.

    Attributes:
        token: Secret; never shown.
        api_url: Overrides the API address that the environment names.
        directory: Where the ``local`` platform keeps what it delivers.
    """

    token: str | None = field(default=None, repr=False)
    api_url: str | None = None
    directory: Path = Path("distributed_test_results")
