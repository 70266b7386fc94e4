"""A save is whole or has not happened, whatever kills it, and two writers lose nothing."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path

import pytest

from ci_bridge.errors import HistoryError
from ci_bridge.history import History, recording, saving
from ci_bridge.history.saving import previous_of
from tests.history.samples import NOW, record, remember, rows, simple_history, uids

ROOT = Path(__file__).resolve().parents[2]

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


def start(code: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Run Python code in a process of its own, which leaves its temporary files to pytest if it is killed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(path.parent.parent)}
    command = [sys.executable, "-c", textwrap.dedent(code), str(path), *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


WRITER = """
    import sys
    from pathlib import Path
    from ci_bridge.history import History
    from tests.history.samples import record, rows
    path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    print("ready", flush=True)
    for number in range(count):
        uid = f"{name}-{number:04d}"
        with History.writing(path) as history:
            history.record(record(0, uid), rows({f"test_{n}": "P" for n in range(200)}))
        print(uid, flush=True)
"""


def test_the_first_save_makes_folder_and_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "history.sqlite"
    simple_history(path, runs=1)
    assert [entry.name for entry in path.parent.iterdir()] == ["history.sqlite"]
    assert uids(path) == ["run-1"]


def test_no_history_yet_reads_as_an_empty_one(tmp_path: Path) -> None:
    with History.read(tmp_path / "history.sqlite") as history:
        assert history.runs() == []
        assert history.warnings == []
        assert history.view(branch="main", now=NOW).baseline is None
    assert not [*tmp_path.iterdir()]


def test_only_the_file_and_its_previous_state_are_left(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    simple_history(path)
    remember(path, (record(0, "new"), {"test_one": "P"}))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["history.sqlite", "history.sqlite.previous"]
    assert "new" in uids(path)
    assert "new" not in uids(previous_of(path))


def test_the_file_is_as_readable_as_the_umask_allows_and_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    path.chmod(0o640)
    remember(path, (record(0), {"test_one": "P"}))
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), History.writing(path) as history:
        history.record(record(0, "lost"), rows({"test_one": "P"}))
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.sqlite"]


def test_a_run_whose_reading_fails_half_way_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)

    def broken():
        yield rows({"test_new": "F"})[0]
        raise OSError("the spool is gone")

    with History.writing(path) as history:
        with pytest.raises(OSError, match="spool"):
            history.record(record(0, "half"), broken())
        history.record(record(0, "whole"), rows({"test_one": "P"}))
    assert uids(path)[-1] == "whole"
    assert "half" not in uids(path)
    with History.read(path) as history:
        assert history.tests("test_new") == []


def test_a_block_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    before = path.stat()
    with History.writing(path) as history:
        assert history.prune(90, now=NOW) == 0
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    leftovers = [tmp_path / ".history.sqlite.new-abc", tmp_path / ".history.sqlite.new-previous"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    stranger = tmp_path / ".history.sqlite.notes"
    stranger.write_bytes(b"mine")
    simple_history(path, runs=1)
    assert not any(leftover.exists() for leftover in leftovers)
    assert stranger.exists()


@posix
def test_a_writer_killed_at_any_moment_leaves_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path, runs=1)
    saved: set[str] = set()
    for attempt in range(12):
        with start(WRITER, path, f"writer-{attempt}", "1000") as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.01 + 0.013 * attempt)
            writer.send_signal(signal.SIGKILL)
            saved.update(writer.stdout.read().split())
        assert History.check(path).sound, attempt
        if previous_of(path).exists():
            assert History.check(previous_of(path)).sound
        held = set(uids(path))
        assert saved <= held
    assert saved
    remember(path, (record(0, "after"), {"test_one": "P"}))
    assert "after" in uids(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["history.sqlite", "history.sqlite.previous"]


def test_two_writers_at_once_lose_no_run(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    writers = [start(WRITER, path, name, "15") for name in ("left", "right", "middle")]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
    assert set(uids(path)) == {f"{name}-{number:04d}" for name in ("left", "right", "middle") for number in range(15)}


def test_waiting_for_another_writer_ends(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with (
        saving.locked(path, 1),
        pytest.raises(HistoryError, match=r"another process has held .* for 0\.1 s"),
        History.writing(path, patience=0.1),
    ):
        pass


@posix
@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_stands_in_the_place_of_the_lock_is_named_and_left(tmp_path: Path, kind: str) -> None:
    path, lock = tmp_path / "history.sqlite", tmp_path / "history.sqlite.lock"
    lock.symlink_to(tmp_path / "elsewhere") if kind == "link" else lock.mkdir()
    with pytest.raises(HistoryError, match=r"sqlite\.lock is no lock of ours.*remove it"), History.writing(path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == [lock.name]


@posix
def test_a_lock_on_a_file_that_its_holder_has_just_removed_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = tmp_path / "history.sqlite", tmp_path / "history.sqlite.lock"
    real, calls = saving._try_lock, []

    def try_lock(descriptor: int) -> bool:
        calls.append(descriptor)
        if len(calls) == 1:
            lock.unlink()  # the holder's last act, between our opening and our locking
        return real(descriptor)

    monkeypatch.setattr(saving, "_try_lock", try_lock)
    with saving.locked(path, 5):
        assert len(calls) == 2
        with pytest.raises(HistoryError, match="another process"), saving.locked(path, 0):
            pass
    assert not lock.exists()


@posix
def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    before = path.read_bytes()
    code = """
        import resource, signal, sys
        from pathlib import Path
        from ci_bridge.errors import HistoryError
        from ci_bridge.history import History
        from tests.history.samples import record, rows
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = int(sys.argv[2])
        cases = rows({f"test_{n}_{'x' * 80}": "P" for n in range(20_000)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            with History.writing(Path(sys.argv[1])) as history:
                history.record(record(0, "new"), cases)
        except HistoryError as error:
            print(error)
    """
    for limit in (0, 10_000, 100_000, 1_000_000):
        with start(code, path, str(limit)) as writer:
            output, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
        assert re.search("untouched|no room|no folder", output), (limit, output)
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["history.sqlite"]


def test_an_error_of_sqlite_that_the_block_swallows_still_stops_the_save(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="an earlier step failed"), History.writing(path) as history:
        history._connection.execute("PRAGMA max_page_count = 30")
        with pytest.raises(sqlite3.OperationalError):
            history.record(record(0, "new"), rows({f"test_{n}_{'x' * 80}": "P" for n in range(20_000)}))
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HistoryError, match=r"cannot be saved.*writable folder"):
        simple_history(tmp_path / "file" / "history.sqlite")


def test_saving_works_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Operation not supported")

    path = tmp_path / "history.sqlite"
    simple_history(path)
    monkeypatch.setattr(os, "link", refuse)
    remember(path, (record(0, "new"), {"test_one": "P"}))
    assert uids(path)[-1] == "new"
    assert uids(previous_of(path)) == ["run-3", "run-2", "run-1"]


def test_a_name_with_signs_of_patterns_and_addresses_works(tmp_path: Path) -> None:
    path = tmp_path / "a b?c=d#e%20[x]*.sqlite"
    simple_history(path)
    remember(path, (record(0, "new"), {"test_one": "P"}))
    assert uids(path)[-1] == "new"


def test_update_answers_what_the_change_answers(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    assert History.update(path, lambda history: history.prune(2, now=NOW)) == 1
    assert uids(path) == ["run-2", "run-1"]


def test_old_runs_go_and_what_only_they_mention_goes_with_them(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    remember(
        path,
        (record(100, letters="PF"), {"test_gone": "P", "test_gone_too": "F"}),
        (record(80, letters="P"), {"test_one": "P"}),
        (record(1, letters="P"), {"test_one": "P"}),
    )
    with History.writing(path) as history:
        assert history.prune(90, now=NOW) == 1
        statistics = history.statistics()
        assert [statistics[key] for key in ("runs", "results", "tests", "failures")] == [2, 2, 1, 0]
        assert history.prune(90, now=NOW) == 0
        history.record(record(0, letters="P"), rows({"test_new": "P"}))
        numbers = history._connection.execute("SELECT test_no, name FROM test ORDER BY 1").fetchall()
    assert [number for number, _ in numbers] == [0, 2], "numbers of dead tests are used again"
    assert History.check(path).sound
    with History.read(path) as history:
        assert history.tests("test_new")[0]["runs"] == 1
        assert history.tests("test_one")[0]["runs"] == 2


def test_a_clock_that_is_years_ahead_drops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path, runs=10)
    later = NOW + timedelta(days=365 * 73)
    with History.writing(path) as history:
        history.record(record(-365 * 73, "skewed"), rows({"test_one": "P"}))
        assert history.prune(90, now=later) == 0
        assert len(history.runs()) == 11


def test_a_clock_that_is_weeks_ahead_drops_no_more_than_a_week(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path, runs=80)
    with History.writing(path) as history:
        history.record(record(-40, "skewed"), rows({"test_one": "P"}))
        assert history.prune(90, now=NOW + timedelta(days=40)) == 0


def test_a_run_from_the_future_does_not_keep_old_runs_nor_drop_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    remember(
        path,
        (record(-365 * 73, "2099"), {"test_one": "F"}),
        *((record(day), {"test_one": "P"}) for day in (120, 10, 5, 1)),
    )
    with History.writing(path) as history:
        assert history.prune(90, now=NOW) == 1
    assert uids(path) == ["run-10", "run-5", "run-1", "2099"]
    with History.read(path) as history:
        view = history.view(branch="main", now=NOW)
        assert view.baseline is not None
        assert view.baseline.run_id == "run-1"


def test_more_than_half_is_dropped_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    remember(path, *((record(day), {"test_one": "P"}) for day in (300, 200, 1)))
    with History.writing(path) as history:
        assert history.prune(90, now=NOW) == 0
        assert "2 of 3 runs" in history.warnings[0]
        assert "--force" in history.warnings[0]
    assert len(uids(path)) == 3
    with History.writing(path) as history:
        assert history.prune(90, now=NOW, force=True) == 2
    assert uids(path) == ["run-1"]


def test_a_clock_that_is_years_behind_still_sees_the_baseline(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    with History.read(path) as history:
        baseline = history.view(branch="main", now=NOW - timedelta(days=20 * 365)).baseline
        assert baseline is not None
        assert baseline.run_id == "run-1"


def test_all_numbers_taken_is_an_error_with_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recording, "MOST_TESTS", 3)
    with pytest.raises(HistoryError, match="holds 3 different tests"):
        remember(tmp_path / "history.sqlite", (record(0), {f"test_{n}": "P" for n in range(4)}))
