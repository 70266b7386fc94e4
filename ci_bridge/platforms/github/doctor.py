"""What a GitHub job's tokens allow, found out without changing anything.

Reads are tried. For writes, GitHub checks the permission (403) before it looks at what is to be written (422), so each
probe asks for something that cannot exist: a check run and a status on the commit of forty zeros, an empty comment.
Facts: GitHub's REST documentation, "Permissions required for GitHub Apps" and "Troubleshooting the REST API".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ci_bridge.errors import (
    AuthenticationError,
    CIBridgeError,
    NotFoundError,
    PermissionDeniedError,
    PlatformError,
    RateLimitedError,
    TransientError,
)
from ci_bridge.models import BuildContext
from ci_bridge.platforms.github.answers import number_of
from ci_bridge.protocols import Adapter, Finding, Health, SupportsTestRuns, SupportsUpload

if TYPE_CHECKING:
    from ci_bridge.platforms.github.adapter import GitHubAdapter

NO_COMMIT = "0" * 40
"""The id that git gives to no object: nothing can be created on it."""

FEW_CALLS = 50
TOKEN_LINE = "GITHUB_TOKEN: ${{ github.token }}"  # noqa: S105 - an expression, no token
ACTION_LINE = "- uses: ci-bridge/ci-bridge@v0"
FORK_LINE = "ci-bridge collect here, ci-bridge publish on workflow_run: see docs/getting-started-github.md"
_NAME = "ci-bridge doctor"

Ask = Callable[[str, str, Mapping[str, Any] | None], tuple[Mapping[str, Any], Any]]
"""Method, path and body -> headers in lower case and the parsed answer; raises :mod:`ci_bridge.errors`."""


def probe(adapter: Adapter, context: BuildContext) -> Sequence[Finding]:
    """What will work with this adapter's tokens; at most seven calls."""
    findings: list[Finding] = []
    if isinstance(adapter, SupportsTestRuns):  # every adapter with a token is one class
        findings += _Probe(_asker(cast("GitHubAdapter", adapter)), context).findings()
    else:
        detail = (
            "none was given, or this server's API is not GitHub's: only the summary and outputs are delivered; "
            "under `env:` of the step"
        )
        findings.append(Finding("Token", Health.PROBLEM, detail, TOKEN_LINE))
    if isinstance(adapter, SupportsUpload):
        findings.append(Finding("Artifacts", Health.OK, "the runtime token is here: files can be uploaded"))
    else:
        detail = "a `run:` step gets no runtime token, and an Enterprise Server has no such service: files stay here"
        findings.append(Finding("Artifacts", Health.WARNING, detail, ACTION_LINE))
    return findings


def _asker(adapter: GitHubAdapter) -> Ask:
    """The adapter's own way to the API: its session, its token, its errors."""
    github = adapter._github
    return lambda method, path, body: github.requestJsonAndCheck(method, path, input=None if body is None else {**body})


class _Probe:
    """One round of questions.

    Args:
        ask: Calls the API.
        context: The build; its repository is known.
    """

    def __init__(self, ask: Ask, context: BuildContext) -> None:
        self._ask = ask
        self._context = context
        self._path = f"/repos/{context.repository}"
        self._headers: Mapping[str, Any] = {}

    def findings(self) -> Iterator[Finding]:
        token = self._token()
        yield token
        if token.state is not Health.OK:
            return  # every other answer would say the same
        yield self._limit()
        yield self._write(
            "Check runs",
            f"{self._path}/check-runs",
            {"name": _NAME, "head_sha": NO_COMMIT},
            "checks: write",
            "a commit status stands for the check run, and there are no annotations",
        )
        yield self._write(
            "Commit statuses",
            f"{self._path}/statuses/{NO_COMMIT}",
            {"state": "error", "context": _NAME},
            "statuses: write",
            "the state is shown by the check run only",
        )
        yield self._comments()
        yield self._read("History and artifacts", f"{self._path}/actions/artifacts", "actions: read")

    def _token(self) -> Finding:
        try:
            self._headers, _ = self._ask("GET", self._path, None)
        except AuthenticationError as error:
            return Finding("Token", Health.PROBLEM, error.message, TOKEN_LINE)
        except (PermissionDeniedError, NotFoundError) as error:
            return Finding("Token", Health.PROBLEM, f"it does not see this repository: {error.message}", TOKEN_LINE)
        except CIBridgeError as error:
            return Finding("Token", Health.UNKNOWN, str(error))
        return Finding("Token", Health.OK, self._kind())

    def _kind(self) -> str:
        """What kind of token it is; an app's, as every job's own, may not ask who it is."""
        scopes = self._headers.get("x-oauth-scopes")
        if scopes is not None:
            named = ", ".join(part.strip() for part in scopes.split(",") if part.strip()) or "none"
            return f"a classic personal access token (scopes: {named})"
        try:
            self._ask("GET", "/user", None)
        except PermissionDeniedError:
            fork = "; read-only, as the pull request comes from a fork" if self._context.is_fork else ""
            return f"the job's own, an app's installation token{fork}"
        except CIBridgeError:
            return "of an unknown kind"
        return "a fine-grained personal access token"

    def _limit(self) -> Finding:
        try:
            limit = int(self._headers["x-ratelimit-limit"])
            left = int(self._headers["x-ratelimit-remaining"])
        except (KeyError, ValueError):
            return Finding("Rate limit", Health.UNKNOWN, "GitHub did not say")
        state = Health.OK if left >= FEW_CALLS else Health.WARNING
        return Finding("Rate limit", state, f"{left} of {limit} calls an hour are left; a report takes about 12")

    def _write(self, title: str, path: str, body: Mapping[str, Any], line: str, otherwise: str) -> Finding:
        try:
            self._ask("POST", path, body)
        except PermissionDeniedError as error:
            return self._refused(title, line, f"{error.message}; {otherwise}")
        except (RateLimitedError, TransientError, AuthenticationError) as error:
            return Finding(title, Health.UNKNOWN, str(error))
        except PlatformError:
            return Finding(title, Health.OK, f"`{line}` is given")  # HTTP 422: it may, but not this
        return Finding(title, Health.UNKNOWN, "GitHub answered what cannot be")

    def _comments(self) -> Finding:
        title, line = "Comments", "pull-requests: write"
        number = self._context.pr_number
        if not number:
            return Finding(title, Health.UNKNOWN, f"only a pull request's build can tell; they need `{line}`")
        path = f"{self._path}/issues/{number_of(number, 'pull request')}/comments"
        return self._write(title, path, {"body": ""}, line, "the comment becomes a part of the summary")

    def _read(self, title: str, path: str, line: str) -> Finding:
        try:
            self._ask("GET", f"{path}?per_page=1", None)
        except (PermissionDeniedError, NotFoundError) as error:
            return self._refused(title, line, f"{error.message}; failures are judged without earlier runs")
        except CIBridgeError as error:
            return Finding(title, Health.UNKNOWN, str(error))
        return Finding(title, Health.OK, f"`{line}` is given")

    def _refused(self, title: str, line: str, detail: str) -> Finding:
        """A permission that is not given. A fork's token reads only, whatever its workflow says."""
        if self._context.is_fork and line.endswith("write"):
            return Finding(title, Health.PROBLEM, f"{detail}; no line gives a fork's token more", FORK_LINE)
        if "GitHub App" in detail:  # classic tokens cannot write checks at all
            return Finding(title, Health.PROBLEM, detail, TOKEN_LINE)
        return Finding(title, Health.PROBLEM, f"{detail}; under `permissions:` of the job", line)
