"""Files that tools really emitted, read from beginning to end; tests/data/README.md says what must come out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from ci_bridge.formats.read import available, read_results
from ci_bridge.models import FileState

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY / "tests" / "data"
DEMO = REPOSITORY / "demo" / "data"


class Listed(NamedTuple):
    """One row of the table."""

    file: str
    tool: str
    command: str
    format: str
    counts: tuple[int, ...]  # passed, failed, error, skipped, flaky


def table(path: Path) -> list[Listed]:
    rows = []
    for line in path.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) >= 10 and cells[0].startswith("`"):
            rows.append(Listed(cells[0].strip("`"), cells[1], cells[2], cells[3], tuple(map(int, cells[4:9]))))
    return rows


LISTED = table(DATA / "README.md")


def data_files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != "README.md"
    }


@pytest.mark.parametrize("listed", LISTED, ids=[listed.file for listed in LISTED])
def test_a_file_that_a_tool_emitted_gives_the_counts_of_that_tool(listed):
    with read_results([DATA / listed.file], workspace=REPOSITORY) as results:
        totals = results.totals
        (file,) = results.files
    assert (file.format, file.state) == (listed.format, FileState.READ), file.note
    assert (totals.passed, totals.failed, totals.error, totals.skipped, totals.flaky) == listed.counts


def test_every_file_is_listed_with_tool_version_and_command():
    assert data_files(DATA) == {listed.file for listed in LISTED}
    for listed in LISTED:
        assert listed.command, listed.file
        assert re.search(r"[0-9]+\.[0-9]+|by hand", listed.tool), listed.file


def test_every_file_is_of_one_format_only():
    for listed in LISTED:
        head = (DATA / listed.file).read_bytes()[: 1 << 16].lstrip()
        assert [item.name for item in available() if item.sniff(head)] == [listed.format], listed.file


@pytest.mark.parametrize("folder", [DATA, DEMO], ids=["tests", "demo"])
def test_no_file_names_the_machine_that_made_it(folder):
    for name in data_files(folder):
        text = (folder / name).read_text("utf-8", "replace")
        assert not re.search(r"/(?:tmp|root|work)/", text), name
        hosts = re.findall(r'(?:hostname|machine-name|computerName|computer)="([^"]*)"', text)
        assert set(hosts) <= {"ci-worker", "chromium", "firefox"}, name  # Playwright writes its projects there


def test_the_two_runs_of_the_demo_tell_a_story():
    runs = []
    for number in (1, 2):
        with read_results([f"demo/data/run-{number}"], workspace=REPOSITORY) as results:
            assert {file.state for file in results.files} == {FileState.READ}
            failing = {case.identity for case in results.failures}
            every = {(row[0], row[1], row[2], row[3]) for batch in results.rows() for row in batch}
            runs.append((results.totals, failing, every, len({file.format for file in results.files})))
    (before, failed_before, all_before, _), (after, failed_after, all_after, formats) = runs
    assert 100 <= before.total <= 300
    assert 100 <= after.total <= 300
    assert formats >= 5
    assert failed_after - failed_before, "something new"
    assert failed_before - failed_after, "something fixed"
    assert failed_before & failed_after, "something known"
    assert all_after - all_before, "a test was added"
    assert all_before - all_after, "a test was removed"
    assert (before.flaky, after.flaky) == (0, 5)
    assert before.skipped > 0
    assert after.duration > before.duration + 1.0


def test_the_data_stay_small():
    for folder, limit in ((DATA, 1_000_000), (DEMO, 500_000)):
        assert sum((folder / name).stat().st_size for name in data_files(folder)) < limit
