"""Reading a history for people and for the public API: rows as plain dictionaries."""

# ruff: noqa: S608 - every part of the SQL text is written in this package; values go in as parameters

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from ci_bridge.history import codes
from ci_bridge.history.recording import mapping_of, milliseconds, numbers_of
from ci_bridge.history.schema import ERROR, FAILED, readable
from ci_bridge.history.view import Outcomes, moment
from ci_bridge.models import display_name_of

MOST_CELLS = 16_000_000
"""Outcomes held in memory at once."""

OUTCOME_WORDS = {"P": "passed", "R": "passed on retry", "F": "failed", "S": "skipped", "-": "absent"}


def runs(
    connection: sqlite3.Connection,
    *,
    limit: int | None = None,
    branch: str | None = None,
    status: str | None = None,
    since: datetime | None = None,
    pr_number: str | None = None,
    run_id: str | None = None,
) -> list[dict[str, Any]]:
    """Runs, newest first; each filter that is given must match."""
    conditions = {"branch = ?": branch, "status = ?": status, "pr = ?": pr_number, "uid = ?": run_id}
    where, values = _where(conditions, "ts", since)
    rows = _query(
        connection,
        "SELECT uid AS id, ts AS created_at, completed AS completed_at, status, build AS build_id, sha AS commit_sha,"
        " branch, passed + failed + error + skipped AS total_tasks, passed AS completed_tasks,"
        " failed + error AS failed_tasks, duration_ms / 1000.0 AS duration, extra AS metadata"
        f" FROM run{where} ORDER BY ts DESC, run_no DESC LIMIT ?",
        (*values, _limit(limit)),
    )
    return [
        {
            **row,
            "created_at": iso(row["created_at"]),
            "completed_at": iso(row["completed_at"]),
            "metadata": mapping_of(row["metadata"]),
        }
        for row in rows
    ]


def metrics(connection: sqlite3.Connection, **filters: Any) -> list[dict[str, Any]]:
    """Performance numbers, oldest first, as the public API gives them; filters as in :func:`metric_points`."""
    keys = ("id", "run_id", "task_id", "metric_name", "metric_value", "unit", "recorded_at")
    return [{key: point[key] for key in keys} for point in metric_points(connection, **filters)]


def metric_points(
    connection: sqlite3.Connection,
    *,
    run_id: str | None = None,
    metric_name: str | None = None,
    task_id: str | None = None,
    branch: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Performance numbers, oldest first, the newest ``limit`` of those that match.

    With what trends are grouped by: ``branch commit_sha platform shard task_type``.
    """
    conditions = {"uid = ?": run_id, "name = ?": metric_name, "task = ?": task_id, "branch = ?": branch}
    where, values = _where(conditions, "metric.ts", since)
    rows = _query(
        connection,
        "SELECT id, uid AS run_id, task AS task_id, name AS metric_name, value AS metric_value, unit,"
        " metric.ts AS recorded_at, branch, sha AS commit_sha, platform, shard, extra AS task_type FROM metric"
        f" JOIN metric_name USING (metric_no) JOIN run USING (run_no){where} ORDER BY metric.ts DESC, id DESC LIMIT ?",
        (*values, _limit(limit)),
    )
    return [
        {
            **row,
            "task_id": row["task_id"] or None,
            "recorded_at": iso(row["recorded_at"]),
            "task_type": mapping_of(row["task_type"]).get("task_type"),
        }
        for row in reversed([*rows])
    ]


def tests(
    connection: sqlite3.Connection, pattern: str = "", *, limit: int | None = 100, branch: str | None = None
) -> list[dict[str, Any]]:
    """Tests, those with most failures first.

    Args:
        connection: Of a history.
        pattern: Part of a test's name, upper and lower case alike; with ``*`` or ``?`` a pattern for the whole name.
        limit: Tests at most; None for all.
        branch: Count the runs of this branch only.

    Returns:
        ``test`` (readable name), ``identity``, ``runs`` (without skips), ``failures``, ``flips`` (changes between
        passed and failed from one run of a branch to its next), ``last_status``, ``last_run`` and ``p50`` (seconds of
        the passed executions, None if there are none).
    """
    found = _find_tests(connection, pattern, limit, branch)
    picked = _runs_with_outcomes(connection, branch)
    # In portions, so that memory stays the same however many tests there are.
    size = max(1, MOST_CELLS // max(len(picked), 1))
    return [row for at in range(0, len(found), size) for row in _test_rows(connection, found[at : at + size], picked)]


_Picked = list[tuple[int, str, int, str | None, str | None]]


def _runs_with_outcomes(connection: sqlite3.Connection, branch: str | None) -> _Picked:
    return connection.execute(
        "SELECT run_no, uid, ts, branch, sha FROM run WHERE run_no IN (SELECT run_no FROM outcome)"
        " AND (? IS NULL OR branch = ?) ORDER BY ts, run_no",
        (branch, branch),
    ).fetchall()


def _test_rows(
    connection: sqlite3.Connection, found: Sequence[tuple[int, str]], picked: _Picked
) -> Iterator[dict[str, Any]]:
    numbers, runs, outcomes = [number for number, _ in found], [run[0] for run in picked], Outcomes(connection)
    columns = outcomes.codes(numbers, runs)
    letters = outcomes.letters(numbers, runs, columns)
    cells, branches = b"".join(columns), [run[3] for run in picked]
    for place, (_, name) in enumerate(found):
        text, taken = letters[place], cells[place :: len(numbers)]
        if "F" in text:
            taken = bytes(code for code, letter in zip(taken, text, strict=True) if letter != "F")
        passed = sorted(taken.translate(None, bytes((codes.ABSENT, codes.SKIPPED))))
        last = len(text.rstrip("-")) - 1
        yield {
            "test": display_name_of(name),
            "identity": name,
            "runs": len(text) - text.count("-") - text.count("S"),
            "failures": text.count("F"),
            "flips": _flips(text, branches) if "F" in text else 0,
            "last_status": OUTCOME_WORDS[text[last]] if last >= 0 else None,
            "last_run": iso(picked[last][2]) if last >= 0 else None,
            "p50": codes.SECONDS[passed[(len(passed) - 1) // 2]] if passed else None,
        }


def _find_tests(
    connection: sqlite3.Connection, pattern: str, limit: int | None, branch: str | None
) -> list[tuple[int, str]]:
    text = f"lower({readable('name')})"
    if any(sign in pattern for sign in "*?["):
        condition, values = f"{text} GLOB ?", (pattern[:1000].lower(),)
    else:
        condition, values = f"instr({text}, ?)", (pattern.lower(),)
    query = (
        "SELECT test_no, name FROM test LEFT JOIN (SELECT test_no AS red, count(*) AS failures FROM nonpass"
        " JOIN run USING (run_no) WHERE nonpass.status IN (?, ?) AND (? IS NULL OR branch = ?) GROUP BY test_no)"
        f" ON red = test_no WHERE {condition} ORDER BY coalesce(failures, 0) DESC, name LIMIT ?"
    )
    return connection.execute(query, (FAILED, ERROR, branch, branch, *values, _limit(limit))).fetchall()


def _flips(letters: str, branches: Sequence[str | None]) -> int:
    last: dict[str | None, bool] = {}
    count = 0
    for letter, branch in zip(letters, branches, strict=True):
        if letter in "PFR":
            failed = letter == "F"
            count += last.get(branch, failed) != failed
            last[branch] = failed
    return count


def test_series(
    connection: sqlite3.Connection, identity: str, *, branch: str | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """One test, run by run, oldest first: ``run_id created_at branch commit_sha outcome duration``.

    The newest ``limit`` runs that hold it; ``duration`` is in seconds within 3 %, None where it was skipped.
    """
    number = numbers_of(connection, [identity]).get(identity)
    if number is None:
        return []
    picked, outcomes = _runs_with_outcomes(connection, branch), Outcomes(connection)
    runs = [run[0] for run in picked]
    columns = outcomes.codes([number], runs)
    rows = [
        {
            "run_id": uid, "created_at": iso(ts), "branch": on, "commit_sha": sha, "outcome": OUTCOME_WORDS[letter],
            "duration": None if letter == "S" else codes.SECONDS[code],
        }
        for (_, uid, ts, on, sha), letter, (code,) in zip(
            picked, outcomes.letters([number], runs, columns)[0], columns, strict=True
        )
        if letter != "-"
    ]  # fmt: skip
    return rows if limit is None else rows[max(len(rows) - limit, 0) :]


def statistics_of(connection: sqlite3.Connection) -> dict[str, Any]:
    """How much the history holds: counts, and the first and last run's times."""
    (count, oldest, newest, branches, results) = connection.execute(
        "SELECT count(*), min(ts), max(ts), count(DISTINCT branch),"
        " coalesce(sum(passed + failed + error + skipped), 0) FROM run"
    ).fetchone()
    counted = {
        name: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for name, table in (("tests", "test"), ("failures", "nonpass"), ("metrics", "metric"))
    }
    return {
        "runs": count,
        "results": results,
        "branches": branches,
        **counted,
        "oldest": iso(oldest),
        "newest": iso(newest),
    }


def iso(milliseconds: int | None) -> str | None:
    """ISO 8601 in UTC, as the views write it."""
    if milliseconds is None:
        return None
    return moment(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _query(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries. Importing sqlite-utils takes a while, so only who looks at the history pays for it."""
    from sqlite_utils import Database

    # No plug-in's hook and no pragma on this connection: it is read-only and guarded.
    return Database(connection, recursive_triggers=False, execute_plugins=False).query(sql, values)


def _where(conditions: dict[str, str | None], column: str, since: datetime | None) -> tuple[str, list[Any]]:
    given: dict[str, Any] = {condition: value for condition, value in conditions.items() if value is not None}
    if since is not None:
        given[f"{column} >= ?"] = milliseconds(since)
    return (f" WHERE {' AND '.join(given)}" if given else ""), [*given.values()]


def _limit(limit: int | None) -> int:
    return -1 if limit is None else max(limit, 0)
