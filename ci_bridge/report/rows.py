"""What the streaming writers share: quick checks over a batch of rows, and which rows bear a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from ci_bridge.models import SEPARATOR, JudgedCase, Report, Row, Verdict, identity_of
from ci_bridge.report.escape import without_surrogates
from ci_bridge.report.wording import all_judged


def names_are_plain(batch: Sequence[Row], special: str) -> bool:
    """True if no name in the batch needs escaping: nothing unprintable in it and none of the ``special`` characters.

    One look at all names together costs a fraction of what a look at each one does.
    """
    blob = "".join([row[3] for row in batch])
    return blob.isprintable() and not any(char in blob for char in special)


class Verdicts:
    """Finds the verdict of a row; made for a million of them.

    Args:
        report: Whose judgement counts.
    """

    def __init__(self, report: Report) -> None:
        self.judged: Mapping[str, JudgedCase] = {judged.case.identity: judged for judged in all_judged(report)}
        self.fixed = frozenset(report.judgement.fixed)
        self.fixed_names = frozenset(identity.rsplit(SEPARATOR, 1)[-1] for identity in self.fixed)

    def of(self, row: Row) -> JudgedCase | None:
        """The judged case of a row."""
        return self.judged.get(identity_of(row[0], row[1], row[2], row[3])) if self.judged else None

    def is_fixed(self, row: Row) -> bool:
        """True if this case failed in the baseline and passes now."""
        return row[3] in self.fixed_names and identity_of(row[0], row[1], row[2], row[3]) in self.fixed

    def name_of(self, row: Row) -> str:
        """The verdict as its word, empty for a case that needs none."""
        if (judged := self.of(row)) is not None:
            return str(judged.verdict)
        return str(Verdict.FIXED) if row[5] == "passed" and self.is_fixed(row) else ""


def write_items(stream: TextIO, chunks: Iterable[str]) -> None:
    """Write batches of JSON items, each batch already joined, into an open list."""
    separator = "\n"
    for chunk in chunks:
        stream.write(separator)
        stream.write(without_surrogates(chunk))
        separator = ",\n"


def plain_value(value: Any) -> Any:
    """Make a caller's value fit for JSON: numbers that JSON does not know become None, strange objects their text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain_value(item) for item in value]
    return str(value)


def filled(**fields: Any) -> dict[str, Any]:
    """The fields that are not empty."""
    return {key: value for key, value in fields.items() if value not in ("", None, (), [], {})}
