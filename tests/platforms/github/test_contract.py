"""The adapter and the contract hold exactly the same operations."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import requests

from ci_bridge.errors import PlatformError
from ci_bridge.models import Credentials
from ci_bridge.platforms.github import connect, read_context
from ci_bridge.platforms.github.adapter import GitHubAdapter
from ci_bridge.platforms.github.doctor import probe
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment
from tests.fakes.github_results import TWIRP
from tests.fakes.github_state import Job
from tests.fakes.server import failing
from tests.platforms.github import tour


@pytest.fixture
def env(github: FakeGitHub, tmp_path: Path) -> dict[str, str]:
    env = job_environment(github, tmp_path, "pull_request")
    github.add_comment(42, "Nice.", "octocat")
    return env


def opened(env: dict[str, str]) -> GitHubAdapter:
    adapter = connect(env, Credentials())
    assert isinstance(adapter, GitHubAdapter)
    return adapter


def service(github: FakeGitHub, job: Job, method: str, **fields: str) -> dict[str, object]:
    """Ask the results service as GitHub's own client does."""
    ids = {"workflow_run_backend_id": job.run.backend, "workflow_job_run_backend_id": job.backend}
    headers = {"Authorization": f"Bearer {job.runtime_token}"}
    answer = requests.post(
        f"{github.results.origin}{TWIRP}{method}", json={**ids, **fields}, headers=headers, timeout=5
    )
    value: dict[str, object] = answer.json()
    return value


def test_a_walk_through_the_adapter_reaches_every_operation_of_the_contracts(
    github: FakeGitHub, env: dict[str, str], tmp_path: Path
) -> None:
    for name, branch in (("history-base", "main"), ("history-segment-1", "gone")):
        run = github.add_run("push", branch=branch)
        github.add_artifact(name, b"PK", run)
        github.hidden.add(run.id)  # so that it must be asked for by itself
    adapter = opened(env)
    tour.show(adapter)
    tour.talk(adapter)
    kept, _ = tour.keep(adapter, tmp_path)
    assert tour.remember(adapter) == ["history-base"]
    left_out = ("GITHUB_EVENT_PATH", "GITHUB_WORKFLOW_REF")  # so that branch and workflow are not known
    told_little = opened({name: value for name, value in env.items() if name not in left_out})
    assert tour.remember(told_little) == ["history-base"]
    told_little.close()
    # A lost answer to a batch of annotations makes the adapter count what is there before it goes on.
    github.api.inject(failing(502, method="PATCH", path="/check-runs/", committed=True))
    with pytest.raises(PlatformError):
        adapter.annotate(tour.ANNOTATIONS)
    adapter.annotate(tour.ANNOTATIONS)
    list(probe(adapter, read_context(env)))
    adapter.close()
    (tmp_path / "release").mkdir()
    elsewhere = opened(job_environment(github, tmp_path / "release", "pull_request", number=44, base="release/1.x"))
    assert tour.remember(elsewhere) == ["history-base"]
    elsewhere.close()
    (tmp_path / "trusted").mkdir()
    publishing = opened(job_environment(github, tmp_path / "trusted", "workflow_run", number=43, sha="d" * 40))
    assert [pull.number for pull in publishing.pull_requests_of("d" * 40)] == ["43"]
    publishing.close()

    job = github.jobs[env["ACTIONS_RUNTIME_TOKEN"]]
    listed = service(github, job, "ListArtifacts")["artifacts"]
    assert isinstance(listed, list)
    assert kept.id in {item["database_id"] for item in listed}
    url = service(github, job, "GetSignedArtifactURL", name=listed[0]["name"])["signed_url"]
    assert requests.get(str(url), timeout=5).content == github.artifacts[-2].data

    reached, known = set(), set()
    for server in github.servers:
        assert server.checker is not None
        reached |= server.checker.reached
        known |= set(server.checker.contract.operations)
    assert reached == known


def test_every_call_of_the_api_names_the_version_and_the_type_it_wants(
    github: FakeGitHub, env: dict[str, str], tmp_path: Path
) -> None:
    adapter = opened(env)
    tour.show(adapter)
    tour.talk(adapter)
    (tmp_path / "trusted").mkdir()
    publishing = opened(job_environment(github, tmp_path / "trusted", "workflow_run", number=43, sha="d" * 40))
    assert [pull.number for pull in publishing.pull_requests_of("d" * 40)] == ["43"]
    publishing.close()
    tour.keep(adapter, tmp_path)
    adapter.close()
    for request in github.api.requests():
        assert request.headers["x-github-api-version"] == "2022-11-28"
        assert request.headers["accept"].startswith("application/vnd.github")
        assert request.headers["user-agent"].startswith("ci-bridge")


def test_what_the_walk_leaves_behind_is_what_a_reader_sees(
    github: FakeGitHub, env: dict[str, str], tmp_path: Path
) -> None:
    adapter = opened(env)
    tour.show(adapter)
    comment = tour.talk(adapter)
    tour.keep(adapter, tmp_path)
    adapter.close()
    (run,), statuses = github.shown_on(42)
    assert (run.name, run.status, run.conclusion) == ("Tests", "completed", "failure")
    assert [annotation["start_line"] for annotation in run.annotations] == list(range(1, 61))
    assert statuses["ci-bridge"].state == "failure"
    (left,) = github.comments(42, "github-actions[bot]")
    assert (str(left.id), left.body, left.edits) == (comment.id, f"{tour.BODY}\nAgain.", 1)
    assert (tmp_path / "back.json").read_bytes() == b'{"total": 100}'


def test_what_the_walk_kept_expires_after_as_many_days_as_were_asked_for(
    github: FakeGitHub, env: dict[str, str], tmp_path: Path
) -> None:
    adapter = opened(env)
    tour.keep(adapter, tmp_path)
    adapter.close()
    for artifact, days in zip(github.artifacts, (30, 7), strict=True):
        assert artifact.expires is not None
        assert abs(artifact.expires - artifact.created - timedelta(days=days)) < timedelta(minutes=1)
