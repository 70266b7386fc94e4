"""How a delivery reaches its channel: one retry, a share of the time and one receipt each, and what to fall back to.

Nothing here raises because a channel failed: a dead API costs its own receipt, never the ones after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from ci_bridge.errors import (
    AuthenticationError,
    CIBridgeError,
    ConfigError,
    IncompleteError,
    NotFoundError,
    PermissionDeniedError,
    TimedOutError,
    TransientError,
)
from ci_bridge.models import Comment, Receipt, RemoteRun, Report, RunState, StatusState, TestRun
from ci_bridge.protocols import SupportsComments, SupportsSummary, SupportsTestRuns
from ci_bridge.report import render_summary
from ci_bridge.report.escape import escape_log, marker
from ci_bridge.retry import CALL_SECONDS, SHARE, Deadline, RetryPolicy, retrying, waiting
from ci_bridge.worker import Worker

logger = logging.getLogger("ci_bridge")

_T = TypeVar("_T")

_LOOKS = 6
"""Looks at a pull request's comments before an upsert is content with what it did."""

SUPERSEDED = "_Superseded by another comment of ci-bridge on this pull request._"


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to deliver.

    Attributes:
        via: Its name in the receipt.
        send: Called on the worker thread; answers where the result can be seen. None if the adapter cannot.
        missing: Why ``send`` is None.
        seconds: Wall clock that one try may take; more for a transfer than for a call.
        share: Part of the time that is left which all tries together may take.
        is_local: It waits for nobody but this machine, so that the budget of the whole job does not matter to it.
        prepare: What this machine has to do first, once; called on the worker thread.
    """

    via: str
    send: Callable[[], str | None] | None
    missing: str = ""
    seconds: float = CALL_SECONDS
    share: float = SHARE
    is_local: bool = False
    prepare: Callable[[], object] | None = None


@dataclass(slots=True)
class Courier:
    """Sends things and writes receipts.

    Attributes:
        worker: The thread that all sending happens on.
        policy: How to try again.
        deadline: The budget of the whole job, for waiting for others.
        notice: Said in every receipt; why the named platform is not the one that delivers, for instance.
        warnings: Each missing permission once, for people.
        patterns: What the platform's log viewer would execute; see ``Platform.log_command_patterns``.
        receipts: The last one of each channel.
        hanging: The channels whose last delivery met no answer in time.
    """

    worker: Worker
    policy: RetryPolicy
    deadline: Deadline
    notice: str = ""
    warnings: list[str] = field(default_factory=list)
    patterns: Sequence[str] = ()
    receipts: dict[str, Receipt] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """Reading takes what it takes: time spent in here is not counted, the budget is for deliveries."""
        begun = self.deadline.clock()
        try:
            yield
        finally:
            self.deadline = self.deadline.without(self.deadline.clock() - begun)

    async def send(self, channel: str, rungs: Sequence[Rung]) -> Receipt:
        """Try the rungs in order and answer what became of it.

        Raises:
            ConfigError: A wrong configuration never degrades.
        """
        self.hanging.discard(channel)
        receipt = self.receipts[channel] = await self._descend(channel, rungs)
        return receipt

    async def _descend(self, channel: str, rungs: Sequence[Rung]) -> Receipt:
        reasons: list[tuple[str, str]] = []
        supported = False
        for rung in rungs:
            if rung.send is None:
                reasons.append((rung.via, rung.missing or "not supported here"))
                continue
            supported = True
            if not rung.is_local and self.deadline.remaining <= 0:
                reasons.append((rung.via, self._out_of_time()))
                continue
            try:
                if rung.prepare:
                    await self.worker.run(rung.prepare)
                url = await self._call(rung.send, rung.seconds, rung.share, is_local=rung.is_local)
            except ConfigError:
                raise
            except IncompleteError as error:
                reason = "; ".join(filter(None, [_told(reasons), str(error), self.notice]))
                return Receipt(True, rung.via, error.url, reason, channel, "degraded")
            except CIBridgeError as error:
                reasons.append((rung.via, str(error)))
                if isinstance(error, TimedOutError):
                    self.hanging.add(channel)
                logger.info("%s via %s failed: %s", channel, rung.via, error)
                self._warn(channel, error)
            except Exception as error:
                logger.debug("channel %s", channel, exc_info=True)
                reasons.append((rung.via, f"{type(error).__name__}: {error}"))
            else:
                logger.info("%s via %s delivered", channel, rung.via)
                reason = "; ".join(filter(None, [_told(reasons), self.notice]))
                return Receipt(True, rung.via, url, reason, channel, "degraded" if reason else "sent")
        state = "failed" if supported else "unsupported"
        return Receipt(False, "", None, _told(reasons), channel, state)

    async def _call(
        self, send: Callable[[], _T], seconds: float = CALL_SECONDS, share: float = SHARE, *, is_local: bool = False
    ) -> _T:
        async def once(deadline: Deadline) -> _T:
            return await self.worker.run(send, timeout=min(seconds, max(0.05, deadline.remaining)))

        clock = self.deadline.clock
        if is_local:
            return await retrying(once, self.policy, Deadline(seconds, clock))
        with waiting(clock):
            return await retrying(once, self.policy, self.deadline.share(share), self.deadline)

    async def ask(self, question: Callable[[], _T]) -> _T:
        """Ask a platform something, with the same retries and out of the same budget.

        Raises:
            CIBridgeError: It does not answer.
        """
        if self.deadline.remaining <= 0:
            raise TransientError(self._out_of_time())
        return await self._call(question)

    def _out_of_time(self) -> str:
        return f"the time budget of {self.deadline.seconds:g} s is used up (deadline_seconds)"

    def _warn(self, channel: str, error: CIBridgeError) -> None:
        if isinstance(error, AuthenticationError | PermissionDeniedError | NotFoundError):
            told = escape_log(str(error), patterns=self.patterns)
            if not any(warning.endswith(f": {told}") for warning in self.warnings):  # another channel's is enough
                self.warnings.append(f"{channel}: {told}")
                logger.warning("%s: %s", channel, told)


def _told(reasons: Sequence[tuple[str, str]]) -> str:
    """What each rung met; once, without their names, where all met the same."""
    texts = dict.fromkeys(text for _, text in reasons)
    return next(iter(texts)) if len(texts) == 1 else "; ".join(f"{via}: {text}" for via, text in reasons)


def skipped(channel: str, reason: str) -> Receipt:
    """The receipt of a delivery that was not wanted."""
    return Receipt(False, "", None, reason, channel, "skipped")


def status_of(state: RunState) -> StatusState:
    """What a commit status says of a run; one without results is an error, never green."""
    return StatusState.ERROR if state is RunState.NO_RESULTS else StatusState(state.value)


def worst_of(receipts: Sequence[Receipt]) -> Receipt:
    """The receipt that the caller of several deliveries has to know: a failed one, else the least good one."""
    order = ("failed", "unsupported", "degraded", "sent", "skipped")
    return min(receipts, key=lambda receipt: order.index(receipt.state))


def show_run(adapter: SupportsTestRuns, run: TestRun) -> RemoteRun:
    """Bring up to date what is shown of a run, or show it anew: for the first time, or because it was taken away."""
    if run.remote_id:
        with suppress(NotFoundError):
            return adapter.update_test_run(run.remote_id, run)
    return adapter.create_test_run(run)


def upsert_comment(
    host: SupportsComments, pr_number: str, body: str, key: str, *, create: bool = True, recreate: bool = False
) -> Comment | None:
    """Bring the pull request to hold exactly one comment of ours with this key; safe to repeat, and to do at once.

    A comment is ours if its author is us *and* its first line is our marker; among several the oldest wins and the
    others go. It is looked for anew on every call, so a retry after a lost answer finds what the lost call stored; and
    once more after creating, since another job may have created one in the same moment.

    Args:
        host: The code host's adapter.
        pr_number: The pull request.
        body: Whole text; its first line is the marker of ``key``.
        key: Tells our comments from each other.
        create: False leaves a pull request alone that has no comment of ours.
        recreate: Write a new comment, which notifies; the old one gives up its marker and says so.

    Returns:
        The comment, or None if there was none and none was to be created.
    """
    created: Comment | None = None
    for _ in range(_LOOKS):
        own = own_comments(host, pr_number, key)
        if not own:
            if created is not None or not create:
                return created  # a list that lags behind does not show it yet
            created = host.create_comment(pr_number, body)
            continue
        oldest, *younger = own
        for comment in younger:
            _remove(host, pr_number, comment)
        if oldest.body == body:
            return oldest
        try:
            if not recreate:
                return host.update_comment(pr_number, oldest.id, body)
            host.update_comment(pr_number, oldest.id, SUPERSEDED)
            created, create, recreate = None, True, False
        except NotFoundError:
            continue  # the other job, or a person, took it away in between
    return created


def _remove(host: SupportsComments, pr_number: str, comment: Comment) -> None:
    try:
        host.delete_comment(pr_number, comment.id)
    except PermissionDeniedError:
        host.update_comment(pr_number, comment.id, SUPERSEDED)


def own_comments(host: SupportsComments, pr_number: str, key: str) -> list[Comment]:
    """Our comments with this key, oldest first."""
    author = host.whoami()
    first_line = marker(key)
    return [
        comment
        for comment in host.list_comments(pr_number)
        if comment.author == author and comment.body.split("\n", 1)[0].rstrip("\r") == first_line
    ]


def summary_rung(adapter: SupportsSummary, report: Report) -> Rung:
    """Show the report on the build's own page: as much of it as there is room for, the headline at least."""
    room = adapter.max_summary_size
    try:
        text = render_summary(report, limit_bytes=room)
    except ConfigError:  # not even the headline
        return Rung("summary", None, f"only {room} bytes are left in it")
    return Rung("summary", lambda: adapter.write_summary(text), is_local=True)
