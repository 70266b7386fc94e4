"""The command line as a process: what it prints where, how it exits, how it stops."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from ci_bridge.cli import main

GREEN = '<testsuite name="s"><testcase classname="c" name="a" time="1"/></testsuite>'
RED = '<testsuite name="s"><testcase classname="c" name="b"><failure message="41 != 42"/></testcase></testsuite>'

Run = subprocess.CompletedProcess[str]


def cli(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None, stdin: str = "", **options: Any) -> Run:
    """Run ci-bridge with nothing in its environment but what the test names."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONWARNINGS": "error", **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "ci_bridge", *arguments],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def make_commit(folder: Path) -> None:
    for words in ("init -q", "-c user.name=a -c user.email=a@b.example commit -q --allow-empty -m x"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)


def commands(group: click.Group = main, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command by its words."""
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        path = (*prefix, name)
        found += commands(command, path) if isinstance(command, click.Group) else [path]
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "green.xml").write_text(GREEN)
    (tmp_path / "red.xml").write_text(RED)
    return tmp_path


class TestHelp:
    @pytest.mark.parametrize("command", [(), *commands()], ids=" ".join)
    def test_every_command_shows_help_that_ends_with_an_example(
        self, workspace: Path, command: tuple[str, ...]
    ) -> None:
        done = cli(*command, "--help", cwd=workspace)
        assert done.returncode == 0
        assert re.search(r"Example:\n\s+ci-bridge ", done.stdout)
        assert all(len(line) <= 100 for line in done.stdout.splitlines())

    @pytest.mark.parametrize("command", commands(), ids=" ".join)
    def test_the_example_runs(self, workspace: Path, command: tuple[str, ...]) -> None:
        text = cli(*command, "--help", cwd=workspace).stdout
        example = re.search(r"Example:\n\s+ci-bridge (.+)", text)
        assert example
        (workspace / "reports").mkdir()
        (workspace / "reports" / "junit.xml").write_text(GREEN)
        (workspace / "README.md").write_text("# Read me")
        (workspace / "Makefile").write_text("test:\n\ttouch reports/junit.xml\n")
        preparations: dict[tuple[str, ...], tuple[str, ...]] = {
            ("artifact", "download"): ("artifact", "upload", "README.md", "--name", "Read me"),
            ("history", "check"): ("report", "green.xml"),
            ("publish",): ("collect", "green.xml"),
        }
        if command == ("publish",):  # what is published belongs to a commit
            make_commit(workspace)
        if prepared := preparations.get(command):
            assert cli(*prepared, cwd=workspace).returncode == 0
        done = cli(*shlex.split(example[1]), cwd=workspace)
        assert done.returncode == 0, done.stderr

    def test_every_available_option_is_a_flag_of_report(self, workspace: Path) -> None:
        from ci_bridge.config import NOT_YET, options

        text = cli("report", "--help", cwd=workspace).stdout
        for option in options():
            shown = f"--{option.name.replace('_', '-')} " in text
            missing = option.name in NOT_YET and not NOT_YET[option.name].values
            assert shown is not (option.secret or missing), option.name

    def test_version(self, workspace: Path) -> None:
        assert re.fullmatch(r"ci-bridge, version \d+\.\d+\.\d+\n", cli("--version", cwd=workspace).stdout)


class TestReport:
    def test_the_verdict_goes_to_stderr_and_stdout_stays_empty(self, workspace: Path) -> None:
        done = cli("report", "red.xml", cwd=workspace)
        assert (done.returncode, done.stdout) == (0, "")
        assert "41 != 42" in done.stderr and "report.html" in done.stderr
        assert max(map(len, done.stderr.splitlines())) <= 80

    def test_json_goes_to_stdout_alone(self, workspace: Path) -> None:
        done = cli("report", "red.xml", "--json", cwd=workspace)
        facts = json.loads(done.stdout)
        assert done.stderr == ""
        assert facts["totals"]["failed"] == 1 and facts["state"] == "failure" and facts["exit_code"] == 0
        assert Path(facts["files"]["html"]).is_file()
        assert {receipt["channel"] for receipt in facts["receipts"]} >= {"files", "summary", "run", "history"}

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["green.xml"], 0),
            (["red.xml", "--fail-on", "failures"], 1),
            (["red.xml", "-o", "fail_on=failures"], 1),
            (["red.xml", "--fail-on", "failure"], 2),
            (["red.xml", "--no-such-flag"], 2),
            (["red.xml", "-o", "fail_on"], 2),
            (["none.xml"], 3),
            (["*.nothing"], 3),
        ],
    )
    def test_exit_codes(self, workspace: Path, arguments: list[str], code: int) -> None:
        assert cli("report", *arguments, cwd=workspace).returncode == code

    def test_without_a_glob_the_usual_places_are_searched(self, workspace: Path) -> None:
        (workspace / "build" / "test-results").mkdir(parents=True)
        (workspace / "build" / "test-results" / "x.xml").write_text(GREEN)
        facts = json.loads(cli("report", "--json", cwd=workspace).stdout)
        assert facts["totals"]["total"] == 1

    def test_a_misspelt_option_is_answered_with_the_nearest(self, workspace: Path) -> None:
        done = cli("report", "red.xml", "-o", "fail_onn=failures", cwd=workspace)
        assert done.returncode == 2 and "fail_on" in done.stderr
        assert not (workspace / "distributed_test_results").exists()

    def test_no_colour_where_nobody_looks(self, workspace: Path) -> None:
        assert "\x1b" not in cli("report", "red.xml", cwd=workspace).stderr

    def test_log_commands_in_names_are_broken(self, workspace: Path) -> None:
        name = "::error::x&#10;::set-output name=a::b ##[error]y ##vso[task.complete result=Failed;] ##teamcity[x]"
        (workspace / "red.xml").write_text(RED.replace('name="b"', f'name="{name}"'))
        done = cli("report", "red.xml", cwd=workspace)
        for line in done.stderr.splitlines():
            assert not line.lstrip().startswith("::")
            assert "##[" not in line and "##vso[" not in line and "##teamcity[" not in line

    def test_a_foreign_platform_delivers_as_local_and_says_so(self, workspace: Path) -> None:
        env = {"GITLAB_CI": "true", "CI_COMMIT_SHA": "a" * 40, "CI_PROJECT_PATH": "acme/shop"}
        facts = json.loads(cli("report", "red.xml", "--json", cwd=workspace, env=env).stdout)
        reasons = {receipt["channel"]: receipt for receipt in facts["receipts"]}
        assert reasons["run"]["state"] == "degraded"
        assert "GitLab" in reasons["run"]["reason"] and "not in this version" in reasons["run"]["reason"].replace(
            "no adapter in this version", "not in this version"
        )

    @pytest.mark.parametrize(
        "arguments", [["report", "red.xml"], ["report", "red.xml", "--json"], ["config"], ["detect"]]
    )
    @pytest.mark.parametrize("logging", ["true", "false"])
    def test_no_secret_reaches_any_output(self, workspace: Path, arguments: list[str], logging: str) -> None:
        secret = "correct-horse-" + "battery-staple"
        (workspace / "red.xml").write_text(RED.replace("41 != 42", f"token {secret}"))
        env = {"DEPLOY_TOKEN": secret, "CI_BRIDGE_DETAILED_LOGGING": logging}
        done = cli(*arguments, cwd=workspace, env=env)
        assert secret not in done.stdout + done.stderr
        for path in workspace.glob("distributed_test_results/**/*"):
            if path.is_file():
                data = path.read_bytes()
                if path.suffix == ".gz":
                    import gzip

                    data = gzip.decompress(data)
                assert secret.encode() not in data, path


class TestOtherCommands:
    def test_detect_says_where_each_fact_came_from(self, workspace: Path) -> None:
        env = {"TRAVIS": "true", "TRAVIS_REPO_SLUG": "acme/shop", "TRAVIS_PULL_REQUEST": "false"}
        text = cli("detect", cwd=workspace, env=env).stdout
        assert re.search(r"^repository\s+acme/shop\s+TRAVIS_REPO_SLUG$", text, re.MULTILINE)
        facts = json.loads(cli("detect", "--json", cwd=workspace, env=env).stdout)
        assert facts["platform"] == "travis" and facts["delivers_as"] == "local"
        assert facts["origins"]["repository"] == "TRAVIS_REPO_SLUG"

    def test_config_shows_value_and_origin_and_no_secret(self, workspace: Path) -> None:
        (workspace / "ci-bridge.toml").write_text('fail_on = "errors"\n')
        done = cli("config", "--json", cwd=workspace, env={"CI_BRIDGE_MAX_RETRIES": "5"})
        facts = json.loads(done.stdout)
        assert facts["max_retries"] == {"value": 5, "origin": "CI_BRIDGE_MAX_RETRIES"}
        assert facts["fail_on"]["value"] == "errors" and "ci-bridge.toml" in facts["fail_on"]["origin"]

    def test_comment_reads_a_file_or_stdin(self, workspace: Path) -> None:
        assert cli("comment", "--pr", "7", "--file", "-", cwd=workspace, stdin="**hello**").returncode == 0
        [path] = (workspace / "distributed_test_results/comments/pr-7").glob("*.md")
        assert path.read_text().endswith("**hello**")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["comment", "text"], "--pr"),
            (["comment", "--pr", "x", "text"], "pr_number"),
            (["comment", "--pr", "7"], "--file"),
            (["status", "success"], "--sha"),
            (["status", "green"], "success"),
            (["metric", "record", "x", "nan"], "finite"),
            (["metric", "trend", "x", "--grouping", "moon"], "branch"),
            (["artifact", "upload", "a", "--category", "moon"], "artifact_categories"),
        ],
    )
    def test_bad_usage_is_code_2_and_says_what_to_do(self, workspace: Path, arguments: list[str], message: str) -> None:
        done = cli(*arguments, cwd=workspace)
        assert done.returncode == 2 and message in done.stderr

    def test_artifacts_go_up_and_come_back(self, workspace: Path) -> None:
        assert cli("artifact", "upload", "green.xml", "--name", "../../evil", cwd=workspace).returncode == 0
        [listed] = json.loads(cli("artifact", "list", "--json", cwd=workspace).stdout)
        assert (listed["name"], listed["category"]) == ("../../evil", "reports")
        assert cli("artifact", "download", "../../evil", cwd=workspace).returncode == 0
        assert (workspace / "evil").read_text() == GREEN
        assert cli("artifact", "download", "absent", cwd=workspace).returncode == 4

    def test_metrics_are_recorded_shown_and_analysed(self, workspace: Path) -> None:
        for value in ("1.0", "2.0", "3.0"):
            assert cli("metric", "record", "startup", value, "--unit", "s", cwd=workspace).returncode == 0
        rows = json.loads(cli("metric", "show", "startup", "--json", cwd=workspace).stdout)
        assert sorted(row["metric_value"] for row in rows) == [1.0, 2.0, 3.0]
        trend = json.loads(cli("metric", "trend", "startup", "--json", cwd=workspace).stdout)
        assert (trend["overall"]["count"], trend["overall"]["avg"], trend["unit"]) == (3, 2.0, "s")

    def test_the_history_is_listed_checked_and_pruned(self, workspace: Path) -> None:
        cli("report", "red.xml", cwd=workspace)
        cli("report", "green.xml", cwd=workspace)
        rows = json.loads(cli("history", "runs", "--json", cwd=workspace).stdout)
        assert [row["failed_tasks"] for row in rows] == [0, 1]
        assert "red" not in cli("history", "runs", cwd=workspace).stderr
        tests = json.loads(cli("history", "tests", "b", "--json", cwd=workspace).stdout)
        assert len(tests) == 1
        path = workspace / "distributed_test_results" / "history.sqlite"
        assert json.loads(cli("history", "check", "--json", cwd=workspace).stdout)["sound"] is True
        assert json.loads(cli("history", "prune", "--json", cwd=workspace).stdout) == {"dropped_runs": 0}
        path.write_bytes(path.read_bytes()[:5000])
        assert cli("history", "check", cwd=workspace).returncode == 3

    def test_what_is_collected_is_published(self, workspace: Path) -> None:
        make_commit(workspace)
        done = cli("collect", "*.xml", "--into", "out", "--json", cwd=workspace)
        facts = json.loads(done.stdout)
        assert (done.returncode, facts["exit_code"], facts["totals"]["total"]) == (0, 0, 2)
        assert Path(facts["bundle"]).parent == workspace / "out" and facts["receipt"]["delivered"]
        assert not (workspace / "distributed_test_results" / "report.json").exists()
        published = cli("publish", facts["bundle"], "--json", "--fail-on", "failures", cwd=workspace)
        outcome = json.loads(published.stdout)
        assert (published.returncode, outcome["totals"]["failed"], outcome["state"]) == (1, 1, "failure")
        assert "already failing" in cli("publish", "out", cwd=workspace).stderr

    def test_collecting_or_publishing_nothing_is_code_3(self, workspace: Path) -> None:
        assert cli("collect", "none.xml", cwd=workspace).returncode == 3
        make_commit(workspace)
        (workspace / "x.cibundle").write_text("no bundle")
        done = cli("publish", "x.cibundle", cwd=workspace)
        assert done.returncode == 3 and "no sound bundle" in done.stderr

    def test_nothing_recorded_yet_is_said(self, workspace: Path) -> None:
        done = cli("history", "runs", cwd=workspace)
        assert done.returncode == 0 and "nothing recorded yet" in done.stderr

    def test_errors_are_json_too_where_asked(self, workspace: Path) -> None:
        done = cli("config", "--json", "-o", "fail_on=sometimes", cwd=workspace)
        facts = json.loads(done.stdout)
        assert facts["exit_code"] == 2 and "sometimes" in facts["error"]


class TestFaults:
    def test_a_full_disk_is_said_and_leaves_nothing_half_written(self, workspace: Path) -> None:
        cli("report", "green.xml", cwd=workspace)
        folder = workspace / "distributed_test_results"
        before = {path.name: path.read_bytes() for path in folder.glob("*.sqlite")}

        def small_disk() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        done = cli("report", "red.xml", "--json", cwd=workspace, preexec_fn=small_disk)
        receipts = {receipt["channel"]: receipt for receipt in json.loads(done.stdout)["receipts"]}
        assert receipts["files"]["state"] == "failed" and receipts["history"]["state"] == "failed"
        assert "large" in receipts["files"]["reason"] or "space" in receipts["files"]["reason"]
        assert done.returncode == 0
        assert {path.name: path.read_bytes() for path in folder.glob("*.sqlite")} == before
        assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp") or ".new-" in path.name]
        assert cli("history", "check", cwd=workspace).returncode == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_in_the_middle_stops_at_once(self, tmp_path: Path, number: signal.Signals) -> None:
        case = '<testcase classname="tests.test_module" name="test_case_{}" time="0.001"/>\n'
        for part in range(30):
            body = "".join(case.format(f"{part}_{index}") for index in range(20_000))
            (tmp_path / f"r{part}.xml").write_text(f"<testsuite>{body}</testsuite>")
        process = subprocess.Popen(
            [sys.executable, "-m", "ci_bridge", "report", "*.xml"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        folder = tmp_path / "distributed_test_results"
        limit = time.monotonic() + 60
        while not folder.exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(number)
        told = time.monotonic()
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 128 + number
        assert time.monotonic() - told < 10
        assert number.name in errors and "Traceback" not in errors
        assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp") or ".new-" in path.name]
        assert not list(folder.glob("report.*"))

    def test_stdout_that_is_closed_early_is_no_crash(self, workspace: Path) -> None:
        command = f"{shlex.quote(sys.executable)} -m ci_bridge config | head -1"
        done = subprocess.run(["bash", "-c", command], cwd=workspace, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr


class TestStartUp:
    SDKS = ("github", "gitlab", "jenkinsapi", "azure", "requests", "jinja2", "rich", "sqlite_utils", "sqlite3", "lxml")

    @pytest.mark.parametrize("arguments", [["--version"], ["detect"], ["config"]])
    def test_no_sdk_is_imported(self, workspace: Path, arguments: list[str]) -> None:
        code = (
            "import sys\nfrom ci_bridge.cli import main\n"
            f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
            "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=workspace, capture_output=True, text=True, check=True)
        loaded = done.stderr.splitlines()[-1]
        assert [name for name in self.SDKS if f"'{name}'" in loaded] == []
