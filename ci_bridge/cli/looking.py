"""Commands that look and set up: ``detect``, ``config``, ``doctor`` and ``init``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ci_bridge.cli.frame import prepared
from ci_bridge.cli.program import Job, common
from ci_bridge.console import print_findings, print_json, print_line, print_table, say, shown

logger = logging.getLogger("ci_bridge")

if TYPE_CHECKING:
    from ci_bridge.config import LoadedSettings


@click.command(cls=Job)
@common
def detect(as_json: bool, pairs: tuple[str, ...]) -> None:
    """Say which platform and build this is.

    Where each fact came from stands beside it.

    \b
    Example:
      ci-bridge detect --json
    """
    from ci_bridge import platforms

    _, platform, context = prepared(pairs)
    facts = {name: value for name, value in context.values().items() if name != "platform"}
    if as_json:
        print_json(
            {
                "platform": platform.name,
                "values": facts,
                "origins": dict(context.origins),
                "delivers_as": platform.name if platform.connect else "local",
            }
        )
        return
    rows = [("platform", platform.name, platform.title)]
    rows += [(name, shown(value), context.origins.get(name, "")) for name, value in facts.items() if value is not None]
    print_table(("field", "value", "from"), rows)
    for name, reason in platforms.problems().items():
        logger.warning("%s", f"the platform {name} of another package cannot be used: {reason}")
    if platform.connect is None:
        say(f"{platform.title} has no adapter in this version: deliveries go to files, as on a laptop.")


@click.command(cls=Job)
@common
def config(as_json: bool, pairs: tuple[str, ...]) -> None:
    """Show every option, its value and its source.

    \b
    Example:
      ci-bridge config
    """
    from ci_bridge.config import describe

    loaded, _, _ = prepared(pairs)
    rows = describe(loaded)
    if as_json:
        print_json({name: {"value": _json_value(loaded, name), "origin": origin} for name, _, origin in rows})
    else:
        print_table(("option", "value", "from"), rows)
    for warning in loaded.warnings:
        logger.warning("%s", warning)


@click.command(cls=Job)
@common
def doctor(as_json: bool, pairs: tuple[str, ...]) -> None:
    """Say what will work here and what will not.

    Each gap comes with the line that closes it.     Nothing is changed and nothing is delivered. Exit code 1 where
    something will fail, else 0, also where something could not be found out. It ends within deadline_seconds.

    \b
    Example:
      ci-bridge doctor
    """
    from ci_bridge.doctor import examine, exit_code_of

    loaded, platform, context = prepared(pairs)
    workspace = Path.cwd()
    findings = examine(loaded, platform, context, env=os.environ, workspace=workspace)
    code = exit_code_of(findings)
    if as_json:
        print_json(
            {
                "platform": platform.name,
                "findings": [
                    {
                        "title": finding.title,
                        "state": str(finding.state),
                        "detail": finding.detail,
                        "line_to_add": finding.line_to_add,
                    }
                    for finding in findings
                ],
                "exit_code": code,
            }
        )
    else:
        print_findings(findings)
    sys.exit(code)


@click.command(cls=Job)
@click.argument("platform", required=False)
@click.option("--template", default="ci-bridge", show_default=True, help="Which one, where a platform has several.")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the snippet instead of writing it.")
@common
def init(
    platform: str | None,
    template: str,
    force: bool,
    to_stdout: bool,
    as_json: bool,
    pairs: tuple[str, ...],
) -> None:
    """Write the pipeline snippet of PLATFORM.

    By default, of the one that builds this checkout.

    \b
    Example:
      ci-bridge init github --stdout
    """
    from ci_bridge import init as snippets
    from ci_bridge import platforms

    prepared(pairs)  # a configuration that is wrong is told now, not in the first build
    root = Path.cwd()
    chosen = platforms.load(platform) if platform else snippets.find_platform(root, os.environ)
    snippet = snippets.snippet(chosen, root, template)
    if not to_stdout:
        snippets.write(snippet, force=force)
    if as_json:
        facts = {"platform": snippet.platform, "template": snippet.template, "path": str(snippet.path)}
        print_json({**facts, "written": not to_stdout, **({"text": snippet.text} if to_stdout else {})})
    elif to_stdout:
        print_line(snippet.text.rstrip("\n"))
    else:
        say(f"wrote {snippet.path}")


def _json_value(loaded: LoadedSettings, name: str) -> Any:
    from ci_bridge.config import Secret

    value = getattr(loaded.settings, name)
    return "***" if isinstance(value, Secret) else value
