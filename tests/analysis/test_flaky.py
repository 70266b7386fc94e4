"""Flaky tests are found, stable and broken ones are not called flaky: simulated with a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ci_bridge.analysis.flaky import Flakiness, Window, incidents, rank_flaky
from ci_bridge.history import History
from tests.history.samples import NOW, identity, record, rows


@dataclass(frozen=True)
class Run:
    branch: str | None = "main"
    commit_sha: str | None = None
    red: int = 0
    total: int = 10_000
    at: datetime = NOW


def assess(letters: str, runs: list[Run] | None = None) -> Flakiness:
    return Window(runs or [Run(commit_sha=str(n)) for n in range(len(letters))]).assess(letters)


def test_a_test_that_always_passes_has_no_evidence() -> None:
    assert assess("P" * 300) == Flakiness(runs=300)
    assert assess("") == assess("S-" * 5) == Flakiness()
    assert Flakiness().text == ""


@pytest.mark.parametrize(
    "letters",
    [
        "P" * 200 + "F" * 30,  # broken and not mended
        "P" * 100 + "F" * 20 + "P" * 100,
        "P" * 50 + "F" * 5 + "P" * 60 + "F" * 9 + "P" * 50,
        "F" * 300,
        "P" * 299 + "F",
        "P" * 150 + "F" + "P" * 150,
        "F",
        "FP",
    ],
)
def test_a_broken_test_is_not_called_flaky(letters: str) -> None:
    assert not assess(letters).is_likely
    assert not assess(letters).is_proven


@pytest.mark.parametrize("letters", [("P" * 9 + "F") * 12, ("P" * 30 + "F") * 8, "PF" * 20, ("P" * 9 + "R") * 12])
def test_a_test_that_fails_now_and_then_is_called_flaky(letters: str) -> None:
    assert assess(letters).is_likely


def test_skips_and_absences_are_no_evidence() -> None:
    assert assess("PPFP") == assess("P-SPFSS--P", [Run(commit_sha=str(n)) for n in range(10)])


def test_a_breakage_on_a_branch_beside_a_green_main_is_not_a_flip() -> None:
    runs = [Run("main" if n % 2 else "topic", str(n)) for n in range(120)]
    broken = assess("PP" * 10 + "FP" * 50, runs)
    assert (broken.flips, broken.is_likely) == (1, False)


def test_branches_that_begin_while_main_is_broken_are_not_new_breakages() -> None:
    runs = [Run("main", str(n)) for n in range(30)] + [Run(f"topic-{n}", f"t{n}") for n in range(30)]
    flakiness = assess("P" * 20 + "F" * 10 + "F" * 30, runs)
    assert (flakiness.flips, flakiness.is_likely) == (1, False)


@pytest.mark.parametrize("branches", [1, 2, 3, 40])
@pytest.mark.parametrize("letter", "FE")
def test_what_never_passed_is_never_flaky_on_any_number_of_branches(branches: int, letter: str) -> None:
    runs = [Run(f"branch-{n % branches}" if n % branches else "main", str(n)) for n in range(120)]
    always = assess(letter.replace("E", "F") * 120, runs)
    assert (always.runs, always.failures, always.flips) == (120, 120, 0)
    assert not always.is_likely
    assert not always.is_proven


def test_what_fails_on_one_branch_only_is_not_flaky() -> None:
    runs = [Run("develop" if n % 3 == 0 else "main", str(n)) for n in range(120)]
    assert not assess("FPP" * 40, runs).is_likely


def test_how_a_branch_begins_is_no_evidence() -> None:
    runs = [Run("main" if n % 2 else f"topic-{n // 6}", str(n)) for n in range(240)]
    # Every topic begins with a breakage of its own (a change log that is missing, say) and mends it.
    letters = "".join("P" if n % 2 else "F" if n % 6 == 0 else "P" for n in range(240))
    flakiness = assess(letters, runs)
    assert (flakiness.failures, flakiness.flips, flakiness.is_likely) == (40, 40, False)


def test_a_commit_with_both_outcomes_is_evidence_beside_the_flips() -> None:
    letters = "P" * 30 + "F" + "P" * 40 + "F" + "P" * 30 + "F" + "P" * 40
    apart = [Run(commit_sha=str(n)) for n in range(len(letters))]
    again = [Run(commit_sha=str(30 if n == 31 else n)) for n in range(len(letters))]
    assert assess(letters, again).log_bayes_factor == pytest.approx(assess(letters, apart).log_bayes_factor + 2)
    assert (assess(letters, again).mixed_commits, assess(letters, again).is_proven) == (1, False)


def test_a_retried_pass_makes_its_commit_mixed() -> None:
    flakiness = assess("PRPPR")
    assert (flakiness.mixed_commits, flakiness.failures, flakiness.is_proven) == (2, 2, True)


def test_outcomes_without_a_commit_prove_nothing() -> None:
    assert assess("PFPF", [Run()] * 4).mixed_commits == 0


def test_a_run_in_which_many_failed_is_an_incident() -> None:
    assert incidents([Run(red=20)] * 3 + [Run(red=149), Run(red=151)]) == [False, False, False, False, True]
    assert incidents([Run(red=40)] * 3 + [Run(red=199), Run(red=201)]) == [False, False, False, False, True]


def test_in_a_small_suite_a_few_failures_are_no_incident() -> None:
    quiet = [Run(total=6), Run(total=6), Run(total=0)]
    assert incidents([*quiet, Run(red=5, total=6), Run(red=6, total=6)]) == [False, False, False, False, True]
    assert incidents([]) == []


def test_incidents_are_left_out_of_the_evidence() -> None:
    runs = [Run(commit_sha=str(n // 2), red=900 if n % 10 == 5 else 5) for n in range(200)]
    letters = "".join("F" if n % 10 == 5 else "P" for n in range(200))
    assert assess(letters, runs) == Flakiness(runs=180)


@pytest.mark.parametrize("trusted", [("main",), ("main", "develop", "release")])
def test_simulated_flaky_tests_are_found_and_no_stable_one_is_blamed(trusted: tuple[str, ...]) -> None:
    chance = random.Random(7)
    runs, incident = [], []
    commit, branch = "", "main"
    for number in range(362):
        again = number > 0 and chance.random() < 0.1
        if not again:
            lasting = trusted[min(int(chance.expovariate(1.2)), len(trusted) - 1)]
            commit, branch = f"c{number}", lasting if chance.random() < 0.6 else f"topic-{number // 9}"
        incident.append(chance.random() < 0.01)
        runs.append(Run(branch, commit, 300 if incident[-1] else 40))
    window = Window(runs)

    def flaky(rate: float) -> str:
        return "".join("F" if chance.random() < rate or (out and chance.random() < 0.03) else "P" for out in incident)

    def stable(red_on: Collection[str] = ()) -> str:
        """A test that breaks now and then, and always fails on some branches."""
        broken: dict[str, bool] = {}
        letters, before = "", ""
        for run, out in zip(runs, incident, strict=True):
            name = str(run.branch)
            if run.commit_sha != before:  # code breaks and is mended by commits only
                state = broken.get(name, broken.get("main", False))
                broken[name] = chance.random() < (0.75 if state else 0.004)
            before = str(run.commit_sha)
            letters += "F" if name in red_on or broken[name] or (out and chance.random() < 0.03) else "P"
        return letters

    def called(letters: str) -> bool:
        flakiness = window.assess(letters)
        return flakiness.is_likely or flakiness.is_proven

    # 2 to 30 %, as far as 30 days show it: a test that failed less often than five times looks like any other.
    wobbly = [text for n in range(60) if (text := flaky(0.02 * 15 ** (n / 60))).count("F") >= 5]
    found = sum(map(called, wobbly))
    assert len(wobbly) > 50
    assert found >= 0.93 * len(wobbly)
    assert sum(called(stable()) for _ in range(2000)) == 0
    everywhere = {str(run.branch) for run in runs}
    for red_on in (everywhere, everywhere - {"main"}, {"main"}, set(trusted) - {"main"}):
        assert sum(called(stable(red_on)) for _ in range(100)) == 0


def test_the_ranking_names_the_surest_first(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with History.writing(path) as history:
        for number in range(100):
            letters = {
                "often": "FP"[number % 4 > 0],
                "seldom": "FP"[number % 12 > 0],
                "broken": "PF"[number > 90],
                "fine": "P",
            }
            history.record(record(25 - number / 4, letters=letters.values()), rows(letters))
    with History.read(path) as history:
        view = history.view(branch="main", now=NOW + timedelta(days=1))
        ranked = rank_flaky(view)
        assert [name for name, _ in ranked] == [identity("often"), identity("seldom")]
        assert ranked[0][1].text == "failed 25 of 100 runs, 49 flips"
        assert len(rank_flaky(view, limit=1)) == 1
