"""Reports: one :class:`ci_bridge.models.Report` goes in, many sinks come out. All escaping is in :mod:`.escape`."""

from __future__ import annotations

from ci_bridge.report.annotations import build_annotations
from ci_bridge.report.ctrf_report import write_ctrf
from ci_bridge.report.html_report import write_html
from ci_bridge.report.json_report import write_json
from ci_bridge.report.junit_report import write_junit
from ci_bridge.report.markdown import render_comment, render_markdown, render_summary
from ci_bridge.report.terminal import print_terminal
from ci_bridge.report.wording import headline, status_description

__all__ = [
    "build_annotations",
    "headline",
    "print_terminal",
    "render_comment",
    "render_markdown",
    "render_summary",
    "status_description",
    "write_ctrf",
    "write_html",
    "write_json",
    "write_junit",
]
