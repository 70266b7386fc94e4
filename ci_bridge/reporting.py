"""The main job: read results, judge them against the history, write the reports, deliver them, remember.

The order is the promise: what is on this machine comes first, what needs a network later, each part isolated, so that
a dead channel costs nothing that came before it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform as machine
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TextIO

from ci_bridge import analysis, formats
from ci_bridge.arguments import uuid7
from ci_bridge.artifacts import claim_folder, own_paths, refuse_results
from ci_bridge.atomic import WRITABLE, open_text_atomically, sweep, why_unwritable, write_atomically
from ci_bridge.channels import send_all, tracked_files
from ci_bridge.concluding import conclude, exit_code_of, problem_of, summary_of
from ci_bridge.config import Settings
from ci_bridge.delivery import skipped
from ci_bridge.errors import HistoryError
from ci_bridge.formats.collect import Collected
from ci_bridge.history import History, View
from ci_bridge.memory import record_of
from ci_bridge.models import (
    BuildContext,
    JudgedCase,
    Judgement,
    Metric,
    Receipt,
    Report,
    Results,
    RunState,
    TestRun,
)
from ci_bridge.report import headline, render_comment, render_markdown, write_ctrf, write_html, write_json, write_junit
from ci_bridge.report.templates import COMMENT_TEMPLATES, load_file
from ci_bridge.travels import hand_on, recall
from ci_bridge.web import page_links, source_links
from ci_bridge.workplace import Workplace

logger = logging.getLogger("ci_bridge")

DEFAULT_RESULTS = (
    "**/TEST-*.xml",
    "**/*junit*.xml",
    "**/*-junit/**/*.xml",
    "**/test-results/**/*.xml",
    "**/test-reports/**/*.xml",
    "**/TestResults/**/*.trx",
    "**/*ctrf*.json",
    "**/test-results.xml",
    "**/testresults.xml",
)
"""Where to look when nobody said: the places that common tools write to by themselves."""

USUAL_PLACES = f"{{{','.join(DEFAULT_RESULTS)}}}"
"""The same as one pattern, so that only a search that finds nothing at all is a remark."""


def write_markdown(report: Report, stream: TextIO) -> None:
    """Write the whole report as Markdown."""
    stream.write(render_markdown(report))


REPORT_FILES: Mapping[str, tuple[str, Callable[[Report, TextIO], None]]] = {
    "json": ("report.json", write_json),
    "junit": ("report.xml", write_junit),
    "ctrf": ("report.ctrf.json", write_ctrf),
    "html": ("report.html", write_html),
    "markdown": ("report.md", write_markdown),
}
"""Format -> its file in ``artifact_dir`` and its writer."""


class Stopped(BaseException):
    """The job was told to stop; no handler of errors on the way may take it for one."""


@dataclass(frozen=True, slots=True)
class ReportOutcome:
    """What the job came to.

    Attributes:
        report: What was found; its ``receipts`` say what became of each delivery.
        exit_code: See docs/design.md, "Exit codes".
        files: Format -> path of the report written here.
        warnings: For people, each once.
    """

    report: Report
    exit_code: int
    files: Mapping[str, Path] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def system_facts() -> dict[str, str]:
    """What a reader of a report wants to know of the machine."""
    return {
        "python_version": machine.python_version(),
        "platform": machine.platform(),
        "hostname": machine.node(),
        "cpu_count": str(os.cpu_count() or ""),
    }


def patterns_of(settings: Settings, patterns: Sequence[str] = ()) -> list[str]:
    """What to read: what is named, else the option ``results``, else :data:`DEFAULT_RESULTS`."""
    return list(patterns) or list(settings.results) or [USUAL_PLACES]


def preflight(place: Workplace, patterns: Sequence[str] = ()) -> None:
    """Refuse a configuration that cannot work before anything is run, written or sent; make the staging folder ours.

    Raises:
        ConfigError: ``artifact_dir`` is somebody else's, or the comment's template is none.
    """
    if template := _own_template(place.settings):
        load_file(template)
    refuse_results(place.directory, patterns_of(place.settings, patterns), workspace=place.workspace)
    claim_folder(place.directory)


def _own_template(settings: Settings) -> Path | None:
    """The user's own template of the comment."""
    name = settings.pr_comment_template
    return Path(name) if settings.enable_pr_comments and name not in COMMENT_TEMPLATES else None


async def run_report(
    place: Workplace,
    run: TestRun,
    patterns: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    ending: str = "",
    remarks: Sequence[str] = (),
) -> ReportOutcome:
    """Do the whole job for one test run.

    Args:
        place: What to work with.
        run: Its id keys the history; the rest is filled in here.
        patterns: Globs, files or folders; empty means the option ``results``, then :data:`DEFAULT_RESULTS`.
        on_progress: Called with bytes read and bytes in all.
        ending: How the command ended that wrote the results, in our own words; empty if it succeeded, or is not known.
        remarks: On the results as a whole.

    Raises:
        ConfigError: Nothing was sent.
        ResultsError: The files cannot be looked for at all.
    """
    with await read_results(place, patterns, on_progress=on_progress) as results:
        for remark in remarks:
            results.add_note(remark)
        return await report_on(place, run, results, ending)


async def read_results(
    place: Workplace, patterns: Sequence[str], *, on_progress: Callable[[int, int], None] | None = None
) -> Collected:
    """Read the result files that the patterns, the option ``results`` or :data:`DEFAULT_RESULTS` name.

    Raises:
        ResultsError: The files cannot be looked for at all.
    """
    settings = place.settings

    def progress(done: int, total: int) -> None:
        if place.stopped():
            raise Stopped
        if on_progress:
            on_progress(done, total)

    def read() -> Collected:
        return formats.read_results(
            patterns_of(settings, patterns),
            workspace=place.workspace,
            time_unit=settings.time_unit,
            mask=place.masker,
            on_progress=progress,
            exclude=own_paths(place.directory),
        )

    with place.courier.unhurried():
        return await place.courier.worker.run(read)


async def report_on(place: Workplace, run: TestRun, results: Collected, ending: str = "") -> ReportOutcome:
    """Judge results that were read, deliver what is to be said of them, and remember them."""
    run = await place.courier.worker.run(lambda: _own(place, run))
    warnings = await recall(place)
    report, judgement = await judged_report(place, run, results, warnings, ending)
    outcome = await deliver(place, report, warnings)
    remembered = await remember(place, outcome.report, judgement.judged, warnings)
    return await concluded(place, outcome, remembered, warnings)


async def concluded(
    place: Workplace, outcome: ReportOutcome, remembered: Receipt, warnings: Sequence[str]
) -> ReportOutcome:
    """The outcome with what became of the history, which may change the exit code; leaves the receipts beside it."""
    report = replace(outcome.report, receipts=(*outcome.report.receipts, remembered))
    await place.courier.worker.run(lambda: _write_receipts(place, report.receipts))
    return replace(
        outcome,
        report=report,
        exit_code=exit_code_of(report, place.settings),
        warnings=(*warnings, *place.courier.warnings),
    )


async def judged_report(
    place: Workplace, run: TestRun, results: Collected, warnings: list[str], ending: str = ""
) -> tuple[Report, Judgement]:
    """What is to be told of these results, and the whole judgement, of which options may have left out parts."""
    settings, courier = place.settings, place.courier
    judgement = await courier.worker.run(lambda: _judge(place, results, run, warnings))
    problem = problem_of(results, ending)
    state = RunState.ERROR if problem else conclude(results, judgement, settings.fail_on)
    metrics: Sequence[Metric] = ()
    if settings.include_performance_metrics:
        metrics = await courier.worker.run(lambda: _metrics(place, run.id))
    report = Report(
        run=run,
        context=place.context,
        results=results,
        judgement=_shown(judgement, settings),
        state=state,
        metrics=metrics,
        title=settings.comment_title,
        shard=settings.shard or "",
        system_info={**system_facts(), **run.system_info} if settings.include_system_info else {},
        problem=problem,
    )
    return finished(place, report), judgement


def finished(place: Workplace, report: Report) -> Report:
    """The report with its run completed."""
    run = replace(
        report.run,
        status="completed",
        state=report.state,
        completed_at=place.clock(),
        title=headline(report),
        summary=summary_of(report.results),
    )
    return replace(report, run=run)


async def deliver(place: Workplace, report: Report, warnings: Sequence[str] = ()) -> ReportOutcome:
    """Write the report files, then hand everything to the platform; nothing is remembered yet.

    Raises:
        ConfigError: The comment's template cannot be used; nothing was sent.
    """
    if template := _own_template(place.settings):
        await place.courier.worker.run(lambda: render_comment(report, template=template))
    files: dict[str, Path] = {}
    for file in report.results.files:
        logger.info("%s: %s, %d cases%s", file.path, file.state, file.cases, f" ({file.note})" if file.note else "")
    names = {name: file_name for name, (file_name, _) in REPORT_FILES.items() if name in wanted_formats(report, place)}
    tracked = await place.courier.worker.run(lambda: tracked_files(place.workspace)) if report.judgement.judged else []
    sources = await place.courier.worker.run(lambda: source_links(report, place.pages, tracked))
    report = replace(report, sources=sources)
    linked = replace(report, links={**page_links(report, place.pages), **names})
    written = await place.courier.worker.run(lambda: _write_files(place, linked, files))
    report = replace(report, links={name: str(path) for name, path in files.items()})
    receipts = [written, *await send_all(place, report, files, tracked)]
    report = replace(report, receipts=tuple(receipts))
    return ReportOutcome(report, exit_code_of(report, place.settings), files, (*warnings, *place.courier.warnings))


def _judge(place: Workplace, results: Results, run: TestRun, warnings: list[str]) -> Judgement:
    settings = place.settings
    depth = settings.failure_analysis_depth if settings.enable_failure_analysis else None
    if not settings.enable_history_tracking:
        return analysis.judge(results, None, depth=depth, trends=False)
    try:
        with History.read(place.history_path) as history:
            context = place.context

            def seen_from(branch: str | None) -> View:
                return history.view(
                    branch=branch,
                    shard=settings.shard or "",
                    report=place.history_name,
                    kin=place.history_kin,
                    build=run.build_id,
                    pr=run.pr_number,
                    uid=run.id,
                    now=place.clock(),
                )

            view = seen_from(base_branch(context, run))
            if view.baseline is None and context.default_branch not in (None, view.branch):
                # A branch without a past is compared with the one that it came from.
                default = seen_from(context.default_branch)
                view = default if default.baseline or not view.base_runs else view
            base = view.baseline
            logger.info(
                "compared with %s", f"run {base.run_id} of {base.branch} at {base.commit_sha}" if base else "no run"
            )
            is_lost = base is None and run.commit_sha and not context.default_branch  # in a checkout
            if is_lost and results.totals.red and history.runs(limit=1):
                warnings.append(
                    "no base branch is known to compare with: `git remote set-head origin -a` makes it known"
                )
            return analysis.judge(results, view, depth=depth, trends=settings.track_performance_trends)
    except HistoryError as error:
        warnings.append(f"history not used: {error}")
        return analysis.judge(results, None, depth=depth, trends=False)


def _own(place: Workplace, run: TestRun) -> TestRun:
    """The run under an id that no other build's run has.

    Whatever ran in this job before us could have left us another run's id, and so have us replace that run.
    """
    if not place.settings.enable_history_tracking:
        return run
    try:
        with History.read(place.history_path) as history:
            if history.is_taken(record_of(place, run)):
                return replace(run, id=uuid7(place.clock()))
    except HistoryError:
        pass  # said where the run is judged
    return run


def base_branch(context: BuildContext, run: TestRun) -> str | None:
    """Whose runs to compare with: the base branch of a pull request, else the same branch, None for runs without one.

    Where a pull request's base is not known, nothing is: an empty name is no branch's.
    """
    if context.pr_number or run.pr_number:
        return context.pr_base_branch or context.default_branch or ""
    if context.tag and not run.branch:
        return context.default_branch or ""  # what a release is made of
    return run.branch or context.branch


def _shown(judgement: Judgement, settings: Settings) -> Judgement:
    """The judgement as reports show it: what the ``include_`` options switch off is left out."""
    if not settings.include_performance_metrics:
        judgement = replace(judgement, slower=())
    if not settings.include_failure_analysis:
        judged = tuple(replace(item, category="", signature="") for item in judgement.judged)
        judgement = replace(judgement, judged=judged, groups=())
    return judgement


def _metrics(place: Workplace, run_id: str) -> list[Metric]:
    """The numbers recorded for this run."""
    if not place.settings.enable_history_tracking:
        return []
    try:
        with History.read(place.history_path) as history:
            return history.run_metrics(run_id)
    except HistoryError:
        return []  # said already, where the run is judged


def wanted_formats(report: Report, place: Workplace) -> set[str]:
    """The report files to write; ``all`` stands for each of them."""
    chosen = place.settings.result_format
    wanted = set(REPORT_FILES) if "all" in chosen else set(chosen)
    # JUnit and CTRF list single cases, which the sum of several jobs does not hold.
    return wanted - {"junit", "ctrf"} if report.shards else wanted


def _write_receipts(place: Workplace, receipts: Sequence[Receipt]) -> None:
    """Leave what became of each delivery beside the reports, which were written before."""
    with contextlib.suppress(OSError):  # an unwritable folder is in the receipts already
        facts = [asdict(receipt) for receipt in receipts]
        write_atomically(place.directory / "receipts.json", json.dumps(facts, indent=2) + "\n")


def _write_files(place: Workplace, report: Report, written: dict[str, Path]) -> Receipt:
    if reason := why_unwritable(place.directory):
        return Receipt(False, "", None, reason, "files", "failed")
    wanted = wanted_formats(report, place)
    problems = []
    for name, (file_name, write) in REPORT_FILES.items():
        if place.stopped():
            raise Stopped
        try:
            path = place.directory / file_name
            if name not in wanted:
                path.unlink(missing_ok=True)  # an earlier run's report would pass for this one's
                continue
            with open_text_atomically(path) as stream:
                write(report, stream)
        except OSError as error:
            problems.append(f"{file_name}: {error.strerror or error}")
        else:
            written[name] = path
    if problems:
        reason = "; ".join(problems)
        return Receipt(bool(written), "folder" if written else "", None, f"{reason}; {WRITABLE}", "files", "failed")
    sweep(place.directory, place.clock().timestamp() - 3600)
    return Receipt(True, "folder", str(place.directory), "", "files")


async def remember(place: Workplace, report: Report, judged: Sequence[JudgedCase], warnings: list[str]) -> Receipt:
    """Put the run and its cases into the history."""
    settings = place.settings
    if not settings.enable_history_tracking:
        return skipped("history", "enable_history_tracking = false")
    if not report.results.totals.total:
        return skipped("history", "no case was read")

    travels, record = place.travels, record_of(place, report.run, report)

    def save() -> str | None:
        with History.writing(place.history_path) as history:
            history.record(record, report.results.rows(), judged=judged)
            if travels is None:  # else whoever compacts prunes, by the store's clock
                history.prune(settings.history_retention_days, now=place.clock())
        warnings.extend(history.warnings)
        return str(place.history_path)

    # No wall clock cuts this short, and nothing repeats it: it is our own disk, and a save is whole or not at all.
    try:
        receipt = Receipt(True, "history", await place.courier.worker.run(save), "", "history")
    except HistoryError as error:
        reason = why_unwritable(place.directory) if place.history_path.parent == place.directory else ""
        receipt = Receipt(False, "", None, reason or str(error), "history", "failed")
    return receipt if travels is None else await hand_on(place, travels, receipt, record, report, judged)
