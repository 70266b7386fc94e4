"""A job's part of a merged report on its way through a store: made of a report, written as plain data, read as hostile.

Other jobs of the same build wrote it, perhaps with another version, perhaps from a fork: every value is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from ci_bridge.errors import ResultsError
from ci_bridge.formats.plugin import MAX_SECONDS, clean_name, clean_text
from ci_bridge.merging import Leg
from ci_bridge.models import (
    SEPARATOR,
    Baseline,
    Case,
    Evidence,
    FileState,
    InputFile,
    JudgedCase,
    Outcome,
    Report,
    RunState,
    ShardResult,
    SlowerCase,
    Totals,
    Verdict,
    identity_of,
)
from ci_bridge.report.sections import reason_of
from ci_bridge.report.wording import all_judged, tally

VERSION = 1
MOST_BYTES = 256 << 10
"""Of one leg as JSON: names and texts of judged cases stop there, the numbers go on counting."""

_MOST_JUDGED = 500
_MOST_NAMES = 200
_MOST_FILES = 50
_DETAILS = 3_000
_LARGEST_COUNT = 1 << 40

_T = TypeVar("_T")


def leg_of(report: Report, *, shard_total: int | None = None) -> Leg:
    """The part of a single job's report that its siblings need."""
    results, judgement = report.results, report.judgement
    counts = tally(report)
    baseline = judgement.baseline
    return Leg(
        result=ShardResult(
            shard=report.shard,
            state=report.state,
            totals=results.totals,
            before=baseline.totals if baseline else None,
            new=counts.new,
            known=counts.known,
            unjudged=counts.unjudged,
            flaky_failed=counts.flaky_failed,
            flaky_passed=counts.flaky_passed,
            fixed=counts.fixed,
        ),
        uid=report.run.id,
        attempt=attempt_of(report.context.attempt),
        shard_total=shard_total,
        judged=tuple(map(_shortened, all_judged(report)[:_MOST_JUDGED])),
        fixed=tuple(judgement.fixed[:_MOST_NAMES]),
        slower=tuple(judgement.slower[:_MOST_NAMES]),
        slowest=tuple(results.slowest[:_MOST_NAMES]),
        # Those that were lost come first: they decide the state.
        files=most_telling(results.files),
        notes=tuple([*filter(None, [report.problem]), *results.notes][:_MOST_FILES]),
        dropped=results.dropped,
        baseline=baseline,
    )


def most_telling(files: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """The files with problems or remarks, within bounds; those that were lost first, since they decide the state."""
    odd = [file for file in files if file.state is not FileState.READ or file.note]
    return tuple(sorted(odd, key=lambda file: not (file.state is FileState.UNREADABLE or file.incomplete)))[
        :_MOST_FILES
    ]


def attempt_of(text: str | None) -> int:
    """The number of a re-run, 1 where the platform tells none."""
    return int(text) if text and text.isascii() and text.isdigit() and 0 < len(text) < 10 else 1


def _shortened(judged: JudgedCase) -> JudgedCase:
    """What a comment shows of a case: one reason, one text, no captured output beside it."""
    case = judged.case
    message, details = reason_of(case)
    short = Case(
        name=case.name, classname=case.classname, suite=case.suite, file=case.file, line=case.line,
        outcome=case.outcome, duration=case.duration, message=message, details=clean_text(details, _DETAILS),
    )  # fmt: skip
    return replace(judged, case=short)


# ---- writing


def leg_to_json(leg: Leg) -> dict[str, Any]:
    """The leg as plain JSON data of at most about :data:`MOST_BYTES`; additive, for readers of other versions."""
    data: dict[str, Any] = {
        "version": VERSION,
        "shard": leg.shard,
        "shard_total": leg.shard_total,
        "state": str(leg.result.state),
        "uid": leg.uid,
        "attempt": leg.attempt,
        "totals": _totals_to_json(leg.result.totals),
        "verdicts": {key: getattr(leg.result, key) for key in _COUNTS},
        "dropped": leg.dropped,
        "baseline": _baseline_to_json(leg.baseline) if leg.baseline else None,
        "files": files_to_json(leg.files),
        "notes": list(leg.notes),
    }
    left = MOST_BYTES - len(json.dumps(data))
    for key, items in (
        ("judged", map(_judged_to_json, leg.judged)),
        ("fixed", map(_names, leg.fixed)),
        ("slower", ([_names(slow.identity), slow.before, slow.now, slow.runs] for slow in leg.slower)),
        ("slowest", ([_names(identity), seconds] for identity, seconds in leg.slowest)),
    ):
        data[key] = kept = []
        for item in items:
            left -= len(json.dumps(item)) + 1
            if left < 0:
                break
            kept.append(item)
    return data


def files_to_json(files: Iterable[InputFile]) -> list[list[Any]]:
    """Input files as plain JSON data."""
    return [[file.path, file.format, str(file.state), file.cases, file.note, file.incomplete] for file in files]


_COUNTS = ("new", "known", "unjudged", "flaky_failed", "flaky_passed", "fixed")
_TOTALS = ("passed", "failed", "error", "skipped", "flaky")


def _names(identity: str) -> list[str]:
    return identity.split(SEPARATOR, 3)


def _totals_to_json(totals: Totals) -> list[float]:
    return [*(getattr(totals, key) for key in _TOTALS), totals.duration]


def _baseline_to_json(baseline: Baseline) -> list[Any]:
    return [
        baseline.run_id, baseline.branch, baseline.commit_sha, baseline.created_at.timestamp(),
        _totals_to_json(baseline.totals),
    ]  # fmt: skip


def _judged_to_json(judged: JudgedCase) -> dict[str, Any]:
    case, evidence = judged.case, judged.evidence
    return {
        "test": _names(case.identity),
        "line": case.line,
        "outcome": str(case.outcome),
        "seconds": case.duration,
        "message": case.message,
        "details": case.details,
        "verdict": str(judged.verdict),
        "evidence": evidence.text,
        "spark": evidence.spark,
        "category": judged.category,
    }


# ---- reading


def leg_of_json(data: object) -> Leg:
    """Read what :func:`leg_to_json` wrote, or what somebody else put in its place.

    Raises:
        ResultsError: It is of a newer version, or no leg; what a reader needs is wrong or missing.
    """
    try:
        return _read(data)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise ResultsError(f"not a readable part of a build: {type(error).__name__}: {error}") from error


def files_of_json(data: object) -> tuple[InputFile, ...]:
    """Read what :func:`files_to_json` wrote.

    Raises:
        TypeError, ValueError: It is something else.
    """
    return tuple(_each(data, _file, _MOST_FILES))


def count_of_json(value: object) -> int:
    """A number of things.

    Raises:
        ValueError: It is none, negative or absurd.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_COUNT:
        raise ValueError("not a count")
    return value


def texts_of_json(data: object) -> tuple[str, ...]:
    """A list of remarks, cut and cleaned.

    Raises:
        TypeError: It is something else.
    """
    return tuple(_each(data, lambda text: _text(text, 500), _MOST_FILES))


def _read(data: object) -> Leg:
    if not isinstance(data, Mapping) or data.get("version") != VERSION:
        raise ValueError("another version")
    totals = _totals(data["totals"])
    verdicts = data["verdicts"]
    counts = {key: count_of_json(verdicts[key]) for key in _COUNTS}
    if counts["new"] + counts["known"] + counts["unjudged"] + counts["flaky_failed"] != totals.red:
        raise ValueError("the verdicts do not add up to the failures")
    baseline = _baseline(data["baseline"]) if data.get("baseline") is not None else None
    state = RunState(data["state"])
    files = files_of_json(data.get("files"))
    dropped = count_of_json(data.get("dropped", 0))
    if state is RunState.SUCCESS and (dropped or any(f.state is FileState.UNREADABLE or f.incomplete for f in files)):
        raise ValueError("green in spite of lost input")
    return Leg(
        result=ShardResult(_name(data["shard"]), state, totals, before=baseline.totals if baseline else None, **counts),
        uid=_name(data["uid"]),
        attempt=min(max(1, count_of_json(data["attempt"])), 10**9),
        shard_total=min(count_of_json(data["shard_total"]), 100_000) or None
        if data.get("shard_total") is not None
        else None,
        judged=tuple(_each(data.get("judged"), _judged, _MOST_JUDGED)),
        fixed=tuple(_each(data.get("fixed"), _identity, _MOST_NAMES)),
        slower=tuple(_each(data.get("slower"), _slower, _MOST_NAMES)),
        slowest=tuple(_each(data.get("slowest"), lambda item: (_identity(item[0]), _seconds(item[1])), _MOST_NAMES)),
        files=files,
        notes=texts_of_json(data.get("notes")),
        dropped=dropped,
        baseline=baseline,
    )


def _each(items: object, read: Callable[[Any], _T], limit: int) -> Iterable[_T]:
    if items is None:
        return []
    if not isinstance(items, list):
        raise TypeError("not a list")
    return map(read, items[:limit])


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError("not a duration")
    return min(float(value), MAX_SECONDS)


def _moment(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 36:
        raise ValueError("not a moment")
    return datetime.fromtimestamp(value, UTC)


def _text(value: object, limit: int) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return clean_text(value, limit)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a name")
    return clean_name(value)


def _identity(parts: object) -> str:
    if not isinstance(parts, list) or len(parts) != 4:
        raise TypeError("not a test's name")
    suite = parts[0] if isinstance(parts[0], str) else _name(parts[0])
    return identity_of([_name(part) for part in suite.split(chr(30))] if suite else [], *map(_name, parts[1:]))


def _totals(values: list[Any]) -> Totals:
    counts = {key: count_of_json(value) for key, value in zip(_TOTALS, values, strict=False)}
    totals = Totals(**counts, duration=_seconds(values[5]))
    if totals.flaky > totals.passed:
        raise ValueError("more flaky cases than passed ones")
    return totals


def _baseline(values: list[Any]) -> Baseline:
    run_id, branch, commit, moment, totals = values
    return Baseline(
        _name(run_id), _name(branch) if branch is not None else None, _name(commit) if commit is not None else None,
        _moment(moment), _totals(totals),
    )  # fmt: skip


def _file(values: list[Any]) -> InputFile:
    path, format_name, state, cases, note, incomplete = values
    return InputFile(
        _name(path),
        _name(format_name),
        FileState(state),
        count_of_json(cases),
        _text(note, 500),
        incomplete=incomplete is True,
    )


def _slower(values: list[Any]) -> SlowerCase:
    return SlowerCase(_identity(values[0]), _seconds(values[1]), _seconds(values[2]), count_of_json(values[3]))


def _judged(data: Mapping[str, Any]) -> JudgedCase:
    suite, classname, file, name = _identity(data["test"]).split(SEPARATOR, 3)
    case = Case(
        name=name, classname=classname, suite=tuple(suite.split(chr(30))) if suite else (), file=file,
        line=count_of_json(data["line"]) if data.get("line") is not None else None, outcome=Outcome(data["outcome"]),
        duration=_seconds(data["seconds"]), message=_text(data["message"], 500),
        details=_text(data["details"], _DETAILS),
    )  # fmt: skip
    evidence = Evidence(text=_text(data["evidence"], 500), spark=_text(data["spark"], 100))
    return JudgedCase(case, Verdict(data["verdict"]), evidence, _name(data["category"]))
