"""Reading a set of files: recognition by content, order, and one bad file among good ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ci_bridge.formats import available, read_results
from ci_bridge.formats.plugin import Format, Limits, Sink, Source
from ci_bridge.models import FileState, InputFile, Outcome

GOOD = '<testsuite name="s"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'


def states(files: object) -> dict[str, FileState]:
    assert isinstance(files, list)
    return {file.path: file.state for file in files}


def test_files_are_recognised_by_content_whatever_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "junit.txt").write_text(GOOD)
    (tmp_path / "ctrf.xml").write_text('{"reportFormat":"CTRF","results":{"tests":[{"name":"c","status":"passed"}]}}')
    with read_results(["*"], workspace=tmp_path) as results:
        assert [(file.path, file.format) for file in results.files] == [("ctrf.xml", "ctrf"), ("junit.txt", "junit")]
        assert (results.totals.passed, results.totals.failed) == (2, 1)


def test_one_bad_file_costs_the_others_nothing(tmp_path: Path) -> None:
    (tmp_path / "good.xml").write_text(GOOD)
    (tmp_path / "bad.xml").write_text("<testsuite><testcase")
    with read_results(["*.xml"], workspace=tmp_path) as results:
        assert states(results.files) == {"good.xml": FileState.READ, "bad.xml": FileState.UNREADABLE}
        assert results.totals.total == 2


@pytest.mark.parametrize(
    ("name", "content", "state", "note"),
    [
        ("r.xml", b"", FileState.UNREADABLE, "it is empty; the tool that should have written it probably crashed"),
        ("r.xml", b"\xef\xbb\xbf \n ", FileState.UNREADABLE, "it is empty"),
        ("r.xml", b"Segmentation fault\n", FileState.UNREADABLE, "it is damaged"),
        ("r.xml", b"\0" * 5000, FileState.UNREADABLE, "it is damaged"),
        ("r.json", b"<html></html>", FileState.UNREADABLE, "it is damaged"),
        ("r.txt", b'<?xml version="1.0"?>\n', FileState.UNREADABLE, "it is damaged: it holds no XML element"),
        ("r.xml", b"<coverage line-rate='1'/>", FileState.IGNORED, "(its root element is <coverage>)"),
        ("r.json", b'{"coverage": 1}', FileState.IGNORED, "it is no test result that is known here"),
        ("r.txt", b"some log", FileState.IGNORED, "it is no test result that is known here"),
        ("r.bin", bytes(range(256)), FileState.IGNORED, "it is no test result that is known here"),
    ],
)
def test_a_file_without_results_is_named_and_a_damaged_one_is_not_green(
    tmp_path: Path, name: str, content: bytes, state: FileState, note: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with read_results(["r.*"], workspace=tmp_path) as results:
        (file,) = results.files
        assert (file.path, file.state) == (name, state)
        assert note in file.note
        assert results.totals.total == 0


def test_a_named_file_that_is_no_result_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("panic")
    with read_results(["log.txt"], workspace=tmp_path) as results:
        assert results.files == [
            InputFile(
                "log.txt", "", FileState.UNREADABLE, 0, "it is no test result of a format that is known here", True
            )
        ]


def test_nothing_found_is_said_and_holds_no_case(tmp_path: Path) -> None:
    with read_results(["build/**/*.xml"], workspace=tmp_path) as results:
        assert results.notes == [f"nothing matches 'build/**/*.xml' in {tmp_path}"]
        assert results.totals.total == 0
        assert list(results.rows()) == []


def test_the_same_test_in_two_numbered_runs_is_attempts_of_one_in_whatever_order_they_are_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "run-1.xml").write_text(GOOD)
    (tmp_path / "run-2.xml").write_text('<testsuite name="s"><testcase name="b" time="2"/></testsuite>')
    for patterns in (["run-1.xml", "run-2.xml"], ["run-2.xml", "run-1.xml"]):
        with read_results(patterns, workspace=tmp_path) as results:
            assert results.totals.total == 2
            assert [case.name for case in results.flaky] == ["b"]


def test_files_that_tell_when_they_began_are_read_in_that_order_among_those_that_do_not(tmp_path: Path) -> None:
    for name, moment in (("a", ""), ("b", "2026-01-02T10:00:00"), ("c", ""), ("d", "2026-01-01T10:00:00")):
        stamp = f' timestamp="{moment}"' if moment else ""
        (tmp_path / f"{name}.xml").write_text(f'<testsuite name="s"{stamp}><testcase name="{name}"/></testsuite>')
    with read_results(["*.xml"], workspace=tmp_path) as results:
        assert [file.path for file in results.files] == ["a.xml", "d.xml", "c.xml", "b.xml"]


def test_files_below_the_workspace_are_relative_to_it_in_every_format(tmp_path: Path) -> None:
    root = tmp_path.as_posix()
    (tmp_path / "a.xml").write_text(
        f'<testsuite name="s"><testcase name="p" file="{root}/t/x.py"/>'
        f'<testcase name="f" file="{root}/t/x.py"><failure/></testcase>'
        f'<testcase name="o" file="{root}-other/t/x.py"/></testsuite>'
    )
    test = {"name": "c", "status": "failed", "filePath": f"{root}/c.ts"}
    (tmp_path / "b.json").write_text(json.dumps({"reportFormat": "CTRF", "results": {"tests": [test]}}))
    with read_results(["*"], workspace=tmp_path) as results:
        files = {row[3]: row[2] for batch in results.rows() for row in batch}
    assert files == {"p": "t/x.py", "f": "t/x.py", "o": f"{root}-other/t/x.py", "c": "c.ts"}


def test_a_secret_in_the_name_of_a_file_is_hidden(tmp_path: Path) -> None:
    class Hiding:
        def clean(self, text: str) -> str:
            return text.replace("hush-hush", "***")

        def suspects(self, text: str) -> bool:
            return "hush-hush" in text

    (tmp_path / "a-hush-hush.xml").write_text(GOOD)
    (tmp_path / "b-hush-hush.xml").write_text("<html/>")
    with read_results(["*.xml", "no-hush-hush.xml", "x-hush-hush/*"], workspace=tmp_path, mask=Hiding()) as results:
        assert [file.path for file in results.files] == ["no-***.xml", "b-***.xml", "a-***.xml"]
        assert "hush-hush" not in repr(results.files) + repr(results.notes)


def test_our_own_output_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.xml").write_text(GOOD)
    (tmp_path / "r.xml").write_text(GOOD)
    with read_results(["**/*.xml"], workspace=tmp_path, exclude=[tmp_path / "out"]) as results:
        assert [file.path for file in results.files] == ["r.xml"]


def test_progress_grows_to_the_size_of_all_files(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"r{number}.xml").write_text(GOOD.replace("<testcase", " " * 100_000 + "<testcase"))
    seen: list[tuple[int, int]] = []
    with read_results(["*.xml"], workspace=tmp_path, on_progress=lambda done, size: seen.append((done, size))):
        pass
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)
    assert len(seen) > 6


def test_a_fault_in_one_parser_is_an_unreadable_file_not_a_crash(tmp_path: Path) -> None:
    def parse(source: Source, sink: Sink) -> None:
        sink.passed((), "", "", source.stream.readline().decode(), 0, 0.0)
        raise KeyError("oops")

    broken = Format("broken", "Broken", lambda head: head.startswith(b"broken"), parse)
    (tmp_path / "a.txt").write_text("broken\nmore")
    (tmp_path / "b.xml").write_text(GOOD)
    with read_results(["*"], workspace=tmp_path, formats=[broken, *available()]) as results:
        first, second = results.files
        assert (first.state, first.cases, first.incomplete) == (FileState.RECOVERED, 1, True)
        assert "the reader of Broken failed: KeyError: 'oops'" in first.note
        assert second.state is FileState.READ


def test_every_module_with_a_format_is_found_and_names_are_unique() -> None:
    names = [item.name for item in available()]
    assert {"junit", "ctrf"} <= set(names)
    assert len(names) == len(set(names))


def test_a_format_of_another_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_format.py").write_text(
        "from ci_bridge.formats import Format\n"
        "def parse(source, sink):\n"
        "    for line in source.stream:\n"
        "        sink.passed((), '', '', line.decode().strip(), 0, 0.5)\n"
        "FORMAT = Format('theirs', 'Theirs', lambda head: head.startswith(b'theirs'), parse)\n"
    )
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ci_bridge.formats]\ntheirs = their_format\ngone = no_such_module\n")
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws/r.txt").write_text("theirs\nb\n")
    code = (
        "from pathlib import Path; from ci_bridge.formats import read_results\n"
        f"with read_results(['*'], workspace=Path({str(tmp_path / 'ws')!r})) as results:\n"
        "    print(results.files[0].format, results.totals.passed, *results.notes)"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("theirs 2 the format 'gone' of another package cannot be loaded")


def test_importing_the_package_loads_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys, ci_bridge.formats\n"
        "heavy = ('ci_bridge.formats.junit', 'xml.parsers.expat', 'importlib.metadata', 'lxml', 'tempfile')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_temporary_file_is_dropped_when_reading_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r.xml").write_text(GOOD)

    def stop(done: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_results(["r.xml"], workspace=tmp_path, on_progress=stop)


def test_limits_are_settable_for_every_file(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(GOOD)
    with read_results(["*.xml"], workspace=tmp_path, limits=Limits(cases=1)) as results:
        assert (results.totals.total, results.dropped) == (1, 1)
    with read_results(["*.xml"], workspace=tmp_path, limits=Limits(file_size=10)) as results:
        assert results.files[0].state is FileState.UNREADABLE


def test_outcomes_can_be_asked_for_by_identity(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(GOOD)
    with read_results(["*.xml"], workspace=tmp_path, spool=False) as results:
        assert results.outcome_of(results.failures[0].identity) is Outcome.FAILED
