"""Every option of ci-bridge, declared once: name, default, meaning and what is allowed.

The command line, ``action.yml``, ``docs/configuration.md`` and the cascade in :mod:`ci_bridge.config` all follow
:class:`Settings`; tests hold them together in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from ci_bridge.models import CHANNELS


class Secret:
    """A text that is never shown: printing, formatting, pickling and JSON do not give it away.

    Args:
        value: The text itself; only :meth:`reveal` answers it.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The text itself."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest  # lazily: it loads OpenSSL

        return compare_digest(self.__value.encode("utf-8", "replace"), other.__value.encode("utf-8", "replace"))

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of one option.

    Attributes:
        name: As in configuration files and in :class:`Settings`.
        default: Its value where nobody says anything.
        type: ``boolean``, ``integer``, ``number``, ``string`` or ``list`` (of strings).
        choices: The allowed texts; for a list, of each item. Empty if any text will do.
        help: One sentence without a full stop.
        secret: Never shown.
        trusted_only: Ignored, with a warning, in the configuration file of an untrusted checkout.
        in_file: False if no configuration file may hold it, because files are committed.
        unit: Of a number.
        minimum: Smallest allowed number. maximum: Largest.
        shape: What a free text must look like: ``url``, ``store``, ``folder``, ``template``, ``key``, ``platform`` or
            nothing in particular.
    """

    name: str
    default: Any
    type: str
    help: str
    choices: tuple[str, ...] = ()
    secret: bool = False
    trusted_only: bool = False
    in_file: bool = True
    unit: str = ""
    minimum: float = 0
    maximum: float = 0
    shape: str = ""

    @property
    def hyphenated(self) -> str:
        """The name as flags and inputs spell it."""
        return self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default as people write it; empty if there is none."""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, tuple):
            return ", ".join(self.default)
        return "" if self.default is None else f"{self.default}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()


PREFIX = "CI_BRIDGE_"
"""What the name of every variable of ours begins with."""

_TYPES = {
    "bool": "boolean",
    "int": "integer",
    "int | None": "integer",
    "float": "number",
    "str": "string",
    "str | None": "string",
    "Secret | None": "string",
    "tuple[str, ...]": "list",
    "tuple[Secret, ...]": "list",
}

_DAY = 86400.0
_CENTURY = 36500


def _option(default: Any, text: str, **facts: Any) -> Any:
    return field(default=default, metadata={"help": text, **facts})


def _seconds(default: float, text: str) -> Any:
    return _option(default, text, unit="seconds", maximum=_DAY)


def _days(default: int, text: str, **facts: Any) -> Any:
    return _option(default, text, unit="days", minimum=1, maximum=_CENTURY, **facts)


@dataclass(frozen=True)
class Settings:
    """The value of every option. Numbers are in the unit that :func:`options` names."""

    # What to read
    results: tuple[str, ...] = _option((), "Globs of the result files; empty means where common tools write to")
    time_unit: str = _option(
        "seconds",
        "Unit of the durations in result files that do not say it themselves",
        choices=("seconds", "milliseconds"),
    )

    # Where we are and whom we talk to
    ci_system: str = _option(
        "auto", "The CI system; auto detects it from the environment", shape="platform", trusted_only=True
    )
    api_url: str | None = _option(None, "Address of the CI system's API", shape="url", trusted_only=True)
    api_token: Secret | None = _option(  # noqa: RUF009 - it answers a dataclass field
        None, "Token for the CI system's API", secret=True, trusted_only=True, in_file=False
    )
    code_host: str = _option(
        "auto", "The platform that takes statuses and comments", shape="platform", trusted_only=True
    )
    code_host_url: str | None = _option(None, "Address of the code host's API", shape="url", trusted_only=True)
    code_host_token: Secret | None = _option(  # noqa: RUF009 - it answers a dataclass field
        None, "Token for the code host's API", secret=True, trusted_only=True, in_file=False
    )

    # Verdict
    fail_on: str = _option(
        "never",
        "What makes the command exit with 1; decides the conclusion too, where never judges like failures",
        choices=("never", "failures", "new-failures", "errors"),
    )
    strict: bool = _option(False, "Fail for unreadable files and failed deliveries too")
    required_channels: tuple[str, ...] = _option(
        (), "Deliveries whose failure makes the command exit with 4", choices=CHANNELS
    )

    # Parallel jobs
    shard: str | None = _option(None, "Key of this parallel job; a JSON object stands for its values")
    shard_total: int | None = _option(None, "Number of parallel jobs", minimum=1, maximum=100_000)

    # Status
    enable_test_runs: bool = _option(True, "Show the run as an object of its own; off: a commit status stands for it")
    enable_status_updates: bool = _option(True, "Show the state on the commit")
    status_update_format: str = _option("detailed", "How much a status says", choices=("minimal", "basic", "detailed"))
    update_interval: float = _seconds(60, "Least time between two updates of a running test run")
    update_on_completion_only: bool = _option(False, "Leave out the updates of a running test run")
    annotations: str = _option(
        "failures", "Which cases are remarked on beside their line of code", choices=("none", "failures", "all")
    )
    max_annotations: int = _option(50, "Most remarks on lines of code", maximum=10_000)

    # Pull request
    enable_pr_comments: bool = _option(True, "Comment on the pull request")
    pr_comment_on_failure_only: bool = _option(False, "Comment only where something is not green")
    pr_comment_template: str = _option(
        "default",
        "Template of the comment, by name or by path",
        choices=("default", "minimal", "detailed"),
        shape="template",
    )
    pr_update_existing_comments: bool = _option(True, "Update the earlier comment; off: every run writes a new one")
    comment_title: str = _option("Test results", "Title of the report; tells two reports on one commit apart")
    comment_on_worse: str = _option(
        "update",
        "What becomes of the comment when a green pull request turns red; recreate notifies",
        choices=("update", "recreate"),
    )

    # Reports
    result_format: tuple[str, ...] = _option(
        ("all",), "Report files to write", choices=("junit", "json", "html", "markdown", "ctrf", "all")
    )
    include_system_info: bool = _option(True, "Describe the machine in reports")
    include_failure_analysis: bool = _option(True, "Show the failure analysis in reports")
    include_performance_metrics: bool = _option(True, "Show performance metrics in reports")
    enable_failure_analysis: bool = _option(True, "Classify and group failures")
    failure_analysis_depth: str = _option(
        "detailed", "How deep failures are analysed", choices=("basic", "detailed", "comprehensive")
    )

    # Artifacts
    enable_artifacts: bool = _option(True, "Hand the report files to the artifact store")
    artifact_dir: str = _option(
        "distributed_test_results", "Folder for reports and staged artifacts", shape="folder", trusted_only=True
    )
    artifact_categories: tuple[str, ...] = _option(
        ("reports", "logs", "data", "metrics"),
        "Categories of artifacts that are kept",
        choices=("reports", "logs", "data", "metrics"),
    )
    artifact_compression: bool = _option(True, "Compress artifacts that get smaller by it")
    artifact_retention_days: int = _days(30, "How long artifacts are kept")
    artifact_url: str | None = _option(
        None, "Another artifact store than the platform's own", shape="store", trusted_only=True
    )

    # History
    enable_history_tracking: bool = _option(True, "Remember runs and judge failures against them")
    history_url: str | None = _option(
        None, "Where the history is kept: a folder; empty means the platform's own store", shape="store",
        trusted_only=True,
    )  # fmt: skip
    history_key: str | None = _option(
        None,
        "Name of the history, where one project keeps several; pipelines with the same one share it",
        shape="key",
        trusted_only=True,
    )
    history_secret: Secret | None = _option(  # noqa: RUF009 - it answers a dataclass field
        None,
        "What the objects of the history are signed with; those without this signature are passed over",
        secret=True,
        trusted_only=True,
        in_file=False,
    )
    history_retention_days: int = _days(90, "How long runs are remembered", trusted_only=True)
    track_performance_trends: bool = _option(True, "Notice cases and metrics that became slower")

    # Notifications and the dashboard
    enable_notifications: bool = _option(False, "Send notifications")
    notification_channels: tuple[str, ...] = _option(
        (), "Where notifications go", choices=("email", "slack", "teams", "discord")
    )
    notification_urls: tuple[Secret, ...] = _option(
        (), "Addresses of the notification channels", secret=True, trusted_only=True
    )
    notification_on_failure_only: bool = _option(True, "Notify only where something is not green")
    notification_template: str = _option(
        "default",
        "Template of notifications, by name or by path",
        choices=("default", "minimal", "detailed"),
        shape="template",
    )
    dashboard_integration: bool = _option(False, "Post the run to a dashboard")
    dashboard_url: str | None = _option(None, "Address of the dashboard", shape="url", trusted_only=True)

    # How to behave
    deadline_seconds: float = _seconds(120, "Time budget of all deliveries together")
    retry_failed_api_calls: bool = _option(True, "Try failed API calls again")
    max_retries: int = _option(3, "Tries after the first", maximum=100)
    retry_delay_seconds: float = _seconds(5, "Pause before the first retry; it doubles each time")
    detailed_logging: bool = _option(False, "Log every step")


@dataclass(frozen=True, slots=True)
class NotYet:
    """Why an option, or some of its values, do nothing in this version.

    Attributes:
        reason: In a few words.
        values: Only values that contain this text are missing; empty means all but the default.
    """

    reason: str
    values: str = ""


NOT_YET: Mapping[str, NotYet] = {
    "code_host": NotYet("deliveries stay on this machine"),
    "code_host_token": NotYet("deliveries stay on this machine"),
    "code_host_url": NotYet("deliveries stay on this machine"),
    "artifact_url": NotYet("artifacts stay in artifact_dir"),
    "history_url": NotYet("only a folder can hold the history so far", values="://"),
    "enable_notifications": NotYet("nothing is sent yet"),
    "notification_channels": NotYet("nothing is sent yet"),
    "notification_urls": NotYet("nothing is sent yet"),
    "notification_on_failure_only": NotYet("nothing is sent yet"),
    "notification_template": NotYet("nothing is sent yet"),
    "dashboard_integration": NotYet("no dashboard is posted to yet"),
    "dashboard_url": NotYet("no dashboard is posted to yet"),
}
"""Options whose feature comes in a later version: asking for more than the default is refused."""


@cache
def options() -> tuple[Option, ...]:
    """Every option, in the order of the documentation."""
    return tuple(
        Option(name=f.name, default=f.default, type=_TYPES[str(f.type)], **f.metadata) for f in fields(Settings)
    )


@cache
def option_named(name: str) -> Option | None:
    """The option of this name, None if there is none."""
    return next((option for option in options() if option.name == name), None)


def platform_names() -> tuple[str, ...]:
    """The values of ``ci_system`` beside ``auto``: found by presence, without importing any of them."""
    from importlib.metadata import entry_points

    folder = Path(__file__).parent / "platforms"
    present = {path.parent.name for path in folder.glob("[a-z]*/__init__.py")}
    return tuple(sorted(present | {entry.name for entry in entry_points(group="ci_bridge.platforms")}))
