"""Jenkins: the core's variables and those of the plug-ins that check out code.

Facts: the git plug-in's README, branch-api's BranchNameContributor, the branch source plug-ins, the READMEs of the
pull request builder (``ghprb``) and of the plug-ins that build on push hooks.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import (
    Facts,
    Flag,
    Text,
    Variables,
    build_context,
    differ,
    flag,
    is_on,
    is_set,
    number_of,
    owns_nothing,
    pull_number,
    repository_in_url,
    repository_path,
    short_branch,
    short_tag,
    via,
)
from ci_bridge.protocols import Environment, Platform


def detect(env: Environment) -> bool:
    """True where ``JENKINS_URL`` is set. An administrator can leave it unset; then nothing tells for certain."""
    return is_set(env, "JENKINS_URL")


def read_context(env: Environment) -> BuildContext:
    """The build, from the variables."""
    var = Variables(env)
    address = var("GIT_URL") or next(iter(var.matching(r"GIT_URL_[0-9]+")), None)
    repository = address or via(var("CHANGE_URL"), repository_in_url)
    pull = _pull_request(var)
    tag = var("TAG_NAME") or via(var("GIT_BRANCH"), _tag)
    branch = pull.pop("branch", None)
    if not branch and not tag and not pull.get("pr_number"):
        # A multibranch job names its branch; the git plug-in tells what it found.
        branch = (
            via(var("BRANCH_NAME"), short_branch) or _git_branch(var) or via(_hook(var, "SourceBranch"), short_branch)
        )
    return build_context(
        "jenkins",
        repository=via(repository, repository_path),
        repository_url=repository,
        commit_sha=var("GIT_COMMIT"),
        branch=branch,
        tag=tag,
        build_id=var("BUILD_TAG"),
        build_number=var("BUILD_NUMBER"),
        build_url=var("BUILD_URL"),
        job_name=var("JOB_NAME"),
        job_url=var("JOB_URL"),
        pipeline_name=_pipeline_name(var),
        server_url=var("JENKINS_URL"),
        event=_hook(var, "ActionType"),
        default_branch=via(var("BRANCH_NAME"), short_branch) if is_on(env, "BRANCH_IS_PRIMARY") else None,
        workspace=var("WORKSPACE"),
        **pull,
    )


def _pull_request(var: Variables) -> Facts:
    """The branch, the author and the pull request, from whichever plug-in started the build for one."""
    if number := via(var("CHANGE_ID"), number_of):
        name = var("BRANCH_NAME")
        return {
            "branch": var("CHANGE_BRANCH"),
            "pr_number": number,
            "pr_base_branch": var("CHANGE_TARGET"),
            # "PR-42" may be built as head or merged with its target; only where a job builds both does the name tell.
            "pr_head_sha": var("GIT_COMMIT") if name and name.value == f"PR-{number.value}-head" else None,
            "is_fork": flag(bool(var("CHANGE_FORK")), var("CHANGE_FORK") or number),
            "actor": var("CHANGE_AUTHOR"),
        }
    if number := via(var("ghprbPullId"), number_of):
        return {
            "branch": var("ghprbSourceBranch"),
            "pr_number": number,
            "pr_base_branch": var("ghprbTargetBranch"),
            "pr_head_sha": var("ghprbActualCommit"),
            "is_fork": differ(
                via(var("ghprbAuthorRepoGitUrl"), repository_path),
                var("ghprbGhRepository") or via(var("GIT_URL"), repository_path),
            ),
            "actor": var("ghprbPullAuthorLogin"),
        }
    # The target branch alone says nothing: these plug-ins set it on pushes too.
    if number := via(_hook(var, "(?:Merge|Pull)RequestIid"), number_of):
        return {
            "branch": via(_hook(var, "SourceBranch"), short_branch),
            "pr_number": number,
            "pr_base_branch": via(_hook(var, "TargetBranch"), short_branch),
            "pr_head_sha": _hook(var, "(?:Merge|Pull)RequestLastCommit"),
            "is_fork": _hook_fork(var),
            "actor": _hook(var, "UserUsername"),
        }
    if number := via(var("GIT_BRANCH"), _pull_number):
        return {"pr_number": number}
    return {"actor": _hook(var, "UserUsername")}


def _hook(var: Variables, suffix: str) -> Text:
    """A variable of the plug-ins that build on push hooks; they name theirs alike, each after its own code host."""
    return next(iter(var.matching("[a-z]+" + suffix)), None)


def _hook_fork(var: Variables) -> Flag:
    names = [_hook(var, f"{side}{part}") for side in ("Source", "Target") for part in ("Namespace", "RepoName")]
    space, name, target_space, target_name = names
    differences = [found for found in (differ(space, target_space), differ(name, target_name)) if found]
    return flag(any(found.value for found in differences), *names) if differences else None


def _git_branch(var: Variables) -> Text:
    """``GIT_BRANCH`` without its remote's name; ``GIT_LOCAL_BRANCH`` tells where that ends, if it is there."""
    local, remote = via(var("GIT_LOCAL_BRANCH"), short_branch), var("GIT_BRANCH")
    if local and (not remote or f"/{remote.value}".endswith(f"/{local.value}")):
        return local
    return via(remote, _without_remote)


def _without_remote(name: str) -> str | None:
    if name.startswith("refs/heads/") or _tag(name) or _pull_number(name):
        return short_branch(name) if name.startswith("refs/heads/") else None
    name = re.sub(r"^(?:refs/)?remotes/", "", name)
    return short_branch(name.partition("/")[2] or name)


def _tag(name: str) -> str | None:
    return short_tag(name if name.startswith("refs/") else f"refs/{name}")


def _pull_number(name: str) -> str | None:
    """The number in ``origin/pr/42/merge`` and ``refs/pull/42/head``; a word after the number must be there."""
    ref = re.sub(r"^(?:refs/remotes/|remotes/)?[^/]+/(?=(?:pr|pull|merge-requests)/)", "", name)
    return pull_number(ref) if re.search(r"/[0-9]+/(?:head|merge|from)$", ref) else None


def _pipeline_name(var: Variables) -> Text:
    """The job's name without the axes of a matrix and the branch of a multibranch job: the same for all its builds."""
    branch = var("BRANCH_NAME")

    def shorten(name: str) -> str:
        parts = name.split("/")
        if len(parts) > 1 and all("=" in axis for axis in parts[-1].split(",")):
            parts.pop()
        if len(parts) > 1 and branch and unquote(parts[-1]) == branch.value:
            parts.pop()
        return "/".join(parts)

    return via(var("JOB_NAME"), shorten)


platform = Platform(
    name="jenkins",
    title="Jenkins",
    priority=80,
    token_variables=("JENKINS_API_TOKEN", "JENKINS_TOKEN"),
    # The start of an encoded console note, which the log page would decode.
    log_command_patterns=(r"\[8mha:",),
    detect=detect,
    read_context=read_context,
    trusted_events=("PUSH", "TAG_PUSH"),  # of the hooks' plug-ins; others tell none
    owns_url=owns_nothing,
)
