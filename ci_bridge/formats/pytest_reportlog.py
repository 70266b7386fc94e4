"""Reads the JSON lines of pytest-reportlog (``pytest --report-log=FILE``).

Set-up, call and teardown of a test become one case: a set-up or a teardown that fails is an error, a failing call a
failure. An expected failure counts as skipped, an unexpected success as passed unless it was strict. Attempts of
pytest-rerunfailures and pytest-retry, whose earlier executions have the outcome ``rerun`` or ``retried``, become
attempts; after an execution that failed for good, no further one makes the test green. A module that cannot be
collected is an error of its own, and so is what shows that lines are missing: a test without its call, and a session
that ended with a failing exit status although no test failed.

Source of the records: ``_pytest/reports.py``, ``pytest_report_to_serializable``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ci_bridge.errors import ResultsError
from ci_bridge.formats._values import (
    check_running,
    dict_of,
    dicts_of,
    duration_of,
    first_line,
    int_of,
    list_of,
    read_events,
    text_of,
)
from ci_bridge.formats.plugin import CappedText, Format, Sink, Source
from ci_bridge.models import Case, Outcome

_SNIFF = re.compile(
    rb'^\{(?=[^\n]*"\$report_type"\s*:\s*"(?:SessionStart|SessionFinish|CollectReport|\w*TestReport|WarningMessage))',
    re.MULTILINE,
)
_NO_TESTS = 5
_EXITS = {
    1: "tests failed",
    2: "the run was interrupted",
    3: "pytest failed internally",
    4: "pytest was called in a wrong way",
}
_TYPE = re.compile(r"([A-Za-z_][\w.]{0,200}):")


@dataclass(slots=True)
class _Test:
    """What the phases so far have said of one execution."""

    details: CappedText
    line: int = 0
    outcome: Outcome = Outcome.PASSED
    seconds: float = 0.0
    type: str = ""
    message: str = ""
    sections: dict[str, str] = field(default_factory=dict)
    was_called: bool = False
    is_retried: bool = False


class _Reader:
    def __init__(self, source: Source, sink: Sink) -> None:
        self._limit = source.limits.text
        self._sink = sink
        self._open: dict[str, _Test] = {}
        self._finished = False
        self._exit = 0
        self._red: set[str] = set()  # node ids whose last execution failed
        self._lost: set[str] = set()  # node ids that failed and were not retried

    def event(self, event: dict[str, Any]) -> None:
        kind, node = text_of(event.get("$report_type")), text_of(event.get("nodeid"))
        if kind == "TestReport":
            self._phase(event, node)
        elif kind.lower() == "subtestreport":
            self._subtest(event, node)
        elif kind == "CollectReport":
            self._collected(event, node)
        elif kind == "SessionFinish":
            self._finished = True
            status = event.get("exitstatus")
            self._exit = self._exit or (status if isinstance(status, int) else 0)

    def close(self) -> None:
        for node, test in self._open.items():
            if test.outcome is Outcome.PASSED:
                test.outcome, test.message = Outcome.ERROR, "the test began but never ended"
            self._deliver(node, test)
        if self._exit not in (0, _NO_TESTS) and not self._red:
            reason = _EXITS.get(self._exit, "the session failed")
            message = f"pytest ended with exit status {self._exit} ({reason}), but the log holds no failure"
            self._sink.add(Case(name="[session]", outcome=Outcome.ERROR, message=message))
        if not self._finished:
            raise ResultsError("the log ends before the session has finished")

    def _phase(self, event: dict[str, Any], node: str) -> None:
        when, outcome = text_of(event.get("when")), text_of(event.get("outcome"))
        if when == "setup" and (before := self._open.pop(node, None)) is not None:
            if before.outcome is Outcome.PASSED:
                before.outcome, before.message = Outcome.ERROR, "the test began anew before it had ended"
                before.is_retried = True
            self._deliver(node, before)
        check_running(len(self._open))
        test = self._open.setdefault(node, _Test(CappedText(self._limit)))
        test.seconds += duration_of(event.get("duration"))
        location = list_of(event.get("location"))
        if len(location) > 1 and location[1] is not None:
            test.line = int_of(location[1]) + 1
        for section in list_of(event.get("sections")):
            title, text = (text_of(item) for item in section) if _is_pair(section) else ("", "")
            if title and len(test.sections) < 20:
                test.sections[title] = text[: self._limit + 1]  # each phase repeats what was captured before it
        test.was_called = test.was_called or when == "call"
        self._judge(test, event, when, outcome)
        if when == "teardown":
            self._deliver(node, self._open.pop(node))

    def _judge(self, test: _Test, event: dict[str, Any], when: str, outcome: str) -> None:
        expected = event.get("wasxfail")
        if outcome == "passed":
            return
        test.is_retried = test.is_retried or outcome in ("rerun", "retried")
        message, details, kind = _reason(event.get("longrepr"), self._limit)
        if outcome == "skipped":
            if test.outcome is Outcome.PASSED:
                test.outcome = Outcome.SKIPPED
                why = text_of(expected).removeprefix("reason: ")
                test.message = f"expected failure: {why}".removesuffix(": ") if expected is not None else message
            return
        red = Outcome.FAILED if when == "call" else Outcome.ERROR
        if test.outcome in (Outcome.FAILED, Outcome.ERROR):
            test.details.append(f"\n\n{details}")
            return
        test.outcome, test.type = red, kind
        test.details.append(details)
        test.message = f"in {when}: {message}" if when in ("setup", "teardown") else message

    def _deliver(self, node: str, test: _Test, suffix: str = "") -> None:
        if test.outcome is Outcome.PASSED and not test.was_called:
            test.outcome, test.message = Outcome.ERROR, "the log does not tell how the test itself went"
        if test.outcome in (Outcome.FAILED, Outcome.ERROR):
            self._red.add(node + suffix)
            if not test.is_retried:
                self._lost.add(node + suffix)
        elif node + suffix in self._lost:
            return
        else:
            self._red.discard(node + suffix)
        file, classname, name = _parts(node)
        output = "".join(text for title, text in test.sections.items() if "stderr" not in title)
        errors = "".join(text for title, text in test.sections.items() if "stderr" in title)
        name += suffix
        if test.outcome is Outcome.PASSED and not output and not errors:
            self._sink.passed((), classname, file, name, test.line, test.seconds)
            return
        self._sink.add(
            Case(
                name=name,
                classname=classname,
                file=file,
                line=test.line or None,
                outcome=test.outcome,
                duration=test.seconds,
                type=test.type,
                message=test.message,
                details=str(test.details),
                output=output,
                error_output=errors,
            )
        )

    def _subtest(self, event: dict[str, Any], node: str) -> None:
        """A subtest is a case beside its test, as in pytest's own counts, if it did not pass."""
        outcome = text_of(event.get("outcome"))
        if outcome == "passed":
            return
        context = dict_of(event.get("_subtest.context") or event.get("context"))
        values = ", ".join(f"{key}={text_of(value)}" for key, value in dict_of(context.get("kwargs")).items())
        label = " ".join(part for part in (f"[{text_of(context.get('msg'))}]", f"({values})") if len(part) > 2)
        test = _Test(CappedText(self._limit))
        test.seconds = duration_of(event.get("duration"))
        self._judge(test, event, "call", outcome)
        self._deliver(node, test, f" {label or '(subtest)'}")

    def _collected(self, event: dict[str, Any], node: str) -> None:
        outcome = text_of(event.get("outcome"))
        if outcome == "passed":
            return
        message, details, kind = _reason(event.get("longrepr"), self._limit)
        if outcome != "skipped":
            self._red.add(node)
        file, classname, _ = _parts(f"{node}::")
        self._sink.add(
            Case(
                name="[collection]",
                classname=classname,
                file=file,
                outcome=Outcome.SKIPPED if outcome == "skipped" else Outcome.ERROR,
                type=kind,
                message=message or "the tests could not be collected",
                details="" if outcome == "skipped" else details,
            )
        )


def _is_pair(section: object) -> bool:
    return isinstance(section, list) and len(section) == 2


def _parts(node: str) -> tuple[str, str, str]:
    """File, class as pytest's JUnit report names it, and name of a node id; parameters may hold ``::``."""
    bare, bracket, parameters = node.partition("[")
    file, *middle = bare.split("::")
    name = middle.pop() if middle else ""
    module = re.sub(r"\.py$", "", file).replace("/", ".").replace("\\", ".")
    return file, ".".join([module, *middle]), name + bracket + parameters


def _reason(value: object, limit: int) -> tuple[str, str, str]:
    """Message, long text and type of a ``longrepr``: a text, a structured traceback or ``[file, line, reason]``."""
    if isinstance(value, list):
        reason = text_of(value[-1]) if value else ""
        return first_line(reason.removeprefix("Skipped: ")), reason, ""
    if isinstance(value, str):
        errors = [line[2:].strip() for line in value[-65536:].split("\n") if line.startswith("E ")]
        message = first_line(errors[0]) if errors else first_line(value)
        return message, value, _type_of(message)
    structured = dict_of(value)
    if "longrepr" in structured and len(structured) < 4:
        return _reason(text_of(structured["longrepr"]), limit)
    crash = dict_of(structured.get("reprcrash"))
    text, kind = CappedText(limit), ""
    chain = [dict_of(link[0]) for link in list_of(structured.get("chain")) if isinstance(link, list) and link]
    for traceback in chain or [dict_of(structured.get("reprtraceback"))]:
        for entry in dicts_of(traceback.get("reprentries")):
            data = dict_of(entry.get("data"))
            for line in list_of(data.get("lines")):
                text.append(text_of(line) + "\n")
            if place := dict_of(data.get("reprfileloc")):
                kind = text_of(place.get("message"))
                text.append(f"\n{text_of(place.get('path'))}:{int_of(place.get('lineno'))}: ")
                text.append(f"{text_of(place.get('message'))}\n\n")
        text.append(text_of(traceback.get("extraline")))
    for section in list_of(structured.get("sections")):
        if isinstance(section, list) and len(section) > 1:
            text.append(f"{text_of(section[0])}\n{text_of(section[1])}\n")
    details = str(text).strip("\n")
    message = text_of(crash.get("message"))
    return first_line(message) or first_line(details), details or message, _type_of(message) or first_line(kind)


def _type_of(message: str) -> str:
    match = _TYPE.match(message)
    return match[1] if match else ""


def _sniff(head: bytes) -> bool:
    return _SNIFF.search(head) is not None


def _parse(source: Source, sink: Sink) -> None:
    reader = _Reader(source, sink)
    read_events(source, sink, reader.event, reader.close, '"$report_type"')


FORMAT = Format(name="pytest-reportlog", title="pytest-reportlog", sniff=_sniff, parse=_parse, priority=10)
