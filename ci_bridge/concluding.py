"""What a run comes to: its state, what is wrong with it, and the exit code. docs/design.md, "State and exit codes"."""

from __future__ import annotations

from ci_bridge.config import Settings
from ci_bridge.models import FileState, Judgement, Report, Results, RunState, Verdict


def conclude(results: Results, judgement: Judgement, fail_on: str) -> RunState:
    """The state of a run. It follows ``fail_on``, and judges like ``failures`` where that is ``never``.

    Input that could not be read, or only in part, is never green.
    """
    if not results.totals.total:
        return RunState.ERROR if unreadable_files(results) else RunState.NO_RESULTS
    if results.dropped or unreadable_files(results):
        return RunState.ERROR
    if fail_on == "new-failures":
        counts = judgement.counts
        flaky_red = sum(judged.case.is_failure for judged in judgement.of(Verdict.FLAKY))
        red = results.totals.red - counts[Verdict.KNOWN] - flaky_red
    else:
        red = results.totals.error if fail_on == "errors" else results.totals.red
    return RunState.FAILURE if red else RunState.SUCCESS


def problem_of(results: Results, ending: str) -> str:
    """What is wrong where a command failed and no test tells why; empty where one does, or where it succeeded."""
    if not ending or results.totals.red:
        return ""
    if results.totals.total:
        return f"{ending}, though none of its tests failed"
    what = "no readable results" if unreadable_files(results) else "no results"
    return f"{ending}{',' if ',' in ending else ''} and wrote {what}"


def unreadable_files(results: Results) -> list[str]:
    """The files that were lost, in whole or in part."""
    return [file.path for file in results.files if file.state is FileState.UNREADABLE or file.incomplete]


def exit_code_of(report: Report, settings: Settings) -> int:
    """The exit code of a report; see docs/design.md, "Exit codes"."""
    if not report.results.totals.total:
        return 3
    lost = bool(unreadable_files(report.results) or report.results.dropped)
    if lost and (settings.fail_on != "never" or settings.strict):
        return 3
    if report.state is RunState.FAILURE and settings.fail_on != "never":
        return 1
    for receipt in report.receipts:
        channel = receipt.channel.partition(":")[0]
        required = channel in settings.required_channels
        if receipt.state == "failed" and (required or settings.strict):
            return 4
        if receipt.state == "unsupported" and required:
            return 4
    return 0


def summary_of(results: Results) -> dict[str, object]:
    """The counts of a run in the words of the public API."""
    totals = results.totals
    return {
        "total_tasks": totals.total,
        "task_statuses": {
            "completed": totals.passed,
            "failed": totals.failed,
            "error": totals.error,
            "skipped": totals.skipped,
        },
        "duration": totals.duration,
    }
