"""What a job's variables may hold by mistake or by malice: said at once, and no token leaves for another server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ci_bridge.errors import ConfigError, PlatformError
from ci_bridge.platforms.github.runner import RunnerAdapter
from ci_bridge.protocols import capabilities_of
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment
from tests.platforms.github.opened import open_env


@pytest.fixture
def env(github: FakeGitHub, tmp_path: Path) -> dict[str, str]:
    return job_environment(github, tmp_path, "push")


@pytest.mark.parametrize("address", ["ghes.example/api/v3", "ftp://ghes.example/", "https://", "nonsense"])
def test_a_token_of_another_server_is_not_taken_to_github_com(env: dict[str, str], address: str) -> None:
    with pytest.raises(ConfigError, match="GITHUB_API_URL is no address"):
        open_env(env | {"GITHUB_API_URL": address})


def test_the_option_stands_in_for_an_odd_address(env: dict[str, str]) -> None:
    adapter = open_env(env | {"GITHUB_API_URL": "nonsense"}, api_url=env["GITHUB_API_URL"])
    assert adapter.context.repository == "acme/shop"
    adapter.close()


@pytest.mark.parametrize("token", ["made-up\r\nX-Header: 1", "made\nup", "made\tup", "m\xe4de"])
def test_a_token_that_is_none_is_said_by_its_variable_at_once(env: dict[str, str], token: str) -> None:
    with pytest.raises(ConfigError, match="GITHUB_TOKEN holds characters that no token has") as caught:
        open_env(env | {"GITHUB_TOKEN": token})
    assert token not in str(caught.value)


@pytest.mark.parametrize("repository", ["../..", "acme/..", "acme/.", "./shop", "../shop", "acme/shop/x", "acme"])
def test_no_call_is_made_for_what_is_no_repository(
    env: dict[str, str], github: FakeGitHub, repository: str, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = open_env(env | {"GITHUB_REPOSITORY": repository})
    assert "comments" not in capabilities_of(adapter)
    assert "GITHUB_REPOSITORY does not say which repository this is" in caplog.text
    adapter.close()


@pytest.mark.parametrize("days", ["9" * 5000, "0", "-1", "x", "\u0663"])
def test_an_odd_retention_is_none(env: dict[str, str], days: str) -> None:
    open_env(env | {"GITHUB_RETENTION_DAYS": days}).close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_a_pipe_in_place_of_the_summary_is_not_waited_for(env: dict[str, str], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    adapter = open_env(env | {"GITHUB_STEP_SUMMARY": str(pipe)})
    assert isinstance(adapter, RunnerAdapter)
    with pytest.raises(PlatformError, match="GITHUB_STEP_SUMMARY"):
        adapter.write_summary("text")
    adapter.close()
