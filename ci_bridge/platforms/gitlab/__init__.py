"""GitLab CI/CD, on gitlab.com and self-managed.

Facts: GitLab's documentation "Predefined CI/CD variables reference" and "Merge request pipelines".
"""

from __future__ import annotations

from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import (
    Facts,
    Variables,
    build_context,
    differ,
    host_of,
    is_on,
    joined,
    number_of,
    short_branch,
    via,
    without_slash,
)
from ci_bridge.protocols import Environment, Platform


def detect(env: Environment) -> bool:
    """True where the runner has set ``GITLAB_CI=true`` (gitlab-ci-local sets ``false``)."""
    return is_on(env, "GITLAB_CI")


def read_context(env: Environment) -> BuildContext:
    """The build, from the variables."""
    var = Variables(env)
    tag = var("CI_COMMIT_TAG")
    project = without_slash(var("CI_PROJECT_URL"))
    if var("CI_EXTERNAL_PULL_REQUEST_IID"):
        pull = _external_pull_request(var)
    elif var("CI_MERGE_REQUEST_IID", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"):
        pull = _merge_request(var)
    else:
        pull = {}
    branch = pull.pop("branch", None)
    if not branch and not tag:
        # Servers before 12.6 have no CI_COMMIT_BRANCH.
        branch = var("CI_COMMIT_BRANCH") or via(var("CI_COMMIT_REF_NAME"), short_branch)
    return build_context(
        "gitlab",
        repository=var("CI_PROJECT_PATH"),
        repository_url=project or var("CI_REPOSITORY_URL"),
        commit_sha=var("CI_COMMIT_SHA"),
        branch=branch,
        tag=tag,
        build_id=var("CI_PIPELINE_ID"),
        build_number=var("CI_PIPELINE_IID"),
        build_url=var("CI_PIPELINE_URL") or joined("{}/-/pipelines/{}", project, var("CI_PIPELINE_ID")),
        job_id=var("CI_JOB_ID"),
        job_name=var("CI_JOB_NAME"),
        job_url=var("CI_JOB_URL") or joined("{}/-/jobs/{}", project, var("CI_JOB_ID")),
        pipeline_name=var("CI_PIPELINE_NAME"),
        actor=var("GITLAB_USER_LOGIN"),
        server_url=var("CI_SERVER_URL"),
        api_url=var("CI_API_V4_URL"),
        event=var("CI_PIPELINE_SOURCE"),
        default_branch=var("CI_DEFAULT_BRANCH"),
        workspace=var("CI_PROJECT_DIR"),
        **pull,
    )


def _merge_request(var: Variables) -> Facts:
    head = var("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")
    kind = var("CI_MERGE_REQUEST_EVENT_TYPE")
    if not head and (not kind or kind.value == "detached"):
        # A detached pipeline runs on the head itself; the others on a merge, and then name the head.
        head = var("CI_COMMIT_SHA")
    return {
        "branch": var("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"),
        "pr_number": via(var("CI_MERGE_REQUEST_IID"), number_of),
        "pr_base_branch": var("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
        "pr_head_sha": head,
        "pr_base_sha": var("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA"),
        "is_fork": differ(var("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"), var("CI_MERGE_REQUEST_PROJECT_ID"))
        or differ(var("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH"), var("CI_MERGE_REQUEST_PROJECT_PATH")),
    }


def _external_pull_request(var: Variables) -> Facts:
    return {
        "branch": var("CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME"),
        "pr_number": via(var("CI_EXTERNAL_PULL_REQUEST_IID"), number_of),
        "pr_base_branch": var("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME"),
        "pr_head_sha": var("CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_SHA"),
        "pr_base_sha": var("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA"),
        "is_fork": differ(
            var("CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY"), var("CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY")
        ),
    }


def pull_request_elsewhere(env: Environment) -> str | None:
    """Why ``pr_number`` is no merge request of this server, None where it is one.

    An external pull request pipeline runs for a mirrored repository; the number belongs to the host that is mirrored.
    """
    repository = Variables(env)("CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY", "CI_EXTERNAL_PULL_REQUEST_IID")
    return f"the pull request lives in the mirrored repository {repository.value}" if repository else None


def merge_request_project(env: Environment) -> str | None:
    """The id, else the path, of the project that the merge request lives in; a fork's pipeline runs in the fork."""
    project = Variables(env)("CI_MERGE_REQUEST_PROJECT_ID", "CI_MERGE_REQUEST_PROJECT_PATH")
    return project.value if project else None


def owns_url(url: str) -> bool:
    """True for gitlab.com. A self-managed server can have any name."""
    return host_of(url) in ("gitlab.com", "www.gitlab.com", "altssh.gitlab.com")


platform = Platform(
    name="gitlab",
    title="GitLab CI/CD",
    priority=20,
    token_variables=("GITLAB_TOKEN", "CI_JOB_TOKEN"),
    # Markers of collapsible sections: section_start:<time>:<name>.
    log_command_patterns=(r"section_(?:start|end):",),
    detect=detect,
    read_context=read_context,
    # A child pipeline of a merge request's pipeline has the merge request's variables; "pipeline" is another project's.
    trusted_events=("push", "schedule", "web", "webide", "api", "trigger", "parent_pipeline"),
    owns_url=owns_url,
)
