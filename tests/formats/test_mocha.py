from __future__ import annotations

import json
from typing import Any

import pytest

from ci_bridge.formats.mocha import FORMAT
from ci_bridge.formats.plugin import Limits
from ci_bridge.models import Outcome

from .recording import Recording, read

STATS = {"suites": 1, "tests": 1, "passes": 1, "pending": 0, "failures": 0}


def entry(title: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "fullTitle": f"Cart {title}", "file": "/x/cart.spec.js", "duration": 12, "err": {}} | more


def report(**groups: list[dict[str, Any]]) -> Recording:
    counts = {name: len(groups.get(name, [])) for name in ("passes", "failures", "pending")}
    return read(FORMAT, json.dumps({"stats": {"suites": 1} | counts} | groups))


def test_passes_failures_and_pending_tests_are_read():
    recording = report(
        passes=[entry("adds")],
        failures=[entry("counts", err={"message": "1 == 3", "stack": "AssertionError [ERR]: 1 == 3\n  at x"})],
        pending=[entry("sells")],
    )
    assert [(case.suite, case.name, case.outcome) for case in recording.cases] == [
        (("Cart",), "adds", Outcome.PASSED),
        (("Cart",), "counts", Outcome.FAILED),
        (("Cart",), "sells", Outcome.SKIPPED),
    ]
    failure = recording.case("counts")
    assert (failure.type, failure.message, failure.file) == ("AssertionError", "1 == 3", "/x/cart.spec.js")
    assert failure.duration == pytest.approx(0.012)
    assert recording.notes == []


def test_a_test_that_passed_on_retry_is_flaky():
    (case,) = report(passes=[entry("answers", currentRetry=2)]).cases
    assert case.is_flaky
    assert len(case.attempts) == 2


def test_an_absurd_number_of_retries_is_bounded():
    (case,) = report(passes=[entry("answers", currentRetry=2_000_000_000)]).cases
    assert len(case.attempts) == 20


def test_a_failing_hook_is_an_error():
    (case,) = report(failures=[entry('"before each" hook for "adds"', err={"message": "no database"})]).cases
    assert (case.outcome, case.message) == (Outcome.ERROR, "no database")


def test_two_tests_with_one_title_are_two_tests():
    recording = report(passes=[entry("adds")], failures=[entry("adds")])
    assert recording.names() == ["adds", "adds (2)"]


def test_statistics_that_disagree_are_noted():
    recording = read(FORMAT, json.dumps({"stats": STATS | {"failures": 3}, "passes": [entry("adds")]}))
    assert recording.notes == ["the statistics say 4 tests, the report holds 1"]


def mochawesome(suite: dict[str, Any]) -> str:
    return json.dumps({"stats": STATS, "results": [suite]})


def test_nested_suites_of_mochawesome_are_walked_in_order():
    inner = {"title": "#add()", "tests": [{"title": "adds", "state": "passed", "pass": True, "duration": 5}]}
    outer = {
        "title": "Cart",
        "file": "/spec/cart.spec.js",
        "beforeHooks": [{"title": '"before all" hook', "isHook": True, "state": None}],
        "tests": [
            {
                "title": "fails",
                "fail": True,
                "state": "failed",
                "err": {"message": "no", "estack": "Error: no", "diff": "-1"},
            }
        ],
        "afterHooks": [{"title": '"after all" hook', "isHook": True, "fail": True, "err": {"message": "gone"}}],
        "suites": [inner, {"title": "#count()", "tests": [{"title": "later", "pending": True}]}],
    }
    recording = read(FORMAT, mochawesome({"title": "", "suites": [outer]}))
    assert [(case.suite, case.file, case.name, case.outcome) for case in recording.cases] == [
        (("Cart",), "spec/cart.spec.js", "fails", Outcome.FAILED),
        (("Cart",), "spec/cart.spec.js", '"after all" hook', Outcome.ERROR),
        (("Cart", "#add()"), "spec/cart.spec.js", "adds", Outcome.PASSED),
        (("Cart", "#count()"), "spec/cart.spec.js", "later", Outcome.SKIPPED),
    ]
    assert recording.case("fails").details == "Error: no\n\n-1"


def test_suites_nested_too_deep_are_malformed():
    suite: dict[str, Any] = {"title": "x"}
    for _ in range(30):
        suite = {"title": "x", "suites": [suite]}
    assert "nested more than 20 deep" in str(read(FORMAT, mochawesome(suite), limits=Limits(depth=20)).error)


def test_a_cut_report_yields_its_whole_tests():
    text = json.dumps({"stats": STATS, "passes": [entry("a"), entry("b"), entry("c")]})
    recording = read(FORMAT, text[: text.index('"c"')])
    assert recording.names() == ["a", "b"]
    assert recording.error is not None


def test_only_reports_with_statistics_are_taken_for_mocha():
    assert FORMAT.sniff(b'{\n  "stats": {\n    "suites": 4,\n    "tests": 16,\n    "passes": 13,')
    assert not FORMAT.sniff(b'{"results": {"tool": {}, "summary": {"tests": 1}}}')
    assert not FORMAT.sniff(b'{"stats": {"lines": 3}}')
