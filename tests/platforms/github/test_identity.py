"""Whose comments are ours: the token's owner, whatever kind of token it is and whatever GraphQL says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ci_bridge.errors import AuthenticationError, PermissionDeniedError, PlatformError, RateLimitedError, TransientError
from ci_bridge.platforms.github.adapter import BOT, GitHubActionAdapter
from tests.fakes.clients import Clock
from tests.fakes.github import FakeGitHub
from tests.fakes.server import Fault, Response, failing, web_page
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_delivery import receipt, report

REFUSED = Response.json(403, {"message": "Resource not accessible by personal access token", "documentation_url": "x"})
LIMITED: dict[str, Any] = {
    "errors": [{"type": "RATE_LIMITED", "message": "API rate limit already exceeded for user ID 1."}]
}
SILENT = {
    "refused": REFUSED,
    "not there": Response.json(404, {"message": "Not Found"}),
    "an error": Response.json(200, {"data": None, "errors": [{"message": "Something went wrong"}]}),
    "nobody": Response.json(200, {"data": {"viewer": None}}),
    "nonsense": Response.json(200, [1]),
}


def silence(github: FakeGitHub, answer: Response = REFUSED, **rule: Any) -> None:
    """Let GraphQL answer this from now on."""
    github.api.inject(Fault("graphql", answer, path="/graphql", times=None, **rule))


@pytest.fixture
def adapter(github: FakeGitHub, tmp_path: Path) -> GitHubActionAdapter:
    return open_job(github, tmp_path)


@pytest.mark.parametrize("kind", ["classic", "fine-grained"])
@pytest.mark.parametrize("answer", SILENT)
def test_a_persons_token_is_that_persons_though_graphql_does_not_say_so(
    github: FakeGitHub, tmp_path: Path, kind: str, answer: str
) -> None:
    silence(github, SILENT[answer])
    adapter = open_job(github, tmp_path, token=github.add_token(kind))
    assert adapter.whoami() == adapter.whoami() == "octocat"
    assert len(github.calls) == 2


def test_a_jobs_own_token_is_known_by_what_it_is_refused(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    silence(github)
    assert adapter.whoami() == BOT
    assert len(github.api.requests("GET", "/user")) == 1


def test_what_graphql_says_counts_and_costs_one_call(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path, token=github.add_token(login="acme-ci[bot]"))
    assert adapter.whoami() == "acme-ci[bot]"
    assert len(github.calls) == 1


@pytest.mark.parametrize("kind", ["installation", "classic", "fine-grained"])
@pytest.mark.parametrize(
    "errors", [LIMITED["errors"], [{"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}]]
)
def test_a_limit_of_graphql_in_a_good_answer_is_a_limit(
    github: FakeGitHub, tmp_path: Path, kind: str, errors: list[dict[str, str]]
) -> None:
    adapter = open_job(github, tmp_path, token=github.add_token(kind))
    body = Response.json(200, {"data": None, "errors": errors}, {"Retry-After": "31"})
    github.api.inject(Fault("limit", body, path="/graphql", honest=True))
    with pytest.raises(RateLimitedError) as caught:
        adapter.whoami()
    assert caught.value.retry_after == 31 and len(github.calls) == 1
    assert adapter.whoami() == github.tokens[next(reversed(github.tokens))].login


def test_a_limit_that_lasts_an_hour_is_told_as_one(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    reset = str(int(github.limit.resets.timestamp()))
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    github.api.inject(Fault("limit", Response.json(200, LIMITED, headers), path="/graphql"))
    with pytest.raises(RateLimitedError) as caught:
        adapter.whoami()
    assert caught.value.retry_after and 3500 < caught.value.retry_after <= 3600


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Response.json(403, {"message": "Resource protected by organization SAML enforcement."}),
            PermissionDeniedError,
        ),
        (Response.json(401, {"message": "Bad credentials"}), AuthenticationError),
        (Response.json(404, {"message": "Not Found"}), PlatformError),
        (Response.json(429, {"message": "Too many requests"}), RateLimitedError),
        (Response.json(200, {"id": 1}), PlatformError),
        (failing(503).answer, TransientError),
        (web_page().answer, PlatformError),
    ],
)
def test_nobodys_name_is_guessed(
    github: FakeGitHub, adapter: GitHubActionAdapter, answer: Response, expected: type[PlatformError]
) -> None:
    silence(github)
    github.api.inject(Fault("user", answer, path="/user", times=None))
    with pytest.raises(expected):
        adapter.whoami()
    with pytest.raises(expected):  # nor is a failure taken for an answer later on
        adapter.whoami()


@pytest.mark.parametrize("kind", ["classic", "fine-grained", "installation"])
def test_there_is_one_comment_after_two_builds_where_graphql_is_refused(
    github: FakeGitHub, tmp_path: Path, kind: str
) -> None:
    silence(github)
    token = github.add_token(kind)
    for failures in (0, 1):
        outcome = report(open_job(github, tmp_path, token=token), tmp_path, failures=failures)
        assert receipt(outcome, "comment").via == "comment"
    (comment,) = github.comments(42)
    assert comment.edits == 1 and "1 failure" in comment.body


def test_there_is_one_comment_after_two_builds_where_graphql_was_limited(github: FakeGitHub, tmp_path: Path) -> None:
    token = github.add_token("fine-grained")
    for failures in (0, 1):
        clock = Clock()
        github.api.inject(Fault("limit", Response.json(200, LIMITED), path="/graphql", honest=True))
        report(open_job(github, tmp_path, token=token), tmp_path, failures=failures, clock=clock)
        assert len(clock.slept) == 1
    (comment,) = github.comments(42)
    assert comment.author == "octocat" and comment.edits == 1


def test_where_our_name_is_not_to_be_had_the_summary_bears_the_comment(github: FakeGitHub, tmp_path: Path) -> None:
    silence(github)
    github.api.inject(Fault("user", Response.json(404, {"message": "Not Found"}), path="/user", times=None))
    outcome = report(open_job(github, tmp_path), tmp_path)
    assert receipt(outcome, "comment").via == "summary" and github.comments(42) == []
    assert "/user" in receipt(outcome, "comment").reason
