"""docs/events.md is true: each event's own environment goes through the whole job and does what its row says."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from ci_bridge import platforms
from ci_bridge.history import History
from ci_bridge.models import BuildContext, Report
from ci_bridge.reporting import base_branch
from tests.fakes.adapter import FakeAdapter
from tests.fakes.clients import client_over
from tests.platforms.scenarios import scenario

PAGE = Path(__file__).resolve().parent.parent / "docs" / "events.md"
RED = '<testsuite><testcase name="one"/><testcase name="two"><failure/></testcase></testsuite>'

ROWS = {
    "`push` to a branch": "enterprise-server",
    "`push` of a tag": "tag",
    "`release`": "tag-by-name-only",
    "`schedule`": "schedule-rerun",
    "`workflow_dispatch`": "",
    "`pull_request`": "pull-request",
    "`pull_request` from a fork": "pull-request-from-fork",
    "`pull_request_review`": "pull-request-review",
    "`pull_request_target`": "pull-request-target",
    "`merge_group`": "merge-queue",
    "`push` by a merge queue": "merge-queue-push",
    "`workflow_run` after a push": "workflow-run-after-push",
    "`workflow_run` after a pull request": "workflow-run-after-pull-request",
    "`workflow_run` after a fork's pull request": "workflow-run-after-fork",
    "`issue_comment` on a pull request": "comment-on-pull-request",
    "`issue_comment` on an issue": "comment-on-issue",
}
"""Row of the table -> the sample environment; without one, that of a push with the event's name changed."""


@dataclass
class Done:
    context: BuildContext
    adapter: FakeAdapter
    report: Report
    trusted: bool


def table() -> dict[str, list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| event |"))
    rows: dict[str, list[str]] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        event, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[event] = cells
    return rows


def build(event: str, tmp_path: Path) -> Done:
    """The whole job in this event's environment."""
    found = scenario("github", ROWS[event] or "enterprise-server")
    env = dict(found.environment(tmp_path))
    if not ROWS[event]:
        env["GITHUB_EVENT_NAME"] = event.strip("`")
    context = platforms.read_environment(env)
    adapter = FakeAdapter(context=context)
    (tmp_path / "junit.xml").write_text(RED, encoding="utf-8")

    async def go() -> Report:
        async with client_over(adapter, tmp_path, context=context, platform="github") as client:
            return (await client.report(["junit.xml"])).report

    report = asyncio.run(go())
    with History.read(tmp_path / "distributed_test_results" / "history.sqlite") as history:
        record = history.run_record(report.run.id)
    assert record is not None
    return Done(context, adapter, report, record.trusted)


def test_every_event_has_its_row_and_every_row_its_test():
    assert list(table()) == list(ROWS)


@pytest.mark.parametrize("event", ROWS)
def test_an_event_does_what_its_row_says(event: str, tmp_path: Path):
    compared, history, place, commented = table()[event]
    done = build(event, tmp_path)
    context = done.context
    assert event.split("`")[1] == context.event or "merge queue" in event

    expected = {
        "the same branch": context.branch,
        "the default branch": "main",
        "the base branch": context.pr_base_branch,
        "the queue's base branch": context.pr_base_branch,
    }[compared]
    assert expected and base_branch(context, done.report.run) == expected

    assert done.trusted is history.startswith("main")
    if "pull request's own" in history:
        assert done.report.run.pr_number is not None

    sha = {
        "the commit": context.commit_sha,
        "the head commit": context.pr_head_sha,
        "the queue's commit": context.commit_sha,
        "the commit that was built": context.commit_sha,
    }[place]
    [run] = done.adapter.runs.values()
    assert sha and run.commit_sha == sha

    numbers = [number for number, comments in done.adapter.comments.items() if comments]
    assert numbers == ([context.pr_number] if commented == "the pull request" else [])


@pytest.mark.parametrize("name", ["pull-request-target-without-event-file", "workflow-run-of-several"])
def test_a_pull_requests_build_that_does_not_know_its_number_judges_nobody(name: str, tmp_path: Path):
    ROWS["`x`"] = name
    try:
        done = build("`x`", tmp_path)
    finally:
        del ROWS["`x`"]
    assert not done.trusted and not any(done.adapter.comments.values())


def test_no_page_and_no_template_recommends_pull_request_target():
    root = PAGE.parent.parent
    pages = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("templates/**/*.y*ml"), *root.glob("*.yml")]
    assert len(pages) > 5
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(?:on:\s*)?\[?pull_request_target\b", text, re.MULTILINE), page
