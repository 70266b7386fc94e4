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
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TextIO

from ci_bridge import analysis, formats
from ci_bridge.arguments import uuid7
from ci_bridge.artifacts import RESERVED_FILES, RESERVED_FOLDERS, is_compressible, stage, sweep
from ci_bridge.atomic import open_text_atomically, write_atomically
from ci_bridge.config import Settings
from ci_bridge.delivery import Rung, log_rung, skipped, upsert_comment
from ci_bridge.errors import HistoryError
from ci_bridge.formats.collect import Collected
from ci_bridge.history import History, View
from ci_bridge.memory import record_of
from ci_bridge.models import (
    Artifact,
    BuildContext,
    CommitStatus,
    FileState,
    JudgedCase,
    Judgement,
    Metric,
    Receipt,
    Report,
    Results,
    RunState,
    StatusState,
    TestRun,
    Verdict,
)
from ci_bridge.protocols import (
    SupportsAnnotations,
    SupportsComments,
    SupportsOutputs,
    SupportsStatus,
    SupportsSummary,
    SupportsTestRuns,
    SupportsUpload,
)
from ci_bridge.report import (
    build_annotations,
    headline,
    render_comment,
    render_markdown,
    render_summary,
    status_description,
    write_ctrf,
    write_html,
    write_json,
    write_junit,
)
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

_STATUS_OF_RUN = {
    RunState.PENDING: StatusState.PENDING,
    RunState.SUCCESS: StatusState.SUCCESS,
    RunState.FAILURE: StatusState.FAILURE,
    RunState.ERROR: StatusState.ERROR,
    RunState.NO_RESULTS: StatusState.ERROR,
}


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


def system_facts() -> dict[str, str]:
    """What a reader of a report wants to know of the machine."""
    return {
        "python_version": machine.python_version(),
        "platform": machine.platform(),
        "hostname": machine.node(),
        "cpu_count": str(os.cpu_count() or ""),
    }


async def run_report(
    place: Workplace,
    run: TestRun,
    patterns: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> ReportOutcome:
    """Do the whole job for one test run.

    Args:
        place: What to work with.
        run: Its id keys the history; the rest is filled in here.
        patterns: Globs, files or folders; empty means the option ``results``, then :data:`DEFAULT_RESULTS`.
        on_progress: Called with bytes read and bytes in all.

    Raises:
        ConfigError: Nothing was sent.
        ResultsError: The files cannot be looked for at all.
    """
    settings, courier = place.settings, place.courier
    receipts: list[Receipt] = []
    warnings: list[str] = []

    def progress(done: int, total: int) -> None:
        if place.stopped():
            raise Stopped
        if on_progress:
            on_progress(done, total)

    def read() -> Collected:
        return formats.read_results(
            # The usual places are one pattern, so that only a search that finds nothing at all is a remark.
            list(patterns) or list(settings.results) or [f"{{{','.join(DEFAULT_RESULTS)}}}"],
            workspace=place.workspace,
            time_unit=settings.time_unit,
            mask=place.masker,
            on_progress=progress,
            exclude=[place.directory / name for name in (*RESERVED_FILES, *RESERVED_FOLDERS)],
        )

    run = await courier.worker.run(lambda: _own(place, run))
    results = await courier.worker.run(read)
    with results:
        judgement = await courier.worker.run(lambda: _judge(place, results, run, warnings))
        state = conclude(results, judgement, settings.fail_on)
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
        )
        run = replace(
            run,
            status="completed",
            state=state,
            completed_at=place.clock(),
            title=headline(report),
            summary=summary_of(results),
        )
        report = replace(report, run=run)
        files: dict[str, Path] = {}
        for file in results.files:
            logger.info("%s: %s, %d cases%s", file.path, file.state, file.cases, f" ({file.note})" if file.note else "")
        names = {name: file_name for name, (file_name, _) in REPORT_FILES.items() if name in wanted_formats(settings)}
        linked = replace(report, links=names)
        receipts.append(await courier.worker.run(lambda: _write_files(place, linked, files)))
        report = replace(report, links={name: str(path) for name, path in files.items()})
        courier.deadline = courier.deadline.restarted()  # reading takes what it takes; this budget is for deliveries
        receipts += await _deliver(place, report, files)
        receipts.append(await _remember(place, report, judgement.judged, warnings))
        report = replace(report, receipts=tuple(receipts))
        await courier.worker.run(lambda: _write_receipts(place, receipts))
        return ReportOutcome(report, exit_code_of(report, settings), files, (*warnings, *courier.warnings))


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
                    build=run.build_id,
                    pr=run.pr_number,
                    uid=run.id,
                    now=place.clock(),
                )

            view = seen_from(base_branch(context, run))
            if view.baseline is None and not run.pr_number and context.default_branch not in (None, view.branch):
                # A branch without a past is compared with the one that it came from.
                view = seen_from(context.default_branch)
            logger.info("compared with %s", view.baseline)
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
            rows = history.metrics(run_id=run_id)
    except HistoryError:
        return []  # said already, where the run is judged
    return [
        Metric(
            row["metric_name"], row["metric_value"], row["unit"], run_id, row["task_id"],
            datetime.fromisoformat(row["recorded_at"]),
        )
        for row in rows
    ]  # fmt: skip


def wanted_formats(settings: Settings) -> set[str]:
    """The report files to write; ``all`` stands for each of them."""
    return set(REPORT_FILES) if "all" in settings.result_format else set(settings.result_format)


def _write_receipts(place: Workplace, receipts: Sequence[Receipt]) -> None:
    """Leave what became of each delivery beside the reports, which were written before."""
    with contextlib.suppress(OSError):  # an unwritable folder is in the receipts already
        facts = [asdict(receipt) for receipt in receipts]
        write_atomically(place.directory / "receipts.json", json.dumps(facts, indent=2) + "\n")


def _write_files(place: Workplace, report: Report, written: dict[str, Path]) -> Receipt:
    wanted = wanted_formats(place.settings)
    problems = []
    for name, (file_name, write) in REPORT_FILES.items():
        if place.stopped():
            raise Stopped
        try:
            place.directory.mkdir(parents=True, exist_ok=True)
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
        reason = "; ".join(problems) + "; give artifact_dir a writable folder with free space"
        return Receipt(bool(written), "folder" if written else "", None, reason, "files", "failed")
    sweep(place.directory, place.clock().timestamp() - 3600)
    return Receipt(True, "folder", str(place.directory), "", "files")


async def _deliver(place: Workplace, report: Report, files: Mapping[str, Path]) -> list[Receipt]:
    receipts = [
        await _outputs(place, report, files),
        await _summary(place, report),
        await _annotations(place, report),
        await _run_or_status(place, report),
        await _comment(place, report),
    ]
    return [*receipts, *await _artifacts(place, report, files)]


async def _outputs(place: Workplace, report: Report, files: Mapping[str, Path]) -> Receipt:
    adapter = place.adapter
    if not isinstance(adapter, SupportsOutputs):
        return Receipt(False, "", None, "this platform takes no outputs", "outputs", "unsupported")
    values = outputs_of(report, files)
    return await place.courier.send("outputs", [Rung("outputs", lambda: adapter.set_outputs(values))])


def outputs_of(report: Report, files: Mapping[str, Path]) -> dict[str, str]:
    """What later steps can read: numbers, enums and our own paths, nothing out of a result file."""
    totals, counts = report.results.totals, report.judgement.counts
    return {
        "conclusion": str(report.state),
        "total": str(totals.total),
        "passed": str(totals.passed),
        "failed": str(totals.failed),
        "error": str(totals.error),
        "skipped": str(totals.skipped),
        "new-failures": str(counts[Verdict.NEW]),
        "known-failures": str(counts[Verdict.KNOWN]),
        "unjudged-failures": str(counts[Verdict.UNJUDGED]),
        "flaky": str(counts[Verdict.FLAKY]),
        "fixed": str(counts[Verdict.FIXED]),
        "run-id": report.run.id,
        "report-path": str(files.get("html") or files.get("json") or ""),
    }


async def _summary(place: Workplace, report: Report) -> Receipt:
    adapter = place.adapter
    if not isinstance(adapter, SupportsSummary):
        return await place.courier.send(
            "summary",
            [
                Rung("summary", None, "this platform shows no summary"),
                log_rung(lambda: headline(report), place.log, place.courier.patterns),
            ],
        )
    text = render_summary(report, limit_bytes=adapter.max_summary_size)
    return await place.courier.send("summary", [Rung("summary", lambda: adapter.write_summary(text))])


async def _annotations(place: Workplace, report: Report) -> Receipt:
    adapter, settings = place.adapter, place.settings
    if settings.annotations == "none":
        return skipped("annotations", "annotations = none")
    if not isinstance(adapter, SupportsAnnotations):
        return Receipt(False, "", None, "this platform shows no annotations", "annotations", "unsupported")
    limit = min(settings.max_annotations, adapter.max_annotations)
    tracked = await place.courier.worker.run(lambda: tracked_files(place.workspace)) if report.judgement.judged else []
    chosen, total = build_annotations(report, mode=settings.annotations, limit=limit, tracked=tracked)
    receipt = await place.courier.send("annotations", [Rung("annotations", lambda: adapter.annotate(chosen))])
    if total > len(chosen):
        receipt = replace(receipt, reason="; ".join(filter(None, [f"{len(chosen)} of {total}", receipt.reason])))
    return receipt


def tracked_files(workspace: Path) -> list[str]:
    """The repository's files, relative to its root; empty where git cannot tell."""
    try:
        done = subprocess.run(
            ["git", "-c", f"safe.directory={workspace}", "-C", str(workspace), "ls-files", "-z", "--full-name"],
            capture_output=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.decode("utf-8", "replace").split("\0")[:-1]


async def _run_or_status(place: Workplace, report: Report) -> Receipt:
    settings, context = place.settings, place.context
    adapter, host = place.adapter, place.host
    if not settings.enable_status_updates:
        return skipped("status", "enable_status_updates = false")
    description = status_description(report, settings.status_update_format)
    rungs = []
    if settings.enable_test_runs and isinstance(adapter, SupportsTestRuns):
        run = replace(report.run, text=description)
        rungs.append(Rung("run", lambda: adapter.create_test_run(run).url))
    sha = report.run.commit_sha or context.status_sha
    if not isinstance(host, SupportsStatus):
        rungs.append(Rung("status", None, "this code host takes no commit statuses"))
    elif not sha:
        rungs.append(Rung("status", None, "the commit is not known"))
    else:
        status = CommitStatus(
            sha, _STATUS_OF_RUN[report.state], settings.comment_title, description, context.job_url or context.build_url
        )
        rungs.append(Rung("status", lambda: host.set_status(status)))
    rungs.append(log_rung(lambda: description, place.log, place.courier.patterns))
    return await place.courier.send("run" if settings.enable_test_runs else "status", rungs)


async def _comment(place: Workplace, report: Report) -> Receipt:
    settings, host = place.settings, place.host
    pr_number = report.run.pr_number or place.context.pr_number
    if not settings.enable_pr_comments:
        return skipped("comment", "enable_pr_comments = false")
    if not pr_number:
        return skipped("comment", "not a pull request")
    green = report.state is RunState.SUCCESS
    key = report_key(settings, report.run.id)
    rungs = []
    if isinstance(host, SupportsComments):
        body = render_comment(
            report, template=settings.pr_comment_template, limit=host.max_comment_size, marker_key=key
        )
        recreate = settings.comment_on_worse == "recreate" and await _is_worse(place, report, pr_number)

        def send() -> str | None:
            comment = upsert_comment(
                host,
                pr_number,
                body,
                key,
                create=not (green and settings.pr_comment_on_failure_only),
                recreate=recreate,
            )
            return comment.url if comment else None

        rungs.append(Rung("comment", send))
    else:
        rungs.append(Rung("comment", None, "this code host takes no comments"))
    adapter = place.adapter
    if isinstance(adapter, SupportsSummary):
        text = render_summary(report, limit_bytes=adapter.max_summary_size)
        rungs.append(Rung("summary", lambda: adapter.write_summary(text)))
    rungs.append(log_rung(lambda: headline(report), place.log, place.courier.patterns))
    receipt = await place.courier.send("comment", rungs)
    if receipt.via == "comment" and receipt.url is None and green and settings.pr_comment_on_failure_only:
        return skipped("comment", "pr_comment_on_failure_only, and all is well")
    return receipt


def report_key(settings: Settings, run_id: str) -> str:
    """The key of the report's comment: one per pull request and title, or one per run where each gets its own."""
    key = f"report:{settings.comment_title}"
    return key if settings.pr_update_existing_comments else f"{key}:{run_id}"


async def _is_worse(place: Workplace, report: Report, pr_number: str) -> bool:
    """True if the newest earlier run of this pull request was green and this one is not.

    The earlier state comes from the history, never from the comment, which others can edit.
    """
    if report.state is RunState.SUCCESS or not place.settings.enable_history_tracking:
        return False

    def earlier() -> bool:
        with History.read(place.history_path) as history:
            rows = history.runs(limit=1, pr_number=pr_number)
        return bool(rows) and rows[0]["status"] == str(RunState.SUCCESS)

    try:
        return await place.courier.worker.run(earlier)
    except HistoryError:
        return False


async def _artifacts(place: Workplace, report: Report, files: Mapping[str, Path]) -> list[Receipt]:
    settings, adapter = place.settings, place.adapter
    if not settings.enable_artifacts:
        return [skipped("artifacts", "enable_artifacts = false")]
    if "reports" not in settings.artifact_categories:
        return [skipped("artifacts", "artifact_categories leaves out reports")]
    if not isinstance(adapter, SupportsUpload):
        return [staged_receipt("artifacts", str(place.directory))]
    receipts = []
    for path in files.values():
        artifact = Artifact("", path.name, report.run.id, "reports", compressed=settings.artifact_compression)
        receipts.append(await upload(place, path, artifact, channel="artifacts", mask=False))
    failed = [receipt for receipt in receipts if receipt.state == "failed"]
    return failed[:1] or receipts[:1]


def staged_receipt(channel: str, url: str) -> Receipt:
    """The receipt of a file that waits in the staging folder for the platform's own step."""
    reason = "this platform's files go up by its own step; they wait in artifact_dir"
    return Receipt(True, "folder", url, reason, channel, "degraded")


async def upload(place: Workplace, path: Path, artifact: Artifact, *, channel: str, mask: bool = True) -> Receipt:
    """Stage a copy of a file, compressed if the artifact says so, and hand it to the artifact store."""
    adapter = place.adapter
    compress = artifact.compressed and is_compressible(path)
    artifact = replace(artifact, compressed=compress)

    def send() -> str | None:
        with staging_area(place.directory) as area:
            staged = area / "file"
            stage(path, staged, compress=compress, mask=place.masker if mask else None)
            assert isinstance(adapter, SupportsUpload)
            return adapter.upload_artifact(staged, artifact, place.settings.artifact_retention_days).url

    return await place.courier.send(channel, [Rung("artifact", send, seconds=place.courier.deadline.remaining)])


@contextmanager
def staging_area(directory: Path) -> Iterator[Path]:
    """A fresh private folder on the same file system, removed at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=directory) as folder:
        yield Path(folder)


async def _remember(place: Workplace, report: Report, judged: Sequence[JudgedCase], warnings: list[str]) -> Receipt:
    settings = place.settings
    if not settings.enable_history_tracking:
        return skipped("history", "enable_history_tracking = false")
    if not report.results.totals.total:
        return skipped("history", "no case was read")

    def save() -> str | None:
        with History.writing(place.history_path) as history:
            history.record(record_of(place, report.run, report), report.results.rows(), judged=judged)
            history.prune(settings.history_retention_days, now=place.clock())
        warnings.extend(history.warnings)
        return str(place.history_path)

    # No wall clock cuts this short, and nothing repeats it: it is our own disk, and a save is whole or not at all.
    try:
        return Receipt(True, "history", await place.courier.worker.run(save), "", "history")
    except HistoryError as error:
        return Receipt(False, "", None, str(error), "history", "failed")
