"""Very many and very large failures over GitHub's own adapter: within every limit, and in few calls.

The stand-in refuses whatever is beyond GitHub's limits, so a text that is too long would cost its channel.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.models import Receipt
from ci_bridge.reporting import ReportOutcome
from tests.fakes.clients import client_over
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_delivery import receipt, track

CALLS = 12
"""Of the API for a pull request; beside those for annotations, 50 of which go into one."""

SUMMARY = 1 << 20


def failure(number: int, message: str = "assert 1 == 2", details: str = "", name: str = "test_{}") -> str:
    """One failing case in a tracked file."""
    return (
        f'<testcase classname="test_cart" name="{name.format(number)}" file="test_cart.py" line="{number + 1}">'
        f'<failure message="{message}">{details}</failure></testcase>'
    )


def write_junit(path: Path, cases: Iterable[str]) -> Path:
    """A file of these cases, written as they come."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write("<testsuite name='unit'>")
        stream.writelines(cases)
        stream.write("</testsuite>")
    return path


def deliver(github: FakeGitHub, folder: Path, path: Path, **config: Any) -> ReportOutcome:
    """Report this file for a pull request, whole, and hold everything against GitHub's limits."""
    track(folder)
    adapter = open_job(github, folder)

    async def run() -> ReportOutcome:
        config.setdefault("deadline_seconds", 3600)
        async with client_over(adapter, folder, config=config, context=adapter.context) as client:
            return await client.report([str(path)])

    outcome = asyncio.run(run())
    states = {receipt.channel: receipt.state for receipt in outcome.report.receipts}
    assert set(states.values()) <= {"sent", "skipped"}, outcome.report.receipts
    within_limits(github, folder)
    requests = sum(len(change.get("output", {}).get("annotations", ())) > 0 for change in github.check_runs[0].changes)
    assert len(github.calls) <= CALLS + requests
    return outcome


def within_limits(github: FakeGitHub, folder: Path) -> None:
    """What is stored is no larger than GitHub takes, and can be shown."""
    [comment], [check] = github.comments(42), github.check_runs
    summaries = [path.read_bytes() for path in folder.rglob("github_step_summary")]
    assert 0 < len(comment.body) <= 65_536 and max(map(len, summaries)) <= SUMMARY
    for change in check.changes:
        output = change.get("output", {})
        assert len(output.get("summary", "")) <= 65_535 and len(output.get("annotations", ())) <= 50
    texts = [comment.body, check.title, check.summary, *(text.decode() for text in summaries)]
    texts += [text for one in check.annotations for text in (one["message"], one["title"])]
    for text in texts:
        assert text and text.encode()  # no half of a character
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("count", [1_000, 30_000, pytest.param(120_000, marks=pytest.mark.e2e)])
def test_so_many_failures_of_2_kb_are_told_within_the_limits(github: FakeGitHub, tmp_path: Path, count: int) -> None:
    def cases() -> Iterator[str]:
        for number in range(count):
            frames = "".join(f'File "shop/cart_{number % 97}.py", line {line}, in add\n' for line in range(55))
            yield failure(number, f"assert {number} == 42", frames)

    outcome = deliver(github, tmp_path, write_junit(tmp_path / "junit.xml", cases()))
    [comment] = github.comments(42)
    spaced = f"{count:,}".replace(",", "\u202f")
    assert f"{spaced} failures" in comment.body
    assert outcome.report.results.totals.failed == count
    assert f" of {count}" in receipt(outcome, "annotations").reason


def test_names_of_100_kb_are_told_within_the_limits(github: FakeGitHub, tmp_path: Path) -> None:
    cases = (failure(number, name=f"test_{{}}_{'ab·' * 33_334}") for number in range(100))
    outcome = deliver(github, tmp_path, write_junit(tmp_path / "junit.xml", cases))
    assert outcome.report.results.totals.failed == 100
    [comment] = github.comments(42)
    assert "100 failures" in comment.body and "test&#95;0" in comment.body


def test_of_ten_thousand_annotations_the_most_that_is_shown_is_sent(github: FakeGitHub, tmp_path: Path) -> None:
    path = write_junit(tmp_path / "junit.xml", (failure(number) for number in range(10_000)))
    outcome = deliver(github, tmp_path, path, max_annotations=10_000, result_format="json")
    assert "500 of 10000" in receipt(outcome, "annotations").reason
    [check] = github.check_runs
    assert len(check.annotations) == 500
    assert len({(one["path"], one["start_line"]) for one in check.annotations}) == 500


NASTY = {
    "emoji": "😀",
    "family": "👩\u200d👩\u200d👧",
    "accent": "e\u0301",
    "han": "漢",
    "half of a pair": "\ud83d",
    "other half": "\udc00",
    "escape": "\x1b[31m",
    "null": "\x00",
    "right to left": "\u202e",
    "lines": "\r\n",
    "next line": "\x85",
    "fence": "`",
    "marker": "<!-- ci-bridge:x -->",
    "entity": "&#x202e;",
    "tag": "<b>",
}


@pytest.mark.parametrize("shift", range(3))
def test_no_text_is_cut_through_a_character(github: FakeGitHub, tmp_path: Path, shift: int) -> None:
    # Each text fills its place whatever its unit is, and begins at another offset in each test.
    tests = [
        {
            "name": f"test {name}", "status": "failed", "duration": 1, "filePath": "test_cart.py", "line": 3,
            "suite": "x" * shift + text * 900, "message": "x" * shift + text * 3_000,
            "trace": "x" * shift + text * 40_000,
        }
        for name, text in NASTY.items()
    ]  # fmt: skip
    summary = {"tests": len(tests), "passed": 0, "failed": len(tests), "pending": 0, "skipped": 0, "other": 0,
               "start": 0, "stop": 1}  # fmt: skip
    path = tmp_path / "ctrf.json"
    path.write_text(json.dumps({"results": {"tool": {"name": "x"}, "summary": summary, "tests": tests}}))
    outcome = deliver(github, tmp_path, path, pr_comment_template="detailed")
    assert outcome.report.results.totals.failed == len(NASTY)
    [comment] = github.comments(42)
    assert comment.body.count("<!-- ci-bridge:") == 1


@pytest.mark.parametrize("text", ["x", "😀", "é"])
def test_a_comment_of_exactly_the_limit_is_stored_whole_and_a_longer_one_is_cut(
    github: FakeGitHub, tmp_path: Path, text: str
) -> None:
    adapter = open_job(github, tmp_path)

    async def say(length: int) -> Receipt:
        async with client_over(adapter, tmp_path, context=adapter.context) as client:
            return await client.add_pr_comment(42, text * length)

    asyncio.run(say(1))
    [comment] = github.comments(42)
    room = 65_536 - len(comment.body) + 1
    assert asyncio.run(say(room)).state == "sent" and len(comment.body) == 65_536
    assert comment.body.endswith(text)
    assert asyncio.run(say(room + 1)).state == "sent" and len(comment.body) <= 65_536
    assert "[cut]" in comment.body and github.comments(42) == [comment]


def test_a_status_says_very_many_failures_in_140_characters(github: FakeGitHub, tmp_path: Path) -> None:
    track(tmp_path)
    path = write_junit(tmp_path / "junit.xml", (failure(number, name="é" * 5000 + "{}") for number in range(200)))
    adapter = open_job(github, tmp_path)

    async def run() -> ReportOutcome:
        config = {"enable_test_runs": False, "status_update_format": "detailed", "enable_artifacts": False}
        async with client_over(adapter, tmp_path, config=config, context=adapter.context) as client:
            return await client.report([str(path)])

    assert receipt(asyncio.run(run()), "status").state == "sent"
    [status] = github.statuses(HEAD).values()
    assert status.description and len(status.description) <= 140
