"""With a secret only what is signed with it counts; without one, signatures are no hindrance."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ci_bridge.history import History
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import TravellingHistory
from tests.history.samples import NOW, record, rows, uids
from tests.history.stores import VirtualStore

BASE, SEGMENT = "ci-bridge-base", "ci-bridge-segment-"
KEY = b"a key for tests"


@pytest.fixture
def store() -> VirtualStore:
    return VirtualStore()


def journey(store: VirtualStore, folder: Path, secret: bytes = KEY) -> TravellingHistory:
    traveller = TravellingHistory(store, folder / "history.sqlite", secret=secret)
    traveller.fetch()
    return traveller


def put(store: VirtualStore, uid: str, secret: bytes = KEY) -> str:
    data = encode(record(0, uid, "P"), rows({"test_a": "P"}), secret=secret)
    return store.put_object(f"{SEGMENT}{uid}", data, 30).id


def test_bases_and_segments_are_signed_and_read_again(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    one = journey(store, tmp_path / "one")
    assert one.compact(retention_days=90, now=store.now).startswith("compacted")
    put(store, "b")
    two = journey(store, tmp_path / "two")
    assert str(two.reading) == "base of 2026-11-22 12:00 UTC + 1 segment"
    assert two.reading is not None and two.reading.notes == ()
    assert sorted(uids(two.cache)) == ["a", "b"]


def test_without_the_secret_signed_objects_are_read_too(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    journey(store, tmp_path / "one").compact(retention_days=90, now=store.now)
    put(store, "b")
    assert sorted(uids(journey(store, tmp_path / "two", b"").cache)) == ["a", "b"]


@pytest.mark.parametrize("secret", [b"", b"another key"])
def test_a_segment_that_is_not_signed_is_passed_over_and_not_for_ever(
    store: VirtualStore, tmp_path: Path, secret: bytes
) -> None:
    put(store, "ours")
    put(store, "planted", secret)
    put(store, "planted too", secret)
    traveller = journey(store, tmp_path / "one")
    assert uids(traveller.cache) == ["ours"]
    reading = traveller.reading
    assert reading is not None
    assert (reading.read, reading.left, len(reading.waiting)) == (1, 0, 1)
    assert reading.notes == ("segments passed over because they are not signed with history_secret: 2",)
    store.gets = 0
    traveller.compact(retention_days=90, now=store.now)
    assert store.gets == 0  # what was seen to be planted is not fetched again
    with History.read(traveller.cache) as history:
        assert len(history.covered()) == 1
    assert sorted(uids(journey(store, tmp_path / "two", b"").cache)) == ["ours", "planted", "planted too"]


@pytest.mark.parametrize("secret", [b"", b"another key"])
def test_a_base_that_is_not_signed_is_as_if_it_were_not_there(
    store: VirtualStore, tmp_path: Path, secret: bytes
) -> None:
    put(store, "ours")
    journey(store, tmp_path / "one").compact(retention_days=90, now=store.now)
    store.now += timedelta(hours=2)
    put(store, "planted", secret)
    journey(store, tmp_path / "forger", secret).compact(retention_days=90, now=store.now, force=True)
    traveller = journey(store, tmp_path / "two")
    assert uids(traveller.cache) == ["ours"]
    assert traveller.reading is not None and "not signed with history_secret" in traveller.reading.notes[0]
    # It does not keep the next one from being made either.
    put(store, "next")
    traveller = journey(store, tmp_path / "three")
    assert traveller.compact(retention_days=90, now=store.now).startswith("compacted")


def test_where_a_history_was_not_signed_a_signed_one_begins_beside_it(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "before", b"")
    journey(store, tmp_path / "one", b"").compact(retention_days=90, now=NOW)
    traveller = journey(store, tmp_path / "two")
    assert traveller.reading is not None and traveller.reading.base is None
    assert uids(traveller.cache) == []
    put(store, "after")
    assert uids(journey(store, tmp_path / "three").cache) == ["after"]
    assert sorted(uids(journey(store, tmp_path / "four", b"").cache)) == ["after", "before"]
