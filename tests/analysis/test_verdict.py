"""A failure's verdict follows from the base branch's runs, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ci_bridge.analysis import judge
from ci_bridge.history import History, View
from ci_bridge.models import Attempt, Case, JudgedCase, Judgement, Outcome, Verdict
from tests.history.samples import NOW, case, identity, record, remember, rows
from tests.report.builders import MemoryResults


class Project:
    """A history that runs are added to, and against which others are judged."""

    def __init__(self, path: Path) -> None:
        self.path, self._runs = path, 0

    def ran(self, cases: Mapping[str, str], days_ago: float | None = None, **changes) -> None:
        self._runs += 1
        day = 20 - self._runs / 10 if days_ago is None else days_ago
        remember(self.path, (record(day, f"run-{self._runs}", cases.values(), **changes), cases))

    def judge(self, *cases: Case, **options) -> Judgement:
        with History.read(self.path) as history:
            return judge(MemoryResults(cases), self.view(history), **options)

    def view(self, history: History) -> View:
        return history.view(branch="main", build="now", now=NOW)

    def verdict(self, *cases: Case) -> tuple[Verdict, str]:
        judged = self.judge(*cases).judged[0]
        return judged.verdict, judged.evidence.text


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "history.sqlite")


FAILS = case("test_one", "F")


def test_what_passed_on_the_base_branch_and_fails_now_is_new(project: Project) -> None:
    project.ran({"test_one": "F"})
    project.ran({"test_one": "P"}, sha="abcdef0123456789")
    assert project.verdict(FAILS) == (Verdict.NEW, "passed on main@abcdef0")
    judged = project.judge(FAILS).judged[0]
    assert judged.evidence.baseline_sha == "abcdef0123456789"
    assert judged.evidence.spark == "FPF", "the last letter is this run's"
    assert judged.evidence.first_seen is None


def test_what_the_base_branch_never_ran_is_new(project: Project) -> None:
    project.ran({"test_other": "P"})
    assert project.verdict(FAILS) == (Verdict.NEW, "not run on main before")
    assert project.judge(FAILS).judged[0].evidence.spark == "F"


def test_what_failed_on_the_base_branch_is_known_with_its_beginning(project: Project) -> None:
    for letter, day in (("P", 9), ("F", 8), ("E", 7), ("S", 6), ("F", 5)):
        project.ran({"test_one": letter, "other": "P"}, days_ago=day)
    project.ran({"other": "P"}, days_ago=4)
    assert project.verdict(FAILS) == (Verdict.KNOWN, "failed on main in 3 runs in a row, since 2026-11-14")
    evidence = project.judge(FAILS).judged[0].evidence
    assert evidence.first_seen == NOW - timedelta(days=8)
    assert evidence.spark == "PFFSF-F"
    assert (evidence.runs, evidence.failures) == (4, 3)


def test_a_single_earlier_failure_is_told_as_such(project: Project) -> None:
    project.ran({"test_one": "F"}, days_ago=1)
    assert project.verdict(FAILS) == (Verdict.KNOWN, "failed on main in the last run, since 2026-11-21")


def test_what_passed_on_retry_on_the_base_branch_passed_there(project: Project) -> None:
    project.ran({"test_one": "R"})
    assert project.verdict(FAILS)[0] is Verdict.NEW


def test_what_only_was_skipped_on_the_base_branch_is_new(project: Project) -> None:
    project.ran({"test_one": "S"})
    assert project.verdict(FAILS)[0] is Verdict.NEW


def test_a_skip_or_an_absence_is_looked_past(project: Project) -> None:
    project.ran({"test_one": "F"})
    project.ran({"test_one": "S"})
    project.ran({"other": "P"})
    assert project.verdict(FAILS)[0] is Verdict.KNOWN


def test_no_more_than_30_runs_are_looked_past(project: Project) -> None:
    with History.writing(project.path) as history:
        history.record(record(19, letters="F"), rows({"test_one": "F"}))
        for number in range(29):
            history.record(record(18 - number / 10, letters="P"), rows({"other": "P"}))
    assert project.verdict(FAILS)[0] is Verdict.KNOWN
    project.ran({"other": "P"}, days_ago=1)
    assert project.verdict(FAILS)[0] is Verdict.NEW


def test_without_a_history_nothing_is_judged() -> None:
    judgement = judge(MemoryResults([FAILS, case("fine")]), None)
    assert [(item.verdict, item.evidence.text) for item in judgement.judged] == [
        (Verdict.UNJUDGED, "no earlier run to compare with")
    ]
    assert judgement.baseline is None
    assert [*judgement.fixed, *judgement.slower, *judgement.groups] == []


def test_without_a_baseline_nothing_is_judged(project: Project) -> None:
    project.ran({"test_one": "P"}, branch="topic")
    assert project.verdict(FAILS)[0] is Verdict.UNJUDGED


def test_a_run_that_was_cut_short_is_no_measure_of_what_it_does_not_hold(project: Project) -> None:
    project.ran({"test_one": "F"}, status="error")
    judgement = project.judge(FAILS, case("test_two", "F"))
    assert judgement.baseline is None
    assert [(item.verdict, item.evidence.text) for item in judgement.judged] == [
        (Verdict.UNJUDGED, "no earlier run to compare with"),
        (Verdict.KNOWN, "failed on main in the last run, since 2026-11-02"),
    ]


def test_without_a_branch_none_is_named(project: Project) -> None:
    project.ran({"test_other": "P"}, branch=None)
    with History.read(project.path) as history:
        view = history.view(branch=None, now=NOW)
        (judged,) = judge(MemoryResults([FAILS]), view).judged
        assert judged.evidence.text == "not run before"


def test_an_untrusted_run_cannot_make_a_failure_known(project: Project) -> None:
    project.ran({"test_one": "P"})
    project.ran({"test_one": "F"}, trusted=False)
    assert project.verdict(FAILS)[0] is Verdict.NEW


def test_another_shard_cannot_make_a_failure_known(project: Project) -> None:
    project.ran({"test_one": "P"})
    project.ran({"test_one": "F"}, shard="windows")
    assert project.verdict(FAILS)[0] is Verdict.NEW


def test_an_earlier_attempt_of_the_same_build_is_no_baseline(project: Project) -> None:
    project.ran({"test_one": "P"}, build="before")
    project.ran({"test_one": "F"}, build="now")
    assert project.verdict(FAILS)[0] is Verdict.NEW


def test_a_pass_on_retry_is_flaky_even_without_a_history(project: Project) -> None:
    retried = case("test_one", "R")
    (judged,) = judge(MemoryResults([retried]), None).judged
    assert (judged.verdict, judged.evidence.text) == (Verdict.FLAKY, "failed once, passed on retry")
    twice = Case("test", attempts=(Attempt(Outcome.FAILED), Attempt(Outcome.SKIPPED), Attempt(Outcome.ERROR)))
    (judged,) = judge(MemoryResults([twice]), None).judged
    assert judged.evidence.text == "failed 2 times, passed on retry"
    for letter in "PFPPRP":
        project.ran({"test_one": letter, "test_two": "P"})
    verdict, text = project.verdict(retried)
    assert verdict is Verdict.FLAKY
    assert text == "failed once, passed on retry; flaked or failed in 2 of the last 6 runs"
    text = project.verdict(case("test_two", "R"))[1]
    assert text == "failed once, passed on retry; for the first time in 6 runs"


def test_two_commits_with_both_outcomes_prove_a_flaky_test(project: Project) -> None:
    for sha in "ab":
        project.ran({"test_one": "F"}, sha=sha)
        if sha == "b":
            assert project.verdict(FAILS)[0] is Verdict.KNOWN, "one mixed commit is not enough"
        project.ran({"test_one": "P"}, sha=sha)
    verdict, text = project.verdict(FAILS)
    assert verdict is Verdict.FLAKY
    assert text == "failed 2 of 4 runs, 3 flips, 2 commits with both"


def test_failures_scattered_over_many_runs_are_flaky(project: Project) -> None:
    with History.writing(project.path) as history:
        for number in range(120):
            letter = "F" if number % 11 == 5 else "P"
            history.record(record(20 - number / 10, letters=letter), rows({"test_one": letter}))
    verdict, text = project.verdict(FAILS)
    assert verdict is Verdict.FLAKY
    assert text == "failed 11 of 120 runs, 22 flips"
    assert project.judge(FAILS).judged[0].evidence.log_bayes_factor > 3


def test_what_failed_there_and_passes_now_is_fixed(project: Project) -> None:
    project.ran({"mended": "F", "red": "F", "gone": "F", "skipped": "F", "green": "P", "earlier": "F"})
    project.ran({"mended": "F", "red": "F", "gone": "F", "skipped": "F", "green": "P", "earlier": "P"})
    judgement = project.judge(case("mended"), case("red", "F"), case("skipped", "S"), case("green"), case("earlier"))
    assert judgement.fixed == (identity("mended"),)
    assert judgement.counts[Verdict.FIXED] == 1
    assert judgement.counts[Verdict.KNOWN] == 1


def test_the_worst_news_comes_first(project: Project) -> None:
    project.ran({"known": "F", "new": "P", "flaky": "P"})
    judgement = project.judge(case("flaky", "R"), case("known", "F"), case("new", "F"), case("fine"))
    assert [item.verdict for item in judgement.judged] == [Verdict.NEW, Verdict.KNOWN, Verdict.FLAKY]
    assert judgement.baseline is not None
    assert judgement.baseline.run_id == "run-1"
    assert judgement.baseline.totals.red == 1


def test_cases_of_one_verdict_keep_their_order(project: Project) -> None:
    project.ran({"other": "P"})
    names = ["zeta", "alpha", "mid"]
    judged = project.judge(*(case(name, "F") for name in names)).judged
    assert [item.case.name for item in judged] == names


def failing(name: str, message: str, details: str = "") -> Case:
    return Case(name, outcome=Outcome.FAILED, type="ConnectionError", message=message, details=details)


def test_the_depth_says_how_much_is_analysed(project: Project) -> None:
    cases = [failing(f"test_{n}", f"connection refused by 10.0.0.{n}") for n in range(3)]
    cases.append(case("wrong", "F"))
    for cases_then in cases[:1], cases[:2]:
        judged = [
            JudgedCase(one, Verdict.NEW, signature="ConnectionError: connection refused by <ip>") for one in cases
        ]
        with History.writing(project.path) as history:
            history.record(record(len(cases_then)), rows(cases_then), judged=judged)
    none = project.judge(*cases)
    assert {item.category for item in none.judged} == {""}
    assert none.groups == ()
    basic = project.judge(*cases, depth="basic")
    assert [item.category for item in basic.judged if item.case.name == "wrong"] == ["assertion"]
    assert {item.signature for item in basic.judged} == {""}
    assert basic.groups == ()
    detailed = project.judge(*cases, depth="detailed")
    assert [(group.category, len(group.members), group.first_seen) for group in detailed.groups] == [
        ("infrastructure", 2, None), ("assertion", 1, None), ("infrastructure", 1, None),
    ]  # fmt: skip
    whole = project.judge(*cases, depth="comprehensive")
    assert whole.groups[0].signature == "ConnectionError: connection refused by <ip>"
    assert (whole.groups[0].seen_runs, whole.groups[0].first_seen) == (2, NOW - timedelta(days=2))
    assert (whole.groups[1].seen_runs, whole.groups[1].first_seen) == (0, None)


def test_new_and_known_failures_with_one_error_are_two_groups(project: Project) -> None:
    project.ran({"test_0": "P", "test_1": "F", "test_2": "P", "test_3": "F"})
    cases = [case(f"test_{n}", "F", message="the till is closed") for n in range(4)]
    groups = project.judge(*cases, depth="detailed").groups
    assert [group.members for group in groups] == [
        (identity("test_0"), identity("test_2")),
        (identity("test_1"), identity("test_3")),
    ]
    assert groups[0].signature == groups[1].signature == "AssertionError: the till is closed"


def test_what_only_the_output_tells_is_analysed() -> None:
    said = "weighing\n\nthread 'tests::a' panicked at src/lib.rs:24:9:\nconnection refused by the scales"
    silent = Case("a", outcome=Outcome.FAILED, output=said)
    (judged,) = judge(MemoryResults([silent]), None, depth="detailed").judged
    assert (judged.category, judged.signature) == (
        "infrastructure",
        "panic: connection refused by the scales < src/lib.rs",
    )
    (judged,) = judge(MemoryResults([replace(silent, output="weighing")]), None, depth="detailed").judged
    assert judged.signature == ""


def test_a_depth_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="basic, detailed, comprehensive"):
        judge(MemoryResults([]), None, depth="deep")


def timed(seconds: float) -> Case:
    return case("test_one", "P", seconds)


def test_a_test_slower_than_ever_is_told_with_its_median(project: Project) -> None:
    with History.writing(project.path) as history:
        for number in range(10):
            history.record(record(10 - number), rows({"test_one": "P"}, 1.0 + number / 100))
    (slower,) = project.judge(timed(4.9)).slower
    assert (slower.identity, slower.runs, slower.now) == (identity("test_one"), 10, 4.9)
    assert slower.before == pytest.approx(1.05, rel=0.04)
    assert project.judge(timed(1.5)).slower == (), "not 1.5 times the median"
    assert project.judge(timed(4.9), trends=False).slower == ()
    assert project.judge(case("test_one", "F", 4.9)).slower == (), "a failure's time says nothing"


def test_nine_runs_an_earlier_peak_or_a_tenth_of_a_second_make_no_slower_test(project: Project) -> None:
    with History.writing(project.path) as history:
        for number in range(10):
            cases = [case("nine", seconds=1.0)] if number else []
            cases += [case("peak", seconds=5.0 if number == 3 else 1.0), case("tiny", seconds=0.02)]
            history.record(record(10 - number), rows(cases))
    now = [case("nine", seconds=4.0), case("peak", seconds=4.0), case("tiny", seconds=0.11)]
    assert project.judge(*now).slower == ()


def test_the_greatest_loss_comes_first(project: Project) -> None:
    with History.writing(project.path) as history:
        for number in range(10):
            history.record(record(10 - number), rows([case("short", seconds=0.1), case("long", seconds=10.0)]))
    slower = project.judge(case("short", seconds=2.0), case("long", seconds=20.0)).slower
    assert [item.identity for item in slower] == [identity("long"), identity("short")]


def test_five_thousand_failures_are_judged_within_seconds(project: Project) -> None:
    import time

    class Results(MemoryResults):
        def outcome_of(self, identity: str) -> Outcome | None:
            return outcomes.get(identity)

    cases = [Case(f"test_{n}", outcome=Outcome.FAILED, message=f"{n} != 42") for n in range(5000)]
    outcomes = {one.identity: one.outcome for one in cases}
    with History.writing(project.path) as history:
        for day in (3, 2, 1):
            history.record(record(day), rows(cases))
    with History.read(project.path) as history:
        start = time.process_time()
        judgement = judge(Results(cases), project.view(history), depth="comprehensive")
        assert time.process_time() - start < 10
    assert judgement.counts[Verdict.KNOWN] == 5000


def test_the_documented_numbers_are_those_of_the_code(repo_root: Path) -> None:
    from ci_bridge.analysis import flaky, slower, trend
    from ci_bridge.history import checked, view

    text = " ".join((repo_root / "docs" / "history.md").read_text(encoding="utf-8").split())
    for words in (
        f"newest of the last **{view.BASE_RUNS}** such runs",
        f"runs of the {view.WINDOW.days} days before the newest run",
        f"more than {flaky.INCIDENT_LEAST} tests failed",
        f"above both {flaky.INCIDENT_SHARE:.1%}".replace("%", " %"),
        f"on at least **{flaky.PROVEN_MIXES}** commits",
        f"is above **{flaky.LIKELY:g}**",
        f"both outcomes adds {flaky.MIX_WEIGHT:g}",
        f"at least {flaky.LEAST_RUNS} runs, failed in {flaky.LEAST_FAILURES}",
        f"({slower.MOST_CANDIDATES} at most)",
        f"at least **{slower.LEAST_RUNS}** of the last {view.BASE_RUNS} runs",
        f"**{slower.FACTOR:g}** times their median",
        f"at least **{slower.LEAST_LOSS:g} s** longer",
        f"of the last {trend.WINDOW} values",
        f"the last {trend.RECENT} with at least {trend.LEAST_SIDE} values on each side",
        f"`{trend.METRIC_THRESHOLD} · sqrt",
        f"more than {trend.LEAST_CHANGE:.0%}".replace("%", " %"),
        f"time ({checked.PATIENCE:g} s)",
        f"size ({checked.LARGEST_FILE >> 30} GiB)",
    ):
        assert words in text, words
