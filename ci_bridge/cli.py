"""The command line: parse, make one client call, print.

Verdicts and warnings are for people and go to stderr; tables and JSON are data and go to stdout.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ci_bridge._version import __version__
from ci_bridge.console import (
    Progress,
    has_color,
    minute,
    print_json,
    print_line,
    print_rows,
    print_table,
    say,
    shown,
    terminal_width,
)
from ci_bridge.errors import CIBridgeError, ConfigError

if TYPE_CHECKING:
    from ci_bridge.client import Client
    from ci_bridge.config import LoadedSettings
    from ci_bridge.models import Receipt
    from ci_bridge.reporting import ReportOutcome

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


def _common(command: Command) -> Command:
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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ci-bridge")
def main() -> None:
    """Bring test results home to whichever CI system runs the job.

    \b
    Example:
      ci-bridge report 'reports/**/*.xml'
    """


@main.command(cls=OptionFlags)
@click.argument("results", nargs=-1, metavar="[GLOB]...")
@_common
def report(
    results: tuple[str, ...], as_json: bool, pairs: tuple[str, ...], directory: str | None, **flags: Any
) -> None:
    """Read results, judge them against the history, deliver them, remember them.

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

    outcome, patterns = _with_client(job, _flags(pairs, flags), directory, as_json=as_json)
    if as_json:
        print_json(_outcome_facts(outcome))
    else:
        from ci_bridge.report import print_terminal

        for warning in outcome.warnings:
            say(f"warning: {warning}")
        print_terminal(
            outcome.report,
            stream=sys.stderr,
            color=has_color(),
            console_width=terminal_width(),
            patterns=patterns,
            base=f"{Path(directory or '').resolve()}{os.sep}",
        )
    sys.exit(outcome.exit_code)


@main.command()
@_common
def detect(as_json: bool, pairs: tuple[str, ...], directory: str | None) -> None:
    """Say which platform and build this is, and where each fact came from.

    \b
    Example:
      ci-bridge detect --json
    """
    from ci_bridge import platforms

    with _errors(as_json=as_json):
        _, platform, context = _prepare(pairs, directory)
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
        rows += [
            (name, shown(value), context.origins.get(name, "")) for name, value in facts.items() if value is not None
        ]
        print_table(("field", "value", "from"), rows)
        for name, reason in platforms.problems().items():
            say(f"warning: the platform {name} of another package cannot be used: {reason}")
        if platform.connect is None:
            say(f"{platform.title} has no adapter in this version: deliveries go to files, as on a laptop.")


@main.command()
@_common
def config(as_json: bool, pairs: tuple[str, ...], directory: str | None) -> None:
    """Show every option, its value and where the value came from.

    \b
    Example:
      ci-bridge config
    """
    from ci_bridge.config import describe

    with _errors(as_json=as_json):
        loaded, _, _ = _prepare(pairs, directory)
        rows = describe(loaded)
        if as_json:
            print_json({name: {"value": _json_value(loaded, name), "origin": origin} for name, _, origin in rows})
        else:
            print_table(("option", "value", "from"), rows)
        for warning in loaded.warnings:
            say(f"warning: {warning}")


@main.command()
@click.argument("text", required=False)
@click.option(
    "--file",
    "-f",
    type=click.File("r", encoding="utf-8", errors="replace"),
    help="Read the text from a file, - for stdin.",
)
@click.option("--pr", help="Number of the pull request; by default that of the build.")
@click.option("--key", default="comment", show_default=True, help="The comment with this key is updated.")
@_common
def comment(
    text: str | None, file: Any, pr: str | None, key: str, as_json: bool, pairs: tuple[str, ...], directory: str | None
) -> None:
    """Comment on the pull request; the next comment with the same key replaces this one.

    \b
    Example:
      ci-bridge comment --pr 42 'Coverage is **91 %**'
    """
    body = _text_of(text, file)

    async def job(client: Client) -> Receipt:
        number = pr or client.context.pr_number
        if not number:
            raise ConfigError("this build has no pull request", hint="name one with --pr")
        return await client.add_pr_comment(number, body, key=key)

    _finish(_with_client(job, _flags(pairs), directory, as_json=as_json), as_json=as_json)


@main.command()
@click.argument("state", type=click.Choice(["pending", "success", "failure", "error"]))
@click.option("--context", "-c", default="ci-bridge", show_default=True, help="Name of the status.")
@click.option("--description", "-d", default="", help="One line.")
@click.option("--url", help="Where a click leads.")
@click.option("--sha", help="The commit; by default that of the build.")
@_common
def status(
    state: str,
    context: str,
    description: str,
    url: str | None,
    sha: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
    directory: str | None,
) -> None:
    """Set a status on the commit.

    \b
    Example:
      ci-bridge status success -c deploy/preview -d 'is up' --sha abcdef123456
    """

    async def job(client: Client) -> Receipt:
        commit = sha or client.context.status_sha
        if not commit:
            raise ConfigError("the commit is not known", hint="name one with --sha")
        return await client.set_status(commit, state, context, description, url)

    _finish(_with_client(job, _flags(pairs), directory, as_json=as_json), as_json=as_json)


@main.command()
@click.argument("text", required=False)
@click.option(
    "--file",
    "-f",
    type=click.File("r", encoding="utf-8", errors="replace"),
    help="Read the text from a file, - for stdin.",
)
@_common
def summary(text: str | None, file: Any, as_json: bool, pairs: tuple[str, ...], directory: str | None) -> None:
    """Show Markdown on the build's own page.

    \b
    Example:
      ci-bridge summary '## Deployed to preview'
    """
    body = _text_of(text, file)
    receipt = _with_client(lambda client: client.write_summary(body), _flags(pairs), directory, as_json=as_json)
    _finish(receipt, as_json=as_json)


@main.group()
def artifact() -> None:
    """Keep files beyond the build, and fetch them.

    \b
    Example:
      ci-bridge artifact list
    """


@artifact.command("upload")
@click.argument("paths", nargs=-1, required=True)
@click.option("--name", help="For people and for `download`; by default the file's name.")
@click.option("--category", help="One of artifact_categories; by default it follows from the suffix.")
@click.option("--run", help="The test run it belongs to; by default this build's.")
@_common
def artifact_upload(
    paths: tuple[str, ...],
    name: str | None,
    category: str | None,
    run: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
    directory: str | None,
) -> None:
    """Keep files beyond the build.

    \b
    Example:
      ci-bridge artifact upload README.md --name 'Read me'
    """

    async def job(client: Client) -> list[Receipt]:
        run_id = run or await client.current_run_id()
        return [await client.upload_artifact(run_id, path, name, category=category) for path in paths]

    _finish(*_with_client(job, _flags(pairs), directory, as_json=as_json), as_json=as_json)


@artifact.command("download")
@click.argument("name")
@click.argument("output", required=False)
@click.option("--run", help="The test run it belongs to; by default the newest that has it.")
@_common
def artifact_download(
    name: str, output: str | None, run: str | None, as_json: bool, pairs: tuple[str, ...], directory: str | None
) -> None:
    """Fetch the newest kept file of this name, to OUTPUT or to a file of its name here.

    \b
    Example:
      ci-bridge artifact download 'Read me' readme-copy.md
    """
    # The stored name is data: only its last component can become a file name here.
    target = output or Path(name.replace("\\", "/")).name or "artifact"
    receipt = _with_client(
        lambda client: client.download_artifact(run, name, target), _flags(pairs), directory, as_json=as_json
    )
    _finish(receipt, as_json=as_json)


@artifact.command("list")
@click.option("--run", help="Only of this test run.")
@click.option("--category", help="Only of this category.")
@_common
def artifact_list(
    run: str | None, category: str | None, as_json: bool, pairs: tuple[str, ...], directory: str | None
) -> None:
    """List kept files, newest first.

    \b
    Example:
      ci-bridge artifact list --category reports
    """
    found = _with_client(
        lambda client: client.list_artifacts(run, category=category), _flags(pairs), directory, as_json=as_json
    )
    if as_json:
        from dataclasses import asdict

        print_json([asdict(item) for item in found])
        return
    print_table(
        ("name", "category", "bytes", "created", "expires", "run"),
        [
            (item.name, item.category, str(item.size), minute(item.created_at), minute(item.expires_at), item.run_id)
            for item in found
        ],
    )


@main.group()
def history() -> None:
    """Look at and tend the history.

    \b
    Example:
      ci-bridge history runs
    """


@history.command("runs")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="Most rows.")
@click.option("--branch", help="Only of this branch.")
@_common
def history_runs(limit: int, branch: str | None, as_json: bool, pairs: tuple[str, ...], directory: str | None) -> None:
    """List test runs, newest first.

    \b
    Example:
      ci-bridge history runs --limit 5
    """
    rows = _with_client(
        lambda client: client.get_test_history(limit, branch), _flags(pairs), directory, as_json=as_json
    )
    print_rows(
        rows,
        ("created_at", "status", "branch", "commit_sha", "total_tasks", "failed_tasks", "duration", "id"),
        as_json=as_json,
    )


@history.command("tests")
@click.argument("pattern", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="Most rows.")
@_common
def history_tests(
    pattern: str | None, limit: int, as_json: bool, pairs: tuple[str, ...], directory: str | None
) -> None:
    """List tests with their record, the most troublesome first. PATTERN is a part of the name.

    \b
    Example:
      ci-bridge history tests cart
    """
    rows = _with_client(
        lambda client: client.get_tests(pattern, limit=limit), _flags(pairs), directory, as_json=as_json
    )
    print_rows(rows, (), as_json=as_json)


@history.command("check")
@click.argument("path", required=False)
@_common
def history_check(path: str | None, as_json: bool, pairs: tuple[str, ...], directory: str | None) -> None:
    """Say whether a history file is sound. Exit code 3 if not.

    \b
    Example:
      ci-bridge history check distributed_test_results/history.sqlite
    """
    checked = _with_client(lambda client: client.check_history(path), _flags(pairs), directory, as_json=as_json)
    if as_json:
        print_json(checked)
    else:
        print_table(("fact", "value"), [(name, shown(value)) for name, value in checked.items()])
    sys.exit(0 if checked["sound"] else 3)


@history.command("prune")
@click.option("--days", type=click.IntRange(1), help="Days to keep; by default history_retention_days.")
@click.option("--force", is_flag=True, help="Even if more than half of the runs go.")
@_common
def history_prune(days: int | None, force: bool, as_json: bool, pairs: tuple[str, ...], directory: str | None) -> None:
    """Drop runs older than the retention.

    \b
    Example:
      ci-bridge history prune --days 30
    """
    dropped = _with_client(
        lambda client: client.prune_history(days, force=force), _flags(pairs), directory, as_json=as_json
    )
    if as_json:
        print_json({"dropped_runs": dropped})
    else:
        say(f"{dropped} runs dropped")


@main.group()
def metric() -> None:
    """Record performance numbers and see how they move.

    \b
    Example:
      ci-bridge metric record startup 1.23 --unit seconds
    """


@metric.command("record")
@click.argument("name")
@click.argument("value", type=float)
@click.option("--unit", default="", help="For people, `seconds` for instance.")
@click.option("--task", help="What was measured within the run.")
@click.option("--run", help="The test run it belongs to; by default this build's.")
@_common
def metric_record(
    name: str,
    value: float,
    unit: str,
    task: str | None,
    run: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
    directory: str | None,
) -> None:
    """Remember a number.

    \b
    Example:
      ci-bridge metric record startup 1.23 --unit seconds
    """

    async def job(client: Client) -> Receipt:
        run_id = run or await client.current_run_id()
        receipt = await client.record_performance_metric(run_id, task, name, value, unit)
        saved = await client.flush()
        return receipt if saved else saved

    _finish(_with_client(job, _flags(pairs), directory, as_json=as_json), as_json=as_json)


@metric.command("show")
@click.argument("name", required=False)
@click.option("--run", help="Only of this test run.")
@click.option("--task", help="Only of this task.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="Most rows.")
@_common
def metric_show(
    name: str | None,
    run: str | None,
    task: str | None,
    limit: int,
    as_json: bool,
    pairs: tuple[str, ...],
    directory: str | None,
) -> None:
    """List recorded numbers, oldest first: the newest --limit of them.

    \b
    Example:
      ci-bridge metric show startup
    """
    rows = _with_client(
        lambda client: client.get_performance_metrics(run, name, task_id=task, limit=limit),
        _flags(pairs),
        directory,
        as_json=as_json,
    )
    print_rows(rows, ("recorded_at", "metric_name", "metric_value", "unit", "task_id", "run_id"), as_json=as_json)


@metric.command("trend")
@click.argument("name")
@click.option("--grouping", default="branch", show_default=True, help="branch, commit, task_type, test or platform.")
@click.option("--timeframe", default="1w", show_default=True, help="1d, 1w, 1m, all or any <n>[hdwm].")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1), help="Most groups.")
@_common
def metric_trend(
    name: str,
    grouping: str,
    timeframe: str,
    limit: int,
    as_json: bool,
    pairs: tuple[str, ...],
    directory: str | None,
) -> None:
    """Show a metric's statistics and where it changed.

    \b
    Example:
      ci-bridge metric trend startup --timeframe 1m
    """
    trend = _with_client(
        lambda client: client.analyze_performance_trends(name, grouping, timeframe, limit),
        _flags(pairs),
        directory,
        as_json=as_json,
    )
    if as_json:
        print_json(trend)
        return
    keys = ("count", "avg", "min", "max", "std_dev", "p50", "p95")
    rows = [("all", *(shown(trend["overall"][key]) for key in keys))]
    rows += [(group["name"], *(shown(group[key]) for key in keys)) for group in trend["groups"]]
    print_table((trend["grouping"], *keys), rows)
    for change in trend["change_points"]:
        print_line(change["text"] if "text" in change else json.dumps(change, default=str))
    if trend.get("message"):
        say(trend["message"])


def _flags(pairs: Sequence[str], flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
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


def _prepare(pairs: Sequence[str], directory: str | None) -> tuple[LoadedSettings, Any, Any]:
    from ci_bridge.preparation import prepare

    return prepare(None, os.environ, directory, _flags(pairs))


def _with_client(
    job: Callable[[Client], Awaitable[T]], flags: Mapping[str, Any], directory: str | None, *, as_json: bool
) -> T:
    """Open a client, run one job on it, and stop at once when the runner says so."""
    from ci_bridge.client import open_client
    from ci_bridge.stopping import OnStop, supervised

    async def body(on_stop: OnStop) -> T:
        async with open_client(flags=flags, directory=directory, log=say) as client:
            on_stop(client.stop)
            return await job(client)

    with _errors(as_json=as_json):
        return supervised(body, say)


class _errors:  # noqa: N801 - reads as a statement
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


def _finish(*receipts: Receipt, as_json: bool) -> None:
    """Print receipts; exit code 4 if the delivery asked for was not made."""
    if as_json:
        facts = [_receipt_facts(receipt) for receipt in receipts]
        print_json(facts[0] if len(facts) == 1 else facts)
    else:
        for receipt in receipts:
            parts = [receipt.channel, receipt.state, f"via {receipt.via}" if receipt.via else "", receipt.url or ""]
            say(" ".join(part for part in parts if part) + (f" - {receipt.reason}" if receipt.reason else ""))
    if any(receipt.state in ("failed", "unsupported") for receipt in receipts):
        sys.exit(4)


def _receipt_facts(receipt: Receipt) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(receipt)


def _outcome_facts(outcome: ReportOutcome) -> dict[str, Any]:
    """The report in short, for scripts; the whole is in the file named by ``files.json``."""
    from ci_bridge.report import headline

    report = outcome.report
    totals, judgement = report.results.totals, report.judgement
    return {
        "run_id": report.run.id,
        "state": str(report.state),
        "exit_code": outcome.exit_code,
        "headline": headline(report),
        "totals": {
            "total": totals.total,
            "passed": totals.passed,
            "failed": totals.failed,
            "error": totals.error,
            "skipped": totals.skipped,
            "flaky": totals.flaky,
            "duration": totals.duration,
        },
        "verdicts": {str(verdict): number for verdict, number in judgement.counts.items()},
        "baseline": None
        if judgement.baseline is None
        else {"branch": judgement.baseline.branch, "commit_sha": judgement.baseline.commit_sha},
        "inputs": [
            {"path": file.path, "format": file.format, "state": str(file.state), "cases": file.cases, "note": file.note}
            for file in report.results.files
        ],
        "files": {name: str(path) for name, path in outcome.files.items()},
        "receipts": [_receipt_facts(receipt) for receipt in report.receipts],
        "warnings": list(outcome.warnings),
    }


def _text_of(text: str | None, file: Any) -> str:
    if (text is None) == (file is None):
        raise click.UsageError("give the text as an argument, or a file with --file (- for stdin)")
    return text if text is not None else str(file.read())


def _json_value(loaded: LoadedSettings, name: str) -> Any:
    from ci_bridge.config import Secret

    value = getattr(loaded.settings, name)
    return "***" if isinstance(value, Secret) else value


if __name__ == "__main__":
    main()
