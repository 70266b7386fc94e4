"""What holds around every command: its common flags, fit streams, the log, and an exit code for every failure."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ci_bridge._version import __version__
from ci_bridge.console import LogLines, masked, open_streams, people, print_json, print_line, say
from ci_bridge.errors import CIBridgeError

if TYPE_CHECKING:
    from ci_bridge.options import Option

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
            code = error.exit_code
            if _wants_json(args[0] if args else sys.argv[1:]):
                print_json({"error": masked(error.format_message()), "hint": "", "exit_code": code})
            with people() as stream:
                error.show(stream)
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
    for line in f"error: {message}".splitlines():
        say(line)
    if hint:
        say(f"hint: {hint}")
    return code


def _wants_json(args: Sequence[str]) -> bool:
    """True if JSON is asked for, as far as arguments tell that could not be understood."""
    words = list(args or ())
    return "--json" in (words[: words.index("--")] if "--" in words else words)


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
                    [f"--{option.hyphenated}", f"option__{option.name}"],
                    metavar=_metavar(option),
                    help=_help(option),
                    # Asking for what is missing is answered by name; what does nothing here is taken, and not praised.
                    hidden=missing or not self.reads(option),
                )
            )
        return [*super().get_params(ctx), *flags]

    def reads(self, option: Option) -> bool:
        """True if the option changes anything about this command."""
        return not option.secret

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the flags; one of a truth value that stands alone means true."""
        return super().parse_args(ctx, list(_with_truth(args, self.get_params(ctx), self.stops_at_words)))

    @property
    def stops_at_words(self) -> bool:
        """True if what follows the first word is another program's."""
        return self.context_settings.get("allow_interspersed_args") is False


class CollectFlags(OptionFlags):
    """Those that collecting reads: what to read, where to store it, how to behave."""

    _READ = frozenset(
        {"results", "time_unit", "ci_system", "api_url", "comment_title", "shard", "shard_total", "artifact_dir"}
        | {"deadline_seconds", "retry_failed_api_calls", "max_retries", "retry_delay_seconds", "detailed_logging"}
    )

    def reads(self, option: Option) -> bool:
        return option.name in self._READ


def _with_truth(args: Sequence[str], params: Sequence[click.Parameter], stops_at_words: bool) -> Iterator[str]:
    """The arguments with `=true` behind each flag of a truth value that has none, and its value behind an `=`."""
    known = {flag: param for param in params if isinstance(param, click.Option) for flag in param.opts}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--" or (stops_at_words and not word.startswith("-")):
            yield from (word, *rest)
            return
        param = known.get(word)
        if param is None or param.is_flag:
            yield word
        elif param.metavar != _TRUTH:
            yield from (word, *rest[:1])
            del rest[:1]
        elif rest and rest[0].lower() in _TRUTH_WORDS:
            yield f"{word}={rest.pop(0)}"
        else:
            yield f"{word}=true"


_TRUTH = "[true|false]"
_TRUTH_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})


def _metavar(option: Option) -> str:
    if option.type == "boolean":
        return _TRUTH
    words = "|".join([*option.choices, *(["PATH"] if option.shape == "template" else [])])
    if option.type == "list":
        return f"{words or 'TEXT'},..."
    return words or option.type.upper()


def _help(option: Option) -> str:
    """The option's one sentence with its unit and its default."""
    facts = [f"in {option.unit}"] if option.unit else []
    if option.default_text:
        facts.append(f"default {option.default_text}")
    return option.help + (f" ({'; '.join(facts)})" if facts else "") + "."


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
