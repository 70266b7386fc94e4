"""Nothing that was acknowledged is lost, nothing counts twice: many jobs on one store, and real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from ci_bridge.history import History
from ci_bridge.history.folder_store import FolderStore
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import TravellingHistory
from ci_bridge.models import Metric
from tests.history.samples import NOW, record, rows
from tests.history.simulation import SCENARIOS, UNMET, Scenario, simulate
from tests.history.stores import VirtualStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_is_lost_and_nothing_counts_twice(scenario: Scenario, tmp_path: Path) -> None:
    outcome = simulate(scenario, tmp_path)
    assert outcome.acknowledged > 40
    assert outcome.bases > 0
    assert (outcome.lost, outcome.doubled) == (0, 0)


@pytest.mark.parametrize("reads", [0.0, 0.01])
def test_five_hundred_jobs_of_one_build_lose_nothing(tmp_path: Path, reads: float) -> None:
    # Without a reader before the last there is no base, and all five hundred segments are read at once.
    scenario = Scenario("500 writers", writers=500, builds=1, reads=reads)
    outcome = simulate(scenario, tmp_path)
    assert outcome.acknowledged > 450
    assert (outcome.lost, outcome.doubled, outcome.bases > 0) == (0, 0, reads > 0)
    assert reads or outcome.most_fetches > 450


@pytest.mark.parametrize("scenario", UNMET, ids=lambda scenario: scenario.name)
def test_where_segments_do_not_outlive_the_gap_that_alone_is_lost(scenario: Scenario, tmp_path: Path) -> None:
    outcome = simulate(scenario, tmp_path)
    assert 0 < outcome.lost < outcome.acknowledged
    assert (outcome.unexplained, outcome.doubled) == (0, 0)


@pytest.mark.parametrize("compacts", [False, True])
def test_a_number_of_a_clock_ahead_counts_once_however_often_its_segment_was_stored(
    tmp_path: Path, compacts: bool
) -> None:
    store, ahead = VirtualStore(), NOW + timedelta(days=3)
    run, number = record(-3, "a", "P", completed_at=ahead), Metric("m", 1.0, "", "a", None, ahead)
    job = TravellingHistory(store, tmp_path / "job" / "history.sqlite")
    job.fetch()
    for _ in range(2):  # the answer to one was lost: the job knows of the other only
        again = TravellingHistory(store, job.cache) if store.objects else job
        again.publish("a", encode(run, rows({"test_a": "P"}), [], [number]))
        store.now += timedelta(minutes=1)
    if compacts:
        with History.writing(job.cache) as history:
            history.record(run, rows({"test_a": "P"}), metrics=[number])
        job.compact(retention_days=90)
    reader = TravellingHistory(store, tmp_path / "reader" / "history.sqlite")
    reader.fetch()
    with History.read(reader.cache) as history:
        assert [point["run_id"] for point in history.metric_points("m")] == ["a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork")
@pytest.mark.parametrize("seed", [3, 6])
def test_sixty_processes_beside_ten_compactors_that_are_killed_lose_nothing(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-m", "tests.history.processes", str(tmp_path), "--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["killed compactors"] == 10 and seen["killed jobs"] > 0
    assert seen["jobs"] + seen["killed jobs"] == 60
    store = FolderStore(tmp_path / "store")
    reader = TravellingHistory(store, tmp_path / "reader" / "history.sqlite")
    assert reader.fetch().notes == ()
    with History.read(reader.cache) as history:
        found = Counter(row["id"] for row in history.runs())
        failures = {row["test"]: row["failures"] for row in history.tests(limit=None) if row["failures"]}
    assert set(found.values()) == set(failures.values()) == {1}
    # A job may have been killed after it stored its run and before it said so.
    assert set(seen["acknowledged"]) <= set(found)
    assert len(found) <= len(seen["acknowledged"]) + seen["killed jobs"]
    assert 1 <= len(store.list_objects("ci-bridge-base", 100)) <= 8
