"""Adapters over the stand-in for GitHub, as a job of each kind gets them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ci_bridge.models import Credentials
from ci_bridge.platforms.github import read_context
from ci_bridge.platforms.github.adapter import GitHubActionAdapter
from ci_bridge.platforms.github.opening import open_adapter
from ci_bridge.protocols import Adapter
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment


def job_folder(folder: Path) -> Path:
    """A fresh folder below this one: each job has its own files."""
    number = len(list(folder.glob("job-*")))
    made = folder / f"job-{number}"
    made.mkdir()
    return made


def open_env(env: dict[str, str], stdout: io.StringIO | None = None, **credentials: Any) -> Adapter:
    """The adapter that this environment gets."""
    return open_adapter(env, Credentials(**credentials), read_context(env), stdout=stdout or io.StringIO())


def open_job(github: FakeGitHub, folder: Path, event: str = "pull_request", **job: Any) -> GitHubActionAdapter:
    """The adapter of a new job of an action with a token."""
    adapter = open_env(job_environment(github, job_folder(folder), event, **job))
    assert isinstance(adapter, GitHubActionAdapter)
    return adapter
