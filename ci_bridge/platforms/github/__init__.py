"""GitHub Actions, and the runners that speak its language: Gitea, Forgejo, act.

Facts: GitHub's documentation "Variables reference", "Events that trigger workflows" and "Webhook events and payloads".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from ci_bridge.models import BuildContext, Credentials
from ci_bridge.platforms._read import (
    Document,
    Fact,
    Facts,
    Flag,
    Text,
    Variables,
    build_context,
    differ,
    host_of,
    is_on,
    joined,
    number_of,
    pull_number,
    read_json,
    short_branch,
    short_tag,
    via,
    without_slash,
)
from ci_bridge.protocols import Adapter, Environment, Finding, Platform, WebPages

_QUEUE = re.compile(r"(?:refs/heads/)?(gh-readonly-queue/(.+)/pr-([1-9][0-9]{0,18})-[0-9A-Za-z]+)")


API_URL = "https://api.github.com"
"""Where the REST API of github.com is."""


RUN_STEP = "only actions can upload artifacts, `run:` steps cannot"
"""Why no artifact can be uploaded where an action could."""


def detect(env: Environment) -> bool:
    """True where the runner has set ``GITHUB_ACTIONS=true``."""
    return is_on(env, "GITHUB_ACTIONS")


def read_context(env: Environment) -> BuildContext:
    """The build, from the variables and from the event file that ``GITHUB_EVENT_PATH`` names."""
    var = Variables(env)
    event = read_json(var("GITHUB_EVENT_PATH"))
    name, ref, repository = var("GITHUB_EVENT_NAME"), var("GITHUB_REF"), var("GITHUB_REPOSITORY")
    server, run = without_slash(var("GITHUB_SERVER_URL")), var("GITHUB_RUN_ID")
    word = name.value if name else ""
    kind = var("GITHUB_REF_TYPE")
    ref_name = var("GITHUB_REF_NAME") if not ref else None  # says less than the ref: "42/merge" may be a branch

    pull = _pull_request(var, event, word, ref)
    tag = via(ref, short_tag) or (ref_name if kind and kind.value == "tag" else None)
    branch = pull.pop("branch", None)
    # A pull request's ref is the base's or a merge's, never the source.
    if not branch and not tag and not word.startswith("pull_request"):
        branch = via(ref, short_branch) or (ref_name if kind and kind.value == "branch" else None)

    return build_context(
        "github",
        repository=repository,
        repository_url=joined("{}/{}", server, repository) or event("repository.html_url"),
        # The triggering run's commit is what a workflow_run is about; GITHUB_SHA is then the default branch's.
        commit_sha=(event("workflow_run.head_sha") if word == "workflow_run" else None) or var("GITHUB_SHA"),
        branch=branch,
        tag=tag,
        build_id=run,
        build_number=var("GITHUB_RUN_NUMBER"),
        build_url=joined("{}/{}/actions/runs/{}", server, repository, run),
        job_name=_job(var),
        pipeline_name=var("GITHUB_WORKFLOW"),
        actor=var("GITHUB_ACTOR"),
        server_url=var("GITHUB_SERVER_URL"),
        api_url=var("GITHUB_API_URL"),
        event=name,
        attempt=var("GITHUB_RUN_ATTEMPT"),
        default_branch=event("repository.default_branch"),
        workspace=var("GITHUB_WORKSPACE"),
        **pull,
    )


def _job(var: Variables) -> Text:
    """The key in the workflow file; the shown name and the id are not told.

    An action that is used again in the same job without an id is called ``__owner_name_2``, and so tells apart what is
    reported there. The numbers of ``run:`` steps (``__run_2``) change with every step before them, and say nothing.
    """
    job, again = var("GITHUB_JOB"), via(var("GITHUB_ACTION"), _use)
    return joined("{} ({})", job, again) or job


def _use(step: str) -> str | None:
    match = re.fullmatch(r"__(?!run_).*[^_0-9]_([2-9]|[1-9][0-9])", step)
    return match[1] if match else None


def _pull_request(var: Variables, event: Document, word: str, ref: Text) -> Facts:
    """What the environment and the event tell of a pull request: ``branch``, ``is_fork`` and the ``pr_`` fields."""
    if word == "workflow_run":
        return _triggering_run(event)
    if word == "issue_comment":
        # Issues and pull requests share this event; only the latter have the key.
        is_pull = isinstance(event.find("issue.pull_request"), dict)
        return {"pr_number": via(event("issue.number"), number_of) if is_pull else None}
    queue = via(ref, partial(_queue, part=1)) or via(event("merge_group.head_ref"), partial(_queue, part=1))
    if queue:
        # Statuses belong to the queue's own commit, so there is no head sha.
        base = via(event("merge_group.base_ref"), short_branch) or via(queue, partial(_queue, part=2))
        return {
            "branch": queue,
            "pr_number": via(queue, partial(_queue, part=3)),
            "pr_base_branch": base,
            "pr_base_sha": event("merge_group.base_sha"),
        }
    number = via(event("pull_request.number"), number_of) or via(ref, pull_number)
    if not number and word.startswith("pull_request"):
        number = via(event("number"), number_of)
    return {
        "branch": var("GITHUB_HEAD_REF") or event("pull_request.head.ref"),
        "pr_number": number,
        "pr_base_branch": var("GITHUB_BASE_REF") or event("pull_request.base.ref"),
        "pr_head_sha": event("pull_request.head.sha"),
        "pr_base_sha": event("pull_request.base.sha"),
        "is_fork": _is_fork(event, var("GITHUB_REPOSITORY")),
    }


def _is_fork(event: Document, repository: Text) -> Flag:
    head = event.find("pull_request.head")
    if isinstance(head, dict) and "repo" in head and head["repo"] is None:
        return Fact(True, "GITHUB_EVENT_PATH: pull_request.head.repo")  # the fork was deleted
    return differ(event("pull_request.head.repo.full_name"), event("pull_request.base.repo.full_name") or repository)


def _triggering_run(event: Document) -> Facts:
    """A ``workflow_run`` event: the pull request is that of the run which triggered this one."""
    facts: Facts = {"branch": event("workflow_run.head_branch")}
    trigger = event("workflow_run.event")
    if trigger and trigger.value.startswith("pull_request"):
        facts["pr_head_sha"] = event("workflow_run.head_sha")
        facts["is_fork"] = differ(event("workflow_run.head_repository.full_name"), event("repository.full_name"))
        pulls = event.find("workflow_run.pull_requests")
        # Empty for forks; with several, the run does not say which one it was for.
        if isinstance(pulls, list) and len(pulls) == 1:
            facts["pr_number"] = via(event("workflow_run.pull_requests.0.number"), number_of)
            facts["pr_base_branch"] = event("workflow_run.pull_requests.0.base.ref")
            facts["pr_base_sha"] = event("workflow_run.pull_requests.0.base.sha")
    return facts


def _queue(ref: str, *, part: int) -> str | None:
    """Of a merge queue's ref: the branch (1), its base (2) or the pull request's number (3)."""
    match = _QUEUE.fullmatch(ref)
    return match[part] if match else None


def owns_url(url: str) -> bool:
    """True for github.com and the data-residency hosts below ghe.com. A GitHub Enterprise Server can have any name."""
    host = host_of(url)
    return host in ("github.com", "www.github.com", "ssh.github.com") or host.endswith(".ghe.com")


def api_refused(env: Environment) -> str | None:
    """Why this environment's API must not be spoken to as GitHub's, None where it may.

    Gitea and Forgejo answer under ``/api/v1`` with an API of their own; behind act there is no run on any server.
    """
    if is_on(env, "FORGEJO_ACTIONS"):
        return "this is a Forgejo runner (FORGEJO_ACTIONS=true); its server does not speak GitHub's API"
    if is_on(env, "GITEA_ACTIONS"):
        return "this is a Gitea runner (GITEA_ACTIONS=true); its server does not speak GitHub's API"
    if is_on(env, "ACT") and host_of(env.get("GITHUB_API_URL", API_URL)) == host_of(API_URL):
        return "this job runs under act (ACT=true); no run on a server stands behind it"
    return None


def results_refused(env: Environment) -> str | None:
    """Why no artifact can be uploaded from here, None where it can.

    GitHub's own client takes every server for an Enterprise Server that is neither github.com, below ghe.com nor below
    localhost (@actions/artifact, ``isGhes``); loopback addresses are let through here as well.
    """
    host = host_of(env.get("GITHUB_SERVER_URL", "https://github.com"))
    if host not in ("github.com", "localhost", "127.0.0.1") and not host.endswith((".ghe.com", ".localhost")):
        return "GitHub Enterprise Server has no artifact service of version 4"
    if not env.get("ACTIONS_RUNTIME_TOKEN") or not env.get("ACTIONS_RESULTS_URL"):
        return RUN_STEP
    return None


_UPLOAD_STEP = """\
- uses: actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2
  if: ${{ !cancelled() }}
  with:
    name: ci-bridge-bundle-${{ github.job }}-${{ strategy.job-index }}-${{ github.run_attempt }}
    path: "{folder}/*.cibundle"
    retention-days: 3"""


def connect(env: Environment, credentials: Credentials) -> Adapter:
    """Open the adapter that fits what this job was given: a token, a runtime token, both or neither.

    Raises:
        ConfigError: An address or a bundle of certificates is unusable.
    """
    from ci_bridge.platforms.github.opening import open_adapter  # loads the SDK where there is a token

    return open_adapter(env, credentials, read_context(env))


def probe(adapter: Adapter, context: BuildContext) -> Iterable[Finding]:
    """What will work with this adapter's tokens."""
    from ci_bridge.platforms.github import doctor

    return doctor.probe(adapter, context)


platform = Platform(
    name="github",
    title="GitHub Actions",
    priority=10,
    token_variables=("GITHUB_TOKEN", "GH_TOKEN"),
    # The runner finds "::name" after any white space at a line's start, "##[name]" anywhere in a line.
    log_command_patterns=(r"^\s*::", r"##\["),
    detect=detect,
    read_context=read_context,
    owns_url=owns_url,
    connect=connect,
    trusted_events=("push", "schedule", "workflow_dispatch", "repository_dispatch"),
    queue_events=("merge_group", "push"),  # a push has a pull request on a queue's own branch only
    probe=probe,
    pipeline_folder=".github/workflows",
    upload_step=_UPLOAD_STEP,
    weekly_line='schedule: [{cron: "17 4 * * 1"}]  # under `on:` of the workflow',
    pages=WebPages("commit/{sha}", "pull/{number}", "blob/{sha}/{path}#L{line}"),
)
