"""What the receipt of the annotations claims: sent only where there were some, and how many of how many."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.errors import PermissionDeniedError
from ci_bridge.models import BuildContext, Receipt
from ci_bridge.platforms.local.adapter import LocalAdapter
from ci_bridge.protocols import Adapter
from ci_bridge.reporting import ReportOutcome
from tests.fakes.clients import FakeAdapter, client_over

RED = '<failure message="no">assert 1 == 2</failure>'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one tracked file."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "test_cart.py").touch()
    subprocess.run(["git", "-C", str(tmp_path), "add", "test_cart.py"], check=True)
    return tmp_path


def report(folder: Path, adapter: Adapter, *, placed: int = 0, nowhere: int = 0, **config: Any) -> ReportOutcome:
    """Report so many failures with a place in the checkout, and so many without, and one green test."""
    cases = [f'<testcase name="p{n}" file="test_cart.py" line="{n + 1}">{RED}</testcase>' for n in range(placed)]
    cases += [f'<testcase name="n{n}" file="gone.py" line="1">{RED}</testcase>' for n in range(nowhere)]
    (folder / "junit.xml").write_text(f'<testsuite name="s">{"".join(cases)}<testcase name="g"/></testsuite>')

    async def run() -> ReportOutcome:
        async with client_over(adapter, folder, config=config) as client:
            return await client.report(["junit.xml"])

    return asyncio.run(run())


def receipt_of(outcome: ReportOutcome) -> Receipt:
    return next(receipt for receipt in outcome.report.receipts if receipt.channel == "annotations")


@pytest.mark.parametrize(
    ("placed", "nowhere", "state", "reason"),
    [
        (0, 0, "skipped", "no failures"),
        (0, 3, "skipped", "no failure names a file and line in the repository"),
        (2, 0, "sent", ""),
        (2, 3, "sent", "2 of 5; 3 name no file and line in the repository"),
        (9, 0, "sent", "4 of 9; at most 4 are shown"),
        (9, 1, "sent", "4 of 10; 1 name no file and line in the repository; at most 4 are shown"),
    ],
)
def test_only_what_was_shown_is_claimed(checkout: Path, placed: int, nowhere: int, state: str, reason: str) -> None:
    adapter = FakeAdapter()
    outcome = report(checkout, adapter, placed=placed, nowhere=nowhere, max_annotations=4)
    receipt = receipt_of(outcome)
    assert (receipt.state, receipt.reason, receipt.delivered) == (state, reason, state == "sent")
    assert len(adapter.annotations) == min(placed, 4)
    written = json.loads((checkout / "distributed_test_results" / "receipts.json").read_text())
    assert next(one for one in written if one["channel"] == "annotations")["reason"] == reason


def test_outside_of_a_checkout_the_reason_is_that(tmp_path: Path) -> None:
    receipt = receipt_of(report(tmp_path, FakeAdapter(), placed=2))
    assert receipt.state == "skipped" and receipt.reason.startswith("git lists no files here")


def test_a_limit_of_none_shows_none(checkout: Path) -> None:
    receipt = receipt_of(report(checkout, FakeAdapter(), placed=2, max_annotations=0))
    assert (receipt.state, receipt.reason) == ("skipped", "0 of 2; at most 0 are shown")


def test_a_refusal_says_what_it_cost(checkout: Path) -> None:
    adapter = FakeAdapter()
    adapter.fail("annotate", PermissionDeniedError("no right"))
    receipt = receipt_of(report(checkout, adapter, placed=2, nowhere=1))
    assert receipt.state == "failed"
    assert receipt.reason == "2 of 3; 1 name no file and line in the repository; no right"


def test_a_green_run_takes_away_what_an_earlier_one_left(checkout: Path) -> None:
    folder = checkout / "distributed_test_results"
    report(checkout, LocalAdapter(BuildContext("local"), folder), placed=1)
    assert len(json.loads((folder / "annotations.json").read_text())) == 1
    assert receipt_of(report(checkout, LocalAdapter(BuildContext("local"), folder))).state == "skipped"
    assert json.loads((folder / "annotations.json").read_text()) == []


def test_a_skipped_channel_is_no_failed_one(checkout: Path) -> None:
    outcome = report(checkout, FakeAdapter(), nowhere=1, strict=True, required_channels=["annotations"])
    assert outcome.exit_code == 0
