"""Collects the cases of all files: merges attempts, counts, and lets a million passed cases go to disk.

Of a passed case only a 64-bit hash of its identity stays in memory. Python's string hash is keyed with a secret per
process, so nobody can craft names that fall together; by chance two of five million do with probability 10⁻⁶.

A test seen again in the same part of a file is a further attempt, unless it looks like a repetition
(:mod:`ci_bridge.formats._repeats`); in another part of the file it is another test. Seen again in another file it is an
attempt only if something shows that this file is a rerun of the other (:mod:`ci_bridge.formats._reruns`): two legs of a
matrix or two modules of a build may have tests of one name. Otherwise the test counts once, with the worst of its
outcomes, so that a success in one place never hides a failure in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import nlargest
from itertools import chain
from operator import itemgetter
from types import TracebackType
from typing import TYPE_CHECKING

from ci_bridge.errors import ResultsError
from ci_bridge.formats._clean import Cleaner, Mask, fitted, sane, text_size
from ci_bridge.formats._repeats import Key, Repeats, attempt_of, without_luck
from ci_bridge.formats._reruns import Execution
from ci_bridge.formats._spool import Cases, CaseStore, Spool
from ci_bridge.formats.plugin import Limits, Part, clean_text
from ci_bridge.models import (
    SEPARATOR,
    Case,
    FileState,
    InputFile,
    Outcome,
    Row,
    Totals,
    identity_of,
    row_of_case,
)

if TYPE_CHECKING:
    import os
    from datetime import datetime

_identity = itemgetter(0, 1, 2, 3)
_seconds = itemgetter(6)
_PASSED = str(Outcome.PASSED)
_BATCH = 4096
_BATCH_TEXT = 4 << 20
_SLOWEST = 20
_MOST_ATTEMPTS = 20
_MOST_NOTES = 5
_RANK = {Outcome.SKIPPED: 0, Outcome.PASSED: 1, Outcome.FAILED: 2, Outcome.ERROR: 3}
_SEVERAL = -1


class Collected:
    """Everything read from a set of result files: a :class:`ci_bridge.models.Results`, and the sink of the parsers.

    Use it as a context manager, or close it, to drop its temporary file.

    Args:
        limits: Caps on cases, names and texts.
        mask: Hides secrets in names and texts before anything is kept.
        spool: Keep every row for :meth:`rows`; without, only what a summary needs is kept.
        workspace: Files below it become relative to it, so that a test is the same wherever the job works.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        mask: Mask | None = None,
        *,
        spool: bool = True,
        workspace: str | os.PathLike[str] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._cleaner = Cleaner(self._limits, mask, workspace)
        self._spool = Spool() if spool else None
        self._places: list[int] = []
        self._waiting: list[Row] = []  # passed cases that came singly
        self._batch: list[Row] = []  # rows on their way to the spool
        self._batch_text = 0
        # Every identity is in exactly one of these.
        self._by_outcome: dict[Outcome, set[int]] = {outcome: set() for outcome in Outcome}
        self._passed = self._by_outcome[Outcome.PASSED]
        self._store = CaseStore(self._limits.kept_text)
        self._executions: list[Execution] = []  # the files so far
        self._started: datetime | None = None
        self._fresh: set[int] = set()  # identities that this file brought, kept from the second file on
        self._again = CaseStore(self._limits.kept_text)  # cases of this file that earlier files have too
        self._red_in: dict[int, int] = {}  # the file that a case failed in
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
        self._seconds = 0.0
        self._started = None
        self._repeats = Repeats()

    def start_file(self, started: datetime | None) -> None:
        """Say when the run that wrote the next file began; not needed where nothing is known."""
        self._started = started

    def finish_file(self, path: str, format_name: str, error: ResultsError | None) -> None:
        """Record what became of the file whose cases were taken since the last call.

        Args:
            path: For display.
            format_name: Of the format that read it.
            error: What stopped the parser, None if it read the file to its end.
        """
        self._settle()
        self._judge_repetition()
        self._compare(Execution(path, self._started, self._seconds))
        path = self._cleaner.hidden(path)
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
        note = clean_text(self._cleaner.hidden("; ".join(notes)), 2000)
        self._files.append(InputFile(path, format_name, state, self._count, note, incomplete=error is not None))
        self._begin()

    def add_file(self, file: InputFile) -> None:
        """Record a file that no parser was given."""
        hidden = self._cleaner.hidden
        self._files.append(replace(file, path=hidden(file.path), note=hidden(file.note)))

    def add_note(self, text: str) -> None:
        """Record a remark on the whole set."""
        self._notes.append(self._cleaner.hidden(text))

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

    def clean_name(self, text: str) -> str:
        """A name fit to be kept: clean, within its cap, and without half a secret at its end."""
        return self._cleaner.name(text)

    def part(self, part: Part | None) -> None:
        if self._waiting:
            self._settle()
        self._repeats.part = part

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
        rows = self._cleaner.rows(rows)
        seconds = sum(map(_seconds, rows))
        self._seconds += seconds
        hashes = set(map(hash, map(_identity, rows)))
        if (
            len(hashes) < len(rows)
            or not all(known.isdisjoint(hashes) for known in self._by_outcome.values())
            or self._total() + len(rows) > self._limits.cases
        ):
            rows = self._one_by_one(rows)
            seconds = sum(map(_seconds, rows))
        else:
            self._passed |= hashes
            if self._executions:
                self._fresh |= hashes
            self._repeats.enter(hashes)
        if not rows:
            return
        self._duration += seconds
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
        for given in rows:
            row, key = given, _identity(given)
            if (name := self._name_here(key)) != key[3]:
                row = (*row[:3], name, *row[4:])
                key = _identity(row)
            code = hash(key)
            if code in self._passed and code not in self._store and code not in self._again:
                self._note_again(code)
                continue  # passed again
            if code in self._passed or any(code in known for known in self._by_outcome.values()):
                self._repeated(code, key, _case_of_key(key, row))
            elif self._total() >= self._limits.cases:
                self._dropped += 1
            else:
                self._passed.add(code)
                self._note_fresh(code)
                new.append(row)
        return new

    # -- all other cases, one at a time ------------------------------------------------------------------------------

    def _take(self, case: Case) -> None:
        if (name := self._name_here((case.suite, case.classname, case.file, case.name))) != case.name:
            case = replace(case, name=name)
        key = (case.suite, case.classname, case.file, case.name)
        code = hash(key)
        self._seconds += case.duration
        if any(code in known for known in self._by_outcome.values()):
            self._repeated(code, key, case)
            return
        if self._total() >= self._limits.cases:
            self._dropped += 1
            return
        self._by_outcome[case.outcome].add(code)
        self._note_fresh(code)
        if case.is_failure:
            self._red_in[code] = len(self._executions)
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

    def _note_fresh(self, code: int) -> None:
        if self._executions:
            self._fresh.add(code)

    def _name_here(self, key: Key) -> str:
        """The name under which a case of this part of the file counts."""
        if self._repeats.part is None:
            return key[3]
        return self._cleaner.name(self._repeats.name_of(hash(key), key, self._is_of_this_file))

    def _is_of_this_file(self, code: int) -> bool:
        if self._executions:
            return code in self._fresh or code in self._again
        return any(code in known for known in self._by_outcome.values())

    def _note_again(self, code: int) -> None:
        if not self._executions or code in self._fresh:
            self._repeats.again(code, has_passed=code in self._passed)

    # -- cases that were seen before ---------------------------------------------------------------------------------

    def _repeated(self, code: int, key: Key, new: Case) -> None:
        """Take a known case again. A skip is no execution: it changes nothing and counts for nothing."""
        self._note_again(code)
        if new.outcome is Outcome.SKIPPED:
            return
        if self._executions and code not in self._fresh:
            # Whether an earlier file's case and this one are attempts of one test is decided when this file is read.
            earlier = self._again.get(code) if code in self._again else None
            self._again.put(code, without_luck(self._joined(new, earlier)) if earlier else new)
        else:
            self._put(code, key, without_luck(self._merged(code, new)))

    def _judge_repetition(self) -> None:
        """Let the failures of a file that is no retry count."""
        red = 0
        for code in self._repeats.repetition(len(self._fresh) if self._executions else self._total()):
            if code in self._passed and code in self._store and (case := self._store.get(code)).is_flaky:
                red += 1
                key = (case.suite, case.classname, case.file, case.name)
                self._put(code, key, without_luck(case, is_retried=False))
        if red:
            self.note(
                "every test was executed again, those that had passed too, so it was no retry: "
                f"{red} that failed and passed count as failed"
            )

    def _compare(self, execution: Execution) -> None:
        """Decide on the cases of a file that earlier files have too."""
        differ = 0
        for code in self._again:
            new = self._again.get(code)
            key = (new.suite, new.classname, new.file, new.name)
            place = self._red_in.get(code, _SEVERAL)
            if place != _SEVERAL and execution.is_rerun_of(self._executions[place]):
                self._put(code, key, self._merged(code, new))
            else:
                differ += self._keep_the_worst(code, key, new)
        if differ:
            self.note(
                f"cases that ended otherwise in another file: {differ}; nothing shows that one is a rerun of "
                "the other, so the worse outcome counts"
            )
        self._executions.append(execution)
        self._fresh.clear()
        if self._again:
            self._again.close()
            self._again = CaseStore(self._limits.kept_text)

    def _keep_the_worst(self, code: int, key: Key, new: Case) -> bool:
        """Take a case of another execution that has the same name; True if one failed and the other did not."""
        before = next(outcome for outcome, known in self._by_outcome.items() if code in known)
        old = self._store.get(code) if code in self._store else None
        if new.is_failure and old is not None and old.is_failure:
            worse, other = (new, old) if _RANK[new.outcome] > _RANK[before] else (old, new)
            texts = [
                worse.details,
                f"Also {other.outcome} in another file: {other.message}".rstrip(": "),
                other.details,
            ]
            self._put(code, key, replace(worse, details="\n\n".join(filter(None, texts))))
            self._red_in[code] = _SEVERAL
            return False
        if _RANK[new.outcome] > _RANK[before] or (new.outcome is before and new.attempts and old is None):
            if old is None:
                self._unmeasured[code] = False
            self._put(code, key, new)
        return new.is_failure or (before in (Outcome.FAILED, Outcome.ERROR) and new.outcome is Outcome.PASSED)

    def _merged(self, code: int, new: Case) -> Case:
        """A further attempt of a known case with all earlier ones."""
        if code in self._store:
            return self._joined(new, self._store.get(code))
        self._unmeasured[code] = is_attempt = code in self._passed
        return self._joined(new, Case("", outcome=Outcome.PASSED)) if is_attempt else new

    def _joined(self, new: Case, old: Case) -> Case:
        """The last attempt of a case with all earlier ones."""
        attempts = (*old.attempts, attempt_of(old), *new.attempts)
        if len(attempts) > _MOST_ATTEMPTS:
            attempts = (*attempts[: _MOST_ATTEMPTS // 2], *attempts[-_MOST_ATTEMPTS // 2 :])
            self.note(f"a case has more than {_MOST_ATTEMPTS} attempts; those in the middle are left out")
        return replace(new, attempts=attempts)

    def _put(self, code: int, key: Key, case: Case) -> None:
        """Let a case take the place of what is known of it."""
        if code in self._store:
            self._duration -= self._store.get(code).duration
        for known in self._by_outcome.values():
            known.discard(code)
        self._by_outcome[case.outcome].add(code)
        if case.is_failure:
            self._red_in[code] = len(self._executions)
        else:
            self._red_in.pop(code, None)
        self._store.put(code, fitted(case, self._limits.text))
        self._stale.add(code)
        self._duration += case.duration
        identity = identity_of(*key)
        if identity in self._slowest:
            self._slowest[identity] = case.duration
        elif case.duration > self._slow_floor:
            self._rank(key, case.duration)

    def _rank(self, key: Key, seconds: float) -> None:
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
        self._again.close()

    def __enter__(self) -> Collected:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _total(self) -> int:
        return sum(map(len, self._by_outcome.values()))


def _case_of_key(key: Key, row: Row) -> Case:
    """A passed row as a case."""
    suite, classname, file, name = key
    extra = row[7]
    return Case(
        name=name, classname=classname, suite=suite, file=file, line=row[4] or None, duration=row[6],
        message=extra[1] if extra else "", output=extra[3] if extra else "", error_output=extra[4] if extra else "",
    )  # fmt: skip
