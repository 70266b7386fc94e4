"""The report on a terminal or in a build log, good at 80 columns, without colour and in plain ASCII."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from ci_bridge.models import Receipt, Report, RunState
from ci_bridge.report.escape import break_commands, log_line, log_lines, without_credentials
from ci_bridge.report.sections import (
    Entry,
    Section,
    baseline_name,
    counts_of,
    job_name,
    report_file,
    sections_of,
    shard_rows,
    shards_text,
)
from ci_bridge.report.wording import count_text, headline, look, spark_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_LIMITS = {
    **dict.fromkeys(("problems", "new", "unjudged"), 20),
    "flaky": 10,
    "known": 0,
    "fixed": 10,
    "slower": 5,
    "groups": 3,
    "remarks": 5,
}
_STYLES = {"problems": "red", "new": "red", "unjudged": "red", "flaky": "yellow", "fixed": "green"}
_SIGNS = {
    RunState.PENDING: ("…", "...", "cyan"),
    RunState.SUCCESS: ("✔", "PASS", "green"),
    RunState.FAILURE: ("✘", "FAIL", "red"),
    RunState.ERROR: ("!", "ERROR", "yellow"),
    RunState.NO_RESULTS: ("!", "NONE", "yellow"),
}
_LOOKS = {"known": ("●", "KNOWN", "yellow"), "warning": ("!", "WARN", "yellow")}
_RECEIPTS = {"sent": "green", "degraded": "yellow", "failed": "red", "skipped": "dim", "unsupported": "dim"}
_ASCII = str.maketrans(
    {
        "·": "|",
        "●": "*",
        "▅": "=",
        "→": "->",
        "−": "-",
        "×": "x",
        "…": "...",
        "–": "-",
        "—": "-",
        "\u202f": " ",
        "▁": "_",
        "▂": "-",
        "█": "#",
    }
)
_TRACE_LINES = 12


def print_terminal(
    report: Report,
    *,
    console_width: int = 80,
    color: bool = False,
    stream: TextIO,
    patterns: Sequence[str] = (),
    base: str = "",
    every_receipt: bool = False,
) -> None:
    """Print the report for people.

    Args:
        report: What to tell.
        console_width: Columns.
        color: Use ANSI colours.
        stream: Where to; what its encoding cannot say is said in ASCII.
        patterns: Log commands of the platforms to break; see :func:`ci_bridge.report.escape.break_commands`.
        base: A folder, with its closing separator; paths below it are shown from there.
        every_receipt: List what was simply sent, too, with its address.
    """
    from rich.console import Console

    ascii_only = not _can_encode(stream, "✔▁█→…")
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=max(40, console_width),
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    _Printer(report, console, ascii_only, base, every_receipt).print()
    text = buffer.getvalue()
    if ascii_only:
        text = text.translate(_ASCII)
    # Wrapping may have moved data to the start of a line, where some log viewers look for commands.
    lines = [break_commands(line.rstrip(), patterns) for line in text.split("\n")]
    encoding = stream.encoding or "utf-8"
    stream.write("\n".join(lines).encode(encoding, "backslashreplace").decode(encoding))


def _can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _channel(receipt: Receipt) -> str:
    """A channel, and where its delivery went instead."""
    went_elsewhere = receipt.state == "degraded" and receipt.via in ("log", "summary", "folder", "status")
    return f"{receipt.channel} (to the {receipt.via})" if went_elsewhere else receipt.channel


class _Printer:
    def __init__(self, report: Report, console: Console, ascii_only: bool, base: str, every_receipt: bool) -> None:
        self.every_receipt = every_receipt
        self.base = base
        self.report = report
        self.console = console
        self.ascii_only = ascii_only

    def blank(self) -> None:
        self.console.print()

    def line(self, text: str, style: str = "", *, indent: int = 0, cut: bool = False) -> None:
        from rich.padding import Padding
        from rich.text import Text

        body = Text(text, style=style, overflow="ellipsis" if cut else "fold", no_wrap=cut)
        self.console.print(Padding(body, (0, 0, 0, indent), expand=False))

    def print(self) -> None:
        report = self.report
        sign, word, style = _LOOKS.get(look(report)) or _SIGNS[report.state]
        verdict = f"{word if self.ascii_only else sign} {log_line(headline(report))}"
        names = (log_line(report.title, 60), log_line(job_name(report), 80), log_line(report.shard, 40))
        title = " · ".join(filter(None, names))
        self.blank()
        self.line(verdict, f"bold {style}")
        compared = f" · compared with {log_line(baseline_name(report), 60)}" if baseline_name(report) else ""
        self.line(f"{title}{compared}", "dim")
        if report.results.totals.total:
            self.blank()
            self.counts()
        for section in sections_of(report, limit=50):
            if section.key in _LIMITS:
                self.section(section)
        self.receipts()
        self.places()
        # What scrolls away comes again: the last line is what people see first.
        self.blank()
        self.line(verdict, f"bold {style}")

    def counts(self) -> None:
        table = self.table()
        cells = counts_of(self.report)
        rows = shard_rows(self.report)
        name = [shards_text(self.report)] if rows else []
        if rows:
            table.add_column("Shard", overflow="fold")
        for cell in cells:
            table.add_column(cell.title, justify="right", no_wrap=True)
        for shard, own in rows:
            table.add_row(log_line(shard.shard, 40), *(cell.text for cell in own))
        table.add_row(*name, *(cell.text for cell in cells))
        if any(cell.delta for cell in cells):
            table.add_row(*("" for _ in name), *(cell.delta for cell in cells), style="dim")
        self.console.print(table)

    def table(self) -> Table:
        from rich.box import ASCII2, SIMPLE_HEAD
        from rich.table import Table

        return Table(box=ASCII2 if self.ascii_only else SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")

    def section(self, section: Section) -> None:
        limit = _LIMITS[section.key]
        self.blank()
        style = _STYLES.get(section.key, "")
        self.line(f"{section.title} ({count_text(section.total)})", f"bold {style}".strip())
        for number, entry in enumerate(section.entries[:limit]):
            self.entry(section.key, entry, with_trace=section.key in ("new", "unjudged") and number < 5)
        if limit and (hidden := section.cut(limit, 1).hidden):
            path = self.short(report_file(self.report))
            where = f", see {log_line(path, 300)}" if path else ""
            self.line(f"… and {count_text(hidden)} more{where}", "dim", indent=2)

    def entry(self, key: str, entry: Entry, *, with_trace: bool) -> None:
        self.line(log_line(entry.name, 400), indent=2)
        if entry.message:
            self.line(log_line(entry.message, 300), _STYLES.get(key, ""), indent=4)
        facts = [
            log_line(entry.spread(), 300),
            log_line(entry.category, 40),
            log_line(entry.evidence, 300),
            spark_text(entry.spark),
        ]
        if any(facts):
            self.line(" · ".join(fact for fact in facts if fact), "dim", indent=4)
        if with_trace and entry.details:
            lines = log_lines(entry.details.rstrip("\n").expandtabs(4), prefix="│ " if not self.ascii_only else "| ")
            for text in [line for line in lines if line[2:].strip()][-_TRACE_LINES:]:
                self.line(text[:1_000], "dim", indent=4, cut=True)

    def receipts(self) -> None:
        """What was delivered in one line, and a line for all else that has the same reason."""
        if not self.report.receipts:
            return
        self.blank()
        sent = [receipt.channel for receipt in self.report.receipts if receipt.state == "sent"]
        if sent and not self.every_receipt:
            self.whole(f"sent: {log_line(', '.join(sent), 300)}", _RECEIPTS["sent"])
        alike: dict[tuple[str, str, str], list[Receipt]] = {}
        for receipt in self.report.receipts:
            if self.every_receipt or receipt.state != "sent":
                key = (receipt.state, receipt.reason, (receipt.url or "") if self.every_receipt else "")
                alike.setdefault(key, []).append(receipt)
        for (state, reason, url), receipts in alike.items():
            channels = ", ".join(map(_channel, receipts))
            parts = (f"{state}: {channels}", self.short(url), reason)
            self.whole(log_line(" · ".join(filter(None, parts)), 1_000), _RECEIPTS.get(state, ""))

    def whole(self, text: str, style: str = "") -> None:
        """A line that wraps between words only: an address or a path stays whole, to be copied."""
        from rich.text import Text

        lines = textwrap.wrap(
            text, self.console.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        for line in lines:
            self.console.print(Text(line, style=style), soft_wrap=True)

    def short(self, place: str) -> str:
        """A path as seen from the folder that we were started in; a URL without credentials."""
        if self.base and place.startswith(self.base):
            return place[len(self.base) :]
        return without_credentials(place)

    def places(self) -> None:
        links = self.report.links
        if not links:
            return
        self.blank()
        width = max(len(log_line(name, 20)) for name in links)
        for name, target in links.items():
            self.whole(f"{log_line(name, 20):<{width}}  {log_line(self.short(target), 500)}")
