"""Reads the output of ``go test -json`` (test2json), of gotestsum's ``--jsonfile`` too.

A test with subtests is a case beside its subtests, as gotestsum and go-junit-report count. A package that fails
without a failing test (a build that broke, a panic in ``init``, ``os.Exit``) is an error of its own, and so is a test
that began but never ended. The same test in a further run of its package (gotestsum's ``--rerun-fails``) is a further
attempt. Again in the same run (``-count``) it is no retry: Go fails if one execution fails, so the failure counts.

Source of the events: ``go doc test2json`` and ``go help buildjson``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ci_bridge.errors import ResultsError
from ci_bridge.formats._values import check_running, duration_of, first_line, read_events, text_of
from ci_bridge.formats.plugin import CappedText, Format, Sink, Source
from ci_bridge.models import Case, Outcome

_SNIFF = re.compile(
    rb'^\s*\{(?=[^\n]*"Action"\s*:\s*"(?:start|run|pause|cont|pass|bench|fail|output|skip|build-output|build-fail)")'
    rb'(?=[^\n]*"(?:Package|ImportPath|Time|Test|Output)"\s*:)',
    re.MULTILINE,
)
_FRAME = re.compile(r"\s*(?:=== (?:RUN|PAUSE|CONT|NAME)\b|--- (?:PASS|FAIL|SKIP|BENCH): )")
_RUN_LINE = re.compile(r"(?:FAIL\t(\S+)(?: \[([a-z ]+ failed)\])|#\s(\S+))")
_ENDS = {"pass": Outcome.PASSED, "bench": Outcome.PASSED, "fail": Outcome.FAILED, "skip": Outcome.SKIPPED}
_NEVER_ENDED = "the test began but never ended (a panic, os.Exit or a time-out)"


@dataclass(slots=True)
class _Test:
    text: CappedText
    failed_children: int = 0


@dataclass(slots=True)
class _Package:
    output: CappedText
    running: dict[str, _Test] = field(default_factory=dict)
    red: bool = False
    failed: set[str] = field(default_factory=set)


class _Reader:
    def __init__(self, source: Source, sink: Sink) -> None:
        self._limit = source.limits.text
        self._sink = sink
        self._packages: dict[str, _Package] = {}
        self._builds: dict[str, CappedText] = {}  # what the compiler said
        self._failed_builds: list[str] = []
        self._broken: set[str] = set()  # what is reported already

    def event(self, event: dict[str, Any]) -> None:
        action = text_of(event.get("Action"))
        if action.startswith("build-"):
            self._build(action, text_of(event.get("ImportPath")), text_of(event.get("Output")))
            return
        name, path = text_of(event.get("Test")), text_of(event.get("Package"))
        if not action:
            return
        package = self._packages.get(path)
        if package is None:
            check_running(len(self._packages))
            package = self._packages[path] = _Package(CappedText(self._limit))
        if name:
            self._test_event(package, path, name, action, event)
        elif action == "output":
            package.output.append(text_of(event.get("Output")))
        elif action in _ENDS:
            self._close(path, package, action, duration_of(event.get("Elapsed")), text_of(event.get("FailedBuild")))

    def line(self, line: str) -> None:
        """A line that is no event: Go before 1.24 reports a broken build in plain text."""
        if (match := _RUN_LINE.match(line)) and match[1] and match[1] not in self._broken:
            self._broken.add(match[1])
            self._error(match[1], f"[{match[2]}]", f"{match[1]}: {match[2]}", "", 0.0)

    def close(self) -> None:
        unfinished = len(self._packages)
        for path, package in self._packages.items():
            self._never_ended(path, package)
        for path in self._failed_builds:
            if path not in self._broken:
                output = str(self._builds[path])
                package_path = path.partition(" ")[0]  # "shop/cart [shop/cart.test]"
                self._error(package_path, "[build failed]", first_line(_without_header(output)), output, 0.0)
        if unfinished:
            raise ResultsError(f"the output ends before {unfinished} of its packages have finished")

    def _test_event(self, package: _Package, path: str, name: str, action: str, event: dict[str, Any]) -> None:
        test = package.running.get(name)
        if action == "output":
            text = text_of(event.get("Output"))
            if _FRAME.match(text):
                return
            if test is None:  # a test's last words may come after its end
                package.output.append(text)
            else:
                test.text.append(text)
        elif action in _ENDS:
            package.running.pop(name, None)
            self._ended(package, path, name, test, _ENDS[action], duration_of(event.get("Elapsed")))
        elif action == "run" and test is None:
            check_running(len(package.running))
            package.running[name] = _Test(CappedText(self._limit))

    def _ended(
        self, package: _Package, path: str, name: str, test: _Test | None, outcome: Outcome, seconds: float
    ) -> None:
        text = str(test.text) if test is not None else ""
        if name in package.failed and outcome is not Outcome.FAILED:
            return
        if outcome is Outcome.PASSED:
            if text:
                self._sink.add(Case(name=name, classname=path, duration=seconds, output=text))
            else:
                self._sink.passed((), path, "", name, 0, seconds)
            return
        kind, message = "", first_line(text)
        if outcome is Outcome.FAILED:
            package.red = True
            package.failed.add(name)
            parent = package.running.get(name.rpartition("/")[0])
            if parent is not None:
                parent.failed_children += 1
            if panic := re.search(r"^panic: .{0,1000}", text, re.MULTILINE):
                kind, message = "panic", panic[0]
            elif test is not None and test.failed_children and not message:
                message = f"{test.failed_children} of its subtests failed"
        self._sink.add(
            Case(name=name, classname=path, outcome=outcome, duration=seconds, type=kind, message=message, details=text)
        )

    def _build(self, action: str, path: str, output: str) -> None:
        texts = self._builds.setdefault(path, CappedText(self._limit))
        if action == "build-fail":
            self._failed_builds.append(path)
        else:
            texts.append(output)

    def _close(self, path: str, package: _Package, action: str, seconds: float, failed_build: str) -> None:
        del self._packages[path]
        self._never_ended(path, package)
        if action != "fail" or package.red or path in self._broken:
            if failed_build:
                self._broken.add(failed_build)
            return
        output = str(package.output)
        if failed_build:
            self._broken.add(failed_build)
            build = str(self._builds.get(failed_build, ""))
            self._error(path, "[build failed]", first_line(_without_header(build)), build + output, seconds)
        elif match := re.search(r"\[(\w{1,20} failed)\]", output):
            self._error(path, f"[{match[1]}]", match[1], output, seconds)
        else:
            self._error(path, "[package failed]", first_line(output), output, seconds)

    def _never_ended(self, path: str, package: _Package) -> None:
        for name, test in package.running.items():
            text = str(test.text)
            if name.startswith("Benchmark") and "ns/op" in text:  # a benchmark that is done has no event of its own
                self._sink.add(Case(name=name, classname=path, output=text))
                continue
            package.red = True
            panic = re.search(r"^panic: .{0,1000}", text, re.MULTILINE)
            self._error(path, name, panic[0] if panic else _NEVER_ENDED, text, 0.0)

    def _error(self, path: str, name: str, message: str, details: str, seconds: float) -> None:
        self._sink.add(
            Case(
                name=name, classname=path, outcome=Outcome.ERROR, duration=seconds, message=message, details=details
            )
        )  # fmt: skip


def _without_header(output: str) -> str:
    """The compiler's output without the line that only names the package."""
    return output.partition("\n")[2] if output.startswith("# ") else output


def _sniff(head: bytes) -> bool:
    match = _SNIFF.search(head)
    return match is not None and b"$report_type" not in head[: match.end() + 200]


def _parse(source: Source, sink: Sink) -> None:
    reader = _Reader(source, sink)
    read_events(source, sink, reader.event, reader.close, '"Action":"', reader.line)


FORMAT = Format(name="gotest", title="go test -json", sniff=_sniff, parse=_parse)
