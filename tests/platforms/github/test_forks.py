"""Pull requests from forks, over the stand-in for GitHub: what a job without rights hands on, and who finds it."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.client import Client
from ci_bridge.models import Credentials, PullRequest, RunState
from ci_bridge.platforms.github import connect, read_context
from ci_bridge.protocols import Trigger, capabilities_of
from ci_bridge.publishing import READ_SECONDS, SUFFIX, Collection
from ci_bridge.reporting import ReportOutcome
from tests.fakes.clients import Clock, client_over
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD, job_environment
from tests.fakes.github_state import Run
from tests.fakes.leaping import LeapingLoop, LoopClock, hanging, run_leaping
from tests.platforms.github.opened import job_folder, open_job

RED = (
    '<testsuite name="s"><testcase classname="c" name="a"/>'
    '<testcase classname="c" name="b"><failure message="41 != 42"/></testcase></testsuite>'
)


def a_forks_run(github: FakeGitHub) -> Run:
    fork = github.add_repository("stranger/shop", github.repository)
    return github.add_run("pull_request", HEAD, "feature", head_repository=fork)


def collected(github: FakeGitHub, tmp_path: Path, run: Run, *, uploads: bool, token: str | None = None) -> Collection:
    """What ``ci-bridge collect`` makes of one failing test in a job of a fork."""
    folder = job_folder(tmp_path)
    env = job_environment(github, folder, "fork", run=run, token=token, uploads=uploads)
    (folder / "workspace" / "junit.xml").write_text(RED, encoding="utf-8")

    async def go() -> Collection:
        async with client(env, folder / "workspace") as one:
            return await one.collect(["junit.xml"])

    return asyncio.run(go())


def client(
    env: Mapping[str, str], folder: Path, clock: Clock | None = None, **config: Any
) -> AbstractAsyncContextManager[Client]:
    settings = {"enable_history_tracking": False, **config}
    adapter = connect(env, Credentials(directory=folder / "distributed_test_results"))
    return client_over(
        adapter, folder, context=read_context(env), config=settings, env=env, clock=clock, platform="github"
    )


def published(github: FakeGitHub, tmp_path: Path, **job: Any) -> ReportOutcome:
    folder = job_folder(tmp_path)
    env = job_environment(github, folder, "workflow_run", **job)

    async def go() -> ReportOutcome:
        async with client(env, folder / "workspace") as one:
            return await one.publish()

    return asyncio.run(go())


def comments(github: FakeGitHub, number: int = 42) -> list[str]:
    return [comment.body for comment in github.comments(number)]


def test_an_action_without_any_token_uploads_its_bundle_and_publish_finds_it(
    github: FakeGitHub, tmp_path: Path
) -> None:
    run = a_forks_run(github)
    collection = collected(github, tmp_path, run, uploads=True)
    assert (collection.receipt.state, collection.receipt.via) == ("sent", "artifact")
    assert not github.calls  # nobody but the artifact service was spoken to
    outcome = published(github, tmp_path)
    assert outcome.report.results.totals.failed == 1
    [comment] = comments(github)
    assert "1 failure" in comment


def test_what_such_a_job_can_do_does_not_change(github: FakeGitHub, tmp_path: Path) -> None:
    env = job_environment(github, job_folder(tmp_path), "fork", token=None)
    adapter = connect(env, Credentials())
    assert capabilities_of(adapter) == {"summary", "outputs", "upload"}
    adapter.close()


def test_a_plain_step_cannot_upload_and_what_the_official_action_uploads_is_found(
    github: FakeGitHub, tmp_path: Path
) -> None:
    run = a_forks_run(github)
    collection = collected(github, tmp_path, run, uploads=False)
    assert collection.receipt.via == "folder"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(collection.path, collection.path.name)  # as it does with path: <folder>/*.cibundle
    github.add_artifact("ci-bridge-bundle-test-0-1", packed.getvalue(), run)
    published(github, tmp_path)
    assert "1 failure" in comments(github)[0]


def test_a_step_with_a_token_that_cannot_upload_says_so(github: FakeGitHub, tmp_path: Path) -> None:
    collection = collected(github, tmp_path, a_forks_run(github), uploads=False, token="")
    assert collection.receipt.via == "folder" and "`run:` step" in collection.receipt.reason


def test_the_pull_request_of_a_forks_commit_is_found_by_its_branch(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path, "workflow_run")
    expected = PullRequest("42", HEAD, "feature", "stranger/shop", "main")
    assert list(adapter.pull_requests_of(HEAD)) == [expected]
    number = adapter.trigger.id
    page = f"https://github.com/acme/shop/actions/runs/{number}"
    assert adapter.trigger == Trigger(number, 1, "stranger/shop", "feature", "Tests", page)
    github.repository.pulls[42].head_sha = "e" * 40  # pushed to since
    assert list(adapter.pull_requests_of(HEAD)) == []


def test_a_job_that_nothing_started_has_no_trigger(github: FakeGitHub, tmp_path: Path) -> None:
    assert open_job(github, tmp_path, "push").trigger == Trigger()


@pytest.mark.parametrize("odd", [None, 7, [], {"id": "x/../y", "run_attempt": "NaN", "head_repository": "a"}])
def test_an_event_that_tells_rubbish_tells_nothing(github: FakeGitHub, tmp_path: Path, odd: object) -> None:
    folder = job_folder(tmp_path)
    env = job_environment(github, folder, "workflow_run")
    payload = json.loads((folder / "event.json").read_text())
    (folder / "event.json").write_text(json.dumps({**payload, "workflow_run": odd}))
    adapter = connect(env, Credentials())
    assert isinstance(adapter.trigger, Trigger)  # type: ignore[attr-defined]
    assert (adapter.trigger.attempt, adapter.trigger.repository) == (0, "")  # type: ignore[attr-defined]
    adapter.close()


def test_a_pull_request_that_was_pushed_to_or_closed_gets_no_comment(github: FakeGitHub, tmp_path: Path) -> None:
    run = a_forks_run(github)
    collected(github, tmp_path, run, uploads=True)
    github.repository.pulls[42].state = "closed"
    outcome = published(github, tmp_path)
    assert not comments(github)
    assert any("may be closed, or have newer commits" in warning for warning in outcome.warnings)
    [check] = github.check_runs
    assert check.conclusion == "failure"


def test_the_same_branch_of_another_fork_is_not_taken_for_the_one_that_was_built(
    github: FakeGitHub, tmp_path: Path
) -> None:
    run = a_forks_run(github)
    collected(github, tmp_path, run, uploads=True)
    other = github.add_repository("stranger/other", github.repository)
    github.repository.pulls[42].head = other  # the same owner, branch and commit
    published(github, tmp_path)
    assert not comments(github)


def test_the_bundles_name_is_one_that_publish_looks_for(tmp_path: Path, github: FakeGitHub) -> None:
    collection = collected(github, tmp_path, a_forks_run(github), uploads=True)
    assert collection.path.name.startswith("ci-bridge-bundle-") and collection.path.name.endswith(SUFFIX)


def test_what_cannot_be_used_is_an_error_on_the_commit_that_says_why(github: FakeGitHub, tmp_path: Path) -> None:
    run = a_forks_run(github)
    for number in range(2):
        github.add_artifact(f"ci-bridge-bundle-{number}", b"PK rubbish", run)
    outcome = published(github, tmp_path)
    assert outcome.report.state is RunState.ERROR and outcome.exit_code == 3
    [check], [comment] = github.check_runs, comments(github)
    assert check.conclusion == "failure" and check.sha == HEAD
    assert "2 files could not be read" in comment
    assert "left out" in comment and "left out" in (check.summary or "") + (check.text or "")


def test_bundles_that_hang_leave_the_deliveries_their_time(github: FakeGitHub, tmp_path: Path) -> None:
    run = a_forks_run(github)
    collected(github, tmp_path, run, uploads=True)
    folder = job_folder(tmp_path)
    env = job_environment(github, folder, "workflow_run")

    async def body(loop: LeapingLoop, clock: LoopClock) -> tuple[ReportOutcome, float]:
        github.blobs.inject(hanging(loop))
        async with client(env, folder / "workspace", clock, deadline_seconds=20) as one:
            begun = clock()
            return await one.publish(), clock() - begun

    outcome, seconds = run_leaping(body)
    states = {receipt.channel: receipt.state for receipt in outcome.report.receipts}
    assert {states[name] for name in ("outputs", "summary", "run", "comment")} == {"sent"}, outcome.report.receipts
    assert "no answer within" in comments(github)[0]
    assert seconds < READ_SECONDS + 20 + 1
