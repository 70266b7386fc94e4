"""Changes of level are found, noise is not called a change, and the statistics are what they say."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ci_bridge.analysis import analyze_trend, change_points, scan, since
from ci_bridge.analysis.trend import MANY_TESTS_THRESHOLD, METRIC_THRESHOLD

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def noise(seed: int, spread: float, correlation: float = 0.0) -> Callable[[], float]:
    """Factors around 1, log-normal, each resembling the one before as much as is said."""
    chance, state = random.Random(seed), 0.0

    def draw() -> float:
        nonlocal state
        state = correlation * state + math.sqrt(1 - correlation**2) * chance.gauss(0, 1)
        return math.exp(spread * state)

    return draw


def alerts(values: list[float], threshold: float = METRIC_THRESHOLD) -> int:
    """At how many points, from the 40th on, an alert begins."""
    on = [scan(values[:end], threshold) is not None for end in range(40, len(values) + 1)]
    return sum(now and not before for before, now in zip([False, *on], on, strict=False))


@pytest.mark.parametrize(("spread", "correlation", "most"), [(0.02, 0.0, 1), (0.1, 0.0, 1), (0.05, 0.5, 2)])
def test_false_alerts_are_as_rare_as_one_point_of_a_thousand(spread: float, correlation: float, most: int) -> None:
    found = points = 0
    for seed in range(100):
        draw = noise(seed, spread, correlation)
        found += alerts([10 * draw() for _ in range(160)])
        points += 121
    assert found <= most * points / 1000


def test_single_outliers_are_no_change() -> None:
    found = 0
    for seed in range(40):
        draw, chance = noise(seed, 0.05), random.Random(seed)
        found += alerts([10 * draw() * (3 if chance.random() < 0.05 else 1) for _ in range(160)])
    assert found <= 40 * 121 / 1000


def test_ten_percent_more_at_five_percent_noise_is_found_within_a_few_runs() -> None:
    delays = []
    for seed in range(40):
        draw = noise(seed, 0.05)
        values = [10 * draw() * (1.1 if n >= 100 else 1) for n in range(140)]
        delays.append(next((end - 100 for end in range(101, 141) if scan(values[:end])), None))
    assert None not in delays
    assert statistics.median(delay for delay in delays if delay is not None) <= 8


def test_the_change_says_where_and_how_much() -> None:
    draw = noise(1, 0.02)
    change = scan([10 * draw() * (1.2 if n >= 60 else 1) for n in range(75)])
    assert change is not None
    assert change.index == 60
    assert change.change == pytest.approx(0.2, abs=0.02)
    assert (round(change.before), round(change.after)) == (10, 12)


def test_a_fall_is_found_like_a_rise() -> None:
    change = scan([10.0 + n % 3 / 10 for n in range(40)] + [8.0 + n % 3 / 10 for n in range(10)])
    assert change is not None
    assert change.change < -0.15


def test_too_few_values_equal_values_and_tiny_shifts_are_no_change() -> None:
    assert scan([]) is None
    assert scan([1.0] * 3 + [9.0] * 4) is None
    assert scan([5.0] * 100) is None
    assert scan([0.0] * 100) is None
    assert scan([100.0 + n % 2 / 10 for n in range(50)] + [102.0 + n % 2 / 10 for n in range(20)]) is None


def test_the_stricter_threshold_wants_more_evidence() -> None:
    values = [10.0 + n % 5 / 10 for n in range(50)] + [12.0 + n % 5 / 10 for n in range(5)]
    assert scan(values) is not None
    assert scan(values, MANY_TESTS_THRESHOLD) is None
    assert scan(values + [12.0 + n % 5 / 10 for n in range(10)], MANY_TESTS_THRESHOLD) is not None


def test_every_change_of_a_series_is_told_once() -> None:
    draw = noise(3, 0.03)
    levels = [10] * 60 + [13] * 60 + [9] * 60
    found = change_points([level * draw() for level in levels])
    assert [round(change.after) for change in found] == [13, 9]
    assert [change.index for change in found] == pytest.approx([60, 120], abs=2)


def point(value: float, days_ago: float = 0.0, **changes: Any) -> dict[str, Any]:
    return {
        "id": 1, "run_id": f"run-{days_ago:g}", "task_id": "task-1", "metric_name": "time", "metric_value": value,
        "unit": "s", "recorded_at": (NOW - timedelta(days=days_ago)).isoformat(), "branch": "main",
        "commit_sha": "abc", "platform": "local", "shard": "", "task_type": None,
    } | changes  # fmt: skip


def trend(points: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    return analyze_trend(points, metric_name="time", now=NOW, **options)


SUMMARY = ["count", "avg", "min", "max", "std_dev", "p50", "p95"]


def test_the_answer_has_the_keys_of_the_api() -> None:
    answer = trend([point(n) for n in range(1, 6)])
    assert [*answer] == ["metric_name", "unit", "grouping", "timeframe", "overall", "groups", "change_points"]
    assert (answer["metric_name"], answer["unit"], answer["grouping"], answer["timeframe"]) == (
        "time",
        "s",
        "branch",
        "1w",
    )
    assert [*answer["overall"]] == SUMMARY
    assert [*answer["groups"][0]] == ["name", *SUMMARY]
    assert answer["overall"] == {
        "count": 5, "avg": 3.0, "min": 1, "max": 5, "std_dev": pytest.approx(1.5811388), "p50": 3, "p95": 4.8,
    }  # fmt: skip


@pytest.mark.parametrize("points", [[], [point(1, days_ago=30)], [point(1, metric_name="other")]])
def test_without_data_the_answer_is_empty_and_says_so(points: list[dict[str, Any]]) -> None:
    answer = trend(points)
    assert answer["overall"] == dict.fromkeys(SUMMARY, 0)
    assert answer["groups"] == answer["change_points"] == []
    assert answer["message"] == "no values of time in the timeframe 1w"


@pytest.mark.parametrize(
    ("grouping", "names"),
    [
        ("branch", ["topic", "main"]),
        ("commit", ["(none)", "abc"]),
        ("task_type", ["load", "task"]),
        ("test", ["task-22", "task-1"]),
        ("platform", ["elsewhere", "local"]),
    ],
)
def test_groups_come_with_the_newest_first(grouping: str, names: list[str]) -> None:
    points = [
        point(1, 3), point(2, 2),
        point(3, 1, branch="topic", commit_sha=None, task_id="task-22", task_type="load", platform="elsewhere"),
    ]  # fmt: skip
    assert [(group["name"], group["count"]) for group in trend(points, grouping=grouping)["groups"]] == [
        (names[0], 1), (names[1], 2),
    ]  # fmt: skip
    assert [group["name"] for group in trend(points, grouping=grouping, limit=1)["groups"]] == names[:1]
    assert trend(points, grouping=grouping, limit=1)["overall"]["count"] == 3
    assert trend(points, limit=0)["groups"] == []


@pytest.mark.parametrize(
    ("timeframe", "begin"),
    [
        ("1d", timedelta(days=1)), ("1w", timedelta(weeks=1)), ("1m", timedelta(days=30)), ("36h", timedelta(hours=36)),
        ("2m", timedelta(days=60)), ("999999m", None), ("all", None),
    ],
)  # fmt: skip
def test_a_timeframe_is_a_number_and_a_unit(timeframe: str, begin: timedelta | None) -> None:
    assert since(timeframe, NOW) == (None if begin is None else NOW - begin)


@pytest.mark.parametrize("timeframe", ["", "1", "w", "0d", "-1d", "1y", "1.5d", "1 w", "²d", "1d\n", "9" * 50 + "d"])
def test_a_bad_timeframe_is_refused_with_what_is_allowed(timeframe: str) -> None:
    with pytest.raises(ValueError, match="is not one of 1d, 1w, 1m, all or"):
        since(timeframe, NOW)


def test_a_bad_grouping_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="branch, commit, task_type, test, platform"):
        trend([], grouping="colour")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        trend([point(1), point(value)])


def test_values_in_another_unit_are_left_out_and_counted() -> None:
    answer = trend([point(5000, 2, unit="ms"), point(7, 2, unit=""), point(5), point(6, 1)])
    assert (answer["overall"]["count"], answer["unit"], answer["message"]) == (
        2,
        "s",
        "left out: 1 in ms, 1 in no unit",
    )
    assert trend([point(5000, 2, unit="ms"), point(5)], unit="ms")["overall"]["avg"] == 5000


def test_the_largest_numbers_do_not_overflow() -> None:
    overall = trend([point(1.7e308), point(1.7e308), point(-1.7e308)])["overall"]
    assert all(math.isfinite(value) for value in overall.values())
    assert trend([point(1.7e308)] * 3)["overall"]["avg"] == pytest.approx(1.7e308)


def test_a_change_is_told_with_its_run_and_in_words() -> None:
    points = [point(10 + n % 3 / 10, days_ago=20 - n / 10) for n in range(60)]
    points += [point(12 + n % 3 / 10, days_ago=3 - n / 10, commit_sha="fedcba987") for n in range(10)]
    points += [point(50, branch="topic")]
    (change,) = trend(points)["change_points"]
    assert change["run_id"] == "run-3"
    assert (change["branch"], change["task_id"], change["runs"]) == ("main", "task-1", 10)
    assert change["text"] == "since commit fedcba9 (10 values) median 12.1 s against 10.1 s, +20%"
    assert trend(points, timeframe="1d")["change_points"] == [], "it happened before"


def test_a_rise_from_zero_has_no_percentage() -> None:
    points = [point(0, days_ago=5 - n / 100) for n in range(40)] + [point(7, days_ago=1 - n / 100) for n in range(20)]
    (change,) = trend(points)["change_points"]
    assert change["change"] is None
    assert change["text"].endswith("median 7 s against 0 s")


def test_datetimes_and_texts_with_and_without_a_zone_are_all_taken() -> None:
    points = [
        point(1, recorded_at=NOW),
        point(2, recorded_at="2026-11-22T11:00:00"),
        point(3, recorded_at="2026-11-22T10:00:00Z"),
    ]
    assert trend(points)["overall"]["count"] == 3
