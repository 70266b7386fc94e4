"""The environment that a runner gives to one job, for jobs of the stand-in for GitHub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fakes.github import FakeGitHub
from tests.fakes.github_state import Job, Repository, Run

HEAD = "b" * 40
BASE = "c" * 40
MERGE = "a" * 40


def job_environment(
    github: FakeGitHub,
    folder: Path,
    event: str = "push",
    *,
    run: Run | None = None,
    job: str = "test",
    number: int = 42,
    sha: str | None = None,
    branch: str | None = None,
    base: str = "main",
    token: str | None = "",
    uploads: bool = True,
) -> dict[str, str]:
    """Start a job in the stand-in and answer its variables; the files that they name lie in ``folder``.

    Args:
        github: Gets the run, the job and, where the event has one, the pull request.
        folder: Existing; one for each job.
        event: ``push``, ``tag``, ``pull_request``, ``fork`` (a pull request from one), ``pull_request_target``,
            ``fork_target`` (the same of a fork's), ``merge_group``, ``schedule``, ``workflow_dispatch``,
            ``workflow_run`` (after a fork's pull request).
        run: The run that the job belongs to; a new one if absent. Give the same for all legs of a matrix.
        job: Key of the job in its workflow.
        number: Of the pull request.
        sha: Head of the pull request, else the commit of the event.
        branch: Of the pull request's source, else of the event.
        base: Branch that a pull request is for.
        token: What ``GITHUB_TOKEN`` holds: the job's own if empty, none if None.
        uploads: False as in a ``run:`` step, which gets no runtime token.
    """
    made = _Event(github, event, number, sha, branch, base)
    if run is None:
        run = github.add_run(made.word, made.run_sha, made.run_branch, head_repository=made.head)
    started = github.add_job(run, job)
    if token == "":
        token = github.add_token("fork" if event == "fork" else "installation", repository="acme/shop")
    payload = folder / "event.json"
    payload.write_text(json.dumps(made.payload), encoding="utf-8")
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    env = {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "octocat",
        "GITHUB_TRIGGERING_ACTOR": "octocat",
        "GITHUB_API_URL": github.api_url,
        "GITHUB_GRAPHQL_URL": f"{github.api_url.removesuffix('/v3')}/graphql",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/shop",
        "GITHUB_REPOSITORY_ID": str(github.repository.id),
        "GITHUB_REPOSITORY_OWNER": "acme",
        "GITHUB_RUN_ID": str(run.id),
        "GITHUB_RUN_NUMBER": str(run.number),
        "GITHUB_RUN_ATTEMPT": str(run.attempt),
        "GITHUB_RETENTION_DAYS": str(github.repository.retention),
        "GITHUB_JOB": job.rstrip("0123456789").rstrip("-"),  # the job's key, which all legs of a matrix share
        "GITHUB_WORKFLOW": run.name,
        "GITHUB_WORKFLOW_REF": f"acme/shop/{run.path}@{made.ref}",
        "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_EVENT_NAME": made.word,
        "GITHUB_EVENT_PATH": str(payload),
        "GITHUB_SHA": made.sha,
        "GITHUB_REF": made.ref,
        "GITHUB_REF_NAME": made.ref.removeprefix("refs/heads/").removeprefix("refs/tags/").removeprefix("refs/pull/"),
        "GITHUB_REF_TYPE": "tag" if made.ref.startswith("refs/tags/") else "branch",
        "GITHUB_REF_PROTECTED": str(made.ref.removeprefix("refs/heads/") in github.repository.protected).lower(),
        "GITHUB_HEAD_REF": made.head_ref,
        "GITHUB_BASE_REF": made.base_ref,
        "RUNNER_OS": "Linux",
        "RUNNER_ARCH": "X64",
        "RUNNER_TEMP": str(folder),
    }
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STATE", "GITHUB_PATH"):
        path = folder / name.lower()
        path.touch()
        env[name] = str(path)
    if token is not None:
        env["GITHUB_TOKEN"] = token
    return env | (runtime(github, started) if uploads else {})


def runtime(github: FakeGitHub, job: Job) -> dict[str, str]:
    """What actions get beside, and ``run:`` steps do not."""
    return {"ACTIONS_RUNTIME_TOKEN": job.runtime_token, "ACTIONS_RESULTS_URL": f"{github.results.origin}/"}


class _Event:
    """One event as variables and payload."""

    def __init__(
        self, github: FakeGitHub, event: str, number: int, sha: str | None, branch: str | None, base: str
    ) -> None:
        self.word = {"tag": "push", "fork": "pull_request", "fork_target": "pull_request_target"}.get(event, event)
        self.head: Repository = github.repository
        self.head_ref = self.base_ref = ""
        self.payload: dict[str, Any] = {"repository": _repository(github.repository)}
        if self.word in ("pull_request", "pull_request_target"):
            self._pull_request(github, event, number, sha or HEAD, branch or "feature", base)
        elif event == "workflow_run":
            self._workflow_run(github, number, sha or HEAD, branch or "feature")
        else:
            self.sha = sha or MERGE
            self.ref = {
                "tag": f"refs/tags/{branch or 'v1.0'}",
                "merge_group": f"refs/heads/gh-readonly-queue/main/pr-{number}-{BASE}",
            }.get(event, f"refs/heads/{branch or 'main'}")
            self.run_sha, self.run_branch = self.sha, self.ref.split("/", 2)[2]
            if event == "merge_group":
                self.payload["merge_group"] = {
                    "head_ref": self.ref, "head_sha": self.sha, "base_ref": "refs/heads/main", "base_sha": BASE,
                }  # fmt: skip

    def _pull_request(self, github: FakeGitHub, event: str, number: int, sha: str, branch: str, base: str) -> None:
        if event.startswith("fork"):
            self.head = github.repositories.get("stranger/shop") or github.add_repository(
                "stranger/shop", github.repository
            )
        if number not in github.repository.pulls:
            github.add_pull(number, sha, branch=branch, head=self.head, base=base)
        target = self.word == "pull_request_target"
        self.sha = BASE if target else MERGE
        self.ref = f"refs/heads/{base}" if target else f"refs/pull/{number}/merge"
        self.head_ref, self.base_ref = branch, base
        self.run_sha, self.run_branch = sha, branch
        self.payload |= {
            "number": number,
            "pull_request": {
                "number": number,
                "head": {"ref": branch, "sha": sha, "repo": _repository(self.head)},
                "base": {"ref": base, "sha": BASE, "repo": _repository(github.repository)},
            },
        }

    def _workflow_run(self, github: FakeGitHub, number: int, sha: str, branch: str) -> None:
        fork = github.repositories.get("stranger/shop") or github.add_repository("stranger/shop", github.repository)
        if number not in github.repository.pulls:
            github.add_pull(number, sha, branch=branch, head=fork)
        earlier = next((run for run in github.repository.runs.values() if run.head_sha == sha), None) or github.add_run(
            "pull_request", sha, branch, head_repository=fork
        )
        self.sha, self.ref = MERGE, "refs/heads/main"
        self.run_sha, self.run_branch = self.sha, "main"
        self.payload["workflow_run"] = {
            "id": earlier.id, "event": earlier.event, "head_sha": sha, "head_branch": branch, "pull_requests": [],
            "head_repository": _repository(earlier.head_repository), "run_attempt": earlier.attempt,
            "run_number": earlier.number, "path": earlier.path, "name": earlier.name, "conclusion": "success",
        }  # fmt: skip


def _repository(repository: Repository) -> Mapping[str, Any]:
    return {
        "id": repository.id, "full_name": repository.full_name, "fork": repository.fork,
        "default_branch": repository.default_branch, "html_url": f"https://github.com/{repository.full_name}",
    }  # fmt: skip
