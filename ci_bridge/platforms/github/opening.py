"""Which adapter a job gets, by what it was given."""

from __future__ import annotations

import logging
import re
import sys
from typing import TextIO

from ci_bridge.errors import AuthenticationError, ConfigError
from ci_bridge.models import BuildContext, Credentials
from ci_bridge.platforms import github
from ci_bridge.platforms._http import Network, OriginSession
from ci_bridge.platforms._read import Variables, read_json
from ci_bridge.platforms.github.results_service import ResultsService
from ci_bridge.platforms.github.runner import ActionRunnerAdapter, RunnerAdapter
from ci_bridge.protocols import Adapter, Environment, Trigger

logger = logging.getLogger("ci_bridge")

API_VERSION = "2022-11-28"
_REPOSITORY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*/(?!\.\.?$)[A-Za-z0-9_.-]+")  # its parts stand in paths

FORK = "a fork's token only reads: see docs/getting-started-github.md, Pull requests from forks"

_PERMISSIONS = (
    (re.compile(r"/check-runs"), "checks: write"),
    (re.compile(r"/statuses/"), "statuses: write"),
    (re.compile(r"/issues/"), "pull-requests: write"),
    (re.compile(r"/pulls"), "pull-requests: read"),
    (re.compile(r"/actions/"), "actions: read"),
)


def permission_for(method: str, path: str, said: str = "") -> str:
    """What to do about a refusal: the line to add, and where no line helps."""
    if re.search("locked|archived", said):
        return "no permission helps against that"
    # A look at checks and comments comes before writing them: what it names must be enough for that, too.
    line = next((line for pattern, line in _PERMISSIONS if pattern.search(path)), "contents: read")
    hint = f"add `{line}` under `permissions:` of the job"
    if "/check-runs" in path:
        hint += "; classic tokens cannot write checks at all, `${{ github.token }}` can"
    return hint if method == "GET" else f"{hint}; for pull requests from forks the token only reads"


def open_adapter(
    env: Environment, credentials: Credentials, context: BuildContext, *, stdout: TextIO | None = None
) -> Adapter:
    """Open the adapter with every role that this job's tokens allow, and no other.

    Args:
        env: The job's environment.
        credentials: Their token and API address win over the environment's.
        context: The build.
        stdout: Where the runner reads commands, by default standard output.

    Raises:
        ConfigError: An address or a bundle of certificates is unusable.
    """
    out = sys.stdout if stdout is None else stdout
    network = Network.from_environment(env)
    service, no_uploads = _service(env, network)
    name, token = _token(env, credentials)
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(f"{name} holds characters that no token has, such as a line's end", hint="map it again")
    if env.get("GITHUB_API_URL") and not (context.api_url or credentials.api_url):
        # Another server's token must not go to github.com.
        raise ConfigError("GITHUB_API_URL is no address of an API", hint="set it, or api_url, to https://<host>/api/v3")
    problem = github.api_refused(env)
    if not problem and not token:
        problem = "no token: map it with `env: GITHUB_TOKEN: ${{ github.token }}`"
    if not problem and not _REPOSITORY.fullmatch(context.repository or ""):
        problem = "GITHUB_REPOSITORY does not say which repository this is"
    if problem:
        logger.warning("only summary and outputs are delivered: %s", problem)
        if service is None:
            return RunnerAdapter(context, env, stdout=out, no_api=problem, no_uploads=no_uploads)
        return ActionRunnerAdapter(context, env, stdout=out, service=service, no_api=problem)

    from ci_bridge.platforms.github.adapter import GitHubActionAdapter, GitHubAdapter  # loads the SDK

    api_url = (credentials.api_url or context.api_url or github.API_URL).rstrip("/")
    session = OriginSession(
        api_url,
        title="GitHub",
        network=network,
        credentials={"Authorization": f"Bearer {token}"},
        headers={
            "Accept": "application/vnd.github+json",
            "User-Agent": "ci-bridge",
            "X-GitHub-Api-Version": API_VERSION,
        },
        token_name=name,
        permission=permission_for,
        reads_only=FORK if context.is_fork and context.event == "pull_request" else "",
    )
    trigger = _trigger(env, context) if context.event == "workflow_run" else Trigger()
    if service is None:
        return GitHubAdapter(
            context, env, session=session, api_url=api_url, stdout=out, trigger=trigger, no_uploads=no_uploads
        )
    return GitHubActionAdapter(
        context, env, session=session, api_url=api_url, stdout=out, service=service, trigger=trigger
    )


def _trigger(env: Environment, context: BuildContext) -> Trigger:
    event = read_json(Variables(env)("GITHUB_EVENT_PATH"))

    def told(key: str) -> str:
        fact = event(f"workflow_run.{key}")
        return fact.value if fact else ""

    attempt, number, page = told("run_attempt"), told("id"), context.repository_url
    return Trigger(
        id=number,
        attempt=int(attempt) if re.fullmatch(r"[0-9]{1,9}", attempt) else 0,
        repository=told("head_repository.full_name"),
        branch=told("head_branch"),
        pipeline=told("name"),
        url=f"{page}/actions/runs/{number}" if page and re.fullmatch(r"[0-9]{1,19}", number) else "",
    )


def _service(env: Environment, network: Network) -> tuple[ResultsService | None, str]:
    """The artifact service, or why there is none; an odd runtime token costs the uploads and nothing else."""
    if reason := github.results_refused(env):
        return None, reason
    try:
        return ResultsService(env, network), ""
    except (AuthenticationError, ConfigError) as error:
        logger.warning("artifacts cannot be uploaded: %s", error)
        return None, str(error)


def _token(env: Environment, credentials: Credentials) -> tuple[str, str]:
    """The token and the name of what it came from."""
    if credentials.token:
        return "the token", credentials.token.strip()
    for name in github.platform.token_variables:
        if value := env.get(name, "").strip():
            return name, value
    return github.platform.token_variables[0], ""
