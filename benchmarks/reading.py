"""Measure reading: CPU time and peak memory of whole processes that read the same JUnit files, ours and others.

The workload: 50 files of passing cases, 199 bytes a case, 1 000 cases a suite; with ``--failures`` one case in 200
fails with a stack trace of 2 KB. It is the same on every machine. The yardstick is Python's expat, once with handlers
that do nothing and once with no handlers at all; ours must stay within three times the former.

Usage: ``python benchmarks/reading.py [--cases N]… [--failures] [--junit-to-ctrf PATH]``; prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FILES = 50
SUITE = 1000
CASE_SIZE = 199
FAILING = 200
CHUNK = 1 << 16
_TRACE = '  File "tests/unit/test_cart.py", line 12, in test_total\n    assert total(cart) == 42\n' * 24


@dataclass(frozen=True, slots=True)
class Measurement:
    """One process. ``cpu`` is user and system time in seconds, ``peak`` resident memory in megabytes, None: not run."""

    what: str
    cases: int
    cpu: float | None = None
    peak: float | None = None
    remark: str = ""


def write_workload(folder: Path, cases: int, *, failures: bool = False) -> None:
    """Write the files.

    Args:
        folder: An empty folder.
        cases: In all files together; a multiple of 50.
        failures: Let one case in 200 fail.
    """
    for number in range(FILES):
        with (folder / f"TEST-{number:02}.xml").open("w", encoding="utf-8") as stream:
            stream.write('<?xml version="1.0" encoding="utf-8"?>\n<testsuites>\n')
            stream.writelines(_suites(number, cases // FILES, failures))
            stream.write("</testsuites>\n")


def _suites(file: int, cases: int, failures: bool) -> Iterator[str]:
    for start in range(0, cases, SUITE):
        count = min(SUITE, cases - start)
        red = sum(number % FAILING == 0 for number in range(start, start + count)) if failures else 0
        yield f'<testsuite name="suite {file}.{start}" tests="{count}" failures="{red}" errors="0" skipped="0">\n'
        for number in range(start, start + count):
            tag = (
                f'<testcase classname="tests.unit.package_{file:02}.test_module_{start // SUITE:03}.TestBehaviour" '
                f'name="test_the_thing_does_what_it_says[parameter-{number:05}-alpha-beta-gamma-delta]" '
                f'time="{number * 7919 % 1000 / 1000:.3f}"'
            )
            if failures and number % FAILING == 0:
                yield f'{tag}><failure message="41 != 42" type="AssertionError">{_TRACE}</failure></testcase>\n'
            else:
                yield f"{tag} />".ljust(CASE_SIZE - 1) + "\n"
        yield "</testsuite>\n"


_WAITER = """
import json, os, sys
with open(os.devnull, "r+b") as null:
    actions = [(os.POSIX_SPAWN_DUP2, null.fileno(), target) for target in (0, 1)]
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
_, status, usage = os.wait4(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""
"""Starts a process and waits: a process's peak counts what started it as well, so that has to be small."""


def measure(argv: Sequence[str], env: dict[str, str] | None = None) -> tuple[float, float]:
    """Run a process to its end, its output dropped.

    Args:
        argv: The program, by its path or as found on PATH, and its arguments.
        env: Its environment; this process's own by default.

    Returns:
        CPU seconds, children included, and peak resident megabytes.

    Raises:
        RuntimeError: It failed.
        subprocess.CalledProcessError: It cannot be started.
    """
    command = [sys.executable, "-I", "-S", "-c", _WAITER, *argv]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)
    code, cpu, peak = json.loads(done.stdout)
    if code:
        raise RuntimeError(f"{argv[0]} ended with {code}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # ru_maxrss is bytes on macOS, kilobytes elsewhere
    return cpu, peak / unit


# -- the programs, each in a process of its own ------------------------------------------------------------------------


def _expat(folder: Path, *, handlers: bool) -> None:
    from xml.parsers import expat

    def start(_tag: str, _attributes: dict[str, str]) -> None:
        pass

    def end(_tag: str) -> None:
        pass

    for path in sorted(folder.glob("*.xml")):
        parser = expat.ParserCreate()
        if handlers:
            parser.StartElementHandler = start
            parser.EndElementHandler = end
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                parser.Parse(chunk, False)
        parser.Parse(b"", True)


def _ours(folder: Path, *, spool: bool) -> None:
    from ci_bridge.formats import read_results

    with read_results(["*.xml"], workspace=folder, spool=spool) as results:
        if results.totals.total == 0:
            raise SystemExit("nothing was read")
        if spool:
            for _ in results.rows():
                pass


def _junitparser(folder: Path) -> None:
    from junitparser import Error, Failure, JUnitXml
    from lxml import etree  # type: ignore[import-untyped]

    red = 0
    for path in sorted(folder.glob("*.xml")):
        for suite in JUnitXml.fromfile(str(path), parse_func=etree.parse):
            for case in suite:
                red += any(isinstance(result, Failure | Error) for result in case.result)


PROGRAMS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "expat": ("expat, handlers that do nothing", lambda folder: _expat(folder, handlers=True)),
    "expat-silent": ("expat, no handlers", lambda folder: _expat(folder, handlers=False)),
    "summary": ("ci-bridge, read and summarise", lambda folder: _ours(folder, spool=False)),
    "rows": ("ci-bridge, every row kept and read again", lambda folder: _ours(folder, spool=True)),
    "junitparser": ("junitparser with lxml, iterated", _junitparser),
}


def junit_to_ctrf(root: Path, given: str | None = None) -> str | None:
    """Path of the npm package's program: the given one, or the one in ``node_modules`` or on PATH; None without."""
    local = root / "node_modules/.bin/junit-to-ctrf"
    return given or (str(local) if local.exists() else shutil.which("junit-to-ctrf"))


def measure_all(cases: int, *, failures: bool = False, converter: str | None = None) -> Iterator[Measurement]:
    """Measure every program on one workload.

    Args:
        cases: Size of the workload.
        failures: Let one case in 200 fail.
        converter: Path of junit-to-ctrf, None if it is not installed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_workload(folder, cases, failures=failures)
        for name, (what, _) in PROGRAMS.items():
            try:
                cpu, peak = measure([sys.executable, str(Path(__file__).resolve()), "--program", name, str(folder)])
            except RuntimeError as error:
                yield Measurement(what, cases, remark=f"not run: {error}")
            else:
                yield Measurement(what, cases, cpu, peak)
        what = "junit-to-ctrf (npm)"
        if converter is None:
            yield Measurement(what, cases, remark="not run: `npm install --no-save junit-to-ctrf` brings it")
        else:
            cpu, peak = measure([converter, str(folder / "*.xml"), "-o", str(folder / "ctrf.json")])
            yield Measurement(what, cases, cpu, peak)


def to_markdown(measurements: Sequence[Measurement]) -> str:
    """The measurements as a table, one column a workload, each with the ratio to expat's CPU time."""
    sizes = sorted({item.cases for item in measurements})
    base = {item.cases: item.cpu for item in measurements if item.what == PROGRAMS["expat"][0]}
    out = [
        "| CPU seconds / × expat / peak MB | " + " | ".join(f"{size:,}".replace(",", " ") for size in sizes) + " |",
        "|---|" + "---:|" * len(sizes),
    ]
    for what in dict.fromkeys(item.what for item in measurements):
        cells = []
        for size in sizes:
            item = next((item for item in measurements if (item.what, item.cases) == (what, size)), None)
            if item is None or item.cpu is None or item.peak is None:
                cells.append(item.remark if item else "")
            else:
                ratio = item.cpu / (base.get(size) or item.cpu)
                cells.append(f"{item.cpu:.2f} / {ratio:.1f} / {item.peak:.0f}")
        out.append(f"| {what} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, action="append", help="size of a workload; default 10k, 100k and 1M")
    parser.add_argument("--failures", action="store_true", help="let one case in 200 fail")
    parser.add_argument("--junit-to-ctrf", help="path of the npm package's program")
    parser.add_argument("--program", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.program:
        PROGRAMS[options.program][1](options.folder)
        return
    converter = junit_to_ctrf(Path(__file__).resolve().parent.parent, options.junit_to_ctrf)
    measurements = []
    for cases in options.cases or (10_000, 100_000, 1_000_000):
        for measurement in measure_all(cases, failures=options.failures, converter=converter):
            measurements.append(measurement)
            print(measurement, file=sys.stderr)
    print(to_markdown(measurements))


if __name__ == "__main__":
    main()
