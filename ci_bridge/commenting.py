"""The report's one comment on the pull request: a single job's, or the sum of a build's parallel jobs.

Parallel jobs race. Each puts its part before it lists the others', and lists them again after it wrote the comment,
until nothing new has come: whoever writes last has seen everything that was put before, so the comment ends complete,
whatever the order. docs/events.md ("Parallel jobs") has the argument in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ci_bridge.delivery import Rung, skipped, summary_rung, upsert_comment
from ci_bridge.errors import CIBridgeError, ConfigError, HistoryError
from ci_bridge.history import History
from ci_bridge.legs import leg_of
from ci_bridge.merging import Leg, is_complete, merged_report, notifies, total_of
from ci_bridge.models import Receipt, Report, RunState, StoredObject
from ci_bridge.protocols import SupportsComments, SupportsStore, SupportsSummary, why_missing
from ci_bridge.report import headline, render_comment
from ci_bridge.retry import waiting
from ci_bridge.sharing import Siblings
from ci_bridge.travels import store_of
from ci_bridge.web import source_links
from ci_bridge.workplace import Workplace

_ROUNDS = 300
"""Times that one job writes the comment at most; each further one needs a part that was put in the meantime."""

_PATIENCE = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between looks for this job's own part where the store's list lags behind."""


def unwanted(place: Workplace, report: Report) -> Receipt | None:
    """The receipt that says why there is to be no comment, None if there is to be one."""
    if not place.settings.enable_pr_comments:
        return skipped("comment", "enable_pr_comments = false")
    if place.is_queue:
        return skipped("comment", "a merge queue's build is of many pull requests; its verdict is on its own commit")
    if not (report.run.pr_number or place.context.pr_number):
        return skipped("comment", "not a pull request")
    return None


async def comment(place: Workplace, report: Report, tracked: Sequence[str] = ()) -> Receipt:
    """Bring the pull request's comment up to date; ``tracked``: the repository's files."""
    if (refusal := unwanted(place, report)) is not None:
        return refusal
    is_parallel = bool(report.shard) and place.settings.shard_total != 1
    if report.shards or not is_parallel:  # a merged report holds all shards already
        return await write_comment(place, report, report_key(place, report.run.id), notify=True)
    store = store_of(place)
    if store is not None and isinstance(place.host, SupportsComments):
        return await _share(place, report, store, tracked)
    return await _alone(place, report, "this platform has no store through which parallel jobs find each other")


async def _alone(place: Workplace, report: Report, reason: str) -> Receipt:
    """A comment of this job's own, so that parallel jobs do not overwrite each other."""
    key = f"{report_key(place, report.run.id)}:{report.shard}"
    receipt = await write_comment(place, report, key, notify=True)
    if not receipt:
        return receipt
    return replace(
        receipt, state="degraded", reason="; ".join(filter(None, (f"one comment per shard: {reason}", receipt.reason)))
    )


async def _share(place: Workplace, report: Report, store: SupportsStore, tracked: Sequence[str]) -> Receipt:
    settings, courier = place.settings, place.courier
    siblings = Siblings(store, place.report_name)
    own = leg_of(report, shard_total=settings.shard_total)
    key = report_key(place, f"{report.context.build_id}:{report.context.attempt or 1}")
    receipt: Receipt | None = None
    seen: frozenset[str] | None = None
    try:
        own = await courier.ask(lambda: siblings.put(own, settings.artifact_retention_days))
        listed = await _first_list(place, siblings)
        for _ in range(_ROUNDS):
            found = frozenset(stored.id for stored in listed)
            if found == seen:
                break
            seen = found
            if receipt is None and not siblings.is_due(listed, settings.shard_total):
                return skipped(
                    "comment", f"{len(listed)} of {settings.shard_total} shards so far; a later one updates it"
                )
            legs = await courier.ask(partial(siblings.read, listed))
            receipt = await _write_merged(place, report, legs, key, tracked, notify=notifies(legs, own.object_id))
            # Where jobs may have the same key, nobody knows how many there are.
            if receipt.via != "comment" or (_is_final(legs) and not store.job_key):
                break
            listed = await courier.ask(siblings.listed)
    except ConfigError:
        raise
    except CIBridgeError as error:
        if receipt is None:
            return await _alone(place, report, str(error))
        courier.warnings.append(f"the comment may lack the newest shards: {error}")
    finally:
        courier.warnings.extend(siblings.warnings)
    assert receipt is not None
    return receipt


async def _first_list(place: Workplace, siblings: Siblings) -> list[StoredObject]:
    """The parts as soon as this job's own is among them.

    Only then every job that looks later sees it, too; otherwise the last two jobs could miss each other.
    """
    courier = place.courier
    listed = await courier.ask(siblings.listed)
    if not place.context.build_id:
        return listed  # a job of no build has no siblings to list
    for wait in _PATIENCE:
        if siblings.shows_own or wait >= courier.deadline.remaining:
            break
        with waiting(courier.deadline.clock):
            await courier.policy.sleep(wait)
        listed = await courier.ask(siblings.listed)
    if not siblings.shows_own:
        courier.warnings.append("the comment may lack the newest shards: the store does not list this job's part yet")
    return listed


def _is_final(legs: Sequence[Leg]) -> bool:
    """True if nothing can come any more: all jobs of one attempt. Whoever writes less than that looks again."""
    return bool(total_of(legs)) and is_complete(legs) and len({leg.attempt for leg in legs}) == 1


async def _write_merged(
    place: Workplace, report: Report, legs: Sequence[Leg], key: str, tracked: Sequence[str], *, notify: bool
) -> Receipt:
    shared = merged_report(legs, context=report.context, run=report.run, title=report.title)
    # The build's page shows every job's summary; a report file is of one job only.
    summary = {key: report.links[key] for key in ("summary",) if key in report.links}
    shared = replace(shared, links=summary, sources=source_links(shared, place.pages, tracked))
    return await write_comment(place, shared, key, notify=notify, is_summary=len(legs) == 1)


async def write_comment(
    place: Workplace, report: Report, key: str, *, notify: bool, is_summary: bool = True
) -> Receipt:
    """Write or update one comment; where that is impossible, the summary or the log bears it.

    Args:
        place: What to work with.
        report: What to tell.
        key: See :func:`report_key`.
        notify: False never recreates the comment, so that only one of several jobs notifies people.
        is_summary: True if this job's summary tells the same.
    """
    settings, host = place.settings, place.host
    pr_number = str(report.run.pr_number or place.context.pr_number)
    quiet = settings.pr_comment_on_failure_only and report.state in (RunState.SUCCESS, RunState.PENDING)
    rungs = []
    if isinstance(host, SupportsComments):
        body = _body(place, report, host.max_comment_size, key)
        recreate = notify and settings.comment_on_worse == "recreate" and await _is_worse(place, report, pr_number)

        def send() -> str | None:
            stored = upsert_comment(host, pr_number, body, key, create=not quiet, recreate=recreate)
            return stored.url if stored else None

        rungs.append(Rung("comment", send))
    else:
        rungs.append(Rung("comment", None, why_missing(host, "comments", "this code host takes no comments")))
    adapter = place.adapter
    shown = place.courier.receipts.get("summary") if is_summary else None
    if shown and shown.via == "summary":
        rungs.append(Rung("summary", lambda: shown.url, is_local=True))  # which holds all of it already
    elif isinstance(adapter, SupportsSummary):
        rungs.append(summary_rung(adapter, report))
    rungs.append(place.log_rung(headline(report)))
    receipt = await place.courier.send("comment", rungs)
    if receipt.via == "comment" and receipt.url is None and quiet:
        return replace(skipped("comment", "pr_comment_on_failure_only, and all is well"), via="comment")
    return receipt


def _body(place: Workplace, report: Report, limit: int, key: str) -> str:
    """The comment; by our own template where the user's, which was tried on this job's results, fails on the sum."""
    try:
        return render_comment(report, template=place.settings.pr_comment_template, limit=limit, marker_key=key)
    except ConfigError as error:
        if not report.shards:
            raise
        place.courier.warnings.append(f"the default template was used: {error}")
        return render_comment(report, limit=limit, marker_key=key)


def report_key(place: Workplace, run_id: str) -> str:
    """The key of the report's comment: one per pull request, title and job, or one per run where each gets its own."""
    key = f"report:{place.report_name}"
    return key if place.settings.pr_update_existing_comments else f"{key}:{run_id}"


async def _is_worse(place: Workplace, report: Report, pr_number: str) -> bool:
    """True if this report was green in the newest earlier build of the pull request, in all its jobs, and now is not.

    The earlier state comes from the history, never from the comment, which others can edit. Where the history does not
    hold all parallel jobs of that build, it is not known.
    """
    if report.state in (RunState.SUCCESS, RunState.PENDING) or not place.settings.enable_history_tracking:
        return False
    own = report.run.build_id if report.shards else None

    def is_of_report(row: Mapping[str, Any]) -> bool:
        name = str(row["metadata"].get("name"))
        if report.shards:
            return row["build_id"] != own and name.startswith(f"{place.report_name} (")
        return name == report.run.name

    def earlier() -> bool:
        with History.read(place.history_path) as history:
            rows = [row for row in history.runs(limit=300, pr_number=pr_number) if is_of_report(row)]
        newest = [row for row in rows if row["build_id"] == rows[0]["build_id"]] if report.shards else rows[:1]
        is_whole = bool(newest) and len(newest) >= len(report.shards)
        return is_whole and all(row["status"] == str(RunState.SUCCESS) for row in newest)

    try:
        return await place.courier.worker.run(earlier)
    except HistoryError:
        return False
