"""Which build this is and which options hold, found out before anything is opened.

Apart from the client, so that ``ci-bridge detect`` and ``ci-bridge config`` start without what only delivering needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ci_bridge import platforms
from ci_bridge.config import CONFIG_FILE, PROJECT_FILE, LoadedSettings, load_settings
from ci_bridge.models import BuildContext
from ci_bridge.option_values import printable
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
    loaded = loaded if trusted else _within_workspace(loaded)
    name = loaded.settings.ci_system
    platform = platforms.detect(env) if name == "auto" else platforms.load(name)
    context = platform.read_context(env)
    return loaded, platform, platforms.fill_from_git(context, folder)


def _within_workspace(loaded: LoadedSettings) -> LoadedSettings:
    """Without the patterns by which an untrusted file would have us read, and publish, what lies elsewhere."""
    origin, patterns = loaded.origins["results"], loaded.settings.results
    if not origin.startswith((CONFIG_FILE, PROJECT_FILE)):
        return loaded
    from ci_bridge.formats.files import leads_outside

    refused = [pattern for pattern in patterns if leads_outside(pattern)]
    told = (
        f"{origin}: results: {printable(pattern)} is ignored in an untrusted checkout, because it leads outside the "
        "workspace; set CI_BRIDGE_RESULTS, an input or a flag instead"
        for pattern in refused
    )
    kept = tuple(pattern for pattern in patterns if pattern not in refused)
    return replace(loaded, settings=replace(loaded.settings, results=kept), warnings=(*loaded.warnings, *told))
