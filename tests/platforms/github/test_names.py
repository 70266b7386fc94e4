"""A report's full name, title / workflow / job (shard), over the stand-in: nobody's red is ever overwritten.

Each job is the action's own program or the command line, as a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD, MERGE, job_environment
from tests.fakes.github_state import Run
from tests.platforms.github.opened import job_folder

ROOT = Path(__file__).resolve().parents[3]
Done = subprocess.CompletedProcess[str]


def suite(name: str, *, cases: int = 2, red: int = 0) -> str:
    """A result file's text, the first cases of which fail."""
    failure = '<failure message="41 != 42"/>'
    rows = (
        f'<testcase classname="{name}" name="t{number}" time="1">{failure if number < red else ""}</testcase>'
        for number in range(cases)
    )
    return f"<testsuite name='s'>{''.join(rows)}</testsuite>"


def step(env: dict[str, str], text: str | None, *args: str, **inputs: str) -> Done:
    """One use of the action in this job."""
    workspace = Path(env["GITHUB_WORKSPACE"])
    if text is not None:
        (workspace / "junit.xml").write_text(text, encoding="utf-8")
    given = {"SHARD": "null", "SHARD-TOTAL": "1", "RETRY-DELAY-SECONDS": "0", **inputs}
    process = {"PATH": os.environ["PATH"], "HOME": str(workspace), "PYTHONPATH": str(ROOT), **env}
    process |= {f"INPUT_{name.upper().replace('_', '-')}": value for name, value in given.items()}
    return subprocess.run(
        [sys.executable, str(ROOT / "entrypoint" / "main.py"), *args],
        cwd=workspace, env=process, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def job(github: FakeGitHub, tmp_path: Path, event: str = "pull_request", **facts: Any) -> dict[str, str]:
    return job_environment(github, job_folder(tmp_path), event, **facts)


def matrix(*legs: dict[str, Any]) -> list[dict[str, str]]:
    return [{"shard": json.dumps(leg, indent=2), "shard_total": str(len(legs))} for leg in legs]


def pull_request(github: FakeGitHub, name: str = "Tests") -> Run:
    run = github.add_run("pull_request", HEAD, "feature")
    run.name = name
    return run


def bodies(github: FakeGitHub) -> list[str]:
    return [comment.body for comment in github.comments(42)]


def checks(github: FakeGitHub) -> dict[str, str | None]:
    """Name -> conclusion; two of one name would hide each other."""
    assert len({check.name for check in github.check_runs}) == len(github.check_runs)
    return {check.name: check.conclusion for check in github.check_runs}


# ---- the legs of a matrix


@pytest.mark.parametrize(
    ("red", "green"),
    [
        ({"flags": "x" * 250, "os": "a"}, {"flags": "x" * 250, "os": "b"}),
        ({"a": "x", "b": "y"}, {"b": "x", "c": "y"}),
        ({"node": 18}, {"deno": 18}),
        ({"a": "x / b=y"}, {"a": "x", "b": "y"}),
        ({"a=b": "c"}, {"a": "b=c"}),
        ({"a": "x y"}, {"a": "x  y"}),
        ({"a": "é" * 300 + "1"}, {"a": "é" * 300 + "2"}),
    ],
)
@pytest.mark.parametrize("test_runs", ["true", "false"])
def test_no_leg_of_a_matrix_passes_for_another(
    github: FakeGitHub, tmp_path: Path, red: dict[str, Any], green: dict[str, Any], test_runs: str
) -> None:
    run = pull_request(github)
    for inputs, failures in zip(matrix(red, green), (1, 0), strict=True):
        env = job(github, tmp_path, run=run)
        step(env, suite("s", red=failures), enable_test_runs=test_runs, enable_artifacts="false", **inputs)
    [body] = bodies(github)
    assert "2 of 2 shards" in body and "1 failure" in body
    if test_runs == "true":
        assert sorted(checks(github).values(), key=str) == ["failure", "success"]
    else:
        assert len({status.context for status in github.repository.statuses}) == 2
        assert all(len(status.context) <= 255 for status in github.repository.statuses)


def test_the_comment_shows_the_values_of_a_matrix_and_the_check_its_names_as_well(
    github: FakeGitHub, tmp_path: Path
) -> None:
    run = pull_request(github, "CI")
    for inputs in matrix({"os": "ubuntu", "python": "3.12"}, {"os": "windows", "python": "3.12"}):
        step(job(github, tmp_path, run=run), suite("s", red=1), **inputs)
    [body] = bodies(github)
    assert "ubuntu &#47; 3&#46;12" in body and "os=" not in body and "python=" not in body
    assert set(checks(github)) == {
        "Test results / CI / test (os=ubuntu / python=3.12)",
        "Test results / CI / test (os=windows / python=3.12)",
    }


def test_a_workflow_called_twice_keeps_the_legs_of_both_calls(github: FakeGitHub, tmp_path: Path) -> None:
    run = pull_request(github)
    for failures in (1, 0):  # the same keys and the same job; only the job's own id tells them apart
        for inputs in matrix({"os": "a"}, {"os": "b"}):
            step(job(github, tmp_path, run=run), suite("s", red=failures), **inputs)
    [body] = bodies(github)
    assert "2 failures" in body and body.count("&#40;2&#41;</code> | 2 | 0") == 2


def test_a_rerun_takes_the_place_of_its_leg_though_its_id_is_another(github: FakeGitHub, tmp_path: Path) -> None:
    run = pull_request(github)
    first, second = matrix({"os": "a"}, {"os": "b"})
    step(job(github, tmp_path, run=run), suite("s", red=1), **first)
    step(job(github, tmp_path, run=run), suite("s"), **second)
    run.attempt = 2
    step(job(github, tmp_path, run=run), suite("s"), **first)
    [body] = bodies(github)
    assert "2 of 2 shards" in body and "4 tests passed" in body


# ---- workflows, jobs, steps


@pytest.mark.parametrize("test_runs", ["true", "false"])
def test_two_workflows_with_the_same_job_keep_a_comment_and_a_check_each(
    github: FakeGitHub, tmp_path: Path, test_runs: str
) -> None:
    for name, failures in (("Linux", 1), ("Nightly", 0)):
        env = job(github, tmp_path, run=pull_request(github, name))
        step(env, suite("s", red=failures), enable_test_runs=test_runs)
    red, green = bodies(github)
    assert "1 failure" in red and "2 tests passed" in green
    expected = {"Test results / Linux / test": "failure", "Test results / Nightly / test": "success"}
    shown = {status.context: status.state for status in github.repository.statuses}
    assert (checks(github) if test_runs == "true" else shown) == expected


def test_the_action_used_again_in_a_job_has_a_name_of_its_own(github: FakeGitHub, tmp_path: Path) -> None:
    env = job(github, tmp_path, run=pull_request(github))
    for use, failures in (("", 1), ("_2", 0)):
        done = step(env | {"GITHUB_ACTION": f"__acme_ci-bridge{use}"}, suite("s", red=failures))
        assert "took the place" not in done.stderr
    assert checks(github) == {"Test results / Tests / test": "failure", "Test results / Tests / test (2)": "success"}
    assert len(bodies(github)) == 2


@pytest.mark.parametrize("name", ["__run_2", "__acme_tool_v0_2", "report_2", "__run", "__acme_ci-bridge"])
def test_what_says_nothing_of_a_step_is_no_part_of_its_name(github: FakeGitHub, tmp_path: Path, name: str) -> None:
    step(job(github, tmp_path, run=pull_request(github)) | {"GITHUB_ACTION": name}, suite("s"))
    assert set(checks(github)) == {"Test results / Tests / test"}


def test_a_step_that_takes_the_place_of_an_earlier_one_says_so(github: FakeGitHub, tmp_path: Path) -> None:
    env = job(github, tmp_path, run=pull_request(github))
    said = [
        "took the place of an earlier step" in step(env | {"GITHUB_ACTION": use}, suite("s"), **inputs).stderr
        for use, inputs in (
            ("unit", {}), ("web", {"comment_title": "Web"}), ("again", {}), ("more", {"comment_title": "More"}),
        )
    ]  # fmt: skip
    assert said == [False, False, True, False]


# ---- what a report is compared with


def main_run(
    github: FakeGitHub, tmp_path: Path, jobs: dict[str, str], name: str = "Tests", sha: str = MERGE, **inputs: str
) -> None:
    run = github.add_run("push", sha, "main")
    run.name = name
    for key, text in jobs.items():
        step(job(github, tmp_path, "push", run=run, job=key, sha=sha), text, enable_artifacts="false", **inputs)


def test_a_job_is_compared_with_its_own_runs(github: FakeGitHub, tmp_path: Path) -> None:
    main_run(github, tmp_path, {"unit": suite("unit", cases=10), "e2e": suite("e2e", cases=3, red=1)})
    run = pull_request(github)
    step(job(github, tmp_path, run=run, job="unit"), suite("unit", cases=10, red=1))
    step(job(github, tmp_path, run=run, job="e2e"), suite("e2e", cases=3))
    unit, e2e = bodies(github)
    assert "| 9 (-1) |" in unit.replace("−", "-") and "10 |" in unit and "1 new failure" in unit
    assert "| 3 (+1) |" in e2e and "1 fixed" in e2e


def test_two_workflows_that_share_a_history_are_compared_with_their_own_runs(
    github: FakeGitHub, tmp_path: Path
) -> None:
    main_run(github, tmp_path, {"test": suite("unit", cases=10)}, "Linux", history_key="all")
    main_run(github, tmp_path, {"test": suite("unit", cases=4, red=1)}, "Nightly", history_key="all")
    step(job(github, tmp_path, run=pull_request(github, "Linux")), suite("unit", cases=10, red=1), history_key="all")
    [body] = bodies(github)
    assert "1 new failure" in body and "| 9 (-1) |" in body.replace("−", "-")


def test_a_job_with_another_name_knows_the_failures_and_no_differences(github: FakeGitHub, tmp_path: Path) -> None:
    main_run(github, tmp_path, {"old": suite("unit", cases=5, red=1)})
    step(job(github, tmp_path, run=pull_request(github), job="new"), suite("unit", cases=10, red=1))
    [body] = bodies(github)
    assert "1 already failing" in body and "No new failures" in body and "(+" not in body


# ---- what others ran


def fork_run(github: FakeGitHub, name: str = "CI") -> Run:
    fork = github.add_repository("stranger/shop", github.repository)
    github.add_pull(42, HEAD, branch="feature", head=fork)
    run = github.add_run("pull_request", HEAD, "feature", head_repository=fork)
    run.name = name
    return run


def test_publish_links_names_and_compares_the_build_that_ran_the_tests(github: FakeGitHub, tmp_path: Path) -> None:
    main_run(github, tmp_path, {"unit": suite("unit", cases=10), "e2e": suite("e2e", cases=3, red=1)}, "CI")
    run = fork_run(github)
    step(job(github, tmp_path, "fork", run=run, job="unit"), suite("unit", cases=10, red=1), "collect")
    before = len(github.check_runs)
    env = job(github, tmp_path, "workflow_run")
    assert step(env, None, "publish").returncode == 0
    [body] = bodies(github)
    page = f"https://github.com/acme/shop/actions/runs/{run.id}"
    assert github.check_runs[before].details_url == page and github.check_runs[before].name == "Test results / CI"
    assert page in body
    assert "1 new failure" in body and "| 9 (-1) |" in body.replace("−", "-")


def test_a_forks_own_workflow_is_judged_by_the_same_job_of_the_others_and_its_flaky_tests(
    github: FakeGitHub, tmp_path: Path
) -> None:
    for number in range(2):  # both on one commit, twice: that is proof
        sha = str(number) * 40
        for red in (1, 0):
            main_run(github, tmp_path, {"test": suite("unit", cases=5, red=red)}, "CI", sha, history_key="tests")
    main_run(github, tmp_path, {"test": suite("unit", cases=9)}, "Other", MERGE, history_key="mine")
    step(job(github, tmp_path, "fork", run=fork_run(github, "Tests of forks")), suite("unit", red=2), "collect")
    step(job(github, tmp_path, "workflow_run"), None, "publish", history_key="tests")
    [body] = bodies(github)
    assert "1 new failure" in body and "1 flaky" in body and "(+" not in body


def test_publish_compares_each_of_several_jobs_with_its_own_runs(github: FakeGitHub, tmp_path: Path) -> None:
    jobs = {"unit": suite("unit", cases=10), "e2e": suite("e2e", cases=3, red=1)}
    main_run(github, tmp_path, jobs, "CI")
    run = fork_run(github)
    for key, text in jobs.items():
        step(job(github, tmp_path, "fork", run=run, job=key), text, "collect")
    step(job(github, tmp_path, "workflow_run"), None, "publish")
    [body] = bodies(github)
    assert "1 already failing" in body and "No new failures" in body
    assert "(+" not in body and "(-" not in body.replace("−", "-")


def test_publish_says_which_titles_it_found_and_which_it_looked_for(github: FakeGitHub, tmp_path: Path) -> None:
    run = fork_run(github)
    for title in ("Unit", "Web"):
        step(job(github, tmp_path, "fork", run=run, job=title), suite("s"), "collect", comment_title=title)
    done = step(job(github, tmp_path, "workflow_run"), None, "publish", comment_title="Integration")
    assert done.returncode == 3
    for title in ("'Unit'", "'Web'", "'Integration'"):
        assert title in done.stderr
