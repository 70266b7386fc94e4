"""What a run comes to in words: the headline, the status line, numbers and durations for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ci_bridge.models import FileState, JudgedCase, Report, RunState, Verdict
from ci_bridge.report.escape import fold

THIN_SPACE = "\u202f"
EMOJI = {
    RunState.PENDING: "⏳",
    RunState.SUCCESS: "✅",
    RunState.FAILURE: "❌",
    RunState.ERROR: "⚠️",
    RunState.NO_RESULTS: "⚠️",
}
_SPARKS = {"P": "▁", "R": "▅", "F": "█", "S": "▂"}
SHORT_SHA = 7


def count_text(number: int) -> str:
    """``1215`` as ``1 215`` with a narrow no-break space."""
    return f"{number:,}".replace(",", THIN_SPACE)


def plural(number: int, one: str, many: str = "") -> str:
    """``2 failures``, ``1 failure``."""
    return f"{count_text(number)} {one if number == 1 else many or one + 's'}"


def duration_text(seconds: float) -> str:
    """Seconds as ``<1 ms``, ``340 ms``, ``1.2 s``, ``41 s``, ``2m 41s`` or ``1h 02m``."""
    if seconds <= 0:
        return "0 s"
    if seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    minutes = round(seconds / 60)
    return f"{count_text(minutes // 60)}h {minutes % 60:02d}m"


def delta_text(now: int, before: int | None) -> str:
    """``+12``, ``−3`` or nothing."""
    if before is None or now == before:
        return ""
    return f"{'+' if now > before else '−'}{count_text(abs(now - before))}"


def duration_delta_text(now: float, before: float | None) -> str:
    """``+4 %``, ``×2.5`` from the double on, nothing below one per cent or where either side is under 0.1 s."""
    if before is None or before < 0.1 or now < 0.1:
        return ""
    percent = round((now / before - 1) * 100)
    if percent >= 100:
        return f"×{now / before:.1f}"
    return f"{'+' if percent > 0 else '−'}{abs(percent)} %" if percent else ""


def spark_text(spark: str) -> str:
    """A row of blocks for the outcomes of recent runs, oldest first; ``·`` where the case was absent."""
    return "".join(_SPARKS.get(char, "·") for char in spark[-40:])


def date_text(moment: datetime) -> str:
    """A date in UTC."""
    return moment.strftime("%Y-%m-%d")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of the headline: our ``text``, then ``data`` that somebody else chose, mostly a branch's name."""

    text: str
    data: str = ""

    def __str__(self) -> str:
        return f"{self.text} {fold(self.data, 60)}" if self.data else self.text


@dataclass(frozen=True, slots=True)
class Tally:
    """How the red and the flaky cases of a run divide. ``new + known + unjudged + flaky_failed = totals.red``."""

    new: int
    known: int
    unjudged: int
    flaky_failed: int
    flaky_passed: int
    fixed: int

    @property
    def flaky(self) -> int:
        """All flaky cases, whatever they came to in the end."""
        return self.flaky_failed + self.flaky_passed


def all_judged(report: Report) -> Sequence[JudgedCase]:
    """The judged cases, and the run's failures and retried passes that nobody judged."""
    judged, results = report.judgement.judged, report.results
    if len(judged) >= len(results.failures) + len(results.flaky):
        return judged
    known = {one.case.identity for one in judged}
    return [
        *judged,
        *(JudgedCase(case, Verdict.UNJUDGED) for case in results.failures if case.identity not in known),
        *(JudgedCase(case, Verdict.FLAKY) for case in results.flaky if case.identity not in known),
    ]


def tally(report: Report) -> Tally:
    """Count so that everything adds up, also where a caller judged only some of the failures."""
    if shards := report.shards:  # their lists of cases are bounded, their numbers count all
        return Tally(
            new=sum(shard.new for shard in shards),
            known=sum(shard.known for shard in shards),
            unjudged=sum(shard.unjudged for shard in shards),
            flaky_failed=sum(shard.flaky_failed for shard in shards),
            flaky_passed=sum(shard.flaky_passed for shard in shards),
            fixed=sum(shard.fixed for shard in shards),
        )
    new = known = flaky_failed = flaky_passed = 0
    for judged in all_judged(report):
        red = judged.case.is_failure
        new += red and judged.verdict is Verdict.NEW
        known += red and judged.verdict is Verdict.KNOWN
        flaky_failed += red and judged.verdict is Verdict.FLAKY
        flaky_passed += not red and judged.verdict is Verdict.FLAKY
    totals = report.results.totals
    unjudged = max(0, totals.red - new - known - flaky_failed)
    return Tally(new, known, unjudged, flaky_failed, max(flaky_passed, totals.flaky), len(report.judgement.fixed))


def verdict_counts(report: Report) -> dict[Verdict, int]:
    """Verdict -> number of cases."""
    if not report.shards:
        return report.judgement.counts
    counts = tally(report)
    return {
        Verdict.NEW: counts.new,
        Verdict.KNOWN: counts.known,
        Verdict.FLAKY: counts.flaky,
        Verdict.FIXED: counts.fixed,
        Verdict.UNJUDGED: counts.unjudged,
    }


def problem_files(report: Report) -> int:
    """Number of input files that could not be read."""
    return sum(file.state is FileState.UNREADABLE for file in report.results.files)


def headline_phrases(report: Report) -> list[Phrase]:
    """The verdict in parts, the worst news first."""
    counts, totals = tally(report), report.results.totals
    parts: list[Phrase] = []
    if report.state is RunState.PENDING:
        return _progress(report)
    if report.problem:
        parts.append(Phrase(report.problem))
    if unreadable := problem_files(report):
        parts.append(Phrase(f"{plural(unreadable, 'file')} could not be read"))
    if report.results.dropped:
        parts.append(Phrase(f"{plural(report.results.dropped, 'test')} beyond the cap left out"))
    if report.state is RunState.NO_RESULTS and not totals.total:
        return [*parts, Phrase("no test results")]
    if report.problem and not totals.total:
        return parts
    if silent := sum(not shard.totals.total for shard in report.shards):
        parts.append(Phrase(f"{plural(silent, 'shard')} without results"))
    if report.state is RunState.ERROR and not parts:
        parts.append(Phrase("the run is not complete"))
    if counts.new:
        parts.append(Phrase(plural(counts.new, "new failure")))
    elif totals.red and not counts.unjudged:
        parts.append(Phrase("no new failures"))
    if counts.unjudged:
        parts.append(Phrase(f"{plural(counts.unjudged, 'failure')} with nothing to compare to"))
    if counts.flaky_failed:
        parts.append(Phrase(plural(counts.flaky_failed, "flaky failure")))
    if counts.known:
        text = f"{count_text(counts.known)} already failing"
        branch = report.judgement.baseline.branch if report.judgement.baseline else None
        parts.append(Phrase(f"{text} on", branch) if branch else Phrase(text))
    if counts.flaky_passed:
        parts.append(Phrase(f"{count_text(counts.flaky_passed)} flaky"))
    if not totals.red:
        ran = totals.total - totals.skipped
        all_passed = f"{plural(ran, 'test')} passed" if ran else "no test ran"
        first = bool(report.problem) + bool(unreadable) + bool(report.results.dropped) + bool(silent)
        parts.insert(first, Phrase(all_passed))
        if totals.skipped:
            parts.append(Phrase(f"{count_text(totals.skipped)} skipped"))
    if counts.fixed:
        parts.append(Phrase(f"{count_text(counts.fixed)} fixed"))
    if report.missing_shards:
        parts.append(Phrase(_awaited(report)))
    return parts


def _progress(report: Report) -> list[Phrase]:
    """What can be said of a run that is not over; nothing here sounds like a verdict."""
    if not report.shards:
        return [Phrase("tests are running")]
    passed = plural(report.results.totals.passed, "test")
    return [Phrase(_awaited(report)), Phrase(f"{passed} passed so far")]


def _awaited(report: Report) -> str:
    return f"waiting for {report.missing_shards} of {plural(report.shard_total or 0, 'shard')}"


def headline(report: Report) -> str:
    """The verdict in one line of plain text: ``2 new failures · 3 already failing on main · 1 flaky``."""
    return " · ".join(str(phrase) for phrase in headline_phrases(report))


def emoji(report: Report) -> str:
    """The sign before the headline."""
    return {"known": "🟡", "warning": "⚠️"}.get(look(report)) or EMOJI[report.state]


def look(report: Report) -> str:
    """How a run is shown: its state, but ``known`` or ``warning`` for one that holds failures and passes all the same.

    ``fail_on`` decides what fails a build, never what looks green.
    """
    if is_red_but_known(report):
        return "known"
    return "warning" if report.state is RunState.SUCCESS and report.results.totals.red else str(report.state)


def is_red_but_known(report: Report) -> bool:
    """True for a run whose failures are all known or flaky: it is not green, and not this change's fault."""
    if report.state not in (RunState.FAILURE, RunState.SUCCESS):
        return False
    counts = tally(report)
    return bool(counts.known + counts.flaky_failed) and not counts.new + counts.unjudged


def counts_line(report: Report) -> str:
    """``1 204 passed, 2 failed, 1 flaky, 8 skipped``; the parts add up to all cases."""
    totals = report.results.totals
    parts = [f"{count_text(totals.passed - totals.flaky)} passed"]
    parts += [f"{count_text(totals.failed)} failed"] if totals.failed else []
    parts += [plural(totals.error, "error")] if totals.error else []
    parts += [f"{count_text(totals.flaky)} flaky"] if totals.flaky else []
    parts += [f"{count_text(totals.skipped)} skipped"] if totals.skipped else []
    return ", ".join(parts)


def status_description(report: Report, format: str = "detailed", limit: int = 140) -> str:  # noqa: A002 - the option's word
    """The description of a commit status: plain text on one line.

    Args:
        report: What to describe.
        format: ``minimal`` (the first part of the verdict), ``basic`` (the counts) or ``detailed`` (the verdict, the
            counts and the time), the values of the option ``status_update_format``.
        limit: Characters; what does not fit is left out part by part, then cut.
    """
    phrases = [str(phrase) for phrase in headline_phrases(report)]
    totals = report.results.totals
    if format == "minimal":
        return fold(phrases[0], limit)
    counted = counts_line(report) if totals.total else ""
    timed = f"in {duration_text(totals.duration)}" if totals.total else ""
    if format == "basic":
        problems = phrases[: bool(report.problem) + bool(problem_files(report)) + bool(report.results.dropped)]
        return fold(" · ".join([*problems, counted]) if counted else phrases[0], limit)
    full = [*phrases]
    if totals.red and counted:
        full.append(counted)
    if timed:
        full.append(timed)
    while len(full) > 1 and len(" · ".join(full)) > limit:
        full.pop()
    return fold(" · ".join(full), limit)
