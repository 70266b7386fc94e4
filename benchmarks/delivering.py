"""What a report to GitHub costs, over the stand-in of the tests: CPU, memory and calls, of one job and of a matrix.

``--quick`` takes small sizes.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import reading  # noqa: E402 - found beside this file

from tests.fakes.github import FakeGitHub  # noqa: E402
from tests.fakes.github_env import job_environment  # noqa: E402

CLI = [sys.executable, "-m", "ci_bridge"]
TRACE = "".join(f'File "shop/cart.py", line {line}, in add\n' for line in range(60))[:2_000]


def passed(count: int) -> Iterator[str]:
    """Cases that pass."""
    return (f'<testcase classname="test_cart" name="test_{number}" time="0.1"/>' for number in range(count))


def failed(count: int, name: str = "", trace: str = TRACE) -> Iterator[str]:
    """Cases that fail in a tracked file, each at a line of its own."""
    return (
        f'<testcase classname="test_cart" name="test_{number}{name}" file="test_cart.py" line="{number + 1}">'
        f'<failure message="assert {number} == 42">{trace}</failure></testcase>'
        for number in range(count)
    )


def workloads(*, quick: bool) -> Iterator[tuple[str, Callable[[], Iterator[str]], list[str]]]:
    """What is reported, its cases, and further flags."""
    share = 100 if quick else 1
    yield "100 cases, green", lambda: passed(100), []
    for count in (1_000 // share, 120_000 // share):
        yield f"{count:,} failures of 2 KB", lambda count=count: failed(count), []  # type: ignore[misc]
    names = 1_000 // share
    yield f"{names:,} failures with names of 100 kB", lambda: failed(names, "é" * 50_000), []
    wanted = 10_000 // share
    yield f"{wanted:,} annotations wanted", lambda: failed(wanted, trace=""), ["--max-annotations", str(wanted)]


def _report(cases: Iterator[str], flags: list[str]) -> str:
    """One pull request's report as cells of the table."""
    github = FakeGitHub()
    try:
        with tempfile.TemporaryDirectory(prefix="ci-bridge-") as folder:
            env = job_environment(github, Path(folder), "pull_request") | {"PATH": os.environ["PATH"]}
            workspace = Path(folder, "workspace")
            (workspace / "test_cart.py").touch()
            for words in (["init", "-q"], ["add", "test_cart.py"]):
                subprocess.run(["git", "-C", str(workspace), *words], check=True)
            with (workspace / "junit.xml").open("w", encoding="utf-8") as stream:
                stream.write("<testsuite name='unit'>")
                stream.writelines(cases)
                stream.write("</testsuite>")
            words = ["report", "junit.xml", "--json", "-C", str(workspace), "--deadline-seconds", "3600"]
            cpu, peak = reading.measure([*CLI, *words, *flags], env)
        if problems := github.violations():
            raise RuntimeError("\n".join(problems))
        [comment] = github.comments(42)
        calls, stored = len(github.calls), len(github.results.log) + len(github.blobs.log)
        shown = len(github.check_runs[0].annotations)
        return f"{cpu:.1f} | {peak:.0f} | {calls} | {stored} | {shown} | {len(comment.body):,}"
    finally:
        github.close()


def table(*, quick: bool = False) -> str:
    """One row for each workload."""
    lines = [
        "| a pull request with | CPU seconds | peak MB | API calls | calls to store files | annotations | comment |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for what, cases, flags in workloads(quick=quick):
        lines.append(f"| {what} | {_report(cases(), flags)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def matrix(*, quick: bool = False) -> str:
    """The calls of a matrix whose legs race, in several orders."""
    from tests.platforms.github.test_matrix_races import LEGS, Matrix

    calls, edits = [], []
    for seed in range(1 if quick else 10):
        github = FakeGitHub()
        try:
            with tempfile.TemporaryDirectory(prefix="ci-bridge-") as folder:
                race = Matrix(github, Path(folder), random.Random(seed))
                race.deliver(range(LEGS))
                race.must_show(range(LEGS))
            calls.append(len(github.calls))
            edits.append(github.comments(42)[0].edits + 1)
        finally:
            github.close()
    orders = f"{len(calls)} order{'s' * (len(calls) > 1)}"
    return (
        f"A matrix of {LEGS} racing jobs, whole, in {orders}: {_range(calls)} API calls of all jobs together, of the"
        f" 1 000 that GitHub grants a repository in an hour; one comment, written {_range(edits)} times."
    )


def _range(numbers: list[int]) -> str:
    least, most = min(numbers), max(numbers)
    return str(least) if least == most else f"{least} to {most}"


def main() -> None:
    """Print the table and the matrix's calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    quick = parser.parse_args().quick
    print(table(quick=quick))
    print()
    print(matrix(quick=quick))


if __name__ == "__main__":
    main()
