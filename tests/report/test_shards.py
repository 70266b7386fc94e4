"""The report that sums up parallel jobs, in every sink: a row per job, and a sum that is true."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from ci_bridge.merging import MergedResults
from ci_bridge.models import (
    Evidence,
    JudgedCase,
    Judgement,
    Report,
    RunState,
    ShardResult,
    Totals,
    Verdict,
)
from ci_bridge.report import (
    print_terminal,
    render_comment,
    render_summary,
    write_html,
    write_json,
)
from ci_bridge.report.templates import schema_path
from tests.report.builders import failed, report_of

EVIL = "py | <b>@all</b> `x` <!-- ci-bridge:report -->"


def shard(name: str, *, passed: int = 4, new: int = 0, state: RunState = RunState.SUCCESS) -> ShardResult:
    return ShardResult(name, state, Totals(passed, new, duration=1.5), Totals(3, 0, duration=1.0), new=new)


def summed(*shards: ShardResult, total: int | None = None, **fields: Any) -> Report:
    totals = Totals(
        sum(s.totals.passed for s in shards), sum(s.totals.failed for s in shards), duration=1.5 * len(shards)
    )
    state = RunState.FAILURE if totals.failed else RunState.SUCCESS
    case = JudgedCase(failed(), Verdict.NEW, Evidence("passed before"), shards=tuple(s.shard for s in shards if s.new))
    judgement = Judgement((case,) if case.shards else ())
    return replace(
        report_of([], state=state), results=MergedResults(totals=totals), judgement=judgement, shards=shards,
        shard_total=total, **fields,
    )  # fmt: skip


TWO = summed(shard("linux"), shard("windows", new=1, state=RunState.FAILURE), total=2)


def json_of(report: Report) -> Any:
    stream = io.StringIO()
    write_json(report, stream)
    return json.loads(stream.getvalue())


def html_of(report: Report) -> str:
    stream = io.StringIO()
    write_html(report, stream)
    return stream.getvalue()


def terminal_of(report: Report, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_terminal(report, stream=stream)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_the_json_report_keeps_its_schema_and_lists_the_jobs():
    document = json_of(TWO)
    jsonschema.Draft202012Validator(json.loads(schema_path().read_text(encoding="utf-8"))).validate(document)
    assert [(one["shard"], one["state"], one["totals"]["failed"]) for one in document["shards"]] == [
        ("linux", "success", 0), ("windows", "failure", 1),
    ]  # fmt: skip
    assert document["verdicts"]["new"] == 1 == sum(one["verdicts"]["new"] for one in document["shards"])
    assert document["totals"]["total"] == sum(one["totals"]["total"] for one in document["shards"])
    assert document["shard_total"] == 2


def test_a_single_jobs_json_report_has_none():
    assert not {"shards", "shard_total"} & set(json_of(report_of([])))


def test_the_page_has_a_table_of_the_jobs():
    page = html_of(TWO)
    assert "Shards <small>2 of 2 shards</small>" in page
    assert page.index(">linux</td>") < page.index(">windows</td>")
    assert "Shards <small>" not in html_of(report_of([]))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_terminal_has_a_row_per_job_and_their_sum(encoding: str):
    lines = terminal_of(TWO, encoding).splitlines()
    rows = [line.replace("|", " ").split() for line in lines if line.startswith(("linux", "windows", "2 of 2 shards"))]
    assert [row[0] for row in rows] == ["linux", "windows", "2"]
    assert rows[2][4:9] == ["8", "1", "0", "0", "9"]


@pytest.mark.parametrize("template", ["default", "detailed"])
def test_comment_and_summary_have_the_table(template: str):
    for text in (render_comment(TWO, template=template), render_summary(TWO)):
        assert text.count("\n| ✅ ") == 1 and text.count("\n| ❌ ") == 1 and "\n| **Total** |" in text
        assert "2 of 2 shards" in text


def test_a_small_comment_says_the_sum_and_how_many_jobs():
    assert "2 of 2 shards" in render_comment(TWO, template="minimal")


def test_a_jobs_key_is_text_in_every_sink():
    report = summed(shard(EVIL, new=1, state=RunState.FAILURE), shard("b"), total=2)
    text = render_comment(report)
    assert "<b>" not in text and "@all" not in text and text.count("<!-- ci-bridge") == 1
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert "<b>@all" not in html_of(report)
    assert json_of(report)["shards"][0]["shard"] == EVIL


@pytest.mark.parametrize("limit", [65_536, 8_000, 3_000, 400])
def test_a_wide_matrix_fits_every_limit(limit: int):
    report = summed(*(shard(f"job {number:03} {'x' * 50}", new=number % 2) for number in range(256)), total=256)
    assert len(render_comment(report, limit=limit)) <= limit
