"""A run that is to be forgotten is forgotten by all, whatever else is made of the history at the same time."""

from __future__ import annotations

from pathlib import Path

from ci_bridge.history import History
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import TravellingHistory
from tests.history.samples import NOW, record, rows, uids
from tests.history.stores import VirtualStore

SEGMENT = "ci-bridge-segment-"


def put(store: VirtualStore, uid: str) -> None:
    store.put_object(f"{SEGMENT}{uid}", encode(record(0, uid, "P"), rows({"test_a": "P"})), 30)


def journey(store: VirtualStore, folder: Path) -> TravellingHistory:
    traveller = TravellingHistory(store, folder / "history.sqlite")
    traveller.fetch()
    return traveller


def test_the_wish_is_read_like_a_segment_whatever_was_stored_first(tmp_path: Path) -> None:
    store = VirtualStore()
    one = journey(store, tmp_path / "one")
    put(store, "a")
    put(store, "b")
    one.forget("a", now=NOW)
    one.forget("c", now=NOW)
    put(store, "c")
    assert uids(journey(store, tmp_path / "two").cache) == ["b"]


def test_a_base_that_another_job_makes_meanwhile_does_not_bring_the_run_back(tmp_path: Path) -> None:
    store = VirtualStore()
    put(store, "a")
    put(store, "b")
    other, ours = journey(store, tmp_path / "other"), journey(store, tmp_path / "ours")
    visible = dict(store.objects)
    with History.writing(ours.cache) as history:
        history.forget("a", now=NOW)
    ours.forget("a", now=NOW)
    assert ours.compact(retention_days=90, now=store.now, at_once=True)
    hidden = {name: one for name, one in store.objects.items() if name not in visible}
    store.objects = visible  # the other job's list does not show yet what ours has stored
    assert other.compact(retention_days=90, now=store.now, at_once=True)
    store.objects |= hidden
    newest = journey(store, tmp_path / "reader")
    assert newest.reading is not None and newest.reading.base == max(
        (one for one, *_ in store.objects.values() if one.name == "ci-bridge-base"), key=lambda one: one.id
    )
    assert uids(newest.cache) == ["b"]
    newest.compact(retention_days=90, now=store.now, at_once=True)
    assert uids(journey(store, tmp_path / "later").cache) == ["b"]


def test_the_wish_is_covered_by_the_next_base_and_keeps_working(tmp_path: Path) -> None:
    store = VirtualStore()
    put(store, "a")
    one = journey(store, tmp_path / "one")
    one.forget("a", now=NOW)
    one.compact(retention_days=90, now=store.now, at_once=True)
    store.gets = 0
    put(store, "a")
    put(store, "b")
    two = journey(store, tmp_path / "two")
    assert uids(two.cache) == ["b"]
    assert store.gets == 3  # the base and what was put after it
