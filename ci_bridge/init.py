"""``ci-bridge init``: write the pipeline snippet of a platform into a checkout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ci_bridge import platforms
from ci_bridge.atomic import write_atomically
from ci_bridge.errors import ConfigError
from ci_bridge.models import BuildContext
from ci_bridge.protocols import Environment, Platform
from ci_bridge.report.templates import template_root

DEFAULT_TEMPLATE = "ci-bridge"
_SUFFIXES = (".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A pipeline file that can be written.

    Attributes:
        platform: Its platform's name.
        template: Its name.
        path: Where it belongs.
        text: What it says.
    """

    platform: str
    template: str
    path: Path
    text: str


def templates_of(platform: Platform) -> dict[str, Path]:
    """Name -> file of the templates that there are for a platform; the plain one first."""
    folder = template_root() / "pipelines" / platform.name
    found = sorted(path for path in folder.glob("*") if path.suffix in _SUFFIXES) if folder.is_dir() else []
    return {path.stem: path for path in sorted(found, key=lambda path: path.stem != DEFAULT_TEMPLATE)}


def find_platform(directory: Path, env: Environment) -> Platform:
    """The platform that builds this checkout: by the folder of its pipelines, by where ``origin`` lives, by the job.

    Args:
        directory: The checkout's root.
        env: The environment; inside a job it tells the platform.

    Raises:
        ConfigError: None of them tells.
    """
    known = [platform for platform in platforms.available() if platform.pipeline_folder]
    for platform in known:
        if (directory / Path(platform.pipeline_folder).parts[0]).is_dir():
            return platform
    url = platforms.fill_from_git(BuildContext(platforms.FALLBACK), directory).repository_url
    running = platforms.detect(env)
    host = (platforms.code_host_of(url) if url else None) or (running if running in known else None)
    if host is None:
        raise ConfigError("this checkout does not tell which platform builds it", hint=f"name one: {_offered()}")
    return host


def snippet(platform: Platform, directory: Path, template: str = DEFAULT_TEMPLATE) -> Snippet:
    """The snippet of a platform for a checkout.

    Args:
        platform: Of the pipeline.
        directory: The checkout's root.
        template: Its name, where a platform has several.

    Raises:
        ConfigError: There is no such template.
    """
    templates = templates_of(platform)
    if not templates or not platform.pipeline_folder:
        raise ConfigError(f"there is no template for {platform.title} in this version", hint=f"there is {_offered()}")
    if template not in templates:
        raise ConfigError(
            f"there is no template {template!r} for {platform.title}", hint=f"there is {', '.join(templates)}"
        )
    source = templates[template]
    path = directory / platform.pipeline_folder / source.name
    return Snippet(platform.name, template, path, source.read_text(encoding="utf-8"))


def write(wanted: Snippet, *, force: bool = False) -> None:
    """Write a snippet to where it belongs.

    Args:
        wanted: The snippet.
        force: Replace what is there.

    Raises:
        ConfigError: Something is there already, or the place cannot be written.
    """
    path = wanted.path
    if not force and (path.exists() or path.is_symlink()):
        raise ConfigError(f"{path} is there already", hint="--force replaces it, --stdout only shows the snippet")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, wanted.text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def _offered() -> str:
    return ", ".join(platform.name for platform in platforms.available() if templates_of(platform)) or "none"
