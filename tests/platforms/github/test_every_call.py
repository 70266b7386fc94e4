"""Whichever call of a report goes wrong, and in whichever way: it costs its own channel at most.

Each fault is tried at every single call that the report makes, of the API, of the artifact service and of the blob
store, by the command line and over a real history of the default branch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ci_bridge.cli import main
from tests.fakes.clients import Clock
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment
from tests.fakes.server import FakeServer, Fault, Response, failing, reset, too_many, truncated
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_delivery import report, results, track


def refused(status: int, message: str) -> Callable[..., Fault]:
    """An answer of the API without any reason of ours."""
    body = {"message": message, "documentation_url": "https://docs.github.com/rest"}
    return lambda **rule: Fault(str(status), Response.json(status, body), **rule)


FAULTS: dict[str, Callable[..., Fault]] = {
    "500 thrice": lambda **rule: failing(500, times=3, **rule),
    "reset": reset,
    "reset after it was done": lambda **rule: reset(committed=True, **rule),
    "401": refused(401, "Bad credentials"),
    "403": refused(403, "Resource not accessible by integration"),
    "truncated": truncated,
}
SLOW_FAULTS: dict[str, Callable[..., Fault]] = {
    "429 for 50 s": lambda **rule: too_many("50", times=2, **rule),
    "502 for ever": lambda **rule: failing(502, times=None, **rule),
}
FLAGS = (
    "--result-format",
    "json,html",
    "--retry-delay-seconds",
    "0",
    "--detailed-logging",
    "true",
    "--fail-on",
    "failures",
)
LOCAL = {"files", "outputs", "summary"}
LOST_WITH = {"run": {"run", "annotations"}}  # annotations hang on the run


@dataclass
class Seen:
    """What one report left behind."""

    code: int
    said: str
    states: dict[str, str]


class Stage:
    """GitHub with a history of the default branch; each report begins from there."""

    def __init__(self, github: FakeGitHub, folder: Path) -> None:
        self.github, self.folder = github, folder
        for number in range(2):  # the first makes the base, the second a segment that it does not cover
            work = folder / f"main-{number}"
            work.mkdir()
            report(open_job(github, folder, "push"), work)
        self.artifacts = len(github.artifacts)
        self.jobs = 0

    def job(self) -> Path:
        """A fresh folder, and everything as it was but for who has been here."""
        repository = self.github.repository
        for things in (repository.comments, repository.check_runs, repository.statuses):
            things.clear()
        del repository.artifacts[self.artifacts :]
        self.github.limit.used = 0
        for server in self.github.servers:
            server.log.clear()
            server.faults.clear()
        self.jobs += 1
        folder = self.folder / f"run-{self.jobs}"
        folder.mkdir()
        return folder


@pytest.fixture
def stage(github: FakeGitHub, tmp_path: Path) -> Iterator[Stage]:
    level = logging.getLogger("ci_bridge").level
    yield Stage(github, tmp_path)
    logging.getLogger("ci_bridge").setLevel(level)


Command = Callable[..., Seen]


@pytest.fixture
def by_command(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(failures: int, at: FakeServer | None = None, fault: Fault | None = None) -> Seen:
        folder = stage.job()
        workspace = folder / "workspace"
        env = job_environment(stage.github, folder, "pull_request")
        results(workspace, failures=failures)
        track(workspace)
        if at and fault:
            at.inject(fault)
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            patch.chdir(workspace)
            with pytest.raises(SystemExit) as ended:
                main(["report", "junit.xml", *FLAGS])
        kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        said = "".join(capsys.readouterr()) + kept.decode("utf-8", "replace")
        receipts = json.loads((workspace / "distributed_test_results" / "receipts.json").read_text())
        return Seen(int(ended.value.code or 0), said, {receipt["channel"]: receipt["state"] for receipt in receipts})

    return run


def every_call(github: FakeGitHub) -> list[tuple[FakeServer, int]]:
    """The calls of the last report, each as its server and the number there."""
    return [(server, number) for server in github.servers for number in range(len(server.log))]


@pytest.mark.parametrize("kind", [*FAULTS, "each in turn"])
def test_a_fault_at_any_call_costs_its_own_channel_at_most(stage: Stage, by_command: Command, kind: str) -> None:
    github, kinds = stage.github, [kind] if kind in FAULTS else list(FAULTS)
    failures = 2 if kind in FAULTS else 0
    whole = by_command(failures)
    assert whole.code == int(failures > 0) and set(whole.states.values()) <= {"sent", "skipped"}
    calls = every_call(github)
    assert {server.name for server, _ in calls} == {"api", "results", "blobs"} and len(calls) > 20
    for turn, (server, number) in enumerate(calls):
        name = kinds[turn % len(kinds)]
        seen = by_command(failures, server, FAULTS[name](skip=number))
        where = f"{name} at {server.name} {number} with {failures} failures: {seen.states}"
        assert any(line.fault for line in server.log), where
        assert seen.code == whole.code and seen.states.keys() == whole.states.keys(), where
        spoilt = {channel for channel, state in seen.states.items() if state not in ("sent", "skipped")}
        assert spoilt <= LOST_WITH["run"] or len(spoilt - LOCAL) == len(spoilt) == 1, where
        comments = github.comments(42)
        assert len(comments) <= 1 and (comments or "comment" in spoilt), where
        assert not [secret for secret in (*github.tokens, *github.jobs, "sig=") if secret in seen.said], where


@pytest.mark.parametrize("kind", SLOW_FAULTS)
def test_no_fault_at_any_call_is_slept_on_beyond_the_budget(stage: Stage, kind: str) -> None:
    def run(at: FakeServer | None = None, fault: Fault | None = None) -> Clock:
        clock, folder = Clock(), stage.job()
        adapter = open_job(stage.github, folder)
        if at and fault:
            at.inject(fault)
        outcome = report(adapter, folder, failures=2, clock=clock, deadline_seconds=120, result_format="json,html")
        assert outcome.exit_code == 0 and len(stage.github.comments(42)) <= 1
        return clock

    assert not run().slept
    for server, number in every_call(stage.github):
        clock = run(server, SLOW_FAULTS[kind](skip=number))
        assert sum(clock.slept) < 120, f"{kind} at {server.name} {number}: {clock.slept}"
