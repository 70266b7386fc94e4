"""Results of pull requests from forks: the untrusted half collects, the trusted half publishes.

A fork's build has a token that may read only. It stores what it read as a bundle: one segment of plain data, masked and
bounded. A build of the project itself, started by that one, fetches it, believes nothing in it but that these are the
cases of somebody's run, asks the code host which pull request the commit belongs to, and judges and delivers.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ci_bridge.arguments import uuid7
from ci_bridge.artifacts import collect as files_below
from ci_bridge.artifacts import open_regular
from ci_bridge.atomic import open_atomically
from ci_bridge.delivery import Rung
from ci_bridge.errors import CIBridgeError, ConfigError, HistoryError, ResultsError
from ci_bridge.formats.collect import Collected
from ci_bridge.formats.plugin import Limits, clean_name
from ci_bridge.history.segments import Segment, SegmentLimits, decode, encode
from ci_bridge.legs import (
    attempt_of,
    count_of_json,
    files_of_json,
    files_to_json,
    leg_of,
    most_telling,
    texts_of_json,
)
from ci_bridge.memory import record_of
from ci_bridge.merging import merge, merged_report, total_of
from ci_bridge.models import (
    FileState,
    InputFile,
    Judgement,
    PullRequest,
    Receipt,
    Report,
    TestRun,
    Totals,
    case_of_row,
)
from ci_bridge.protocols import SupportsPullRequests, SupportsStore
from ci_bridge.reporting import (
    ReportOutcome,
    deliver,
    finished,
    judged_report,
    read_results,
    remember,
    report_on,
)
from ci_bridge.sharing import short_hash
from ci_bridge.travels import recall
from ci_bridge.workplace import Workplace

PREFIX = "ci-bridge-bundle-"
SUFFIX = ".cibundle"
BUNDLE_DAYS = 3
"""How long a stored bundle is kept: the publishing build follows at once, and a day's queue is the worst."""

LIMITS = SegmentLimits(packed=32 << 20, unpacked=256 << 20, tests=1_000_000, metrics=0)
"""What a bundle may be. A larger run is refused where it is collected, and by whoever publishes it."""

MOST_BUNDLES = 300
_SHARD = 200


@dataclass(frozen=True, slots=True)
class Collection:
    """What collecting came to.

    Attributes:
        path: The bundle.
        totals: Of the cases in it.
        files: What was read.
        receipt: Whether it is in the platform's store, or waits in ``path`` for a step that uploads it.
    """

    path: Path
    totals: Totals
    files: Sequence[InputFile]
    receipt: Receipt


async def collect(
    place: Workplace,
    run: TestRun,
    patterns: Sequence[str],
    into: Path | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Collection:
    """Read result files and store them as a bundle; nothing is judged, shown or remembered.

    Args:
        place: What to work with.
        run: Only its commit matters.
        patterns: As for :func:`ci_bridge.reporting.run_report`.
        into: Folder for the bundle, by default ``bundle`` in ``artifact_dir``.
        on_progress: Called with bytes read and bytes in all.

    Raises:
        ResultsError: The files cannot be looked for at all, or hold more than a bundle may.
    """
    settings = place.settings
    with await read_results(place, patterns, on_progress=on_progress) as results:
        facts = {
            "files": files_to_json(most_telling(results.files)),
            "notes": list(results.notes),
            "dropped": results.dropped,
            "shard_total": settings.shard_total,
            "title": settings.comment_title,
        }
        record = replace(
            record_of(place, run), status="collected", totals=results.totals, trusted=False, extra={"bundle": facts}
        )

        def pack() -> bytes:
            if results.totals.total > LIMITS.tests:
                raise ResultsError(f"{results.totals.total} cases are more than the {LIMITS.tests} of a bundle")
            data = encode(record, results.rows())
            if len(data) > LIMITS.packed:
                raise ResultsError(f"the bundle would be {len(data)} bytes, more than {LIMITS.packed}")
            return data

        data = await place.courier.worker.run(pack)
        totals, files = results.totals, list(results.files)
    shard = short_hash(settings.shard or "")
    name = f"{PREFIX}{short_hash(settings.comment_title)}-{shard}-{attempt_of(place.context.attempt)}-{run.id}"
    path = (into or place.directory / "bundle") / f"{name}{SUFFIX}"

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomically(path) as out:
            out.write(data)

    await place.courier.worker.run(write)
    return Collection(path, totals, files, await _store(place, name, data, path))


async def _store(place: Workplace, name: str, data: bytes, path: Path) -> Receipt:
    store = place.adapter
    rungs = []
    if isinstance(store, SupportsStore):
        tried: list[bool] = []

        def put() -> str | None:
            # A lost answer may have stored it: names are unique, so only our own lost call can be met here.
            if not (tried and store.list_siblings(name)):
                tried.append(True)
                store.put_object(name, data, BUNDLE_DAYS)
            return name

        rungs.append(Rung("store", put))
    else:
        rungs.append(Rung("store", None, "this platform has no store"))
    rungs.append(Rung("folder", lambda: str(path)))
    receipt = await place.courier.send("bundle", rungs)
    if receipt.via != "folder":
        return receipt
    return replace(receipt, reason=f"upload {path.parent} with the platform's own step; {receipt.reason}")


# ---- the trusted half


@dataclass(frozen=True, slots=True)
class Bundle:
    """What somebody's build claims to have found, checked for its kind and size. Nothing else of it is believed."""

    segment: Segment
    title: str = ""
    shard: str = ""
    shard_total: int | None = None
    attempt: int = 1
    files: tuple[InputFile, ...] = ()
    notes: tuple[str, ...] = ()


def open_bundle(data: bytes) -> Bundle:
    """Check a bundle as a whole.

    Raises:
        ResultsError: It is damaged, too large, or no bundle.
    """
    try:
        segment = decode(data, LIMITS)
        facts = segment.run.extra.get("bundle")
        if not isinstance(facts, Mapping):
            raise TypeError("it says nothing of its files")
        files = files_of_json(facts.get("files"))
        if dropped := count_of_json(facts.get("dropped", 0)):
            lost = f"{dropped} cases beyond the cap were dropped when it was collected"
            files = (*files, InputFile("further cases", "", FileState.UNREADABLE, note=lost, incomplete=True))
        total = facts.get("shard_total")
        return Bundle(
            segment=replace(segment, run=replace(segment.run, extra={})),  # all that is wanted of it is below
            title=clean_name(str(facts.get("title"))),
            shard=clean_name(segment.run.shard, _SHARD),
            shard_total=None if total is None else min(count_of_json(total), 100_000) or None,
            attempt=attempt_of(segment.run.attempt),
            files=files,
            notes=texts_of_json(facts.get("notes")),
        )
    except (HistoryError, TypeError, ValueError) as error:
        raise ResultsError(f"not a sound bundle: {error}") from error


def results_of(bundle: Bundle, place: Workplace) -> Collected:
    """The cases of a bundle, cleaned, capped and masked again as if a foreign file had held them."""
    results = Collected(Limits(cases=LIMITS.tests), place.masker)
    for file in bundle.files:
        results.add_file(file)
    for note in bundle.notes:
        results.add_note(note)
    for batch in bundle.segment.rows():
        for row in batch:
            results.add(case_of_row(row))
    if bundle.segment.tests:
        results.finish_file("bundle", "bundle", None)
    results.finish()
    return results


async def publish(place: Workplace, paths: Sequence[Path] = ()) -> ReportOutcome:
    """Judge and deliver what the build that triggered this one collected.

    Args:
        place: What to work with; its context is this build's, which tells commit and branch of the other one.
        paths: Bundles, or folders of them, that a step before has downloaded; empty asks the platform's store.

    Raises:
        ConfigError: Nothing was sent: no bundle can be found here at all.
        ResultsError: There is no sound bundle.
    """
    warnings: list[str] = []
    sha = place.context.status_sha
    if not sha:
        raise ConfigError(
            "the commit that the results belong to is not known",
            hint="publish in a workflow that the collecting one triggers; see docs/events.md",
        )
    bundles = await _bundles(place, sha, paths, warnings)
    pull = await pull_request_of(place, sha, warnings)
    place = _about(place, sha, pull)
    place.courier.warnings.extend(warnings)
    noted: list[str] = []
    if len(bundles) == 1 and not bundles[0].shard:
        with await place.courier.worker.run(lambda: results_of(bundles[0], place)) as results:
            outcome = await report_on(place, _run_of(place), results)
    else:
        noted = await recall(place)
        outcome = await _publish_parts(place, bundles, noted)
    return replace(outcome, warnings=tuple(dict.fromkeys((*noted, *outcome.warnings))))


async def _bundles(place: Workplace, sha: str, paths: Sequence[Path], warnings: list[str]) -> list[Bundle]:
    """Sound bundles of this commit and title, the newest of each shard, sorted by shard."""
    newest: dict[tuple[str, str], Bundle] = {}
    async for title, data in _fetched(place, paths, warnings):
        try:
            bundle = await place.courier.worker.run(lambda data=data: open_bundle(data))  # type: ignore[misc]
            if bundle.segment.run.sha != sha:
                raise ResultsError("it is of another commit")
            if bundle.title != place.settings.comment_title:
                raise ResultsError("it is of a report with another title (comment_title)")
        except ResultsError as error:
            warnings.append(f"bundle left out: {title}: {error}")
            continue
        # What a bundle says of its job can only add a row, never take another job's away.
        key = (bundle.segment.run.job or "", bundle.shard)
        known = newest.get(key)
        if known is None or bundle.attempt > known.attempt:
            newest[key] = bundle
    if not newest:
        raise ResultsError(
            "there is no sound bundle to publish" + "".join(f"; {warning}" for warning in warnings[:3]),
            hint="run `ci-bridge collect` in the workflow that triggers this one",
        )
    return [newest[key] for key in sorted(newest)]


async def _fetched(place: Workplace, paths: Sequence[Path], warnings: list[str]) -> AsyncIterator[tuple[str, bytes]]:
    if paths:
        for path in _bundle_files(paths):
            try:
                yield path.name, await place.courier.worker.run(lambda path=path: _read(path))  # type: ignore[misc]
            except ResultsError as error:
                warnings.append(f"bundle left out: {error}")
        return
    adapter = place.adapter
    if not isinstance(adapter, SupportsPullRequests) or not isinstance(adapter, SupportsStore):
        raise ConfigError(
            "this platform does not tell which build triggered this one",
            hint="download the bundles in a step before and name their folder",
        )
    for stored in (await place.courier.ask(lambda: adapter.list_triggering(PREFIX)))[:MOST_BUNDLES]:
        try:
            yield stored.name, await place.courier.ask(lambda stored=stored: adapter.get_object(stored, LIMITS.packed))  # type: ignore[misc]
        except CIBridgeError as error:
            warnings.append(f"bundle left out: {stored.name}: {error}")


def _bundle_files(paths: Sequence[Path]) -> Iterator[Path]:
    found = (file for path in paths for file in files_below(path) if path == file or file.name.endswith(SUFFIX))
    for number, file in enumerate(found):
        if number >= MOST_BUNDLES:
            return
        yield file


def _read(path: Path) -> bytes:
    with open_regular(path) as stream:
        data = stream.read(LIMITS.packed + 1)
    if len(data) > LIMITS.packed:
        raise ResultsError(f"{path.name}: larger than {LIMITS.packed} bytes")
    return data


async def pull_request_of(place: Workplace, sha: str, warnings: list[str]) -> PullRequest | None:
    """The pull request that a commit belongs to, by the code host's word; never by a bundle's.

    Args:
        place: What to work with.
        sha: The commit, as the triggering event tells it.
        warnings: Gets the reason where there is no answer.

    Returns:
        None where there is no such open pull request, or several and nothing tells which one was built.
    """
    host, context = place.host, place.context
    if not isinstance(host, SupportsPullRequests):
        warnings.append("this code host does not tell which pull request a commit belongs to: no comment")
        return None
    try:
        found = [pull for pull in await place.courier.ask(lambda: host.pull_requests_of(sha)) if pull.head_sha == sha]
    except CIBridgeError as error:
        warnings.append(f"the commit's pull request could not be looked up: {error}")
        return None
    if context.pr_number:
        found = [pull for pull in found if pull.number == context.pr_number]
    if context.branch and len(found) > 1:
        found = [pull for pull in found if pull.head_branch == context.branch]
    if len(found) == 1 and re.fullmatch(r"[1-9][0-9]{0,18}", found[0].number):
        return found[0]
    reason = "several open pull requests have this commit as their head" if found else "no open pull request has it"
    warnings.append(f"no comment for commit {sha[:12]}: {reason}")
    return None


def _about(place: Workplace, sha: str, pull: PullRequest | None) -> Workplace:
    """The workplace with the other build's commit and pull request in the place of this build's."""
    context = replace(
        place.context,
        job_name=None,  # it is another build's jobs that are told of
        commit_sha=sha,
        pr_head_sha=sha,
        pr_number=pull.number if pull else None,
        pr_base_branch=pull.base_branch or None if pull else place.context.pr_base_branch,
        branch=pull.head_branch or place.context.branch if pull else place.context.branch,
    )
    settings = replace(place.settings, shard=None)
    return replace(place, context=context, settings=settings)


def _run_of(place: Workplace) -> TestRun:
    # A new id: a bundle's own could be that of another run, whose record it would replace.
    context, now = place.context, place.clock()
    return TestRun(
        id=uuid7(now),
        name=place.run_name,
        build_id=context.build_id,
        commit_sha=context.status_sha,
        branch=context.branch,
        pr_number=context.pr_number,
        created_at=now,
    )


async def _publish_parts(place: Workplace, bundles: Sequence[Bundle], warnings: list[str]) -> ReportOutcome:
    """One report out of many jobs' bundles, each judged against its own shard's history."""
    parts: list[tuple[Workplace, Report, Judgement, int | None]] = []
    with ExitStack() as stack:
        for bundle in bundles:
            own = replace(place, settings=replace(place.settings, shard=bundle.shard or None))
            results = await place.courier.worker.run(
                lambda bundle=bundle, own=own: results_of(bundle, own)  # type: ignore[misc]
            )
            stack.enter_context(results)
            report, judgement = await judged_report(own, _run_of(own), results, warnings)
            parts.append((own, report, judgement, bundle.shard_total))
        jobs = [clean_name(bundle.segment.run.job or "", _SHARD) for bundle in bundles]
        several = len(set(jobs)) > 1  # then each row says whose it is, and no total counts them all
        rows = [
            (
                " / ".join(filter(None, (job, report.shard))) if several else report.shard,
                report,
                None if several else total,
            )
            for job, (_, report, _, total) in zip(jobs, parts, strict=True)
        ]
        legs = merge(leg_of(replace(report, shard=shard), shard_total=total) for shard, report, total in rows)
        legs = tuple(replace(leg, shard_total=place.settings.shard_total or total_of(legs)) for leg in legs)
        shared = merged_report(legs, context=place.context, run=_run_of(place), title=place.settings.comment_title)
        outcome = await deliver(place, finished(place, shared), warnings)
        receipts = [await remember(own, report, judgement.judged, warnings) for own, report, judgement, _ in parts]
        worst = next((receipt for receipt in receipts if receipt.state == "failed"), receipts[0])
        report = replace(outcome.report, receipts=(*outcome.report.receipts, worst))
        return replace(outcome, report=report)
