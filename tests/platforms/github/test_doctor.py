"""``ci-bridge doctor`` where GitHub is unwell, or is none: every look ends with findings and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from ci_bridge.console import print_findings
from ci_bridge.doctor import exit_code_of
from ci_bridge.protocols import Finding, Health
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD, MERGE, job_environment
from tests.fakes.server import Fault, Response, failing, moved, reset, truncated, web_page
from tests.test_doctor import look
from tests.test_http import tls_server

__all__ = ["tls_server"]  # a fixture

TOKEN_LINE = "GITHUB_TOKEN: ${{ github.token }}"


@pytest.fixture
def closed(github: FakeGitHub) -> FakeGitHub:
    """A private repository that knows its commits."""
    github.repository.private, github.repository.known = True, {HEAD, MERGE}
    return github


def answered(status: int, body: object, **rule: object) -> Fault:
    return Fault(f"{status}", Response.json(status, body), times=None, **rule)  # type: ignore[arg-type]


UNWELL: dict[str, tuple[Callable[[FakeGitHub], Fault], Health, str, str]] = {
    "limited": (lambda github: github.primary_limit(times=None), Health.UNKNOWN, "again in 60 minutes", ""),
    "secondary": (lambda github: github.secondary_limit("120", times=None), Health.UNKNOWN, "again in 2 minutes", ""),
    "by words": (lambda github: github.secondary_limit(times=None), Health.UNKNOWN, "secondary rate limit", ""),
    "502": (lambda _: failing(502, times=None), Health.PROBLEM, "HTTP 502", "HTTPS_PROXY"),
    "reset": (lambda _: reset(times=None), Health.PROBLEM, "connection failed", "HTTPS_PROXY"),
    "cut": (lambda _: truncated(times=None), Health.PROBLEM, "cannot be tried", "HTTPS_PROXY"),
    "HTML": (lambda _: web_page(times=None), Health.PROBLEM, "web page", "api_url"),
    "object": (lambda _: answered(200, {"hello": 1}), Health.PROBLEM, "not GitHub's API", "api_url"),
    "list": (lambda _: answered(200, [1]), Health.PROBLEM, "not GitHub's API", "api_url"),
    "null": (lambda _: answered(200, None), Health.PROBLEM, "not GitHub's API", "api_url"),
    "moved": (lambda _: moved("https://elsewhere.example/", times=None), Health.PROBLEM, "redirects", "api_url"),
    "SAML": (
        lambda _: answered(403, {"message": "Resource protected by organization SAML enforcement."}),
        Health.PROBLEM,
        "SAML",
        TOKEN_LINE,
    ),
    "401": (lambda _: answered(401, {"message": "Bad credentials"}), Health.PROBLEM, "GITHUB_TOKEN", TOKEN_LINE),
}


@pytest.mark.parametrize("name", UNWELL)
def test_whatever_answers_there_is_a_finding_and_few_calls(closed: FakeGitHub, tmp_path: Path, name: str) -> None:
    fault, state, text, line = UNWELL[name]
    env = job_environment(closed, tmp_path, "pull_request")
    closed.api.inject(fault(closed))
    found = look(env, tmp_path)
    token = found["Token"]
    assert (token.state, text in token.detail, line in token.line_to_add) == (state, True, True), token
    assert bool(token.line_to_add) is (state is Health.PROBLEM)
    assert found["History"].state is Health.UNKNOWN and "Check runs" not in found
    assert exit_code_of(list(found.values())) == int(state is Health.PROBLEM)
    assert len(closed.calls) <= 2


def test_an_answer_without_an_end_is_given_up_on(
    closed: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci_bridge.platforms._http.MAX_ANSWER", 1 << 20)
    closed.api.inject(Fault("huge", Response(200, b" " * (2 << 20), {"Content-Type": "application/json"}), times=None))
    found = look(job_environment(closed, tmp_path), tmp_path)
    assert found["Token"].state is Health.PROBLEM and "larger than 1 MiB" in found["Token"].detail


def test_nobody_there_is_a_problem(closed: FakeGitHub, tmp_path: Path) -> None:
    env = {**job_environment(closed, tmp_path), "GITHUB_API_URL": "http://127.0.0.1:1"}
    found = look(env, tmp_path)
    assert found["Token"].state is Health.PROBLEM and "connection failed" in found["Token"].detail


def test_a_certificate_that_is_not_trusted_names_the_variable_for_another(
    tls_server: tuple[str, Path], closed: FakeGitHub, tmp_path: Path
) -> None:
    env = {**job_environment(closed, tmp_path), "GITHUB_API_URL": tls_server[0]}
    found = look(env, tmp_path)["Token"]
    assert found.state is Health.PROBLEM and found.line_to_add.startswith("REQUESTS_CA_BUNDLE:")


@pytest.mark.parametrize("path", ["/check-runs", "/statuses/", "/comments", "/actions/artifacts"])
@pytest.mark.parametrize("fault", [failing, web_page, reset, partial(answered, 409, {"message": "no"})])
def test_an_odd_answer_is_never_taken_for_a_permission(
    closed: FakeGitHub, tmp_path: Path, path: str, fault: Callable[..., Fault]
) -> None:
    env = job_environment(closed, tmp_path, "pull_request")
    closed.api.inject(fault(path=path))
    found = look(env, tmp_path)
    titles = ("Check runs", "Commit statuses", "Comments", "History and artifacts")
    assert [found[title].state for title in titles].count(Health.UNKNOWN) == 1
    assert [found[title].state for title in titles].count(Health.OK) == 3


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (answered(410, {"message": "Issues are disabled for this repo"}, path="/comments"), "Issues are disabled"),
        (answered(403, {"message": "Unable to create comment because issue is locked."}, path="/comments"), "locked"),
    ],
)
def test_what_no_permission_helps_against_is_said_to_be_so(
    closed: FakeGitHub, tmp_path: Path, answer: Fault, text: str
) -> None:
    env = job_environment(closed, tmp_path, "pull_request")
    closed.api.inject(answer)
    found = look(env, tmp_path)["Comments"]
    assert found.state is Health.PROBLEM and text in found.detail and "no permission helps" in found.detail
    assert found.line_to_add == ""


def test_a_persons_token_gets_its_permission_where_it_was_made(closed: FakeGitHub, tmp_path: Path) -> None:
    token = closed.add_token("fine-grained", {})
    found = look(job_environment(closed, tmp_path, token=token), tmp_path)["Check runs"]
    assert "give the token itself the permission" in found.detail and found.line_to_add == "checks: write"


def test_a_person_who_may_not_push_is_told_to_use_the_jobs_own_token(closed: FakeGitHub, tmp_path: Path) -> None:
    closed.repository.private = False
    token = closed.add_token("classic", scopes=())
    found = look(job_environment(closed, tmp_path, token=token), tmp_path)["Commit statuses"]
    assert found.state is Health.PROBLEM and found.line_to_add == TOKEN_LINE


def test_an_enterprise_server_is_spoken_to_below_its_prefix(tmp_path: Path) -> None:
    github = FakeGitHub("/api/v3")
    try:
        env = {
            **job_environment(github, tmp_path, "pull_request"),
            "GITHUB_SERVER_URL": "https://git.acme.example",
        }
        found = look(env, tmp_path)
        assert found["Check runs"].state is found["Comments"].state is Health.OK
        assert found["Artifacts"].state is Health.WARNING and "Enterprise Server" in found["Artifacts"].detail
        assert found["Artifacts"].line_to_add == "- uses: actions/upload-artifact@v3"
        assert github.violations() == []
    finally:
        github.close()


def test_a_server_that_tells_no_limit_has_none(closed: FakeGitHub, tmp_path: Path) -> None:
    body = {"full_name": "acme/shop"}
    closed.api.inject(Fault("bare", Response.json(200, body), path="/repos/acme/shop$"))
    found = look(job_environment(closed, tmp_path), tmp_path)["Rate limit"]
    assert found.state is Health.OK and "none is told" in found.detail


def test_the_numbers_of_the_history_come_from_the_stores_own_list(closed: FakeGitHub, tmp_path: Path) -> None:
    env = job_environment(closed, tmp_path)
    run = closed.add_run("push", sha=MERGE)
    for age in (12, 1):
        closed.clock = lambda age=age: datetime.now(UTC) - timedelta(days=age)  # type: ignore[misc]
        closed.add_artifact("ci-bridge-base", b"zip", run)
    closed.clock = lambda: datetime.now(UTC)
    found = look(env, tmp_path)["History"]
    assert found.state is Health.WARNING, found
    assert "kept 30 days, bases 14" in found.detail and "was 11.0 days" in found.detail
    assert found.line_to_add == 'schedule: [{cron: "17 4 * * 1"}]  # under `on:` of the workflow'


def test_a_repository_that_keeps_artifacts_for_less_is_told_so(closed: FakeGitHub, tmp_path: Path) -> None:
    closed.repository.retention = 7
    assert "segments are kept 7 days, bases 7" in look(job_environment(closed, tmp_path), tmp_path)["History"].detail


@pytest.mark.parametrize("name", ["HTML", "limited", "401"])
def test_the_command_ends_with_its_exit_code_and_no_traceback(closed: FakeGitHub, tmp_path: Path, name: str) -> None:
    fault, state, *_ = UNWELL[name]
    env = {"PATH": os.environ["PATH"], **job_environment(closed, tmp_path, "pull_request")}
    closed.api.inject(fault(closed))
    done = subprocess.run(
        [sys.executable, "-m", "ci_bridge", "doctor", "--json"],
        cwd=env["GITHUB_WORKSPACE"], env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == int(state is Health.PROBLEM), done.stderr
    assert json.loads(done.stdout)["exit_code"] == done.returncode
    assert "Traceback" not in done.stderr and env["GITHUB_TOKEN"] not in done.stdout + done.stderr


def test_on_a_terminal_a_long_finding_goes_on_below_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = Finding("Check runs", Health.PROBLEM, "one two three " * 12, "a line that is copied whole " * 4)
    monkeypatch.setattr("ci_bridge.console.is_terminal", lambda _stream: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    print_findings([finding])
    *lines, last = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines) and len(lines) == 3
    assert {len(line) - len(line.lstrip()) for line in lines[1:]} == {21}
    assert last.strip() == f"add: {finding.line_to_add.strip()}"
    monkeypatch.setattr("ci_bridge.console.is_terminal", lambda _stream: False)
    print_findings([finding])  # for grep, and for logs that wrap by themselves
    assert len(capsys.readouterr().out.splitlines()) == 2
