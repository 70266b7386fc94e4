"""The whole job over GitHub's adapter: what arrives, in how many calls, and what is left when GitHub is unwell."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.models import Receipt
from ci_bridge.platforms.github.adapter import GitHubAdapter
from ci_bridge.platforms.github.opening import FORK
from ci_bridge.reporting import ReportOutcome
from tests.fakes.clients import Clock, client_over
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD
from tests.fakes.server import Fault, Response, failing, reset, too_many, truncated, web_page
from tests.platforms.github.opened import open_job

CASE = '<testcase classname="test_cart" name="test_{0}" file="test_cart.py" line="{0}" time="0.1">{1}</testcase>'
RED = '<failure message="no">assert 1 == 2</failure>'


def results(folder: Path, *, failures: int = 0, cases: int = 3) -> Path:
    """A result file with so many cases, the first of which fail."""
    body = "".join(CASE.format(number + 1, RED if number < failures else "") for number in range(max(cases, failures)))
    path = folder / "junit.xml"
    path.write_text(f"<testsuite name='unit'>{body}</testsuite>")
    return path


def track(folder: Path) -> None:
    """Make the tests' source a tracked file: remarks are made on those only."""
    (folder / "test_cart.py").touch()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "test_cart.py"], check=True)


def report(
    adapter: GitHubAdapter, folder: Path, *, failures: int = 0, clock: Clock | None = None, **config: Any
) -> ReportOutcome:
    """Run the whole job; the history stays on this machine unless the configuration says otherwise."""
    path = results(folder, failures=failures)

    async def run() -> ReportOutcome:
        async with client_over(adapter, folder, config=config, context=adapter.context, clock=clock) as client:
            return await client.report([str(path)])

    return asyncio.run(run())


def receipt(outcome: ReportOutcome, channel: str) -> Receipt:
    return next(receipt for receipt in outcome.report.receipts if receipt.channel == channel)


def test_a_green_pull_request_takes_few_calls(github: FakeGitHub, tmp_path: Path) -> None:
    outcome = report(open_job(github, tmp_path), tmp_path, deadline_seconds=1000)
    assert {receipt.state for receipt in outcome.report.receipts} <= {"sent", "skipped"}, outcome.report.receipts
    (check,), statuses = github.shown_on(42)
    (comment,) = github.comments(42)
    assert check.conclusion == "success" and "3 tests passed" in comment.body and not statuses
    assert len(github.calls) <= 12, [f"{line.request.method} {line.request.target}" for line in github.calls]


def test_the_next_build_updates_the_comment(github: FakeGitHub, tmp_path: Path) -> None:
    report(open_job(github, tmp_path), tmp_path)
    before = len(github.calls)
    track(tmp_path)
    report(open_job(github, tmp_path), tmp_path, failures=1)
    (comment,) = github.comments(42)
    assert len(github.check_runs[-1].annotations) == 1
    assert comment.edits == 1 and "1 failure" in comment.body
    assert len(github.calls) - before <= 13  # one for the annotations


@pytest.mark.parametrize("fault", [reset, truncated, failing, lambda **rule: web_page(**rule)])
@pytest.mark.parametrize("is_committed", [True, False])
def test_there_is_exactly_one_comment_after_a_lost_answer(
    github: FakeGitHub, tmp_path: Path, fault: Callable[..., Fault], is_committed: bool
) -> None:
    github.api.inject(fault(method="POST", path="/comments", committed=is_committed))
    outcome = report(open_job(github, tmp_path), tmp_path)
    assert len(github.comments(42)) <= 1
    if receipt(outcome, "comment").via == "comment":
        assert len(github.comments(42)) == 1
    else:  # a page for people is not worth another try
        assert "web page" in receipt(outcome, "comment").reason


def test_a_lost_connection_costs_nothing_but_a_retry(github: FakeGitHub, tmp_path: Path) -> None:
    clock = Clock()
    github.api.inject(reset(method="POST", path="/comments", committed=True))
    outcome = report(open_job(github, tmp_path), tmp_path, clock=clock, retry_delay_seconds=5)
    assert receipt(outcome, "comment").state == "sent" and len(github.comments(42)) == 1
    assert clock.slept == [5.0]


@pytest.mark.parametrize(("wait", "slept"), [("17", [17.0]), ("soon", [5.0]), (None, [5.0])])
def test_a_limit_is_waited_for_as_long_as_it_says(
    github: FakeGitHub, tmp_path: Path, wait: str | None, slept: list[float]
) -> None:
    clock = Clock()
    github.api.inject(too_many(wait, method="POST", path="/comments"))
    outcome = report(open_job(github, tmp_path), tmp_path, clock=clock, retry_delay_seconds=5)
    assert receipt(outcome, "comment").state == "sent" and clock.slept == slept


def test_a_secondary_limit_is_not_taken_for_a_missing_permission(github: FakeGitHub, tmp_path: Path) -> None:
    clock = Clock()
    github.api.inject(github.secondary_limit(method="POST", path="/comments"))
    outcome = report(open_job(github, tmp_path), tmp_path, clock=clock)
    assert receipt(outcome, "comment").state == "sent" and len(clock.slept) == 1


@pytest.mark.parametrize("limit", ["3600", "primary"])
def test_a_wait_beyond_the_budget_gives_up_the_channel_and_no_other(
    github: FakeGitHub, tmp_path: Path, limit: str
) -> None:
    clock = Clock()
    rule: dict[str, Any] = {"path": "/issues/", "times": None}
    github.api.inject(github.primary_limit(**rule) if limit == "primary" else too_many(limit, **rule))
    outcome = report(open_job(github, tmp_path), tmp_path, clock=clock, deadline_seconds=120)
    assert receipt(outcome, "comment").via == "summary" and clock.slept == []
    assert receipt(outcome, "run").state == "sent" and len(github.api.requests(path="/issues/")) == 1


def test_with_github_down_everything_local_is_there_and_no_time_is_wasted(github: FakeGitHub, tmp_path: Path) -> None:
    clock = Clock()
    for server in github.servers:
        server.inject(failing(502, times=None))
    adapter = open_job(github, tmp_path)
    outcome = report(adapter, tmp_path, clock=clock, deadline_seconds=120)
    assert receipt(outcome, "files").state == receipt(outcome, "outputs").state == "sent"
    assert receipt(outcome, "summary").state == "sent"
    assert receipt(outcome, "comment").via in ("summary", "log") and receipt(outcome, "run").via == "log"
    assert sum(clock.slept) < 120 and outcome.exit_code == 0


def test_a_forks_pull_request_gets_a_summary_and_one_line_of_advice(github: FakeGitHub, tmp_path: Path) -> None:
    outcome = report(open_job(github, tmp_path, "fork"), tmp_path, failures=1)
    assert receipt(outcome, "comment").via == "summary" and receipt(outcome, "run").via == "log"
    assert [warning for warning in outcome.warnings if "fork" in warning] == [f"run: {FORK}"]
    assert not any("permissions:" in warning for warning in outcome.warnings)
    assert receipt(outcome, "run").reason == receipt(outcome, "comment").reason == FORK
    assert github.comments(42) == [] and list(github.check_runs) == []


def test_a_classic_token_falls_back_to_a_status(github: FakeGitHub, tmp_path: Path) -> None:
    outcome = report(open_job(github, tmp_path, token=github.add_token("classic")), tmp_path)
    assert (receipt(outcome, "run").via, receipt(outcome, "run").state) == ("status", "degraded")
    checks, statuses = github.shown_on(42)
    assert not checks and [status.state for status in statuses.values()] == ["success"]
    assert len(github.comments(42)) == 1


def test_a_comment_of_another_author_with_our_marker_is_left_alone(github: FakeGitHub, tmp_path: Path) -> None:
    report(open_job(github, tmp_path), tmp_path)
    (ours,) = github.comments(42)
    planted = github.add_comment(43, ours.body, author="stranger")
    github.add_pull(43, HEAD)
    report(open_job(github, tmp_path, number=43), tmp_path, failures=1)
    assert planted.edits == 0 and [comment.author for comment in github.comments(43)] == ["stranger", ours.author]


def test_one_refused_annotation_does_not_cost_the_comment(github: FakeGitHub, tmp_path: Path) -> None:
    track(tmp_path)
    invalid = Response.json(422, {"message": "Validation Failed", "documentation_url": "x"})
    github.api.inject(Fault("422", invalid, method="PATCH", path="/check-runs/", times=None, honest=True))
    outcome = report(open_job(github, tmp_path), tmp_path, failures=2)
    assert receipt(outcome, "annotations").state == "failed"
    assert receipt(outcome, "comment").state == "sent" and receipt(outcome, "run").state == "sent"


def test_a_thousand_failures_are_within_every_limit_and_calls_are_bounded(github: FakeGitHub, tmp_path: Path) -> None:
    track(tmp_path)
    outcome = report(open_job(github, tmp_path), tmp_path, failures=1000, max_annotations=10_000)
    assert receipt(outcome, "comment").state == "sent"
    assert len(github.check_runs[0].annotations) == 500 and "500 of 1000" in receipt(outcome, "annotations").reason
    (comment,) = github.comments(42)
    assert len(comment.body) <= 65_536 and len(github.calls) <= 22


def test_an_outage_of_the_artifact_service_costs_only_the_artifacts(github: FakeGitHub, tmp_path: Path) -> None:
    github.results.inject(failing(503, times=None))
    outcome = report(open_job(github, tmp_path), tmp_path, retry_delay_seconds=1)
    assert receipt(outcome, "artifacts").state == "failed"
    assert receipt(outcome, "comment").state == receipt(outcome, "run").state == "sent"
