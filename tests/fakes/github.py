"""A stateful stand-in for GitHub: what is posted can be read back, and it refuses what GitHub refuses.

Three origins, as in the original: the API, the results service (artifact uploads) and the blob store. Every exchange is
held against ``tests/contracts``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from tests.contracts.checker import Checker, load_contract, without_prefix
from tests.fakes.github_results import Blobs, Results
from tests.fakes.github_show import Show
from tests.fakes.github_state import (
    PERMISSIONS,
    Artifact,
    CheckRun,
    Comment,
    Job,
    Pull,
    Refusal,
    Repository,
    Run,
    Status,
    Token,
)
from tests.fakes.server import Exchange, FakeServer, Fault, Request, Response

DOCUMENTATION = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Route:
    """Which method answers a path, and the permissions of which one is needed."""

    method: str
    pattern: re.Pattern[str]
    answer: str
    needs: tuple[str, ...] = ()


def _route(method: str, path: str, answer: str, *needs: str) -> Route:
    return Route(method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), answer, needs)


REPO = "/repos/{owner}/{repo}"
ROUTES = (
    _route("GET", "/user", "_user"),
    _route("POST", "/graphql", "_graphql"),
    _route("GET", REPO, "_repository", "metadata:read"),
    _route("GET", f"{REPO}/branches/{{branch}}", "_branch", "contents:read"),
    _route("POST", f"{REPO}/check-runs", "_create_check_run", "checks:write"),
    _route("GET", f"{REPO}/check-runs/{{key}}", "_get_check_run", "checks:read"),
    _route("PATCH", f"{REPO}/check-runs/{{key}}", "_update_check_run", "checks:write"),
    _route("GET", f"{REPO}/commits/{{sha}}/check-runs", "_list_check_runs", "checks:read"),
    _route("POST", f"{REPO}/statuses/{{sha}}", "_create_status", "statuses:write"),
    _route("GET", f"{REPO}/issues/{{number}}/comments", "_list_comments", "issues:read", "pull-requests:read"),
    _route("POST", f"{REPO}/issues/{{number}}/comments", "_create_comment", "issues:write", "pull-requests:write"),
    _route("PATCH", f"{REPO}/issues/comments/{{key}}", "_update_comment", "issues:write", "pull-requests:write"),
    _route("DELETE", f"{REPO}/issues/comments/{{key}}", "_delete_comment", "issues:write", "pull-requests:write"),
    _route("GET", f"{REPO}/commits/{{sha}}/pulls", "_pulls_of_commit", "pull-requests:read"),
    _route("GET", f"{REPO}/pulls", "_list_pulls", "pull-requests:read"),
    _route("GET", f"{REPO}/actions/artifacts", "_list_artifacts", "actions:read"),
    _route("GET", f"{REPO}/actions/artifacts/{{key}}/zip", "_download_artifact", "actions:read"),
    _route("GET", f"{REPO}/actions/runs", "_list_runs", "actions:read"),
    _route("GET", f"{REPO}/actions/workflows/{{workflow}}/runs", "_list_runs", "actions:read"),
    _route("GET", f"{REPO}/actions/runs/{{run}}", "_run", "actions:read"),
    _route("GET", f"{REPO}/actions/runs/{{run}}/artifacts", "_list_artifacts", "actions:read"),
)


@dataclass
class _Limit:
    hourly: int = 1000
    used: int = 0
    resets: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(hours=1))


class FakeGitHub:
    """GitHub with one repository ``acme/shop`` and as many more as a test adds.

    Attributes:
        api, results, blobs: The three origins.
        clock: Answers the present time; tests may set it.
        camel_case: True to make the results service write its fields in camelCase.
        hidden: Ids of artifacts and runs that the listings do not show yet: they are eventually consistent.
        before_answer: Called with each API request before the fake carries it out, outside its lock: a place to let
            another job act in between.
    """

    def __init__(self, prefix: str = "") -> None:
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.prefix = prefix
        self._prefixes = (prefix, prefix.removesuffix("/v3"))  # GraphQL is /api/graphql where REST is /api/v3
        self.camel_case = False
        self.limit = _Limit()
        self.hidden: set[int] = set()
        self.before_answer: Callable[[Request], None] = lambda _: None
        self.tokens: dict[str, Token] = {}
        self.jobs: dict[str, Job] = {}
        self.repositories: dict[str, Repository] = {}
        self.lock = threading.RLock()
        self._number = 1000
        self._stranger: FakeServer | None = None
        contract, results = load_contract("github"), load_contract("github-results")
        self.blobs = FakeServer(Blobs(self), Checker(results, "blobs"), "blobs")
        self.results = FakeServer(Results(self), Checker(results, "results"), "results")
        self.api = FakeServer(self._answer, Checker(contract, "api", self._prefixes), "api")
        self.show = Show(self.api_url, lambda: self.clock())
        self.repository = self.add_repository("acme/shop")

    # -- what tests say and ask ------------------------------------------------------------------------------------

    @property
    def servers(self) -> tuple[FakeServer, ...]:
        return (self.api, self.results, self.blobs)

    @property
    def api_url(self) -> str:
        """What ``GITHUB_API_URL`` says."""
        return self.api.origin + self.prefix

    @property
    def calls(self) -> list[Exchange]:
        """The log of the API."""
        return self.api.log

    def close(self) -> None:
        for server in (*self.servers, *filter(None, [self._stranger])):
            server.close()

    def violations(self) -> list[str]:
        """Whatever must not have happened: breaches of the contract, credentials at the wrong place, broken fakes."""
        found: list[str] = []
        for server in self.servers:
            assert server.checker is not None
            found += [*server.checker.violations, *server.crashes]
            for exchange in tuple(server.log):
                sent = exchange.request.authorization
                secret = sent.split()[-1] if sent else ""
                right = self.jobs if server is self.results else self.tokens if server is self.api else {}
                wrong = self.tokens if server is not self.api else self.jobs
                if sent is not None and (server is self.blobs or (secret in wrong and secret not in right)):
                    found.append(f"{server.name}: {exchange.request.method} {exchange.request.path} bore credentials")
        if self._stranger:
            for request in self._stranger.requests():
                sent_text = f"{request.target}{request.headers}{request.body!r}"
                if request.authorization is not None or any(key in sent_text for key in (*self.tokens, *self.jobs)):
                    found.append(f"a stranger: {request.method} {request.path} bore credentials")
        return found

    @property
    def stranger(self) -> FakeServer:
        """An origin that is none of GitHub's and answers everything with an empty object."""
        if self._stranger is None:
            self._stranger = FakeServer(lambda _: Response.json(200, {}), name="stranger")
        return self._stranger

    def forgive(self) -> list[str]:
        """Forget the violations so far, where a test breaks the contract on purpose; answers them."""
        found = self.violations()
        for server in self.servers:
            assert server.checker is not None
            server.checker.violations.clear()
        return found

    def next_id(self) -> int:
        with self.lock:
            self._number += 1
            return self._number

    def add_repository(self, full_name: str, parent: Repository | None = None) -> Repository:
        """Add a repository; with a parent it is a fork."""
        repository = Repository(self.next_id(), full_name, fork=parent is not None)
        self.repositories[full_name] = repository
        return repository

    def add_token(self, kind: str = "installation", permissions: Mapping[str, str] | None = None, **more: Any) -> str:
        """A new token: ``installation``, ``fork`` (read only), ``classic`` or ``fine-grained``.

        Args:
            kind: What GitHub calls it.
            permissions: Name in a workflow's ``permissions:`` -> ``read`` or ``write``; all writable if absent.
            more: Further fields of :class:`Token`.
        """
        if kind == "fork":
            kind, permissions = "installation", dict.fromkeys(PERMISSIONS, "read")
        secret = f"fake-{kind}-{self.next_id()}"
        given = dict.fromkeys(PERMISSIONS, "write") if permissions is None else {**permissions, "metadata": "read"}
        login = {"installation": "github-actions[bot]"}.get(kind, "octocat")
        self.tokens[secret] = Token(secret, kind, more.pop("login", login), given, **more)
        return secret

    def add_pull(
        self, number: int, head_sha: str, *, branch: str = "feature", head: Repository | None = None, base: str = "main"
    ) -> Pull:
        """Open a pull request into the repository."""
        pull = Pull(self.next_id(), number, head_sha, branch, head or self.repository, base)
        self.repository.pulls[number] = pull
        return pull

    def add_run(self, event: str = "push", sha: str = "a" * 40, branch: str | None = "main", **more: Any) -> Run:
        """Start a workflow run. ``more``: ``head_repository`` (a fork's), ``attempt``, ``path``, ``id``."""
        with self.lock:
            more.setdefault("id", self.next_id())
            more.setdefault("head_repository", self.repository)
            run = Run(repository=self.repository, event=event, head_sha=sha, head_branch=branch,
                      number=len(self.repository.runs) + 1, started=self.clock(), **more)  # fmt: skip
            self.repository.runs[run.id] = run
            return run

    def add_job(self, run: Run, name: str = "test") -> Job:
        """Start a job of a run; it has a runtime token of its own."""
        with self.lock:
            job = Job(self.next_id(), name, run, run.attempt, self.clock())
            run.jobs.append(job)
            self.jobs[job.runtime_token] = job
            return job

    def add_artifact(self, name: str, data: bytes, run: Run, **more: Any) -> Artifact:
        """Store an artifact as another job would have. ``data`` is the zip; ``more``: fields of :class:`Artifact`."""
        with self.lock:
            more.setdefault("created", self.clock())
            artifact = Artifact(self.next_id(), name, data, run, **more)
            self.repository.artifacts.append(artifact)
            return artifact

    def add_comment(self, number: int, body: str, author: str = "github-actions[bot]") -> Comment:
        """Write a comment as anybody; an empty author is one whose account is gone."""
        with self.lock:
            comment = Comment(self.next_id(), number, body, author, self.clock())
            self.repository.comments.append(comment)
            return comment

    def comments(self, number: int, author: str | None = None) -> list[Comment]:
        """The comments of a pull request, oldest first."""
        with self.lock:
            found = [comment for comment in self.repository.comments if comment.number == number]
            return [comment for comment in found if author in (None, comment.author)]

    def statuses(self, sha: str) -> dict[str, Status]:
        """Context -> the status that counts."""
        with self.lock:
            return {status.context: status for status in self.repository.statuses if status.sha == sha}

    def shown_on(self, number: int) -> tuple[list[CheckRun], dict[str, Status]]:
        """What the page of a pull request shows: check runs and statuses of its head, of no other commit."""
        sha = self.repository.pulls[number].head_sha
        return [run for run in self.repository.check_runs if run.sha == sha], self.statuses(sha)

    @property
    def check_runs(self) -> Sequence[CheckRun]:
        return self.repository.check_runs

    @property
    def artifacts(self) -> Sequence[Artifact]:
        return self.repository.artifacts

    def secondary_limit(self, retry_after: str | None = None, **rule: Any) -> Fault:
        """403 that, without a ``Retry-After``, only its text tells from a missing permission."""
        text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        answer = self._error(403, text)
        headers = {**answer.headers, **({} if retry_after is None else {"Retry-After": retry_after})}
        return Fault("secondary limit", Response(403, answer.body, headers), honest=True, **rule)

    def primary_limit(self, **rule: Any) -> Fault:
        """403 with no request left until the hour is over."""
        answer = self._error(403, "API rate limit exceeded for installation.")
        headers = {
            **answer.headers,
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(self.limit.resets.timestamp())),
        }
        return Fault("rate limit", Response(403, answer.body, headers), honest=True, **rule)

    # -- the API -----------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        self.before_answer(request)
        with self.lock:
            try:
                response = self._routed(request)
            except Refusal as refusal:
                response = self._error(refusal.status, refusal.message, refusal.errors)
            self.limit.used += 1
            left = max(self.limit.hourly - self.limit.used, 0)
            headers = {
                "X-GitHub-Request-Id": f"FAKE:{self.limit.used:06X}",
                "X-GitHub-Media-Type": "github.v3; format=json",
                "X-RateLimit-Limit": str(self.limit.hourly),
                "X-RateLimit-Remaining": str(left),
                "X-RateLimit-Used": str(self.limit.used),
                "X-RateLimit-Reset": str(int(self.limit.resets.timestamp())),
                "X-RateLimit-Resource": "core",
            }
            token = self.tokens.get((request.authorization or "").split(" ")[-1])
            if token and token.kind == "classic":
                headers["X-OAuth-Scopes"] = ", ".join(token.scopes)
            return Response(response.status, response.body, {**headers, **response.headers})

    @staticmethod
    def _error(status: int, message: str, errors: Sequence[Mapping[str, str]] = ()) -> Response:
        body: dict[str, Any] = {"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}
        return Response.json(status, body | ({"errors": list(errors)} if errors else {}))

    def _routed(self, request: Request) -> Response:
        token = self._token(request)
        if self.limit.used >= self.limit.hourly:
            raise Refusal(403, "API rate limit exceeded for installation.")
        path = without_prefix(request.path, self._prefixes)
        for route in ROUTES:
            match = route.pattern.fullmatch(path)
            if match and route.method == request.method:
                return self._permitted(route, match.groupdict(), token, request)
        raise Refusal(404, "Not Found")

    def _token(self, request: Request) -> Token:
        if request.authorization is None:
            raise Refusal(401, "Requires authentication")
        kind, _, secret = request.authorization.partition(" ")
        token = self.tokens.get(secret)
        if kind.lower() not in ("token", "bearer") or token is None:
            raise Refusal(401, "Bad credentials")
        return token

    def _permitted(self, route: Route, values: dict[str, str], token: Token, request: Request) -> Response:
        answer: Callable[..., Response] = getattr(self, route.answer)
        if "owner" not in values:
            return answer(token, request)
        repository = self.repositories.get(f"{values.pop('owner')}/{values.pop('repo')}")
        if repository is None or (token.repository and token.repository != repository.full_name):
            raise Refusal(404, "Not Found")
        if route.needs and not any(token.may(need) for need in route.needs):
            public_read = not repository.private and route.needs[0].endswith(":read")
            if not public_read:
                raise Refusal(*token.refusal(route.needs[0], repository.private))
        return answer(token, request, repository, **values)

    def _user(self, token: Token, _: Request) -> Response:
        if token.kind == "installation":
            raise Refusal(403, "Resource not accessible by integration")
        return Response.json(200, self.show.person(token.login))

    def _graphql(self, token: Token, _: Request) -> Response:
        return Response.json(200, {"data": {"viewer": {"login": token.viewer or token.login}}})

    def _repository(self, token: Token, _: Request, repository: Repository) -> Response:
        return Response.json(200, self.show.repository(repository, token))

    def _branch(self, token: Token, _: Request, repository: Repository, branch: str) -> Response:
        name = unquote(branch)
        built = {run.head_branch for run in repository.runs.values() if run.head_repository is repository}
        if name not in {repository.default_branch, *repository.protected, *built}:
            raise Refusal(404, "Branch not found")
        return Response.json(200, {"name": name, "protected": name in repository.protected})

    # -- checks and statuses -------------------------------------------------------------------------------------------

    def _create_check_run(self, token: Token, request: Request, repository: Repository) -> Response:
        sent = request.json()
        sha = str(sent.get("head_sha", ""))
        repository.must_know(sha)
        with_name = [run for run in repository.check_runs if run.sha == sha and run.name == sent.get("name")]
        if len(with_name) >= 1000:
            raise Refusal(422, "This check suite has reached the maximum number of check runs of this name.")
        run = CheckRun(self.next_id(), sha, self.clock())
        run.change(sent, self.clock(), creating=True)
        repository.check_runs.append(run)
        return Response.json(201, self.show.check_run(repository, run))

    @staticmethod
    def _check_run(repository: Repository, key: str) -> CheckRun:
        run = next((run for run in repository.check_runs if str(run.id) == key), None)
        if run is None:
            raise Refusal(404, "Not Found")
        return run

    def _get_check_run(self, token: Token, request: Request, repository: Repository, key: str) -> Response:
        return Response.json(200, self.show.check_run(repository, self._check_run(repository, key)))

    def _update_check_run(self, token: Token, request: Request, repository: Repository, key: str) -> Response:
        run = self._check_run(repository, key)
        run.change(request.json(), self.clock(), creating=False)
        return Response.json(200, self.show.check_run(repository, run))

    def _list_check_runs(self, token: Token, request: Request, repository: Repository, sha: str) -> Response:
        name = request.query.get("check_name")
        found = [run for run in repository.check_runs if run.sha == sha and name in (None, run.name)]
        if request.query.get("filter", "latest") == "latest":
            found = list({run.name: run for run in found}.values())
        return self._page(request, [self.show.check_run(repository, run) for run in reversed(found)], "check_runs")

    def _create_status(self, token: Token, request: Request, repository: Repository, sha: str) -> Response:
        sent = request.json()
        repository.must_know(sha)
        if sent.get("state") not in ("error", "failure", "pending", "success"):
            raise Refusal.invalid("Status", "state", "State is not included in the list")
        if len(sent.get("description") or "") > 140:
            raise Refusal.invalid("Status", "description", "Description is too long (maximum is 140 characters)")
        context = sent.get("context", "default")
        if sum(status.sha == sha and status.context == context for status in repository.statuses) >= 1000:
            raise Refusal(422, "This SHA and context has reached the maximum number of statuses.")
        status = Status(self.next_id(), sha, sent["state"], context, sent.get("description"), sent.get("target_url"),
                        token.login, self.clock())  # fmt: skip
        repository.statuses.append(status)
        return Response.json(201, self.show.status(repository, status))

    # -- pull requests -------------------------------------------------------------------------------------------------

    def _pull(self, repository: Repository, number: str) -> Pull:
        pull = repository.pulls.get(int(number)) if number.isdecimal() else None
        if pull is None:
            raise Refusal(404, "Not Found")
        return pull

    def _list_comments(self, token: Token, request: Request, repository: Repository, number: str) -> Response:
        pull = self._pull(repository, number)
        found = [comment for comment in repository.comments if comment.number == pull.number]
        return self._page(request, [self.show.comment(repository, comment) for comment in found])

    def _create_comment(self, token: Token, request: Request, repository: Repository, number: str) -> Response:
        pull = self._pull(repository, number)
        if pull.locked:
            raise Refusal(403, "Unable to create comment because issue is locked.")
        comment = Comment(self.next_id(), pull.number, self._body_of(request), token.login, self.clock())
        repository.comments.append(comment)
        return Response.json(201, self.show.comment(repository, comment))

    def _update_comment(self, token: Token, request: Request, repository: Repository, key: str) -> Response:
        comment = self._comment(repository, key)
        comment.body = self._body_of(request)
        comment.updated = self.clock()
        comment.edits += 1
        return Response.json(200, self.show.comment(repository, comment))

    def _delete_comment(self, token: Token, request: Request, repository: Repository, key: str) -> Response:
        repository.comments.remove(self._comment(repository, key))
        return Response(204)

    @staticmethod
    def _comment(repository: Repository, key: str) -> Comment:
        comment = next((comment for comment in repository.comments if str(comment.id) == key), None)
        if comment is None:
            raise Refusal(404, "Not Found")
        return comment

    @staticmethod
    def _body_of(request: Request) -> str:
        body = request.json().get("body")
        if not isinstance(body, str) or not body.strip():
            raise Refusal.invalid("IssueComment", "body", "body can't be blank")
        if len(body) > 65536:
            raise Refusal.invalid("IssueComment", "body", "body is too long (maximum is 65536 characters)")
        return body

    def _pulls_of_commit(self, token: Token, request: Request, repository: Repository, sha: str) -> Response:
        repository.must_know(sha)
        # A fork's commits are none of this repository's: GitHub answers an empty list for their heads.
        own = [pull for pull in repository.pulls.values() if pull.head in (None, repository)]
        found = [pull for pull in own if sha in (pull.head_sha, *pull.commits)]
        return self._page(request, [self.show.pull(repository, pull) for pull in found])

    def _list_pulls(self, token: Token, request: Request, repository: Repository) -> Response:
        state, head = request.query.get("state", "open"), request.query.get("head", "")
        owner, _, branch = head.partition(":")
        found = [
            pull
            for pull in repository.pulls.values()
            if state in ("all", pull.state)
            # What is not of the form owner:branch is passed over, as GitHub does.
            and (
                not branch
                or (pull.head is not None and (pull.head.full_name.partition("/")[0], pull.branch) == (owner, branch))
            )
        ]
        return self._page(request, [self.show.pull(repository, pull) for pull in found[::-1]])

    # -- runs and artifacts --------------------------------------------------------------------------------------------

    def _run_of(self, repository: Repository, run: str) -> Run:
        found = repository.runs.get(int(run)) if run.isdecimal() else None
        if found is None:
            raise Refusal(404, "Not Found")
        return found

    def _run(self, token: Token, request: Request, repository: Repository, run: str) -> Response:
        return Response.json(200, self.show.run(repository, self._run_of(repository, run)))

    def _list_runs(
        self, token: Token, request: Request, repository: Repository, workflow: str | None = None
    ) -> Response:
        branch, event = request.query.get("branch"), request.query.get("event")
        runs = [run for run in repository.runs.values() if workflow in (None, run.file)]
        if workflow and not runs:
            raise Refusal(404, "Not Found")
        found = [
            self.show.run(repository, run)
            for run in sorted(runs, key=lambda run: (run.started, run.id), reverse=True)
            if run.id not in self.hidden and branch in (None, run.head_branch) and event in (None, run.event)
        ]
        # GitHub shows a filtered list's first thousand only, and says how many it shows.
        return self._page(request, found[:1000] if branch or event else found, "workflow_runs")

    def _list_artifacts(
        self, token: Token, request: Request, repository: Repository, run: str | None = None
    ) -> Response:
        wanted = self._run_of(repository, run) if run else None
        name = request.query.get("name")
        found = [
            artifact
            for artifact in sorted(repository.artifacts, key=lambda artifact: (artifact.created, artifact.id))
            if artifact.id not in self.hidden and name in (None, artifact.name) and wanted in (None, artifact.run)
        ]
        return self._page(
            request, [self.show.artifact(repository, artifact) for artifact in reversed(found)], "artifacts"
        )

    def _download_artifact(self, token: Token, request: Request, repository: Repository, key: str) -> Response:
        artifact = next((artifact for artifact in repository.artifacts if str(artifact.id) == key), None)
        if artifact is None:
            raise Refusal(404, "Not Found")
        if artifact.expired(self.clock()):
            raise Refusal(410, "Artifact has expired")
        return Response(302, headers={"Location": self.signed_url(artifact.blob, "r", timedelta(minutes=1))})

    def signed_url(self, blob: str, rights: str, lasts: timedelta) -> str:
        """An address in the blob store that lets anybody in who knows it."""
        return self.blob_store.sign(self.blobs.origin, blob, rights, self.clock() + lasts)

    @property
    def blob_store(self) -> Blobs:
        store = self.blobs.answer
        assert isinstance(store, Blobs)
        return store

    def _page(self, request: Request, items: list[dict[str, Any]], field: str | None = None) -> Response:
        size = min(int(request.query.get("per_page", "30")), 100)
        number = int(request.query.get("page", "1"))
        last = max(-(-len(items) // size), 1)
        shown = items[(number - 1) * size : number * size]
        links = []
        for relation, page in (("prev", number - 1), ("next", number + 1), ("last", last), ("first", 1)):
            if number > 1 if relation in ("prev", "first") else number < last:
                query = {**request.query, "page": str(page)}
                text = "&".join(f"{key}={value}" for key, value in query.items())
                links.append(f'<{self.api.origin}{request.path}?{text}>; rel="{relation}"')
        headers = {"Link": ", ".join(links)} if links else {}
        return Response.json(200, {"total_count": len(items), field: shown} if field else shown, headers)
