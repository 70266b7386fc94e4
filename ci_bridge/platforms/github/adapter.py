"""GitHub's API: check runs with annotations, commit statuses, comments, artifacts and the store of the history.

PyGithub builds the requests; the session below it is ours (:mod:`ci_bridge.platforms._http`), so that pinning, proxies,
time-outs and errors are the same as everywhere. Facts: GitHub's REST documentation, version 2022-11-28.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import urlsplit

from github.Commit import Commit
from github.IssueComment import IssueComment
from github.Repository import Repository
from github.Requester import Requester, RequestsResponse

from ci_bridge.atomic import private_folder
from ci_bridge.errors import (
    AuthenticationError,
    IncompleteError,
    NotFoundError,
    PermissionDeniedError,
    PlatformError,
    RateLimitedError,
    TransientError,
)
from ci_bridge.models import (
    Annotation,
    Artifact,
    ArtifactQuery,
    BuildContext,
    Comment,
    CommitStatus,
    PullRequest,
    RemoteRun,
    StoredObject,
    TestRun,
)
from ci_bridge.names import told_apart
from ci_bridge.platforms._http import InvalidError, OriginSession, is_rate_limit_text
from ci_bridge.platforms.github import RUN_STEP, artifact_names, check_runs
from ci_bridge.platforms.github.answers import PAGE, Lists, number_of, sha_of, understood
from ci_bridge.platforms.github.artifact_reader import ArtifactReader
from ci_bridge.platforms.github.results_service import ResultsService
from ci_bridge.platforms.github.run_origins import own_head, own_workflow
from ci_bridge.platforms.github.runner import RunnerAdapter, disk_errors, store, upload
from ci_bridge.protocols import (
    SupportsAnnotations,
    SupportsComments,
    SupportsDownload,
    SupportsPullRequests,
    SupportsStatus,
    SupportsStore,
    SupportsTestRuns,
    SupportsUpload,
    Trigger,
)

BOT = "github-actions[bot]"
"""The author that the job's own token has."""
NO_TRIGGER = Trigger()
_COMMENT_PAGES = 100
_CHECK_PAGES = 3
_MOST_REFUSED = 3
"""Annotations that GitHub refuses one by one before the rest is given up: then they are not what it minds."""


class _CheckRun(NamedTuple):
    """The check run that annotations are hung on."""

    id: int
    output: Mapping[str, Any]
    url: str | None


class GitHubAdapter(
    RunnerAdapter,
    SupportsTestRuns,
    SupportsAnnotations,
    SupportsStatus,
    SupportsComments,
    SupportsPullRequests,
    SupportsDownload,
    SupportsStore,
):
    """A job with a token. In a ``run:`` step the store can be read only: uploads need what actions get.

    Args:
        context: The build; its ``repository`` is known.
        env: As for :class:`RunnerAdapter`, and ``GITHUB_REF_PROTECTED``.
        session: Pinned to the API, with the token.
        api_url: Of the REST API.
        stdout: Where the runner reads commands.
        trigger: The run that started this one, in a ``workflow_run`` event.
        no_uploads: As for :class:`RunnerAdapter`.
    """

    max_annotations = check_runs.MAX_ANNOTATIONS
    max_comment_size = 65_536
    max_page_size = check_runs.MAX_TEXT
    store_expires = True

    def __init__(
        self,
        context: BuildContext,
        env: Mapping[str, str],
        *,
        session: OriginSession,
        api_url: str,
        stdout: TextIO,
        trigger: Trigger = NO_TRIGGER,
        no_uploads: str = "",
    ) -> None:
        super().__init__(context, env, stdout=stdout, no_uploads=no_uploads)
        self._session = session
        self._github = _requester_over(session, api_url)
        self._path = f"/repos/{context.repository}"
        self._repository = Repository(self._github, url=self._path)
        self._trigger = trigger
        self._lists = Lists(lambda path, query: self._github.requestJsonAndCheck("GET", path, dict(query)))
        self._reader = ArtifactReader(
            context,
            session,
            self._lists,
            root=urlsplit(api_url).path.rstrip("/"),
            is_protected=env.get("GITHUB_REF_PROTECTED", "").lower() == "true",
            workflow=own_workflow(env, context),
            head=own_head(env),
        )
        self._retention = env.get("GITHUB_RETENTION_DAYS", "")
        self._author: str | None = None
        self._check_run: _CheckRun | None = None
        self._is_unsure = False
        self._refused: dict[Annotation, InvalidError] = {}

    def close(self) -> None:
        super().close()
        self._session.close()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[Mapping[str, Any], Any]:
        """Make any call of the API with this job's token.

        Args:
            method: Of HTTP.
            path: Below the API's address, with the query.
            body: Sent as JSON.

        Returns:
            Headers, their names in lower case, and the parsed answer.

        Raises:
            PlatformError: As every other method.
        """
        with understood():
            return self._github.requestJsonAndCheck(method, path, input=None if body is None else {**body})

    # Test runs and annotations

    def create_test_run(self, run: TestRun) -> RemoteRun:
        """Show the run as a check run; one with its id as external id is taken up again, whoever made it."""
        sha = sha_of(run.commit_sha or self._context.status_sha)
        facts = check_runs.facts_of(run, self._build_of(run))
        with understood():
            known = next(
                (one for one in self._check_runs(sha, facts["name"]) if one.get("external_id") == run.id), None
            )
            if known is not None:
                return self.update_test_run(str(known["id"]), run)
            check = self._repository.create_check_run(head_sha=sha, **facts)
            _require(check.id)
            self._check_run = _CheckRun(check.id, facts["output"], check.html_url)
            return RemoteRun(str(check.id), check.html_url)

    def update_test_run(self, remote_id: str, run: TestRun) -> RemoteRun:
        facts = check_runs.facts_of(run, self._build_of(run))
        number = number_of(remote_id, "check run")
        with understood():
            check = self._repository.get_check_run(number)
            check.edit(**facts)
            self._check_run = _CheckRun(number, facts["output"], check.html_url)
            return RemoteRun(remote_id, check.html_url)

    def annotate(self, annotations: Sequence[Annotation]) -> str | None:
        """Hang the annotations on this build's check run, fifty at a time; safe to repeat after an error.

        Raises:
            IncompleteError: GitHub takes some of them and not others.
        """
        if not annotations:
            return None
        ours = self._check_run
        if ours is None and self._session.reads_only:
            raise PermissionDeniedError(self._session.reads_only)
        if ours is None:
            raise PermissionDeniedError(
                "annotations belong to a check run, and there is none",
                hint="enable_test_runs = true and `checks: write` under `permissions:`",
            )
        with understood():
            wanted = [one for one in annotations if one not in self._refused]
            done = 0
            if self._is_unsure:  # annotations are only ever added: see what a lost answer has left behind
                _, facts = self._lists.get(f"{self._path}/check-runs/{ours.id}", {})
                done = int(facts["output"]["annotations_count"])
            check = self._repository.get_check_run(ours.id)
            self._is_unsure = True
            size, end = check_runs.BATCH, 0  # before `end` there is one that GitHub refuses, if after `done`
            while done < len(wanted) and len(self._refused) < _MOST_REFUSED:
                batch = wanted[done : done + (max(1, (end - done) // 2) if end > done else size)]
                try:
                    check.edit(output={**ours.output, "annotations": [check_runs.annotation_of(one) for one in batch]})
                except InvalidError as error:  # one of them is not to GitHub's taste, and costs all of its request
                    end = done + len(batch)
                    if len(batch) == 1:
                        self._refused[wanted.pop(done)] = error
                        size, end = 1, 0
                else:
                    done += len(batch)
                    size = check_runs.BATCH
            self._is_unsure = False
        if self._refused:
            first, refusal = next(iter(self._refused.items()))
            if not done:
                raise refusal
            count = f"{len(annotations) - done} of {len(annotations)} refused"
            raise IncompleteError(f"{count}, the first at {first.file}:{first.line}: {refusal.message}", url=ours.url)
        return ours.url

    def _build_of(self, run: TestRun) -> BuildContext:
        """The build that ran the tests: this one, or the one that triggered it."""
        trigger = self._trigger
        if not trigger.url or run.build_id != trigger.id:
            return self._context
        return replace(self._context, build_url=trigger.url, job_url=None)

    def _check_runs(self, sha: str, name: str) -> Iterable[Mapping[str, Any]]:
        path = f"{self._path}/commits/{sha}/check-runs"
        return self._lists.items(path, "check_runs", most=_CHECK_PAGES, check_name=name, filter="all")

    # Status and comments

    def set_status(self, status: CommitStatus) -> str | None:
        sha = sha_of(status.sha)
        optional = {}
        if status.target_url and re.match(r"https?://", status.target_url):
            optional["target_url"] = status.target_url
        with understood():
            # With its sha given, PyGithub need not ask for the commit first.
            commit = Commit(self._github, attributes={"sha": sha}, url=f"{self._path}/commits/{sha}")
            made = commit.create_status(
                str(status.state),
                description=status.description[:140],
                context=told_apart(check_runs.line_of(status.context), check_runs.MAX_TITLE),
                **optional,
            )
            _require(made.id)
        url = self._context.repository_url
        return f"{url}/commit/{sha}" if url else None

    def whoami(self) -> str:
        """The login of the token's owner; never a guess, as a wrong one would double every comment.

        An app's token, as every job's own is, cannot read ``/user``, so GraphQL is asked first. Where that does not
        tell, ``/user`` does: a person, or by its refusal that this is the job's own token.
        """
        if self._author is None:
            with understood():
                self._author = self._viewer() or self._user()
        return self._author

    def _viewer(self) -> str:
        query = {"query": "query { viewer { login } }", "variables": {}}
        try:
            headers, answer = self._github.requestJsonAndCheck("POST", self._github.graphql_url, input=query)
        except (AuthenticationError, RateLimitedError, TransientError):
            raise
        except PlatformError:
            return ""  # refused, or not there
        if not isinstance(answer, dict):
            return ""
        for error in answer.get("errors") or ():
            if error.get("type") == "RATE_LIMITED" or is_rate_limit_text(str(error.get("message"))):
                raise self._session.rate_limited(f"GitHub: GraphQL, {error.get('message')}"[:300], headers)
        return str(((answer.get("data") or {}).get("viewer") or {}).get("login") or "")

    def _user(self) -> str:
        try:
            _, answer = self._github.requestJsonAndCheck("GET", "/user")
        except PermissionDeniedError as error:
            if "by integration" not in error.message:
                raise
            return BOT
        return str(answer["login"])

    def list_comments(self, pr_number: str) -> Iterable[Comment]:
        path = f"{self._path}/issues/{number_of(pr_number, 'pull request')}/comments"
        with understood():
            return [_comment(facts) for facts in self._lists.items(path, None, most=_COMMENT_PAGES)]

    def create_comment(self, pr_number: str, body: str) -> Comment:
        with understood():
            return _comment(
                self._repository.get_issue(number_of(pr_number, "pull request")).create_comment(body).raw_data
            )

    def update_comment(self, pr_number: str, comment_id: str, body: str) -> Comment:  # noqa: ARG002 its id will do
        number = number_of(comment_id, "comment")
        with understood():
            comment = IssueComment(self._github, url=f"{self._path}/issues/comments/{number}")
            comment.edit(body)
            return Comment(comment_id, comment.user.login, comment.body, comment.html_url)

    def delete_comment(self, pr_number: str, comment_id: str) -> None:  # noqa: ARG002 its id will do
        with understood():
            try:
                IssueComment(
                    self._github, url=f"{self._path}/issues/comments/{number_of(comment_id, 'comment')}"
                ).delete()
            except NotFoundError:
                return  # gone already

    @property
    def trigger(self) -> Trigger:
        return self._trigger

    def pull_requests_of(self, sha: str) -> Sequence[PullRequest]:
        """The open pull requests with this head.

        A fork's commit is none of this repository's, and mostly nothing is found by it. So where the event names the
        fork, those of its branch are asked for, too. GitHub passes over a filter that it does not understand: what
        comes is looked at in any case.
        """
        sha, trigger = sha_of(sha), self._trigger
        with understood():
            found = self._open_pulls(sha, f"{self._path}/commits/{sha}/pulls")
            if not found and trigger.repository and trigger.branch:
                head = f"{trigger.repository.partition('/')[0]}:{trigger.branch}"
                found = self._open_pulls(sha, f"{self._path}/pulls", state="open", head=head)
            return found

    def _open_pulls(self, sha: str, path: str, **query: str) -> list[PullRequest]:
        return [
            PullRequest(
                str(pull["number"]),
                pull["head"]["sha"],
                pull["head"]["ref"],
                (pull["head"].get("repo") or {}).get("full_name"),
                pull["base"]["ref"],
            )
            for pull in self._lists.items(path, None, most=3, **query)
            if pull.get("state") == "open" and pull["head"]["sha"] == sha
        ]

    # Artifacts and the store

    def list_artifacts(self, query: ArtifactQuery) -> Sequence[Artifact]:
        return self._reader.artifacts(query)

    def download_artifact(self, artifact: Artifact, to: Path) -> None:
        self._reader.download(artifact, to)

    @property
    def longest_retention(self) -> int | None:
        """What the repository allows, at most 90 days."""
        return int(self._retention) if re.fullmatch(r"[1-9][0-9]{0,3}", self._retention) else None

    @property
    def no_puts(self) -> str:
        return self.why_not("upload")

    def put_object(self, name: str, data: bytes, retention_days: int) -> StoredObject:  # noqa: ARG002 none is taken
        hint = "use the ci-bridge action; see docs/history.md" if self.no_puts == RUN_STEP else ""
        raise PermissionDeniedError(self.no_puts or "this adapter uploads nothing", hint=hint)

    def list_objects(self, prefix: str, limit: int, *, every_pipeline: bool = False) -> Sequence[StoredObject]:
        return self._reader.trusted_objects(prefix, limit, every_workflow=every_pipeline)

    def list_siblings(self, prefix: str) -> Sequence[StoredObject]:
        return self._reader.objects_of_run(self._context.build_id, prefix)[::-1]

    def list_triggering(self, prefix: str) -> Sequence[StoredObject]:
        return self._reader.objects_of_run(self._trigger.id, prefix)

    def get_object(self, stored: StoredObject, limit: int) -> bytes:
        # What another run stored may have gone up by a step of its own, which calls the file inside what it likes.
        foreign = bool(self._trigger.id) and stored.build_id == self._trigger.id
        return self._reader.object_bytes(stored, limit, None if foreign else artifact_names.STORE_MEMBER)

    def delete_object(self, stored: StoredObject) -> None:
        raise PlatformError(f"{stored.name}: GitHub's artifacts are left to expire; nothing is deleted")


class GitHubActionAdapter(GitHubAdapter, SupportsUpload):
    """A job with a token inside an action: it can upload, and so write the store.

    Args:
        context: As for :class:`GitHubAdapter`, and so are the others.
        service: The artifact service.
    """

    def __init__(
        self,
        context: BuildContext,
        env: Mapping[str, str],
        *,
        session: OriginSession,
        api_url: str,
        stdout: TextIO,
        service: ResultsService,
        trigger: Trigger = NO_TRIGGER,
    ) -> None:
        super().__init__(context, env, session=session, api_url=api_url, stdout=stdout, trigger=trigger)
        self._service = service

    def close(self) -> None:
        super().close()
        self._service.close()

    @property
    def job_key(self) -> str:
        return self._service.job

    def upload_artifact(self, path: Path, artifact: Artifact, retention_days: int) -> Artifact:
        return upload(self._service, self._context, path, artifact, retention_days)

    def put_object(self, name: str, data: bytes, retention_days: int) -> StoredObject:
        if not artifact_names.is_object_name(name):
            raise PlatformError(f"{name!r} is no name of a stored object")
        member = artifact_names.STORE_MEMBER
        with disk_errors(name), private_folder("object") as folder:
            path = folder / member
            path.write_bytes(data)
            # Not compressed: what is stored is so already.
            done = store(self._service, path, name, member, retention_days, compress=False)
        return StoredObject(done.id, name, done.created_at, len(data), self._context.build_id)


def _requester_over(session: OriginSession, api_url: str) -> Requester:
    """PyGithub's lowest layer over our session.

    It has no parameter for a session, but lets connection classes be injected, for the whole class of requesters; a
    subclass of our own keeps that from others in this process. Its own connections retry, read no proxies of ours,
    and log the credentials' header, which it never sees here. It asserts where a token may go; ours raises.
    """

    class Connection:
        """One request, as PyGithub's own connection classes answer it."""

        scheme = "https"

        def __init__(self, host: str, port: int | None = None, **_: Any) -> None:
            name = f"[{host}]" if ":" in host else host
            self._origin = f"{self.scheme}://{name}" + (f":{port}" if port else "")

        def request(self, verb: str, url: str, body: Any, headers: dict[str, str], _stream: bool = False) -> None:
            self._request = (verb, f"{self._origin}{url}", body, headers)

        def getresponse(self) -> RequestsResponse:
            verb, url, body, headers = self._request
            response = session.request(
                verb, url, data=body.encode() if isinstance(body, str) else body, headers=headers
            )
            if response.status_code == 202 and verb == "GET":
                raise TransientError(f"{session.title}: not ready yet")  # PyGithub would wait, without an end
            return RequestsResponse(response)

        def close(self) -> None:
            """The session outlives its requests."""

    class PlainConnection(Connection):
        scheme = "http"

    class PinnedRequester(Requester):
        """A requester whose connections are ours."""

    PinnedRequester.injectConnectionClasses(PlainConnection, Connection)  # type: ignore[arg-type]
    return PinnedRequester(
        auth=None,  # the session adds it
        base_url=api_url,
        timeout=30,
        user_agent="ci-bridge",
        per_page=PAGE,
        verify=True,
        retry=None,  # there is one retry layer, and it is the client's
        pool_size=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
        lazy=True,  # objects are not fetched before something is done with them
    )


def _require(number: object) -> None:
    """PyGithub makes an object of any answer; one that bears no id is not what was asked for."""
    if not isinstance(number, int):
        raise PlatformError("GitHub's answer was not understood: it bears no id")


def _comment(facts: Mapping[str, Any]) -> Comment:
    author = (facts.get("user") or {}).get("login") or ""  # the account may be gone
    return Comment(str(facts["id"]), author, facts.get("body") or "", facts.get("html_url"))
