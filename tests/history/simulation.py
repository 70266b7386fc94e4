"""Many jobs, one store, a clock of its own: what is lost of what was acknowledged? Over the real code.

``make test`` runs it in small; ``benchmarks/concurrency.py`` runs it in full and prints a table.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from math import log
from pathlib import Path
from random import Random

from ci_bridge.arguments import uuid7
from ci_bridge.errors import CIBridgeError
from ci_bridge.history import History
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import TravellingHistory
from ci_bridge.models import Metric
from tests.history.samples import NOW, record, rows
from tests.history.stores import Faults, Killed, VirtualStore

DAY = timedelta(days=1)
AHEAD = DAY
"""How far ahead a run may be dated; beyond that the store's clock counts (rule P of docs/history.md)."""

SLACK = timedelta(hours=2)
"""What a segment needs of its life beside the gap between two compactions: the longest job and the latest listing."""


@dataclass(frozen=True)
class Scenario:
    """A repository's life.

    Attributes:
        writers: Jobs of one build, which run at the same time.
        builds: How many builds, ``every`` so often.
        main: Share of builds on the default branch; between the days ``quiet`` there are none.
        reads: Share of jobs that read the history before they end (all others only store their segment).
        refusing: Share of jobs that never compact, as an older ci-bridge beside a newer base.
        ahead: Share of jobs whose clock is a year ahead.
        skew: Days by which the clock of every other job is wrong, at least and at most, either way.
        hasty: Everyone who reads compacts at once, however young the base is.
        alike: The jobs of a build tell themselves apart by nothing but the id of their run.
        segment_days: How long a segment is kept; ``history_days`` how long a run is remembered.
        idle: A pause of the whole repository: after which day, and how many days.
    """

    name: str
    writers: int = 8
    builds: int = 16
    every: timedelta = timedelta(hours=30)
    main: float = 0.6
    quiet: tuple[float, float] = (1e5, 1e5)
    reads: float = 0.3
    refusing: float = 0.0
    ahead: float = 0.0
    skew: tuple[float, float] = (0.0, 0.0)
    hasty: bool = False
    alike: bool = False
    segment_days: int = 7
    base_days: int = 14
    history_days: int = 12
    expires: bool = True
    idle: tuple[float, float] = (1e5, 0.0)
    faults: Faults = field(default_factory=Faults)


SCENARIOS = (
    Scenario("as usual"),
    Scenario("listing takes 5 minutes in the mean, 15 for 20 %", faults=Faults(lag=300, tail=0.2)),
    Scenario("20 % crashes, 5 % truncated, 10 % double", faults=Faults(dies=0.2, cut=0.05, twice=0.1)),
    Scenario("half of the jobs never compact", refusing=0.5),
    Scenario("the default branch is quiet for 10 days", quiet=(4, 14)),
    Scenario("every other clock is wrong by 1 to 5 days", skew=(1, 5)),
    Scenario("some clocks are a year ahead", ahead=0.1),
    Scenario("all jobs of a build have the same name", alike=True),
    Scenario("everyone compacts at once, every 6 minutes", every=timedelta(minutes=6), hasty=True, expires=False),
    Scenario(
        "compactors overlap where they delete", every=timedelta(hours=6), hasty=True, expires=False, segment_days=1
    ),
    Scenario("a store without expiry", expires=False, every=timedelta(hours=50), segment_days=3),
)
"""In each of them the one condition holds: segments outlive the gaps between compactions."""

SHORT_LIVED = Scenario(
    "segments live 1 day, compactions are sometimes further apart", segment_days=1, reads=0.05, every=timedelta(hours=8)
)
IDLE = Scenario(
    "the whole repository is idle for longer than segments live", builds=8, main=0.0, idle=(2.0, 9.0), history_days=60
)
UNMET = (SHORT_LIVED, IDLE)
"""Here it does not hold: what expires before anyone compacts is lost, and nothing else."""


def in_full(scenario: Scenario) -> Scenario:
    """20 jobs a build, 200 builds, 20 days remembered: 40 days where builds come every 4.8 hours."""
    every = scenario.every if scenario.every < timedelta(hours=24) else timedelta(hours=4.8)
    (quiet, busy), (idle, pause) = scenario.quiet, scenario.idle
    return replace(
        scenario, writers=20, builds=200, every=every, quiet=(quiet + 15, busy + 15), idle=(idle + 30, pause),
        reads=scenario.reads / 3, ahead=scenario.ahead / 5, history_days=20,
    )  # fmt: skip


@dataclass
class Outcome:
    """What became of it.

    Attributes:
        acknowledged: Runs whose segment was stored whole and that are to be remembered still.
        lost: Those of them that are not found.
        unexplained: Those of the lost that somebody compacted in time for.
        doubled: What was counted twice.
        most_fetches: Downloads of one reading job, at most.
    """

    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    unexplained: int = 0
    doubled: int = 0
    bases: int = 0
    most_fetches: int = 0


@dataclass
class _Job:
    name: str
    build: str
    begin: datetime
    end: datetime
    on_main: bool
    uid: str


@dataclass
class _Life:
    """One repository while the simulation runs. ``acknowledged``: run -> its object and the time that counts for it."""

    scenario: Scenario
    folder: Path
    store: VirtualStore
    random: Random
    acknowledged: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    most_fetches: int = 0

    def jobs(self) -> list[_Job]:
        scenario, random, found = self.scenario, self.random, []
        for build in range(scenario.builds):
            begin = self.store.now + build * scenario.every
            day = (begin - self.store.now) / DAY
            if day > scenario.idle[0]:
                begin += scenario.idle[1] * DAY
            on_main = random.random() < scenario.main and not scenario.quiet[0] <= day < scenario.quiet[1]
            for writer in range(scenario.writers):
                end = begin + timedelta(minutes=min(random.lognormvariate(log(6), 0.6), 60))
                uid = uuid7(begin, random.getrandbits)
                name = "test" if scenario.alike else f"test-{writer}"
                found.append(_Job(name, f"b{build}", begin, end, on_main, uid))
        return found

    def begin(self, job: _Job) -> TravellingHistory:
        scenario = self.scenario
        traveller = TravellingHistory(
            self.store, self.folder / job.uid / "history.sqlite", segment_days=scenario.segment_days,
            base_days=scenario.base_days,
        )  # fmt: skip
        if self.random.random() < scenario.reads:
            before = self.store.gets
            with contextlib.suppress(CIBridgeError):
                traveller.fetch()
            self.most_fetches = max(self.most_fetches, self.store.gets - before)
        return traveller

    def end(self, job: _Job, traveller: TravellingHistory) -> None:
        scenario, clock = self.scenario, self._clock()
        run = record(
            (NOW - clock) / DAY, job.uid, "PF", completed_at=clock, build=job.build, job=job.name,
            sha=job.build.encode().hex(),
        )  # fmt: skip
        cases, number = rows({"test_a": "P", f"test_{job.uid}": "F"}), Metric("m", 1.0, "", job.uid, None, clock)
        stored = traveller.publish(job.uid, encode(run, cases, [], [number]))
        if stored.id in self.store.intact:
            self.acknowledged[job.uid] = stored.id, min(clock, self.store.now + AHEAD)
        if traveller.reading is None:
            return
        with History.writing(traveller.cache) as history:
            history.record(run, cases, metrics=[number])
        if self.random.random() < scenario.refusing:
            return
        if scenario.hasty:
            traveller.compact(retention_days=scenario.history_days, now=self.store.now, force=True)
        else:
            traveller.compact_if_due(main=job.on_main, retention_days=scenario.history_days)

    def _clock(self) -> datetime:
        """What the job takes for the present."""
        scenario, random = self.scenario, self.random
        if random.random() < scenario.ahead:
            return self.store.now + 365 * DAY
        if scenario.skew[1] and random.random() < 0.5:
            return self.store.now + random.choice((-1, 1)) * random.uniform(*scenario.skew) * DAY
        return self.store.now

    def outcome(self) -> Outcome:
        """Read everything as a job would, and compare."""
        reader, before = TravellingHistory(self.store, self.folder / "reader" / "history.sqlite"), self.store.gets
        reader.fetch()
        # Compactors prune by the run's own date; a day more, since they last did so a while ago.
        window = self.store.now - (self.scenario.history_days - 1) * DAY
        wanted = {uid for uid, (_, at) in self.acknowledged.items() if at > window}
        with History.read(reader.cache) as history:
            runs = [row["id"] for row in history.runs()]
            numbers = [point["run_id"] for point in history.metric_points("m")]
            failures = {row["test"]: row["failures"] for row in history.tests(limit=None) if row["failures"]}
        lost = wanted - set(runs)
        return Outcome(
            acknowledged=len(wanted),
            found=len(wanted & set(runs)),
            lost=len(lost),
            unexplained=sum(self._was_in_time(self.acknowledged[uid][0]) for uid in lost),
            doubled=_repeated(runs) + _repeated(numbers) + sum(failed - 1 for failed in failures.values()),
            bases=len(self.store.named("ci-bridge-base")),
            most_fetches=max(self.most_fetches, self.store.gets - before),
        )

    def _was_in_time(self, segment: str) -> bool:
        """True if somebody stored a base while the segment was listed and had time enough left."""
        _, _, visible, expiry = self.store.objects[segment]
        bases = [self.store.objects[base][0].created_at for base in self.store.named("ci-bridge-base")]
        return any(visible <= made < expiry - SLACK for made in bases)


def _repeated(names: list[str]) -> int:
    return len(names) - len(set(names))


def simulate(scenario: Scenario, folder: Path, seed: int = 1) -> Outcome:
    """Run one repository's life and look what is left of it."""
    store = VirtualStore(expires=scenario.expires, faults=scenario.faults, random=Random(seed + 1))
    life, order = _Life(scenario, folder, store, Random(seed)), count()
    queue: list[tuple[datetime, int, _Job, TravellingHistory | None]] = []
    for job in life.jobs():
        heappush(queue, (job.begin, next(order), job, None))
    while queue:
        moment, _, job, traveller = heappop(queue)
        store.now = max(store.now, moment)
        if traveller is None:
            heappush(queue, (job.end, next(order), job, life.begin(job)))
            continue
        with contextlib.suppress(Killed):
            life.end(job, traveller)
        shutil.rmtree(folder / job.uid, ignore_errors=True)
    store.now += timedelta(hours=1)
    store.faults = None
    return life.outcome()


def shares(outcome: Outcome) -> Mapping[str, str]:
    """The outcome as the cells of a table."""
    return {
        "acknowledged": str(outcome.acknowledged),
        "found": str(outcome.found),
        "lost": f"{100 * outcome.lost / max(outcome.acknowledged, 1):.1f} %" if outcome.lost else "0",
        "lost though in time": str(outcome.unexplained),
        "counted twice": str(outcome.doubled),
        "bases": str(outcome.bases),
        "most downloads of one job": str(outcome.most_fetches),
    }
