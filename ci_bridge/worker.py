"""One background thread, so that synchronous SDKs and SQLite see one caller, in order."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ci_bridge.errors import TimedOutError, TransientError

T = TypeVar("T")

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Worker:
    """Runs functions one at a time on a daemon thread.

    A call that outlives its time is abandoned together with its thread, and a new thread takes over: a hung socket
    costs one channel, not the run. The thread is a daemon, so it never keeps a stopped process alive.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[[], T], *, timeout: float | None = None) -> T:
        """Run ``function`` on the thread and answer what it returns.

        Args:
            function: Called without arguments.
            timeout: Seconds of wall clock, None for no bound.

        Raises:
            TimedOutError: If the time is up.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, args=(self._jobs,), name="ci-bridge", daemon=True)
            self._thread.start()
        self._jobs.put((function, loop, future))
        try:
            # Not wait_for(): before Python 3.12 it passes over a cancellation that meets a finished call.
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            if not future.cancelled():
                return future.result()  # done in the last moment; or the error is the function's own
            self._abandon()
            raise TimedOutError(f"no answer within {timeout:.3g} s") from None

    async def drain(self, seconds: float) -> bool:
        """Wait until the thread has nothing left to do; False if that takes longer than ``seconds``."""
        try:
            await self.run(lambda: None, timeout=seconds)
        except TransientError:
            return False
        return True

    def close(self) -> None:
        """Let the thread end after the job it is at."""
        self._abandon()

    def _abandon(self) -> None:
        self._jobs.put(None)
        self._jobs = queue.SimpleQueue()
        self._thread = None

    @staticmethod
    def _serve(jobs: queue.SimpleQueue[_Job | None]) -> None:
        while (job := jobs.get()) is not None:
            function, loop, future = job
            if future.cancelled():
                continue
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                _settle(loop, future, None, error)
            else:
                _settle(loop, future, result, None)


def _settle(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], result: Any, error: Any) -> None:
    def settle() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return
