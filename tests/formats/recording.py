"""Runs one parser on bytes and keeps what it delivers."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from ci_bridge.errors import ResultsError
from ci_bridge.formats.plugin import Format, Limits, Part, Source
from ci_bridge.models import Case, Outcome, Row, case_of_row


@dataclass
class Recording:
    """A sink that keeps everything; ``error`` is what the parser raised."""

    cases: list[Case] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parts: list[Part | None] = field(default_factory=list)
    error: ResultsError | None = None

    def passed(self, suite: tuple[str, ...], classname: str, file: str, name: str, line: int, seconds: float) -> None:
        self.cases.append(
            Case(name=name, classname=classname, suite=suite, file=file, line=line or None, duration=seconds)
        )

    def passed_rows(self, rows: list[Row]) -> None:
        self.cases.extend(case_of_row(row) for row in rows)

    def add(self, case: Case) -> None:
        self.cases.append(case)

    def part(self, part: Part | None) -> None:
        self.parts.append(part)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def repaired(self, text: str) -> None:
        self.notes.append(text)

    def counts(self) -> tuple[int, int, int, int]:
        """Passed, failed, errors, skipped."""
        outcomes = [case.outcome for case in self.cases]
        return (
            outcomes.count(Outcome.PASSED),
            outcomes.count(Outcome.FAILED),
            outcomes.count(Outcome.ERROR),
            outcomes.count(Outcome.SKIPPED),
        )

    def names(self) -> list[str]:
        return [case.name for case in self.cases]

    def case(self, name: str) -> Case:
        """The only case of this name."""
        (found,) = [case for case in self.cases if case.name == name]
        return found


def read(
    parser: Format, data: bytes | str, *, path: str = "results/cart.out", limits: Limits | None = None
) -> Recording:
    """Parse; a :class:`ResultsError` is kept, any other exception passes."""
    raw = data.encode() if isinstance(data, str) else data
    recording = Recording()
    try:
        parser.parse(Source(io.BytesIO(raw), path, limits or Limits(), size=len(raw)), recording)
    except ResultsError as error:
        recording.error = error
    return recording
