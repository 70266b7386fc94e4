"""Hangs that take no time: an event loop whose clock leaps to the next time-out once a server keeps us waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.fakes.clients import Clock
from tests.fakes.server import Fault, Request

T = TypeVar("T")


class LeapingLoop(asyncio.SelectorEventLoop):
    """Its time is the real one and what it has leapt over."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return super().time() + self.leapt

    def call_at(  # type: ignore[override]  # without the type variables, which say nothing here
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        self._timers = [one for one in self._timers if not one.cancelled() and one.when() > self.time()] + [timer]
        return timer

    def leap(self) -> None:
        """Go to the next thing that is due."""
        due = [timer.when() for timer in self._timers if not timer.cancelled()]
        if due:
            self.leapt += max(0.0, min(due) - self.time())


class LoopClock(Clock):
    """The clock of a leaping loop, for everything else that asks for the time."""

    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def __call__(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._loop.leapt += seconds


@dataclass
class Hanging(Fault):
    """No answer for as long as anybody could wait; whoever waits is taken to his time-out."""

    loop: LeapingLoop | None = None

    def takes(self, request: Request) -> bool:
        taken = super().takes(request)
        if taken and self.loop is not None:
            self.loop.call_soon_threadsafe(self.loop.leap)
        return taken


def hanging(loop: LeapingLoop, path: str = "", *, times: int | None = None, **rule: Any) -> Hanging:
    """An endpoint that hangs."""
    return Hanging("hanging", path=path, times=times, delay=3600.0, loop=loop, **rule)


def run_leaping(body: Callable[[LeapingLoop, LoopClock], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function on a leaping loop of its own."""
    loops: list[LeapingLoop] = []

    def factory() -> LeapingLoop:
        loops.append(LeapingLoop())
        return loops[-1]

    with asyncio.Runner(loop_factory=factory) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, LeapingLoop)
        return runner.run(body(loop, LoopClock(loop)))
