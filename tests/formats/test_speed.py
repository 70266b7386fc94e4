"""Reading stays fast and small: measured in whole processes, against expat in the same minute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.reading import (
    PROGRAMS,
    Measurement,
    junit_to_ctrf,
    main,
    measure,
    measure_all,
    to_markdown,
    write_workload,
)

CASES = 100_000


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Measurement]]:
    yield {item.what: item for item in measure_all(CASES)}


def of(measured: dict[str, Measurement], program: str) -> tuple[float, float]:
    item = measured[PROGRAMS[program][0]]
    assert item.cpu is not None
    assert item.peak is not None
    return item.cpu, item.peak


def test_reading_costs_a_small_multiple_of_expat(measured: dict[str, Measurement]) -> None:
    """The figure to keep is three times for a million cases; start-up weighs more here, and machines are busy."""
    assert of(measured, "summary")[0] < 5 * of(measured, "expat")[0]


def test_memory_hardly_grows_with_passed_cases(measured: dict[str, Measurement]) -> None:
    assert of(measured, "rows")[1] < of(measured, "expat")[1] + 60


def test_a_program_that_is_not_installed_is_shown_as_not_run(measured: dict[str, Measurement]) -> None:
    table = to_markdown(list(measured.values()))
    assert "| ci-bridge, read and summarise |" in table
    assert "not run" in table or junit_to_ctrf(Path(__file__).parents[2]) is not None


def test_the_workload_is_the_same_every_time_and_of_the_size_that_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_workload(folder, 5000, failures=True)
    first, second = ([path.read_bytes() for path in sorted(folder.iterdir())] for folder in tmp_path.iterdir())
    assert first == second
    assert len(first) == 50
    lines = first[0].splitlines(keepends=True)
    assert {len(line) for line in lines if line.endswith((b"/>\n", b" \n"))} == {199}
    assert sum(raw.count(b"<failure ") for raw in first) == 50


def test_a_program_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        measure(["false"])


def test_the_benchmark_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--cases", "1000"])
    out = capsys.readouterr().out
    assert out.count("\n|") == 1 + len(PROGRAMS) + 1
    assert "| 1 000 |" in out
