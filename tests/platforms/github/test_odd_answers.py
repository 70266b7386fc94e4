"""What becomes of each delivery when GitHub answers what it seldom does, or things change while the job runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.delivery import show_run
from ci_bridge.errors import IncompleteError, NotFoundError, PlatformError, TransientError
from ci_bridge.models import RunState
from ci_bridge.models import TestRun as Run
from ci_bridge.platforms._http import InvalidError
from ci_bridge.platforms.github.adapter import GitHubActionAdapter
from ci_bridge.platforms.github.opening import permission_for
from tests.fakes.clients import Clock
from tests.fakes.github import FakeGitHub
from tests.fakes.server import Fault, Request, Response, failing, reset, too_many, truncated, web_page
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_adapter import DONE, RUN, remarks
from tests.platforms.github.test_delivery import receipt, report, track

ODD: dict[str, Response] = {
    "404": Response.json(404, {"message": "Not Found"}),
    "409": Response.json(409, {"message": "Conflict"}),
    "410": Response.json(410, {"message": "Issues are disabled for this repo"}),
    "418": Response.json(418, {"message": "short and stout"}),
    "422": Response.json(422, {"message": "Validation Failed", "documentation_url": "x"}),
    "451": Response.json(451, {"message": "Repository access blocked"}),
    "list": Response.json(200, [[]]),
    "null": Response.json(200, None),
    "text": Response(200, b"OK", {"Content-Type": "text/plain"}),
    "HTML": web_page().answer or Response(200),
}


@pytest.fixture
def adapter(github: FakeGitHub, tmp_path: Path) -> GitHubActionAdapter:
    return open_job(github, tmp_path)


def refuse_paths(github: FakeGitHub, *paths: str) -> None:
    """Let the stand-in refuse every request that has an annotation on one of these."""

    answer = github.api.answer

    def answered(request: Request) -> Response:
        sent = request.json().get("output", {}).get("annotations", []) if request.method == "PATCH" else []
        if any(one["path"] in paths for one in sent):
            return ODD["422"]
        return answer(request)

    github.api.answer = answered


# ---- annotations


@pytest.mark.parametrize("bad", [[0], [49], [50], [73], [119], [7, 8]])
def test_a_refused_annotation_costs_no_other(github: FakeGitHub, adapter: GitHubActionAdapter, bad: list[int]) -> None:
    adapter.create_test_run(DONE)
    before = len(github.calls)
    refuse_paths(github, *(f"src/a{number}.py" for number in bad))
    with pytest.raises(IncompleteError) as caught:
        adapter.annotate(remarks(120))
    shown = [one["path"] for one in github.check_runs[0].annotations]
    assert shown == [f"src/a{number}.py" for number in range(120) if number not in bad]
    assert f"{len(bad)} of 120 refused, the first at src/a{bad[0]}.py:{bad[0] + 1}" in str(caught.value)
    assert caught.value.url and len(github.calls) - before <= 20


def test_where_github_minds_something_else_it_is_not_asked_for_ever(
    github: FakeGitHub, adapter: GitHubActionAdapter
) -> None:
    adapter.create_test_run(DONE)
    before = len(github.calls)
    github.api.inject(Fault("422", ODD["422"], method="PATCH", path="/check-runs/", times=None, honest=True))
    with pytest.raises(InvalidError):
        adapter.annotate(remarks(500))
    assert len(github.calls) - before <= 10 and github.check_runs[0].annotations == []


def test_a_retry_knows_what_was_refused_before(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    adapter.create_test_run(DONE)
    refuse_paths(github, "src/a3.py")
    github.api.inject(reset(method="PATCH", path="/check-runs/", skip=7, committed=True))
    with pytest.raises(TransientError):
        adapter.annotate(remarks(120))
    with pytest.raises(IncompleteError):
        adapter.annotate(remarks(120))
    shown = [one["path"] for one in github.check_runs[0].annotations]
    assert shown == [f"src/a{number}.py" for number in range(120) if number != 3]


def test_the_receipt_names_the_annotation_that_was_refused(
    github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track(tmp_path)
    answer = github.api.answer

    def picky(request: Request) -> Response:
        sent = request.json().get("output", {}).get("annotations", []) if request.method == "PATCH" else []
        return ODD["422"] if any(one["start_line"] == 2 for one in sent) else answer(request)

    monkeypatch.setattr(github.api, "answer", picky)
    outcome = report(open_job(github, tmp_path), tmp_path, failures=3)
    told = receipt(outcome, "annotations")
    assert (told.state, told.delivered) == ("degraded", True)
    assert "1 of 3 refused, the first at test_cart.py:2" in told.reason and "Validation Failed" in told.reason
    assert len(github.check_runs[0].annotations) == 2
    assert receipt(outcome, "comment").state == receipt(outcome, "run").state == "sent"
    assert outcome.exit_code == 0


# ---- check runs


def test_a_check_run_that_was_taken_away_is_made_anew(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path)
    adapter.create_test_run(RUN)
    github.repository.check_runs.clear()
    with pytest.raises(NotFoundError):
        adapter.update_test_run("1", DONE)
    remote = show_run(adapter, replace(DONE, remote_id="1"))
    (check,) = github.check_runs
    assert remote.id == str(check.id) and check.conclusion == "success"
    assert show_run(adapter, replace(DONE, remote_id=remote.id)) == remote and len(github.check_runs) == 1


@pytest.mark.parametrize("fault", [reset, truncated, failing])
def test_a_report_leaves_one_check_run_though_the_answer_was_lost(
    github: FakeGitHub, tmp_path: Path, fault: Any
) -> None:
    github.api.inject(fault(method="POST", path="/check-runs", committed=True))
    outcome = report(open_job(github, tmp_path), tmp_path)
    assert receipt(outcome, "run").state == "sent"
    (check,), statuses = github.shown_on(42)
    assert check.conclusion == "success" and not statuses


@pytest.mark.parametrize("name", ODD)
def test_a_check_run_that_cannot_be_made_becomes_a_status_and_costs_nothing_else(
    github: FakeGitHub, tmp_path: Path, name: str
) -> None:
    github.api.inject(Fault(name, ODD[name], method="POST", path="/check-runs$", times=None))
    outcome = report(open_job(github, tmp_path), tmp_path)
    told = receipt(outcome, "run")
    assert (told.via, told.state) == ("status", "degraded") and told.reason
    assert [status.state for status in github.shown_on(42)[1].values()] == ["success"]
    assert receipt(outcome, "comment").state == "sent"


@pytest.mark.parametrize("name", ODD)
def test_where_the_status_is_answered_oddly_too_the_log_bears_it(github: FakeGitHub, tmp_path: Path, name: str) -> None:
    for path in ("/check-runs", "/statuses/"):
        github.api.inject(Fault(name, ODD[name], path=path, times=None))
    outcome = report(open_job(github, tmp_path), tmp_path)
    told = receipt(outcome, "run")
    assert (told.via, told.state) == ("log", "degraded")
    assert "run: " in told.reason and "status: " in told.reason
    assert receipt(outcome, "comment").state == "sent"


# ---- comments


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ODD)
def test_a_comment_that_cannot_be_written_becomes_a_summary_and_costs_nothing_else(
    github: FakeGitHub, tmp_path: Path, method: str, name: str
) -> None:
    github.api.inject(Fault(name, ODD[name], method=method, path="/issues/42/comments", times=None))
    outcome = report(open_job(github, tmp_path), tmp_path)
    told = receipt(outcome, "comment")
    assert (told.via, told.state) == ("summary", "degraded") and told.reason
    assert receipt(outcome, "run").state == "sent" and github.comments(42) == []


def test_a_locked_conversation_is_said_to_be_locked_and_no_permission_is_asked_for(
    github: FakeGitHub, tmp_path: Path
) -> None:
    adapter = open_job(github, tmp_path)
    github.repository.pulls[42].locked = True
    outcome = report(adapter, tmp_path)
    told = receipt(outcome, "comment")
    assert told.via == "summary" and "issue is locked" in told.reason and "permissions:" not in told.reason
    assert permission_for("POST", "/repos/a/b/issues/1/comments").startswith("add `pull-requests: write`")


def test_a_pull_request_that_was_closed_meanwhile_gets_its_comment(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path)
    github.repository.pulls[42].state = "closed"
    assert receipt(report(adapter, tmp_path), "comment").state == "sent"
    assert len(github.comments(42)) == 1


def test_a_comment_that_was_deleted_since_it_was_listed_is_written_anew(github: FakeGitHub, tmp_path: Path) -> None:
    report(open_job(github, tmp_path), tmp_path)
    (first,) = github.comments(42)

    def remove(request: Request) -> None:
        if request.method == "PATCH" and "/issues/comments/" in request.path and first in github.repository.comments:
            github.repository.comments.remove(first)

    github.before_answer = remove
    outcome = report(open_job(github, tmp_path), tmp_path, failures=1)
    (comment,) = github.comments(42)
    assert receipt(outcome, "comment").state == "sent" and comment.id != first.id and "1 failure" in comment.body


def test_a_pull_request_that_is_gone_costs_the_comment_only(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path)
    del github.repository.pulls[42]
    outcome = report(adapter, tmp_path)
    assert receipt(outcome, "comment").via == "summary" and receipt(outcome, "run").state == "sent"


# ---- limits


@pytest.mark.parametrize("path", ["/check-runs", "/comments", "/graphql"])
def test_a_secondary_limit_known_by_its_words_is_waited_for(github: FakeGitHub, tmp_path: Path, path: str) -> None:
    clock = Clock()
    github.api.inject(github.secondary_limit(path=path))
    outcome = report(open_job(github, tmp_path), tmp_path, clock=clock)
    assert receipt(outcome, "run").state == receipt(outcome, "comment").state == "sent" and len(clock.slept) == 1


def test_a_limit_that_names_a_date_is_waited_for_until_then(github: FakeGitHub, tmp_path: Path) -> None:
    clock = Clock()
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    github.api.inject(too_many(moment, method="POST", path="/check-runs"))
    outcome = report(open_job(github, tmp_path), tmp_path, clock=clock)
    (slept,) = clock.slept
    assert receipt(outcome, "run").state == "sent" and 0 < slept <= 40


@pytest.mark.parametrize("junk", ["", "-1", "1e999", "nan", "²", "tomorrow", "Thu, 99 Foo 2026 99:99:99 GMT"])
def test_a_limit_that_names_nonsense_is_waited_for_as_any_failure(
    github: FakeGitHub, tmp_path: Path, junk: str
) -> None:
    clock = Clock()
    header = {"Retry-After": junk.encode().decode("latin-1")}
    github.api.inject(Fault("429", Response.json(429, {"message": "x"}, header), method="POST", path="/check-runs"))
    outcome = report(open_job(github, tmp_path), tmp_path, clock=clock, retry_delay_seconds=5)
    assert receipt(outcome, "run").state == "sent" and clock.slept == [5.0]


def test_a_state_is_never_shown_twice_by_a_run_that_is_repeated(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_job(github, tmp_path)
    first = adapter.create_test_run(RUN)
    for _ in range(3):
        assert adapter.create_test_run(replace(DONE, state=RunState.FAILURE)).id == first.id
    assert len(github.check_runs) == 1


def test_an_error_of_the_api_is_ours_whatever_was_asked(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    for name, answer in ODD.items():
        github.api.inject(Fault(name, answer))
        with pytest.raises(PlatformError):
            adapter.create_test_run(Run(id="1", name="unit", created_at=RUN.created_at))
