"""`make demo` on a clean machine: two runs of real files, and a second verdict that shows what changed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def test_the_demo_shows_deltas_a_new_failure_a_flaky_and_a_fixed_test(tmp_path: Path, repo_root: Path) -> None:
    output = tmp_path / "out put"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(repo_root / "demo" / "demo.py")],
        cwd=tmp_path,
        env={**environment, "DEMO_OUTPUT": str(output), "GITHUB_ACTIONS": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((output / "distributed_test_results" / "report.json").read_text(encoding="utf-8"))
    verdicts = facts["verdicts"] if "verdicts" in facts else facts["judgement"]["counts"]
    assert all(verdicts[name] > 0 for name in ("new", "known", "flaky", "fixed"))
    assert len({file["format"] for file in facts["files"]}) >= 5
    text = done.stdout + done.stderr
    assert "new failures" in text and "already failing" in text and "fixed" in text
    for name in ("report.html", "report.md", "report.json", "report.xml", "history.sqlite"):
        assert name in text and (output / "distributed_test_results" / name).is_file()
    assert max(len(line) for line in done.stderr.splitlines()) <= 80
    assert max(len(line) for line in done.stdout.splitlines() if not line.startswith("Go on with")) <= 80
    assert facts["baseline"]["branch"] == "main" and facts["context"]["pr_number"] == "7"
    assert facts["baseline"]["commit_sha"] not in (None, facts["context"]["commit_sha"])
    [comment] = (output / "distributed_test_results" / "comments" / "pr-7").glob("*.md")
    assert "8 new failures" in comment.read_text(encoding="utf-8") and "8 new failures" in done.stdout
    assert not re.search(r"&#|</?(?:code|details|summary)", done.stdout)
    command = re.search(r"^Go on with: +(.+)$", done.stdout, re.MULTILINE)
    assert command
    listed = subprocess.run(
        shlex.split(command[1]), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (listed.returncode, listed.stderr) == (0, "") and "CartTest" in listed.stdout


def test_the_demos_description_counts_right(repo_root: Path) -> None:
    text = (repo_root / "demo" / "README.md").read_text(encoding="utf-8")
    names = {
        row.split("|")[2].split(",")[0].rsplit(maxsplit=1)[0].strip()
        for row in re.findall(r"^\| `.*$", text, re.MULTILINE)
    }
    found = re.search(r"what (\w+) test tools really emitted", text)
    assert found and found[1] == NUMBERS[len(names)]
    for run in ("run-1", "run-2"):
        for path in (repo_root / "demo" / "data" / run).iterdir():
            assert path.name in text or path.name.startswith("TEST-shop.")
