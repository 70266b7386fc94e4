"""Every operation on the disk between a report and its history fails once: a receipt says so, nothing is broken."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.history.folder_store import FolderStore
from ci_bridge.history.travelling import TravellingHistory
from tests.fakes.adapter import JobAdapter
from tests.history.samples import uids
from tests.test_travels import PUSH, report

_OPERATIONS = ("open", "os.rename", "os.link", "os.mkdir", "os.listdir", "os.scandir", "os.truncate")
_HISTORY = ("history", "shared", "ci-bridge-")


class Disk:
    """Counts what is done with the disk on the history's behalf, and lets one of these operations fail.

    An audit hook can never be taken away again, so one stays for all tests and sleeps between them.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails_at: int | None = None
        self.awake = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.awake:
            return
        if event in _OPERATIONS and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.fsdecode(arguments[0])
            if any(word in path for word in _HISTORY):
                self._happen(f"{event} {path}", path)

    def _happen(self, what: str, path: str) -> None:
        self.done.append(what)
        if len(self.done) - 1 == self.fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    @contextmanager
    def failing(self, number: int | None) -> Iterator[None]:
        """Let operation ``number`` fail, counted from 0; or only count."""
        sync = os.fsync

        def fsync(fd: Any) -> None:
            self._happen("fsync", "")
            sync(fd)

        self.done, self.fails_at, self.awake, os.fsync = [], number, True, fsync
        try:
            yield
        finally:
            self.awake, os.fsync = False, sync


_DISK: list[Disk] = []


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    # What other processes keep where temporary files are must not count.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if not _DISK:
        _DISK.append(Disk())
    return _DISK[0]


def every_fault(disk: Disk, try_with: Callable[[int | None], str]) -> dict[str, int]:
    """Call ``try_with`` with no fault, then with each operation failing; how often it answered what."""
    told: dict[str, int] = {try_with(None): 0}
    for number in range(len(disk.done)):
        answer = try_with(number)
        told[answer] = told.get(answer, 0) + 1
    return told


CONFIG = {"enable_artifacts": False, "result_format": "json", "max_retries": 0}


def test_one_file_beside_the_reports(tmp_path: Path, disk: Disk) -> None:
    context = replace(PUSH, platform="local")
    first, _ = report(tmp_path / "job", JobAdapter(context=context), config=CONFIG)
    history = tmp_path / "job" / "distributed_test_results" / "history.sqlite"
    before = history.read_bytes()

    def once(number: int | None) -> str:
        for path in history.parent.iterdir():
            if path.name != ".gitignore":
                path.unlink()
        history.write_bytes(before)
        with disk.failing(number):
            outcome, receipt = report(tmp_path / "job", JobAdapter(context=context), config=CONFIG)
        assert outcome.exit_code == 0, disk.done[-1]
        known = uids(history)
        assert known[0] == first.report.run.id
        assert len(known) == (2 if receipt.state == "sent" else 1), disk.done[-1]
        assert not list(history.parent.glob("*.damaged*"))
        return receipt.state

    told = every_fault(disk, once)
    assert told.keys() == {"sent", "failed"}
    assert told["failed"] >= 5


def test_a_folder_that_machines_share(tmp_path: Path, disk: Disk) -> None:
    config = CONFIG | {"history_url": str(tmp_path / "shared")}
    first, _ = report(tmp_path / "job", JobAdapter(context=replace(PUSH, branch="topic")), config=config)
    main = replace(PUSH, build_id="701")
    (segment,) = (tmp_path / "shared" / "trusted").iterdir()

    def once(number: int | None) -> str:
        shutil.rmtree(tmp_path / "job")
        (tmp_path / "job").mkdir()
        for path in (tmp_path / "shared" / "trusted").iterdir():
            if path != segment:
                path.unlink()
        with disk.failing(number):
            # The first build that may compact: it reads, saves, stores and compacts.
            outcome, receipt = report(tmp_path / "job", JobAdapter(context=main), config=config)
        failed = disk.done[number] if number is not None else ""
        assert outcome.exit_code == 0, failed
        reader = TravellingHistory(FolderStore(tmp_path / "shared"), tmp_path / "reader" / "history.sqlite")
        assert reader.fetch().notes == (), failed
        assert len(uids(reader.cache)) == (1 if "was not stored" in receipt.reason else 2), (failed, receipt)
        assert first.report.run.id in uids(reader.cache), failed
        problems = ("not read from its store", "was not stored", "not compacted")
        return next((problem for problem in problems if problem in receipt.reason), receipt.state)

    told = every_fault(disk, once)
    assert {"sent", "was not stored", "not compacted"} <= told.keys()
    assert told["not compacted"] >= 10
