"""Our own JSON and CTRF: valid, whole, streamed."""

from __future__ import annotations

import io
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import strategies as st

from ci_bridge.models import (
    Attempt,
    BuildContext,
    Case,
    Judgement,
    Metric,
    Outcome,
    Report,
    RunState,
    identity_of,
)
from ci_bridge.report import write_ctrf, write_json
from ci_bridge.report.json_report import SCHEMA
from ci_bridge.report.templates import schema_path
from tests.report.builders import (
    MOMENT,
    ManyResults,
    MemoryResults,
    failed,
    flaky,
    judged,
    passed,
    report_of,
    rich_report,
    skipped,
)
from tests.report.test_escape import NASTY, given


def json_of(report: Report) -> Any:
    stream = io.StringIO()
    write_json(report, stream)
    stream.getvalue().encode()
    return json.loads(stream.getvalue())


def ctrf_of(report: Report) -> Any:
    stream = io.StringIO()
    write_ctrf(report, stream)
    stream.getvalue().encode()
    return json.loads(stream.getvalue())


VALIDATOR = jsonschema.Draft202012Validator(
    json.loads(schema_path().read_text(encoding="utf-8")), format_checker=jsonschema.FormatChecker()
)


def check_schema(document: Any) -> None:
    VALIDATOR.validate(document)


def test_the_document_keeps_its_published_schema() -> None:
    VALIDATOR.check_schema(VALIDATOR.schema)
    document = json_of(rich_report())
    check_schema(document)
    assert document["schema"] == SCHEMA == f"ci-bridge/report/{schema_path().name.split('.')[0].rsplit('-', 1)[1]}"


@pytest.mark.parametrize("state", list(RunState))
def test_a_run_without_cases_keeps_the_schema(state: RunState) -> None:
    document = json_of(report_of([], state=state))
    check_schema(document)
    assert document["tests"] == []
    assert document["state"] == state


def test_the_schema_refuses_what_it_does_not_describe() -> None:
    document = json_of(rich_report())
    document["tests"][0]["outcome"] = "great"
    with pytest.raises(jsonschema.ValidationError):
        check_schema(document)


def test_every_case_is_there_with_what_is_known_of_it() -> None:
    document = json_of(rich_report())
    tests = {test["name"]: test for test in document["tests"]}
    assert len(document["tests"]) == len(tests) == document["totals"]["total"] == 24
    assert tests["test_ok_0"] == {
        "suite": [],
        "classname": "tests.test_shop",
        "file": "",
        "name": "test_ok_0",
        "outcome": "passed",
        "duration": 0.25,
    }
    assert tests["test_ok_1"]["verdict"] == "fixed"
    assert tests["test_total"]["verdict"] == "new"
    assert tests["test_total"]["category"] == "assertion"
    assert tests["test_total"]["line"] == 12
    assert tests["test_total"]["evidence"] == {"text": "first seen in this pull request", "spark": "PPPPF"}
    assert tests["test_reconnect"]["attempts"] == [
        {
            "outcome": "failed",
            "duration": 0.75,
            "type": "TimeoutError",
            "message": "no answer in 5 s",
            "details": "trace of the first attempt",
            "output": "sent\n",
        }
    ]
    assert document["baseline"]["totals"]["total"] == 21
    assert document["files"][1]["state"] == "recovered"
    assert document["system_info"] == {"python": "3.12.1", "platform": "Linux-6.1-x86_64"}
    assert document["verdicts"] == {"new": 1, "known": 1, "flaky": 1, "fixed": 1, "unjudged": 0}


def test_urls_lose_their_credentials() -> None:
    secret = "hunter" + "2"
    context = BuildContext("local", repository_url=f"https://bot:{secret}@git.test/a.git")
    report = report_of([passed()], context=context, links={"report": f"https://u:{secret}@x.test/"})
    assert secret not in json.dumps(json_of(report))
    assert secret not in json.dumps(ctrf_of(report))


def test_values_that_json_does_not_know_become_null_or_text() -> None:
    report = report_of(
        [passed()],
        metrics=(Metric("m", float("nan"), recorded_at=MOMENT),),
        system_info={"load": float("inf"), "when": MOMENT, "list": (1, {2: object})},
    )
    document = json_of(report)
    check_schema(document)
    assert document["metrics"][0]["value"] is None
    assert document["system_info"]["load"] is None
    assert document["system_info"]["when"] == str(MOMENT)


def test_a_duration_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        json_of(report_of([passed(duration=float("nan"))]))


NAMES = st.text(st.characters(codec=None, exclude_characters="\x1e\x1f"), max_size=20)
CASES = st.builds(
    Case,
    name=NAMES,
    classname=NAMES,
    suite=st.lists(NAMES.filter(bool), max_size=2).map(tuple),
    file=NAMES,
    line=st.none() | st.integers(1, 9999),
    outcome=st.sampled_from(Outcome),
    duration=st.floats(0, 1e7, allow_nan=False),
    message=NASTY,
    details=NASTY,
    output=NASTY,
    attempts=st.lists(st.builds(Attempt, st.sampled_from(Outcome), st.floats(0, 9), message=NASTY), max_size=2).map(
        tuple
    ),
)


def as_utf8(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


@given(st.lists(CASES, max_size=6))
def test_json_gives_back_the_cases_it_was_given(cases: list[Case]) -> None:
    document = json_of(report_of(MemoryResults(cases, batch=2)))
    check_schema(document)
    for test, case in zip(document["tests"], cases, strict=True):
        assert test["name"] == as_utf8(case.name)
        assert test["suite"] == [as_utf8(part) for part in case.suite]
        assert (test["classname"], test["file"]) == (as_utf8(case.classname), as_utf8(case.file))
        assert test["outcome"] == case.outcome
        assert test["duration"] == case.duration
        if case.outcome is not Outcome.PASSED or case.attempts:
            assert test.get("details", "") == as_utf8(case.details)
            assert len(test.get("attempts", [])) == len(case.attempts)


# CTRF: what its specification (https://ctrf.io, schema 0.0.0) asks of a document, in our own words.
INTEGER: dict[str, Any] = {"type": "integer"}
TEXT: dict[str, Any] = {"type": "string"}
LINES = {"type": "array", "items": TEXT}
STATUS = {"enum": ["passed", "failed", "skipped", "pending", "other"]}
CTRF = {
    "type": "object",
    "required": ["results", "reportFormat", "specVersion"],
    "additionalProperties": False,
    "properties": {
        "reportFormat": {"const": "CTRF"},
        "specVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "timestamp": {"type": "string", "format": "date-time"},
        "generatedBy": TEXT,
        "results": {
            "type": "object",
            "required": ["tool", "summary", "tests"],
            "additionalProperties": False,
            "properties": {
                "tool": {
                    "type": "object",
                    "required": ["name"],
                    "additionalProperties": False,
                    "properties": {"name": {"type": "string", "minLength": 1}, "version": TEXT},
                },
                "summary": {
                    "type": "object",
                    "required": ["tests", "passed", "failed", "skipped", "pending", "other", "start", "stop"],
                    "additionalProperties": INTEGER,
                },
                "tests": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "status", "duration"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string", "minLength": 1},
                            "status": STATUS,
                            "duration": INTEGER,
                            "suite": {"type": "array", "minItems": 1, "items": TEXT},
                            "message": TEXT,
                            "trace": TEXT,
                            "line": INTEGER,
                            "rawStatus": TEXT,
                            "filePath": TEXT,
                            "retries": INTEGER,
                            "flaky": {"type": "boolean"},
                            "stdout": LINES,
                            "stderr": LINES,
                            "extra": {"type": "object"},
                            "retryAttempts": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "required": ["attempt", "status"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "attempt": {"type": "integer", "minimum": 1},
                                        "status": STATUS,
                                        "duration": INTEGER,
                                        "message": TEXT,
                                        "trace": TEXT,
                                        "stdout": LINES,
                                        "stderr": LINES,
                                        "extra": {"type": "object"},
                                    },
                                },
                            },
                        },
                    },
                },
                "environment": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        **dict.fromkeys(
                            (
                                *("reportName", "buildId", "buildName", "buildUrl", "repositoryName"),
                                *("repositoryUrl", "commit", "branchName"),
                            ),
                            TEXT,
                        ),
                        "extra": {"type": "object"},
                    },
                },
            },
        },
    },
}


def check_ctrf(document: Any) -> None:
    jsonschema.Draft202012Validator(CTRF, format_checker=jsonschema.FormatChecker()).validate(document)


def test_ctrf_holds_every_case_and_adds_up() -> None:
    document = ctrf_of(rich_report())
    check_ctrf(document)
    summary, tests = document["results"]["summary"], document["results"]["tests"]
    assert (
        summary["tests"]
        == len(tests)
        == sum(summary[key] for key in ("passed", "failed", "skipped", "pending", "other"))
    )
    assert summary["failed"] == 2
    assert summary["flaky"] == 1
    assert summary["start"] <= summary["stop"]
    assert tests[0] == {
        "name": "test_ok_0",
        "status": "passed",
        "duration": 250,
        "extra": {"classname": "tests.test_shop"},
    }


def test_ctrf_tells_retries_and_errors() -> None:
    broken = failed("broken", outcome=Outcome.ERROR, suite=("api", "cart"), output="a\nb\n")
    tests = ctrf_of(report_of([flaky(), broken, skipped(), Case("")]))["results"]["tests"]
    assert tests[0]["flaky"] is True
    assert tests[0]["retries"] == 1
    assert [attempt["status"] for attempt in tests[0]["retryAttempts"]] == ["failed", "passed"]
    assert (tests[1]["status"], tests[1]["rawStatus"]) == ("failed", "error")
    assert tests[1]["suite"] == ["api", "cart"]
    assert tests[1]["stdout"] == ["a", "b"]
    assert tests[1]["line"] == 12
    assert tests[2]["message"] == "not here"
    assert tests[3]["name"] == "(unnamed)"


@given(st.lists(CASES, max_size=5))
def test_ctrf_of_any_cases_is_valid(cases: list[Case]) -> None:
    check_ctrf(ctrf_of(report_of(MemoryResults(cases, batch=2))))


def test_documents_stream_in_pieces_that_stay_small() -> None:
    class Watching(io.StringIO):
        longest = 0

        def write(self, text: str, /) -> int:
            self.longest = max(self.longest, len(text))
            return len(text)

    for write in (write_json, write_ctrf):
        stream = Watching()
        write(report_of(ManyResults(50_000)), stream)
        assert stream.longest < 500_000


def test_a_verdict_goes_to_the_case_it_belongs_to_and_not_to_its_namesake() -> None:
    one, other = failed("same", suite=("a",)), failed("same", suite=("b",))
    same_ok = passed("ok", suite=("a",)), passed("ok", suite=("b",))
    judgement = Judgement((judged(one), judged(other)), fixed=(identity_of(("b",), "tests.test_shop", "", "ok"),))
    tests = json_of(report_of([one, other, *same_ok], judgement=judgement))["tests"]
    assert [test.get("verdict") for test in tests] == ["new", "new", None, "fixed"]
