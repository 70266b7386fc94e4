"""What is read of a store, what is stored in it, and when a new base is made: rule by rule."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ci_bridge.errors import HistoryError, NotFoundError, PermissionDeniedError, TransientError
from ci_bridge.history import History
from ci_bridge.history.checked import NewerHistoryError
from ci_bridge.history.envelope import Packer
from ci_bridge.history.segments import encode
from ci_bridge.history.travelling import DamagedStoreError, TravellingHistory
from ci_bridge.models import Metric, StoredObject
from tests.history.samples import NOW, record, remember, rows, simple_history, uids
from tests.history.stores import VirtualStore

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BASE, SEGMENT = "ci-bridge-base", "ci-bridge-segment-"


@pytest.fixture
def store() -> VirtualStore:
    return VirtualStore()


def put(store: VirtualStore, uid: str, days_ago: float | None = None, **changes: object) -> StoredObject:
    """Store a segment as another job would: its run began when it is stored, by default."""
    at = NOW - timedelta(days=days_ago) if days_ago is not None else store.now
    run = record((NOW - at) / DAY, uid, "PF", **changes)
    data = encode(run, rows({"test_a": "P", "test_b": "F"}), [], [Metric("m", 1.0, "", uid, None, at)])
    return store.put_object(f"{SEGMENT}{uid}", data, 30)


def journey(store: VirtualStore, tmp_path: Path, name: str = "job", **more: object) -> TravellingHistory:
    return TravellingHistory(store, tmp_path / name / "history.sqlite", **more)  # type: ignore[arg-type]


def fetched(store: VirtualStore, tmp_path: Path, name: str = "reader", *, pull_request: bool = False) -> list[str]:
    """The runs that a job finds."""
    traveller = journey(store, tmp_path, name)
    traveller.fetch(pull_request=pull_request)
    return sorted(uids(traveller.cache))


def make_base(store: VirtualStore, tmp_path: Path, name: str = "maker", days: int = 90) -> TravellingHistory:
    traveller = journey(store, tmp_path, name)
    traveller.fetch()
    assert traveller.compact(retention_days=days, now=store.now, force=True).startswith("compacted")
    return traveller


# --- R: reading


def test_an_empty_store_is_an_empty_history(store: VirtualStore, tmp_path: Path) -> None:
    traveller = journey(store, tmp_path)
    assert str(traveller.fetch()) == "no earlier history"
    assert uids(traveller.cache) == []


def test_segments_are_read_without_a_base_and_besides_one(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    put(store, "b")
    assert fetched(store, tmp_path) == ["a", "b"]
    make_base(store, tmp_path)
    put(store, "c")
    traveller = journey(store, tmp_path)
    assert str(traveller.fetch()) == "base of 2026-11-22 12:00 UTC + 1 segment"
    assert sorted(uids(traveller.cache)) == ["a", "b", "c"]


def test_what_a_base_covers_is_not_downloaded_again(store: VirtualStore, tmp_path: Path) -> None:
    for number in range(5):
        put(store, f"run-{number}")
    make_base(store, tmp_path)
    store.gets = 0
    fetched(store, tmp_path)
    assert store.gets == 1


def test_a_segment_counts_by_its_object_not_by_its_name(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    make_base(store, tmp_path)
    put(store, "a", branch="other")
    store.gets = 0
    assert fetched(store, tmp_path) == ["a"]
    assert store.gets == 2


def test_a_run_stored_twice_is_one_run_with_one_number(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    put(store, "a")
    traveller = journey(store, tmp_path)
    traveller.fetch()
    with History.read(traveller.cache) as history:
        assert (history.statistics()["runs"], history.statistics()["metrics"]) == (1, 1)


def test_the_newest_base_counts_by_the_clock_of_the_store(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    make_base(store, tmp_path)
    store.now += 2 * HOUR
    put(store, "b")
    newer = make_base(store, tmp_path, "second")
    assert newer.reading is not None and newer.reading.base is not None
    traveller = journey(store, tmp_path)
    assert traveller.fetch().base == newer.reading.base


def damage_cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damage_bit(data: bytes) -> bytes:
    return data[:2000] + bytes([data[2000] ^ 1]) + data[2001:]


def damage_empty(_: bytes) -> bytes:
    return b""


def damage_foreign(_: bytes) -> bytes:
    packer = Packer(1)
    packer.write(b"PK\x03\x04 this is something else")
    return packer.finish()


def damage_trigger(tmp_path: Path) -> Callable[[bytes], bytes]:
    def plant(_: bytes) -> bytes:
        path = tmp_path / "evil.sqlite"
        simple_history(path)
        connection = sqlite3.connect(path)
        connection.execute("CREATE TRIGGER evil AFTER INSERT ON run BEGIN DELETE FROM run; END")
        connection.commit()
        connection.close()
        packer = Packer(1)
        packer.write(path.read_bytes())
        return packer.finish()

    return plant


def corrupt(store: VirtualStore, object_id: str, damage: Callable[[bytes], bytes]) -> None:
    stored, data, visible, expiry = store.objects[object_id]
    store.objects[object_id] = stored, damage(data), visible, expiry


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "foreign", "trigger"])
def test_a_damaged_base_is_passed_over_for_the_one_before(store: VirtualStore, tmp_path: Path, damage: str) -> None:
    put(store, "a")
    make_base(store, tmp_path)
    store.now += 2 * HOUR
    put(store, "b")
    make_base(store, tmp_path, "second")
    spoil = {
        "cut": damage_cut, "bit": damage_bit, "empty": damage_empty, "foreign": damage_foreign,
        "trigger": damage_trigger(tmp_path),
    }[damage]  # fmt: skip
    corrupt(store, store.named(BASE)[-1], spoil)
    traveller = journey(store, tmp_path)
    reading = traveller.fetch()
    assert sorted(uids(traveller.cache)) == ["a", "b"]
    assert reading.base is not None and reading.base.id == store.named(BASE)[0]
    assert len(reading.notes) == 1 and "passed over" in reading.notes[0]


def test_where_no_base_is_sound_nothing_begins_afresh(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    make_base(store, tmp_path)
    corrupt(store, store.named(BASE)[0], damage_cut)
    traveller = journey(store, tmp_path)
    with pytest.raises(DamagedStoreError, match="none of the 1 bases"):
        traveller.fetch()
    assert not traveller.cache.exists()
    with pytest.raises(HistoryError, match="was not read"):
        traveller.compact(retention_days=90)
    assert traveller.compact_if_due(main=True, retention_days=90, now=NOW) == ""


def test_bases_that_are_listed_and_hidden_are_not_taken_for_none(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    make_base(store, tmp_path)

    def hide(method: str, stored: StoredObject | None) -> None:
        if method == "get":
            raise NotFoundError("HTTP 404, as for who may not see it")

    store.fails = hide
    with pytest.raises(DamagedStoreError, match="HTTP 404"):
        journey(store, tmp_path).fetch()


def test_a_damaged_segment_is_passed_over_once_and_for_all(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    bad = put(store, "b")
    corrupt(store, bad.id, damage_cut)
    traveller = journey(store, tmp_path)
    reading = traveller.fetch()
    assert uids(traveller.cache) == ["a"]
    assert bad.id in reading.notes[0]
    traveller.compact(retention_days=90, now=store.now, force=True)
    store.gets = 0
    again = journey(store, tmp_path, "again")
    assert again.fetch().notes == ()
    assert store.gets == 1


def test_a_pull_request_reads_the_base_and_ten_segments_and_says_so(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "old")
    make_base(store, tmp_path)
    for number in range(17):
        store.now += timedelta(minutes=1)
        put(store, f"run-{number:02d}")
    traveller = journey(store, tmp_path)
    store.gets = store.lists = 0
    reading = traveller.fetch(pull_request=True)
    assert (store.gets, store.lists) == (11, 2)
    assert str(reading).endswith("+ 10 of 17 segments")
    assert sorted(uids(traveller.cache)) == ["old", *[f"run-{number:02d}" for number in range(7, 17)]]


def test_every_uncovered_segment_is_found_behind_many_that_are_covered(store: VirtualStore, tmp_path: Path) -> None:
    for number in range(300):
        put(store, f"run-{number:03d}")
    traveller = journey(store, tmp_path)
    assert traveller.fetch().read == 300


def test_an_object_that_goes_while_it_is_read_is_no_error(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    gone = put(store, "b")

    def vanish(method: str, stored: StoredObject | None) -> None:
        if method == "get":
            store.objects.pop(gone.id, None)

    store.fails = vanish
    assert fetched(store, tmp_path) == ["a"]


def test_a_segment_that_cannot_be_had_now_is_read_next_time(store: VirtualStore, tmp_path: Path) -> None:
    shy = put(store, "a")
    put(store, "b")

    def fail(method: str, stored: StoredObject | None) -> None:
        if method == "get" and stored == shy:
            raise TransientError("HTTP 502")

    store.fails = fail
    traveller = make_base(store, tmp_path)
    assert "502" in " ".join(traveller.reading.notes if traveller.reading else ())
    store.fails = lambda _method, _stored: None
    assert fetched(store, tmp_path) == ["a", "b"]


@pytest.mark.parametrize("error", [TransientError("HTTP 502"), PermissionDeniedError("HTTP 403")])
def test_a_store_that_does_not_answer_leaves_no_half_history(
    store: VirtualStore, tmp_path: Path, error: Exception
) -> None:
    put(store, "a")
    make_base(store, tmp_path)
    put(store, "b")

    def fail(method: str, stored: StoredObject | None) -> None:
        if method == "get" and stored is not None and (stored.name == BASE or isinstance(error, PermissionDeniedError)):
            raise error

    store.fails = fail
    traveller = journey(store, tmp_path)
    with pytest.raises(type(error)):
        traveller.fetch()
    assert not traveller.cache.exists() and traveller.reading is None


def test_a_file_that_lies_about_is_no_history_of_the_store(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    traveller = journey(store, tmp_path)
    simple_history(traveller.cache)
    simple_history(traveller.cache)
    traveller.fetch()
    assert uids(traveller.cache) == ["a"]
    assert [path.name for path in traveller.cache.parent.iterdir()] == ["history.sqlite"]


def test_where_time_is_short_the_rest_is_left_and_not_called_covered(store: VirtualStore, tmp_path: Path) -> None:
    for number in range(6):
        store.now += timedelta(minutes=1)
        put(store, f"run-{number}")
    answers = iter([True, True, False])
    traveller = journey(store, tmp_path, pause=lambda: next(answers))
    reading = traveller.fetch()
    assert (reading.read, reading.left) == (2, 4)
    assert "time is short" in reading.notes[0]


def test_histories_with_keys_lie_side_by_side(store: VirtualStore, tmp_path: Path) -> None:
    nightly = journey(store, tmp_path, "n", key="nightly")
    nightly.fetch()
    nightly.publish("night", encode(record(0, "night"), rows({"test_a": "P"})), "linux / 3.12")
    assert nightly.compact_if_due(main=True, retention_days=90)
    put(store, "day")
    assert fetched(store, tmp_path) == ["day"]
    again = journey(store, tmp_path, "again", key="nightly")
    assert again.fetch().read == 0
    assert uids(again.cache) == ["night"]
    assert store.named("ci-bridge.nightly.segment-night-linux-3-12-")
    assert store.named("ci-bridge.nightly.base")


# --- P: clocks


def test_a_run_from_the_future_is_dated_a_day_after_it_was_stored(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "ahead", days_ago=-365, completed_at=NOW + 365 * DAY)
    traveller = journey(store, tmp_path)
    traveller.fetch()
    with History.read(traveller.cache) as history:
        run = history.run_record("ahead")
        (number,) = history.run_metrics("ahead")
    assert run is not None
    assert run.ts == run.completed_at == number.recorded_at == NOW + DAY


def test_pruning_goes_by_the_clock_of_the_store(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "old", days_ago=100)
    for number in range(3):
        put(store, f"new-{number}")
    make_base(store, tmp_path)
    assert fetched(store, tmp_path) == ["new-0", "new-1", "new-2"]


def test_more_than_half_of_the_runs_are_never_dropped_by_compacting(store: VirtualStore, tmp_path: Path) -> None:
    for number in range(3):
        put(store, f"old-{number}", days_ago=100)
    put(store, "new")
    traveller = journey(store, tmp_path)
    traveller.fetch()
    traveller.compact(retention_days=90, now=store.now)
    assert len(uids(traveller.cache)) == 4
    assert traveller.reading is not None and "--force" in traveller.reading.notes[0]


def test_a_pruned_run_that_returns_is_pruned_again(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a", days_ago=89)
    put(store, "b")
    put(store, "c")
    make_base(store, tmp_path)
    store.now += 2 * DAY
    make_base(store, tmp_path, "second")
    assert fetched(store, tmp_path) == ["b", "c"]
    corrupt(store, store.named(BASE)[-1], damage_cut)
    assert fetched(store, tmp_path) == ["a", "b", "c"]
    store.now += 2 * HOUR
    make_base(store, tmp_path, "third")
    assert fetched(store, tmp_path) == ["b", "c"]


# --- trust


def test_a_run_of_a_pull_request_is_no_baseline_whatever_it_says(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "forged", pr="7", trusted=True)
    traveller = journey(store, tmp_path)
    traveller.fetch()
    with History.read(traveller.cache) as history:
        assert history.view(branch="main", now=NOW).baseline is None


# --- one run, several segments


def test_a_later_record_of_a_run_is_not_undone_by_an_earlier_one_that_is_listed_late(
    store: VirtualStore, tmp_path: Path
) -> None:
    done = record(0, "a", "PF", status="failure", completed_at=NOW)
    store.put_object(f"{SEGMENT}a-2", encode(done, rows({"test_a": "P", "test_b": "F"})), 30)
    make_base(store, tmp_path)
    early = record(0, "a", status="running")
    store.put_object(f"{SEGMENT}a-1", encode(early, [], [], [Metric("m", 2.0, "", "a", None, NOW)]), 30)
    traveller = journey(store, tmp_path)
    traveller.fetch()
    with History.read(traveller.cache) as history:
        (run,) = history.runs()
        assert (run["status"], run["total_tasks"], len(history.run_metrics("a"))) == ("failure", 2, 1)
        assert history.view(branch="main", now=NOW).baseline is not None


def test_cases_that_arrive_before_the_end_of_their_run_is_known_are_kept(store: VirtualStore, tmp_path: Path) -> None:
    store.put_object(f"{SEGMENT}a-2", encode(record(0, "a", status="success", completed_at=NOW)), 30)
    store.now += HOUR
    put(store, "a")
    traveller = journey(store, tmp_path)
    traveller.fetch()
    with History.read(traveller.cache) as history:
        assert len(history.tests()) == 2
        assert history.runs()[0]["status"] == "success"


def test_a_forgotten_run_stays_forgotten(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    put(store, "b")
    traveller = journey(store, tmp_path)
    traveller.fetch()
    with History.writing(traveller.cache) as history:
        assert history.forget("a", now=NOW)
        assert not history.forget("unknown", now=NOW)
    traveller.compact(retention_days=90, now=store.now, force=True)
    put(store, "a")
    assert fetched(store, tmp_path) == ["b"]


# --- C and D: compacting


def due(store: VirtualStore, tmp_path: Path, *, main: bool) -> str:
    traveller = journey(store, tmp_path, "due")
    traveller.fetch(pull_request=not main)
    return traveller.why_compact(main=main, now=store.now)


def test_the_first_base_is_made_on_the_default_branch_at_once(store: VirtualStore, tmp_path: Path) -> None:
    assert due(store, tmp_path, main=True) == ""
    put(store, "a")
    assert due(store, tmp_path, main=True) == "there is no base yet"
    assert due(store, tmp_path, main=False) == ""


def test_twenty_uncovered_segments_or_a_day_make_it_due(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "first")
    make_base(store, tmp_path)
    store.now += 2 * HOUR
    for number in range(19):
        put(store, f"run-{number}")
    assert due(store, tmp_path, main=True) == ""
    put(store, "the twentieth")
    assert due(store, tmp_path, main=True) == "20 segments are not covered"
    assert due(store, tmp_path, main=False) == ""


def test_a_base_older_than_a_day_makes_it_due_if_there_is_anything_to_add(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    make_base(store, tmp_path)
    store.now += 25 * HOUR
    assert due(store, tmp_path, main=True) == ""
    put(store, "b")
    assert due(store, tmp_path, main=True) == "the base is older than a day"


def test_any_trusted_job_compacts_when_a_segment_or_the_base_has_lived_half_its_life(
    store: VirtualStore, tmp_path: Path
) -> None:
    put(store, "a")
    store.now += 14 * DAY
    assert due(store, tmp_path, main=False) == ""
    store.now += 2 * DAY
    assert due(store, tmp_path, main=False) == "a segment has passed half its life"
    make_base(store, tmp_path)
    store.now += 8 * DAY
    put(store, "b")
    assert due(store, tmp_path, main=False) == "the base has passed half its life"


def test_there_is_at_most_one_base_an_hour(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "first")
    make_base(store, tmp_path)
    store.now += timedelta(minutes=59)
    for number in range(30):
        put(store, f"run-{number}")
    assert due(store, tmp_path, main=True) == ""
    store.now += timedelta(minutes=1)
    assert due(store, tmp_path, main=True)


def test_whoever_comes_second_in_the_same_hour_stores_no_base(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    one, two = journey(store, tmp_path, "one"), journey(store, tmp_path, "two")
    one.fetch()
    two.fetch()
    assert one.compact_if_due(main=True, retention_days=90, now=store.now)
    assert two.compact_if_due(main=True, retention_days=90, now=store.now) == ""
    assert len(store.named(BASE)) == 1


def test_two_bases_at_once_lose_nothing(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    one, two = journey(store, tmp_path, "one"), journey(store, tmp_path, "two")
    one.fetch()
    put(store, "b")
    two.fetch()
    two.compact(retention_days=90, now=store.now, force=True)
    store.now += timedelta(seconds=1)
    stored = store.list_objects
    store.list_objects = lambda prefix, limit, **_: [  # type: ignore[method-assign]
        one for one in stored(prefix, limit) if not one.name.startswith(SEGMENT)
    ]  # the listing does not show what the other already covers
    one.compact(retention_days=90, now=store.now, force=True)
    store.list_objects = stored  # type: ignore[method-assign]
    assert fetched(store, tmp_path) == ["a", "b"]


def test_a_jobs_own_run_is_in_the_base_that_it_makes_and_its_segment_is_covered(
    store: VirtualStore, tmp_path: Path
) -> None:
    traveller = journey(store, tmp_path)
    traveller.fetch()
    run = record(0, "own")
    own = traveller.publish("own", encode(run, rows({"test_a": "P"})))
    remember(traveller.cache, (run, {"test_a": "P"}))
    store.gets = 0
    assert "no base yet" in traveller.compact_if_due(main=True, retention_days=90)
    assert store.gets == 0
    reader = journey(store, tmp_path, "reader")
    assert reader.fetch().read == 0
    assert uids(reader.cache) == ["own"]
    assert own.name.startswith(f"{SEGMENT}own-")


def test_a_segment_whose_run_could_not_be_saved_here_is_not_called_covered(store: VirtualStore, tmp_path: Path) -> None:
    traveller = journey(store, tmp_path)
    traveller.fetch()
    traveller.publish("own", encode(record(0, "own"), rows({"test_a": "P"})))
    traveller.compact(retention_days=90, now=store.now, force=True)
    assert fetched(store, tmp_path) == ["own"]


def test_the_same_segment_tried_again_has_the_same_name(store: VirtualStore, tmp_path: Path) -> None:
    traveller = journey(store, tmp_path)
    data = encode(record(0, "u/1 ü"))
    names = {traveller.publish("u/1 ü", data, "a" * 300).name for _ in range(2)}
    assert len(names) == 1
    assert len(names.pop()) < 150


def test_what_expires_by_itself_is_never_deleted(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    for number in range(6):
        store.now += 7 * DAY
        put(store, f"run-{number}")
        make_base(store, tmp_path, f"maker-{number}")
    assert store.deleted == []


def test_a_store_without_expiry_keeps_three_bases_and_segments_until_they_are_old_and_long_covered(
    tmp_path: Path,
) -> None:
    store = VirtualStore(expires=False)
    first = put(store, "first")
    for number in range(5):
        store.now += 2 * HOUR
        put(store, f"run-{number}")
        make_base(store, tmp_path, f"maker-{number}")
    assert len(store.named(BASE)) == 3
    assert len(store.named(SEGMENT)) == 6
    store.now += 31 * DAY
    late = put(store, "late")
    make_base(store, tmp_path, "after a month")
    assert store.named(SEGMENT) == [late.id]
    assert first.id in store.deleted
    assert fetched(store, tmp_path) == sorted(["first", "late", *[f"run-{number}" for number in range(5)]])


def test_an_old_segment_that_was_covered_just_now_is_kept(tmp_path: Path) -> None:
    store = VirtualStore(expires=False)
    old = put(store, "old")
    store.now += 40 * DAY
    make_base(store, tmp_path)
    assert store.named(SEGMENT) == [old.id]
    store.now += 25 * HOUR
    put(store, "another")
    make_base(store, tmp_path, "next day")
    assert old.id not in store.named(SEGMENT)


def test_the_list_of_covered_objects_does_not_grow_for_ever(store: VirtualStore, tmp_path: Path) -> None:
    put(store, "a")
    make_base(store, tmp_path)
    store.now += 61 * DAY
    put(store, "b")
    last = make_base(store, tmp_path, "later")
    # The first base has expired by then, and with it what only it knew.
    with History.read(last.cache) as history:
        assert history.covered() == {store.named(SEGMENT)[-1]}


# --- V: versions


def newer_base(store: VirtualStore, tmp_path: Path) -> None:
    path = tmp_path / "newer.sqlite"
    simple_history(path)
    data = bytearray(path.read_bytes())
    data[60:64] = (2).to_bytes(4, "big")
    packer = Packer(1)
    packer.write(bytes(data))
    store.put_object(BASE, packer.finish(), 14)


def test_a_newer_base_stops_reading_and_compacting_but_not_storing(store: VirtualStore, tmp_path: Path) -> None:
    newer_base(store, tmp_path)
    traveller = journey(store, tmp_path)
    with pytest.raises(NewerHistoryError, match="update ci-bridge"):
        traveller.fetch()
    traveller.publish("own", encode(record(0, "own")))
    assert traveller.compact_if_due(main=True, retention_days=90) == ""
    assert len(store.named(BASE)) == 1
    assert len(store.named(SEGMENT)) == 1


def test_a_newer_segment_is_left_for_a_newer_ci_bridge(store: VirtualStore, tmp_path: Path) -> None:
    packer = Packer(6)
    packer.write(b'{"ci_bridge_segment": 2}\n')
    newer = store.put_object(f"{SEGMENT}newer", packer.finish(), 30)
    put(store, "a")
    made = make_base(store, tmp_path)
    with History.read(made.cache) as history:
        assert newer.id not in history.covered()
    assert made.reading is not None
    reading = journey(store, tmp_path, "again").fetch()
    assert (reading.read, reading.left) == (0, 1)
    assert "newer ci-bridge" in reading.notes[0]


def test_the_moment_of_reading_is_told_for_the_due_date(store: VirtualStore, tmp_path: Path) -> None:
    moments: list[datetime] = []
    for number in range(3):
        store.now += HOUR
        moments.append(put(store, f"run-{number}").created_at)
    assert journey(store, tmp_path).fetch().waiting == tuple(moments)
