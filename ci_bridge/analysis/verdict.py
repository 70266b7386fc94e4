"""What each failure of a run means against the history: new, known, flaky, or not to be judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from ci_bridge.analysis.classes import classify
from ci_bridge.analysis.flaky import Flakiness, assess_all
from ci_bridge.analysis.signature import signature_of
from ci_bridge.analysis.slower import find_slower
from ci_bridge.analysis.telling import told_in_output
from ci_bridge.analysis.view import HistoryView
from ci_bridge.models import (
    Case,
    Evidence,
    FailureGroup,
    JudgedCase,
    Judgement,
    Outcome,
    Results,
    Verdict,
)

ORDER = (Verdict.NEW, Verdict.UNJUDGED, Verdict.KNOWN, Verdict.FLAKY)
"""Worst news first."""

DEPTHS = ("basic", "detailed", "comprehensive")

MOST_ASSESSED = 5000
"""Failing cases that are weighed for flakiness; a run with more of them is an incident of its own."""

MOST_ANALYSED = 10_000
"""Failing cases that get a class and a signature."""

MOST_BASE_RUNS = 30
"""Runs of the base branch that a view holds at most."""

SPARK_RUNS = 20


def judge(results: Results, view: HistoryView | None, *, depth: str | None = None, trends: bool = True) -> Judgement:
    """Judge a run against the history.

    Args:
        results: The run.
        view: The history; None if there is none: then nothing but a pass on retry can be judged.
        depth: Of the failure analysis: ``basic`` gives classes, ``detailed`` also signatures and groups,
            ``comprehensive`` also since when the history knows each group; None for no analysis.
        trends: Look for cases that became slower.

    Raises:
        ValueError: For a depth that does not exist.
    """
    if depth is not None and depth not in DEPTHS:
        raise ValueError(f"failure analysis has no depth {depth!r}; there are {', '.join(DEPTHS)}")
    cases = [*results.failures, *results.flaky]
    judge_one = _Judge(view, cases)
    analysed = set() if depth is None else {id(case) for case in islice(cases, MOST_ANALYSED)}
    judged = []
    for case in cases:
        verdict, evidence = judge_one(case)
        category = signature = ""
        if id(case) in analysed:
            kind, message, details = failure_text(case)
            category = classify(kind, message, details)
            if depth != "basic":
                own = {"file": case.file, "classname": case.classname, "name": case.name}
                signature = signature_of(kind, message, details, **own)
        judged.append(JudgedCase(case, verdict, evidence, category, signature))
    ranks = {verdict: rank for rank, verdict in enumerate(ORDER)}
    judged.sort(key=lambda item: ranks[item.verdict])
    return Judgement(
        judged=tuple(judged),
        fixed=tuple(_fixed(results, view)) if view is not None else (),
        baseline=None if view is None else view.baseline,
        slower=find_slower(results, view) if view is not None and view.baseline is not None and trends else (),
        groups=_groups(judged, view if depth == "comprehensive" else None),
    )


@dataclass(frozen=True, slots=True)
class _Base:
    """Where a case stood on the base branch: its newest outcome there, skips left out."""

    newest: int  # place in base_runs, 0 is the newest run
    failed: bool
    oldest: int  # where its present state began
    streak: int  # how many runs that hold it have lasted since


class _Judge:
    def __init__(self, view: HistoryView | None, cases: Sequence[Case]) -> None:
        self._view = view
        identities = [*dict.fromkeys(case.identity for case in cases)]
        self._base: Mapping[str, str] = {} if view is None else view.base_outcomes(identities)
        self._flaky: Mapping[str, Flakiness] = {} if view is None else assess_all(view, identities[:MOST_ASSESSED])

    def __call__(self, case: Case) -> tuple[Verdict, Evidence]:
        letters = self._base.get(case.identity, "")
        base, flakiness = _newest(letters), self._flaky.get(case.identity, Flakiness())
        verdict, text = self._verdict(case, base, flakiness)
        return verdict, Evidence(
            text=text,
            runs=flakiness.runs,
            failures=flakiness.failures,
            flips=flakiness.flips,
            mixed_commits=flakiness.mixed_commits,
            baseline_sha=self._baseline_sha(base),
            first_seen=self._view.base_runs[base.oldest].at
            if self._view is not None and base is not None and base.failed
            else None,
            log_bayes_factor=flakiness.log_bayes_factor,
            spark=letters[: SPARK_RUNS - 1][::-1] + ("F" if case.is_failure else "R" if case.is_flaky else "P"),
        )

    def _baseline_sha(self, base: _Base | None) -> str | None:
        if self._view is None or not self._view.base_runs:
            return None
        return self._view.base_runs[base.newest if base else 0].commit_sha

    @staticmethod
    def _never_seen(view: HistoryView) -> tuple[Verdict, str]:
        if view.baseline is None:
            return Verdict.UNJUDGED, "no earlier run to compare with"
        runs = len(view.base_runs)
        if runs >= MOST_BASE_RUNS:
            return Verdict.NEW, f"not in the last {runs} runs" + (f" of {view.branch}" if view.branch else "")
        return Verdict.NEW, f"not run on {view.branch} before" if view.branch else "not run before"

    def _verdict(self, case: Case, base: _Base | None, flakiness: Flakiness) -> tuple[Verdict, str]:
        if case.is_flaky:
            before = f"for the first time in {flakiness.runs} runs" if flakiness.runs > 1 else ""
            if flakiness.failures:
                before = f"flaked or failed in {flakiness.failures} of the last {flakiness.runs} runs"
            return Verdict.FLAKY, "; ".join(filter(None, [_retries(case), before]))
        if flakiness.is_proven or flakiness.is_likely:
            return Verdict.FLAKY, flakiness.text
        if self._view is None or not self._view.base_runs:
            return Verdict.UNJUDGED, "no earlier run to compare with"
        if base is None:
            return self._never_seen(self._view)
        branch = self._view.branch or "the run before"
        run = self._view.base_runs[base.newest]
        if not base.failed:
            at = f"{branch}@{run.commit_sha[:7]}" if run.commit_sha else branch
            return Verdict.NEW, f"passed on {at}"
        since = self._view.base_runs[base.oldest].at
        if base.newest and base.streak == 1:
            ago = plural_runs(base.newest)
            return Verdict.KNOWN, f"failed when it last ran on {branch}, {ago} ago, since {since:%Y-%m-%d}"
        times = "the last run" if base.streak == 1 else f"{base.streak} runs in a row"
        return Verdict.KNOWN, f"failed on {branch} in {times}, since {since:%Y-%m-%d}"


def plural_runs(number: int) -> str:
    """``1 run``, ``7 runs``."""
    return "1 run" if number == 1 else f"{number} runs"


def _newest(letters: str) -> _Base | None:
    """Read one letter per base run, newest first."""
    held = [(at, letter == "F") for at, letter in enumerate(letters) if letter in "PRF"]
    if not held:
        return None
    newest, failed = held[0]
    lasted = [at for at, _ in takewhile(lambda one: one[1] == failed, held)]
    return _Base(newest, failed, lasted[-1], len(lasted))


def _retries(case: Case) -> str:
    red = sum(attempt.outcome in (Outcome.FAILED, Outcome.ERROR) for attempt in case.attempts)
    return "failed once, passed on retry" if red == 1 else f"failed {red} times, passed on retry"


def _fixed(results: Results, view: HistoryView) -> Iterator[str]:
    for identity in view.base_failures():
        if results.outcome_of(identity) is Outcome.PASSED:
            yield identity


def failure_text(case: Case) -> tuple[str, str, str]:
    """Type, message and details of a failing case, or of the last attempt that failed before it passed."""
    if case.is_failure:
        told = case.message or case.details
        return case.type, case.message, case.details if told else told_in_output(f"{case.output}\n{case.error_output}")
    red = next(attempt for attempt in case.attempts if attempt.outcome in (Outcome.FAILED, Outcome.ERROR))
    return red.type, red.message, red.details


def _groups(judged: Iterable[JudgedCase], view: HistoryView | None) -> tuple[FailureGroup, ...]:
    members: dict[tuple[Verdict, str, str], list[str]] = {}
    for item in judged:
        if item.signature:
            # What this change broke and what was broken before are two pieces of news, whatever they share.
            members.setdefault((item.verdict, item.signature, item.category), []).append(item.case.identity)
    ordered = sorted(members.items(), key=lambda entry: (-len(entry[1]), ORDER.index(entry[0][0]), entry[0][1:]))
    seen = {} if view is None else view.signatures([*dict.fromkeys(signature for (_, signature, _), _ in ordered)])
    return tuple(
        FailureGroup(signature, category, tuple(names), *seen.get(signature, (None, 0)))
        for (_, signature, category), names in ordered
    )
