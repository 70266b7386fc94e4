"""Measure the history on a synthetic project: size, saving, reading and judging, queries.

The workload: runs over 90 days, 50 % of them on main, 10 % on develop, the rest on short-lived branches, all trusted;
10 % are re-runs of the same commit; 3 tests in 10 000 are replaced per run; 0.6 % always skipped, 0.5 % flaky (2 to
30 %), 0.02 % red on every branch and 0.02 % on develop, breakages that last for some runs of a branch; durations log-
normal; 10 numbers for each of 10 tasks a run. All of it comes from one seed.

Usage: ``python benchmarks/history.py [--runs N] [--tests N]``; prints Markdown.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ci_bridge import analysis
from ci_bridge.history import History, RunRecord
from ci_bridge.models import Case, Metric, Outcome, Row, Totals, identity_of

START = datetime(2026, 8, 1, tzinfo=UTC)
DAYS = 90


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the table. ``target`` is for the full size of 1 000 runs with 10 000 tests."""

    what: str
    value: float
    unit: str
    target: str = ""


@dataclass
class _Test:
    number: int
    seconds: float
    spread: float
    skipped: bool
    flaky: float
    red: str = "green"  # or on which branch, empty for all
    parts: tuple[tuple[str, ...], str, str, str] = field(init=False)

    def __post_init__(self) -> None:
        module = f"tests/area_{self.number % 17}/test_component_{self.number // 40}.py"
        name = f"test_{self.number}_keeps_what_it_promises[case-{self.number % 7}]"
        self.parts = ((), module[:-3].replace("/", "."), module, name)


class Project:
    """Makes the runs of a project, one after the other."""

    def __init__(self, runs: int, tests: int, seed: int = 20261122) -> None:
        self.runs, self._random = runs, random.Random(seed)
        self._made = 0
        self.flaky_names: set[str] = set()
        self._tests = [self._new_test() for _ in range(tests)]
        self._broken: dict[str, dict[int, int]] = {"main": {}}
        self._sha = "0" * 40

    def _new_test(self) -> _Test:
        self._made += 1
        chance = self._random.random
        flaky = 0.02 * 15 ** chance() if self._made % 200 == 7 else 0.0
        test = _Test(
            self._made, math.exp(self._random.gauss(-4, 1.5)), 0.05 + 0.3 * chance(), self._made % 167 == 5, flaky,
            red={3: "", 4: "develop"}.get(self._made % 5000, "green"),
        )  # fmt: skip
        if flaky:
            self.flaky_names.add(identity_of(*test.parts))
        return test

    def records(self) -> Iterator[tuple[RunRecord, list[list[Row]], list[Metric]]]:
        """Every run with its cases and metrics, in the order of time."""
        pick = self._random
        for number in range(self.runs):
            again = number > 0 and pick.random() < 0.1
            if not again:
                chance = pick.random()
                branch = "main" if chance < 0.5 else f"topic-{number * 112 // self.runs}" if chance < 0.9 else "develop"
                self._sha = f"{pick.getrandbits(160):040x}"
            for _ in range(max(1, 3 * len(self._tests) // 10_000)):
                self._tests[pick.randrange(len(self._tests))] = self._new_test()
            cases, totals = self._run(branch, again)
            at = START + timedelta(days=DAYS * number / self.runs)
            uid = f"run-{number:06d}"
            run = RunRecord(
                uid, at, branch=branch, sha=self._sha, build=str(number), status="failure" if totals.red else "success",
                totals=totals, duration=totals.duration / 4, trusted=True,
            )  # fmt: skip
            metrics = [
                Metric(f"metric {m}", 10 * (m + 1) * math.exp(pick.gauss(0, 0.05)), "s", uid, f"task-{t}", at)
                for m in range(10)
                for t in range(10)
            ]
            yield run, cases, metrics

    def _run(self, branch: str, again: bool) -> tuple[list[list[Row]], Totals]:
        pick, gauss = self._random, self._random.gauss
        broken = self._broken.setdefault(branch, dict(self._broken["main"]))
        if not again:
            self._change_code(broken, 0.25 if branch == "main" else 0.5)
        machine = math.exp(gauss(0, 0.1))
        rows: list[Row] = []
        failed = skipped = 0
        total = 0.0
        for test in self._tests:
            seconds = test.seconds * machine * math.exp(gauss(0, test.spread))
            total += seconds
            if test.skipped:
                skipped += 1
                rows.append((*test.parts, 0, "skipped", 0.0, ("", "not on this platform", "", "", "", ())))
            elif test.red in ("", branch) or test.number in broken or (test.flaky and pick.random() < test.flaky):
                failed += 1
                rows.append(
                    (
                        *test.parts,
                        0,
                        "failed",
                        seconds,
                        ("AssertionError", f"{failed} != {test.number}", _TRACE, "", "", ()),
                    )
                )
            else:
                rows.append((*test.parts, 0, "passed", seconds, None))
        passed = len(rows) - failed - skipped
        batches = [rows[at : at + 1000] for at in range(0, len(rows), 1000)]
        return batches, Totals(passed=passed, failed=failed, skipped=skipped, duration=total)

    def _change_code(self, broken: dict[int, int], chance: float) -> None:
        """Mend what was broken long enough, and maybe break some neighbours for some commits of this branch."""
        pick = self._random
        for number in [n for n, left in broken.items() if left == 0]:
            del broken[number]
        for number in broken:
            broken[number] -= 1
        if pick.random() < chance:
            first = pick.randrange(len(self._tests))
            for place in range(first, first + int(math.exp(abs(pick.gauss(0, 1.8))))):
                broken[self._tests[place % len(self._tests)].number] = pick.randrange(1, 12)


_TRACE = "\n".join(f'  File "src/shop/module_{n}.py", line {n * 7}, in handle_{n}' for n in range(4))


class Given:
    """The results of one run, as a judgement wants them."""

    def __init__(self, batches: list[list[Row]], totals: Totals) -> None:
        from ci_bridge.models import case_of_row

        self.files: tuple[Any, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.dropped, self.totals, self._batches = 0, totals, batches
        rows = [row for batch in batches for row in batch]
        self.failures = [case_of_row(row) for row in rows if row[5] in ("failed", "error")]
        self.flaky: list[Case] = []
        self.slowest = sorted(((identity_of(*r[:4]), r[6]) for r in rows), key=lambda item: -item[1])[:200]
        self._outcomes = {identity_of(*r[:4]): Outcome(r[5]) for r in rows}

    def outcome_of(self, identity: str) -> Outcome | None:
        return self._outcomes.get(identity)

    def rows(self) -> Iterator[list[Row]]:
        return iter(self._batches)

    def close(self) -> None:
        """Nothing is open."""


def timed(work: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """CPU seconds of the best of some calls, and what the last one answered."""
    best, answer = math.inf, None
    for _ in range(times):
        start = time.process_time()
        answer = work()
        best = min(best, time.process_time() - start)
    return best, answer


def measure(runs: int = 1000, tests: int = 10_000, folder: Path | None = None) -> list[Measurement]:
    """Build the history and measure it. Takes about a minute at full size."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return [*_measure(Path(place) / "history.sqlite", runs, tests)]


def _measure(path: Path, runs: int, tests: int) -> Iterator[Measurement]:
    project = Project(runs + 1, tests)
    stream = project.records()
    spent = results = 0.0
    with History.writing(path) as history:
        for _ in range(runs):
            run, batches, metrics = next(stream)
            signatures = _judged(batches)
            cost, _ = timed(lambda: history.record(run, batches, judged=signatures, metrics=metrics))  # noqa: B023
            spent += cost
            results += run.totals.total
    size = path.stat().st_size
    yield Measurement("file", size / 1e6, "MB", "≤ 21 MB")
    yield Measurement("file, per result", size / results, "bytes")
    yield Measurement("file, zlib level 6", len(zlib.compress(path.read_bytes(), 6)) / 1e6, "MB", "≤ 16 MB")
    yield Measurement("record one run, file open", spent / runs * 1000, "ms", "≤ 40 ms")

    run, batches, metrics = next(stream)
    given = Given(batches, run.totals)
    end = run.ts

    def open_and_close() -> None:
        History.read(path).close()

    yield Measurement("open checked", timed(open_and_close, 3)[0] * 1000, "ms", "≤ 500 ms")
    with History.read(path) as history:
        view = history.view(branch="main", now=end)
        seconds, judgement = timed(lambda: analysis.judge(given, view, depth="comprehensive", trends=True), 3)
        yield Measurement(f"judge a run with {len(given.failures)} failures", seconds * 1000, "ms")
        seconds, ranked = timed(lambda: analysis.rank_flaky(history.view(branch="main", now=end)), 3)
        yield Measurement("flaky ranking, 30 days", seconds * 1000, "ms", "≤ 100 ms")
        found = {name for name, _ in ranked}
        recent = project.flaky_names & {name for name, failures in _seen(view) if failures >= 5}
        yield Measurement(
            "flaky tests found of those that failed five times", 100 * len(found & recent) / max(len(recent), 1), "%"
        )
        yield Measurement("tests called flaky that are not", len(found - project.flaky_names), "tests", "0")
        name = identity_of(*batches[0][0][:4])
        yield Measurement(
            "one test's series, 90 days", timed(lambda: history.test_series(name), 3)[0] * 1000, "ms", "≤ 60 ms"
        )
        yield Measurement("50 tests with most failures", timed(lambda: history.tests(limit=50), 3)[0] * 1000, "ms")
        yield Measurement(
            "all tests with counts", timed(lambda: history.tests(limit=None))[0] * 1000, "ms", "≤ 1500 ms"
        )
        yield Measurement("last 20 runs of a branch", timed(lambda: history.runs(20, branch="main"), 3)[0] * 1000, "ms")
        week = end - timedelta(days=7)
        points = history.metric_points("metric 1", since=week)
        trend = timed(
            lambda: analysis.analyze_trend(points, metric_name="metric 1", grouping="branch", timeframe="1w", now=end),
            3,
        )
        yield Measurement(f"trend of {len(points)} values of one metric", trend[0] * 1000, "ms")

    def save() -> None:
        with History.writing(path) as history:
            history.record(run, batches, judged=judgement.judged, metrics=metrics)
            history.prune(89, now=end)

    yield Measurement("save one more run, whole", timed(save)[0] * 1000, "ms", "≤ 700 ms")
    yield Measurement("peak memory of all this", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")


def _seen(view: Any) -> list[tuple[str, int]]:
    return [(name, text.count("F")) for name, text in view.recent_outcomes(view.suspects()).items()]


def _judged(batches: list[list[Row]]) -> list[Any]:
    from ci_bridge.models import JudgedCase, Verdict, case_of_row

    red = [case_of_row(row) for batch in batches for row in batch if row[5] == "failed"]
    return [
        JudgedCase(case, Verdict.NEW, signature=analysis.signature_of(case.type, case.message, case.details))
        for case in red
    ]


def table(measurements: list[Measurement]) -> str:
    """The measurements in Markdown."""
    lines = ["| history | measured | target |", "| --- | ---: | ---: |"]
    lines += [f"| {m.what} | {m.value:,.2f} {m.unit} | {m.target} |" for m in measurements]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--tests", type=int, default=10_000)
    arguments = parser.parse_args()
    start = time.monotonic()
    print(table(measure(arguments.runs, arguments.tests)))
    print(f"\n{arguments.runs} runs of {arguments.tests} tests, took {time.monotonic() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
