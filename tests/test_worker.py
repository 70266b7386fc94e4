"""The one thread that all adapters and SQLite run on."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from ci_bridge.errors import TransientError
from ci_bridge.worker import Worker


def test_calls_run_one_at_a_time_in_order_on_one_thread() -> None:
    seen: list[tuple[int, int]] = []

    def note(number: int) -> None:
        seen.append((number, threading.get_ident()))

    async def body() -> None:
        worker = Worker()
        await asyncio.gather(*(worker.run(partial(note, number)) for number in range(20)))
        worker.close()

    asyncio.run(body())
    assert [n for n, _ in seen] == list(range(20))
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


def test_an_error_reaches_the_caller() -> None:
    async def body() -> None:
        worker = Worker()
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 // 0)
        assert await worker.run(lambda: "still alive") == "still alive"
        worker.close()

    asyncio.run(body())


def test_a_call_that_hangs_is_abandoned_and_the_next_one_works() -> None:
    release = threading.Event()

    async def body() -> str:
        worker = Worker()
        with pytest.raises(TransientError, match=r"no answer within 0\.05 s"):
            await worker.run(release.wait, timeout=0.05)
        answer = await worker.run(lambda: "next", timeout=5)
        worker.close()
        return answer

    try:
        assert asyncio.run(body()) == "next"
    finally:
        release.set()


def test_a_timeout_of_the_function_itself_is_its_own_error() -> None:
    def slow() -> None:
        raise TimeoutError("socket")

    async def body() -> None:
        worker = Worker()
        with pytest.raises(TimeoutError, match="socket"):
            await worker.run(slow, timeout=5)
        worker.close()

    asyncio.run(body())


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_cancellation_that_meets_a_finished_call_counts(timeout: float | None) -> None:
    began_again = False

    async def body() -> None:
        nonlocal began_again
        worker, next_began = Worker(), threading.Event()

        async def caller() -> None:
            nonlocal began_again
            await worker.run(lambda: None, timeout=timeout)
            began_again = True

        task = asyncio.create_task(caller())
        following = asyncio.create_task(worker.run(next_began.set))
        await asyncio.sleep(0)  # both are queued
        assert next_began.wait(30)  # the first call has ended, and its caller does not know yet
        await asyncio.sleep(0)  # its result is there, and its caller has not woken
        task.cancel()
        await asyncio.gather(task, following, return_exceptions=True)
        worker.close()

    asyncio.run(body())
    assert not began_again
