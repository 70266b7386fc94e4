"""What a GitHub job's tokens allow, found out without changing anything.

Reads are tried. For writes, GitHub checks the permission (403) before it looks at what is to be written (422), so each
probe asks for something that cannot exist: a check run and a status on the commit of forty zeros, an empty comment.
Facts: GitHub's REST documentation, "Permissions required for GitHub Apps" and "Troubleshooting the REST API".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from ci_bridge.errors import (
    AuthenticationError,
    CIBridgeError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    TransientError,
)
from ci_bridge.models import BuildContext
from ci_bridge.platforms import github
from ci_bridge.platforms._http import InvalidError
from ci_bridge.platforms.github.answers import number_of
from ci_bridge.protocols import Adapter, Finding, Health, SupportsTestRuns, SupportsUpload, why_missing

if TYPE_CHECKING:
    from ci_bridge.platforms.github.adapter import GitHubAdapter

NO_COMMIT = "0" * 40
"""The id that git gives to no object: nothing can be created on it."""

FEW_CALLS = 50
TOKEN_LINE = "GITHUB_TOKEN: ${{ github.token }}"  # noqa: S105 - an expression, no token
ACTION_LINE = "- uses: ci-bridge/ci-bridge@v0"
NETWORK_LINE = "HTTPS_PROXY: http://HOST:PORT under `env:` if this runner needs a proxy, else try again later"
AUTHORITY_LINE = "REQUESTS_CA_BUNDLE: PATH of your certificate authority's bundle, under `env:`"
API_LINE = "api_url: https://HOST/api/v3 of an Enterprise Server, https://api.github.com else"
UPLOAD_LINE = "- uses: actions/upload-artifact@v3"
FORK_LINE = "ci-bridge collect here, ci-bridge publish on workflow_run: see docs/getting-started-github.md"
_NAME = "ci-bridge doctor"

Ask = Callable[[str, str, Mapping[str, Any] | None], tuple[Mapping[str, Any], Any]]
"""Method, path and body -> headers in lower case and the parsed answer; raises :mod:`ci_bridge.errors`."""


def probe(adapter: Adapter, context: BuildContext) -> Iterator[Finding]:
    """What will work with this adapter's tokens; at most seven calls."""
    if isinstance(adapter, SupportsTestRuns):  # every adapter with a token is one class
        yield from _Probe(cast("GitHubAdapter", adapter).ask, context).findings()
    else:
        detail = (
            "none was given, or this server's API is not GitHub's: only the summary and outputs are delivered; "
            "under `env:` of the step"
        )
        yield Finding("Token", Health.PROBLEM, detail, TOKEN_LINE)
    if isinstance(adapter, SupportsUpload):
        yield Finding("Artifacts", Health.OK, "the runtime token is here: files can be uploaded")
    elif context.server_url and not github.owns_url(context.server_url):
        detail = "an Enterprise Server has no artifact service of this version: files wait in artifact_dir"
        yield Finding("Artifacts", Health.WARNING, detail, UPLOAD_LINE)
    elif (reason := why_missing(adapter, "upload", github.RUN_STEP)) == github.RUN_STEP:
        detail = "a `run:` step gets no runtime token: files stay here"
        yield Finding("Artifacts", Health.WARNING, detail, ACTION_LINE)
    else:
        yield Finding("Artifacts", Health.WARNING, f"files stay here: {reason}")


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
            self._headers, answer = self._ask("GET", self._path, None)
        except AuthenticationError as error:
            return Finding("Token", Health.PROBLEM, str(error), TOKEN_LINE)
        except (PermissionDeniedError, NotFoundError) as error:
            return Finding("Token", Health.PROBLEM, f"it does not see this repository: {error.message}", TOKEN_LINE)
        except RateLimitedError as error:
            wait = "" if error.retry_after is None else f"; again in {max(1, round(error.retry_after / 60))} minutes"
            return Finding("Token", Health.UNKNOWN, f"{error}{wait}")
        except TransientError as error:
            return Finding("Token", Health.PROBLEM, f"it cannot be tried: {error}", NETWORK_LINE)
        except CIBridgeError as error:
            insecure = "not secure" in error.message
            return Finding("Token", Health.PROBLEM, str(error), AUTHORITY_LINE if insecure else API_LINE)
        if not isinstance(answer, Mapping) or not answer.get("full_name"):
            return Finding("Token", Health.PROBLEM, f"what answers at {self._path} is not GitHub's API", API_LINE)
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
            return Finding("Rate limit", Health.OK, "none is told, as by Enterprise Servers without one")
        state = Health.OK if left >= FEW_CALLS else Health.WARNING
        return Finding("Rate limit", state, f"{left} of {limit} calls an hour are left; a report takes about 12")

    def _write(self, title: str, path: str, body: Mapping[str, Any], line: str, otherwise: str) -> Finding:
        try:
            self._ask("POST", path, body)
        except PermissionDeniedError as error:
            return self._refused(title, line, error, otherwise)
        except NotFoundError as error:  # HTTP 410: issues are disabled
            return Finding(title, Health.PROBLEM, f"{error.message}; {otherwise}, and no permission helps")
        except InvalidError:
            return Finding(title, Health.OK, f"`{line}` is given")  # it may, but not this
        except CIBridgeError as error:
            return Finding(title, Health.UNKNOWN, f"{error}; if it stays so, {otherwise}")
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
            return self._refused(title, line, error, "failures are judged without earlier runs")
        except CIBridgeError as error:
            return Finding(title, Health.UNKNOWN, str(error))
        return Finding(title, Health.OK, f"`{line}` is given")

    def _refused(self, title: str, line: str, error: CIBridgeError, otherwise: str) -> Finding:
        """What is not allowed. A fork's token reads only, whatever its workflow says."""
        said = error.message.partition(": HTTP ")[2]
        detail = f"{otherwise} (HTTP {said})" if said else f"{otherwise} ({error.message})"
        if re.search("locked|archived", said):
            return Finding(title, Health.PROBLEM, f"{detail}; no permission helps")
        if self._context.is_fork and line.endswith("write"):
            return Finding(title, Health.PROBLEM, f"{detail}; no line gives a fork's token more", FORK_LINE)
        if re.search("GitHub App|push access|SAML|IP allow list", said):  # classic tokens cannot write checks at all
            return Finding(
                title, Health.PROBLEM, f"{detail}; the job's own token can, under `env:` of the step", TOKEN_LINE
            )
        if "personal access token" in said:
            detail += "; give the token itself the permission, or take the job's own"
        return Finding(title, Health.PROBLEM, f"{detail}; the line goes under `permissions:` of the job", line)
