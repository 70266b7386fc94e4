"""The token that an input, a variable or the API's configuration gives: used for the platform, seen by nobody."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci_bridge import open_client
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def token(github: FakeGitHub) -> str:
    return github.add_token("installation", repository="acme/shop")


@pytest.fixture
def job(github: FakeGitHub, tmp_path: Path) -> dict[str, str]:
    """A job whose environment holds no token, with a failure that shouts the one it was given elsewhere."""
    return job_environment(github, tmp_path, "pull_request", token=None, uploads=False)


def leave_results(job: dict[str, str], text: str) -> Path:
    workspace = Path(job["GITHUB_WORKSPACE"])
    case = f'<testcase classname="shop" name="leak"><failure message="got {text}">{text}</failure></testcase>'
    (workspace / "junit.xml").write_text(f'<testsuite name="shop">{case}</testsuite>', encoding="utf-8")
    return workspace


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "junit.xml")


def test_an_inputs_token_reaches_the_api_and_no_output(
    job: dict[str, str], github: FakeGitHub, token: str, tmp_path: Path
):
    workspace = leave_results(job, token)
    env = job | {"CI_BRIDGE_API_TOKEN": token, "CI_BRIDGE_INPUTS": "api_token", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "ci_bridge", "report", "junit.xml", "--detailed-logging", "true"],
        cwd=workspace, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (comment,) = github.comments(42)
    assert token not in comment.body + done.stdout + done.stderr
    assert token.encode() not in everything_in(tmp_path)


def test_a_configured_token_is_masked_though_no_variable_holds_it(
    job: dict[str, str], github: FakeGitHub, token: str, tmp_path: Path
):
    workspace = leave_results(job, token)

    async def report() -> None:
        async with open_client({"api_token": token}, env=job, directory=workspace) as client:
            await client.report(["junit.xml"])

    asyncio.run(report())
    (comment,) = github.comments(42)
    assert token not in comment.body
    assert token.encode() not in everything_in(tmp_path)
