"""Is a test flaky? Evidence from its outcomes in the runs of the last 30 days.

Two models compete for a test's outcomes. A *coin* fails each run with the same unknown probability, Beta(0.5, 3)
beforehand. A *sticky* test breaks after a pass with a probability from Beta(1, 200) and is mended after a failure with
one from Beta(1, 1). What counts are the steps from one run of a branch to its next: how a branch begins is its author's
doing and no evidence. The logarithm of the Bayes factor is the weight of the evidence in nats; above 3 the test is
called flaky, once it took part in ten runs, failed in two and changed. Runs in which many tests failed at once say
nothing about one of them and are left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from math import lgamma

from ci_bridge.analysis.view import HistoryView, SeenRun

LIKELY = 3.0
"""Nats from which a test is called flaky."""

LEAST_RUNS, LEAST_FAILURES = 10, 2
"""Below these a test is young rather than flaky: one failure of a new test looks like a coin to any model."""

PROVEN_MIXES = 2
"""Commits with a pass and a failure from which it is proven."""

MIX_WEIGHT = 2.0
"""Nats that the first such commit adds: code does not break and mend itself between two runs of it, machines may."""

INCIDENT_SHARE, INCIDENT_FACTOR, INCIDENT_LEAST = 0.015, 5.0, 5
"""A run is an incident if more than 5 tests failed in it, and more than 1.5 % and five times the median share."""


@dataclass(frozen=True, slots=True)
class Flakiness:
    """What the runs of the window say of one test.

    Attributes:
        runs: Runs that hold it, skips and incidents left out. failures: of these, retried ones included.
        flips: Changes between passing and failing from one run of a branch to the next.
        mixed_commits: Commits on which it both passed and failed.
        log_bayes_factor: Nats for a coin against a sticky test, :data:`MIX_WEIGHT` for a mixed commit included.
    """

    runs: int = 0
    failures: int = 0
    flips: int = 0
    mixed_commits: int = 0
    log_bayes_factor: float = 0.0

    @property
    def is_proven(self) -> bool:
        """True if commits both passed and failed often enough."""
        return self.mixed_commits >= PROVEN_MIXES

    @property
    def is_likely(self) -> bool:
        """True if the coin explains the outcomes much better, and there are enough of them.

        What never changed is not flaky, however well a coin that always falls on one side explains it.
        """
        enough = self.runs >= LEAST_RUNS and self.failures >= LEAST_FAILURES
        changed = self.flips or self.mixed_commits
        return bool(enough and changed and self.log_bayes_factor > LIKELY)

    @property
    def text(self) -> str:
        """The counts in words."""
        if not self.runs:
            return ""
        parts = [f"failed {self.failures} of {_count(self.runs, 'run')}"]
        if self.flips:
            parts.append(_count(self.flips, "flip"))
        if self.mixed_commits:
            parts.append(f"{_count(self.mixed_commits, 'commit')} with both")
        return ", ".join(parts)


def incidents(runs: Sequence[SeenRun]) -> list[bool]:
    """For each run whether it is an incident."""
    shares = [run.red / run.total if run.total else 0.0 for run in runs]
    edge = max(INCIDENT_SHARE, INCIDENT_FACTOR * statistics.median(shares)) if shares else INCIDENT_SHARE
    return [run.red > INCIDENT_LEAST and share > edge for run, share in zip(runs, shares, strict=True)]


class Window:
    """The runs that tests are weighed by.

    Args:
        runs: Oldest first.
    """

    def __init__(self, runs: Sequence[SeenRun]) -> None:
        self._kept = [not incident for incident in incidents(runs)]
        kept = [*compress(runs, self._kept)]
        self._branches = [run.branch for run in kept]
        self._commits: dict[str, list[int]] = {}
        for at, run in enumerate(kept):
            if run.commit_sha:
                self._commits.setdefault(run.commit_sha, []).append(at)
        self._shas = [run.commit_sha for run in kept]

    def assess(self, outcomes: str) -> Flakiness:
        """Weigh one test's outcomes, one letter per run; see :class:`~ci_bridge.analysis.view.HistoryView`."""
        letters = [*compress(outcomes, self._kept)]
        last: dict[str | None, int] = {}
        steps = [0, 0, 0, 0]  # pass-pass, pass-fail, fail-pass, fail-fail
        seen = [0, 0]  # passes, failures
        for letter, branch in zip(letters, self._branches, strict=True):
            if letter == "P":
                red = 0
            elif letter in "FR":
                red = 1
            else:
                continue
            seen[red] += 1
            if (before := last.get(branch)) is not None:
                steps[2 * before + red] += 1
            last[branch] = red
        failures = seen[1]
        mixed = self._mixed(letters) if failures else 0
        return Flakiness(
            runs=sum(seen),
            failures=failures,
            flips=steps[1] + steps[2],
            mixed_commits=mixed,
            log_bayes_factor=_log_bayes_factor(steps) + MIX_WEIGHT * bool(mixed) if failures else 0.0,
        )

    def _mixed(self, letters: Sequence[str]) -> int:
        suspects = {sha for sha, letter in zip(self._shas, letters, strict=True) if letter in "FR" and sha}
        seen = ({letters[at] for at in self._commits[sha]} for sha in suspects)
        return sum("R" in outcomes or {"P", "F"} <= outcomes for outcomes in seen)


def rank_flaky(view: HistoryView, limit: int | None = None) -> list[tuple[str, Flakiness]]:
    """The tests that the window shows to be flaky, the surest first."""
    assessed = assess_all(view, view.suspects()).items()
    found = [(name, flakiness) for name, flakiness in assessed if flakiness.is_proven or flakiness.is_likely]
    found.sort(key=lambda item: (-item[1].log_bayes_factor, -item[1].mixed_commits, item[0]))
    return found[:limit]


def assess_all(view: HistoryView, identities: Sequence[str]) -> Mapping[str, Flakiness]:
    """Weigh these tests."""
    window = Window(view.recent_runs)
    return {name: window.assess(outcomes) for name, outcomes in view.recent_outcomes(identities).items()}


def _log_bayes_factor(steps: Sequence[int]) -> float:
    passed, failed = steps[0] + steps[2], steps[1] + steps[3]
    coin = _log_beta(0.5 + failed, 3 + passed) - _log_beta(0.5, 3)
    breaks = _log_beta(1 + steps[1], 200 + steps[0]) - _log_beta(1, 200)
    mends = _log_beta(1 + steps[2], 1 + steps[3]) - _log_beta(1, 1)
    return coin - breaks - mends


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
