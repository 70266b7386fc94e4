"""What the linters of the trade say of the workflows, the actions and the image's recipe: nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, TOOLS, tool

pytestmark = pytest.mark.e2e

WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("templates/pipelines/github/*.yml")])
ACTIONS = [ROOT / "action.yml", ROOT / "composite" / "action.yml"]


def say(*command: str, cwd: Path = ROOT) -> tuple[int, str]:
    """Exit code and words of a tool that finds shellcheck beside it."""
    path = f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def zizmor(*paths: Path) -> tuple[int, str]:
    options = ["--offline", "--no-progress", "--persona", "pedantic", "--config", str(ROOT / ".github" / "zizmor.yml")]
    return say(tool("zizmor"), *options, *map(str, paths))


def test_zizmor_finds_no_hole():
    code, text = zizmor(*WORKFLOWS, *ACTIONS)
    assert code == 0, text


def actionlint(repository: Path, workflows: dict[str, str]) -> tuple[int, str]:
    """Lint in a repository with the actions in it, so that their inputs and outputs are held against their use."""
    folder = repository / ".github" / "workflows"
    folder.mkdir(parents=True)
    (repository / ".git").mkdir()
    for name, text in workflows.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in (*ACTIONS, ROOT / "Dockerfile"):
        (repository / path.relative_to(ROOT)).parent.mkdir(exist_ok=True)
        shutil.copy(path, repository / path.relative_to(ROOT))
    return say(tool("actionlint"), cwd=repository)


def test_actionlint_finds_no_mistake(tmp_path: Path):
    code, text = actionlint(tmp_path, {path.name: path.read_text(encoding="utf-8") for path in WORKFLOWS})
    assert (code, text) == (0, ""), text


def test_hadolint_finds_nothing_in_the_images_recipe():
    assert say(tool("hadolint"), str(ROOT / "Dockerfile")) == (0, "")


def test_shellcheck_finds_nothing_in_our_scripts():
    assert say(tool("shellcheck"), str(ROOT / ".ci" / "run")) == (0, "")


@pytest.mark.parametrize(
    ("linter", "before", "after", "word"),
    [
        ("actionlint", "results: reports/*.xml", "resluts: reports/*.xml", "resluts"),
        ("actionlint", "cancelled()", "canceled()", "canceled"),
        ("zizmor", "persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("zizmor", "run: python -m pytest", "run: echo ${{ github.head_ref }}", "template-injection"),
    ],
)
def test_the_linters_are_awake(tmp_path: Path, linter: str, before: str, after: str, word: str):
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert before in text
    if linter == "actionlint":
        code, found = actionlint(tmp_path, {"ci.yml": text.replace(before, after)})
    else:
        (tmp_path / "ci.yml").write_text(text.replace(before, after), encoding="utf-8")
        code, found = zizmor(tmp_path / "ci.yml")
    assert code != 0
    assert word in found
