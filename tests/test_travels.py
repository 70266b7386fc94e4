"""The history travels with a build: read before judging, stored after it, and a store that fails costs a warning."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ci_bridge import platforms
from ci_bridge.errors import HistoryError, PermissionDeniedError, TransientError
from ci_bridge.history import History
from ci_bridge.history.envelope import UnsignedObjectError, unpack
from ci_bridge.history.folder_store import FolderStore
from ci_bridge.history.segments import decode, encode
from ci_bridge.history.travelling import TravellingHistory
from ci_bridge.models import BuildContext, Receipt, Verdict
from ci_bridge.platforms.github.run_origins import TRUSTED_EVENTS as TRUSTED_BY_THE_LISTING
from ci_bridge.reporting import ReportOutcome
from ci_bridge.travels import is_main
from tests.fakes.adapter import Failure, FakeHost, JobAdapter
from tests.fakes.clients import PULL_REQUEST, TRUSTED_EVENTS, Clock, client_over
from tests.history.samples import record, remember, rows, uids

PUSH = BuildContext(
    "fake", repository="acme/shop", commit_sha="a" * 40, branch="main", default_branch="main", event="push",
    build_id="700", job_id="unit",
)  # fmt: skip
PASSED = '<testsuite name="unit"><testcase classname="Cart" name="test_total" time="0.5"/></testsuite>'
FAILED = PASSED.replace("/></", "><failure message='41 != 42'/></testcase></")
BASE, SEGMENT = "ci-bridge-base", "ci-bridge-segment-"


def run(body: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(body, 60))


def job(host: FakeHost, context: BuildContext, *, trusted: bool | None = None, expires: bool = True) -> JobAdapter:
    if trusted is None:
        trusted = context.event in (None, *TRUSTED_EVENTS) and not context.pr_number
    return JobAdapter(context=context, host=host, trusted=trusted, store_expires=expires)


def report(
    workspace: Path, adapter: JobAdapter, xml: str = FAILED, config: Mapping[str, Any] | None = None
) -> tuple[ReportOutcome, Receipt]:
    """One job: write a result file, report it, answer the outcome and the receipt of the history."""
    workspace.mkdir(exist_ok=True)
    (workspace / "TEST-unit.xml").write_text(xml)

    async def body() -> ReportOutcome:
        async with client_over(adapter, workspace, context=adapter.context, config=config) as client:
            return await client.report()

    outcome: ReportOutcome = run(body())
    (receipt,) = (receipt for receipt in outcome.report.receipts if receipt.channel == "history")
    return outcome, receipt


def names(host: FakeHost, prefix: str) -> list[str]:
    return [put.stored.name for put in host.puts if put.stored.name.startswith(prefix)]


def verdicts(outcome: ReportOutcome) -> list[Verdict]:
    return [judged.verdict for judged in outcome.report.judgement.judged]


# --- a build and the next


def test_the_second_build_knows_what_the_first_one_saw(tmp_path: Path) -> None:
    host = FakeHost()
    first, receipt = report(tmp_path / "one", job(host, PUSH))
    assert verdicts(first) == [Verdict.UNJUDGED]
    assert (receipt.state, receipt.via) == ("sent", "store")
    assert "read no earlier history" in receipt.reason
    assert "compacted (there is no base yet)" in receipt.reason
    second, receipt = report(tmp_path / "two", job(host, replace(PUSH, build_id="701")))
    assert verdicts(second) == [Verdict.KNOWN]
    assert "read base of 2026-01-01 00:00 UTC + 0 segments" in receipt.reason
    assert "compacted" not in receipt.reason
    assert len(names(host, SEGMENT)) == 2
    assert names(host, BASE) == [BASE]


def test_a_segment_holds_the_run_with_its_cases_and_numbers(tmp_path: Path) -> None:
    host, workspace = FakeHost(), tmp_path
    (workspace / "TEST-unit.xml").write_text(FAILED)

    async def body() -> str:
        async with client_over(job(host, PUSH), workspace, context=PUSH, config={"shard": "linux"}) as client:
            made = await client.create_test_run({"name": "nightly"})
            await client.record_performance_metric(made.id, "load", "requests", 12.5, "1/s")
            await client.report(test_run_id=made.id)
            return made.id

    uid = run(body())
    (put,) = (put for put in host.puts if put.stored.name.startswith(SEGMENT))
    segment = decode(put.data)
    assert put.stored.name.startswith(f"{SEGMENT}{uid}-linux-")
    assert (segment.run.uid, segment.run.shard, segment.run.build, segment.run.totals.failed) == (
        uid,
        "linux",
        "700",
        1,
    )
    assert [(metric.name, metric.value) for metric in segment.metrics] == [("requests", 12.5)]
    ((rows_of_it, signatures),) = segment.parts()
    assert rows_of_it[0][7] is not None and rows_of_it[0][7][1] == "41 != 42"
    assert len(signatures) == 1


def test_a_pull_request_reads_the_base_branch_and_leaves_nothing_that_others_believe(tmp_path: Path) -> None:
    host = FakeHost()
    report(tmp_path / "one", job(host, PUSH))
    outcome, receipt = report(tmp_path / "pr", job(host, PULL_REQUEST))
    assert verdicts(outcome) == [Verdict.KNOWN]
    assert (receipt.state, receipt.via) == ("sent", "store")
    assert [put.trusted for put in host.puts if put.stored.build_id == "777"] == [False]
    assert len(names(host, BASE)) == 1
    after, _ = report(tmp_path / "two", job(host, replace(PUSH, build_id="701")))
    assert verdicts(after) == [Verdict.KNOWN]
    with History.read(tmp_path / "two" / "distributed_test_results" / "history.sqlite") as history:
        assert [row["build_id"] for row in history.runs()] == ["701", "700"]


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "workflow_run", "issue_comment"])
def test_builds_that_strangers_can_start_never_compact(tmp_path: Path, event: str) -> None:
    host = FakeHost()
    _, receipt = report(tmp_path, job(host, replace(PUSH, event=event)))
    assert receipt.state == "sent"
    assert names(host, BASE) == []
    assert len(names(host, SEGMENT)) == 1


def test_a_pull_request_with_many_segments_says_that_it_read_ten(tmp_path: Path) -> None:
    host = FakeHost()
    for number in range(13):
        report(tmp_path / "side", job(host, replace(PUSH, branch="topic", build_id=f"6{number:02d}")))
        assert names(host, BASE) == []  # a topic branch leaves that to the default branch
    adapter = job(host, PULL_REQUEST)
    _, receipt = report(tmp_path / "pr", adapter)
    assert "read no base yet + 10 of 13 segments" in receipt.reason
    assert adapter.calls["get_object"] == 10
    assert adapter.calls["list_objects"] == 2


# --- several processes of one job


def test_steps_of_one_job_read_the_store_once_and_keep_what_they_saved(tmp_path: Path) -> None:
    host = FakeHost()
    report(tmp_path / "before", job(host, PUSH))
    context = replace(PUSH, build_id="701")

    async def measure() -> str:
        async with client_over(job(host, context), tmp_path / "job", context=context) as client:
            made = await client.create_test_run({"name": "n"})
            await client.record_performance_metric(made.id, "load", "requests", 3.0)
            return made.id

    uid = run(measure())
    assert len(names(host, SEGMENT)) == 1  # its run is not over yet
    adapter = job(host, context)
    (tmp_path / "job" / "TEST-unit.xml").write_text(FAILED)

    async def body() -> ReportOutcome:
        async with client_over(adapter, tmp_path / "job", context=context) as client:
            return await client.report(test_run_id=uid)

    outcome = run(body())
    assert verdicts(outcome) == [Verdict.KNOWN]
    assert adapter.calls["list_objects"] == 0
    segment = decode(host.puts[-1].data)
    assert [metric.value for metric in segment.metrics] == [3.0]


def test_what_an_earlier_build_left_on_a_machine_of_ones_own_is_not_believed(tmp_path: Path) -> None:
    host = FakeHost()
    report(tmp_path / "machine", job(host, PULL_REQUEST), PASSED)
    report(tmp_path / "machine", job(host, PUSH))
    assert len(uids(tmp_path / "machine" / "distributed_test_results" / "history.sqlite")) == 1


def test_a_file_that_comes_with_the_checkout_is_not_believed(tmp_path: Path) -> None:
    cache = tmp_path / "distributed_test_results" / "history.sqlite"
    remember(cache, (record(1, "planted", "F"), {"test_total": "F"}))
    cache.with_name("history.sqlite.read.json").write_text('{"build": "", "base": null, "read": 9, "waiting": []}')
    outcome, receipt = report(tmp_path, job(FakeHost(), replace(PUSH, build_id=None)))
    assert verdicts(outcome) == [Verdict.UNJUDGED]
    assert "no earlier history" in receipt.reason


# --- runs without a report


def test_a_run_that_was_completed_by_hand_travels_too(tmp_path: Path) -> None:
    host = FakeHost()

    async def body() -> tuple[str, list[dict[str, Any]]]:
        async with client_over(job(host, PUSH), tmp_path, context=PUSH) as client:
            made = await client.create_test_run({"name": "n"})
            await client.update_test_run(
                made.id, {"status": "completed", "summary": {"total_tasks": 2, "task_statuses": {"completed": 2}}}
            )
            await client.record_performance_metric(made.id, "load", "late", 1.0)
        async with client_over(job(host, PUSH), tmp_path / "other", context=replace(PUSH, build_id="701")) as client:
            return made.id, await client.get_test_history()

    uid, history = run(body())
    assert [(row["id"], row["status"], row["completed_tasks"]) for row in history] == [(uid, "completed", 2)]
    assert [metric.name for put in host.puts for metric in decode(put.data).metrics] == ["late"]


# --- what fails


def test_a_store_that_cannot_be_read_costs_the_comparison_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = FakeHost()
    report(tmp_path / "one", job(host, PUSH))
    adapter = job(host, replace(PUSH, build_id="701"))
    adapter.failures["list_objects"] = Failure(PermissionDeniedError("HTTP 403", hint="add `actions: read`"))
    with caplog.at_level(logging.WARNING):
        outcome, receipt = report(tmp_path / "two", adapter)
    assert verdicts(outcome) == [Verdict.UNJUDGED]
    assert outcome.exit_code == 0
    assert receipt.delivered and receipt.state == "degraded"
    assert "actions: read" in receipt.reason
    assert any("actions: read" in warning for warning in outcome.warnings)
    assert caplog.text.count("history not read") == 1
    assert len(names(host, SEGMENT)) == 2
    assert len(names(host, BASE)) == 1  # who has not read cannot compact


def test_a_short_outage_is_waited_for(tmp_path: Path) -> None:
    host = FakeHost()
    report(tmp_path / "one", job(host, PUSH))
    adapter = job(host, replace(PUSH, build_id="701"))
    for method in ("list_objects", "get_object", "put_object"):
        adapter.failures[method] = Failure(TransientError("HTTP 502"), times=1)
    outcome, receipt = report(tmp_path / "two", adapter)
    assert verdicts(outcome) == [Verdict.KNOWN]
    assert receipt.state == "sent"


# --- time


def slow_report(
    workspace: Path, adapter: JobAdapter, clock: Clock, seconds: Mapping[str, float], deadline: float = 20
) -> tuple[ReportOutcome, Receipt]:
    """One job on a store each of whose calls takes so many seconds of the clock."""
    workspace.mkdir(exist_ok=True)
    (workspace / "TEST-unit.xml").write_text(FAILED)

    def take_time(name: str) -> None:
        clock.now += seconds.get(name, 0.0)

    async def body() -> ReportOutcome:
        config = {"deadline_seconds": deadline}
        context = adapter.context
        async with client_over(adapter, workspace, context=context, config=config, clock=clock) as client:
            adapter.before = take_time
            return await client.report()

    outcome: ReportOutcome = run(body())
    return outcome, receipt_of(outcome, "history")


def receipt_of(outcome: ReportOutcome, channel: str) -> Receipt:
    (receipt,) = (receipt for receipt in outcome.report.receipts if receipt.channel == channel)
    return receipt


def with_segments(tmp_path: Path, count: int) -> FakeHost:
    host = FakeHost()
    for number in range(count):
        report(tmp_path / "before", job(host, replace(PUSH, branch="topic", build_id=f"6{number:02d}")))
    return host


def test_a_slow_store_yields_what_it_had_time_for_and_the_comment_goes_out(tmp_path: Path) -> None:
    host, clock = with_segments(tmp_path, 8), Clock()
    adapter = job(host, PULL_REQUEST)
    outcome, receipt = slow_report(tmp_path / "pr", adapter, clock, {"get_object": 2.0})
    assert clock.now - 1000 < 20
    assert "read no base yet + 2 of 8 segments" in receipt.reason
    assert adapter.calls["get_object"] == 2
    assert any("time is short" in warning for warning in outcome.warnings)
    assert receipt_of(outcome, "comment").state == "sent"
    assert len(host.comments["42"]) == 1


def test_a_store_that_fails_again_and_again_takes_its_share_of_the_time_and_no_more(tmp_path: Path) -> None:
    host, clock = with_segments(tmp_path, 1), Clock()
    for deadline, share in ((20, 5), (120, 30), (1000, 30)):
        adapter = job(host, PULL_REQUEST)
        adapter.failures["list_objects"] = Failure(TransientError("HTTP 502"))
        adapter.failures["list_siblings"] = Failure(TransientError("HTTP 502"))
        clock.slept.clear()
        outcome, receipt = slow_report(tmp_path / "pr", adapter, clock, {}, deadline)
        assert sum(clock.slept[: adapter.calls["list_objects"] - 1]) < share
        assert "not read from its store" in " ".join(outcome.warnings)
        assert "HTTP 502" in receipt.reason


def test_a_store_that_hangs_leaves_time_for_the_comment(tmp_path: Path) -> None:
    host, clock = with_segments(tmp_path, 1), Clock()
    adapter = job(host, PULL_REQUEST)
    adapter.failures["get_object"] = Failure(TransientError("timed out"))
    outcome, _ = slow_report(tmp_path / "pr", adapter, clock, {"get_object": 4.0})
    assert adapter.calls["get_object"] == 1
    assert receipt_of(outcome, "comment").state == "sent"
    assert len(host.comments["42"]) == 1


def test_compacting_folds_in_what_it_has_time_for(tmp_path: Path) -> None:
    host, clock = with_segments(tmp_path, 8), Clock()
    adapter = job(host, PUSH)
    _, receipt = slow_report(tmp_path / "main", adapter, clock, {"get_object": 2.0})
    assert "read no base yet + 2 of 8 segments" in receipt.reason
    assert "compacted (there is no base yet): covers 7 more segments" in receipt.reason
    assert clock.now - 1000 < 20
    reader = TravellingHistory(job(host, PUSH), tmp_path / "reader" / "history.sqlite")
    assert str(reader.fetch()).endswith("+ 2 segments")  # nothing is lost by it
    assert len(uids(reader.cache)) == 9


def test_with_no_time_left_no_base_is_begun(tmp_path: Path) -> None:
    host, clock = FakeHost(), Clock()
    _, receipt = slow_report(tmp_path, job(host, PUSH), clock, {"put_object": 16.0})
    assert receipt.state == "sent" and "compacted" not in receipt.reason
    assert (len(names(host, SEGMENT)), len(names(host, BASE))) == (1, 0)


# --- what fails


def test_a_segment_that_cannot_be_stored_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    adapter = job(FakeHost(), PUSH)
    adapter.failures["put_object"] = Failure(PermissionDeniedError("HTTP 403"))
    outcome, receipt = report(tmp_path, adapter)
    assert outcome.exit_code == 0
    assert receipt.delivered and receipt.state == "degraded"
    assert "other builds will not know it" in receipt.reason
    assert "segment was not stored" in caplog.text
    assert uids(tmp_path / "distributed_test_results" / "history.sqlite") == [outcome.report.run.id]


def test_the_history_says_so_where_it_could_not_be_read(tmp_path: Path) -> None:
    adapter = job(FakeHost(), PUSH)
    adapter.failures["list_objects"] = Failure(PermissionDeniedError("HTTP 403"))

    async def body() -> None:
        async with client_over(adapter, tmp_path, context=PUSH) as client:
            with pytest.raises(HistoryError, match="403"):
                await client.get_test_history()
            with pytest.raises(HistoryError, match="403"):
                await client.prune_history(30)

    run(body())


def test_a_hostile_store_ends_in_a_warning(tmp_path: Path) -> None:
    host = FakeHost()
    first = job(host, PUSH)
    first.put_object(BASE, b"x" * 1000, 14)
    first.put_object(f"{SEGMENT}x", b"y" * 1000, 30)
    outcome, receipt = report(tmp_path, first)
    assert verdicts(outcome) == [Verdict.UNJUDGED]
    assert "none of the 1 bases" in receipt.reason
    assert len(names(host, BASE)) == 1


def test_a_call_that_took_too_long_stops_and_leaves_the_next_one_alone(tmp_path: Path) -> None:
    host, blocked, release = FakeHost(), threading.Event(), threading.Event()
    report(tmp_path / "one", job(host, PUSH))
    adapter = job(host, replace(PUSH, build_id="701"))

    def hang(name: str) -> None:
        if name == "get_object" and not blocked.is_set():
            blocked.set()
            assert release.wait(20)

    adapter.before = hang

    async def body() -> None:
        async with client_over(adapter, tmp_path / "two", context=adapter.context) as client:
            travels = client._place.travels
            assert travels is not None
            with ThreadPoolExecutor() as threads:
                late = threads.submit(travels.fetch)
                assert blocked.wait(20)
                threads.submit(travels.fetch).result(20)
                release.set()
                with pytest.raises(HistoryError, match="took too long"):
                    late.result(20)
            assert len(uids(travels.history.cache)) == 1
            travels.give_up(HistoryError("no answer"))
            with pytest.raises(HistoryError, match="given up"):
                travels.fetch()

    run(body())


# --- a folder


def folder_report(tmp_path: Path, name: str, context: BuildContext, xml: str = FAILED) -> tuple[ReportOutcome, Receipt]:
    adapter = JobAdapter(context=context)
    return report(tmp_path / name, adapter, xml, {"history_url": str(tmp_path / "shared")})


def test_machines_that_share_a_folder_share_the_history(tmp_path: Path) -> None:
    folder_report(tmp_path, "one", PUSH)
    outcome, receipt = folder_report(tmp_path, "two", replace(PUSH, build_id="701"))
    assert verdicts(outcome) == [Verdict.KNOWN]
    assert "+ 0 segments" in receipt.reason
    store = FolderStore(tmp_path / "shared")
    assert len(store.list_objects(SEGMENT, 10)) == 2
    assert len(store.list_objects(BASE, 10)) == 1


def test_a_pull_request_on_a_shared_folder_is_kept_apart(tmp_path: Path) -> None:
    folder_report(tmp_path, "pr", PULL_REQUEST)
    outcome, _ = folder_report(tmp_path, "one", PUSH)
    assert verdicts(outcome) == [Verdict.UNJUDGED]
    assert len(FolderStore(tmp_path / "shared").list_objects(SEGMENT, 10)) == 1


def test_a_folder_that_holds_a_history_file_keeps_it(tmp_path: Path) -> None:
    remember(tmp_path / "shared" / "history.sqlite", (record(1, "earlier", "P"), {"test_total": "P"}))
    folder_report(tmp_path, "one", PUSH)
    assert len(uids(tmp_path / "shared" / "history.sqlite")) == 2
    assert FolderStore(tmp_path / "shared").list_objects("ci-bridge", 10) == []


def test_the_history_of_a_folder_can_be_looked_at_checked_and_pruned_from_anywhere(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "shared")
    writer = TravellingHistory(store, tmp_path / "writer" / "history.sqlite")
    for number in range(4):
        began = datetime.now(UTC) - timedelta(days=0 if number else 40)
        one = replace(record(0, f"run-{number}", "P"), ts=began)
        writer.publish(one.uid, encode(one, rows({"test_total": "P"})))

    async def body(name: str, days: int | None) -> tuple[int, dict[str, Any], int]:
        (tmp_path / name).mkdir()
        config = {"history_url": str(tmp_path / "shared")}
        async with client_over(JobAdapter(context=PUSH), tmp_path / name, context=PUSH, config=config) as client:
            pruned = await client.prune_history(days) if days else 0
            return len(await client.get_test_history()), await client.check_history(), pruned

    count, checked, _ = run(body("look", None))
    assert (count, checked["sound"]) == (4, True)
    assert run(body("prune", 30))[2] == 1
    assert run(body("look again", None))[0] == 3
    assert len(store.list_objects(BASE, 10)) == 1


def test_only_the_projects_own_builds_prune_what_all_share(tmp_path: Path) -> None:
    async def body() -> None:
        async with client_over(job(FakeHost(), PULL_REQUEST), tmp_path, context=PULL_REQUEST) as client:
            with pytest.raises(HistoryError, match="of the project itself"):
                await client.prune_history(30)

    run(body())


def test_compacting_and_forgetting_are_for_builds_that_are_trusted_and_may_store(tmp_path: Path) -> None:
    host = FakeHost()
    outcome, _ = report(tmp_path / "one", job(host, PUSH))
    uid = outcome.report.run.id

    async def refused(adapter: JobAdapter, error: type[Exception], words: str) -> None:
        folder = tmp_path / f"{len(host.puts)}-{words[:4]}"
        folder.mkdir()
        async with client_over(adapter, folder, context=adapter.context) as client:
            with pytest.raises(error, match=words):
                await client.compact_history(force=True)
            with pytest.raises(error, match=words):
                await client.forget_run(uid)
            assert len(await client.get_test_history()) == 1

    before = len(host.puts)
    run(refused(job(host, PULL_REQUEST), HistoryError, "of the project itself"))
    reader = job(host, PUSH)
    reader.failures["put_object"] = Failure(PermissionDeniedError("uploaded by actions only"))
    run(refused(reader, PermissionDeniedError, "actions only"))
    assert len(host.puts) == before


def test_a_forgotten_run_is_known_to_no_build_any_more(tmp_path: Path) -> None:
    host = FakeHost()
    first, _ = report(tmp_path / "one", job(host, PUSH))
    second, _ = report(tmp_path / "two", job(host, replace(PUSH, build_id="701")))

    unknown = "01900000-0000-7000-8000-000000000000"

    async def body() -> tuple[bool, bool]:
        (tmp_path / "hand").mkdir()
        async with client_over(job(host, PUSH), tmp_path / "hand", context=PUSH) as client:
            return await client.forget_run(first.report.run.id), await client.forget_run(unknown)

    assert run(body()) == (True, False)
    _, receipt = report(tmp_path / "three", job(host, replace(PUSH, build_id="702")))
    assert "+ 0 segments" in receipt.reason
    history = tmp_path / "three" / "distributed_test_results" / "history.sqlite"
    assert first.report.run.id not in uids(history) and second.report.run.id in uids(history)


def test_what_is_stored_is_signed_where_there_is_a_secret(tmp_path: Path) -> None:
    host, secret = FakeHost(), {"history_secret": "for-tests-only"}
    report(tmp_path / "one", job(host, PUSH), config=secret)
    segment, base = host.puts
    assert (segment.stored.name[: len(SEGMENT)], base.stored.name) == (SEGMENT, BASE)
    for put in host.puts:
        assert list(unpack(put.data, 1 << 30, b"for-tests-only"))
        with pytest.raises(UnsignedObjectError):
            list(unpack(put.data, 1 << 30, b"another"))
    job(host, PUSH).put_object(f"{SEGMENT}x", encode(record(0, "planted", "F"), rows({"test_total": "F"})), 30)
    outcome, receipt = report(tmp_path / "two", job(host, replace(PUSH, build_id="701")), config=secret)
    assert verdicts(outcome) == [Verdict.KNOWN]
    assert "+ 0 segments" in receipt.reason
    assert any("not signed with history_secret: 1" in warning for warning in outcome.warnings)
    # Others need no secret to read; a fork's pull request has none.
    outcome, receipt = report(tmp_path / "pr", job(host, PULL_REQUEST))
    assert verdicts(outcome) == [Verdict.KNOWN]


# --- where nothing travels


def test_a_laptop_keeps_its_one_file(tmp_path: Path) -> None:
    adapter = job(FakeHost(), BuildContext("local", branch="main"))
    _, receipt = report(tmp_path, adapter)
    assert (receipt.state, receipt.via, adapter.calls["put_object"]) == ("sent", "history", 0)


def test_where_history_is_switched_off_the_store_is_left_alone(tmp_path: Path) -> None:
    adapter = job(FakeHost(), PUSH)
    report(tmp_path, adapter, config={"enable_history_tracking": False})
    assert not adapter.calls.keys() & {"list_objects", "get_object", "put_object"}


EVENTS = {
    "github": (
        "push schedule workflow_dispatch repository_dispatch",
        "pull_request pull_request_target workflow_run merge_group issue_comment deployment check_suite release Push",
    ),
    "gitlab": (
        "push schedule web webide api trigger parent_pipeline",
        "merge_request_event external external_pull_request_event pipeline chat ondemand_dast_scan",
    ),
    "azure": (
        "IndividualCI BatchedCI Schedule Manual",
        "PullRequest BuildCompletion ResourceTrigger ValidateShelveset CheckInShelveset manual",
    ),
    "travis": ("push cron api", "pull_request web"),
    "jenkins": ("PUSH TAG_PUSH", "MERGE NOTE PIPELINE push"),
    "circle": ("", "push"),
    "bitbucket": ("", "push"),
    "teamcity": ("", "push"),
}


def is_trusted(workspace: Path, context: BuildContext, platform: str) -> bool:
    async def body() -> bool:
        async with client_over(JobAdapter(context=context), workspace, context=context, platform=platform) as client:
            place = replace(client._place, trusted_events=platforms.load(platform).trusted_events)
            return place.is_trusted

    answer: bool = run(body())
    return answer


@pytest.mark.parametrize("platform", EVENTS)
def test_a_build_is_trusted_if_the_platform_names_exactly_what_started_it(tmp_path: Path, platform: str) -> None:
    trusted, others = (words.split() for words in EVENTS[platform])
    assert sorted(platforms.load(platform).trusted_events) == sorted(trusted)
    for event in (None, *trusted):
        context = BuildContext(platform, event=event)
        assert is_trusted(tmp_path, context, platform)
        assert not is_trusted(tmp_path, replace(context, pr_number="7"), platform)
        assert not is_trusted(tmp_path, replace(context, is_fork=True), platform)
    for event in others:
        assert not is_trusted(tmp_path, BuildContext(platform, event=event), platform), event


def test_every_platform_stands_in_the_table_of_events() -> None:
    assert {one.name for one in platforms.available()} - {"local"} == EVENTS.keys()
    assert frozenset(platforms.load("github").trusted_events) == TRUSTED_BY_THE_LISTING


def test_the_default_branch_schedules_and_unknown_default_branches_compact() -> None:
    assert is_main(PUSH)
    assert not is_main(replace(PUSH, branch="topic"))
    assert is_main(replace(PUSH, branch="topic", event="schedule"))
    assert not is_main(replace(PUSH, branch="topic", event="reschedule"))
    assert is_main(replace(PUSH, branch="topic", default_branch=None))
