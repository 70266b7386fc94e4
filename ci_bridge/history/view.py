"""What the history knows that a judgement needs: plain values, no database."""

# ruff: noqa: S608 - every part of the SQL text is written in this package; values go in as parameters

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from ci_bridge.history import codes
from ci_bridge.history.recording import CHUNK, believed_until, mapping_of, milliseconds, numbers_of
from ci_bridge.history.schema import ERROR, FAILED, STATUS_LETTERS
from ci_bridge.models import Baseline, Totals

BASE_RUNS = 30
"""How many runs of the base branch a case is looked for in."""

WINDOW = timedelta(days=30)
"""How far back the evidence for flakiness reaches, counted from the newest run."""

MOST_RECENT_RUNS = 2000
"""Runs in that window at most, the newest ones."""


def moment(milliseconds: int) -> datetime:
    """The opposite of :func:`~ci_bridge.history.recording.milliseconds`."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


class SeenRun(NamedTuple):
    """One earlier run. ``red`` and ``total`` count its failing and all its cases.

    ``is_complete`` is False where cases may be missing: files were cut short, or their command broke off.
    """

    run_no: int
    uid: str
    at: datetime
    commit_sha: str | None
    branch: str | None
    red: int
    total: int
    is_complete: bool


_SEEN = "run_no, uid, ts, sha, branch, failed + error, passed + failed + error + skipped, status <> 'error'"
_WITH_OUTCOMES = "status <> 'running' AND run_no IN (SELECT run_no FROM outcome)"


class Outcomes:
    """Reads what became of tests in runs. Keeps nothing but the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def codes(self, numbers: Sequence[int], runs: Sequence[int]) -> list[bytes]:
        """Per run the codes of these tests."""
        if not numbers:
            return [b""] * len(runs)
        width = max(numbers) + 1
        pick: Callable[[bytes], tuple[int, ...]] = (
            itemgetter(*numbers) if len(numbers) > 1 else lambda found: (found[numbers[0]],)
        )
        columns = []
        for run_no in runs:
            row = self._connection.execute("SELECT codes FROM outcome WHERE run_no = ?", (run_no,)).fetchone()
            columns.append(bytes(pick(codes.peek(row[0], width))) if row else bytes(len(numbers)))
        return columns

    def letters(self, numbers: Sequence[int], runs: Sequence[int], columns: Sequence[bytes] | None = None) -> list[str]:
        """For each test one letter per run: passed P, failed F, passed on retry R, skipped S, absent ``-``.

        ``columns`` are from :meth:`codes`, read if None.
        """
        if not numbers or not runs:
            return [""] * len(numbers)
        places = {number: place for place, number in enumerate(numbers)}
        nonpass, table = self._nonpass(numbers, runs), []
        for run_no, column in zip(runs, columns or self.codes(numbers, runs), strict=True):
            letters = bytearray(column.translate(codes.LETTERS))
            for number, status in nonpass.get(run_no, ()):
                if number in places:
                    letters[places[number]] = ord(STATUS_LETTERS[status])
            table.append(letters)
        text, count = b"".join(table).decode("ascii"), len(numbers)
        return [text[place::count] for place in range(count)]

    def _nonpass(self, numbers: Sequence[int], runs: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = {run_no: [] for run_no in runs}
        if len(numbers) > 5000:  # then nearly all rows are wanted: read them in the order of the runs
            query = "SELECT test_no, status FROM nonpass WHERE run_no = ?"
            return {run_no: self._connection.execute(query, (run_no,)).fetchall() for run_no in runs}
        marks = ", ".join("?" * CHUNK)
        query = f"SELECT run_no, test_no, status FROM nonpass WHERE test_no IN ({marks})"
        for start in range(0, len(numbers), CHUNK):
            part = numbers[start : start + CHUNK]
            for run_no, number, status in self._connection.execute(query, (*part, *[None] * (CHUNK - len(part)))):
                if run_no in found:
                    found[run_no].append((number, status))
        return found

    def names(self, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
        """The tests' numbers and identities."""
        wanted = list(numbers)
        query = f"SELECT test_no, name FROM test WHERE test_no IN ({', '.join('?' * CHUNK)})"
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            yield from self._connection.execute(query, (*part, *[None] * (CHUNK - len(part))))


def _is_kin(name: str, start: str, end: str) -> bool:
    return name.startswith(start) and name.endswith(end)


class View:
    """The history as one run sees it; what :class:`ci_bridge.analysis.view.HistoryView` asks for.

    Attributes:
        branch: The base branch.
        base_runs: Trusted runs of the base branch, this report and shard, newest first, at most 30. Where the branch
            has none of this report, those of the same job in another pipeline, as where forks have one of their own;
            else, as after a job got another name, those of any. What they say of a case counts.
        recent_runs: All runs of this report and shard, and of that other pipeline, in the 30-day window, oldest first.
        baseline: The newest of ``base_runs`` that is complete: numbers are compared with those of whole runs only. None
            where those are of other reports, whose numbers say nothing.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        query: Callable[[], AbstractContextManager[None]],
        *,
        branch: str | None,
        shard: str,
        report: str | None = None,
        kin: tuple[str, str] | None = None,
        build: str | None,
        pr: str | None,
        uid: str | None,
        now: datetime,
    ) -> None:
        self._connection, self._query = connection, query
        self._outcomes = Outcomes(connection)
        self.branch = branch
        until = believed_until(connection, milliseconds(now))
        on_base = (
            "trusted AND branch IS ? AND shard = ? AND ts <= ? AND uid IS NOT ? AND (? IS NULL OR build IS NOT ?)",
            (branch, shard, until, uid, build, build),
        )
        known = None if report is None else [report]
        same = base = self._runs(*on_base, BASE_RUNS, known)
        if known and not same:
            akin = [name for _, name in self._found(*on_base) if kin and _is_kin(name, *kin)][:1]
            base = self._runs(*on_base, BASE_RUNS, akin or None)
            known += akin
        self.base_runs: Sequence[SeenRun] = base
        # What a pull request's own runs show counts for that pull request only.
        recent = self._runs(
            "(trusted OR pr = ?) AND shard = ? AND ts BETWEEN (SELECT max(ts) FROM run WHERE ts <= ?) - ? AND ?"
            " AND uid IS NOT ?",
            (pr, shard, until, WINDOW // timedelta(milliseconds=1), until, uid),
            MOST_RECENT_RUNS,
            known,
        )
        self.recent_runs: Sequence[SeenRun] = recent[::-1]
        complete = next((run for run in same if run.is_complete), None)
        self.baseline = None if complete is None else self._baseline(complete)

    def _runs(
        self, condition: str, values: tuple[Any, ...], limit: int, reports: Sequence[str] | None
    ) -> list[SeenRun]:
        """The newest runs of these reports, of all if None."""
        found = (run for run, name in self._found(condition, values) if reports is None or name in reports)
        return list(islice(found, limit))

    def _found(self, condition: str, values: tuple[Any, ...]) -> Iterator[tuple[SeenRun, str]]:
        """Runs and the names of their reports, newest first."""
        query = f"SELECT extra, {_SEEN} FROM run WHERE {_WITH_OUTCOMES} AND {condition} ORDER BY ts DESC, run_no DESC"
        for extra, no, uid, ts, *rest in self._connection.execute(query, values):
            yield SeenRun(no, uid, moment(ts), *rest), str(mapping_of(extra).get("report") or "")

    def _baseline(self, run: SeenRun) -> Baseline:
        row = self._connection.execute(
            "SELECT passed, failed, error, skipped, flaky, cases_ms / 1000.0 FROM run WHERE run_no = ?", (run.run_no,)
        ).fetchone()
        return Baseline(run.uid, run.branch, run.commit_sha, run.at, Totals(*row))

    def base_outcomes(self, identities: Sequence[str]) -> Mapping[str, str]:
        """For each known identity one letter per run of ``base_runs``; letters as in :meth:`Outcomes.letters`."""
        return self._letters(identities, self.base_runs)

    def recent_outcomes(self, identities: Sequence[str]) -> Mapping[str, str]:
        """For each known identity one letter per run of ``recent_runs``."""
        return self._letters(identities, self.recent_runs)

    def _letters(self, identities: Sequence[str], runs: Sequence[SeenRun]) -> dict[str, str]:
        with self._query():
            known = numbers_of(self._connection, identities)
            letters = self._outcomes.letters([*known.values()], [run.run_no for run in runs])
        return dict(zip(known, letters, strict=True))

    def base_failures(self) -> list[str]:
        """Identities whose newest outcome on the base branch, skips left out, is a failure."""
        runs = [run.run_no for run in self.base_runs]
        query = "SELECT test_no FROM nonpass WHERE run_no = ? AND status IN (?, ?)"
        failed: set[int] = set()
        with self._query():
            for run_no in runs:
                failed.update(number for (number,) in self._connection.execute(query, (run_no, FAILED, ERROR)))
            numbers = sorted(failed)
            letters = self._outcomes.letters(numbers, runs)
            still = [n for n, text in zip(numbers, letters, strict=True) if text.lstrip("-S").startswith("F")]
            return [name for _, name in self._outcomes.names(still)]

    def base_durations(self, identities: Sequence[str]) -> Mapping[str, Sequence[float]]:
        """Seconds of the passed executions in ``base_runs``, newest first."""
        runs = [run.run_no for run in self.base_runs]
        with self._query():
            known = numbers_of(self._connection, identities)
            numbers = [*known.values()]
            columns = self._outcomes.codes(numbers, runs)
            letters = self._outcomes.letters(numbers, runs, columns)
        return {
            name: [
                codes.SECONDS[column[place]]
                for column, letter in zip(columns, letters[place], strict=True)
                if letter == "P"
            ]
            for place, name in enumerate(known)
        }

    def suspects(self) -> list[str]:
        """Identities that failed or were retried in at least two of ``recent_runs``."""
        wanted = {run.run_no for run in self.recent_runs}
        if not wanted:
            return []
        counts: dict[int, int] = {}
        query = "SELECT test_no, run_no FROM nonpass WHERE run_no BETWEEN ? AND ?"
        with self._query():
            for number, run_no in self._connection.execute(query, (min(wanted), max(wanted))):
                if run_no in wanted:
                    counts[number] = counts.get(number, 0) + 1
            return [name for _, name in self._outcomes.names(n for n, count in counts.items() if count > 1)]

    def signatures(self, norms: Sequence[str]) -> Mapping[str, tuple[datetime, int]]:
        """For each known failure signature when it was first seen and in how many runs; the first 500 are looked up."""
        query = (
            "SELECT norm, min(run.ts), count(DISTINCT run.run_no) FROM nonpass JOIN run USING (run_no)"
            " JOIN signature USING (sig_no) WHERE sig_no IN"
            f" (SELECT sig_no FROM signature WHERE norm IN ({', '.join('?' * CHUNK)})) GROUP BY sig_no"
        )
        part = [*norms[:CHUNK], *[None] * (CHUNK - len(norms))]
        with self._query():
            return {norm: (moment(first), runs) for norm, first, runs in self._connection.execute(query, part)}
