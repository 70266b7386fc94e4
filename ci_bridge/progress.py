"""What a run's status and counts amount to while it lasts, and what a status update says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ci_bridge.arguments import outcome_counts
from ci_bridge.models import RunState, TestRun


def state_of(status: str, summary: Mapping[str, Any], *, final: bool) -> RunState:
    """The state that a run's status and counts amount to."""
    if not final:
        return RunState.PENDING
    if status == "failed" or status == "failure":
        return RunState.FAILURE
    counts = outcome_counts(summary)
    if status not in ("completed", "success") or counts["error"]:
        return RunState.ERROR
    return RunState.FAILURE if counts["failed"] else RunState.SUCCESS


def progress_text(run: TestRun, form: str) -> str:
    """What a status update says: a first line for ``minimal``, with counts for ``basic``, and more for ``detailed``."""
    counts = outcome_counts(run.summary)
    total = run.summary.get("total_tasks", sum(counts.values()))
    done = sum(counts.values())
    lines = [f"{run.name}: {run.status}"]
    if form != "minimal" and done:
        parts = [f"{number} {outcome}" for outcome, number in counts.items() if number]
        lines[0] += f" - {done} of {total}: {', '.join(parts)}"
    if form == "detailed":
        if run.summary.get("duration") is not None:
            lines.append(f"Duration: {float(run.summary['duration']):.1f} s")
        lines += [f"{key}: {value}" for key, value in run.system_info.items()]
    return "\n".join(lines)
