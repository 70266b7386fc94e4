"""Every test starts from a clean environment, so it gives the same result on a laptop and inside any CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fakes.github_fixture import github

__all__ = ["github"]

# No database: it would be a file in a checkout that may be read-only. No deadline: the machines are shared.
settings.register_profile("ci-bridge", database=None, deadline=None)
settings.load_profile("ci-bridge")

KEPT = {
    "PATH",
    "HOME",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "LANG",
    "LC_ALL",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Remove every variable that could make a test see the machine it runs on."""
    for name in list(os.environ):
        if name not in KEPT and not name.startswith(("PYTEST_", "COVERAGE", "HYPOTHESIS_")):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repo_root() -> Path:
    """The checkout that the tests run from."""
    return Path(__file__).resolve().parent.parent
