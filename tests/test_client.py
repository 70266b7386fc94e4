"""The client's policy, over an adapter that keeps everything in memory and fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import ci_bridge
from ci_bridge.errors import (
    AuthenticationError,
    ConfigError,
    PermissionDeniedError,
    RateLimitedError,
    TransientError,
)
from ci_bridge.models import BuildContext, RunState, StatusState
from ci_bridge.protocols import SupportsStatus, SupportsSummary
from tests.fakes.adapter import FakeAdapter
from tests.fakes.clients import PULL_REQUEST, Clock, client_over

SHA = "abcdef123456"
UPDATE = {"status": "running", "summary": {"total_tasks": 10, "task_statuses": {"completed": 1}}}


def run(body: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(body, 60))


class TestTestRuns:
    def test_a_run_is_shown_when_created_and_its_id_is_a_uuid7(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                made = await client.create_test_run({"name": "nightly", "pr_number": 42, "owner": "qa"})
                assert made["id"] == made.id and made.id[14] == "7"
                assert adapter.runs[made.id].name == "nightly"
                assert (made.pr_number, made.branch, made.commit_sha) == ("42", "main", "a" * 40)
                assert made.metadata == {"owner": "qa"}

        run(body())

    def test_completion_is_sent_at_once_with_its_state(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                made = await client.create_test_run({"name": "n"})
                receipt = await client.update_test_run(
                    made["id"],
                    {
                        "status": "completed",
                        "summary": {"total_tasks": 10, "task_statuses": {"completed": 9, "failed": 1}, "duration": 2.5},
                        "end_time": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
                    },
                )
                assert receipt and receipt.via == "run"
                shown = adapter.runs[made.id]
                assert shown.state is RunState.FAILURE
                assert shown.completed_at == datetime(2026, 1, 1, tzinfo=UTC)

        run(body())

    def test_updates_within_the_interval_coalesce_and_the_last_wins(self, tmp_path: Path) -> None:
        adapter, clock = FakeAdapter(), Clock()

        async def body() -> None:
            async with client_over(adapter, tmp_path, clock=clock) as client:
                made = await client.create_test_run({"name": "n"})
                for done in range(1, 9):
                    update = {"status": "running", "summary": {"total_tasks": 10, "task_statuses": {"completed": done}}}
                    receipt = await client.update_test_run(made.id, update)
                    assert receipt.state == "coalesced"
                assert adapter.calls["update_test_run"] == 0
                clock.now += 61
                assert (await client.update_test_run(made.id, UPDATE)).state == "sent"
                assert adapter.calls["update_test_run"] == 1

        run(body())

    def test_a_coalesced_update_is_sent_when_its_interval_is_over(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path, config={"update_interval": 0.05}) as client:
                made = await client.create_test_run({"name": "n"})
                await client.update_test_run(made.id, UPDATE)
                await client.update_test_run(made.id, UPDATE)
                for _ in range(100):
                    await asyncio.sleep(0.02)
                    if adapter.calls["update_test_run"]:
                        break
                assert adapter.runs[made.id].summary["task_statuses"] == {"completed": 1}

        run(body())

    def test_closing_sends_what_was_coalesced(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                made = await client.create_test_run({"name": "n"})
                await client.update_test_run(made.id, UPDATE)
            assert adapter.runs[made.id].summary["total_tasks"] == 10
            assert adapter.closed

        run(body())

    def test_on_completion_only_sends_nothing_before(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path, config={"update_on_completion_only": True}) as client:
                made = await client.create_test_run({"name": "n"})
                assert (await client.update_test_run(made.id, UPDATE)).state == "skipped"
                assert adapter.calls == {}
                assert await client.update_test_run(made.id, {"status": "completed"})
                assert adapter.runs[made.id].status == "completed"

        run(body())

    def test_status_updates_can_be_switched_off(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path, config={"enable_status_updates": False}) as client:
                made = await client.create_test_run({"name": "n"})
                assert (await client.update_test_run(made.id, {"status": "completed"})).state == "skipped"

        run(body())
        assert adapter.calls == {}

    def test_without_test_runs_a_commit_status_stands_for_the_run(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path, config={"enable_test_runs": False}) as client:
                made = await client.create_test_run({"name": "n"})
                await client.update_test_run(made.id, {"status": "completed"})

        run(body())
        assert adapter.runs == {}
        assert adapter.statuses["a" * 40, "n"].state is StatusState.SUCCESS

    def test_a_run_that_cannot_be_written_falls_back_to_the_status_and_warns_once(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        adapter.fail("create_test_run", PermissionDeniedError("no right", hint="checks: write"))

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                made = await client.create_test_run({"name": "n"})
                receipt = await client.update_test_run(made.id, {"status": "completed"})
                assert (receipt.via, receipt.state) == ("status", "degraded")
                assert "checks: write" in receipt.reason

        run(body())
        assert adapter.statuses["a" * 40, "n"].state is StatusState.SUCCESS

    def test_an_unknown_run_is_a_failed_receipt(self, tmp_path: Path) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                receipt = await client.update_test_run("nobody", UPDATE)
                assert not receipt and "nobody" in receipt.reason

        run(body())

    @pytest.mark.parametrize(
        ("statuses", "state"),
        [
            ({"completed": 3}, RunState.SUCCESS),
            ({"completed": 3, "skipped": 1, "cancelled": 1}, RunState.SUCCESS),
            ({"completed": 3, "failed": 1}, RunState.FAILURE),
            ({"completed": 3, "exploded": 1}, RunState.ERROR),
        ],
    )
    def test_task_statuses_decide_the_state(self, tmp_path: Path, statuses: dict[str, int], state: RunState) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                made = await client.create_test_run({"name": "n"})
                await client.update_test_run(made.id, {"status": "completed", "summary": {"task_statuses": statuses}})

        run(body())
        assert [shown.state for shown in adapter.runs.values()] == [state]

    @pytest.mark.parametrize(
        "data",
        [
            {"commit_sha": "not a sha"},
            {"commit_sha": "../../etc/passwd"},
            {"pr_number": "4 2"},
            {"pr_number": True},
            {"system_info": "text"},
            {"build_id": ["x"]},
        ],
    )
    def test_wrong_values_are_refused_by_name(self, tmp_path: Path, data: dict[str, Any]) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                with pytest.raises(ConfigError, match=next(iter(data))):
                    await client.create_test_run(data)

        run(body())


class TestComments:
    def test_a_second_comment_replaces_the_first(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                assert await client.add_pr_comment("42", "one")
                receipt = await client.add_pr_comment(42, "two")
                assert receipt.url == "https://ci.example/comments/1"

        run(body())
        [comment] = adapter.comments["42"]
        assert comment.body.splitlines()[1:] == ["two"]

    def test_another_key_is_another_comment(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                await client.add_pr_comment("42", "one", key="a")
                await client.add_pr_comment("42", "two", key="b")

        run(body())
        assert len(adapter.comments["42"]) == 2

    def test_without_updating_each_comment_is_new(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path, config={"pr_update_existing_comments": False}) as client:
                await client.add_pr_comment("42", "one")
                await client.add_pr_comment("42", "two")

        run(body())
        assert len(adapter.comments["42"]) == 2

    def test_a_marker_planted_by_somebody_else_is_left_alone(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                await client.add_pr_comment("42", "ours")
                stolen = adapter.comments["42"][0].body
                adapter.comments["42"].clear()
                adapter.author = "mallory"
                adapter.create_comment("42", stolen)
                adapter.author = "ci-bridge[bot]"
                await client.add_pr_comment("42", "ours again")

        run(body())
        assert [comment.author for comment in adapter.comments["42"]] == ["mallory", "ci-bridge[bot]"]
        assert adapter.comments["42"][0].body.endswith("ours")

    def test_a_lost_answer_to_a_stored_comment_leaves_exactly_one(self, tmp_path: Path) -> None:
        adapter, clock = FakeAdapter(), Clock()
        adapter.fail("create_comment", TransientError("502"), times=1, after=True)

        async def body() -> None:
            async with client_over(adapter, tmp_path, clock=clock) as client:
                assert await client.add_pr_comment("42", "once")

        run(body())
        assert len(adapter.comments["42"]) == 1
        assert clock.slept == [5.0]

    @pytest.mark.parametrize("update", [True, False])
    def test_a_lost_answer_leaves_one_comment_even_where_each_is_new(self, tmp_path: Path, update: bool) -> None:
        adapter = FakeAdapter()
        adapter.fail("create_comment", TransientError("reset"), times=2, after=True)

        async def body() -> None:
            config = {"pr_update_existing_comments": update}
            async with client_over(adapter, tmp_path, config=config) as client:
                assert await client.add_pr_comment("42", "once")

        run(body())
        assert len(adapter.comments["42"]) == 1

    def test_the_ladder_ends_in_the_log_and_says_why(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        adapter.fail("create_comment", PermissionDeniedError("403", hint="pull-requests: write"))
        adapter.fail("write_summary", PermissionDeniedError("403"))
        log: list[str] = []

        async def body() -> None:
            async with client_over(adapter, tmp_path, log=log) as client:
                receipt = await client.add_pr_comment("42", "text\n::error::x")
                assert (receipt.delivered, receipt.via, receipt.state) == (True, "log", "degraded")
                assert "pull-requests: write" in receipt.reason

        run(body())
        assert log[0] == "text"
        assert not any(line.lstrip().startswith("::") for line in log)

    def test_a_line_that_a_code_host_would_execute_is_refused(self, tmp_path: Path) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                with pytest.raises(ConfigError, match="/merge"):
                    await client.add_pr_comment("42", "hello\n/merge")

        run(body())

    def test_secrets_are_masked(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path, env={"DEPLOY_TOKEN": "correct-horse-battery"}) as client:
                await client.add_pr_comment("42", "it is correct-horse-battery")
                await client.write_summary("it is correct-horse-battery")
                await client.set_status(SHA, "success", "c", "it is correct-horse-battery")

        run(body())
        assert "correct-horse" not in adapter.comments["42"][0].body + adapter.summaries[0]
        assert "correct-horse" not in adapter.statuses[SHA, "c"].description


class TestStatus:
    def test_a_status_is_set(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                assert await client.set_status(SHA, "success", "ctx", "All tests passed", "https://ci.example/1")

        run(body())
        status = adapter.statuses[SHA, "ctx"]
        assert (status.state, status.target_url) == (StatusState.SUCCESS, "https://ci.example/1")

    @pytest.mark.parametrize(("sha", "state"), [("xyz", "success"), ("", "success"), (SHA, "green")])
    def test_what_is_no_commit_or_state_is_refused(self, tmp_path: Path, sha: str, state: str) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                with pytest.raises(ConfigError):
                    await client.set_status(sha, state, "ctx")

        run(body())


class TestArtifacts:
    def test_a_file_comes_back_as_it_was(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        (tmp_path / "a.log").write_text("line\n" * 1000)

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                made = await client.create_test_run({})
                assert await client.upload_artifact(made.id, "a.log", "The Log")
                assert adapter.artifacts[0][0].compressed and len(adapter.artifacts[0][1]) < 500
                assert adapter.artifacts[0][0].category == "logs"
                assert await client.download_artifact(made.id, "The Log", "back/b.log")
                assert client.get_ci_status()["artifacts"] == ["The Log"]

        run(body())
        assert (tmp_path / "back/b.log").read_text() == "line\n" * 1000

    def test_compression_can_be_switched_off(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        (tmp_path / "a.log").write_text("line\n" * 1000)

        async def body() -> None:
            async with client_over(adapter, tmp_path, config={"artifact_compression": False}) as client:
                await client.upload_artifact("r", "a.log")

        run(body())
        assert adapter.artifacts[0][1] == b"line\n" * 1000

    def test_categories_left_out_are_skipped_and_unknown_ones_refused(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        (tmp_path / "a.log").write_text("x")

        async def body() -> None:
            async with client_over(adapter, tmp_path, config={"artifact_categories": ["reports"]}) as client:
                assert (await client.upload_artifact("r", "a.log")).state == "skipped"
                with pytest.raises(ConfigError, match="category 'pictures'"):
                    await client.upload_artifact("r", "a.log", category="pictures")

        run(body())
        assert adapter.artifacts == []

    def test_a_folder_goes_up_file_by_file_without_links_and_dotfiles(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        folder = tmp_path / "out"
        (folder / "sub").mkdir(parents=True)
        (folder / ".git").mkdir()
        for name in ("a.txt", "sub/b.txt", ".env", ".git/config"):
            (folder / name).write_text(name)
        (folder / "link.txt").symlink_to("/etc/hostname")
        (folder / "loop").symlink_to(folder)

        async def body() -> None:
            async with client_over(adapter, tmp_path) as client:
                assert await client.upload_artifact("r", "out")

        run(body())
        assert sorted(artifact.name for artifact, _ in adapter.artifacts) == ["a.txt", "sub/b.txt"]

    @pytest.mark.parametrize("kind", ["missing", "link"])
    def test_what_is_no_regular_file_is_a_failed_receipt(self, tmp_path: Path, kind: str) -> None:
        if kind == "link":
            (tmp_path / "x").symlink_to("/etc/hostname")

        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                receipt = await client.upload_artifact("r", "x")
                assert receipt.state == "failed" and "x" in receipt.reason

        run(body())

    def test_an_artifact_that_is_not_there_is_a_failed_receipt(self, tmp_path: Path) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                receipt = await client.download_artifact("r", "nothing", "x")
                assert receipt.state == "failed" and "nothing" in receipt.reason

        run(body())
        assert not (tmp_path / "x").exists()

    def test_secrets_in_text_artifacts_are_masked_and_binaries_untouched(self, tmp_path: Path) -> None:
        adapter = FakeAdapter()
        (tmp_path / "a.log").write_text("x\nsecret is correct-horse-battery\n")
        (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x00correct-horse-battery")

        async def body() -> None:
            async with client_over(adapter, tmp_path, env={"DEPLOY_TOKEN": "correct-horse-battery"}) as client:
                await client.upload_artifact("r", "a.log")
                await client.upload_artifact("r", "a.bin")

        run(body())
        assert adapter.content("a.log") == b"x\nsecret is ***\n"
        assert adapter.content("a.bin") == b"\xff\xfe\x00correct-horse-battery"


class TestRetries:
    def test_a_rate_limit_is_waited_out(self, tmp_path: Path) -> None:
        adapter, clock = FakeAdapter(), Clock()
        adapter.fail("set_status", RateLimitedError("slow down", retry_after=7), times=1)

        async def body() -> None:
            async with client_over(adapter, tmp_path, clock=clock) as client:
                assert (await client.set_status(SHA, "success", "c")).state == "sent"

        run(body())
        assert clock.slept == [7]

    def test_retrying_can_be_switched_off(self, tmp_path: Path) -> None:
        adapter, clock = FakeAdapter(), Clock()
        adapter.fail("set_status", TransientError("502"), times=1)

        async def body() -> None:
            config = {"retry_failed_api_calls": False}
            async with client_over(adapter, tmp_path, clock=clock, config=config) as client:
                assert (await client.set_status(SHA, "success", "c")).via == "log"

        run(body())
        assert clock.slept == []

    def test_max_retries_and_the_delay_are_the_options(self, tmp_path: Path) -> None:
        adapter, clock = FakeAdapter(), Clock()
        adapter.fail("set_status", TransientError("502"))

        async def body() -> None:
            config = {"max_retries": 2, "retry_delay_seconds": 1}
            async with client_over(adapter, tmp_path, clock=clock, config=config) as client:
                await client.set_status(SHA, "success", "c")

        run(body())
        assert clock.slept == [1, 2]
        assert adapter.calls["set_status"] == 3

    def test_bad_credentials_are_not_tried_again(self, tmp_path: Path) -> None:
        adapter, clock = FakeAdapter(), Clock()
        adapter.fail("set_status", AuthenticationError("the token in FAKE_TOKEN is not accepted"))

        async def body() -> None:
            async with client_over(adapter, tmp_path, clock=clock) as client:
                assert "FAKE_TOKEN" in (await client.set_status(SHA, "success", "c")).reason

        run(body())
        assert adapter.calls["set_status"] == 1


class TestHistoryAndMetrics:
    def test_runs_and_metrics_come_back_with_the_documented_keys(self, tmp_path: Path) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                made = await client.create_test_run({"name": "n"})
                await client.update_test_run(
                    made.id, {"status": "completed", "summary": {"task_statuses": {"completed": 2, "failed": 1}}}
                )
                await client.record_performance_metric(made.id, "t", "latency", 1.5, "ms")
            async with client_over(FakeAdapter(), tmp_path) as client:
                [row] = await client.get_test_history(limit=5, branch="main")
                assert list(row) == [
                    "id",
                    "created_at",
                    "completed_at",
                    "status",
                    "build_id",
                    "commit_sha",
                    "branch",
                    "total_tasks",
                    "completed_tasks",
                    "failed_tasks",
                    "duration",
                    "metadata",
                ]
                assert (row["id"], row["total_tasks"], row["completed_tasks"], row["failed_tasks"]) == (
                    made.id,
                    3,
                    2,
                    1,
                )
                [metric] = await client.get_performance_metrics(made.id, "latency")
                assert list(metric) == ["id", "run_id", "task_id", "metric_name", "metric_value", "unit", "recorded_at"]
                assert (metric["run_id"], metric["metric_value"], metric["unit"]) == (made.id, 1.5, "ms")

        run(body())

    def test_the_history_can_be_switched_off(self, tmp_path: Path) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path, config={"enable_history_tracking": False}) as client:
                made = await client.create_test_run({})
                await client.update_test_run(made.id, {"status": "completed"})
                assert await client.get_test_history() == []

        run(body())
        assert not list(tmp_path.rglob("*.sqlite"))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), "fast", None, True])
    def test_a_metric_that_is_no_finite_number_is_refused(self, tmp_path: Path, value: Any) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                with pytest.raises(ConfigError, match="metric_value"):
                    await client.record_performance_metric("r", metric_name="m", metric_value=value)

        run(body())

    def test_a_trend_without_data_has_every_key_and_a_message(self, tmp_path: Path) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                trend = await client.analyze_performance_trends("nothing")
                assert trend["groups"] == [] and trend["message"] and trend["overall"]["count"] == 0

        run(body())

    @pytest.mark.parametrize("arguments", [{"grouping": "moon"}, {"timeframe": "1 week"}, {"timeframe": "-1d"}])
    def test_an_unknown_grouping_or_timeframe_is_refused(self, tmp_path: Path, arguments: dict[str, Any]) -> None:
        async def body() -> None:
            async with client_over(FakeAdapter(), tmp_path) as client:
                with pytest.raises(ConfigError):
                    await client.analyze_performance_trends("m", **arguments)

        run(body())


def test_an_adapter_without_a_role_degrades_to_the_log(tmp_path: Path) -> None:
    class Bare:
        context = BuildContext("fake")

        def close(self) -> None:
            return None

    log: list[str] = []

    async def body() -> None:
        async with client_over(Bare(), tmp_path, log=log) as client:
            assert client.capabilities == frozenset()
            assert (await client.set_status(SHA, "success", "ctx", "fine")).via == "log"
            assert (await client.write_summary("text")).via == "log"
            assert (await client.create_test_run({})).url is None
            assert (await client.download_artifact("r", "x", "y")).state == "unsupported"
            assert await client.list_artifacts() == []

    run(body())
    assert not isinstance(Bare(), SupportsStatus | SupportsSummary)
    assert "ctx: success - fine" in log


def test_a_pull_requests_status_goes_to_its_head(tmp_path: Path) -> None:
    adapter = FakeAdapter(context=PULL_REQUEST)

    async def body() -> None:
        async with client_over(adapter, tmp_path, context=PULL_REQUEST, config={"enable_test_runs": False}) as client:
            await client.create_test_run({"name": "n"})

    run(body())
    assert list(adapter.statuses) == [("b" * 40, "n")]


def test_importing_the_package_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import ci_bridge, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("click", "requests", "sqlite_utils", "jinja2", "rich", "asyncio", "github", "gitlab"):
        assert f"'{heavy}'" not in loaded


def test_every_public_name_is_there() -> None:
    for name in ci_bridge.__all__:
        assert getattr(ci_bridge, name) is not None
    with pytest.raises(AttributeError):
        _ = ci_bridge.nothing
