"""`make demo` on a clean machine: two runs of real files, and a second verdict that shows what changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_the_demo_shows_deltas_a_new_failure_a_flaky_and_a_fixed_test(tmp_path: Path, repo_root: Path) -> None:
    output = tmp_path / "output"
    done = subprocess.run(
        [sys.executable, str(repo_root / "demo" / "demo.py")],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DEMO_OUTPUT": str(output), "GITHUB_ACTIONS": "true"},
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
