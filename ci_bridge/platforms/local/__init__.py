"""No CI system: a laptop, or a CI system that none of the others recognises. Delivers to a folder.

``CI=true`` alone, tokens alone and a repository's name alone are local: they say nothing about who runs the job.
"""

from __future__ import annotations

from pathlib import Path

from ci_bridge.models import BuildContext, Credentials
from ci_bridge.platforms._read import owns_nothing
from ci_bridge.protocols import Adapter, Environment, Platform


def detect(_env: Environment) -> bool:
    """True, whatever the environment; every other platform is asked first."""
    return True


def read_context(_env: Environment) -> BuildContext:
    """Nothing but the platform's name: no variable describes a build; :func:`fill` asks git."""
    return BuildContext("local")


def fill(context: BuildContext, directory: Path) -> BuildContext:
    """Fill what is absent from the checkout at ``directory``."""
    from ci_bridge.platforms.local.git import fill_from_git  # subprocess is not needed to detect

    return fill_from_git(context, directory)


def connect(env: Environment, credentials: Credentials) -> Adapter:
    """Open the adapter that writes to ``credentials.directory``."""
    from ci_bridge.platforms.local.adapter import LocalAdapter

    return LocalAdapter(read_context(env), credentials.directory)


platform = Platform(
    name="local",
    title="Local",
    priority=1_000_000,
    token_variables=(),
    log_command_patterns=(),
    detect=detect,
    read_context=read_context,
    owns_url=owns_nothing,
    connect=connect,
    fill=fill,
)
