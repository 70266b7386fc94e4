"""``ci-bridge init``: the right snippet in the right place, and nothing overwritten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ci_bridge import platforms
from ci_bridge.errors import ConfigError, PlatformNotFoundError
from ci_bridge.init import find_platform, snippet, templates_of, write
from ci_bridge.report.templates import template_root
from docs import generate

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "templates" / "pipelines" / "github" / "ci-bridge.yml"
WRITTEN = Path(".github", "workflows", "ci-bridge.yml")

Run = subprocess.CompletedProcess[str]


def init(*arguments: str, cwd: Path, **env: str) -> Run:
    return subprocess.run(
        [sys.executable, "-m", "ci_bridge", "init", *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONWARNINGS": "error", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def git(cwd: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True)


def test_the_platform_is_told_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    assert find_platform(tmp_path, {}).name == "github"
    done = init(cwd=tmp_path)
    assert done.returncode == 0 and str(tmp_path / WRITTEN) in done.stderr
    assert (tmp_path / WRITTEN).read_bytes() == TEMPLATE.read_bytes()


def test_the_platform_is_told_by_where_origin_lives(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", "git@github.com:acme/shop.git")
    assert init(cwd=tmp_path).returncode == 0
    assert (tmp_path / WRITTEN).is_file()


def test_a_checkout_that_tells_nothing_is_asked_for_a_name(tmp_path: Path) -> None:
    done = init(cwd=tmp_path)
    assert done.returncode == 2
    assert "name one: github" in done.stderr
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", "https://git.example/acme/shop.git")
    with pytest.raises(ConfigError, match="does not tell"):
        find_platform(tmp_path, {})


def test_inside_a_job_its_platform_is_the_one(tmp_path: Path) -> None:
    assert find_platform(tmp_path, {"GITHUB_ACTIONS": "true"}).name == "github"
    assert init(cwd=tmp_path, GITHUB_ACTIONS="true").returncode == 0
    assert (tmp_path / WRITTEN).is_file()
    with pytest.raises(ConfigError, match="does not tell"):  # detected, but there is no template for it
        find_platform(tmp_path / "other", {"TRAVIS": "true"})


def test_a_platform_without_a_template_says_so_and_what_there_is(tmp_path: Path) -> None:
    platform = replace(platforms.load("local"), pipeline_folder="ci")
    with pytest.raises(ConfigError, match=r"no template for Local in this version.*github"):
        snippet(platform, tmp_path)
    done = init("local", cwd=tmp_path)
    assert done.returncode == 2 and "github" in done.stderr


def test_a_name_that_is_no_platform_is_answered_with_the_nearest(tmp_path: Path) -> None:
    done = init("githup", cwd=tmp_path)
    assert done.returncode == 2 and "'github'" in done.stderr
    with pytest.raises(PlatformNotFoundError):
        platforms.load("githup")


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    (tmp_path / WRITTEN).parent.mkdir(parents=True)
    (tmp_path / WRITTEN).write_text("mine")
    done = init("github", cwd=tmp_path)
    assert done.returncode == 2 and "--force" in done.stderr
    assert (tmp_path / WRITTEN).read_text() == "mine"
    assert init("github", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / WRITTEN).read_bytes() == TEMPLATE.read_bytes()


def test_a_link_is_never_written_through(tmp_path: Path) -> None:
    (tmp_path / WRITTEN).parent.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / WRITTEN).symlink_to(tmp_path / "elsewhere")
    assert init("github", cwd=tmp_path).returncode == 2
    assert init("github", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not (tmp_path / WRITTEN).is_symlink()


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".github").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="cannot be written"):
        write(snippet(platforms.load("github"), tmp_path))


def test_stdout_gets_the_snippet_and_the_checkout_nothing(tmp_path: Path) -> None:
    done = init("github", "--stdout", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, TEMPLATE.read_text())
    assert list(tmp_path.iterdir()) == []


def test_every_template_can_be_chosen_and_another_name_is_answered_with_them(tmp_path: Path) -> None:
    names = list(templates_of(platforms.load("github")))
    assert names[0] == "ci-bridge" and len(names) >= 3
    for name in names:
        done = init("github", "--template", name, "--json", cwd=tmp_path)
        facts = json.loads(done.stdout)
        assert (facts["platform"], facts["template"], facts["written"]) == ("github", name, True)
        assert Path(facts["path"]).read_text() == (TEMPLATE.parent / f"{name}.yml").read_text()
    done = init("github", "--template", "other", cwd=tmp_path)
    assert done.returncode == 2 and all(name in done.stderr for name in names)


def test_a_configuration_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "ci-bridge.toml").write_text('fail_on = "sometimes"\n')
    assert init("github", cwd=tmp_path).returncode == 2
    assert not (tmp_path / WRITTEN).exists()


def test_the_guide_shows_the_templates_as_they_are() -> None:
    page = generate.GUIDE.read_text(encoding="utf-8")
    assert page == generate.guide_page()
    assert f"```yaml\n{TEMPLATE.read_text(encoding='utf-8')}```\n" in page
    shown = set(re.findall(r"^<!-- templates/pipelines/github/([\w-]+)\.yml -->$", page, re.MULTILINE))
    assert {"ci-bridge", "collect", "publish"} <= shown <= set(templates_of(platforms.load("github")))


def test_the_templates_are_where_the_wheel_puts_them() -> None:
    assert template_root() == ROOT / "templates"
    packaged = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"templates" = "ci_bridge/templates"' in packaged
