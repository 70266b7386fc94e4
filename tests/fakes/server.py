"""A loopback HTTP server for fakes: it logs, checks the contract, and injects faults by rule.

A fake hands it a function from :class:`Request` to :class:`Response`; state and rules of a platform live there.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.contracts.checker import Checker


@dataclass(frozen=True)
class Request:
    """One request as it came. Header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def parts(self) -> list[str]:
        """The path's segments, decoded."""
        return [unquote(part) for part in self.path.split("/")[1:]]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Response:
    """One answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        return cls(status, json.dumps(value).encode(), {**kind, **(headers or {})})


@dataclass(frozen=True)
class Exchange:
    """One line of the log. ``fault`` names the rule that interfered."""

    request: Request
    status: int | None
    fault: str = ""


@dataclass
class Fault:
    """A rule that spoils some answers.

    Attributes:
        name: For the log.
        answer: Sent instead; None where the connection itself is spoilt, or nothing but time is taken.
        method: Of the requests it is for, ``""`` for all.
        path: Regular expression that some part of path and query must match.
        times: How many requests it spoils; None for all.
        skip: How many matching requests pass before.
        committed: True if the fake does what was asked before the answer is spoilt.
        delay: Seconds before the answer.
        truncate: True to send half of the fake's own answer and hang up.
        reset: True to reset the connection instead of an answer.
        drip: Seconds between single bytes of the fake's own answer.
        honest: False where the answer is none that the platform would give, so the contract is not asked.
    """

    name: str
    answer: Response | None = None
    method: str = ""
    path: str = ""
    times: int | None = 1
    skip: int = 0
    committed: bool = False
    delay: float = 0.0
    truncate: bool = False
    reset: bool = False
    drip: float = 0.0
    honest: bool = False

    def takes(self, request: Request) -> bool:
        """True if this request is one to spoil; counts."""
        if self.times == 0 or self.method not in ("", request.method) or not re.search(self.path, request.target):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FakeServer:
    """Serves one origin on 127.0.0.1 until closed.

    Attributes:
        log: Every exchange in the order of arrival.
        faults: The rules in force; the first that takes a request has it.
        checker: None where no contract is asked.
    """

    def __init__(self, answer: Callable[[Request], Response], checker: Checker | None = None, name: str = "") -> None:
        self.name = name
        self.checker = checker
        self.log: list[Exchange] = []
        self.faults: list[Fault] = []
        self.crashes: list[str] = []
        self.answer = answer
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def origin(self) -> str:
        """Scheme, host and port, no slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop at once, waiting faults and kept connections included."""
        self._closing.set()
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes the loop; serve_forever would poll
        self._thread.join()
        self._server.server_close()
        self._server.hang_up()

    def _accept(self) -> None:
        while not self._closing.is_set():
            self._server.handle_request()

    def requests(self, method: str = "", path: str = "") -> list[Request]:
        """The logged requests of this method whose target matches this expression."""
        with self._lock:
            return [
                line.request
                for line in self.log
                if method in ("", line.request.method) and re.search(path, line.request.target)
            ]

    def inject(self, fault: Fault) -> Fault:
        """Put a rule in force."""
        with self._lock:
            self.faults.append(fault)
        return fault

    def _serve(self, handler: _Handler, request: Request) -> None:
        with self._lock:
            fault = next((fault for fault in self.faults if fault.takes(request)), None)
        operation = None
        if self.checker:
            operation = self.checker.request(request.method, request.target, request.headers, request.body)
        own = fault is None or fault.committed or fault.truncate or fault.drip or (not fault.answer and not fault.reset)
        response = self.answer(request) if own else None
        if fault and fault.answer:
            response = fault.answer
        with self._lock:
            self.log.append(Exchange(request, response.status if response else None, fault.name if fault else ""))
        if response and operation and self.checker and (fault is None or fault.honest or not fault.answer):
            headers = {name.lower(): value for name, value in response.headers.items()}
            self.checker.response(operation, response.status, headers, response.body)
        if fault and fault.delay:
            self._closing.wait(fault.delay)
        if (fault and fault.reset) or response is None:
            handler.reset()
        else:
            handler.send(
                response,
                truncate=bool(fault and fault.truncate),
                pause=fault.drip if fault else 0.0,
                closing=self._closing,
            )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a keep-alive connection would hold the test until its client goes
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: FakeServer) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep."""
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):  # its own thread closes it at this moment
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no matter; a fake that broke is, and is told at the end of the test."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError | BrokenPipeError):
            self.owner.crashes.append("".join(traceback.format_exception(error)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # with TCP_NODELAY: else each call on a kept connection waits 40 ms for a delayed ACK
    disable_nagle_algorithm = True
    server: _Server

    def _any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.owner._serve(self, Request(self.command, self.path, headers, self._read_body(headers)))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _any

    def _read_body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(headers.get("content-length", "0")))

    def send(self, response: Response, *, truncate: bool, pause: float, closing: threading.Event) -> None:
        """Write the answer, whole or spoilt."""
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        body = response.body if self.command != "HEAD" else b""
        if pause:
            for number in range(len(body)):
                self.wfile.write(body[number : number + 1])
                self.wfile.flush()
                if closing.wait(pause):
                    break
            return
        self.wfile.write(body[: len(body) // 2] if truncate else body)
        self.wfile.flush()
        if truncate:
            self.close_connection = True

    def reset(self) -> None:
        """Make the kernel answer the client with RST."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """The log is :attr:`FakeServer.log`."""


def too_many(retry_after: str | None = None, **rule: Any) -> Fault:
    """429, with this ``Retry-After`` if one is given: seconds, an HTTP date or anything else."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Fault("429", Response.json(429, {"message": "Too many requests"}, headers), **rule)


def failing(status: int = 502, **rule: Any) -> Fault:
    """A server error, in HTML as a load balancer writes it."""
    page = b"<html><body><h1>Server Error</h1></body></html>"
    return Fault(f"{status}", Response(status, page, {"Content-Type": "text/html"}), **rule)


def web_page(**rule: Any) -> Fault:
    """200 with a page for people: what a proxy or a sign-in wall answers."""
    page = b"<!DOCTYPE html><html><title>Sign in</title></html>"
    return Fault("HTML", Response(200, page, {"Content-Type": "text/html; charset=utf-8"}), **rule)


def moved(location: str, status: int = 302, **rule: Any) -> Fault:
    """A redirection to anywhere."""
    return Fault(f"{status}", Response(status, b"", {"Location": location}), **rule)


def truncated(**rule: Any) -> Fault:
    """Half of the true answer."""
    return Fault("truncated", truncate=True, **rule)


def reset(**rule: Any) -> Fault:
    """The connection is reset, before or (``committed=True``) after the request was carried out."""
    return Fault("reset", reset=True, **rule)


def slow(seconds: float, **rule: Any) -> Fault:
    """The true answer, late."""
    return Fault("slow", delay=seconds, **rule)


def dripping(pause: float, **rule: Any) -> Fault:
    """The true answer, byte by byte: no socket time-out ever ends it."""
    return Fault("dripping", drip=pause, **rule)


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what another thread does; fails after this long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
