"""Reads Cucumber JSON, of every Cucumber and of behave.

The worst step decides: ``failed`` and ``ambiguous`` are failures, and so are ``undefined`` and ``pending``, because the
Cucumbers of today end with a failure for them (``strict`` has become the default or the only mode). A scenario whose
steps were skipped without a failure is skipped. Hooks count like steps; a background that is listed on its own belongs
to the scenario after it. The examples of an outline share their name, so their line is part of it, and so is that of
any two scenarios of one name. A scenario seen again in one feature is a further attempt (Cucumber for Ruby); in a
feature that the document has had before it is another test (another browser, another process).

Source of the fields: https://github.com/cucumber/cucumber-json-schema, and behave's ``formatter/json.py``, whose
durations are seconds where Cucumber's are nanoseconds.
"""

from __future__ import annotations

import re
from typing import Any

from ci_bridge.formats._values import (
    dict_of,
    dicts_of,
    duration_of,
    first_line,
    int_of,
    list_of,
    text_of,
    whole_cases,
)
from ci_bridge.formats.plugin import CappedText, Format, Part, Sink, Source
from ci_bridge.models import Case, Outcome

_SNIFF = re.compile(rb'\[\s*\{(?=.*"elements"\s*:\s*\[)(?=.*"keyword"\s*:)', re.DOTALL)
_FEATURE_WITHOUT_ELEMENTS = re.compile(rb'\[\s*\{\s*"(?:uri|keyword|line|id|description|name|tags|comments)"\s*:')
_GROUPS = {
    "failed": ("failed", "ambiguous", "undefined", "pending"),
    "error": ("error", "hook_error", "cleanup_error"),
    "skipped": ("skipped", "untested", "unknown", "disabled"),
}
_NANOSECONDS = 1e-9


class Steps:
    """Gathers the steps of one execution of a scenario.

    Args:
        limit: Characters of text to keep.
    """

    def __init__(self, limit: int) -> None:
        self.outcome = Outcome.PASSED
        self.seconds = 0.0
        self.type = ""
        self.message = ""
        self.details = CappedText(limit)
        self.output = CappedText(limit)

    def add(self, name: str, status: str, seconds: float, error: str = "") -> None:
        """Take a step or a hook.

        Args:
            name: Keyword and text of the step.
            status: The tool's word, in lower case.
            seconds: Its duration.
            error: Message and stack trace.
        """
        self.seconds += seconds
        outcome = outcome_of(status)
        if outcome is Outcome.PASSED:
            return
        if outcome is Outcome.SKIPPED:
            if self.outcome is Outcome.PASSED:
                self.outcome, self.message = outcome, first_line(error)
            return
        if self.outcome in (Outcome.PASSED, Outcome.SKIPPED):
            self.outcome, self.message = outcome, first_line(error) or f"{status} step"
            self.type = "" if status in ("failed", "error") else status
        self.details.append(f"{status}: {name}\n{error}\n" if error else f"{status}: {name}\n")

    def deliver(self, sink: Sink, suite: tuple[str, ...], file: str, name: str, line: int) -> None:
        """Hand over what became of the scenario. ``line`` is 0 where unknown."""
        if self.outcome is Outcome.PASSED and not str(self.output):
            sink.passed(suite, "", file, name, line, self.seconds)
            return
        sink.add(
            Case(
                name=name,
                suite=suite,
                file=file,
                line=line or None,
                outcome=self.outcome,
                duration=self.seconds,
                type=self.type,
                message=self.message,
                details=str(self.details),
                output=str(self.output),
            )
        )


def outcome_of(status: str) -> Outcome:
    """The outcome that a step's or scenario's status stands for; an unknown word is an error, never green."""
    if status == "passed":
        return Outcome.PASSED
    for outcome, words in _GROUPS.items():
        if status in words:
            return Outcome(outcome)
    return Outcome.ERROR


class _Reader:
    def __init__(self, source: Source, sink: Sink) -> None:
        self._limit = source.limits.text
        self._sink = sink
        self._features: set[tuple[str, str]] = set()

    def document(self, document: object) -> None:
        for feature in list_of(document):
            if isinstance(feature, dict):
                self._feature(feature)

    def _feature(self, feature: dict[str, Any]) -> None:
        file, _ = _place(feature)
        title = text_of(feature.get("name"))
        self._sink.part(Part() if (file, title) in self._features else None)
        self._features.add((file, title))
        elements = list(dicts_of(feature.get("elements")))
        lines: dict[str, set[int]] = {}
        for element in elements:
            lines.setdefault(text_of(element.get("name")), set()).add(_place(element)[1])
        background: list[object] = []
        for element in elements:
            if element.get("type") == "background" or element.get("keyword") == "Background":
                background = list_of(element.get("steps"))
                continue
            name, line = text_of(element.get("name")), _place(element)[1]
            if len(lines[name]) > 1 or (element.get("location") is None and _is_outline(element)):
                name = f"{name} (line {line})"
            self._scenario((title,) if title else (), file, name or f"line {line}", line, element, background)
            background = []

    def _scenario(
        self,
        suite: tuple[str, ...],
        file: str,
        name: str,
        line: int,
        element: dict[str, Any],
        background: list[object],
    ) -> None:
        steps = Steps(self._limit)
        unit = _NANOSECONDS if element.get("location") is None else 1.0
        if unit == 1.0:
            background = []  # behave repeats these steps in every scenario
        for step in [*list_of(element.get("before")), *background, *list_of(element.get("steps"))]:
            self._step(steps, dict_of(step), unit)
        for step in list_of(element.get("after")):
            self._step(steps, dict_of(step), unit)
        status = text_of(element.get("status")).lower()
        if status and steps.outcome in (Outcome.PASSED, Outcome.SKIPPED) and outcome_of(status) is not steps.outcome:
            steps.add("scenario", status, 0.0)  # a hook failed, or nothing was run
        steps.deliver(self._sink, suite, file, name, line)

    def _step(self, steps: Steps, step: dict[str, Any], unit: float) -> None:
        for hook in [*dicts_of(step.get("before")), *dicts_of(step.get("after"))]:
            self._result(steps, "step hook", dict_of(hook.get("result")), unit)
        for text in list_of(step.get("output")):
            steps.output.append(text_of(text) + "\n")
        name = f"{text_of(step.get('keyword')).strip()} {text_of(step.get('name'))}".strip()
        if step.get("result") is not None:
            self._result(steps, name, dict_of(step.get("result")), unit)

    def _result(self, steps: Steps, name: str, result: dict[str, Any], unit: float) -> None:
        error = result.get("error_message")
        text = "\n".join(text_of(line) for line in error) if isinstance(error, list) else text_of(error)
        steps.add(name, text_of(result.get("status")).lower(), duration_of(result.get("duration"), unit), text)


def _is_outline(element: dict[str, Any]) -> bool:
    keyword = text_of(element.get("keyword"))
    return keyword in ("Scenario Outline", "Scenario Template") or ";;" in text_of(element.get("id"))


def _place(item: dict[str, Any]) -> tuple[str, int]:
    """File and line: ``uri`` and ``line``, or behave's ``location``."""
    if "uri" not in item and isinstance(location := item.get("location"), str):
        file, _, line = location.rpartition(":")
        return file, int(line) if re.fullmatch(r"[0-9]{1,9}", line) else 0
    return text_of(item.get("uri")), int_of(item.get("line"))


def _sniff(head: bytes) -> bool:
    if not head.startswith(b"["):
        return False
    if _SNIFF.match(head):
        return True
    return _FEATURE_WITHOUT_ELEMENTS.match(head) is not None and b'"Feature"' in head


def _parse(source: Source, sink: Sink) -> None:
    whole_cases(source, _Reader(source, sink).document)


FORMAT = Format(name="cucumber", title="Cucumber JSON", sniff=_sniff, parse=_parse)
