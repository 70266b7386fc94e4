"""The action in real workflows: `act` builds the image, runs the jobs and hands outputs on; the API is a stand-in."""

from __future__ import annotations

import gzip
import html
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from textwrap import dedent
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

from tests.e2e.conftest import BASE, ROOT, TOOLS, Engine, as_root, tool
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment
from tests.fakes.github_state import Run

pytestmark = pytest.mark.e2e

FROM_THE_JOB = (
    "GITHUB_API_URL", "GITHUB_GRAPHQL_URL", "GITHUB_RUN_ID", "GITHUB_RUN_NUMBER", "GITHUB_RETENTION_DAYS",
)  # fmt: skip
UPLOADS = ("ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL")
REF = ("GITHUB_REF", "GITHUB_REF_NAME", "GITHUB_REF_TYPE")  # act takes a pull request's from the event
CONTAINERS = f"ubuntu-latest={BASE}"
THIS_MACHINE = "ubuntu-latest=-self-hosted"


def workflow(uses: str = "./", matrix: str = "", **inputs: str) -> str:
    """A workflow that reports what the tests left, and whose next step reads the outputs, whatever became of it."""
    return (
        dedent("""\
        on: [push, pull_request, merge_group, schedule]
        permissions:
          contents: read
        jobs:
          test:
            runs-on: ubuntu-latest
            strategy:
              max-parallel: 1
              fail-fast: false
              matrix: MATRIX
            steps:
              - uses: actions/checkout@v4
              - id: report
                uses: USES
                with: INPUTS
              - if: always()
                env:
                  OUTPUTS: ${{ toJSON(steps.report.outputs) }}
                  FROM_JSON: ${{ fromJSON(steps.report.outputs.json || '{}').total }}
                run: |
                  echo "OUTPUTS=$(echo "$OUTPUTS" | tr -d '\\n')"
                  echo "FROM_JSON=$FROM_JSON"
        """)
        .replace("MATRIX", matrix or "{}")
        .replace("USES", uses)
        .replace("INPUTS", json.dumps(inputs))
    )


def junit(**outcomes: bool) -> str:
    cases = "".join(
        f'<testcase classname="shop.CartTest" name={quoteattr(name)} time="0.1">'
        + ("" if passed else '<failure message="41 != 42">Cart.java:7</failure>')
        + "</testcase>"
        for name, passed in outcomes.items()
    )
    return f'<testsuite name="shop">{cases}</testsuite>'


@dataclass(frozen=True)
class Ran:
    """What a workflow came to. One entry of ``outputs`` for each job."""

    code: int
    log: str

    @property
    def outputs(self) -> list[dict[str, str]]:
        return [json.loads(text) for text in re.findall(r"\| OUTPUTS=(\{.*\})$", self.log, re.MULTILINE)]


@dataclass
class Act:
    """A repository with the action in it, whose workflows run for real."""

    socket: str
    folder: Path
    repository: Path

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        command = ["git", "-C", str(self.repository), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, files: Mapping[str, str]) -> str:
        """Bring files in; answers the commit."""
        for name, text in files.items():
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Change")
        return self.git("rev-parse", "HEAD")

    def run(
        self,
        github: FakeGitHub,
        event: str,
        *options: str,
        run: Run | None = None,
        runner: str = CONTAINERS,
        uploads: bool = True,
    ) -> Ran:
        """Run the workflows of an event that the stand-in knows of.

        Args:
            github: Gets the run.
            event: See :func:`job_environment`.
            options: More of act's.
            run: The workflow run that the job belongs to; a new one if absent.
            runner: What ``ubuntu-latest`` is.
            uploads: False where act serves the artifacts.
        """
        job = self.folder / f"job-{time.monotonic_ns()}"
        job.mkdir()
        env = job_environment(github, job, event, run=run, sha=self.git("rev-parse", "HEAD"))
        names = FROM_THE_JOB + (UPLOADS if uploads else ()) + (() if env["GITHUB_HEAD_REF"] else REF)
        secrets = job / "secrets"
        secrets.write_text(f"GITHUB_TOKEN={env['GITHUB_TOKEN']}\n")
        settings = {
            "DOCKER_HOST": f"unix://{self.socket}",
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }
        command = [
            *as_root(), "env", *(f"{name}={value}" for name, value in settings.items()),
            tool("act"), env["GITHUB_EVENT_NAME"], "--platform", runner, "--pull=false", "--rm", "--network", "host",
            "--container-daemon-socket", settings["DOCKER_HOST"], "--no-cache-server", "--secret-file", str(secrets),
            "--eventpath", env["GITHUB_EVENT_PATH"],
            *(part for name in names for part in ("--env", f"{name}={env[name]}")), *options,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=self.repository, capture_output=True, text=True, timeout=600)
        assert env["GITHUB_TOKEN"] not in done.stdout + done.stderr
        return Ran(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def engine_socket(engine: Engine, image: str) -> Iterator[str]:
    """The container engine behind Docker's interface. It has built the image once, so that act finds its layers."""
    path = engine.folder / "podman.sock"
    service = subprocess.Popen(
        engine.command("system", "service", "--time", "0", f"unix://{path}"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < end, "podman's service did not start"
            time.sleep(0.05)
        yield str(path)
    finally:
        subprocess.run([*as_root(), "kill", str(service.pid)], check=False)
        service.wait(timeout=30)


@pytest.fixture
def act(engine_socket: str, act_here: Act) -> Act:
    return replace(act_here, socket=engine_socket)


@pytest.fixture
def act_here(tmp_path: Path) -> Act:
    """For jobs on this machine, without an engine."""
    repository = tmp_path / "shop"
    repository.mkdir()
    let_through = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    for pattern in ("action.yml", ".dockerignore", "Dockerfile", "composite", *let_through):
        for path in ROOT.glob(pattern):
            target = repository / path.relative_to(ROOT)
            if path.is_dir():
                shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, target)
    act = Act(str(tmp_path / "none.sock"), tmp_path, repository)
    act.git("init", "--quiet", "--initial-branch", "main")
    act.git("remote", "add", "origin", "https://github.com/acme/shop")
    return act


def test_a_push_is_reported_and_the_next_step_reads_the_outputs(act: Act, github: FakeGitHub):
    sha = act.commit(
        {
            ".github/workflows/ci.yml": workflow(results="results/*.xml"),
            "results/junit.xml": junit(test_total=True, test_empty=True),
        }
    )
    ran = act.run(github, "push")
    assert ran.code == 0, ran.log
    (outputs,) = ran.outputs
    assert (outputs["conclusion"], outputs["total"], outputs["passed"]) == ("success", "2", "2")
    assert outputs["report-path"] == "distributed_test_results/report.html"
    assert "FROM_JSON=2" in ran.log
    (check_run,) = github.check_runs
    assert (check_run.sha, check_run.conclusion) == (sha, "success")
    assert any("report.html" in artifact.name for artifact in github.artifacts)


def test_a_pull_request_that_breaks_a_test_fails_and_is_told_which(act: Act, github: FakeGitHub):
    files = {".github/workflows/ci.yml": workflow(**{"results": "results/*.xml", "fail-on": "new-failures"})}
    act.commit({**files, "results/junit.xml": junit(test_total=True, test_rounding=False)})
    first = act.run(github, "push")
    assert [outputs["unjudged-failures"] for outputs in first.outputs] == ["1"], first.log

    sha = act.commit({"results/junit.xml": junit(test_total=False, test_rounding=False)})
    second = act.run(github, "pull_request")
    assert second.code == 1, second.log
    (outputs,) = second.outputs
    assert (outputs["conclusion"], outputs["new-failures"], outputs["known-failures"]) == ("failure", "1", "1")
    (comment,) = github.comments(42)
    assert "test_total" in html.unescape(comment.body)
    assert outputs["comment-url"].endswith(f"#issuecomment-{comment.id}")
    assert "failure" in [check_run.conclusion for check_run in github.check_runs if check_run.sha == sha]


@pytest.mark.parametrize("event", ["schedule", "merge_group", "tag"])
def test_other_events_are_judged_by_main_and_shown_on_their_commit(act: Act, github: FakeGitHub, event: str):
    files = {".github/workflows/ci.yml": workflow(results="*.xml")}
    act.commit({**files, "junit.xml": junit(test_total=True, test_rounding=False)})
    first = act.run(github, "push")
    assert first.code == 0, first.log
    sha = act.commit({"junit.xml": junit(test_total=False, test_rounding=False)})
    ran = act.run(github, event)
    assert ran.code == 0, ran.log
    (outputs,) = ran.outputs
    assert (outputs["new-failures"], outputs["known-failures"], outputs["comment-url"]) == ("1", "1", ""), ran.log
    assert [check_run.conclusion for check_run in github.check_runs if check_run.sha == sha] == ["failure"]
    assert not [comment for number in github.repository.pulls for comment in github.comments(number)]


def test_the_two_halves_for_forks_as_they_are_offered_show_what_a_forks_tests_said(act: Act, github: FakeGitHub):
    templates = ROOT / "templates/pipelines/github"
    files = {
        f".github/workflows/{path.name}": path.read_text(encoding="utf-8").replace("run: make test", "run: exit 1")
        for path in (templates / "collect.yml", templates / "publish.yml")
    }
    sha = act.commit({**files, "junit.xml": junit(test_total=False, test_empty=True)})
    action = ["--local-repository", f"ci-bridge/ci-bridge@v0={act.repository}"]
    collected = act.run(github, "fork", *action)
    assert "Run Main ci-bridge/ci-bridge@v0" in collected.log
    assert collected.code == 1, collected.log  # the fork's own tests failed
    assert not github.comments(42)
    assert not github.check_runs
    published = act.run(github, "workflow_run", *action)
    assert published.code == 0, published.log
    (comment,) = github.comments(42)
    assert "test_total" in html.unescape(comment.body)
    assert [check_run.conclusion for check_run in github.check_runs if check_run.sha == sha] == ["failure"]


def test_the_jobs_of_a_matrix_are_told_their_key_and_their_number(act: Act, github: FakeGitHub):
    act.commit(
        {
            ".github/workflows/ci.yml": workflow(matrix='{os: [linux, "mac os"], python: ["3.13"]}', results="*.xml"),
            "junit.xml": junit(test_total=True),
        }
    )
    ran = act.run(github, "pull_request", "--concurrent-jobs", "1")
    assert ran.code == 0, ran.log
    assert [outputs["total"] for outputs in ran.outputs] == ["1", "1"], ran.log
    (comment,) = github.comments(42)
    text = html.unescape(comment.body)
    assert "2 tests passed" in text
    assert "2 shards" in text


def test_the_official_client_reads_back_what_the_action_uploaded(act: Act, github: FakeGitHub, tmp_path: Path):
    act.commit(
        {
            ".github/workflows/ci.yml": workflow(results="*.xml"),
            "junit.xml": junit(test_total=False),
        }
    )
    server = ["--artifact-server-path", str(tmp_path / "artifacts"), "--artifact-server-addr", "127.0.0.1"]
    run = github.add_run()
    ran = act.run(github, "push", *server, "--artifact-server-port", free_port(), run=run, uploads=False)
    assert ran.code == 0, ran.log

    got = tmp_path / "got"
    got.mkdir()
    reader = shutil.copy(ROOT / "tests/e2e/read_artifacts.mjs", TOOLS)  # beside the client that it imports
    stored = {path.stem: path for path in (tmp_path / "artifacts").rglob("*.zip")}
    digests = tmp_path / "digests.json"
    digests.write_text(
        json.dumps({name: f"sha256:{sha256(path.read_bytes()).hexdigest()}" for name, path in stored.items()})
    )
    command = [tool("node"), str(reader), str(got), str(digests)]
    step = {"name": "Read", "run": " ".join(command), "shell": "bash"}
    job = {"runs-on": "ubuntu-latest", "steps": [step]}
    act.commit({".github/workflows/ci.yml": json.dumps({"on": "push", "jobs": {"read": job}})})
    server += ["--artifact-server-port", free_port()]
    read = act.run(github, "push", *server, run=run, runner=THIS_MACHINE, uploads=False)
    assert read.code == 0, read.log
    (found,) = re.findall(r"ARTIFACTS=(\[.*\])$", read.log, re.MULTILINE)
    artifacts: list[dict[str, Any]] = json.loads(found)
    assert {artifact["name"] for artifact in artifacts} == set(stored)
    reports = []
    for artifact in artifacts:
        assert artifact["digestMismatch"] is False
        (path,) = (got / str(artifact["id"])).iterdir()
        if artifact["name"].startswith("report.json~"):
            data = path.read_bytes()
            reports.append(json.loads(gzip.decompress(data) if path.suffix == ".gz" else data))
    assert [report["totals"]["failed"] for report in reports] == [1]


@pytest.fixture
def official_actions(tmp_path: Path) -> list[str]:
    """The official actions are not to be had here: in their places some that run the script that they are given, and
    say what they were asked for."""
    text = (ROOT / "composite/action.yml").read_text(encoding="utf-8")
    asked = ("name", "path", "retention-days")
    step = {
        "shell": "bash",
        "env": {f"ASKED_{number}": f"${{{{ inputs.{name} }}}}" for number, name in enumerate(asked)},
        "run": 'echo "UPLOADED=$ASKED_0 $ASKED_1 $ASKED_2"; ls -1 "$ASKED_1"',
    }
    inputs: dict[str, object] = {name: {} for name in (*asked, "if-no-files-found", "overwrite")}
    actions: dict[str, dict[str, Any]] = {
        "upload-artifact": {"inputs": inputs, "runs": {"using": "composite", "steps": [step]}},
        "github-script": {"inputs": {"script": {}}, "runs": {"using": "node20", "main": "main.js"}},
    }
    main = """
        const { appendFileSync } = require('fs')
        const setOutput = (name, value) => appendFileSync(process.env.GITHUB_OUTPUT, `${name}=${value}\\n`)
        new Function('core', process.env.INPUT_SCRIPT)({ setOutput })
    """
    options = []
    for name, action in actions.items():
        (uses,) = re.findall(rf"uses: (actions/{name}@\w+)", text)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "action.yml").write_text(json.dumps({"name": name} | action))
        (folder / "main.js").write_text(dedent(main))
        options += ["--local-repository", f"{uses}={folder}"]
    return options


def composite_job(act: Act, **inputs: str) -> None:
    act.commit(
        {
            ".github/workflows/ci.yml": workflow("./composite", results="*.xml", strict="true", **inputs),
            "junit.xml": junit(test_total=False, test_empty=True),
        }
    )


def test_the_composite_action_does_the_same_without_containers(
    act_here: Act, github: FakeGitHub, official_actions: list[str]
):
    composite_job(act_here)
    ran = act_here.run(github, "pull_request", *official_actions, runner=THIS_MACHINE)
    assert ran.code == 0, ran.log
    (outputs,) = ran.outputs
    assert (outputs["conclusion"], outputs["total"], outputs["failed"]) == ("failure", "2", "1")
    (comment,) = github.comments(42)
    assert outputs["comment-url"].endswith(f"#issuecomment-{comment.id}")
    # The right to store was handed on: reports and the history's segment are there, and no other step has to upload.
    names = [artifact.name for artifact in github.artifacts]
    assert any(name.startswith("report.html~") for name in names) and any("-segment-" in name for name in names), names
    assert "UPLOADED=" not in ran.log


def test_the_composite_action_leaves_its_files_to_the_official_one_where_it_may_not_store(
    act_here: Act, github: FakeGitHub, official_actions: list[str]
):
    composite_job(act_here)
    ran = act_here.run(github, "pull_request", *official_actions, runner=THIS_MACHINE, uploads=False)
    assert ran.code == 0, ran.log
    assert not github.artifacts
    # act does not tell a composite action which job of a matrix this is; GitHub's runner does.
    run_id = ran.outputs[0]["run-id"]
    uploaded = rf"UPLOADED=test-report-test-0?-{run_id} distributed_test_results 30$"
    assert re.search(uploaded, ran.log, re.MULTILINE), ran.log
    assert re.search(r"\| report\.html\s*$", ran.log, re.MULTILINE)


def test_the_composite_action_takes_another_command(act_here: Act, github: FakeGitHub, official_actions: list[str]):
    composite_job(act_here, args="collect '*.xml' --time-unit seconds")
    ran = act_here.run(github, "fork", *official_actions, runner=THIS_MACHINE)
    assert ran.code == 0, ran.log
    assert [artifact.name.startswith("ci-bridge-bundle-") for artifact in github.artifacts] == [True]
    assert not github.comments(42)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
