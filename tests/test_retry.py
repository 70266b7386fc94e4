"""What is tried again, how long it waits, and when it gives up."""

from __future__ import annotations

import asyncio

import pytest

from ci_bridge.errors import AuthenticationError, RateLimitedError, TimedOutError, TransientError
from ci_bridge.retry import Deadline, RetryPolicy, WaitingClock, retrying, waiting
from tests.fakes.clients import Clock


def attempt(
    errors: list[Exception], clock: Clock, *, retries: int = 3, budget: float = 120.0, share: float | None = None
) -> str:
    async def operation(_: Deadline) -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    async def body() -> str:
        policy, whole = RetryPolicy(retries, 5.0, clock.sleep, lambda: 1.0), Deadline(budget, clock)
        return await retrying(operation, policy, whole.share(share) if share else whole, whole if share else None)

    return asyncio.run(body())


def test_the_delay_doubles() -> None:
    clock = Clock()
    assert attempt([TransientError("502"), TransientError("502"), TransientError("502")], clock) == "done"
    assert clock.slept == [5.0, 10.0, 20.0]


def test_jitter_keeps_a_wait_between_half_and_the_whole_delay() -> None:
    error = TransientError("x")
    assert RetryPolicy(3, 8.0, jitter=lambda: 0.0).wait_before(0, error) == 4.0
    assert RetryPolicy(3, 8.0, jitter=lambda: 0.999).wait_before(0, error) == pytest.approx(8.0, abs=0.01)


def test_a_retry_after_is_obeyed_to_the_second() -> None:
    clock = Clock()
    attempt([RateLimitedError("slow down", retry_after=17.0)], clock)
    assert clock.slept == [17.0]


def test_a_retry_after_beyond_the_budget_gives_up_at_once() -> None:
    clock = Clock()
    with pytest.raises(RateLimitedError):
        attempt([RateLimitedError("slow down", retry_after=3600.0)], clock)
    assert clock.slept == []


def test_nothing_is_slept_past_the_budget() -> None:
    clock = Clock()
    with pytest.raises(TransientError):
        attempt([TransientError("502")] * 50, clock, retries=50, budget=30.0)
    assert sum(clock.slept) < 30.0


def test_a_clock_of_waiting_runs_only_meanwhile() -> None:
    real = Clock()
    clock = WaitingClock(real)
    whole = Deadline(10.0, clock)
    real.now += 100
    assert whole.remaining == 10.0
    with waiting(clock):
        real.now += 2
        with waiting(clock):  # several at once wait no longer than one
            real.now += 1
        assert whole.remaining == 7.0
        real.now += 1
    real.now += 100
    assert whole.remaining == 6.0
    with pytest.raises(TransientError), waiting(clock):
        real.now += 20
        raise TransientError("502")
    assert whole.remaining == 0.0
    with waiting(real):
        assert real() == real.now  # any other clock runs anyway


def test_a_share_is_a_part_of_what_is_left_and_never_too_little_to_do_anything() -> None:
    clock = Clock()
    whole = Deadline(120.0, clock)
    assert whole.share().seconds == pytest.approx(40.0) and whole.share(0.5).seconds == 60.0
    clock.now += 108
    assert whole.share().seconds == pytest.approx(6.0)  # a twentieth of the whole
    clock.now += 8
    assert whole.share().seconds == pytest.approx(4.0)  # all that is left


def test_a_share_ends_the_retries_of_one_delivery() -> None:
    clock = Clock()
    with pytest.raises(TransientError):
        attempt([TransientError("502")] * 50, clock, retries=50, share=1 / 3)
    assert clock.slept == [5.0, 10.0, 20.0]  # 35 of 40 s


def test_a_time_out_is_repeated_once() -> None:
    clock = Clock()
    with pytest.raises(TimedOutError):
        attempt([TimedOutError("no answer")] * 3, clock)
    assert clock.slept == [5.0]
    assert attempt([TimedOutError("no answer"), TransientError("502"), TransientError("502")], Clock()) == "done"


def test_a_wait_that_the_platform_asks_for_is_no_part_of_the_share() -> None:
    clock = Clock()
    assert attempt([RateLimitedError("slow down", retry_after=60.0), TransientError("502")], clock, share=1 / 3)
    assert clock.slept == [60.0, 10.0]


@pytest.mark.parametrize("asked", [90.0, 120.0])
def test_a_wait_that_would_leave_too_little_for_the_other_channels_gives_up_at_once(asked: float) -> None:
    clock = Clock()
    with pytest.raises(RateLimitedError):
        attempt([RateLimitedError("slow down", retry_after=asked)], clock, share=1 / 3)
    assert clock.slept == []


def test_no_retry_when_retries_are_used_up() -> None:
    clock = Clock()
    with pytest.raises(TransientError):
        attempt([TransientError("502")] * 2, clock, retries=1)
    assert clock.slept == [5.0]


def test_an_error_that_waiting_cannot_mend_is_not_tried_again() -> None:
    clock = Clock()
    with pytest.raises(AuthenticationError):
        attempt([AuthenticationError("401")], clock)
    assert clock.slept == []


def test_a_cancelled_task_leaves_its_wait_at_once() -> None:
    async def operation(_: Deadline) -> None:
        raise TransientError("502")

    async def body() -> None:
        task = asyncio.ensure_future(retrying(operation, RetryPolicy(3, 3600.0), Deadline(1e6)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(body(), 5))
