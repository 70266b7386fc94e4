"""Real processes on one folder: many jobs that end at once, and compactors and jobs that are killed at any moment.

Run as a program of its own, since forking is for processes of a single thread::

    python -m tests.history.processes FOLDER --writers 60 --compactors 10 --seed 1

It prints one line of JSON: the runs that were acknowledged, and how many processes of each kind were killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from ci_bridge.errors import HistoryError
from ci_bridge.history import History
from ci_bridge.history.folder_store import FolderStore
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import TravellingHistory
from tests.history.samples import record, rows

TOGETHER = 12
"""Jobs that run at the same time beside two compactors; enough for every step of one to meet every step of another."""


def _traveller(folder: Path, name: str) -> TravellingHistory:
    return TravellingHistory(FolderStore(folder / "store"), folder / "cache" / name / "history.sqlite")


def write(folder: Path, uid: str, told: int, *, compacts: bool) -> None:
    """One job: it stores its run, says so, and compacts if that is its task."""
    traveller = _traveller(folder, uid)
    run, cases = record(0, uid, "PF"), rows({"test_a": "P", f"test_{uid}": "F"})
    if compacts:
        traveller.fetch()
    traveller.publish(uid, encode(run, cases))
    os.write(told, f"{uid}\n".encode())
    if compacts:
        with History.writing(traveller.cache) as history:
            history.record(run, cases)
        traveller.compact(retention_days=90, force=True)


def compact(folder: Path, name: str) -> None:
    """Read and compact until killed."""
    for number in count():
        traveller = _traveller(folder, f"{name}-{number}")
        # All bases of the list may be dropped by others before one was fetched; the next round sees the newer ones.
        with contextlib.suppress(HistoryError):
            traveller.fetch()
            traveller.compact(retention_days=90, force=True)


def fork(work: Callable[[], None]) -> int:
    """Do it in a process of its own."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # it must end here whatever happened, and say why
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class Crowd:
    """The processes of one run."""

    def __init__(self, folder: Path, writers: int, compactors: int, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.reading, self.told = os.pipe()
        self.waiting = [f"writer-{number}" for number in range(writers)]
        self.compactors: dict[int, int] = {}
        self.writers: dict[int, str] = {}
        self.acknowledged: list[str] = []
        self.ended: Counter[str] = Counter()
        self.left = compactors
        # When to kill: after so many acknowledgements. That is a random moment for whoever is killed.
        self.kills = Counter(self.random.choices(range(1, writers - writers // 6), k=compactors))
        self.victims = set(self.random.sample(self.waiting, writers // 10))

    def fill(self) -> None:
        """Start what there is room for."""
        while self.waiting and len(self.writers) < TOGETHER:
            uid = self.waiting.pop()
            compacts = self.random.random() < 0.2
            self.writers[fork(lambda: write(self.folder, uid, self.told, compacts=compacts))] = uid  # noqa: B023
        while self.left and len(self.compactors) < 2:
            self.left -= 1
            name = f"compactor-{self.left}"
            self.compactors[fork(lambda: compact(self.folder, name))] = self.left  # noqa: B023

    def kill(self, process: int) -> None:
        """End a process as a runner does that has lost its patience."""
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        self.ended["killed jobs" if self.writers.pop(process, None) else "killed compactors"] += 1
        self.compactors.pop(process, None)

    def acknowledgements(self) -> Iterator[str]:
        """Each run as it is acknowledged, until every job has ended."""
        buffer = b""
        while self.writers or self.waiting:
            self.fill()
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended:
                assert ended in self.writers and os.waitstatus_to_exitcode(status) == 0, "a job or a compactor failed"
                del self.writers[ended]
                self.ended["jobs"] += 1
            if select.select([self.reading], [], [], 0.01)[0]:
                buffer += os.read(self.reading, 1 << 16)
            *whole, buffer = buffer.split(b"\n")
            yield from (line.decode() for line in whole)

    def run(self) -> dict[str, object]:
        """Let them all run, and kill some."""
        for uid in self.acknowledgements():
            self.acknowledged.append(uid)
            for _ in range(self.kills.pop(len(self.acknowledged), 0)):
                if self.compactors:
                    self.kill(self.random.choice(list(self.compactors)))
                    self.fill()
            running = {name: process for process, name in self.writers.items()}
            if self.victims and running and self.random.random() < 0.2:
                self.victims.pop()
                self.kill(running[self.random.choice(sorted(running))])
        for process in list(self.compactors):
            self.kill(process)
        return {"acknowledged": self.acknowledged, **self.ended}


def main() -> None:
    """Run one crowd."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--writers", type=int, default=60)
    parser.add_argument("--compactors", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(json.dumps(Crowd(given.folder, given.writers, given.compactors, given.seed).run()))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
