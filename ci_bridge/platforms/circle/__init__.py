"""CircleCI, in the cloud and as CircleCI server.

Facts: CircleCI's documentation "Project values and variables", section "Built-in environment variables".
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import (
    Flag,
    Text,
    Variables,
    build_context,
    differ,
    flag,
    is_on,
    joined,
    number_in_url,
    number_of,
    owns_nothing,
    repository_in_url,
    repository_path,
    short_branch,
    via,
)
from ci_bridge.protocols import Environment, Platform

_FORK_BRANCH = re.compile(r"pull/([1-9][0-9]{0,18})(?:/head|/merge)?")


def detect(env: Environment) -> bool:
    """True where the runner has set ``CIRCLECI=true``."""
    return is_on(env, "CIRCLECI")


def read_context(env: Environment) -> BuildContext:
    """The build, from the variables."""
    var = Variables(env)
    ref, tag, commit = var("CIRCLE_BRANCH"), var("CIRCLE_TAG"), var("CIRCLE_SHA1")
    repository = joined("{}/{}", var("CIRCLE_PROJECT_USERNAME"), var("CIRCLE_PROJECT_REPONAME"))
    # A list where one commit has several pull requests; the first stands for them.
    pull = var("CIRCLE_PULL_REQUEST") or via(var("CIRCLE_PULL_REQUESTS"), lambda urls: urls.partition(",")[0].strip())
    of_fork = via(ref, _fork_number)
    number = via(var("CIRCLE_PR_NUMBER"), number_of) or via(pull, number_in_url) or of_fork
    return build_context(
        "circle",
        repository=repository,
        repository_url=var("CIRCLE_REPOSITORY_URL") or via(pull, repository_in_url),
        commit_sha=commit,
        branch=None if tag or of_fork else via(ref, short_branch),
        tag=tag,
        pr_number=number,
        pr_head_sha=commit if number else None,  # it builds the head, never a merge
        build_id=var("CIRCLE_WORKFLOW_ID"),
        build_number=var("CIRCLE_BUILD_NUM"),
        build_url=var("CIRCLE_BUILD_URL"),
        job_id=var("CIRCLE_WORKFLOW_JOB_ID"),
        job_name=var("CIRCLE_JOB"),
        job_url=var("CIRCLE_BUILD_URL"),
        actor=var("CIRCLE_USERNAME"),
        is_fork=_is_fork(var, pull, repository, of_fork) if number else None,
        workspace=_workspace(var),
    )


def _fork_number(branch: str) -> str | None:
    match = _FORK_BRANCH.fullmatch(branch)
    return match[1] if match else None


def _is_fork(var: Variables, pull: Text, repository: Text, of_fork: Text) -> Flag:
    mark = of_fork or var("CIRCLE_PR_NUMBER", "CIRCLE_PR_USERNAME", "CIRCLE_PR_REPONAME")
    if mark:
        return flag(True, mark)  # both exist for pull requests from forks only
    # A fork's own project building its branch: the pull request is in the other repository.
    return differ(via(via(pull, repository_in_url), repository_path), repository)


def _workspace(var: Variables) -> Text:
    """The working directory, which is usually written with ``~``."""
    directory, home = var("CIRCLE_WORKING_DIRECTORY"), var("HOME")
    if not directory or not directory.value.startswith("~"):
        return directory
    return via(directory, lambda path: str(PurePosixPath(home.value) / path.lstrip("~/"))) if home else None


platform = Platform(
    name="circle",
    title="CircleCI",
    priority=40,
    token_variables=("CIRCLE_TOKEN", "CIRCLECI_TOKEN"),
    log_command_patterns=(),
    detect=detect,
    read_context=read_context,
    owns_url=owns_nothing,
)
