"""A coordinator that runs four tasks."""

from __future__ import annotations

from typing import Any

from distributed_testing.plugin_architecture import HookType, Plugin, PluginType


class PluginManager:
    def __init__(self) -> None:
        self.plugins: dict[str, Plugin] = {}

    def get_plugins_by_type(self, kind: PluginType) -> dict[str, Plugin]:
        return {name: plugin for name, plugin in self.plugins.items() if plugin.plugin_type is kind}

    async def invoke(self, hook: HookType, *arguments: Any) -> None:
        for plugin in self.plugins.values():
            await plugin.hooks[hook](*arguments)


class DistributedTestingCoordinator:
    def __init__(self, db_path: str, enable_plugins: bool) -> None:
        self.plugin_manager = PluginManager()

    async def start(self) -> None:
        from ci_bridge.integrations.distributed_testing import CICDIntegrationPlugin

        plugin = CICDIntegrationPlugin(env={})
        self.plugin_manager.plugins[plugin.id] = plugin
        await plugin.initialize(self)

    async def work(self) -> None:
        invoke = self.plugin_manager.invoke
        for task in ("a", "b", "c", "d"):
            await invoke(HookType.TASK_CREATED, task, {})
            await invoke(HookType.TASK_STARTED, task, "worker-1")
        await invoke(HookType.TASK_COMPLETED, "a", {})
        await invoke(HookType.TASK_COMPLETED, "b", {})
        await invoke(HookType.TASK_FAILED, "c", "boom")
        await invoke(HookType.TASK_CANCELLED, "d", "not needed")

    async def stop(self) -> None:
        for plugin in self.plugin_manager.plugins.values():
            await plugin.shutdown()
