"""How every platform reads its environment: facts with their origins, files that may be anything, URLs without secrets.

Nothing here raises on what an environment or a file holds, and nothing here knows a platform.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from ci_bridge.models import BuildContext

MAX_FILE_SIZE = 10 * 1024 * 1024
"""Bytes of an event or properties file that are read; a larger file is not read at all."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Fact(Generic[T_co]):
    """A value and the variable or file key that it came from."""

    value: T_co
    origin: str


Text = Fact[str] | None
Flag = Fact[bool] | None
Facts = dict[str, Fact[Any] | None]
"""Fields of a context by name."""


def text_of(value: object) -> str | None:
    """A value as text that every sink can encode, None for what is empty or no text.

    Whole numbers become text (event files hold numbers as numbers); lone surrogates become U+FFFD.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 1 << 64 else None
    if not isinstance(value, str):
        return None
    value = value.strip()
    if not value.isascii():
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value or None


class Variables:
    """The variables of an environment as facts.

    Args:
        env: Read, never changed.
        unset: True for a value that stands for no value on this platform; empty values always do.
    """

    def __init__(self, env: Mapping[str, str], unset: Callable[[str], object] | None = None) -> None:
        self._env = env
        self._unset = unset

    def __call__(self, *names: str) -> Text:
        """The first of these variables that has a value."""
        for name in names:
            value = text_of(self._env.get(name))
            if value is not None and not (self._unset and self._unset(value)):
                return Fact(value, name)
        return None

    def matching(self, pattern: str) -> list[Fact[str]]:
        """The variables whose whole name matches, in the order of their names."""
        names = sorted(name for name in self._env if re.fullmatch(pattern, name))
        return [fact for name in names if (fact := self(name))]


class Document:
    """A value from JSON whose parts may be anything.

    Args:
        root: The parsed value; anything but an object holds nothing.
        origin: What it was read from, named before each key in the origins.
    """

    def __init__(self, root: object, origin: str) -> None:
        self._root = root
        self._origin = origin

    def find(self, path: str) -> Any:
        """The value under keys and list positions joined by dots (``pulls.0.number``), None if there is none."""
        value: Any = self._root
        for key in path.split("."):
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value

    def __call__(self, path: str) -> Text:
        value = text_of(self.find(path))
        return None if value is None else Fact(value, f"{self._origin}: {path}")


def is_on(env: Mapping[str, str], name: str) -> bool:
    """True if the variable says ``true`` in whatever case."""
    return (text_of(env.get(name)) or "").lower() == "true"


def is_set(env: Mapping[str, str], name: str) -> bool:
    """True if the variable has a value other than ``false``."""
    return (text_of(env.get(name)) or "false").lower() != "false"


def read_file(path: str) -> bytes | None:
    """The bytes of a regular file of at most :data:`MAX_FILE_SIZE`, None for everything else. Never waits."""
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data if len(data) <= MAX_FILE_SIZE else None


def read_json(variable: Text) -> Document:
    """The JSON file that a variable names; an empty document if it cannot be read or is not JSON."""
    root: object = None
    if variable and (data := read_file(variable.value)):
        import json  # only builds with an event file pay for it

        try:
            root = json.loads(data)
        except (ValueError, RecursionError):
            root = None
    return Document(root, variable.origin if variable else "")


def via(fact: Text, convert: Callable[[str], str | None]) -> Text:
    """The same fact with another value; None where there was none or none is left."""
    if fact is None:
        return None
    value = convert(fact.value)
    return Fact(value, fact.origin) if value else None


def without_slash(address: Text) -> Text:
    """The address without closing slashes, fit to be continued with ``/``."""
    return via(address, lambda url: url.rstrip("/"))


def joined(template: str, *facts: Text) -> Text:
    """The facts put into a template for :meth:`str.format`; None unless all are there."""
    present = [fact for fact in facts if fact]
    if len(present) < len(facts):
        return None
    return Fact(template.format(*(f.value for f in present)), ", ".join(dict.fromkeys(f.origin for f in present)))


def flag(value: bool, *facts: Text) -> Flag:
    """A yes or no that follows from these facts."""
    return Fact(value, ", ".join(dict.fromkeys(fact.origin for fact in facts if fact)))


def differ(one: Text, other: Text) -> Flag:
    """Whether two names differ, their case apart; None unless both are there."""
    return flag(one.value.lower() != other.value.lower(), one, other) if one and other else None


def number_of(value: str) -> str | None:
    """The value if it is a number as pull requests have: ASCII digits, no leading zero, no sign."""
    return value if re.fullmatch(r"[1-9][0-9]{0,18}", value) else None


def short_branch(ref: str) -> str | None:
    """``refs/heads/x`` as ``x``; None for a ref that is no branch and for a detached head."""
    if ref.startswith("refs/heads/"):
        return ref.removeprefix("refs/heads/") or None
    return None if ref.startswith("refs/") or ref in ("HEAD", "detached") else ref


def short_tag(ref: str) -> str | None:
    """``refs/tags/x`` as ``x``; None for any other ref."""
    return ref.removeprefix("refs/tags/") or None if ref.startswith("refs/tags/") else None


_PULL_REF = re.compile(
    r"(?:refs/)?(?:pull|pulls|pr|pull-requests|merge-requests|merge_requests)/([1-9][0-9]{0,18})(?:/([a-z]+))?"
)


def pull_ref(ref: str) -> tuple[str, str] | None:
    """The number and the last word (``head``, ``merge`` …, may be empty) of a ref such as ``refs/pull/42/merge``.

    Only for values that are refs: a branch may be called ``pull/42``, its ref is then ``refs/heads/pull/42``.
    """
    match = _PULL_REF.fullmatch(ref)
    return (match[1], match[2] or "") if match else None


def pull_number(ref: str) -> str | None:
    """The number in a pull request's ref."""
    found = pull_ref(ref)
    return found[0] if found else None


_PULL_URL = re.compile(
    r"(https?://[^?#]+?)/(?:-/)?(?:pull|pulls|pullrequest|pull-requests|merge_requests)/([1-9][0-9]{0,18})(?:[/?#].*)?",
    re.DOTALL,
)


def number_in_url(url: str) -> str | None:
    """The number in a pull request's web address."""
    match = _PULL_URL.fullmatch(url)
    return match[2] if match else None


def repository_in_url(url: str) -> str | None:
    """The repository's address in a pull request's web address."""
    match = _PULL_URL.fullmatch(url)
    return match[1] if match else None


# Addresses ------------------------------------------------------------------------------------------------------------

_SCP = re.compile(r"(?:[^/]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{2,}):(?!//|:)(.+)")
_SECRET_PARAMETER = re.compile(r"(?i)token|passw|pwd|secret|credential|auth|signature|\bsig\b|private|api_?key|\bkey\b")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:@\[\]/\\?#]+)(?::[0-9]{1,5})?")


_NESTED_USER = re.compile(r"(?<=://)[^/@?#]*@")


def _split(url: str) -> tuple[str, str, str, str, str] | None:
    """Scheme, host with port, path, query and fragment, without users; None if it is no address."""
    url = url.replace(" ", "%20")
    if any(char <= " " or char in '\\\x7f"<>`' for char in url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    if not _HOST.fullmatch(host):
        return None
    # An address may hold another one, as a parameter for instance.
    path, query, fragment = (_NESTED_USER.sub("", part) for part in parts[2:5])
    return parts.scheme, host, path, query, fragment


def web_url(url: str) -> str | None:
    """An ``http`` or ``https`` address as it is, but without user, password and parameters named like secrets.

    Returns:
        None for anything else, and for addresses with control characters.
    """
    parts = _split(url)
    if not parts or parts[0] not in ("http", "https"):
        return None
    scheme, host, path, query, fragment = parts
    if _SECRET_PARAMETER.search(query):
        pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
        query = urlencode([(name, value) for name, value in pairs if not _SECRET_PARAMETER.search(name)])
    if _SECRET_PARAMETER.search(fragment):
        fragment = ""
    return f"{scheme}://{host}{path}{'?' if query else ''}{query}{'#' if fragment else ''}{fragment}"


def repository_url(url: str) -> str | None:
    """The web address of a repository, from any address that git accepts for a server.

    ``https://user:secret@host:8443/o/r.git``, ``ssh://git@host:22/o/r.git`` and ``git@host:o/r.git`` all lose their
    user, their ``.git``, parameters and closing slashes. Ports stay on ``http`` and ``https`` only: on other schemes
    they are not the web server's. What was neither becomes ``https``.

    Returns:
        None for local paths and everything that is no address.
    """
    match = None if "://" in url else _SCP.fullmatch(url)
    parts = _split(f"ssh://{match[1]}/{match[2].lstrip('/')}" if match else url)
    if not parts or parts[0] not in ("http", "https", "ssh", "git", "git+ssh", "ssh+git"):
        return None
    scheme, host, path = parts[:3]
    if scheme not in ("http", "https"):
        scheme, host = "https", re.sub(r":[0-9]+$", "", host)
    path = path.rstrip("/").removesuffix(".git").rstrip("/")
    return f"{scheme}://{host}{path}" if path else None


def repository_path(url: str) -> str | None:
    """``owner/name``, or the whole group path, of a repository's address."""
    address = repository_url(url)
    return urlsplit(address).path.strip("/") or None if address else None


def host_of(url: str) -> str:
    """The host in a repository's address, in small letters and without its port; empty if it is no address."""
    address = repository_url(url) or web_url(url)
    return re.sub(r":[0-9]+$", "", urlsplit(address).netloc).lower() if address else ""


def owns_nothing(_url: str) -> bool:
    """False: the ``owns_url`` of a platform that hosts no code."""
    return False


def build_context(platform: str, **facts: Fact[Any] | None) -> BuildContext:
    """A context of these fields; every address is cleaned of credentials on its way in.

    Raises:
        TypeError: If a name is no field of :class:`~ci_bridge.models.BuildContext`.
    """
    for name in ("repository_url", "build_url", "job_url", "server_url", "api_url"):
        facts[name] = via(facts.get(name), repository_url if name == "repository_url" else web_url)
    present = {name: fact for name, fact in facts.items() if fact}
    origins = {name: fact.origin for name, fact in present.items()}
    return BuildContext(platform, **{name: fact.value for name, fact in present.items()}, origins=origins)
