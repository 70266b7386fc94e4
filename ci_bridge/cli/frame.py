"""What every command is made of: options, one client, receipts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ci_bridge._version import __version__
from ci_bridge.console import print_json, say
from ci_bridge.errors import ConfigError

if TYPE_CHECKING:
    from ci_bridge.client import Client
    from ci_bridge.config import LoadedSettings
    from ci_bridge.models import BuildContext, Receipt
    from ci_bridge.protocols import Platform

T = TypeVar("T")

logger = logging.getLogger("ci_bridge")


def flags_of(pairs: Sequence[str], flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the command line says of options: `-o name=value` and the flags made by :class:`OptionFlags`."""
    from ci_bridge.config import Pair

    chosen: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"-o {pair}: write NAME=VALUE")
        chosen[name.strip()] = Pair(value)
    for name, value in (flags or {}).items():
        if value is not None:
            chosen[name.removeprefix("option__")] = value
    return chosen


def here() -> str:
    """The current folder.

    Raises:
        ConfigError: It does not exist any more.
    """
    try:
        return os.getcwd()  # noqa: PTH109 - a text, as the configuration takes it
    except FileNotFoundError:
        raise ConfigError("the current folder does not exist any more", hint="name another one with -C") from None


def prepared(pairs: Sequence[str]) -> tuple[LoadedSettings, Platform, BuildContext]:
    """The settings, the platform and the build, without anything opened."""
    folder = here()
    from ci_bridge.preparation import prepare

    loaded, platform, context = prepare(None, os.environ, folder, flags_of(pairs))
    if loaded.settings.detailed_logging:
        logger.setLevel(logging.DEBUG)
    _log_origins(loaded)
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    return loaded, platform, context


def _log_origins(loaded: LoadedSettings) -> None:
    logger.info("ci-bridge %s in %s", __version__, here())
    for name, origin in loaded.origins.items():
        if origin != "default":
            logger.debug("option %s from %s", name, origin)


def with_client(
    job: Callable[[Client], Awaitable[T]],
    flags: Mapping[str, Any],
    *,
    log: Callable[[str], None] = say,
    on_signal: Callable[[int], None] | None = None,
    prints: bool = False,
) -> T:
    """Open a client, run one job on it, and stop at once when the runner says so; ``on_signal`` is told first.

    With ``prints``, as with ``--json``, standard output is data and holds nothing else.
    """
    folder = here()  # before the imports: Python 3.13.0 cannot import everything from a folder that is gone
    from ci_bridge.client import open_client
    from ci_bridge.stopping import OnStop, supervised

    is_data = prints or bool(click.get_current_context().params.get("as_json"))

    async def body(on_stop: OnStop) -> T:
        if on_signal is not None:
            on_stop(on_signal)
        async with open_client(flags=flags, directory=folder, log=log, stdout_is_data=is_data) as client:
            on_stop(lambda _: client.stop())
            _log_origins(client.loaded)
            logger.info("platform %s, delivering to %s", client.platform.title, ", ".join(client.capabilities))
            return await job(client)

    return supervised(body, say)


def finish(*receipts: Receipt, as_json: bool) -> None:
    """Print receipts; exit code 4 if the delivery asked for was not made."""
    if as_json:
        facts = [receipt_facts(receipt) for receipt in receipts]
        print_json(facts[0] if len(facts) == 1 else facts)
    else:
        for receipt in receipts:
            say(" - ".join(filter(None, (_told(receipt), receipt.reason))))
    if any(receipt.state in ("failed", "unsupported") for receipt in receipts):
        sys.exit(4)


def _told(receipt: Receipt) -> str:
    """What became of a delivery, in words."""
    if not receipt.delivered:
        return f"{receipt.channel} {receipt.state}"
    if receipt.via == "history":
        return f"{receipt.channel} remembered"
    where = f"to the {receipt.via}" if receipt.state == "degraded" else ""
    if receipt.url:
        where = f"to {receipt.url}"
    verb = "written" if "://" not in (receipt.url or "://") else "sent"
    return " ".join(filter(None, (receipt.channel, "degraded:" if receipt.state == "degraded" else "", verb, where)))


def receipt_facts(receipt: Receipt) -> dict[str, Any]:
    """A receipt as JSON shows it."""
    from dataclasses import asdict

    return asdict(receipt)
