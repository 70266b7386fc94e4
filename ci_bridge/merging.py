"""One report out of the parts that the parallel jobs of a build found, whatever order they finish in.

Merging is a join: order, grouping and repetition do not matter, so every job can merge what it sees and all who see
the same parts come to the same report. Pure functions over values; who lists and who writes is in :mod:`.sharing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from heapq import nlargest

from ci_bridge.models import (
    Baseline,
    BuildContext,
    Case,
    InputFile,
    JudgedCase,
    Judgement,
    Outcome,
    Report,
    Row,
    RunState,
    ShardResult,
    SlowerCase,
    TestRun,
    Totals,
    Verdict,
)

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_WORST_FIRST = (Verdict.NEW, Verdict.UNJUDGED, Verdict.KNOWN, Verdict.FLAKY)
_SLOWEST = 10


@dataclass(frozen=True, slots=True)
class Leg:
    """What one parallel job found, as the others see it. Lists are bounded; the numbers in ``result`` count all.

    Attributes:
        result: Its shard, state and numbers.
        uid: Id of its test run.
        attempt: Number of the re-run, counted from 1.
        put_at: When its part was stored, by the store's clock; ``object_id`` is the store's key of that part.
        shard_total: Number of parallel jobs, as this one knows it.
        job: Tells it from another job with the same key: a pipeline may call another one twice. Empty if nothing does.
        judged: Failing and flaky cases, worst news first.
        fixed: Identities that failed in the baseline and pass now.
        files: Input files with problems or remarks.
        dropped: Cases beyond the cap.
    """

    result: ShardResult
    uid: str = ""
    attempt: int = 1
    put_at: datetime = NEVER
    object_id: str = ""
    shard_total: int | None = None
    job: str = ""
    judged: tuple[JudgedCase, ...] = ()
    fixed: tuple[str, ...] = ()
    slower: tuple[SlowerCase, ...] = ()
    slowest: tuple[tuple[str, float], ...] = ()
    files: tuple[InputFile, ...] = ()
    notes: tuple[str, ...] = ()
    dropped: int = 0
    baseline: Baseline | None = None

    @property
    def shard(self) -> str:
        """The key that tells it from its siblings."""
        return self.result.shard

    @property
    def age(self) -> tuple[datetime, int, str]:
        """Orders parts by when they were stored; ids of one moment by their number."""
        return self.put_at, len(self.object_id), self.object_id


def merge(*groups: Iterable[Leg]) -> tuple[Leg, ...]:
    """The newest attempt of each shard, sorted by shard: associative, commutative and idempotent.

    Several jobs that report the same shard in that attempt all count.
    """
    newest: dict[tuple[str, str], Leg] = {}
    last: dict[str, int] = {}
    for group in groups:
        for leg in group:
            last[leg.shard] = max(leg.attempt, last.get(leg.shard, 0))
            known = newest.get((leg.shard, leg.job))
            if known is None or (leg.attempt, *leg.age, leg.uid) > (known.attempt, *known.age, known.uid):
                newest[leg.shard, leg.job] = leg
    found = (leg for leg in newest.values() if leg.attempt == last[leg.shard])
    return tuple(sorted(found, key=lambda leg: (leg.shard, *leg.age, leg.job)))


def total_of(legs: Sequence[Leg]) -> int | None:
    """The number of parallel jobs as far as any of them knows it."""
    return max((leg.shard_total for leg in legs if leg.shard_total), default=None)


def is_complete(legs: Sequence[Leg]) -> bool:
    """True if every job has reported, or if nobody knows how many there are."""
    return len({leg.shard for leg in legs}) >= (total_of(legs) or 0)


def notifies(legs: Sequence[Leg], object_id: str) -> bool:
    """True for the one job whose part completes the report: of those that see all, the one whose segment is newest."""
    return is_complete(legs) and bool(legs) and max(legs, key=lambda leg: leg.age).object_id == object_id


def state_of(legs: Sequence[Leg]) -> RunState:
    """The state of all together: the worst; never green before every job has reported."""
    states = {leg.result.state for leg in legs}
    if states == {RunState.NO_RESULTS} and is_complete(legs):
        return RunState.NO_RESULTS
    if states & {RunState.ERROR, RunState.NO_RESULTS}:
        return RunState.ERROR
    if RunState.FAILURE in states:
        return RunState.FAILURE
    return RunState.SUCCESS if states == {RunState.SUCCESS} and is_complete(legs) else RunState.PENDING


def add(totals: Iterable[Totals]) -> Totals:
    """The sum; durations are added in order of size, so that it does not depend on the order of the parts."""
    parts = list(totals)
    return Totals(
        passed=sum(part.passed for part in parts),
        failed=sum(part.failed for part in parts),
        error=sum(part.error for part in parts),
        skipped=sum(part.skipped for part in parts),
        flaky=sum(part.flaky for part in parts),
        duration=sum(sorted(part.duration for part in parts)),
    )


def union(legs: Sequence[Leg]) -> tuple[JudgedCase, ...]:
    """The judged cases of all, worst news first; a case with the same verdict in several shards comes once."""
    found: dict[tuple[Verdict, str], list[tuple[str, JudgedCase]]] = {}
    for leg in legs:
        for judged in leg.judged:
            # A case that fails here and passes on retry there is two pieces of news.
            key = (judged.verdict, f"{judged.case.is_failure:d}{judged.case.identity}")
            found.setdefault(key, []).append((leg.shard, judged))
    merged = [
        replace(where[0][1], shards=tuple(dict.fromkeys(shard for shard, _ in where))) for where in found.values()
    ]
    order = {verdict: place for place, verdict in enumerate(_WORST_FIRST)}
    # Sorting is stable: within a verdict the widest spread comes first, then the order of shards and of each job.
    return tuple(sorted(merged, key=lambda one: (order.get(one.verdict, len(order)), -len(one.shards))))


def common_baseline(legs: Sequence[Leg]) -> Baseline | None:
    """What all were compared with: the newest of the runs, with the sum of their numbers; None unless all have one."""
    baselines = [leg.baseline for leg in legs if leg.baseline is not None]
    if not baselines or len(baselines) < len(legs):
        return None
    newest = max(baselines, key=lambda baseline: (baseline.created_at, baseline.run_id))
    return replace(newest, totals=add(baseline.totals for baseline in baselines))


@dataclass(frozen=True, slots=True)
class MergedResults:
    """The results of all parts, as far as they tell; single cases are in each job's own report."""

    files: Sequence[InputFile] = ()
    totals: Totals = field(default_factory=Totals)
    slowest: Sequence[tuple[str, float]] = ()
    notes: Sequence[str] = ()
    dropped: int = 0
    failures: Sequence[Case] = field(default=(), init=False)
    flaky: Sequence[Case] = field(default=(), init=False)

    def outcome_of(self, identity: str) -> Outcome | None:  # noqa: ARG002 - the protocol's
        """Not known: a part names no passed cases."""
        return None

    def rows(self) -> Iterator[list[Row]]:
        """None; see the reports of the single jobs."""
        return iter(())

    def close(self) -> None:
        """Nothing is held open."""


def merged_report(legs: Sequence[Leg], *, context: BuildContext, run: TestRun, title: str) -> Report:
    """The report of a build out of its jobs' parts.

    Args:
        legs: As :func:`merge` answers them. Equal ones give an equal comment, whichever job asks.
        context: The build; what belongs to a single job of it is left out.
        run: The asking job's run; only its pull request and commit matter here.
        title: Of the report.
    """
    rows = zip(legs, _rows([leg.shard for leg in legs]), strict=True)
    legs = [replace(leg, result=replace(leg.result, shard=row)) for leg, row in rows]
    results = MergedResults(
        files=tuple(_labelled(file, leg.shard) for leg in legs for file in leg.files),
        totals=add(leg.result.totals for leg in legs),
        slowest=_slowest(legs),
        notes=tuple(f"{leg.shard}: {note}" for leg in legs for note in leg.notes),
        dropped=sum(leg.dropped for leg in legs),
    )
    judgement = Judgement(
        judged=union(legs),
        fixed=tuple(dict.fromkeys(identity for leg in legs for identity in leg.fixed)),
        baseline=common_baseline(legs),
        slower=tuple(
            sorted({slow for leg in legs for slow in leg.slower}, key=lambda s: (s.before - s.now, s.identity))
        ),
    )
    state = state_of(legs)
    return Report(
        run=replace(run, state=state, system_info={}, metadata={}),
        context=replace(context, job_url=None, job_id=None),
        results=results,
        judgement=judgement,
        state=state,
        title=title,
        shards=tuple(leg.result for leg in legs),
        shard_total=total_of(legs),
    )


def with_lost(report: Report, lost: Sequence[InputFile]) -> Report:
    """The report with input that no part of it could be made of: whatever it says besides, it is not complete."""
    if not lost:
        return report
    results = report.results
    merged = MergedResults((*lost, *results.files), results.totals, results.slowest, results.notes, results.dropped)
    return replace(report, results=merged, state=RunState.ERROR, run=replace(report.run, state=RunState.ERROR))


def _rows(shards: Sequence[str]) -> list[str]:
    """What the rows of these shards are called.

    Where all are matrices of the same names, the values say enough. Jobs that report the same shard are counted.
    """
    pairs = [[part.partition("=") for part in shard.split(" / ")] for shard in shards]
    names = {tuple(name for name, _, _ in one) for one in pairs}
    rows = list(shards)
    if len(names) == 1 and all(value for one in pairs for _, _, value in one):
        short = [" / ".join(value for _, _, value in one) for one in pairs]
        rows = short if len(set(short)) == len(set(shards)) else rows
    return [
        row if row not in rows[:place] else f"{row} ({rows[:place].count(row) + 1})" for place, row in enumerate(rows)
    ]


def _labelled(file: InputFile, shard: str) -> InputFile:
    return replace(file, path=f"{shard}: {file.path}") if shard else file


def _slowest(legs: Sequence[Leg]) -> tuple[tuple[str, float], ...]:
    longest: dict[str, float] = {}
    for leg in legs:
        for identity, seconds in leg.slowest:
            longest[identity] = max(seconds, longest.get(identity, 0.0))
    return tuple(nlargest(_SLOWEST, sorted(longest.items()), key=lambda item: item[1]))
