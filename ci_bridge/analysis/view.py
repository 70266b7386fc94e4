"""What the analysis asks of a history, as data; :class:`ci_bridge.history.View` answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ci_bridge.models import Baseline


class SeenRun(Protocol):
    """One earlier run. ``red`` and ``total`` count its failing and all its cases."""

    @property
    def at(self) -> datetime: ...
    @property
    def commit_sha(self) -> str | None: ...
    @property
    def branch(self) -> str | None: ...
    @property
    def red(self) -> int: ...
    @property
    def total(self) -> int: ...


class HistoryView(Protocol):
    """The history as one run sees it.

    Outcomes are strings with one letter per run: ``P`` passed, ``F`` failed, ``R`` passed on retry, ``S`` skipped,
    ``-`` absent. Identities that the history does not know are left out of the answers.
    """

    @property
    def branch(self) -> str | None:
        """The base branch."""
        ...

    @property
    def baseline(self) -> Baseline | None:
        """The newest complete one of ``base_runs``, None if there is none, or if those are of other reports."""
        ...

    @property
    def base_runs(self) -> Sequence[SeenRun]:
        """Trusted runs of the base branch with the same report and shard, newest first, at most 30.

        Where there are none, those of other reports with the same shard.
        """
        ...

    @property
    def recent_runs(self) -> Sequence[SeenRun]:
        """Runs of the evidence window with the same report and shard, oldest first."""
        ...

    def base_outcomes(self, identities: Sequence[str]) -> Mapping[str, str]:
        """Outcomes in ``base_runs``."""
        ...

    def recent_outcomes(self, identities: Sequence[str]) -> Mapping[str, str]:
        """Outcomes in ``recent_runs``."""
        ...

    def base_failures(self) -> Sequence[str]:
        """Identities whose newest outcome on the base branch, skips left out, is a failure."""
        ...

    def base_durations(self, identities: Sequence[str]) -> Mapping[str, Sequence[float]]:
        """Seconds of the passed executions in ``base_runs``, newest first."""
        ...

    def suspects(self) -> Sequence[str]:
        """Identities that failed or were retried in at least two of ``recent_runs``."""
        ...

    def signatures(self, norms: Sequence[str]) -> Mapping[str, tuple[datetime, int]]:
        """Known failure signatures: when first seen, in how many runs."""
        ...
