"""The HTML report: one self-contained file that works without a network and without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, TextIO

from ci_bridge._version import __version__
from ci_bridge.models import FileState, Report, Row, RunState, Verdict, case_of_row
from ci_bridge.report.escape import guard_script, safe_url
from ci_bridge.report.rows import Verdicts, names_are_plain
from ci_bridge.report.sections import (
    Entry,
    Section,
    baseline_name,
    counts_of,
    job_name,
    sections_of,
    shard_rows,
    shards_text,
)
from ci_bridge.report.templates import html_environment, ours, template_text
from ci_bridge.report.wording import (
    SHORT_SHA,
    all_judged,
    count_text,
    duration_text,
    headline,
    look,
    plural,
    tally,
)

if TYPE_CHECKING:
    from markupsafe import Markup

EMBEDDED = 200_000
"""Passed cases that the page holds; a browser still opens it at once. The rest is in the JSON report."""

_ENTRIES = 1_000
_DETAILS = 20_000
_ALL_DETAILS = 8_000_000
_FIRST_ROWS = 200
_FILES = 500
_OPEN = 3
_TABLES = ("slowest", "metrics", "system")
_COLLAPSED = ("known", "fixed", "groups", "remarks")
_OUTCOMES = {"passed": "p", "failed": "f", "error": "e", "skipped": "s"}
_SIGNS = {
    RunState.SUCCESS: "M7 12.5l3.5 3.5L17 9",
    RunState.FAILURE: "M8 8l8 8M16 8l-8 8",
    RunState.ERROR: "M12 6.5v7M12 17.4v.1",
    RunState.NO_RESULTS: "M12 6.5v7M12 17.4v.1",
    RunState.PENDING: "M12 7v5.5l3.5 2",
}
_VERDICTS = {"new": "n", "known": "k", "flaky": "y", "fixed": "x", "unjudged": "u"}


def write_html(report: Report, stream: TextIO, *, embedded: int = EMBEDDED) -> None:
    """Write the report as one HTML page.

    Failures with their texts are plain HTML; the list of all cases is JSON that a small script shows as far as it is
    scrolled to.

    Args:
        report: The run. Memory does not grow with the number of passed cases.
        stream: UTF-8 text.
        embedded: Passed cases that the page may hold (and as many others); a line says where the rest is.
    """
    style, script = template_text("report.css"), template_text("report.js")
    anchors = _Anchors()
    values = {
        **_frame(report),
        **_body(report, anchors, embedded),
        "style": ours(style),
        "script": ours(script),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "blocks": _blocks(report, anchors, embedded),
    }
    stream.writelines(html_environment().get_template("report.html.j2").generate(values))
    stream.write("\n")


def _hash(text: str) -> Markup:
    digest = hashlib.sha256(text.encode()).digest()
    return ours(f"sha256-{base64.b64encode(digest).decode()}")


@dataclass(slots=True)
class _Anchors:
    """Identity -> number of its place on the page."""

    numbers: dict[str, int] = field(default_factory=dict)

    def add(self, identity: str) -> int:
        return self.numbers.setdefault(identity, len(self.numbers))


def _frame(report: Report) -> dict[str, Any]:
    context, run = report.context, report.run
    facts = [
        ("Repository", context.repository, context.repository_url),
        ("Branch", context.branch or context.tag, None),
        ("Commit", (context.status_sha or "")[:SHORT_SHA], report.links.get("commit")),
        ("Pull request", context.pr_number and f"#{context.pr_number}", report.links.get("pull_request")),
        ("Build", context.build_number or context.build_id, context.job_url or context.build_url),
        ("Compared with", baseline_name(report), None),
        ("", run.created_at.strftime("%Y-%m-%d %H:%M UTC"), None),
    ]
    shown = look(report)
    return {
        "look": "known" if shown == "warning" else shown,
        "title": report.title,
        "job": job_name(report),
        "shard": report.shard,
        "sign": {"known": "M7.5 12h9", "warning": _SIGNS[RunState.ERROR]}.get(shown) or _SIGNS[report.state],
        "headline": (words := headline(report))[:1].upper() + words[1:],
        "facts": [{"label": label, "text": text, "url": safe_url(url or "")} for label, text, url in facts if text],
        "footer": f"ci-bridge {__version__} · run {run.id}",
    }


def _body(report: Report, anchors: _Anchors, embedded: int) -> dict[str, Any]:
    results, totals = report.results, report.results.totals
    counts = counts_of(report)
    sections = sections_of(report, limit=_ENTRIES)
    plain_passed = totals.passed - totals.flaky
    others = totals.total - totals.passed
    missing = max(0, totals.passed - embedded) + max(0, others - embedded)
    everything = report.links.get("json", "report.json")
    shown_files = sorted(results.files, key=lambda file: file.state is FileState.READ)[:_FILES]
    return {
        "tiles": [
            {"key": count.title.lower(), "title": count.title, "text": count.text, "delta": count.delta}
            for count in counts
        ],
        "shards": [{"name": shard.shard, "state": shard.state, "cells": cells} for shard, cells in shard_rows(report)],
        "shards_text": shards_text(report),
        "columns": [count.title for count in counts],
        "bar": _bar({"passed": plain_passed, "flaky": totals.flaky, "failed": totals.red, "skipped": totals.skipped}),
        "bar_label": ", ".join(f"{count.text} {count.title.lower()}" for count in counts[:4]),
        "sections": _unfolded(report, [s for s in sections if s.key not in _TABLES], anchors),
        "tables": [{"key": s.key, "title": s.title, "entries": s.entries} for s in sections if s.key in _TABLES],
        "total": totals.total,
        "total_text": count_text(totals.total),
        "everything": everything,
        "not_embedded": f"{plural(missing, 'test')} more than this page can hold are in {everything}."
        if missing
        else "",
        "filters": _filters(report),
        "first_rows": [
            {"outcome": row[5], "name": case_of_row(row).display_name, "time": duration_text(row[6])}
            for row in islice(_rows(report), _FIRST_ROWS)
        ],
        "files": shown_files,
        "file_number": len(results.files),
        "file_count": count_text(len(results.files)),
    }


def _rows(report: Report) -> Iterator[Row]:
    for batch in report.results.rows():
        yield from batch


def _filters(report: Report) -> list[dict[str, str]]:
    totals, counts = report.results.totals, tally(report)
    buttons = (
        ("", "All", totals.total),
        ("red", "Failed", totals.red),
        ("n", "New", counts.new),
        ("k", "Known", counts.known),
        ("y", "Flaky", counts.flaky),
        ("x", "Fixed", counts.fixed),
        ("s", "Skipped", totals.skipped),
        ("p", "Passed", totals.passed - totals.flaky),
    )
    return [{"code": code, "title": title, "count": count_text(n)} for code, title, n in buttons if n or not code]


def _bar(parts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Widths of the parts in thousandths; what is there at all is wide enough to be seen."""
    total = sum(parts.values())
    if not total:
        return []
    widths = {key: max(6.0, number * 1000 / total) for key, number in parts.items() if number}
    scale = 1000 / sum(widths.values())
    bar: list[dict[str, Any]] = []
    at = 0.0
    for key, width in widths.items():
        bar.append({"key": key, "x": round(at, 2), "width": round(width * scale, 2)})
        at += width * scale
    return bar


def _unfolded(report: Report, sections: Sequence[Section], anchors: _Anchors) -> list[dict[str, Any]]:
    identities = {str(verdict): list[str]() for verdict in Verdict}
    for judged in all_judged(report):
        identities[judged.verdict].append(judged.case.identity)
    left = _ALL_DETAILS
    shown = []
    for section in sections:
        own = identities.get(section.key, [])
        entries = []
        for number, entry in enumerate(section.entries):
            details = entry.details[: min(_DETAILS, left)]
            left -= len(details)
            entries.append(
                {
                    **_entry(entry, details),
                    "anchor": anchors.add(own[number]) if number < len(own) else None,
                    "open": section.key in ("new", "unjudged") and number < _OPEN,
                }
            )
        shown.append(
            {
                "key": section.key,
                "title": section.title,
                "count": count_text(section.total),
                "hidden": section.hidden,
                "collapsed": section.key in _COLLAPSED and section.total > (0 if section.key == "known" else 5),
                "entries": entries,
            }
        )
    return shown


def _entry(entry: Entry, details: str) -> dict[str, Any]:
    cut = len(entry.details) - len(details)
    return {
        "name": entry.name,
        "message": entry.message,
        "place": entry.place,
        "url": safe_url(entry.url),
        "evidence": " · ".join(filter(None, (entry.spread(), entry.evidence))),
        "category": entry.category,
        "outcomes": ["A" if char not in "PRFS" else char for char in entry.spark[-60:]],
        "details": f"{details}\n[… {count_text(cut)} characters more]" if cut and details else details,
    }


def _blocks(report: Report, anchors: _Anchors, embedded: int) -> Iterator[Markup]:
    """The cases as pieces of JSON: the places that names are in, and place, name, code and seconds of each case."""
    verdicts = Verdicts(report)
    passed_left = other_left = embedded
    for batch in report.results.rows():
        if passed_left <= 0:
            batch = [row for row in batch if row[7] is not None]
        plain = names_are_plain(batch, '"\\')
        places: dict[tuple[Any, ...], int] = {}
        out: list[str] = []
        for row in batch:
            suite, classname, file, name, _, outcome, duration, extra = row
            code = "p"
            if outcome == "passed":
                if passed_left <= 0:
                    continue
                passed_left -= 1
            elif other_left <= 0:
                continue
            else:
                other_left -= 1
                code = _OUTCOMES[outcome]
            if extra is not None or name in verdicts.fixed_names:
                code += _code(row, verdicts, anchors)
            place = places.setdefault((suite, classname, file), len(places))
            quoted = f'"{name}"' if plain else encode_basestring(name)
            out.append(f'{place},{quoted},"{code}",{duration if 0 <= duration < 1e15 else 0:.6g}')
        if out:
            titles = json.dumps([_place(*place) for place in places], ensure_ascii=False)
            yield ours(guard_script(f'{{"places":{titles},"rows":[{",".join(out)}]}}'))


def _code(row: Row, verdicts: Verdicts, anchors: _Anchors) -> str:
    judged = verdicts.of(row)
    word = verdicts.name_of(row)
    if judged is None:
        return _VERDICTS.get(word, "")
    anchor = anchors.numbers.get(judged.case.identity)
    return _VERDICTS[word] + ("" if anchor is None else str(anchor))


def _place(suite: tuple[str, ...], classname: str, file: str) -> str:
    """What stands before the name, as in :func:`ci_bridge.models.display_name_of`."""
    name = case_of_row((suite, classname, file, "", 0, "passed", 0.0, None)).display_name
    return name.removesuffix("::")
