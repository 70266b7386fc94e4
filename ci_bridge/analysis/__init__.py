"""Pure functions that turn a run and what is known of earlier runs into verdicts and trends."""

from ci_bridge.analysis.classes import classify
from ci_bridge.analysis.flaky import Flakiness, rank_flaky
from ci_bridge.analysis.signature import signature_of
from ci_bridge.analysis.telling import telling_line
from ci_bridge.analysis.trend import ChangePoint, analyze_trend, change_points, scan, since
from ci_bridge.analysis.verdict import judge
from ci_bridge.analysis.view import HistoryView

__all__ = [
    "ChangePoint",
    "Flakiness",
    "HistoryView",
    "analyze_trend",
    "change_points",
    "classify",
    "judge",
    "rank_flaky",
    "scan",
    "signature_of",
    "since",
    "telling_line",
]
