"""The travelling history where a repository's other artifacts bury it, and where somebody tries to."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import DamagedStoreError, Reading, TravellingHistory
from tests.fakes.github import FakeGitHub
from tests.fakes.github_state import Artifact, Run
from tests.history.samples import record, rows, uids
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_artifacts import SEGMENT, zip_of

BASE = "ci-bridge-base"
Traveller = Callable[..., TravellingHistory]


@pytest.fixture
def traveller(github: FakeGitHub, tmp_path: Path) -> Traveller:
    """Opens the history for a new job."""
    github.limit.hourly = 100_000

    def opened(event: str = "push", **more: Any) -> TravellingHistory:
        adapter = open_job(github, tmp_path, event)
        return TravellingHistory(adapter, tmp_path / f"cache-{adapter.context.build_id}" / "history.sqlite", **more)

    return opened


def segment(github: FakeGitHub, uid: str, run: Run | None = None) -> Artifact:
    run = run or github.add_run()
    data = encode(record(0, uid, "P"), rows({"test_a": "P"}))
    return github.add_artifact(f"{SEGMENT}{uid}", zip_of(("object", data)), run)


def base(github: FakeGitHub, made: Traveller, ago: timedelta = timedelta(hours=3)) -> Artifact:
    """A base of all that there is, made by a push so long ago."""
    history = made()
    history.fetch()
    assert history.compact(retention_days=90, force=True)
    artifact = github.artifacts[-1]
    artifact.created = datetime.now(UTC) - ago
    return artifact


def bury(github: FakeGitHub, artifacts: int = 0, runs: int = 0) -> None:
    for _ in range(runs):
        github.add_run()
    run = github.add_run()
    for number in range(artifacts):
        github.add_artifact(f"coverage-{number}", b"", run)


def fetched(history: TravellingHistory, *, pull_request: bool = False) -> tuple[Reading, list[str]]:
    reading = history.fetch(pull_request=pull_request)
    return reading, sorted(uids(history.cache)) if history.cache.exists() else []


def test_a_trusted_job_reads_on_behind_hundreds_of_foreign_artifacts(github: FakeGitHub, traveller: Traveller) -> None:
    for number in range(4):
        segment(github, f"run-{number}")
        bury(github, artifacts=350)
    reading, found = fetched(traveller())
    assert found == ["run-0", "run-1", "run-2", "run-3"] and not reading.left and not reading.notes
    assert traveller("pull_request").fetch(pull_request=True).notes[0].startswith("older segments may be missing")


def test_a_trusted_job_stops_where_what_it_meets_is_covered(github: FakeGitHub, traveller: Traveller) -> None:
    bury(github, artifacts=900)
    segment(github, "old")
    base(github, traveller)
    bury(github, artifacts=150)
    segment(github, "new")
    before = len(github.calls)
    reading, found = fetched(traveller())
    assert found == ["new", "old"] and (reading.read, reading.left) == (1, 0)
    # The base, the runs, the base's bytes, two pages of artifacts, the segment's bytes.
    assert len(github.calls) - before == 6


def test_segments_of_runs_behind_the_first_page_are_left_by_a_pull_request_and_read_by_others(
    github: FakeGitHub, traveller: Traveller
) -> None:
    for number in range(12):
        segment(github, f"run-{number:02}")
        bury(github, runs=30)
    reading, found = fetched(traveller("pull_request"), pull_request=True)
    assert found == ["run-09", "run-10", "run-11"] and (reading.read, reading.left) == (3, 9)
    assert "9 more builds were left" in reading.notes[0] and "3 of 12 segments" in str(reading)
    reading, found = fetched(traveller())
    assert len(found) == 12 and not reading.left and not reading.notes


def test_the_base_is_found_behind_more_runs_than_a_page_holds(github: FakeGitHub, traveller: Traveller) -> None:
    segment(github, "old")
    made = base(github, traveller)
    bury(github, runs=150)
    for history in (traveller("pull_request"), traveller()):
        reading = history.fetch(pull_request=True)
        assert reading.base is not None and reading.base.id == str(made.id)


def test_where_the_newest_base_is_damaged_an_older_one_is_found_behind_many_runs(
    github: FakeGitHub, traveller: Traveller
) -> None:
    segment(github, "old")
    older = base(github, traveller, timedelta(days=2))
    bury(github, runs=150)
    newer = base(github, traveller)
    bury(github, runs=150)
    damaged = io.BytesIO()
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("object", b"x" * 99)
    newer.data = damaged.getvalue()
    reading = traveller().fetch()
    assert reading.base is not None and reading.base.id == str(older.id)
    assert "passed over" in reading.notes[0]
    with pytest.raises(DamagedStoreError):
        traveller("pull_request").fetch(pull_request=True)


def forks(github: FakeGitHub, number: int) -> None:
    """So many pull requests of a fork that store something under the base's name."""
    fork = github.repositories.get("stranger/shop") or github.add_repository("stranger/shop", github.repository)
    for _ in range(number):
        github.add_artifact(BASE, b"", github.add_run("pull_request", "e" * 40, "main", head_repository=fork))


def test_a_flood_of_a_forks_bases_does_not_hide_the_own_one(github: FakeGitHub, traveller: Traveller) -> None:
    segment(github, "old")
    made = base(github, traveller)
    forks(github, 250)
    reading, found = fetched(traveller())
    assert reading.base is not None and reading.base.id == str(made.id) and found == ["old"]
    with pytest.raises(DamagedStoreError, match="too many objects are called ci-bridge-base"):
        traveller("pull_request").fetch(pull_request=True)


def test_no_history_begins_afresh_beside_a_base_that_could_not_be_found(
    github: FakeGitHub, traveller: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci_bridge.platforms.github.artifact_reader._MANY_PAGES", 3)
    segment(github, "old")
    base(github, traveller)
    forks(github, 350)
    history = traveller()
    with pytest.raises(DamagedStoreError, match="to be trusted"):
        history.fetch()
    assert not history.cache.exists()
    history.publish("own", encode(record(0, "own"), rows({"test_a": "P"})))
    assert history.compact_if_due(main=True, retention_days=90) == ""
    assert sum(artifact.name == BASE for artifact in github.artifacts) == 351


def test_a_base_of_unknown_origin_is_not_taken_for_none(github: FakeGitHub, traveller: Traveller) -> None:
    segment(github, "old")
    base(github, traveller)
    bury(github, runs=150)
    # A newer base of another workflow takes the one call that a pull request has for a single run.
    other = github.add_run(path=".github/workflows/other.yml")
    github.add_artifact(BASE, b"", other)
    with pytest.raises(DamagedStoreError):
        traveller("pull_request").fetch(pull_request=True)
    assert traveller().fetch().base is not None


def test_an_empty_store_is_an_empty_history_however_busy_the_repository_is(
    github: FakeGitHub, traveller: Traveller
) -> None:
    bury(github, artifacts=500, runs=150)
    forks(github, 50)
    for event in ("push", "pull_request"):
        reading, found = fetched(traveller(event), pull_request=event == "pull_request")
        assert (reading.base, found) == (None, [])
