"""`make demo`: the main job on real result files, twice, so that the second run has something to compare with.

The files were written by the tools that `demo/README.md` names. Everything lands in `demo/output`, which may be
thrown away.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = Path(os.environ.get("DEMO_OUTPUT", HERE / "output"))
REPORTS = OUTPUT / "distributed_test_results"
PREVIEW_LINES = 24


def say(text: str = "") -> None:
    """Print a line of the demo's own."""
    print(text, flush=True)


def run(name: str) -> int:
    """Report one run's files and answer the exit code."""
    shutil.rmtree(OUTPUT / "results", ignore_errors=True)
    shutil.copytree(HERE / "data" / name, OUTPUT / "results")
    command = [sys.executable, "-m", "ci_bridge", "report", "results/**/*", "--comment-title", "Shop"]
    say(f"$ ci-bridge {' '.join(command[3:])}          # {name}")
    # Outside any CI, whatever this demo itself runs in; a branch of its own keeps the two runs comparable anywhere.
    environment = {key: value for key, value in os.environ.items() if key in KEPT}
    return subprocess.run(command, cwd=OUTPUT, env=environment, check=False).returncode


KEPT = {"PATH", "HOME", "LANG", "LC_ALL", "TERM", "COLUMNS", "NO_COLOR", "SYSTEMROOT", "TMPDIR", "PYTHONPATH"}


def main() -> int:
    """Run the demo and answer its exit code: 0 if both reports were made."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    for name in ("run-1", "run-2"):
        code = run(name)
        if code:
            return code
        say()
    say("The comment that a pull request would get begins like this:")
    say()
    for line in (REPORTS / "report.md").read_text(encoding="utf-8").splitlines()[:PREVIEW_LINES]:
        say(f"  | {line}")
    say("  | …")
    say()
    say("Where to look:")
    shown = Path(os.path.relpath(REPORTS)) if REPORTS.is_relative_to(Path.cwd()) else REPORTS
    for path, what in (
        ("report.html", "the whole report: open it in a browser"),
        ("report.md", "the pull request comment in full"),
        ("report.json", "for scripts; its schema is docs/schemas/report-1.schema.json"),
        ("report.xml", "JUnit, for tools that read that"),
        ("history.sqlite", "what is remembered: plain SQLite, with the views runs, tests, failures and metrics"),
    ):
        say(f"  {shown / path!s:<52} {what}")
    say()
    tool = Path(sys.executable).with_name("ci-bridge")
    tool = Path(os.path.relpath(tool)) if tool.is_relative_to(Path.cwd()) else tool
    say(f"Go on with:  {tool} -C {shown.parent} history tests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
