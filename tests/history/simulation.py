"""Many jobs, one store, a clock of its own: what is lost of what was acknowledged? Over the real code.

``benchmarks/concurrency.py`` runs it in full and prints the table of docs/history.md.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from math import log
from pathlib import Path
from random import Random

from ci_bridge.errors import CIBridgeError
from ci_bridge.history import History
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import TravellingHistory
from ci_bridge.models import Metric
from tests.history.samples import NOW, record, rows
from tests.history.stores import Faults, Killed, VirtualStore


@dataclass(frozen=True)
class Scenario:
    """A repository's life.

    Attributes:
        writers: Jobs of one build, which run at the same time.
        builds: How many builds, ``every`` so often.
        main: Share of builds on the default branch; ``main_until`` is the day from which there are none.
        reads: Share of jobs that read the history before they end (all others only store their segment).
        refusing: Share of jobs that never compact, as an older ci-bridge beside a newer base.
        ahead: Share of jobs whose clock is a year ahead.
        hasty: Everyone who reads compacts at once, however young the base is.
        segment_days: How long a segment is kept; ``history_days`` how long a run is remembered.
        idle: A pause of the whole repository: after which day, and how many days.
    """

    name: str
    writers: int = 10
    builds: int = 12
    every: timedelta = timedelta(hours=17)
    main: float = 0.6
    main_until: float = 1e5
    reads: float = 0.3
    refusing: float = 0.0
    ahead: float = 0.0
    hasty: bool = False
    segment_days: int = 7
    base_days: int = 14
    history_days: int = 90
    expires: bool = True
    idle: tuple[float, float] = (1e5, 0.0)
    faults: Faults = field(default_factory=Faults)


SCENARIOS = (
    Scenario("as usual"),
    Scenario("late listing", faults=Faults(lag=300, tail=0.2)),
    Scenario("20 % crashes, 5 % truncated, 10 % double", faults=Faults(dies=0.2, cut=0.05, twice=0.1)),
    Scenario("half of the jobs never compact", refusing=0.5),
    Scenario("the default branch is quiet for half of the time", main_until=4.5),
    Scenario("2 % of the clocks are a year ahead", ahead=0.02),
    Scenario(
        "everyone compacts at once, every 6 minutes", every=timedelta(minutes=6), hasty=True, expires=False, reads=0.2
    ),
    Scenario("a store without expiry", expires=False, every=timedelta(hours=50), segment_days=3),
)
"""In each of them the one condition holds: segments outlive the gaps between compactions."""

IDLE = Scenario("the whole repository is idle for longer than segments live", builds=6, main=0.0, idle=(2.0, 9.0))
"""Here it does not hold, and nothing can help but a scheduled job."""


@dataclass
class Outcome:
    """What became of it. ``lost`` were acknowledged and intact, and are not found; ``doubled`` were counted twice."""

    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    bases: int = 0
    most_fetches: int = 0


class _Job:
    def __init__(self, name: str, end: datetime, on_main: bool) -> None:
        self.name, self.end, self.on_main = name, end, on_main


def simulate(scenario: Scenario, folder: Path, seed: int = 1) -> Outcome:
    """Run one repository's life and look what is left of it."""
    random, store, outcome = Random(seed), VirtualStore(expires=scenario.expires, faults=scenario.faults), Outcome()
    store.random = Random(seed + 1)
    start, order = store.now, count()
    queue: list[tuple[datetime, int, _Job, TravellingHistory | None]] = []
    for build in range(scenario.builds):
        begin = start + build * scenario.every
        if begin - start > timedelta(days=scenario.idle[0]):
            begin += timedelta(days=scenario.idle[1])
        on_main = random.random() < scenario.main and begin - start < timedelta(days=scenario.main_until)
        for writer in range(scenario.writers):
            end = begin + timedelta(minutes=random.lognormvariate(log(6), 0.6))
            heappush(queue, (begin, next(order), _Job(f"b{build}-w{writer}", end, on_main), None))
    acknowledged: dict[str, datetime] = {}
    while queue:
        moment, _, job, traveller = heappop(queue)
        store.now = max(store.now, moment)
        if traveller is None:
            traveller = TravellingHistory(
                store, folder / job.name / "history.sqlite", segment_days=scenario.segment_days,
                base_days=scenario.base_days,
            )  # fmt: skip
            if random.random() < scenario.reads:
                before = store.gets
                with contextlib.suppress(CIBridgeError):
                    traveller.fetch()
                outcome.most_fetches = max(outcome.most_fetches, store.gets - before)
            heappush(queue, (job.end, next(order), job, traveller))
            continue
        with contextlib.suppress(Killed):
            _finish(scenario, job, traveller, store, random, acknowledged)
        shutil.rmtree(folder / job.name, ignore_errors=True)
    store.now += timedelta(hours=1)
    store.faults = None
    _count(scenario, store, folder, acknowledged, outcome)
    return outcome


def _finish(
    scenario: Scenario, job: _Job, traveller: TravellingHistory, store: VirtualStore, random: Random,
    acknowledged: dict[str, datetime],
) -> None:  # fmt: skip
    clock = store.now + timedelta(days=365 if random.random() < scenario.ahead else 0)
    run = record((NOW - clock) / timedelta(days=1), job.name, "PF", completed_at=clock)
    cases, number = rows({"test_a": "P", f"test_{job.name}": "F"}), Metric("m", 1.0, "", job.name, None, clock)
    stored = traveller.publish(job.name, encode(run, cases, [], [number]))
    if stored.id in store.intact:
        acknowledged[job.name] = store.now
    if traveller.reading is None:
        return
    with History.writing(traveller.cache) as history:
        history.record(run, cases, metrics=[number])
    if random.random() < scenario.refusing:
        return
    if scenario.hasty:
        traveller.compact(retention_days=scenario.history_days, now=store.now, force=True)
    else:
        traveller.compact_if_due(main=job.on_main, retention_days=scenario.history_days)


def _count(
    scenario: Scenario, store: VirtualStore, folder: Path, acknowledged: dict[str, datetime], outcome: Outcome
) -> None:
    reader = TravellingHistory(store, folder / "reader" / "history.sqlite")
    reader.fetch()
    window = store.now - timedelta(days=scenario.history_days - 2)
    wanted = {name for name, at in acknowledged.items() if at > window}
    with History.read(reader.cache) as history:
        runs = [row["id"] for row in history.runs()]
        numbers = [point["run_id"] for point in history.metric_points("m")]
        failures = {row["test"]: row["failures"] for row in history.tests(limit=None) if row["failures"]}
    outcome.acknowledged, outcome.found = len(wanted), len(wanted & set(runs))
    outcome.lost = len(wanted - set(runs))
    outcome.doubled = sum(
        len(names) - len(set(names)) for names in (runs, numbers)
    ) + sum(failed - 1 for failed in failures.values())  # fmt: skip
    outcome.bases = len(store.named("ci-bridge-base"))
