"""Which build this is and which options hold, found out before anything is opened.

Apart from the client, so that ``ci-bridge detect`` and ``ci-bridge config`` start without what only delivering needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ci_bridge import platforms
from ci_bridge.config import LoadedSettings, load_settings
from ci_bridge.models import BuildContext
from ci_bridge.protocols import Platform


def prepare(
    config: Mapping[str, Any] | None,
    env: Mapping[str, str],
    directory: str | os.PathLike[str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> tuple[LoadedSettings, Platform, BuildContext]:
    """Read the settings and the build that they name, without opening anything.

    A configuration file counts as untrusted inside a pull request's build, so the build is detected before the file is
    read; ``ci_system`` is therefore taken from a trusted place only.
    """
    first = platforms.read_environment(env)
    folder = Path(directory or Path.cwd())
    trusted = first.pr_number is None and not first.is_fork
    loaded = load_settings(env=env, directory=folder, trusted=trusted, config=config, flags=flags)
    name = loaded.settings.ci_system
    platform = platforms.detect(env) if name == "auto" else platforms.load(name)
    context = platform.read_context(env)
    return loaded, platform, platforms.fill_from_git(context, folder)
