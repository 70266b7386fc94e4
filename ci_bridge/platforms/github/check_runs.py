"""What a check run says of a test run.

Limits: GitHub's REST documentation "Create a check run". Conclusions: a neutral or skipped check satisfies a branch
protection rule, so a run without results is a failure.
"""

from __future__ import annotations

import re
from typing import Any

from ci_bridge.models import Annotation, BuildContext, RunState, TestRun
from ci_bridge.names import told_apart

MAX_TEXT = 65_535
MAX_TITLE = 255
BATCH = 50
"""Annotations that one request may carry; further requests add to them."""
MAX_ANNOTATIONS = 500

_CONCLUSIONS = {
    RunState.SUCCESS: "success",
    RunState.FAILURE: "failure",
    RunState.ERROR: "failure",
    RunState.NO_RESULTS: "failure",
}
_WORDS = {"cancelled": "cancelled", "aborted": "cancelled", "timeout": "timed_out"}
"""Final words of a caller that GitHub has a conclusion for."""


def facts_of(run: TestRun, context: BuildContext) -> dict[str, Any]:
    """The fields of a check run but ``head_sha``, as the API wants them."""
    title = _cut(line_of(run.title or run.name or "Tests"), MAX_TITLE)
    output = {"title": title, "summary": _cut(run.text.strip() or title, MAX_TEXT)}
    if run.page:
        output["text"] = _cut(run.page, MAX_TEXT)
    facts: dict[str, Any] = {
        "name": name_of(run),
        "external_id": run.id,
        "started_at": run.created_at,
        "status": "in_progress",
        "output": output,
    }
    if run.state is not RunState.PENDING:
        facts["status"] = "completed"
        facts["conclusion"] = _WORDS.get(run.status, _CONCLUSIONS[run.state])
        facts["completed_at"] = run.completed_at or run.created_at
    url = context.job_url or context.build_url
    if url and re.match(r"https?://", url):
        facts["details_url"] = url
    return facts


def name_of(run: TestRun) -> str:
    """The check's name, which tells it from the other checks of a commit."""
    return told_apart(line_of(run.name), MAX_TITLE) or "Tests"


def line_of(text: str) -> str:
    """One line of a name that a reader sees as it is: what is unseen or turns the text around is told by its number."""
    seen = (c if c.isprintable() or c.isspace() else f"\\u{ord(c):04x}" for c in text)
    return " ".join("".join(seen).split())


def annotation_of(annotation: Annotation) -> dict[str, Any]:
    """An annotation as the API wants it. Its level has the same names as ours."""
    line = max(1, annotation.line)
    facts: dict[str, Any] = {
        "path": annotation.file,
        "start_line": line,
        "end_line": line,
        "annotation_level": str(annotation.severity),
        # 64 KB is what may be sent, not what it may have in characters.
        "message": _cut(annotation.message, 60_000, size=True) or annotation.title or "failed",
    }
    if annotation.title:
        facts["title"] = _cut(annotation.title, MAX_TITLE)
    return facts


def _cut(text: str, limit: int, *, size: bool = False) -> str:
    """The text, cut to so many characters, or bytes of UTF-8."""
    if size and len(text.encode("utf-8", "replace")) > limit:
        return text.encode("utf-8", "replace")[: limit - 3].decode("utf-8", "ignore") + "…"
    return text if len(text) <= limit else text[: limit - 1] + "…"
