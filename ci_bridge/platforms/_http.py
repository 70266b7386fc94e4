"""The one HTTP session under every SDK: pinned to one origin, with its own proxies, time-outs and errors.

A token leaves this process through :class:`OriginSession` only, and only to the scheme, host and port that it was made
for. What can go wrong on the way is translated here, once, into :mod:`ci_bridge.errors`.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
from requests.cookies import extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict

from ci_bridge.errors import (
    AuthenticationError,
    CIBridgeError,
    ConfigError,
    NotFoundError,
    PermissionDeniedError,
    PlatformError,
    RateLimitedError,
    TimedOutError,
    TransientError,
)

logger = logging.getLogger("ci_bridge")

CONNECT_SECONDS = 10.0
READ_SECONDS = 25.0
"""Most silence of a connection that is open."""
CALL_SECONDS = 30.0
"""Wall clock of one call, its whole answer read. A transfer that moves is not bound by it."""
MAX_ANSWER = 64 << 20
"""Bytes of an answer that is kept in memory."""
MAX_REDIRECTS = 3

_PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 16
_RATE_WORDS = re.compile(
    r"rate limit|too many requests|abuse detection|wait a few minutes|retry your request", re.IGNORECASE
)
_FEWER = "the platform asks for fewer calls"
_QUERY = re.compile(r"\?[^\s\"']*")


class ConflictError(PlatformError):
    """What was to be created exists already (HTTP 409)."""


class InvalidError(PlatformError):
    """The platform takes no such content (HTTP 422); it may well take another."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a URL lives: scheme, host and port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def origin_of(url: str) -> Origin | None:
    """The origin of an http or https URL; None for anything else, and for one that carries a user name."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in parts.netloc:
        return None
    return Origin(parts.scheme, parts.hostname.lower(), port or _PORTS[parts.scheme])


@dataclass(frozen=True, slots=True)
class Network:
    """How this machine reaches others, read from an environment and from nowhere else.

    Attributes:
        proxies: Scheme -> proxy URL; may hold a password, so it is never shown.
        no_proxy: Hosts to reach directly.
        verify: A bundle of certificate authorities, or True for the ones that requests brings.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    no_proxy: tuple[str, ...] = ()
    verify: str | bool = True

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Network:
        """Read the proxies and the certificates.

        ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` count in either case, ``REQUESTS_CA_BUNDLE`` before
        ``SSL_CERT_FILE``.

        Raises:
            ConfigError: The bundle does not exist: going on with another one is not what its owner meant.
        """

        def read(name: str) -> str:
            return (env.get(name.lower()) or env.get(name) or "").strip()

        proxies = {}
        for scheme in _PORTS:
            if proxy := read(f"{scheme.upper()}_PROXY"):
                proxies[scheme] = proxy if "://" in proxy else f"http://{proxy}"
        hosts = tuple(part.strip().lower() for part in read("NO_PROXY").split(",") if part.strip())
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            bundle = env.get(name, "").strip()
            if bundle and not Path(bundle).exists():
                raise ConfigError(f"{name} names {bundle}, which does not exist", hint=f"correct or unset {name}")
            if bundle:
                return cls(proxies, hosts, bundle)
        return cls(proxies, hosts)

    def proxies_for(self, origin: Origin) -> dict[str, str]:
        """The proxy to use for an origin, as requests wants it."""
        proxy = self.proxies.get(origin.scheme)
        return {origin.scheme: proxy} if proxy and not any(_matches(origin, rule) for rule in self.no_proxy) else {}


def _matches(origin: Origin, rule: str) -> bool:
    """True if a rule of ``NO_PROXY`` means this origin: ``*``, a host, a domain, an address or a network."""
    if rule == "*":
        return True
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        pass  # one of them is a name
    name, _, port = rule.partition(":")
    name = name.removeprefix("*").removeprefix(".")
    if port and port != str(origin.port):
        return False
    return bool(name) and (origin.host == name or origin.host.endswith(f".{name}"))


class OriginSession(requests.Session):
    """A session that speaks to one origin only, and raises :mod:`ci_bridge.errors` only.

    An SDK may use it like any other session. It adds the credentials itself, so that no SDK holds them, follows a GET
    to its own origin and refuses every other redirect, and ignores the process's environment and ``.netrc``.

    Args:
        url: Any URL of the origin.
        title: Of the service, for messages.
        network: Proxies and certificates.
        credentials: Headers that prove who we are.
        headers: Further ones that every request carries unless it brings its own.
        token_name: Of the variable that the credentials came from, for messages; never its value.
        permission: Answers, for a method, a path and what the server said, what to do about a refusal.
        reads_only: Why the credentials may write nothing, where that is known: said instead of each refusal.
        now: Answers the time in UTC.
        monotonic: A clock in seconds.

    Raises:
        ConfigError: The URL is no http or https URL.
    """

    def __init__(
        self,
        url: str,
        *,
        title: str,
        network: Network,
        credentials: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        token_name: str = "the token",  # noqa: S107 its name, not its value
        permission: Callable[[str, str, str], str] = lambda _method, _path, _said: "",
        reads_only: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        origin = origin_of(url)
        if origin is None:
            raise ConfigError(f"{title}: its address is not an http or https URL", hint="correct the API address")
        self.origin = origin
        self.title = title
        self.calls = 0
        self.headers.update(headers or {})
        self.trust_env = False
        self.verify = network.verify
        self.proxies = network.proxies_for(origin)
        self._network = network
        self._credentials = dict(credentials or {})
        # Whatever follows the scheme ("Bearer …") is the secret.
        self._secrets = [value.rpartition(" ")[2] for value in self._credentials.values() if len(value) >= 8]
        self._token_name = token_name
        self._permission = permission
        self.reads_only = reads_only
        self._now = now
        self._monotonic = monotonic
        _hide_queries()
        if self._credentials and origin.scheme == "http":
            logger.warning("%s speaks http: the token travels unencrypted to %s", title, origin)

    def elsewhere(self, url: str) -> OriginSession:
        """A fresh session for a URL that the service handed out: no credentials, no cookies.

        Raises:
            PlatformError: The URL is none, or less protected than this session.
        """
        origin = origin_of(url)
        if origin is None or (self.origin.scheme == "https" and origin.scheme != "https"):
            raise PlatformError(f"{self.title} points to an address that is not https")
        return OriginSession(
            url, title=f"{self.title}'s storage", network=self._network, now=self._now, monotonic=self._monotonic
        )

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request; the one door that every call of an SDK goes through.

        ``allow_redirects=False`` hands a redirect to the caller, ``stream=True`` leaves the body to be read with
        :meth:`save`.
        """
        started = self._monotonic()
        for _ in range(MAX_REDIRECTS + 1):
            response = self._exchange(request, stream=bool(kwargs.get("stream")), started=started)
            if not response.is_redirect or not kwargs.get("allow_redirects", True):
                return response
            request = self._redirected(request, response)
        raise PlatformError(f"{self._place(request)}: too many redirects", hint="check the API address")

    def save(self, response: requests.Response, to: BinaryIO, limit: int) -> int:
        """Write the body of a streamed answer.

        Args:
            response: Answered with ``stream=True``.
            to: Where its bytes go.
            limit: Bytes that are accepted.

        Returns:
            The number of bytes.

        Raises:
            PlatformError: It is larger.
            TransientError: It ends early or stalls.
            OSError: ``to`` cannot be written.
        """
        place = self._place(response.request)
        written, chunks = 0, _chunks(response)
        with response:
            while True:
                with self._translated(place):  # around the reading only: a full disk is no broken connection
                    chunk = next(chunks, b"")
                if not chunk:
                    break
                written += len(chunk)
                if written > limit:
                    raise PlatformError(f"{place}: larger than {limit} bytes, not read")
                to.write(chunk)
        return written

    def _exchange(self, request: requests.PreparedRequest, *, stream: bool, started: float) -> requests.Response:
        url = request.url or ""
        if origin_of(url) != self.origin:
            raise PlatformError(
                f"{self.title}: refused to call {origin_of(url) or 'a strange address'} instead of {self.origin}",
                hint="check the API address",
            )
        request.headers.update(self._credentials)
        place = self._place(request)
        self.calls += 1
        with self._translated(place):
            # Not Session.send(): it reads the bodies of redirects without a bound, and follows them anywhere.
            response = self.get_adapter(url).send(
                request,
                stream=True,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                verify=self._network.verify,
                cert=self.cert,
                proxies=self.proxies,
            )
            extract_cookies_to_jar(self.cookies, request, response.raw)  # type: ignore[no-untyped-call]
            response.encoding = "utf-8"
            if not stream or response.status_code >= 400:
                self._read(response, place, started)
        if response.status_code >= 400:
            raise self._error_of(request, response)
        if not stream and not response.is_redirect:
            _check_body(response, place)
        return response

    def _read(self, response: requests.Response, place: str, started: float) -> None:
        """Read the whole answer within the wall clock, so that a server that drips costs one channel."""
        body = bytearray()
        try:
            for chunk in _chunks(response):
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise PlatformError(f"{place}: the answer is larger than {MAX_ANSWER >> 20} MiB")
                if self._monotonic() - started > CALL_SECONDS:
                    raise TimedOutError(f"{place}: not answered in full within {CALL_SECONDS:g} s")
        except BaseException:
            response.close()
            raise
        response.raw.release_conn()
        content = bytes(body)
        for secret in self._secrets:  # a server that repeats our token would write it into an SDK's debug log
            content = content.replace(secret.encode(), b"***")
        # What requests itself does after reading: `content` looks here, and `close` keeps the connection for the next.
        response._content, response._content_consumed = content, True  # type: ignore[attr-defined]

    def _redirected(self, request: requests.PreparedRequest, response: requests.Response) -> requests.PreparedRequest:
        place = self._place(request)
        target = urljoin(request.url or "", response.headers.get("Location", ""))
        if origin_of(target) != self.origin:
            where = origin_of(target) or "a strange address"
            raise PlatformError(f"{place}: redirects to {where}, not followed", hint="check the API address")
        if request.method not in ("GET", "HEAD"):
            raise PlatformError(f"{place}: redirects a {request.method}, not followed", hint="check the API address")
        copy = request.copy()
        copy.prepare_url(target, None)
        return copy

    def _place(self, request: requests.PreparedRequest) -> str:
        """The call in words. Never the query: storage addresses carry their key in it."""
        path = urlsplit(request.url or "").path
        return f"{self.title}: {request.method} {path if len(path) < 200 else path[:200] + '…'}"

    def _error_of(self, request: requests.PreparedRequest, response: requests.Response) -> CIBridgeError:
        place, status, said = self._place(request), response.status_code, self._said(response)
        method, path = request.method or "", urlsplit(request.url or "").path
        text = f"{place}: HTTP {status}" + (f", {said}" if said else "")
        retry_after = _retry_after(response.headers, self._now())
        if status == 401:
            return AuthenticationError(
                f"{place}: HTTP 401, the token is not accepted", hint=f"check {self._token_name}"
            )
        if status == 429 or (status == 403 and _is_rate_limit(response.headers, said)):
            return RateLimitedError(text, hint=_FEWER, retry_after=retry_after)
        if status == 503 and retry_after is not None:
            return RateLimitedError(text, retry_after=retry_after)
        # Creating below something that is not there to us is a matter of rights, as many platforms hide what may not
        # be seen; changing a thing that is not there is not.
        if status == 403 and self.reads_only and method != "GET":
            return PermissionDeniedError(self.reads_only)
        if status == 403 or (status == 404 and method == "POST"):
            return PermissionDeniedError(text, hint=self._permission(method, path, said))
        if status in (404, 410):
            return NotFoundError(text, hint=self._permission(method, path, said) if status == 404 else "")
        if status == 409:
            return ConflictError(text)
        if status == 422:
            return InvalidError(text)
        if status in (408, 425) or status >= 500:
            return TransientError(text)
        return PlatformError(text)

    def _said(self, response: requests.Response) -> str:
        """What the server says of an error, in one short line without our secrets."""
        try:
            facts = json.loads(response.content)
        except (ValueError, RecursionError):
            return ""
        if not isinstance(facts, dict):
            return ""
        words = [facts.get("message") or facts.get("error") or facts.get("msg"), facts.get("errors")]
        text = " ".join(word if isinstance(word, str) else json.dumps(word) for word in words if word)
        return "".join(c if c.isprintable() else " " for c in text)[:300].strip()

    def rate_limited(self, text: str, headers: Mapping[str, str]) -> RateLimitedError:
        """The error for an answer that asks for fewer calls whatever its status, with the wait that it tells."""
        wait = _retry_after(CaseInsensitiveDict(headers), self._now())
        return RateLimitedError(text, hint=_FEWER, retry_after=wait)

    @contextmanager
    def _translated(self, place: str) -> Iterator[None]:
        """Errors of the transport. Their own texts hold whole URLs and proxies, so these are ours, without a cause."""
        try:
            yield
        except CIBridgeError:
            raise
        except Exception as error:  # noqa: BLE001 urllib3, ssl, http.client and socket each have their own
            raise _error_of_transport(place, error) from None


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes in. ``read`` waits until a chunk is full, which a dripping server makes last for ever."""
    read_some = getattr(response.raw, "read1", None)
    if read_some is None:  # urllib3 1
        yield from response.iter_content(_CHUNK)
        return
    while chunk := read_some(_CHUNK, decode_content=True):
        yield chunk


def _check_body(response: requests.Response, place: str) -> None:
    """A success whose body is not what an API answers is none."""
    kind = response.headers.get("Content-Type", "").lower()
    if "html" in kind:
        raise PlatformError(
            f"{place}: answered with a web page instead of data",
            hint="a login page or a proxy stands in between; check the API address and the token",
        )
    if "json" in kind and response.content:
        try:
            json.loads(response.content)
        except (ValueError, RecursionError):
            raise TransientError(f"{place}: the answer is cut short or no JSON") from None


def _is_rate_limit(headers: Mapping[str, str], said: str) -> bool:
    return "Retry-After" in headers or headers.get("X-RateLimit-Remaining") == "0" or is_rate_limit_text(said)


def is_rate_limit_text(said: str) -> bool:
    """True if these words of a server ask for fewer calls: some limits are known by nothing else."""
    return _RATE_WORDS.search(said) is not None


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait: ``Retry-After`` as seconds or a date, else the reset time of a limit that is used up."""
    value = headers.get("Retry-After", "").strip()
    seconds = _number(value)
    if seconds is None and value:
        try:
            moment = parsedate_to_datetime(value)
            # "-0000" gives a time without a zone; HTTP dates are in UTC.
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            seconds = None
    if seconds is None and headers.get("X-RateLimit-Remaining") == "0":
        reset = _number(headers.get("X-RateLimit-Reset", ""))
        seconds = None if reset is None else reset - now.timestamp()
    return None if seconds is None else max(0.0, seconds)


def _number(text: str) -> float | None:
    try:
        value = float(text) if text.isascii() and len(text) < 20 else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _error_of_transport(place: str, error: Exception) -> CIBridgeError:
    causes = list(_causes(error))
    if isinstance(error, requests.exceptions.SSLError) or any(isinstance(cause, ssl.SSLError) for cause in causes):
        reason = next((c.verify_message for c in causes if isinstance(c, ssl.SSLCertVerificationError)), "")
        return PlatformError(
            f"{place}: the connection is not secure" + (f" ({reason})" if reason else ""),
            hint="name your certificate authority in REQUESTS_CA_BUNDLE or SSL_CERT_FILE",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return TransientError(f"{place}: the proxy does not let it through", hint="check HTTPS_PROXY and NO_PROXY")
    if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in causes):
        return TimedOutError(f"{place}: no answer in time")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return PlatformError(f"{place}: not a usable address")
    reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), "")
    return TransientError(f"{place}: the connection failed ({reason or type(causes[-1]).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from and what it wraps, outermost first."""
    seen: list[BaseException] = []
    queue = [error]
    while queue and len(seen) < 20:
        current = queue.pop(0)
        if current in seen:
            continue
        seen.append(current)
        yield current
        wrapped = [*current.args, getattr(current, "reason", None), current.__cause__, current.__context__]
        queue += [cause for cause in wrapped if isinstance(cause, BaseException)]


class _WithoutQueries(logging.Filter):
    """Cuts queries out of the transport's debug log: storage addresses carry their key in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _QUERY.sub("?…", record.getMessage())
        record.args = ()
        return True


_FILTER = _WithoutQueries()


def _hide_queries() -> None:
    logging.getLogger("urllib3.connectionpool").addFilter(_FILTER)  # the same one twice is kept once
