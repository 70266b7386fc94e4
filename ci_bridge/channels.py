"""The deliveries of a report, channel by channel: outputs, summary, run or status, annotations, comment, artifacts.

Each is isolated: a channel that is dead costs its own receipt and nothing else.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from ci_bridge.artifacts import is_compressible, stage
from ci_bridge.atomic import private_folder
from ci_bridge.commenting import comment
from ci_bridge.delivery import Rung, show_run, skipped, status_of, summary_rung
from ci_bridge.models import Artifact, CommitStatus, Receipt, Report, Verdict
from ci_bridge.protocols import (
    Adapter,
    SupportsAnnotations,
    SupportsOutputs,
    SupportsStatus,
    SupportsSummary,
    SupportsTestRuns,
    SupportsUpload,
    why_missing,
)
from ci_bridge.report import build_annotations, headline, render_summary, status_description
from ci_bridge.report.markdown import render_brief
from ci_bridge.report.wording import verdict_counts
from ci_bridge.retry import CALL_SECONDS, Deadline
from ci_bridge.workplace import Workplace


async def send_all(
    place: Workplace, report: Report, files: Mapping[str, Path], tracked: Sequence[str] = ()
) -> list[Receipt]:
    """Hand a report to every channel that is switched on.

    Args:
        place: What to work with.
        report: What to tell.
        files: The report's own, format -> path.
        tracked: The repository's files, relative to its root.
    """
    values = outputs_of(report, files, place.workspace)
    outputs = await _outputs(place, values)
    page = await _page(place, report, files)  # first, so that the others can link it
    if page and "://" in (address := page.url or ""):
        report = replace(report, links={**report.links, "report": address})
    summary = await _summary(place, report)
    if summary.via == "summary" and "://" in (address := summary.url or ""):
        report = replace(report, links={**report.links, "summary": address})
    run = await _run_or_status(place, report)  # before the annotations, which some platforms hang on it
    annotations = await _annotations(place, report, tracked)
    commented = await comment(place, report, tracked)
    if commented.via == "comment" and commented.url and outputs:
        # Once more, now that the address is known: what was written before holds should all else have failed.
        outputs = await _outputs(place, {**values, "comment-url": commented.url})
    return [outputs, summary, run, annotations, commented, *await _artifacts(place, report, files, page)]


async def _outputs(place: Workplace, values: Mapping[str, str]) -> Receipt:
    adapter = place.adapter
    if not isinstance(adapter, SupportsOutputs):
        reason = why_missing(adapter, "outputs", "this platform takes no outputs")
        return Receipt(False, "", None, reason, "outputs", "unsupported")
    return await place.courier.send("outputs", [Rung("outputs", lambda: adapter.set_outputs(values), is_local=True)])


def outputs_of(report: Report, files: Mapping[str, Path], workspace: Path | None = None) -> dict[str, str]:
    """What later steps can read: numbers, enums and our own paths, nothing out of a result file.

    Args:
        report: What to tell.
        files: Format -> path of the report written here.
        workspace: Paths below it are told relative to it: a container's steps see it elsewhere than the next step.
    """
    totals, counts = report.results.totals, verdict_counts(report)
    page = files.get("html") or files.get("json")
    if page and workspace and page.is_relative_to(workspace):
        page = page.relative_to(workspace)
    numbers: dict[str, object] = {
        "conclusion": str(report.state),
        "total": totals.total,
        **asdict(totals),
        "duration": round(totals.duration, 3),
        "verdicts": {str(verdict): count for verdict, count in counts.items()},
    }
    return {
        "json": json.dumps(numbers, separators=(",", ":"), allow_nan=False),
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
        "report-path": str(page or ""),
        "shards": str(len(report.shards) or 1),
        "comment-url": "",
    }


async def _summary(place: Workplace, report: Report) -> Receipt:
    adapter = place.adapter
    if not isinstance(adapter, SupportsSummary):
        return await place.courier.send(
            "summary",
            [
                Rung("summary", None, why_missing(adapter, "summary", "this platform shows no summary")),
                place.log_rung(headline(report)),
            ],
        )
    rung = summary_rung(adapter, report)
    rungs = [rung] if rung.send else [rung, place.log_rung(headline(report))]
    return await place.courier.send("summary", rungs)


async def _annotations(place: Workplace, report: Report, tracked: Sequence[str]) -> Receipt:
    adapter, settings = place.adapter, place.settings
    if settings.annotations == "none":
        return skipped("annotations", "annotations = none")
    if not isinstance(adapter, SupportsAnnotations):
        reason = why_missing(adapter, "annotations", "this platform shows no annotations")
        return Receipt(False, "", None, reason, "annotations", "unsupported")
    limit = min(settings.max_annotations, adapter.max_annotations)
    remarks = build_annotations(report, mode=settings.annotations, limit=limit, tracked=tracked)
    # None at all are sent as well: they take the place of an earlier run's where a platform keeps those.
    receipt = await place.courier.send("annotations", [Rung("annotations", lambda: adapter.annotate(remarks.shown))])
    shown, placed, wanted = len(remarks.shown), remarks.placed, remarks.wanted
    reasons = []
    if not wanted:
        reasons.append("no failures")
    elif not tracked:
        reasons.append("git lists no files here, so no failure has a place in the repository")
    elif not placed:
        reasons.append("no failure names a file and line in the repository")
    elif shown < wanted:
        reasons.append(f"{shown} of {wanted}")
        if placed < wanted:
            reasons.append(f"{wanted - placed} name no file and line in the repository")
        if shown < placed:
            reasons.append(f"at most {limit} are shown")
    if receipt and not shown:
        return skipped("annotations", "; ".join(reasons))
    return replace(receipt, reason="; ".join([*reasons, *filter(None, [receipt.reason])]))


def tracked_files(workspace: Path) -> list[str]:
    """The repository's files, relative to its root; empty where git cannot tell."""
    # The checkout may belong to another user, whose settings are to start nothing.
    options = ["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(workspace)]
    try:
        done = subprocess.run(
            ["git", *options, "ls-files", "-z", "--full-name"],
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
        if size := adapter.max_page_size:
            run = replace(run, text=render_brief(report, description), page=render_summary(report, limit_bytes=size))
        rungs.append(Rung("run", lambda: show_run(adapter, run).url))
    sha = report.run.commit_sha or context.status_sha
    if not isinstance(host, SupportsStatus):
        rungs.append(Rung("status", None, why_missing(host, "status", "this code host takes no commit statuses")))
    elif not sha:
        rungs.append(Rung("status", None, "the commit is not known"))
    else:
        status = CommitStatus(
            sha, status_of(report.state), report.run.name, description, context.job_url or context.build_url
        )
        rungs.append(Rung("status", lambda: host.set_status(status)))
    rungs.append(place.log_rung(description))
    return await place.courier.send("run" if settings.enable_test_runs else "status", rungs)


async def _page(place: Workplace, report: Report, files: Mapping[str, Path]) -> Receipt | None:
    """Upload the report that people read, in a small part of the time there is; None if there is nothing to upload."""
    path = files.get("html")
    if path is None or _no_uploads(place) is not None:
        return None
    deadline = place.courier.deadline
    part = Deadline(min(CALL_SECONDS, deadline.remaining / 4), deadline.clock)
    return await _upload_report(replace(place, courier=replace(place.courier, deadline=part)), report, path, share=1.0)


def _no_uploads(place: Workplace) -> Receipt | None:
    """The receipt that says why no report file goes up, None if they do."""
    if not place.settings.enable_artifacts:
        return skipped("artifacts", "enable_artifacts = false")
    if "reports" not in place.settings.artifact_categories:
        return skipped("artifacts", "artifact_categories leaves out reports")
    if not isinstance(place.adapter, SupportsUpload):
        return staged_receipt(place.adapter, "artifacts", str(place.directory))
    return None


async def _artifacts(
    place: Workplace, report: Report, files: Mapping[str, Path], page: Receipt | None
) -> list[Receipt]:
    """Upload the report files, but not the page again if that went up before; none after one that timed out."""
    if (refusal := _no_uploads(place)) is not None:
        return [refusal]
    hanging = place.courier.hanging
    receipts, untried = [page] if page is not None and (page or "artifacts" in hanging) else [], list[str]()
    for name, path in files.items():
        if receipts and name == "html" and receipts[0] is page:
            continue
        if receipts and "artifacts" in hanging:
            untried.append(path.name)  # what hangs is waited for once and not file by file
        else:
            receipts.append(await _upload_report(place, report, path))
    if untried:
        reason = f"{receipts[-1].reason}; so not tried: {', '.join(untried)}"
        receipts[-1] = replace(receipts[-1], reason=reason)
    failed = [receipt for receipt in receipts if receipt.state == "failed"]
    if not receipts and place.settings.result_format:
        return [Receipt(False, "", None, "there is no report file to upload", "artifacts", "failed")]
    return failed[:1] or receipts[:1]


async def _upload_report(place: Workplace, report: Report, path: Path, share: float = 0.5) -> Receipt:
    compressed = place.settings.artifact_compression
    artifact = Artifact("", path.name, report.run.id, "reports", compressed=compressed)
    return await upload(place, path, artifact, channel="artifacts", mask=False, share=share)


def staged_receipt(adapter: Adapter, channel: str, url: str) -> Receipt:
    """The receipt of a file that waits in the staging folder for the platform's own step."""
    reason = why_missing(adapter, "upload", "this platform's files go up by its own step")
    return Receipt(True, "folder", url, f"{reason}; they wait in artifact_dir", channel, "degraded")


async def upload(
    place: Workplace, path: Path, artifact: Artifact, *, channel: str, mask: bool = True, share: float = 0.5
) -> Receipt:
    """Stage a copy of a file, compressed if the artifact says so, and hand it to the artifact store.

    ``share`` is the part of the time that is left which this may take.
    """
    adapter = place.adapter
    compress = artifact.compressed and is_compressible(path)
    artifact = replace(artifact, compressed=compress)
    days, stored, staged = place.settings.artifact_retention_days, list[Artifact](), list[Path]()
    areas = ExitStack()

    def prepare() -> None:
        staged.append(areas.enter_context(staging_area(place.directory)) / "file")
        stage(path, staged[0], compress=compress, mask=place.masker if mask else None)

    def send() -> str | None:
        assert isinstance(adapter, SupportsUpload)
        stored.append(adapter.upload_artifact(staged[0], artifact, days))
        return stored[-1].url

    rung = Rung("artifact", send, seconds=place.courier.deadline.remaining, share=share, prepare=prepare)
    with areas:
        receipt = await place.courier.send(channel, [rung])
    return replace(receipt, reason="; ".join(filter(None, (receipt.reason, *map(partial(_kept_less, days), stored)))))


def _kept_less(wanted: int, stored: Artifact) -> str:
    """A remark where the store keeps something for less time than was asked for."""
    if stored.created_at is None or stored.expires_at is None:
        return ""
    days = round((stored.expires_at - stored.created_at) / timedelta(days=1))
    return f"kept {days} days, as the platform allows no more ({wanted} asked for)" if days < wanted else ""


@contextmanager
def staging_area(directory: Path) -> Iterator[Path]:
    """A fresh private folder on the same file system, removed at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    with private_folder("staging", directory) as folder:
        yield folder
