"""Artifacts and the store of the history, as the REST API lists and hands them out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ci_bridge.atomic import open_atomically
from ci_bridge.errors import NotFoundError, PlatformError
from ci_bridge.models import Artifact, ArtifactQuery, BuildContext, StoredObject
from ci_bridge.platforms._http import OriginSession
from ci_bridge.platforms.github import artifact_names, single_zip
from ci_bridge.platforms.github.answers import Lists, number_of, time_of, understood
from ci_bridge.platforms.github.runner import disk_errors

TRUSTED_EVENTS = frozenset({"push", "schedule", "workflow_dispatch", "repository_dispatch"})
"""Events that only those can cause who may write to the repository."""
MAX_DOWNLOAD = 4 << 30

_FEW_PAGES, _MANY_PAGES = 3, 100
_RUN_PAGES = 10
_SINGLE_RUNS = 10


class ArtifactReader:
    """Lists and fetches the artifacts of one repository.

    Args:
        context: The build.
        session: Pinned to the API, with the token.
        lists: Reads its lists.
        root: Path of the API's root on the server, without a slash at the end.
        is_protected: True if the branch that is built is protected.
    """

    def __init__(
        self, context: BuildContext, session: OriginSession, lists: Lists, *, root: str, is_protected: bool
    ) -> None:
        self._context = context
        self._session = session
        self._lists = lists
        self._path = f"/repos/{context.repository}"
        self._url = f"{session.origin}{root}{self._path}"
        self._is_protected = is_protected
        self._default_branch = context.default_branch
        self._events: dict[int, str] = {}
        self._run_pages: dict[str, Iterator[list[Any]]] = {}

    def artifacts(self, query: ArtifactQuery) -> list[Artifact]:
        """Matching artifacts among the repository's thousand newest, whoever made them; newest first."""
        wanted = None if query.name is None else artifact_names.shown(query.name)
        with understood():
            found = [
                self._artifact(facts)
                for facts in self._lists.items(f"{self._path}/actions/artifacts", "artifacts", most=10)
                if not facts["expired"]
            ]
        return [
            artifact
            for artifact in found
            if (wanted is None or artifact.name == wanted)
            and query.run_id in (None, artifact.run_id)
            and query.category in (None, artifact.category)
        ]

    def download(self, artifact: Artifact, to: Path) -> None:
        """Write the one file of an artifact to ``to``."""
        label = artifact_names.Label(artifact.name, artifact.category, artifact.run_id, artifact.compressed)
        # One that another tool made may call its file what it likes.
        name = artifact_names.member_of(label) if artifact.run_id else None
        with self._archive(artifact.id, MAX_DOWNLOAD) as archive, open_atomically(to) as out:
            for chunk in single_zip.unpack(archive, title=artifact.name, limit=MAX_DOWNLOAD, name=name):
                out.write(chunk)

    def trusted_objects(self, prefix: str, limit: int) -> list[StoredObject]:
        """The newest objects of runs that none but those who may write to the repository can have started."""
        found: list[StoredObject] = []
        with understood():
            branches = self._trusted_branches()
            # Who wants no more reads beside a base that covers what is older.
            most = _FEW_PAGES if limit <= 100 else _MANY_PAGES
            for page in self._object_pages(prefix, most):
                candidates = [facts for facts in page if _is_own(facts) and _branch(facts) in branches]
                self._learn_events(candidates)
                found += [_object(facts) for facts in candidates if self._events.get(_run(facts)) in TRUSTED_EVENTS]
                if len(found) >= limit:
                    break
        return found[:limit]

    def objects_of_run(self, run_id: str | None, prefix: str) -> list[StoredObject]:
        """What the jobs of a run stored, newest first; trusted or not."""
        if not run_id:
            return []
        path = f"{self._path}/actions/runs/{number_of(run_id, 'run')}/artifacts"
        with understood():
            artifacts = self._lists.items(path, "artifacts", most=_MANY_PAGES)
            found = [_object(facts) for facts in artifacts if _is_object(facts, prefix)]
        return sorted(found, key=lambda one: (one.created_at, int(one.id)), reverse=True)

    def object_bytes(self, stored: StoredObject, limit: int) -> bytes:
        """What an object holds."""
        with self._archive(stored.id, limit + (1 << 20)) as archive:
            chunks = single_zip.unpack(archive, title=stored.name, limit=limit, name=artifact_names.STORE_MEMBER)
            return b"".join(chunks)

    @contextmanager
    def _archive(self, artifact_id: str, limit: int) -> Iterator[BinaryIO]:
        """An artifact's zip. The API answers with an address that is good for a minute; no header of ours goes on."""
        url = f"{self._url}/actions/artifacts/{number_of(artifact_id, 'artifact')}/zip"
        answer = self._session.get(url, allow_redirects=False)
        if not answer.is_redirect:
            raise PlatformError(f"artifact {artifact_id}: the API did not say where it is")
        place = answer.headers["Location"]
        with disk_errors(artifact_id), self._session.elsewhere(place) as blobs, tempfile.TemporaryFile() as archive:
            blobs.save(blobs.get(place, stream=True, allow_redirects=False), archive, limit)
            archive.seek(0)
            yield archive

    def _artifact(self, facts: Mapping[str, Any]) -> Artifact:
        label = artifact_names.label_of(facts["name"])
        run, url = _run(facts), self._context.repository_url
        return Artifact(
            str(facts["id"]),
            label.name,
            label.run_id,
            label.category,
            int(facts["size_in_bytes"]),
            facts.get("digest") or "",
            label.compressed,
            f"{url}/actions/runs/{run}/artifacts/{facts['id']}" if url and run else None,
            time_of(facts.get("created_at")),
            time_of(facts.get("expires_at")),
        )

    def _object_pages(self, prefix: str, most: int) -> Iterator[list[Mapping[str, Any]]]:
        """The stored objects with this prefix, newest first, page by page.

        GitHub finds artifacts by their whole name only. What has one fixed name, like the base, is found at once so; a
        busy repository has it on none of the first pages.
        """
        path = f"{self._path}/actions/artifacts"
        if not prefix.endswith("-"):
            found = [
                facts
                for facts in self._lists.items(path, "artifacts", most=_MANY_PAGES, name=prefix)
                if _is_object(facts, prefix)
            ]
            if found:
                yield found
                return
        for page in self._lists.pages(path, "artifacts", most=most):
            yield [facts for facts in page if _is_object(facts, prefix)]

    def _trusted_branches(self) -> set[str]:
        if self._default_branch is None:
            _, facts = self._lists.get(self._path, {})
            self._default_branch = str(facts["default_branch"])
        branches = {self._default_branch}
        if self._is_protected and self._context.branch and self._context.event in TRUSTED_EVENTS:
            branches.add(self._context.branch)
        return branches

    def _learn_events(self, candidates: Sequence[Mapping[str, Any]]) -> None:
        """Find out what started the runs that these artifacts come from; a listing of artifacts does not tell."""
        missing = {_run(facts): _branch(facts) for facts in candidates if _run(facts) not in self._events}
        for branch in set(missing.values()):
            if branch not in self._run_pages:
                path = f"{self._path}/actions/runs"
                self._run_pages[branch] = self._lists.pages(path, "workflow_runs", most=_RUN_PAGES, branch=branch)
            for page in self._run_pages[branch]:  # newest first, going on where it was left
                self._events |= {int(run["id"]): str(run["event"]) for run in page}
                if not page or not missing.keys() - self._events.keys() or int(page[-1]["id"]) < min(missing):
                    break
        for run in sorted(missing.keys() - self._events.keys(), reverse=True)[:_SINGLE_RUNS]:
            try:
                _, facts = self._lists.get(f"{self._path}/actions/runs/{run}", {})
                self._events[run] = str(facts["event"])
            except NotFoundError:
                self._events[run] = "deleted"


def _object(facts: Mapping[str, Any]) -> StoredObject:
    name = artifact_names.stored_name(facts["name"]) or ""
    created = time_of(facts.get("created_at")) or datetime.min.replace(tzinfo=UTC)
    run = _run(facts)
    return StoredObject(str(facts["id"]), name, created, int(facts["size_in_bytes"]), str(run) if run else None)


def _is_object(facts: Mapping[str, Any], prefix: str) -> bool:
    name = artifact_names.stored_name(facts["name"])
    return name is not None and name.startswith(prefix) and not facts["expired"]


def _is_own(facts: Mapping[str, Any]) -> bool:
    """True if the run was of this repository's own code, not of a fork's."""
    run = facts.get("workflow_run") or {}
    return run.get("repository_id") is not None and run.get("repository_id") == run.get("head_repository_id")


def _run(facts: Mapping[str, Any]) -> int:
    return int((facts.get("workflow_run") or {}).get("id") or 0)


def _branch(facts: Mapping[str, Any]) -> str:
    return str((facts.get("workflow_run") or {}).get("head_branch") or "")
