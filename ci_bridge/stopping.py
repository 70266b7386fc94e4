"""Ending on SIGINT and SIGTERM: at once, with the right exit code, and nothing half-written left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from ci_bridge.atomic import discard_unfinished

T = TypeVar("T")

OnStop = Callable[[Callable[[int], None]], None]
"""Takes a function that is called with the signal's number whenever the process is told to stop."""


def supervised(body: Callable[[OnStop], Coroutine[Any, Any, T]], say: Callable[[str], None]) -> T:
    """Run to the end, or to the first SIGINT or SIGTERM, which ends every wait at once.

    The process then ends with exit code 130 or 143, and what was half-written is removed.

    Args:
        body: Given a function to register what should know of a stop.
        say: Told how it ended.
    """
    received: list[int] = []
    told: list[Callable[[int], None]] = []

    async def supervise() -> T:
        task = asyncio.ensure_future(body(told.append))
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            for tell in told:
                tell(number)
            if received:  # told twice: at once
                leave(128 + number)
            received.append(number)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, stop, number)
            except NotImplementedError:  # Windows has no signals in the loop
                signal.signal(number, lambda number, _: loop.call_soon_threadsafe(stop, number))
        return await task

    try:
        return asyncio.run(supervise())
    except (asyncio.CancelledError, KeyboardInterrupt):
        code = 128 + (received[0] if received else signal.SIGINT)
        say(f"stopped by {signal.Signals(code - 128).name}: nothing half-written was left")
        leave(code)


def leave(code: int) -> NoReturn:
    """End without waiting for the worker thread, which may hang in a socket."""
    discard_unfinished()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    discard_unfinished()  # the worker was still at work
    os._exit(code)
