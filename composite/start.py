"""Starts the command line where containers cannot run: the locked packages in a folder of their own, once a job."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"


def installed() -> Path:
    """The interpreter that has the locked packages and this checkout."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode() + bytes(ROOT)).hexdigest()[:16]
    folder = Path(os.environ["RUNNER_TEMP"]) / f"ci-bridge-{digest}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "complete"
    if not complete.exists():
        # -I: the workspace, where this runs, belongs to whoever opened the pull request; nothing is imported from it.
        subprocess.run([sys.executable, "-I", "-m", "venv", "--clear", folder], check=True)
        subprocess.run(
            [python, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
             "--only-binary", ":all:", "--requirement", LOCK],
            check=True,
        )  # fmt: skip
        found = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = subprocess.run([python, "-I", "-c", found], check=True, capture_output=True, text=True).stdout
        # A line of code in ASCII: older Pythons read a path in whatever encoding the system has.
        line = f"import sys; sys.path.append({str(ROOT)!a})\n"
        (Path(packages.strip()) / "ci_bridge.pth").write_text(line, encoding="ascii")
        complete.touch()
    return python


def announce(configuration: str) -> None:
    """Tell the step that uploads which folder to take, and for how long, unless the files go up from here."""
    options = {name: entry["value"] for name, entry in json.loads(configuration).items()}
    can_upload = os.environ.get("ACTIONS_RUNTIME_TOKEN") and os.environ.get("ACTIONS_RESULTS_URL")
    if options["enable_artifacts"] and not can_upload:
        with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as stream:
            folder = str(options["artifact_dir"])
            if "\n" not in folder and "\r" not in folder:  # else it would be another output
                stream.write(f"report-folder={folder}\nretention-days={options['artifact_retention_days']}\n")


def main() -> int:
    """Install, then report, or do what the input ``args`` says; answers the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it runs on whatever the runner has
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"ci-bridge needs Python 3.11 or newer, not {version}: run actions/setup-python first")
    command: list[str | Path] = [installed(), "-I", ROOT / "entrypoint" / "main.py"]
    configuration = subprocess.run([*command, "config", "--json"], capture_output=True, text=True, encoding="utf-8")
    if configuration.returncode == 0:
        announce(configuration.stdout)
    return subprocess.run([*command, *shlex.split(os.environ.get("INPUT_ARGS", ""))]).returncode


if __name__ == "__main__":
    sys.exit(main())
