"""The loopback server: its log, and each fault as a client sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
import requests

from tests.fakes.server import (
    FakeServer,
    Request,
    Response,
    dripping,
    failing,
    moved,
    reset,
    slow,
    too_many,
    truncated,
    wait_until,
    web_page,
)


@pytest.fixture
def done() -> list[Request]:
    return []


@pytest.fixture
def server(done: list[Request]) -> Iterator[FakeServer]:
    """Answers everything; ``done`` holds what was carried out."""

    def answer(request: Request) -> Response:
        done.append(request)
        return Response.json(200, {"done": len(done)})

    fake = FakeServer(answer)
    yield fake
    fake.close()


def get(server: FakeServer, path: str = "/", **more: object) -> requests.Response:
    return requests.get(server.origin + path, timeout=5, allow_redirects=False, **more)  # type: ignore[arg-type]


def test_a_request_is_logged_with_its_parts(server: FakeServer) -> None:
    requests.post(f"{server.origin}/a%2Fb/c?x=1&y=", json={"k": 1}, headers={"X-Some": "v"}, timeout=5)
    (request,) = server.requests("POST", "^/a")
    assert request.parts == ["a/b", "c"]
    assert request.query == {"x": "1", "y": ""}
    assert request.json() == {"k": 1}
    assert request.headers["x-some"] == "v"
    assert request.authorization is None
    assert server.log[0].status == 200


def test_a_body_in_chunks_is_read_whole(server: FakeServer) -> None:
    requests.put(server.origin, data=iter([b"one", b"two"]), timeout=5)
    assert server.requests()[0].body == b"onetwo"


def test_a_connection_is_kept_and_calls_are_quick(server: FakeServer) -> None:
    start = time.monotonic()
    with requests.Session() as session:
        for _ in range(50):
            assert session.get(server.origin, timeout=5).status_code == 200
    assert time.monotonic() - start < 1.5  # a delayed ACK for each would make it two seconds and more


@pytest.mark.parametrize("value", [None, "3", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"])
def test_too_many_requests_come_with_any_retry_after(server: FakeServer, done: list[Request], value: str) -> None:
    server.inject(too_many(value))
    answer = get(server)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (429, value)
    assert done == []
    assert get(server).status_code == 200


def test_a_rule_strikes_so_many_times_and_only_what_it_is_for(server: FakeServer) -> None:
    server.inject(failing(503, method="GET", path="^/a", times=2, skip=1))
    codes = [get(server, "/a").status_code for _ in range(5)]
    assert codes == [200, 503, 503, 200, 200]
    assert get(server, "/b").status_code == 200
    assert [line.fault for line in server.log] == ["", "503", "503", "", "", ""]


def test_a_rule_without_a_number_strikes_for_ever(server: FakeServer) -> None:
    server.inject(failing(times=None))
    assert {get(server).status_code for _ in range(5)} == {502}


@pytest.mark.parametrize("committed", [False, True])
def test_an_error_comes_before_or_after_the_deed(server: FakeServer, done: list[Request], committed: bool) -> None:
    server.inject(failing(502, committed=committed))
    assert get(server).status_code == 502
    assert len(done) == committed


@pytest.mark.parametrize("committed", [False, True])
def test_a_reset_comes_before_or_after_the_deed(server: FakeServer, done: list[Request], committed: bool) -> None:
    server.inject(reset(committed=committed))
    with pytest.raises(requests.ConnectionError, match=r"reset|aborted"):
        get(server)
    wait_until(lambda: len(server.log) == 1)
    assert len(done) == committed
    assert get(server).status_code == 200


def test_a_truncated_answer_announces_more_than_it_holds(server: FakeServer, done: list[Request]) -> None:
    server.inject(truncated())
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        get(server)
    assert len(done) == 1


def test_a_slow_answer_outlasts_a_time_out(server: FakeServer) -> None:
    server.inject(slow(5))
    with pytest.raises(requests.ReadTimeout):
        requests.get(server.origin, timeout=0.1)


def test_a_dripping_answer_outlasts_every_socket_time_out(server: FakeServer) -> None:
    server.inject(dripping(0.03))
    start = time.monotonic()
    assert requests.get(server.origin, timeout=0.2).json() == {"done": 1}
    assert time.monotonic() - start > 0.3


def test_a_page_for_people_comes_with_200(server: FakeServer) -> None:
    server.inject(web_page())
    answer = get(server)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_a_redirection_leads_anywhere(server: FakeServer) -> None:
    server.inject(moved("http://127.0.0.1:1/elsewhere"))
    answer = get(server)
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:1/elsewhere")


def test_a_server_closes_at_once_while_an_answer_is_delayed(done: list[Request]) -> None:
    server = FakeServer(lambda _: Response(200))
    server.inject(slow(60))
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/")
    wait_until(lambda: len(server.log) == 1)
    start = time.monotonic()
    server.close()
    connection.close()
    assert time.monotonic() - start < 5


def test_a_closed_server_answers_no_kept_connection() -> None:
    server = FakeServer(lambda _: Response(200))
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b""
    server.close()
    with pytest.raises((ConnectionError, OSError)):
        connection.request("GET", "/")
        connection.getresponse()
    connection.close()
    assert len(server.log) == 1


def test_a_fake_that_breaks_is_told(done: list[Request]) -> None:
    def broken(_: Request) -> Response:
        raise KeyError("mistake of the fake")

    server = FakeServer(broken)
    with pytest.raises(requests.ConnectionError):
        requests.get(server.origin, timeout=5)
    wait_until(lambda: bool(server.crashes))
    server.close()
    assert "mistake of the fake" in server.crashes[0]
