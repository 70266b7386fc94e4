"""Reads the XML of NUnit 3 (``test-run``) and NUnit 2 (``test-results``).

A set-up or tear-down of a whole fixture that failed, and an assembly that could not be loaded, are errors of their own.
Inconclusive, ignored and explicit tests are skipped. A name seen again is another test: NUnit writes every test once.

Source of the format: https://docs.nunit.org/articles/nunit/technical-notes/usage/Test-Result-XML-Format.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ci_bridge.formats._distinct import Distinct
from ci_bridge.formats._dotnet import assembly_of, number_of, split_full_name, walk, without_class
from ci_bridge.formats._values import first_line
from ci_bridge.formats._xml import root_name
from ci_bridge.formats.plugin import Format, Limits, Sink, Source, seconds_of
from ci_bridge.models import Case, Outcome

_OUTCOMES = {
    "passed": Outcome.PASSED,
    "success": Outcome.PASSED,
    "warning": Outcome.PASSED,
    "failed": Outcome.FAILED,
    "failure": Outcome.FAILED,
    "error": Outcome.ERROR,
    "cancelled": Outcome.ERROR,
    "invalid": Outcome.ERROR,
    "notrunnable": Outcome.ERROR,
    "skipped": Outcome.SKIPPED,
    "ignored": Outcome.SKIPPED,
    "explicit": Outcome.SKIPPED,
    "inconclusive": Outcome.SKIPPED,
}
_TEXTS = frozenset(("message", "stack-trace", "output"))
_SUMS_UP = "one or more child tests"  # what NUnit says of a suite whose tests failed
_OWNERS = frozenset(("test-case", "test-suite"))


@dataclass(slots=True)
class _Node:
    """A suite or a case that is open."""

    attributes: dict[str, str]
    red: int = 0
    texts: dict[str, str] = field(default_factory=dict)


class _Reader:
    def __init__(self, limits: Limits, sink: Sink) -> None:
        self._sink = sink
        self._names = Distinct(limits.cases)
        self._assembly: tuple[str, ...] = ()
        self._nodes: list[_Node] = []

    def opened(self, path: list[str], attributes: dict[str, str]) -> None:
        tag = path[-1]
        if tag in _OWNERS or tag in ("test-run", "test-results"):
            self._nodes.append(_Node(attributes))
        if tag == "test-results" or (tag == "test-suite" and attributes.get("type", "").lower() == "assembly"):
            self._assembly = assembly_of(attributes.get("fullname") or attributes.get("name", ""))

    def closed(self, path: list[str], text: str) -> None:
        tag = path[-1]
        if tag in _OWNERS:
            node = self._nodes.pop()
            red = self._case(node) if tag == "test-case" else self._suite(node)
            if self._nodes:
                self._nodes[-1].red += red
        elif tag in ("test-run", "test-results"):
            self._run(self._nodes.pop())
        elif text and self._nodes:
            parent = path[-2] if len(path) > 1 else ""
            key = f"{parent}/{tag}" if parent in ("failure", "reason") else tag
            if parent in ("failure", "reason") or parent in _OWNERS:
                self._nodes[-1].texts.setdefault(key, text)

    def _run(self, node: _Node) -> None:
        """A document that says it failed is never green, whatever became of the tests that made it fail."""
        attributes = node.attributes
        claimed = sum(number_of(attributes, key) for key in ("failed", "failures", "errors"))
        is_red = attributes.get("result", "").lower() in ("failed", "failure", "error", "cancelled", "invalid")
        if node.red or not (claimed or is_red):
            if claimed > node.red:
                self._sink.note(f"the document claims {claimed} failures, it holds {node.red}")
            return
        message = f"the run ended as {attributes.get('result') or f'{claimed} failures'} without a failing test"
        self._sink.add(Case(name=self._names.name((), "[run]"), outcome=Outcome.ERROR, message=message))

    def _case(self, node: _Node) -> int:
        attributes, texts = node.attributes, node.texts
        outcome, word = _outcome(attributes)
        full = attributes.get("fullname") or attributes.get("name", "")
        classname = attributes.get("classname", "")
        if classname:
            name = without_class(attributes.get("name", "") or full, classname)
        else:
            classname, name = split_full_name(full)
        name = self._names.name((self._assembly, classname), name)
        seconds = seconds_of(attributes.get("duration") or attributes.get("time"), note=self._sink.note)
        if outcome is Outcome.PASSED and not texts:
            self._sink.passed(self._assembly, classname, "", name, 0, seconds)
            return 0
        red = outcome in (Outcome.FAILED, Outcome.ERROR)
        failure, reason = texts.get("failure/message", ""), texts.get("reason/message", "")
        message = (failure or reason) if red else (reason or failure)
        if not message and outcome is not Outcome.PASSED:
            message = word
        kind, colon, _ = first_line(failure).partition(" :")
        self._sink.add(
            Case(
                name=name,
                suite=self._assembly,
                classname=classname,
                outcome=outcome,
                duration=seconds,
                type=kind if colon and kind.endswith(("Exception", "Error")) and red else "",
                message=first_line(message),
                details=_details(texts) if red else "",
                output=texts.get("output", ""),
            )
        )
        return int(red)

    def _suite(self, node: _Node) -> int:
        """A suite that failed by itself, not because of the tests in it, becomes an error."""
        attributes, texts = node.attributes, node.texts
        outcome, word = _outcome(attributes)
        if outcome not in (Outcome.FAILED, Outcome.ERROR):
            return node.red
        site, message = attributes.get("site", ""), texts.get("failure/message") or texts.get("reason/message", "")
        own = site in ("SetUp", "TearDown") or (bool(message) and not message.lower().startswith(_SUMS_UP))
        if not own and node.red:
            return node.red
        label = {"SetUp": "[OneTimeSetUp]", "TearDown": "[OneTimeTearDown]"}.get(site, "[suite]")
        classname = attributes.get("fullname") or attributes.get("name", "")
        if attributes.get("type", "").lower() in ("assembly", "project", "test project"):
            classname = ""
        self._sink.add(
            Case(
                name=self._names.name((self._assembly, classname), label),
                suite=self._assembly,
                classname=classname,
                outcome=Outcome.ERROR,
                message=first_line(message) or word,
                details=_details(texts),
                output=texts.get("output", ""),
            )
        )
        return node.red + 1


def _outcome(attributes: dict[str, str]) -> tuple[Outcome, str]:
    """Outcome and the tool's word for it; the label refines the result (``Failed`` with label ``Error``)."""
    result, label = attributes.get("result", ""), attributes.get("label", "")
    if not result:  # NUnit before 2.5
        if attributes.get("executed", "").lower() == "false":
            return Outcome.SKIPPED, "not executed"
        passed = attributes.get("success", "").lower() == "true"
        return (Outcome.PASSED if passed else Outcome.FAILED), ""
    outcome = _OUTCOMES.get(result.lower(), Outcome.ERROR)
    if outcome is Outcome.FAILED:
        outcome = _OUTCOMES.get(label.lower(), Outcome.FAILED)
    return outcome, label or result


def _details(texts: dict[str, str]) -> str:
    message = texts.get("failure/message") or texts.get("reason/message", "")
    return "\n".join(part for part in (message, texts.get("failure/stack-trace", "")) if part)


def _sniff(head: bytes) -> bool:
    root = root_name(head)
    return root == "test-results" or (root == "test-run" and b"<test-run" in head)


def _parse(source: Source, sink: Sink) -> None:
    reader = _Reader(source.limits, sink)
    walk(source, reader.opened, reader.closed, _TEXTS)


FORMAT = Format(name="nunit", title="NUnit XML", sniff=_sniff, parse=_parse)
