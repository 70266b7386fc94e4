"""Whose stored history is believed: that of the same workflow, or of all that name the same key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.errors import TransientError
from ci_bridge.models import StoredObject
from ci_bridge.platforms.github import read_context
from ci_bridge.platforms.github.adapter import GitHubActionAdapter
from ci_bridge.platforms.github.run_origins import own_workflow, workflow_of
from ci_bridge.protocols import Listing
from ci_bridge.reporting import ReportOutcome
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD, job_environment
from tests.fakes.server import Fault, Response, failing
from tests.platforms.github.opened import job_folder, open_env, open_job
from tests.platforms.github.test_artifacts import SEGMENT, store
from tests.platforms.github.test_delivery import receipt, report

BASE = "ci-bridge-base"
TESTS, NIGHTLY = (f".github/workflows/{name}.yml" for name in ("tests", "nightly"))


def work(folder: Path) -> Path:
    """A fresh checkout: what the job before left is not there."""
    made = folder / f"work-{len(list(folder.glob('work-*')))}"
    made.mkdir()
    return made


def job(github: FakeGitHub, folder: Path, event: str = "push", path: str = "", **config: Any) -> ReportOutcome:
    """A whole job with one failure; of another workflow if its file is given."""
    sha, branch = ("a" * 40, "main") if event == "push" else (HEAD, "feature")
    run = github.add_run(event, sha, branch, path=path) if path else None
    adapter = open_job(github, folder, event, run=run)
    outcome = report(adapter, work(folder), failures=1, **config)
    adapter.close()
    return outcome


def verdicts(outcome: ReportOutcome) -> list[str]:
    return [str(case.verdict) for case in outcome.report.judgement.judged]


def found(adapter: object, name: str, limit: int = 100, **more: Any) -> Listing:
    assert isinstance(adapter, GitHubActionAdapter)
    listed: Sequence[StoredObject] = adapter.list_objects(name, limit, **more)
    assert isinstance(listed, Listing)
    return listed


@pytest.mark.parametrize(
    ("path", "file"),
    [
        (".github/workflows/tests.yml", ".github/workflows/tests.yml"),
        (".github/workflows/tests.yaml@refs/heads/main", ".github/workflows/tests.yaml"),
        (".github/workflows/a@b.yml@refs/heads/c.yml@d", ".github/workflows/a@b.yml"),
        (".github/workflows/tests.yml@", ".github/workflows/tests.yml"),
        ("dynamic/pages/pages-build-deployment", ""),
        ("acme/shop/.github/workflows/tests.yml", ""),
        (".github/workflows/.yml/../../x", ""),
        ("", ""),
    ],
)
def test_a_workflow_is_its_file_whatever_ref_it_was_taken_from(path: str, file: str) -> None:
    assert workflow_of(path) == file


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        ("acme/shop/.github/workflows/tests.yml@refs/pull/42/merge", ".github/workflows/tests.yml"),
        ("acme/rules/.github/workflows/tests.yml@refs/heads/main", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_the_own_workflow_is_one_of_this_repository(
    github: FakeGitHub, tmp_path: Path, reference: str, file: str
) -> None:
    env = job_environment(github, tmp_path) | {"GITHUB_WORKFLOW_REF": reference}
    assert own_workflow(env, read_context(env)) == file


def test_after_another_workflow_the_own_one_is_that_which_ran_before(github: FakeGitHub, tmp_path: Path) -> None:
    github.add_run("pull_request", HEAD, "feature", path=f"{NIGHTLY}@main")
    env = job_environment(github, tmp_path, "workflow_run")
    assert own_workflow(env, read_context(env)) == NIGHTLY
    env["GITHUB_EVENT_PATH"] = ""
    assert own_workflow(env, read_context(env)) == ""


def test_what_another_workflow_stored_on_main_is_not_restored(github: FakeGitHub, tmp_path: Path) -> None:
    job(github, tmp_path, path=NIGHTLY)
    assert {artifact.name for artifact in github.artifacts} >= {BASE}
    outcome = job(github, tmp_path, "pull_request")
    assert verdicts(outcome) == ["unjudged"]
    assert "no earlier history" in receipt(outcome, "history").reason
    assert any("history_key" in warning for warning in outcome.warnings)
    # The same workflow's own, beside it, is.
    job(github, tmp_path, path=f"{TESTS}@refs/heads/main")
    outcome = job(github, tmp_path, "pull_request")
    assert verdicts(outcome) == ["known"]


def test_workflows_that_name_the_same_key_share_a_history(github: FakeGitHub, tmp_path: Path) -> None:
    job(github, tmp_path, path=NIGHTLY, history_key="all")
    outcome = job(github, tmp_path, "pull_request", history_key="all")
    assert verdicts(outcome) == ["known"]
    assert not any("history_key" in warning for warning in outcome.warnings)
    assert verdicts(job(github, tmp_path, "pull_request")) == ["unjudged"]


def test_with_a_key_as_without_only_trusted_events_count(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path)
    store(github, github.add_run("issue_comment", path=NIGHTLY), "ci-bridge.all.base")
    assert list(found(adapter, "ci-bridge.all.base", every_pipeline=True)) == []


def test_publishing_reads_the_history_of_the_workflow_that_it_follows(github: FakeGitHub, tmp_path: Path) -> None:
    tests, own = (
        github.add_run(path=TESTS),
        github.add_run(path=".github/workflows/publish.yml"),
    )
    number = store(github, tests, BASE)
    store(github, own, BASE)
    env = job_environment(github, job_folder(tmp_path), "workflow_run")
    env["GITHUB_WORKFLOW_REF"] = "acme/shop/.github/workflows/publish.yml@refs/heads/main"
    assert [one.id for one in found(open_env(env), BASE, 20)] == [number]


@pytest.mark.parametrize("path", [".github/workflows/the tests.yml", ".github/workflows/tests.yml"])
def test_a_workflow_is_told_by_its_runs_paths_whatever_its_file_is_called(
    github: FakeGitHub, tmp_path: Path, path: str
) -> None:
    number = store(github, github.add_run(path=f"{path}@refs/heads/main"), BASE)
    store(github, github.add_run(path=NIGHTLY), BASE)
    adapter = open_job(github, tmp_path, run=github.add_run("pull_request", HEAD, "feature", path=path))
    listed = found(adapter, BASE, 20)
    assert ([one.id for one in listed], listed.has_others) == ([number], True)


def test_where_the_own_workflow_is_not_known_all_are_believed(github: FakeGitHub, tmp_path: Path) -> None:
    store(github, github.add_run(path=NIGHTLY), BASE)
    env = job_environment(github, job_folder(tmp_path), "push")
    del env["GITHUB_WORKFLOW_REF"]
    assert len(found(open_env(env), BASE, 20)) == 1


def test_a_workflow_that_never_ran_here_has_stored_nothing(github: FakeGitHub, tmp_path: Path) -> None:
    store(github, github.add_run(path=NIGHTLY), f"{SEGMENT}1")
    env = job_environment(github, job_folder(tmp_path), "push")
    env["GITHUB_WORKFLOW_REF"] = "acme/shop/.github/workflows/never.yml@refs/heads/main"
    assert list(found(open_env(env), SEGMENT)) == []


def test_a_base_of_a_run_that_the_list_does_not_show_yet_is_asked_for(github: FakeGitHub, tmp_path: Path) -> None:
    run = github.add_run()
    number = store(github, run, BASE)
    github.hidden.add(run.id)
    adapter = open_job(github, tmp_path)
    assert [one.id for one in found(adapter, BASE, 20)] == [number]
    assert [request.path for request in github.api.requests(path=f"/runs/{run.id}$")]


def test_runs_of_other_workflows_cost_no_call_of_their_own(github: FakeGitHub, tmp_path: Path) -> None:
    for number in range(40):
        path = NIGHTLY if number % 2 else TESTS
        store(github, github.add_run(path=path), f"{SEGMENT}{number}")
    github.add_run()
    listed = found(open_job(github, tmp_path), SEGMENT, 20_000)
    assert (len(listed), len(listed.unsure), len(github.calls)) == (20, 0, 2)


def test_a_page_that_could_not_be_read_is_read_at_the_next_try(github: FakeGitHub, tmp_path: Path) -> None:
    number = store(github, github.add_run(), BASE)
    adapter = open_job(github, tmp_path)
    github.api.inject(failing(502, path="/actions/workflows/"))
    with pytest.raises(TransientError, match="502"):
        adapter.list_objects(BASE, 20)
    assert [one.id for one in found(adapter, BASE, 20)] == [number]
    assert not github.api.requests(path="/actions/runs/")


def release(github: FakeGitHub, folder: Path, branch: str = "release/1.x", failures: int = 1) -> None:
    """A push to another branch than the default one."""
    adapter = open_job(github, folder, "push", branch=branch)
    report(adapter, work(folder), failures=failures)
    adapter.close()


def merge_into(github: FakeGitHub, folder: Path, base: str = "release/1.x", **more: Any) -> ReportOutcome:
    """The build of a pull request into this branch, with one failure."""
    adapter = open_job(github, folder, base=base, **more)
    outcome = report(adapter, work(folder), failures=1)
    adapter.close()
    return outcome


def compared(outcome: ReportOutcome) -> tuple[list[str], str | None]:
    """The verdicts, and the branch that they come from."""
    base = outcome.report.judgement.baseline
    return verdicts(outcome), base.branch if base else None


def test_a_pull_request_into_a_branch_without_a_history_is_compared_with_the_default_branch(
    github: FakeGitHub, tmp_path: Path
) -> None:
    job(github, tmp_path)
    assert compared(merge_into(github, tmp_path)) == (["known"], "main")


def test_a_pull_request_into_a_protected_branch_is_compared_with_that_branch(
    github: FakeGitHub, tmp_path: Path
) -> None:
    github.repository.protected.add("release/1.x")
    report(open_job(github, tmp_path, "push"), work(tmp_path))
    release(github, tmp_path)
    # The test passed on main and fails on the release branch.
    assert compared(merge_into(github, tmp_path)) == (["known"], "release/1.x")
    assert compared(merge_into(github, tmp_path, base="main", number=43)) == (["new"], "main")
    (asked,) = github.api.requests(path="/branches/")
    assert asked.target.endswith("/branches/release%2F1.x")


@pytest.mark.parametrize("refusal", [None, 403, 404])
def test_what_an_unprotected_branch_has_stored_judges_no_pull_request(
    github: FakeGitHub, tmp_path: Path, refusal: int | None
) -> None:
    report(open_job(github, tmp_path, "push"), work(tmp_path))
    release(github, tmp_path)
    if refusal:  # whoever cannot find out believes nothing
        github.repository.protected.add("release/1.x")
        answer = Response.json(refusal, {"message": "Resource not accessible by integration"})
        github.api.inject(Fault(str(refusal), answer, path="/branches/", times=None, honest=True))
    outcome = merge_into(github, tmp_path)
    assert compared(outcome) == (["new"], "main")
    assert receipt(outcome, "history").state == "sent"


def test_a_pull_request_into_the_default_branch_asks_for_no_branch(github: FakeGitHub, tmp_path: Path) -> None:
    release(github, tmp_path, "main")
    merge_into(github, tmp_path, "main")
    assert not github.api.requests(path="/branches/")
