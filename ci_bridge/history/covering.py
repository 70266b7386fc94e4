"""What a history knows of the objects that it was gathered from, and how a run from elsewhere is added to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from ci_bridge.history import recording
from ci_bridge.history.recording import RunRecord, clean, mapping_of, milliseconds
from ci_bridge.history.schema import COLUMNS, LAST_TIMESTAMP
from ci_bridge.history.segments import Segment
from ci_bridge.history.view import moment
from ci_bridge.models import Metric, Totals

AHEAD = timedelta(days=1)
"""How long after it was stored a run may be dated; a clock further ahead is not believed."""

TOMBSTONE_DAYS = 120
"""How long a forgotten run stays forgotten: the default of ``history_retention_days`` and a month."""


def add_segment(connection: sqlite3.Connection, segment: Segment, stored_at: datetime) -> None:
    """Add a run that was stored at ``stored_at`` by the store's clock; to be called in a transaction.

    Adding it again changes nothing. What was stored earlier of the same run does not replace what came later. A wish to
    forget it counts whether it is read before or after.
    """
    uid = clean(segment.run.uid)
    if segment.forgotten:
        forget(connection, uid, stored_at)
        return
    if connection.execute("SELECT 1 FROM tombstone WHERE uid = ?", (uid,)).fetchone():
        return
    latest = stored_at + AHEAD
    end = segment.run.completed_at
    run = replace(
        segment.run,
        ts=min(segment.run.ts, latest),
        completed_at=None if end is None else min(end, latest),
        trusted=segment.run.trusted and segment.run.pr is None,
    )
    earlier = run_record(connection, uid)
    known = None
    if earlier is not None and _end(run) < _end(earlier):
        run = earlier
        known = connection.execute("SELECT 1 FROM outcome JOIN run USING (run_no) WHERE uid = ?", (uid,)).fetchone()
    recording.record(connection, run, () if known else segment.parts())
    for metric in segment.metrics:
        if metric.recorded_at <= latest:
            recording.record_metrics(connection, [metric])
        elif not _holds_later(connection, metric, stored_at):
            recording.record_metrics(connection, [replace(metric, recorded_at=latest)])


def add_own_segment(connection: sqlite3.Connection, segment: Segment, stored_at: datetime, pr: str) -> None:
    """Add a run of the pull request that is built, of whose segment nothing is believed; within a transaction.

    Whatever it says, it is an untrusted run of this pull request. It makes nobody forget a run, takes no other run's
    place and adds no performance numbers.
    """
    run = replace(segment.run, pr=pr, trusted=False)
    if not segment.forgotten and not recording.is_taken(connection, run):
        add_segment(connection, replace(segment, run=run, metrics=()), stored_at)


def _holds_later(connection: sqlite3.Connection, metric: Metric, since: datetime) -> bool:
    """True if the run has this number from after ``since``: another copy of its segment was given another time."""
    key = (metric.name, metric.task_id or "", metric.unit, metric.run_id)
    found = connection.execute(
        "SELECT 1 FROM metric JOIN metric_name USING (metric_no) JOIN run USING (run_no)"
        " WHERE (name, task, unit, uid) = (?, ?, ?, ?) AND value = ? AND metric.ts > ?",
        (*map(clean, key), metric.value, milliseconds(since)),
    )
    return found.fetchone() is not None


def _end(run: RunRecord) -> datetime:
    return run.completed_at or moment(0)


def run_record(connection: sqlite3.Connection, uid: str) -> RunRecord | None:
    """A run as it was recorded, None if it is not there."""
    cursor = connection.execute(f"SELECT {', '.join(COLUMNS['run'])} FROM run WHERE uid = ?", (clean(uid),))  # noqa: S608 - names of our own schema
    found = cursor.fetchone()
    if found is None:
        return None
    row = dict(zip(COLUMNS["run"], found, strict=True))
    texts = ("uid", "platform", "repo", "branch", "sha", "pr", "build", "attempt", "job", "shard", "status")
    return RunRecord(
        **{key: row[key] for key in texts},
        ts=moment(row["ts"]),
        completed_at=None if row["completed"] is None else moment(row["completed"]),
        totals=Totals(row["passed"], row["failed"], row["error"], row["skipped"], row["flaky"], row["cases_ms"] / 1000),
        duration=row["duration_ms"] / 1000,
        trusted=bool(row["trusted"]),
        extra=mapping_of(row["extra"]),
    )


def cover(connection: sqlite3.Connection, object_id: str, uid: str) -> None:
    """Note that an object is covered, from the next :func:`settle` on; within a transaction."""
    values = (clean(object_id), clean(uid), LAST_TIMESTAMP)
    connection.execute("INSERT OR IGNORE INTO source (object_id, uid, ts) VALUES (?, ?, ?)", values)


def covered(connection: sqlite3.Connection, before: datetime | None) -> set[str]:
    """The ids of covered objects; those that were settled up to ``before`` if that is given."""
    edge = None if before is None else milliseconds(before)
    rows = connection.execute("SELECT object_id FROM source WHERE ? IS NULL OR ts <= ?", (edge, edge))
    return {object_id for (object_id,) in rows}


def settle(connection: sqlite3.Connection, listed: Iterable[str], now: datetime, before: datetime) -> None:
    """Make it so for a new base: what was added is covered from ``now`` on; within a transaction.

    Objects that exist no more and were covered before ``before`` are forgotten, and so are tombstones that nothing can
    rise from.
    """
    moment = milliseconds(now)
    connection.execute("UPDATE source SET ts = ? WHERE ts > ?", (moment, moment))
    keep = set(listed)
    rows = connection.execute("SELECT object_id FROM source WHERE ts < ?", (milliseconds(before),)).fetchall()
    connection.executemany("DELETE FROM source WHERE object_id = ?", [row for row in rows if row[0] not in keep])
    edge = milliseconds(before - timedelta(days=TOMBSTONE_DAYS))
    connection.execute("DELETE FROM tombstone WHERE ts < ?", (edge,))


def forget(connection: sqlite3.Connection, uid: str, now: datetime) -> bool:
    """Drop a run and keep it from coming back; to be called in a transaction. True if it was there."""
    values = (clean(uid), milliseconds(now))
    connection.execute("INSERT OR REPLACE INTO tombstone (uid, ts) VALUES (?, ?)", values)
    row = connection.execute("SELECT run_no FROM run WHERE uid = ?", values[:1]).fetchone()
    if row is not None:
        recording.drop_runs(connection, row)
    return row is not None
