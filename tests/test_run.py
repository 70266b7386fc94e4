"""``ci-bridge run`` over real child processes: streams, signals, exit codes, stale results, live status."""

from __future__ import annotations

import asyncio
import html
import io
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.models import BuildContext, Credentials, RunState
from ci_bridge.platforms.github import connect, read_context
from ci_bridge.report import print_terminal
from ci_bridge.running import Command, RunOutcome, Watch, run_command
from tests.fakes.adapter import Failure, FakeAdapter
from tests.fakes.clients import PULL_REQUEST, Clock, client_over
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment

GREEN = '<testsuite name="s"><testcase classname="c" name="a" time="1"/></testsuite>'
RED = '<testsuite name="s"><testcase classname="c" name="b"><failure message="41 != 42"/></testcase></testsuite>'

Run = subprocess.CompletedProcess[bytes]


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ci_bridge", "run", *arguments]


def environment(cwd: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONWARNINGS": "error"}


def run(*arguments: str, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Run:
    return subprocess.run(
        command_line(*arguments),
        cwd=cwd,
        env={**environment(cwd), **(env or {})},
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )


def facts_of(*arguments: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    done = run("--json", *arguments, cwd=cwd)
    return done.returncode, json.loads(done.stdout)


def writes(text: str, path: str = "junit.xml", then: str = "exit 0") -> list[str]:
    return ["sh", "-c", f"printf %s {shlex.quote(text)} > {path}; {then}"]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """True while a process runs; one that only waits to be collected does not."""
    try:
        os.kill(pid, 0)
        if Path("/proc/self/stat").exists():
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
    return True


def history_of(cwd: Path, artifact_dir: str = "distributed_test_results") -> list[dict[str, Any]]:
    rows = subprocess.run(
        [sys.executable, "-m", "ci_bridge", "history", "runs", "--json", "-o", f"artifact_dir={artifact_dir}"],
        cwd=cwd, env=environment(cwd), capture_output=True, check=True,
    )  # fmt: skip
    found: list[dict[str, Any]] = json.loads(rows.stdout)
    return found


class TestStreams:
    def test_what_the_command_prints_passes_unchanged(self, tmp_path: Path) -> None:
        data = bytes(range(256)) * 3 + b"\r\n::error::x\x1b[0m no newline"
        (tmp_path / "data").write_bytes(data)
        done = run("sh", "-c", "cat data; cat data >&2", cwd=tmp_path)
        assert done.stdout == data
        assert done.stderr.startswith(data)

    def test_a_lot_of_output_passes_whole(self, tmp_path: Path) -> None:
        done = run(*("sh", "-c", 'head -c 30000000 /dev/zero; printf %s "$0" > junit.xml', GREEN), cwd=tmp_path)
        assert done.returncode == 0
        assert len(done.stdout) == 30_000_000

    def test_standard_input_is_the_commands(self, tmp_path: Path) -> None:
        assert run("cat", cwd=tmp_path, stdin=b"typed\x00in").stdout == b"typed\x00in"

    def test_with_json_the_commands_output_goes_to_stderr(self, tmp_path: Path) -> None:
        done = run("--json", *writes(GREEN, then="echo out; echo err >&2"), cwd=tmp_path)
        assert json.loads(done.stdout)["totals"]["passed"] == 1
        assert done.stderr == b"out\nerr\n"

    def test_no_shell_sees_the_arguments(self, tmp_path: Path) -> None:
        done = run("--", sys.executable, "-c", "import sys; print(sys.argv[1:])", "$(id)", "a b", "*", "", cwd=tmp_path)
        assert done.stdout == b"['$(id)', 'a b', '*', '']\n"

    def test_the_commands_own_flags_are_its_own(self, tmp_path: Path) -> None:
        assert run("echo", "--json", "--", "-h", cwd=tmp_path).stdout == b"--json -- -h\n"

    def test_the_command_works_in_the_directory_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        assert run("-C", "sub", *writes(GREEN, then="pwd"), cwd=tmp_path).stdout.strip() == bytes(tmp_path / "sub")
        assert (tmp_path / "sub" / "distributed_test_results" / "report.json").is_file()


class TestExitCodes:
    @pytest.mark.parametrize(
        ("flags", "command", "code"),
        [
            ([], writes(GREEN), 0),
            ([], writes(RED), 0),
            (["--fail-on", "failures"], writes(RED), 1),
            (["--fail-on", "failures"], writes(RED, then="exit 7"), 7),
            ([], writes(GREEN, then="exit 7"), 7),
            ([], writes(GREEN, then="kill -9 $$"), 137),
            ([], writes(GREEN, then="kill -15 $$"), 143),
            ([], ["true"], 3),
            ([], ["false"], 1),
            (["--required-channels", "files", "--artifact-dir", "/proc/ci-bridge"], writes(GREEN), 4),
            (["--required-channels", "files", "--artifact-dir", "/proc/ci-bridge"], writes(GREEN, then="exit 5"), 5),
            (["--artifact-dir", "taken"], ["touch", "ran"], 2),
            (["--artifact-dir", "here", "--results", "here/*.xml"], ["touch", "ran"], 2),
            (["--fail-on", "sometimes"], ["touch", "ran"], 2),
            (["--no-such-flag"], ["touch", "ran"], 2),
            ([], [], 2),
            ([], ["no-such-command-anywhere"], 127),
            ([], ["./data"], 126),
            ([], ["."], 126),
            ([], ["./no-interpreter"], 127),
        ],
    )
    def test_the_command_comes_first_then_the_report(
        self, tmp_path: Path, flags: list[str], command: list[str], code: int
    ) -> None:
        (tmp_path / "data").write_text("no program")
        (tmp_path / "no-interpreter").write_text("#!/no/such/interpreter\n")
        (tmp_path / "no-interpreter").chmod(0o755)
        (tmp_path / "taken").write_text("a file where the folder should be")
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / "junit.xml").write_text(GREEN)
        assert run(*flags, "--", *command, cwd=tmp_path).returncode == code
        assert not (tmp_path / "ran").exists()

    def test_a_command_that_fails_and_writes_nothing_is_an_error_in_words(self, tmp_path: Path) -> None:
        code, facts = facts_of("--", "sh", "-c", "exit 9", cwd=tmp_path)
        assert (code, facts["exit_code"], facts["state"]) == (9, 9, "error")
        assert facts["error"] == "the command exited with 9 and wrote no results"
        text = run("--", "sh", "-c", "exit 9", cwd=tmp_path).stderr.decode()
        assert "the command exited with 9 and wrote no results" in text

    def test_a_command_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        text = run("reports/*.xml", "--", "true", cwd=tmp_path).stderr.decode()
        assert "'reports/*.xml' was not found" in text and "--results" in text
        assert "cannot be executed" in run("/", cwd=tmp_path).stderr.decode()

    def test_a_failure_that_no_test_shows_is_said(self, tmp_path: Path) -> None:
        _, facts = facts_of("--", *writes(GREEN, then="exit 1"), cwd=tmp_path)
        assert facts["warnings"] == ["the command exited with 1, though none of its tests failed"]
        _, facts = facts_of("--", *writes(RED, then="exit 1"), cwd=tmp_path)
        assert facts["warnings"] == []


class TestResults:
    def test_a_file_of_an_earlier_run_does_not_count_and_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "junit.xml").write_text(RED)
        code, facts = facts_of("--", "true", cwd=tmp_path)
        assert (code, facts["totals"]["total"], facts["ignored"]) == (3, 0, ["junit.xml"])
        text = run("--", "true", cwd=tmp_path).stderr.decode()
        assert "not counted, because they lay there before the command ran: junit.xml" in text

    def test_a_file_that_was_named_outright_does_not_count_either(self, tmp_path: Path) -> None:
        (tmp_path / "junit.xml").write_text(RED)
        _, facts = facts_of("--results", "junit.xml", "--", *writes(GREEN, "other-junit.xml"), cwd=tmp_path)
        assert (facts["totals"]["total"], facts["ignored"]) == (0, ["junit.xml"])

    @pytest.mark.parametrize(
        "change",
        ["touch junit.xml", "cp -p junit.xml copy && mv copy junit.xml", "printf ' ' >> junit.xml"],
        ids=["touched", "replaced", "appended to"],
    )
    def test_a_file_that_changed_counts(self, tmp_path: Path, change: str) -> None:
        (tmp_path / "junit.xml").write_text(GREEN)
        _, facts = facts_of("--", "sh", "-c", change, cwd=tmp_path)
        assert (facts["totals"]["total"], facts["ignored"]) == (1, [])

    def test_old_and_new_files_are_told_apart_in_one_folder(self, tmp_path: Path) -> None:
        (tmp_path / "r").mkdir()
        for number in range(8):
            (tmp_path / "r" / f"[{number}] !{{a,b}}.xml").write_text(RED)
        done = run("--results", "r/*.xml", *writes(GREEN, "r/new.xml"), cwd=tmp_path)
        assert done.returncode == 0
        assert b"and 3 more" in done.stderr
        _, facts = facts_of("--results", "r/*.xml", "--", *writes(GREEN, "r/newer.xml"), cwd=tmp_path)
        assert (facts["totals"]["total"], len(facts["ignored"])) == (1, 9)

    def test_our_own_reports_are_not_taken_for_results(self, tmp_path: Path) -> None:
        for _ in range(2):
            _, facts = facts_of("--results", "**/*.xml", "--", *writes(GREEN), cwd=tmp_path)
            assert facts["totals"]["total"] == 1

    def test_a_number_that_the_command_records_is_the_runs(self, tmp_path: Path) -> None:
        record = f"{shlex.quote(sys.executable)} -m ci_bridge metric record startup 1.5 --unit s"
        _, facts = facts_of("--", *writes(GREEN, then=record), cwd=tmp_path)
        report = json.loads((tmp_path / "distributed_test_results" / "report.json").read_text())
        assert [metric["name"] for metric in report["metrics"]] == ["startup"]
        assert report["run"]["id"] == facts["run_id"]
        assert len(list((tmp_path / "distributed_test_results" / "runs").glob("*.json"))) == 1

    def test_the_history_holds_the_run_once(self, tmp_path: Path) -> None:
        run("--", *writes(RED), cwd=tmp_path)
        assert [(row["status"], row["total_tasks"]) for row in history_of(tmp_path)] == [("failure", 1)]

    @pytest.mark.parametrize("command", [["false"], ["true"], ["no-such-command-anywhere"], writes("garbage")])
    def test_a_run_without_results_is_remembered_as_an_error_with_its_end(
        self, tmp_path: Path, command: list[str]
    ) -> None:
        run("--", *command, cwd=tmp_path)
        [row] = history_of(tmp_path)
        assert (row["status"], row["total_tasks"]) == ("error", 0)
        assert row["completed_at"] >= row["created_at"]

    def test_a_run_whose_results_turn_out_to_lie_in_our_folder_ends_as_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        done = run("--artifact-dir", "here", "--", *writes(GREEN, "here/junit.xml"), cwd=tmp_path)
        assert done.returncode == 2
        [row] = history_of(tmp_path, "here")
        assert row["status"] == "error" and row["completed_at"]


class TestSignals:
    def start(self, tmp_path: Path, script: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command_line("--", "sh", "-c", script),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_reaches_the_command_and_all_it_started(self, tmp_path: Path, number: signal.Signals) -> None:
        # A shell gives what it starts in the background no SIGINT; SIGKILL after the grace reaches that too.
        process = self.start(tmp_path, "sleep 600 & echo $$ $! > pids; sleep 600; wait")
        wait_for(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(map(is_alive, pids))
        told = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 128 + number
        assert not any(map(is_alive, pids))
        assert time.monotonic() - told < 10
        assert number.name.encode() in errors and b"Traceback" not in errors

    def test_the_command_may_end_in_its_own_way(self, tmp_path: Path) -> None:
        process = self.start(tmp_path, "trap 'sleep 0.3; echo tidy; exit 3' TERM; echo go > up; sleep 600 & wait")
        wait_for((tmp_path / "up").exists)
        process.terminate()
        output, _ = process.communicate(timeout=30)
        assert (process.returncode, output) == (143, b"tidy\n")

    def test_a_command_that_does_not_listen_is_killed_in_time(self, tmp_path: Path) -> None:
        process = self.start(tmp_path, "trap '' TERM INT; echo $$ > pid; while :; do sleep 1; done")
        wait_for(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
        told = time.monotonic()
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 143
        assert 4 < time.monotonic() - told < 9
        assert not is_alive(int((tmp_path / "pid").read_text()))

    def test_a_second_signal_kills_at_once(self, tmp_path: Path) -> None:
        process = self.start(tmp_path, "trap '' TERM INT; echo $$ > pid; while :; do sleep 1; done")
        wait_for(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
        told = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 143
        assert time.monotonic() - told < 4
        wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())), 5)

    def test_a_stopped_run_is_not_left_pending(self, tmp_path: Path) -> None:
        process = self.start(tmp_path, "echo go > up; sleep 600")
        wait_for((tmp_path / "up").exists)
        process.terminate()
        process.communicate(timeout=30)
        [stored] = (tmp_path / "distributed_test_results" / "runs").glob("*.json")
        assert json.loads(stored.read_text())["state"] == "error"
        assert json.loads(stored.read_text())["status"] == "cancelled"

    def test_at_a_terminal_the_command_can_be_typed_to_and_interrupted(self, tmp_path: Path) -> None:
        ours, theirs = pty.openpty()
        (tmp_path / "script").write_text(
            "read line; echo \"$line\" > heard; trap 'echo int > heard; exit 0' INT\n"
            "echo > up; while :; do sleep 0.1; done\n"
        )
        at_terminal = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", f"{at_terminal}; os.execv(sys.argv[1], sys.argv[1:])"),
                *command_line("--", "sh", "script"),
            ],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            os.write(ours, b"hello\n")
            wait_for((tmp_path / "up").exists)
            assert (tmp_path / "heard").read_text() == "hello\n"
            os.write(ours, b"\x03")
            process.communicate(timeout=30)
            assert (tmp_path / "heard").read_text() == "int\n"
            assert process.returncode == 130
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)


class Recorder(FakeAdapter):
    """Remembers every state that a run was shown in."""

    def __init__(self) -> None:
        super().__init__(context=BuildContext("fake", commit_sha="a" * 40, branch="main"))
        self.shown: list[tuple[str, str]] = []

    def create_test_run(self, run: Any) -> Any:
        self.shown.append((str(run.state), run.text))
        return super().create_test_run(run)

    def update_test_run(self, remote_id: str, run: Any) -> Any:
        self.shown.append((str(run.state), run.text))
        return super().update_test_run(remote_id, run)


class PassingTime(Clock):
    """Real time between calls; pauses between tries take none."""

    def __call__(self) -> float:
        return time.monotonic()


def run_over(
    adapter: FakeAdapter, tmp_path: Path, words: list[str], *, context: BuildContext | None = None, **settings: Any
) -> RunOutcome:
    async def job() -> RunOutcome:
        async with client_over(adapter, tmp_path, config=settings, clock=PassingTime(), context=context) as client:
            return await run_command(client, Command(words, directory=tmp_path), workspace=tmp_path)

    return asyncio.run(job())


class TestLiveStatus:
    def test_a_run_is_pending_while_the_command_runs_and_tells_how_far_it_is(self, tmp_path: Path) -> None:
        adapter = Recorder()
        script = writes(GREEN, "a-junit.xml", f"sleep 1; printf %s {shlex.quote(RED)} > b-junit.xml; sleep 1.2; exit 1")
        outcome = run_over(adapter, tmp_path, script, update_interval=0.3)
        states = [state for state, _ in adapter.shown]
        assert states[:4] == ["pending"] * 4 and states[-1] == "failure"
        assert adapter.shown[0][1] == "Test results: running"
        assert "Test results: running for " in adapter.shown[1][1]
        texts = "\n".join(text for _, text in adapter.shown)
        assert "1 so far: 1 passed" in texts and "2 so far: 1 passed, 1 failed" in texts
        assert len({run.id for run in adapter.runs.values()}) == 1
        assert outcome.exit_code == 1 and outcome.report and outcome.report.report.state is RunState.FAILURE

    def test_a_file_that_is_being_written_is_counted_when_it_is_whole(self, tmp_path: Path) -> None:
        watch = Watch(["*.xml"], workspace=tmp_path, exclude=[], time_unit="seconds")
        (tmp_path / "a.xml").write_text(GREEN[:-12])
        assert watch.counts() == {}
        (tmp_path / "a.xml").write_text(GREEN)
        assert watch.counts()["completed"] == 1
        (tmp_path / "a.xml").write_text(GREEN + "<")
        assert watch.counts()["completed"] == 1

    @pytest.mark.parametrize(
        ("settings", "pending"),
        [
            ({"update_on_completion_only": True}, 0),
            ({"enable_status_updates": False}, 0),
            ({"update_interval": 60}, 1),
            ({}, 1),
        ],
    )
    def test_the_options_decide_what_is_shown_while_it_runs(
        self, tmp_path: Path, settings: dict[str, Any], pending: int
    ) -> None:
        adapter = Recorder()
        run_over(adapter, tmp_path, writes(GREEN, then="sleep 0.7"), **settings)
        assert [state for state, _ in adapter.shown].count("pending") == pending

    @pytest.mark.parametrize(
        ("form", "text"), [("minimal", "Test results: running"), ("basic", "Test results: running for ")]
    )
    def test_the_format_decides_how_much_is_said(self, tmp_path: Path, form: str, text: str) -> None:
        adapter = Recorder()
        run_over(adapter, tmp_path, ["sleep", "0.8"], update_interval=0.3, status_update_format=form)
        said = adapter.shown[1][1]
        assert said == text if form == "minimal" else said.startswith(text)
        assert "\n" not in said

    def test_a_command_that_fails_and_writes_nothing_ends_as_an_error_with_the_reason(self, tmp_path: Path) -> None:
        adapter = Recorder()
        run_over(adapter, tmp_path, ["sh", "-c", "exit 9"])
        state, text = adapter.shown[-1]
        assert state == "error" and "the command exited with 9 and wrote no results" in text

    def test_a_dead_platform_costs_the_command_nothing(self, tmp_path: Path) -> None:
        from ci_bridge.errors import TransientError

        adapter = Recorder()
        for name in ("create_test_run", "update_test_run", "set_status"):
            adapter.failures[name] = Failure(TransientError("HTTP 502"))
        outcome = run_over(adapter, tmp_path, writes(GREEN), update_interval=0.2)
        assert outcome.exit_code == 0 and outcome.report
        assert outcome.report.report.results.totals.passed == 1

    def test_nothing_is_shown_after_the_report(self, tmp_path: Path) -> None:
        adapter = Recorder()
        run_over(adapter, tmp_path, writes(GREEN, then="sleep 0.9"), update_interval=0.3)
        states = [state for state, _ in adapter.shown]
        assert states == sorted(states) and states[-1] == "success"


class ScriptedTime(Clock):
    """Time that passes only where somebody waits; what is to happen meanwhile happens at its second.

    Args:
        events: Second -> what happens. After the last one the command may end.
        folder: Where the command says by a file ``up`` that it has begun, and waits for a file ``go``.
    """

    def __init__(self, events: Mapping[float, Callable[[], object]], folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.began = self.now
        self.events = dict(events)

    async def sleep(self, seconds: float) -> None:
        while not (self.folder / "up").exists():
            await asyncio.sleep(0.001)
        self.now += seconds
        for moment in sorted(moment for moment in self.events if moment <= self.now - self.began):
            self.events.pop(moment)()
        if not self.events:
            (self.folder / "go").touch()
            await asyncio.Event().wait()


class TimedRecorder(Recorder):
    """Remembers what was shown of a run, and at which second."""

    def __init__(self, clock: ScriptedTime) -> None:
        super().__init__()
        self.clock = clock
        self.at: list[tuple[float, str]] = []

    def create_test_run(self, run: Any) -> Any:
        self.at.append((self.clock.now - self.clock.began, run.text))
        return super().create_test_run(run)

    def update_test_run(self, remote_id: str, run: Any) -> Any:
        self.at.append((self.clock.now - self.clock.began, run.text))
        return super().update_test_run(remote_id, run)


class TestLiveStatusByTheClock:
    def shown(
        self, tmp_path: Path, events: Mapping[float, Callable[[], object]], **settings: Any
    ) -> tuple[list[tuple[float, str]], RunOutcome]:
        """What a run shows, and when, while a command waits for these events."""
        clock = ScriptedTime(events, tmp_path)
        adapter = TimedRecorder(clock)
        waiting = Command(["sh", "-c", "touch up; while [ ! -e go ]; do sleep 0.01; done"], directory=tmp_path)

        async def job() -> RunOutcome:
            async with client_over(adapter, tmp_path, config=settings, clock=clock) as client:
                return await run_command(client, waiting, workspace=tmp_path, monotonic=clock, sleep=clock.sleep)

        outcome = asyncio.run(job())
        return adapter.at, outcome

    def write(self, path: Path, text: str) -> Callable[[], object]:
        return lambda: path.write_text(text, encoding="utf-8")

    def test_the_interval_is_the_time_between_two_updates(self, tmp_path: Path) -> None:
        at, _ = self.shown(tmp_path, {35: self.write(tmp_path / "junit.xml", GREEN)}, update_interval=10)
        assert [moment for moment, _ in at] == [0, 10, 20, 30, 40]
        (tmp_path / "go").unlink()
        at, _ = self.shown(tmp_path, {35: self.write(tmp_path / "junit.xml", RED)}, update_interval=30)
        assert [moment for moment, _ in at] == [0, 30, 60]

    @pytest.mark.parametrize(
        ("form", "texts"),
        [
            ("minimal", ["Test results: running", "Test results: running"]),
            ("basic", ["Test results: running", "Test results: running for 10 s - 1 so far: 1 passed"]),
            ("detailed", ["Test results: running", "Test results: running for 10 s - 1 so far: 1 passed"]),
        ],
    )
    def test_each_format_says_more_than_the_one_before(self, tmp_path: Path, form: str, texts: list[str]) -> None:
        events = {5.0: self.write(tmp_path / "a-junit.xml", GREEN), 15.0: self.write(tmp_path / "b-junit.xml", RED)}
        at, _ = self.shown(tmp_path, events, update_interval=10, status_update_format=form)
        assert [text.splitlines()[0] for _, text in at[:2]] == texts
        final = {"minimal": "1 failure with", "basic": "1 passed, 1 failed", "detailed": "1 passed, 1 failed · in 1"}
        assert final[form] in at[-1][1]

    @pytest.mark.parametrize(
        ("settings", "count"),
        [({"update_on_completion_only": True}, 1), ({"enable_status_updates": False}, 0)],
    )
    def test_what_is_switched_off_is_not_sent(self, tmp_path: Path, settings: dict[str, Any], count: int) -> None:
        (tmp_path / "go").touch()
        at, outcome = self.shown(tmp_path, {1: lambda: None}, update_interval=1, **settings)
        assert len(at) == count
        assert outcome.exit_code == 3

    def test_files_that_grow_vanish_or_cannot_be_read_disturb_nothing(self, tmp_path: Path) -> None:
        growing = tmp_path / "r" / "junit.xml"
        growing.parent.mkdir()
        events: dict[float, Callable[[], object]] = {
            5: self.write(growing, GREEN[:20]),
            15: self.write(growing, GREEN[:-12]),
            25: growing.unlink,
            35: growing.mkdir,
            45: growing.rmdir,
            55: self.write(growing, GREEN),
            65: self.write(growing, GREEN + RED),  # broken again, and so is the end
            75: self.write(growing, RED),
        }
        at, outcome = self.shown(tmp_path, events, update_interval=10)
        assert [moment for moment, _ in at][:9] == [0, 10, 20, 30, 40, 50, 60, 70, 80][: len(at)]
        counted = ["so far" in text for _, text in at]
        assert counted == [False] * 6 + [True, True, False]
        assert at[6][1].endswith("for 1m 00s - 1 so far: 1 passed") and "1 failure" in at[8][1]
        assert outcome.report and outcome.report.report.state is RunState.FAILURE
        assert outcome.report.report.results.totals.red == 1


ENDINGS = [
    ("exit 9", "the command exited with 9 and wrote no results"),
    ("kill -9 $$", "the command was ended by SIGKILL (9), perhaps out of memory, and wrote no results"),
    ("kill -15 $$", "the command was ended by SIGTERM (15) and wrote no results"),
    ("exit 137", "the command exited with 137, as after SIGKILL (9), perhaps out of memory, and wrote no results"),
    ("exit 124", "the command exited with 124, perhaps because its time was up, and wrote no results"),
    ("exit 255", "the command exited with 255 and wrote no results"),
    ("echo '<testsuite' > junit.xml; exit 3", "the command exited with 3 and wrote no readable results"),
]


class TestNoResults:
    @pytest.mark.parametrize(("script", "text"), ENDINGS)
    def test_every_channel_says_the_same_of_a_command_that_wrote_none(
        self, tmp_path: Path, script: str, text: str
    ) -> None:
        adapter = FakeAdapter(context=PULL_REQUEST)
        outcome = run_over(adapter, tmp_path, ["sh", "-c", script], context=PULL_REQUEST)
        assert outcome.report and outcome.problem == text
        capital = text[0].upper() + text[1:]
        [comment] = adapter.comments["42"]
        assert f"### ⚠️ {capital}" in comment.body
        assert f"## ⚠️ {capital}" in adapter.summaries[-1]
        [run] = adapter.runs.values()
        assert run.state is RunState.ERROR and run.text.startswith(text) and run.title.startswith(text)
        assert (adapter.outputs["conclusion"], adapter.outputs["total"]) == ("error", "0")
        shown = io.StringIO()
        print_terminal(outcome.report.report, stream=shown, console_width=200)
        assert shown.getvalue().strip().splitlines()[-1].startswith(f"! {text}")
        assert capital in html.unescape(outcome.report.files["html"].read_text(encoding="utf-8"))

    @pytest.mark.parametrize(
        ("words", "text"),
        [(["no-such-command"], "the command was not found"), (["/"], "the command cannot be executed")],
    )
    def test_so_it_is_for_a_command_that_did_not_start(self, tmp_path: Path, words: list[str], text: str) -> None:
        adapter = FakeAdapter(context=PULL_REQUEST)
        outcome = run_over(adapter, tmp_path, words, context=PULL_REQUEST)
        assert f"T{text[1:]} and wrote no results" in adapter.comments["42"][0].body
        assert repr(words[0]) in outcome.problem

    def test_a_command_that_was_killed_halfway_is_never_green(self, tmp_path: Path) -> None:
        adapter = FakeAdapter(context=PULL_REQUEST)
        outcome = run_over(adapter, tmp_path, writes(GREEN, then="kill -9 $$"), context=PULL_REQUEST)
        text = "ended by SIGKILL (9), perhaps out of memory, though none of its tests failed · 1 test passed"
        assert f"### ⚠️ The command was {text}" in adapter.comments["42"][0].body
        assert adapter.outputs["conclusion"] == "error" and outcome.exit_code == 137

    def test_failing_tests_are_why_a_command_fails_and_nothing_else_is_said(self, tmp_path: Path) -> None:
        adapter = FakeAdapter(context=PULL_REQUEST)
        run_over(adapter, tmp_path, writes(RED, then="exit 1"), context=PULL_REQUEST)
        assert "exited" not in adapter.comments["42"][0].body and adapter.outputs["conclusion"] == "failure"

    def test_files_of_an_earlier_run_are_named_where_there_are_no_others(self, tmp_path: Path) -> None:
        (tmp_path / "old-junit.xml").write_text(GREEN)
        adapter = FakeAdapter(context=PULL_REQUEST)
        run_over(adapter, tmp_path, ["false"], context=PULL_REQUEST)
        assert "lay there before the command ran" in html.unescape(adapter.comments["42"][0].body)
        run_over(adapter, tmp_path, writes(GREEN, "new-junit.xml"), context=PULL_REQUEST)
        assert "lay there" not in adapter.comments["42"][0].body

    def test_a_report_that_cannot_be_made_leaves_no_run_behind_that_seems_to_go_on(self, tmp_path: Path) -> None:
        adapter = FakeAdapter(context=PULL_REQUEST)
        (tmp_path / "list").write_text("x")
        outcome = run_over(adapter, tmp_path, ["true"], context=PULL_REQUEST, results="list/../../*.xml")
        assert outcome.report is None or outcome.error is None
        [run] = adapter.runs.values()
        assert run.state is RunState.ERROR or run.state is RunState.NO_RESULTS


class TestOnGitHub:
    def run_in_a_job(self, github: FakeGitHub, tmp_path: Path, words: list[str], **settings: Any) -> RunOutcome:
        env = job_environment(github, tmp_path, "pull_request")
        context = read_context(env)
        adapter = connect(env, Credentials(directory=tmp_path / "distributed_test_results"))

        async def job() -> RunOutcome:
            async with client_over(
                adapter, tmp_path, context=context, config=settings, env=env, clock=PassingTime()
            ) as client:
                return await run_command(client, Command(words, directory=tmp_path), workspace=tmp_path)

        return asyncio.run(job())

    def test_one_check_run_begins_with_the_command_and_ends_with_the_report(
        self, github: FakeGitHub, tmp_path: Path
    ) -> None:
        self.run_in_a_job(github, tmp_path, writes(GREEN, then="sleep 1.2"), update_interval=0.4)
        [check] = github.check_runs
        assert (check.status, check.conclusion) == ("completed", "success")
        sent = [json.loads(request.body) for request in github.api.requests("", "/check-runs") if request.body]
        assert [facts["status"] for facts in sent[:2]] == ["in_progress", "in_progress"]
        assert "1 so far: 1 passed" in sent[1]["output"]["summary"] + sent[2]["output"]["summary"]

    def test_a_command_that_wrote_nothing_leaves_a_failed_check_with_the_reason(
        self, github: FakeGitHub, tmp_path: Path
    ) -> None:
        outcome = self.run_in_a_job(github, tmp_path, ["sh", "-c", "exit 9"])
        assert outcome.exit_code == 9
        [check] = github.check_runs
        assert (check.status, check.conclusion) == ("completed", "failure")
        assert "the command exited with 9 and wrote no results" in (check.summary or "")
