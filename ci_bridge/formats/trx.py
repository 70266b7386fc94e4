"""Reads TRX, the results of MSTest and of every adapter under ``dotnet test --logger trx``.

The definitions, which hold a test's class and assembly, stand behind the results: the file is read twice and only a
map of the ids is kept. Rows of a data-driven test are counted, not the test above them, unless it failed on its own.
``RunInfo`` of outcome ``Error`` (the test host crashed, an adapter could not load) is an error of its own.

Source of the words: ``TestOutcome`` in https://github.com/microsoft/vstest
(src/Microsoft.TestPlatform.Extensions.TrxLogger) and the schema ``vstst.xsd`` of Visual Studio.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from ci_bridge.errors import ResultsError
from ci_bridge.formats._distinct import Distinct
from ci_bridge.formats._dotnet import assembly_of, number_of, walk, without_class
from ci_bridge.formats._values import first_line
from ci_bridge.formats._xml import root_name
from ci_bridge.formats.plugin import Format, Limits, Sink, Source, seconds_of
from ci_bridge.models import Case, Outcome

_OUTCOMES = {
    "passed": Outcome.PASSED,
    "completed": Outcome.PASSED,
    "warning": Outcome.PASSED,
    "failed": Outcome.FAILED,
    "error": Outcome.ERROR,
    "timeout": Outcome.ERROR,
    "aborted": Outcome.ERROR,
    "disconnected": Outcome.ERROR,
    "passedbutrunaborted": Outcome.ERROR,
    "inprogress": Outcome.ERROR,
    "notexecuted": Outcome.SKIPPED,
    "inconclusive": Outcome.SKIPPED,
    "notrunnable": Outcome.SKIPPED,
    "pending": Outcome.SKIPPED,
}
_RESULTS = frozenset(("Results", "InnerResults"))  # their children are results, whatever the kind of test is called
_TEXTS = frozenset(("Message", "StackTrace", "StdOut", "StdErr", "DebugTrace", "TextMessage", "Text"))
_OUTPUTS = frozenset(("StdOut", "DebugTrace", "TextMessage", "Message"))
_BAD_RUNS = frozenset(("failed", "error", "aborted", "timeout", "disconnected"))


@dataclass(slots=True)
class _Result:
    """One result that is open."""

    test: str
    name: str
    outcome: Outcome
    word: str
    seconds: float
    row: str
    leaves: int = 0
    red: int = 0
    message: str = ""
    stack: str = ""
    output: str = ""
    error_output: str = ""


@dataclass(frozen=True, slots=True)
class _Definition:
    suite: tuple[str, ...] = ()
    classname: str = ""


_UNDEFINED = _Definition()


class _Definitions:
    """What ``TestDefinitions`` say, by test id."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_test: dict[str, _Definition] = {}
        self._same: dict[_Definition, _Definition] = {}  # a million tests have a few thousand classes
        self._id = self._storage = ""

    def opened(self, path: list[str], attributes: dict[str, str]) -> None:
        if len(path) < 3 or path[1] != "TestDefinitions":
            return
        if len(path) == 3:
            self._id, self._storage = attributes.get("id", ""), attributes.get("storage", "")
        elif path[-1] == "TestMethod" and len(self._by_test) < self._limit:
            # "Shop.CartTest, Shop.Tests, Version=…" is how older tools write the class.
            classname = attributes.get("className", "").partition(",")[0].strip()
            definition = _Definition(assembly_of(attributes.get("codeBase") or self._storage), classname)
            self._by_test[self._id] = self._same.setdefault(definition, definition)

    def of(self, test: str) -> _Definition:
        return self._by_test.get(test, _UNDEFINED)


class _Reader:
    def __init__(self, limits: Limits, sink: Sink, definitions: _Definitions) -> None:
        self._limit = limits.text
        self._sink = sink
        self._definitions = definitions
        self._open: list[_Result] = []
        self._names = Distinct(limits.cases)
        self._red = False
        self._red_count = 0
        self._claimed = 0
        self._summary = ""
        self._bad_run_info = False

    def opened(self, path: list[str], attributes: dict[str, str]) -> None:
        if len(path) > 1 and path[-2] in _RESULTS:
            word = attributes.get("outcome", "")
            self._open.append(
                _Result(
                    test=attributes.get("testId", ""),
                    name=attributes.get("testName", ""),
                    # The schema's default is "Error", and a word that nobody knows must not be green either.
                    outcome=_OUTCOMES.get(word.lower(), Outcome.ERROR),
                    word=word,
                    seconds=seconds_of(attributes.get("duration"), note=self._sink.note),
                    row=attributes.get("dataRowInfo", ""),
                )
            )
        elif path[-1] == "ResultSummary":
            self._summary = attributes.get("outcome", "")
        elif path[-1] == "Counters":
            self._claimed += sum(number_of(attributes, key) for key in ("failed", "error", "timeout", "aborted"))
        elif path[-1] == "RunInfo":
            self._bad_run_info = attributes.get("outcome", "").lower() in _BAD_RUNS

    def closed(self, path: list[str], text: str) -> None:
        tag = path[-1]
        if len(path) > 1 and path[-2] in _RESULTS:
            self._deliver(self._open.pop())
        elif self._open and text:
            result = self._open[-1]
            if tag == "Message" and "ErrorInfo" in path[-2:]:
                result.message = text
            elif tag == "StackTrace":
                result.stack = text
            elif tag == "StdErr":
                result.error_output = text
            elif tag in _OUTPUTS and len(result.output) < self._limit:
                result.output = f"{result.output}\n{text}" if result.output else text
        elif tag == "Text" and path[-2:-1] == ["RunInfo"] and self._bad_run_info:
            self._error(first_line(text) or "the test run reports an error", text)
        elif tag == "TestRun" and not self._red and (self._claimed or self._summary.lower() in _BAD_RUNS):
            claim = f" and with {self._claimed} failures" if self._claimed else ""
            self._error(f"the test run ended as {self._summary or 'unknown'}{claim} without a failing test", "")
        elif tag == "TestRun" and self._claimed > self._red_count:
            self._sink.note(f"the counters claim {self._claimed} failures, the results show {self._red_count}")

    def _deliver(self, result: _Result) -> None:
        red = result.outcome in (Outcome.FAILED, Outcome.ERROR)
        self._red_count += red
        above = self._open[-1] if self._open else None
        if above is not None:
            above.leaves += 1
            above.red += red or result.red > 0
        if result.leaves and (result.red or not red):
            return  # its rows say all
        self._red = self._red or red
        definition = self._definitions.of(result.test)
        name = without_class(result.name or result.test, definition.classname)
        if above is not None and (not result.name or result.name == above.name):
            name = f"{name} (row {result.row})" if result.row else name
        name = self._names.name(definition, name)
        if result.outcome is Outcome.PASSED and not (result.output or result.error_output or result.message):
            self._sink.passed(definition.suite, definition.classname, "", name, 0, result.seconds)
            return
        message = first_line(result.message)
        if not message and result.outcome is not Outcome.PASSED:
            message = "" if result.word.lower() in ("failed", "notexecuted") else result.word or "no outcome"
        kind, colon, _ = message.partition(":")
        self._sink.add(
            Case(
                name=name,
                suite=definition.suite,
                classname=definition.classname,
                outcome=result.outcome,
                duration=result.seconds,
                type=kind.rsplit(" ", 1)[-1] if colon and kind.endswith("Exception") and red else "",
                message=message,
                details="\n".join(part for part in (result.message, result.stack) if part) if red else "",
                output=result.output,
                error_output=result.error_output,
            )
        )

    def _error(self, message: str, details: str) -> None:
        self._red = True
        name = self._names.name((), "[run]")
        self._sink.add(Case(name=name, outcome=Outcome.ERROR, message=message, details=details))


def _sniff(head: bytes) -> bool:
    return root_name(head) == "TestRun"


def _parse(source: Source, sink: Sink) -> None:
    definitions = _Definitions(source.limits.cases)
    with suppress(ResultsError):  # of a damaged file the results before the damage still count; see below
        walk(source, definitions.opened, lambda _path, _text: None, ())
    source.stream.seek(0)
    reader = _Reader(source.limits, sink, definitions)
    walk(source, reader.opened, reader.closed, _TEXTS)


FORMAT = Format(name="trx", title="TRX (Visual Studio, dotnet test)", sniff=_sniff, parse=_parse)
