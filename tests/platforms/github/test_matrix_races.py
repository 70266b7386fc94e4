"""Twenty legs of a matrix race over GitHub's own adapter: one comment, one verdict, in every order that is tried.

``MATRIX_ORDERS=200`` tries so many orders instead of the few of ``make test``.
"""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.reporting import ReportOutcome
from tests.fakes.clients import Clock
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD
from tests.fakes.github_state import Run
from tests.fakes.server import Request, reset
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_delivery import receipt, report

LEGS = 20
HOURLY = 1000
"""Calls that GitHub grants the tokens of one repository in an hour."""

ORDERS = int(os.environ.get("MATRIX_ORDERS", "2"))

LEAN: dict[str, Any] = {"enable_artifacts": False, "enable_history_tracking": False, "result_format": "json"}


@dataclass
class Lag:
    """Artifacts that the listing does not show before it was asked a few times more, each so often as chance will."""

    github: FakeGitHub
    chance: random.Random
    least: int = 0
    most: int = 4
    _hidden: dict[int, int] = field(default_factory=dict)
    _known: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> None:
        if request.method != "GET" or not request.path.endswith("/artifacts"):
            return
        with self._lock, self.github.lock:
            self._hidden = {number: left - 1 for number, left in self._hidden.items() if left > 1}
            for artifact in self.github.artifacts[self._known :]:
                if left := self.chance.randint(self.least, self.most):
                    self._hidden[artifact.id] = left
            self._known = len(self.github.artifacts)
            self.github.hidden = set(self._hidden)


@dataclass
class Matrix:
    """One workflow run whose legs deliver at the same time. ``red``: leg -> its failures."""

    github: FakeGitHub
    folder: Path
    chance: random.Random
    red: dict[int, int] = field(default_factory=lambda: {number: number % 3 for number in range(LEGS)})
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        self.github.limit.hourly = 100_000
        self.run = self.github.add_run("pull_request", HEAD, "feature/x")

    def deliver(self, legs: Iterable[int], **config: Any) -> list[ReportOutcome]:
        """These legs deliver, on a thread each, in an order of chance; some begin only when others have ended."""
        order = list(legs)
        self.chance.shuffle(order)
        holds = {leg: self.chance.choice((0, self.chance.randint(0, place))) for place, leg in enumerate(order)}
        ended, changed = [0], threading.Condition()
        adapters = {leg: open_job(self.github, self.folder, run=self.run, job=f"test-{leg}") for leg in order}

        def one(leg: int) -> ReportOutcome:
            work = self.folder / f"{self.run.attempt}-{leg}"
            work.mkdir()
            with changed:
                assert changed.wait_for(lambda: ended[0] >= holds[leg], timeout=300)
            try:
                return report(
                    adapters[leg], work, failures=self.red[leg], shard=f"leg {leg:02}", shard_total=LEGS, **config
                )
            finally:
                with changed:
                    ended[0] += 1
                    changed.notify_all()

        with ThreadPoolExecutor(len(order)) as pool:
            return [one.result(timeout=300) for one in [pool.submit(one, leg) for leg in order]]

    def rerun(self, legs: Iterable[int], **config: Any) -> list[ReportOutcome]:
        """Another attempt of these legs, all green now."""
        self.run.attempt += 1
        chosen = list(legs)
        self.red |= dict.fromkeys(chosen, 0)
        return self.deliver(chosen, **config)

    def must_show(self, legs: Iterable[int]) -> None:
        """One comment, and it is the truth about exactly these legs."""
        [comment] = self.github.comments(42)
        here, body = set(legs), comment.body.replace("\u202f", "")
        failures = sum(self.red[leg] for leg in here)
        assert f"{len(here)} of {LEGS} shards" in body.splitlines()[-1]
        assert {int(leg) for leg in re.findall(r"leg (\d\d)", body)} == here
        verdict = body.splitlines()[1]
        waiting = LEGS - len(here)
        assert (f"{failures} failure" in verdict) == (failures > 0), verdict
        assert ("❌" in verdict, "✅" in verdict) == (failures > 0, not failures and not waiting), verdict
        assert (f"waiting for {waiting} of {LEGS}" in verdict.lower()) == bool(waiting), verdict


@pytest.fixture
def matrix(github: FakeGitHub, tmp_path: Path) -> Callable[[int], Matrix]:
    def made(seed: int) -> Matrix:
        return Matrix(github, tmp_path, random.Random(seed))

    return made


@pytest.mark.parametrize("seed", range(ORDERS))
def test_twenty_racing_legs_leave_one_comment_though_one_dies_and_others_are_rerun(
    matrix: Callable[[int], Matrix], github: FakeGitHub, seed: int
) -> None:
    race = matrix(seed)
    github.before_answer = Lag(github, race.chance)
    github.api.inject(reset(method="POST", path="/comments", committed=True, skip=race.chance.randrange(2)))
    dead = race.chance.randrange(LEGS)
    alive = set(range(LEGS)) - {dead}
    outcomes = race.deliver(alive, **LEAN)
    assert {receipt(outcome, "comment").state for outcome in outcomes} == {"sent"}
    race.must_show(alive)
    race.rerun([dead, *race.chance.sample(sorted(alive), 4)], **LEAN)
    race.must_show(range(LEGS))
    assert len(github.calls) <= HOURLY


def test_twenty_whole_jobs_stay_within_the_calls_of_an_hour(
    matrix: Callable[[int], Matrix], github: FakeGitHub
) -> None:
    race = matrix(0)
    outcomes = race.deliver(range(LEGS))
    race.must_show(range(LEGS))
    assert {one.state for outcome in outcomes for one in outcome.report.receipts} <= {"sent", "skipped"}
    assert len({check.name for check in github.check_runs}) == len(github.check_runs) == LEGS
    assert sum(check.conclusion == "failure" for check in github.check_runs) == sum(map(bool, race.red.values()))
    assert len(github.calls) <= HOURLY


def test_legs_whose_parts_are_listed_late_wait_until_they_are(
    matrix: Callable[[int], Matrix], github: FakeGitHub
) -> None:
    race = matrix(0)
    github.before_answer = Lag(github, race.chance, least=6, most=6)
    race.deliver(range(LEGS - 2), **LEAN)
    race.deliver([LEGS - 2, LEGS - 1], **LEAN)
    race.must_show(range(LEGS))


def test_a_part_that_is_never_listed_costs_a_wait_within_the_budget_and_a_warning(
    github: FakeGitHub, tmp_path: Path
) -> None:
    github.before_answer = Lag(github, random.Random(0), least=10_000, most=10_000)
    clock = Clock()
    adapter = open_job(github, tmp_path, job="test-1")
    outcome = report(adapter, tmp_path, shard="leg 01", shard_total=LEGS, clock=clock, deadline_seconds=20, **LEAN)
    assert receipt(outcome, "comment").state == "sent"
    assert 0 < sum(clock.slept) < 20
    assert any("may lack the newest shards" in warning for warning in outcome.warnings)
