"""A folder keeps objects whole, tells trusted ones from others, and never hands out what is not its own."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ci_bridge.errors import NotFoundError, PermissionDeniedError, PlatformError
from ci_bridge.history.folder_store import FolderStore
from ci_bridge.models import BuildContext, StoredObject
from ci_bridge.platforms.local.adapter import LocalAdapter
from ci_bridge.protocols import SupportsStore, capabilities_of

BASE, SEGMENT = "ci-bridge-base", "ci-bridge-segment-"
posix = pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")


def store_at(folder: Path, *, build: str = "build-1", trusted: bool = True) -> FolderStore:
    return FolderStore(folder, build=build, trusted=trusted)


def age(folder: Path, stored: StoredObject, days: float) -> None:
    moment = datetime.now(UTC) - timedelta(days=days)
    os.utime(folder / stored.id, (moment.timestamp(), moment.timestamp()))


def test_what_was_put_is_listed_newest_first_and_read_back(tmp_path: Path) -> None:
    store = store_at(tmp_path / "deep" / "er")
    stored = [store.put_object(f"{SEGMENT}{number}", bytes([number]) * 10, 30) for number in range(3)]
    for number, one in enumerate(stored):
        age(tmp_path / "deep" / "er", one, 3 - number)
    found = store.list_objects(SEGMENT, 10)
    assert [one.name for one in found] == [f"{SEGMENT}{number}" for number in (2, 1, 0)]
    assert [one.id for one in store.list_objects(SEGMENT, 2)] == [stored[2].id, stored[1].id]
    assert [store.get_object(one, 10) for one in found] == [bytes([number]) * 10 for number in (2, 1, 0)]
    assert found[0].size == 10
    assert store.list_objects(BASE, 10) == []


def test_two_objects_may_have_one_name(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    one, two = store.put_object(BASE, b"one", 14), store.put_object(BASE, b"two", 14)
    assert one.id != two.id
    assert {store.get_object(each, 10) for each in store.list_objects(BASE, 10)} == {b"one", b"two"}


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    store = store_at(tmp_path / "nothing")
    assert store.list_objects(BASE, 10) == []
    assert store.list_siblings(SEGMENT) == []
    assert not (tmp_path / "nothing").exists()


def test_what_a_pull_request_puts_is_seen_by_its_own_build_only(tmp_path: Path) -> None:
    ours = store_at(tmp_path, build="pr-build", trusted=False)
    put = ours.put_object(f"{SEGMENT}forged", b"x", 30)
    assert store_at(tmp_path).list_objects(SEGMENT, 10) == []
    assert [one.id for one in ours.list_siblings(SEGMENT)] == [put.id]
    assert store_at(tmp_path, build="other").list_siblings(SEGMENT) == []
    assert ours.list_objects(SEGMENT, 10) == []


def test_siblings_come_oldest_first_and_only_where_the_build_is_known(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    old, new = store.put_object(f"{SEGMENT}a", b"a", 30), store.put_object(f"{SEGMENT}b", b"b", 30)
    age(tmp_path, old, 1)
    siblings = store.list_siblings(SEGMENT)
    assert [one.id for one in siblings] == [old.id, new.id]
    assert siblings[0].build_id == "build-1"
    assert store_at(tmp_path, build="").list_siblings(SEGMENT) == []


@pytest.mark.parametrize(
    "object_id", ["../secret", "trusted/../../secret", "/etc/passwd", "trusted/x", "elsewhere/a~0~1~2", ""]
)
def test_an_id_never_leads_out_of_the_folder(tmp_path: Path, object_id: str) -> None:
    (tmp_path / "secret").write_text("x")
    store = store_at(tmp_path / "store")
    stored = StoredObject(object_id, "x", datetime.now(UTC))
    with pytest.raises(NotFoundError):
        store.get_object(stored, 100)
    with pytest.raises(NotFoundError):
        store.delete_object(stored)
    assert (tmp_path / "secret").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x~y", "ü", "n" * 201])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlatformError, match="cannot name"):
        store_at(tmp_path).put_object(name, b"", 1)
    assert not [*tmp_path.iterdir()]


def test_too_large_an_object_is_refused_unread(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    stored = store.put_object(BASE, b"x" * 100, 14)
    assert store.get_object(stored, 100) == b"x" * 100
    with pytest.raises(PlatformError, match="larger than 99"):
        store.get_object(stored, 99)


@posix
def test_links_pipes_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    stored = store.put_object(BASE, b"x", 14)
    folder, tail = tmp_path / "trusted", stored.id.rpartition("~")[0].partition("/")[2]
    (tmp_path / "target").write_text("secret")
    (folder / f"{tail}~aaaaaaaaaaaa").symlink_to(tmp_path / "target")
    os.mkfifo(folder / f"{tail}~bbbbbbbbbbbb")
    (folder / f"{tail}~cccccccccccc").mkdir()
    (folder / "ci-bridge-base.txt").write_text("notes of a person")
    assert [one.id for one in store.list_objects(BASE, 10)] == [stored.id]
    for name in ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"):
        with pytest.raises(PlatformError):
            store.get_object(StoredObject(f"trusted/{tail}~{name}", BASE, datetime.now(UTC)), 100)


def test_deleting_is_final_and_may_be_repeated(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    stored = store.put_object(BASE, b"x", 14)
    store.delete_object(stored)
    store.delete_object(stored)
    assert store.list_objects(BASE, 10) == []
    with pytest.raises(NotFoundError):
        store.get_object(stored, 10)


def test_old_leftovers_and_passing_objects_go_and_the_history_stays(tmp_path: Path) -> None:
    ours, theirs = store_at(tmp_path), store_at(tmp_path, trusted=False)
    kept = [ours.put_object(name, b"x", 30) for name in (BASE, f"{SEGMENT}a", "ci-bridge.nightly.base")]
    gone = [ours.put_object("ci-bridge-part-1", b"x", 1), theirs.put_object(f"{SEGMENT}b", b"x", 1)]
    fresh = theirs.put_object(f"{SEGMENT}c", b"x", 60)
    for one in (*kept, *gone, fresh):
        age(tmp_path, one, 40)
    leftover = tmp_path / "trusted" / ".ci-bridge-base~1.abc.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (1.0, 1.0))
    young = leftover.with_name(".ci-bridge-base~2.abc.tmp")
    young.write_bytes(b"another job is writing this")
    ours.put_object(f"{SEGMENT}d", b"x", 30)
    assert all((tmp_path / one.id).exists() for one in (*kept, fresh))
    assert not any((tmp_path / one.id).exists() for one in gone)
    assert (leftover.exists(), young.exists()) == (False, True)


@posix
def test_a_folder_that_is_not_writable_is_told_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlatformError, match="history_url needs a folder"):
        store_at(tmp_path / "file").put_object(BASE, b"x", 14)
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(PermissionDeniedError):
            store_at(tmp_path / "locked").put_object(BASE, b"x", 14)


def test_the_local_adapter_keeps_objects_below_its_folder(tmp_path: Path) -> None:
    adapter: SupportsStore = LocalAdapter(BuildContext("local", build_id="7"), tmp_path)
    stored = adapter.put_object(BASE, b"x", 14)
    assert (tmp_path / "store" / stored.id).is_file()
    assert [one.id for one in adapter.list_objects(BASE, 1)] == [stored.id]
    assert [one.id for one in adapter.list_siblings(BASE)] == [stored.id]
    assert adapter.get_object(stored, 1) == b"x"
    adapter.delete_object(stored)
    assert adapter.list_objects(BASE, 1) == []
    assert "store" in capabilities_of(adapter)
    forked = LocalAdapter(BuildContext("local", build_id="7", pr_number="3"), tmp_path)
    forked.put_object(BASE, b"x", 14)
    assert adapter.list_objects(BASE, 1) == []
