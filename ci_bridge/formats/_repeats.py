"""Judges a name that one file holds more than once: a retry, a repetition, or another test.

Only a retry may turn a failure green, and a retry leaves alone what has passed. So a failure after a success is the
outcome, whatever comes then; and where every test of a file was executed again although one of them had passed
(``go test -count=2``, a data provider whose rows share a name), each failure counts.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace

from ci_bridge.formats.plugin import Part
from ci_bridge.models import Attempt, Case, Outcome

Key = tuple[tuple[str, ...], str, str, str]
_RED = (Outcome.FAILED, Outcome.ERROR)


class Repeats:
    """What one file repeats. Identities go by their hashes."""

    def __init__(self) -> None:
        self.part: Part | None = None
        self._numbers: dict[tuple[int, str], int] = {}
        self._repeated: set[int] = set()
        self._after_success = False

    def again(self, code: int, *, has_passed: bool) -> None:
        """Take note of a further execution of a test of this file."""
        self._repeated.add(code)
        self._after_success = self._after_success or has_passed

    def repetition(self, tests: int) -> Set[int]:
        """All ``tests`` tests of the file, if it repeats all of them and so is no retry; otherwise none."""
        return self._repeated if self._after_success and len(self._repeated) == tests else frozenset()

    def enter(self, codes: set[int]) -> None:
        """Take tests of the current part whose names the file has never had before."""
        if self.part is not None and self.part.attempts:
            self.part.own |= codes

    def name_of(self, code: int, key: Key, is_taken: Callable[[int], bool]) -> str:
        """The name under which a case of the current part counts.

        Args:
            code: Hash of the identity.
            key: The identity.
            is_taken: True for the hash of an identity that the file has had.
        """
        part = self.part
        if part is None or code in part.own:
            return key[3]
        if code in part.renamed:
            return part.renamed[code]
        if not is_taken(code):
            self.enter({code})
            return key[3]
        name = self._free(code, key, part.label, is_taken)
        if part.attempts:
            part.renamed[code] = name
        return name

    def _free(self, code: int, key: Key, label: str, is_taken: Callable[[int], bool]) -> str:
        number = self._numbers.get((code, label), 0 if label else 1)
        stem = f"{key[3]} [{label}]" if label else key[3]
        while True:
            number += 1
            name = f"{stem} ({number})" if number > 1 else stem
            if not is_taken(hash((*key[:3], name))):
                self._numbers[code, label] = number
                return name


def attempt_of(case: Case) -> Attempt:
    """The last execution of a case as an attempt."""
    return Attempt(
        case.outcome, case.duration, case.type, case.message, case.details, case.output, case.error_output
    )  # fmt: skip


def without_luck(case: Case, *, is_retried: bool = True) -> Case:
    """The case, failed if one of its failures is no failed attempt that a retry made good.

    Args:
        case: With the attempts that the file holds, in their order.
        is_retried: A failure before the first success is a failed attempt; otherwise every failure counts.
    """
    if case.is_failure or not case.attempts:
        return case
    executions = [*case.attempts, attempt_of(case)]
    success = next((index for index, one in enumerate(executions) if one.outcome is Outcome.PASSED), 0)
    failures = [index for index, one in enumerate(executions) if one.outcome in _RED]
    if not failures or (is_retried and failures[-1] < success):
        return case
    worst = executions.pop(failures[-1])
    return replace(
        case, outcome=worst.outcome, duration=worst.duration, type=worst.type, message=worst.message,
        details=worst.details, output=worst.output, error_output=worst.error_output, attempts=tuple(executions),
    )  # fmt: skip
