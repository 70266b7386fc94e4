"""`make bench`: measure reading, the whole report, start-up, the history and delivering; write benchmarks/README.md.

Everything is compared within this one run; figures from different runs, even on one machine, are not comparable.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import history  # noqa: E402 - found beside this file
import reading  # noqa: E402

SIZES = (10_000, 100_000, 1_000_000)
CLI = [sys.executable, "-m", "ci_bridge"]

PAGE = """\
# Benchmarks

<!-- Written by `make bench`; do not edit. -->

Measured with {python} on {machine}. CPU seconds are user plus system time of the whole process, memory is its peak.
Compare figures within one table only: they come from one run, one process after the other, and machines differ. Nothing
here is a test; no test depends on time.

| figure | command |
|---|---|
| all of this page | `make bench` |
| all of it in small sizes, printed only | `.venv/bin/python benchmarks/run.py --quick` |
| reading | `.venv/bin/python benchmarks/reading.py --cases 1000000` |
| the whole report, and start-up | `make bench` only |
| history | `.venv/bin/python benchmarks/history.py` |
| how the history travels | `.venv/bin/python benchmarks/concurrency.py`, `--quick` for the sizes of `make test` |
| delivering to GitHub | `.venv/bin/python benchmarks/delivering.py`, or with `--quick` |
| the image (docker or podman) | `.venv/bin/python benchmarks/image.py` |

For junit-to-ctrf: `npm install --no-save junit-to-ctrf` before, or it is left out.

## Reading and the whole report

50 JUnit files, 199 bytes a case; × is the ratio to expat whose handlers do nothing. The report writes JSON, JUnit,
CTRF, HTML and Markdown, keeps compressed copies as artifacts, and records the history; the second one is judged against
the first. Targets for a million cases: summarise in at most 3 × expat and 150 MB, report in at most 20 × expat and
300 MB; 10 000 cases in 1.5 s.

{reading}

## Start-up

| command | CPU seconds | peak MB | target |
|---|---:|---:|---:|
{start_up}

## History

1 000 runs of 10 000 tests on 112 trusted branches, two of them lasting, with flaky tests, tests that never pass and
incidents; synthetic data.

{history}

## How the history travels

What many jobs on one store lose, over the real code and a store with its own clock: jobs of about 6 minutes, a listing
that is 20 s late in the mean and 15 minutes for 2 %, 3 % of the jobs killed while they store something, 1 % of the
objects cut short, 2 % stored twice; segments are kept 7 days, runs remembered 20 (12 in the first rows). *Lost* is a
run whose segment was stored whole and that no reader finds. In the last two rows of the first table the one condition
is not met: segments must outlive the gap between two compactions. What somebody compacted in time for is not lost there
either.

{travels}

## Delivering to GitHub

Over the tests' stand-in for GitHub, which refuses what GitHub refuses; the target is 60 seconds.

{delivering}

## The image

{image}
"""


def reports(cases: int) -> Iterator[reading.Measurement]:
    """The whole report of one workload, twice."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "results").mkdir()
        reading.write_workload(folder / "results", cases)
        for what in ("ci-bridge report, all formats and history", "ci-bridge report, judged against the first"):
            cpu, peak = reading.measure([*CLI, "report", "results/*.xml", "--json", "-C", temporary])
            yield reading.Measurement(what, cases, cpu, peak)


def start_up() -> str:
    """Rows of the table of start-up times: the best of three."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for words, target in ((["--version"], "0.15"), (["detect", "-C", folder], "0.25")):
            cpu, peak = min(reading.measure([*CLI, *words]) for _ in range(3))
            rows.append(f"| `ci-bridge {words[0]}` | {cpu:.2f} | {peak:.0f} | {target} |")
    return "\n".join(rows)


def beside(script: str, *, quick: bool) -> str:
    """What another script of this folder prints."""
    command = [sys.executable, str(HERE / script), *(["--quick"] if quick else [])]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def image() -> str:
    """The image's size and start-up, where there is an engine to build it with."""
    if not (shutil.which("docker") or shutil.which("podman")):
        return "Not measured: this machine has neither docker nor podman."
    done = subprocess.run([sys.executable, str(HERE / "image.py")], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "Not measured: the engine could not build it here."


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, printed and not written")
    quick = parser.parse_args().quick
    converter = reading.junit_to_ctrf(HERE.parent)
    measured: list[reading.Measurement] = []
    for cases in SIZES[:1] if quick else SIZES:
        print(f"{cases} cases …", file=sys.stderr)
        measured += reading.measure_all(cases, converter=converter)
        measured += reports(cases)
    print("history, how it travels, and delivering …", file=sys.stderr)
    page = PAGE.format(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=f"{platform.system()} {platform.machine()}",
        reading=reading.to_markdown(measured),
        start_up=start_up(),
        image="" if quick else image(),
        travels=beside("concurrency.py", quick=quick),
        delivering=beside("delivering.py", quick=quick),
        history=history.table(history.measure(20, 1000) if quick else history.measure()),
    )
    if quick:
        print(page)
    else:
        (HERE / "README.md").write_text(page, encoding="utf-8")
        print("wrote benchmarks/README.md", file=sys.stderr)


if __name__ == "__main__":
    main()
