"""Results of pull requests from forks: the untrusted half collects, the trusted half publishes.

A fork's build has a token that may read only. It stores what it read as a bundle (:mod:`.bundles`). A build of the
project itself, started by that one, fetches it, believes nothing in it but that these are the cases of somebody's run,
asks the code host which pull request the commit belongs to, and judges and delivers.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ci_bridge.artifacts import collect as files_below
from ci_bridge.artifacts import open_regular
from ci_bridge.atomic import open_atomically
from ci_bridge.bundles import LIMITS, MOST_STORED, Bundle, bundle_of, open_bundle, results_of, title_of
from ci_bridge.delivery import Courier, Rung
from ci_bridge.errors import CIBridgeError, ConfigError, ResultsError
from ci_bridge.formats.collect import Collected
from ci_bridge.formats.plugin import clean_name
from ci_bridge.legs import attempt_of, leg_of
from ci_bridge.memory import record_of
from ci_bridge.merging import Leg, merge, merged_report, total_of, with_lost
from ci_bridge.models import (
    Artifact,
    FileState,
    InputFile,
    Judgement,
    PullRequest,
    Receipt,
    Report,
    StoredObject,
    TestRun,
    Totals,
)
from ci_bridge.names import short_hash
from ci_bridge.protocols import SupportsPullRequests, SupportsStore, SupportsUpload, Trigger
from ci_bridge.reporting import (
    ReportOutcome,
    concluded,
    deliver,
    finished,
    judged_report,
    read_results,
    remember,
    report_on,
)
from ci_bridge.retry import Deadline, WaitingClock
from ci_bridge.travels import recall
from ci_bridge.workplace import Workplace

PREFIX = "ci-bridge-bundle-"
SUFFIX = ".cibundle"
BUNDLE_DAYS = 3
"""How long a stored bundle is kept: the publishing build follows at once, and a day's queue is the worst."""

MOST_BUNDLES = 300
MOST_BYTES = 128 << 20
MOST_CASES = 2_000_000
MOST_TITLES = 5
READ_SECONDS = 120.0
"""Of all bundles of one build: their number, bytes as stored, cases, foreign titles that are looked up where there is
no other bundle, and the time that fetching and checking them may take; those that are refused count as well.

What is beyond that is left out, and the report is then never green.
"""

_NAME = re.compile(re.escape(PREFIX) + r"(?P<title>[0-9a-f]{12})-[0-9a-f]{12}-[0-9]{1,9}-.*")


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
        record = replace(record_of(place, run), status="collected")
        title, total = settings.comment_title, settings.shard_total
        data = await place.courier.worker.run(lambda: bundle_of(record, results, title=title, shard_total=total))
        totals, files = results.totals, list(results.files)
    shard = short_hash(settings.shard or "")
    name = f"{PREFIX}{short_hash(settings.comment_title)}-{shard}-{attempt_of(place.context.attempt)}-{run.id}"
    path = (into or place.directory / "bundle") / f"{name}{SUFFIX}"

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomically(path) as out:
            out.write(data)

    await place.courier.worker.run(write)
    return Collection(path, totals, files, await _store(place, Artifact("", name, run.id, "bundle"), data, path))


async def _store(place: Workplace, bundle: Artifact, data: bytes, path: Path) -> Receipt:
    """Hand the bundle on: into the store; where the job may read none, as an artifact; else it waits in its folder."""
    store, name = place.adapter, bundle.name
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
    elif isinstance(store, SupportsUpload):
        rungs.append(Rung("artifact", lambda: store.upload_artifact(path, bundle, BUNDLE_DAYS).url or name))
    else:
        rungs.append(Rung("store", None, "nothing can be stored from here"))
    rungs.append(Rung("folder", lambda: str(path)))
    receipt = await place.courier.send("bundle", rungs)
    if receipt.via != "folder":
        return receipt
    return replace(receipt, reason=f"upload {path.parent} with the platform's own step; {receipt.reason}")


# ---- the trusted half


@dataclass(slots=True)
class _Found:
    """The sound bundles of a build, by job and shard, and what was left out of those that were meant to count."""

    bundles: dict[tuple[str, str], list[Bundle]] = field(default_factory=dict)
    lost: list[InputFile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def lose(self, name: str, reason: object) -> None:
        name = clean_name(name, 200)
        self.warnings.append(f"bundle left out: {name}: {reason}")
        if len(self.lost) < 20:
            self.lost.append(
                InputFile(name, "bundle", FileState.UNREADABLE, note=f"left out: {reason}"[:500], incomplete=True)
            )

    def take(self, bundle: Bundle) -> None:
        """Take it, beside others of the same attempt; a newer attempt of a job replaces its older ones."""
        key = (bundle.job, bundle.shard)
        known = self.bundles.setdefault(key, [])
        newest = known[0].attempt if known else 0
        if bundle.attempt > newest:
            self.bundles[key] = [bundle]
        elif bundle.attempt == newest and all(bundle.digest != one.digest for one in known):
            known.append(bundle)


async def publish(place: Workplace, paths: Sequence[Path] = ()) -> ReportOutcome:
    """Judge and deliver what the build that triggered this one collected.

    Args:
        place: What to work with; its context is this build's, which tells commit and branch of the other one.
        paths: Bundles, or folders of them, that a step before has downloaded; empty asks the platform's store.

    Raises:
        ConfigError: Nothing was sent: no bundle can be found here at all.
        ResultsError: Nothing was sent: there is no bundle of this report. One that cannot be used is shown.
    """
    sha = place.context.status_sha
    if not sha:
        raise ConfigError(
            "the commit that the results belong to is not known",
            hint="publish in a workflow that the collecting one triggers; see docs/events.md",
        )
    with place.courier.unhurried():
        found = await _bundles(place, sha, paths)
    warnings = found.warnings
    pull = await pull_request_of(place, sha, warnings)
    place = _about(place, sha, pull, _trigger_of(place))
    place.courier.warnings.extend(warnings)
    noted: list[str] = []
    (job, shard), bundles = next(iter(found.bundles.items()), (("", ""), []))
    if len(found.bundles) <= 1 and not shard:
        place = replace(place, tested_job=job)
        with await _read_again(place, bundles) as results:
            for file in found.lost:
                results.add_file(file)
            outcome = await report_on(place, _run_of(place), results)
    else:
        noted = await recall(place)
        outcome = await _publish_parts(place, found, noted)
    return replace(outcome, warnings=tuple(dict.fromkeys((*noted, *outcome.warnings))))


async def _bundles(place: Workplace, sha: str, paths: Sequence[Path]) -> _Found:
    """Sound bundles of this commit and title, the newest attempt of each job and shard."""
    found, trigger, title = _Found(), _trigger_of(place), title_of(place.settings.comment_title)
    clock = place.courier.deadline.clock
    # Checking what strangers made takes this machine's time, which a budget for waiting does not count.
    reading = Deadline(READ_SECONDS, clock.wall if isinstance(clock, WaitingClock) else clock)
    courier, room, cases = replace(place.courier, deadline=reading), MOST_BYTES, 0
    async for name, size, fetch in _offered(place, courier, paths, found):
        if size > MOST_STORED:
            found.lose(name, f"{size} bytes, more than the {LIMITS.packed} of a bundle")
            continue
        if size > room or reading.remaining <= 0:
            found.lose(name, f"all bundles are more than {MOST_BYTES} bytes, or take more than {READ_SECONDS:g} s")
            break
        try:
            data = await fetch(min(LIMITS.packed, room))
            size = max(size, len(data))
            bundle = await courier.worker.run(partial(open_bundle, data))
            if bundle.title != title:
                found.warnings.append(f"bundle left out: {name}: its comment_title is {bundle.title!r}, not {title!r}")
                continue
            if bundle.segment.run.sha != sha:
                raise ResultsError("it is of another commit")
            if trigger.attempt and bundle.attempt > trigger.attempt:
                raise ResultsError(f"it claims attempt {bundle.attempt} of a build that has had {trigger.attempt}")
            cases += bundle.segment.tests
            if cases > MOST_CASES:
                raise ResultsError(f"all bundles hold more than {MOST_CASES} cases")
            found.take(bundle)
        except CIBridgeError as error:
            found.lose(name, error)
        finally:
            room -= size
    if not found.bundles and not found.lost:
        raise ResultsError(
            "there is no sound bundle to publish" + "".join(f"; {warning}" for warning in found.warnings[:3]),
            hint="run `ci-bridge collect` in the workflow that triggers this one, with the same comment_title",
        )
    found.bundles = {key: found.bundles[key] for key in sorted(found.bundles)}
    return found


_Offer = tuple[str, int, Callable[[int], Awaitable[bytes]]]


async def _offered(place: Workplace, courier: Courier, paths: Sequence[Path], found: _Found) -> AsyncIterator[_Offer]:
    """What may be bundles, at most :data:`MOST_BUNDLES`: name, bytes as told, and what fetches at most so many."""
    if paths:
        for number, path in enumerate(_bundle_files(paths)):
            if number >= MOST_BUNDLES:
                found.lose(path.name, f"there are more than {MOST_BUNDLES} bundles")
                return
            yield path.name, _size_of(path), partial(_in_file, courier, path)
        return
    adapter = place.adapter
    if not isinstance(adapter, SupportsPullRequests) or not isinstance(adapter, SupportsStore):
        raise ConfigError(
            "this platform does not tell which build triggered this one",
            hint="download the bundles in a step before and name their folder",
        )
    ours = short_hash(place.settings.comment_title)
    listed: list[StoredObject] = []
    others: dict[str, StoredObject] = {}
    for stored in await courier.ask(lambda: adapter.list_triggering(PREFIX)):
        match = _NAME.fullmatch(stored.name)
        if match is None or match["title"] == ours:  # a step that only uploads gives names of its own
            listed.append(stored)
        else:
            others.setdefault(match["title"], stored)
    if not listed:
        listed = list(others.values())[:MOST_TITLES]  # to say what they are called
    if len(listed) > MOST_BUNDLES:
        found.lose(f"{len(listed) - MOST_BUNDLES} bundles", f"there are more than {MOST_BUNDLES}")
    # The small ones first: whatever is put beside them to use up what there is for all, they are read.
    for stored in sorted(listed[:MOST_BUNDLES], key=lambda stored: stored.size):
        yield stored.name, stored.size, partial(_in_store, courier, adapter, stored)


async def _in_file(courier: Courier, path: Path, most: int) -> bytes:
    return await courier.worker.run(partial(_read, path, most))


async def _in_store(courier: Courier, store: SupportsStore, stored: StoredObject, most: int) -> bytes:
    return await courier.ask(partial(store.get_object, stored, most))


def _bundle_files(paths: Sequence[Path]) -> Iterator[Path]:
    return (file for path in paths for file in files_below(path) if path == file or file.name.endswith(SUFFIX))


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # reading it says what is wrong


def _read(path: Path, most: int) -> bytes:
    with open_regular(path) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ResultsError(f"larger than {most} bytes")
    return data


async def _read_again(place: Workplace, bundles: Sequence[Bundle], share: int = 1) -> Collected:
    with place.courier.unhurried():
        return await place.courier.worker.run(lambda: results_of(bundles, place.masker, share=share))


def _trigger_of(place: Workplace) -> Trigger:
    return place.adapter.trigger if isinstance(place.adapter, SupportsPullRequests) else Trigger()


async def pull_request_of(place: Workplace, sha: str, warnings: list[str]) -> PullRequest | None:
    """The pull request that a commit belongs to, by the code host's word; never by a bundle's.

    It is open, its head is this commit now, and its head's repository and branch are those that were built. The same
    head in several is told to the one into the default branch, else to the oldest.

    Args:
        place: What to work with.
        sha: The commit, as the triggering event tells it.
        warnings: Gets the reason where there is no answer, and which one was chosen.

    Returns:
        None where there is no such pull request, or where nothing tells which of several was built.
    """
    host, context = place.host, place.context
    if not isinstance(host, SupportsPullRequests):
        warnings.append("this code host does not tell which pull request a commit belongs to: no comment")
        return None
    try:
        heads = [pull for pull in await place.courier.ask(lambda: host.pull_requests_of(sha)) if pull.head_sha == sha]
    except CIBridgeError as error:
        warnings.append(f"the commit's pull request could not be looked up: {error}")
        return None
    trigger = host.trigger
    repository, branch = trigger.repository.lower(), trigger.branch or context.branch
    found = [
        pull
        for pull in heads
        if re.fullmatch(r"[1-9][0-9]{0,18}", pull.number)
        and (not context.pr_number or pull.number == context.pr_number)
        and (not repository or (pull.head_repository or "").lower() == repository)
        and (not branch or pull.head_branch == branch)
    ]
    no_comment = f"no comment for commit {sha[:12]}"
    if not found:
        what = f"of the branch that was built ({clean_name(branch or '', 80)})" if heads else "any more, or not yet"
        reason = f"no open pull request has it as its head {what}"
        warnings.append(f"{no_comment}: {reason}; it may be closed, or have newer commits")
        return None
    if len({(pull.head_repository or "").lower() for pull in found}) > 1:
        warnings.append(f"{no_comment}: several open pull requests have it as their head, from different repositories")
        return None
    found.sort(key=lambda pull: (pull.base_branch != context.default_branch, int(pull.number)))
    if len(found) > 1:
        others = ", ".join(f"#{pull.number}" for pull in found[1:6])
        warnings.append(f"commit {sha[:12]} is the head of several pull requests: #{found[0].number}, not {others}")
    return found[0]


def _about(place: Workplace, sha: str, pull: PullRequest | None, trigger: Trigger) -> Workplace:
    """The workplace with the other build, its commit and pull request in the place of this build's."""
    context = replace(
        place.context,
        job_name=None,  # it is another build's jobs that are told of
        job_url=None,
        pipeline_name=trigger.pipeline or None,
        build_url=trigger.url or place.context.build_url,
        commit_sha=sha,
        pr_head_sha=sha,
        pr_number=pull.number if pull else None,
        pr_base_branch=pull.base_branch or None if pull else place.context.pr_base_branch,
        branch=pull.head_branch or place.context.branch if pull else place.context.branch,
    )
    # The tests ran on another machine than this one.
    settings = replace(place.settings, shard=None, include_system_info=False)
    return replace(place, context=context, settings=settings)


def _run_of(place: Workplace) -> TestRun:
    # A new id: a bundle's own could be that of another run, whose record it would replace.
    run = place.new_run()
    return replace(run, build_id=_trigger_of(place).id or run.build_id)


async def _publish_parts(place: Workplace, found: _Found, warnings: list[str]) -> ReportOutcome:
    """One report out of many jobs' bundles, each job and shard judged against its own shard's history."""
    parts: list[tuple[Workplace, Report, Judgement]] = []
    legs: list[Leg] = []
    # With several jobs each row says whose it is, and no total of shards counts them all.
    several = len({job for job, _ in found.bundles}) > 1
    with ExitStack() as stack:
        for (job, shard), bundles in found.bundles.items():
            own = replace(place, tested_job=job, settings=replace(place.settings, shard=shard or None))
            results = stack.enter_context(await _read_again(place, bundles, share=len(found.bundles)))
            report, judgement = await judged_report(own, _run_of(own), results, warnings)
            parts.append((own, report, judgement))
            row = " / ".join(filter(None, (job, shard))) if several else shard
            while any(row == leg.shard for leg in legs):  # "a / b" may be the name of a job, too
                row += " *"
            total = None if several else max((one.shard_total or 0 for one in bundles), default=0) or None
            legs.append(leg_of(replace(report, shard=row), shard_total=total))
        merged = merge(legs)
        total = place.settings.shard_total or total_of(merged)
        merged = tuple(replace(leg, shard_total=total) for leg in merged)
        shared = merged_report(merged, context=place.context, run=_run_of(place), title=place.settings.comment_title)
        outcome = await deliver(place, finished(place, with_lost(shared, found.lost)), warnings)
        receipts = [await remember(own, report, judgement.judged, warnings) for own, report, judgement in parts]
        worst = next((receipt for receipt in receipts if receipt.state == "failed"), receipts[0])
        return await concluded(place, outcome, worst, warnings)
