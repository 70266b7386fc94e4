"""What a fork's build hands on: one segment of plain data, masked and bounded, and what is believed of it.

Whoever opened the pull request wrote it, perhaps without this program. It is checked as a whole before anything of it
is used; names and texts are cleaned, cut and masked again; none of them ever becomes a path, a URL or a pull request's
number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from ci_bridge.errors import HistoryError, ResultsError
from ci_bridge.formats.collect import Collected
from ci_bridge.formats.plugin import Limits, clean_name, clean_text
from ci_bridge.history.recording import RunRecord
from ci_bridge.history.segments import NewerSegmentError, Segment, SegmentLimits, decode, encode
from ci_bridge.legs import attempt_of, count_of_json, files_of_json, files_to_json, most_telling, texts_of_json
from ci_bridge.masking import Masker
from ci_bridge.models import FileState, InputFile, Results, case_of_row

VERSION = 1
LIMITS = SegmentLimits(packed=32 << 20, unpacked=256 << 20, head=256 << 10, tests=1_000_000, metrics=0)
"""What a bundle may be. A larger run is refused where it is collected, and by whoever publishes it."""

MOST_STORED = LIMITS.packed + (1 << 20)
"""Bytes of a stored bundle with what a store may wrap around it."""

MOST_SHARDS = 100_000
_NAME = 200
_REMARK = 500
_REMARKS = 40 << 10
"""Bytes of JSON for the remarks on files of a bundle; the ones that matter most come first."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What somebody's build claims to have found, checked for its kind and size. Nothing else of it is believed.

    Attributes:
        segment: The cases; of its run, nothing but the commit that the whole must be of.
        title: Of the report that it is meant for.
        job: Key of the job that it says it comes from; empty if it says none.
        shard: Key of the parallel job; empty if there is none.
        attempt: Of the build, counted from 1.
        digest: Tells it from others.
    """

    segment: Segment
    title: str = ""
    job: str = ""
    shard: str = ""
    shard_total: int | None = None
    attempt: int = 1
    files: tuple[InputFile, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""


def title_of(title: str) -> str:
    """A report's title as a bundle holds it."""
    return clean_name(title, _NAME)


def bundle_of(record: RunRecord, results: Results, *, title: str, shard_total: int | None) -> bytes:
    """Pack what was read.

    Raises:
        ResultsError: It is more than a bundle may be.
    """
    if results.totals.total > LIMITS.tests:
        raise ResultsError(f"{results.totals.total} cases are more than the {LIMITS.tests} of a bundle")
    files = [
        replace(file, path=clean_name(file.path, _REMARK), note=clean_text(file.note, _REMARK))
        for file in most_telling(results.files)
    ]
    facts = {
        "version": VERSION,
        "files": _fitting(files_to_json(files)),
        "notes": _fitting([clean_text(note, _REMARK) for note in results.notes]),
        "dropped": results.dropped,
        "shard_total": shard_total,
        "title": title_of(title),
    }
    data = encode(replace(record, totals=results.totals, trusted=False, extra={"bundle": facts}), results.rows())
    if len(data) > LIMITS.packed:
        raise ResultsError(f"the bundle would be {len(data)} bytes, more than {LIMITS.packed}")
    return data


def _fitting(items: Iterable[object]) -> list[object]:
    left, kept = _REMARKS // 2, []
    for item in items:
        left -= len(json.dumps(item))
        if left < 0:
            break
        kept.append(item)
    return kept


def open_bundle(data: bytes) -> Bundle:
    """Check a bundle as a whole.

    Raises:
        ResultsError: It is damaged, too large, of a newer version, or no bundle.
    """
    try:
        segment = decode(data, LIMITS)
        run = segment.run
        facts = run.extra.get("bundle")
        if not isinstance(facts, Mapping):
            raise TypeError("it says nothing of its files")
        version = count_of_json(facts.get("version", VERSION))
        if version > VERSION:
            raise NewerSegmentError(f"it is of version {version}, this ci-bridge knows {VERSION}")
        files = files_of_json(facts.get("files"))
        if dropped := count_of_json(facts.get("dropped", 0)):
            lost = f"{dropped} cases beyond the cap were dropped when it was collected"
            files = (*files, InputFile("further cases", "", FileState.UNREADABLE, note=lost, incomplete=True))
        total, title = facts.get("shard_total"), facts.get("title")
        if not isinstance(title, str):
            raise TypeError("it says not which report it is meant for")
        return Bundle(
            segment=replace(segment, run=replace(run, extra={})),  # all that is wanted of it is below
            title=title_of(title),
            job=clean_name(run.job or "", _NAME),
            shard=clean_name(run.shard, _NAME),
            shard_total=None if total is None else min(count_of_json(total), MOST_SHARDS) or None,
            attempt=attempt_of(run.attempt),
            files=files,
            notes=texts_of_json(facts.get("notes")),
            digest=sha256(data).hexdigest(),
        )
    except NewerSegmentError as error:
        hint = "let both workflows use the same ci-bridge"
        raise ResultsError(f"written by a newer ci-bridge: {error.message}", hint=hint) from error
    except (HistoryError, TypeError, ValueError) as error:
        raise ResultsError(f"not a sound bundle: {error}") from error


def results_of(bundles: Sequence[Bundle], masker: Masker, *, share: int = 1) -> Collected:
    """The cases of one job's bundles, cleaned, capped and masked again as if foreign files had held them.

    Args:
        bundles: Of the same job and shard. A test that is in several counts once, with the worst of its outcomes.
        masker: Hides secrets.
        share: Jobs that the memory for failures' texts is for.
    """
    limits = Limits()
    results = Collected(replace(limits, cases=LIMITS.tests, kept_text=max(1 << 20, limits.kept_text // share)), masker)
    for bundle in bundles:
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
