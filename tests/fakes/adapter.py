"""FakeAdapter: every role in memory, with failures on demand."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ci_bridge.errors import CIBridgeError, NotFoundError
from ci_bridge.models import (
    Annotation,
    Artifact,
    ArtifactQuery,
    BuildContext,
    Comment,
    CommitStatus,
    Metric,
    PullRequest,
    RemoteRun,
    StoredObject,
    TestRun,
)
from ci_bridge.protocols import (
    Listing,
    SupportsAnnotations,
    SupportsComments,
    SupportsDownload,
    SupportsMetrics,
    SupportsOutputs,
    SupportsPullRequests,
    SupportsStatus,
    SupportsStore,
    SupportsSummary,
    SupportsTestRuns,
    SupportsUpload,
    Trigger,
)


@dataclass
class Failure:
    """Raise ``error`` on the next ``times`` calls of a method; ``after`` commits the call before failing."""

    error: Exception
    times: int = 1_000_000
    after: bool = False


@dataclass
class FakeAdapter(
    SupportsTestRuns,
    SupportsAnnotations,
    SupportsStatus,
    SupportsComments,
    SupportsSummary,
    SupportsOutputs,
    SupportsUpload,
    SupportsDownload,
    SupportsMetrics,
):
    """What was delivered can be read back from its attributes."""

    context: BuildContext = field(default_factory=lambda: BuildContext("fake"))
    author: str = "ci-bridge[bot]"
    max_annotations: int = 50
    max_comment_size: int = 65_536
    max_summary_size: int = 1 << 20
    failures: dict[str, Failure] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    runs: dict[str, TestRun] = field(default_factory=dict)
    annotations: list[Annotation] = field(default_factory=list)
    statuses: dict[tuple[str, str], CommitStatus] = field(default_factory=dict)
    comments: dict[str, list[Comment]] = field(default_factory=lambda: defaultdict(list))
    summaries: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    masks: list[str] = field(default_factory=list)
    artifacts: list[tuple[Artifact, bytes]] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    closed: bool = False

    def _call(self, name: str, commit: Callable[[], object]) -> None:
        self.calls[name] += 1
        failure = self.failures.get(name)
        if failure is None or failure.times <= 0:
            commit()
            return
        failure.times -= 1
        if failure.after:
            commit()
        raise failure.error

    def close(self) -> None:
        self.closed = True

    def create_test_run(self, run: TestRun) -> RemoteRun:
        self._call("create_test_run", lambda: self.runs.__setitem__(run.id, run))
        return RemoteRun(run.id, f"https://ci.example/runs/{run.id}")

    def update_test_run(self, remote_id: str, run: TestRun) -> RemoteRun:
        if remote_id not in self.runs:
            raise NotFoundError(f"no run {remote_id}")
        self._call("update_test_run", lambda: self.runs.__setitem__(remote_id, run))
        return RemoteRun(remote_id, f"https://ci.example/runs/{remote_id}")

    def annotate(self, annotations: Sequence[Annotation]) -> str | None:
        self._call("annotate", lambda: self.annotations.extend(annotations))
        return None

    def set_status(self, status: CommitStatus) -> str | None:
        self._call("set_status", lambda: self.statuses.__setitem__((status.sha, status.context), status))
        return None

    def whoami(self) -> str:
        self._call("whoami", lambda: None)
        return self.author

    def list_comments(self, pr_number: str) -> Iterable[Comment]:
        self._call("list_comments", lambda: None)
        return list(self.comments[pr_number])

    def create_comment(self, pr_number: str, body: str) -> Comment:
        number = sum(len(comments) for comments in self.comments.values()) + 1
        comment = Comment(str(number), self.author, body, f"https://ci.example/comments/{number}")
        self._call("create_comment", lambda: self.comments[pr_number].append(comment))
        return comment

    def update_comment(self, pr_number: str, comment_id: str, body: str) -> Comment:
        comments = self.comments[pr_number]
        position = next((i for i, comment in enumerate(comments) if comment.id == comment_id), None)
        if position is None:
            raise NotFoundError(f"no comment {comment_id}")
        updated = replace(comments[position], body=body)
        self._call("update_comment", lambda: comments.__setitem__(position, updated))
        return updated

    def delete_comment(self, pr_number: str, comment_id: str) -> None:
        kept = [comment for comment in self.comments[pr_number] if comment.id != comment_id]
        self._call("delete_comment", lambda: self.comments.__setitem__(pr_number, kept))

    def write_summary(self, markdown: str) -> str | None:
        self._call("write_summary", lambda: self.summaries.append(markdown))
        return None

    def set_outputs(self, outputs: Mapping[str, str]) -> str | None:
        self._call("set_outputs", lambda: self.outputs.update(outputs))
        return None

    def add_mask(self, secret: str) -> None:
        self._call("add_mask", lambda: self.masks.append(secret))

    def upload_artifact(self, path: Path, artifact: Artifact, retention_days: int) -> Artifact:
        data = path.read_bytes()
        now = datetime.now(UTC)
        stored = replace(
            artifact,
            id=str(len(self.artifacts) + 1),
            size=len(data),
            digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
            created_at=now,
            expires_at=now + timedelta(days=retention_days),
            url=f"https://ci.example/artifacts/{len(self.artifacts) + 1}",
        )
        self._call("upload_artifact", lambda: self.artifacts.append((stored, data)))
        return stored

    def list_artifacts(self, query: ArtifactQuery) -> Sequence[Artifact]:
        self._call("list_artifacts", lambda: None)
        return [
            artifact
            for artifact, _ in reversed(self.artifacts)
            if query.run_id in (None, artifact.run_id)
            and query.name in (None, artifact.name)
            and query.category in (None, artifact.category)
        ]

    def download_artifact(self, artifact: Artifact, to: Path) -> None:
        data = next((data for stored, data in self.artifacts if stored.id == artifact.id), None)
        if data is None:
            raise NotFoundError(f"no artifact {artifact.id}")
        self._call("download_artifact", lambda: to.write_bytes(data))

    def record_metric(self, metric: Metric) -> None:
        self._call("record_metric", lambda: self.metrics.append(metric))

    def fail(self, method: str, error: CIBridgeError, *, times: int = 1_000_000, after: bool = False) -> None:
        """Let a method fail from now on."""
        self.failures[method] = Failure(error, times, after)

    def content(self, name: str) -> bytes:
        """The bytes of the newest artifact of this name, unpacked."""
        artifact, data = next((a, d) for a, d in reversed(self.artifacts) if a.name == name)
        return gzip.decompress(data) if artifact.compressed else data


@dataclass(frozen=True)
class Put:
    """An object in a store: what it is, its bytes, whether other builds may trust it, and the branch that was built."""

    stored: StoredObject
    data: bytes
    trusted: bool = False
    branch: str | None = field(default=None, compare=False)


@dataclass
class FakeHost:
    """What the jobs of many builds share: comments, stored objects, a clock that ticks with every change."""

    comments: dict[str, list[Comment]] = field(default_factory=lambda: defaultdict(list))
    puts: list[Put] = field(default_factory=list)
    pulls: list[PullRequest] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    ticks: int = 0
    written: int = 0

    def tick(self) -> int:
        with self.lock:
            self.ticks += 1
            return self.ticks


@dataclass
class JobAdapter(FakeAdapter, SupportsStore, SupportsPullRequests):
    """The adapter of one job on a shared host; safe to use from many threads at once.

    ``before`` is called with the name of each call before it happens: to wait there, or to let another job go first.
    """

    host: FakeHost = field(default_factory=FakeHost)
    trusted: bool = False
    triggered_by: str | None = None
    trigger: Trigger = Trigger()  # noqa: RUF009 - a frozen value
    before: Callable[[str], None] = lambda name: None
    store_expires: bool = True

    def __post_init__(self) -> None:
        self.comments = self.host.comments

    def _call(self, name: str, commit: Callable[[], object]) -> None:
        self.before(name)
        with self.host.lock:
            super()._call(name, commit)

    def list_comments(self, pr_number: str) -> Iterable[Comment]:
        super().list_comments(pr_number)
        with self.host.lock:
            return list(self.host.comments[pr_number])

    def create_comment(self, pr_number: str, body: str) -> Comment:
        number = self.host.tick()
        comment = Comment(str(number), self.author, body, f"https://ci.example/comments/{number}")

        def commit() -> None:
            self.host.comments[pr_number].append(comment)
            self.host.written += 1

        self._call("create_comment", commit)
        return comment

    def update_comment(self, pr_number: str, comment_id: str, body: str) -> Comment:
        updated: list[Comment] = []

        def commit() -> None:
            comments = self.host.comments[pr_number]
            position = next((i for i, comment in enumerate(comments) if comment.id == comment_id), None)
            if position is None:
                raise NotFoundError(f"no comment {comment_id}")
            updated.append(replace(comments[position], body=body))
            comments[position] = updated[0]
            self.host.written += 1

        self._call("update_comment", commit)
        return updated[0]

    def delete_comment(self, pr_number: str, comment_id: str) -> None:
        def commit() -> None:
            comments = self.host.comments[pr_number]
            comments[:] = [comment for comment in comments if comment.id != comment_id]

        self._call("delete_comment", commit)

    def put_object(self, name: str, data: bytes, retention_days: int) -> StoredObject:
        number = self.host.tick()
        # Two objects a second, so that age alone does not order them.
        created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number // 2)
        stored = StoredObject(str(number), name, created, len(data), self.context.build_id)
        put = Put(stored, data, self.trusted, self.context.branch)
        self._call("put_object", lambda: self.host.puts.append(put))
        return stored

    def list_objects(self, prefix: str, limit: int, *, every_pipeline: bool = False) -> Sequence[StoredObject]:
        self._call("list_objects", lambda: None)
        with self.host.lock:
            puts = [put for put in self.host.puts if put.stored.name.startswith(prefix)]
        found = [put.stored for put in puts if put.trusted][::-1]
        own = [put.stored for put in puts if not put.trusted and put.branch == self.context.branch]
        own = own if self.context.pr_number else []
        return Listing(found[:limit], is_whole=len(found) < limit, own=own[::-1])

    def list_siblings(self, prefix: str) -> Sequence[StoredObject]:
        self._call("list_siblings", lambda: None)
        return self._of_build(self.context.build_id, prefix)

    def _of_build(self, build_id: str | None, prefix: str) -> list[StoredObject]:
        with self.host.lock:
            stored = [put.stored for put in self.host.puts]
        return [one for one in stored if one.build_id == build_id and one.name.startswith(prefix)]

    def get_object(self, stored: StoredObject, limit: int) -> bytes:
        self._call("get_object", lambda: None)
        data = next((put.data for put in list(self.host.puts) if put.stored.id == stored.id), None)
        if data is None or len(data) > limit:
            raise NotFoundError(f"no object {stored.id} of at most {limit} bytes")
        return data

    def delete_object(self, stored: StoredObject) -> None:
        self._call("delete_object", lambda: None)
        with self.host.lock:
            self.host.puts[:] = [put for put in self.host.puts if put.stored.id != stored.id]

    def pull_requests_of(self, sha: str) -> Sequence[PullRequest]:
        self._call("pull_requests_of", lambda: None)
        return [pull for pull in self.host.pulls if pull.head_sha == sha]

    def list_triggering(self, prefix: str) -> Sequence[StoredObject]:
        self._call("list_triggering", lambda: None)
        return self._of_build(self.triggered_by, prefix)[::-1]
