"""What every delivery of one client works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ci_bridge.config import Settings
from ci_bridge.delivery import Courier
from ci_bridge.masking import Masker
from ci_bridge.models import BuildContext
from ci_bridge.protocols import Adapter


@dataclass(slots=True)
class Workplace:
    """The settings, the build, the adapters and the folders; the client fills it."""

    settings: Settings
    context: BuildContext
    adapter: Adapter
    host: Adapter
    courier: Courier
    masker: Masker
    workspace: Path
    directory: Path
    log: Callable[[str], None]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    stopped: Callable[[], bool] = lambda: False

    @property
    def history_path(self) -> Path:
        """Where the history of this project lies."""
        folder = Path(self.settings.history_url) if self.settings.history_url else self.directory
        folder = folder if folder.is_absolute() else self.workspace / folder
        key = self.settings.history_key
        return folder / (f"history-{key}.sqlite" if key else "history.sqlite")
