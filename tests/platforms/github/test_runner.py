"""What the runner takes without a token: the summary, outputs and masks."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ci_bridge.errors import PermissionDeniedError, PlatformError
from ci_bridge.models import BuildContext
from ci_bridge.platforms.github.runner import SUMMARY_LIMIT, RunnerAdapter


def runner(folder: Path, **more: str) -> RunnerAdapter:
    env = {"GITHUB_STEP_SUMMARY": str(folder / "summary"), "GITHUB_OUTPUT": str(folder / "output"), **more}
    context = BuildContext("github", build_url="https://github.com/acme/shop/actions/runs/7")
    return RunnerAdapter(context, env, stdout=io.StringIO(), delimiter=lambda: "0123")


def read_outputs(text: str) -> dict[str, str]:
    """As the runner reads them: heredocs, one after the other."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, end = line.split("<<")
        value = []
        while (row := next(lines)) != end:
            value.append(row)
        found[name] = "\n".join(value)
    return found


def test_the_summary_is_added_to_what_the_step_has_written(tmp_path: Path) -> None:
    (tmp_path / "summary").write_text("# before\n")
    url = runner(tmp_path).write_summary("# ours: Ä")
    assert (tmp_path / "summary").read_text() == "# before\n# ours: Ä\n"
    assert url == "https://github.com/acme/shop/actions/runs/7"


def test_a_summary_never_exceeds_what_the_runner_takes(tmp_path: Path) -> None:
    adapter = runner(tmp_path)
    assert adapter.max_summary_size == SUMMARY_LIMIT - 1
    adapter.write_summary("x" * adapter.max_summary_size)
    assert (tmp_path / "summary").stat().st_size == SUMMARY_LIMIT
    with pytest.raises(PlatformError, match="1 MiB"):
        adapter.write_summary("x" * adapter.max_summary_size)
    assert (tmp_path / "summary").stat().st_size == SUMMARY_LIMIT


def test_what_the_step_has_written_counts(tmp_path: Path) -> None:
    (tmp_path / "summary").write_bytes(b"x" * 1_000_000)
    adapter = runner(tmp_path)
    adapter.write_summary("y" * adapter.max_summary_size)
    assert (tmp_path / "summary").stat().st_size == SUMMARY_LIMIT


def test_outputs_are_read_back_whatever_they_hold(tmp_path: Path) -> None:
    values = {"total": "3", "json": '{"a": "b<<c"}', "report-path": "a\nb=c\n::set-output name=x::y", "empty": ""}
    adapter = runner(tmp_path)
    adapter.set_outputs(values)
    adapter.set_outputs({"comment-url": "https://example.org/ä"})
    text = (tmp_path / "output").read_text(encoding="utf-8")
    assert read_outputs(text) == {**values, "comment-url": "https://example.org/ä"}


def test_a_value_can_not_end_its_own_output(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="delimiter"):
        runner(tmp_path).set_outputs({"total": "3\nci-bridge-0123\nevil<<x\n1\nx"})
    assert not (tmp_path / "output").exists()


def test_the_delimiter_differs_each_time(tmp_path: Path) -> None:
    env = {"GITHUB_OUTPUT": str(tmp_path / "output")}
    RunnerAdapter(BuildContext("github"), env, stdout=io.StringIO()).set_outputs({"a": "1", "b": "2"})
    lines = (tmp_path / "output").read_text().splitlines()
    assert len({line.partition("<<")[2] for line in lines if "<<" in line}) == 2


@pytest.mark.parametrize("name", ["", "a b", "a=b", "1a", "a\nb", "ä"])
def test_what_is_no_name_is_no_output(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlatformError, match="no name"):
        runner(tmp_path).set_outputs({name: "x"})


def test_a_mask_is_escaped_as_the_toolkit_does() -> None:
    out = io.StringIO()
    adapter = RunnerAdapter(BuildContext("github"), {}, stdout=out)
    adapter.add_mask("a%b\r\nc")
    adapter.add_mask("  ")
    assert out.getvalue() == "::add-mask::a%25b%0D%0Ac\n"


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="GITHUB_STEP_SUMMARY is not set"):
        runner(tmp_path, GITHUB_STEP_SUMMARY="").write_summary("x")
    with pytest.raises(PlatformError, match="GITHUB_OUTPUT is not set"):
        runner(tmp_path, GITHUB_OUTPUT="").set_outputs({"a": "b"})


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="GITHUB_OUTPUT: "):
        runner(tmp_path, GITHUB_OUTPUT=str(tmp_path)).set_outputs({"a": "b"})
    with pytest.raises(PlatformError, match="GITHUB_STEP_SUMMARY: "):
        runner(tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "no" / "such")).write_summary("x")


def test_a_refusal_of_the_file_system_is_a_missing_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ci_bridge.platforms.github.runner.Path.touch", refuse)
    with pytest.raises(PermissionDeniedError):
        runner(tmp_path).write_summary("x")


def test_nothing_but_the_two_files_is_written(tmp_path: Path) -> None:
    adapter = runner(tmp_path, GITHUB_ENV=str(tmp_path / "env"), GITHUB_PATH=str(tmp_path / "path"))
    adapter.write_summary("x")
    adapter.set_outputs({"a": "b"})
    adapter.add_mask("secret")
    adapter.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output", "summary"]
