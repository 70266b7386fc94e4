"""The workflows that we offer and the ones that we use: least rights, nothing that can change under them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from ci_bridge._version import __version__

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "templates" / "pipelines" / "github"
FILES = sorted([*TEMPLATES.glob("*.yml"), *(ROOT / ".github" / "workflows").glob("*.yml")])


def read(path: Path) -> dict[str, Any]:
    """A workflow; YAML takes its key ``on`` for a truth value."""
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in loaded.items()}


def template(name: str) -> dict[str, Any]:
    return read(TEMPLATES / f"{name}.yml")


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job.get("steps", [])]


def rights(workflow: dict[str, Any], job: str) -> dict[str, str]:
    granted: dict[str, str] = workflow["jobs"][job]["permissions"]
    return granted


def test_every_workflow_is_looked_at():
    assert {path.stem for path in FILES} == {
        "ci-bridge", "matrix", "systems", "collect", "publish", "ci", "release",
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nobody_has_rights_that_no_job_asked_for(path: Path):
    assert read(path)["permissions"] == {}
    for job in read(path)["jobs"].values():
        assert job["permissions"]
        assert set(job["permissions"].values()) <= {"read", "write"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_others_wrote_is_pinned_to_a_commit(path: Path):
    text = path.read_text(encoding="utf-8")
    for uses in re.findall(r"uses: (.*)$", text, re.MULTILINE):
        own = uses.startswith(("./", "ci-bridge/ci-bridge"))
        assert own or re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", uses), uses


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_script_is_put_together_from_data(path: Path):
    for step in steps(path):
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_checkout_leaves_no_token_behind(path: Path):
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_workflow_runs_a_forks_code_with_our_rights(path: Path):
    assert "pull_request_target" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_report_is_made_whether_the_tests_passed_or_not(path: Path):
    for step in steps(path):
        if step.get("uses", "").startswith(("./", "ci-bridge/")) and path.stem != "publish":
            assert "!cancelled()" in step["if"]


@pytest.mark.parametrize("name", ["ci-bridge", "matrix", "systems"])
def test_a_template_asks_for_what_its_report_needs_and_no_more(name: str):
    assert rights(template(name), "test") == {
        "contents": "read", "checks": "write", "pull-requests": "write", "actions": "read",
    }  # fmt: skip


def test_the_half_that_runs_a_forks_code_may_only_read_it():
    collect = template("collect")
    assert rights(collect, "test") == {"contents": "read"}
    assert set(collect["on"]) == {"pull_request"}


def test_the_half_that_has_rights_runs_nothing_but_the_action():
    publish = template("publish")
    assert list(publish["on"]) == ["workflow_run"]
    assert publish["on"]["workflow_run"]["workflows"] == [template("collect")["name"]]
    (job,) = publish["jobs"].values()
    assert job["permissions"] == {"actions": "read", "checks": "write", "pull-requests": "write"}
    (step,) = job["steps"]
    assert step == {"uses": "ci-bridge/ci-bridge@v0", "with": {"args": "publish", "history-key": "tests"}}


def test_the_release_waits_for_the_tests_and_names_both_architectures():
    release = read(ROOT / ".github" / "workflows" / "release.yml")
    assert release["jobs"]["image"]["needs"] == release["jobs"]["build"]["needs"] == "test"
    (push,) = [step for step in release["jobs"]["image"]["steps"] if step.get("id") == "push"]
    assert push["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert push["with"]["sbom"] is True
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}  # no stored password


# ---- the tag that users name

GH = """\
#!/bin/sh
# Stands in for GitHub's own tool: notes what it was asked, and answers from the tags in $TAGS.
printf '%s\\n' "$*" >>"$ASKED"
case "$*" in
  *matching-refs*) for tag in $TAGS; do echo "refs/tags/$tag"; done ;;
  *trees*) echo a-tree ;;
  *commits*) echo a-commit ;;
  *PATCH*) exit "$MISSING" ;;
esac
"""
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def moved(tmp_path: Path) -> Callable[..., tuple[str, list[str]]]:
    """Runs the release's last step for a tag; answers the action as it was sent, and what was asked of GitHub."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "gh"
    tool.write_text(GH)
    tool.chmod(0o755)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copy(ROOT / "action.yml", checkout)
    git = ["git", "-C", str(checkout), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "x"]):
        subprocess.run([*git, *arguments], check=True)
    release = read(ROOT / ".github" / "workflows" / "release.yml")
    (step,) = [step for step in release["jobs"]["major"]["steps"] if step.get("name") == "Move"]

    def run(tag: str, *tags: str, missing: bool = False) -> tuple[str, list[str]]:
        env = {
            "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}", "ASKED": str(tmp_path / "asked"),
            "TAGS": " ".join(tags), "MISSING": str(int(missing)), "DIGEST": DIGEST, "IMAGE": release["env"]["IMAGE"],
            "GITHUB_REF": f"refs/tags/{tag}", "GITHUB_REF_NAME": tag, "GITHUB_REPOSITORY": "acme/ci-bridge",
        }  # fmt: skip
        subprocess.run(["bash", "-e", "-o", "pipefail", "-c", step["run"]], cwd=checkout, env=env, check=True)
        asked = (tmp_path / "asked").read_text().splitlines()
        return (checkout / "action.yml").read_text(encoding="utf-8"), asked

    return run


def test_the_major_tag_moves_last_and_names_the_image_that_was_pushed(moved: Callable[..., tuple[str, list[str]]]):
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert set(jobs["major"]["needs"]) == {"image", "publish"}
    assert not any("major" in job.get("needs", []) for job in jobs.values())
    assert jobs["major"]["permissions"] == {"contents": "write"}
    text, asked = moved("v0.10.0", "v0.9.1", "v0.10.0", "v0.10.1-rc1")
    before = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert text == before.replace("image: Dockerfile", f"image: docker://ghcr.io/ci-bridge/ci-bridge@{DIGEST}")
    assert text != before
    assert asked[-1] == "api --method PATCH repos/acme/ci-bridge/git/refs/tags/v0 -f sha=a-commit -F force=true"


def test_the_first_release_of_a_major_version_makes_its_tag(moved: Callable[..., tuple[str, list[str]]]):
    _, asked = moved("v1.0.0", "v1.0.0", missing=True)
    assert asked[-1] == "api repos/acme/ci-bridge/git/refs -f ref=refs/tags/v1 -f sha=a-commit"


def test_a_patch_of_an_older_version_moves_nothing(moved: Callable[..., tuple[str, list[str]]]):
    _, asked = moved("v0.9.2", "v0.9.2", "v0.10.0")
    assert len(asked) == 1


def test_whoever_names_the_action_names_its_present_major_version():
    wanted = f"v{__version__.partition('.')[0]}"
    where = [*FILES, ROOT / "README.md", *ROOT.glob("docs/*.md"), *(ROOT / "ci_bridge").rglob("*.py")]
    named = {
        found: path for path in where
        for found in re.findall(r"uses: ([\w.-]+/ci-bridge(?:/[\w/]+)?@[\w.]+)", path.read_text(encoding="utf-8"))
    }  # fmt: skip
    assert set(named) == {f"ci-bridge/ci-bridge@{wanted}", f"ci-bridge/ci-bridge/composite@{wanted}"}


def test_our_own_tests_run_on_every_python_and_system_that_we_promise():
    matrix = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert matrix["python"] == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}


def test_what_is_published_for_forks_is_judged_by_the_history_of_the_tests():
    keys = {
        step["with"]["history-key"]
        for name in ("ci-bridge", "matrix", "systems", "publish")
        for step in steps(TEMPLATES / f"{name}.yml")
        if step.get("uses", "").startswith("ci-bridge/")
    }
    assert keys == {"tests"}
