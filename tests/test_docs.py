"""Every claim in prose that a machine can check: blocks run, links lead somewhere, tables are current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ci_bridge
from ci_bridge.config import options
from ci_bridge.delivery import Courier
from ci_bridge.models import CHANNELS
from ci_bridge.protocols import ROLES
from docs import generate

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("ci_bridge/**/README.md"),
        *ROOT.glob("*/README.md"),
    ]
    if path.is_file()
)
JUNIT = '<testsuite name="s"><testcase classname="c" name="a" time="1"/></testsuite>'


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def environment(home: Path) -> dict[str, str]:
    scripts = Path(sys.executable).parent
    return {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)}


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "junit.xml").write_text(JUNIT)
    return tmp_path


def test_the_readmes_set_up_is_two_commands_of_the_makefile() -> None:
    set_up = blocks(ROOT / "README.md", "sh")[0].strip().splitlines()
    assert [line.split()[0] for line in set_up] == ["git", "make"]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(
        r"(?:^|`)make ([a-z-]+)",
        (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text(),
        re.MULTILINE,
    )
    assert set(named) - set(targets) == set()


def test_the_readmes_commands_run(workspace: Path) -> None:
    commands = [
        line.partition("#")[0].strip()
        for block in blocks(ROOT / "README.md", "sh")
        for line in block.splitlines()
        if line.startswith("ci-bridge ")
    ]
    assert len(commands) >= 5
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=workspace,
            env=environment(workspace),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_the_python_examples_run(workspace: Path, page: str) -> None:
    found = blocks(ROOT / page, "python")
    assert found
    for block in found:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            cwd=workspace,
            env=environment(workspace),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        where = (page.parent / path) if path else page
        assert where.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(where.read_text(encoding="utf-8")), f"{page.name}: {target}"


def test_the_generated_pages_are_current() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == generate.configuration_page()
    assert (ROOT / "docs" / "capabilities.md").read_text(encoding="utf-8") == generate.capabilities_page()


def test_every_option_channel_and_capability_is_documented() -> None:
    configuration = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [option.name for option in options() if f"`{option.name}`" not in configuration] == []
    capabilities = (ROOT / "docs" / "capabilities.md").read_text(encoding="utf-8")
    assert [role for role in ROLES if role not in capabilities] == []
    assert [channel for channel in CHANNELS if channel not in configuration] == []


def test_every_call_of_the_client_is_documented() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)\(", text))
    internal = {"aclose", "stop", "current_run_id", "get_tests", "check_history", "prune_history"}
    internal |= {"hide_secrets"}  # open_client does it
    calls = {
        name for name in dir(ci_bridge.Client) if not name.startswith("_") and callable(getattr(ci_bridge.Client, name))
    }
    assert calls - internal == documented - {"open_client"}


def test_every_public_name_has_a_docstring() -> None:
    assert [
        name
        for name in ci_bridge.__all__
        if not name.startswith("__") and not getattr(getattr(ci_bridge, name), "__doc__", None)
    ] == []
    assert Courier.__doc__


def test_the_changelog_begins_with_the_current_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## (\S+)", text, re.MULTILINE)
    assert found and found[1] == ci_bridge.__version__


def test_exit_codes_are_the_same_in_the_readme_and_the_design() -> None:
    tables = [
        re.findall(r"^\| ([\d, ]+) \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        for page in ("README.md", "docs/design.md")
    ]
    assert tables[0] == tables[1] == ["0", "1", "2", "3", "4", "70", "130, 143"]


def test_the_readme_names_every_file_of_the_folder_and_counts_the_demos_tools(workspace: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "ci_bridge", "report", "reports/junit.xml"]
    build = {"TRAVIS": "true", "TRAVIS_PULL_REQUEST": "7", "TRAVIS_BRANCH": "main", "TRAVIS_COMMIT": "abcdef0123" * 4}
    for _ in range(2):
        subprocess.run(command, cwd=workspace, env=environment(workspace) | build, capture_output=True, check=True)
    folder = workspace / "distributed_test_results"
    files = [path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith(".")]
    assert len(files) > 10
    assert [name for name in files if f"`{name}`" not in text] == []
    subprocess.run(["git", "init", "-q"], cwd=workspace, env=environment(workspace), check=True)
    status = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=workspace,
        env=environment(workspace),
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout.split() == ["??", "reports/"]
    eight = re.search(r"what (\w+) test tools", (ROOT / "demo" / "README.md").read_text(encoding="utf-8"))
    assert eight and f"real result files of {eight[1]} tools" in text
