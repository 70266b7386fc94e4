"""Remarks on lines of code: failures at the place in a tracked file where they happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ci_bridge.models import Annotation, Case, JudgedCase, Report, Severity, Verdict
from ci_bridge.report.escape import fold, reveal
from ci_bridge.report.sections import entry_of, reason_of
from ci_bridge.report.source_index import SourceIndex, frames_of, paths_of_class
from ci_bridge.report.wording import all_judged

_ORDER = (Verdict.NEW, Verdict.UNJUDGED, Verdict.FLAKY, Verdict.KNOWN)
_WORDS = {
    Verdict.NEW: "New failure",
    Verdict.UNJUDGED: "Failed",
    Verdict.FLAKY: "Flaky",
    Verdict.KNOWN: "Known failure",
}
_MESSAGE = 4_000
_TITLE = 250


class Remarks(NamedTuple):
    """Annotations, and what they stand for.

    Attributes:
        shown: The annotations.
        placed: How many there would be without a limit.
        wanted: How many cases there are to be annotated, the ones without a place in the repository too.
    """

    shown: list[Annotation]
    placed: int
    wanted: int


def build_annotations(
    report: Report, *, mode: str = "failures", limit: int = 50, tracked: Sequence[str] = ()
) -> Remarks:
    """Make the annotations of a run, the new failures first.

    Args:
        report: The run.
        mode: ``none``, ``failures`` (cases that failed) or ``all`` (also those that passed on retry).
        limit: The most to return.
        tracked: The repository's files as ``git ls-files`` prints them. A failure whose file is not one of them, or
            may be several of them, gets no annotation; nothing is opened.
    """
    if mode == "none":
        return Remarks([], 0, 0)
    index = SourceIndex(tracked, report.context.workspace)
    chosen = [judged for judged in all_judged(report) if mode == "all" or judged.case.is_failure]
    chosen.sort(key=lambda judged: _ORDER.index(judged.verdict) if judged.verdict in _ORDER else len(_ORDER))
    found: list[Annotation] = []
    total = 0
    for judged in chosen:
        place = locate(judged.case, index)
        if place is None:
            continue
        total += 1
        if len(found) < limit:
            found.append(_annotation(judged, *place))
    # More failed than were kept to be told one by one.
    return Remarks(found, total, max(len(chosen), report.results.totals.red))


def locate(case: Case, index: SourceIndex) -> tuple[str, int] | None:
    """The tracked file and the line of a case: from its attributes, else from its stack trace, else from its class."""
    file = index.find(case.file) if case.file else None
    if file is not None and case.line:
        return file, case.line
    frames = [
        (path, frame.line)
        for frame in frames_of(_trace(case))
        if frame.line > 0 and (path := _tracked(index, frame.file, case)) is not None
    ]
    if file is None:
        found = (index.find(name, from_class=True) for name in paths_of_class(case.classname))
        file = next(filter(None, found), None)
    for path, line in frames:
        if file is None or path == file:
            return path, line
    return (file, 1) if file is not None else None


def _tracked(index: SourceIndex, file: str, case: Case) -> str | None:
    # Go names files without their folder; the package that the case belongs to says which one is meant.
    if "/" not in file and "\\" not in file:
        packages = [name.rstrip("/") for name in (case.classname, *reversed(case.suite)) if "/" in name]
        for package in packages:
            if path := index.find(f"{package}/{file}", from_trace=True, from_class=True):
                return path
        if packages:
            return index.only(file)
    return index.find(file, from_trace=True)


def _trace(case: Case) -> str:
    return reason_of(case)[1] or case.message


def _annotation(judged: JudgedCase, file: str, line: int) -> Annotation:
    entry = entry_of(judged)
    severity = Severity.FAILURE if judged.verdict in (Verdict.NEW, Verdict.UNJUDGED) else Severity.WARNING
    if not judged.case.is_failure:
        severity = Severity.NOTICE
    parts = (entry.message, entry.evidence, reveal(entry.details)[:_MESSAGE])
    return Annotation(
        file=file,
        line=line,
        severity=severity,
        title=fold(f"{_WORDS.get(judged.verdict, 'Failed')}: {entry.name}", _TITLE),
        message="\n".join(part for part in parts if part)[:_MESSAGE],
    )
