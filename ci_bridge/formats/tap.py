"""Reads TAP, the Test Anything Protocol, versions 12 to 14, with nested subtests and YAML diagnostics.

A test point that only sums up its subtests is no case of its own, unless it failed although none of them did. A plan
that does not hold, a missing plan (cut output) and ``Bail out!`` are errors of their own, so that none of them is
green. ``not ok … # TODO`` is an expected failure and counts as skipped. A description seen again is another test, not
another attempt; the file's own name is the outermost suite, because nothing in TAP names the script.

Source of the grammar: https://testanything.org/tap-version-14-specification.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from ci_bridge.errors import ResultsError
from ci_bridge.formats._distinct import Distinct
from ci_bridge.formats._values import first_line
from ci_bridge.formats.plugin import CappedText, Format, Sink, Source, lines, seconds_of
from ci_bridge.models import Case, Outcome

_POINT = re.compile(r"(not )?ok(?![^ \t])(?: ([0-9]{1,9})\b)?(?:[ \t]+-(?=[ \t]|$))?(.*)", re.DOTALL)
_PLAN = re.compile(r"1\.\.([0-9]{1,9})(?:\s*#(.*))?\s*", re.DOTALL)
_BAIL_OUT = re.compile(r"Bail out!(.*)", re.IGNORECASE | re.DOTALL)
_DIRECTIVE = re.compile(r"#[ \t]{0,8}(?:(skip[a-z]{0,8}|todo)(?![a-z])|time=([0-9.]{1,20}[a-z]{0,2})$)", re.IGNORECASE)
_BATS_TIMING = re.compile(r" in ([0-9]{1,9})ms$")
_SNIFF_FIRST = re.compile(rb"TAP version 1[0-9]\b|1\.\.[0-9]+[ \t]*(?:#.*)?\r?$|(?:not )?ok 1\b", re.MULTILINE)
_SNIFF_VERSION = re.compile(rb"^TAP version 1[0-9]\r?$", re.MULTILINE)
_SNIFF_PLAN = re.compile(rb"^1\.\.[0-9]+\r?$", re.MULTILINE)
_SNIFF_POINT = re.compile(rb"^(?:not )?ok [0-9]+\b", re.MULTILINE)
_SNIFF_WINDOW = 8192
_ESCAPED = re.compile(r"\\([\\#])")
_STEP = 4
_MOST_FIELDS = 100
_YAML_KEY = re.compile(r"(\w{1,40}):[ \t]*(.*)", re.DOTALL)


@dataclass(slots=True)
class _Point:
    """A test point whose diagnostics may still follow."""

    ok: bool
    name: str
    directive: str
    reason: str
    seconds: float
    text: CappedText
    buffered: bool = False
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Level:
    """One nesting level: the document itself or a subtest.

    Attributes:
        plan: Sum of its plans; several streams may be joined in one file. None before the first plan.
        points: Its own test points.
        cases: Cases delivered from it and from what is in it. red: those of them that failed.
        open_cases: Cases of closed subtests that no test point has summed up yet. open_red: likewise.
        title: Name of the subtest that comes next.
        held: The last test point, until nothing more can be said of it.
    """

    plan: int | None = None
    points: int = 0
    cases: int = 0
    red: int = 0
    open_cases: int = 0
    open_red: int = 0
    title: str = ""
    held: _Point | None = None


class _Reader:
    def __init__(self, source: Source, sink: Sink) -> None:
        self._sink = sink
        self._limits = source.limits
        self._script = PurePath(source.path.replace("\\", "/")).stem
        self._names = Distinct(source.limits.cases)
        self._levels = [_Level()]
        self._bailed = False
        self._strange = 0

    def read(self, texts: Iterator[str]) -> None:
        for line in texts:
            body = line.lstrip(" ")
            if not body:
                continue
            indent = len(line) - len(body)
            held = self._levels[-1].held
            level = len(self._levels) - 1
            if held is not None and body.rstrip() == "---" and 1 <= indent - level * _STEP <= 3:
                self._diagnostics(held, texts, indent)
            elif indent % _STEP or not self._structure(indent // _STEP, body):
                self._other(line, body)
        self._finish()

    def _structure(self, depth: int, body: str) -> bool:
        """Take a line of TAP at its depth; False if it is none."""
        if depth >= self._limits.depth:
            raise ResultsError(f"subtests are nested more than {self._limits.depth} deep")
        if body[0] == "#":
            if not body.startswith("# Subtest"):
                return False
            self._climb(depth)
            level = self._levels[-1]
            if level.held is None or not level.held.buffered:
                self._flush(level)
            if depth == len(self._levels) and level.title:  # the first test of a subtest that is announced already
                level = _Level()
                self._levels.append(level)
            level.title = _unescape(body[9:].lstrip(": ").strip())
            return True
        if body[0] == "}" and body.rstrip() == "}" and depth < len(self._levels):
            self._climb(depth)
            self._flush(self._levels[-1])
            return True
        match = point = _POINT.fullmatch(body) if body[0] in "on" else None
        match = match or _PLAN.fullmatch(body) or _BAIL_OUT.fullmatch(body)
        if match is None:
            return body.startswith(("TAP version ", "pragma ")) and depth == 0
        if depth > len(self._levels):  # deeper than any subtest can be here: output of a test
            return False
        self._climb(depth)
        if depth == len(self._levels):
            parent = self._levels[-1]
            if parent.held is not None and not parent.held.buffered:
                self._flush(parent)
            self._levels.append(_Level())
        level = self._levels[-1]
        self._flush(level)
        if point is not None:
            self._point(level, point)
        elif match.re is _PLAN:
            self._plan(level, int(match[1]), (match[2] or "").strip())
        else:
            self._bailed = True
            self._error("[Bail out!]", match[1].strip() or "the tests bailed out")
        return True

    def _climb(self, depth: int) -> None:
        """Close the subtests that are deeper than ``depth`` and hand their counts to the level above."""
        while len(self._levels) - 1 > depth:
            done = self._levels[-1]
            self._flush(done)
            if done.plan is not None and done.points < done.plan and not done.red:
                self._error("[plan]", f"planned {done.plan} tests, ran {done.points}", self._suite(done))
                done.red += 1
            self._levels.pop()
            above = self._levels[-1]
            above.open_cases += done.cases + done.open_cases
            above.open_red += done.red + done.open_red

    def _point(self, level: _Level, match: re.Match[str]) -> None:
        description, directive, reason, seconds = _description(match[3])
        if match[2] is None and not match[3].strip() and level.plan is not None and level.points >= level.plan:
            self._strange += 1  # the harness's own "ok" after a whole script (prove -v)
            return
        level.points += 1
        buffered = description.endswith("{") and (description == "{" or description[-2] == " ")
        if buffered:
            description = description[:-1].rstrip()
        level.held = _Point(
            ok=match[1] is None,
            name=_unescape(description) or match[2] or str(level.points),
            directive=directive,
            reason=reason,
            seconds=seconds,
            text=CappedText(self._limits.text),
            buffered=buffered,
        )
        level.title = level.held.name if buffered else ""

    def _plan(self, level: _Level, count: int, remark: str) -> None:
        level.plan = (level.plan or 0) + count
        if count == 0 and len(self._levels) == 1:
            reason = re.sub(r"^skip\w{0,8}:?\s{0,8}", "", remark, flags=re.IGNORECASE)
            self._sink.add(Case(name="[all]", suite=self._suite(), outcome=Outcome.SKIPPED, message=reason))

    def _diagnostics(self, held: _Point, texts: Iterator[str], indent: int) -> None:
        """Read the YAML block of a test point; a block that never ends takes the rest of the file, as in YAML."""
        key = ""
        fields: dict[str, CappedText] = {}
        base = -1
        for line in texts:
            body = line.lstrip(" ")
            here = len(line) - len(body)
            if here <= indent and body.rstrip() == "...":
                break
            if body and here < indent:  # the block was never closed
                held.fields = {name: str(text) for name, text in fields.items()}
                self._reread(line, body, here)
                return
            held.text.append(line[indent:] + "\n")
            if base < 0 and body:
                base = here
            if here == base and (match := _YAML_KEY.fullmatch(body)):
                key, value = match[1], match[2].strip()
                if key in fields or len(fields) >= _MOST_FIELDS:
                    key = ""  # only the first one counts
                    continue
                fields[key] = CappedText(self._limits.text)
                if value[:1] not in ("|", ">"):
                    fields[key].append(_scalar(value))
                    key = ""
            elif key:
                fields[key].append(line[base:].strip() + "\n")
        held.fields = {name: str(text) for name, text in fields.items()}

    def _reread(self, line: str, body: str, indent: int) -> None:
        if indent % _STEP or not self._structure(indent // _STEP, body):
            self._other(line, body)

    def _other(self, line: str, body: str) -> None:
        """A comment or a line that is no TAP: it explains the failure before it, else it is only counted."""
        held = self._levels[-1].held
        if held is not None and not held.ok:
            held.text.append(line + "\n")
        elif body[0] != "#":
            self._strange += 1

    def _flush(self, level: _Level) -> None:
        """Deliver the test point that was waiting for its diagnostics."""
        held, level.held = level.held, None
        if held is None:
            return
        red = not held.ok and not held.directive
        children, red_children = level.open_cases, level.open_red
        level.cases, level.red = level.cases + children, level.red + red_children
        level.open_cases = level.open_red = 0
        if children and (red_children or not red):
            return  # it only sums up its subtests
        fields = held.fields
        seconds = seconds_of(fields["duration_ms"], "milliseconds") if "duration_ms" in fields else held.seconds
        suite = self._suite(level)
        name = self._names.name(suite, held.name)
        level.cases += 1
        if red:
            level.red += 1
            text = str(held.text)
            message = first_line(fields.get("message", "")) or first_line(fields.get("error", ""))
            if not message and "expected" in fields and "actual" in fields:
                message = f"expected {first_line(fields['expected'])}, got {first_line(fields['actual'])}"
            self._sink.add(
                Case(
                    name=name,
                    suite=suite,
                    outcome=Outcome.FAILED,
                    duration=seconds,
                    type=first_line(fields.get("name", "")),
                    message=message or ("" if fields else first_line(text.replace("#", " "))),
                    details=text,
                )
            )
        elif held.directive == "skip" or not held.ok:
            message = held.reason if held.directive == "skip" else f"todo: {held.reason}".removesuffix(": ")
            self._sink.add(Case(name=name, suite=suite, outcome=Outcome.SKIPPED, duration=seconds, message=message))
        else:
            self._sink.passed(suite, "", "", name, 0, seconds)

    def _suite(self, level: _Level | None = None) -> tuple[str, ...]:
        titles = []
        for outer in self._levels:
            if outer is level or level is None:
                break
            titles.append(outer.title)
        return (self._script, *(title for title in titles if title))

    def _finish(self) -> None:
        self._climb(0)
        top = self._levels[0]
        self._flush(top)
        if self._strange:
            self._sink.note(f"lines that are no TAP were passed over: {self._strange}")
        if self._bailed:
            return
        if top.plan is None:
            self._error("[plan]", f"there is no plan after {top.points} tests: the output may be cut")
        elif top.plan != top.points:
            self._error("[plan]", f"planned {top.plan} tests, ran {top.points}")

    def _error(self, name: str, message: str, suite: tuple[str, ...] = ()) -> None:
        suite = suite or (self._script,)
        name = self._names.name(suite, name)
        self._sink.add(Case(name=name, suite=suite, outcome=Outcome.ERROR, message=message))


def _description(text: str) -> tuple[str, str, str, float]:
    """Split what follows a test point's number.

    Returns:
        Description, directive (``skip``, ``todo`` or empty), its reason, seconds.
    """
    text, seconds = text.strip(), 0.0
    directive = reason = ""
    for match in _DIRECTIVE.finditer(text):
        if _is_escaped(text, match.start()):
            continue  # the hash belongs to the description
        if match[1]:
            directive, reason = match[1][:4].lower(), text[match.end() :].lstrip(" \t:").strip()
        else:
            seconds = seconds_of(match[2])
        text = text[: match.start()].strip()
        break
    if timing := _BATS_TIMING.search(text):
        text, seconds = text[: timing.start()], int(timing[1]) / 1000
    return text, directive, reason, seconds


def _is_escaped(text: str, at: int) -> bool:
    """True if an odd number of backslashes stands before the character; each of them is looked at once a line."""
    first = at
    while first and text[first - 1] == "\\":
        first -= 1
    return (at - first) % 2 == 1


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _scalar(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _sniff(head: bytes) -> bool:
    if head[:1] in (b"<", b"{", b"["):
        return False
    start = head
    while start[:1] == b"#":
        start = start.partition(b"\n")[2].lstrip()
    if _SNIFF_FIRST.match(start):
        return True
    # The output of a build tool or the name of a script may stand before the first line of TAP.
    if _SNIFF_VERSION.search(head, 0, _SNIFF_WINDOW):
        return True
    plan = _SNIFF_PLAN.search(head, 0, _SNIFF_WINDOW)
    return plan is not None and _SNIFF_POINT.search(head, plan.end()) is not None


def _parse(source: Source, sink: Sink) -> None:
    _Reader(source, sink).read(lines(source))


FORMAT = Format(name="tap", title="TAP", sniff=_sniff, parse=_parse, priority=-10)
