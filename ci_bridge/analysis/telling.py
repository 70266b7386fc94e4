"""The line of a failure's text that says what went wrong, and the same line without what varies in it.

All patterns are linear: they hold no nested or overlapping repetition, and see bounded lines only, because the texts
come from whoever wrote the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST_LINE = 1000
MOST_LINES = 400
LONGEST_SIGNATURE = 500


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text, as many and as much of each as is looked at."""
    for line in text[: LONGEST_LINE * MOST_LINES].splitlines()[:MOST_LINES]:
        yield line[:LONGEST_LINE]


_EMPTY = re.compile(
    r"(?:[A-Za-z]:)?[^\s:]{1,400}\.\w{1,8}(?::\d{1,9}){1,2}:?"  # GoogleTest, Go: a place alone
    r"|unknown file:?|[Ff]ailed|FAILED:?|None|(?:test )?failure"
    r"|(?:error|failed|undefined|pending|ambiguous) step|Failing step: .{1,400}(?:failed|error) in \S+|Location: .*"
    r"|.{0,200}Traceback \(most recent call last\):|.{0,200}\{\{\{|\}\}\}"
    r"|=== (?:RUN|CONT|PAUSE|NAME)\b.*|--- FAIL: .*|Error Trace:.*"
    r"|thread '.{0,200}' (?:\(\d{1,20}\) )?panicked at \S+:\d{1,9}:\d{1,9}:|note: run with .*"
    r"|\((?:in test file|from function) .*"  # bats
    r"|(?:ASSERTION FAILURE|UNCAUGHT EXCEPTION):|(?:unexpected|uncaught) exception|EXCEPTION STACK TRACE:.*"  # Boost
    r"|- (?:file|line) {0,9}: .*|\S+ › .*"
    r"|\S+::\w+(?: with data set .*)?"  # PHPUnit: the test's own name
    r"|(?:compare|duration_ms|location|failureType|operator|fileName|lineNumber|columnNumber|typeName|code|name):.*"
    r"|\w+: [|>][-+]?|--- (?:[Ee]xpected|[Aa]ctual)|\+\+\+ (?:[Ee]xpected|[Aa]ctual)|@@ .*|[^\w<]*"
)
"""Lines that say where, or that something went wrong, but not what."""

_OPENING = re.compile(
    r"(?P<matcher>(?:\w{0,40}Error(?: \[\w{1,40}\])?: )?"
    r"(?:expect\(.{0,400}\)\.[\w.]{1,100}\([^)]{0,200}\)(?: // .*| failed)?|assert\.\w{1,40}\(received, expected\)))"
    r"|(?P<diff>diff: [|>][-+]?)"
    r"|.{0,150}[^:]:|Value of: .*|Assert\.\w{1,40}\(\) Failure.*|Failed asserting that (?:two|an) .*|Failure/Error: .*"
    r"|assertion (?:`left |failed: `\(left ).*|[Ee]xpected: (?!.{0,400}(?:but|got|received|actual|Actual|But)\b).*"
)
"""Lines that only announce the values, which stand in the lines below. A matcher's call is left out."""

_MOST_VALUES = 6
_HIDING = re.compile(r"(?:.{0,200}Traceback \(most recent call last\):|(?:stack|source|at):.{0,9})$")
"""Lines whose indented block is code."""

_FRAME = re.compile(r'at |❯ |File "|#\d{1,3} |Test: |Messages: |from /')
_BRACKETED_PLACE = re.compile(r"\S{1,400}:\d{1,9}:\d{1,9}\)")
_LABEL = re.compile(r"^(?:# |- message: |Error:(?:\s{2,}|\t))\s*")
_LISTING = re.compile(r"(?:def |async def |class |@|>|&gt;|self = |\w{1,60} = )")
_PYTEST = re.compile(r"E {3,}(?=\S)")


def telling_line(text: str) -> str:
    """The first line that says what went wrong; the first line that is not empty where none does.

    Test tools begin with a place, a headline (``Expected equality of these values:``) or their matcher
    (``expect(received).toBe(expected)``); what follows a headline is joined to it.
    """
    lines = [*lines_of(text)]
    return find_telling(lines) or next((line for line in lines if line.strip()), "")


def find_telling(lines: list[str]) -> str:
    """Like :func:`telling_line`, but empty where no line says anything."""
    hiding = listed = False
    opening = headline = ""
    for at, line in enumerate(lines):
        bare = line.strip()
        if not bare or (hiding and line[0] in " \t"):
            continue
        hiding = bool(_HIDING.match(bare))
        bare = _LABEL.sub("", bare)
        if not listed and _LISTING.match(bare):
            # Source code comes before the error in what pytest tells.
            listed = True
            if found := next((one for one in lines[at:] if _PYTEST.match(one)), ""):
                return _PYTEST.sub("", found)
        announces = _OPENING.fullmatch(bare)
        if announces and not hiding and (announces["diff"] or not _EMPTY.fullmatch(bare)):
            opening = opening if announces["matcher"] or announces["diff"] else bare
            if values := _values(lines[at + 1 :]):
                return f"{opening} {values}".strip()[:LONGEST_LINE]
            headline = headline or bare
        elif not hiding and not _EMPTY.fullmatch(bare) and not _is_frame(bare):
            return bare
    return opening or headline


def _is_frame(line: str) -> bool:
    if _FRAME.match(line):
        return True
    return line.endswith(")") and bool(_BRACKETED_PLACE.fullmatch(line, line.rfind("(") + 1))


def _values(lines: list[str]) -> str:
    found: list[str] = []
    for line in lines:
        bare = _LABEL.sub("", line.strip())
        if not bare and not found:
            continue
        if not bare or _is_frame(bare) or len(found) == _MOST_VALUES:
            break
        headline = None if found or _EMPTY.fullmatch(bare) else _OPENING.fullmatch(bare)
        if headline and (headline["matcher"] or bare.endswith(":")):
            return ""  # a headline below a headline: the last one's values count
        if not _EMPTY.fullmatch(bare):
            found.append(bare)
    return " ".join(found)


_TOLD = re.compile(r"^.{0,300}panicked at |^panic: |^Traceback \(most recent", re.MULTILINE)


def told_in_output(output: str) -> str:
    """What an output holds from where a failure is told; empty where none is. Cargo tells it nowhere else."""
    found = _TOLD.search(output[: LONGEST_LINE * MOST_LINES])
    return output[found.start() :] if found else ""


# --- without what varies ----------------------------------------------------------------------------------------------

_NUMBERS: tuple[tuple[str, str], ...] = (
    (
        (r"(?<![\w.])[-+]?\d{1,40}(?:[.,]\d{1,40})?(?:[eE][-+]?\d{1,4})?\s?"
        r"(?:ms|us|ns|s|sec|seconds?|min|[KMG]i?B|bytes?|%)(?!\w)"),
        "<amount>",
    ),
    (r"(?<![A-Za-z])[-+]?\d{1,80}(?:\.\d{1,80})?(?:[eE][-+]?\d{1,4})?", "<n>"),
    (r"(?:<n>[,; ]{1,3}){2,}<n>", "<list>"),
)  # fmt: skip

_VARIABLES: tuple[tuple[str, str], ...] = (
    (r"\x1b\[[0-9;]{0,20}[A-Za-z]", ""),
    (r"\b[a-z][a-z0-9+.-]{1,12}://[^\s'\"<>)]{1,300}", "<url>"),
    (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<uuid>"),
    (r"\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}\b", "<mail>"),
    (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
    (r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?\b", "<time>"),
    (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?\b", "<ip>"),
    (r"\b0[xX][0-9a-fA-F]{1,32}\b", "<hex>"),
    (r"\b(?=[a-f]{0,39}\d)(?=\d{0,39}[a-f])[0-9a-f]{7,64}\b", "<hash>"),
    (r"(?:\b[A-Za-z]:\\|\\\\)[^\s:\"'<>|]{1,300}", "<path>"),
    (r"(?:(?<=\s)|(?<=['\"(=\[])|^)(?:~|\.{0,2})/[^\s:\"'()\[\]]{1,300}", "<path>"),
)

_VARIABLE_RULES = tuple((re.compile(pattern), kind) for pattern, kind in _VARIABLES)
_NUMBER_RULES = tuple((re.compile(pattern), kind) for pattern, kind in _NUMBERS)

_SPACES = re.compile(r"\s+")
_LEADING_PLACE = re.compile(r"\s*[^\s:]{1,400}\.\w{1,8}(?::\d{1,9}){1,2}: (?=\S)")
_COMMON = re.compile(
    r"<[a-z]+>|\"[^\"]{0,200}\"|(?<!\w)'[^']{0,200}'|<[^<>]{0,200}>|\bERR_\w{1,40}"
    r"|\b(?:[Ee]xpected|[Rr]eceived|[Aa]ctual|[Gg]ot|[Ww]ant|[Bb]ut was|[Ll]eft|[Rr]ight|Which is)\b[^:<>\"'\d]{0,40}:"
    r"|\w{0,60}(?:Error|Exception|Failure|Failed)\b|[^A-Za-z\"'<]+|[\"'<]"
)
_PLACEHOLDER = re.compile(r"<(?:n|amount|list|url|uuid|mail|time|ip|hex|hash|path)>")
_WORDS = """
a actual an and are array arrays assert asserting assertion assertionerror be but by check compared
contain did differ differs does element elements equal equality equals expected fail failed failure
false for found from got greater has have identical in index instead is it just left less list lists
match matches nan nil none not null object objects of operator or received require right same should
some strict strictly string strings than that the these this to true two undefined using value
values want was were which with
"""
_COMMON_WORDS = frozenset(_WORDS.split())
"""What an assertion says of any two values. A line of such words is about its values, so these are kept."""


def normalise(text: str) -> str:
    """The telling line of a message with everything variable in it replaced by its kind.

    Numbers stay where nothing else is said: ``assert 41 == 42`` and ``assert 503 == 200`` are different errors, but
    ``user 41 not found`` and ``user 42 not found`` are one.
    """
    return normalise_line(telling_line(text))


def normalise_line(line: str) -> str:
    """The same for one line."""
    line = _LEADING_PLACE.sub("", line[:LONGEST_LINE])
    for pattern, kind in _VARIABLE_RULES:
        line = pattern.sub(kind, line)
    general = line
    for pattern, kind in _NUMBER_RULES:
        general = pattern.sub(kind, general)
    if general != line and _says_something(general):
        line = general
    return _SPACES.sub(" ", line).strip()[:LONGEST_SIGNATURE]


def _says_something(line: str) -> bool:
    return any(word not in _COMMON_WORDS and len(word) > 1 for word in _COMMON.sub(" ", line).lower().split())


_DISTINCT = re.compile(r"\d{3}|[A-Za-z]{4,60}")


def is_distinct(line: str) -> bool:
    """True if a normalised line is hardly the same by chance, as ``expected: <true> but was: <false>`` is."""
    if _says_something(line):
        return True
    values = _PLACEHOLDER.sub(" ", line)
    return any(word.lower() not in _COMMON_WORDS for word in _DISTINCT.findall(values))
