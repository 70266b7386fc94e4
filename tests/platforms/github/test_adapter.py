"""The adapter for GitHub against a fake that holds every call against a contract."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ci_bridge import platforms
from ci_bridge.errors import (
    AuthenticationError,
    CIBridgeError,
    ConfigError,
    MissingDependencyError,
    NotFoundError,
    PermissionDeniedError,
    PlatformError,
    RateLimitedError,
    TransientError,
)
from ci_bridge.models import (
    Annotation,
    CommitStatus,
    Credentials,
    PullRequest,
    RunState,
    Severity,
    StatusState,
    TestRun,
)
from ci_bridge.platforms.github.adapter import GitHubActionAdapter
from ci_bridge.platforms.github.opening import FORK
from ci_bridge.protocols import ROLES, capabilities_of
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD, MERGE, job_environment
from tests.fakes.server import FakeServer, Fault, Response, failing, moved, reset, too_many, truncated, web_page
from tests.platforms.github.opened import job_folder, open_env, open_job

RUN = TestRun(
    id="0190-run", name="unit", title="3 passed", text="all is well", created_at=datetime(2026, 1, 2, tzinfo=UTC)
)
DONE = replace(RUN, status="completed", state=RunState.SUCCESS, completed_at=datetime(2026, 1, 3, tzinfo=UTC))
RUNNER = {"summary", "outputs"}
API = {"test_runs", "annotations", "status", "comments", "pull_requests", "download", "store"}


@pytest.fixture
def adapter(github: FakeGitHub, tmp_path: Path) -> Iterator[GitHubActionAdapter]:
    opened = open_job(github, tmp_path)
    yield opened
    opened.close()


def remarks(number: int) -> list[Annotation]:
    return [Annotation(f"src/a{n}.py", n + 1, Severity.FAILURE, f"title {n}", f"message {n}") for n in range(number)]


def error_of(call: Callable[[], object]) -> CIBridgeError:
    with pytest.raises(CIBridgeError) as caught:
        call()
    return caught.value


def calls_of(github: FakeGitHub) -> list[str]:
    return [f"{line.request.method} {line.request.path}" for line in github.calls]


# ---- which adapter a job gets


def test_the_platform_opens_this_adapter(github: FakeGitHub, tmp_path: Path) -> None:
    platform = platforms.load("github")
    adapter = platforms.open_adapter(platform, job_environment(github, tmp_path), Credentials())
    assert isinstance(adapter, GitHubActionAdapter) and adapter.context.repository == "acme/shop"
    adapter.close()


@pytest.mark.parametrize(
    ("token", "uploads", "expected"),
    [
        ("", True, RUNNER | API | {"upload"}),
        ("", False, RUNNER | API),
        (None, True, RUNNER | {"upload"}),
        (None, False, RUNNER),
    ],
)
def test_the_capabilities_are_what_the_tokens_allow(
    github: FakeGitHub, tmp_path: Path, token: str | None, uploads: bool, expected: set[str]
) -> None:
    adapter = open_env(job_environment(github, tmp_path, token=token, uploads=uploads))
    assert capabilities_of(adapter) == expected <= set(ROLES)
    adapter.close()


@pytest.mark.parametrize("runner", [{"GITEA_ACTIONS": "true"}, {"FORGEJO_ACTIONS": "true"}])
def test_another_servers_api_is_not_spoken_to(
    github: FakeGitHub, tmp_path: Path, runner: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    adapter = open_env({**job_environment(github, tmp_path, uploads=False), **runner})
    assert capabilities_of(adapter) == RUNNER and "does not speak GitHub's API" in caplog.text


def test_under_act_only_a_server_of_ones_own_is_spoken_to(github: FakeGitHub, tmp_path: Path) -> None:
    env = {**job_environment(github, tmp_path, uploads=False), "ACT": "true"}
    assert "comments" in capabilities_of(open_env(env))
    assert capabilities_of(open_env({**env, "GITHUB_API_URL": "https://api.github.com"})) == RUNNER


def test_an_enterprise_server_takes_no_uploads(github: FakeGitHub, tmp_path: Path) -> None:
    env = job_environment(github, tmp_path)
    assert "upload" not in capabilities_of(open_env({**env, "GITHUB_SERVER_URL": "https://git.acme.example"}))
    assert "upload" in capabilities_of(open_env({**env, "GITHUB_SERVER_URL": "https://acme.ghe.com"}))


@pytest.mark.parametrize("repository", ["", "acme", "acme/shop/../..", "acme/shop?x=1", "a b/c"])
def test_without_a_repository_only_the_runner_is_delivered_to(
    github: FakeGitHub, tmp_path: Path, repository: str, caplog: pytest.LogCaptureFixture
) -> None:
    env = {**job_environment(github, tmp_path, uploads=False), "GITHUB_REPOSITORY": repository}
    assert capabilities_of(open_env(env)) == RUNNER and "GITHUB_REPOSITORY" in caplog.text


def test_a_missing_token_is_told_once_with_the_line_to_add(
    github: FakeGitHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_env(job_environment(github, tmp_path, token=None, uploads=False))
    assert len(caplog.records) == 1 and "GITHUB_TOKEN: ${{ github.token }}" in caplog.text


def test_gh_token_and_given_credentials_are_tokens_too(github: FakeGitHub, tmp_path: Path) -> None:
    env = job_environment(github, tmp_path, "pull_request", token=None)
    token = github.add_token()
    for adapter in (open_env({**env, "GH_TOKEN": token}), open_env(env, token=token)):
        assert isinstance(adapter, GitHubActionAdapter)
        assert list(adapter.list_comments("42")) == []
        adapter.close()


def test_an_api_address_that_is_none_is_a_wrong_configuration(github: FakeGitHub, tmp_path: Path) -> None:
    env = job_environment(github, tmp_path, uploads=False)
    assert isinstance(error_of(lambda: open_env(env, api_url="nonsense")), ConfigError)


@pytest.mark.parametrize("name", ["ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL"])
def test_an_odd_runtime_costs_the_uploads_only(
    github: FakeGitHub, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = open_env({**job_environment(github, tmp_path), name: "nonsense"})
    assert capabilities_of(adapter) == RUNNER | API and "artifacts cannot be uploaded" in caplog.text


def test_the_sdk_is_needed_with_a_token_only(
    github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = job_environment(github, tmp_path)
    monkeypatch.setitem(sys.modules, "github", None)
    loaded = [name for name in sys.modules if name.startswith("github.")]
    for name in (*loaded, "ci_bridge.platforms.github.adapter"):
        monkeypatch.delitem(sys.modules, name)
    platform = platforms.load("github")
    with pytest.raises(MissingDependencyError, match=r"ci-bridge\[github\]"):
        platforms.open_adapter(platform, env, Credentials())
    del env["GITHUB_TOKEN"]
    assert capabilities_of(platforms.open_adapter(platform, env, Credentials())) == RUNNER | {"upload"}


def test_an_enterprise_servers_paths_are_below_its_prefix(tmp_path: Path) -> None:
    github = FakeGitHub("/api/v3")
    try:
        adapter = open_job(github, tmp_path)
        adapter.create_test_run(RUN)
        comment = adapter.create_comment("42", "hello")
        adapter.update_comment("42", comment.id, "better")
        adapter.set_status(CommitStatus(HEAD, StatusState.SUCCESS, "unit"))
        stored = adapter.put_object("ci-bridge-segment-1", b"data", 3)
        assert adapter.get_object(stored, 10) == b"data"
        assert adapter.whoami() == "github-actions[bot]"
        assert {line.request.path.split("/repos")[0] for line in github.calls} == {"/api/v3", "/api/graphql"}
        adapter.close()
        assert github.violations() == []
    finally:
        github.close()


# ---- check runs


def test_a_check_run_is_created_on_the_head_of_the_pull_request(
    github: FakeGitHub, adapter: GitHubActionAdapter
) -> None:
    remote = adapter.create_test_run(RUN)
    (check,) = github.check_runs
    assert remote.id == str(check.id) and remote.url
    assert (check.sha, check.name, check.external_id, check.status) == (HEAD, "unit", RUN.id, "in_progress")
    assert (check.title, check.summary, check.conclusion) == ("3 passed", "all is well", None)
    assert check.details_url and check.details_url.endswith(f"/actions/runs/{adapter.context.build_id}")


@pytest.mark.parametrize(
    ("state", "status", "conclusion"),
    [
        (RunState.SUCCESS, "completed", "success"),
        (RunState.FAILURE, "completed", "failure"),
        (RunState.ERROR, "completed", "failure"),
        (RunState.NO_RESULTS, "completed", "failure"),
        (RunState.ERROR, "cancelled", "cancelled"),
        (RunState.ERROR, "timeout", "timed_out"),
    ],
)
def test_a_state_is_a_conclusion_and_nothing_but_success_satisfies_a_protection_rule(
    github: FakeGitHub, adapter: GitHubActionAdapter, state: RunState, status: str, conclusion: str
) -> None:
    remote = adapter.create_test_run(RUN)
    adapter.update_test_run(remote.id, replace(DONE, state=state, status=status))
    (check,) = github.check_runs
    assert (check.status, check.conclusion, check.completed_at) == ("completed", conclusion, "2026-01-03T00:00:00Z")


def test_after_a_restart_the_same_check_run_is_taken_up_again(github: FakeGitHub, tmp_path: Path) -> None:
    first = open_job(github, tmp_path)
    remote = first.create_test_run(RUN)
    first.create_test_run(replace(RUN, id="0190-other"))
    second = open_job(github, tmp_path)
    assert second.create_test_run(DONE).id == remote.id
    assert [check.conclusion for check in github.check_runs] == ["success", None]


@pytest.mark.parametrize("fault", [reset, truncated, failing])
def test_a_check_run_whose_answer_was_lost_is_not_created_twice(
    github: FakeGitHub, adapter: GitHubActionAdapter, fault: Callable[..., Fault]
) -> None:
    github.api.inject(fault(method="POST", path="/check-runs", committed=True))
    assert isinstance(error_of(lambda: adapter.create_test_run(RUN)), TransientError)
    adapter.create_test_run(RUN)
    assert len(github.check_runs) == 1


def test_texts_are_cut_to_what_a_check_run_may_hold(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    adapter.create_test_run(replace(RUN, name="n" * 900, title="t\nt" * 900, text="ä" * 100_000))
    (check,) = github.check_runs
    assert (len(check.name), len(check.title or ""), len(check.summary or "")) == (255, 255, 65_535)


def test_a_run_without_any_text_still_has_a_title(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    adapter.create_test_run(TestRun(id="1"))
    assert (github.check_runs[0].name, github.check_runs[0].title) == ("Tests", "Tests")


def test_a_check_run_that_does_not_exist_is_not_found(adapter: GitHubActionAdapter) -> None:
    for remote_id in ("999999", "../../user", ""):
        assert isinstance(error_of(lambda remote_id=remote_id: adapter.update_test_run(remote_id, RUN)), NotFoundError)  # type: ignore[misc]


@pytest.mark.parametrize("sha", [None, "", "main", "abc", "../../user"])
def test_a_commit_that_is_not_known_makes_no_call(github: FakeGitHub, tmp_path: Path, sha: str | None) -> None:
    env = {**job_environment(github, job_folder(tmp_path), "push"), "GITHUB_SHA": sha or ""}
    adapter = open_env(env)
    assert isinstance(adapter, GitHubActionAdapter)
    assert "commit" in str(error_of(lambda: adapter.create_test_run(RUN)))
    assert not github.calls
    adapter.close()


# ---- annotations


def test_annotations_go_up_in_batches_of_fifty(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    adapter.create_test_run(DONE)
    before = len(github.calls)
    assert adapter.annotate(remarks(120))
    (check,) = github.check_runs
    assert [one["path"] for one in check.annotations] == [f"src/a{n}.py" for n in range(120)]
    assert len(github.calls) - before == 3
    assert (check.title, check.summary, check.conclusion) == ("3 passed", "all is well", "success")


@pytest.mark.parametrize("committed", [True, False])
def test_annotations_are_neither_lost_nor_doubled_by_a_retry(
    github: FakeGitHub, adapter: GitHubActionAdapter, committed: bool
) -> None:
    adapter.create_test_run(DONE)
    github.api.inject(reset(method="PATCH", path="/check-runs/", skip=1, committed=committed))
    assert isinstance(error_of(lambda: adapter.annotate(remarks(120))), TransientError)
    adapter.annotate(remarks(120))
    assert [one["start_line"] for one in github.check_runs[0].annotations] == list(range(1, 121))


def test_no_annotation_costs_no_call(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    assert adapter.annotate([]) is None and not github.calls


def test_annotations_without_a_check_run_name_the_permission(adapter: GitHubActionAdapter) -> None:
    error = error_of(lambda: adapter.annotate(remarks(1)))
    assert isinstance(error, PermissionDeniedError) and "checks: write" in str(error)


def test_an_annotation_is_cut_to_what_github_takes(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    adapter.create_test_run(RUN)
    adapter.annotate(
        [
            Annotation("a.py", 0, Severity.NOTICE, "t" * 999, "ä" * 200_000),
            Annotation("b.py", 3, Severity.WARNING, "", ""),
        ]
    )
    long, empty = github.check_runs[0].annotations
    assert (long["start_line"], long["annotation_level"], len(long["title"])) == (1, "notice", 255)
    assert len(long["message"].encode()) <= 65_536
    assert empty["message"] == "failed" and "title" not in empty


# ---- statuses and comments


@pytest.mark.parametrize("state", StatusState)
def test_a_status_replaces_the_one_with_its_context(
    github: FakeGitHub, adapter: GitHubActionAdapter, state: StatusState
) -> None:
    adapter.set_status(CommitStatus(HEAD, StatusState.PENDING, "unit", "waiting"))
    url = adapter.set_status(CommitStatus(HEAD.upper(), state, "unit", "d" * 500, "https://example.org/x"))
    status = github.statuses(HEAD)["unit"]
    assert (status.state, status.description, status.target_url) == (str(state), "d" * 140, "https://example.org/x")
    assert url == f"https://github.com/acme/shop/commit/{HEAD}"
    assert len(github.calls) == 2


def test_a_status_links_to_web_pages_only(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    adapter.set_status(CommitStatus(MERGE, StatusState.ERROR, "unit", "", "javascript:alert(1)"))
    assert not github.statuses(MERGE)["unit"].target_url


def test_all_pages_of_comments_are_listed_in_order(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    for number in range(230):
        github.add_comment(42, f"comment {number}", author="" if number == 3 else "octocat")
    listed = list(adapter.list_comments("42"))
    assert [comment.body for comment in listed] == [f"comment {number}" for number in range(230)]
    assert [comment.author for comment in listed[2:5]] == ["octocat", "ghost" if listed[3].author else "", "octocat"]
    assert len(github.calls) == 3


def test_a_next_page_elsewhere_is_not_fetched(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    thief = FakeServer(lambda _request: Response.json(200, []))
    try:
        link = {"Link": f'<{thief.origin}/repos/acme/shop/issues/42/comments?page=2>; rel="next"'}
        github.api.inject(Fault("link", Response.json(200, [], link), method="GET", path="/comments"))
        assert list(adapter.list_comments("42")) == []
        assert not thief.log
    finally:
        thief.close()


def test_a_comment_is_removed_once_and_for_all(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    comment = adapter.create_comment("42", "twice")
    adapter.delete_comment("42", comment.id)
    adapter.delete_comment("42", comment.id)
    assert github.comments(42) == []


def test_our_name_is_asked_once(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    assert adapter.whoami() == adapter.whoami() == "github-actions[bot]"
    assert calls_of(github) == ["POST /graphql"]


def test_a_persons_token_comments_as_that_person(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path, token=github.add_token("classic"))
    assert adapter.whoami() == adapter.create_comment("42", "x").author == "octocat"


@pytest.mark.parametrize(
    "answer",
    [
        Response.json(403, {"message": "Resource not accessible by integration"}),
        Response.json(404, {"message": "Not Found"}),
        Response.json(200, {"data": None, "errors": [{"message": "no"}]}),
        Response.json(200, {"data": {"viewer": None}}),
        Response.json(200, []),
    ],
)
def test_where_graphql_does_not_tell_we_are_the_actions_bot(
    github: FakeGitHub, adapter: GitHubActionAdapter, answer: Response
) -> None:
    github.api.inject(Fault("graphql", answer, path="/graphql"))
    assert adapter.whoami() == "github-actions[bot]"


def test_our_name_is_not_guessed_while_the_api_is_down(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    github.api.inject(failing(path="/graphql"))
    assert isinstance(error_of(adapter.whoami), TransientError)
    assert adapter.whoami() == "github-actions[bot]"


@pytest.mark.parametrize("number", ["", "x", "42/../43", "4 2"])
def test_a_number_is_never_more_than_a_number(github: FakeGitHub, adapter: GitHubActionAdapter, number: str) -> None:
    for call in (lambda: adapter.create_comment(number, "x"), lambda: adapter.update_comment("42", number, "x")):
        assert isinstance(error_of(call), NotFoundError)
    assert not github.calls


def test_the_pull_requests_of_a_commit_are_the_open_ones_with_this_head(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path)
    github.add_pull(43, "d" * 40, branch="other")
    expected = PullRequest("42", HEAD, "feature", "acme/shop", "main")
    assert list(adapter.pull_requests_of(HEAD)) == [expected]
    github.repository.pulls[42].state = "closed"
    assert list(adapter.pull_requests_of(HEAD)) == []


# ---- refusals and faults

CALLS: dict[str, tuple[Callable[[GitHubActionAdapter], object], str]] = {
    "check run": (lambda adapter: adapter.create_test_run(RUN), "checks: write"),
    "status": (lambda adapter: adapter.set_status(CommitStatus(HEAD, StatusState.SUCCESS, "x")), "statuses: write"),
    "comment": (lambda adapter: adapter.create_comment("42", "x"), "pull-requests: write"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_token_that_only_reads_is_told_which_line_to_add(github: FakeGitHub, tmp_path: Path, name: str) -> None:
    call, line = CALLS[name]
    adapter = open_job(github, tmp_path, token=github.add_token("installation", permissions={"checks": "read"}))
    error = error_of(lambda: call(adapter))
    assert isinstance(error, PermissionDeniedError) and f"`{line}`" in str(error)


@pytest.mark.parametrize("name", CALLS)
def test_a_forks_token_is_told_where_help_is_and_no_line_that_does_not_help(
    github: FakeGitHub, tmp_path: Path, name: str
) -> None:
    call, line = CALLS[name]
    adapter = open_job(github, tmp_path, "fork")
    error = error_of(lambda: call(adapter))
    assert isinstance(error, PermissionDeniedError) and str(error) == FORK
    assert line not in str(error)


def test_artifacts_name_the_permission_to_read_them(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path, token=github.add_token("installation", permissions={"checks": "write"}))
    error = error_of(lambda: adapter.list_objects("ci-bridge-segment-", 10))
    assert isinstance(error, PermissionDeniedError) and "`actions: read`" in str(error)


def test_a_classic_token_is_told_that_it_cannot_write_checks(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path, token=github.add_token("classic"))
    error = error_of(lambda: adapter.create_test_run(RUN))
    assert isinstance(error, PermissionDeniedError) and "classic tokens cannot write checks" in str(error)


def test_a_refused_token_is_named_by_its_variable(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path, token="made-" + "up-token")
    error = error_of(lambda: adapter.create_comment("42", "x"))
    assert isinstance(error, AuthenticationError) and "GITHUB_TOKEN" in str(error) and "up-token" not in str(error)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda github: too_many("7"), RateLimitedError),
        (lambda github: too_many(), RateLimitedError),
        (lambda github: github.secondary_limit(), RateLimitedError),
        (lambda github: github.primary_limit(), RateLimitedError),
        (lambda github: failing(503), TransientError),
        (lambda github: reset(), TransientError),
        (lambda github: truncated(), TransientError),
        (lambda github: Fault("202", Response(202)), TransientError),
        (lambda github: web_page(), PlatformError),
        (lambda github: Fault("list", Response.json(200, {"a": 1})), PlatformError),
        (lambda github: Fault("text", Response(200, b"hello")), PlatformError),
        (lambda github: Fault("null", Response(200, b"")), PlatformError),
        (lambda github: moved("https://thief.example/"), PlatformError),
    ],
)
def test_every_fault_is_one_of_our_errors_at_once(
    github: FakeGitHub,
    adapter: GitHubActionAdapter,
    fault: Callable[[FakeGitHub], Fault],
    expected: type[CIBridgeError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"slept {seconds} s"))
    github.api.inject(fault(github))
    assert type(error_of(lambda: list(adapter.list_comments("42")))) is expected
    assert len(github.calls) == 1  # nobody below us tries again


def test_the_primary_limit_says_how_long_it_lasts(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    github.api.inject(github.primary_limit())
    error = error_of(lambda: adapter.create_comment("42", "x"))
    assert isinstance(error, RateLimitedError) and error.retry_after and 3500 < error.retry_after <= 3600


def test_one_write_directly_follows_another(
    github: FakeGitHub, adapter: GitHubActionAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"slept {seconds} s"))
    for number in range(5):
        adapter.create_comment("42", f"{number}")
    assert len(github.comments(42)) == 5


def everything(adapter: GitHubActionAdapter, folder: Path) -> Iterator[Callable[[], Any]]:
    yield lambda: adapter.create_test_run(DONE)
    yield lambda: adapter.annotate(remarks(60))
    yield lambda: adapter.set_status(CommitStatus(HEAD, StatusState.SUCCESS, "unit"))
    yield lambda: adapter.create_comment("42", "hello")
    yield lambda: list(adapter.list_comments("42"))
    yield lambda: adapter.get_object(adapter.put_object("ci-bridge-segment-1", b"x" * 99, 3), 100)
    yield lambda: adapter.list_objects("ci-bridge-", 10)


@pytest.mark.parametrize("is_broken", [False, True])
def test_no_token_shows_in_any_log_at_any_level(
    github: FakeGitHub,
    tmp_path: Path,
    is_broken: bool,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    env = job_environment(github, tmp_path, "pull_request")
    adapter = open_env(env)
    assert isinstance(adapter, GitHubActionAdapter)
    if is_broken:
        for server, secret in ((github.api, env["GITHUB_TOKEN"]), (github.results, env["ACTIONS_RUNTIME_TOKEN"])):
            server.inject(Fault("echo", Response.json(418, {"message": f"you sent {secret}"}), times=None))
    said = ""
    for call in everything(adapter, tmp_path):
        try:
            call()
        except CIBridgeError as error:
            said += f"{error} {error!r}"
    adapter.close()
    assert bool(said) is is_broken
    expected = "urllib3.connectionpool" if is_broken else "github.Requester"  # PyGithub logs what was answered
    assert expected in {record.name for record in caplog.records}
    said += caplog.text + "".join(capfd.readouterr()) + repr(vars(adapter))
    for secret in (env["GITHUB_TOKEN"], env["ACTIONS_RUNTIME_TOKEN"], "sig="):
        assert secret not in said


def test_the_given_proxy_carries_every_call_and_no_other_is_used(
    github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = FakeServer(lambda request: Response.json(201, {"id": 7, "body": "x", "html_url": None, "user": None}))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    try:
        env = {**job_environment(github, tmp_path, "pull_request", uploads=False), "HTTP_PROXY": proxy.origin}
        adapter = open_env({**env, "GITHUB_API_URL": "http://api.acme.example"})
        assert adapter.create_comment("42", "x").id == "7"  # type: ignore[attr-defined]
        assert proxy.log[0].request.target == "http://api.acme.example/repos/acme/shop/issues/42/comments"
        adapter.close()
    finally:
        proxy.close()
