"""The cascade that makes the settings: defaults, configuration file, environment, inputs, ``config`` argument, flags.

Later sources win. Everything that is wrong is reported at once, each problem with its source, key, value and what is
allowed; the value of a secret is never shown.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ci_bridge.errors import ConfigError
from ci_bridge.option_values import is_template_path, nearest, printable, show, value_of
from ci_bridge.options import NOT_YET, PREFIX, Option, Secret, Settings, option_named, options

__all__ = [
    "CONFIG_FILE",
    "MAX_FILE_BYTES",
    "NOT_YET",
    "LoadedSettings",
    "Option",
    "Secret",
    "Settings",
    "describe",
    "load_settings",
    "options",
]

CONFIG_FILE = "ci-bridge.toml"
PROJECT_FILE = "pyproject.toml"
MAX_FILE_BYTES = 256 * 1024
"""Largest configuration file."""

INPUTS_VARIABLE = PREFIX + "INPUTS"
"""Comma-separated names of the options that the container's entry point took from inputs of the CI system."""

_RESERVED = {INPUTS_VARIABLE, PREFIX + "VERSION", PREFIX + "IMAGE"}  # the last two pin the release in pipeline snippets


class Pair(str):
    """The value of an option that the command line set with ``-o NAME=VALUE``, which every command takes."""

    __slots__ = ()


@dataclass(frozen=True)
class LoadedSettings:
    """Settings and how they came about.

    Attributes:
        settings: The value of every option.
        origins: Option name -> the file, variable, input, flag or argument that it came from, or ``default``.
        warnings: What was ignored and why, one sentence each.
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values of the secret options, to be hidden wherever they might show."""
        return self._revealed(options())

    @property
    def own_secrets(self) -> tuple[str, ...]:
        """Those that did not come by the environment: what a CI system hands to a step it hides by itself."""
        foreign = ("input ", PREFIX)
        return self._revealed(one for one in options() if not self.origins[one.name].startswith(foreign))

    def _revealed(self, wanted: Iterable[Option]) -> tuple[str, ...]:
        values = [getattr(self.settings, option.name) for option in wanted if option.secret]
        flat = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
        return tuple(one.reveal() for one in flat if one)


def load_settings(
    *,
    env: Mapping[str, str],
    directory: Path,
    trusted: bool = True,
    config: Mapping[str, object] | None = None,
    flags: Mapping[str, object] | None = None,
) -> LoadedSettings:
    """Run the cascade.

    Args:
        env: The environment; variables named ``CI_BRIDGE_*`` count, empty ones are unset.
        directory: Where ``ci-bridge.toml`` or ``pyproject.toml`` may lie.
        trusted: False where ``directory`` is the checkout of somebody else's pull request: its file may then not say
            where data and credentials go.
        config: Options by name as the Python API takes them; None means unset.
        flags: Options by name from the command line; None means unset.

    Raises:
        ConfigError: With every problem found.
    """
    cascade = _Cascade(directory=directory, trusted=trusted)
    cascade.add_file()
    cascade.add_environment(env)
    cascade.add(config or {}, lambda _: "config argument")
    pairs = {name.replace("-", "_") for name, value in (flags or {}).items() if isinstance(value, Pair)}
    cascade.add(flags or {}, lambda name: f"-o {name}" if name in pairs else "--" + name.replace("_", "-"), text=True)
    return cascade.result()


def describe(loaded: LoadedSettings) -> list[tuple[str, str, str]]:
    """Name, value as text and origin of every option; secrets are masked."""
    return [
        (option.name, show(getattr(loaded.settings, option.name), option), loaded.origins[option.name])
        for option in options()
    ]


@dataclass
class _Cascade:
    """The values so far, and all that was wrong with them."""

    directory: Path
    trusted: bool
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=lambda: {option.name: "default" for option in options()})
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add_file(self) -> None:
        """Add the configuration file of the directory, if there is one."""
        try:
            found = _read_file(self.directory)
        except ConfigError as error:
            self.problems.append(error.message)
            return
        self.warnings += found.warnings
        entries = dict(found.entries)
        for key, value in found.entries.items():
            option = option_named(key.replace("-", "_"))
            if option is None:
                continue
            advice = f"set {option.variable}, an input or a flag instead"
            if not option.in_file:
                advice = f"every reader of the repository knows it now; revoke it and set {option.variable}"
            if not self.trusted and (option.trusted_only or is_template_path(option, value)):
                self.warnings.append(f"{found.name}: {option.name} is ignored in an untrusted checkout; {advice}")
                del entries[key]
            elif not option.in_file:
                self.problems.append(f"{found.name}: {option.name} must not stand in a file: {advice}")
                del entries[key]
        self.add(entries, lambda _: found.name)

    def add_environment(self, env: Mapping[str, str]) -> None:
        """Add the variables of ours, and tell those apart that the entry point took from inputs."""
        inputs = {name for name in env.get(INPUTS_VARIABLE, "").split(",") if name}
        names = [option.name for option in options()]
        for name in sorted(inputs.difference(names)):
            self._unknown(f"input {printable(name.replace('_', '-'))}", nearest(name, names).replace("_", "-"))
        for variable in sorted(env):
            key, value = variable.removeprefix(PREFIX), env[variable].strip()
            name = key.lower()
            if not variable.startswith(PREFIX) or variable in _RESERVED or not value:
                continue
            option = option_named(name) if key.isupper() else None
            if option is not None:
                origin = f"input {option.hyphenated}" if name in inputs else variable
                self._take(option, value, origin, text=True)
            elif name not in inputs:
                near = nearest(name, names)
                self._unknown(PREFIX + printable(key), PREFIX + near.upper() if near else "")

    def add(self, entries: Mapping[str, object], origin: Callable[[str], str], *, text: bool = False) -> None:
        """Add one source.

        Args:
            entries: Key, spelt with hyphens or underscores -> value; None means unset.
            origin: Option name -> where its value comes from.
            text: Values may be texts that spell a number or a truth value.
        """
        seen: dict[str, str] = {}
        for key, value in entries.items():
            name = str(key).replace("-", "_")
            option = option_named(name)
            if option is None:
                where = origin(name) if origin(name).startswith("-") else f"{origin(name)}: {printable(str(key))}"
                near = "" if isinstance(value, dict) else nearest(name, (option.name for option in options()))
                self._unknown(where, near)
                if isinstance(value, dict):
                    self.problems[-1] += "; options stand at the top, in no table of their own"
            elif name in seen:
                self.problems.append(f"{origin(name)}: {key} and {seen[name]} are the same option")
            elif value is not None:
                seen[name] = str(key)
                self._take(option, value, origin(name), text=text)

    def result(self) -> LoadedSettings:
        """The settings, if nothing was wrong.

        Raises:
            ConfigError: With every problem found.
        """
        if self.problems:
            if len(self.problems) == 1:
                raise ConfigError(self.problems[0])
            lines = "\n".join(f"  - {problem}" for problem in self.problems)
            raise ConfigError(f"{len(self.problems)} problems in the configuration:\n{lines}")
        self._distrust_templates()
        return LoadedSettings(replace(Settings(), **self.values), self.origins, tuple(self.warnings))

    def _take(self, option: Option, raw: object, origin: str, *, text: bool) -> None:
        try:
            value = value_of(option, raw, self.directory, text=text)
        except ValueError as error:
            spelt = (option.hyphenated, f"-o {option.name}", option.variable)
            key = "" if origin.endswith(spelt) else f": {option.name}"
            shown = show(raw, option)
            shown = f'"{shown}"' if isinstance(raw, str) and not option.secret else shown
            self.problems.append(f"{origin}{key} = {shown}: {error}")
        else:
            self.values[option.name] = value
            self.origins[option.name] = origin

    def _unknown(self, where: str, near: str) -> None:
        self.problems.append(f"{where}: there is no such option" + (f"; did you mean {near}?" if near else ""))

    def _distrust_templates(self) -> None:
        """A template inside an untrusted checkout is untrusted, whoever names it."""
        if self.trusted:
            return
        for option in options():
            if option.shape != "template" or self.values.get(option.name, option.default) in option.choices:
                continue
            path = Path(os.path.realpath(self.values[option.name]))
            if path.is_relative_to(os.path.realpath(self.directory)):
                del self.values[option.name]
                self.origins[option.name] = "default"
                self.warnings.append(
                    f"{option.name} is ignored: the template lies in an untrusted checkout; "
                    f"keep it outside, or use one of {', '.join(option.choices)}"
                )


@dataclass(frozen=True)
class _File:
    name: str = ""
    entries: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def _read_file(directory: Path) -> _File:
    """The options of the directory's configuration file; ``ci-bridge.toml`` beats ``pyproject.toml``.

    Raises:
        ConfigError: The file is not one that can be read.
    """
    own = _load_bytes(directory, CONFIG_FILE)
    if own is None:
        return _read_project(directory)
    entries = _parse(CONFIG_FILE, own)
    try:
        ignored = bool(_read_project(directory).entries)
    except ConfigError:
        ignored = False  # an unsound file that is not used is somebody else's to report
    warning = f"[tool.ci-bridge] in {PROJECT_FILE} is ignored because there is a {CONFIG_FILE}"
    return _File(CONFIG_FILE, entries, (warning,) if ignored else ())


def _read_project(directory: Path) -> _File:
    try:
        data = _load_bytes(directory, PROJECT_FILE)
    except ConfigError as error:
        return _File(warnings=(f"{error.message}; it was not searched for [tool.ci-bridge]",))
    if data is None or not re.search(rb"ci[-_]bridge", data):
        return _File()  # none of our business, sound or not
    tool = _parse(PROJECT_FILE, data).get("tool")
    table = tool.get("ci-bridge", tool.get("ci_bridge", {})) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise ConfigError(f"{PROJECT_FILE}: tool.ci-bridge must be a table")
    return _File(f"{PROJECT_FILE} [tool.ci-bridge]", table)


def _load_bytes(directory: Path, name: str) -> bytes | None:
    """The content of a file of the directory, None if there is none.

    Raises:
        ConfigError: It is no regular file, lies elsewhere, is too large or cannot be read.
    """
    path = directory / name
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(directory)):
        raise ConfigError(f"{name} is a link that leads out of its folder")
    try:
        # Without O_NONBLOCK a pipe of this name would make us wait for ever; links were followed above.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(real, flags | getattr(os, "O_BINARY", 0))
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ConfigError(f"{name} is not a regular file")
            with open(handle, "rb", closefd=False) as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        finally:
            os.close(handle)
    except FileNotFoundError:
        if path.is_symlink():
            raise ConfigError(f"{name} is a link to nowhere") from None
        return None
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{name} is larger than {MAX_FILE_BYTES // 1024} KiB")
    return data


def _parse(name: str, data: bytes) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}, line {line}: is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_error(name, str(error), data)) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise ConfigError(f"{name}: holds a value that is nested too deeply or too long") from error


def _syntax_error(name: str, message: str, data: bytes) -> str:
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if place:
        line, column = place[1], place[2]
        message = message[: place.start()]
    else:
        message = message.removesuffix(" (at end of document)")
        text = data.decode("utf-8-sig").rstrip("\n")
        line, column = str(text.count("\n") + 1), str(len(text) - text.rfind("\n"))
    rest = data.decode("utf-8-sig").splitlines()[int(line) - 1][int(column) - 1 :] if place else ""
    quotes = "; texts need quotes" if message == "Invalid value" and rest[:1].isalpha() else ""
    return f"{name}, line {line}, column {column}: {printable(message)}{quotes}"
