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

ROOT = Path(__file__).resolve().parent.parent
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


def on_a_terminal(*arguments: str, cwd: Path, columns: int) -> str:
    """What ci-bridge prints to a terminal of this width."""
    reader, writer = os.openpty()
    try:
        environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "COLUMNS": str(columns), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "ci_bridge", *arguments]
        subprocess.run(command, cwd=cwd, env=environment, stdout=writer, check=True, timeout=120)
        os.close(writer)
        writer = -1
        pieces = []
        try:
            while piece := os.read(reader, 65536):
                pieces.append(piece)
        except OSError:  # how Linux says that nobody writes any more
            pass
        return b"".join(pieces).decode().replace("\r\n", "\n")
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


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

    def test_a_flag_shows_its_default_its_unit_and_how_it_is_written(self, workspace: Path) -> None:
        text = " ".join(cli("report", "--help", cwd=workspace).stdout.split())
        assert "--deadline-seconds NUMBER Time budget of all deliveries together (in seconds; default 120)." in text
        assert "--results TEXT,... " in text and "--strict [true|false] " in text
        assert "--pr-comment-template default|minimal|detailed|PATH " in text

    def test_collect_shows_only_what_it_reads_and_takes_the_rest(self, workspace: Path) -> None:
        text = cli("collect", "--help", cwd=workspace).stdout
        assert "--shard " in text and "--fail-on" not in text and "--enable-pr-comments" not in text
        assert cli("collect", "green.xml", "--fail-on", "failures", cwd=workspace).returncode == 0

    def test_no_line_of_the_list_of_commands_is_cut(self, workspace: Path) -> None:
        for group in ((), ("history",), ("metric",), ("artifact",)):
            assert "..." not in cli(*group, "--help", cwd=workspace).stdout.partition("Commands:")[2]

    @pytest.mark.parametrize(
        ("arguments", "value"),
        [
            (["--strict"], True),
            (["--strict", "green.xml"], True),
            (["--strict", "--json"], True),
            (["--strict", "true"], True),
            (["--strict=false"], False),
            (["--strict", "No", "green.xml"], False),
            (["--comment-title", "--strict"], False),
            (["--", "--strict"], False),
        ],
    )
    def test_a_bare_flag_means_true_and_takes_no_file_for_its_value(self, arguments: list[str], value: bool) -> None:
        command = main.commands["report"]
        context = command.make_context("report", list(arguments))
        assert (context.params["option__strict"] or "false").lower() in (("true",) if value else ("false", "no"))
        assert context.params["results"] == tuple(a for a in arguments if a == "green.xml" or arguments[0] == "--" != a)

    def test_a_flag_of_the_command_that_is_run_is_left_alone(self) -> None:
        context = main.commands["run"].make_context("run", ["--strict", "pytest", "--strict", "x"])
        assert context.params["option__strict"] == "true"
        assert context.params["command"] == ("pytest", "--strict", "x")

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

    def test_the_usual_places_are_a_remark_only_where_all_are_empty(self, workspace: Path) -> None:
        done = cli("report", cwd=workspace)
        assert done.returncode == 3 and done.stderr.count("no test result in") == 1
        assert "ci-bridge report 'path/**/*.xml'" in done.stderr
        (workspace / "TEST-a.xml").write_text(GREEN)
        done = cli("report", cwd=workspace)
        assert done.returncode == 0 and "no test result" not in done.stderr and "hint" not in done.stderr
        assert json.loads((workspace / "distributed_test_results" / "report.json").read_text())["notes"] == []

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

    def test_a_run_is_forgotten_and_says_whether_it_was_there(self, workspace: Path) -> None:
        cli("report", "red.xml", cwd=workspace)
        cli("report", "green.xml", cwd=workspace)
        _, first = json.loads(cli("history", "runs", "--json", cwd=workspace).stdout)
        done = cli("history", "forget", first["id"], cwd=workspace)
        assert (done.returncode, done.stderr) == (0, f"run {first['id']} forgotten\n")
        rows = json.loads(cli("history", "runs", "--json", cwd=workspace).stdout)
        assert [row["failed_tasks"] for row in rows] == [0]
        facts = json.loads(cli("history", "forget", first["id"], "--json", cwd=workspace).stdout)
        assert facts == {"run": first["id"], "was_there": False}
        done = cli("history", "forget", "abc", cwd=workspace)
        assert done.returncode == 2 and "'abc' is no id of a run" in done.stderr
        assert "was not in the history" in cli("history", "forget", first["id"], cwd=workspace).stderr

    def test_a_run_with_known_failures_on_a_branch_of_a_fresh_repository_is_green(self, workspace: Path) -> None:
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=workspace, check=True)
        make_commit(workspace)
        cli("report", "red.xml", cwd=workspace)
        subprocess.run(["git", "checkout", "-q", "-b", "feature"], cwd=workspace, check=True)
        done = cli("report", "red.xml", "--fail-on", "new-failures", cwd=workspace)
        assert done.returncode == 0 and "1 already failing on main" in done.stderr

    def test_where_no_base_branch_is_known_the_next_step_is_said(self, workspace: Path) -> None:
        subprocess.run(["git", "init", "-q", "-b", "trunk"], cwd=workspace, check=True)
        make_commit(workspace)
        assert "set-head" not in cli("report", "red.xml", cwd=workspace).stderr
        subprocess.run(["git", "checkout", "-q", "-b", "feature"], cwd=workspace, check=True)
        assert "`git remote set-head origin -a`" in cli("report", "red.xml", cwd=workspace).stderr

    def test_a_name_that_is_not_there_is_answered_with_the_nearest(self, workspace: Path) -> None:
        cli("metric", "record", "startup", "1", cwd=workspace)
        done = cli("metric", "trend", "startpu", cwd=workspace)
        assert (done.stdout, done.stderr) == ("", "nothing was recorded as startpu; did you mean startup?\n")
        cli("artifact", "upload", "red.xml", "--name", "Read me", cwd=workspace)
        assert "did you mean 'Read me'?" in cli("artifact", "download", "Readme", cwd=workspace).stderr

    def test_one_file_needs_no_compacting(self, workspace: Path) -> None:
        cli("report", "green.xml", cwd=workspace)
        done = cli("history", "compact", cwd=workspace)
        assert done.returncode == 0
        assert "nothing to do" in done.stderr
        facts = json.loads(cli("history", "compact", "--json", cwd=workspace).stdout)
        assert facts == {
            "compacted": False,
            "detail": "nothing to do: the history is one file, which each save writes anew",
        }

    def test_a_folder_is_compacted_and_forgets(self, workspace: Path, tmp_path: Path) -> None:
        env = {"CI_BRIDGE_HISTORY_URL": str(tmp_path / "shared"), "CI_BRIDGE_HISTORY_SECRET": "for-tests-only"}
        cli("report", "red.xml", cwd=workspace, env=env)
        cli("report", "green.xml", cwd=workspace, env=env)

        def bases() -> int:
            return len(list((tmp_path / "shared" / "trusted").glob("ci-bridge-base~*")))

        assert bases() == 1  # the first report made it
        assert "within the hour" in cli("history", "compact", cwd=workspace, env=env).stderr
        facts = json.loads(cli("history", "compact", "--force", "--json", cwd=workspace, env=env).stdout)
        assert facts == {"compacted": True, "detail": "compacted (asked for): covers 1 more segment"}
        assert bases() == 2
        new, old = json.loads(cli("history", "runs", "--json", cwd=workspace, env=env).stdout)
        assert cli("history", "forget", old["id"], cwd=workspace, env=env).returncode == 0
        for other in (env, {**env, "CI_BRIDGE_ARTIFACT_DIR": "another"}):
            rows = json.loads(cli("history", "runs", "--json", cwd=workspace, env=other).stdout)
            assert [row["id"] for row in rows] == [new["id"]]
        forger = {**env, "CI_BRIDGE_HISTORY_SECRET": "somebody-elses"}
        done = cli("history", "runs", "--json", cwd=workspace, env=forger)
        assert json.loads(done.stdout) == []
        assert "not signed with history_secret" in done.stderr
        assert "for-tests-only" not in "".join(path.read_text("latin-1") for path in workspace.rglob("*.json"))

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
        assert done.returncode == 3 and "x.cibundle: not a sound bundle" in done.stderr
        (workspace / "empty").mkdir()
        done = cli("publish", "empty", cwd=workspace)
        assert done.returncode == 3 and "no regular file in this folder" in done.stderr

    def test_the_same_folder_may_be_named_before_and_after_the_command(self, workspace: Path) -> None:
        (workspace / "shop" / "cart").mkdir(parents=True)
        (workspace / "shop" / "cart" / "green.xml").write_text(GREEN)
        folder = workspace / "shop" / "cart" / "distributed_test_results"
        assert cli("report", "green.xml", "-C", "shop/cart", cwd=workspace).returncode == 0
        assert folder.is_dir() and not (workspace / "distributed_test_results").exists()
        for arguments in (["-C", "shop/cart", "history", "runs"], ["-C", "shop", "history", "runs", "-C", "cart"]):
            assert len(json.loads(cli(*arguments, "--json", cwd=workspace).stdout)) == 1
        (workspace / "shop" / "note.md").write_text("from the folder")
        assert cli("-C", "shop", "comment", "--pr", "7", "-f", "note.md", cwd=workspace).returncode == 0
        assert cli("-C", "absent", "config", cwd=workspace).returncode == 2

    def test_files_of_one_name_are_kept_under_their_paths(self, workspace: Path) -> None:
        for folder in ("a", "b"):
            (workspace / folder).mkdir()
            (workspace / folder / "log.txt").write_text(folder)
        assert cli("artifact", "upload", "a/log.txt", "./b/log.txt", cwd=workspace).returncode == 0
        names = {item["name"] for item in json.loads(cli("artifact", "list", "--json", cwd=workspace).stdout)}
        assert names == {"a/log.txt", "b/log.txt"}
        assert cli("artifact", "download", "b/log.txt", "got", cwd=workspace).returncode == 0
        assert (workspace / "got").read_text() == "b"

    def test_folders_with_files_of_one_name_are_kept_under_their_paths(self, workspace: Path) -> None:
        for folder in ("a", "b"):
            (workspace / folder).mkdir()
            (workspace / folder / "log.txt").write_text(folder)
        assert cli("artifact", "upload", "a", "b", "green.xml", cwd=workspace).returncode == 0
        names = {item["name"] for item in json.loads(cli("artifact", "list", "--json", cwd=workspace).stdout)}
        assert names == {"a/log.txt", "b/log.txt", "green.xml"}

    def test_one_name_for_several_files_is_refused(self, workspace: Path) -> None:
        done = cli("artifact", "upload", "green.xml", "red.xml", "--name", "x", cwd=workspace)
        assert done.returncode == 2 and "--name" in done.stderr
        assert json.loads(cli("artifact", "list", "--json", cwd=workspace).stdout) == []

    def test_an_artifact_that_is_not_there_is_said_once(self, workspace: Path) -> None:
        done = cli("artifact", "download", "nope", cwd=workspace)
        assert done.returncode == 4 and done.stderr.count("no artifact 'nope'") == 1

    @pytest.mark.parametrize("columns", [80, 140])
    def test_runs_and_tests_can_be_read_on_a_terminal(self, workspace: Path, columns: int) -> None:
        long_name = "a_name_of_" + "very_" * 10 + "many_words"
        (workspace / "red.xml").write_text(RED.replace('name="b"', f'name="{long_name}"'))
        env = {"TRAVIS": "true", "TRAVIS_BRANCH": "a-branch-" * 3, "TRAVIS_COMMIT": "abcdef0123" * 4}
        assert cli("report", "red.xml", cwd=workspace, env=env).returncode == 0
        [run] = json.loads(cli("history", "runs", "--json", cwd=workspace).stdout)
        text = on_a_terminal("history", "runs", cwd=workspace, columns=columns)
        assert max(map(len, text.splitlines())) <= columns
        assert run["id"] in text.split() and "abcdef0" in text.split() and "abcdef01" not in text
        assert f"{run['created_at'][:10]} {run['created_at'][11:16]} " in text and "a-branch-" in text
        text = on_a_terminal("history", "tests", cwd=workspace, columns=columns)
        assert max(map(len, text.splitlines())) <= columns
        assert any(line.endswith(long_name) for line in text.splitlines()) and "\x1f" not in text
        assert "identity" not in text
        assert "identity" in json.loads(cli("history", "tests", "--json", cwd=workspace).stdout)[0]

    @pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
    def test_any_name_is_printed_in_any_encoding(self, workspace: Path, encoding: str) -> None:
        (workspace / "red.xml").write_text(RED.replace('name="b"', 'name="snow ☃"'), encoding="utf-8")
        env = {"PYTHONIOENCODING": encoding}
        assert cli("report", "red.xml", cwd=workspace, env=env).returncode == 0
        done = cli("history", "tests", cwd=workspace, env=env)
        assert (done.returncode, done.stderr) == (0, "") and "snow \\u2603" in done.stdout

    def test_nothing_recorded_yet_is_said(self, workspace: Path) -> None:
        done = cli("history", "runs", cwd=workspace)
        assert done.returncode == 0 and "nothing recorded yet" in done.stderr

    def test_each_problem_of_the_configuration_is_a_line(self, workspace: Path) -> None:
        (workspace / "ci-bridge.toml").write_text('fail_on = "x"\nstrict = "y"\n')
        lines = cli("config", cwd=workspace).stderr.splitlines()
        assert len(lines) == 3 and "fail_on" in lines[1] and "strict" in lines[2]

    def test_a_wrong_flag_is_json_too_where_asked(self, workspace: Path) -> None:
        done = cli("report", "--json", "--no-such-flag", cwd=workspace)
        assert json.loads(done.stdout) == {"error": "No such option '--no-such-flag'.", "hint": "", "exit_code": 2}
        assert cli("report", "--no-such-flag", "--", "--json", cwd=workspace).stdout == ""

    def test_an_option_is_named_as_it_was_given(self, workspace: Path) -> None:
        assert "error: -o ci_system =" in cli("detect", "-o", "ci-system=x", cwd=workspace).stderr
        assert "error: --ci-system =" in cli("report", "--ci-system", "x", cwd=workspace).stderr

    def test_errors_are_json_too_where_asked(self, workspace: Path) -> None:
        done = cli("config", "--json", "-o", "fail_on=sometimes", cwd=workspace)
        facts = json.loads(done.stdout)
        assert facts["exit_code"] == 2 and "sometimes" in facts["error"]


class TestLog:
    def test_without_detailed_logging_nothing_but_warnings_is_logged(self, workspace: Path) -> None:
        assert "debug:" not in cli("report", "green.xml", cwd=workspace).stderr

    @pytest.mark.parametrize("command", [["report", "green.xml"], ["detect"], ["history", "runs"]])
    def test_detailed_logging_says_more_on_stderr_only(self, workspace: Path, command: list[str]) -> None:
        done = cli(*command, "-o", "detailed_logging=true", cwd=workspace)
        assert done.returncode == 0
        assert "debug: option detailed_logging from" in done.stderr and "debug:" not in done.stdout

    def test_a_warning_of_the_configuration_is_said_once_and_as_one(self, workspace: Path) -> None:
        (workspace / "ci-bridge.toml").write_text('fail_on = "never"\n')
        (workspace / "pyproject.toml").write_text('[tool.ci-bridge]\nfail_on = "errors"\n')
        for command in (["report", "green.xml"], ["config"], ["detect"], ["history", "runs"]):
            done = cli(*command, cwd=workspace)
            [line] = [line for line in done.stderr.splitlines() if "pyproject.toml" in line]
            assert line.startswith("warning: ")

    def test_a_warning_of_the_report_is_said_once(self, workspace: Path) -> None:
        cli("report", "green.xml", cwd=workspace)
        (workspace / "distributed_test_results" / "history.sqlite").write_bytes(b"no database")
        done = cli("report", "green.xml", cwd=workspace)
        assert done.stderr.count("warning: ") == 1
        assert "history" in done.stderr.partition("warning: ")[2].splitlines()[0]

    def test_log_lines_carry_no_secret_and_no_log_command(self) -> None:
        code = (
            "import logging, sys\nfrom ci_bridge.console import LogLines\n"
            "log = logging.getLogger('ci_bridge')\nlog.addHandler(LogLines())\nlog.setLevel('DEBUG')\n"
            "try:\n    raise OSError('correct-horse-battery')\n"
            "except OSError:\n    log.debug('a\\n::error::correct-horse-battery', exc_info=True)\n"
            "log.warning('correct-horse-battery')\nlog.warning('correct-horse-battery')\n"
        )
        env = {"PATH": os.environ["PATH"], "DEPLOY_TOKEN": "correct-horse-" + "battery"}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        lines = done.stderr.splitlines()
        assert lines[0] == "debug: a" and lines[-2:] == ["debug: OSError: ***", "warning: ***"]
        assert all(line.startswith(("debug: ", "warning: ")) for line in lines)


class TestFaults:
    def broken(self, workspace: Path, *arguments: str) -> Run:
        """Run a ci-bridge with a defect in what every report calls."""
        code = (
            "import sys, ci_bridge.client\n"
            "def report(*_, **__):\n    raise TypeError('no correct-horse-' + 'battery')\n"
            "ci_bridge.client.Client.report = report\n"
            "from ci_bridge.cli import main\nmain(sys.argv[1:])\n"
        )
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=workspace,
            env={"PATH": os.environ["PATH"], "DEPLOY_TOKEN": "correct-horse-" + "battery"},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_a_defect_is_one_line_and_no_red_test(self, workspace: Path) -> None:
        done = self.broken(workspace, "report", "red.xml", "--fail-on", "failures")
        assert (done.returncode, done.stdout) == (70, "")
        [line] = done.stderr.splitlines()
        assert line.startswith("error: a defect of ci-bridge ") and "TypeError: no ***" in line and "report it" in line

    def test_a_defect_is_said_in_json_and_traced_where_asked(self, workspace: Path) -> None:
        done = self.broken(workspace, "report", "red.xml", "--json", "--detailed-logging", "true")
        assert done.returncode == 70 and json.loads(done.stdout)["exit_code"] == 70
        assert "debug: Traceback" in done.stderr and "debug:   File" in done.stderr
        assert "correct-horse-" + "battery" not in done.stdout + done.stderr

    def test_a_defect_outside_of_a_command_is_no_red_test_either(self, workspace: Path) -> None:
        code = (
            "def enter(*_, **__):\n    raise RuntimeError('x')\n"
            "import ci_bridge.cli as cli\ncli.main.make_context = enter\ncli.main([])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=workspace, capture_output=True, text=True, check=False)
        assert done.returncode == 70 and len(done.stderr.splitlines()) == 1

    @pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&- >&- <&-"])
    @pytest.mark.parametrize(("results", "code"), [("green.xml", 0), ("red.xml", 1), ("none.xml", 3)])
    def test_a_stderr_that_takes_nothing_changes_nothing(
        self, workspace: Path, redirection: str, results: str, code: int
    ) -> None:
        command = f"{shlex.quote(sys.executable)} -m ci_bridge report {results} --fail-on failures {redirection}"
        done = subprocess.run(["bash", "-c", command], cwd=workspace, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, "")
        assert (workspace / "distributed_test_results" / "report.json").is_file()

    @pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
    @pytest.mark.parametrize("arguments", ["--help", "--version", "report -h", "history --help", "history runs --help"])
    def test_help_that_cannot_be_printed_is_said(self, workspace: Path, arguments: str, redirection: str) -> None:
        command = f"{shlex.quote(sys.executable)} -m ci_bridge {arguments} {redirection}"
        done = subprocess.run(["bash", "-c", command], cwd=workspace, capture_output=True, text=True, check=False)
        assert done.returncode == 4 and done.stderr.startswith("error: stdout: ")
        assert len(done.stderr.splitlines()) == 1

    @pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
    def test_json_that_cannot_be_printed_is_said(self, workspace: Path, redirection: str) -> None:
        command = f"{shlex.quote(sys.executable)} -m ci_bridge report green.xml --json {redirection}"
        done = subprocess.run(["bash", "-c", command], cwd=workspace, capture_output=True, text=True, check=False)
        assert done.returncode == 4 and done.stderr.startswith("error: stdout: ")
        assert len(done.stderr.splitlines()) == 1

    def test_a_reader_that_has_seen_enough_changes_no_exit_code(self, workspace: Path) -> None:
        tool = f"{shlex.quote(sys.executable)} -m ci_bridge"
        code = "echo ${PIPESTATUS[0]}"
        lines = ("report red.xml --json", "config", "--help", "report --help", "--version")
        command = "; ".join(f"{tool} {line} | true; {code}" for line in lines)
        done = subprocess.run(["bash", "-c", command], cwd=workspace, capture_output=True, text=True, check=False)
        assert (done.stdout.split(), done.stderr) == (["0"] * len(lines), "")

    @pytest.mark.parametrize("command", ["report", "config", "history runs"])
    def test_a_folder_that_is_gone_is_said(self, workspace: Path, command: str) -> None:
        tool = f"{shlex.quote(sys.executable)} -c 'from ci_bridge.cli import main; main()'"
        line = f"mkdir gone && cd gone && rmdir ../gone && {tool} {command}"
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        done = subprocess.run(["bash", "-c", line], cwd=workspace, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "error: the current folder does not exist any more" in done.stderr and "Traceback" not in done.stderr

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
