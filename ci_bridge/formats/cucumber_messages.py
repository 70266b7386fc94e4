"""Reads Cucumber Messages (``--format message``): one envelope a line. Retried scenarios become attempts.

Statuses count as in :mod:`ci_bridge.formats.cucumber`. A scenario that began but never ended, or
that passed although steps of it never ended, is an error, and so is a run that failed without a failing scenario. A
scenario that failed, was not retried and is executed again (two streams in one file) stays failed.

Source of the envelopes: https://github.com/cucumber/messages
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ci_bridge.errors import ResultsError
from ci_bridge.formats._values import (
    check_running,
    dict_of,
    dicts_of,
    duration_of,
    int_of,
    list_of,
    read_events,
    text_of,
)
from ci_bridge.formats.cucumber import Steps
from ci_bridge.formats.plugin import Format, Sink, Source
from ci_bridge.models import Case, Outcome

_SNIFF = re.compile(rb'\{\s*"(?:meta"\s*:\s*\{.*?"protocolVersion|testRunStarted"|gherkinDocument"|pickle"|testCase")')
_MOST_SCENARIOS = 500_000  # all are named before the first one runs, so all have to be kept


@dataclass(slots=True)
class _Execution:
    pickle: str
    names: dict[str, str]
    steps: Steps
    is_retry: bool = False
    will_be_retried: bool = False
    ended: int = 0  # steps


@dataclass(frozen=True, slots=True)
class _Pickle:
    file: str
    name: str
    line: int
    is_example: bool
    steps: dict[str, str]  # id -> text


class _Reader:
    def __init__(self, source: Source, sink: Sink) -> None:
        self._limit = source.limits.text
        self._sink = sink
        self._features: dict[str, str] = {}  # by file
        self._pickles: dict[str, _Pickle] = {}
        self._shared: dict[tuple[str, str], int] = {}  # pickles by file and name
        self._cases: dict[str, tuple[str, dict[str, str]]] = {}  # id -> pickle id, step names
        self._running: dict[str, _Execution] = {}
        self._finished = False
        self._success: object = None
        self._red: set[str] = set()  # pickles whose last execution failed
        self._lost: set[tuple[str, str]] = set()  # files and names of scenarios that failed and were not retried
        self._unknown = 0  # scenarios that ended and never began

    def envelope(self, envelope: dict[str, Any]) -> None:
        for kind, body in envelope.items():
            match kind:
                case "gherkinDocument":
                    document = dict_of(body)
                    self._features[text_of(document.get("uri"))] = text_of(dict_of(document.get("feature")).get("name"))
                case "pickle":
                    self._pickle(dict_of(body))
                case "testCase":
                    self._test_case(dict_of(body))
                case "testCaseStarted":
                    pickle, names = self._cases.get(text_of(dict_of(body).get("testCaseId")), ("", {}))
                    check_running(len(self._running))
                    self._running[text_of(dict_of(body).get("id"))] = _Execution(
                        pickle, names, Steps(self._limit), is_retry=int_of(dict_of(body).get("attempt")) > 0
                    )
                case "testStepFinished":
                    self._step(dict_of(body))
                case "testCaseFinished":
                    execution = text_of(dict_of(body).get("testCaseStartedId"))
                    if execution in self._running:
                        self._running[execution].will_be_retried = dict_of(body).get("willBeRetried") is True
                    self._deliver(execution)
                case "testRunHookFinished":
                    self._run_hook(dict_of(dict_of(body).get("result")))
                case "testRunFinished":
                    self._finished, self._success = True, dict_of(body).get("success")
                case _:
                    pass

    def close(self) -> None:
        for execution in list(self._running):
            self._running[execution].steps.add("scenario", "error", 0.0, "the scenario began but never ended")
            self._deliver(execution)
        if self._success is False and not self._red:
            self._sink.add(
                Case(name="[run]", outcome=Outcome.ERROR, message="the run failed without a failing scenario")
            )
        if self._unknown:
            raise ResultsError(f"messages are missing: {self._unknown} scenarios end that never began")
        if not self._finished:
            raise ResultsError("the messages end before the test run has finished")

    def _pickle(self, pickle: dict[str, Any]) -> None:
        file, name = text_of(pickle.get("uri")), text_of(pickle.get("name"))
        if len(self._pickles) >= _MOST_SCENARIOS:
            raise ResultsError(f"there are more than {_MOST_SCENARIOS} scenarios in one file")
        self._shared[file, name] = self._shared.get((file, name), 0) + 1
        self._pickles[text_of(pickle.get("id"))] = _Pickle(
            file,
            name,
            int_of(dict_of(pickle.get("location")).get("line")),
            is_example=len(list_of(pickle.get("astNodeIds"))) > 1,
            steps={text_of(step.get("id")): text_of(step.get("text")) for step in dicts_of(pickle.get("steps"))},
        )

    def _test_case(self, case: dict[str, Any]) -> None:
        pickle = text_of(case.get("pickleId"))
        names = self._pickles[pickle].steps if pickle in self._pickles else {}
        steps = {
            text_of(step.get("id")): names.get(text_of(step.get("pickleStepId")), "hook")
            for step in dicts_of(case.get("testSteps"))
        }
        self._cases[text_of(case.get("id"))] = pickle, steps

    def _step(self, finished: dict[str, Any]) -> None:
        running = self._running.get(text_of(finished.get("testCaseStartedId")))
        if running is None:
            return
        result = dict_of(finished.get("testStepResult"))
        exception = dict_of(result.get("exception"))
        error = text_of(result.get("message")) or text_of(exception.get("message"))
        name = running.names.get(text_of(finished.get("testStepId")), "step")
        running.ended += 1
        running.steps.add(name, text_of(result.get("status")).lower(), _seconds(result.get("duration")), error)

    def _run_hook(self, result: dict[str, Any]) -> None:
        steps = Steps(self._limit)
        steps.add("hook of the run", text_of(result.get("status")).lower(), 0.0, text_of(result.get("message")))
        if steps.outcome not in (Outcome.PASSED, Outcome.SKIPPED):
            self._red.add("")
            steps.deliver(self._sink, (), "", "[hook of the run]", 0)

    def _deliver(self, execution: str) -> None:
        running = self._running.pop(execution, None)
        if running is None:
            self._unknown += 1
            return
        steps, known = running.steps, self._pickles.get(running.pickle)
        if steps.outcome is Outcome.PASSED and (missing := len(running.names) - running.ended) > 0:
            steps.add("scenario", "error", 0.0, f"{missing} of its steps never ended")
        if steps.outcome in (Outcome.FAILED, Outcome.ERROR):
            self._red.add(running.pickle)
        else:
            self._red.discard(running.pickle)
        if known is None:
            steps.deliver(self._sink, (), "", "[unknown scenario]", 0)
            return
        file, name, line = known.file, known.name, known.line
        if line and (known.is_example or self._shared[file, name] > 1):
            name = f"{name} (line {line})"
        title = self._features.get(file, "")
        if steps.outcome in (Outcome.FAILED, Outcome.ERROR):
            if not running.will_be_retried:
                self._lost.add((file, name))
        elif (file, name) in self._lost and not running.is_retry:
            return
        steps.deliver(self._sink, (title,) if title else (), file, name, line)


def _seconds(duration: object) -> float:
    parts = dict_of(duration)
    return duration_of(parts.get("seconds")) + duration_of(parts.get("nanos"), 1e-9)


def _sniff(head: bytes) -> bool:
    return _SNIFF.match(head.partition(b"\n")[0]) is not None


def _parse(source: Source, sink: Sink) -> None:
    reader = _Reader(source, sink)
    read_events(source, sink, reader.envelope, reader.close, '"testCaseStartedId"')


FORMAT = Format(name="cucumber-messages", title="Cucumber Messages", sniff=_sniff, parse=_parse, priority=10)
