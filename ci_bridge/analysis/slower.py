"""Which tests took clearly longer than they used to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ci_bridge.analysis.view import HistoryView
from ci_bridge.models import Outcome, Results, SlowerCase

MOST_CANDIDATES = 200
LEAST_RUNS = 10
FACTOR = 1.5
LEAST_LOSS = 0.1
"""Seconds."""


def find_slower(results: Results, view: HistoryView) -> tuple[SlowerCase, ...]:
    """Of the slowest cases those slower than ever before, the greatest loss first.

    A case counts if it passed now and in at least 10 of the last 30 runs of the base branch, took longer than in any
    of them, more than 1.5 times their median, and at least 0.1 s more than that.
    """
    candidates = {
        identity: seconds
        for identity, seconds in [*results.slowest][:MOST_CANDIDATES]
        if seconds >= LEAST_LOSS and results.outcome_of(identity) is Outcome.PASSED
    }
    if not candidates:
        return ()
    found = [
        SlowerCase(identity, statistics.median(earlier), candidates[identity], len(earlier))
        for identity, earlier in view.base_durations([*candidates]).items()
        if _is_slower(candidates[identity], earlier)
    ]
    return tuple(sorted(found, key=lambda case: (case.before - case.now, case.identity)))


def _is_slower(now: float, earlier: Sequence[float]) -> bool:
    if len(earlier) < LEAST_RUNS:
        return False
    usual = statistics.median(earlier)
    return now > max(earlier) and now > FACTOR * usual and now - usual >= LEAST_LOSS
