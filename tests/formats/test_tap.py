from __future__ import annotations

import pytest

from ci_bridge.formats.plugin import Limits
from ci_bridge.formats.tap import FORMAT
from ci_bridge.models import Outcome

from .recording import read


def test_points_become_cases_of_a_suite_named_after_the_file():
    recording = read(FORMAT, "TAP version 13\n1..2\nok 1 - opens\nnot ok 2 - closes\n", path="out/shop.tap")
    assert [(case.suite, case.name, case.outcome) for case in recording.cases] == [
        (("shop",), "opens", Outcome.PASSED),
        (("shop",), "closes", Outcome.FAILED),
    ]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("ok 1 - with a dash", "with a dash"),
        ("ok 1 without a dash", "without a dash"),
        ("ok - without a number", "without a number"),
        ("ok", "1"),
        ("ok 1", "1"),
        (r"ok 1 - issue \#12 and \\ too", r"issue #12 and \ too"),
        ("ok 1 - issue #12", "issue #12"),
        ("ok 1 - colours # not a directive", "colours # not a directive"),
        (r"ok 1 - escaped \# SKIP is a name", "escaped # SKIP is a name"),
        ("ok 1 - timed # time=12.5ms", "timed"),
        ("ok 1 timed in 8ms", "timed"),
        ("ok 1 - -1 is negative", "-1 is negative"),
    ],
)
def test_descriptions_are_read_as_the_grammar_says(line, name):
    recording = read(FORMAT, f"TAP version 14\n1..1\n{line}\n")
    assert recording.names() == [name]
    assert recording.counts() == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("line", "outcome", "message"),
    [
        ("ok 1 - a # SKIP no printer", Outcome.SKIPPED, "no printer"),
        ("ok 1 - a # skip", Outcome.SKIPPED, ""),
        ("ok 1 - a # Skipped: no printer", Outcome.SKIPPED, "no printer"),
        ("not ok 1 - a # SKIP no printer", Outcome.SKIPPED, "no printer"),
        ("not ok 1 - a # TODO in spring", Outcome.SKIPPED, "todo: in spring"),
        ("not ok 1 - a # todo", Outcome.SKIPPED, "todo"),
        ("ok 1 - a # TODO in spring", Outcome.PASSED, ""),
        ("not ok 1 - a # TODOS are no directive", Outcome.FAILED, ""),
        (r"ok 1 - a \\# SKIP an escaped backslash", Outcome.SKIPPED, "an escaped backslash"),
    ],
)
def test_directives_decide(line, outcome, message):
    (case,) = read(FORMAT, f"1..1\n{line}\n").cases
    assert (case.outcome, case.message) == (outcome, message)


def test_yaml_diagnostics_give_message_type_duration_and_details():
    (case,) = read(
        FORMAT,
        """TAP version 13
not ok 1 - counts
  ---
  duration_ms: 250.5
  error: |-
    Expected values to be equal:

    1 !== 3
  name: 'AssertionError'
  stack: |-
    at cart.js:19:12
  ...
1..1
""",
    ).cases
    assert case.duration == pytest.approx(0.2505)
    assert (case.type, case.message) == ("AssertionError", "Expected values to be equal: 1 !== 3")
    assert "at cart.js:19:12" in case.details


def test_the_indented_yaml_of_tape_is_read():
    (case,) = read(
        FORMAT, "not ok 1 three\n  ---\n    operator: equal\n    expected: 3\n    actual:   1\n  ...\n1..1\n"
    ).cases
    assert case.message == "expected 3, got 1"


def test_a_yaml_block_that_is_never_closed_swallows_no_test():
    recording = read(FORMAT, "1..2\nnot ok 1 - a\n  ---\n  message: broken\nok 2 - b\n")
    assert recording.counts() == (1, 1, 0, 0)
    assert recording.case("a").message == "broken"


def test_comments_and_text_after_a_failure_explain_it():
    (case,) = read(FORMAT, "1..1\nnot ok 1 - a\n#   Failed test 'a'\n#   at t/a.t line 3.\n  boom\n").cases
    assert case.details == "#   Failed test 'a'\n#   at t/a.t line 3.\n  boom\n"
    assert case.message == "Failed test 'a'"


def test_subtests_are_counted_and_their_sum_is_not():
    recording = read(
        FORMAT,
        """TAP version 14
# Subtest: cart
    # Subtest: adding
        ok 1 - one
        not ok 2 - two
        1..2
    not ok 1 - adding
    ok 2 - empty
    1..2
not ok 1 - cart
ok 2 - badge
1..2
""",
        path="x.tap",
    )
    assert [(case.suite, case.name) for case in recording.cases] == [
        (("x", "cart", "adding"), "one"),
        (("x", "cart", "adding"), "two"),
        (("x", "cart"), "empty"),
        (("x",), "badge"),
    ]
    assert recording.counts() == (3, 1, 0, 0)


def test_the_indented_announcement_of_older_perl_names_the_subtest():
    recording = read(
        FORMAT, "1..1\n    # Subtest: bread\n    1..1\n    ok 1 - has a price\nok 1 - bread\n", path="x.tap"
    )
    assert [(case.suite, case.name) for case in recording.cases] == [(("x", "bread"), "has a price")]


def test_a_parent_that_failed_by_itself_is_a_case():
    recording = read(FORMAT, "# Subtest: cart\n    ok 1 - one\n    1..1\nnot ok 1 - cart\n1..1\n")
    assert recording.counts() == (1, 1, 0, 0)
    assert recording.case("cart").outcome is Outcome.FAILED


def test_buffered_subtests_in_braces_are_read():
    recording = read(
        FORMAT,
        "TAP version 13\nnot ok 1 - cart {\n    ok 1 - one\n    not ok 2 - two\n    1..2\n}\n\n1..1\n",
        path="x.tap",
    )
    assert [(case.suite, case.name) for case in recording.cases] == [(("x", "cart"), "one"), (("x", "cart"), "two")]
    assert recording.counts() == (1, 1, 0, 0)


def test_the_same_description_again_is_another_test_and_hides_no_failure():
    recording = read(FORMAT, "1..3\nnot ok 1 - equal\nok 2 - equal\nok 3 - equal\n")
    assert recording.names() == ["equal", "equal (2)", "equal (3)"]
    assert len({case.identity for case in recording.cases}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TAP version 13\n1..10\nok 1 - a\nok 2 - b\n", "planned 10 tests, ran 2"),
        ("TAP version 13\n1..1\nok 1 - a\nok 2 - b\n", "planned 1 tests, ran 2"),
        ("TAP version 13\nok 1 - a\n", "there is no plan after 1 tests: the output may be cut"),
        ("TAP version 13\n", "there is no plan after 0 tests: the output may be cut"),
    ],
)
def test_a_plan_that_does_not_hold_is_never_green(text, message):
    recording = read(FORMAT, text)
    assert recording.case("[plan]").outcome is Outcome.ERROR
    assert recording.case("[plan]").message == message


def test_bail_out_is_an_error_and_the_missing_tests_are_not_reported_twice():
    recording = read(FORMAT, "1..5\nok 1 - a\nBail out! the database is gone\n")
    assert recording.counts() == (1, 0, 1, 0)
    assert recording.case("[Bail out!]").message == "the database is gone"


def test_a_plan_of_nothing_is_a_skipped_script():
    recording = read(FORMAT, "1..0 # SKIP no network here\n")
    assert recording.counts() == (0, 0, 0, 1)
    assert recording.cases[0].message == "no network here"


def test_several_streams_in_one_file_are_added_up():
    recording = read(FORMAT, "t/a.t ..\n1..1\nok 1 - a\nok\nt/b.t ..\nok 1 - a\n1..1\nok\n")
    assert recording.counts() == (2, 0, 0, 0)


def test_output_between_the_points_is_counted_in_a_note():
    recording = read(FORMAT, "1..2\nok 1 - a\nhello\nworld\nok 2 - b\n# a comment\n")
    assert recording.notes == ["lines that are no TAP were passed over: 2"]


def test_subtests_nested_too_deep_are_malformed_after_what_came_before():
    lines = ["1..1", "ok 1 - first"] + [" " * 4 * level + f"# Subtest: {level}" for level in range(50)]
    recording = read(FORMAT, "\n".join(lines), limits=Limits(depth=10))
    assert "first" in recording.names()
    assert "nested more than 10 deep" in str(recording.error)


def test_a_long_line_of_hashes_and_backslashes_is_read_in_linear_time():
    hashes = "\\#skip" * 200_000 + "\\" * 200_000 + "# " * 200_000
    assert read(FORMAT, f"1..1\nok 1 - {hashes}\n").counts() == (1, 0, 0, 0)
    assert read(FORMAT, f"1..1\nok 1 - {hashes} #skip\n").counts() == (0, 0, 0, 1)


def test_a_long_yaml_block_is_bounded_and_read_in_linear_time():
    block = "  ---\n  error: |-\n" + "    x\n" * 300_000 + "".join(f"  key{n}: 1\n" for n in range(1000)) + "  ...\n"
    (case,) = read(FORMAT, f"1..1\nnot ok 1 - a\n{block}", limits=Limits(text=2000)).cases
    assert case.message == "x"
    assert len(case.details) < 2100


@pytest.mark.parametrize(
    "head",
    [
        b"TAP version 13\n",
        b"TAP version 14\r\n1..2\r\n",
        b"1..3\nok 1\n",
        b"1..0 # SKIP all\n",
        b"ok 1 - works\n1..1\n",
        b"not ok 1\n",
        b"# Subtest: x\n    ok 1\n1..1\n",
        b"# cart\nok 1 a\n",
        b"> npm test\n\nTAP version 13\nok 1 a\n",
        b"t/cart.t ..\n1..7\nok 1 - a\n",
    ],
)
def test_tap_is_recognised(head):
    assert FORMAT.sniff(head)


@pytest.mark.parametrize(
    "head",
    [
        b"okay, all is well\n",
        b"ok\n",
        b"building 1..2\nok I am done\n",
        b"1..2 things to do\n",
        b"ok  \texample.test/shop\t0.1s\n",
        b"<testsuite/>",
        b'{"a": "TAP version 13"}',
        b"the TAP version 13 protocol\n",
        b"",
    ],
)
def test_plain_logs_are_not_taken_for_tap(head):
    assert not FORMAT.sniff(head)


@pytest.mark.parametrize("plan", ["1..2\n    ok 1 - a\n", "ok 1 - a\n    1..2\n"])
def test_a_subtest_that_lost_a_test_is_an_error_though_its_summary_is_ok(plan: str) -> None:
    read_ = read(FORMAT, f"TAP version 14\n1..1\n# Subtest: s\n    {plan}ok 1 - s\n")
    assert read_.counts() == (1, 0, 1, 0)
    error = read_.case("[plan]")
    assert (error.suite, error.message) == (("cart", "s"), "planned 2 tests, ran 1")
