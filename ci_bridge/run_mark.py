"""The id of a build's test run, written to the staging folder so that several processes of one job share it."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ci_bridge.arguments import uuid7
from ci_bridge.atomic import read_small, write_atomically
from ci_bridge.errors import HistoryError
from ci_bridge.models import BuildContext

_MOST_NAMES = 20

_PATIENCE = 10.0
"""Seconds to wait for other processes of the job that are at the mark: each is for a moment."""


@dataclass(frozen=True, slots=True)
class RunMark:
    """A small file with the current run's id.

    Attributes:
        path: The file.
        build: What tells this job's execution from every other; empty on a laptop.
        shard: Key of the parallel job.
        name: What the job's reports are shown under.
    """

    path: Path
    build: str
    shard: str
    name: str = ""

    @classmethod
    def of(cls, context: BuildContext, directory: Path, shard: str, name: str = "") -> RunMark:
        """The mark of this job's execution in the staging folder."""
        build = "/".join(filter(None, (context.build_id, context.attempt, context.job_id, context.job_name)))
        return cls(directory / "current-run.json", build, shard, name)

    def begin(self, now: datetime) -> str:
        """The id for a report: that of the run which numbers and files were already recorded for, else a new one.

        One report takes it: of several at once each gets an id of its own.
        """
        with self._alone():
            facts = self._read()
            run_id = uuid7(now) if facts is None or facts["taken"] else facts["id"]
            return self._write(run_id, taken=True, after=facts["names"] if facts else ())

    def join(self, now: datetime) -> str:
        """The id for a number or a file: that of this build's newest run, else a new one."""
        with self._alone():
            facts = self._read()
            return str(facts["id"]) if facts else self._write(uuid7(now), taken=False)

    def finish(self, run_id: str) -> bool:
        """The report is made.

        Returns:
            True if an earlier step of this job has made one under the same name, so that this one took its place.
        """
        with self._alone():
            facts = self._read() or {"id": "", "taken": True, "names": []}
            # Ids are in the order of time: a report that was begun meanwhile stays the newest run.
            newest = max(run_id, facts["id"])
            self._write(newest, taken=facts["taken"] or newest == run_id, after=[*facts["names"], self.name])
        return bool(self.build) and self.name in facts["names"]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes of the job from the mark; where the folder does not allow it, nobody is kept from it."""
        from ci_bridge.history.saving import locked

        with contextlib.ExitStack() as stack:
            with contextlib.suppress(HistoryError):
                stack.enter_context(locked(self.path, _PATIENCE))
            yield

    def _read(self) -> dict[str, Any] | None:
        try:
            facts = json.loads(read_small(self.path))
            # Only an id of our own making: whatever runs in the job can write this file.
            if uuid.UUID(facts["id"]).version != 7 or str(uuid.UUID(facts["id"])) != facts["id"]:
                return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        if facts.get("build") != self.build or facts.get("shard") != self.shard:
            return None
        names = facts.get("names")
        known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        return {"id": facts["id"], "taken": facts.get("taken") is not False, "names": known}

    def _write(self, run_id: str, *, taken: bool, after: Iterable[str] = ()) -> str:
        names = list(dict.fromkeys(after))[-_MOST_NAMES:]
        facts = {"id": run_id, "build": self.build, "shard": self.shard, "taken": taken, "names": names}
        # Where nothing can be written, each process is a run of its own; the report says that the folder is unwritable.
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(facts) + "\n")
        return run_id
