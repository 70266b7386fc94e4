"""Many jobs, one report: merging whatever arrives in whatever order, and jobs that race for the one comment."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_bridge.commenting import comment
from ci_bridge.config import load_settings
from ci_bridge.delivery import Courier
from ci_bridge.errors import PermissionDeniedError, ResultsError, TransientError
from ci_bridge.formats.collect import Collected
from ci_bridge.legs import MOST_BYTES, leg_of, leg_of_json, leg_to_json
from ci_bridge.masking import Masker
from ci_bridge.merging import Leg, is_complete, merge, merged_report, notifies, state_of
from ci_bridge.models import (
    Baseline,
    BuildContext,
    Case,
    Evidence,
    FileState,
    InputFile,
    JudgedCase,
    Judgement,
    Outcome,
    Receipt,
    Report,
    RunState,
    ShardResult,
    SlowerCase,
    TestRun,
    Totals,
    Verdict,
)
from ci_bridge.report import render_comment, status_description
from ci_bridge.report.wording import headline, tally
from ci_bridge.retry import Deadline, RetryPolicy
from ci_bridge.sharing import Siblings, pack, unpack
from ci_bridge.worker import Worker
from ci_bridge.workplace import Workplace
from tests.fakes.adapter import FakeAdapter, FakeHost, JobAdapter
from tests.fakes.clients import PULL_REQUEST, client_over

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def failing(number: int, verdict: Verdict = Verdict.NEW) -> JudgedCase:
    case = Case(
        f"test_{number}", classname="tests.shop", file="tests/shop.py", line=number + 1, outcome=Outcome.FAILED,
        duration=0.25, message=f"{number} != 42", details="trace\n  deep",
    )  # fmt: skip
    return JudgedCase(case, verdict, Evidence("passed 30 times before", spark="PPPF"), "assertion")


def leg(shard: str = "a", *, new: int = 0, known: int = 0, passed: int = 10, **facts: Any) -> Leg:
    judged = [*map(failing, range(new)), *(failing(100 + n, Verdict.KNOWN) for n in range(known))]
    totals = Totals(passed=passed, failed=new + known, skipped=1, duration=passed / 4)
    state = facts.pop("state", RunState.FAILURE if judged else RunState.SUCCESS)
    result = ShardResult(shard, state, totals, before=Totals(passed=8), new=new, known=known)
    baseline = Baseline("base", "main", "a" * 40, WHEN, Totals(passed=8))
    return Leg(result, uid=facts.pop("uid", f"run-{shard}"), judged=tuple(judged), baseline=baseline, **facts)


legs_strategy = st.builds(
    lambda shard, new, known, passed, attempt, second, number: leg(
        shard, new=new, known=known, passed=passed, attempt=attempt, put_at=WHEN + timedelta(seconds=second),
        object_id=str(number), uid=f"run-{number}", shard_total=4, job=str(number % 2),
    ),
    st.sampled_from("abcd"), st.integers(0, 3), st.integers(0, 2), st.integers(0, 99), st.integers(1, 3),
    st.integers(0, 3), st.integers(1, 10_000),
)  # fmt: skip


def report_of(legs: Sequence[Leg]) -> Report:
    return merged_report(legs, context=PULL_REQUEST, run=TestRun("run-x"), title="Test results")


# ---- the pure part


@given(st.lists(legs_strategy, max_size=8, unique_by=lambda one: one.object_id), st.randoms(use_true_random=False))
def test_merging_knows_no_order(legs: list[Leg], chance: random.Random):
    shuffled = list(legs)
    chance.shuffle(shuffled)
    assert merge(shuffled) == merge(legs)
    if legs:
        assert render_comment(report_of(merge(shuffled))) == render_comment(report_of(merge(legs)))


@given(*[st.lists(legs_strategy, max_size=5)] * 3)
def test_merging_knows_no_grouping_and_no_repetition(one: list[Leg], two: list[Leg], three: list[Leg]):
    assert merge(merge(one, two), three) == merge(one, merge(two, three)) == merge(one, two, three)
    assert merge(one, one) == merge(one) == merge(merge(one))


@given(st.lists(legs_strategy, min_size=1, max_size=8))
def test_every_number_adds_up(legs: list[Leg]):
    merged = merge(legs)
    report = report_of(merged)
    totals, counts = report.results.totals, tally(report)
    for key in ("passed", "failed", "error", "skipped", "flaky", "total"):
        assert getattr(totals, key) == sum(getattr(one.result.totals, key) for one in merged)
    assert counts.new + counts.known + counts.unjudged + counts.flaky_failed == totals.red
    assert {shard.shard.removesuffix(" (2)") for shard in report.shards} == {one.shard for one in legs}
    assert len({shard.shard for shard in report.shards}) == len(merged)


def test_rows_show_the_values_of_a_matrix_where_those_tell_the_jobs_apart():
    def rows(*shards: str) -> list[str]:
        return [row.shard for row in report_of(merge([leg(shard) for shard in shards])).shards]

    assert rows("os=linux / py=3.1", "os=macos / py=3.1") == ["linux / 3.1", "macos / 3.1"]
    assert rows("deno=18", "node=18") == ["deno=18", "node=18"]
    assert rows("a=1", "a=1 / b=2") == ["a=1", "a=1 / b=2"]
    assert rows("a=", "a=1") == ["a=", "a=1"]
    assert rows("linux", "os=macos") == ["linux", "os=macos"]


def test_jobs_that_report_the_same_shard_all_count_and_an_older_attempt_of_any_does_not():
    one, two = leg("a", new=1, job="1", object_id="1"), leg("a", job="2", object_id="2")
    again = leg("a", job="3", attempt=2, object_id="3")
    assert merge([two, one]) == (one, two)
    assert [row.shard for row in report_of(merge([one], [two])).shards] == ["a", "a (2)"]
    assert merge([one, again, two]) == merge(merge([again], [one]), [two]) == (again,)
    assert not is_complete(merge([replace(one, shard_total=2), two]))


def test_a_newer_attempt_replaces_the_numbers_of_its_predecessor_whenever_it_is_seen():
    first = leg("a", new=2, attempt=1, object_id="9", put_at=WHEN + timedelta(hours=1))
    second = leg("a", attempt=2, object_id="3", put_at=WHEN)
    assert merge([second, first]) == merge([first, second]) == (second,)
    assert state_of(merge([first], [second])) is RunState.SUCCESS


def test_of_one_attempt_the_part_that_was_stored_last_counts():
    assert merge([leg(object_id="10", put_at=WHEN), leg(object_id="9", new=1, put_at=WHEN)])[0].object_id == "10"


@pytest.mark.parametrize(
    ("states", "total", "together"),
    [
        (["success", "success"], 2, "success"),
        (["success"], 2, "pending"),
        (["success"], None, "success"),
        (["failure"], 2, "failure"),
        (["success", "failure"], 2, "failure"),
        (["failure", "error"], 2, "error"),
        (["success", "no_results"], 2, "error"),
        (["no_results", "no_results"], 2, "no_results"),
        (["no_results"], 2, "error"),
        (["pending", "success"], 2, "pending"),
    ],
)
def test_the_state_of_all_is_the_worst_and_green_only_when_all_are_in(
    states: list[str], total: int | None, together: str
):
    legs = merge(leg(str(n), state=RunState(state), shard_total=total) for n, state in enumerate(states))
    assert state_of(legs) == together


def test_what_is_missing_is_said_and_nothing_green_before():
    text = render_comment(report_of(merge([leg("a", shard_total=3), leg("b", shard_total=3)])))
    assert "⏳ Waiting for 1 of 3 shards · 20 tests passed so far" in text
    assert "2 of 3 shards" in text.splitlines()[-1]
    assert "✅ Waiting" not in text
    red = report_of(merge([leg("a", new=1, shard_total=3)]))
    assert headline(red) == "1 new failure · waiting for 2 of 3 shards"
    assert "waiting for 2 of 3 shards" in status_description(red)


def test_the_table_has_a_row_per_shard_and_their_sum():
    legs = merge([leg("windows / 3.12", new=1), leg("ubuntu / 3.12", passed=1_194), leg("macos", passed=3)])
    lines = render_comment(report_of(legs)).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert ["macos" in rows[2], "ubuntu" in rows[3], "windows" in rows[4], "**Total**" in rows[5]] == [True] * 4
    assert "| 1\u202f207 (" in rows[5] and rows[5].count("|") == rows[0].count("|")
    assert rows[4].startswith("| ❌") and rows[3].startswith("| ✅")


def test_a_failure_in_several_shards_is_one_line_that_names_them():
    text = render_comment(report_of(merge([leg("a", new=1), leg("b", new=2), leg("c")])))
    assert "**New failures** (3)" in text
    assert text.count("test&#95;0</code>") == 1
    assert "in <code>a</code>, <code>b</code>" in text and "more" not in text


def test_a_wide_matrix_keeps_the_red_rows_and_fits():
    legs = merge(leg(f"job {n:03}", new=int(n == 200), shard_total=256) for n in range(256))
    text = render_comment(report_of(legs))
    assert len(text) < 65_536 and "job 200" in text and "… and 216 more" in text and "256 of 256 shards" in text


def test_files_that_were_lost_are_named_with_their_shard():
    lost = InputFile("report.xml", "junit", FileState.UNREADABLE, note="empty")
    text = render_comment(report_of(merge([leg("a"), leg("b", state=RunState.ERROR, files=(lost,))])))
    assert "b&#58; report&#46;xml" in text and "1 file could not be read" in text


def test_a_shard_without_results_is_never_green():
    empty = replace(leg("b", state=RunState.NO_RESULTS), result=ShardResult("b", RunState.NO_RESULTS, Totals()))
    report = report_of(merge([leg("a"), empty]))
    assert report.state is RunState.ERROR and headline(report).startswith("1 shard without results")


@given(st.lists(legs_strategy, min_size=1, max_size=6, unique_by=lambda one: one.object_id))
def test_at_most_one_job_notifies_and_exactly_one_when_all_are_in(legs: list[Leg]):
    merged = merge(legs)
    those = [one.object_id for one in merged if notifies(merged, one.object_id)]
    assert len(those) == is_complete(merged)


# ---- the part on its way


def whole_leg() -> Leg:
    return replace(
        leg("ubuntu / 3.12", new=2, known=1, attempt=3, shard_total=7),
        fixed=(failing(7).case.identity,),
        slower=(SlowerCase(failing(8).case.identity, 1.0, 4.5, 30),),
        slowest=((failing(9).case.identity, 12.5),),
        files=(InputFile("a.xml", "junit", FileState.RECOVERED, 3, "odd"),),
        notes=("very many",),
    )


def test_a_part_comes_back_as_it_was():
    assert leg_of_json(json.loads(json.dumps(leg_to_json(whole_leg())))) == whole_leg()
    assert unpack(pack(leg_to_json(whole_leg()))) == leg_to_json(whole_leg())


def test_a_part_stays_small_and_its_numbers_count_all():
    cases = [
        JudgedCase(
            Case("n" * 4_000 + str(n), outcome=Outcome.FAILED, message="m" * 9_000, details="d" * 60_000), Verdict.NEW
        )
        for n in range(2_000)
    ]
    with Collected(spool=False) as results:
        for judged in cases:
            results.add(judged.case)
        results.finish()
        report = Report(TestRun("x"), PULL_REQUEST, results, Judgement(tuple(cases)), RunState.FAILURE, shard="a")
        part = leg_to_json(leg_of(report, shard_total=2))
    assert len(json.dumps(part)) < MOST_BYTES * 1.1
    again = leg_of_json(part)
    assert again.result.new == 2_000 and 0 < len(again.judged) < 500
    text = render_comment(report_of(merge([again, leg("b", shard_total=2)])))
    assert "2\u202f000 new failures" in text and "Left out here" in text


@pytest.mark.parametrize("data", [None, 3, "x", [], {}, {"version": 2}, {"version": 1}, {"version": True}])
def test_what_is_no_part_is_refused(data: object):
    with pytest.raises(ResultsError):
        leg_of_json(data)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_a_forged_part_is_refused_or_harmless(data: st.DataObject):
    part = leg_to_json(whole_leg())
    holder: Any = part
    key: Any = data.draw(st.sampled_from(sorted(part)))
    while isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
        holder = holder[key]
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = data.draw(junk)
    try:
        read = leg_of_json(part)
    except ResultsError:
        return
    render_comment(report_of(merge([read, leg("b")])))


def test_a_part_that_claims_green_over_lost_input_is_refused():
    lost = InputFile("a.xml", "junit", FileState.UNREADABLE)
    with pytest.raises(ResultsError, match="green"):
        leg_of_json(leg_to_json(leg("a", files=(lost,))))


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-3], lambda b: b[:40] + b"x" + b[41:], lambda _: b"", lambda b: b + b"z"]
)
def test_a_damaged_part_is_seen(damage: Any):
    with pytest.raises(ResultsError):
        unpack(damage(pack(leg_to_json(whole_leg()))))


def test_a_part_that_unpacks_to_too_much_is_refused():
    with pytest.raises(ResultsError, match="more than"):
        unpack(pack("a" * 50_000_000))


# ---- jobs that race


class Turns:
    """Lets the calls of several jobs happen in a given order, one at a time.

    Each job waits before each call until it is its turn; a schedule of job numbers decides, cycled through.
    """

    def __init__(self, schedule: Sequence[int], jobs: int) -> None:
        self._schedule, self._at = list(schedule) or [0], 0
        self._waiting: set[int] = set()
        self._alive = set(range(jobs))
        self._changed = threading.Condition()
        self._next: int | None = None

    def take(self, job: int) -> None:
        with self._changed:
            self._waiting.add(job)
            self._choose()
            assert self._changed.wait_for(lambda: self._next == job, timeout=60)
            self._waiting.discard(job)
            self._next = None

    def leave(self, job: int) -> None:
        with self._changed:
            self._alive.discard(job)
            self._choose()

    def _choose(self) -> None:
        # Only when every living job waits is the choice a matter of the schedule alone.
        if self._next is None and self._waiting and self._waiting == self._alive:
            order = sorted(self._waiting)
            self._next = order[self._schedule[self._at % len(self._schedule)] % len(order)]
            self._at += 1
            self._changed.notify_all()


@contextmanager
def job(
    host: FakeHost, shard: str, total: int | None, tmp_path: Path, **facts: Any
) -> Iterator[tuple[Workplace, Report]]:
    """One job of a matrix: its workplace and what it found."""
    attempt, failures = facts.pop("attempt", 1), facts.pop("failures", 0)
    context = replace(PULL_REQUEST, attempt=str(attempt))
    config = {"shard": shard, "shard_total": total, "enable_history_tracking": False, **facts.pop("config", {})}
    loaded = load_settings(env={}, directory=tmp_path, config=config)
    adapter = facts.pop("adapter", None) or JobAdapter(context=context, host=host, **facts)
    worker = Worker()
    courier = Courier(worker, RetryPolicy(3, 0.0), Deadline(120.0))
    place = Workplace(
        loaded.settings, context, adapter, adapter, courier, Masker.from_environment({}), tmp_path, tmp_path,
        log=lambda line: None,
    )  # fmt: skip
    judged = tuple(map(failing, range(failures)))
    with Collected(spool=False) as results:
        for number in range(10):
            results.passed((), "tests.shop", "tests/shop.py", f"test_passed_{number}", 1, 0.5)
        for one in judged:
            results.add(one.case)
        results.finish()
        run = TestRun(f"run-{shard}-{attempt}", build_id=context.build_id, pr_number="42")
        state = RunState.FAILURE if judged else RunState.SUCCESS
        try:
            yield place, Report(run, context, results, Judgement(judged), state, shard=shard)
        finally:
            worker.close()


def deliver(host: FakeHost, shard: str, total: int | None, tmp_path: Path, **facts: Any) -> Receipt:
    with job(host, shard, total, tmp_path, **facts) as (place, report):
        return asyncio.run(comment(place, report))


def race(count: int, tmp_path: Path, *, schedule: Sequence[int] | None = None, total: int | None = None) -> FakeHost:
    """A matrix of ``count`` jobs that deliver at the same time, their calls in the order of the schedule."""
    host = FakeHost()
    turns = Turns(schedule, count) if schedule is not None else None

    def one(number: int) -> None:
        def before(_name: str) -> None:
            if turns is not None:
                turns.take(number)

        try:
            deliver(host, f"job {number:02}", total or count, tmp_path, failures=number % 3, before=before)
        finally:
            if turns is not None:
                turns.leave(number)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(one, number) for number in range(count)]:
            done.result(timeout=120)
    return host


def assert_complete(host: FakeHost, count: int) -> None:
    """One comment, that of all jobs."""
    [only] = host.comments["42"]
    failures = sum(number % 3 for number in range(count))
    assert f"{count} of {count} shards" in only.body.splitlines()[-1]
    for number in range(count):
        assert f"job {number:02}" in only.body
    verdict = f"{failures} new failure" if failures else f"{10 * count} tests passed"
    assert verdict in only.body.replace("\u202f", "")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=st.lists(st.integers(0, 3), max_size=60))
def test_four_racing_jobs_leave_one_complete_comment_in_every_order_of_their_calls(tmp_path: Path, schedule: list[int]):
    assert_complete(race(4, tmp_path, schedule=schedule), 4)


def test_two_jobs_that_create_in_the_same_moment_end_in_one_comment(tmp_path: Path):
    host, both_look = FakeHost(), threading.Barrier(2)
    waited: set[int] = set()

    def meet(name: str) -> None:
        if name == "create_comment" and (me := threading.get_ident()) not in waited:
            waited.add(me)
            both_look.wait(timeout=30)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(deliver, host, f"job 0{n}", 2, tmp_path, before=meet, failures=n) for n in range(2)]:
            assert done.result(timeout=60).via == "comment"
    assert len(waited) == 2
    assert_complete(host, 2)


@pytest.mark.parametrize("seed", range(4))
def test_a_matrix_of_twenty_on_real_threads_leaves_one_complete_comment(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    assert_complete(race(20, tmp_path, schedule=[chance.randrange(20) for _ in range(997)] if seed else None), 20)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(20)))
def test_a_matrix_of_twenty_that_finishes_one_after_the_other_comes_to_the_same_in_any_order(
    tmp_path: Path, order: list[int]
):
    host = FakeHost()
    for number in order:
        deliver(host, f"job {number:02}", 20, tmp_path, failures=number % 3)
    assert_complete(host, 20)


def test_every_leg_leaves_the_comment_as_true_as_it_can_be(tmp_path: Path):
    host = FakeHost()
    for number in range(3):
        deliver(host, f"job {number:02}", 3, tmp_path)
        [only] = host.comments["42"]
        assert f"{number + 1} of 3 shards" in only.body
        assert ("✅ **" in only.body) == (number == 2)


def test_a_rerun_of_one_job_replaces_its_own_numbers_only(tmp_path: Path):
    host = FakeHost()
    for number in range(3):
        deliver(host, f"job {number:02}", 3, tmp_path, failures=number)
    assert "3 new failures" in host.comments["42"][0].body
    deliver(host, "job 02", 3, tmp_path, attempt=2)
    [only] = host.comments["42"]
    assert "1 new failure" in only.body and "3 of 3 shards" in only.body


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=st.lists(st.integers(0, 3), max_size=60))
def test_reruns_of_some_jobs_that_race_replace_their_numbers_in_every_order(tmp_path: Path, schedule: list[int]):
    host = FakeHost()
    for number in range(4):
        deliver(host, f"job {number:02}", 4, tmp_path, failures=2)
    turns = Turns(schedule, 3)

    def again(number: int) -> None:
        try:
            facts = {"attempt": 2, "before": lambda _name: turns.take(number)}
            deliver(host, f"job {number:02}", 4, tmp_path, **facts)
        finally:
            turns.leave(number)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(again, number) for number in range(3)]:
            done.result(timeout=60)
    [only] = host.comments["42"]
    assert "2 new failures" in only.body and "4 of 4 shards" in only.body


def test_one_workflow_of_whole_jobs_racing_leaves_one_comment_and_a_check_each(tmp_path: Path):
    host, adapters = FakeHost(), [JobAdapter() for _ in range(6)]

    def run(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        bad = "<testcase name='bad'><failure message='no'/></testcase>" if number == 3 else ""
        (folder / "junit.xml").write_text(f"<testsuite><testcase name='good'/>{bad}</testsuite>", encoding="utf-8")
        adapter = adapters[number] = JobAdapter(context=PULL_REQUEST, host=host)

        async def go() -> None:
            config = {"shard": f'{{"os": "linux", "python": "3.1{number}"}}', "shard_total": 6}
            async with client_over(adapter, folder, context=PULL_REQUEST, config=config) as client:
                outcome = await client.report(["junit.xml"])
                assert outcome.report.state is (RunState.FAILURE if number == 3 else RunState.SUCCESS)

        asyncio.run(go())

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(run, number) for number in range(6)]:
            done.result(timeout=120)
    [only] = host.comments["42"]
    assert "6 of 6 shards" in only.body and "linux &#47; 3&#46;13" in only.body
    names = {run.name for adapter in adapters for run in adapter.runs.values()}
    assert names == {f"Test results (os=linux / python=3.1{number})" for number in range(6)}
    assert all(adapter.outputs["comment-url"] == only.url for adapter in adapters)
    assert [adapter.outputs["conclusion"] for adapter in adapters].count("failure") == 1
    assert json.loads(adapters[0].outputs["json"])["verdicts"]["new"] == 0


def test_a_wide_matrix_does_not_read_every_part_in_every_job(tmp_path: Path):
    host, reads = FakeHost(), [0]

    def count(name: str) -> None:
        reads[0] += name == "get_object"

    for number in range(64):
        deliver(host, f"job {number:02}", 64, tmp_path, before=count)
    assert reads[0] <= 64 * 9 // 2 + 64
    assert "64 of 64 shards" in host.comments["42"][0].body


def test_other_titles_are_no_siblings(tmp_path: Path):
    host = FakeHost()
    for title in ("Unit", "Browser"):
        for number in range(2):
            deliver(host, f"job 0{number}", 2, tmp_path, config={"comment_title": title})
    assert len(host.comments["42"]) == 2
    assert all("2 of 2 shards" in one.body for one in host.comments["42"])


def test_a_damaged_part_costs_itself_and_a_warning(tmp_path: Path):
    host = FakeHost()
    deliver(host, "job 00", 3, tmp_path)
    host.puts[0] = replace(host.puts[0], data=host.puts[0].data[:-5])
    with job(host, "job 01", 3, tmp_path) as (place, report):
        assert asyncio.run(comment(place, report)).via == "comment"
        assert "left out" in place.courier.warnings[0]
    assert "1 of 3 shards" in host.comments["42"][0].body


def test_where_jobs_cannot_find_each_other_each_has_its_own_comment(tmp_path: Path):
    host = FakeHost()
    for number in range(2):
        adapter = JobAdapter(context=PULL_REQUEST, host=host)
        adapter.fail("put_object", PermissionDeniedError("no runtime token"))
        receipt = deliver(host, f"job 0{number}", 2, tmp_path, adapter=adapter)
        assert receipt.state == "degraded" and "no runtime token" in receipt.reason
    plain = FakeAdapter(context=PULL_REQUEST, comments=host.comments)
    assert "no store" in deliver(host, "job 02", 3, tmp_path, adapter=plain).reason
    assert len(host.comments["42"]) == 3


def test_a_put_whose_answer_was_lost_is_found_again(tmp_path: Path):
    host = FakeHost()
    adapter = JobAdapter(context=PULL_REQUEST, host=host)
    adapter.fail("put_object", TransientError("502"), times=1, after=True)
    assert deliver(host, "job 00", 2, tmp_path, adapter=adapter).via == "comment"
    assert len(host.puts) == 1


def test_a_comment_whose_answer_was_lost_stays_the_only_one(tmp_path: Path):
    host = FakeHost()
    adapter = JobAdapter(context=PULL_REQUEST, host=host)
    adapter.fail("create_comment", TransientError("502"), times=1, after=True)
    assert deliver(host, "job 00", 1, tmp_path, adapter=adapter).via == "comment"
    assert len(host.comments["42"]) == 1


def test_a_job_that_is_alone_reads_and_stores_nothing(tmp_path: Path):
    host = FakeHost()
    adapter = JobAdapter(context=PULL_REQUEST, host=host)
    deliver(host, "job 00", 1, tmp_path, adapter=adapter)
    assert not host.puts and adapter.calls["list_siblings"] == 0


def test_names_of_parts_tell_how_many_have_reported_without_reading_them(tmp_path: Path):
    host = FakeHost()
    for number in range(5):
        deliver(host, f"job {number:02}", 5, tmp_path)
        deliver(host, f"job {number:02}", 5, tmp_path, attempt=2)
    siblings = Siblings(JobAdapter(context=PULL_REQUEST, host=host), "Test results")
    assert len(siblings.listed()) == 5 and len(host.puts) == 10


def test_the_footer_of_a_single_job_stays_as_it_was():
    report = Report(TestRun("x"), BuildContext("fake"), Collected(spool=False), Judgement(), RunState.SUCCESS)
    assert "shard" not in render_comment(report)
