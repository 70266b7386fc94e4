"""The session under every SDK: where the token may go, what an answer means, and what never shows."""

from __future__ import annotations

import datetime as dt
import io
import ipaddress
import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests

from ci_bridge.errors import (
    AuthenticationError,
    CIBridgeError,
    ConfigError,
    NotFoundError,
    PermissionDeniedError,
    PlatformError,
    RateLimitedError,
    TransientError,
)
from ci_bridge.platforms._http import ConflictError, InvalidError, Network, Origin, OriginSession, origin_of
from tests.fakes.server import FakeServer, Request, Response, dripping, moved, reset, truncated, web_page

SECRET = "not-a-real-" + "secret-0123456789"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def answer_ok(request: Request) -> Response:
    return Response.json(200, {"path": request.path})


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(answer_ok)
    yield fake
    fake.close()


@pytest.fixture
def other() -> Iterator[FakeServer]:
    fake = FakeServer(answer_ok)
    yield fake
    fake.close()


def session_to(url: str, env: Mapping[str, str] | None = None, **more: object) -> OriginSession:
    settings = {
        "title": "The API",
        "network": Network.from_environment(env or {}),
        "credentials": {"Authorization": f"Bearer {SECRET}"},
        "token_name": "MY_TOKEN",
        "permission": lambda method, path, _said: f"may you {method} {path}?",
        "now": lambda: NOW,
        **more,
    }
    return OriginSession(url, **settings)  # type: ignore[arg-type]


def error_of(call: Callable[[], object]) -> CIBridgeError:
    with pytest.raises(CIBridgeError) as caught:
        call()
    return caught.value


def answering(server: FakeServer, response: Response) -> None:
    server.answer = lambda _request: response


# ---- where the token goes


def test_the_credentials_go_to_the_own_origin(server: FakeServer):
    with session_to(server.origin) as session:
        assert session.get(f"{server.origin}/a").json() == {"path": "/a"}
    assert [line.request.authorization for line in server.log] == [f"Bearer {SECRET}"]


def test_an_sdk_can_not_call_another_origin(server: FakeServer, other: FakeServer):
    with session_to(server.origin) as session:
        for url in (
            f"{other.origin}/a",
            f"http://user:{SECRET}@127.0.0.1:{server.port}/",
            f"https://127.0.0.1:{server.port}/",
        ):
            assert isinstance(error_of(lambda url=url: session.get(url)), PlatformError)  # type: ignore[misc]
    assert not other.log and not server.log


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_is_refused_and_named(server: FakeServer, other: FakeServer, status: int):
    server.inject(moved(f"{other.origin}/stolen?a=b", status))
    with session_to(server.origin) as session:
        error = error_of(lambda: session.get(f"{server.origin}/a"))
    assert isinstance(error, PlatformError) and other.origin in str(error)
    assert not other.log


def test_a_get_follows_its_own_origin_with_the_credentials(server: FakeServer):
    server.inject(moved("/moved?page=2", 301))
    with session_to(server.origin) as session:
        assert session.get(f"{server.origin}/a").json() == {"path": "/moved"}
    assert [line.request.target for line in server.log] == ["/a", "/moved?page=2"]
    assert server.log[1].request.authorization == f"Bearer {SECRET}"


def test_a_post_is_not_sent_again_to_where_it_is_redirected(server: FakeServer):
    server.inject(moved("/elsewhere", 307))
    with session_to(server.origin) as session:
        error = error_of(lambda: session.post(f"{server.origin}/a", json={}))
    assert "redirects a POST" in str(error) and len(server.log) == 1


def test_redirects_in_a_circle_end(server: FakeServer):
    server.inject(moved("/a", times=None))
    with session_to(server.origin) as session:
        error = error_of(lambda: session.get(f"{server.origin}/a"))
    assert "too many redirects" in str(error) and len(server.log) == 4


def test_a_redirect_can_be_taken_by_hand(server: FakeServer):
    server.inject(moved("https://blobs.example/x?sig=1"))
    with session_to(server.origin) as session:
        answer = session.get(f"{server.origin}/a", allow_redirects=False)
    assert answer.headers["Location"] == "https://blobs.example/x?sig=1"


def test_a_session_elsewhere_has_no_credentials(server: FakeServer, other: FakeServer):
    with session_to(server.origin) as session, session.elsewhere(other.origin) as fresh:
        fresh.get(f"{other.origin}/blob")
    assert other.log[0].request.authorization is None


@pytest.mark.parametrize(
    "url", ["http://blobs.example/x", "ftp://blobs.example/x", "https://", "https://a:b@blobs.example/"]
)
def test_storage_may_not_be_less_protected_than_the_api(url: str):
    with session_to("https://api.example") as session:
        assert "not https" in str(error_of(lambda: session.elsewhere(url)))


@pytest.mark.parametrize(
    "url", ["", "api.example", "file:///etc/passwd", "http://", "http://[::1", "http://a:99999/", "https://x\\@y/"]
)
def test_an_address_that_is_none_is_a_wrong_configuration(url: str):
    assert origin_of(url) is None
    assert isinstance(error_of(lambda: session_to(url)), ConfigError)


def test_origins_are_equal_whatever_their_spelling():
    assert (
        origin_of("HTTPS://API.Example:443/v3")
        == origin_of("https://api.example")
        == Origin("https", "api.example", 443)
    )
    assert (
        str(origin_of("http://[::1]:80/")) == "http://[::1]" and str(origin_of("https://a:8443/x")) == "https://a:8443"
    )


def test_netrc_and_the_processs_environment_are_not_read(
    server: FakeServer, other: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", other.origin)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle")
    plain = OriginSession(server.origin, title="x", network=Network())
    plain.get(f"{server.origin}/a")
    assert server.log[0].request.authorization is None and not other.log


# ---- proxies and certificates


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_a_proxy_of_the_given_environment_is_used(server: FakeServer, name: str):
    env = {name: f"127.0.0.1:{server.port}"}
    with session_to("http://api.example:8080", env) as session:
        session.get("http://api.example:8080/a")
    assert server.log[0].request.target == "http://api.example:8080/a"


@pytest.mark.parametrize(
    ("rule", "host", "is_direct"),
    [
        ("*", "api.example", True),
        ("api.example", "api.example", True),
        (".example", "api.example", True),
        ("*.example", "api.example", True),
        ("ample", "api.example", False),
        ("api.example:8080", "api.example", True),
        ("api.example:81", "api.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("other, api.example", "api.example", True),
        ("", "api.example", False),
    ],
)
def test_no_proxy_names_what_is_reached_directly(rule: str, host: str, is_direct: bool):
    network = Network.from_environment({"HTTP_PROXY": "http://proxy.example", "NO_PROXY": rule})
    assert (network.proxies_for(Origin("http", host, 8080)) == {}) is is_direct


def test_a_proxys_password_is_not_shown(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    env = {"HTTPS_PROXY": f"http://user:{SECRET}@127.0.0.1:1"}
    assert SECRET not in repr(Network.from_environment(env))
    with session_to("https://api.example", env) as session:
        error = error_of(lambda: session.get("https://api.example/a"))
    assert isinstance(error, TransientError) and "HTTPS_PROXY" in str(error)
    assert SECRET not in str(error) + caplog.text


def test_a_bundle_that_does_not_exist_is_a_wrong_configuration(tmp_path: Path):
    error = error_of(lambda: Network.from_environment({"SSL_CERT_FILE": str(tmp_path / "none.pem")}))
    assert isinstance(error, ConfigError) and "SSL_CERT_FILE" in str(error)


def test_the_requests_variable_wins_over_the_ssl_variable(tmp_path: Path):
    bundle = tmp_path / "a.pem"
    bundle.touch()
    env = {"REQUESTS_CA_BUNDLE": str(bundle), "SSL_CERT_FILE": str(tmp_path / "none.pem")}
    assert Network.from_environment(env).verify == str(bundle)
    assert Network.from_environment({}).verify is True


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem, private = tmp_path / "ca.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    web = HTTPServer(("127.0.0.1", 0), _Handler)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    thread = threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{web.server_address[1]}", pem
    web.shutdown()
    web.server_close()
    thread.join()


def test_an_untrusted_certificate_is_refused_for_good(tls_server: tuple[str, Path]):
    with session_to(tls_server[0]) as session:
        error = error_of(lambda: session.get(f"{tls_server[0]}/a"))
    assert type(error) is PlatformError  # not transient: a second try would be no safer
    assert "not secure" in str(error) and "SSL_CERT_FILE" in str(error)


def test_a_named_authority_is_trusted(tls_server: tuple[str, Path]):
    with session_to(tls_server[0], {"SSL_CERT_FILE": str(tls_server[1])}) as session:
        assert session.get(f"{tls_server[0]}/a").status_code == 200


def test_no_sdk_can_switch_verification_off(tls_server: tuple[str, Path]):
    with session_to(tls_server[0]) as session:
        session.verify = False
        assert "not secure" in str(error_of(lambda: session.get(f"{tls_server[0]}/a", verify=False)))


def test_plain_http_is_warned_of_once(server: FakeServer, caplog: pytest.LogCaptureFixture):
    with session_to(server.origin) as session:
        session.get(f"{server.origin}/a")
        session.get(f"{server.origin}/b")
    session_to("https://api.example").close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "unencrypted" in caplog.text and SECRET not in caplog.text


# ---- what an answer means


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("GET", 400, PlatformError),
        ("GET", 401, AuthenticationError),
        ("POST", 403, PermissionDeniedError),
        ("GET", 403, PermissionDeniedError),
        ("GET", 404, NotFoundError),
        ("PATCH", 404, NotFoundError),
        ("POST", 404, PermissionDeniedError),
        ("GET", 408, TransientError),
        ("POST", 409, ConflictError),
        ("GET", 410, NotFoundError),
        ("POST", 422, InvalidError),
        ("GET", 429, RateLimitedError),
        ("POST", 500, TransientError),
        ("POST", 502, TransientError),
        ("POST", 503, TransientError),
    ],
)
def test_a_status_is_one_of_our_errors(server: FakeServer, method: str, status: int, expected: type):
    answering(server, Response.json(status, {"message": "because"}))
    with session_to(server.origin) as session:
        error = error_of(lambda: session.request(method, f"{server.origin}/a/b"))
    assert type(error) is expected and str(status) in str(error)
    assert f"{method} /a/b" in str(error)


def test_a_refusal_names_the_permission_and_what_the_server_said(server: FakeServer):
    answering(server, Response.json(403, {"message": "not\nyou", "errors": [{"code": "custom"}]}))
    with session_to(server.origin) as session:
        error = error_of(lambda: session.post(f"{server.origin}/a"))
    assert error.hint == "may you POST /a?" and 'not you [{"code": "custom"}]' in str(error)


def test_a_refused_token_is_named_by_its_variable(server: FakeServer):
    answering(server, Response.json(401, {"message": f"bad {SECRET}"}))
    with session_to(server.origin) as session:
        error = error_of(lambda: session.get(f"{server.origin}/a"))
    assert "MY_TOKEN" in str(error) and SECRET not in str(error)


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {"Retry-After": "17"}, {}, 17.0),
        (429, {"Retry-After": "1.5"}, {}, 1.5),
        (429, {"Retry-After": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, {}, 90.0),
        (429, {"Retry-After": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, {}, 0.0),
        (429, {"Retry-After": "soon"}, {}, None),
        (429, {"Retry-After": "-5"}, {}, None),
        (429, {"Retry-After": "nan"}, {}, None),
        (429, {"Retry-After": "²"}, {}, None),
        (429, {}, {}, None),
        (403, {"Retry-After": "60"}, {"message": "Forbidden"}, 60.0),
        (403, {}, {"message": "You have exceeded a secondary rate limit."}, None),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 30)}, {}, 30.0),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "junk"}, {}, None),
        (503, {"Retry-After": "5"}, {}, 5.0),
    ],
)
def test_a_limit_says_how_long_to_wait(
    server: FakeServer, status: int, headers: Mapping[str, str], body: object, seconds: float | None
):
    answering(server, Response.json(status, body, {k: v.encode().decode("latin-1") for k, v in headers.items()}))
    with session_to(server.origin) as session:
        error = error_of(lambda: session.get(f"{server.origin}/a"))
    assert isinstance(error, RateLimitedError) and error.retry_after == seconds


@pytest.mark.parametrize("fault", [reset, truncated])
def test_a_broken_connection_is_worth_another_try(server: FakeServer, fault: Callable[[], object]):
    server.inject(fault())  # type: ignore[arg-type]
    with session_to(server.origin) as session:
        assert isinstance(error_of(lambda: session.get(f"{server.origin}/a")), TransientError)
        assert session.get(f"{server.origin}/a").status_code == 200


def test_truncated_json_of_full_length_is_worth_another_try(server: FakeServer):
    answering(server, Response(200, b'{"a": [1, 2', {"Content-Type": "application/json"}))
    with session_to(server.origin) as session:
        assert isinstance(error_of(lambda: session.get(f"{server.origin}/a")), TransientError)


def test_a_web_page_instead_of_data_is_said_to_be_one(server: FakeServer):
    server.inject(web_page())
    with session_to(server.origin) as session:
        error = error_of(lambda: session.get(f"{server.origin}/a"))
    assert type(error) is PlatformError and "web page" in str(error)


def test_a_server_that_drips_is_given_up_on_after_the_wall_clock(server: FakeServer):
    server.inject(dripping(0.002))
    ticks = iter(range(0, 10_000, 4))
    with session_to(server.origin, monotonic=lambda: float(next(ticks))) as session:
        error = error_of(lambda: session.get(f"{server.origin}/a"))
    assert isinstance(error, TransientError) and "within 30 s" in str(error)


def test_nobody_there_is_worth_another_try_and_says_where():
    closed = FakeServer(answer_ok)
    closed.close()
    with session_to(closed.origin) as session:
        error = error_of(lambda: session.get(f"{closed.origin}/a?secret=1"))
    assert isinstance(error, TransientError) and "refused" in str(error).lower() and "secret=1" not in str(error)
    assert error.__cause__ is None and error.__suppress_context__  # its texts hold whole addresses


def test_connections_are_kept_between_calls(server: FakeServer, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, logger="urllib3")
    with session_to(server.origin) as session:
        for _ in range(3):
            session.get(f"{server.origin}/a")
    assert caplog.text.count("Starting new HTTP connection") == 1 and len(server.log) == 3


# ---- bodies


def test_a_download_is_saved_up_to_its_limit(server: FakeServer):
    answering(server, Response(200, b"x" * 200_000))
    with session_to(server.origin) as session:
        out = io.BytesIO()
        assert session.save(session.get(f"{server.origin}/a", stream=True), out, 200_000) == 200_000
        assert out.getvalue() == b"x" * 200_000
        error = error_of(lambda: session.save(session.get(f"{server.origin}/a", stream=True), io.BytesIO(), 199_999))
    assert "larger than 199999 bytes" in str(error)


def test_a_download_that_ends_early_is_no_whole_file(server: FakeServer):
    answering(server, Response(200, b"x" * 200_000))
    server.inject(truncated())
    with session_to(server.origin) as session:
        error = error_of(lambda: session.save(session.get(f"{server.origin}/a", stream=True), io.BytesIO(), 1 << 20))
    assert isinstance(error, TransientError)


def test_an_answer_without_end_is_not_kept_in_memory(server: FakeServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ci_bridge.platforms._http.MAX_ANSWER", 1 << 20)
    answering(server, Response(200, b"x" * (2 << 20)))
    with session_to(server.origin) as session:
        assert "larger than 1 MiB" in str(error_of(lambda: session.get(f"{server.origin}/a")))


# ---- what never shows


def test_no_log_at_any_level_holds_the_token_or_a_signed_address(server: FakeServer, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "urllib3.connectionpool", "requests", "ci_bridge"):
        caplog.set_level(logging.DEBUG, logger=name)
    server.answer = lambda request: Response.json(200, {"you sent": dict(request.headers)})
    with session_to(server.origin) as session:
        echoed = session.get(f"{server.origin}/blob?sig={SECRET}&se=1")
        assert SECRET not in json.dumps(echoed.json())
        server.answer = lambda request: Response.json(500, {"message": str(request.headers)})
        error = error_of(lambda: session.get(f"{server.origin}/blob?sig={SECRET}"))
    assert "GET /blob" in caplog.text  # it is on
    assert SECRET not in caplog.text + str(error) + repr(session) + repr(vars(error))


def test_it_is_a_session_that_any_sdk_takes():
    assert issubclass(OriginSession, requests.Session)
