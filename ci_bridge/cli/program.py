"""What holds around every command: its common flags, fit streams, the log, and an exit code for every failure."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from ci_bridge._version import __version__
from ci_bridge.console import LogLines, masked, open_streams, people, print_json, print_line, say
from ci_bridge.errors import CIBridgeError

Function = TypeVar("Function", bound=Callable[..., Any])

logger = logging.getLogger("ci_bridge")

DEFECT = 70
"""Exit code where ci-bridge itself is at fault (``EX_SOFTWARE`` of sysexits.h): never that of a red test."""


class Helpful(click.Command):
    """A command whose help is data like any other: a stdout that takes no more ends it with our exit code."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The flag that prints the help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _print_help
        return option


def _print_help(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        print_line(ctx.get_help())
        ctx.exit()


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        print_line(f"ci-bridge, version {__version__}")
        ctx.exit()


version = click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)


class Job(Helpful):
    """A command that ends every failure with one clear line and an exit code of its own, and with JSON if asked to."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - a broken bridge must not look like a red test
            sys.exit(_explain(error, as_json=bool(ctx.params.get("as_json"))))


class Group(Helpful, click.Group):
    """Commands under one word."""

    command_class = Job


class Program(Group):
    """All commands, and what holds around each: fit streams, the log, no exit code but ours."""

    group_class = Group

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line and exit."""
        open_streams()
        log = LogLines()
        logger.addHandler(log)
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            with people() as stream:
                error.show(stream)
            code = error.exit_code
        except click.Abort:
            say("stopped by SIGINT")
            code = 130
        except Exception as error:  # noqa: BLE001 - as above, for what goes wrong outside of a command
            code = _explain(error, as_json=False)
        finally:
            logger.removeHandler(log)
        sys.exit(code)


def _explain(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong and answer the exit code."""
    if isinstance(error, CIBridgeError):
        message, hint, code = masked(error.message), masked(error.hint), error.exit_code
    else:
        message = f"a defect of ci-bridge {__version__}: {type(error).__name__}: {masked(str(error))}; please report it"
        hint, code = "", DEFECT
        logger.debug("where it happened", exc_info=error)
    if as_json:
        print_json({"error": message, "hint": hint, "exit_code": code})
    say(f"error: {message}")
    if hint:
        say(f"hint: {hint}")
    return code


class OptionFlags(Job):
    """A command that takes every option of the configuration as a flag.

    The flags are made when they are needed: a hundred of them would slow down `ci-bridge --version`.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters and a flag per option."""
        from ci_bridge.config import NOT_YET, options

        flags: list[click.Parameter] = []
        for option in options():
            if option.secret:
                continue  # secrets never stand in a process list
            missing = option.name in NOT_YET and not NOT_YET[option.name].values
            flags.append(
                click.Option(
                    [f"--{option.name.replace('_', '-')}", f"option__{option.name}"],
                    metavar="|".join(option.choices) or option.type.upper(),
                    help=option.help,
                    hidden=missing,  # so that asking for it is answered by name
                )
            )
        return [*super().get_params(ctx), *flags]


def _enter(_: click.Context, __: click.Parameter, folder: str | None) -> None:
    """Work in the folder from here on, so that every relative path is meant from there."""
    if folder:
        os.chdir(folder)


directory = click.option(
    "-C",
    "--directory",
    type=click.Path(file_okay=False, exists=True),
    callback=_enter,
    expose_value=False,
    is_eager=True,
    help="Work as if started in this folder.",
)


def common(command: Function) -> Function:
    """The flags that every command takes."""
    for flag in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout."),
        click.option("-o", "--option", "pairs", multiple=True, metavar="NAME=VALUE", help="Set any option."),
        directory,
    ):
        command = flag(command)
    return command
