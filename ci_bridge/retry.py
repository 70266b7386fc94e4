"""The one retry layer: which errors are worth another try, how long to wait, and when to give up."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from ci_bridge.errors import RateLimitedError, TimedOutError, TransientError

T = TypeVar("T")

logger = logging.getLogger("ci_bridge")

CALL_SECONDS = 30.0
"""Wall clock that one API call may take."""

MAX_DELAY_SECONDS = 60.0
"""No single wait is longer, unless the platform itself asked for it."""

SHARE = 1 / 3
"""Of what is left of a budget, one delivery takes at most so much: a channel that hangs leaves time for the others."""

LEAST_SHARE = 1 / 20
"""Of the whole budget; a share is no smaller while there is so much, or the last of many channels could do nothing."""

MOST_ASKED = 3 / 4
"""Of what is left of a budget, the longest wait that a platform may ask for."""


class WaitingClock:
    """A clock that runs while somebody waits for others: what this machine does itself takes what it takes.

    Args:
        clock: A monotonic clock in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.wall = clock
        self._waits = 0
        self._before = self._since = 0.0

    def __call__(self) -> float:
        """Seconds waited so far."""
        return self._before + (self.wall() - self._since if self._waits else 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let it run meanwhile."""
        if not self._waits:
            self._since = self.wall()
        self._waits += 1
        try:
            yield
        finally:
            now = self()
            self._waits -= 1
            self._before, self._since = now, self.wall()


def waiting(clock: Callable[[], float]) -> AbstractContextManager[None]:
    """Let a :class:`WaitingClock` run meanwhile; any other one runs anyway."""
    return clock.running() if isinstance(clock, WaitingClock) else nullcontext()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time after which nothing is begun.

    Attributes:
        seconds: The budget from the moment of creation.
        clock: A monotonic clock in seconds.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    started: float = field(default=-1.0)

    def __post_init__(self) -> None:
        if self.started < 0:
            object.__setattr__(self, "started", self.clock())

    def without(self, seconds: float) -> Deadline:
        """The same budget, with a stretch of time that is not counted."""
        return Deadline(self.seconds, self.clock, self.started + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.started + self.seconds - self.clock())

    def share(self, part: float = SHARE) -> Deadline:
        """A budget of its own for one delivery: this part of what is left, but :data:`LEAST_SHARE` if there is that."""
        left = self.remaining
        return Deadline(min(left, max(part * left, LEAST_SHARE * self.seconds)), self.clock)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How to try again.

    Attributes:
        retries: Further tries after the first; 0 switches retrying off.
        delay: Seconds before the first retry; doubled each time.
        sleep: Awaited with seconds; a cancelled task leaves it at once.
        jitter: Answers a factor from [0, 1); waits are spread over the upper half of the delay.
    """

    retries: int = 3
    delay: float = 5.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    def wait_before(self, attempt: int, error: Exception) -> float:
        """Seconds to wait before retry number ``attempt`` (counted from 0).

        A platform's own ``Retry-After`` is obeyed to the second.
        """
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            return max(0.0, error.retry_after)
        return min(MAX_DELAY_SECONDS, self.delay * 2.0**attempt) * (0.5 + self.jitter() / 2)


async def retrying(
    operation: Callable[[Deadline], Awaitable[T]],
    policy: RetryPolicy,
    deadline: Deadline,
    whole: Deadline | None = None,
) -> T:
    """Await ``operation(deadline)`` until it succeeds, fails for good, or time is up. A time-out is repeated once.

    Args:
        operation: Must be idempotent: hand in the whole composite (look, then write), never a bare POST. It is called
            with its deadline.
        policy: How to try again.
        deadline: Of all tries and of the waits between them.
        whole: The budget that ``deadline`` is a share of. A wait that the platform itself asks for is taken from there
            and not from the share, as long as it leaves the others their time (:data:`MOST_ASKED`).

    Raises:
        Exception: The last error; at once where it is not worth a retry or the wait would outlast the deadline.
    """
    attempt = timed_out = 0
    while True:
        try:
            return await operation(deadline)
        except (RateLimitedError, TransientError) as error:
            wait = policy.wait_before(attempt, error)
            timed_out += isinstance(error, TimedOutError)
            is_asked = whole is not None and isinstance(error, RateLimitedError) and error.retry_after is not None
            room = whole.remaining * MOST_ASKED if whole and is_asked else deadline.remaining
            if attempt >= policy.retries or timed_out > 1 or wait >= room:
                raise
            attempt += 1
            logger.info("try %d failed (%s); again in %.1f s", attempt, error, wait)
            await policy.sleep(wait)
            if is_asked:
                deadline = deadline.without(wait)
