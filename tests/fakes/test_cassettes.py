"""What a cassette holds, and what it refuses to play."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from vcr.errors import CannotOverwriteExistingCassetteException  # type: ignore[import-untyped]

from tests.fakes.cassettes import cassette
from tests.fakes.server import FakeServer, Request, Response

SECRET = "not-a-real-secret"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    def answer(request: Request) -> Response:
        body = {"said": request.body.decode(), "created_at": "2026-05-05T05:05:05Z", "by": SECRET}
        return Response.json(200, body, {"Set-Cookie": f"session={SECRET}", "Location": f"http://x/?sig={SECRET}&a=1"})

    fake = FakeServer(answer)
    yield fake
    fake.close()


def ask(origin: str, body: str = "hello", accept: str = "application/json") -> requests.Response:
    return requests.post(
        f"{origin}/things?sig={SECRET}&page=2",
        data=f"{body} {SECRET}",
        headers={"Authorization": f"Bearer {SECRET}", "Cookie": SECRET, "X-Own": SECRET, "Accept": accept},
        timeout=5,
    )


@pytest.fixture
def tape(server: FakeServer, tmp_path: Path) -> Path:
    """One recorded exchange."""
    path = tmp_path / "one.yaml"
    with cassette(path, {server.origin: "https://api.example", SECRET: "scrubbed"}, "fake"):
        assert ask(server.origin).json()["by"] == SECRET  # the test itself sees the truth
    return path


def test_nothing_secret_and_nothing_of_the_machine_is_recorded(tape: Path, server: FakeServer) -> None:
    text = tape.read_text(encoding="utf-8")
    assert SECRET not in text
    assert str(server.port) not in text
    for header in ("uthorization", "ookie", "X-Own"):
        assert header not in text
    assert "page=2" in text


def test_a_recording_is_played_without_the_platform(tape: Path, server: FakeServer) -> None:
    with cassette(tape, {SECRET: "scrubbed"}, "none"):
        answer = ask("https://api.example")
    assert answer.json() == {"said": "hello scrubbed", "created_at": "2026-01-01T00:00:00Z", "by": "scrubbed"}
    assert answer.headers["Location"] == "http://x/?sig=scrubbed&a=1"
    assert len(server.log) == 1


@pytest.mark.parametrize("change", [{"body": "other"}, {"accept": "text/plain"}, {"origin": "https://other.example"}])
def test_a_call_that_differs_is_not_answered(tape: Path, change: dict[str, str]) -> None:
    with (
        pytest.raises(CannotOverwriteExistingCassetteException),
        cassette(tape, {SECRET: "scrubbed"}, "none"),
    ):
        ask(**{"origin": "https://api.example", **change})


def test_a_recorded_call_that_is_not_made_fails(tape: Path) -> None:
    with (
        pytest.raises(AssertionError, match="1 recorded exchanges were not asked for"),
        cassette(tape, {}, "none"),
    ):
        pass


def test_the_real_platform_is_recorded_only_where_no_cassette_is(tape: Path, server: FakeServer) -> None:
    with (
        pytest.raises(CannotOverwriteExistingCassetteException),
        cassette(tape, {server.origin: "https://api.example", SECRET: "scrubbed"}, "once"),
    ):
        ask(server.origin, body="other")
    assert len(server.log) == 1
