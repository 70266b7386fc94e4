"""Commands on what is remembered: ``history`` and ``metric``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from ci_bridge.cli.frame import finish, flags_of, with_client
from ci_bridge.cli.program import Group, common
from ci_bridge.console import day_and_time, print_json, print_line, print_rows, print_table, say, shown

if TYPE_CHECKING:
    from ci_bridge.client import Client
    from ci_bridge.models import Receipt


@click.group(cls=Group)
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
    rows = with_client(lambda client: client.get_test_history(limit, branch), flags_of(pairs), prints=True)
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
    rows = with_client(lambda client: client.get_tests(pattern, limit=limit), flags_of(pairs), prints=True)
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
    checked = with_client(lambda client: client.check_history(path), flags_of(pairs), prints=True)
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
    dropped = with_client(lambda client: client.prune_history(days, force=force), flags_of(pairs))
    if as_json:
        print_json({"dropped_runs": dropped})
    else:
        say(f"{dropped} runs dropped")


@history.command("compact")
@click.option("--force", is_flag=True, help="Even if there was a base an hour ago, or more than half of the runs go.")
@common
def history_compact(force: bool, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Make a new base of a history that travels.

    \b
    Example:
      ci-bridge history compact
    """
    done = with_client(lambda client: client.compact_history(force=force), flags_of(pairs))
    if as_json:
        print_json({"compacted": done.startswith("compacted"), "detail": done})
    else:
        say(done)


@history.command("forget")
@click.argument("run")
@common
def history_forget(run: str, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Drop the run with the id RUN for good.

    Nothing that is stored brings it back.

    \b
    Example:
      ci-bridge history forget 019a2e41-6d3c-7c0e-9a52-2f6d3f1c8b77
    """
    found = with_client(lambda client: client.forget_run(run), flags_of(pairs))
    if as_json:
        print_json({"run": run, "was_there": found})
    else:
        say(f"run {run} " + ("forgotten" if found else "was not in the history; it stays out of it"))


@click.group(cls=Group)
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

    finish(with_client(job, flags_of(pairs)), as_json=as_json)


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
    rows = with_client(
        lambda client: client.get_performance_metrics(run, name, task_id=task, limit=limit),
        flags_of(pairs),
        prints=True,
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
    trend = with_client(
        lambda client: client.analyze_performance_trends(name, grouping, timeframe, limit),
        flags_of(pairs),
        prints=True,
    )
    if as_json:
        print_json(trend)
        return
    if not trend["overall"]["count"]:
        say(trend["message"])
        return
    keys = ("count", "avg", "min", "max", "std_dev", "p50", "p95")
    rows = [("all", *(shown(trend["overall"][key]) for key in keys))]
    rows += [(group["name"], *(shown(group[key]) for key in keys)) for group in trend["groups"]]
    print_table((trend["grouping"], *keys), rows)
    for change in trend["change_points"]:
        print_line(change["text"] if "text" in change else json.dumps(change, default=str))
    if trend.get("message"):
        say(trend["message"])
