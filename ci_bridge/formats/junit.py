"""JUnit XML in the dialects of the tools that write it, streamed through expat.

Nearly all cases of nearly all files pass and have no children, so the handlers are in one of two modes. *Between* cases
a start tag that can be taken at once becomes a row in three steps, and ends are merely listed by a C function. *Inside*
a case that has children every tag and text is looked at, until the case ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from operator import itemgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from ci_bridge.errors import ResultsError
from ci_bridge.formats._junit_case import FINAL, RANK, RESULTS, WORDS, OpenCase, Result, settle
from ci_bridge.formats._junit_places import Places
from ci_bridge.formats._xml import CHUNK, ForbiddenMarkup, Readable, feed, guarded_parser, local_name, root_name
from ci_bridge.formats.plugin import Format, Part, Sink, Source, clean_name, seconds_of
from ci_bridge.models import Case, Outcome, Row

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

_CASE = "testcase"
_READY = [_CASE]
_UNKNOWN = [""]  # no element has such attributes
_ROOTS = frozenset({"testsuites", "testsuite", "testcase"})
_BURIED = re.compile(rb"<(?:[\w.-]+:)?testsuites?[\s>/]")
_SUITES = frozenset({"testsuite", "testsuites"})
_PASSED = str(Outcome.PASSED)
_MOST_ATTRIBUTES = 256
_BATCH = 1024
_classname, _file, _name = map(itemgetter, (1, 2, 3))
_names = itemgetter(1, 2, 3)


class _Suite:
    """An open suite: what its cases inherit, and what it claims to hold."""

    def __init__(
        self,
        path: tuple[str, ...],
        part: Part | None,
        file: str,
        attributes: dict[str, str],
        cases: int,
        red: int,
        reruns: int,
    ) -> None:
        self.path = path
        self.part = part
        self.file = file
        self.claims = attributes
        self.cases_before = cases
        self.red_before = red
        self.reruns_before = reruns
        self.has_error_text = False


class _Reader:
    """Reads one document and hands its cases to a sink."""

    def __init__(self, source: Source, sink: Sink, stream: Readable) -> None:
        self._source = source
        self._stream = stream
        self._sink = sink
        self._limits = source.limits
        self._clean = source.clean_name or partial(clean_name, limit=source.limits.name)
        self._factor = 0.001 if source.time_unit == "milliseconds" else 1.0
        self._text_limit = source.limits.text * 2  # the sink masks before it cuts, so it gets more than it keeps
        self._parser: XMLParserType = guarded_parser()
        self._rows: list[Row] = []
        # Names of the elements that ended since the last start tag that was looked at. Empty: the case of the last row
        # is still open. Otherwise the first one stands for that case, and the others are yet to be taken off the stack.
        self._ends: list[str] = [_CASE]
        self._stack: list[_Suite | None] = []
        self._outer: list[OpenCase] = []
        self._case: OpenCase | None = None
        self._result: Result | None = None
        self._path: tuple[str, ...] = ()
        self._file = ""
        self._places = Places()
        self._part: Part | None = None  # of the next case
        self._told: Part | None = None  # the part that the sink knows of
        self._keys: list[str] = []
        self._pick: Callable[[list[str]], tuple[str, str, str, str, str]] | None = None
        self._states: Callable[[list[str]], tuple[str, str]] | None = None
        self._plain_states = {""}
        self._names_need_a_look = False
        self._delivered = 0
        self._red = 0
        self._reruns = 0  # earlier attempts and failing todos, which some tools count as tests and failures
        self._unnamed = 0
        self._lies = 0
        self._first_lie = ""

    # -- the whole document ------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read the document.

        Raises:
            ResultsError: It is malformed or refused; the whole cases seen so far were delivered.
        """
        parser = self._parser
        parser.ordered_attributes = True
        parser.XmlDeclHandler = self._declaration
        self._sink.part(None)
        self._between_cases()
        try:
            feed(parser, self._stream, self._limits, before=self._before_chunk, after=self._after_chunk)
            self._leave_ended()
        finally:
            self._drop_open_case()
            self._flush()
            self._tell_lies()

    def _drop_open_case(self) -> None:
        if not self._ends:
            self._rows.pop()  # its end was not seen, so its failure may not have been either
            self._ends.append(_CASE)

    def recover(self) -> None:
        """Read the document with lxml's recovering parser, which jumps over broken markup; nothing without lxml."""
        try:
            from lxml import etree  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            return
        handlers = SimpleNamespace()
        self._parser = cast("XMLParserType", handlers)
        self._sink.part(None)
        self._between_cases()
        parser = etree.XMLParser(
            target=_Target(handlers), recover=True, resolve_entities=False, load_dtd=False, no_network=True,
            huge_tree=False,
        )  # fmt: skip
        try:
            while piece := self._stream.read(CHUNK):
                parser.feed(piece)
            parser.close()
        except (etree.LxmlError, ResultsError):
            pass  # the caller reports the flaw that strict reading met first
        finally:
            self._drop_open_case()
            self._flush()

    @property
    def delivered(self) -> int:
        """Whole cases handed to the sink so far."""
        return self._delivered

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        # Python's codecs can map plain bytes to control characters; of these encodings it is known that they do not.
        if encoding and encoding.lower() not in ("utf-8", "us-ascii", "iso-8859-1"):
            self._names_need_a_look = True

    def _before_chunk(self, chunk: bytes) -> None:
        if not self._names_need_a_look and (
            not chunk.isascii() or b"\x7f" in chunk or (b"&" in chunk and (b"&#" in chunk or chunk.endswith(b"&")))
        ):
            self._names_need_a_look = True

    def _after_chunk(self) -> None:
        if len(self._rows) < _BATCH:
            return
        if self._ends:
            self._flush()
        else:
            last = self._rows.pop()
            self._flush()
            self._rows.append(last)

    def _flush(self) -> None:
        """Hand the rows that are waiting to the sink, their names clean and their durations sane."""
        rows = self._rows
        if not rows:
            return
        limit = self._limits.name
        longest = max(max(map(len, map(column, rows))) for column in (_classname, _file, _name))
        if longest * 4 > limit or (
            self._names_need_a_look and not "".join(chain.from_iterable(map(_names, rows))).isprintable()
        ):
            clean = self._clean
            rows = [(row[0], clean(row[1]), clean(row[2]), clean(row[3]), *row[4:]) for row in rows]
        self._delivered += len(rows)
        self._sink.passed_rows(rows)
        self._rows.clear()

    # -- between cases -----------------------------------------------------------------------------------------------

    def _between_cases(self) -> None:
        self._ends[:] = _READY
        parser = self._parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._ends.append
        parser.CharacterDataHandler = None

    def _start(self, tag: str, attributes: list[str]) -> None:
        """Every start tag between cases comes here: this method decides how fast files are read."""
        if tag == _CASE and self._ends == _READY:
            if attributes[::2] != self._keys:
                self._learn(attributes[::2])
            if self._pick is not None:
                attributes.append("")  # index -1: what an absent attribute reads as
                classname, file, name, line, time = self._pick(attributes)
                if name and (self._states is None or self._plain_states.issuperset(self._states(attributes))):
                    try:
                        seconds = float(time) * self._factor if time else 0.0
                        number = int(line) if line else 0
                    except ValueError:
                        pass
                    else:
                        if 0.0 <= seconds < 1e8 and number >= 0:
                            self._rows.append(
                                (self._path, classname, file or self._file, name, number, _PASSED, seconds, None)
                            )
                            self._ends.clear()
                            return
                del attributes[-1]
        self._look_at(tag, attributes)

    def _learn(self, keys: list[str]) -> None:
        """Remember where a case's attributes are; writers put them in the same order all through a suite."""
        self._tell_part()
        self._keys, self._pick = keys, None
        if len(keys) <= _MOST_ATTRIBUTES:
            at = {key: 2 * index + 1 for index, key in enumerate(keys)}
            classname, file = at.get("classname", at.get("class", -1)), at.get("file", at.get("filepath", -1))
            self._pick = itemgetter(classname, file, *(at.get(key, -1) for key in ("name", "line", "time")))
            states = [at.get("status", -1), at.get("result", -1)]
            self._states = itemgetter(*states) if max(states) >= 0 else None

    def _look_at(self, tag: str, listed: list[str]) -> None:
        """Take a start tag that is not simply a further case."""
        is_open = not self._ends
        self._leave_ended()
        if is_open:
            self._ends[:] = _READY
            self._open(OpenCase(self._rows.pop(), None, self._text_limit))
            self._start_inside(tag, listed)
            return
        kind = local_name(tag)
        attributes = _mapping(listed)
        if kind == _CASE:
            self._tell_part()
            self._open(self._case_of(attributes))
        elif kind in FINAL and self._stack:
            self._tell_part()
            suite = self._path[-1] if self._path else "test suite"
            self._open(
                OpenCase((self._path, "", self._file, suite, 0, _PASSED, 0.0, None), None, self._text_limit), kind
            )
            self._start_result(kind, attributes)
        else:
            self._enter(kind, attributes)

    def _enter(self, kind: str, attributes: dict[str, str]) -> None:
        if len(self._stack) >= self._limits.depth:
            raise ResultsError(f"elements are nested more than {self._limits.depth} deep")
        if kind not in _SUITES:
            if kind == "system-err" and self._stack and (suite := self._stack[-1]) is not None:
                suite.has_error_text = True
            self._stack.append(None)
            return
        if kind == "testsuite" and (name := self._clean(attributes.get("name", ""))):
            self._path = (*self._path, name)
        file = attributes.get("file") or attributes.get("filepath") or ""
        self._file = self._clean(file) or self._file
        self._part = self._places.enter(kind, self._path, attributes)
        self._keys = _UNKNOWN  # so that the next case tells the sink of the part
        count = self._delivered + len(self._rows)
        self._stack.append(
            _Suite(self._path, self._part, self._file, attributes, count, self._red, self._reruns)
        )  # fmt: skip

    def _tell_part(self) -> None:
        if self._part is not self._told:
            self._flush()
            self._sink.part(self._part)
            self._told = self._part

    def _leave_ended(self) -> None:
        """Take the elements off the stack whose ends were listed; a case whose end was not seen stays open."""
        for _ in self._ends[1:]:
            self._leave()
        if self._ends:
            self._ends[:] = _READY

    def _leave(self) -> None:
        suite = self._stack.pop()
        if suite is None:
            return
        self._check(suite)
        outer = next((entry for entry in reversed(self._stack) if entry is not None), None)
        self._path, self._file, self._part = (outer.path, outer.file, outer.part) if outer else ((), "", None)
        self._keys = _UNKNOWN

    def _check(self, suite: _Suite) -> None:
        """Compare a suite's counters with its cases; the cases are believed."""
        cases = self._delivered + len(self._rows) - suite.cases_before
        red = self._red - suite.red_before
        claims = ((key, suite.claims.get(key, "")) for key in ("tests", "failures", "errors"))
        claimed = {key: int(text) for key, text in claims if _is_count(text)}
        claimed_red = claimed.get("failures", 0) + claimed.get("errors", 0)
        name = suite.path[-1] if suite.path else "the document"
        lie = ""
        reruns = self._reruns - suite.reruns_before
        if suite.has_error_text and 0 < claimed_red - red - reruns <= claimed.get("errors", 0):
            red += self._hidden_error(suite, name, claimed_red - red - reruns)
        if not red <= claimed_red <= red + reruns and len(claimed) > ("tests" in claimed):
            lie = f"{name!r} claims {claimed_red} failures and errors, its cases show {red}"
        elif claimed.get("tests", cases) > cases + reruns:
            lie = f"{name!r} claims {claimed['tests']} tests, it holds {cases}"
        if lie:
            self._lies += 1
            self._first_lie = self._first_lie or lie

    def _hidden_error(self, suite: _Suite, name: str, count: int) -> int:
        """An error that only the suite tells of: Newman's refused requests, a browser that Karma lost."""
        self._tell_part()
        self._flush()
        self._delivered += 1
        self._red += 1
        message = f"the suite counts {count} errors that none of its tests shows; its own error output may tell more"
        self._sink.add(Case(name, suite=suite.path, file=suite.file, outcome=Outcome.ERROR, message=message))
        return count

    def _tell_lies(self) -> None:
        if self._lies:
            more = f" (and {self._lies - 1} more suites)" if self._lies > 1 else ""
            self._sink.note(f"counters disagree with the cases, which are believed: {self._first_lie}{more}")

    def _case_of(self, attributes: dict[str, str]) -> OpenCase:
        """A case from attributes that the fast path does not take."""
        name = attributes.get("name", "")
        if not name:
            self._unnamed += 1
            name = f"unnamed test {self._unnamed}"
        line = attributes.get("line", "")
        row: Row = (
            self._path,
            attributes.get("classname") or attributes.get("class") or "",
            attributes.get("file") or attributes.get("filepath") or self._file,
            name,
            int(line) if _is_count(line) else 0,
            _PASSED,
            seconds_of(attributes.get("time"), self._source.time_unit, self._sink.note),
            None,
        )
        stated: Outcome | None = None
        for key in ("status", "result"):
            word = attributes.get(key, "")
            outcome = WORDS.get("".join(filter(str.isalpha, word.lower())))
            if outcome is None and word:
                self._sink.note(f"{key}={word[:40]!r} is not known and was ignored")
            if outcome in (None, Outcome.PASSED) and len(self._plain_states) < _MOST_ATTRIBUTES:
                self._plain_states.add(word)
            if outcome is not None and RANK[outcome] > RANK[stated or Outcome.PASSED]:
                stated = outcome
        return OpenCase(row, stated, self._text_limit)

    # -- inside a case -----------------------------------------------------------------------------------------------

    def _open(self, case: OpenCase, closing: str = _CASE) -> None:
        if self._case is not None:
            self._outer.append(self._case)
        self._case, self._result = case, None
        case.path.append(closing)
        parser = self._parser
        parser.StartElementHandler = self._start_inside
        parser.EndElementHandler = self._end_inside
        parser.CharacterDataHandler = None

    def _start_inside(self, tag: str, listed: list[str]) -> None:
        case, kind = self._case, local_name(tag)
        assert case is not None
        if len(self._stack) + len(self._outer) + len(case.path) >= self._limits.depth:
            raise ResultsError(f"elements are nested more than {self._limits.depth} deep")
        if kind == _CASE:  # a case within a case: no tool is known to write it, but none is lost
            self._open(self._case_of(_mapping(listed)))
            return
        case.path.append(kind)
        holder = self._result or case
        if kind == "system-out":
            self._parser.CharacterDataHandler = holder.output.append
        elif kind == "system-err":
            self._parser.CharacterDataHandler = holder.error_output.append
        elif kind in RESULTS and self._result is None:
            self._start_result(kind, _mapping(listed))
        elif kind == "property" and self._places.has_directives and self._result is None:
            case.add_directive(_mapping(listed))

    def _start_result(self, kind: str, attributes: dict[str, str]) -> None:
        assert self._case is not None
        time = attributes.get("time") if kind not in FINAL else None
        seconds = seconds_of(time, self._source.time_unit, self._sink.note)
        self._result = Result(kind, attributes, self._text_limit, seconds)
        self._case.add(self._result)
        self._parser.CharacterDataHandler = self._result.text.append

    def _end_inside(self, _tag: str) -> None:
        case = self._case
        assert case is not None
        kind = case.path.pop()
        if not case.path:
            self._case, self._result = (self._outer.pop() if self._outer else None), None
            self._deliver(case)
            if self._case is None:
                self._between_cases()
            else:
                self._parser.CharacterDataHandler = None
        elif self._result is not None and kind == self._result.kind:
            self._result = None
            self._parser.CharacterDataHandler = None
        else:
            self._parser.CharacterDataHandler = self._result.text.append if self._result is not None else None

    def _deliver(self, case: OpenCase) -> None:
        suite, classname, file, name, line, _, seconds, _ = case.row
        last, attempts = settle(case)
        self._reruns += len(attempts) + (last.type == "todo")
        output, error_output = str(case.output), str(case.error_output)
        if last.outcome is Outcome.PASSED and not (attempts or output or error_output):
            self._rows.append(case.row)
            return
        self._flush()
        self._delivered += 1
        self._red += last.outcome in (Outcome.FAILED, Outcome.ERROR)
        self._sink.add(
            Case(
                name=name, classname=classname, suite=suite, file=file, line=line or None, outcome=last.outcome,
                duration=seconds, type=last.type, message=last.message, details=last.details,
                output=last.output + output, error_output=last.error_output + error_output, attempts=attempts,
            )
        )  # fmt: skip


class _Target:
    """Passes lxml's events to handlers of expat's kind."""

    def __init__(self, handlers: SimpleNamespace) -> None:
        self._handlers = handlers

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._handlers.StartElementHandler(tag.rpartition("}")[2], list(chain.from_iterable(attributes.items())))

    def end(self, tag: str) -> None:
        self._handlers.EndElementHandler(tag.rpartition("}")[2])

    def data(self, text: str) -> None:
        if self._handlers.CharacterDataHandler is not None:
            self._handlers.CharacterDataHandler(text)

    def close(self) -> None:
        """Exist: the parser calls it at the end."""


class _Rest:
    """Hands on what comes after the cases that a first, stricter reading of the same file has delivered."""

    def __init__(self, sink: Sink, skip: int) -> None:
        self._sink = sink
        self._skip = skip

    def passed_rows(self, rows: list[Row]) -> None:
        skipped = min(self._skip, len(rows))
        self._skip -= skipped
        if len(rows) > skipped:
            self._sink.passed_rows(rows[skipped:])

    def add(self, case: Case) -> None:
        if self._skip:
            self._skip -= 1
        else:
            self._sink.add(case)

    def passed(self, suite: tuple[str, ...], classname: str, file: str, name: str, line: int, seconds: float) -> None:
        self.passed_rows([(suite, classname, file, name, line, _PASSED, seconds, None)])

    def part(self, part: Part | None) -> None:
        self._sink.part(part)

    def note(self, text: str) -> None:
        self._sink.note(text)

    def repaired(self, text: str) -> None:
        self._sink.repaired(text)


def _mapping(listed: list[str]) -> dict[str, str]:
    """The first attributes of an element; a flood of them is not listed to the end."""
    if len(listed) > 2 * _MOST_ATTRIBUTES:
        listed = listed[: 2 * _MOST_ATTRIBUTES]
    return dict(zip(listed[::2], listed[1::2], strict=True))


def _is_count(text: str) -> bool:
    return len(text) <= 9 and text.isascii() and text.isdigit()


def sniff(head: bytes) -> bool:
    """True for the root elements of JUnit files, and for a suite that follows something that is no XML."""
    root = root_name(head)
    return root in _ROOTS if root else _BURIED.search(head) is not None


def parse(source: Source, sink: Sink) -> None:
    """Read a file strictly; if it is malformed, read what follows the flaw leniently.

    Raises:
        ResultsError: Cases may be missing: the file is cut short, damaged beyond repair, or forbidden.
    """
    reader = _Reader(source, sink, source.stream)
    try:
        reader.read()
    except ForbiddenMarkup:
        raise
    except ResultsError as error:
        flaw = error.message
    else:
        return
    from ci_bridge.formats._repair import RepairedStream  # most files need none, and its tables take a while to build

    repaired = RepairedStream(source)
    lenient = _Reader(source, _Rest(sink, reader.delivered), repaired)
    try:
        lenient.read()
    except ForbiddenMarkup:
        raise
    except ResultsError:
        if not repaired.is_exhausted:
            read = max(reader.delivered, lenient.delivered)
            _Reader(source, _Rest(sink, read), RepairedStream(source)).recover()
        raise ResultsError(flaw) from None
    sink.repaired(flaw)


FORMAT = Format(name="junit", title="JUnit XML", sniff=sniff, parse=parse)
