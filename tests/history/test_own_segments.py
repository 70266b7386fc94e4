"""A pull request's own segments in a folder: read within the limit, by itself only, and part of no base."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ci_bridge.errors import HistoryError
from ci_bridge.history.folder_store import FolderStore
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import PullRequestScope, TravellingHistory
from tests.history.samples import NOW, record, rows, uids

SCOPE = PullRequestScope("42", "Tests / unit", "900")


def history(folder: Path, scope: PullRequestScope | None = None, **more: bytes) -> TravellingHistory:
    """The history as a build of this pull request has it, or a trusted one; each on a machine of its own."""
    build = scope.build if scope else "trusted"
    machine = folder / f"machine-{len([*folder.glob('machine-*')])}"
    machine.mkdir(parents=True)
    store = FolderStore(folder / "store", build=build, trusted=scope is None)
    return TravellingHistory(store, machine / "history.sqlite", scope=scope, **more)  # type: ignore[arg-type]


def put(folder: Path, uid: str, at: int, scope: PullRequestScope | None = None) -> None:
    """Store a run so many seconds after the others."""
    run = record(0, uid, "P", trusted=scope is None, pr=scope and scope.number)
    stored = history(folder, scope).publish(uid, encode(run, rows({"test_a": "P"})))
    moment = NOW.timestamp() + at
    os.utime(folder / "store" / stored.id, (moment, moment))


def earlier(number: int, pr: str = "42", report: str = "Tests / unit") -> PullRequestScope:
    return PullRequestScope(pr, report, f"8{number:02}")


def test_three_own_segments_are_among_the_ten_that_are_read(tmp_path: Path) -> None:
    for number in range(12):
        put(tmp_path, f"main-{number:02}", number)
    for number in range(5):
        put(tmp_path, f"own-{number}", 100 + number, earlier(number))
    traveller = history(tmp_path, SCOPE)
    reading = traveller.fetch(pull_request=True)
    assert sorted(uids(traveller.cache)) == [
        *(f"main-{number:02}" for number in range(5, 12)),
        "own-2",
        "own-3",
        "own-4",
    ]
    assert str(reading) == "no base yet + 7 of 12 segments + 3 of this pull request's own"


def test_where_nothing_else_is_stored_the_own_ones_are_said(tmp_path: Path) -> None:
    put(tmp_path, "own", 0, earlier(1))
    assert (
        str(history(tmp_path, SCOPE).fetch(pull_request=True)) == "no earlier history but 1 of this pull request's own"
    )


def test_neither_a_trusted_build_nor_another_pull_request_or_report_reads_them(tmp_path: Path) -> None:
    put(tmp_path, "main", 0)
    put(tmp_path, "own", 1, earlier(1))
    for scope in (None, earlier(2, pr="43"), earlier(2, report="Tests / e2e")):
        traveller = history(tmp_path, scope)
        assert traveller.fetch(pull_request=scope is not None).own == 0
        assert uids(traveller.cache) == ["main"]


def test_no_base_is_made_of_a_history_that_holds_them(tmp_path: Path) -> None:
    put(tmp_path, "own", 0, earlier(1))
    traveller = history(tmp_path, SCOPE)
    traveller.fetch(pull_request=True)
    with pytest.raises(HistoryError, match="never part of a base"):
        traveller.compact(retention_days=90, force=True)


def test_with_a_secret_an_own_segment_without_its_signature_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "own", 0, earlier(1))
    traveller = history(tmp_path, SCOPE, secret=b"not a real one")
    reading = traveller.fetch(pull_request=True)
    assert reading.own == 0 and any("not signed" in note for note in reading.notes)


def test_the_longest_key_and_jobs_name_still_make_a_name_that_a_store_takes(tmp_path: Path) -> None:
    scope = PullRequestScope("1234567890", "Tests / unit", "900", "py")
    traveller = history(tmp_path, scope)
    traveller.key = "k" * 100
    stored = traveller.publish("01958f3e-0000-7000-8000-000000000001", encode(record(0, "own")), "leg" * 30)
    assert len(stored.name) == 200 and scope.takes(stored.name.removeprefix(traveller.segment_prefix))
