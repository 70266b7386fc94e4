"""What the command line prints: data to stdout, lines for people to stderr, each safe for a log viewer."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ci_bridge.protocols import Finding


def shown(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def minute(moment: datetime | None) -> str:
    """A time to the minute; empty for None."""
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows of the history as JSON, or the given columns (all by default) as a table."""
    if as_json:
        print_json(list(rows))
        return
    columns = columns or tuple(rows[0] if rows else ("nothing",))
    print_table(columns, [[shown(row[column]) for column in columns] for row in rows])
    if not rows:
        say("nothing recorded yet")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, each as wide as its content; on a terminal the widest column gives way so that lines fit."""
    from ci_bridge.report.escape import log_line

    cells = [[log_line(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - 2 * (len(widths) - 1)
        while sum(widths) > room and max(widths) > 12:
            widest = widths.index(max(widths))
            widths[widest] = max(12, widths[widest] - (sum(widths) - room))
    bold = has_color(sys.stdout)
    print_line(
        _line(
            [click.style(h.ljust(w), bold=True) if bold else h.ljust(w) for h, w in zip(headers, widths, strict=True)]
        )
    )
    for row in cells:
        print_line(_line([(c if len(c) <= w else c[: w - 1] + "…").ljust(w) for c, w in zip(row, widths, strict=True)]))


_COLORS = {"ok": "green", "warning": "yellow", "problem": "red", "unknown": "cyan"}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what a look at the environment found, a line each, and below it the line that closes the gap."""
    from ci_bridge.report.escape import log_line

    width = max((len(finding.title) for finding in findings), default=0)
    for finding in findings:
        state = finding.state.ljust(len("problem"))
        if has_color(sys.stdout):
            state = click.style(state, fg=_COLORS[finding.state])
        print_line(f"{state}  {finding.title.ljust(width)}  {log_line(finding.detail)}")
        if finding.line_to_add:
            print_line(f"{' ' * (width + 11)}add: {log_line(finding.line_to_add)}")


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cells).rstrip()


def print_json(value: Any) -> None:
    """Print a value as JSON to stdout."""
    print_line(json.dumps(value, indent=2, default=str, allow_nan=False))


def print_line(text: str) -> None:
    """Print a line of data to stdout."""
    click.echo(text)


def say(text: str) -> None:
    """A line for people, to stderr, with nothing in it that a log viewer would execute."""
    from ci_bridge.report.escape import log_line

    click.echo(log_line(text), err=True)


def terminal_width() -> int:
    """Columns of the terminal that people read on; 80 where there is none."""
    return shutil.get_terminal_size().columns if sys.stderr.isatty() else 80


def has_color(stream: Any = None) -> bool:
    """Colours only on terminals, and never with NO_COLOR."""
    return (stream or sys.stderr).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Progress:
    """A progress bar on long reads, where stderr is a terminal."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr.isatty()
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
