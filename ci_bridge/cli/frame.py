"""What every command is made of: common flags, options as flags, one client, errors in one line, receipts."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ci_bridge.console import print_json, say
from ci_bridge.errors import CIBridgeError

if TYPE_CHECKING:
    from ci_bridge.client import Client
    from ci_bridge.config import LoadedSettings
    from ci_bridge.models import BuildContext, Receipt
    from ci_bridge.protocols import Platform

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


class OptionFlags(click.Command):
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


def common(command: Command) -> Command:
    """The flags that every command takes."""
    for flag in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout."),
        click.option("-o", "--option", "pairs", multiple=True, metavar="NAME=VALUE", help="Set any option."),
        click.option(
            "-C",
            "--directory",
            type=click.Path(file_okay=False, exists=True),
            help="Work as if started in this folder.",
        ),
    ):
        command = flag(command)
    return command


def flags_of(pairs: Sequence[str], flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the command line says of options: `-o name=value` and the flags made by :class:`OptionFlags`."""
    chosen: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"-o {pair}: write NAME=VALUE")
        chosen[name.strip()] = value
    for name, value in (flags or {}).items():
        if value is not None:
            chosen[name.removeprefix("option__")] = value
    return chosen


def prepared(pairs: Sequence[str], directory: str | None) -> tuple[LoadedSettings, Platform, BuildContext]:
    """The settings, the platform and the build, without anything opened."""
    from ci_bridge.preparation import prepare

    return prepare(None, os.environ, directory, flags_of(pairs))


def with_client(
    job: Callable[[Client], Awaitable[T]],
    flags: Mapping[str, Any],
    directory: str | None,
    *,
    as_json: bool,
    log: Callable[[str], None] = say,
    on_signal: Callable[[int], None] | None = None,
) -> T:
    """Open a client, run one job on it, and stop at once when the runner says so; ``on_signal`` is told first."""
    from ci_bridge.client import open_client
    from ci_bridge.stopping import OnStop, supervised

    async def body(on_stop: OnStop) -> T:
        if on_signal is not None:
            on_stop(on_signal)
        async with open_client(flags=flags, directory=directory, log=log) as client:
            on_stop(lambda _: client.stop())
            return await job(client)

    with errors(as_json=as_json):
        return supervised(body, say)


class errors:  # noqa: N801 - reads as a statement
    """Print our own errors as one clear line each and exit with their code."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CIBridgeError):
            if self._as_json:
                print_json({"error": error.message, "hint": error.hint, "exit_code": error.exit_code})
            say(f"error: {error.message}")
            if error.hint:
                say(f"hint: {error.hint}")
            sys.exit(error.exit_code)


def finish(*receipts: Receipt, as_json: bool) -> None:
    """Print receipts; exit code 4 if the delivery asked for was not made."""
    if as_json:
        facts = [receipt_facts(receipt) for receipt in receipts]
        print_json(facts[0] if len(facts) == 1 else facts)
    else:
        for receipt in receipts:
            parts = [receipt.channel, receipt.state, f"via {receipt.via}" if receipt.via else "", receipt.url or ""]
            say(" ".join(part for part in parts if part) + (f" - {receipt.reason}" if receipt.reason else ""))
    if any(receipt.state in ("failed", "unsupported") for receipt in receipts):
        sys.exit(4)


def receipt_facts(receipt: Receipt) -> dict[str, Any]:
    """A receipt as JSON shows it."""
    from dataclasses import asdict

    return asdict(receipt)
