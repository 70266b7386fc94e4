"""Reads the JSON reporter of ``dart test`` and ``flutter test --machine``: one event a line.

Hidden tests (a file that loaded) are no cases; one that failed is. A test that began but never ended is an error, and
so is a run that says it failed without a failing test. Output without the last event was cut. Retries are not in the
events, so a name seen again is another test.

Source of the events: https://github.com/dart-lang/test/blob/master/pkgs/test/doc/json_reporter.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ci_bridge.errors import ResultsError
from ci_bridge.formats._distinct import Distinct
from ci_bridge.formats._values import check_running, dict_of, duration_of, first_line, int_of, read_events, text_of
from ci_bridge.formats.plugin import CappedText, Format, Sink, Source
from ci_bridge.models import Case, Outcome

_SNIFF = re.compile(
    rb'^\{(?=[^\n]*"type"\s*:\s*"(?:start|suite|allSuites|group|testStart|testDone|print|error|done|debug)")'
    rb'(?=[^\n]*"(?:protocolVersion|suite|suiteID|group|test|testID|count|success)"\s*:)',
    re.MULTILINE,
)
_OUTCOMES = {"success": Outcome.PASSED, "failure": Outcome.FAILED, "error": Outcome.ERROR}
_TYPE = re.compile(r"([A-Z]\w{0,100}(?:Error|Exception|Failure))\b")
_MILLISECONDS = 1e-3


@dataclass(slots=True)
class _Test:
    name: str
    file: str
    line: int
    started: float
    skip_reason: str
    message: str
    details: CappedText
    output: CappedText


class _Reader:
    def __init__(self, source: Source, sink: Sink) -> None:
        self._limit = source.limits.text
        self._sink = sink
        self._names = Distinct(source.limits.cases)
        self._suites: dict[int, tuple[str, str]] = {}  # id -> path, platform
        self._platforms: dict[str, str] = {}  # path -> the platform that met it first
        self._running: dict[int, _Test] = {}
        self._red = False
        self._success: object = None
        self._done = False
        self._late_errors = 0
        self._unknown = 0  # tests that ended and never began

    def event(self, event: dict[str, Any]) -> None:
        number = int_of(event.get("testID"))
        match text_of(event.get("type")):
            case "suite":
                suite = dict_of(event.get("suite"))
                path, platform = text_of(suite.get("path")), text_of(suite.get("platform"))
                first = self._platforms.setdefault(path, platform)
                self._suites[int_of(suite.get("id"))] = path, "" if platform == first else platform
            case "testStart":
                started = dict_of(event.get("test"))
                time = duration_of(event.get("time"), _MILLISECONDS)
                check_running(len(self._running))
                self._running[int_of(started.get("id"))] = self._start(started, time)
            case "print" if number in self._running:
                self._running[number].output.append(text_of(event.get("message")) + "\n")
            case "error" if number in self._running:
                test = self._running[number]
                error = text_of(event.get("error"))
                test.message = test.message or first_line(error)
                test.details.append(f"{error}\n{text_of(event.get('stackTrace'))}\n")
            case "error":
                self._late(text_of(event.get("error")), text_of(event.get("stackTrace")))
            case "testDone" if number in self._running:
                self._end(self._running.pop(number), event)
            case "testDone":
                self._unknown += 1
            case "done":
                self._done, self._success = True, event.get("success")
            case _:
                pass

    def close(self) -> None:
        for test in self._running.values():
            test.message = test.message or "the test began but never ended"
            self._deliver(test, Outcome.ERROR, 0.0)
        if not self._done or self._success is None:
            raise ResultsError("the output ends before the test run has finished")
        if self._unknown:
            raise ResultsError(f"events are missing: {self._unknown} tests end that never began")
        if self._success is False and not self._red:
            self._sink.add(Case(name="[run]", outcome=Outcome.ERROR, message="the run failed without a failing test"))

    def _late(self, error: str, stack: str) -> None:
        """An error of a test that has ended already makes the run fail, so it is a case of its own."""
        self._late_errors += 1
        self._red = True
        name = "[late error]" if self._late_errors == 1 else f"[late error] ({self._late_errors})"
        self._sink.add(Case(name=name, outcome=Outcome.ERROR, message=first_line(error), details=f"{error}\n{stack}"))

    def _start(self, test: dict[str, Any], time: float) -> _Test:
        path, platform = self._suites.get(int_of(test.get("suiteID")), ("", ""))
        name = text_of(test.get("name"))
        # The line is in the suite's own file only if ``url`` does not name another one.
        line = test.get("root_line") or test.get("line")
        return _Test(
            name=f"{name} [{platform}]" if platform else name,
            file=path,
            line=int_of(line),
            started=time,
            skip_reason=text_of(dict_of(test.get("metadata")).get("skipReason")),
            message="",
            details=CappedText(self._limit),
            output=CappedText(self._limit),
        )

    def _end(self, test: _Test, event: dict[str, Any]) -> None:
        outcome = _OUTCOMES.get(text_of(event.get("result")), Outcome.ERROR)
        if event.get("hidden") is True and outcome is Outcome.PASSED:
            return
        if event.get("skipped") is True and outcome is Outcome.PASSED:
            outcome, test.message = Outcome.SKIPPED, test.skip_reason or first_line(str(test.output))
        self._deliver(test, outcome, max(0.0, duration_of(event.get("time"), _MILLISECONDS) - test.started))

    def _deliver(self, test: _Test, outcome: Outcome, seconds: float) -> None:
        output = str(test.output)
        name = self._names.name(test.file, test.name)
        if outcome is Outcome.PASSED and not output:
            self._sink.passed((), "", test.file, name, test.line, seconds)
            return
        self._red = self._red or outcome in (Outcome.FAILED, Outcome.ERROR)
        details = str(test.details)
        kind = _TYPE.match(details.removeprefix("Exception: "))
        self._sink.add(
            Case(
                name=name,
                file=test.file,
                line=test.line or None,
                outcome=outcome,
                duration=seconds,
                type=kind[1] if kind else "",
                message=test.message,
                details=details,
                output=output,
            )
        )


def _sniff(head: bytes) -> bool:
    return _SNIFF.search(head) is not None


def _parse(source: Source, sink: Sink) -> None:
    reader = _Reader(source, sink)
    read_events(source, sink, reader.event, reader.close, '"type":"test')


FORMAT = Format(name="dart", title="Dart JSON", sniff=_sniff, parse=_parse)
