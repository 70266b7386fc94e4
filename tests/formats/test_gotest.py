from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.formats import read_results
from ci_bridge.formats.gotest import FORMAT
from ci_bridge.formats.plugin import Limits
from ci_bridge.models import Outcome

from .recording import read

PACKAGE = "example.test/shop"


def event(action: str, test: str = "", **more: Any) -> str:
    fields: dict[str, Any] = {"Time": "2026-01-02T03:04:05Z", "Action": action, "Package": PACKAGE}
    if test:
        fields["Test"] = test
    return json.dumps(fields | more) + "\n"


def stream(*events: str, end: str = "pass") -> str:
    return event("start") + "".join(events) + event(end, Elapsed=0.5)


def test_a_passed_test_has_its_package_as_class_and_its_seconds():
    recording = read(FORMAT, stream(event("run", "TestA"), event("pass", "TestA", Elapsed=1.25)))
    (case,) = recording.cases
    assert (case.classname, case.name, case.duration, case.outcome) == (PACKAGE, "TestA", 1.25, Outcome.PASSED)
    assert recording.error is None


def test_a_failure_keeps_its_output_without_the_frame_lines():
    recording = read(
        FORMAT,
        stream(
            event("run", "TestA"),
            event("output", "TestA", Output="=== RUN   TestA\n"),
            event("output", "TestA", Output="    a_test.go:7: total is 3\n"),
            event("output", "TestA", Output="--- FAIL: TestA (0.00s)\n"),
            event("fail", "TestA", Elapsed=0),
            end="fail",
        ),
    )
    (case,) = recording.cases
    assert case.outcome is Outcome.FAILED
    assert case.message == "a_test.go:7: total is 3"
    assert case.details == "    a_test.go:7: total is 3\n"


def test_parents_and_subtests_are_both_cases_and_the_parent_says_why_it_failed():
    recording = read(
        FORMAT,
        stream(
            event("run", "TestA"),
            event("run", "TestA/b/c"),
            event("output", "TestA/b/c", Output="    a_test.go:9: no\n"),
            event("fail", "TestA/b/c"),
            event("fail", "TestA"),
            end="fail",
        ),
    )
    assert recording.counts() == (0, 2, 0, 0)
    assert recording.case("TestA/b/c").message == "a_test.go:9: no"


def test_a_parent_whose_own_child_failed_says_so():
    recording = read(
        FORMAT,
        stream(
            event("run", "TestA"), event("run", "TestA/b"), event("fail", "TestA/b"), event("fail", "TestA"), end="fail"
        ),
    )
    assert recording.case("TestA").message == "1 of its subtests failed"


def test_a_skip_is_not_red_and_keeps_its_reason():
    recording = read(
        FORMAT,
        stream(
            event("run", "TestA"), event("output", "TestA", Output="    a_test.go:3: later\n"), event("skip", "TestA")
        ),
    )
    assert recording.counts() == (0, 0, 0, 1)
    assert recording.cases[0].message == "a_test.go:3: later"


def test_printed_lines_of_a_passed_test_become_its_output():
    recording = read(
        FORMAT, stream(event("run", "TestA"), event("output", "TestA", Output="hello\n"), event("pass", "TestA"))
    )
    assert recording.cases[0].output == "hello\n"


def test_a_broken_build_is_an_error_with_the_words_of_the_compiler():
    build = f"{PACKAGE} [{PACKAGE}.test]"
    recording = read(
        FORMAT,
        json.dumps({"ImportPath": build, "Action": "build-output", "Output": f"# {build}\n"})
        + "\n"
        + json.dumps({"ImportPath": build, "Action": "build-output", "Output": "a_test.go:6:2: undefined: f\n"})
        + "\n"
        + json.dumps({"ImportPath": build, "Action": "build-fail"})
        + "\n"
        + event("start")
        + event("output", Output=f"FAIL\t{PACKAGE} [build failed]\n")
        + event("fail", Elapsed=0, FailedBuild=build),
    )
    (case,) = recording.cases
    assert (case.outcome, case.name, case.classname) == (Outcome.ERROR, "[build failed]", PACKAGE)
    assert case.message == "a_test.go:6:2: undefined: f"


def test_a_broken_build_of_no_package_is_an_error_too():
    recording = read(
        FORMAT,
        '{"ImportPath":"dep [x.test]","Action":"build-output","Output":"bad"}\n'
        '{"ImportPath":"dep [x.test]","Action":"build-fail"}\n',
    )
    assert recording.counts() == (0, 0, 1, 0)
    assert recording.cases[0].classname == "dep"


def test_warnings_of_a_build_that_succeeded_are_no_error():
    recording = read(
        FORMAT,
        '{"ImportPath":"shop","Action":"build-output","Output":"warning"}\n'
        + stream(event("run", "TestA"), event("pass", "TestA")),
    )
    assert recording.counts() == (1, 0, 0, 0)


def test_the_plain_line_by_which_older_go_reports_a_broken_build_is_an_error():
    recording = read(
        FORMAT,
        f"# {PACKAGE}/x\nx.go:1: bad\n"
        + stream(event("run", "TestA"), event("pass", "TestA"))
        + f"FAIL\t{PACKAGE}/x [build failed]\nFAIL\n",
    )
    assert recording.counts() == (1, 0, 1, 0)
    assert recording.case("[build failed]").classname == f"{PACKAGE}/x"
    assert recording.notes == ["lines that are no events were passed over: 4"]


def test_a_package_that_fails_without_a_failing_test_is_an_error():
    recording = read(
        FORMAT,
        stream(event("run", "TestA"), event("pass", "TestA"), event("output", Output="exit status 3\n"), end="fail"),
    )
    assert recording.counts() == (1, 0, 1, 0)
    assert recording.case("[package failed]").message == "exit status 3"


def test_a_package_whose_test_failed_is_no_further_case():
    assert read(FORMAT, stream(event("run", "TestA"), event("fail", "TestA"), end="fail")).counts() == (0, 1, 0, 0)


def test_a_test_that_never_ended_is_an_error_with_its_panic():
    recording = read(
        FORMAT,
        stream(
            event("run", "TestA"),
            event("output", "TestA", Output="panic: test timed out after 1s\n"),
            event("output", "TestA", Output="goroutine 1 [running]:\n"),
            end="fail",
        ),
    )
    (case,) = recording.cases
    assert (case.outcome, case.message) == (Outcome.ERROR, "panic: test timed out after 1s")


@pytest.mark.parametrize("end", ["pass", "fail"])
def test_a_test_that_never_ended_is_never_green(end):
    assert read(FORMAT, stream(event("run", "TestA"), end=end)).counts() == (0, 0, 1, 0)


def test_a_panicking_test_that_ended_is_a_failure_of_type_panic():
    recording = read(
        FORMAT,
        stream(
            event("run", "TestA"),
            event("output", "TestA", Output="panic: nil map\n"),
            event("fail", "TestA"),
            end="fail",
        ),
    )
    assert (recording.cases[0].type, recording.cases[0].message) == ("panic", "panic: nil map")


def test_a_benchmark_that_measured_has_passed_though_no_event_says_so():
    recording = read(
        FORMAT,
        stream(event("run", "BenchmarkA"), event("output", "BenchmarkA", Output="BenchmarkA-2  10  245.9 ns/op\n")),
    )
    assert recording.counts() == (1, 0, 0, 0)


RED, GREEN = event("run", "TestA") + event("fail", "TestA"), event("run", "TestA") + event("pass", "TestA")


def test_a_test_in_a_further_run_of_its_package_is_a_further_attempt():
    recording = read(FORMAT, stream(RED, end="fail") + stream(GREEN, end="pass"))
    assert recording.counts() == (1, 1, 0, 0)
    assert len({case.identity for case in recording.cases}) == 1


@pytest.mark.parametrize("executions", [(RED, GREEN), (RED, GREEN, GREEN), (GREEN, RED, GREEN)])
def test_a_success_in_the_same_run_of_a_package_makes_no_failure_good(executions: tuple[str, ...], tmp_path: Path):
    (tmp_path / "go.json").write_text(stream(*executions, end="fail"))
    with read_results(["go.json"], workspace=tmp_path) as results:
        assert (results.totals.total, results.totals.failed) == (1, 1)


def test_packages_that_run_at_the_same_time_are_kept_apart():
    other = {"Package": "example.test/other"}
    recording = read(
        FORMAT,
        event("start")
        + event("start", **other)
        + event("run", "TestA")
        + event("run", "TestA", **other)
        + event("fail", "TestA", **other)
        + event("pass", "TestA")
        + event("fail", **other)
        + event("pass"),
    )
    assert [(case.classname, case.outcome) for case in recording.cases] == [
        ("example.test/other", Outcome.FAILED),
        (PACKAGE, Outcome.PASSED),
    ]


def test_actions_of_a_later_go_begin_no_test():
    recording = read(FORMAT, stream(event("run", "TestA"), event("pass", "TestA"), event("attr", "TestA", Key="k")))
    assert recording.counts() == (1, 0, 0, 0)


def test_output_that_ends_before_its_package_is_malformed_but_its_tests_count():
    recording = read(FORMAT, event("start") + event("run", "TestA") + event("pass", "TestA") + event("run", "TestB"))
    assert recording.counts() == (1, 0, 1, 0)
    assert "before 1 of its packages" in str(recording.error)


def test_a_cut_last_line_is_malformed():
    whole = stream(event("run", "TestA"), event("pass", "TestA"))
    recording = read(FORMAT, whole + '{"Time":"2026-01-02T03:0')
    assert recording.counts() == (1, 0, 0, 0)
    assert "cut off" in str(recording.error)


def test_the_text_of_one_test_is_bounded_while_it_is_read():
    line = event("output", "TestA", Output="x" * 1000 + "\n")
    recording = read(
        FORMAT, stream(event("run", "TestA"), line * 100, event("pass", "TestA")), limits=Limits(text=2000)
    )
    assert len(recording.cases[0].output) < 2100


@pytest.mark.parametrize(
    "head",
    [
        b'{"Time":"2026-01-02T03:04:05Z","Action":"start","Package":"p"}\n',
        b'go: downloading example.test/x v1.0.0\n{"Action":"run","Package":"p","Test":"TestA"}\n',
        b'{"ImportPath":"p","Action":"build-output","Output":"x"}\n',
    ],
)
def test_the_events_of_go_are_recognised(head):
    assert FORMAT.sniff(head)


@pytest.mark.parametrize(
    "head",
    [b'{"action":"start"}', b"<testsuite/>", b"ok  \texample.test/shop\t0.1s\n", b'{"Action":"buy","Package":"p"}'],
)
def test_other_texts_are_not_taken_for_go(head):
    assert not FORMAT.sniff(head)


def test_a_package_whose_lines_are_damaged_is_never_green() -> None:
    green = '{"Action":"start","Package":"z"}\n{"Action":"pass","Package":"z"}\n'
    assert read(FORMAT, green).error is None
    damaged = '{"Action":"fail","Package":"q","Test":\n{"Action":"fail","Package":"q"\n'
    error = read(FORMAT, damaged + green).error
    assert error is not None
    assert "2 lines, the first of them line 1, are cut off or damaged" in error.message
    assert read(FORMAT, 'xx","Action":"fail","Package":"q"}\n' + green).error is not None
