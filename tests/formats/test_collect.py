"""Merging attempts, counting, and holding very many cases in little memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_bridge.errors import ResultsError
from ci_bridge.formats import read_results
from ci_bridge.formats._values import first_line
from ci_bridge.formats.collect import Collected
from ci_bridge.formats.plugin import Limits
from ci_bridge.models import Attempt, Case, FileState, Outcome, Row, case_of_row, identity_of


class Hiding:
    """Hides one word."""

    def __init__(self, word: str) -> None:
        self.word = word

    def clean(self, text: str) -> str:
        return text.replace(self.word, "***")

    def suspects(self, text: str) -> bool:
        return self.word in text


@pytest.fixture
def results() -> Iterator[Collected]:
    with Collected() as collected:
        yield collected


def passed(results: Collected, name: str, seconds: float = 0.0) -> None:
    results.passed(("s",), "c", "", name, 0, seconds)


def failed(name: str, message: str = "no", seconds: float = 0.0, outcome: Outcome = Outcome.FAILED) -> Case:
    return Case(name=name, classname="c", suite=("s",), outcome=outcome, message=message, duration=seconds)


def finish(results: Collected) -> list[Case]:
    results.finish_file("f", "junit", None)
    results.finish()
    return [case_of_row(row) for batch in results.rows() for row in batch]


def test_every_case_comes_out_once_in_the_order_of_reading(results: Collected) -> None:
    for number in range(10_000):
        if number % 10:
            passed(results, f"t{number}", 0.001)
        else:
            results.add(failed(f"t{number}"))
    cases = finish(results)
    assert [case.name for case in cases] == [f"t{number}" for number in range(10_000)]
    assert (results.totals.passed, results.totals.failed, results.totals.total) == (9000, 1000, 10_000)
    assert results.totals.duration == pytest.approx(9.0)
    assert len(results.failures) == 1000
    assert [case.name for case in results.failures[:2]] == ["t0", "t10"]


def test_rows_can_be_read_again_and_by_two_readers_at_once(results: Collected) -> None:
    for number in range(9000):
        passed(results, f"t{number}")
    finish(results)
    first, second = results.rows(), results.rows()
    one = [row for pair in zip(first, second, strict=True) for row in pair[0]]
    assert one == [row for batch in results.rows() for row in batch]
    assert len(one) == 9000


def test_a_case_that_passes_again_counts_once(results: Collected) -> None:
    for _ in range(3):
        for number in range(5000):
            passed(results, f"t{number}", 1.0)
    assert len(finish(results)) == 5000
    assert results.totals.passed == 5000
    assert results.totals.duration == 5000.0
    assert results.files[0].cases == 15_000


@pytest.mark.parametrize(
    ("sequence", "outcome", "attempts"),
    [
        ("PF", "failed", ["passed"]),
        ("FP", "passed", ["failed"]),
        ("FFP", "passed", ["failed", "failed"]),
        ("FPF", "failed", ["failed", "passed"]),
        ("EP", "passed", ["error"]),
        ("PE", "error", ["passed"]),
        ("FE", "error", ["failed"]),
        ("SP", "passed", []),
        ("SF", "failed", []),
        ("PS", "passed", []),
        ("FS", "failed", []),
        ("SS", "skipped", []),
        ("FPP", "failed", ["passed", "passed"]),
        ("PFP", "failed", ["passed", "passed"]),
        ("PSP", "passed", []),
        ("EPFP", "failed", ["error", "passed", "passed"]),
    ],
)
def test_attempts_merge_in_order_and_a_skip_is_none(
    results: Collected, sequence: str, outcome: str, attempts: list[str]
) -> None:
    kinds = {"F": Outcome.FAILED, "E": Outcome.ERROR, "S": Outcome.SKIPPED}
    for number, letter in enumerate(sequence):
        if letter == "P":
            passed(results, "t", number + 1.0)
        else:
            results.add(failed("t", f"m{number}", number + 1.0, kinds[letter]))
    (case,) = finish(results)
    assert case.outcome == outcome
    assert [attempt.outcome.value for attempt in case.attempts] == attempts
    assert results.totals.total == 1
    assert results.totals.flaky == case.is_flaky
    assert results.totals.duration == case.duration
    assert results.outcome_of(case.identity) == outcome
    assert [held.identity for held in (*results.failures, *results.flaky)] == [case.identity] * (
        case.is_failure or case.is_flaky
    )


def test_the_duration_of_a_first_passed_attempt_is_found_again(results: Collected) -> None:
    passed(results, "t", 7.0)
    results.add(failed("t", seconds=2.0))
    (case,) = finish(results)
    assert case.attempts == (Attempt(Outcome.PASSED, 7.0),)
    assert results.totals.duration == 2.0


def test_attempts_given_with_a_case_are_kept(results: Collected) -> None:
    results.add(Case(name="t", attempts=(Attempt(Outcome.FAILED, message="no"),)))
    finish(results)
    assert results.flaky[0].attempts[0].message == "no"
    assert results.files[0].cases == 2


def test_a_test_repeated_a_thousand_times_keeps_few_attempts(results: Collected) -> None:
    for number in range(1000):
        results.add(failed("t", f"m{number}"))
    (case,) = finish(results)
    assert len(case.attempts) == 20
    assert (case.attempts[0].message, case.attempts[-1].message, case.message) == ("m0", "m998", "m999")
    assert "more than 20 attempts" in results.files[0].note


def test_outcome_of_knows_every_case_and_no_other(results: Collected) -> None:
    passed(results, "p")
    results.add(failed("f"))
    results.add(failed("s", outcome=Outcome.SKIPPED))
    results.add(Case(name="no suite"))
    finish(results)
    found = [results.outcome_of(identity_of(("s",), "c", "", name)) for name in ("p", "f", "s", "x")]
    assert found == [Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED, None]
    assert results.outcome_of(Case(name="no suite").identity) is Outcome.PASSED


def test_the_slowest_cases_are_the_slowest(results: Collected) -> None:
    durations = [number / 100 for number in range(5000)]
    random.Random(1).shuffle(durations)
    for number, seconds in enumerate(durations):
        if number % 2:
            passed(results, f"t{seconds}", seconds)
        else:
            results.add(failed(f"t{seconds}", seconds=seconds))
    finish(results)
    assert [seconds for _, seconds in results.slowest] == sorted(durations, reverse=True)[:20]
    assert results.slowest[0][0] == identity_of(("s",), "c", "", "t49.99")


def test_a_faster_last_attempt_leaves_the_slowest_right(results: Collected) -> None:
    results.add(failed("t", seconds=9.0))
    passed(results, "t", 1.0)
    finish(results)
    assert [seconds for _, seconds in results.slowest] == [1.0]


def test_cases_beyond_the_cap_are_counted_as_dropped() -> None:
    with Collected(Limits(cases=100)) as results:
        for number in range(150):
            passed(results, f"t{number}")
        results.add(failed("late"))
        results.add(failed("t5"))
        cases = finish(results)
        assert (len(cases), results.totals.total, results.dropped) == (100, 100, 51)
        assert results.totals.failed == 1  # a further attempt of a known case is no further case
        assert "51 cases beyond the cap of 100 were dropped" in results.notes


def test_a_text_beyond_the_cap_is_cut_marked_and_noted_and_the_verdict_stays() -> None:
    with Collected(Limits(text=1000)) as results:
        results.add(Case(name="t", outcome=Outcome.FAILED, message="m", details="ü" * 5000, output="o" * 10))
        (case,) = finish(results)
        assert case.outcome is Outcome.FAILED
        assert case.details.endswith(f"[… {10_000 - 998} bytes cut]")
        assert len(case.details.encode()) < 1100
        assert case.output == "\n[… 10 bytes cut]"
        assert "texts of 1 cases were cut to 1000 bytes each" in results.files[0].note


def test_the_mark_of_a_text_that_was_cut_twice_tells_the_sum() -> None:
    with Collected(Limits(text=100)) as results:
        results.add(Case(name="t", outcome=Outcome.FAILED, message="m", details="x" * 150 + "\n[… 850 bytes cut]"))
        (case,) = finish(results)
        assert case.details == "x" * 99 + f"\n[… {1000 - 99} bytes cut]"


def test_all_attempts_share_one_cap_of_text() -> None:
    with Collected(Limits(text=1000)) as results:
        for _ in range(10):
            results.add(Case(name="t", outcome=Outcome.FAILED, message="m", details="x" * 600, output="y" * 600))
        (case,) = finish(results)
        parts: list[Case | Attempt] = [case, *case.attempts]
        size = sum(len(part.details) + len(part.output) for part in parts)
        assert size < 1000 + 40 * 20
        assert case.details == "x" * 600


def test_failures_beyond_the_budget_are_short_in_memory_and_whole_in_the_rows() -> None:
    with Collected(Limits(kept_text=100_000)) as results:
        for number in range(2000):
            results.add(failed(f"t{number}", "m" * 500 + str(number)))
        cases = finish(results)
        assert len(results.failures) == len(cases) == 2000
        assert results.failures[0].message == "m" * 500 + "0"
        assert results.failures[1999].message.startswith("m" * 300 + "\n[… ")
        assert cases[1999].message == "m" * 500 + "1999"
        assert [case.name for case in results.failures] == [f"t{number}" for number in range(2000)]
        assert results.totals.failed == 2000
        assert any("shown in short" in note for note in results.notes)


def test_a_failure_beyond_the_budget_still_merges_with_its_retry() -> None:
    with Collected(Limits(kept_text=0)) as results:
        results.add(failed("t", "no"))
        passed(results, "t")
        (case,) = finish(results)
        assert case.is_flaky
        assert case.attempts[0].message == "no"
        assert len(results.flaky) == 1


def test_without_a_spool_there_is_a_summary_and_no_rows() -> None:
    with Collected(spool=False) as results:
        passed(results, "a", 1.0)
        results.add(failed("b"))
        results.finish_file("f", "junit", None)
        results.finish()
        assert (results.totals.passed, results.totals.failed) == (1, 1)
        with pytest.raises(RuntimeError, match="spool=True"):
            next(results.rows())


def test_names_are_cleaned_whatever_a_parser_hands_over(results: Collected) -> None:
    results.passed(("a\x1eb",), "c\x1f", "f\n", "n\x00\ud800", 0, 1.0)
    results.add(failed("x\x1fy"))
    first, second = finish(results)
    assert (first.suite, first.classname, first.file, first.name) == (("a␞b",), "c␟", "f␊", "n␀\ufffd")
    assert second.name == "x␟y"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 1e300])
def test_durations_are_finite_whatever_a_parser_hands_over(results: Collected, seconds: float) -> None:
    passed(results, "a", seconds)
    results.add(failed("b", seconds=seconds))
    finish(results)
    assert 0 <= results.totals.duration < 1e10


def test_secrets_are_hidden_in_names_and_texts_before_anything_is_kept() -> None:
    secret = "s3cr" + "et-word"
    with Collected(mask=Hiding(secret)) as results:
        for number in range(100):
            passed(results, f"plain{number}")
        results.passed((f"suite {secret}",), f"class {secret}", f"file {secret}", f"name {secret}", 0, 99.0)
        results.add(
            Case(
                name=f"x {secret}", outcome=Outcome.FAILED, type=secret, message=secret, details=secret, output=secret,
                error_output=secret, attempts=(Attempt(Outcome.ERROR, 0.0, secret, secret, secret, secret, secret),),
            )
        )  # fmt: skip
        cases = finish(results)
        assert len(cases) == 102
        assert secret not in repr(cases) + repr(list(results.failures)) + repr(results.slowest)
        assert "plain0" in repr(cases)
        hidden = identity_of(("suite ***",), "class ***", "file ***", "name ***")
        assert results.outcome_of(hidden) is Outcome.PASSED


def test_a_secret_in_a_name_is_masked_alike_in_passed_and_failed_attempts() -> None:
    secret = "s3cr" + "et-word"
    with Collected(mask=Hiding(secret)) as results:
        passed(results, f"t {secret}")
        results.add(failed(f"t {secret}"))
        assert len(finish(results)) == 1


def test_a_secret_at_the_edge_of_the_cap_does_not_lose_its_mask() -> None:
    secret = "s3cr" + "et-word"
    with Collected(Limits(text=1000), Hiding(secret)) as results:
        results.add(Case(name="t", outcome=Outcome.FAILED, message="m", details="x" * 995 + secret))
        (case,) = finish(results)
        assert "s3cr" not in case.details


def test_a_full_temporary_folder_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with Collected() as results, pytest.raises(ResultsError, match=r"No space left on device.*TMPDIR"):
        for number in range(200_000):
            passed(results, f"t{number}")


def test_an_error_of_a_parser_makes_its_file_recovered_or_unreadable(results: Collected) -> None:
    passed(results, "a")
    results.finish_file("one", "junit", ResultsError("cut"))
    results.finish_file("two", "junit", ResultsError("garbage"))
    passed(results, "b")
    results.repaired("odd bytes")
    results.finish_file("three", "junit", None)
    assert [(file.state, file.cases, file.incomplete) for file in results.files] == [
        (FileState.RECOVERED, 1, True),
        (FileState.UNREADABLE, 0, True),
        (FileState.RECOVERED, 1, False),
    ]


def test_notes_of_a_file_are_counted_not_repeated(results: Collected) -> None:
    for number in range(10_000):
        results.note("odd" if number % 2 else f"odd {number}")
    passed(results, "a")
    results.finish_file("f", "junit", None)
    assert len(results.files[0].note) < 300
    assert "odd (5000 times)" in results.files[0].note


_rows = st.lists(st.tuples(st.integers(0, 8), st.sampled_from(Outcome), st.floats(0, 100), st.booleans()), max_size=60)


def outcome_of_attempts(executions: list[Outcome], *, is_repetition: bool) -> Outcome:
    """What became of a test that one file holds several times: a failure counts unless a retry made it good."""
    executed = [outcome for outcome in executions if outcome is not Outcome.SKIPPED]
    if not executed:
        return Outcome.SKIPPED
    if Outcome.PASSED in executed and not is_repetition:
        executed = executed[executed.index(Outcome.PASSED) :]
    return next((outcome for outcome in reversed(executed) if outcome is not Outcome.PASSED), executed[-1])


@given(_rows)
def test_counts_add_up_for_any_sequence_of_attempts(sequence: list[tuple[int, Outcome, float, bool]]) -> None:
    with Collected() as results:
        seen: dict[str, list[Outcome]] = {}
        is_repetition = False
        for number, outcome, seconds, singly in sequence:
            name = f"t{number}"
            if outcome is Outcome.PASSED and singly:
                passed(results, name, seconds)
            else:
                results.add(failed(name, seconds=seconds, outcome=outcome))
            before = seen.setdefault(name, [])
            if before and outcome_of_attempts(before, is_repetition=False) is Outcome.PASSED:
                is_repetition = True
            before.append(outcome)
        is_repetition = is_repetition and all(len(outcomes) > 1 for outcomes in seen.values())
        last = {name: outcome_of_attempts(outcomes, is_repetition=is_repetition) for name, outcomes in seen.items()}
        cases = finish(results)
        assert {case.name: case.outcome for case in cases} == last
        assert len(cases) == len(last) == results.totals.total
        assert results.totals.red == len(results.failures)
        assert results.totals.flaky == len(results.flaky) == sum(case.is_flaky for case in cases)
        assert results.totals.duration == pytest.approx(sum(case.duration for case in cases))
        for case in cases:
            assert results.outcome_of(case.identity) is case.outcome


def test_a_batch_of_rows_may_hold_the_same_case_twice(results: Collected) -> None:
    row: Row = (("s",), "c", "", "t", 0, "passed", 1.0, None)
    results.passed_rows([row, row, (*row[:3], "u", *row[4:])])
    assert len(finish(results)) == 2


@pytest.mark.parametrize("shift", range(12))
def test_a_secret_at_the_cut_of_a_name_leaves_nothing_of_it(shift: int, tmp_path: Path) -> None:
    secret = "s3cr" + "et-word"
    name = "x" * (100 - 21 - shift) + secret + "y" * 200
    case = f'<testsuite name="{name}"><testcase name="{name}" classname="{name}"{{}}</testsuite>'
    (tmp_path / "a.xml").write_text(case.format("/>"))
    (tmp_path / "b.xml").write_text(case.format("><failure/></testcase>"))
    limits = Limits(name=100)
    with read_results(["*.xml"], workspace=tmp_path, limits=limits, mask=Hiding(secret)) as results:
        rows = [row for batch in results.rows() for row in batch]
        assert "s3c" not in repr(rows)
        assert {len(text.encode()) <= 100 for row in rows for text in (*row[0], row[1], row[3])} == {True}


def test_a_first_line_is_never_cut_within_a_word() -> None:
    secret = "s3cr" + "et-word"
    for shift in range(12):
        line = "x " + "y" * (997 - shift) + " " + secret + " z" * 50
        shown = first_line(line)
        assert secret in shown or "s3c" not in shown
    assert first_line("short") == "short"
