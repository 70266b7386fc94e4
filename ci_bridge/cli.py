"""The command line: parse, make one client call, print.

Verdicts and warnings are for people and go to stderr; tables and JSON are data and go to stdout.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ci_bridge._version import __version__
from ci_bridge.console import (
    Progress,
    day_and_time,
    has_color,
    minute,
    people,
    print_json,
    print_line,
    print_rows,
    print_table,
    say,
    shown,
    terminal_width,
)
from ci_bridge.errors import ConfigError
from ci_bridge.program import OptionFlags, Program, common, directory

if TYPE_CHECKING:
    from ci_bridge.client import Client
    from ci_bridge.config import LoadedSettings
    from ci_bridge.models import Receipt
    from ci_bridge.reporting import ReportOutcome

T = TypeVar("T")

logger = logging.getLogger("ci_bridge")


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ci-bridge")
@directory
def main() -> None:
    """Bring test results home to whichever CI system runs the job.

    \b
    Example:
      ci-bridge report 'reports/**/*.xml'
    """


@main.command(cls=OptionFlags)
@click.argument("results", nargs=-1, metavar="[GLOB]...")
@common
def report(results: tuple[str, ...], as_json: bool, pairs: tuple[str, ...], **flags: Any) -> None:
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

    outcome, patterns = _with_client(job, _flags(pairs, flags))
    if as_json:
        print_json(_outcome_facts(outcome))
    else:
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
            )
        if not results and not outcome.report.results.files:
            say("hint: say where the result files are: ci-bridge report 'path/**/*.xml'")
    sys.exit(outcome.exit_code)


@main.command()
@common
def detect(as_json: bool, pairs: tuple[str, ...]) -> None:
    """Say which platform and build this is, and where each fact came from.

    \b
    Example:
      ci-bridge detect --json
    """
    from ci_bridge import platforms

    _, platform, context = _prepare(pairs)
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
        logger.warning("the platform %s of another package cannot be used: %s", name, reason)
    if platform.connect is None:
        say(f"{platform.title} has no adapter in this version: deliveries go to files, as on a laptop.")


@main.command()
@common
def config(as_json: bool, pairs: tuple[str, ...]) -> None:
    """Show every option, its value and where the value came from.

    \b
    Example:
      ci-bridge config
    """
    from ci_bridge.config import describe

    loaded, _, _ = _prepare(pairs)
    rows = describe(loaded)
    if as_json:
        print_json({name: {"value": _json_value(loaded, name), "origin": origin} for name, _, origin in rows})
    else:
        print_table(("option", "value", "from"), rows)


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
@common
def comment(text: str | None, file: Any, pr: str | None, key: str, as_json: bool, pairs: tuple[str, ...]) -> None:
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

    _finish(_with_client(job, _flags(pairs)), as_json=as_json)


@main.command()
@click.argument("state", type=click.Choice(["pending", "success", "failure", "error"]))
@click.option("--context", "-c", default="ci-bridge", show_default=True, help="Name of the status.")
@click.option("--description", "-d", default="", help="One line.")
@click.option("--url", help="Where a click leads.")
@click.option("--sha", help="The commit; by default that of the build.")
@common
def status(
    state: str,
    context: str,
    description: str,
    url: str | None,
    sha: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
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

    _finish(_with_client(job, _flags(pairs)), as_json=as_json)


@main.command()
@click.argument("text", required=False)
@click.option(
    "--file",
    "-f",
    type=click.File("r", encoding="utf-8", errors="replace"),
    help="Read the text from a file, - for stdin.",
)
@common
def summary(text: str | None, file: Any, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Show Markdown on the build's own page.

    \b
    Example:
      ci-bridge summary '## Deployed to preview'
    """
    body = _text_of(text, file)
    receipt = _with_client(lambda client: client.write_summary(body), _flags(pairs))
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
@common
def artifact_upload(
    paths: tuple[str, ...],
    name: str | None,
    category: str | None,
    run: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
) -> None:
    """Keep files beyond the build.

    \b
    Example:
      ci-bridge artifact upload README.md --name 'Read me'
    """
    if name and len(paths) > 1:
        raise click.UsageError("--name is for one path; without it each file keeps its own name")
    names = {paths[0]: name} if name else _names_of(paths)

    async def job(client: Client) -> list[Receipt]:
        run_id = run or await client.current_run_id()
        return [await client.upload_artifact(run_id, path, names[path], category=category) for path in names]

    _finish(*_with_client(job, _flags(pairs)), as_json=as_json)


def _names_of(paths: Sequence[str]) -> dict[str, str | None]:
    """What kept files are called: as the client does it, but by their paths where two would share a name."""
    given = list(dict.fromkeys(paths))
    names = Counter(Path(path).name for path in given)
    folders = len(given) > 1 and any(Path(path).is_dir() for path in given)
    clash = folders or max(names.values()) > 1
    return {path: Path(os.path.relpath(path)).as_posix() if clash else None for path in given}


@artifact.command("download")
@click.argument("name")
@click.argument("output", required=False)
@click.option("--run", help="The test run it belongs to; by default the newest that has it.")
@common
def artifact_download(name: str, output: str | None, run: str | None, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Fetch the newest kept file of this name, to OUTPUT or to a file of its name here.

    \b
    Example:
      ci-bridge artifact download 'Read me' readme-copy.md
    """
    # The stored name is data: only its last component can become a file name here.
    target = output or Path(name.replace("\\", "/")).name or "artifact"
    receipt = _with_client(lambda client: client.download_artifact(run, name, target), _flags(pairs))
    _finish(receipt, as_json=as_json)


@artifact.command("list")
@click.option("--run", help="Only of this test run.")
@click.option("--category", help="Only of this category.")
@common
def artifact_list(run: str | None, category: str | None, as_json: bool, pairs: tuple[str, ...]) -> None:
    """List kept files, newest first.

    \b
    Example:
      ci-bridge artifact list --category reports
    """
    found = _with_client(lambda client: client.list_artifacts(run, category=category), _flags(pairs))
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
@common
def history_runs(limit: int, branch: str | None, as_json: bool, pairs: tuple[str, ...]) -> None:
    """List test runs, newest first.

    \b
    Example:
      ci-bridge history runs --limit 5
    """
    rows = _with_client(lambda client: client.get_test_history(limit, branch), _flags(pairs))
    print_rows(
        rows,
        {
            "created": lambda row: day_and_time(row["created_at"]),
            "status": "status",
            "branch": "branch",
            "commit": lambda row: (row["commit_sha"] or "")[:7],
            "failed": "failed_tasks",
            "of": "total_tasks",
            "seconds": lambda row: f"{row['duration']:.1f}",
            "id": "id",
        },
        as_json=as_json,
    )


@history.command("tests")
@click.argument("pattern", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="Most rows.")
@common
def history_tests(pattern: str | None, limit: int, as_json: bool, pairs: tuple[str, ...]) -> None:
    """List tests with their record, the most troublesome first. PATTERN is a part of the name.

    \b
    Example:
      ci-bridge history tests cart
    """
    rows = _with_client(lambda client: client.get_tests(pattern, limit=limit), _flags(pairs))
    print_rows(
        rows,
        {
            "runs": "runs",
            "failures": "failures",
            "flips": "flips",
            "last": "last_status",
            "last run": lambda row: day_and_time(row["last_run"]),
            "p50 (s)": "p50",
            "test": "test",
        },
        as_json=as_json,
    )


@history.command("check")
@click.argument("path", required=False)
@common
def history_check(path: str | None, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Say whether a history file is sound. Exit code 3 if not.

    \b
    Example:
      ci-bridge history check distributed_test_results/history.sqlite
    """
    checked = _with_client(lambda client: client.check_history(path), _flags(pairs))
    if as_json:
        print_json(checked)
    else:
        print_table(("fact", "value"), [(name, shown(value)) for name, value in checked.items()])
    sys.exit(0 if checked["sound"] else 3)


@history.command("prune")
@click.option("--days", type=click.IntRange(1), help="Days to keep; by default history_retention_days.")
@click.option("--force", is_flag=True, help="Even if more than half of the runs go.")
@common
def history_prune(days: int | None, force: bool, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Drop runs older than the retention.

    \b
    Example:
      ci-bridge history prune --days 30
    """
    dropped = _with_client(lambda client: client.prune_history(days, force=force), _flags(pairs))
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
@common
def metric_record(
    name: str,
    value: float,
    unit: str,
    task: str | None,
    run: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
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

    _finish(_with_client(job, _flags(pairs)), as_json=as_json)


@metric.command("show")
@click.argument("name", required=False)
@click.option("--run", help="Only of this test run.")
@click.option("--task", help="Only of this task.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="Most rows.")
@common
def metric_show(
    name: str | None,
    run: str | None,
    task: str | None,
    limit: int,
    as_json: bool,
    pairs: tuple[str, ...],
) -> None:
    """List recorded numbers, oldest first: the newest --limit of them.

    \b
    Example:
      ci-bridge metric show startup
    """
    rows = _with_client(
        lambda client: client.get_performance_metrics(run, name, task_id=task, limit=limit),
        _flags(pairs),
    )
    print_rows(
        rows,
        {
            "recorded": lambda row: day_and_time(row["recorded_at"]),
            "metric": "metric_name",
            "value": "metric_value",
            "unit": "unit",
            "task": "task_id",
            "run": "run_id",
        },
        as_json=as_json,
    )


@metric.command("trend")
@click.argument("name")
@click.option("--grouping", default="branch", show_default=True, help="branch, commit, task_type, test or platform.")
@click.option("--timeframe", default="1w", show_default=True, help="1d, 1w, 1m, all or any <n>[hdwm].")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1), help="Most groups.")
@common
def metric_trend(
    name: str,
    grouping: str,
    timeframe: str,
    limit: int,
    as_json: bool,
    pairs: tuple[str, ...],
) -> None:
    """Show a metric's statistics and where it changed.

    \b
    Example:
      ci-bridge metric trend startup --timeframe 1m
    """
    trend = _with_client(
        lambda client: client.analyze_performance_trends(name, grouping, timeframe, limit),
        _flags(pairs),
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


def _here() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a text, as the configuration takes it
    except FileNotFoundError:
        raise ConfigError("the current folder does not exist any more", hint="name another one with -C") from None


def _prepare(pairs: Sequence[str]) -> tuple[LoadedSettings, Any, Any]:
    folder = _here()
    from ci_bridge.preparation import prepare

    loaded, platform, context = prepare(None, os.environ, folder, _flags(pairs))
    if loaded.settings.detailed_logging:
        logger.setLevel(logging.DEBUG)
    _log_origins(loaded)
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    return loaded, platform, context


def _log_origins(loaded: LoadedSettings) -> None:
    logger.info("ci-bridge %s in %s", __version__, _here())
    for name, origin in loaded.origins.items():
        if origin != "default":
            logger.debug("option %s from %s", name, origin)


def _with_client(job: Callable[[Client], Awaitable[T]], flags: Mapping[str, Any]) -> T:
    """Open a client, run one job on it, and stop at once when the runner says so."""
    folder = _here()  # before the imports: Python 3.13.0 cannot import everything from a folder that is gone
    from ci_bridge.client import open_client
    from ci_bridge.stopping import OnStop, supervised

    async def body(on_stop: OnStop) -> T:
        async with open_client(flags=flags, directory=folder, log=say) as client:
            on_stop(client.stop)
            _log_origins(client.loaded)
            logger.info("platform %s, delivering to %s", client.platform.title, ", ".join(client.capabilities))
            return await job(client)

    return supervised(body, say)


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
