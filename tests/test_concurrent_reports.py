"""Many processes that report in one folder: each is a run of its own, and none is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci_bridge.history import History

PROCESSES = 20
PASSED = '<testsuite name="s"><testcase classname="c" name="a" time="0.1"/></testsuite>'


def start(workspace: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ci_bridge", *arguments],
        cwd=workspace,
        env={"PATH": os.environ["PATH"], "HOME": str(workspace), **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("env", [{}, {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "7", "GITHUB_JOB": "unit"}])
def test_reports_at_once_in_one_folder_are_a_run_each(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "junit.xml").write_text(PASSED)
    count = PROCESSES if not env else 3
    numbers = [start(tmp_path, "metric", "record", "requests", str(value), **env) for value in (1, 2)]
    reports: list[subprocess.Popen[str]] = []
    for done in (numbers, reports):
        if done is reports:
            reports += [start(tmp_path, "report", "junit.xml", **env) for _ in range(count)]
        for process in done:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    folder = tmp_path / "distributed_test_results"
    with History.read(folder / "history.sqlite") as history:
        runs = {row["id"]: row for row in history.runs()}
        assert len(runs) == count
        assert all(row["total_tasks"] == 1 for row in runs.values())
        joined = {metric["run_id"] for metric in history.metrics()}
    assert len(joined) == 1 and joined <= set(runs)
    assert not list(folder.glob("*.lock"))
