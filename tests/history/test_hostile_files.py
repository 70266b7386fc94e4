"""A history file that somebody else wrote is checked before anything in it counts."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ci_bridge.errors import HistoryError
from ci_bridge.history import History
from ci_bridge.history.checked import Limits
from ci_bridge.history.saving import previous_of
from tests.history.samples import NOW, case, identity, record, rows, simple_history, uids


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A sound history with nothing beside it to fall back on."""
    path = tmp_path / "history.sqlite"
    simple_history(path)
    previous_of(path).unlink(missing_ok=True)
    return path


def refused(path: Path, words: str) -> None:
    """Neither reading nor checking lets the file pass, and both say why."""
    with pytest.raises(HistoryError, match=words):
        History.read(path).close()
    report = History.check(path)
    assert not report.sound
    assert words.split(".*")[-1] in report.problems[0]


def alter(path: Path, *statements: str, writable_schema: bool = False) -> None:
    """Change the file with plain SQLite, as an attacker would."""
    connection = sqlite3.connect(path, isolation_level=None)
    if writable_schema:
        connection.execute("PRAGMA writable_schema = ON")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("rb+") as stream:
        stream.seek(offset)
        stream.write(data)


def test_a_sound_file_passes_every_check(sound: Path) -> None:
    report = History.check(sound)
    assert report.sound
    assert report.problems == ()
    assert report.size == sound.stat().st_size


def test_a_trigger_that_turns_failed_into_passed_never_runs(sound: Path) -> None:
    alter(sound, "CREATE TRIGGER heal AFTER INSERT ON nonpass BEGIN DELETE FROM nonpass; END")
    refused(sound, "tables are not exactly")
    with History.writing(sound) as history:
        history.record(record(0, "new"), rows({"test_one": "F"}))
        assert any("tables are not exactly" in warning for warning in history.warnings)
    with History.read(sound) as history:
        assert history.test_series(identity("test_one"))[-1]["outcome"] == "failed"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE extra (a)",
        "CREATE VIEW extra AS SELECT randomblob(1000000000)",
        "CREATE INDEX extra ON run (status)",
        "CREATE VIRTUAL TABLE extra USING fts5(text)",
        "ALTER TABLE run ADD COLUMN evil TEXT AS (upper(hex(zeroblob(100000000)))) VIRTUAL",
        "ALTER TABLE test ADD COLUMN evil INTEGER",
        "DROP VIEW runs",
        "DROP INDEX run_ts",
    ],
)
def test_a_file_with_any_other_object_is_refused(sound: Path, statement: str) -> None:
    alter(sound, statement)
    refused(sound, "tables are not exactly")


def test_a_view_in_the_place_of_a_table_is_refused_at_once(sound: Path) -> None:
    endless = (
        "CREATE VIEW run AS WITH RECURSIVE t(run_no) AS (SELECT 1 UNION ALL SELECT run_no + 1 FROM t) SELECT * FROM t"
    )
    alter(sound, "DROP TABLE run", endless)
    refused(sound, "tables are not exactly")


def test_a_check_that_eats_memory_is_never_evaluated(sound: Path) -> None:
    alter(
        sound,
        "UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (trusted IN (0, 1))',"
        " 'CHECK (length(randomblob(900000000)) > 0)') WHERE name = 'run'",
        writable_schema=True,
    )
    refused(sound, "tables are not exactly")


def test_text_in_an_integer_column_is_refused(sound: Path) -> None:
    alter(sound, "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'run'", writable_schema=True)
    alter(sound, "PRAGMA ignore_check_constraints = ON", "UPDATE run SET passed = 'many'")
    alter(
        sound,
        "UPDATE sqlite_schema SET sql = rtrim(sql) || ' STRICT' WHERE name = 'run' AND sql NOT LIKE '%STRICT%'",
        writable_schema=True,
    )
    refused(sound, "damaged or was tampered with")


def test_an_index_that_does_not_fit_its_table_is_refused(sound: Path) -> None:
    # Swapped root pages leave every letter of the schema as it was.
    both = "WHERE name IN ('run_ts', 'run_uid')"
    swap = f"UPDATE sqlite_schema SET rootpage = (SELECT sum(rootpage) FROM sqlite_schema {both}) - rootpage {both}"
    alter(sound, swap, writable_schema=True)
    refused(sound, "SQLite says")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE run SET ts = -5",
        "UPDATE run SET ts = 9999999999999999",
        "UPDATE run SET trusted = 7",
        "UPDATE nonpass SET status = 4",
        "UPDATE test SET test_no = 1 << 40 WHERE name LIKE '%one'",
        "INSERT INTO metric VALUES (1, 1, 1, 9e999, 1)",
    ],
)
def test_a_value_out_of_its_range_is_refused(sound: Path, statement: str) -> None:
    alter(sound, "PRAGMA ignore_check_constraints = ON", statement)
    refused(sound, "out of range")


def test_a_bomb_in_a_blob_is_not_inflated(sound: Path) -> None:
    bomb = zlib.compress(bytes(300_000_000), 9)
    connection = sqlite3.connect(sound)
    with connection:
        connection.execute("UPDATE outcome SET codes = ? WHERE run_no = 1", (bomb,))
    connection.close()
    import tracemalloc

    tracemalloc.start()
    refused(sound, "unpack to more bytes than there are tests")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("blob", [b"", b"not zlib", zlib.compress(b"\2\2")[:-3], zlib.compress(b"\2") + b"more"])
def test_a_blob_that_does_not_unpack_is_refused(sound: Path, blob: bytes) -> None:
    connection = sqlite3.connect(sound)
    with connection:
        connection.execute("UPDATE outcome SET codes = ? WHERE run_no = 1", (blob,))
    connection.close()
    refused(sound, "outcomes")


def test_a_file_in_wal_mode_is_refused(sound: Path) -> None:
    patch(sound, 18, b"\2\2")
    refused(sound, "WAL mode")


def test_a_file_whose_header_promises_another_length_is_refused(sound: Path) -> None:
    patch(sound, 28, struct.pack(">I", 3))
    refused(sound, "promises 3 pages")


def test_a_truncated_file_is_refused_at_every_length(sound: Path) -> None:
    whole = sound.read_bytes()
    for length in (0, 1, 50, 99, 100, 4096, len(whole) - 4096, len(whole) - 1):
        sound.write_bytes(whole[:length])
        assert not History.check(sound).sound, length
        with pytest.raises(HistoryError):
            History.read(sound).close()


def test_every_flipped_bit_is_found(sound: Path) -> None:
    whole, chance = sound.read_bytes(), random.Random(4)
    copy = sound.with_name("copy.sqlite")
    for offset in [*range(0, 100, 3), *(chance.randrange(len(whole)) for _ in range(200))]:
        changed = bytearray(whole)
        changed[offset] ^= 1 << chance.randrange(8)
        copy.write_bytes(changed)
        assert not History.check(copy).sound, f"byte {offset}"


def test_swapped_and_blanked_pages_are_found(sound: Path) -> None:
    whole = sound.read_bytes()
    pages = [whole[at : at + 4096] for at in range(0, len(whole), 4096)]
    copy = sound.with_name("copy.sqlite")
    for number in range(1, len(pages)):
        for changed in (
            [*pages[:number], bytes(4096), *pages[number + 1 :]],
            [pages[0], *pages[number:], *pages[1:number]] if number > 1 else [],
        ):
            if changed and changed != pages:
                copy.write_bytes(b"".join(changed))
                assert not History.check(copy).sound, number


def test_a_file_edited_with_another_program_is_still_ours(sound: Path) -> None:
    alter(sound, "DELETE FROM run WHERE uid = 'run-2'", "VACUUM")
    assert uids(sound) == ["run-3", "run-1"]


def test_a_file_of_a_newer_version_is_left_untouched(sound: Path) -> None:
    alter(sound, "PRAGMA user_version = 2")
    before = sound.read_bytes()
    refused(sound, "version 2, this ci-bridge knows 1")
    with pytest.raises(HistoryError, match="update ci-bridge"), History.writing(sound):
        pass
    assert sound.read_bytes() == before
    assert [path.name for path in sound.parent.iterdir()] == [sound.name]


@pytest.mark.parametrize("content", [b"# a readme\n", b"SQLite format 4\0" + bytes(84), b"PK\3\4" + bytes(200)])
def test_a_file_that_is_no_database_is_left_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(content)
    refused(path, "not a history")
    with pytest.raises(HistoryError, match="not a history"), History.writing(path):
        pass
    assert path.read_bytes() == content


def test_another_programs_database_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    alter(path, "CREATE TABLE run (uid)")
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="some other program"), History.writing(path):
        pass
    assert path.read_bytes() == before


def test_a_symbolic_link_is_not_followed(sound: Path) -> None:
    link = sound.with_name("link.sqlite")
    link.symlink_to(sound)
    refused(link, "symbolic link")
    with pytest.raises(HistoryError, match="symbolic link"), History.writing(link):
        pass
    assert link.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes do not exist on Windows")
def test_a_named_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    os.mkfifo(path)
    refused(path, "not a plain file")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HistoryError):
        History.read(tmp_path)


def test_a_file_over_the_cap_is_not_read(sound: Path) -> None:
    with pytest.raises(HistoryError, match="larger than"):
        History.read(sound, limits=Limits(size=1000))


def test_a_check_that_takes_too_long_is_given_up(sound: Path) -> None:
    with pytest.raises(HistoryError, match="longer than -1 s"):
        History.read(sound, limits=Limits(seconds=-1))


def test_a_read_history_cannot_be_written(sound: Path) -> None:
    before = sound.read_bytes()
    with History.read(sound) as history:
        with pytest.raises(HistoryError, match="reading only"):
            history.record(record(0, "new"), rows({"test_one": "P"}))
        for statement in (
            "DELETE FROM run",
            "ATTACH ':memory:' AS x",
            "PRAGMA query_only=OFF",
            "SELECT load_extension('x')",
        ):
            with pytest.raises(sqlite3.Error):
                history._connection.execute(statement)
    assert sound.read_bytes() == before


def test_what_an_import_takes_along_is_checked_value_by_value(sound: Path) -> None:
    from ci_bridge.history import recording

    alter(sound, "PRAGMA ignore_check_constraints = ON", "UPDATE nonpass SET status = 4")
    with pytest.raises(sqlite3.IntegrityError):
        recording.create(":memory:", sound)


def test_text_that_is_not_utf8_is_shown_with_replacement_characters(sound: Path) -> None:
    alter(sound, "UPDATE run SET branch = CAST(x'6d61ff' AS TEXT) WHERE uid = 'run-1'")
    with History.read(sound) as history:
        assert history.runs(1)[0]["branch"] == "ma\N{REPLACEMENT CHARACTER}"


def test_a_damaged_file_is_set_aside_and_the_previous_state_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    with History.writing(path) as history:
        history.record(record(0, "latest"), rows({"test_one": "P"}))
    patch(path, 5000, b"damage")
    damaged = path.read_bytes()
    with History.read(path) as history:
        assert [row["id"] for row in history.runs()] == ["run-1", "run-2", "run-3"]
        assert any("damaged" in warning for warning in history.warnings)
    with History.writing(path, clock=lambda: NOW) as history:
        history.record(record(0, "next"), rows({"test_one": "P"}))
    assert uids(path) == ["run-3", "run-2", "run-1", "next"]
    kept = path.with_name("history.sqlite.damaged-20261122T120000Z")
    assert kept.read_bytes() == damaged
    assert any(str(kept) in warning for warning in history.warnings)
    assert uids(previous_of(path)) == ["run-3", "run-2", "run-1"]


def test_two_damaged_files_of_one_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    for content in (bytes(10), bytes(20)):
        path.write_bytes(content)
        previous_of(path).unlink(missing_ok=True)
        with History.writing(path, clock=lambda: NOW) as history:
            history.record(record(0), rows([case("test_one")]))
    assert sorted(kept.stat().st_size for kept in tmp_path.glob("*.damaged-*")) == [10, 20]


def test_a_missing_file_is_taken_from_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    simple_history(path)
    shutil.move(path, previous_of(path))
    with History.read(path) as history:
        assert history.statistics()["runs"] == 3
        assert any("state before the last save" in warning for warning in history.warnings)


@pytest.mark.parametrize("change", ["DROP VIEW runs", "CREATE TABLE extra (a)"])
def test_the_check_is_what_refuses_the_file(sound: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the comparison of the schema the same file passes: the test above does not pass by chance.
    alter(sound, change)
    refuse: Callable[[], object] = lambda: History.read(sound).close()  # noqa: E731
    with pytest.raises(HistoryError):
        refuse()
    monkeypatch.setattr("ci_bridge.history.checked.expected_schema", lambda: _schema(sound))
    refuse()


def _schema(path: Path) -> set[tuple[str, str, str, str | None]]:
    from ci_bridge.history.schema import schema_of

    connection = sqlite3.connect(path)
    try:
        return schema_of(connection)
    finally:
        connection.close()
