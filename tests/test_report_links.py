"""The report's page goes up before what links it, and costs nothing else where that fails."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.errors import CIBridgeError, PermissionDeniedError, RateLimitedError, TransientError
from ci_bridge.platforms.github.adapter import GitHubActionAdapter
from ci_bridge.reporting import ReportOutcome
from tests.fakes.clients import PULL_REQUEST, Clock, FakeAdapter, client_over
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_delivery import receipt, results, track
from tests.test_delivery import RED, receipt_of, report

LINK = "[full report](<https://ci.example/artifacts/1>)"
PAGE = replace(PULL_REQUEST, build_url="https://ci.example/build/1", job_name="unit")


def adapter_that(error: CIBridgeError | None = None, times: int = 1) -> FakeAdapter:
    adapter = FakeAdapter(context=PAGE)
    if error:
        adapter.fail("upload_artifact", error, times=times)
    return adapter


def github_report(adapter: GitHubActionAdapter, folder: Path, *, failures: int, **config: Any) -> ReportOutcome:
    path = results(folder, failures=failures)

    async def run() -> ReportOutcome:
        async with client_over(adapter, folder, config=config, context=adapter.context, platform="github") as client:
            return await client.report([str(path)])

    return asyncio.run(run())


def names(adapter: FakeAdapter) -> list[str]:
    return [artifact.name for artifact, _ in adapter.artifacts]


def test_comment_and_summary_link_the_whole_report(tmp_path: Path) -> None:
    adapter = adapter_that()
    outcome = report(tmp_path, RED, adapter=adapter, context=PAGE)
    assert LINK in adapter.comments["42"][0].body and LINK in adapter.summaries[0]
    assert names(adapter) == ["report.html", "report.json", "report.xml", "report.ctrf.json", "report.md"]
    assert receipt_of(outcome, "artifacts").url == "https://ci.example/artifacts/1"


@pytest.mark.parametrize("error", [PermissionDeniedError("no right"), TransientError("gone"), RuntimeError("defect")])
def test_a_page_that_does_not_go_up_costs_the_link_and_is_tried_again(tmp_path: Path, error: Any) -> None:
    adapter = adapter_that(error)
    outcome = report(tmp_path, RED, adapter=adapter, context=PAGE, config={"retry_failed_api_calls": False})
    body = adapter.comments["42"][0].body
    assert "full report" not in body and "[build page](<https://ci.example/build/1>)" in body
    assert sorted(names(adapter)) == ["report.ctrf.json", "report.html", "report.json", "report.md", "report.xml"]
    assert {one.state for one in outcome.report.receipts} <= {"sent", "skipped"}


def test_waiting_for_the_page_takes_a_small_part_of_the_time_and_the_comment_has_the_rest(tmp_path: Path) -> None:
    adapter, clock = adapter_that(RateLimitedError("later", retry_after=40.0)), Clock()
    began = clock()
    waited: list[float] = []
    create = adapter.create_comment

    def note(pr_number: str, body: str) -> Any:
        waited.append(clock() - began)
        return create(pr_number, body)

    adapter.create_comment = note  # type: ignore[method-assign]
    adapter.failures["upload_artifact"].times = 2
    outcome = report(tmp_path, RED, adapter=adapter, context=PAGE, clock=clock, config={"deadline_seconds": 120})
    assert waited == [0.0] and clock.slept == [40.0]
    assert receipt_of(outcome, "artifacts").state == "sent" and len(names(adapter)) == 5


@pytest.mark.parametrize(
    "config", [{"enable_artifacts": False}, {"artifact_categories": "logs"}, {"result_format": "json"}]
)
def test_without_a_page_to_upload_nothing_is_uploaded_first(tmp_path: Path, config: dict[str, Any]) -> None:
    adapter = adapter_that()
    outcome = report(tmp_path, RED, adapter=adapter, context=PAGE, config=config)
    assert "full report" not in adapter.comments["42"][0].body
    assert "report.html" not in names(adapter)
    assert receipt_of(outcome, "artifacts").state == ("sent" if "result_format" in config else "skipped")


def test_a_check_run_bears_the_summary_and_a_link(github: FakeGitHub, tmp_path: Path) -> None:
    track(tmp_path)
    assert receipt(github_report(open_job(github, tmp_path), tmp_path, failures=2), "run").state == "sent"
    (check,) = github.check_runs
    text = check.text or ""
    assert check.title == "2 failures with nothing to compare to"
    summary = check.summary or ""
    assert summary.startswith("2 failures with nothing to compare to · 1 passed, 2 failed · in ")
    assert "\n" not in summary and "[full report](<https://github.com/acme/shop/actions/runs/" in summary
    assert text.startswith("## ❌ 2 failures with nothing to compare to\n")
    assert text.count("<details>") > 1 and "/blob/" in text
    (comment,) = github.comments(42)
    assert "full report" in comment.body and "/blob/" in comment.body


def test_thousands_of_failures_fit_into_a_check_run(github: FakeGitHub, tmp_path: Path) -> None:
    track(tmp_path)
    outcome = github_report(open_job(github, tmp_path), tmp_path, failures=3000, max_annotations=60)
    assert receipt(outcome, "run").state == receipt(outcome, "annotations").state == "sent"
    (check,) = github.check_runs
    text = check.text or ""
    assert 30_000 < len(text.encode()) <= 65_535 and "Left out here" in text
    assert "see the [full report](<" in text


def test_a_platform_that_shows_plain_text_of_a_run_gets_no_markdown(tmp_path: Path) -> None:
    adapter = adapter_that()
    report(tmp_path, RED, adapter=adapter, context=PAGE)
    (run,) = adapter.runs.values()
    assert run.page == "" and "full report" not in run.text


def test_while_tests_run_their_check_run_has_a_short_text_only(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path)

    async def begin() -> None:
        async with client_over(adapter, tmp_path, context=adapter.context, platform="github") as client:
            await client.begin_run()

    asyncio.run(begin())
    (check,) = github.check_runs
    assert check.status == "in_progress" and not check.text and len(check.summary or "") < 300


def test_a_build_without_git_links_no_lines(github: FakeGitHub, tmp_path: Path) -> None:
    github_report(open_job(github, tmp_path), tmp_path, failures=1)
    (comment,) = github.comments(42)
    assert "/blob/" not in comment.body and "test&#95;1" in comment.body


def test_a_matrix_links_lines_and_the_page_that_shows_every_summary(github: FakeGitHub, tmp_path: Path) -> None:
    track(tmp_path)
    run = github.add_run("pull_request", HEAD, "feature")
    for leg in ("a", "b"):
        github_report(open_job(github, tmp_path, run=run), tmp_path, failures=1, shard=leg, shard_total=2)
    (comment,) = github.comments(42)
    assert "in all 2 shards" in comment.body and "/blob/" in comment.body
    assert f"[build page](<https://github.com/acme/shop/actions/runs/{run.id}>)" in comment.body


def test_what_git_does_not_track_is_not_linked(github: FakeGitHub, tmp_path: Path) -> None:
    track(tmp_path)
    subprocess.run(["git", "-C", str(tmp_path), "rm", "-rq", "--cached", "."], check=True)
    github_report(open_job(github, tmp_path), tmp_path, failures=1)
    (comment,) = github.comments(42)
    assert "/blob/" not in comment.body
