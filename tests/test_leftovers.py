"""What is unfinished goes when the process is told to stop, and what a killed one left goes an hour later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ci_bridge.atomic import open_atomically, private_folder, sweep
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment
from tests.fakes.server import slow, wait_until

FAILED = '<testsuite name="s"><testcase classname="c" name="a"><failure message="x"/></testcase></testsuite>'

posix = pytest.mark.skipif(os.name == "nt", reason="signals and links of POSIX")


def start(github: FakeGitHub, folder: Path) -> tuple[subprocess.Popen[str], Path, Path]:
    """A job that reports one failure: the process, its staging folder and its folder for temporary files."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    env = job_environment(github, folder)
    workspace = Path(env["GITHUB_WORKSPACE"])
    (workspace / "junit.xml").write_text(FAILED)
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_bridge", "report"],
        cwd=workspace,
        env={"PATH": os.environ["PATH"], "HOME": str(workspace), "TMPDIR": str(temporary), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, workspace / "distributed_test_results", temporary


def unfinished(*folders: Path) -> list[str]:
    """What no finished job has in these folders."""
    found = [path.name for folder in folders if folder.exists() for path in folder.iterdir()]
    return sorted(name for name in found if name.startswith((".staging-", ".history", "ci-bridge-")) or ".tmp" in name)


@posix
class TestAJobThatIsStopped:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_in_the_middle_of_an_upload_it_leaves_nothing(
        self, github: FakeGitHub, tmp_path: Path, number: signal.Signals
    ) -> None:
        github.blobs.inject(slow(60, times=None))
        process, folder, temporary = start(github, tmp_path)
        wait_until(lambda: len(unfinished(folder, temporary)) == 2, 30)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 128 + number
        assert "nothing half-written was left" in errors
        assert list(temporary.iterdir()) == []
        assert unfinished(folder) == []

    def test_in_the_middle_of_reading_the_history_it_leaves_nothing(self, github: FakeGitHub, tmp_path: Path) -> None:
        github.api.inject(slow(60, path="/actions/artifacts", times=None))
        process, folder, temporary = start(github, tmp_path)
        wait_until(lambda: bool(unfinished(folder)), 30)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert unfinished(folder, temporary) == []

    def test_what_a_killed_job_left_goes_an_hour_later(self, github: FakeGitHub, tmp_path: Path) -> None:
        github.blobs.inject(slow(60, times=None))
        process, folder, temporary = start(github, tmp_path)
        wait_until(lambda: len(unfinished(folder, temporary)) == 2, 30)
        process.kill()
        process.communicate(timeout=30)
        github.blobs.faults.clear()
        left = unfinished(folder, temporary)
        assert len(left) == 2
        for again in (False, True):
            process, _, _ = start(github, tmp_path)
            process.communicate(timeout=60)
            assert unfinished(folder, temporary) == ([] if again else left)
            for path in (*folder.rglob("*"), *temporary.rglob("*"), *folder.iterdir(), *temporary.iterdir()):
                if path.name in left or path.parent.name in left:
                    age(path)


def age(path: Path) -> None:
    then = time.time() - 7200
    os.utime(path, (then, then), follow_symlinks=False)


@posix
def test_only_what_is_ours_and_old_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, elsewhere, precious = tmp_path / "ours", tmp_path / "elsewhere", tmp_path / "precious"
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    for folder in (ours, elsewhere, precious):
        folder.mkdir()
    (precious / "file").write_text("kept")
    swept = [
        ours / ".staging-abcdefgh",
        ours / ".history-abcd_123",
        ours / ".report.html.abcdefgh.tmp",
        ours / ".history-main.sqlite.new-abcdefgh",
        elsewhere / "ci-bridge-zip-abcdefgh.tmp",
    ]
    kept = [
        ours / "report.tmp",
        ours / ".staging-of-mine",
        ours / ".ci-bridge",
        elsewhere / "ci-bridge-checkout",
        elsewhere / ".staging-abcdefgh",
        elsewhere / ".report.html.abcdefgh.tmp",
        elsewhere / "my-ci-bridge-zip-abcdefgh.tmp",
    ]
    for path in (*swept, *kept):
        if path.suffix in (".tmp", ".new-abcdefgh") and path.parent == ours:
            path.write_text("half")
        else:
            path.mkdir()
            (path / "file").write_text("half")
            (path / "link").symlink_to(precious)
            age(path / "file")
            age(path / "link")
        age(path)
    links = [ours / ".staging-linked__", elsewhere / "ci-bridge-zip-linked__.tmp"]
    for link in links:
        link.symlink_to(precious)
        age(link)
    os.mkfifo(ours / ".pipe.tmp")
    age(ours / ".pipe.tmp")
    at_work = ours / ".staging-atwork__"
    at_work.mkdir()
    (at_work / "file").write_text("written a moment ago")
    age(at_work)
    sweep(ours, time.time() - 3600)
    assert [path for path in swept if path.exists()] == []
    assert all(os.path.lexists(path) for path in (*kept, *links, ours / ".pipe.tmp", at_work / "file"))
    assert (precious / "file").read_text() == "kept"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files without owners")
def test_another_users_folder_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with private_folder("zip") as folder:
        age(folder)
        monkeypatch.setattr("os.geteuid", lambda: folder.stat().st_uid + 1)
        sweep(tmp_path / "none", time.time() - 3600)
        assert folder.exists()
        monkeypatch.undo()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        sweep(tmp_path / "none", time.time() - 3600)
        assert not folder.exists()


def test_a_finished_file_stays_when_its_first_name_is_given_up(tmp_path: Path) -> None:
    for over in (True, False):
        path = tmp_path / f"file-{over}"
        with open_atomically(path, over=over) as stream:
            stream.write(b"whole")
        assert path.read_bytes() == b"whole"
    assert len(list(tmp_path.iterdir())) == 2
