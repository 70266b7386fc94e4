"""How ``tests/test_platform_contract.py`` opens this platform's adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ci_bridge.protocols import Adapter
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD
from tests.platforms.github.opened import open_job


@contextmanager
def opened(folder: Path) -> Iterator[Adapter]:
    """The adapter with every role, over a fake that has the pull requests 42 and 43."""
    github = FakeGitHub()
    try:
        adapter = open_job(github, folder)
        github.add_pull(43, HEAD)
        yield adapter
        adapter.close()
        assert github.violations() == []
    finally:
        github.close()
