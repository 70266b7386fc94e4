"""Reads the Common Test Report Format (https://ctrf.io): one JSON document, written by reporters of many frameworks.

Source of the fields: the JSON schema of the CTRF specification; older reporters write a suite as one string. Durations
are milliseconds, whatever the option ``time_unit`` says. A name seen again is another test: the format has a place for
retries.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ci_bridge.formats._distinct import Distinct
from ci_bridge.formats._values import dict_of, dicts_of, int_of, list_of, text_of, whole_cases
from ci_bridge.formats.plugin import Format, Sink, Source, seconds_of
from ci_bridge.models import Attempt, Case, Outcome

_SNIFF = re.compile(
    rb'\{\s*(?:"[^"]{1,40}"\s*:\s*(?:"[^"]{0,1000}"|\{[^{}]{0,10000}\}|-?[0-9]+)\s*,\s*)*"results"\s*:\s*\{'
)
_MARK = re.compile(rb'"reportFormat"\s*:\s*"CTRF"')
_FIELDS = re.compile(rb'"(?:tool|summary|tests)"\s*:')
_MOST_ATTEMPTS = 20

_OUTCOMES = {
    "passed": Outcome.PASSED,
    "failed": Outcome.FAILED,
    "skipped": Outcome.SKIPPED,
    "pending": Outcome.SKIPPED,
}
# What reporters call ``other``, by the word that their tool uses for it.
_RAW = {
    **dict.fromkeys(("error", "errored", "broken", "crashed", "timedout", "timeout", "interrupted"), Outcome.ERROR),
    **dict.fromkeys(("failed", "fail", "failure"), Outcome.FAILED),
    **dict.fromkeys(("todo", "disabled", "focus", "ignored", "notrun", "unknown", "did not run"), Outcome.SKIPPED),
}


class _Reader:
    def __init__(self, source: Source, sink: Sink) -> None:
        self._depth = source.limits.depth
        self._sink = sink
        self._names = Distinct(source.limits.cases)

    def document(self, document: object) -> None:
        results = dict_of(dict_of(document).get("results"))
        tests = list_of(results.get("tests"))
        count = red = 0
        for test in dicts_of(tests):
            count += 1
            case = self._case(test)
            red += case.is_failure
            self._sink.add(case)
        summary = dict_of(results.get("summary"))
        for key, found, what in (("tests", count, "tests"), ("failed", red, "failures")):
            claimed = summary.get(key)
            if isinstance(claimed, int) and (claimed > found if key == "failed" else claimed != found):
                self._sink.note(f"the summary claims {claimed} {what}, the document holds {found}")

    def _case(self, test: dict[str, Any]) -> Case:
        outcome = _outcome_of(test)
        extra = dict_of(test.get("extra"))
        suite = test.get("suite")
        path = [suite] if isinstance(suite, str) else [text_of(part) for part in list_of(suite)[: self._depth]]
        # One test in three browsers is three tests; a browser's version would make a new test of each update.
        path += [text_of(test.get(key)).split(" ")[0] for key in ("browser", "device")]
        scope = tuple(filter(None, path)), text_of(extra.get("classname")), text_of(test.get("filePath"))
        return Case(
            name=self._names.name(scope, text_of(test.get("name")) + _parameters(test)), classname=scope[1],
            suite=scope[0], file=scope[2], line=int_of(test.get("line")) or None,
            outcome=outcome, duration=self._seconds(test), type=text_of(extra.get("type")),
            message=text_of(test.get("message")), details=_details(test), output=_lines(test.get("stdout")),
            error_output=_lines(test.get("stderr")), attempts=self._attempts(test, outcome),
        )  # fmt: skip

    def _seconds(self, holder: dict[str, Any]) -> float:
        value = holder.get("duration")
        usable = isinstance(value, int | float | str) and not isinstance(value, bool)
        return seconds_of(value if usable else None, "milliseconds", self._sink.note)

    def _attempts(self, test: dict[str, Any], outcome: Outcome) -> tuple[Attempt, ...]:
        """The earlier attempts. The list holds the last one too in some reporters, and is absent in most."""
        retries = min(int_of(test.get("retries")), _MOST_ATTEMPTS)
        listed = list(dicts_of(test.get("retryAttempts")))
        listed.sort(key=lambda attempt: int_of(attempt.get("attempt")))
        if listed and len(listed) > retries and _outcome_of(listed[-1]) is outcome:
            del listed[-1]
        if listed:
            return tuple(
                Attempt(
                    _outcome_of(attempt), self._seconds(attempt), text_of(dict_of(attempt.get("extra")).get("type")),
                    text_of(attempt.get("message")),
                    _details(attempt), _lines(attempt.get("stdout")), _lines(attempt.get("stderr")),
                )
                for attempt in listed
            )  # fmt: skip
        if outcome is Outcome.SKIPPED:
            return ()
        return (Attempt(Outcome.FAILED),) * (retries or (test.get("flaky") is True and outcome is Outcome.PASSED))


def _outcome_of(holder: dict[str, Any]) -> Outcome:
    """The outcome; what is neither passed nor skipped for a known reason is never green."""
    status = text_of(holder.get("status")).lower()
    word = text_of(holder.get("rawStatus")) or text_of(dict_of(holder.get("extra")).get("rawStatus"))
    raw = _RAW.get(word.lower())
    outcome = _OUTCOMES.get(status)
    if outcome is Outcome.FAILED and raw is Outcome.ERROR:
        return raw
    return outcome or raw or Outcome.ERROR


def _details(holder: dict[str, Any]) -> str:
    return "\n\n".join(filter(None, (text_of(holder.get("trace")), text_of(holder.get("snippet")))))


def _lines(value: object) -> str:
    return value if isinstance(value, str) else "\n".join(text_of(line) for line in list_of(value))


def _parameters(test: dict[str, Any]) -> str:
    """Parameters that the name does not show already, so that two parametrised tests stay two."""
    name = text_of(test.get("name"))
    shown = []
    for key, value in dict_of(test.get("parameters")).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if text not in name:
            shown.append(f"{key}={text}")
    return f" [{', '.join(shown)}]" if shown else ""


def sniff(head: bytes) -> bool:
    """True for the mark of the format, or for an object ``results`` with the fields that it has."""
    return head.startswith(b"{") and (
        _MARK.search(head, 0, 1000) is not None or (_SNIFF.match(head) is not None and _FIELDS.search(head) is not None)
    )


def parse(source: Source, sink: Sink) -> None:
    """Read a document.

    Raises:
        ResultsError: It is damaged, too large or nested too deep; the tests before the damage were delivered.
    """
    whole_cases(source, _Reader(source, sink).document)


FORMAT = Format(name="ctrf", title="CTRF JSON", sniff=sniff, parse=parse)
