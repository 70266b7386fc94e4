"""Writing to a private history: runs, their outcomes, metrics, and forgetting what is too old."""

# ruff: noqa: S608 - every part of the SQL text is written in this package; values go in as parameters

from __future__ import annotations

import json
import math
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from ci_bridge.errors import HistoryError
from ci_bridge.history import codes, seal
from ci_bridge.history.schema import (
    APPLICATION_ID,
    COLUMNS,
    ERROR,
    FAILED,
    INDEXES,
    LAST_TIMESTAMP,
    MOST_TESTS,
    RETRIED,
    TABLES,
    VERSION,
    VIEWS,
)
from ci_bridge.models import SEPARATOR, Metric, Outcome, Row, Totals

LONGEST_EXAMPLE = 4096
"""Bytes kept of one failure's text."""

LONGEST_TEXT = 1 << 16
"""Characters of any other text; readers of formats cut long before."""

EXAMPLES_PER_RUN = 4 << 20
"""Bytes of failure texts that one run may add: a run in which everything fails must not swell the file."""

CHUNK = 500
"""Values that one query asks for; within SQLITE_LIMIT_VARIABLE_NUMBER of old SQLite versions."""

Part: TypeAlias = tuple[Sequence[Row], Mapping[str, str]]
"""A batch of cases and the failure signatures of those among them that have one, by identity."""

_NEST = chr(30)
_LARGEST_COUNT = (1 << 53) - 1
_DAY = 86_400_000
_GRACE_DAYS = 7


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the history keeps it. Recorded again under the same ``uid``, it replaces the earlier record.

    Attributes:
        uid: ``TestRun.id``.
        ts: When it was created.
        status: A :class:`~ci_bridge.models.RunState` or what the caller's update said.
        shard: Key of the parallel job; runs are compared within one shard only.
        totals: Counts of its cases; ``totals.duration`` is the sum of their durations.
        duration: Seconds from its start to its end.
        trusted: True if later runs may be judged by it (docs/history.md, "Trust").
        extra: Anything that JSON can hold; the ``metadata`` of ``get_test_history``.
    """

    uid: str
    ts: datetime
    completed_at: datetime | None = None
    platform: str = "local"
    repo: str | None = None
    branch: str | None = None
    sha: str | None = None
    pr: str | None = None
    build: str | None = None
    attempt: str | None = None
    job: str | None = None
    shard: str = ""
    status: str = "success"
    totals: Totals = field(default_factory=Totals)
    duration: float = 0.0
    trusted: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970, within what the file can hold. A naive moment is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(round(moment.timestamp() * 1000), 0), LAST_TIMESTAMP)


def create(fresh: Path | str, old: Path | None) -> sqlite3.Connection:
    """Make a database of the current version, filled from an older one.

    Every row is read as values and stored anew under strict column types and checks: only data comes across.

    Args:
        fresh: An empty file, or ``:memory:``.
        old: A checked private copy.

    Raises:
        sqlite3.Error: If a row does not fit, or the disk is full.
    """
    connection = sqlite3.connect(str(fresh), isolation_level=None, check_same_thread=False, uri=True)
    try:
        for pragma in (
            "page_size=4096", "auto_vacuum=NONE", "encoding='UTF-8'", f"application_id={APPLICATION_ID}",
            f"user_version={VERSION}", "journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE",
            "cache_size=-32768", "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0",
        ):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
        if old is not None:
            connection.execute("ATTACH ? AS old", (f"{old.absolute().as_uri()}?mode=ro&immutable=1",))
        connection.execute("BEGIN")
        for statement in TABLES:
            connection.execute(statement)
        connection.execute("INSERT INTO seal VALUES (?)", (seal.new_mark(),))
        if old is not None:
            for table, columns in COLUMNS.items():
                # Naming the columns keeps SQLite from copying whole records unread.
                names = ", ".join(columns)
                connection.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM old.{table}")
        for statement in (*INDEXES, *VIEWS):
            connection.execute(statement)
        connection.execute("COMMIT")
        if old is not None:
            connection.execute("DETACH old")
        # From here on a failed step must be undone; the file itself is thrown away if the process dies.
        connection.execute("PRAGMA journal_mode=MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def record(connection: sqlite3.Connection, run: RunRecord, parts: Iterable[Part]) -> None:
    """Store a run and the outcome of each of its cases; to be called in a transaction.

    Args:
        connection: From :func:`create`.
        run: Replaces the run with the same ``uid``; that one's metrics stay.
        parts: Every case once, its attempts merged, in batches with the failure signatures of their cases by identity.
            Where there are none, what was recorded before stays.
    """
    if not run.uid:
        raise HistoryError("a run without an id cannot be recorded")
    run_no = _put_run(connection, run)
    outcomes = None
    for batch, signatures in parts:
        if outcomes is None and batch:
            for table in ("outcome", "nonpass"):
                connection.execute(f"DELETE FROM {table} WHERE run_no = ?", (run_no,))
            outcomes = _Outcomes(connection, run_no)
        if outcomes is not None:
            outcomes.add(batch, signatures)
    if outcomes is not None:
        outcomes.finish()


def is_taken(connection: sqlite3.Connection, run: RunRecord) -> bool:
    """True if another build's run has this id, so that recording this one would replace that."""
    row = connection.execute("SELECT trusted, branch, pr, build FROM run WHERE uid = ?", (clean(run.uid),)).fetchone()
    ours = (int(run.trusted), *(clean(value) for value in (run.branch, run.pr, run.build)))
    return row not in (None, ours, (0, None, None, None))  # the last holds the place of numbers that came first


def _put_run(connection: sqlite3.Connection, run: RunRecord) -> int:
    totals = run.totals
    values = (
        run.uid, milliseconds(run.ts), None if run.completed_at is None else milliseconds(run.completed_at),
        run.platform, run.repo, run.branch, run.sha, run.pr, run.build, run.attempt, run.job, run.shard, run.status,
        *(_count(n) for n in (totals.passed, totals.failed, totals.error, totals.skipped, totals.flaky)),
        _count(run.duration * 1000), _count(totals.duration * 1000), int(run.trusted),
        json_text(run.extra),
    )  # fmt: skip
    columns = COLUMNS["run"][1:]
    places = ", ".join("?" * len(columns))
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    connection.execute(
        f"INSERT INTO run ({', '.join(columns)}) VALUES ({places}) ON CONFLICT (uid) DO UPDATE SET {changes}",
        tuple(clean(value) for value in values),
    )
    (run_no,) = connection.execute("SELECT run_no FROM run WHERE uid = ?", (clean(run.uid),)).fetchone()
    return int(run_no)


def _count(number: float) -> int:
    return min(max(round(number), 0), _LARGEST_COUNT) if math.isfinite(number) else 0


def json_text(extra: Mapping[str, Any]) -> str:
    """What JSON can hold of it, within bounds."""
    try:
        text = json.dumps(dict(extra), default=str, skipkeys=True)
        if "NaN" in text or "Infinity" in text:
            text = json.dumps(json.loads(text, parse_constant=str))
    except (ValueError, RecursionError):
        return json.dumps({"left_out": "it is no tree of values"})
    return text if len(text) <= LONGEST_TEXT else json.dumps({"left_out": f"{len(text)} characters are too many"})


def mapping_of(text: str) -> dict[str, Any]:
    """The opposite of :func:`json_text`; empty where the text is nothing of the kind."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def clean(value: Any) -> Any:
    """Text that SQLite can hold and a reader lets pass: lone surrogates become question marks, the rest is cut."""
    return value[:LONGEST_TEXT].encode("utf-8", "replace").decode() if isinstance(value, str) else value


class _Outcomes:
    """Takes a run's rows batch by batch; holds one byte per test, and names of one batch at a time."""

    def __init__(self, connection: sqlite3.Connection, run_no: int) -> None:
        self._connection, self._run_no = connection, run_no
        self._codes = bytearray()
        self._free = free_numbers(connection)
        self._signature_numbers: dict[str, int] = {"": 0}
        self._room = EXAMPLES_PER_RUN

    def add(self, batch: Sequence[Row], signatures: Mapping[str, str]) -> None:
        names = [f"{_NEST.join(r[0])}{SEPARATOR}{r[1]}{SEPARATOR}{r[2]}{SEPARATOR}{r[3]}" for r in batch]
        numbers = self._numbers(names)
        top = max(numbers, default=-1) + 1
        if top > len(self._codes):
            self._codes.extend(bytes(top - len(self._codes)))
        store, encode = self._codes, codes.encode_duration
        nonpass = []
        for number, name, row in zip(numbers, names, batch, strict=True):
            outcome, extra = row[5], row[7]
            if outcome == "skipped":
                store[number] = codes.SKIPPED
                continue
            store[number] = encode(row[6])
            if extra is not None and (status := _status(outcome, extra)):
                signature = self._signature(signatures.get(name, ""))
                nonpass.append((number, self._run_no, status, signature))
                self._keep_example(number, signature, status, extra)
        self._connection.executemany("INSERT OR REPLACE INTO nonpass VALUES (?, ?, ?, ?)", nonpass)

    def finish(self) -> None:
        if self._codes:
            self._connection.execute("INSERT INTO outcome VALUES (?, ?)", (self._run_no, codes.pack(self._codes)))

    def _numbers(self, names: list[str]) -> list[int]:
        try:
            "".join(names).encode()
            longest = max(map(len, names), default=0)
        except UnicodeEncodeError:
            longest = LONGEST_TEXT + 1
        if longest > LONGEST_TEXT:
            names = [clean(name) for name in names]
        known = numbers_of(self._connection, names)
        added = {}
        for name in names:
            if name not in known:
                known[name] = added[name] = next(self._free)
        self._connection.executemany("INSERT INTO test VALUES (?, ?)", ((no, name) for name, no in added.items()))
        return [known[name] for name in names]

    def _signature(self, norm: str) -> int:
        if norm not in self._signature_numbers:
            text = clean(norm)
            self._connection.execute("INSERT OR IGNORE INTO signature (norm) VALUES (?)", (text,))
            row = self._connection.execute("SELECT sig_no FROM signature WHERE norm = ?", (text,)).fetchone()
            self._signature_numbers[norm] = row[0]
        return self._signature_numbers[norm]

    def _keep_example(self, number: int, signature: int, status: int, extra: tuple[Any, ...]) -> None:
        text = _example_text(status, extra)
        if not text or len(text) > self._room:
            return
        self._room -= len(text)
        self._connection.execute(
            "INSERT INTO example VALUES (?, ?, ?, ?) ON CONFLICT (test_no, sig_no) DO UPDATE"
            " SET run_no = excluded.run_no, text = excluded.text",
            (number, signature, self._run_no, text),
        )


def _status(outcome: str, extra: tuple[Any, ...]) -> int:
    if outcome == "failed":
        return FAILED
    if outcome == "error":
        return ERROR
    return RETRIED if any(attempt[0] in (Outcome.FAILED, Outcome.ERROR) for attempt in extra[5]) else 0


def _example_text(status: int, extra: tuple[Any, ...]) -> str:
    kind, message, details = extra[:3]
    if status == RETRIED:
        kind, message, details = next(a[2:5] for a in extra[5] if a[0] in (Outcome.FAILED, Outcome.ERROR))
    first = f"{kind}: {message}" if kind and message and not message.startswith(kind) else message or kind
    text = details if first and first in details else "\n".join(part for part in (first, details) if part)
    return str(text).encode("utf-8", "replace")[:LONGEST_EXAMPLE].decode("utf-8", "ignore")


def numbers_of(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, int]:
    """The numbers of those tests that the history knows."""
    known: dict[str, int] = {}
    query = f"SELECT name, test_no FROM test WHERE name IN ({', '.join('?' * CHUNK)})"
    for start in range(0, len(names), CHUNK):
        part = names[start : start + CHUNK]
        known.update(connection.execute(query, (*part, *[None] * (CHUNK - len(part)))))
    return known


def free_numbers(connection: sqlite3.Connection) -> Iterator[int]:
    """Numbers for new tests: first those that pruned tests left free, to keep a run's bytes few.

    Raises:
        HistoryError: When all are taken.
    """
    taken = array("l", (number for (number,) in connection.execute("SELECT test_no FROM test ORDER BY test_no")))
    expected = 0
    for number in taken:
        yield from range(expected, number)
        expected = number + 1
    yield from range(expected, MOST_TESTS)
    raise HistoryError(f"the history is full: it holds {MOST_TESTS} different tests")


def record_metrics(connection: sqlite3.Connection, metrics: Iterable[Metric]) -> None:
    """Store performance numbers; the same number of the same moment is stored once. To be called in a transaction.

    Raises:
        ValueError: For a number that is not finite.
        HistoryError: For a metric without a run or a name.
    """
    for metric in metrics:
        if not math.isfinite(metric.value):
            raise ValueError(f"the metric {metric.name!r} is {metric.value}; only finite numbers can be recorded")
        if not metric.run_id or not metric.name:
            raise HistoryError("a metric needs a name and the id of its run")
        key = (clean(metric.name), clean(metric.task_id or ""), clean(metric.unit))
        connection.execute("INSERT OR IGNORE INTO metric_name (name, task, unit) VALUES (?, ?, ?)", key)
        (metric_no,) = connection.execute(
            "SELECT metric_no FROM metric_name WHERE (name, task, unit) = (?, ?, ?)", key
        ).fetchone()
        row = connection.execute("SELECT run_no FROM run WHERE uid = ?", (clean(metric.run_id),)).fetchone()
        # Numbers may come before their run is recorded, which then takes this place.
        run_no = row[0] if row else _put_run(connection, RunRecord(metric.run_id, metric.recorded_at, status="running"))
        values = (metric_no, run_no, float(metric.value), milliseconds(metric.recorded_at))
        connection.execute(
            "INSERT INTO metric (metric_no, run_no, value, ts) SELECT ?, ?, ?, ? WHERE NOT EXISTS"
            " (SELECT 1 FROM metric WHERE (metric_no, run_no, value, ts) = (?, ?, ?, ?))",
            (*values, *values),
        )


def believed_until(connection: sqlite3.Connection, now: int) -> int:
    """The moment after which runs are taken for the work of a wrong clock: a day from now.

    Unless most runs lie beyond it: then the wrong clock is this machine's, and all runs are believed.
    """
    edge = now + _DAY
    (total, later) = connection.execute("SELECT count(*), coalesce(sum(ts > ?), 0) FROM run", (edge,)).fetchone()
    return LAST_TIMESTAMP if later * 2 > total else edge


def prune(
    connection: sqlite3.Connection, days: int, now: datetime, *, force: bool, fresh: Iterable[str] = ()
) -> tuple[int, str]:
    """Drop runs older than ``days``; to be called in a transaction.

    This machine's clock is believed only so far: not beyond a week after the newest run that another machine's clock
    dated, and not where more than half of all runs would go.

    Returns:
        How many runs went, and why none did where the clock was not believed.
    """
    moment = milliseconds(now)
    until = believed_until(connection, moment)
    believed = connection.execute("SELECT ts, uid FROM run WHERE ts <= ? ORDER BY ts DESC", (until,)).fetchall()
    if not believed:
        return 0, ""
    own = set(fresh)
    newest = next((ts for ts, uid in believed if uid not in own), believed[0][0])
    edge = min(moment, newest + _GRACE_DAYS * _DAY) - days * _DAY
    (total,) = connection.execute("SELECT count(*) FROM run").fetchone()
    (old,) = connection.execute("SELECT count(*) FROM run WHERE ts < ?", (edge,)).fetchone()
    if not old:
        return 0, ""
    if old * 2 > total and not force:
        return 0, (
            f"{old} of {total} runs of the history are older than {days} days; they were kept, because a wrong clock"
            " would look the same (`ci-bridge history prune --force` drops them)"
        )
    drop_runs(connection, [run_no for (run_no,) in connection.execute("SELECT run_no FROM run WHERE ts < ?", (edge,))])
    return old, ""


def drop_runs(connection: sqlite3.Connection, run_numbers: Iterable[int]) -> None:
    """Drop runs and what only they mention; to be called in a transaction."""
    wanted = [(run_no,) for run_no in run_numbers]
    for table in ("outcome", "nonpass", "metric", "example", "run"):
        connection.executemany(f"DELETE FROM {table} WHERE run_no = ?", wanted)
    _drop_unused(connection)


def _drop_unused(connection: sqlite3.Connection) -> None:
    """Forget tests, signatures and metric names that no run mentions any more."""
    width = connection.execute("SELECT coalesce(max(test_no), -1) + 1 FROM test").fetchone()[0]
    alive = 0
    for (blob,) in connection.execute("SELECT codes FROM outcome"):
        alive |= int.from_bytes(codes.unpack(blob, width), "little")
    used = alive.to_bytes(width, "little")
    dead = [(number,) for number, seen in enumerate(used) if not seen]
    connection.executemany("DELETE FROM example WHERE test_no = ?", dead)
    connection.executemany("DELETE FROM test WHERE test_no = ?", dead)
    connection.execute(
        "DELETE FROM signature WHERE sig_no NOT IN (SELECT sig_no FROM nonpass UNION SELECT sig_no FROM example)"
    )
    connection.execute("DELETE FROM metric_name WHERE metric_no NOT IN (SELECT metric_no FROM metric)")
