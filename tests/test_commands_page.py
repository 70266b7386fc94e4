"""docs/commands.md against the command line itself, both ways."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ci_bridge.cli import main
from ci_bridge.options import options

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
COMMON = {"--json", "--option", "--directory", "--help"}


def commands(group: click.Group = main, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        words = f"{prefix} {name}".strip()
        found |= commands(command, words) if isinstance(command, click.Group) else {words: command}
    return found


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_section_and_every_section_is_a_command() -> None:
    assert set(sections()) == set(commands())


@pytest.mark.parametrize("name", commands())
def test_the_example_is_that_of_the_help(name: str) -> None:
    help_text = commands()[name].help or ""
    [shown] = re.findall(r"^```sh\nci-bridge (.+)\n```$", sections()[name], re.MULTILINE)
    [example] = re.findall(r"Example:\n\s+ci-bridge (.+)", help_text)
    assert shown == example


@pytest.mark.parametrize("name", commands())
def test_every_flag_of_its_own_is_explained_and_no_other(name: str) -> None:
    command = commands()[name]
    own = {
        flag
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for flag in parameter.opts
        if flag.startswith("--")
    } - COMMON
    every_option = {f"--{option.hyphenated}" for option in options()}
    text = re.sub(r"^```.*?^```$", "", sections()[name], flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`(--[a-z-]+)`", text)) - COMMON - every_option
    assert named == own
