"""``ci-bridge doctor``: every gap by its name, with the line that closes it, and nothing changed by looking."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ci_bridge import platforms
from ci_bridge.console import print_findings
from ci_bridge.doctor import examine, exit_code_of
from ci_bridge.history.folder_store import FolderStore
from ci_bridge.models import BuildContext, StoredObject
from ci_bridge.platforms.github import connect
from ci_bridge.preparation import prepare
from ci_bridge.protocols import Adapter, Finding, Health, SupportsStore
from tests.fakes.adapter import FakeAdapter
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD, MERGE, job_environment
from tests.fakes.github_state import PERMISSIONS

GREEN = '<testsuite name="s"><testcase classname="c" name="a" time="1"/></testsuite>'


def look(env: Mapping[str, str], workspace: Path, **config: Any) -> dict[str, Finding]:
    loaded, platform, context = prepare(config, env, workspace)
    if platform.name == "github":
        platform = replace(platform, connect=connect)
    return by_title(examine(loaded, platform, context, env=env, workspace=workspace))


def by_title(findings: Sequence[Finding]) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for finding in findings:
        if finding.title == "Connection" and finding.title in found:  # one for each warning on the way
            finding = replace(finding, detail=f"{found[finding.title].detail}; {finding.detail}")
        else:
            assert finding.title not in found
        found[finding.title] = finding
    return found


def given_all_but(*missing: str) -> dict[str, str]:
    return {name: "write" for name in PERMISSIONS if name not in missing}


@pytest.fixture
def closed(github: FakeGitHub) -> FakeGitHub:
    """A private repository that knows its commits, as a real one does."""
    github.repository.private = True
    github.repository.known = {HEAD, MERGE}
    return github


class TestGitHub:
    def test_a_job_with_every_permission_has_no_gap(self, closed: FakeGitHub, tmp_path: Path) -> None:
        env = job_environment(closed, tmp_path, "pull_request")
        found = look(env, tmp_path)
        for title in ("Token", "Rate limit", "Check runs", "Commit statuses", "Comments", "History and artifacts"):
            assert found[title].state is Health.OK, found[title]
            assert found[title].line_to_add == ""
        assert found["Artifacts"].state is Health.OK
        assert "installation token" in found["Token"].detail
        assert "of 1000 calls" in found["Rate limit"].detail

    def test_looking_creates_nothing(self, closed: FakeGitHub, tmp_path: Path) -> None:
        env = job_environment(closed, tmp_path, "pull_request")
        before = sorted(path for path in tmp_path.rglob("*"))
        look(env, tmp_path)
        assert closed.check_runs == [] and closed.comments(42) == []
        assert closed.repository.statuses == []
        assert closed.artifacts == []
        assert sorted(path for path in tmp_path.rglob("*")) == before
        assert len(closed.calls) <= 8

    @pytest.mark.parametrize(
        ("missing", "title", "line"),
        [
            (["checks"], "Check runs", "checks: write"),
            (["statuses"], "Commit statuses", "statuses: write"),
            (["pull-requests", "issues"], "Comments", "pull-requests: write"),
            (["actions"], "History and artifacts", "actions: read"),
        ],
    )
    @pytest.mark.parametrize("kind", ["installation", "fine-grained"])
    def test_a_permission_that_is_missing_is_named_by_its_line(
        self, closed: FakeGitHub, tmp_path: Path, kind: str, missing: list[str], title: str, line: str
    ) -> None:
        token = closed.add_token(kind, given_all_but(*missing))
        found = look(job_environment(closed, tmp_path, "pull_request", token=token), tmp_path)
        assert (found[title].state, found[title].line_to_add) == (Health.PROBLEM, line)
        assert [one.title for one in found.values() if one.state is Health.PROBLEM] == [title]
        assert "permissions:" in found[title].detail

    def test_a_fine_grained_token_is_told_by_its_kind(self, closed: FakeGitHub, tmp_path: Path) -> None:
        env = job_environment(closed, tmp_path, token=closed.add_token("fine-grained"))
        assert look(env, tmp_path)["Token"].detail == "a fine-grained personal access token"

    def test_a_classic_token_is_told_with_its_scopes_and_cannot_write_checks(
        self, closed: FakeGitHub, tmp_path: Path
    ) -> None:
        env = job_environment(closed, tmp_path, "pull_request", token=closed.add_token("classic"))
        found = look(env, tmp_path)
        assert found["Token"].detail == "a classic personal access token (scopes: repo, workflow)"
        assert found["Check runs"].state is Health.PROBLEM
        assert found["Check runs"].line_to_add == "GITHUB_TOKEN: ${{ github.token }}"
        assert found["Commit statuses"].state is found["Comments"].state is Health.OK

    def test_a_classic_token_without_the_scope_for_private_repositories(
        self, closed: FakeGitHub, tmp_path: Path
    ) -> None:
        token = closed.add_token("classic", scopes=("gist",))
        found = look(job_environment(closed, tmp_path, token=token), tmp_path)
        assert found["Token"].state is Health.PROBLEM and "does not see this repository" in found["Token"].detail

    def test_no_token(self, closed: FakeGitHub, tmp_path: Path) -> None:
        found = look(job_environment(closed, tmp_path, token=None), tmp_path)
        assert found["Token"].state is Health.PROBLEM
        assert found["Token"].line_to_add == "GITHUB_TOKEN: ${{ github.token }}"
        assert closed.calls == []

    def test_a_token_that_is_not_accepted_is_said_once(self, closed: FakeGitHub, tmp_path: Path) -> None:
        found = look(job_environment(closed, tmp_path, token="expired-" + "token"), tmp_path)
        assert found["Token"].state is Health.PROBLEM and "not accepted" in found["Token"].detail
        assert "Check runs" not in found

    def test_a_forks_token_only_reads_and_no_line_changes_that(self, closed: FakeGitHub, tmp_path: Path) -> None:
        found = look(job_environment(closed, tmp_path, "fork"), tmp_path)
        assert "comes from a fork" in found["Token"].detail
        for title in ("Check runs", "Commit statuses", "Comments"):
            assert found[title].state is Health.PROBLEM
            assert "ci-bridge collect" in found[title].line_to_add

    def test_a_run_step_cannot_upload(self, closed: FakeGitHub, tmp_path: Path) -> None:
        found = look(job_environment(closed, tmp_path, uploads=False), tmp_path)
        assert found["Artifacts"].state is Health.WARNING
        assert found["Artifacts"].line_to_add == "- uses: ci-bridge/ci-bridge@v0"

    def test_outside_of_a_pull_request_nobody_can_tell_of_comments(self, closed: FakeGitHub, tmp_path: Path) -> None:
        found = look(job_environment(closed, tmp_path, "push"), tmp_path)
        assert found["Comments"].state is Health.UNKNOWN and "pull-requests: write" in found["Comments"].detail

    def test_few_calls_left_are_a_warning(self, closed: FakeGitHub, tmp_path: Path) -> None:
        closed.limit.used = 970
        found = look(job_environment(closed, tmp_path), tmp_path)
        assert found["Rate limit"].state is Health.WARNING

    def test_no_more_calls_left_leave_things_unknown(self, closed: FakeGitHub, tmp_path: Path) -> None:
        closed.limit.used = 1000
        found = look(job_environment(closed, tmp_path), tmp_path)
        assert found["Token"].state is Health.UNKNOWN

    def test_a_runner_that_is_not_githubs_is_told(self, closed: FakeGitHub, tmp_path: Path) -> None:
        env = {**job_environment(closed, tmp_path), "GITEA_ACTIONS": "true"}
        found = look(env, tmp_path)
        assert "Gitea" in found["Connection"].detail
        assert closed.calls == []

    @pytest.mark.parametrize("kind", ["installation", "fine-grained", "classic", "fork"])
    def test_no_token_is_ever_shown(
        self,
        closed: FakeGitHub,
        tmp_path: Path,
        kind: str,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.DEBUG)
        token = closed.add_token(kind)
        env = job_environment(closed, tmp_path, "pull_request", token=token)
        found = look(env, tmp_path)
        print_findings(list(found.values()))
        shown = capsys.readouterr().out + caplog.text + repr(found)
        assert "Token" in shown
        assert token not in shown and env["ACTIONS_RUNTIME_TOKEN"] not in shown


class StoreAdapter(FakeAdapter, SupportsStore):
    """A platform whose store holds bases of these ages in days."""

    store_expires = True
    ages: tuple[float, ...] = ()
    longest: int | None = None

    @property
    def longest_retention(self) -> int | None:
        return self.longest

    def list_objects(self, prefix: str, limit: int, *, every_pipeline: bool = False) -> Sequence[StoredObject]:
        now = datetime.now(UTC)
        return [StoredObject(str(age), "ci-bridge-base", now - timedelta(days=age)) for age in sorted(self.ages)]

    def put_object(self, name: str, data: bytes, retention_days: int) -> StoredObject:
        raise AssertionError("looking stores nothing")

    def list_siblings(self, prefix: str) -> Sequence[StoredObject]:
        return []

    def get_object(self, stored: StoredObject, limit: int) -> bytes:
        return b""

    def delete_object(self, stored: StoredObject) -> None:
        raise AssertionError("looking deletes nothing")


def look_over(
    adapter: FakeAdapter,
    workspace: Path,
    probe: Callable[[Adapter, BuildContext], Iterable[Finding]] | None = None,
    seconds: float = 120,
    **config: Any,
) -> dict[str, Finding]:
    """With an adapter of a platform that offers nothing else."""
    loaded, _, context = prepare(config, {}, workspace)
    loaded = replace(loaded, settings=replace(loaded.settings, deadline_seconds=seconds))
    platform = replace(platforms.load("local"), name="fake", connect=lambda _env, _credentials: adapter, probe=probe)
    return by_title(examine(loaded, platform, context, env={}, workspace=workspace))


class TestEverywhere:
    def test_a_laptop_needs_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "junit.xml").write_text(GREEN)
        subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
        found = look({}, tmp_path)
        assert [one for one in found.values() if one.state is Health.PROBLEM] == []
        assert found["Results"].detail.startswith("1 case in 1 file (junit)")
        assert found["Git"].state is Health.OK
        assert exit_code_of(list(found.values())) == 0

    def test_no_results_yet_are_a_warning_with_the_option_to_set(self, tmp_path: Path) -> None:
        found = look({}, tmp_path)["Results"]
        assert found.state is Health.WARNING and found.line_to_add.startswith("results:")

    def test_damaged_results_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "junit.xml").write_text(GREEN[:-30])
        found = look({}, tmp_path)["Results"]
        assert found.state is Health.WARNING and "junit.xml" in found.detail

    def test_warnings_of_the_configuration_are_findings(self, tmp_path: Path) -> None:
        (tmp_path / "ci-bridge.toml").write_text('api_url = "https://evil.example"\n')
        env = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "7", "CI_PROJECT_PATH": "acme/shop"}
        found = look(env, tmp_path)["Configuration"]
        assert found.state is Health.WARNING and "api_url" in found.detail

    def test_no_git_and_no_checkout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "no checkout" in look({}, tmp_path)["Git"].detail
        monkeypatch.setenv("PATH", str(tmp_path))
        assert "not installed" in look({}, tmp_path)["Git"].detail

    def test_a_folder_that_cannot_be_written_is_a_problem(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        found = look({}, tmp_path, artifact_dir="taken")
        assert found["Reports"].state is Health.PROBLEM and "artifact_dir" in found["Reports"].line_to_add
        assert exit_code_of(list(found.values())) == 1

    def test_a_platform_without_an_adapter_says_so(self, tmp_path: Path) -> None:
        env = {"TRAVIS": "true", "TRAVIS_REPO_SLUG": "acme/shop"}
        found = look(env, tmp_path)["Platform"]
        assert found.state is Health.WARNING and "no adapter" in found.detail

    @pytest.mark.parametrize(
        ("ages", "state", "text"),
        [
            ((), Health.WARNING, "no compaction has been made yet"),
            ((0.5, 1.5, 9.5), Health.OK, "was 8.0 days"),
            ((3, 12), Health.WARNING, "was 9.0 days"),
            ((3, 21), Health.PROBLEM, "was 18.0 days: runs are lost"),
            ((31,), Health.PROBLEM, "was 31.0 days: runs are lost"),
        ],
    )
    def test_retention_and_the_gap_between_compactions_are_both_told(
        self, tmp_path: Path, ages: tuple[float, ...], state: Health, text: str
    ) -> None:
        adapter = StoreAdapter(context=BuildContext("fake"))
        adapter.ages = ages
        found = look_over(adapter, tmp_path)["History"]
        assert found.state is state and text in found.detail and "kept 30 days, bases 14" in found.detail
        assert bool(found.line_to_add) is (len(ages) > 0 and state is not Health.OK)
        assert adapter.closed

    def test_a_store_that_keeps_less_than_is_asked_for_is_told_by_its_own_number(self, tmp_path: Path) -> None:
        adapter = StoreAdapter(context=BuildContext("fake"))
        adapter.ages, adapter.longest = (1, 6), 5
        found = look_over(adapter, tmp_path)["History"]
        assert found.state is Health.PROBLEM and "kept 5 days, bases 5" in found.detail

    def test_a_folder_that_keeps_the_history_is_looked_at_in_the_same_way(self, tmp_path: Path) -> None:
        store = FolderStore(tmp_path / "kept")
        found = look_over(FakeAdapter(context=BuildContext("fake")), tmp_path, history_url="kept")["History"]
        assert found.state is Health.WARNING and "no compaction has been made yet" in found.detail
        assert not (tmp_path / "kept").exists()
        for age in (1, 41):
            base = store.put_object("ci-bridge-base", b"x", 14)
            moment = (datetime.now(UTC) - timedelta(days=age)).timestamp()
            os.utime(tmp_path / "kept" / base.id, (moment, moment))
        found = look_over(FakeAdapter(context=BuildContext("fake")), tmp_path, history_url="kept")["History"]
        # Nothing is dropped there before a base covers it, so that a long gap loses nothing.
        assert found.state is Health.OK and "kept 30 days" in found.detail and "was 40.0 days" in found.detail

    def test_a_history_in_one_file_needs_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "history-x.sqlite").touch()
        adapter = FakeAdapter(context=BuildContext("fake"))
        found = look_over(adapter, tmp_path, history_url=".", history_key="x")["History"]
        assert found.state is Health.OK and "one file" in found.detail

    def test_an_api_that_hangs_costs_what_was_not_found_yet(self, tmp_path: Path) -> None:
        released = threading.Event()

        def probe(_adapter: Adapter, _context: BuildContext) -> Iterator[Finding]:
            yield Finding("First", Health.OK, "found in time")
            released.wait()

        adapter = FakeAdapter(context=BuildContext("fake"))
        found = look_over(adapter, tmp_path, probe, seconds=0.05)
        released.set()
        assert found["First"].state is Health.OK
        assert found["Connection"].state is Health.UNKNOWN and "deadline_seconds" in found["Connection"].detail
        assert "History" not in found and adapter.closed

    def test_a_platform_of_another_package_that_breaks_costs_no_more_than_its_findings(self, tmp_path: Path) -> None:
        def probe(_adapter: Adapter, _context: BuildContext) -> Iterator[Finding]:
            yield Finding("First", Health.OK, "found")
            raise KeyError("gone")

        found = look_over(FakeAdapter(context=BuildContext("fake")), tmp_path, probe)
        assert found["First"].state is Health.OK and "KeyError" in found["Connection"].detail

    def test_a_required_channel_that_is_not_there_is_a_problem(self, tmp_path: Path) -> None:
        class Bare:
            context = BuildContext("fake")

            def close(self) -> None: ...

        found = look_over(Bare(), tmp_path, required_channels=["comment"])  # type: ignore[arg-type]
        assert found["Required channel"].state is Health.PROBLEM
        assert "no comments" in found["Deliveries"].detail
        assert found["History"].state is Health.WARNING

    def test_the_command_answers_json_and_its_exit_code(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        done = subprocess.run(
            [sys.executable, "-m", "ci_bridge", "doctor", "--json", "-o", "artifact_dir=taken"],
            cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        facts = json.loads(done.stdout)
        assert (done.returncode, facts["exit_code"], facts["platform"]) == (1, 1, "local")
        assert {"title", "state", "detail", "line_to_add"} == set(facts["findings"][0])
        wrong = subprocess.run(
            [sys.executable, "-m", "ci_bridge", "doctor", "-o", "fail_on=sometimes"],
            cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert wrong.returncode == 2
