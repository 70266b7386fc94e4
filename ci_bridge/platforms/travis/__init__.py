"""Travis CI.

Facts: Travis CI's documentation "Environment Variables", section "Default Environment Variables".
"""

from __future__ import annotations

from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import (
    Variables,
    build_context,
    differ,
    is_on,
    number_of,
    owns_nothing,
    short_branch,
    via,
)
from ci_bridge.protocols import Environment, Platform


def detect(env: Environment) -> bool:
    """True where the worker has set ``TRAVIS=true``; Shippable set that as well, and told so."""
    return is_on(env, "TRAVIS") and not is_on(env, "SHIPPABLE")


def read_context(env: Environment) -> BuildContext:
    """The build, from the variables."""
    # TRAVIS_PULL_REQUEST is the word "false" outside of pull requests.
    var = Variables(env, lambda value: value == "false")
    number = via(var("TRAVIS_PULL_REQUEST"), number_of)
    tag = var("TRAVIS_TAG")
    # On a pull request, TRAVIS_BRANCH is its target; on a tag, it is the tag.
    target = via(var("TRAVIS_BRANCH"), short_branch)
    return build_context(
        "travis",
        repository=var("TRAVIS_REPO_SLUG"),
        commit_sha=var("TRAVIS_COMMIT"),
        branch=var("TRAVIS_PULL_REQUEST_BRANCH") if number else None if tag else target,
        tag=tag,
        pr_number=number,
        pr_base_branch=target if number else None,
        pr_head_sha=var("TRAVIS_PULL_REQUEST_SHA") if number else None,
        build_id=var("TRAVIS_BUILD_ID"),
        build_number=var("TRAVIS_BUILD_NUMBER"),
        build_url=var("TRAVIS_BUILD_WEB_URL"),
        job_id=var("TRAVIS_JOB_ID"),
        job_name=var("TRAVIS_JOB_NAME"),
        job_url=var("TRAVIS_JOB_WEB_URL"),
        is_fork=differ(var("TRAVIS_PULL_REQUEST_SLUG"), var("TRAVIS_REPO_SLUG")) if number else None,
        event=var("TRAVIS_EVENT_TYPE"),
        workspace=var("TRAVIS_BUILD_DIR"),
    )


platform = Platform(
    name="travis",
    title="Travis CI",
    priority=60,
    token_variables=(),
    log_command_patterns=(r"travis_(?:fold|time):(?:start|end):",),
    detect=detect,
    read_context=read_context,
    trusted_events=("push", "cron", "api"),
    owns_url=owns_nothing,
)
