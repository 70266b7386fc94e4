"""Clients for tests: real policy and real settings over :class:`FakeAdapter`, with a clock that does not wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ci_bridge import platforms
from ci_bridge.client import Client
from ci_bridge.config import load_settings
from ci_bridge.models import BuildContext
from ci_bridge.protocols import Adapter
from ci_bridge.retry import RetryPolicy
from tests.fakes.adapter import FakeAdapter


class Clock:
    """A monotonic clock that sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


TRUSTED_EVENTS = ("push", "schedule", "workflow_dispatch")
"""What the platform of these clients trusts where a test names none of its own."""

PULL_REQUEST = BuildContext(
    "fake",
    repository="acme/shop",
    commit_sha="a" * 40,
    pr_head_sha="b" * 40,
    branch="feature",
    pr_number="42",
    pr_base_branch="main",
    build_id="777",
)


@asynccontextmanager
async def client_over(
    adapter: Adapter,
    workspace: Path,
    *,
    config: Mapping[str, Any] | None = None,
    context: BuildContext | None = None,
    env: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    log: list[str] | None = None,
    platform: str = "local",
) -> AsyncIterator[Client]:
    """A client over this adapter."""
    clock = clock or Clock()
    loaded = load_settings(env=env or {}, directory=workspace, config=config)
    settings = loaded.settings
    known = platforms.load(platform)
    client = Client(
        loaded=loaded,
        platform=known if known.trusted_events else replace(known, trusted_events=TRUSTED_EVENTS),
        context=context or BuildContext("fake", commit_sha="a" * 40, branch="main"),
        adapter=adapter,
        workspace=workspace,
        env=env or {},
        log=log.append if log is not None else None,
        monotonic=clock,
        policy=RetryPolicy(
            settings.max_retries if settings.retry_failed_api_calls else 0,
            settings.retry_delay_seconds,
            clock.sleep,
            lambda: 1.0,
        ),
    )
    try:
        yield client
    finally:
        await client.aclose()


__all__ = ["PULL_REQUEST", "Clock", "FakeAdapter", "client_over"]
