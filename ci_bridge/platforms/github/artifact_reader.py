"""Artifacts and the store of the history, as the REST API lists and hands them out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from ci_bridge.atomic import open_atomically
from ci_bridge.errors import NotFoundError, PermissionDeniedError, PlatformError
from ci_bridge.models import Artifact, ArtifactQuery, BuildContext, StoredObject
from ci_bridge.platforms._http import OriginSession
from ci_bridge.platforms.github import artifact_names, single_zip
from ci_bridge.platforms.github.answers import PAGE, Lists, Page, number_of, time_of, understood
from ci_bridge.platforms.github.run_origins import RUN_PAGES, TRUSTED_EVENTS, RunOrigins
from ci_bridge.platforms.github.runner import disk_errors
from ci_bridge.protocols import Listing

MAX_DOWNLOAD = 4 << 30

_FEW_PAGES, _MANY_PAGES = 2, 100
_SINGLE_RUNS = 10


class ArtifactReader:
    """Lists and fetches the artifacts of one repository.

    Args:
        context: The build.
        session: Pinned to the API, with the token.
        lists: Reads its lists.
        root: Path of the API's root on the server, without a slash at the end.
        is_protected: True if the branch that is built is protected.
        workflow: File of the workflow that this build belongs to, empty if that is not known.
        head: Id of the repository and branch that the pull request which is built comes from, None without one.
    """

    def __init__(
        self,
        context: BuildContext,
        session: OriginSession,
        lists: Lists,
        *,
        root: str,
        is_protected: bool,
        workflow: str = "",
        head: tuple[int, str] | None = None,
    ) -> None:
        self._context = context
        self._session = session
        self._lists = lists
        self._path = f"/repos/{context.repository}"
        self._url = f"{session.origin}{root}{self._path}"
        self._is_protected = is_protected
        self._head = head
        self._default_branch = context.default_branch
        self._protected_base: bool | None = None
        self._of_workflow = RunOrigins(lists, self._path, workflow)
        self._of_repository = RunOrigins(lists, self._path, "") if workflow else self._of_workflow

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

    def trusted_objects(self, prefix: str, limit: int, *, every_workflow: bool = False) -> Listing:
        """The newest objects of runs that none but those who may write to the repository can have started.

        Args:
            prefix: Ends in ``-``, or is the whole name.
            limit: The most that is wanted; up to a hundred are looked for in few calls.
            every_workflow: Believe the repository's other workflows, too.
        """
        found, unsure, own = list[StoredObject](), list[StoredObject](), list[StoredObject]()
        has_others, is_whole = False, True
        is_brief, is_name = limit <= PAGE, not prefix.endswith("-")
        origins = self._of_repository if every_workflow else self._of_workflow
        pages = RUN_PAGES if not is_brief else 1
        # What goes by one name is the base: the newest is worth a call of its own.
        singles = _SINGLE_RUNS if not is_brief else int(is_name)
        with understood():
            branches = self._trusted_branches()
            for page in self._object_pages(prefix, _FEW_PAGES if is_brief else min(_MANY_PAGES, limit // 50)):
                candidates = [facts for facts in page.items if _is_own(facts) and _branch(facts) in branches]
                singles -= origins.learn(
                    {_run(facts): _branch(facts) for facts in candidates}, pages=pages, singles=singles
                )
                for facts in candidates:
                    believed = origins.is_believed(_run(facts), _branch(facts))
                    has_others |= believed is False
                    if believed is not False:
                        (found if believed else unsure).append(_object(facts))
                if self._head is not None:
                    own += [_object(facts) for facts in page.items if _head(facts) == self._head]
                is_whole = page.is_last and len(found) <= limit
                if len(found) >= limit or (is_brief and is_name and found):
                    break
        listed = {one.id for one in (*found, *unsure)}
        own = [one for one in own if one.id not in listed]
        return Listing(found[:limit], is_whole=is_whole, unsure=unsure, has_others=has_others, own=own)

    def objects_of_run(self, run_id: str | None, prefix: str) -> list[StoredObject]:
        """What the jobs of a run stored under such names, by whichever tool, newest first; trusted or not."""
        if not run_id:
            return []
        path = f"{self._path}/actions/runs/{number_of(run_id, 'run')}/artifacts"
        with understood():
            artifacts = self._lists.items(path, "artifacts", most=_MANY_PAGES)
            found = [_object(facts) for facts in artifacts if _is_object(facts, prefix)]
        return sorted(found, key=lambda one: (one.created_at, int(one.id)), reverse=True)

    def object_bytes(self, stored: StoredObject, limit: int, member: str | None = artifact_names.STORE_MEMBER) -> bytes:
        """What an object holds; ``member`` is what the one file inside must be called, None for any name."""
        with self._archive(stored.id, limit + (1 << 20)) as archive:
            chunks = single_zip.unpack(archive, title=stored.name, limit=limit, name=member)
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

    def _object_pages(self, prefix: str, most: int) -> Iterator[Page]:
        """The stored objects with this prefix, newest first, page by page.

        GitHub finds artifacts by their whole name only. What has one fixed name, like the base, is found at once so; a
        busy repository has it on none of the first pages. It may have the name of a second attempt.
        """
        path = f"{self._path}/actions/artifacts"
        names = [] if prefix.endswith("-") else [prefix, artifact_names.again(prefix, 2)]
        for query in [{"name": name} for name in names] or [{}]:
            is_there, is_last = False, True
            for page in self._lists.pages(path, "artifacts", most=most, **query):
                objects = [facts for facts in page.items if _is_object(facts, prefix)]
                is_there, is_last = is_there or any(map(_is_own, objects)), page.is_last
                yield Page(objects, is_last)
            if is_there or not is_last:
                return

    def _trusted_branches(self) -> set[str]:
        if self._default_branch is None:
            _, facts = self._lists.get(self._path, {})
            self._default_branch = str(facts["default_branch"])
        branches = {self._default_branch}
        if self._is_protected and self._context.branch and self._context.event in TRUSTED_EVENTS:
            branches.add(self._context.branch)
        base = self._context.pr_base_branch
        if base and base not in branches and self._is_protected_base(base):
            branches.add(base)
        return branches

    def _is_protected_base(self, branch: str) -> bool:
        """True if the API says that the branch which a pull request is for is protected; asked once."""
        if self._protected_base is None:
            try:
                _, facts = self._lists.get(f"{self._path}/branches/{quote(branch, safe='')}", {})
                self._protected_base = facts["protected"] is True
            except (NotFoundError, PermissionDeniedError):
                self._protected_base = False
        return self._protected_base


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


def _head(facts: Mapping[str, Any]) -> tuple[int, str]:
    """Repository and branch whose code the run was of, by GitHub's word."""
    return int((facts.get("workflow_run") or {}).get("head_repository_id") or 0), _branch(facts)


def _run(facts: Mapping[str, Any]) -> int:
    return int((facts.get("workflow_run") or {}).get("id") or 0)


def _branch(facts: Mapping[str, Any]) -> str:
    return str((facts.get("workflow_run") or {}).get("head_branch") or "")
