"""The comment, the job summary and ``report.md``: one renderer, three budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ci_bridge.errors import ConfigError
from ci_bridge.models import Report, RunState
from ci_bridge.report.budget import Quota, fit, size_of
from ci_bridge.report.escape import (
    html_text,
    markdown_block,
    markdown_inline,
    markdown_link,
    markdown_prose,
    refuse_commands,
    safe_url,
    with_marker,
)
from ci_bridge.report.sections import (
    Count,
    Entry,
    Section,
    baseline_name,
    counts_of,
    job_name,
    report_link,
    rest_link,
    sections_of,
    shard_rows,
    shards_text,
    tested_page,
)
from ci_bridge.report.templates import COMMENT_TEMPLATES, markdown_environment, ours, render_file
from ci_bridge.report.wording import EMOJI, emoji, headline, headline_phrases, plural, spark_text, tally

DEFAULT_TITLE = "Test results"
_MOST_SHARDS = 40
_COLLAPSED = frozenset({"known", "fixed", "slowest", "metrics", "system", "remarks"})
_QUOTAS: Mapping[str, Mapping[str, Quota]] = {
    "minimal": {
        "problems": Quota(10),
        "new": Quota(20),
        "unjudged": Quota(20),
    },
    "default": {
        "problems": Quota(20),
        "new": Quota(25, 3_000),
        "unjudged": Quota(25, 3_000),
        "flaky": Quota(15, 1_000),
        "known": Quota(50),
        "fixed": Quota(50),
        "slower": Quota(10),
        "groups": Quota(5, 1_000),
        "remarks": Quota(10),
    },
    "detailed": {
        "problems": Quota(50),
        "new": Quota(100, 8_000),
        "unjudged": Quota(100, 8_000),
        "flaky": Quota(50, 4_000),
        "known": Quota(100, 2_000),
        "fixed": Quota(100),
        "slower": Quota(50),
        "groups": Quota(20, 2_000),
        "slowest": Quota(10),
        "metrics": Quota(50),
        "system": Quota(50),
        "remarks": Quota(50),
    },
}
_SUMMARY_QUOTAS = {key: Quota(1_000, quota.details and 16_000) for key, quota in _QUOTAS["detailed"].items()}


def render_comment(
    report: Report,
    *,
    template: str | Path = "default",
    limit: int = 65_536,
    unit: str = "characters",
    marker_key: str = "report",
) -> str:
    """Render the pull request's comment; its first line is the hidden marker.

    Args:
        report: What to tell.
        template: ``default``, ``minimal``, ``detailed`` or the path of a user's Jinja2 template (docs/reports.md).
        limit: The most that the code host takes, in ``unit``; what does not fit is left out, least valuable first.
        unit: ``characters`` or ``bytes`` (of UTF-8).
        marker_key: Tells this comment from our others.

    Raises:
        ConfigError: If the template cannot be used; names the file and the line.
    """
    name = str(template)
    quotas = _QUOTAS.get(name, _QUOTAS["detailed"])
    if name in COMMENT_TEMPLATES:
        return _render(report, f"comment/{name}.md.j2", None, quotas, limit, unit, marker_key)
    if isinstance(template, str) and not any(char in template for char in "./\\"):
        raise ConfigError(
            f"pr_comment_template {template!r} does not exist",
            hint=f"one of {', '.join(COMMENT_TEMPLATES)}, or the path of a Jinja2 template",
        )
    return _render(report, "", Path(template), quotas, limit, unit, marker_key)


def render_summary(report: Report, *, limit_bytes: int = 1_000_000) -> str:
    """Render the Markdown of the build's own page, at most ``limit_bytes`` bytes of UTF-8."""
    return _render(report, "summary.md.j2", None, _SUMMARY_QUOTAS, limit_bytes, "bytes", None)


def render_markdown(report: Report) -> str:
    """Render the file ``report.md``: as the summary, with room for nearly everything."""
    return render_summary(report, limit_bytes=16 << 20)


def render_brief(report: Report, words: str) -> str:
    """A line of Markdown for places that show the rest elsewhere: these words, and a link to all of it."""
    label, target = report_link(report)
    link = markdown_link(label, target, str) if "://" in target else ""
    return " · ".join(filter(None, (markdown_prose(words), link)))


def _render(
    report: Report,
    template: str,
    custom: Path | None,
    quotas: Mapping[str, Quota],
    limit: int,
    unit: str,
    marker_key: str | None,
) -> str:
    sections = sections_of(report)

    def finish(body: str) -> str:
        text = refuse_commands(body.strip("\n") + "\n")
        return with_marker(text, marker_key) if marker_key is not None else text

    def render(plan: Mapping[str, Quota]) -> str:
        values = _values(report, sections, quotas, plan)
        if custom is not None:
            return finish(render_file(custom, values))
        return finish(markdown_environment().get_template(template).render(values))

    def fits(text: str) -> bool:
        return size_of(text, unit) <= limit

    text = fit(sections, quotas, render, fits)
    return text if text is not None else _bare(report, finish, fits, limit)


def _bare(report: Report, finish: Any, fits: Any, limit: int) -> str:
    """What is left where not even the counts fit: the verdict, cut if need be."""
    for cut in (1_000, 300, 100, 40, 0):
        words = markdown_prose(headline(report), cut) if cut else ""
        text: str = finish(f"### {emoji(report)} {words}".rstrip() + "\n")
        if fits(text):
            return text
    raise ConfigError(f"a comment of {limit} cannot hold even the verdict", hint="raise the limit")


def _values(
    report: Report, sections: Sequence[Section], quotas: Mapping[str, Quota], plan: Mapping[str, Quota]
) -> dict[str, Any]:
    """The variables of a template. Plain text is data and is escaped where it is printed; ours is ``Markup``."""
    shown = [
        section.cut(plan[section.key].entries, plan[section.key].details) for section in sections if section.key in plan
    ]
    counts = counts_of(report)
    return {
        "emoji": ours(emoji(report)),
        "headline": ours(_headline(report)),
        "state": ours(str(report.state)),
        "title": ours(markdown_prose(report.title, 100)) if report.title != DEFAULT_TITLE else ours(""),
        "shard": ours(markdown_inline(report.shard, 100)),
        "job": ours(markdown_inline(job_name(report), 100)),
        "quiet": _is_quiet(report, sections),
        "has_counts": report.results.totals.total > 0,
        "counts": _cells(counts),
        "shards": [
            {"name": ours(markdown_inline(shard.shard, 60)), "state": ours(EMOJI[shard.state]), "counts": _cells(cells)}
            for shard, cells in shard_rows(report, _MOST_SHARDS)
        ],
        "more_shards": max(0, len(report.shards) - _MOST_SHARDS),
        "tally": tally(report),
        "sections": [
            {
                "key": section.key,
                "title": ours(section.title),
                "total": section.total,
                "hidden": section.hidden,
                "collapsed": section.key in _COLLAPSED,
                "entries": [_entry(entry, plan[section.key].details) for entry in section.entries],
            }
            for section in shown
            if section.entries
        ],
        "left_out": ours(_left_out(shown, quotas, plan, rest_link(report))),
        "footer": ours(_footer(report)),
    }


def _cells(counts: Sequence[Count]) -> list[dict[str, Any]]:
    return [{"title": ours(count.title), "text": ours(count.text), "delta": ours(count.delta)} for count in counts]


def _entry(entry: Entry, details: int) -> dict[str, Any]:
    return {
        "name": ours(markdown_inline(entry.name, 300)),
        "message": ours(markdown_inline(entry.message, 300)),
        "evidence": ours(" · ".join(filter(None, (entry.spread(markdown_inline), markdown_prose(entry.evidence))))),
        "spark": ours(html_text(spark_text(entry.spark))),
        "category": ours(markdown_prose(entry.category, 40)),
        "place": ours(_place(entry)),
        "details": ours(markdown_block(entry.details, details)) if entry.details and details else ours(""),
    }


def _place(entry: Entry) -> str:
    # HTML, because Markdown means nothing in the line that unfolds a trace.
    name = markdown_inline(entry.place, 100)
    return f'<a href="{html_text(url)}">{name}</a>' if (url := safe_url(entry.url)) and name else name


def _headline(report: Report) -> str:
    text = " · ".join(
        f"{phrase.text} {markdown_inline(phrase.data, 60)}".rstrip() for phrase in headline_phrases(report)
    )
    return text[:1].upper() + text[1:]


def _is_quiet(report: Report, sections: Sequence[Section]) -> bool:
    loud = {"problems", "new", "unjudged", "flaky", "known", "fixed", "slower"}
    return report.state is RunState.SUCCESS and not any(section.key in loud for section in sections)


def _where(report: Report) -> str:
    label, target = report_link(report)
    return markdown_link(label, target, str) if label else ""


def _left_out(
    shown: Sequence[Section], quotas: Mapping[str, Quota], plan: Mapping[str, Quota], rest: tuple[str, str]
) -> str:
    missing = [section.noun(section.hidden) for section in shown if section.hidden]
    short = any(plan[section.key].details < quotas[section.key].details for section in shown)
    if short:
        missing.append("long texts")
    if not missing:
        return ""
    label, target = rest
    where = f"; see the {markdown_link(label, target, str)}" if target else ""
    return f"Left out here: {', '.join(missing)}{where}."


def _footer(report: Report) -> str:
    parts = [name] if (name := markdown_inline(job_name(report), 100)) else []
    files = [file for file in report.results.files if file.cases]
    if report.shards:
        parts.append(shards_text(report))
    elif len(files) > 1:
        parts.append(plural(len(files), "file"))
    if name := baseline_name(report):
        parts.append(f"compared with {markdown_inline(name, 100)}")
    elif report.results.totals.total:
        parts.append("nothing to compare to yet")
    if (page := safe_url(tested_page(report))) and page != report_link(report)[1]:
        parts.append(markdown_link("the tests' build", page, str))
    if where := _where(report):
        parts.append(where)
    parts.append("ci-bridge")
    return " · ".join(parts)
