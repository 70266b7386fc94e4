"""What a job says where GitHub has little room, keeps things for less time, or gives a token that may only read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ci_bridge.errors import PermissionDeniedError
from ci_bridge.platforms.github.adapter import GitHubActionAdapter, GitHubAdapter
from ci_bridge.platforms.github.runner import SUMMARY_LIMIT
from ci_bridge.protocols import Health
from ci_bridge.sharing import FEW, FEW_RED, Siblings
from tests.fakes.adapter import FakeHost, JobAdapter
from tests.fakes.clients import PULL_REQUEST
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment
from tests.platforms.github.opened import job_folder, open_env, open_job
from tests.platforms.github.test_delivery import receipt, report
from tests.test_doctor import look
from tests.test_merging import leg

LEAN: dict[str, Any] = {
    "enable_artifacts": False,
    "result_format": "json",
    "enable_test_runs": False,
    "enable_status_updates": False,
}


def with_room(github: FakeGitHub, folder: Path, room: int) -> tuple[GitHubActionAdapter, Path]:
    """A job whose step has left so many bytes of its summary."""
    env = job_environment(github, job_folder(folder), "push")
    summary = Path(env["GITHUB_STEP_SUMMARY"])
    summary.write_bytes(b"x" * (SUMMARY_LIMIT - room - 1))
    adapter = open_env(env)
    assert isinstance(adapter, GitHubActionAdapter)
    return adapter, summary


class TestSummary:
    @pytest.mark.parametrize("room", [4095, 1000, 300, 60])
    def test_the_verdict_goes_into_what_is_left_of_it(self, github: FakeGitHub, tmp_path: Path, room: int) -> None:
        adapter, summary = with_room(github, tmp_path, room)
        outcome = report(adapter, tmp_path, failures=1)
        assert (receipt(outcome, "summary").via, receipt(outcome, "summary").state) == ("summary", "sent")
        assert b"1 failure" in summary.read_bytes() and summary.stat().st_size <= SUMMARY_LIMIT

    @pytest.mark.parametrize("room", [0, 3])
    def test_without_any_room_it_goes_to_the_log(self, github: FakeGitHub, tmp_path: Path, room: int) -> None:
        adapter, summary = with_room(github, tmp_path, room)
        before = summary.read_bytes()
        outcome = report(adapter, tmp_path, failures=1)
        told = receipt(outcome, "summary")
        assert (told.via, told.state) == ("log", "degraded") and f"only {room} bytes are left" in told.reason
        assert summary.read_bytes() == before and outcome.exit_code == 0

    def test_it_holds_the_report_once_where_no_comment_can_be_written(self, github: FakeGitHub, tmp_path: Path) -> None:
        outcome = report(open_job(github, tmp_path, "fork"), tmp_path, failures=1)
        told = receipt(outcome, "comment")
        assert (told.via, told.state) == ("summary", "degraded") and told.url == receipt(outcome, "summary").url
        (summary,) = tmp_path.glob("job-*/github_step_summary")
        assert summary.read_text().count("1 failure") == 1

    def test_it_tells_of_the_other_jobs_where_no_comment_can(self, github: FakeGitHub, tmp_path: Path) -> None:
        run = github.add_run("pull_request", "b" * 40, "feature")
        for shard in ("one", "two"):
            folder = tmp_path / shard
            folder.mkdir()
            adapter = open_job(github, folder, "fork", run=run)
            report(adapter, folder, failures=1, shard=shard, shard_total=2, **LEAN)
        (summary,) = (tmp_path / "two").glob("job-*/github_step_summary")
        assert "one" in summary.read_text() and "2 failures" in summary.read_text()


def test_an_artifact_that_is_kept_for_less_than_was_asked_says_so(github: FakeGitHub, tmp_path: Path) -> None:
    github.repository.retention = 7
    outcome = report(open_job(github, tmp_path), tmp_path, artifact_retention_days=30)
    told = receipt(outcome, "artifacts")
    assert told.state == "sent" and told.reason == "kept 7 days, as the platform allows no more (30 asked for)"
    github.repository.retention = 90
    assert receipt(report(open_job(github, tmp_path), tmp_path), "artifacts").reason == ""


def test_a_token_that_lacks_everything_is_told_lines_that_suffice(github: FakeGitHub, tmp_path: Path) -> None:
    """In a private repository the look before each write is refused first; what it names must allow the write, too."""
    github.repository.private = True
    needed = {"contents": "read", "actions": "read"}
    token = github.add_token("installation", repository="acme/shop", permissions=needed)
    outcome = report(open_job(github, tmp_path, token=token), tmp_path, failures=1)
    told = " ".join(one.reason for one in outcome.report.receipts)
    assert "`checks: write`" in told and "`pull-requests: write`" in told
    assert "`checks: read`" not in told and "`pull-requests: read`" not in told
    granted = {**needed, "checks": "write", "pull-requests": "write"}
    token = github.add_token("installation", repository="acme/shop", permissions=granted)
    outcome = report(open_job(github, tmp_path, token=token), tmp_path, failures=1)
    assert {receipt(outcome, channel).state for channel in ("run", "comment")} == {"sent"}


def test_a_name_cannot_turn_the_text_around_it(github: FakeGitHub, tmp_path: Path) -> None:
    shard = "linux \u202egnp.exe\u202c \u2066x\u200b"
    config: dict[str, Any] = {
        **LEAN,
        "enable_test_runs": True,
        "enable_status_updates": True,
        "shard": shard,
        "shard_total": 1,
    }
    report(open_job(github, tmp_path), tmp_path, **config)
    report(open_job(github, tmp_path, token=github.add_token("classic")), tmp_path, **config)
    (check,), statuses = github.shown_on(42)
    for name in (check.name, *statuses):
        assert name.isprintable() and "\\u202egnp.exe\\u202c \\u2066x\\u200b" in name


ODD = {"ACTIONS_RUNTIME_TOKEN": "odd"}
ENTERPRISE = {"GITHUB_SERVER_URL": "https://git.acme.example"}


class TestNoUploads:
    @pytest.mark.parametrize(
        ("env", "reason"),
        [
            (ODD, "holds no right to upload"),
            (ENTERPRISE, "Enterprise Server has no artifact service"),
            ({**ENTERPRISE, "ACTIONS_RUNTIME_TOKEN": ""}, "Enterprise Server has no artifact service"),
        ],
    )
    def test_the_advice_is_not_to_use_what_is_used(
        self, github: FakeGitHub, tmp_path: Path, env: dict[str, str], reason: str
    ) -> None:
        adapter = open_env({**job_environment(github, job_folder(tmp_path), "push"), **env})
        assert isinstance(adapter, GitHubAdapter)
        told = receipt(report(adapter, tmp_path), "history").reason
        assert reason in told and "ci-bridge action" not in told
        with pytest.raises(PermissionDeniedError, match=reason):
            adapter.put_object("ci-bridge-base", b"", 3)

    def test_a_run_step_is_told_to_be_an_action(self, github: FakeGitHub, tmp_path: Path) -> None:
        adapter = open_env(job_environment(github, job_folder(tmp_path), "push", uploads=False))
        assert isinstance(adapter, GitHubAdapter)
        told = receipt(report(adapter, tmp_path), "history").reason
        assert "`run:` steps cannot" in told and "use the ci-bridge action" in told

    @pytest.mark.parametrize(("env", "reason"), [(ODD, "holds no right to upload"), (ENTERPRISE, "Enterprise Server")])
    def test_doctor_promises_no_history_that_cannot_be_stored(
        self, github: FakeGitHub, tmp_path: Path, env: dict[str, str], reason: str
    ) -> None:
        found = look({**job_environment(github, tmp_path, "push"), **env}, tmp_path)
        assert found["History"].state is found["Artifacts"].state is Health.WARNING
        assert "cannot store anything" in found["History"].detail and reason in found["History"].detail
        assert "the next builds do it" not in found["History"].detail
        assert found["History"].line_to_add == "history_url: a folder that outlives the build"
        assert reason in found["Artifacts"].detail and "`run:`" not in found["Artifacts"].detail


class TestLargeMatrix:
    def test_a_job_that_is_not_green_is_shown_at_once(self, github: FakeGitHub, tmp_path: Path) -> None:
        run = github.add_run("pull_request", "b" * 40, "feature")
        for number in range(1, 6):
            folder = tmp_path / str(number)
            folder.mkdir()
            adapter = open_job(github, folder, run=run, job=f"test-{number}")
            config: dict[str, Any] = {"shard": f"leg {number}", "shard_total": FEW + 2, **LEAN}
            report(adapter, folder, failures=int(number == 5), **config)
        (comment,) = github.comments(42)  # and then all others are cancelled
        assert "1 failure" in comment.body and "leg 5" in comment.body

    def test_many_that_are_red_read_each_other_only_now_and_then(self) -> None:
        host, total, updates = FakeHost(), 128, 0
        for number in range(total):
            siblings = Siblings(JobAdapter(context=PULL_REQUEST, host=host), "Test results")
            siblings.put(leg(f"leg {number}", new=1), 3)
            is_due = siblings.is_due(siblings.listed(), total)
            assert is_due or FEW_RED <= number < total - 1
            updates += is_due
        assert updates <= 2 * FEW_RED
