"""A text that failures with the same error share, so that they can be told as one."""

from __future__ import annotations

import re
from itertools import takewhile

from ci_bridge.analysis.classes import exception_type
from ci_bridge.analysis.frames import own_frames, short_path
from ci_bridge.analysis.telling import (
    LONGEST_LINE,
    LONGEST_SIGNATURE,
    find_telling,
    is_distinct,
    lines_of,
    normalise_line,
)

FRAMES = 3

_NO_TYPE = re.compile(
    r"|fail(?:ed|ure)?|[Ee]rror|exception|assert(?:ion error)?|uncaught exception|testCodeFailure|None(?:Type)?"
    r"|testtools\..*|undefined|pending|ambiguous|CHECK|REQUIRE|TEST_CASE"
)
"""What tools write for a type where they know none."""

_ASSERTION = re.compile("assert|expectation", re.IGNORECASE)


def signature_of(kind: str, message: str, details: str, *, file: str = "", classname: str = "", name: str = "") -> str:
    """A text that failures with the same error share; empty where nothing is known of it.

    The exception's type and the last three frames of the project's own code below the test, without line numbers.
    Where the trace shows test code only, any two failures would look alike: there the message decides, with everything
    variable in it replaced. Where that could be the same by chance (``assert 1 == 2``), the test's own place counts,
    too.

    Args:
        kind: Exception or failure type.
        message: One line.
        details: Stack trace or the long text.
        file: The test's; it tells the test's own frames from others.
        classname: The same.
        name: The test's, parameters included.
    """
    lines = [*lines_of(details)]
    exception = kind[:LONGEST_LINE].strip()
    if _NO_TYPE.fullmatch(exception):
        exception = exception_type(lines)
    frames = own_frames(lines)
    below = [*takewhile(lambda frame: not frame.is_test_code(file, classname), frames)]
    said = normalise_line(find_telling([*lines_of(message), *lines]))
    error = said if exception in said else f"{exception}: {said}" if said else exception
    if below:
        named = any(frame.is_named for frame in below)
        return _joined(exception if exception and named else error, [frame.text for frame in below])
    if said not in ("", exception) and is_distinct(said):
        return _joined(error, [])
    if name:
        place = short_path(file) or classname
        return _joined(error, [f"{place}:{_PARAMETERS.sub('', name)}".lstrip(":")]) if error else ""
    if said or frames or not _ASSERTION.search(exception):
        return _joined(error, [frame.text for frame in frames])
    return ""  # something was not as it should be, somewhere


_PARAMETERS = re.compile(r"(?<=\w)(?: ?\(|[\[{]| with data set ).*", re.DOTALL)


def _joined(error: str, places: list[str]) -> str:
    return " < ".join([error or "failure", *places[:FRAMES]])[:LONGEST_SIGNATURE] if error or places else ""
