"""JUnit XML, streamed, that CI systems accept and that our own reader reads back as the same run.

Order and nesting follow the common schema (``junit-10.xsd``) and retries that of Maven Surefire
(``flakyFailure``, ``rerunFailure`` …). Beyond both, a case bears ``file`` and ``line`` where they are known, as pytest
and many others write them, because they belong to its identity.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any, TextIO

from ci_bridge.models import Attempt, Case, Outcome, Report, Results, Row, Totals, case_of_row
from ci_bridge.report.escape import xml_attribute, xml_text
from ci_bridge.report.rows import names_are_plain

_SPILL = 4 << 20
"""Characters of one suite that are kept in memory before they go to a temporary file."""

_BAD = (Outcome.FAILED, Outcome.ERROR)
_TAGS = {Outcome.FAILED: "failure", Outcome.ERROR: "error", Outcome.SKIPPED: "skipped"}


def write_junit(report: Report, stream: TextIO) -> None:
    """Write the run as JUnit XML.

    Args:
        report: The run. A suite's counters stand before its cases, so one suite at a time is held back, the large
            ones in a temporary file: memory does not grow with the number of cases.
        stream: UTF-8 text.

    Raises:
        OSError: If the stream or the temporary file cannot be written.
    """
    totals = _written_totals(report.results)
    name = xml_attribute(report.run.name or report.title)
    stamp = report.run.created_at.strftime("%Y-%m-%dT%H:%M:%S")
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    stream.write(
        f'<testsuites name="{name}" tests="{totals.total}" failures="{totals.failed}" errors="{totals.error}"'
        f' skipped="{totals.skipped}" time="{_seconds(totals.duration)}">\n'
    )
    open_suite: _Suite | None = None
    with ExitStack() as stack:
        for suite, rows in _runs_of_suites(report.results.rows()):
            if open_suite is None or open_suite.path != suite:
                if open_suite is not None:
                    open_suite.write_to(stream, stamp)
                open_suite = _Suite(suite, stack)
            open_suite.add(rows)
        if open_suite is not None:
            open_suite.write_to(stream, stamp)
    stream.write("</testsuites>\n")


def _written_totals(results: Results) -> Totals:
    """The counters of the whole document; ``testcase`` elements are counted, as every reader does."""
    totals = results.totals
    if sum(file.cases for file in results.files) <= totals.total:
        return totals  # no case was met twice, so each is written once
    counts = Counter[Outcome]()
    seconds = 0.0
    for batch in results.rows():
        for row in batch:
            if row[7] is None:
                counts[Outcome.PASSED] += 1
                seconds += row[6]
            else:
                for shown in _singly(case_of_row(row)):
                    counts[_shown_first(shown).outcome] += 1
                    seconds += shown.duration
    return Totals(
        passed=counts[Outcome.PASSED],
        failed=counts[Outcome.FAILED],
        error=counts[Outcome.ERROR],
        skipped=counts[Outcome.SKIPPED],
        duration=seconds,
    )


def _runs_of_suites(batches: Iterable[list[Row]]) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    for batch in batches:
        for suite, rows in groupby(batch, key=itemgetter(0)):
            yield suite, list(rows)


class _Suite:
    """Consecutive cases of one suite, held back until they are counted."""

    def __init__(self, path: tuple[str, ...], stack: ExitStack) -> None:
        self.path = path
        self._stack = stack
        self._parts: list[str] = []
        self._size = 0
        self._file: TextIO | None = None
        self._counts = dict.fromkeys(Outcome, 0)
        self._seconds = 0.0

    def add(self, rows: Sequence[Row]) -> None:
        plain = names_are_plain(rows, "&<>\"'")
        parts = self._parts
        before = len(parts)
        passed = 0
        seconds = 0.0
        last: tuple[str, str] | None = None
        prefix = ""
        for row in rows:
            _, classname, file, name, line, outcome, duration, extra = row
            if extra is not None or outcome != "passed":
                self._add_whole(case_of_row(row))
                continue
            if last != (classname, file):
                last = (classname, file)
                prefix = _prefix(classname, file)
            passed += 1
            seconds += duration
            time = repr(duration) if 0.0001 <= duration < 1e15 else _seconds(duration)
            position = f'" line="{line}' if line else ""
            parts.append(f'{prefix}{name if plain else xml_attribute(name)}{position}" time="{time}"/>\n')
        self._counts[Outcome.PASSED] += passed
        self._seconds += seconds
        self._size += sum(map(len, parts[before:]))
        if self._size > _SPILL:
            self._spill()

    def _add_whole(self, case: Case) -> None:
        for shown in _singly(case):
            self._counts[_shown_first(shown).outcome] += 1
            self._seconds += shown.duration
            self._parts.append(_whole(shown))

    def _spill(self) -> None:
        if self._file is None:
            # Deleted on the way out of the stack, whatever happens; on most systems it never has a name.
            spill = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115 - the stack closes it
            self._file = self._stack.enter_context(spill)
        self._file.write("".join(self._parts))
        self._parts.clear()
        self._size = 0

    def write_to(self, stream: TextIO, stamp: str) -> None:
        counts = self._counts
        attributes = (
            f' tests="{sum(counts.values())}" failures="{counts[Outcome.FAILED]}" errors="{counts[Outcome.ERROR]}"'
            f' skipped="{counts[Outcome.SKIPPED]}" time="{_seconds(self._seconds)}" timestamp="{stamp}"'
        )
        names = self.path or ("",)
        stream.write("".join(f'<testsuite name="{xml_attribute(name)}"{attributes}>\n' for name in names))
        if self._file is not None:
            self._file.seek(0)
            shutil.copyfileobj(self._file, stream, 1 << 20)
            self._file.close()
        stream.write("".join(self._parts))
        stream.write("</testsuite>\n" * len(names))


def _prefix(classname: str, file: str) -> str:
    file_attribute = f'file="{xml_attribute(file)}" ' if file else ""
    return f'<testcase classname="{xml_attribute(classname)}" {file_attribute}name="'


def _singly(case: Case) -> list[Case]:
    """The test cases to write for one case and its attempts.

    One, where every earlier attempt failed, which Surefire's elements can say. Otherwise (a pass before a failure)
    every attempt is a case of its own, as tools without such elements write it; readers that know retries merge them.
    """
    if all(attempt.outcome in _BAD for attempt in case.attempts):
        return [case]
    return [*(replace(case, **_fields(attempt), attempts=()) for attempt in case.attempts), replace(case, attempts=())]


def _fields(attempt: Attempt) -> dict[str, Any]:
    return {name: getattr(attempt, name) for name in Attempt.__slots__}


def _shown_first(case: Case) -> Case | Attempt:
    """What the elements ``failure``, ``error`` and ``skipped`` of a case tell of.

    Surefire's ``<failure>`` is the first attempt of a test that never passed, each ``<rerunFailure>`` a later one. It
    has no place for what the first attempt printed; such a case bears its earlier attempts as ``<flakyFailure>``.
    """
    if case.is_failure and case.attempts and not (case.attempts[0].output or case.attempts[0].error_output):
        return case.attempts[0]
    return case


def _whole(case: Case) -> str:
    first = _shown_first(case)
    kind, others = ("flaky", list[Case | Attempt](case.attempts))
    if first is not case:
        kind, others = "rerun", [*case.attempts[1:], case]
    position = f'" line="{case.line}' if case.line else ""
    head = f'{_prefix(case.classname, case.file)}{xml_attribute(case.name)}{position}" time="{_seconds(case.duration)}"'
    inner = [_result(_TAGS[first.outcome], first)] if first.outcome is not Outcome.PASSED else []
    for other in others:
        tag = f"{kind}Failure" if other.outcome is Outcome.FAILED else f"{kind}Error"
        texts = _element("stackTrace", other.details) + (_outputs(other) if other is not case else "")
        inner.append(
            f'<{tag} message="{xml_attribute(other.message)}" type="{xml_attribute(other.type)}"'
            f' time="{_seconds(other.duration)}">{texts}</{tag}>\n'
        )
    body = "".join(inner) + _outputs(case)
    return f"{head}>\n{body}</testcase>\n" if body else f"{head}/>\n"


def _result(tag: str, of: Case | Attempt) -> str:
    attributes = f' message="{xml_attribute(of.message)}"' if of.message else ""
    attributes += f' type="{xml_attribute(of.type)}"' if of.type else ""
    return f"<{tag}{attributes}>{xml_text(of.details)}</{tag}>\n" if of.details else f"<{tag}{attributes}/>\n"


def _outputs(of: Case | Attempt) -> str:
    return _element("system-out", of.output) + _element("system-err", of.error_output)


def _element(tag: str, text: str) -> str:
    return f"<{tag}>{xml_text(text)}</{tag}>\n" if text else ""


def _seconds(value: float) -> str:
    """Seconds without an exponent, which not every reader knows."""
    if not 0.0 < value < 1e15:  # also what is no number
        return "0"
    text = repr(float(value))
    return text if "e" not in text else f"{value:.12f}"
