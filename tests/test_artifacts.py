"""Staging: what goes into an artifact store, and what never does."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from ci_bridge.artifacts import category_of, collect, is_compressible, stage, staging_folder, unpack
from ci_bridge.atomic import discard_unfinished, open_atomically, write_atomically
from ci_bridge.errors import ConfigError, ResultsError
from ci_bridge.masking import Masker


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("a.html", "reports"),
        ("A.XML", "reports"),
        ("x.log", "logs"),
        ("m.prom", "metrics"),
        ("a.bin", "data"),
        ("a", "data"),
    ],
)
def test_the_category_follows_from_the_suffix(name: str, category: str) -> None:
    assert category_of(name) == category


def test_compressed_files_are_not_compressed_again() -> None:
    assert not is_compressible("a.PNG")
    assert is_compressible("a.log")


def test_equal_input_is_staged_to_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"text\n" * 100_000)
    first = stage(tmp_path / "in", tmp_path / "one", compress=True)
    assert first == stage(tmp_path / "in", tmp_path / "two", compress=True)
    assert first[0] == (tmp_path / "one").stat().st_size
    assert gzip.decompress((tmp_path / "one").read_bytes()) == b"text\n" * 100_000


def test_a_secret_across_a_chunk_border_is_masked(tmp_path: Path) -> None:
    masker = Masker.from_environment({"DEPLOY_TOKEN": "correct-horse-battery"})
    line = b"x" * 99 + b"\n"
    data = line * 10_485 + b"y" * 70 + b" correct-horse-battery\n" + line * 20_000
    (tmp_path / "in").write_bytes(data)
    stage(tmp_path / "in", tmp_path / "out", compress=False, mask=masker)
    staged = (tmp_path / "out").read_bytes()
    assert b"correct-horse" not in staged
    assert staged.count(b"\n") == data.count(b"\n")


@pytest.mark.parametrize("kind", ["link", "fifo", "device", "missing", "socket"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "link":
        (tmp_path / "target").write_text("x")
        path.symlink_to(tmp_path / "target")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    with pytest.raises(ResultsError, match=r"regular|symbolic|no such"):
        collect(path)


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no regular file"):
        collect(tmp_path)


def test_a_bomb_fills_no_disk(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"0" * 10_000_000))
    with pytest.raises(ResultsError, match="unpacks to more than"):
        unpack(tmp_path / "bomb.gz", tmp_path / "out", compressed=True, limit=1_000_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bomb.gz"]


@pytest.mark.parametrize(
    "damage", [b"", b"no gzip", gzip.compress(b"x" * 100, mtime=0)[:-6]], ids=["empty", "no gzip", "cut off"]
)
def test_a_damaged_artifact_is_said_and_nothing_is_left(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(damage)
    if damage == b"":
        unpack(tmp_path / "a.gz", tmp_path / "out", compressed=True)
        assert (tmp_path / "out").read_bytes() == b""
        return
    with pytest.raises(ResultsError, match="damaged"):
        unpack(tmp_path / "a.gz", tmp_path / "out", compressed=True)
    assert not (tmp_path / "out").exists()


def test_a_link_out_of_the_workspace_is_no_staging_folder(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / "out").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="outside the workspace"):
        staging_folder(Path("out"), workspace)
    with pytest.raises(ConfigError, match="outside the workspace"):
        staging_folder(Path("../x"), workspace)
    assert staging_folder(tmp_path / "elsewhere", workspace) == (tmp_path / "elsewhere").resolve()


class TestAtomicFiles:
    def test_a_failed_write_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        write_atomically(path, "old")
        with pytest.raises(RuntimeError), open_atomically(path) as stream:
            stream.write(b"half")
            raise RuntimeError
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["file"]

    def test_a_link_is_replaced_and_never_followed(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_text("precious")
        (tmp_path / "link").symlink_to(tmp_path / "target")
        write_atomically(tmp_path / "link", "new")
        assert (tmp_path / "target").read_text() == "precious"
        assert (tmp_path / "link").read_text() == "new" and not (tmp_path / "link").is_symlink()

    def test_an_abandoned_writer_leaves_nothing(self, tmp_path: Path) -> None:
        inside, release = threading.Event(), threading.Event()

        def write() -> None:
            with open_atomically(tmp_path / "file") as stream:
                stream.write(b"half")
                inside.set()
                release.wait()

        def fail() -> None:
            with pytest.raises(OSError, match="No such file"):
                write()

        thread = threading.Thread(target=fail, daemon=True)
        thread.start()
        inside.wait()
        discard_unfinished()
        assert list(tmp_path.iterdir()) == []
        release.set()
        thread.join()

    def test_lone_surrogates_do_not_stop_a_write(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / "file", "a\udc80b")
        assert (tmp_path / "file").read_text() == "a?b"
