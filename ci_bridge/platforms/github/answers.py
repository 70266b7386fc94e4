"""Reading GitHub's answers: lists page by page, ids and times, and what to say of an answer that makes no sense."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from ci_bridge.errors import CIBridgeError, NotFoundError, PlatformError

PAGE = 100

Get = Callable[[str, Mapping[str, Any]], tuple[Mapping[str, Any], Any]]
"""A GET of a path with a query; answers headers in lower case and the parsed body."""


class Page(NamedTuple):
    """One page of a list, and whether the list ends with it."""

    items: list[Any]
    is_last: bool


class Lists:
    """Reads lists page by number: PyGithub would follow whatever address an answer gives, and without an end.

    Args:
        get: Makes the calls.
    """

    def __init__(self, get: Get) -> None:
        self.get = get

    def page(self, path: str, key: str | None, number: int, **query: str) -> Page:
        """One page, counted from 1; ``key`` is where the answer has the list."""
        numbers = {"per_page": PAGE} if number == 1 else {"per_page": PAGE, "page": number}
        headers, data = self.get(path, {**query, **numbers})
        return Page(data[key] if key else data, 'rel="next"' not in headers.get("link", ""))

    def pages(self, path: str, key: str | None, *, most: int, **query: str) -> Iterator[Page]:
        """The pages of a list, at most ``most``."""
        for number in range(1, most + 1):
            page = self.page(path, key, number, **query)
            yield page
            if page.is_last:
                return

    def items(self, path: str, key: str | None, *, most: int, **query: str) -> Iterator[Any]:
        """What is on the pages."""
        for page in self.pages(path, key, most=most, **query):
            yield from page.items


@contextmanager
def understood() -> Iterator[None]:
    """What PyGithub or we stumble over in an answer that is not what GitHub answers, as our error.

    Raises:
        PlatformError: Instead of anything that is no :class:`CIBridgeError`.
    """
    try:
        yield
    except CIBridgeError:
        raise
    except Exception as error:  # assertions, keys, types, PyGithub's own
        raise PlatformError(f"GitHub's answer was not understood ({type(error).__name__}: {error})"[:300]) from error


def time_of(text: str | None) -> datetime | None:
    """A time of an answer in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def sha_of(text: str | None) -> str:
    """A commit's whole id for a URL.

    Raises:
        PlatformError: It is none.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", text or ""):
        raise PlatformError("the commit is not known by its whole id", hint="check out the repository before")
    return str(text).lower()


def number_of(text: str, what: str) -> int:
    """An id for a URL; data never becomes part of a path.

    Raises:
        NotFoundError: It is none.
    """
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise NotFoundError(f"{quote(text[:40])} is no {what}")
    return int(text)
