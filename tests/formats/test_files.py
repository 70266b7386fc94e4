"""Finding and opening input files without trusting the workspace."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ci_bridge.errors import ResultsError
from ci_bridge.formats.files import Found, Search, find_files, head_of, natural_key, open_file, started_at
from ci_bridge.formats.plugin import Limits
from ci_bridge.models import FileState


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def find(
    workspace: Path, *patterns: str | Path, limits: Limits | None = None, exclude: tuple[Path, ...] = ()
) -> Search:
    return find_files(patterns, workspace=workspace, limits=limits or Limits(), exclude=exclude)


def shown(search: Search) -> list[str]:
    return [found.shown for found in search.files]


def reasons(search: Search) -> dict[str, tuple[FileState, str]]:
    return {file.path: (file.state, file.note) for file in search.rejected}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.xml", ["a.xml"]),
        ("**/*.xml", ["a.xml", "x/b.xml", "x/y/c.xml"]),
        ("x/**/*.xml", ["x/b.xml", "x/y/c.xml"]),
        ("**/y/*.xml", ["x/y/c.xml"]),
        ("x/*.xml", ["x/b.xml"]),
        ("x/?.xml", ["x/b.xml"]),
        ("*/[ab].xml", ["x/b.xml"]),
        ("**", ["a.xml", "x/b.xml", "x/d.json", "x/y/c.xml"]),
        ("x/**", ["x/b.xml", "x/d.json", "x/y/c.xml"]),
        ("x/*.{xml,json}", ["x/b.xml", "x/d.json"]),
        ("./x/b.xml", ["x/b.xml"]),
        ("x", ["x/b.xml", "x/d.json", "x/y/c.xml"]),
        ("x/", ["x/b.xml", "x/d.json", "x/y/c.xml"]),
        (".hidden/*.xml", [".hidden/h.xml"]),
        ("**/**/*.xml", ["a.xml", "x/b.xml", "x/y/c.xml"]),
    ],
)
def test_patterns_find_what_they_describe(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    touch(tmp_path, "a.xml", "x/b.xml", "x/y/c.xml", "x/d.json", ".hidden/h.xml", ".git/config.xml")
    assert shown(find(tmp_path, pattern)) == expected


def test_absolute_patterns_work_inside_and_outside_the_workspace(tmp_path: Path) -> None:
    touch(tmp_path, "ws/a.xml", "elsewhere/b.xml")
    workspace = tmp_path / "ws"
    assert shown(find(workspace, workspace / "*.xml")) == ["a.xml"]
    outside = str(tmp_path / "elsewhere")
    for pattern in (f"{outside}/*.xml", f"{outside}/b.xml", outside, "../elsewhere/*.xml"):
        assert shown(find(workspace, pattern)) == [f"{outside}/b.xml"], pattern


def test_files_come_in_the_order_of_the_patterns_naturally_sorted_and_once(tmp_path: Path) -> None:
    touch(tmp_path, "r10.xml", "r9.xml", "r1.xml", "z.xml")
    assert shown(find(tmp_path, "z.xml", "*.xml", "r1.xml")) == ["z.xml", "r1.xml", "r9.xml", "r10.xml"]


def test_a_pattern_with_an_exclamation_mark_takes_files_away(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml", "b.xml", "node_modules/c.xml")
    assert shown(find(tmp_path, "**/*.xml", "!node_modules/**", "!b.xml")) == ["a.xml"]


def test_a_path_that_looks_like_a_pattern_is_found_as_it_is(tmp_path: Path) -> None:
    touch(tmp_path, "r[1].xml", "r1.xml", "r{2}.xml")
    assert shown(find(tmp_path, "r[1].xml", "r{2}.xml")) == ["r[1].xml", "r{2}.xml"]


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml")
    assert find(tmp_path, "a.xml", "build/**/*.xml").notes == [f"nothing matches 'build/**/*.xml' in {tmp_path}"]


def test_a_pattern_that_is_one_folder_off_is_answered_with_one_that_is_not(tmp_path: Path) -> None:
    touch(tmp_path, "sub/reports/r.xml", "out/report.xml", "out/.ci-bridge")
    for pattern in ("reports/**/*.xml", "reports/r.xml"):
        search = find(tmp_path, pattern)
        [told] = search.notes or [rejected.note for rejected in search.rejected]
        assert told.endswith(f"; sub/reports/r.xml is there: did you mean '**/{pattern}'?")
    [told] = find(tmp_path / "sub", "sub/reports/*.xml").notes
    assert told.endswith("; reports/r.xml is there: did you mean 'reports/*.xml'?")
    assert "mean" not in find(tmp_path, "report.xml", "nowhere/*.xml", "../x*.xml", "/no/*.xml").notes[0]


@pytest.mark.parametrize("name", ["report.xml", "artifacts/run/a.xml", "history.sqlite.read.json"])
def test_what_we_wrote_is_passed_over_in_any_folder_that_bears_our_mark(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"out/{name}", f"theirs/{name}", "out/.ci-bridge", "out/results/report.xml")
    search = find(tmp_path, "**/*.xml", "**/*.json", "out")
    assert set(shown(search)) == {f"theirs/{name}", "out/results/report.xml"}
    assert search.rejected == []


def test_a_named_file_that_is_missing_is_unreadable(tmp_path: Path) -> None:
    assert reasons(find(tmp_path, "gone.xml")) == {"gone.xml": (FileState.UNREADABLE, "it does not exist")}


def test_excluded_folders_and_git_are_never_read(tmp_path: Path) -> None:
    touch(tmp_path, "out/a.xml", "b.xml", ".git/c.xml", "out2/d.xml")
    search = find(tmp_path, "**/*.xml", "out/a.xml", ".git/*.xml", ".git/c.xml", exclude=(Path("out"),))
    assert shown(search) == ["b.xml", "out2/d.xml"]
    assert "never read" in reasons(search)["out/a.xml"][1]
    assert "never read" in reasons(search)[".git/c.xml"][1]


def test_links_are_named_and_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "ws/real.xml", "secret/s.xml")
    workspace = tmp_path / "ws"
    (workspace / "out.xml").symlink_to(tmp_path / "secret/s.xml")
    (workspace / "in.xml").symlink_to("real.xml")
    (workspace / "dangling.xml").symlink_to("nowhere")
    (workspace / "zero.xml").symlink_to("/dev/zero")
    (workspace / "dir").symlink_to(tmp_path / "secret")
    links = ("out.xml", "in.xml", "dangling.xml", "zero.xml")
    for patterns, state in ((["**/*.xml"], FileState.IGNORED), ([*links, "real.xml", "dir/*"], FileState.UNREADABLE)):
        search = find(workspace, *patterns)
        assert shown(search) == ["real.xml"]
        for name in links:
            assert reasons(search)[name] == (state, "a symbolic link, which is not followed")


def test_a_file_behind_a_linked_folder_is_refused_even_if_it_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "ws/real/a.xml", "secret/s.xml")
    workspace = tmp_path / "ws"
    (workspace / "dir").symlink_to(tmp_path / "secret")
    (workspace / "loop").symlink_to(workspace)
    for pattern in ("dir/s.xml", "dir/*.xml", "dir/**/*.xml", "*/s.xml", "**/s.xml"):
        search = find(workspace, pattern)
        assert shown(search) == []
    assert "outside the workspace" in reasons(find(workspace, "dir/s.xml"))["dir/s.xml"][1]
    assert "outside the workspace" in reasons(find(workspace, "dir/*.xml"))["dir"][1]
    assert "not followed" in reasons(find(workspace, "*/s.xml"))["dir"][1]
    assert shown(find(workspace, "**/*.xml")) == ["real/a.xml"]


def test_a_workspace_that_is_itself_a_link_is_fine(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.xml")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert shown(find(tmp_path / "link", "*.xml", tmp_path / "link" / "a.xml")) == ["a.xml"]


def test_pipes_sockets_and_devices_are_named_and_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.xml")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.xml")
        search = find(tmp_path, "*.xml", "/dev/null")
    assert reasons(search) == {
        "pipe.xml": (FileState.IGNORED, "a named pipe"),
        "socket.xml": (FileState.IGNORED, "a socket"),
        "/dev/null": (FileState.UNREADABLE, "a device"),
    }


def test_a_file_that_turns_into_something_else_after_it_was_found_is_not_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml", "secret")
    (found,) = find(tmp_path, "a.xml").files
    found.path.unlink()
    found.path.symlink_to(tmp_path / "secret")
    with pytest.raises(ResultsError, match="cannot be opened"):
        open_file(found, Limits())
    found.path.unlink()
    os.mkfifo(found.path)
    with pytest.raises(ResultsError, match="no regular file any more"):
        open_file(found, Limits())


def test_a_file_that_grows_while_it_is_read_ends_where_it_ended(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml")
    (found,) = find(tmp_path, "a.xml").files
    counted: list[int] = []
    with open_file(found, Limits(), counted.append) as stream:
        with found.path.open("ab") as more:
            more.write(b"x" * 1000)
        assert stream.read() == b"a.xml"
        stream.seek(1)
        assert stream.read(2) == b".x"
    assert sum(counted) >= 5


def test_names_with_newlines_are_read_and_shown_escaped(tmp_path: Path) -> None:
    touch(tmp_path, "a\n::error::b.xml")
    search = find(tmp_path, "*.xml")
    assert shown(search) == ["a␊::error::b.xml"]
    with open_file(search.files[0], Limits()) as stream:
        assert stream.read()


def test_names_that_are_no_unicode_are_read_and_shown_with_replacements(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff.xml"
    Path(os.fsdecode(raw)).write_text("x")
    assert shown(find(tmp_path, "*.xml")) == ["\ufffd.xml"]


def test_files_beyond_the_size_caps_are_unreadable_with_the_reason(tmp_path: Path) -> None:
    for name, size in (("a.xml", 10), ("b.xml", 200), ("c.xml", 90), ("d.xml", 10)):
        (tmp_path / name).write_bytes(b"x" * size)
    search = find(tmp_path, "*.xml", limits=Limits(file_size=100, total_size=105))
    assert shown(search) == ["a.xml", "c.xml"]
    assert reasons(search) == {
        "b.xml": (FileState.UNREADABLE, "larger than the cap of 100 bytes"),
        "d.xml": (FileState.UNREADABLE, "all files together are larger than the cap of 105 bytes"),
    }


def test_very_many_files_are_capped_and_it_is_said(tmp_path: Path) -> None:
    touch(tmp_path, *(f"r{number}.xml" for number in range(5)))
    search = find(tmp_path, "*.xml", limits=Limits(files=3))
    assert shown(search) == ["r0.xml", "r1.xml", "r2.xml"]
    assert "more than 3 files" in search.notes[0]


def test_a_very_deep_tree_is_walked_without_recursion(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder /= "d"
    folder.mkdir(parents=True)
    (folder / "a.xml").write_text("x")
    assert len(find(tmp_path, "**/*.xml").files) == 1


def test_an_empty_pattern_finds_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml")
    search = find(tmp_path, "", " ")
    assert search.files == []
    assert search.notes == [f"nothing matches '' in {tmp_path}", f"nothing matches ' ' in {tmp_path}"]


def test_braces_do_not_explode(tmp_path: Path) -> None:
    assert find(tmp_path, "{a,b}" * 40).files == []


@given(st.text(alphabet="ab*?[]{},/!.", max_size=12))
def test_no_pattern_crashes_or_leaves_the_workspace(tmp_path_factory: pytest.TempPathFactory, pattern: str) -> None:
    root = tmp_path_factory.getbasetemp() / "patterns"
    touch(root, "ws/a/b.xml", "ws/b", "outside")
    assume(not pattern.lstrip("!").startswith("/"))
    search = find(root / "ws", pattern)
    if ".." not in pattern:
        assert all((root / "ws") in found.path.parents for found in search.files)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_natural_order_is_total_and_stable(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


@pytest.mark.parametrize(
    ("head", "moment"),
    [
        ('<testsuite timestamp="2024-01-02T03:04:05"', datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("<testsuite timestamp='2024-01-02T03:04:05.678Z'", datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        ('<testsuite timestamp="2024-01-02T05:04:05+02:00"', datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ('<test-run start-time="2024-01-02 03:04:05Z"', datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ('{"results":{"summary":{"start":1704164645000,', datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ('{"Time":"2024-01-02T03:04:05.000000001Z","Action"', datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ('<testsuite timestamp="yesterday"', None),
        ('<testsuite timestamp="2024-99-02T03:04:05"', None),
        ("<testsuite>", None),
    ],
)
def test_the_start_of_a_run_is_found_in_the_head_of_its_file(head: str, moment: datetime | None) -> None:
    assert started_at(head.encode()) == moment


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_the_head_of_a_file_is_utf_8_whatever_the_file_is(encoding: str) -> None:
    assert head_of("  \n<a é>".encode(encoding)) == "<a é>".encode()


def test_a_found_file_knows_whether_the_user_spelled_it_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml", "b.xml")
    assert [found.is_named for found in find(tmp_path, "a.xml", "*.xml").files] == [True, False]
    assert isinstance(find(tmp_path, "a.xml").files[0], Found)
