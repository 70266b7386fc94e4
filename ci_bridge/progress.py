"""What a run's status and counts amount to while it lasts, and what a status update says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ci_bridge.arguments import outcome_counts
from ci_bridge.models import RunState, TestRun
from ci_bridge.report.wording import duration_text


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
    done = sum(counts.values())
    total = run.summary.get("total_tasks")
    is_running = run.state is RunState.PENDING
    duration = run.summary.get("duration")
    lines = [f"{run.name}: {run.status}"]
    if form != "minimal" and is_running and duration:
        lines[0] += f" for {duration_text(float(duration))}"
    if form != "minimal" and done:
        parts = [f"{number} {outcome}" for outcome, number in counts.items() if number]
        share = f"{done} so far" if is_running and total is None else f"{done} of {done if total is None else total}"
        lines[0] += f" - {share}: {', '.join(parts)}"
    if form == "detailed":
        if duration is not None and not is_running:
            lines.append(f"Duration: {float(duration):.1f} s")
        lines += [f"{key}: {value}" for key, value in run.system_info.items()]
    return "\n".join(lines)
