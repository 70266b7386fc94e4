"""The exception tree of ci-bridge: one class per thing a caller would do differently.

Every error carries the exit code of the command line and, where there is one, the next step to take (``hint``).
"""

from __future__ import annotations


class CIBridgeError(Exception):
    """The root of every error that ci-bridge raises on purpose.

    Args:
        message: What happened, naming the file, the key or the permission.
        hint: The next step for the reader; empty if the message says it already.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(CIBridgeError):
    """An option, a flag or a configuration file is wrong; nothing was sent. Exit code 2."""


class PlatformNotFoundError(CIBridgeError):
    """The named platform does not exist or has no adapter. Exit code 2."""


class MissingDependencyError(CIBridgeError):
    """A feature needs a package that is not installed; the hint names the extra. Exit code 2."""


class ResultsError(CIBridgeError):
    """The input is unusable: no case could be read from it. Exit code 3."""

    exit_code = 3


class HistoryError(CIBridgeError):
    """A history file is damaged, foreign or hostile and was not used. Exit code 3."""

    exit_code = 3


class PlatformError(CIBridgeError):
    """A platform's API refused or failed a call. Exit code 4 when the channel is required."""

    exit_code = 4


class AuthenticationError(PlatformError):
    """The platform does not accept the credentials (HTTP 401)."""


class PermissionDeniedError(PlatformError):
    """The credentials lack a permission (HTTP 403, or 404 on a write)."""


class NotFoundError(PlatformError):
    """The object does not exist or is not visible with these credentials (HTTP 404)."""


class RateLimitedError(PlatformError):
    """The platform asks for fewer calls.

    Args:
        retry_after: Seconds to wait as the platform says, None where it does not.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class IncompleteError(PlatformError):
    """A part of the delivery was made, and the rest is refused for good.

    Args:
        url: Where the part can be seen.
    """

    def __init__(self, message: str, *, hint: str = "", url: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.url = url


class TransientError(PlatformError):
    """A failure that another try may not meet: HTTP 5xx, a reset connection, a truncated answer."""


class TimedOutError(TransientError):
    """No answer, or not all of it, in the time that a call may take; worth one more try and no third."""
