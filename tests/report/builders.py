"""Reports made by hand: a small real implementation of ``Results`` in memory, and short ways to fill a ``Report``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ci_bridge.models import (
    Attempt,
    Baseline,
    BuildContext,
    Case,
    Evidence,
    FileState,
    InputFile,
    JudgedCase,
    Judgement,
    Outcome,
    Report,
    Row,
    RunState,
    TestRun,
    Totals,
    Verdict,
    identity_of,
    row_of_case,
)

MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class MemoryResults:
    """Cases held in a list; satisfies :class:`ci_bridge.models.Results`."""

    def __init__(
        self,
        cases: Iterable[Case] = (),
        *,
        files: Sequence[InputFile] | None = None,
        notes: Sequence[str] = (),
        dropped: int = 0,
        batch: int = 1000,
    ) -> None:
        self.cases = list(cases)
        self.files: Sequence[InputFile] = (
            files if files is not None else (InputFile("junit.xml", "junit", FileState.READ, len(self.cases)),)
        )
        self.notes: Sequence[str] = notes
        self.dropped = dropped
        self._batch = batch

    @property
    def totals(self) -> Totals:
        counts = {outcome: sum(case.outcome is outcome for case in self.cases) for outcome in Outcome}
        return Totals(
            counts[Outcome.PASSED],
            counts[Outcome.FAILED],
            counts[Outcome.ERROR],
            counts[Outcome.SKIPPED],
            len(self.flaky),
            sum(case.duration for case in self.cases),
        )

    @property
    def failures(self) -> Sequence[Case]:
        return [case for case in self.cases if case.is_failure]

    @property
    def flaky(self) -> Sequence[Case]:
        return [case for case in self.cases if case.is_flaky]

    @property
    def slowest(self) -> Sequence[tuple[str, float]]:
        return [(case.identity, case.duration) for case in sorted(self.cases, key=lambda case: -case.duration)[:10]]

    def outcome_of(self, identity: str) -> Outcome | None:
        return next((case.outcome for case in self.cases if case.identity == identity), None)

    def rows(self) -> Iterator[list[Row]]:
        for start in range(0, len(self.cases), self._batch):
            yield [row_of_case(case) for case in self.cases[start : start + self._batch]]

    def close(self) -> None:
        """Nothing to drop."""


class ManyResults(MemoryResults):
    """A given number of passed cases made on the fly, and some others at the end."""

    def __init__(self, passed: int, others: Sequence[Case] = (), *, per_suite: int = 1000) -> None:
        super().__init__(others)
        self._passed = passed
        self._per_suite = per_suite

    @property
    def totals(self) -> Totals:
        own = super().totals
        return replace(own, passed=own.passed + self._passed, duration=own.duration + self._passed * 0.0125)

    def rows(self) -> Iterator[list[Row]]:
        size = self._per_suite
        for start in range(0, self._passed, size):
            suite = (f"suite {start // size}",)
            classname = f"tests.unit.test_module_{start // size}"
            yield [
                (suite, classname, "", f"test_number_{number}[param-{number % 7}]", 0, "passed", 0.0125, None)
                for number in range(start, min(start + size, self._passed))
            ]
        yield from super().rows()


def passed(name: str = "test_ok", **fields: Any) -> Case:
    return Case(name, **{"classname": "tests.test_shop", "duration": 0.25, **fields})


def failed(name: str = "test_total", **fields: Any) -> Case:
    return Case(
        name,
        **{
            "file": "tests/test_cart.py",
            "line": 12,
            "outcome": Outcome.FAILED,
            "duration": 0.5,
            "type": "AssertionError",
            "message": "41 != 42",
            "details": "Traceback (most recent call last):\n"
            '  File "tests/test_cart.py", line 14, in test_total\n    assert 41 == 42\nAssertionError: 41 != 42',
            **fields,
        },
    )


def flaky(name: str = "test_reconnect", **fields: Any) -> Case:
    attempt = Attempt(
        Outcome.FAILED, 0.75, "TimeoutError", "no answer in 5 s", "trace of the first attempt", "sent\n", ""
    )
    return Case(name, **{"file": "tests/test_ws.py", "duration": 1.5, "attempts": (attempt,), **fields})


def skipped(name: str = "test_windows", **fields: Any) -> Case:
    return Case(name, **{"classname": "tests.test_shop", "outcome": Outcome.SKIPPED, "message": "not here", **fields})


def baseline(**fields: Any) -> Baseline:
    totals = fields.pop("totals", Totals(passed=3, duration=2.0))
    return Baseline(
        **{
            "run_id": "0195",
            "branch": "main",
            "commit_sha": "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334",
            "created_at": MOMENT,
            "totals": totals,
            **fields,
        }
    )


def judged(case: Case, verdict: Verdict = Verdict.NEW, text: str = "", spark: str = "", **fields: Any) -> JudgedCase:
    return JudgedCase(case, verdict, Evidence(text=text, spark=spark), **fields)


def report_of(
    cases: Iterable[Case] | MemoryResults = (),
    judged_cases: Sequence[JudgedCase] = (),
    *,
    state: RunState | None = None,
    judgement: Judgement | None = None,
    **fields: Any,
) -> Report:
    """A report on these cases; its state follows from them unless given."""
    results = cases if isinstance(cases, MemoryResults) else MemoryResults(cases)
    if state is None:
        state = RunState.FAILURE if results.totals.red else RunState.SUCCESS
    return Report(
        **{
            "run": TestRun("0195-run", name="unit", created_at=MOMENT, completed_at=MOMENT),
            "context": BuildContext("local", repository="acme/shop", branch="feature", commit_sha="f" * 40),
            "results": results,
            "judgement": judgement or Judgement(tuple(judged_cases)),
            "state": state,
            **fields,
        }
    )


def rich_report(**fields: Any) -> Report:
    """One of everything: new, unjudged, known and flaky failures, a fixed and a slower test, a broken file."""
    new, known = failed(), failed("test_tax", message="rate is None", type="TypeError")
    shaky = flaky()
    cases = [*(passed(f"test_ok_{i}") for i in range(20)), new, known, shaky, skipped()]
    files = (
        InputFile("out/junit.xml", "junit", FileState.READ, 24),
        InputFile("out/cut.xml", "junit", FileState.RECOVERED, 1, "ends in the middle of a case"),
    )
    from ci_bridge.models import FailureGroup, Metric, Receipt, SlowerCase

    fields.setdefault("links", {"report": "https://ci.example.com/report.html"})
    return report_of(
        MemoryResults(cases, files=files),
        judgement=Judgement(
            judged=(
                judged(new, Verdict.NEW, "first seen in this pull request", "PPPPF", category="assertion"),
                judged(known, Verdict.KNOWN, "failing since 2026-02-01 on main@a1b2c3d", "FFFFF"),
                judged(shaky, Verdict.FLAKY, "flaked in 7 of the last 200 runs", "PFPPF"),
            ),
            fixed=(identity_of((), "tests.test_shop", "", "test_ok_1"),),
            baseline=baseline(totals=Totals(passed=18, failed=2, skipped=1, duration=6.0)),
            slower=(SlowerCase(identity_of((), "tests.test_shop", "", "test_ok_2"), 1.2, 4.9, 30),),
            groups=(FailureGroup("AssertionError: # != #", "assertion", (new.identity, known.identity), MOMENT, 3),),
        ),
        system_info={"python": "3.12.1", "platform": "Linux-6.1-x86_64"},
        metrics=(Metric("rows_per_second", 1234.5, "1/s"),),
        receipts=(
            Receipt(True, "comment", "https://ci.example.com/1", "", "comment"),
            Receipt(False, "", None, "no token: set CI_BRIDGE_API_TOKEN", "status", "failed"),
        ),
        **fields,
    )
