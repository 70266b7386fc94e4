"""Nothing that was acknowledged is lost, nothing counts twice: many jobs on one store, and real processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ci_bridge.history.folder_store import FolderStore
from ci_bridge.history.travelling import TravellingHistory
from tests.history.samples import uids
from tests.history.simulation import IDLE, SCENARIOS, Scenario, simulate

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_is_lost_and_nothing_counts_twice(scenario: Scenario, tmp_path: Path) -> None:
    outcome = simulate(scenario, tmp_path)
    assert outcome.acknowledged > scenario.writers * scenario.builds / 2
    assert outcome.bases > 0
    assert (outcome.lost, outcome.doubled) == (0, 0)


def test_five_hundred_jobs_of_one_build_lose_nothing(tmp_path: Path) -> None:
    scenario = Scenario("500 writers", writers=500, builds=2, reads=0.01)
    outcome = simulate(scenario, tmp_path)
    assert outcome.acknowledged > 900
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert outcome.most_fetches > 400


def test_the_simulation_sees_a_loss_where_segments_do_not_outlive_the_gap(tmp_path: Path) -> None:
    outcome = simulate(IDLE, tmp_path)
    assert outcome.lost > 0


# --- real processes on a folder

JOB = """
    import sys
    from pathlib import Path
    from ci_bridge.history import History
    from ci_bridge.history.folder_store import FolderStore
    from ci_bridge.history.segments import encode
    from ci_bridge.history.travelling import TravellingHistory
    from tests.history.samples import record, rows
    folder, cache, name, rounds = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    for number in range(rounds):
        uid = f"{name}-{number}"
        traveller = TravellingHistory(FolderStore(folder), cache / uid / "history.sqlite")
        traveller.fetch()
        run = record(0, uid, "PF")
        cases = rows({"test_a": "P", "test_b": "F"})
        traveller.publish(uid, encode(run, cases))
        print(uid, flush=True)
        with History.writing(traveller.cache) as history:
            history.record(run, cases)
        traveller.compact(retention_days=90, force=True)
"""


def start(folder: Path, cache: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(cache)}
    command = [sys.executable, "-c", textwrap.dedent(JOB), str(folder), str(cache), name, str(rounds)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_processes_that_compact_at_once_and_are_killed_lose_nothing(tmp_path: Path) -> None:
    folder, cache = tmp_path / "store", tmp_path / "cache"
    cache.mkdir()
    chance, done = random.Random(3), []
    steady = [start(folder, cache, f"steady-{number}", 5) for number in range(2)]
    for number in range(6):
        victim = start(folder, cache, f"victim-{number}", 50)
        time.sleep(chance.uniform(0.4, 1.2))
        victim.send_signal(signal.SIGKILL)
        done += victim.communicate(timeout=30)[0].split()
    for process in steady:
        done += process.communicate(timeout=60)[0].split()
        assert process.returncode == 0
    store = FolderStore(folder)
    reader = TravellingHistory(store, tmp_path / "reader" / "history.sqlite")
    reading = reader.fetch()
    assert len(done) >= 10
    # A victim may have stored a segment and been killed before it said so.
    assert set(done) <= set(uids(reader.cache))
    assert len(uids(reader.cache)) <= len(done) + 6
    assert reading.notes == ()
    assert 1 <= len(store.list_objects("ci-bridge-base", 100)) <= 8
