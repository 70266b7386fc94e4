"""CTRF (https://ctrf.io), streamed. Fields as in the schema of its specification, version 0.0.0 of the format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring
from typing import Any, TextIO

from ci_bridge._version import __version__
from ci_bridge.models import Attempt, Case, Report, Row, case_of_row
from ci_bridge.report.escape import without_credentials, without_surrogates
from ci_bridge.report.rows import filled, names_are_plain, plain_value, write_items

SPEC_VERSION = "0.0.0"
_STATUS = {"passed": "passed", "failed": "failed", "error": "failed", "skipped": "skipped"}
_UNNAMED = "(unnamed)"


def write_ctrf(report: Report, stream: TextIO) -> None:
    """Write the run as one CTRF document; the cases stream, one a line.

    An error is CTRF's ``failed`` with ``rawStatus`` ``error``. Durations are whole milliseconds.

    Args:
        report: The run. Memory does not grow with the number of passed cases.
        stream: UTF-8 text.
    """
    stream.write(without_surrogates(_head(report)))
    stream.write(',"tests":[')
    write_items(stream, _tests(report))
    stream.write(f'\n],"environment":{without_surrogates(_dumps(_environment(report)))}}}}}\n')


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _head(report: Report) -> str:
    totals = report.results.totals
    start = report.run.created_at
    stop = report.run.completed_at or start + timedelta(seconds=totals.duration)
    summary = {
        "tests": totals.total,
        "passed": totals.passed,
        "failed": totals.red,
        "skipped": totals.skipped,
        "pending": 0,
        "other": 0,
        "flaky": totals.flaky,
        "start": _epoch(start),
        "stop": max(_epoch(start), _epoch(stop)),
        "duration": _milliseconds(totals.duration),
    }
    head = _dumps(
        {
            "reportFormat": "CTRF",
            "specVersion": SPEC_VERSION,
            "timestamp": start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generatedBy": f"ci-bridge {__version__}",
            "results": {"tool": {"name": "ci-bridge", "version": __version__}, "summary": summary},
        }
    )
    return head.removesuffix("}}")


def _epoch(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000) if 0 <= seconds < 1e12 else 0


def _tests(report: Report) -> Iterator[str]:
    last: tuple[Any, ...] = ()
    suffix = ""
    for batch in report.results.rows():
        if not batch:
            continue
        plain = names_are_plain(batch, '"\\')
        out: list[str] = []
        for row in batch:
            suite, classname, file, name, line, outcome, duration, extra = row
            if extra is not None or outcome != "passed" or line or not name or not 0 <= duration < 1e12:
                out.append(_dumps(_test(row)))
                continue
            if last != (suite, classname, file):
                last = (suite, classname, file)
                suffix = _dumps(_place(suite, classname, file))[1:]
                suffix = f",{suffix}" if suffix != "}" else suffix
            quoted = f'"{name}"' if plain else encode_basestring(name)
            out.append(f'{{"name":{quoted},"status":"passed","duration":{round(duration * 1000)}{suffix}')
        yield ",\n".join(out)


def _place(suite: tuple[str, ...], classname: str, file: str) -> dict[str, Any]:
    return filled(suite=list(suite), filePath=file, extra=filled(classname=classname))


def _test(row: Row) -> dict[str, Any]:
    case = case_of_row(row)
    attempts: list[Attempt | Case] = [*case.attempts, case] if case.attempts else []
    return {
        "name": case.name or _UNNAMED,
        "status": _STATUS[case.outcome],
        "duration": _milliseconds(case.duration),
        "rawStatus": case.outcome,
        **filled(line=case.line),
        **_place(case.suite, case.classname, case.file)
        | filled(extra=filled(classname=case.classname, type=case.type)),
        **_texts(case),
        **(
            {
                "retries": len(case.attempts),
                "flaky": case.is_flaky,
                "retryAttempts": [_attempt(number, attempt) for number, attempt in enumerate(attempts, 1)],
            }
            if attempts
            else {}
        ),
    }


def _attempt(number: int, attempt: Attempt | Case) -> dict[str, Any]:
    return {
        "attempt": number,
        "status": _STATUS[attempt.outcome],
        "duration": _milliseconds(attempt.duration),
        **_texts(attempt),
        "extra": filled(rawStatus=str(attempt.outcome), type=attempt.type),
    }


def _texts(of: Attempt | Case) -> dict[str, Any]:
    return filled(
        message=of.message,
        trace=of.details,
        stdout=of.output.splitlines(),
        stderr=of.error_output.splitlines(),
    )


def _environment(report: Report) -> dict[str, Any]:
    context = report.context
    return filled(
        reportName=report.title,
        buildId=context.build_id,
        buildName=context.pipeline_name or context.job_name,
        buildUrl=without_credentials(context.build_url or ""),
        repositoryName=context.repository,
        repositoryUrl=without_credentials(context.repository_url or ""),
        commit=context.status_sha,
        branchName=context.branch,
        extra=plain_value(report.system_info),
    )
