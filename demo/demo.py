"""`make demo`: the main job on real result files, twice, so that the second run has something to compare with.

The files were written by the tools that `demo/README.md` names. Everything lands in `demo/output`, which may be
thrown away.
"""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = Path(os.environ.get("DEMO_OUTPUT", HERE / "output"))
REPORTS = OUTPUT / "distributed_test_results"
PREVIEW_LINES = 14


def say(text: str = "") -> None:
    """Print a line of the demo's own."""
    print(text, flush=True)


BUILD = {"CI": "true", "TRAVIS": "true", "TRAVIS_REPO_SLUG": "acme/shop"}
BUILDS = {
    "run-1": {
        "TRAVIS_EVENT_TYPE": "push",
        "TRAVIS_BRANCH": "main",
        "TRAVIS_PULL_REQUEST": "false",
        "TRAVIS_COMMIT": "5ead0f1e" * 5,
        "TRAVIS_BUILD_ID": "101",
        "TRAVIS_BUILD_NUMBER": "1",
    },
    "run-2": {
        "TRAVIS_EVENT_TYPE": "pull_request",
        "TRAVIS_BRANCH": "main",
        "TRAVIS_PULL_REQUEST": "7",
        "TRAVIS_PULL_REQUEST_BRANCH": "cheaper-tea",
        "TRAVIS_PULL_REQUEST_SLUG": "acme/shop",
        "TRAVIS_PULL_REQUEST_SHA": "7ea0cafe" * 5,
        "TRAVIS_COMMIT": "decade0f" * 5,
        "TRAVIS_BUILD_ID": "102",
        "TRAVIS_BUILD_NUMBER": "2",
    },
}
"""What a CI system says of its build: a push to main, then a pull request into it. Travis CI needs the fewest words."""

TITLES = {
    "run-1": "1. A push to the branch main. There is nothing to compare with yet.",
    "run-2": "2. Pull request 7 wants the branch cheaper-tea in main. What did it break?",
}


def run(name: str) -> int:
    """Report one run's files and answer the exit code."""
    shutil.rmtree(OUTPUT / "results", ignore_errors=True)
    shutil.copytree(HERE / "data" / name, OUTPUT / "results")
    command = [sys.executable, "-m", "ci_bridge", "report", "results/**/*", "--comment-title", "Shop"]
    say(TITLES[name])
    say()
    say("$ ci-bridge report 'results/**/*' --comment-title Shop")
    # Nothing of the CI system that this demo itself may run in.
    environment = {key: value for key, value in os.environ.items() if key in KEPT} | BUILD | BUILDS[name]
    return subprocess.run(command, cwd=OUTPUT, env=environment, check=False).returncode


KEPT = {"PATH", "HOME", "LANG", "LC_ALL", "TERM", "COLUMNS", "NO_COLOR", "SYSTEMROOT", "TMPDIR", "PYTHONPATH"}


def as_shown(markdown: str) -> list[str]:
    """Roughly what a reader of the Markdown sees, without the folded stack traces."""
    text = re.sub(r"<!--.*?-->\n|^```.*?^```$|\*\*|^#+ ", "", markdown, flags=re.DOTALL | re.MULTILINE)
    text = html.unescape(re.sub(r"<summary>", "▸ ", re.sub(r"</?(?!summary>)\w+[^>]*>|</summary>", "", text)))
    rows = [line for line in text.splitlines() if line.strip() and not line.startswith("| -")]
    cells = [row.split("|")[1:-1] if row.startswith("|") else [row] for row in rows]
    return ["".join(f"{cell.strip():<11}" for cell in row).rstrip() for row in cells]


def main() -> int:
    """Run the demo and answer its exit code: 0 if both reports were made."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    for name in ("run-1", "run-2"):
        code = run(name)
        if code:
            return code
        say()
    [comment] = (REPORTS / "comments" / "pr-7").glob("*.md")
    shown = Path(os.path.relpath(REPORTS)) if REPORTS.is_relative_to(Path.cwd()) else REPORTS
    say("3. The pull request has got a comment. On its page it looks like this:")
    say()
    for line in as_shown(comment.read_text(encoding="utf-8"))[:PREVIEW_LINES]:
        say(f"  {line}" if len(line) < 78 else f"  {line[:76]}…")
    say("  …")
    say()
    say(f"Where to look, in {shown}:")
    for path, what in (
        ("report.html", "the whole report: open it in a browser"),
        ("comments/pr-7/", "the comment as it was sent: GitHub-flavoured Markdown"),
        ("report.md", "the same, longer, for the build's own page"),
        ("report.json", "for scripts; see docs/schemas/report-1.schema.json"),
        ("report.xml", "JUnit, for tools that read that"),
        ("history.sqlite", "what is remembered: plain SQLite, made to be queried"),
    ):
        say(f"  {path:<16} {what}")
    say()
    tool = Path(sys.executable).with_name("ci-bridge")
    tool = Path(os.path.relpath(tool)) if tool.is_relative_to(Path.cwd()) else tool
    say(f"Go on with:  {shlex.join([str(tool), '-C', str(shown.parent), 'history', 'tests'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
