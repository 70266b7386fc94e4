"""What a report has to say, as ranked sections of plain entries; the sinks only choose how to show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ci_bridge.analysis import telling_line
from ci_bridge.models import (
    Case,
    FailureGroup,
    FileState,
    JudgedCase,
    Metric,
    Report,
    RunState,
    ShardResult,
    Totals,
    Verdict,
    display_name_of,
)
from ci_bridge.report.escape import fold
from ci_bridge.report.wording import (
    SHORT_SHA,
    all_judged,
    count_text,
    date_text,
    delta_text,
    duration_delta_text,
    duration_text,
    plural,
    tally,
)

TITLES = {
    "problems": "Problems",
    "new": "New failures",
    "unjudged": "Failures with nothing to compare to",
    "flaky": "Flaky",
    "known": "Known failures",
    "fixed": "Fixed",
    "slower": "Slower",
    "groups": "Same error",
    "slowest": "Slowest tests",
    "metrics": "Metrics",
    "system": "System",
    "remarks": "Remarks on files",
}
"""Key of a section -> its title, in the order of reading."""

NOUNS = {
    "problems": "problem",
    "new": "new failure",
    "unjudged": "failure with nothing to compare to|failures with nothing to compare to",
    "flaky": "flaky test",
    "known": "known failure",
    "fixed": "fixed test",
    "slower": "slower test",
    "groups": "group with the same error|groups with the same error",
    "slowest": "slow test",
    "metrics": "metric",
    "system": "fact of the system|facts of the system",
    "remarks": "remark on a file|remarks on files",
}

_UNCLASSIFIED = "unknown"
"""The category that says nothing; it is not shown."""

_MANY = 25
"""Failures of this change beyond which their common errors say more than the list of them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a section, with what can be unfolded below it. All fields are data, but for ``evidence`` mostly ours.

    Attributes:
        name: A test, a file, a metric.
        message: Why, in one line.
        evidence: What speaks for it, in one line.
        spark: See :class:`ci_bridge.models.Evidence`.
        details: Long text.
        category: Failure class.
        shards: Keys of the parallel jobs that it comes from, out of ``shard_number``; empty in a single job's report.
        place: Where in the code it is, ``file:line``, and ``url``, the page that shows it; both empty if not known.
    """

    name: str
    message: str = ""
    evidence: str = ""
    spark: str = ""
    details: str = ""
    category: str = ""
    shards: tuple[str, ...] = ()
    shard_number: int = 0
    place: str = ""
    url: str = ""

    @property
    def weight(self) -> int:
        """Cases that this line stands for."""
        return max(1, len(self.shards))

    def spread(self, show: Callable[[str, int], str] = fold) -> str:
        """``in ubuntu, windows``; empty where there is only one parallel job.

        Args:
            show: Prepares a shard's key, of so many characters at most, for the sink.
        """
        if not self.shards or self.shard_number < 2:
            return ""
        if len(self.shards) == self.shard_number:
            return f"in all {count_text(self.shard_number)} shards"
        named = ", ".join(show(shard, 60) for shard in self.shards[:3])
        if len(self.shards) <= 3:
            return f"in {named}"
        return f"in {len(self.shards)} of {self.shard_number} shards: {named}, …"


@dataclass(frozen=True, slots=True)
class Section:
    """Entries of one kind. ``total`` counts all of them, ``entries`` those that are shown."""

    key: str
    entries: tuple[Entry, ...]
    total: int

    @property
    def title(self) -> str:
        return TITLES[self.key]

    @property
    def hidden(self) -> int:
        """What is not shown."""
        return max(0, self.total - sum(entry.weight for entry in self.entries))

    def noun(self, number: int) -> str:
        """``12 known failures``."""
        return plural(number, *NOUNS[self.key].split("|"))

    def cut(self, entries: int, details: int) -> Section:
        """Keep the first ``entries`` and ``details`` characters of each one's long text (the limit counts later)."""
        kept = self.entries[:entries]
        if not details:
            kept = tuple(replace(entry, details="") if entry.details else entry for entry in kept)
        return replace(self, entries=kept)


def sections_of(report: Report, *, limit: int = 2_000, slowest: int = 10) -> list[Section]:
    """All that is worth a section, in the order of reading, empty ones left out.

    Args:
        report: What to tell.
        limit: Entries built per section; ``total`` counts the rest.
        slowest: Slowest tests to list.
    """
    judgement, results = report.judgement, report.results
    judged = {verdict: list[JudgedCase]() for verdict in Verdict}
    for item in all_judged(report):
        judged[item.verdict].append(item)
    problems = [file for file in results.files if file.state in (FileState.UNREADABLE, FileState.RECOVERED)]
    # A file that was read may still have lied about its counters or held a text that was cut; one that was ignored may
    # have been meant to hold results.
    quiet = (FileState.READ, FileState.IGNORED)
    remarks = [file for file in results.files if file.state in quiet and (file.note or file.state is not quiet[0])]
    files = [
        *(Entry(file.path, evidence=str(file.state), message=file.note) for file in problems[:limit]),
        *(Entry(note) for note in results.notes[:limit]),
    ]
    groups = [group for group in judgement.groups if len(group.members) > 1]
    counts = tally(report)
    found = {
        "problems": (files, len(problems) + len(results.notes)),
        "new": _judged(report, judged[Verdict.NEW], limit, counts.new),
        "unjudged": _judged(report, judged[Verdict.UNJUDGED], limit, counts.unjudged),
        "flaky": _judged(report, judged[Verdict.FLAKY], limit, counts.flaky),
        "known": _judged(report, judged[Verdict.KNOWN], limit, counts.known),
        "fixed": ([Entry(display_name_of(name)) for name in judgement.fixed[:limit]], len(judgement.fixed)),
        "slower": (
            [
                Entry(
                    display_name_of(slow.identity),
                    evidence=f"{duration_text(slow.before)} → {duration_text(slow.now)} "
                    f"(median of {plural(slow.runs, 'run')})",
                )
                for slow in judgement.slower[:limit]
            ],
            len(judgement.slower),
        ),
        "groups": ([_group(group) for group in groups[:limit]], len(groups)),
        "slowest": (
            [
                Entry(display_name_of(name), evidence=duration_text(seconds))
                for name, seconds in results.slowest[:slowest]
            ],
            min(slowest, len(results.slowest)),
        ),
        "metrics": ([_metric(metric) for metric in report.metrics[:limit]], len(report.metrics)),
        "system": (
            [Entry(fold(str(key), 60), message=fold(str(value), 200)) for key, value in report.system_info.items()],
            len(report.system_info),
        ),
        "remarks": (
            [
                Entry(file.path, file.note, "" if file.state is FileState.READ else str(file.state))
                for file in remarks[:limit]
            ],
            len(remarks),
        ),
    }
    if counts.new + counts.unjudged > _MANY:
        found = {"problems": found["problems"], "groups": found["groups"], **found}
    return [Section(key, tuple(entries), total) for key, (entries, total) in found.items() if total]


def _judged(report: Report, cases: Sequence[JudgedCase], limit: int, counted: int) -> tuple[list[Entry], int]:
    shards = len(report.shards)
    entries = [
        entry_of(judged, shards, *report.sources.get(judged.case.identity, ("", ""))) for judged in cases[:limit]
    ]
    return entries, counted if shards else len(cases)


def entry_of(judged: JudgedCase, shards: int = 0, place: str = "", url: str = "") -> Entry:
    """The entry of a judged case. A case that passed on retry shows why its last bad attempt failed.

    Args:
        judged: The case.
        shards: Parallel jobs that the report sums up, 0 if it is of a single one.
        place: See :class:`Entry`.
        url: The same.
    """
    case = judged.case
    reason, details = reason_of(case)
    category = "" if judged.category == _UNCLASSIFIED else judged.category
    evidence = judged.evidence.text or _retried(case)
    spark = judged.evidence.spark
    return Entry(case.display_name, reason, evidence, spark, details, category, judged.shards, shards, place, url)


def reason_of(case: Case) -> tuple[str, str]:
    """One line and the long text that say why a case failed, or failed before it passed."""
    bad = case
    if not case.is_failure:
        for attempt in reversed(case.attempts):
            if attempt.outcome in ("failed", "error"):
                return _reason(attempt.type, attempt.message, attempt.details), _long_text(
                    attempt.details, attempt.output, attempt.error_output
                )
    return _reason(bad.type, bad.message, bad.details), _long_text(bad.details, bad.output, bad.error_output)


def _reason(type_: str, message: str, details: str) -> str:
    line = fold(telling_line(f"{message}\n{details[:2_000]}"), 300)
    type_ = fold(type_, 200)
    short = type_.rsplit(".", 1)[-1]
    if not line:
        return type_
    return line if not short or short in line else f"{short}: {line}"


def _long_text(details: str, output: str, error_output: str) -> str:
    parts = [details.strip("\r\n ").expandtabs(4)] if details.strip() else []
    parts += [f"--- standard output ---\n{output}"] if output.strip() else []
    parts += [f"--- standard error ---\n{error_output}"] if error_output.strip() else []
    return "\n".join(part.rstrip("\n") for part in parts)


def _retried(case: Case) -> str:
    bad = sum(attempt.outcome in ("failed", "error") for attempt in case.attempts)
    if not bad:
        return ""
    times = {1: "once", 2: "twice"}.get(bad, f"{count_text(bad)} times")
    return f"failed {times}, passed on retry" if not case.is_failure else f"failed {times} before, and again on retry"


def _group(group: FailureGroup) -> Entry:
    text = plural(len(group.members), "failure")
    if group.first_seen:
        text += f", first seen {date_text(group.first_seen)}"
    if group.seen_runs:
        text += f", in {plural(group.seen_runs, 'earlier run')}"
    members = "\n".join(display_name_of(name) for name in group.members[:50])
    if len(group.members) > 50:
        members += f"\n… and {count_text(len(group.members) - 50)} more"
    return Entry(group.signature, evidence=text, details=members, category=group.category)


def _metric(metric: Metric) -> Entry:
    return Entry(metric.name, message=fold(f"{metric.value:g} {metric.unit}", 80))


@dataclass(frozen=True, slots=True)
class Count:
    """One cell of the table of counts: what it is called, its value, and how it differs from the baseline."""

    title: str
    text: str
    delta: str = ""


def counts_of(report: Report) -> tuple[Count, ...]:
    """The cells of the table of counts; Passed, Failed, Flaky and Skipped add up to Total."""
    baseline = report.judgement.baseline
    return _counts(report.results.totals, baseline.totals if baseline else None)


def shard_rows(report: Report, limit: int = 1_000) -> list[tuple[ShardResult, tuple[Count, ...]]]:
    """The table's rows of the single parallel jobs, by name; what :func:`counts_of` answers is their sum.

    Where there are more than ``limit``, those that are not green are kept before the others.
    """
    shards = list(report.shards)
    if len(shards) > limit:
        kept = sorted(shards, key=lambda shard: shard.state is RunState.SUCCESS)[:limit]
        shards = sorted(kept, key=lambda shard: shard.shard)
    return [(shard, _counts(shard.totals, shard.before)) for shard in shards]


def shards_text(report: Report) -> str:
    """``2 of 3 shards``, empty for the report of a single job."""
    if not report.shards:
        return ""
    here = len(report.shards)
    total = max(here, report.shard_total or 0)
    return f"{count_text(here)} of {plural(total, 'shard')}" if report.shard_total else plural(here, "shard")


def _counts(now: Totals, before: Totals | None) -> tuple[Count, ...]:
    def count(title: str, of: str) -> Count:
        old = _cell(before, of) if before else None
        return Count(title, count_text(_cell(now, of)), delta_text(_cell(now, of), old))

    time = Count(
        "Time", duration_text(now.duration), duration_delta_text(now.duration, before.duration if before else None)
    )
    titles = ("Passed", "Failed", "Flaky", "Skipped", "Total")
    return (*(count(title, title.lower()) for title in titles), time)


def _cell(totals: Totals, of: str) -> int:
    if of == "passed":
        return totals.passed - totals.flaky
    return {"failed": totals.red, "flaky": totals.flaky, "skipped": totals.skipped}.get(of, totals.total)


def job_name(report: Report) -> str:
    """``Tests / unit``: which job of which pipeline this report is of, empty if the platform names none."""
    return " / ".join(filter(None, (report.context.pipeline_name, report.context.job_name)))


def baseline_name(report: Report) -> str:
    """``main@a1b2c3d``, empty where nothing was compared."""
    baseline = report.judgement.baseline
    if baseline is None or not report.results.totals.total:
        return ""
    sha = (baseline.commit_sha or "")[:SHORT_SHA]
    branch = baseline.branch or ""
    return f"{branch}@{sha}" if branch and sha else branch or sha or f"run {baseline.run_id[:13]}"


def report_link(report: Report) -> tuple[str, str]:
    """Label and target of the best place to read on; the target is empty if nothing is known.

    A file on the machine of a build is told only where there is no page of that build: nobody else can open it.
    """
    page = report.context.job_url or report.context.build_url or ""
    if (found := rest_link(report))[1] and ("://" in found[1] or not page):
        return found
    return ("build page", page) if page else ("", "")


def tested_page(report: Report) -> str:
    """The page of the build that ran the tests, where another build reports them; else empty."""
    own, tested = report.context.build_id, report.run.build_id
    return report.context.build_url or "" if own and tested and own != tested else ""


def rest_link(report: Report) -> tuple[str, str]:
    """Label and target of a place that holds more than a comment can; the target is empty if there is none.

    The page of a build is one only where the summary is shown there.
    """
    if "://" in (address := report.links.get("report", "")):
        return "full report", address
    if page := report.links.get("summary", ""):
        return "build page", page
    return "full report", report_file(report)


def report_file(report: Report) -> str:
    """The path of the fullest report that people can read, below the workspace if it is; empty if none was written."""
    path = next((path for name in ("html", "markdown", "json") if (path := report.links.get(name))), "")
    workspace = (report.context.workspace or "").rstrip("/")
    return path.removeprefix(f"{workspace}/") if workspace else path
