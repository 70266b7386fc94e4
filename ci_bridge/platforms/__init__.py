"""The CI systems that ci-bridge knows, found by their presence: one folder here, or one entry point elsewhere, each.

:func:`read_environment` answers what build an environment describes; :func:`open_adapter` connects to its platform.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from ci_bridge.errors import MissingDependencyError, PlatformNotFoundError
from ci_bridge.models import BuildContext, Credentials
from ci_bridge.protocols import Adapter, Platform

ENTRY_POINT_GROUP = "ci_bridge.platforms"
FALLBACK = "local"

T = TypeVar("T")

_log = logging.getLogger(__name__)

__all__ = [
    "ENTRY_POINT_GROUP",
    "available",
    "code_host_of",
    "detect",
    "fill_from_git",
    "load",
    "open_adapter",
    "problems",
    "read_environment",
]


def available() -> tuple[Platform, ...]:
    """Every platform that can be used, the first to be asked first: our folders and other packages' entry points."""
    return _found()[0]


def problems() -> Mapping[str, str]:
    """Entry points that could not be used: name -> what is wrong, in one line."""
    return _found()[1]


def load(name: str) -> Platform:
    """The platform of this name, whatever its case.

    Raises:
        PlatformNotFoundError: If there is none. The hint names the nearest one, or what is wrong with its package.
    """
    wanted = name.strip().lower()
    if wanted in _folders():  # spares looking at every installed package
        return _load_folder(wanted)
    platforms, broken = _found()
    for platform in platforms:
        if platform.name == wanted:
            return platform
    if wanted in broken:
        raise PlatformNotFoundError(f"the platform {wanted!r} cannot be used: {broken[wanted]}")
    import difflib

    names = [platform.name for platform in platforms]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
    raise PlatformNotFoundError(f"there is no platform {name!r}", hint=hint)


def detect(env: Mapping[str, str]) -> Platform:
    """The platform that runs this job: the one with the smallest priority of those that recognise the environment.

    Args:
        env: The job's environment; read only. Without a match it is ``local``.
    """
    found = (platform for platform in available() if _ask(platform, partial(platform.detect, env), False))
    return next(found, _load_folder(FALLBACK))


def read_environment(env: Mapping[str, str], ci_system: str = "auto") -> BuildContext:
    """The build that an environment describes.

    A function of the mapping and of the event or properties file that it names: nothing else is read or changed, and
    neither wrong values nor broken files raise.

    Args:
        env: Variables, for instance ``os.environ``.
        ci_system: A platform's name, which then is believed whatever the variables say, or ``auto``.

    Raises:
        PlatformNotFoundError: If ``ci_system`` names no platform.
    """
    platform = detect(env) if ci_system.strip().lower() in ("", "auto") else load(ci_system)
    return _ask(platform, partial(platform.read_context, env), BuildContext(platform.name))


def fill_from_git(context: BuildContext, directory: Path) -> BuildContext:
    """Fill absent fields from the checkout at ``directory`` where the platform leaves that to git (``local`` does).

    Never raises and never uses the network; without git or a checkout the context stays as it is.
    """
    platform = load(context.platform)
    return _ask(platform, partial(platform.fill, context, directory), context) if platform.fill else context


def open_adapter(platform: Platform, env: Mapping[str, str], credentials: Credentials) -> Adapter:
    """Connect to a platform, or to ``local`` where its adapter does not exist yet.

    Returns:
        The adapter; where ``adapter.context.platform`` is not ``platform.name``, another one delivers.

    Raises:
        MissingDependencyError: If the platform's SDK is not installed; the hint names the extra.
        CIBridgeError: What else the adapter raises when it connects.
    """
    connect = platform.connect or _load_folder(FALLBACK).connect
    assert connect is not None
    try:
        return connect(env, credentials)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __name__.partition(".")[0]:
            raise  # a defect of ours, no missing package
        raise MissingDependencyError(
            f"{platform.title} needs the package {error.name!r}, which is not installed",
            hint=f"pip install 'ci-bridge[{platform.name}]'",
        ) from error


def code_host_of(url: str) -> Platform | None:
    """The platform on whose code host this repository lives, None if its address does not tell."""
    found = (platform for platform in available() if _ask(platform, partial(platform.owns_url, url), False))
    return next(found, None)


def _ask(platform: Platform, question: Callable[[], T], otherwise: T) -> T:
    """The platform's answer; another package's code must not cost this build its report."""
    try:
        return question()
    except Exception as error:  # noqa: BLE001 whatever it is
        _log.warning("the platform %s could not be asked: %s", platform.name, _line(error))
        return otherwise


@cache
def _folders() -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def _load_folder(name: str) -> Platform:
    platform = importlib.import_module(f"{__name__}.{name}").platform
    assert isinstance(platform, Platform)
    return platform


@cache
def _found() -> tuple[tuple[Platform, ...], Mapping[str, str]]:
    from importlib.metadata import entry_points  # reads the metadata of every installed package: only when needed

    platforms = {name: _load_folder(name) for name in _folders()}
    broken: dict[str, str] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        where = f"entry point {entry.name} = {entry.value}"
        if entry.name in platforms:
            broken[entry.name] = f"{where}: the name is taken"
            continue
        try:
            platform = entry.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 as in _ask
            broken[entry.name] = f"{where}: {_line(error)}"
            continue
        if not isinstance(platform, Platform):
            broken[entry.name] = f"{where}: it is no ci_bridge.protocols.Platform"
        elif platform.name != entry.name:
            broken[entry.name] = f"{where}: its platform is called {platform.name!r}"
        else:
            platforms[entry.name] = platform
    for reason in broken.values():
        _log.warning("%s", reason)
    return tuple(sorted(platforms.values(), key=lambda p: (p.priority, p.name))), broken


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
