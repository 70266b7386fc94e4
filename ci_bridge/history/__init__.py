"""The memory of a project: earlier runs, what became of each test in them, and performance numbers."""

from ci_bridge.history.recording import RunRecord
from ci_bridge.history.store import CheckReport, History
from ci_bridge.history.view import View

__all__ = ["CheckReport", "History", "RunRecord", "View"]
