"""`make setup` makes .venv with the interpreter that was asked for, and keeps the one that it has otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path, repo_root: Path) -> Path:
    """A folder in which setting up was done with an interpreter named /first/python."""
    for name in ("pyproject.toml", "requirements-dev.lock", "Makefile"):
        shutil.copy(repo_root / name, tmp_path / name)
    for name in ("first", "second"):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\necho /{name}/python\n")
        script.chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / ".installed").write_text("/first/python\n")
    return tmp_path


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=project, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [(), ("PYTHON=./first",)])
def test_an_environment_that_is_there_is_kept(project: Path, arguments: tuple[str, ...]) -> None:
    assert make(project, "-q", "setup", *arguments).returncode == 0


def test_another_interpreter_makes_the_environment_anew(project: Path) -> None:
    assert make(project, "-q", "setup", "PYTHON=./second").returncode == 1
    assert "/second/python -m venv --clear .venv" in make(project, "-n", "setup", "PYTHON=./second").stdout


def test_new_dependencies_go_into_the_environment_that_is_there(project: Path) -> None:
    (project / ".venv" / ".installed").touch()
    (project / "requirements-dev.lock").touch()
    shown = make(project, "-n", "setup", "-W", "requirements-dev.lock").stdout
    assert 'test "/first/python" = "/first/python"' in shown and "pip install" in shown
