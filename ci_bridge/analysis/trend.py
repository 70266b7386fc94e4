"""How a performance number develops: statistics by group, and the points at which its level changed."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

Point = Mapping[str, Any]
"""A row of ``get_performance_metrics`` with ``branch commit_sha platform shard task_type`` for grouping."""

METRIC_THRESHOLD = 3.6
"""For one series: 630 false alerts in a million windows."""

MANY_TESTS_THRESHOLD = 4.8
"""For ten thousand series at once: at most one false alert in a million windows."""

WINDOW, RECENT, LEAST_SIDE, LEAST_CHANGE = 100, 25, 4, 0.03
LONGEST_SERIES = 1000

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "m": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A change of level. The median was ``before`` and is ``after`` from ``index`` on; ``z`` weighs the evidence."""

    index: int
    before: float
    after: float
    z: float

    @property
    def change(self) -> float:
        """Relative change: 0.1 is ten percent more."""
        return self.after / self.before - 1 if self.before else math.inf


def scan(
    values: Sequence[float], threshold: float = METRIC_THRESHOLD, *, least_change: float = LEAST_CHANGE
) -> ChangePoint | None:
    """Did the level change lately? The best split of the last 100 values by the sum of their ranks.

    The split lies among the last 25 values with at least 4 on each side. Where neighbours resemble each other, a split
    comes easily, so the threshold grows with the correlation of the residuals. Medians closer than ``least_change``
    (relative) are no change.

    Args:
        values: Finite numbers, oldest first.
        threshold: Standard deviations of the rank sum.
        least_change: Relative.
    """
    window = values[-WINDOW:]
    count = len(window)
    if count < 2 * LEAST_SIDE:
        return None
    ranks, ties = _ranks(window)
    spread = (count + 1 - ties / (count * (count - 1))) / 12
    if spread <= 0:
        return None
    best, split = 0.0, 0
    tail, expected = 0.0, (count + 1) / 2
    first = max(LEAST_SIDE, count - RECENT)
    for at in range(count - 1, first - 1, -1):
        tail += ranks[at]
        after = count - at
        if after < LEAST_SIDE:
            continue
        z = abs(tail - after * expected) / math.sqrt(at * after * spread)
        if z > best:
            best, split = z, at
    if best < threshold:
        return None
    before, later = statistics.median(window[:split]), statistics.median(window[split:])
    correlation = _correlation(window, split, before, later)
    if best < threshold * math.sqrt((1 + correlation) / (1 - correlation)):
        return None
    split = _locate(window, split, before, later)
    if min(split, count - split) < LEAST_SIDE:
        return None
    before, later = statistics.median(window[:split]), statistics.median(window[split:])
    if abs(later - before) <= least_change * abs(before):
        return None
    return ChangePoint(len(values) - count + split, before, later, best)


def _locate(window: Sequence[float], split: int, before: float, after: float) -> int:
    """Move a split to where the values around it are nearest to the two medians: ranks are blind to distances."""
    first, last = max(split - LEAST_SIDE, 0), min(split + LEAST_SIDE, len(window))
    costs = [0.0]
    for value in window[first:last]:
        costs.append(costs[-1] + abs(value - before) - abs(value - after))
    return first + min(range(len(costs)), key=lambda at: (costs[at], abs(first + at - split)))


def change_points(values: Sequence[float], threshold: float = METRIC_THRESHOLD) -> list[ChangePoint]:
    """Every change of level in a series, oldest first, as :func:`scan` finds them when values come in one by one."""
    found: list[tuple[int, float]] = []
    start, end = 0, 2 * LEAST_SIDE
    while end <= len(values):
        first = max(start, end - WINDOW)
        change = scan(values[first:end], threshold)
        if change is not None:
            start = first + change.index
            found.append((start, change.z))
            end = max(end, start + 2 * LEAST_SIDE - 1)
        end += 1
    edges = [0, *(index for index, _ in found), len(values)]
    levels = [statistics.median(values[a:b][:WINDOW]) for a, b in pairwise(edges)] if values else []
    return [ChangePoint(index, levels[at], levels[at + 1], z) for at, (index, z) in enumerate(found)]


def _ranks(values: Sequence[float]) -> tuple[list[float], int]:
    """Mean ranks from 1 on, and the sum of t³ - t over groups of t equal values."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks, ties, at = [0.0] * len(values), 0, 0
    while at < len(order):
        end = at + 1
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for place in order[at:end]:
            ranks[place] = (at + 1 + end) / 2
        size = end - at
        ties += size**3 - size
        at = end
    return ranks, ties


def _correlation(values: Sequence[float], split: int, before: float, after: float) -> float:
    """Lag-1 correlation of the residuals, within 0 and 0.9; outliers are cut at five times the median deviation."""
    residuals = [value - (before if at < split else after) for at, value in enumerate(values)]
    edge = 5 * statistics.median(abs(residual) for residual in residuals)
    residuals = [min(max(residual, -edge), edge) for residual in residuals]
    power = sum(residual * residual for residual in residuals)
    if not power or not math.isfinite(power):
        return 0.0
    return min(max(sum(a * b for a, b in pairwise(residuals)) / power, 0.0), 0.9)


def since(timeframe: str, now: datetime) -> datetime | None:
    """Where a timeframe begins: ``1d``, ``1w``, ``1m`` (30 days) or any ``<n>[hdwm]``; None for ``all``.

    Raises:
        ValueError: For anything else.
    """
    if timeframe == "all":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,5})([hdwm])", timeframe)
    if not found:
        raise ValueError(f"timeframe {timeframe!r} is not one of 1d, 1w, 1m, all or <number> with h, d, w or m")
    try:
        return now - int(found[1]) * _UNITS[found[2]]
    except OverflowError:
        return None


def _task_type(point: Point) -> str | None:
    """What the run said, else the task's id without its number: ``task-123`` is a ``task``."""
    return point.get("task_type") or re.sub(r"[-_:#. ]{0,3}\d{1,20}$", "", point.get("task_id") or "")


GROUPINGS: Mapping[str, Callable[[Point], str | None]] = {
    "branch": lambda point: point.get("branch"),
    "commit": lambda point: point.get("commit_sha"),
    "task_type": _task_type,
    "test": lambda point: point.get("task_id"),
    "platform": lambda point: point.get("platform"),
}


def analyze_trend(
    points: Iterable[Point],
    *,
    metric_name: str,
    unit: str | None = None,
    grouping: str = "branch",
    timeframe: str = "1w",
    limit: int | None = None,
    now: datetime,
    threshold: float = METRIC_THRESHOLD,
) -> dict[str, Any]:
    """Statistics of one metric, overall and by group, with its changes of level.

    Args:
        points: See :data:`Point`; those of other metrics or out of the timeframe are left out of the statistics.
            Changes are looked for in all of them, and told if they happened within the timeframe.
        metric_name: Which metric.
        unit: Which unit; None takes that of the newest point. Points in another unit are left out, and ``message``
            says so.
        grouping: ``branch commit task_type test platform``.
        timeframe: See :func:`since`.
        limit: Groups at most, those with the newest points first; None for all.
        now: The end of the timeframe.
        threshold: Of :func:`scan`.

    Raises:
        ValueError: For a grouping or a timeframe that does not exist, and for a value that is not finite.
    """
    if grouping not in GROUPINGS:
        raise ValueError(f"grouping {grouping!r} does not exist; there are {', '.join(GROUPINGS)}")
    begin = since(timeframe, now)
    own = [(_moment(point["recorded_at"]), point) for point in points if point["metric_name"] == metric_name]
    own.sort(key=lambda item: item[0])
    for _, point in own:
        if not math.isfinite(point["metric_value"]):
            raise ValueError(f"the metric {metric_name!r} holds {point['metric_value']}, which is not a finite number")
    wanted = unit if unit is not None else (own[-1][1].get("unit") or "" if own else "")
    same = [(at, point) for at, point in own if (point.get("unit") or "") == wanted]
    within = [(at, point) for at, point in same if begin is None or at >= begin]
    values: dict[str, list[float]] = {}
    for _, point in reversed(within):
        values.setdefault(GROUPINGS[grouping](point) or "(none)", []).append(point["metric_value"])
    names = [*values] if limit is None else [*values][: max(limit, 0)]
    result = {
        "metric_name": metric_name,
        "unit": wanted,
        "grouping": grouping,
        "timeframe": timeframe,
        "overall": _summary([point["metric_value"] for _, point in within]),
        "groups": [{"name": name, **_summary(values[name])} for name in names],
        "change_points": _changes(same, begin, wanted, threshold),
    }
    if not within:
        result["message"] = f"no values of {metric_name} in the timeframe {timeframe}"
    elif len(same) < len(own):
        others = Counter(point.get("unit") or "no unit" for _, point in own if (point.get("unit") or "") != wanted)
        result["message"] = "left out: " + ", ".join(f"{count} in {name}" for name, count in sorted(others.items()))
    return result


def _moment(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _summary(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"count": 0, **dict.fromkeys(("avg", "min", "max", "std_dev", "p50", "p95"), 0.0)}
    ordered = sorted(values)
    # Scaled, so that the sum of great numbers does not overflow.
    scale = max(abs(ordered[0]), abs(ordered[-1])) or 1.0
    small = [value / scale for value in ordered]
    return {
        "count": len(ordered),
        "avg": min(max(statistics.fmean(small) * scale, ordered[0]), ordered[-1]),
        "min": ordered[0],
        "max": ordered[-1],
        "std_dev": min(statistics.stdev(small) * scale, 1.7976931348623157e308) if len(small) > 1 else 0.0,
        "p50": _quantile(ordered, 0.5),
        "p95": _quantile(ordered, 0.95),
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    weight = place - low
    return ordered[low] * (1 - weight) + ordered[high] * weight


def _changes(
    points: Sequence[tuple[datetime, Point]], begin: datetime | None, unit: str, threshold: float
) -> list[dict[str, Any]]:
    """Change points of each series (task, branch, platform, shard), the newest first."""
    series: dict[tuple[Any, ...], list[tuple[datetime, Point]]] = {}
    for at, point in points:
        key = tuple(point.get(part) for part in ("task_id", "branch", "platform", "shard"))
        series.setdefault(key, []).append((at, point))
    found = []
    for (task, branch, platform, shard), whole in series.items():
        items = whole[-LONGEST_SERIES:]
        for change in change_points([point["metric_value"] for _, point in items], threshold):
            at, point = items[change.index]
            if begin is None or at >= begin:
                found.append((at, {
                    "at": at.isoformat(), "run_id": point.get("run_id"), "commit_sha": point.get("commit_sha"),
                    "task_id": task, "branch": branch, "platform": platform, "shard": shard, "before": change.before,
                    "after": change.after, "change": change.change if change.before else None, "z": change.z,
                    "runs": len(items) - change.index, "text": _text(change, len(items) - change.index, unit, point),
                }))  # fmt: skip
    found.sort(key=lambda item: item[0], reverse=True)
    return [change for _, change in found]


def _text(change: ChangePoint, runs: int, unit: str, point: Point) -> str:
    suffix = f" {unit}" if unit else ""
    commit = point.get("commit_sha")
    where = f"commit {commit[:7]}" if commit else f"run {point.get('run_id')}"
    percent = f", {change.change:+.0%}" if change.before else ""
    count = "1 value" if runs == 1 else f"{runs} values"
    return f"since {where} ({count}) median {change.after:.4g}{suffix} against {change.before:.4g}{suffix}{percent}"
