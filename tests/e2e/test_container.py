"""The image, built from the Dockerfile and run for real."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from ci_bridge._version import __version__
from tests.e2e.conftest import ROOT, Engine, Runner, as_root, run_cli

pytestmark = pytest.mark.e2e

DATA = ROOT / "tests" / "data"
PATTERNS = ["results/**/*.xml", "results/**/*.trx", "results/**/*.json"]


def fill(workspace: Path) -> None:
    """Bring in what other tools wrote."""
    shutil.copytree(DATA, workspace / "results")


def counts(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["totals"] if "totals" in report else report["summary"]
    return found


def test_the_image_runs_and_says_its_version(engine: Engine, image: str):
    assert engine.check("run", "--rm", image, "--version").strip().endswith(__version__)


def test_the_action_reports_what_the_same_command_reports_outside(runner: Runner, tmp_path: Path):
    fill(runner.workspace)
    done = runner.run(inputs={"results": "\n".join(PATTERNS), "fail-on": "failures", "strict": ""})
    outside = tmp_path / "outside"
    outside.mkdir()
    fill(outside)
    expected = run_cli("report", *PATTERNS, "--fail-on", "failures", cwd=outside)
    assert done.returncode == expected.returncode != 0, done.stderr
    there = json.loads((outside / "distributed_test_results/report.json").read_text())
    here = runner.report()
    assert counts(here) == counts(there)
    assert here["context"]["platform"] == "github"
    assert here["context"]["repository"] == "example/shop"
    written = {path.name for path in (runner.workspace / "distributed_test_results").iterdir()}
    assert {"report.html", "report.json", "report.md", "report.xml", "report.ctrf.json", "history.sqlite"} <= written


def test_the_next_step_gets_outputs_and_people_a_summary(runner: Runner):
    fill(runner.workspace)
    done = runner.run(inputs={"results": "results/jest-junit.xml"})
    assert done.returncode == 0, done.stderr
    outputs = (runner.folder / "file_commands/set_output_1").read_text(encoding="utf-8")
    assert re.search(r"^conclusion<<(\S+)\nfailure\n\1$", outputs, re.MULTILINE)
    assert "badge" in (runner.folder / "file_commands/step_summary_1").read_text(encoding="utf-8")


def test_a_second_run_remembers_the_first(runner: Runner):
    fill(runner.workspace)
    first = runner.run(inputs={"results": ",".join(PATTERNS)})
    second = runner.run("history", "runs", "--json")
    assert first.returncode == 0, first.stderr
    assert len(json.loads(second.stdout)) == 1


def test_a_misspelt_input_ends_with_2_and_sends_nothing(runner: Runner):
    done = runner.run(inputs={"fial-on": "never"})
    assert done.returncode == 2
    assert "input fial-on: there is no such option; did you mean fail-on?" in done.stderr
    assert not (runner.workspace / "distributed_test_results").exists()


@pytest.mark.parametrize("user", ["0:0", "12345:54321"])
def test_any_user_on_a_read_only_root_without_a_home_gets_reports(runner: Runner, user: str):
    fill(runner.workspace)
    runner.options = ["--user", user, "--read-only", "--read-only-tmpfs=false", "--unsetenv", "HOME"]
    runner.variables = {name: value for name, value in runner.variables.items() if name != "HOME"}
    done = runner.run("report", *PATTERNS)
    assert done.returncode == 0, done.stderr
    assert counts(runner.report())
    owners = {path.stat().st_uid for path in (runner.workspace / "distributed_test_results").iterdir()}
    assert owners == {int(user.split(":")[0])}


def test_git_answers_in_a_workspace_that_belongs_to_somebody_else(runner: Runner):
    git = ["git", "-C", str(runner.workspace), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "topic"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    sha = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*as_root(), "chown", "-R", "12345:54321", str(runner.workspace)], check=True)
    runner.variables = {}
    done = runner.run("detect", "--json")
    assert done.returncode == 0, done.stderr
    assert sha in done.stdout
    assert "topic" in done.stdout


def test_a_job_that_overrides_the_entry_point_finds_the_command(engine: Engine, image: str):
    done = engine.run("run", "--rm", "--entrypoint", "", image, "sh", "-c", "ci-bridge --version")
    assert done.stdout.strip().endswith(__version__), done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_job_ends_at_once_and_leaves_nothing_half_written(runner: Runner, number: signal.Signals):
    case = '<testcase classname="com.example.ShopTest" name="test_{0}" time="0.1"/>\n'
    with (runner.workspace / "many.xml").open("w") as stream:
        stream.write('<testsuite name="many">\n')
        stream.writelines(case.format(index) for index in range(1_000_000))
        stream.write("</testsuite>\n")
    runner.options = ["--name", f"stopped-{number}"]
    process = subprocess.Popen(runner.command("report", "many.xml"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(2.5)
    assert process.poll() is None
    runner.engine.check("kill", "--signal", str(int(number)), f"stopped-{number}")
    start = time.monotonic()
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - start < 2.5  # what a runner grants after SIGTERM
    assert process.returncode == 128 + number, output.decode()
    folder = runner.workspace / "distributed_test_results"
    left = {path.name for path in folder.rglob("*")} if folder.exists() else set()
    # Whole files: whose folder it is, and which run the other steps of the job belong to.
    assert left <= {".ci-bridge", ".gitignore", "current-run.json"}


def test_the_image_holds_what_it_should_and_no_installer(engine: Engine, image: str):
    script = """
        import click.core, importlib.util, json, os, shutil, ci_bridge.cli, ci_bridge.formats.junit
        assert importlib.util.find_spec("pip") is None and shutil.which("pip") is None
        assert importlib.util.find_spec("pytest") is None
        assert os.getuid() == 0 and shutil.which("git")
        for name in ("github", "gitlab", "jenkinsapi", "azure.devops", "apprise", "boto3", "psycopg", "lxml"):
            assert importlib.util.find_spec(name), name
        for module in (ci_bridge.cli, ci_bridge.formats.junit, click.core, json, shutil):
            assert module.__cached__ and os.path.exists(module.__cached__), module
    """
    code = textwrap.dedent(script)
    engine.check("run", "--rm", "--entrypoint", "/opt/ci-bridge/bin/python", image, "-W", "ignore", "-c", code)
    facts = json.loads(engine.check("image", "inspect", image))[0]
    assert facts["Size"] < 270_000_000
    assert facts["Config"]["Entrypoint"][0] == "/opt/ci-bridge/bin/python"
    assert not facts["Config"].get("User")


def test_what_was_left_out_of_the_image_is_missed_by_nothing(engine: Engine, image: str):
    script = """
        import apprise, azure.devops.connection, boto3, github, gitlab, jenkinsapi.jenkins, lxml.etree, psycopg
        secrets = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
        s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:9", **secrets)
        assert s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})
        assert apprise.Apprise().add("json://127.0.0.1:9/")
        clients = azure.devops.connection.Connection("http://127.0.0.1:9").clients_v7_1
        for name in ("get_build_client", "get_core_client", "get_git_client", "get_test_client"):
            assert callable(getattr(clients, name))
        import azure.devops.v7_1.build.build_client, azure.devops.v7_1.git.git_client
        import azure.devops.v7_1.test.test_client
    """
    engine.check(
        "run", "--rm", "--env", "HOME=/tmp", "--entrypoint", "/opt/ci-bridge/bin/python", image,
        "-W", "ignore", "-c", textwrap.dedent(script),
    )  # fmt: skip


def test_starting_the_image_costs_little(engine: Engine, image: str):
    def seconds(*arguments: str) -> float:
        start = time.monotonic()
        engine.check("run", "--rm", image, *arguments)
        return time.monotonic() - start

    bare = min(seconds("--version") for _ in range(3))
    assert bare < 3
