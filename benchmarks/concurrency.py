"""What many jobs on one store lose: the simulation of docs/history.md in full size, and killed processes on a folder.

``--quick`` runs the small sizes of the test suite. Both run the real code.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.history.simulation import SCENARIOS, UNMET, Outcome, Scenario, in_full, shares, simulate  # noqa: E402

SIZES = ((1, 200, 1.0), (10, 200, 0.1), (50, 100, 0.1), (200, 50, 0.02), (500, 20, 0.01))
"""Writers of a build, builds, and the share of jobs that read."""

PROCESSES = ((60, 10), (300, 60))
"""Processes that store their run, and compactors that are killed."""


def scenarios(*, quick: bool) -> Iterator[Scenario]:
    """Every corner case, and builds of up to 500 writers."""
    for writers, builds, reads in SIZES:
        name = f"{writers} writer{'' if writers == 1 else 's'}, {builds} builds"
        if not quick:
            yield Scenario(name, writers=writers, builds=builds, reads=reads, every=timedelta(hours=1))
        elif writers == max(SIZES)[0]:
            yield Scenario(f"{writers} writers, 1 build", writers=writers, builds=1, reads=reads)
    for scenario in (*SCENARIOS, *UNMET):
        yield scenario if quick else in_full(scenario)


def table(*, quick: bool = False) -> str:
    """One row for each scenario."""
    head = ["case", *shares(Outcome()), "seconds"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for scenario in scenarios(quick=quick):
        began = time.process_time()
        with tempfile.TemporaryDirectory(prefix="ci-bridge-") as folder:
            seen = simulate(scenario, Path(folder))
        lines.append(f"| {scenario.name} | {' | '.join(shares(seen).values())} | {time.process_time() - began:.0f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def killed(*, quick: bool = False, seeds: int = 5) -> str:
    """One row for each crowd of real processes on a folder; several seeds together."""
    lines = ["| processes | acknowledged | found | lost | counted twice |", "|---|---:|---:|---:|---:|"]
    for writers, compactors in PROCESSES[:1] if quick else PROCESSES:
        acknowledged = found = lost = doubled = 0
        for seed in range(1 if quick else seeds):
            with tempfile.TemporaryDirectory(prefix="ci-bridge-") as folder:
                told, runs = _crowd(Path(folder), writers, compactors, seed)
            acknowledged, found = acknowledged + len(told), found + len(told & set(runs))
            lost, doubled = lost + len(told - set(runs)), doubled + len(runs) - len(set(runs))
        what = f"{writers} jobs, {writers // 10} of them killed, and {compactors} compactors, all killed"
        lines.append(f"| {what} | {acknowledged} | {found} | {lost} | {doubled} |")
    return "\n".join(lines)


def _crowd(folder: Path, writers: int, compactors: int, seed: int) -> tuple[set[str], list[str]]:
    """The runs that were acknowledged, and those that are found."""
    from ci_bridge.history import History
    from ci_bridge.history.folder_store import FolderStore
    from ci_bridge.history.travelling import TravellingHistory

    numbers = ["--writers", str(writers), "--compactors", str(compactors), "--seed", str(seed)]
    command = [sys.executable, "-m", "tests.history.processes", str(folder), *numbers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    reader = TravellingHistory(FolderStore(folder / "store"), folder / "reader" / "history.sqlite")
    reader.fetch()
    with History.read(reader.cache) as history:
        return set(json.loads(done.stdout)["acknowledged"]), [row["id"] for row in history.runs()]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the sizes of the test suite")
    quick = parser.parse_args().quick
    print(table(quick=quick))
    print("\nReal processes on a folder, ended by SIGKILL at any moment:\n")
    print(killed(quick=quick))


if __name__ == "__main__":
    main()
