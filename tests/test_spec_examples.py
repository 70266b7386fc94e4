"""Every snippet of the specification's API, run as it stands there, on the local platform."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import ci_bridge

SPECIFIED_OPTIONS = {
    "ci_system": "auto", "api_url": None, "api_token": None, "update_interval": 60, "update_on_completion_only": False,
    "enable_status_updates": True, "status_update_format": "detailed", "enable_pr_comments": True,
    "pr_comment_on_failure_only": False, "pr_comment_template": "default", "pr_update_existing_comments": True,
    "enable_artifacts": True, "artifact_dir": "distributed_test_results", "artifact_retention_days": 30,
    "artifact_categories": ["reports", "logs", "data", "metrics"], "artifact_compression": True, "result_format": "all",
    "include_system_info": True, "include_failure_analysis": True, "include_performance_metrics": True,
    "enable_history_tracking": True, "history_retention_days": 90, "track_performance_trends": True,
    "enable_notifications": False, "notification_channels": [], "notification_on_failure_only": True,
    "enable_failure_analysis": True, "failure_analysis_depth": "detailed", "dashboard_integration": False,
    "dashboard_url": None, "detailed_logging": False, "retry_failed_api_calls": True, "max_retries": 3,
    "retry_delay_seconds": 5,
}  # fmt: skip


@asynccontextmanager
async def specified_client(folder: Path) -> AsyncIterator[ci_bridge.Client]:
    async with ci_bridge.open_client(SPECIFIED_OPTIONS, env={}, directory=folder) as ci_client:
        yield ci_client


def run(folder: Path, body: Callable[[ci_bridge.Client], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with specified_client(folder) as ci_client:
            await body(ci_client)

    asyncio.run(asyncio.wait_for(whole(), 60))


RUN = {
    "name": "Distributed Test Run",
    "build_id": "build-123",
    "commit_sha": "abcdef123456",
    "branch": "main",
    "pr_number": "42",
    "system_info": {"python_version": "3.9.7", "platform": "Linux-5.15.0-x86_64", "hostname": "ci-worker-01"},
}


def test_the_specified_configuration_is_the_default_configuration() -> None:
    async def body() -> tuple[Any, Any]:
        async with ci_bridge.open_client(SPECIFIED_OPTIONS, env={}) as given, ci_bridge.open_client(env={}) as default:
            return given.settings, default.settings

    given, default = asyncio.run(body())
    assert given == default


def test_test_run_management(tmp_path: Path) -> None:
    async def body(ci_client: ci_bridge.Client) -> None:
        test_run = await ci_client.create_test_run(RUN)
        success = await ci_client.update_test_run(
            test_run["id"],
            {
                "status": "completed",
                "summary": {"total_tasks": 10, "task_statuses": {"completed": 9, "failed": 1}, "duration": 120.5},
                "end_time": datetime.now().isoformat(),  # noqa: DTZ005 - as the specification writes it
            },
        )
        assert success
        status = ci_client.get_ci_status()
        assert status["summary"] == {
            "total_tasks": 10,
            "task_statuses": {"completed": 9, "failed": 1},
            "duration": 120.5,
        }
        assert (status["test_run_id"], status["test_run_status"]) == (test_run["id"], "completed")
        history = await ci_client.get_test_history(limit=10, branch="main")
        assert [(row["id"], row["total_tasks"], row["failed_tasks"], row["duration"]) for row in history] == [
            (test_run["id"], 10, 1, 120.5)
        ]

    run(tmp_path, body)


def test_artifacts(tmp_path: Path) -> None:
    (tmp_path / "test_report.html").write_text("<p>report</p>")

    async def body(ci_client: ci_bridge.Client) -> None:
        test_run = await ci_client.create_test_run(RUN)
        success = await ci_client.upload_artifact(test_run["id"], "test_report.html", "Test Report")
        assert success
        success = await ci_client.download_artifact(test_run["id"], "Test Report", "downloaded_report.html")
        assert success

    run(tmp_path, body)
    assert (tmp_path / "downloaded_report.html").read_text() == "<p>report</p>"


def test_pull_request_integration(tmp_path: Path) -> None:
    text = (
        "## Test Results\n\n**Status**: PASS\n\n**Duration**: 120.5 seconds\n\n**Total Tests**: 10\n\n"
        "**Failed Tests**: 1"
    )

    async def body(ci_client: ci_bridge.Client) -> None:
        success = await ci_client.add_pr_comment("42", text)
        assert success

    run(tmp_path, body)
    [comment] = (tmp_path / "distributed_test_results/comments/pr-42").glob("*.md")
    assert comment.read_text().endswith(text)


def test_status_updates(tmp_path: Path) -> None:
    async def body(ci_client: ci_bridge.Client) -> None:
        success = await ci_client.set_status(
            "abcdef123456", "success", "distributed-tests", "All tests passed", "https://ci.example.com/results/123"
        )
        assert success

    run(tmp_path, body)
    [status] = (tmp_path / "distributed_test_results/statuses").rglob("*.json")
    assert "https://ci.example.com/results/123" in status.read_text()


def test_history_and_performance_analysis(tmp_path: Path) -> None:
    async def body(ci_client: ci_bridge.Client) -> None:
        test_run = await ci_client.create_test_run(RUN)
        success = await ci_client.record_performance_metric(
            test_run["id"], task_id="task-123", metric_name="execution_time", metric_value=1.23, unit="seconds"
        )
        assert success
        metrics = await ci_client.get_performance_metrics(test_run_id=test_run["id"], metric_name="execution_time")
        assert [(metric["task_id"], metric["metric_value"], metric["unit"]) for metric in metrics] == [
            ("task-123", 1.23, "seconds")
        ]
        trends = await ci_client.analyze_performance_trends(
            metric_name="execution_time", grouping="branch", timeframe="1w"
        )
        assert (trends["overall"]["avg"], trends["unit"], trends["groups"][0]["name"]) == (1.23, "seconds", "main")
        assert (trends["groups"][0]["min"], trends["groups"][0]["max"]) == (1.23, 1.23)

    run(tmp_path, body)


COORDINATOR = textwrap.dedent(
    """
    import asyncio
    from distributed_testing.plugin_architecture import PluginType
    from distributed_testing.coordinator import DistributedTestingCoordinator

    async def main():
        coordinator = DistributedTestingCoordinator(
            db_path="benchmark_db.duckdb",
            enable_plugins=True
        )

        # Start coordinator
        await coordinator.start()

        # Get CI/CD integration plugin
        ci_plugin = coordinator.plugin_manager.get_plugins_by_type(
            PluginType.INTEGRATION)["CICDIntegration-1.0.0"]
        await coordinator.work()

        # Check CI status
        ci_status = ci_plugin.get_ci_status()
        print(f"CI System: {ci_status['ci_system']}")
        print(f"Test Run: {ci_status['test_run_id']}")
        print(f"Status: {ci_status['test_run_status']}")

        trends = await ci_plugin.analyze_performance_trends(
            metric_name="execution_time",
            grouping="branch",
            timeframe="1w",
            limit=10
        )
        print(f"Performance Trends for {trends['metric_name']} ({trends['unit']})")
        print(f"Overall average: {trends['overall']['avg']:.2f} {trends['unit']}")
        print("By branch:")
        for group in trends['groups']:
            print(f"  {group['name']}: {group['avg']:.2f} {trends['unit']} "
                  f"(min: {group['min']:.2f}, max: {group['max']:.2f})")
        await coordinator.stop()
        print(ci_status["summary"]["task_statuses"])

    asyncio.run(main())
    """
)


def test_the_coordinator_plugin(tmp_path: Path, repo_root: Path) -> None:
    framework = repo_root / "tests" / "fakes" / "framework"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COORDINATOR],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{framework}:{repo_root}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "CI System: local"
    assert lines[2] == "Status: running"
    assert lines[3] == "Performance Trends for execution_time (seconds)"
    assert lines[5] == "By branch:"
    assert lines[-1] == "{'completed': 2, 'failed': 1, 'cancelled': 1}"
    assert (tmp_path / "distributed_test_results" / "history.sqlite").is_file()


def test_the_plugin_answers_every_call_of_the_client(repo_root: Path) -> None:
    text = (repo_root / "ci_bridge" / "integrations" / "distributed_testing.py").read_text()
    for name in (
        "create_test_run", "update_test_run", "upload_artifact", "download_artifact", "add_pr_comment", "set_status",
        "get_test_history", "record_performance_metric", "get_performance_metrics", "analyze_performance_trends",
    ):  # fmt: skip
        assert f'"{name}"' in text
        assert callable(getattr(ci_bridge.Client, name))


@pytest.mark.parametrize("name", ["get_ci_status"])
def test_get_ci_status_is_synchronous_and_complete(tmp_path: Path, name: str) -> None:
    async def body(ci_client: ci_bridge.Client) -> None:
        status = getattr(ci_client, name)()
        assert list(status) == [
            "ci_system",
            "repository",
            "branch",
            "commit_sha",
            "build_id",
            "pr_number",
            "test_run_id",
            "test_run_status",
            "summary",
            "artifacts",
        ]
        assert status["ci_system"] == "local"
        assert status["summary"] == {"total_tasks": 0, "task_statuses": {}, "duration": 0.0}

    run(tmp_path, body)
