"""Sample environments: ``<platform>/environments/<scenario>.json``, each with the record that must be read from it.

``env`` holds the variables; ``files`` the files that they name (an object is written as JSON, a text as it is);
``{files}`` stands for their folder. ``expected`` is the whole record: what it does not list must be absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Scenario:
    platform: str
    name: str
    env: Mapping[str, str]
    files: Mapping[str, Any]
    expected: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.platform}-{self.name}"

    def environment(self, folder: Path) -> Mapping[str, str]:
        """The variables, with their files written below ``folder``."""

        def here(text: str) -> str:
            return text.replace("{files}", str(folder))

        for name, content in self.files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / name).write_text(here(text), encoding="utf-8", newline="")
        return MappingProxyType({name: here(value) for name, value in self.env.items()})


def scenarios(platform: str = "*") -> list[Scenario]:
    """All samples, or those of one platform."""
    found = []
    for path in sorted(FOLDER.glob(f"{platform}/environments/*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        name = path.parent.parent.name
        found.append(Scenario(name, path.stem, data["env"], data.get("files", {}), data["expected"]))
    return found


def scenario(platform: str, name: str) -> Scenario:
    """One sample."""
    return next(found for found in scenarios(platform) if found.name == name)
