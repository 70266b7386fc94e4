"""One endpoint that hangs: it costs its own channel its share of the time, and no other channel anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ci_bridge.reporting import ReportOutcome
from tests.fakes.clients import client_over
from tests.fakes.github import FakeGitHub
from tests.fakes.leaping import LeapingLoop, LoopClock, hanging, run_leaping
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_delivery import receipt, report, results, track

BUDGET = 120.0
CHANNELS = {"files", "outputs", "summary", "run", "annotations", "comment", "artifacts", "history"}

ENDPOINTS: dict[str, tuple[str, str, set[str]]] = {
    "check runs": ("api", "/check-runs", {"run", "annotations"}),
    "statuses": ("api", "/statuses/", set()),
    "GraphQL": ("api", "/graphql", {"comment"}),
    "comments": ("api", "/comments", {"comment"}),
    "list of artifacts": ("api", r"/artifacts(\?|$)", {"history"}),
    "archives of artifacts": ("api", "/zip", {"history"}),
    "artifact service": ("results", "", {"artifacts", "history"}),
    "blob storage": ("blobs", "", {"artifacts", "history"}),
}
"""What hangs: its server, its path, and the channels that need it."""


def hanging_report(
    github: FakeGitHub, folder: Path, names: list[str], *, token: str = "", **config: Any
) -> tuple[ReportOutcome, float]:
    """A pull request's report, two failures in it, while these endpoints hang; and the seconds that it took."""
    base = folder / "base"
    base.mkdir()
    report(open_job(github, folder, "push"), base)  # there is a history to read
    results(folder, failures=2)
    track(folder)
    adapter = open_job(github, folder, token=token)

    async def body(loop: LeapingLoop, clock: LoopClock) -> ReportOutcome:
        for name in names:
            server, path, _ = ENDPOINTS[name]
            getattr(github, server).inject(hanging(loop, path))
        settings = {"deadline_seconds": BUDGET, **config}
        async with client_over(adapter, folder, config=settings, context=adapter.context, clock=clock) as client:
            begun = clock()
            outcome = await client.report([str(folder / "junit.xml")])
            took.append(clock() - begun)
        return outcome

    took: list[float] = []
    return run_leaping(body), took[0]


def states(outcome: ReportOutcome) -> dict[str, str]:
    return {receipt.channel: receipt.state for receipt in outcome.report.receipts}


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("config", [{}, {"shard": "leg 1", "shard_total": 2}], ids=["one job", "matrix"])
def test_every_other_channel_is_delivered_in_time(
    github: FakeGitHub, tmp_path: Path, name: str, config: dict[str, Any]
) -> None:
    outcome, seconds = hanging_report(github, tmp_path, [name], **config)
    server, path, spoilt = ENDPOINTS[name]
    assert states(outcome).keys() == CHANNELS
    assert {channel for channel, state in states(outcome).items() if state == "failed"} <= spoilt
    # A comment that lacks the other jobs' parts is a comment.
    allowed = spoilt | ({"comment"} if config else set())
    assert {channel for channel, state in states(outcome).items() if state != "sent"} <= allowed, states(outcome)
    assert bool(github.comments(42)) == (name not in ("GraphQL", "comments"))
    assert seconds < BUDGET + 1
    if name != "statuses":  # nobody asks for them while check runs can be made
        assert any(line.fault for line in getattr(github, server).log), path


def test_a_check_run_that_hangs_falls_to_the_status(github: FakeGitHub, tmp_path: Path) -> None:
    outcome, seconds = hanging_report(github, tmp_path, ["check runs"])
    run = receipt(outcome, "run")
    assert (run.via, run.state) == ("status", "degraded") and "no answer within" in run.reason
    checks, statuses = github.shown_on(42)
    assert not checks and [status.state for status in statuses.values()] == ["failure"]
    assert seconds < BUDGET / 2


def test_a_status_that_hangs_as_well_falls_to_the_log(github: FakeGitHub, tmp_path: Path) -> None:
    outcome, _ = hanging_report(github, tmp_path, ["statuses"], token=github.add_token("classic"))
    assert receipt(outcome, "run").via == "log"
    assert receipt(outcome, "comment").state == receipt(outcome, "artifacts").state == "sent"


def test_a_call_that_hangs_is_repeated_once(github: FakeGitHub, tmp_path: Path) -> None:
    hanging_report(github, tmp_path, ["comments"], retry_delay_seconds=1)
    assert sum(line.fault == "hanging" for line in github.api.log) == 2


@pytest.mark.parametrize("pair", [("check runs", "GraphQL"), ("comments", "blob storage"), ("check runs", "statuses")])
def test_two_endpoints_that_hang_leave_time_for_what_works(
    github: FakeGitHub, tmp_path: Path, pair: tuple[str, str]
) -> None:
    outcome, seconds = hanging_report(github, tmp_path, list(pair))
    spoilt = {"run"}.union(*(ENDPOINTS[name][2] for name in pair))
    assert {channel for channel, state in states(outcome).items() if state != "sent"} <= spoilt
    assert seconds < BUDGET + 1


@pytest.mark.parametrize("formats", [["json", "html", "markdown"], ["json", "junit", "markdown"]])
def test_an_artifact_store_that_hangs_is_waited_for_once_and_not_file_by_file(
    github: FakeGitHub, tmp_path: Path, formats: list[str]
) -> None:
    config: dict[str, Any] = {"result_format": formats, "enable_history_tracking": False}
    outcome, seconds = hanging_report(github, tmp_path, ["artifact service"], **config)
    uploads = receipt(outcome, "artifacts")
    assert uploads.state == "failed" and "no answer within" in uploads.reason
    assert "so not tried: report." in uploads.reason and "report.md" in uploads.reason
    assert sum(line.fault == "hanging" for line in github.results.log) == 1
    assert seconds <= BUDGET / 2 + 1


def test_with_everything_hanging_the_job_ends_in_time_and_what_is_local_is_there(
    github: FakeGitHub, tmp_path: Path
) -> None:
    outcome, seconds = hanging_report(github, tmp_path, list(ENDPOINTS))
    assert {states(outcome)[channel] for channel in ("files", "outputs", "summary")} == {"sent"}
    assert receipt(outcome, "run").via == "log" and receipt(outcome, "comment").via == "summary"
    assert seconds < BUDGET + 1
