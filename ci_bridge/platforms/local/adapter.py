"""Delivers to files: what a platform would show, a laptop finds in one folder.

``runs/`` holds test runs, ``statuses/`` commit statuses, ``comments/`` the comments of a pull request, ``artifacts/``
what was uploaded, with its retention, ``store/`` the objects that jobs of one build leave for each other.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ci_bridge.atomic import WRITABLE, open_atomically, open_regular, read_small, why_unwritable, write_atomically
from ci_bridge.errors import NotFoundError, PermissionDeniedError, PlatformError
from ci_bridge.models import (
    Annotation,
    Artifact,
    ArtifactQuery,
    BuildContext,
    Comment,
    CommitStatus,
    Metric,
    RemoteRun,
    StoredObject,
    TestRun,
)
from ci_bridge.protocols import (
    SupportsAnnotations,
    SupportsComments,
    SupportsDownload,
    SupportsMetrics,
    SupportsOutputs,
    SupportsStatus,
    SupportsStore,
    SupportsSummary,
    SupportsTestRuns,
    SupportsUpload,
)

AUTHOR = "ci-bridge"
_INDEX_SUFFIX = ".artifact.json"


class LocalAdapter(
    SupportsTestRuns,
    SupportsAnnotations,
    SupportsStatus,
    SupportsComments,
    SupportsSummary,
    SupportsOutputs,
    SupportsUpload,
    SupportsDownload,
    SupportsMetrics,
    SupportsStore,
):
    """Every role on a folder.

    Args:
        context: The build.
        directory: Where to write; made when first needed.
        clock: Answers the time in UTC.
    """

    max_annotations = 1_000_000
    max_comment_size = 1_000_000
    max_summary_size = 16 << 20
    store_expires = False

    def __init__(
        self, context: BuildContext, directory: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._context = context
        self._root = directory
        self._clock = clock

    @property
    def context(self) -> BuildContext:
        """The build that this adapter delivers for."""
        return self._context

    def close(self) -> None:
        """Nothing is held open."""

    def create_test_run(self, run: TestRun) -> RemoteRun:
        return self.update_test_run(run.id, run)

    def update_test_run(self, remote_id: str, run: TestRun) -> RemoteRun:
        return RemoteRun(remote_id, self._write_json(asdict(run), "runs", f"{_safe(remote_id)}.json"))

    def annotate(self, annotations: Sequence[Annotation]) -> str | None:
        return self._write_json([asdict(annotation) for annotation in annotations], "annotations.json")

    def set_status(self, status: CommitStatus) -> str | None:
        name = f"{_safe(status.context)}.json"
        return self._write_json(asdict(status), "statuses", _safe(status.sha), name)

    def whoami(self) -> str:
        return AUTHOR

    def list_comments(self, pr_number: str) -> Iterable[Comment]:
        folder = self._root / "comments" / f"pr-{_safe(pr_number)}"
        with self._errors_of(folder):
            paths = sorted(folder.glob("*.md"), key=lambda path: path.name) if folder.is_dir() else []
            limit = 4 * self.max_comment_size  # bytes of the longest comment
            found = []
            for path in paths:
                with suppress(FileNotFoundError):  # another job removed it in between
                    if stat.S_ISREG(path.lstat().st_mode):
                        text = read_small(path, limit).decode("utf-8", "replace")
                        found.append(Comment(path.stem, AUTHOR, text, str(path)))
            return found

    def create_comment(self, pr_number: str, body: str) -> Comment:
        # Numbered, and no number is given twice: what appears later has a later name, so that the oldest stays it.
        folder = self._folder("comments", f"pr-{_safe(pr_number)}")
        with self._errors_of(folder):
            while True:
                taken = [int(path.stem) for path in folder.iterdir() if re.fullmatch(r"[0-9]+", path.stem)]
                name = f"{max(taken, default=0) + 1:06}"
                target = folder / f"{name}.md"
                with suppress(FileExistsError):
                    write_atomically(target, body, over=False)
                    return Comment(name, AUTHOR, body, str(target))

    def update_comment(self, pr_number: str, comment_id: str, body: str) -> Comment:
        if not any(comment.id == comment_id for comment in self.list_comments(pr_number)):
            raise NotFoundError(f"comment {comment_id} does not exist on pull request {pr_number}")
        return self._write_comment(pr_number, comment_id, body)

    def delete_comment(self, pr_number: str, comment_id: str) -> None:
        path = self._root / "comments" / f"pr-{_safe(pr_number)}" / f"{_safe(comment_id)}.md"
        with self._errors_of(path), suppress(FileNotFoundError):
            # Its number stays taken: who has yet to delete it must not find another comment there.
            os.truncate(path.rename(path.with_suffix(".gone")), 0)

    def write_summary(self, markdown: str) -> str | None:
        return self._write(markdown, "summary.md")

    def set_outputs(self, outputs: Mapping[str, str]) -> str | None:
        return self._write_json(dict(outputs), "outputs.json")

    def add_mask(self, secret: str) -> None:
        """Nothing to do: nobody else writes to a laptop's log on our behalf."""

    def upload_artifact(self, path: Path, artifact: Artifact, retention_days: int) -> Artifact:
        now = self._clock()
        folder = self._folder("artifacts", _safe(artifact.run_id or "no-run"), _safe(artifact.category or "data"))
        suffix = ".gz" if artifact.compressed else ""
        name = _safe(artifact.name)
        for number in itertools.count(2):
            target = folder / f"{name}{suffix}"
            if not os.path.lexists(target):
                break
            name = f"{_safe(artifact.name)}-{number}"  # another file of this name is never replaced
        name = target.name
        with self._errors_of(target), path.open("rb") as source, open_atomically(target) as out:
            digest = hashlib.sha256()
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
        stored = replace(
            artifact,
            id=f"{folder.parent.name}/{folder.name}/{name}",
            size=target.stat().st_size,
            digest=f"sha256:{digest.hexdigest()}",
            url=str(target),
            created_at=now,
            expires_at=now + timedelta(days=retention_days),
        )
        self._write_json(asdict(stored), *folder.relative_to(self._root).parts, f".{name}{_INDEX_SUFFIX}")
        self._drop_expired(now)
        return stored

    def list_artifacts(self, query: ArtifactQuery) -> Sequence[Artifact]:
        wanted = {key: value for key, value in asdict(query).items() if value is not None}
        now = self._clock()
        found = [
            artifact
            for artifact in self._artifacts()
            if all(getattr(artifact, key) == value for key, value in wanted.items())
            and (artifact.expires_at is None or artifact.expires_at > now)
        ]
        return sorted(found, key=lambda artifact: artifact.created_at or now, reverse=True)

    def download_artifact(self, artifact: Artifact, to: Path) -> None:
        source = (self._root / "artifacts" / artifact.id).resolve()
        if not source.is_relative_to((self._root / "artifacts").resolve()) or not source.is_file():
            raise NotFoundError(f"artifact {artifact.name!r} is gone from {self._root / 'artifacts'}")
        with self._errors_of(to), open_regular(source) as stream, open_atomically(to) as out:
            shutil.copyfileobj(stream, out, 1 << 20)

    def record_metric(self, metric: Metric) -> None:
        folder = self._folder("metrics")
        line = json.dumps(asdict(metric), default=_plain, allow_nan=False, sort_keys=True) + "\n"
        target = folder / f"{_safe(metric.run_id or 'no-run')}.jsonl"
        with self._errors_of(target):
            # One write of one line to a file opened for appending is whole even with two writers.
            # It follows no link and waits for no reader of a pipe, should something in the job have put one there.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            descriptor = os.open(target, flags, 0o666)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)

    def put_object(self, name: str, data: bytes, retention_days: int) -> StoredObject:
        return self._store().put_object(name, data, retention_days)

    def list_objects(self, prefix: str, limit: int, *, every_pipeline: bool = False) -> Sequence[StoredObject]:
        return self._store().list_objects(prefix, limit, every_pipeline=every_pipeline)

    def list_siblings(self, prefix: str) -> Sequence[StoredObject]:
        return self._store().list_siblings(prefix)

    def get_object(self, stored: StoredObject, limit: int) -> bytes:
        return self._store().get_object(stored, limit)

    def delete_object(self, stored: StoredObject) -> None:
        self._store().delete_object(stored)

    def _store(self) -> SupportsStore:
        from ci_bridge.history.folder_store import FolderStore  # brings SQLite, which nothing else here needs

        context = self._context
        trusted = context.pr_number is None and not context.is_fork
        return FolderStore(self._root / "store", build=context.build_id or "", trusted=trusted)

    def _write_comment(self, pr_number: str, name: str, body: str) -> Comment:
        url = self._write(body, "comments", f"pr-{_safe(pr_number)}", f"{_safe(name)}.md")
        return Comment(name, AUTHOR, body, url)

    def _folder(self, *parts: str) -> Path:
        """Make a folder below the root; one that a link leads elsewhere is refused."""
        folder = self._root.joinpath(*parts)
        with self._errors_of(folder):
            if not folder.resolve().is_relative_to(self._root.resolve()):
                raise PermissionDeniedError(f"{folder} is a link that leads outside {self._root}", hint="remove it")
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def _errors_of(self, path: Path) -> Iterator[None]:
        """Translate what the file system says, once, at the door."""
        try:
            yield
        except OSError as error:
            # Where nothing can be written at all, every delivery says the same.
            reason = why_unwritable(self._root) or f"{path}: {error.strerror or error} ({WRITABLE})"
            kind = PermissionDeniedError if isinstance(error, PermissionError) else PlatformError
            raise kind(reason) from error

    def _write(self, text: str, *parts: str) -> str:
        target = self._folder(*parts[:-1]) / parts[-1]
        with self._errors_of(target):
            write_atomically(target, text)
        return str(target)

    def _write_json(self, value: Any, *parts: str) -> str:
        return self._write(json.dumps(value, default=_plain, allow_nan=False, indent=2) + "\n", *parts)

    def _artifacts(self) -> Iterator[Artifact]:
        folder = self._root / "artifacts"
        with self._errors_of(folder):
            for index in folder.glob(f"*/*/.*{_INDEX_SUFFIX}"):
                if artifact := _read_index(index, folder):
                    yield artifact

    def _drop_expired(self, now: datetime) -> None:
        folder = self._root / "artifacts"
        for artifact in list(self._artifacts()):
            path = folder / artifact.id
            if artifact.expires_at is None or artifact.expires_at > now:
                continue
            with self._errors_of(path):
                path.unlink(missing_ok=True)
                path.with_name(f".{path.name}{_INDEX_SUFFIX}").unlink(missing_ok=True)
                for empty in (path.parent, path.parent.parent):
                    if empty.is_dir() and not any(empty.iterdir()):
                        empty.rmdir()


def _read_index(index: Path, folder: Path) -> Artifact | None:
    """What an index says of the artifact beside it; None for one that is not of our making.

    Anybody in the job could have written it, so every field is checked and the place is the index's own.
    """
    path = index.with_name(index.name[1 : -len(_INDEX_SUFFIX)])
    try:
        facts = json.loads(read_small(index))
        times = {key: datetime.fromisoformat(facts[key]) for key in ("created_at", "expires_at")}
        regular = stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = [facts.get(key) for key in ("name", "run_id", "category", "digest")]
    sound = regular and all(isinstance(text, str) for text in texts) and all(time.tzinfo for time in times.values())
    if not sound or type(facts.get("size")) is not int or type(facts.get("compressed")) is not bool:
        return None
    name, run_id, category, digest = texts
    return Artifact(
        path.relative_to(folder).as_posix(), name, run_id, category, facts["size"], digest, facts["compressed"],
        str(path), **times,
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """What ``json`` does not know by itself: times, mappings, paths."""
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else str(value)


def _safe(name: str) -> str:
    """A single path component that stands for ``name`` alone; names are data."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:100]
    if kept == name:
        return name
    return f"{kept or 'x'}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
