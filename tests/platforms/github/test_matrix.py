"""A matrix and a fork over GitHub's own adapter and the stand-in: parts and bundles travel as artifacts."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ci_bridge.platforms.github.adapter import GitHubActionAdapter
from ci_bridge.reporting import ReportOutcome
from tests.fakes.clients import client_over
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_delivery import receipt, report, results


def legs(github: FakeGitHub, tmp_path: Path, count: int) -> list[GitHubActionAdapter]:
    run = github.add_run("pull_request", HEAD, "feature/x")
    return [open_job(github, tmp_path, run=run, job=f"test-{number}") for number in range(count)]


def test_the_jobs_of_a_matrix_share_one_comment_through_artifacts(github: FakeGitHub, tmp_path: Path) -> None:
    def deliver(number: int, adapter: GitHubActionAdapter) -> ReportOutcome:
        folder = tmp_path / f"work-{number}"
        folder.mkdir()
        return report(adapter, folder, failures=number, shard=f"py 3.1{number}", shard_total=3)

    with ThreadPoolExecutor(3) as pool:
        started = [pool.submit(deliver, number, adapter) for number, adapter in enumerate(legs(github, tmp_path, 3))]
        outcomes = [one.result(timeout=120) for one in started]
    assert [receipt(outcome, "comment").state for outcome in outcomes] == ["sent"] * 3
    [comment] = github.comments(42)
    assert "3 of 3 shards" in comment.body and "3 failures" in comment.body


def test_a_forks_results_reach_its_pull_request_by_the_run_that_it_triggers(github: FakeGitHub, tmp_path: Path) -> None:
    fork = open_job(github, tmp_path, "fork")
    path = results(tmp_path, failures=1)

    async def collect() -> None:
        async with client_over(fork, tmp_path, context=fork.context) as client:
            assert (await client.collect([str(path)])).receipt.via == "store"

    asyncio.run(collect())
    trusted = open_job(github, tmp_path, "workflow_run")

    async def publish() -> ReportOutcome:
        async with client_over(trusted, tmp_path, context=trusted.context) as client:
            return await client.publish()

    outcome = asyncio.run(publish())
    assert receipt(outcome, "comment").state == "sent"
    [comment] = github.comments(42)
    assert "1 failure" in comment.body


def test_two_jobs_of_a_build_never_pass_for_each_other(github: FakeGitHub, tmp_path: Path) -> None:
    run = github.add_run("pull_request", HEAD, "feature/x")
    for name, failures in (("unit", 2), ("lint", 0)):
        for shard in (None, "3.12"):
            folder = tmp_path / f"{name}-{shard}"
            folder.mkdir()
            adapter = open_job(github, tmp_path, run=run, job=name)
            if shard:
                report(adapter, folder, failures=failures, shard=shard, shard_total=1)
            else:
                report(adapter, folder, failures=failures)
    bodies = [comment.body for comment in github.comments(42)]
    assert len(bodies) == 2 and sum("2 failures" in body for body in bodies) == 1
    assert len({(check.name, check.conclusion) for check in github.check_runs}) == len(github.check_runs) == 4
    assert len({check.name for check in github.check_runs}) == 4
