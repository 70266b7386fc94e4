"""What callers hand in, checked: every value here comes from outside and is refused by name if it does not fit."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ci_bridge.errors import ConfigError

_SHA = re.compile(r"[0-9A-Fa-f]{6,64}")
_NUMBER = re.compile(r"[0-9]{1,12}")
_TASK_OUTCOMES = {
    "completed": "passed",
    "passed": "passed",
    "failed": "failed",
    "cancelled": "skipped",
    "skipped": "skipped",
}
_randomness = random.SystemRandom().getrandbits


def uuid7(now: datetime, randomness: Callable[[int], int] = _randomness) -> str:
    """A UUID of version 7 (RFC 9562, 5.7): sorted by its time, unique without coordination."""
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    value = milliseconds << 80 | 7 << 76 | randomness(12) << 64 | 2 << 62 | randomness(62)
    return str(uuid.UUID(int=value))


def outcome_counts(summary: Mapping[str, Any]) -> dict[str, int]:
    """``task_statuses`` in the words of outcomes; one that is not known is an error, so none goes unseen."""
    counts = dict.fromkeys(("passed", "failed", "error", "skipped"), 0)
    statuses = summary.get("task_statuses")
    for status, number in statuses.items() if isinstance(statuses, Mapping) else ():
        counts[_TASK_OUTCOMES.get(str(status), "error")] += int(number)
    return counts


def masked_value(value: Any, clean: Callable[[str], str]) -> Any:
    """A value of plain data with every text in it cleaned, keys included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {masked_value(key, clean): masked_value(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked_value(item, clean) for item in value)
    return value


def text_of(data: Mapping[str, Any], key: str) -> str | None:
    """The text under a key; None if absent or empty.

    Raises:
        ConfigError: If it is neither a text nor a whole number.
    """
    value = data.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, str | int):
        return str(value)
    raise ConfigError(f"{key} = {value!r} is not a text")


def mapping_of(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The mapping under a key; empty if absent.

    Raises:
        ConfigError: If it is no mapping, or a summary's counts are no whole numbers.
    """
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} = {value!r} is not a mapping")
    if key == "summary" and value.get("duration") is not None:
        value = {**value, "duration": finite_of(value["duration"], "summary.duration")}
    if key == "summary" and not all(
        isinstance(number, int) and number >= 0 for number in mapping_of(value, "task_statuses").values()
    ):
        raise ConfigError(f"summary.task_statuses = {value['task_statuses']!r}: counts are whole numbers")
    return dict(value)


def sha_of(value: object) -> str | None:
    """A commit id; None if empty.

    Raises:
        ConfigError: If it is not 6 to 64 hexadecimal digits.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and _SHA.fullmatch(value):
        return value
    raise ConfigError(f"commit_sha = {value!r} is not a commit id", hint="6 to 64 hexadecimal digits")


def number_of(value: object) -> str | None:
    """A pull request's number as text; None if empty.

    Raises:
        ConfigError: If it is no number.
    """
    if value is None or value == "":
        return None
    text = str(value)
    if not isinstance(value, bool) and _NUMBER.fullmatch(text) and text.isascii():
        return text
    raise ConfigError(
        f"pr_number = {value!r} is not a number", hint="give the number that the pull request's URL ends in"
    )


def time_of(value: object) -> datetime | None:
    """A time in UTC; None if empty. One without a zone is local time, as ``datetime.now()`` makes it.

    Raises:
        ConfigError: If it is neither a datetime nor an ISO 8601 text.
    """
    if value is None or value == "":
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{value!r} is not a time", hint="give a datetime or an ISO 8601 text") from None


def finite_of(value: object, name: str = "metric_value") -> float:
    """A finite number.

    Raises:
        ConfigError: If it is none.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(value, bool) or number != number or number in (float("inf"), float("-inf")):
        raise ConfigError(f"{name} = {value!r} is not a finite number")
    return number
