"""The history of a project: one SQLite file of runs, outcomes and performance numbers.

Reading works on a checked private copy. Writing makes a new file out of the old one's rows and puts it in the old
one's place in one step, so that a kill, a full disk or a second writer can never leave half a history.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ci_bridge.errors import HistoryError
from ci_bridge.history import covering, query, recording, saving, seal
from ci_bridge.history.checked import (
    DamagedHistoryError,
    Deadline,
    ForeignFileError,
    Limits,
    open_checked,
    private_copy,
    unreadable,
)
from ci_bridge.history.recording import RunRecord
from ci_bridge.history.segments import Segment
from ci_bridge.history.view import View
from ci_bridge.models import JudgedCase, Metric, Row, StoredObject

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What is wrong with a history file, in words; ``problems`` is empty if it is sound."""

    path: Path
    problems: tuple[str, ...] = ()
    size: int = 0

    @property
    def sound(self) -> bool:
        """True if nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class _Found:
    """The newest sound file: an open connection to its private copy, and what was wrong on the way to it."""

    connection: sqlite3.Connection | None
    copy: Path | None
    current: bool
    damage: HistoryError | None


class History:
    """An open history. Get one from :meth:`read` or :meth:`writing`.

    Attributes:
        path: The file.
        warnings: What a person should know: a damaged file that was set aside, a clock that was not believed.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, deadline: Deadline, *, writable: bool) -> None:
        self._connection, self._deadline, self._writable = connection, deadline, writable
        self._close = contextlib.ExitStack()
        self._close.callback(connection.close)
        self._recorded: set[str] = set()
        self._broken = False
        self.path = path
        self.warnings: list[str] = []

    # --- opening -----------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: Path, *, limits: Limits | None = None) -> History:
        """Open a history for reading. Where there is no file yet, it is empty.

        A damaged file is passed over for the one before the last save, with a warning.

        Raises:
            HistoryError: If a file is there but no sound one.
        """
        _require_sqlite()
        limits = limits or Limits()
        deadline = Deadline(limits.seconds)
        with contextlib.ExitStack() as stack:
            found = _open_newest(Path(path), limits, deadline, stack)
            connection = found.connection or recording.create(":memory:", None)
            history = cls(connection, Path(path), deadline, writable=False)
            if found.connection is None and found.damage is not None:
                history.close()
                raise found.damage
            history.warnings.extend(_remarks(Path(path), found))
            if sys.platform == "win32":  # elsewhere an open file may go, so that a killed reader leaves nothing
                history._close = stack.pop_all()
                history._close.callback(connection.close)
        return history

    @classmethod
    @contextlib.contextmanager
    def writing(
        cls,
        path: Path,
        *,
        patience: float = 60.0,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Iterator[History]:
        """Open a history for a change, which other processes see whole when the block ends, or never.

        Args:
            path: The file; it and its folder are made if they are not there.
            patience: Seconds to wait for another writer.
            limits: Caps for reading the old file.
            clock: For the name under which a damaged file is kept.

        Raises:
            HistoryError: If the old file is not ours, or nothing can be saved; the old file is untouched then.
        """
        _require_sqlite()
        path, limits = Path(path), limits or Limits()
        deadline = Deadline(limits.seconds)
        with saving.locked(path, patience), saving.fresh_file(path) as fresh:
            with _as_history_error(path), contextlib.ExitStack() as stack:
                found = _open_newest(path, limits, deadline, stack)
                if found.connection is not None:
                    found.connection.close()
                connection = recording.create(fresh, found.copy)
            history = cls(connection, path, deadline, writable=True)
            history.warnings.extend(_remarks(path, found))
            before = connection.total_changes
            try:
                with _as_history_error(path):
                    yield history
                    changed = connection.total_changes != before
            finally:
                history.close()
            if history._broken:
                raise HistoryError(f"the history {path} was not saved, because an earlier step failed")
            if not changed and found.current:
                return
            try:
                _seal(fresh)
                kept = saving.publish(fresh, path, damaged=found.damage is not None, now=clock())
            except OSError as error:
                raise saving.unwritable(path, error) from error
            if kept is not None:
                history.warnings.append(f"the damaged file is kept as {kept}")

    @classmethod
    def update(cls, path: Path, change: Callable[[History], _Result]) -> _Result:
        """Apply ``change`` in :meth:`writing` and answer what it answers."""
        with cls.writing(path) as history:
            return change(history)

    @staticmethod
    def check(path: Path, *, limits: Limits | None = None) -> CheckReport:
        """Look whether a file is a sound history, without using anything of it."""
        limits = limits or Limits()
        path = Path(path)
        try:
            with private_copy(path, limits) as copy:
                open_checked(copy, path, limits, Deadline(limits.seconds)).close()
                return CheckReport(path, size=copy.stat().st_size)
        except FileNotFoundError:
            return CheckReport(path, (f"there is no history at {path}",))
        except HistoryError as error:
            return CheckReport(path, (str(error),))
        except OSError as error:
            return CheckReport(path, (str(unreadable(path, error)),))

    def close(self) -> None:
        """Close the file and remove the private copy."""
        self._close.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- writing -----------------------------------------------------------------------------------------------------

    def record(
        self,
        run: RunRecord,
        batches: Iterable[Sequence[Row]] = (),
        *,
        judged: Iterable[JudgedCase] = (),
        metrics: Iterable[Metric] = (),
    ) -> None:
        """Store a run; the same ``uid`` again replaces it.

        Args:
            run: What is known of it.
            batches: Its cases, as :meth:`ci_bridge.models.Results.rows` yields them. Without any, the outcomes that
                were recorded before stay.
            judged: Where the failures' signatures are taken from.
            metrics: Performance numbers of this run, in addition to those recorded before.
        """
        signatures = {item.case.identity: item.signature for item in judged if item.signature}
        with self._transaction():
            if recording.is_taken(self._connection, run):
                raise HistoryError(f"the id {run.uid} is that of another build's run")
            recording.record(self._connection, run, ((batch, signatures) for batch in batches))
            recording.record_metrics(self._connection, metrics)
        self._recorded.add(run.uid)

    def is_taken(self, run: RunRecord) -> bool:
        """True if another build's run has this id; recording this one is refused then."""
        with self._query():
            return recording.is_taken(self._connection, run)

    def record_metric(self, *metrics: Metric) -> None:
        """Store performance numbers; their run may be recorded later.

        Raises:
            ValueError: For NaN and infinity.
        """
        with self._transaction():
            recording.record_metrics(self._connection, metrics)

    def prune(self, retention_days: int, *, now: datetime, force: bool = False) -> int:
        """Drop runs older than this; answers how many. See :func:`ci_bridge.history.recording.prune`.

        Where the clock seems wrong nothing is dropped and a warning says so, unless ``force`` is set.
        """
        with self._transaction():
            dropped, warning = recording.prune(self._connection, retention_days, now, force=force, fresh=self._recorded)
        if warning:
            self.warnings.append(warning)
        return dropped

    # --- what travels ------------------------------------------------------------------------------------------------

    def add_segment(self, stored: StoredObject, segment: Segment) -> None:
        """Add a run that another job stored, and note that its object is covered.

        A clock that is ahead dates its runs a day after they were stored at most. A run that was forgotten stays so.
        """
        with self._transaction():
            covering.add_segment(self._connection, segment, stored.created_at)
            covering.cover(self._connection, stored.id, segment.run.uid)

    def add_own_segment(self, stored: StoredObject, segment: Segment, pr: str) -> None:
        """Add a run of the pull request that is built, whatever its segment says of itself; its object is not covered.

        The history is for judging this build then, and not for making a base of.
        """
        with self._transaction():
            covering.add_own_segment(self._connection, segment, stored.created_at, pr)

    def cover(self, object_id: str, uid: str = "") -> None:
        """Note that an object need not be read again."""
        with self._transaction():
            covering.cover(self._connection, object_id, uid)

    def covered(self, *, before: datetime | None = None) -> set[str]:
        """The ids of the objects that need not be read again; those in bases made up to ``before``, if given."""
        with self._query():
            return covering.covered(self._connection, before)

    def settle(self, listed: set[str], *, now: datetime, before: datetime) -> None:
        """Date for a new base what was covered since the last one.

        Forgets objects that were covered before ``before`` and are not among the ``listed`` ones any more.
        """
        with self._transaction():
            covering.settle(self._connection, listed, now, before)

    def holds(self, uid: str) -> bool:
        """True if this run is recorded."""
        return self.run_record(uid) is not None

    def run_record(self, uid: str) -> RunRecord | None:
        """A run as it was recorded."""
        with self._query():
            return covering.run_record(self._connection, uid)

    def forget(self, uid: str, *, now: datetime) -> bool:
        """Drop a run for good: no segment brings it back. True if it was there."""
        with self._transaction():
            return covering.forget(self._connection, uid, now)

    # --- reading -----------------------------------------------------------------------------------------------------

    def view(
        self,
        *,
        branch: str | None,
        shard: str = "",
        report: str | None = None,
        kin: tuple[str, str] | None = None,
        build: str | None = None,
        pr: str | None = None,
        uid: str | None = None,
        now: datetime,
    ) -> View:
        """The history as a new run sees it.

        Args:
            branch: The base branch of a pull request, else the run's own branch.
            shard: Compare within this shard.
            report: Compare with runs of this report, as the runs' ``extra`` names it; None for all.
            kin: How the name of one begins and ends that stands in for it where the branch has none.
            build: The run's own build, whose earlier attempts are no baseline for it.
            pr: Its pull request, whose own earlier runs count as evidence too.
            uid: The run itself, should it be recorded already.
            now: Runs dated later than a day from now are ignored.
        """
        with self._query():
            return View(
                self._connection, self._query, branch=branch, shard=shard, report=report, kin=kin, build=build, pr=pr,
                uid=uid, now=now,
            )  # fmt: skip

    def runs(self, limit: int | None = None, **filters: Any) -> list[dict[str, Any]]:
        """Rows of ``get_test_history``, newest first. Filters: ``branch status since pr_number run_id``."""
        with self._query():
            return query.runs(self._connection, limit=limit, **filters)

    def metrics(self, **filters: Any) -> list[dict[str, Any]]:
        """Rows of ``get_performance_metrics``. Filters: ``run_id metric_name task_id branch since limit``."""
        with self._query():
            return query.metrics(self._connection, **filters)

    def run_metrics(self, uid: str) -> list[Metric]:
        """The performance numbers of a run."""
        return [
            Metric(
                row["metric_name"], row["metric_value"], row["unit"], uid, row["task_id"],
                datetime.fromisoformat(row["recorded_at"]),
            )
            for row in self.metrics(run_id=uid)
        ]  # fmt: skip

    def metric_points(self, metric_name: str, *, since: datetime | None = None) -> list[dict[str, Any]]:
        """What :func:`ci_bridge.analysis.analyze_trend` takes."""
        with self._query():
            return query.metric_points(self._connection, metric_name=metric_name, since=since)

    def tests(self, pattern: str = "", *, limit: int | None = 100, branch: str | None = None) -> list[dict[str, Any]]:
        """Tests with their counts; see :func:`ci_bridge.history.query.tests`."""
        with self._query():
            return query.tests(self._connection, pattern, limit=limit, branch=branch)

    def test_series(
        self, identity: str, *, branch: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """One test run by run; see :func:`ci_bridge.history.query.test_series`."""
        with self._query():
            return query.test_series(self._connection, identity, branch=branch, limit=limit)

    def statistics(self) -> dict[str, Any]:
        """``runs results branches tests failures metrics oldest newest``."""
        with self._query():
            return query.statistics_of(self._connection)

    # --- within ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _query(self) -> Iterator[None]:
        self._deadline.restart()
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise HistoryError(f"the history {self.path} cannot be read: {error}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if not self._writable:
            raise HistoryError(f"the history {self.path} is open for reading only")
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            self._broken = self._broken or isinstance(error, sqlite3.Error)
            raise


def _require_sqlite() -> None:
    if sqlite3.sqlite_version_info < (3, 37):
        raise HistoryError(
            f"the history needs SQLite 3.37, this Python has {sqlite3.sqlite_version}",
            hint="use a newer Python, or set enable_history_tracking = false",
        )


def _open_newest(path: Path, limits: Limits, deadline: Deadline, stack: contextlib.ExitStack) -> _Found:
    damage: HistoryError | None = None
    for candidate in (path, saving.previous_of(path)):
        with contextlib.ExitStack() as attempt:
            try:
                copy = attempt.enter_context(private_copy(candidate, limits))
                deadline.restart()
                connection = open_checked(copy, candidate, limits, deadline)
            except FileNotFoundError:
                continue
            except (DamagedHistoryError, ForeignFileError) as error:
                damage = damage or error
                continue
            except OSError as error:
                raise unreadable(candidate, error) from error
            stack.push(attempt.pop_all())
            return _Found(connection, copy, candidate == path, damage)
    if isinstance(damage, ForeignFileError):
        raise damage
    return _Found(None, None, current=damage is None and not path.exists(), damage=damage)


def _remarks(path: Path, found: _Found) -> list[str]:
    remarks = [] if found.damage is None else [str(found.damage)]
    if found.connection is not None and not found.current:
        remarks.append(f"the state before the last save was used: {saving.previous_of(path)}")
    elif found.connection is None and found.damage is not None:
        remarks.append("there is no earlier state, so a new history begins")
    return remarks


@contextlib.contextmanager
def _as_history_error(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise saving.unwritable(path, OSError(str(error))) from error


def _seal(fresh: Path) -> None:
    connection = sqlite3.connect(f"{fresh.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        mark, page = seal.read_mark(connection)
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    finally:
        connection.close()
    with fresh.open("rb+") as stream:
        seal.write_seal(stream, mark, page, page_size)
