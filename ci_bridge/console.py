"""What the command line prints: data to stdout, lines for people to stderr, each safe for a log viewer."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

import click

from ci_bridge.errors import CIBridgeError

if TYPE_CHECKING:
    from ci_bridge.masking import Masker
    from ci_bridge.protocols import Finding


class OutputError(CIBridgeError):
    """What was asked for cannot be written to stdout. Exit code 4."""

    exit_code = 4


def open_streams() -> None:
    """Make the standard streams fit for any text; a closed one is opened on nothing.

    Otherwise the next file that is opened would take its number, and a stray line would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _silence(number: int) -> None:
    """Send what is still buffered for a broken stream to nowhere, or it would fail once more at the very end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def shown(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def minute(moment: datetime | None) -> str:
    """A time to the minute; empty for None."""
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def day_and_time(text: str | None) -> str:
    """An ISO 8601 time to the minute; empty for None."""
    return minute(datetime.fromisoformat(text)) if text else ""


Column = str | Callable[[Mapping[str, Any]], str]
"""A key of a row, or what makes a cell of a row."""


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], *, as_json: bool) -> None:
    """Print rows of the history as JSON, whole, or the columns as a table."""
    if as_json:
        print_json(list(rows))
        return
    cells = [[shown(row[c]) if isinstance(c, str) else c(row) for c in columns.values()] for row in rows]
    print_table([*columns], cells)
    if not rows:
        say("nothing recorded yet")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, each as wide as its content.

    On a terminal too narrow for that the widest column gives way. Not so the last one, which holds the name or the id
    that somebody wants to copy: where it does not fit, it goes on a line of its own.
    """
    from ci_bridge.report.escape import log_line

    cells = [[log_line(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    room = sys.maxsize
    if is_terminal(sys.stdout):
        room = shutil.get_terminal_size().columns
        first = widths[:-1]
        while sum(first) + 2 * len(first) + len(headers[-1]) > room and max(first) > 12:
            first[first.index(max(first))] -= 1
        widths[:-1] = first
    bold = has_color(sys.stdout)
    titles = [header.ljust(width) for header, width in zip(headers, widths, strict=True)]
    print_line(_line([click.style(title, bold=True) if bold else title for title in titles]))
    for row in cells:
        line = _line([(c if len(c) <= w else c[: w - 1] + "…").ljust(w) for c, w in zip(row, widths, strict=True)])
        if len(line) > room:
            line = line[: -len(row[-1])].rstrip() + f"\n    {row[-1]}"
        print_line(line)


_COLORS = {"ok": "green", "warning": "yellow", "problem": "red", "unknown": "cyan"}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what a look at the environment found, a line each, and below it the line that closes the gap.

    On a terminal a long one goes on below itself; the line to add stays whole, to be copied.
    """
    from ci_bridge.report.escape import log_line

    width = max((len(finding.title) for finding in findings), default=0)
    margin = " " * (len("problem") + 2 + width + 2)
    room = sys.maxsize
    if is_terminal(sys.stdout):
        room = max(20, shutil.get_terminal_size().columns - len(margin))
    for finding in findings:
        state = finding.state.ljust(len("problem"))
        if has_color(sys.stdout):
            state = click.style(state, fg=_COLORS[finding.state])
        first, *others = textwrap.wrap(log_line(finding.detail), room, break_on_hyphens=False) or [""]
        print_line(f"{state}  {finding.title.ljust(width)}  {first}".rstrip())
        for line in others:
            print_line(margin + line)
        if finding.line_to_add:
            print_line(f"{margin}add: {log_line(finding.line_to_add)}")


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cells).rstrip()


def print_json(value: Any) -> None:
    """Print a value as JSON to stdout."""
    print_line(json.dumps(value, indent=2, default=str, allow_nan=False))


def print_line(text: str) -> None:
    """Print a line of data to stdout. A reader that has seen enough (``| head``) is no error.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        click.echo(text, file=sys.stdout)
    except OSError as error:
        _silence(1)
        if error.errno != errno.EPIPE:
            raise OutputError(f"stdout: {error.strerror}") from error


def say(text: str) -> None:
    """A line for people, to stderr, with nothing in it that a log viewer would execute."""
    from ci_bridge.report.escape import log_line

    with people() as stream:
        click.echo(log_line(text), file=stream)


@contextmanager
def people() -> Iterator[TextIO]:
    """The stream that people read. That it is full or closed changes nothing: there is nobody to tell."""
    try:
        yield sys.stderr or io.StringIO()
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        _silence(2)


def masked(text: str) -> str:
    """The text without the secrets of the process's environment."""
    return _masker().clean(text)


@cache
def _masker() -> Masker:
    from ci_bridge.masking import Masker

    return Masker.from_environment(os.environ)


class LogLines(logging.Handler):
    """Shows people the log: warnings, each once; with ``detailed_logging`` the rest as well."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        from ci_bridge.report.escape import escape_log

        text = masked(record.getMessage())
        if record.levelno >= logging.WARNING:
            if text not in self._warned:
                self._warned.add(text)
                say(f"warning: {text}")
            return
        if record.exc_info and record.exc_info[1]:
            text += "\n" + masked("".join(traceback.format_exception(record.exc_info[1])).rstrip())
        with people() as stream:
            click.echo(escape_log(text, prefix="debug: "), file=stream)


def is_terminal(stream: TextIO | None) -> bool:
    """False for a stream that is closed."""
    return stream is not None and stream.isatty()


def terminal_width() -> int:
    """Columns of the terminal that people read on; 80 where there is none."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stderr) else 80


def has_color(stream: TextIO | None = None) -> bool:
    """Colours only on terminals, and never with NO_COLOR."""
    return is_terminal(stream or sys.stderr) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Progress:
    """A progress bar on long reads, where stderr is a terminal."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and is_terminal(sys.stderr)
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None] | None:
        return self._advance if self._enabled else None

    def _advance(self, done: int, total: int) -> None:
        if total < 20_000_000:  # read before anybody could look
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task("Reading results", total=total)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
