"""Bitbucket Pipelines.

Facts: Atlassian's support page "Variables and secrets". Pipelines exist on Bitbucket Cloud only.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import (
    Variables,
    build_context,
    host_of,
    is_set,
    joined,
    number_of,
    repository_url,
    short_branch,
    via,
)
from ci_bridge.protocols import Environment, Platform


def detect(env: Environment) -> bool:
    """True where ``BITBUCKET_BUILD_NUMBER`` is set."""
    return is_set(env, "BITBUCKET_BUILD_NUMBER")


def read_context(env: Environment) -> BuildContext:
    """The build, from the variables."""
    var = Variables(env)
    commit, tag = var("BITBUCKET_COMMIT"), var("BITBUCKET_TAG")
    number = via(var("BITBUCKET_PR_ID"), number_of)
    repository = var("BITBUCKET_REPO_FULL_NAME") or joined(
        "{}/{}", var("BITBUCKET_WORKSPACE", "BITBUCKET_REPO_OWNER"), var("BITBUCKET_REPO_SLUG")
    )
    # The origin is given with http, the web site is https.
    origin = via(var("BITBUCKET_GIT_HTTP_ORIGIN", "BITBUCKET_GIT_SSH_ORIGIN"), repository_url)
    address = via(origin, lambda url: re.sub("^http:", "https:", url)) or joined("https://bitbucket.org/{}", repository)
    build_url = joined("{}/pipelines/results/{}", address, var("BITBUCKET_BUILD_NUMBER"))
    step = via(var("BITBUCKET_STEP_UUID"), lambda uuid: quote(uuid, safe=""))
    return build_context(
        "bitbucket",
        repository=repository,
        repository_url=address,
        commit_sha=commit,
        branch=None if tag else via(var("BITBUCKET_BRANCH"), short_branch),
        tag=tag,
        pr_number=number,
        pr_base_branch=via(var("BITBUCKET_PR_DESTINATION_BRANCH"), short_branch) if number else None,
        pr_head_sha=commit if number else None,  # the variable is the source's head, whatever was merged for the build
        pr_base_sha=var("BITBUCKET_PR_DESTINATION_COMMIT") if number else None,  # abbreviated
        build_id=var("BITBUCKET_PIPELINE_UUID"),
        build_number=var("BITBUCKET_BUILD_NUMBER"),
        build_url=build_url,
        job_id=var("BITBUCKET_STEP_UUID"),
        job_url=joined("{}/steps/{}", build_url, step),
        actor=var("BITBUCKET_STEP_TRIGGERER_UUID"),
        workspace=var("BITBUCKET_CLONE_DIR"),
    )


def owns_url(url: str) -> bool:
    """True for Bitbucket Cloud."""
    return host_of(url) in ("bitbucket.org", "www.bitbucket.org", "altssh.bitbucket.org")


platform = Platform(
    name="bitbucket",
    title="Bitbucket Pipelines",
    priority=50,
    token_variables=("BITBUCKET_ACCESS_TOKEN", "BITBUCKET_TOKEN"),
    log_command_patterns=(),
    detect=detect,
    read_context=read_context,
    owns_url=owns_url,
)
