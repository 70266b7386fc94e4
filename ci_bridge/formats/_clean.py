"""Makes what parsers hand over fit to be kept: clean names, masked texts, both within their caps."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import Protocol

from ci_bridge.formats.plugin import MAX_SECONDS, Limits, clean_name, clean_text, cut_text
from ci_bridge.models import Attempt, Case, Outcome, Row

_SHORT = 300
_MESSAGE = 4096
_names = itemgetter(1, 2, 3)
_suite = itemgetter(0)
_file = itemgetter(2)


class Mask(Protocol):
    """What hides secrets; :class:`ci_bridge.masking.Masker` is one."""

    def clean(self, text: str) -> str:
        """The text with its secrets replaced."""
        ...

    def suspects(self, text: str) -> bool:
        """False if the text surely holds no secret; fast."""
        ...


class Cleaner:
    """Cleans names and texts, masks secrets, and keeps both within their caps.

    Args:
        limits: ``name`` and ``text`` count here.
        mask: Hides secrets; None if there are none.
        workspace: Files below it are named relative to it; None leaves them as they are.
    """

    def __init__(self, limits: Limits, mask: Mask | None, workspace: str | os.PathLike[str] | None = None) -> None:
        self._name_limit = limits.name
        self._text_limit = limits.text
        self._mask = mask
        self._roots = _spellings(os.fspath(workspace)) if workspace is not None else ()

    def name(self, text: str) -> str:
        """A clean name; masked already only if it has to be cut, because half a secret is not recognised any more."""
        text = str(text)
        if len(text) * 4 > self._name_limit:
            text = self.hidden(text)
        return clean_name(text, self._name_limit)

    def hidden(self, text: str) -> str:
        """A text without its secrets."""
        return self._mask.clean(text) if self._mask is not None and self._mask.suspects(text) else text

    def file(self, path: str) -> str:
        """The path of a file, relative to the workspace if it is below it."""
        if path.startswith(self._roots):
            return path[len(next(root for root in self._roots if path.startswith(root))) :]
        return path

    def rows(self, rows: list[Row]) -> list[Row]:
        """Rows of passed cases with their files relative and their names masked."""
        if self._roots:
            files = {path for path in set(map(_file, rows)) if path.startswith(self._roots)}
            if files:
                paths = {path: self.file(path) for path in files}
                rows = [(*row[:2], paths.get(row[2], row[2]), *row[3:]) for row in rows]
        if self._mask is None:
            return rows
        suites = set(map(_suite, rows))
        # Names hold no newline, so that a secret cannot arise from two of them.
        joined = "\n".join(chain(chain.from_iterable(map(_names, rows)), chain.from_iterable(suites)))
        if not self._mask.suspects(joined):
            return rows
        hide = self._hidden
        return [(tuple(map(hide, row[0])), hide(row[1]), hide(row[2]), hide(row[3]), *row[4:]) for row in rows]

    def case(self, case: Case) -> tuple[Case, bool]:
        """A clean and masked case, and whether its texts had to be cut."""
        text = self._text
        message, details = _split_message(text(case.message).strip(), text(case.details).strip("\n"), case)
        name, classname, file, type_, *suite = self._clean_names(
            [case.name, case.classname, self.file(case.file), case.type, *case.suite]
        )
        clean = Case(
            name, sys.intern(classname), tuple(suite), sys.intern(file), case.line or None, Outcome(case.outcome),
            sane(case.duration), type_, message, details, text(case.output), text(case.error_output),
            tuple(map(self._attempt, case.attempts)),
        )  # fmt: skip
        cut = fitted(clean, self._text_limit)
        return cut, cut is not clean

    def _attempt(self, attempt: Attempt) -> Attempt:
        text = self._text
        return Attempt(
            Outcome(attempt.outcome), sane(attempt.duration), self._clean_names([attempt.type])[0],
            text(attempt.message).strip(), text(attempt.details).strip("\n"), text(attempt.output),
            text(attempt.error_output),
        )  # fmt: skip

    def _clean_names(self, names: list[str]) -> list[str]:
        joined = " ".join(names)
        if joined.isprintable() and len(joined) * 4 <= self._name_limit:
            return names if self._mask is None or not self._mask.suspects(joined) else list(map(self._hidden, names))
        return [self._hidden(self.name(name)) for name in names]

    def _hidden(self, name: str) -> str:
        if self._mask is None or not self._mask.suspects(name):
            return name
        return clean_name(self._mask.clean(name), self._name_limit)

    def _text(self, raw: str) -> str:
        if not raw:
            return ""
        # More than is kept: secrets are masked before the cut proper.
        return self.hidden(clean_text(str(raw), self._text_limit * 4))


def _spellings(folder: str) -> tuple[str, ...]:
    """A folder as tools may write it in front of a path: with its links resolved, with either kind of slash."""
    folders = (folder, os.path.abspath(folder), os.path.realpath(folder))  # noqa: PTH100 - text, not a path to open
    roots = [path.rstrip("/\\") for path in folders if len(path) > 1 and (path[0] in "/\\" or path[1] == ":")]
    return tuple(dict.fromkeys(f"{root}{mark}" for root in roots for mark in "/\\" if root))


def sane(seconds: float) -> float:
    """A finite duration, whatever a parser hands over."""
    return min(float(seconds), MAX_SECONDS) if seconds > 0.0 else 0.0


def text_size(case: Case) -> int:
    """Characters of the case's texts, all attempts together."""
    size = len(case.message) + len(case.details) + len(case.output) + len(case.error_output)
    for part in case.attempts:
        size += len(part.message) + len(part.details) + len(part.output) + len(part.error_output)
    return size


def _split_message(message: str, details: str, case: Case) -> tuple[str, str]:
    """One line of message, and all that was said in the details.

    Some tools put a whole stack trace into the message, others leave the message out.
    """
    if not message:
        first = next((line.strip() for line in details.splitlines() if line.strip()), "")
        return (first[:_MESSAGE] if case.outcome in (Outcome.FAILED, Outcome.ERROR) else "", details)
    first, newline, _ = message.partition("\n")
    if not newline and len(message) <= _MESSAGE:
        return message, details
    whole = details if message in details else f"{message}\n\n{details}".rstrip("\n")
    return first.rstrip()[:_MESSAGE], whole


def fitted(case: Case, limit: int) -> Case:
    """The case with all its texts within ``limit`` bytes; what comes last and was captured only is cut first."""
    if text_size(case) * 4 <= limit:
        return case
    left = limit
    is_cut = False

    def fit(text: str) -> str:
        nonlocal left, is_cut
        if len(text) * 4 > left and len(text.encode()) > left:
            text, left, is_cut = cut_text(text, left), 0, True
        else:
            left -= len(text) if text.isascii() else len(text.encode())
        return text

    message, details = fit(case.message), fit(case.details)
    earlier = [(fit(attempt.message), fit(attempt.details)) for attempt in reversed(case.attempts)]
    error_output, output = fit(case.error_output), fit(case.output)
    captured = [(fit(attempt.error_output), fit(attempt.output)) for attempt in reversed(case.attempts)]
    if not is_cut:
        return case
    return replace(
        case, message=message, details=details, output=output, error_output=error_output,
        attempts=tuple(
            replace(attempt, message=texts[0], details=texts[1], error_output=more[0], output=more[1])
            for attempt, texts, more in zip(case.attempts, reversed(earlier), reversed(captured), strict=True)
        ),
    )  # fmt: skip


def shortened(case: Case) -> Case:
    """The case with texts of at most some 300 characters each, and no captured output."""
    return Case(
        case.name, case.classname, case.suite, case.file, case.line, case.outcome, case.duration, case.type,
        cut_text(case.message, _SHORT), cut_text(case.details, _SHORT), "", "",
        tuple(
            Attempt(
                attempt.outcome, attempt.duration, attempt.type, cut_text(attempt.message, _SHORT),
                cut_text(attempt.details, _SHORT),
            )
            for attempt in case.attempts
        ),
    )  # fmt: skip
