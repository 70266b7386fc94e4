"""What many jobs on one store lose: the simulation of docs/history.md in full size, over the real code.

Run it as ``python benchmarks/concurrency.py``; it takes some minutes and prints a table.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.history.simulation import IDLE, SCENARIOS, Scenario, simulate


def full_size() -> list[Scenario]:
    """Builds of up to 500 writers, and each scenario with twice the writers of the test suite."""
    cases = [replace(one, writers=20) for one in SCENARIOS]
    sizes = [
        Scenario(f"{writers} writers a build", writers=writers, builds=builds, reads=reads)
        for writers, builds, reads in ((1, 200, 1.0), (10, 60, 0.5), (50, 20, 0.2), (200, 8, 0.05), (500, 6, 0.02))
    ]
    return [*sizes, *cases, replace(IDLE, writers=20)]


def main() -> None:
    print("| case | acknowledged | found | lost | counted twice | bases | most downloads of one job | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for scenario in full_size():
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="ci-bridge-") as folder:
            seen = simulate(scenario, Path(folder))
        print(
            f"| {scenario.name} | {seen.acknowledged} | {seen.found} | {seen.lost} | {seen.doubled} | {seen.bases}"
            f" | {seen.most_fetches} | {time.monotonic() - began:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
