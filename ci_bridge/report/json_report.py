"""Our own JSON, streamed. Its schema is published: docs/schemas/report-1.schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, TextIO

from ci_bridge._version import __version__
from ci_bridge.models import (
    SEPARATOR,
    Attempt,
    Baseline,
    Case,
    FailureGroup,
    JudgedCase,
    Report,
    Row,
    ShardResult,
    SlowerCase,
    Totals,
    case_of_row,
)
from ci_bridge.report.escape import without_credentials, without_surrogates
from ci_bridge.report.rows import Verdicts, filled, names_are_plain, plain_value, write_items
from ci_bridge.report.wording import headline, verdict_counts

SCHEMA = "ci-bridge/report/1"
"""Name and version of the schema; the number changes when a reader of the old one would go wrong."""


def write_json(report: Report, stream: TextIO) -> None:
    """Write the whole run as one JSON document; the cases stream, one a line.

    Args:
        report: The run. Its memory does not grow with the number of passed cases.
        stream: UTF-8 text.

    Raises:
        ValueError: If a duration is not finite; JSON has no word for it.
    """
    head = json.dumps(_head(report), ensure_ascii=False, allow_nan=False, indent=1)
    stream.write(without_surrogates(head.removesuffix("\n}")))
    stream.write(',\n "tests": [')
    write_items(stream, _tests(report))
    stream.write("\n ]\n}\n")


def _tests(report: Report) -> Iterator[str]:
    """Batches of cases as JSON, without brackets."""
    verdicts = Verdicts(report)
    fixed_names = verdicts.fixed_names
    # A passed case is put together from its quoted parts: the encoder would need a dict a case, three times as slow.
    last: tuple[Any, ...] = ()
    prefix = ""
    for batch in report.results.rows():
        if not batch:
            continue
        plain = names_are_plain(batch, '"\\')
        out: list[str] = []
        for row in batch:
            suite, classname, file, name, line, outcome, duration, extra = row
            if extra is not None or outcome != "passed" or name in fixed_names or not 0 <= duration < 1e15:
                out.append(json.dumps(_test(row, verdicts), ensure_ascii=False, allow_nan=False, separators=(",", ":")))
                continue
            if last != (suite, classname, file):
                last = (suite, classname, file)
                suites = ",".join(map(encode_basestring, suite))
                prefix = (
                    f'{{"suite":[{suites}],"classname":{encode_basestring(classname)},'
                    f'"file":{encode_basestring(file)},"name":'
                )
            quoted = f'"{name}"' if plain else encode_basestring(name)
            position = f'"line":{line},' if line else ""
            out.append(f'{prefix}{quoted},{position}"outcome":"passed","duration":{duration!r}}}')
        yield ",\n".join(out)


def _test(row: Row, verdicts: Verdicts) -> dict[str, Any]:
    case = case_of_row(row)
    judged = verdicts.of(row)
    return {
        "suite": case.suite,
        "classname": case.classname,
        "file": case.file,
        "name": case.name,
        **filled(line=case.line),
        "outcome": case.outcome,
        "duration": case.duration,
        **_texts(case),
        **filled(attempts=[_attempt(attempt) for attempt in case.attempts], verdict=verdicts.name_of(row)),
        **(_judgement(judged) if judged else {}),
    }


def _texts(of: Case | Attempt) -> dict[str, Any]:
    return filled(type=of.type, message=of.message, details=of.details, output=of.output, error_output=of.error_output)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {"outcome": attempt.outcome, "duration": attempt.duration, **_texts(attempt)}


def _judgement(judged: JudgedCase) -> dict[str, Any]:
    evidence = judged.evidence
    return filled(
        category=judged.category,
        signature=judged.signature,
        evidence=filled(
            text=evidence.text,
            runs=evidence.runs or None,
            failures=evidence.failures or None,
            flips=evidence.flips or None,
            mixed_commits=evidence.mixed_commits or None,
            baseline_sha=evidence.baseline_sha,
            first_seen=_time(evidence.first_seen),
            log_bayes_factor=plain_value(evidence.log_bayes_factor or None),
            spark=evidence.spark,
        ),
    )


def _head(report: Report) -> dict[str, Any]:
    run, judgement, results = report.run, report.judgement, report.results
    return {
        "schema": SCHEMA,
        "generator": {"name": "ci-bridge", "version": __version__},
        "title": report.title,
        "shard": report.shard,
        "state": report.state,
        "headline": headline(report),
        "run": {
            "id": run.id,
            "name": run.name,
            "status": run.status,
            "created_at": _time(run.created_at),
            "completed_at": _time(run.completed_at),
            "url": _clean(run.url),
            "metadata": plain_value(run.metadata),
        },
        "context": {key: _clean(value) for key, value in report.context.values().items()},
        "totals": _totals(results.totals),
        **filled(shards=[_shard(shard) for shard in report.shards], shard_total=report.shard_total),
        "baseline": _baseline(judgement.baseline) if judgement.baseline else None,
        "verdicts": {str(verdict): number for verdict, number in verdict_counts(report).items()},
        "fixed": [_identity(identity) for identity in judgement.fixed],
        "slower": [_slower(slower) for slower in judgement.slower],
        "groups": [_group(group) for group in judgement.groups],
        "files": [
            {
                "path": file.path,
                "format": file.format,
                "state": file.state,
                "cases": file.cases,
                **filled(note=file.note),
            }
            for file in results.files
        ],
        "notes": list(results.notes),
        "dropped": results.dropped,
        "system_info": plain_value(report.system_info),
        "metrics": [
            {
                "name": metric.name,
                "value": plain_value(metric.value),
                "unit": metric.unit,
                "recorded_at": _time(metric.recorded_at),
                **filled(task_id=metric.task_id),
            }
            for metric in report.metrics
        ],
        "links": {key: _clean(value) for key, value in report.links.items()},
    }


def _clean(value: Any) -> Any:
    return without_credentials(value) if isinstance(value, str) else value


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _totals(totals: Totals) -> dict[str, Any]:
    return {"total": totals.total, **asdict(totals)}


def _shard(shard: ShardResult) -> dict[str, Any]:
    return {
        "shard": shard.shard,
        "state": shard.state,
        "totals": _totals(shard.totals),
        "verdicts": {
            "new": shard.new,
            "known": shard.known,
            "flaky": shard.flaky_failed + shard.flaky_passed,
            "fixed": shard.fixed,
            "unjudged": shard.unjudged,
        },
    }


def _baseline(baseline: Baseline) -> dict[str, Any]:
    return {
        "run_id": baseline.run_id,
        "branch": baseline.branch,
        "commit_sha": baseline.commit_sha,
        "created_at": _time(baseline.created_at),
        "totals": _totals(baseline.totals),
    }


def _identity(identity: str) -> Mapping[str, Any]:
    suite, classname, file, name = identity.split(SEPARATOR, 3)
    return {"suite": suite.split(chr(30)) if suite else [], "classname": classname, "file": file, "name": name}


def _slower(slower: SlowerCase) -> dict[str, Any]:
    return {**_identity(slower.identity), "before": slower.before, "now": slower.now, "runs": slower.runs}


def _group(group: FailureGroup) -> dict[str, Any]:
    return {
        "signature": group.signature,
        "category": group.category,
        "members": [_identity(identity) for identity in group.members],
        **filled(first_seen=_time(group.first_seen), seen_runs=group.seen_runs or None),
    }
