"""Collects the cases of all files: merges attempts, counts, and lets a million passed cases go to disk.

Of a passed case only a 64-bit hash of its identity stays in memory. Python's string hash is keyed with a secret per
process, so nobody can craft names that fall together; by chance two of five million do with probability 10⁻⁶.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import nlargest
from itertools import chain
from operator import itemgetter
from types import TracebackType

from ci_bridge.errors import ResultsError
from ci_bridge.formats._clean import Cleaner, Mask, fitted, sane, text_size
from ci_bridge.formats._spool import Cases, CaseStore, Spool
from ci_bridge.formats.plugin import Limits, clean_text
from ci_bridge.models import (
    SEPARATOR,
    Attempt,
    Case,
    FileState,
    InputFile,
    Outcome,
    Row,
    Totals,
    identity_of,
    row_of_case,
)

_identity = itemgetter(0, 1, 2, 3)
_seconds = itemgetter(6)
_PASSED = str(Outcome.PASSED)
_BATCH = 4096
_BATCH_TEXT = 4 << 20
_SLOWEST = 20
_MOST_ATTEMPTS = 20
_MOST_NOTES = 5
_Key = tuple[tuple[str, ...], str, str, str]


class Collected:
    """Everything read from a set of result files: a :class:`ci_bridge.models.Results`, and the sink of the parsers.

    Use it as a context manager, or close it, to drop its temporary file.

    Args:
        limits: Caps on cases, names and texts.
        mask: Hides secrets in names and texts before anything is kept.
        spool: Keep every row for :meth:`rows`; without, only what a summary needs is kept.
    """

    def __init__(self, limits: Limits | None = None, mask: Mask | None = None, *, spool: bool = True) -> None:
        self._limits = limits or Limits()
        self._cleaner = Cleaner(self._limits, mask)
        self._spool = Spool() if spool else None
        self._places: list[int] = []
        self._waiting: list[Row] = []  # passed cases that came singly
        self._batch: list[Row] = []  # rows on their way to the spool
        self._batch_text = 0
        # Every identity is in exactly one of these.
        self._by_outcome: dict[Outcome, set[int]] = {outcome: set() for outcome in Outcome}
        self._passed = self._by_outcome[Outcome.PASSED]
        self._store = CaseStore(self._limits.kept_text)
        self._stale: set[int] = set()  # identities whose row in the spool is not their last word
        self._unmeasured: dict[int, bool] = {}  # of these, only the spool knows how long the first attempt took
        self._duration = 0.0
        self._slowest: dict[str, float] = {}
        self._slow_floor = 0.0
        self._dropped = 0
        self._files: list[InputFile] = []
        self._notes: list[str] = []
        self._views: dict[str, Sequence[Case]] = {}
        self._begin()

    # -- one file ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._count = 0
        self._file_notes: dict[str, int] = {}
        self._repairs: list[str] = []
        self._cut_cases = 0

    def finish_file(self, path: str, format_name: str, error: ResultsError | None) -> None:
        """Record what became of the file whose cases were taken since the last call.

        Args:
            path: For display.
            format_name: Of the format that read it.
            error: What stopped the parser, None if it read the file to its end.
        """
        self._settle()
        notes = [text if count == 1 else f"{text} ({count} times)" for text, count in self._file_notes.items()]
        if len(notes) > _MOST_NOTES:
            notes[_MOST_NOTES:] = [f"{len(notes) - _MOST_NOTES} further remarks"]
        if self._cut_cases:
            notes.append(f"texts of {self._cut_cases} cases were cut to {self._limits.text} bytes each")
        state = FileState.READ
        if error is not None:
            state = FileState.RECOVERED if self._count else FileState.UNREADABLE
            head = f"recovered {self._count} cases, more may be missing: " if self._count else ""
            notes.insert(0, f"{head}{error}")
        elif self._repairs:
            state = FileState.RECOVERED
            notes.insert(0, f"recovered all {self._count} cases: {'; '.join(self._repairs)}")
        elif not self._count:
            notes.insert(0, "it holds no test case")
        note = clean_text("; ".join(notes), 2000)
        self._files.append(InputFile(path, format_name, state, self._count, note, incomplete=error is not None))
        self._begin()

    def add_file(self, file: InputFile) -> None:
        """Record a file that no parser was given."""
        self._files.append(file)

    def add_note(self, text: str) -> None:
        """Record a remark on the whole set."""
        self._notes.append(text)

    # -- the sink of the parsers -------------------------------------------------------------------------------------

    def passed(self, suite: tuple[str, ...], classname: str, file: str, name: str, line: int, seconds: float) -> None:
        clean = self._cleaner.name
        self._waiting.append(
            (tuple(map(clean, suite)), clean(classname), clean(file), clean(name), line, _PASSED, sane(seconds), None)
        )
        if len(self._waiting) >= _BATCH:
            self._settle()

    def passed_rows(self, rows: list[Row]) -> None:
        if self._waiting:
            self._settle()
        self._count += len(rows)
        self._take_passed(rows)

    def add(self, case: Case) -> None:
        if self._waiting:
            self._settle()
        self._count += 1 + len(case.attempts)
        case, is_cut = self._cleaner.case(case)
        self._cut_cases += is_cut
        if case.outcome is Outcome.PASSED and not case.attempts:
            self._take_passed([row_of_case(case)])
        else:
            self._take(case)

    def note(self, text: str) -> None:
        if text in self._file_notes or len(self._file_notes) < 1000:
            self._file_notes[text] = self._file_notes.get(text, 0) + 1

    def repaired(self, text: str) -> None:
        self._repairs.append(text)

    # -- passed cases, by the thousand -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Take the passed cases that came singly."""
        if self._waiting:
            rows, self._waiting = self._waiting, []
            self._count += len(rows)
            self._take_passed(rows)

    def _take_passed(self, rows: list[Row]) -> None:
        rows = self._cleaner.masked(rows)
        hashes = set(map(hash, map(_identity, rows)))
        if (
            len(hashes) < len(rows)
            or not all(known.isdisjoint(hashes) for known in self._by_outcome.values())
            or self._total() + len(rows) > self._limits.cases
        ):
            rows = self._one_by_one(rows)
        else:
            self._passed |= hashes
        if not rows:
            return
        self._duration += sum(map(_seconds, rows))
        if max(map(_seconds, rows)) > self._slow_floor:
            for row in nlargest(_SLOWEST, rows, _seconds):
                self._rank(_identity(row), row[6])
        if self._spool is not None:
            self._batch.extend(rows)
            if len(rows) == 1 and rows[0][7] is not None:
                self._batch_text += sum(len(text) for text in rows[0][7][:5])
            if len(self._batch) >= _BATCH or self._batch_text > _BATCH_TEXT:
                self._flush()

    def _one_by_one(self, rows: list[Row]) -> list[Row]:
        """The slow way for batches in which an identity occurs again: the rows that are new."""
        new = []
        for row in rows:
            key = _identity(row)
            code = hash(key)
            if code in self._passed and code not in self._store:
                continue  # passed again
            if code in self._passed or any(code in known for known in self._by_outcome.values()):
                self._merge(code, key, _case_of_key(key, row))
            elif self._total() >= self._limits.cases:
                self._dropped += 1
            else:
                self._passed.add(code)
                new.append(row)
        return new

    # -- all other cases, one at a time ------------------------------------------------------------------------------

    def _take(self, case: Case) -> None:
        key = (case.suite, case.classname, case.file, case.name)
        code = hash(key)
        if any(code in known for known in self._by_outcome.values()):
            self._merge(code, key, case)
            return
        if self._total() >= self._limits.cases:
            self._dropped += 1
            return
        self._by_outcome[case.outcome].add(code)
        if case.outcome is not Outcome.SKIPPED or case.attempts:
            self._store.put(code, case)
        self._duration += case.duration
        if case.duration > self._slow_floor:
            self._rank(key, case.duration)
        if self._spool is not None:
            self._batch.append(row_of_case(case))
            self._batch_text += text_size(case)
            if len(self._batch) >= _BATCH or self._batch_text > _BATCH_TEXT:
                self._flush()

    def _merge(self, code: int, key: _Key, new: Case) -> None:
        """Take a further attempt of a known case. A skip is no execution: it changes nothing and counts for nothing."""
        if new.outcome is Outcome.SKIPPED:
            return
        before = next(outcome for outcome, known in self._by_outcome.items() if code in known)
        earlier: tuple[Attempt, ...] = ()
        if code in self._store:
            old = self._store.get(code)
            earlier = (*old.attempts, _attempt_of(old))
            self._duration -= old.duration
        else:
            earlier = (Attempt(Outcome.PASSED),) if before is Outcome.PASSED else ()
            self._unmeasured[code] = bool(earlier)
        attempts = (*earlier, *new.attempts)
        if len(attempts) > _MOST_ATTEMPTS:
            attempts = (*attempts[: _MOST_ATTEMPTS // 2], *attempts[-_MOST_ATTEMPTS // 2 :])
            self.note(f"a case has more than {_MOST_ATTEMPTS} attempts; those in the middle are left out")
        merged = fitted(replace(new, attempts=attempts), self._limits.text)
        self._by_outcome[before].discard(code)
        self._by_outcome[new.outcome].add(code)
        self._store.put(code, merged)
        self._stale.add(code)
        self._duration += new.duration
        identity = identity_of(*key)
        if identity in self._slowest:
            self._slowest[identity] = new.duration
        elif new.duration > self._slow_floor:
            self._rank(key, new.duration)

    def _rank(self, key: _Key, seconds: float) -> None:
        if seconds <= self._slow_floor:
            return
        self._slowest[identity_of(*key)] = seconds
        if len(self._slowest) > _SLOWEST:
            del self._slowest[min(self._slowest, key=self._slowest.__getitem__)]
            self._slow_floor = min(self._slowest.values())

    def _flush(self) -> None:
        if self._spool is not None and self._batch:
            self._places.append(self._spool.append(self._batch))
            self._batch, self._batch_text = [], 0

    def finish(self) -> None:
        """Call once when all files are read."""
        self._settle()
        self._flush()
        self._measure()
        if self._dropped:
            self._notes.append(f"{self._dropped} cases beyond the cap of {self._limits.cases} were dropped")
        if self._store.is_over_budget:
            self._notes.append("there are very many failures: the texts of the later ones are shown in short")

    def _measure(self) -> None:
        """Give the first attempts of merged cases the durations that only the spool knows."""
        if not self._unmeasured or self._spool is None:
            return
        for row in chain.from_iterable(map(self._spool.read, self._places)):
            if (code := hash(_identity(row))) in self._unmeasured:
                self._duration -= row[6]
                if self._unmeasured[code]:
                    case = self._store.get(code)
                    first = replace(case.attempts[0], duration=row[6])
                    self._store.put(code, replace(case, attempts=(first, *case.attempts[1:])))

    # -- the results -------------------------------------------------------------------------------------------------

    @property
    def files(self) -> Sequence[InputFile]:
        return self._files

    @property
    def totals(self) -> Totals:
        counts = {outcome.value: len(known) for outcome, known in self._by_outcome.items()}
        return Totals(**counts, flaky=len(self.flaky), duration=max(0.0, self._duration))

    @property
    def failures(self) -> Sequence[Case]:
        if "failures" not in self._views:
            failed, error = self._by_outcome[Outcome.FAILED], self._by_outcome[Outcome.ERROR]
            self._views["failures"] = Cases(
                self._store, [code for code in self._store if code in failed or code in error]
            )
        return self._views["failures"]

    @property
    def flaky(self) -> Sequence[Case]:
        if "flaky" not in self._views:
            passed = self._passed
            self._views["flaky"] = Cases(
                self._store, [code for code in self._store if code in passed and self._store.get(code).is_flaky]
            )
        return self._views["flaky"]

    @property
    def slowest(self) -> Sequence[tuple[str, float]]:
        return sorted(self._slowest.items(), key=lambda item: (-item[1], item[0]))

    @property
    def notes(self) -> Sequence[str]:
        return self._notes

    @property
    def dropped(self) -> int:
        return self._dropped

    def outcome_of(self, identity: str) -> Outcome | None:
        """Outcome of the case with this identity; None if the run does not hold it."""
        suite, classname, file, name = identity.split(SEPARATOR, 3)
        code = hash((tuple(suite.split("\x1e")) if suite else (), classname, file, name))
        return next((outcome for outcome, known in self._by_outcome.items() if code in known), None)

    def rows(self) -> Iterator[list[Row]]:
        """Every case once, its attempts merged, in batches; can be called again and again.

        Raises:
            RuntimeError: The results were read with ``spool=False``.
        """
        if self._spool is None:
            raise RuntimeError("rows() needs results that were read with spool=True")
        for place in self._places:
            batch = self._spool.read(place)
            if self._stale:
                for index, row in enumerate(batch):
                    if (code := hash(_identity(row))) in self._stale:
                        batch[index] = row_of_case(self._store.get(code))
            yield batch

    def close(self) -> None:
        """Drop the temporary files; afterwards there are no rows."""
        if self._spool is not None:
            self._spool.close()
        self._store.close()

    def __enter__(self) -> Collected:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _total(self) -> int:
        return sum(map(len, self._by_outcome.values()))


def _case_of_key(key: _Key, row: Row) -> Case:
    """A passed row as a case."""
    suite, classname, file, name = key
    extra = row[7]
    return Case(
        name=name, classname=classname, suite=suite, file=file, line=row[4] or None, duration=row[6],
        message=extra[1] if extra else "", output=extra[3] if extra else "", error_output=extra[4] if extra else "",
    )  # fmt: skip


def _attempt_of(case: Case) -> Attempt:
    return Attempt(
        case.outcome, case.duration, case.type, case.message, case.details, case.output, case.error_output
    )  # fmt: skip
