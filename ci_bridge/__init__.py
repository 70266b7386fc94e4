"""ci-bridge: brings test results home to whichever CI system runs the job.

The public API. Names are loaded when first used, so that ``import ci_bridge`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci_bridge._version import __version__

if TYPE_CHECKING:
    from ci_bridge.client import Client, open_client
    from ci_bridge.config import Settings
    from ci_bridge.errors import (
        AuthenticationError,
        CIBridgeError,
        ConfigError,
        HistoryError,
        MissingDependencyError,
        NotFoundError,
        PermissionDeniedError,
        PlatformError,
        PlatformNotFoundError,
        RateLimitedError,
        ResultsError,
        TransientError,
    )
    from ci_bridge.models import BuildContext, Case, Outcome, Receipt, Report, RunState, TestRun, Verdict
    from ci_bridge.platforms import read_environment
    from ci_bridge.reporting import ReportOutcome

__all__ = [
    "AuthenticationError",
    "BuildContext",
    "CIBridgeError",
    "Case",
    "Client",
    "ConfigError",
    "HistoryError",
    "MissingDependencyError",
    "NotFoundError",
    "Outcome",
    "PermissionDeniedError",
    "PlatformError",
    "PlatformNotFoundError",
    "RateLimitedError",
    "Receipt",
    "Report",
    "ReportOutcome",
    "ResultsError",
    "RunState",
    "Settings",
    "TestRun",
    "TransientError",
    "Verdict",
    "__version__",
    "open_client",
    "read_environment",
]

_HOME = {
    "Client": "client",
    "open_client": "client",
    "Settings": "config",
    "read_environment": "platforms",
    "ReportOutcome": "reporting",
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "errors"),
    **dict.fromkeys(
        ("BuildContext", "Case", "Outcome", "Receipt", "Report", "RunState", "TestRun", "Verdict"), "models"
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ci_bridge' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"ci_bridge.{_HOME[name]}"), name)
