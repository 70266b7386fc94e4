"""The tables of a history file, as SQL text.

The text is the format: a file is opened for use only if its own schema is this text, letter for letter.
Tables are compact and named in the singular; the views named in the plural are what people browse.
"""

# ruff: noqa: S608 - every part of the SQL text is written in this package; values go in as parameters

from __future__ import annotations

import re
import sqlite3

APPLICATION_ID = 0x63694272
"""``ciBr``: in the header of every history file, so that ``file`` and we know one when we see one."""

VERSION = 1
"""``user_version`` of the files that this program writes."""

LAST_TIMESTAMP = 253402300799999
"""Milliseconds of 9999-12-31T23:59:59.999Z, the last moment that a datetime can hold."""

MOST_TESTS = 1 << 24
"""Test numbers end here: one byte per number and run, so this also bounds what a blob may inflate to."""

FAILED, ERROR, RETRIED = 1, 2, 3
"""Values of ``nonpass.status``; the last one passed after a failed attempt."""

STATUS_LETTERS = {FAILED: "F", ERROR: "F", RETRIED: "R"}

_TIME = f"BETWEEN 0 AND {LAST_TIMESTAMP}"
_COUNT = "BETWEEN 0 AND 9007199254740991"

TABLES = (
    # First, so that its page is page 2 and can be found again without reading the rest.
    """CREATE TABLE seal (
  mark BLOB NOT NULL CHECK (length(mark) = 52)
) STRICT""",
    f"""CREATE TABLE run (
  run_no INTEGER PRIMARY KEY CHECK (run_no {_COUNT}),
  uid TEXT NOT NULL,
  ts INTEGER NOT NULL CHECK (ts {_TIME}),
  completed INTEGER CHECK (completed {_TIME}),
  platform TEXT NOT NULL,
  repo TEXT,
  branch TEXT,
  sha TEXT,
  pr TEXT,
  build TEXT,
  attempt TEXT,
  job TEXT,
  shard TEXT NOT NULL,
  status TEXT NOT NULL,
  passed INTEGER NOT NULL CHECK (passed {_COUNT}),
  failed INTEGER NOT NULL CHECK (failed {_COUNT}),
  error INTEGER NOT NULL CHECK (error {_COUNT}),
  skipped INTEGER NOT NULL CHECK (skipped {_COUNT}),
  flaky INTEGER NOT NULL CHECK (flaky {_COUNT}),
  duration_ms INTEGER NOT NULL CHECK (duration_ms {_COUNT}),
  cases_ms INTEGER NOT NULL CHECK (cases_ms {_COUNT}),
  trusted INTEGER NOT NULL CHECK (trusted IN (0, 1)),
  extra TEXT NOT NULL
) STRICT""",
    f"""CREATE TABLE test (
  test_no INTEGER PRIMARY KEY CHECK (test_no BETWEEN 0 AND {MOST_TESTS - 1}),
  name TEXT NOT NULL
) STRICT""",
    f"""CREATE TABLE outcome (
  run_no INTEGER PRIMARY KEY CHECK (run_no {_COUNT}),
  codes BLOB NOT NULL
) STRICT""",
    f"""CREATE TABLE nonpass (
  test_no INTEGER NOT NULL CHECK (test_no BETWEEN 0 AND {MOST_TESTS - 1}),
  run_no INTEGER NOT NULL CHECK (run_no {_COUNT}),
  status INTEGER NOT NULL CHECK (status IN ({FAILED}, {ERROR}, {RETRIED})),
  sig_no INTEGER NOT NULL CHECK (sig_no {_COUNT}),
  PRIMARY KEY (test_no, run_no)
) STRICT, WITHOUT ROWID""",
    f"""CREATE TABLE signature (
  sig_no INTEGER PRIMARY KEY CHECK (sig_no {_COUNT}),
  norm TEXT NOT NULL
) STRICT""",
    f"""CREATE TABLE example (
  test_no INTEGER NOT NULL CHECK (test_no BETWEEN 0 AND {MOST_TESTS - 1}),
  sig_no INTEGER NOT NULL CHECK (sig_no {_COUNT}),
  run_no INTEGER NOT NULL CHECK (run_no {_COUNT}),
  text TEXT NOT NULL
) STRICT""",
    f"""CREATE TABLE metric_name (
  metric_no INTEGER PRIMARY KEY CHECK (metric_no {_COUNT}),
  name TEXT NOT NULL,
  task TEXT NOT NULL,
  unit TEXT NOT NULL
) STRICT""",
    f"""CREATE TABLE metric (
  id INTEGER PRIMARY KEY CHECK (id {_COUNT}),
  metric_no INTEGER NOT NULL CHECK (metric_no {_COUNT}),
  run_no INTEGER NOT NULL CHECK (run_no {_COUNT}),
  value REAL NOT NULL CHECK (abs(value) <= 1.7976931348623157e308),
  ts INTEGER NOT NULL CHECK (ts {_TIME})
) STRICT""",
    f"""CREATE TABLE source (
  object_id TEXT NOT NULL PRIMARY KEY,
  uid TEXT NOT NULL,
  ts INTEGER NOT NULL CHECK (ts {_TIME})
) STRICT, WITHOUT ROWID""",
    f"""CREATE TABLE tombstone (
  uid TEXT NOT NULL PRIMARY KEY,
  ts INTEGER NOT NULL CHECK (ts {_TIME})
) STRICT, WITHOUT ROWID""",
)

CONDITIONS = {statement.split()[2]: re.findall(r" CHECK (\(.+\)),?$", statement, re.MULTILINE) for statement in TABLES}
"""Table -> the conditions of its CHECK clauses. SQLite does not even load these from a file that is open read-only."""

INDEXES = (
    "CREATE UNIQUE INDEX run_uid ON run (uid)",
    "CREATE INDEX run_branch_ts ON run (branch, ts)",
    "CREATE INDEX run_ts ON run (ts)",
    "CREATE UNIQUE INDEX test_name ON test (name)",
    "CREATE INDEX nonpass_run ON nonpass (run_no)",
    "CREATE UNIQUE INDEX signature_norm ON signature (norm)",
    "CREATE UNIQUE INDEX example_test ON example (test_no, sig_no)",
    "CREATE INDEX example_run ON example (run_no)",
    "CREATE UNIQUE INDEX metric_name_key ON metric_name (name, task, unit)",
    "CREATE INDEX metric_series ON metric (metric_no, run_no)",
    "CREATE INDEX metric_run ON metric (run_no)",
)


def readable(column: str) -> str:
    """SQL that turns an identity into text for people: its parts joined by `` › ``, the empty ones left out."""
    nested = f"replace({column}, char(30), ' > ')"
    dense = f"replace(replace({nested}, char(31, 31, 31), char(31)), char(31, 31), char(31))"
    return f"replace(trim({dense}, char(31)), char(31), ' › ')"


def iso(column: str) -> str:
    """SQL that turns milliseconds into ISO 8601 text in UTC."""
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000.0, 'unixepoch')"


VIEWS = (
    f"""CREATE VIEW runs AS SELECT
  uid AS id, {iso("ts")} AS created_at, {iso("completed")} AS completed_at, status, branch, sha AS commit_sha,
  passed + failed + error + skipped AS total, passed, failed, error AS errors, skipped, flaky,
  duration_ms / 1000.0 AS duration, cases_ms / 1000.0 AS cases_duration, platform, repo AS repository,
  pr AS pull_request, build, attempt, job, shard, trusted, extra AS metadata
FROM run ORDER BY ts DESC, run_no DESC""",
    f"""CREATE VIEW failures AS SELECT
  {iso("run.ts")} AS time, {readable("test.name")} AS test,
  CASE nonpass.status WHEN {FAILED} THEN 'failed' WHEN {ERROR} THEN 'error' ELSE 'passed on retry' END AS outcome,
  run.branch, run.sha AS commit_sha, run.shard, run.uid AS run_id, signature.norm AS signature, example.text
FROM nonpass JOIN run USING (run_no) JOIN test USING (test_no)
LEFT JOIN signature ON signature.sig_no = nonpass.sig_no
LEFT JOIN example ON example.test_no = nonpass.test_no AND example.sig_no = nonpass.sig_no
ORDER BY run.ts DESC, run.run_no DESC""",
    f"""CREATE VIEW tests AS SELECT
  {readable("test.name")} AS test,
  count(CASE WHEN nonpass.status <> {RETRIED} THEN 1 END) AS failures,
  count(CASE WHEN nonpass.status = {RETRIED} THEN 1 END) AS passed_on_retry,
  {iso("min(run.ts)")} AS first_failure, {iso("max(run.ts)")} AS last_failure
FROM test LEFT JOIN nonpass USING (test_no) LEFT JOIN run USING (run_no)
GROUP BY test.test_no ORDER BY failures DESC, test""",
    f"""CREATE VIEW metrics AS SELECT
  metric.id, {iso("metric.ts")} AS recorded_at, metric_name.name AS metric, metric_name.task AS task,
  metric.value, metric_name.unit, run.branch, run.sha AS commit_sha, run.uid AS run_id
FROM metric JOIN metric_name USING (metric_no) JOIN run USING (run_no)
ORDER BY metric.ts DESC, metric.id DESC""",
)

COLUMNS = {
    "run": (
        "run_no", "uid", "ts", "completed", "platform", "repo", "branch", "sha", "pr", "build", "attempt", "job",
        "shard", "status", "passed", "failed", "error", "skipped", "flaky", "duration_ms", "cases_ms", "trusted",
        "extra",
    ),
    "test": ("test_no", "name"),
    "outcome": ("run_no", "codes"),
    "nonpass": ("test_no", "run_no", "status", "sig_no"),
    "signature": ("sig_no", "norm"),
    "example": ("test_no", "sig_no", "run_no", "text"),
    "metric_name": ("metric_no", "name", "task", "unit"),
    "metric": ("id", "metric_no", "run_no", "value", "ts"),
    "source": ("object_id", "uid", "ts"),
    "tombstone": ("uid", "ts"),
}  # fmt: skip
"""What a copy takes along, table by table."""


def schema_of(connection: sqlite3.Connection) -> set[tuple[str, str, str, str | None]]:
    """All objects of a database: type, name, table and SQL text."""
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))


def expected_schema() -> set[tuple[str, str, str, str | None]]:
    """What :func:`schema_of` answers for a sound file of this version."""
    connection = sqlite3.connect(":memory:")
    try:
        for statement in (*TABLES, *INDEXES, *VIEWS):
            connection.execute(statement)
        return schema_of(connection)
    finally:
        connection.close()
