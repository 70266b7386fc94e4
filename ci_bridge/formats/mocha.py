"""Reads the reports of Mocha's ``json`` reporter and of mochawesome, which Cypress writes too.

Mocha keeps the number of retries, not what they said: each becomes a failed attempt without a text. A hook that failed
is listed among the failures and counts as an error. Two tests with one title are two tests.

Source of the fields: ``lib/reporters/json.js`` of Mocha, ``src/utils.js`` of mochawesome.
"""

from __future__ import annotations

import re
from typing import Any

from ci_bridge.errors import ResultsError
from ci_bridge.formats._distinct import Distinct
from ci_bridge.formats._values import (
    dict_of,
    dicts_of,
    duration_of,
    first_line,
    int_of,
    text_of,
    whole_cases,
)
from ci_bridge.formats.plugin import Format, Sink, Source
from ci_bridge.models import Attempt, Case, Outcome

_SNIFF = re.compile(rb'\{\s*"stats"\s*:\s*\{(?=[^{}]*"(?:suites|tests)"\s*:)(?=[^{}]*"passes"\s*:)')
_MILLISECONDS = 1e-3
_MOST_ATTEMPTS = 20
_TYPE = re.compile(r"([A-Z]\w{0,100}(?:Error|Exception|Failure))\b")


class _Reader:
    def __init__(self, source: Source, sink: Sink) -> None:
        self._depth = source.limits.depth
        self._sink = sink
        self._names = Distinct(source.limits.cases)
        self._seen = 0

    def document(self, document: object) -> None:
        report = dict_of(document)
        if isinstance(report.get("results"), list):
            for suite in dicts_of_all(report.get("results")):
                self._mochawesome(suite)
        else:
            for group, outcome in (
                ("passes", Outcome.PASSED),
                ("failures", Outcome.FAILED),
                ("pending", Outcome.SKIPPED),
            ):
                for test in dicts_of(report.get(group)):
                    self._mocha(test, outcome)
        stats = dict_of(report.get("stats"))
        total = sum(int_of(stats.get(name)) for name in ("passes", "failures", "pending", "skipped"))
        if total != self._seen:
            self._sink.note(f"the statistics say {total} tests, the report holds {self._seen}")

    def _mocha(self, test: dict[str, Any], outcome: Outcome) -> None:
        title, full = text_of(test.get("title")), text_of(test.get("fullTitle"))
        suite = full.removesuffix(title).strip()
        self._test((suite,) if suite else (), text_of(test.get("file")), title or full, outcome, test)

    def _mochawesome(self, root: dict[str, Any]) -> None:
        """Walk the suites in their order, with a stack of our own, because nothing bounds their depth but the file."""
        stack: list[tuple[dict[str, Any], tuple[str, ...], str]] = [(root, (), "")]
        while stack:
            suite, titles, file = stack.pop()
            if len(titles) > self._depth:
                raise ResultsError(f"suites are nested more than {self._depth} deep")
            if title := text_of(suite.get("title")):
                titles = (*titles, title)
            file = text_of(suite.get("file")).lstrip("/\\") or file
            for group in ("beforeHooks", "tests", "afterHooks"):
                for test in dicts_of(suite.get(group)):
                    outcome = _state(test)
                    if group == "tests" or outcome is Outcome.FAILED:
                        self._test(titles, file, text_of(test.get("title")), outcome, test)
            stack.extend((inner, titles, file) for inner in reversed(list(dicts_of_all(suite.get("suites")))))

    def _test(self, suite: tuple[str, ...], file: str, title: str, outcome: Outcome, test: dict[str, Any]) -> None:
        self._seen += 1
        name = self._names.name((suite, file), title)
        seconds = duration_of(test.get("duration"), _MILLISECONDS)
        error = dict_of(test.get("err"))
        retries = min(int_of(test.get("currentRetry")), _MOST_ATTEMPTS)
        if outcome is Outcome.PASSED and not retries:
            self._sink.passed(suite, "", file, name, 0, seconds)
            return
        stack = text_of(error.get("stack")) or text_of(error.get("estack"))
        message = first_line(text_of(error.get("message")) or stack)
        if outcome is Outcome.FAILED and (test.get("isHook") is True or re.search(r'^"\w+ \w+" hook\b', title)):
            outcome = Outcome.ERROR
        kind = text_of(error.get("name")) or (match[1] if (match := _TYPE.match(stack)) else "")
        diff = text_of(error.get("diff"))
        self._sink.add(
            Case(
                name=name,
                suite=suite,
                file=file,
                outcome=outcome,
                duration=seconds,
                type=kind,
                message=message,
                details=f"{stack}\n\n{diff}" if diff and stack else stack or diff,
                attempts=(Attempt(Outcome.FAILED, message="failed and was retried; Mocha keeps no more of it"),)
                * retries,
            )
        )


def dicts_of_all(value: object) -> list[dict[str, Any]]:
    """The objects of an array, also one that the end of the document cut off: its whole members count."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _state(test: dict[str, Any]) -> Outcome:
    if test.get("fail") is True or test.get("state") == "failed":
        return Outcome.FAILED
    if test.get("pass") is True or test.get("state") == "passed":
        return Outcome.PASSED
    return Outcome.SKIPPED


def _sniff(head: bytes) -> bool:
    return _SNIFF.match(head) is not None


def _parse(source: Source, sink: Sink) -> None:
    whole_cases(source, _Reader(source, sink).document)


FORMAT = Format(name="mocha", title="Mocha JSON", sniff=_sniff, parse=_parse)
