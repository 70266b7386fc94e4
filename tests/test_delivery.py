"""Receipts, ladders and the report job, end to end on the fake and on the local platform."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.delivery import SUPERSEDED, upsert_comment
from ci_bridge.errors import CIBridgeError, ConfigError, PermissionDeniedError, TransientError
from ci_bridge.models import BuildContext, Comment, Receipt, RemoteRun, RunState, TestRun, Verdict
from ci_bridge.protocols import Adapter, ExplainsGaps, SupportsSummary
from ci_bridge.report.escape import with_marker
from ci_bridge.reporting import ReportOutcome
from tests.fakes.adapter import FakeAdapter, JobAdapter
from tests.fakes.clients import PULL_REQUEST, Clock, client_over

GREEN = '<testsuite name="s"><testcase classname="c" name="a" time="1"/><testcase classname="c" name="b"/></testsuite>'
RED = (
    '<testsuite name="s"><testcase classname="c" name="a" time="1"/>'
    '<testcase classname="c" name="b"><failure message="41 != 42">Traceback</failure></testcase></testsuite>'
)
FLAKY = (
    '<testsuite name="s"><testcase classname="c" name="a"/><testcase classname="c" name="b"><failure/></testcase>'
    '<testcase classname="c" name="b"/></testsuite>'
)
ERROR = '<testsuite name="s"><testcase classname="c" name="b"><error message="boom"/></testcase></testsuite>'

UNWRITABLE = "/proc/ci-bridge"  # where not even root makes a folder
MAIN = BuildContext("fake", commit_sha="a" * 40, branch="main", build_id="1")


def report(
    workspace: Path,
    text: str | None,
    *,
    adapter: Adapter | None = None,
    config: Mapping[str, Any] | None = None,
    context: BuildContext = MAIN,
    clock: Clock | None = None,
    log: list[str] | None = None,
) -> ReportOutcome:
    """One whole report over one result file."""
    if text is not None:
        (workspace / "junit.xml").write_text(text)

    async def body() -> ReportOutcome:
        async with client_over(
            adapter if adapter is not None else FakeAdapter(context=context),
            workspace,
            config=config,
            context=context,
            clock=clock,
            log=log,
        ) as client:
            return await client.report(["junit.xml"])

    return asyncio.run(asyncio.wait_for(body(), 60))


def receipt_of(outcome: ReportOutcome, channel: str) -> Receipt:
    [receipt] = [receipt for receipt in outcome.report.receipts if receipt.channel == channel]
    return receipt


class TestVerdicts:
    def test_a_second_run_knows_the_first(self, tmp_path: Path) -> None:
        report(tmp_path, GREEN)
        outcome = report(tmp_path, RED, context=replace(MAIN, build_id="2"))
        [judged] = outcome.report.judgement.judged
        assert (judged.case.name, judged.verdict) == ("b", Verdict.NEW)
        again = report(tmp_path, RED, context=replace(MAIN, build_id="3"))
        assert [j.verdict for j in again.report.judgement.judged] == [Verdict.KNOWN]
        fixed = report(tmp_path, GREEN, context=replace(MAIN, build_id="4"))
        assert len(fixed.report.judgement.fixed) == 1

    def test_a_first_run_is_unjudged(self, tmp_path: Path) -> None:
        outcome = report(tmp_path, RED)
        assert [j.verdict for j in outcome.report.judgement.judged] == [Verdict.UNJUDGED]

    def test_a_pull_request_is_compared_with_its_base_and_does_not_become_one(self, tmp_path: Path) -> None:
        report(tmp_path, GREEN)
        pull = replace(PULL_REQUEST, branch="main", is_fork=True)
        for build in ("7", "8"):
            outcome = report(tmp_path, RED, context=replace(pull, build_id=build))
            assert [j.verdict for j in outcome.report.judgement.judged] == [Verdict.NEW]
        after = report(tmp_path, RED, context=replace(MAIN, build_id="9"))
        assert [j.verdict for j in after.report.judgement.judged] == [Verdict.NEW]

    def test_shards_are_compared_with_themselves(self, tmp_path: Path) -> None:
        report(tmp_path, RED, config={"shard": "windows"})
        report(tmp_path, GREEN, config={"shard": "ubuntu"}, context=replace(MAIN, build_id="2"))
        outcome = report(tmp_path, RED, config={"shard": "ubuntu"}, context=replace(MAIN, build_id="3"))
        assert [j.verdict for j in outcome.report.judgement.judged] == [Verdict.NEW]

    def test_without_a_branch_runs_are_compared_too(self, tmp_path: Path) -> None:
        nowhere = BuildContext("fake")
        report(tmp_path, GREEN, context=nowhere)
        outcome = report(tmp_path, RED, context=nowhere)
        assert [j.verdict for j in outcome.report.judgement.judged] == [Verdict.NEW]

    def test_a_poisoned_history_is_not_used_and_said_so(self, tmp_path: Path) -> None:
        report(tmp_path, GREEN)
        path = tmp_path / "distributed_test_results" / "history.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TRIGGER evil AFTER INSERT ON nonpass BEGIN DELETE FROM nonpass; END")
            connection.commit()
        for previous in path.parent.glob("*previous*"):
            previous.unlink()
        outcome = report(tmp_path, RED, context=replace(MAIN, build_id="2"))
        assert any("history not used" in warning for warning in outcome.warnings)
        assert outcome.report.results.totals.failed == 1
        assert [j.verdict for j in outcome.report.judgement.judged] == [Verdict.UNJUDGED]


class TestExitCodes:
    @pytest.mark.parametrize(
        ("text", "config", "code", "state"),
        [
            (GREEN, {}, 0, RunState.SUCCESS),
            (GREEN, {"fail_on": "failures"}, 0, RunState.SUCCESS),
            (RED, {}, 0, RunState.FAILURE),
            (RED, {"fail_on": "failures"}, 1, RunState.FAILURE),
            (RED, {"fail_on": "new-failures"}, 1, RunState.FAILURE),
            (RED, {"fail_on": "errors"}, 0, RunState.SUCCESS),
            (ERROR, {"fail_on": "errors"}, 1, RunState.FAILURE),
            (FLAKY, {"fail_on": "failures"}, 0, RunState.SUCCESS),
            ("", {}, 3, RunState.ERROR),
            ("<testsuite/>", {}, 3, RunState.NO_RESULTS),
            ("garbage", {"fail_on": "never"}, 3, RunState.ERROR),
            (None, {}, 3, RunState.ERROR),
            (RED[:150], {}, 0, RunState.ERROR),
            (RED[:150], {"fail_on": "failures"}, 3, RunState.ERROR),
            (RED[:150], {"strict": True}, 3, RunState.ERROR),
        ],
    )
    def test_state_and_code(
        self, tmp_path: Path, text: str | None, config: dict[str, Any], code: int, state: RunState
    ) -> None:
        outcome = report(tmp_path, text, config=config)
        assert (outcome.exit_code, outcome.report.state) == (code, state)

    def test_known_failures_pass_where_only_new_ones_count(self, tmp_path: Path) -> None:
        report(tmp_path, RED)
        outcome = report(tmp_path, RED, config={"fail_on": "new-failures"}, context=replace(MAIN, build_id="2"))
        assert (outcome.exit_code, outcome.report.state) == (0, RunState.SUCCESS)

    @pytest.mark.parametrize(
        ("config", "code"),
        [
            ({}, 0),
            ({"strict": True}, 4),
            ({"required_channels": ["summary"]}, 4),
            ({"required_channels": ["comment"]}, 0),
        ],
    )
    def test_a_failed_channel_counts_only_where_asked_for(
        self, tmp_path: Path, config: dict[str, Any], code: int
    ) -> None:
        adapter = FakeAdapter()
        adapter.fail("write_summary", PermissionDeniedError("no right"))
        outcome = report(tmp_path, GREEN, adapter=adapter, config=config)
        assert outcome.exit_code == code
        assert receipt_of(outcome, "summary").state == "failed"

    def test_a_red_test_outranks_a_failed_channel(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        adapter.fail("write_summary", PermissionDeniedError("no right"))
        assert report(tmp_path, RED, adapter=adapter, config={"strict": True, "fail_on": "failures"}).exit_code == 1


class TestChannels:
    def test_everything_is_delivered_once(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        outcome = report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST)
        assert {r.channel: r.state for r in outcome.report.receipts} == {
            "files": "sent", "outputs": "sent", "summary": "sent", "annotations": "skipped", "run": "sent",
            "comment": "sent", "artifacts": "sent", "history": "sent",
        }  # fmt: skip
        assert adapter.outputs["conclusion"] == "failure" and adapter.outputs["failed"] == "1"
        assert len(adapter.comments["42"]) == 1 and len(adapter.summaries) == 1 and len(adapter.runs) == 1
        assert {a.name for a, _ in adapter.artifacts} == {path.name for path in outcome.files.values()}
        document = json.loads(adapter.content("report.json"))
        assert document["totals"]["failed"] == 1 and document["links"]["html"] == "report.html"
        written = json.loads((tmp_path / "distributed_test_results" / "receipts.json").read_text())
        assert [receipt["channel"] for receipt in written] == [r.channel for r in outcome.report.receipts]

    @pytest.mark.parametrize(
        "method",
        [
            "set_outputs",
            "write_summary",
            "annotate",
            "create_test_run",
            "list_comments",
            "create_comment",
            "upload_artifact",
        ],
    )
    @pytest.mark.parametrize("error", [PermissionDeniedError("403"), TransientError("502"), RuntimeError("a defect")])
    def test_a_dead_channel_costs_no_other(self, tmp_path: Path, method: str, error: Exception) -> None:
        adapter = FakeAdapter()
        adapter.fail(method, error)  # type: ignore[arg-type]
        outcome = report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST, log=[])
        bad = [r.channel for r in outcome.report.receipts if r.state not in ("sent", "skipped")]
        assert len(bad) == 1
        assert receipt_of(outcome, "history").state == "sent"
        assert outcome.exit_code == 0

    def test_a_rate_limit_beyond_the_budget_gives_up_that_channel_only(self, tmp_path: Path) -> None:
        from ci_bridge.errors import RateLimitedError

        adapter, clock = FakeAdapter(), Clock()
        adapter.fail("create_comment", RateLimitedError("later", retry_after=3600))
        outcome = report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST, clock=clock)
        assert receipt_of(outcome, "comment").via == "summary"
        assert clock.slept == []

    def test_a_used_up_budget_is_said(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        outcome = report(tmp_path, RED, adapter=adapter, config={"deadline_seconds": 0}, context=PULL_REQUEST)
        assert "deadline_seconds" in receipt_of(outcome, "comment").reason
        assert outcome.files["json"].is_file()

    def test_a_used_up_budget_costs_nothing_that_is_written_on_this_machine(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        outcome = report(tmp_path, RED, adapter=adapter, config={"deadline_seconds": 0}, context=PULL_REQUEST, log=[])
        states = {receipt.channel: (receipt.state, receipt.via) for receipt in outcome.report.receipts}
        assert states == {
            "files": ("sent", "folder"),
            "outputs": ("sent", "outputs"),
            "summary": ("sent", "summary"),
            "run": ("degraded", "log"),
            "annotations": ("failed", ""),
            "comment": ("degraded", "summary"),
            "artifacts": ("failed", ""),
            "history": ("sent", "history"),
        }
        assert adapter.summaries and adapter.outputs["failed"] == "1"

    def test_only_waiting_for_others_costs_budget(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Whatever this machine does between two calls takes a quarter of an hour."""
        clock = Clock()

        class Slow(logging.Handler):
            seen = 0

            def emit(self, record: logging.LogRecord) -> None:
                clock.now += 900
                self.seen += 1

        caplog.set_level(logging.INFO, "ci_bridge")
        slow, logger = Slow(), logging.getLogger("ci_bridge")
        logger.addHandler(slow)
        try:
            outcome = report(tmp_path, RED, config={"deadline_seconds": 8}, context=PULL_REQUEST, clock=clock)
        finally:
            logger.removeHandler(slow)
        assert slow.seen >= 8  # it judged, read and delivered
        assert {receipt.state for receipt in outcome.report.receipts} == {"sent", "skipped"}  # no place to annotate

    def test_a_call_that_takes_long_costs_those_after_it(self, tmp_path: Path) -> None:
        clock = Clock()

        class Slow(FakeAdapter):
            def create_test_run(self, run: TestRun) -> RemoteRun:
                clock.now += 900
                return super().create_test_run(run)

        outcome = report(tmp_path, RED, adapter=Slow(), context=PULL_REQUEST, clock=clock)
        assert receipt_of(outcome, "run").state == "sent"
        assert "deadline_seconds" in receipt_of(outcome, "annotations").reason

    def test_the_reports_comment_is_updated_in_place(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST)
        report(tmp_path, GREEN, adapter=adapter, context=replace(PULL_REQUEST, build_id="778"))
        [comment] = adapter.comments["42"]
        assert comment.body.startswith("<!-- ci-bridge:") and "✅" in comment.body

    def test_a_title_has_a_comment_of_its_own(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST)
        report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST, config={"comment_title": "Integration"})
        assert len(adapter.comments["42"]) == 2

    def test_on_failure_only_a_green_run_writes_none_but_turns_an_old_one_green(self, tmp_path: Path) -> None:
        adapter, config = FakeAdapter(), {"pr_comment_on_failure_only": True}
        outcome = report(tmp_path, GREEN, adapter=adapter, context=PULL_REQUEST, config=config)
        assert receipt_of(outcome, "comment").state == "skipped"
        assert not adapter.comments["42"]
        report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST, config=config)
        report(tmp_path, GREEN, adapter=adapter, context=PULL_REQUEST, config=config)
        assert "✅" in adapter.comments["42"][0].body

    def test_turning_red_recreates_the_comment_where_asked(self, tmp_path: Path) -> None:
        adapter, config = FakeAdapter(), {"comment_on_worse": "recreate"}
        report(tmp_path, GREEN, adapter=adapter, context=PULL_REQUEST, config=config)
        for build in ("778", "779"):
            report(tmp_path, RED, adapter=adapter, context=replace(PULL_REQUEST, build_id=build), config=config)
        first, second = adapter.comments["42"]
        assert "Superseded" in first.body and "ci-bridge:" not in first.body
        assert "❌" in second.body

    def test_no_pull_request_is_a_skipped_comment(self, tmp_path: Path) -> None:
        assert receipt_of(report(tmp_path, RED), "comment").state == "skipped"

    @pytest.mark.parametrize(
        ("option", "channel"),
        [
            ({"enable_pr_comments": False}, "comment"),
            ({"annotations": "none"}, "annotations"),
            ({"enable_artifacts": False}, "artifacts"),
            ({"artifact_categories": ["logs"]}, "artifacts"),
            ({"enable_status_updates": False}, "status"),
            ({"enable_history_tracking": False}, "history"),
        ],
    )
    def test_what_is_switched_off_is_skipped_and_said(
        self, tmp_path: Path, option: dict[str, Any], channel: str
    ) -> None:
        outcome = report(tmp_path, RED, context=PULL_REQUEST, config=option)
        assert receipt_of(outcome, channel).state == "skipped"

    def test_result_format_chooses_the_files_and_drops_stale_ones(self, tmp_path: Path) -> None:
        report(tmp_path, RED)
        outcome = report(tmp_path, GREEN, config={"result_format": "junit"})
        assert [path.name for path in outcome.files.values()] == ["report.xml"]
        folder = tmp_path / "distributed_test_results"
        assert not (folder / "report.html").exists() and (folder / "report.xml").exists()

    def test_include_options_leave_their_part_out(self, tmp_path: Path) -> None:
        off = {
            "include_system_info": False,
            "include_failure_analysis": False,
            "include_performance_metrics": False,
        }
        facts = [json.loads(report(tmp_path, RED, config=config).files["json"].read_text()) for config in ({}, off)]
        assert facts[0]["system_info"] and not facts[1]["system_info"]
        assert json.dumps(facts[0]).count("category") > json.dumps(facts[1]).count("category")

    @pytest.mark.parametrize("folder", ["taken", "taken/below"])
    def test_a_file_where_the_folder_should_be_is_said_before_anything_is_sent(
        self, tmp_path: Path, folder: str
    ) -> None:
        (tmp_path / "taken").write_text("a file")
        adapter = FakeAdapter()
        with pytest.raises(ConfigError, match=r"artifact_dir = .* is a file|artifact_dir = .* lies below taken"):
            report(tmp_path, RED, adapter=adapter, config={"artifact_dir": folder}, context=PULL_REQUEST)
        assert not adapter.comments and not adapter.summaries

    @pytest.mark.parametrize("required", ["", "files", "history", "artifacts", "comment"])
    def test_a_folder_that_cannot_be_written_costs_the_files_and_is_said_once(
        self, tmp_path: Path, required: str
    ) -> None:
        adapter = FakeAdapter()
        config = {"artifact_dir": UNWRITABLE, "required_channels": [required] if required else []}
        outcome = report(tmp_path, RED, adapter=adapter, config=config, context=PULL_REQUEST)
        files = receipt_of(outcome, "files")
        assert files.state == "failed"
        assert files.reason.startswith(f"artifact_dir {UNWRITABLE} cannot be written: ")
        assert receipt_of(outcome, "history").reason == files.reason
        assert receipt_of(outcome, "comment").state == "sent"
        assert receipt_of(outcome, "artifacts").reason == "there is no report file to upload"
        assert outcome.exit_code == (4 if required in ("files", "history", "artifacts") else 0)

    def test_our_own_reports_are_not_read_as_results(self, tmp_path: Path) -> None:
        report(tmp_path, GREEN)

        async def body() -> ReportOutcome:
            async with client_over(FakeAdapter(), tmp_path) as client:
                return await client.report(["**/*.xml"])

        assert [file.path for file in asyncio.run(body()).report.results.files if file.cases] == ["junit.xml"]

    def test_a_symlinked_artifact_dir_leads_nowhere(self, tmp_path: Path) -> None:
        workspace = tmp_path / "checkout"
        workspace.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (workspace / "distributed_test_results").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(CIBridgeError, match="outside the workspace"):
            report(workspace, GREEN)
        assert list((tmp_path / "elsewhere").iterdir()) == []


def test_numbers_recorded_before_a_report_belong_to_it(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(GREEN)

    async def body() -> tuple[str, str, str]:
        async with client_over(FakeAdapter(), tmp_path) as client:
            early = await client.current_run_id()
            await client.record_performance_metric(early, "t", "startup", 1.0, "s")
        async with client_over(FakeAdapter(), tmp_path) as client:
            outcome = await client.report(["junit.xml"])
            assert [metric.name for metric in outcome.report.metrics] == ["startup"]
        async with client_over(FakeAdapter(), tmp_path) as client:
            late = await client.current_run_id()
            second = (await client.report(["junit.xml"])).report.run.id
        return early, outcome.report.run.id, late if late != second else "same"

    early, reported, late = asyncio.run(body())
    assert early == reported == late


KEY = "report:Test results"
BODY = with_marker("text", KEY)


class TestOneComment:
    """What ``upsert_comment`` leaves on a pull request, whoever else writes there."""

    def test_younger_duplicates_of_ours_go_and_the_oldest_is_kept_up_to_date(self) -> None:
        host = FakeAdapter()
        for text in ("old", "younger", "youngest"):
            host.create_comment("42", with_marker(text, KEY))
        host.create_comment("42", "a person's")
        upsert_comment(host, "42", BODY, KEY)
        assert [(comment.id, comment.body) for comment in host.comments["42"]] == [("1", BODY), ("4", "a person's")]

    def test_a_planted_marker_of_another_author_is_neither_updated_nor_removed(self) -> None:
        host = FakeAdapter(author="mallory")
        host.create_comment("42", with_marker("planted", KEY))
        host.author = "ci-bridge[bot]"
        upsert_comment(host, "42", BODY, KEY)
        assert [(comment.author, comment.body) for comment in host.comments["42"]] == [
            ("mallory", with_marker("planted", KEY)), ("ci-bridge[bot]", BODY),
        ]  # fmt: skip

    def test_a_comment_that_another_job_created_in_the_same_moment_wins(self) -> None:
        host = JobAdapter()
        other = JobAdapter(host=host.host)

        def rival(name: str) -> None:
            if name == "create_comment":
                host.before = lambda _name: None
                other.create_comment("42", with_marker("the other's", KEY))

        host.before = rival
        stored = upsert_comment(host, "42", BODY, KEY)
        assert stored is not None and [comment.body for comment in host.comments["42"]] == [BODY]
        assert host.comments["42"][0].id == stored.id

    def test_a_comment_taken_away_between_look_and_update_is_written_anew(self) -> None:
        host = JobAdapter()
        gone = host.create_comment("42", with_marker("old", KEY))

        def take_away(name: str) -> None:
            if name == "update_comment":
                host.before = lambda _name: None
                host.delete_comment("42", gone.id)

        host.before = take_away
        upsert_comment(host, "42", BODY, KEY)
        assert [comment.body for comment in host.comments["42"]] == [BODY]

    def test_where_removing_is_refused_a_duplicate_gives_up_its_marker(self) -> None:
        host = FakeAdapter()
        for text in ("old", "younger"):
            host.create_comment("42", with_marker(text, KEY))
        host.fail("delete_comment", PermissionDeniedError("no right"))
        upsert_comment(host, "42", BODY, KEY)
        assert [comment.body for comment in host.comments["42"]] == [BODY, SUPERSEDED]

    def test_recreating_leaves_one_that_bears_the_marker(self) -> None:
        host = FakeAdapter()
        host.create_comment("42", with_marker("old", KEY))
        stored = upsert_comment(host, "42", BODY, KEY, recreate=True)
        assert [comment.body for comment in host.comments["42"]] == [SUPERSEDED, BODY]
        assert stored is not None and stored.id == "2"
        upsert_comment(host, "42", BODY, KEY, recreate=True)
        assert len(host.comments["42"]) == 2

    def test_a_list_that_lags_behind_leads_to_no_second_comment(self) -> None:
        class Lagging(FakeAdapter):
            def list_comments(self, pr_number: str) -> list[Comment]:
                return []

        host = Lagging()
        upsert_comment(host, "42", BODY, KEY)
        assert len(host.comments["42"]) == 1


class TestOutputs:
    def test_they_hold_the_numbers_as_one_line_of_json_and_the_comments_address(self, tmp_path: Path) -> None:
        adapter = FakeAdapter(context=PULL_REQUEST)
        report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST)
        values = adapter.outputs
        assert json.loads(values["json"]) == {
            "conclusion": "failure", "total": 2, "passed": 1, "failed": 1, "error": 0, "skipped": 0, "flaky": 0,
            "duration": 1.0, "verdicts": {"new": 0, "known": 0, "flaky": 0, "fixed": 0, "unjudged": 1},
        }  # fmt: skip
        assert "\n" not in "".join(values.values())
        assert values["comment-url"] == adapter.comments["42"][0].url
        assert values["report-path"] == "distributed_test_results/report.html" and values["shards"] == "1"

    def test_they_are_written_before_anything_that_needs_a_network(self, tmp_path: Path) -> None:
        adapter = FakeAdapter(context=PULL_REQUEST)
        for method in ("create_test_run", "list_comments", "annotate", "upload_artifact"):
            adapter.fail(method, TransientError("dead"))
        report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST, log=[])
        assert adapter.outputs["failed"] == "1" and adapter.outputs["comment-url"] == ""

    def test_the_run_is_there_before_the_annotations_that_hang_on_it(self, tmp_path: Path) -> None:
        order: list[str] = []
        adapter = JobAdapter(context=PULL_REQUEST, before=order.append)
        report(tmp_path, RED, adapter=adapter, context=PULL_REQUEST)
        assert order.index("set_outputs") < order.index("create_test_run") < order.index("annotate")
        assert order.index("annotate") < order.index("create_comment")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("{% if %}", "line 1: Expected an expression"),
        ("{{ headline }}\n{{ nothing_such }}", "line 2: 'nothing_such' is undefined"),
        ("/merge\n{{ headline }}", "would be executed"),
    ],
)
def test_a_template_that_cannot_be_used_is_said_before_anything_is_sent(
    tmp_path: Path, text: str | None, said: str
) -> None:
    template = tmp_path / "comment.md.j2"
    if text is not None:
        template.write_text(text)
    adapter = FakeAdapter(context=PULL_REQUEST)
    config = {"pr_comment_template": str(template)}
    with pytest.raises(ConfigError, match=said):
        report(tmp_path, RED, adapter=adapter, config=config, context=PULL_REQUEST)
    assert not adapter.calls
    assert report(tmp_path, RED, config={**config, "enable_pr_comments": False}, context=PULL_REQUEST).exit_code == 0


def test_why_an_adapter_lacks_a_role_is_in_its_own_words(tmp_path: Path) -> None:
    class Tokenless(SupportsSummary, ExplainsGaps):
        max_summary_size = 1_000_000
        context = PULL_REQUEST

        def close(self) -> None: ...

        def write_summary(self, markdown: str) -> None: ...

        def why_not(self, capability: str) -> str:
            return "only actions upload" if capability == "upload" else "no token: map it"

    outcome = report(tmp_path, RED, adapter=Tokenless(), context=PULL_REQUEST)
    for channel in ("outputs", "run", "annotations", "comment"):
        assert receipt_of(outcome, channel).reason == "no token: map it"
    assert receipt_of(outcome, "artifacts").reason == "only actions upload; they wait in artifact_dir"
