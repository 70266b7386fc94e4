"""The main job: by itself, around a test command, and in two halves for forks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ci_bridge.cli.frame import flags_of, receipt_facts, with_client
from ci_bridge.cli.program import CollectFlags, OptionFlags, common
from ci_bridge.console import Progress, has_color, people, print_json, say, terminal_width

logger = logging.getLogger("ci_bridge")

if TYPE_CHECKING:
    from ci_bridge.client import Client
    from ci_bridge.models import InputFile, Totals
    from ci_bridge.publishing import Collection
    from ci_bridge.reporting import ReportOutcome
    from ci_bridge.running import RunOutcome


@click.command(cls=OptionFlags)
@click.argument("results", nargs=-1, metavar="[GLOB]...")
@common
def report(results: tuple[str, ...], as_json: bool, pairs: tuple[str, ...], **flags: Any) -> None:
    """Read results, judge, deliver and remember them.

    GLOB names result files: paths, folders, or patterns with ** for any depth. Without one, the option `results`
    counts, and without that the places that common tools write to.

    \b
    Example:
      ci-bridge report 'reports/**/*.xml' --fail-on new-failures
    """

    async def job(client: Client) -> tuple[ReportOutcome, Sequence[str]]:
        with Progress(enabled=not as_json) as on_progress:
            outcome = await client.report(results, on_progress=on_progress)
        return outcome, client.platform.log_command_patterns

    outcome, patterns = with_client(job, flags_of(pairs, flags))
    hint = "" if results or outcome.report.results.files else "ci-bridge report 'path/**/*.xml'"
    _end(outcome, patterns, as_json=as_json, hint=hint and f"say where the result files are: {hint}")


@click.command(cls=OptionFlags, context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARGUMENT]...")
@common
def run(command: tuple[str, ...], as_json: bool, pairs: tuple[str, ...], **flags: Any) -> None:
    """Run a test command and report what it wrote.

    The run is shown as pending meanwhile.

    COMMAND runs without a shell and with our standard streams. Only result files that it writes or changes count;
    name them with --results, else the places that common tools write to are searched. With --json, what it prints
    to stdout goes to stderr.

    Exits as COMMAND did: with its code, 128 + N where signal N ended it, 127 where it was not found, 126 where it
    cannot be executed. Where COMMAND succeeds, with the report's code.

    \b
    Example:
      ci-bridge run --results 'reports/**/*.xml' -- make test
    """
    from ci_bridge.running import Command, run_command

    workspace = Path.cwd()
    child = Command(command, directory=workspace, stdout=sys.stderr.fileno() if as_json else None)

    async def job(client: Client) -> tuple[RunOutcome, Sequence[str]]:
        with Progress(enabled=not as_json) as on_progress:
            outcome = await run_command(client, child, workspace=workspace, on_progress=on_progress)
        return outcome, client.platform.log_command_patterns

    def log(line: str) -> None:
        if not child.is_running:  # while it runs, the log is its own
            say(line)

    outcome, patterns = with_client(job, flags_of(pairs, flags), log=log, on_signal=child.tell)
    _finish_run(outcome, patterns, as_json=as_json)
    sys.exit(outcome.exit_code)


def _finish_run(outcome: RunOutcome, patterns: Sequence[str], *, as_json: bool) -> None:
    from ci_bridge.running import not_counted

    facts: dict[str, Any] = {} if outcome.report is None else outcome_facts(outcome.report)
    facts["warnings"] = [*facts.get("warnings", ()), *outcome.warnings]
    if outcome.problem:
        facts |= {"state": "error", "error": outcome.problem}
    if outcome.error is not None:
        facts |= {"state": "error", "error": outcome.error.message, "hint": outcome.error.hint}
    facts |= {
        "exit_code": outcome.exit_code,
        "command": {"words": outcome.command, "exit_code": outcome.command_code, "seconds": outcome.seconds},
        "ignored": outcome.ignored,
    }
    if as_json:
        print_json(facts)
        return
    if outcome.ignored:
        say(not_counted(outcome.ignored))
    if outcome.report is not None:
        _print_outcome(outcome.report, patterns)
    for warning in outcome.warnings:
        logger.warning("%s", warning)
    if outcome.problem and not (outcome.report and outcome.report.report.problem == outcome.problem):  # its headline
        say(f"error: {outcome.problem}")
    if outcome.error is not None:
        say(f"error: {outcome.error.message}")
        if outcome.error.hint:
            say(f"hint: {outcome.error.hint}")


@click.command(cls=CollectFlags)
@click.argument("results", nargs=-1, metavar="[GLOB]...")
@click.option("--into", metavar="FOLDER", help="Where the bundle goes; by default `bundle` in artifact_dir.")
@common
def collect(
    results: tuple[str, ...],
    into: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
    **flags: Any,
) -> None:
    """Store results of a pull request from a fork.

    The untrusted half: a trusted build publishes what it stores. GLOB as for `report`. Nothing is judged, shown or
    remembered, and no token is needed.

    \b
    Example:
      ci-bridge collect 'reports/**/*.xml'
    """

    async def job(client: Client) -> tuple[Collection, str]:
        with Progress(enabled=not as_json) as on_progress:
            return await client.collect(results, into, on_progress=on_progress), client.platform.upload_step

    collection, step = with_client(job, flags_of(pairs, flags))
    receipt, total = collection.receipt, collection.totals.total
    code = 3 if not total else 4 if receipt.state == "failed" else 0
    step = step.replace("{folder}", _from_here(collection.path.parent)) if receipt.via == "folder" else ""
    if as_json:
        print_json(
            {
                "bundle": str(collection.path),
                "totals": _totals_facts(collection.totals),
                "inputs": _input_facts(collection.files),
                "receipt": receipt_facts(receipt),
                "step_to_add": step,
                "exit_code": code,
            }
        )
    else:
        for file in collection.files:
            if file.note:
                say(f"{file.path}: {file.state}, {file.note}")
        say(f"{total} cases collected in {collection.path}")
        if receipt.reason:
            say(f"bundle {receipt.state} via {receipt.via}: {receipt.reason}")
        if step:
            say("hint: add this step behind the one that collects; `ci-bridge publish` finds what it uploads:")
            for line in step.splitlines():
                say(f"  {line}")
    sys.exit(code)


def _from_here(folder: Path) -> str:
    here = Path.cwd()
    return (folder.relative_to(here) if folder.is_relative_to(here) else folder).as_posix()


@click.command(cls=OptionFlags)
@click.argument("bundles", nargs=-1, metavar="[PATH]...")
@common
def publish(bundles: tuple[str, ...], as_json: bool, pairs: tuple[str, ...], **flags: Any) -> None:
    """Judge and deliver what a fork's build collected.

    The trusted half: started by the build that collected. PATH names bundles, or folders of them, that a step
    before has downloaded. Without one, the platform's store is asked. The pull request comes from the code host,
    never from a bundle.

    \b
    Example:
      ci-bridge publish distributed_test_results/bundle
    """

    async def job(client: Client) -> tuple[ReportOutcome, Sequence[str]]:
        return await client.publish(bundles), client.platform.log_command_patterns

    outcome, patterns = with_client(job, flags_of(pairs, flags))
    _end(outcome, patterns, as_json=as_json)


def _end(outcome: ReportOutcome, patterns: Sequence[str], *, as_json: bool, hint: str = "") -> NoReturn:
    if as_json:
        print_json(outcome_facts(outcome))
    else:
        _print_outcome(outcome, patterns)
        if hint:
            say(f"hint: {hint}")
    sys.exit(outcome.exit_code)


def _print_outcome(outcome: ReportOutcome, patterns: Sequence[str]) -> None:
    from ci_bridge.report import print_terminal

    for warning in outcome.warnings:
        logger.warning("%s", warning)
    with people() as stream:
        print_terminal(
            outcome.report,
            stream=stream,
            color=has_color(),
            console_width=terminal_width(),
            patterns=patterns,
            base=f"{Path.cwd().resolve()}{os.sep}",
            every_receipt=logger.isEnabledFor(logging.DEBUG),
        )


def outcome_facts(outcome: ReportOutcome) -> dict[str, Any]:
    """The report in short, for scripts; the whole is in the file named by ``files.json``."""
    from ci_bridge.report import headline
    from ci_bridge.report.wording import verdict_counts

    report = outcome.report
    totals, judgement = report.results.totals, report.judgement
    return {
        "run_id": report.run.id,
        "state": str(report.state),
        "exit_code": outcome.exit_code,
        "headline": headline(report),
        "totals": _totals_facts(totals),
        "verdicts": {str(verdict): number for verdict, number in verdict_counts(report).items()},
        "baseline": None
        if judgement.baseline is None
        else {"branch": judgement.baseline.branch, "commit_sha": judgement.baseline.commit_sha},
        "inputs": _input_facts(report.results.files),
        "files": {name: str(path) for name, path in outcome.files.items()},
        "receipts": [receipt_facts(receipt) for receipt in report.receipts],
        "warnings": list(outcome.warnings),
    }


def _totals_facts(totals: Totals) -> dict[str, Any]:
    from dataclasses import asdict

    return {"total": totals.total, **asdict(totals)}


def _input_facts(files: Sequence[InputFile]) -> list[dict[str, Any]]:
    return [
        {"path": file.path, "format": file.format, "state": str(file.state), "cases": file.cases, "note": file.note}
        for file in files
    ]
