"""What the adapter puts on the wire is what it put there when the cassettes were recorded; see cassettes/README.md."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ci_bridge.errors import CIBridgeError
from ci_bridge.models import Credentials
from ci_bridge.platforms.github import connect
from ci_bridge.platforms.github.adapter import GitHubAdapter
from tests.fakes.cassettes import MODE, VARIABLES, cassette
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD, job_environment
from tests.platforms.github import tour

FOLDER = Path(__file__).parent / "cassettes"
ORIGINS = {
    "api": "https://api.github.com",
    "results": "https://results-receiver.actions.githubusercontent.com",
    "blobs": "https://blobs.example",
}


def store(adapter: GitHubAdapter) -> None:
    """An object is put, found among the run's own and read back; the trusted ones are found too."""
    adapter.put_object("history-segment", b"one segment", 7)
    (sibling,) = adapter.list_siblings("history-")
    assert adapter.get_object(sibling, 1000) == b"one segment"
    (base,) = adapter.list_objects("history-base", 10)
    assert adapter.get_object(base, 1000) == b"the base"


SCENES: Mapping[str, Callable[[GitHubAdapter], object]] = {
    "check-run-and-status": tour.show,
    "comments": tour.talk,
    "store": store,
}


@pytest.fixture
def github(github: FakeGitHub) -> FakeGitHub:
    """The stand-in, with something to find."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(zipfile.ZipInfo("object"), b"the base")
    github.add_artifact("history-base", held.getvalue(), github.add_run())
    return github


@pytest.fixture
def env(github: FakeGitHub, tmp_path: Path) -> dict[str, str]:
    """A pull request's job, as its cassettes know it."""
    if MODE == "once":
        return dict(VARIABLES)
    env = job_environment(github, tmp_path, "pull_request")
    github.add_comment(42, "Nice.", "octocat")
    return env


def names(github: FakeGitHub, env: Mapping[str, str]) -> dict[str, str]:
    """What is called differently at each recording -> what stands for it."""
    found = {server.origin: ORIGINS[server.name] for server in github.servers}
    for run in github.repository.runs.values():
        found[run.backend] = f"run-{run.id}"
        found |= {job.backend: f"job-{job.id}" for job in run.jobs}
    if MODE == "once":
        found[env["GITHUB_REPOSITORY"]] = "acme/shop"
        found[env["GITHUB_HEAD_SHA"]] = HEAD
        found |= {env[name]: "scrubbed" for name in ("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN") if env.get(name)}
    return found


def played(env: Mapping[str, str], github: FakeGitHub) -> dict[str, str]:
    """The environment with GitHub's own addresses: a call that no cassette answers cannot reach the stand-in."""
    moved = dict(env)
    for server in github.servers:
        moved = {name: value.replace(server.origin, ORIGINS[server.name]) for name, value in moved.items()}
    return moved


@pytest.mark.parametrize("scene", SCENES)
def test_the_wire_looks_as_it_was_recorded(github: FakeGitHub, env: dict[str, str], scene: str) -> None:
    with cassette(FOLDER / f"{scene}.yaml", names(github, env)):
        adapter = connect(env if MODE != "none" else played(env, github), Credentials())
        assert isinstance(adapter, GitHubAdapter)
        SCENES[scene](adapter)
        adapter.close()
    if MODE == "none":
        assert [server.log for server in github.servers] == [[], [], []]


@pytest.mark.skipif(MODE != "none", reason="VCR_RECORD: the cassettes are being made")
def test_another_wire_is_not_let_through(github: FakeGitHub, env: dict[str, str]) -> None:
    adapter = connect(played(env, github), Credentials())
    assert isinstance(adapter, GitHubAdapter)
    with (
        pytest.raises(CIBridgeError),
        cassette(FOLDER / "comments.yaml", names(github, env)),
    ):
        adapter.create_comment("42", "another body")
    with (
        pytest.raises(AssertionError, match="were not asked for"),
        cassette(FOLDER / "comments.yaml", names(github, env)),
    ):
        adapter.pull_requests_of(HEAD)
    adapter.close()


def test_the_cassettes_hold_no_secrets_and_no_addresses_of_a_machine() -> None:
    for scene in SCENES:
        text = (FOLDER / f"{scene}.yaml").read_text(encoding="utf-8")
        assert "uthorization" not in text
        assert "fake-" not in text
        assert "127.0.0.1" not in text
        assert "sig=" not in text.replace("sig=scrubbed", "")
