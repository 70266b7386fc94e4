"""The workflows that we offer and the ones that we use: least rights, nothing that can change under them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

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
