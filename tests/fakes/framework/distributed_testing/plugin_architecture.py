"""Plugin base class, types and hooks, as the framework's plugin guide describes them."""

from __future__ import annotations

from enum import Enum
from typing import Any


class PluginType(Enum):
    INTEGRATION = "integration"
    REPORTER = "reporter"


class HookType(Enum):
    TASK_CREATED = "task_created"
    TASK_STARTED = "task_started"
    TASK_COMPLETED = "task_completed"
    TASK_FAILED = "task_failed"
    TASK_CANCELLED = "task_cancelled"


class Plugin:
    def __init__(self, name: str, version: str, plugin_type: PluginType) -> None:
        self.id = f"{name}-{version}"
        self.plugin_type = plugin_type
        self.hooks: dict[HookType, Any] = {}

    def register_hook(self, hook: HookType, handler: Any) -> None:
        self.hooks[hook] = handler
