"""A pull request's own earlier builds: evidence for it, on fresh machines too; for nobody else, whatever they claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ci_bridge.history import History
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import PullRequestScope
from ci_bridge.reporting import ReportOutcome
from tests.fakes.github import FakeGitHub
from tests.fakes.github_state import Repository, Run
from tests.history.samples import record, rows
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_artifacts import SEGMENT, zip_of
from tests.platforms.github.test_delivery import receipt, report
from tests.platforms.github.test_run_origins import verdicts, work

PULL_REQUESTS = ("pull_request", "fork", "fork_target")


def build(
    github: FakeGitHub, folder: Path, event: str = "pull_request", *, failures: int = 0, config: Any = None, **job: Any
) -> tuple[ReportOutcome, Path]:
    """A whole job on an empty machine, and its copy of the history."""
    place = work(folder)
    adapter = open_job(github, folder, event, **job)
    outcome = report(adapter, place, failures=failures, **(config or {}))
    adapter.close()
    return outcome, place / "distributed_test_results" / "history.sqlite"


def known(history: Path) -> list[tuple[str | None, bool, str | None]]:
    """Pull request, trust and branch of the runs that a copy holds, without the build's own, oldest first."""
    with History.read(history) as opened:
        found = [opened.run_record(row["id"]) for row in opened.runs()][:0:-1]
    return [(run.pr, run.trusted, run.branch) for run in found if run]


def test_a_pull_request_that_turns_red_gets_a_new_comment_once(github: FakeGitHub, tmp_path: Path) -> None:
    for failures in (0, 1, 1):
        build(github, tmp_path, failures=failures, config={"comment_on_worse": "recreate"})
    first, second = github.comments(42)
    assert "Superseded" in first.body and "1 failure" in second.body and second.edits == 1


def test_so_does_one_of_a_small_matrix_by_the_job_that_ends_last(github: FakeGitHub, tmp_path: Path) -> None:
    for failures in (0, 1, 1):
        run = github.add_run("pull_request", "b" * 40, "feature")
        for leg in (1, 2, 3):
            config = {"comment_on_worse": "recreate", "shard": f"py{leg}", "shard_total": 3}
            # What fails is not what ends last.
            build(github, tmp_path, failures=failures * (leg == 1), config=config, run=run, job=f"test-{leg}")
    first, second = github.comments(42)
    assert "Superseded" in first.body and "3 of 3" in second.body


def test_the_own_builds_are_evidence_of_flakiness_for_this_pull_request_alone(
    github: FakeGitHub, tmp_path: Path
) -> None:
    for failures in (1, 0):  # main has one commit that both failed and passed; two are a proof
        build(github, tmp_path, "push", failures=failures)
    for failures in (1, 0):
        build(github, tmp_path, failures=failures)
    assert verdicts(build(github, tmp_path, failures=1)[0]) == ["flaky"]
    assert verdicts(build(github, tmp_path, failures=1, number=43, branch="other")[0]) == ["new"]
    assert verdicts(build(github, tmp_path, "push", failures=1, sha="d" * 40)[0]) == ["new"]


@pytest.mark.parametrize("event", PULL_REQUESTS)
def test_the_three_newest_builds_of_the_same_report_are_read_and_judge_nobody(
    github: FakeGitHub, tmp_path: Path, event: str
) -> None:
    build(github, tmp_path, "push")
    for _ in range(4):
        build(github, tmp_path, event, failures=1)
    build(github, tmp_path, event, failures=1, job="lint")
    outcome, history = build(github, tmp_path, event, failures=1)
    assert known(history) == [(None, True, "main"), *[("42", False, "feature")] * 3]
    assert "+ 3 of this pull request's own" in receipt(outcome, "history").reason
    assert verdicts(outcome) == ["new"]  # it passed on main
    outcome, history = build(github, tmp_path, "push", failures=1)
    assert known(history) == [(None, True, "main")] and verdicts(outcome) == ["new"]


def test_what_another_workflow_of_the_pull_request_stored_is_not_read(github: FakeGitHub, tmp_path: Path) -> None:
    run = github.add_run("pull_request", "b" * 40, "feature", path=".github/workflows/windows.yml", name="Windows")
    build(github, tmp_path, failures=1, run=run)
    assert known(build(github, tmp_path)[1]) == []


def test_a_second_attempt_knows_the_first_and_not_its_siblings(github: FakeGitHub, tmp_path: Path) -> None:
    run = github.add_run("pull_request", "b" * 40, "feature")
    for leg in ("a", "b"):
        build(github, tmp_path, failures=1, run=run, config={"shard": leg})
    run.attempt = 2
    _, history = build(github, tmp_path, run=run, config={"shard": "b"})
    with History.read(history) as opened:
        runs = [opened.run_record(row["id"]) for row in opened.runs()]
    assert [(one.shard, one.attempt) for one in runs if one] == [("b", "2"), ("b", "1")]


def mark(github: FakeGitHub, number: str) -> str:
    """How the names of the segments of this pull request go on."""
    stored = next(one.name for one in github.artifacts if one.name.startswith(f"{SEGMENT}pr42."))
    return f"pr{number}." + stored.removeprefix(SEGMENT).split(".", 1)[1].split(".")[0] + ".00000000"


def plant(github: FakeGitHub, run: Run, number: str, uid: str, *, forgotten: bool = False, **claims: Any) -> None:
    """A segment that somebody made by hand in a run, named as one of this pull request."""
    data = encode(record(0, uid, "F", **claims), rows({"test_1": "F"}), forgotten=forgotten)
    github.add_artifact(f"{SEGMENT}{mark(github, number)}-{uid}", zip_of(("object", data)), run)


def strangers(github: FakeGitHub, branch: str) -> Run:
    fork: Repository = github.repositories.get("stranger/shop") or github.add_repository(
        "stranger/shop", github.repository
    )
    return github.add_run("pull_request", "e" * 40, branch, head_repository=fork)


@pytest.mark.parametrize("branch", ["feature", "main"])
def test_a_forks_segment_that_names_another_pull_request_is_read_by_none(
    github: FakeGitHub, tmp_path: Path, branch: str
) -> None:
    build(github, tmp_path, "push")
    build(github, tmp_path)  # number 42, of the project's own branch `feature`
    for number in ("42", "43"):
        plant(github, strangers(github, branch), number, f"forged-{number}", pr=number, trusted=True, branch="main")
    for pull_request in (42, 43):
        _, history = build(github, tmp_path, number=pull_request)
        with History.read(history) as opened:
            assert not any(row["id"].startswith("forged") for row in opened.runs())
    assert known(build(github, tmp_path, "push")[1]) == [(None, True, "main")]


def test_whatever_an_own_segment_claims_it_is_an_untrusted_run_of_this_pull_request(
    github: FakeGitHub, tmp_path: Path
) -> None:
    first, _ = build(github, tmp_path, "push")
    build(github, tmp_path)
    own = github.add_run("pull_request", "b" * 40, "feature")
    plant(github, own, "42", "forged", pr=None, trusted=True, branch="main")
    outcome, history = build(github, tmp_path, failures=1)
    assert known(history).count((None, True, "main")) == 1 and ("42", False, "main") in known(history)
    base = outcome.report.judgement.baseline
    assert base is not None and base.run_id == first.report.run.id and verdicts(outcome) == ["new"]


@pytest.mark.parametrize("forgotten", [True, False])
def test_no_own_segment_takes_the_place_of_another_run(github: FakeGitHub, tmp_path: Path, forgotten: bool) -> None:
    first, _ = build(github, tmp_path, "push")
    build(github, tmp_path)
    own = github.add_run("pull_request", "b" * 40, "feature")
    plant(github, own, "42", first.report.run.id, forgotten=forgotten, pr="42", branch="main")
    outcome, history = build(github, tmp_path, failures=1)
    assert (None, True, "main") in known(history) and verdicts(outcome) == ["new"]


def test_a_scope_takes_earlier_builds_of_its_report_and_its_own_jobs_earlier_attempts() -> None:
    scope = PullRequestScope("42", "Tests / unit", "900", "py1")
    earlier = PullRequestScope("42", "Tests / unit", "899", "py2")
    assert scope.takes(f"{scope.mark}-uid") and scope.takes(f"{earlier.mark}-uid")
    for other in (
        PullRequestScope("42", "Tests / unit", "900", "py2"),
        PullRequestScope("42", "Tests / e2e", "899", "py1"),
        PullRequestScope("4", "Tests / unit", "899", "py1"),
        PullRequestScope("421", "Tests / unit", "899", "py1"),
    ):
        assert not scope.takes(f"{other.mark}-uid")
    assert not scope.takes("01958f3e-0000-7000-8000-000000000001")
