"""Runs for the history tests, from a few letters each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ci_bridge.history import History, RunRecord
from ci_bridge.models import Attempt, Case, Outcome, Row, Totals, row_of_case

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""The present of these tests."""

OUTCOMES = {"P": Outcome.PASSED, "R": Outcome.PASSED, "F": Outcome.FAILED, "E": Outcome.ERROR, "S": Outcome.SKIPPED}


def case(name: str, letter: str = "P", seconds: float = 0.5, message: str = "41 != 42") -> Case:
    """A case: P passed, F failed, E error, S skipped, R passed on retry."""
    red = letter in "FE"
    return Case(
        name, "shop.TestCart", ("unit",), "tests/test_cart.py", outcome=OUTCOMES[letter], duration=seconds,
        type="AssertionError" if red else "", message=message if red else "",
        attempts=(Attempt(Outcome.FAILED, 0.1, "AssertionError", message),) if letter == "R" else (),
    )  # fmt: skip


def identity(name: str) -> str:
    """The identity of :func:`case`'s case."""
    return case(name).identity


def rows(cases: Mapping[str, str] | Iterable[Case], seconds: float = 0.5) -> list[list[Row]]:
    """One batch of rows, from names and letters or from whole cases."""
    whole = [case(n, letter, seconds) for n, letter in cases.items()] if isinstance(cases, Mapping) else cases
    return [[row_of_case(one) for one in whole]]


def record(days_ago: float = 0.0, uid: str = "", letters: Iterable[str] = "", **changes: Any) -> RunRecord:
    """A trusted run on main so many days ago; ``letters`` are its cases'."""
    text = "".join(letters)
    totals = Totals(
        passed=text.count("P") + text.count("R"), failed=text.count("F"), error=text.count("E"),
        skipped=text.count("S"), flaky=text.count("R"),
    )  # fmt: skip
    values: dict[str, Any] = {
        "branch": "main",
        "sha": f"{days_ago:.3f}".encode().hex(),
        "trusted": True,
        "totals": totals,
    }
    return RunRecord(uid or f"run-{days_ago:g}", NOW - timedelta(days=days_ago), **(values | changes))


def remember(path: Path, *runs: tuple[RunRecord, Mapping[str, str]]) -> None:
    """Save runs."""
    with History.writing(path) as history:
        for run, cases in runs:
            history.record(run, rows(cases))


def simple_history(path: Path, runs: int = 3) -> None:
    """Save runs of three tests, one of which fails."""
    cases = {"test_one": "P", "test_two": "F", "test_three": "S"}
    remember(path, *((record(day, letters=cases.values()), cases) for day in range(runs, 0, -1)))


def uids(path: Path) -> list[str]:
    """The runs that the file holds, oldest first."""
    with History.read(path) as history:
        return [row["id"] for row in history.runs()][::-1]
