"""Reads the XML of xUnit.net: version 2 and 3 (``assemblies``) and version 1 (``assembly`` with classes).

Errors of an assembly or a collection (a clean-up that failed) are errors of their own. A name seen again is another
test: xUnit.net writes every test once, and shortens long parameters so that names may coincide.

Source of the format: https://xunit.net/docs/format-xml-v2 and https://xunit.net/docs/format-xml-v3
"""

from __future__ import annotations

import re

from ci_bridge.formats._distinct import Distinct
from ci_bridge.formats._dotnet import assembly_of, number_of, walk, without_class
from ci_bridge.formats._values import first_line
from ci_bridge.formats._xml import root_name
from ci_bridge.formats.plugin import Format, Limits, Sink, Source, seconds_of
from ci_bridge.models import Case, Outcome

_SNIFF_V1 = re.compile(rb"<assembly\s[^<>]*(?:test-framework|run-date|xunit|config-file)", re.IGNORECASE)
_OUTCOMES = {"pass": Outcome.PASSED, "fail": Outcome.FAILED, "skip": Outcome.SKIPPED, "notrun": Outcome.SKIPPED}
_TEXTS = frozenset(("message", "stack-trace", "output", "reason", "warning"))


class _Reader:
    def __init__(self, limits: Limits, sink: Sink) -> None:
        self._limit = limits.text
        self._sink = sink
        self._names = Distinct(limits.cases)
        self._suite: tuple[str, ...] = ()
        self._attributes: dict[str, str] = {}
        self._kind = ""  # of the failure
        self._red = self._claimed = 0  # failures in the open assembly
        self._texts: dict[str, str] = {}

    def opened(self, path: list[str], attributes: dict[str, str]) -> None:
        match path[-1]:
            case "assembly":
                self._suite = assembly_of(attributes.get("name", ""))
                self._red, self._claimed = 0, number_of(attributes, "failed") + number_of(attributes, "errors")
            case "test" | "error":
                self._attributes, self._texts, self._kind = attributes, {}, ""
            case "failure":
                self._kind = attributes.get("exception-type", "")

    def closed(self, path: list[str], text: str) -> None:
        tag = path[-1]
        if tag == "test":
            self._test()
        elif tag == "error":
            self._error()
        elif tag == "assembly":
            self._assembly()
        elif text and tag in _TEXTS:
            key = "reason" if tag == "message" and path[-2:-1] == ["reason"] else tag
            before = self._texts.get(key, "")
            if len(before) < self._limit:
                self._texts[key] = f"{before}\n{text}" if before else text

    def _assembly(self) -> None:
        """An assembly that says it failed is never green, whatever became of the tests that made it fail."""
        if self._claimed and not self._red:
            message = f"the assembly claims {self._claimed} failures and errors, but holds none"
            name = self._names.name(self._suite, "[assembly]")
            self._sink.add(Case(name=name, suite=self._suite, outcome=Outcome.ERROR, message=message))
        elif self._claimed > self._red:
            self._sink.note(f"an assembly claims {self._claimed} failures and errors, it holds {self._red}")

    def _test(self) -> None:
        attributes, texts = self._attributes, self._texts
        outcome = _OUTCOMES.get(attributes.get("result", "").lower(), Outcome.ERROR)
        classname = attributes.get("type", "")
        name = without_class(attributes.get("name", "") or attributes.get("method", ""), classname)
        name = self._names.name((self._suite, classname), name)
        seconds = seconds_of(attributes.get("time"), note=self._sink.note)
        file, line = attributes.get("source-file", ""), number_of(attributes, "source-line")
        if outcome is Outcome.PASSED and not texts:
            self._sink.passed(self._suite, classname, file, name, line, seconds)
            return
        message = texts.get("message", "")
        self._red += outcome in (Outcome.FAILED, Outcome.ERROR)
        if outcome is Outcome.SKIPPED:
            message = texts.get("reason", "") or ("not run" if attributes["result"].lower() == "notrun" else "")
        elif outcome is Outcome.ERROR:
            message = message or f"unknown result {attributes.get('result', '')[:40]!r}"
        self._sink.add(
            Case(
                name=name,
                suite=self._suite,
                classname=classname,
                file=file,
                line=line or None,
                outcome=outcome,
                duration=seconds,
                type=self._kind,
                message=first_line(message or texts.get("warning", "")),
                details=_details(message, texts) if outcome in (Outcome.FAILED, Outcome.ERROR) else "",
                output=texts.get("output", ""),
            )
        )

    def _error(self) -> None:
        kind, name = self._attributes.get("type", "error"), self._attributes.get("name", "")
        message = self._texts.get("message", "")
        self._red += 1
        self._sink.add(
            Case(
                name=self._names.name(self._suite, f"[{kind}] {name}".strip()),
                suite=self._suite,
                outcome=Outcome.ERROR,
                type=self._kind,
                message=first_line(message) or kind,
                details=_details(message, self._texts),
            )
        )


def _details(message: str, texts: dict[str, str]) -> str:
    return "\n".join(part for part in (message, texts.get("stack-trace", "")) if part)


def _sniff(head: bytes) -> bool:
    root = root_name(head)
    return root == "assemblies" or (root == "assembly" and _SNIFF_V1.search(head) is not None)


def _parse(source: Source, sink: Sink) -> None:
    reader = _Reader(source.limits, sink)
    walk(source, reader.opened, reader.closed, _TEXTS)


FORMAT = Format(name="xunit", title="xUnit.net XML", sniff=_sniff, parse=_parse)
