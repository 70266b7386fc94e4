"""Failures with one cause share a signature, in every language, and a hostile text takes no longer than another."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ci_bridge.analysis import classify, signature_of, telling_line
from ci_bridge.analysis.classes import CLASSES
from ci_bridge.analysis.frames import Frame
from ci_bridge.analysis.telling import normalise
from ci_bridge.analysis.verdict import failure_text
from ci_bridge.formats import read_results


@pytest.mark.parametrize(
    ("kind", "message", "details", "wanted"),
    [
        ("AssertionError", "assert 1 == 2", "", "assertion"),
        ("AssertionError", "expected 504 Gateway Timeout to equal 200", "", "assertion"),
        ("org.opentest4j.AssertionFailedError", "expected: <1> but was: <2>", "", "assertion"),
        ("", "expected 3 to equal 4", "", "assertion"),
        ("Error", "expect(received).toBe(expected)", "", "assertion"),
        ("TimeoutError", "Timed out after 30 s", "", "timeout"),
        ("", "Test timeout of 5000ms exceeded: timed out", "", "timeout"),
        ("", "context deadline exceeded", "", "timeout"),
        ("ConnectionRefusedError", "[Errno 111] Connection refused", "", "infrastructure"),
        ("Error", "connect ECONNREFUSED 127.0.0.1:5432", "", "infrastructure"),
        ("OSError", "[Errno 28] No space left on device", "", "infrastructure"),
        ("java.net.UnknownHostException", "db", "", "infrastructure"),
        ("java.lang.OutOfMemoryError", "Java heap space", "", "out of memory"),
        ("MemoryError", "", "", "out of memory"),
        ("", "", "FATAL ERROR: JavaScript heap out of memory", "out of memory"),
        ("", "failed on setup with \"KeyError: 'x'\"", "", "setup"),
        ("", 'failed on setup with "ConnectionRefusedError: db.test:5432 is down"', "", "infrastructure"),
        ("ConnectionResetError", "gone", "", "infrastructure"),
        ("", "TestFixtureSetUp failed in DatabaseTest", "", "setup"),
        ("", "SetUp : System.InvalidOperationException : no database", "", "setup"),
        ("ambiguous", "ambiguous step", "ambiguous: When I leave", "setup"),
        ("undefined", "undefined step", "undefined: When I pay with seashells", "not implemented"),
        ("pending", "pending step", "pending: When I pay", "not implemented"),
        ("NotImplementedError", "", "", "not implemented"),
        ("", "cart.go:6:2: undefined: total", "", "compilation"),
        ("CHECK", 'total("milk", 3) == 356', "", "assertion"),
        ("", "/ci/cart.cpp:9", "/ci/cart.cpp:9\nExpected equality of these values:\n  a\n  b", "assertion"),
        ("", "error at setup of test_one", "", "setup"),
        ("", "\"before each\" hook for \"adds\"", "", "setup"),
        ("", "Segmentation fault (core dumped)", "", "crash"),
        ("ModuleNotFoundError", "No module named 'shop'", "", "missing dependency"),
        ("SyntaxError", "invalid syntax", "", "compilation"),
        ("PermissionError", "[Errno 13] Permission denied: '/x'", "", "permission"),
        ("ValueError", "bad", "", "exception"),
        ("", "", "Traceback (most recent call last):\nValueError: bad", "exception"),
        ("", "it went wrong", "", "unknown"),
        ("", "", "", "unknown"),
    ],
)  # fmt: skip
def test_a_failure_has_its_class(kind: str, message: str, details: str, wanted: str) -> None:
    assert classify(kind, message, details) == wanted


TRACES = {
    "python": (
        "ValueError",
        (
            'Traceback (most recent call last):\n  File "/usr/lib/python3.11/unittest/case.py", line 57, in run\n'
            '  File "/home/{0}/tests/test_cart.py", line {1}, in test_total\n    cart.total()\n'
            '  File "/home/{0}/shop/cart.py", line {1}, in total\n    raise\n'
            '  File "/home/{0}/.venv/lib/python3.11/site-packages/x/y.py", line {1}, in check\nValueError: {1}'
        ),
        "ValueError < shop/cart.py:total",
    ),
    "pytest": (
        "AssertionError",
        (
            "    def test_total():\n>       total()\n\ntests/test_cart.py:{1}: \n_ _ _ _\n\n    def total(self):\n"
            ">   assert 0\nE   assert {1}\n\nshop/cart.py:{1}: AssertionError"
        ),
        "AssertionError < shop/cart.py:total",
    ),
    "java": (
        "java.lang.IllegalStateException",
        (
            "java.lang.IllegalStateException: {1}\n\tat com.shop.Cart.total(Cart.java:{1})\n"
            "\tat com.shop.CartTest.total(CartTest.java:{1})\n"
            "\tat java.base/jdk.internal.reflect.Method.invoke(Method.java:568)\n"
            "\tat org.junit.Runner.run(Runner.java:1)"
        ),
        "java.lang.IllegalStateException < Cart.java:com.shop.Cart.total",
    ),
    "javascript": (
        "TypeError",
        (
            "TypeError: {1}\n    at Cart.total (/home/{0}/src/cart.ts:{1}:7)\n"
            "    at async /home/{0}/src/cart.test.ts:{1}:3\n"
            "    at run (/home/{0}/node_modules/jest/build/run.js:1:2)\n    at node:internal/process/task_queues:95:5"
        ),
        "TypeError < src/cart.ts:Cart.total",
    ),
    "go": (
        "",
        (
            "panic: {1}\n\ngoroutine 7 [running]:\nshop.(*Cart).Total(0xc000)\n\t/home/{0}/shop/cart.go:{1} +0x1d\n"
            "shop.TestTotal(0xc000)\n\t/home/{0}/shop/cart_test.go:{1} +0x2a\n"
            "testing.tRunner()\n\t/usr/local/go/src/testing/testing.go:1689 +0xfb"
        ),
        "panic < shop/cart.go:shop.(*Cart).Total",
    ),
    "csharp": (
        "System.InvalidOperationException",
        (
            "   at Shop.Cart.Total(Int32 n) in /home/{0}/Shop/Cart.cs:line {1}\n"
            "   at Shop.Tests.CartTest.Total() in /home/{0}/Tests/CartTest.cs:line {1}\n"
            "   at System.RuntimeMethodHandle.InvokeMethod(Object target)"
        ),
        "System.InvalidOperationException < Shop/Cart.cs:Shop.Cart.Total",
    ),
    "ruby": (
        "RuntimeError",
        (
            "RuntimeError: {1}\n./lib/cart.rb:{1}:in 'total'\n./spec/cart_spec.rb:{1}:in 'block (2 levels) in <top>'\n"
            "/var/{0}/gems/rspec-core/lib/example.rb:263:in 'run'"
        ),
        "RuntimeError < lib/cart.rb:total",
    ),
    "php": (
        "Shop\\CartException",
        (
            "Shop\\CartException: {1}\n\n/home/{0}/src/Cart.php:{1}\n/home/{0}/tests/CartTest.php:{1}\n"
            "/home/{0}/vendor/phpunit/phpunit/src/TestCase.php:1"
        ),
        "Shop\\CartException: message <n> < src/Cart.php",
    ),
    "rust": (
        "",
        "thread 'cart::total' panicked at src/cart.rs:{1}:5:\nassertion `left == right` failed\n  left: {1}",
        "panic: message <n> < src/cart.rs",
    ),
}


@pytest.mark.parametrize("language", TRACES)
def test_a_stack_trace_gives_type_and_own_frames_below_the_test_without_lines_and_folders(language: str) -> None:
    kind, trace, wanted = TRACES[language]
    for home, line in (("ada", 12), ("runner/work/17", 340)):
        assert signature_of(kind, f"message {line}", trace.format(home, line)) == wanted


def test_no_more_than_three_frames_count() -> None:
    trace = "".join(f'  File "src/m{n}.py", line 1, in f{n}\n' for n in range(9))
    assert signature_of("E", "", trace) == "E < src/m8.py:f8 < src/m7.py:f7 < src/m6.py:f6"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("user 42 not found", "user <n> not found"),
        ("took 12.5 ms, not 3s", "took <amount>, not <amount>"),
        ("at 0x7f00deadbeef", "at <hex>"),
        ("id 123e4567-e89b-12d3-a456-426614174000 gone", "id <uuid> gone"),
        ("GET https://host:1/a?b=c failed", "GET <url> failed"),
        ("on 2026-11-22T10:11:12.5Z and 10:11:12", "on <time> and <time>"),
        ("refused by 10.0.0.17:5432", "refused by <ip>"),
        ("commit a1b2c3d4e5 is bad", "commit <hash> is bad"),
        ("no file /tmp/x1/y.txt here", "no file <path> here"),
        (r"no file C:\Users\a\b.txt here", "no file <path> here"),
        ("mail ada@example.org bounced", "mail <mail> bounced"),
        ("sizes [1, 2, 3, 4]", "sizes [<list>]"),
        ("assert 41 == 42", "assert 41 == 42"),
        ("expected: <1141> but was: <1140>", "expected: <1141> but was: <1140>"),
        ("Failed asserting that 119 is identical to 120.", "Failed asserting that 119 is identical to 120."),
        ("Expected status 200, got 503", "Expected status <n>, got <n>"),
        ("cart_test.go:28: total is 419, not 420", "total is <n>, not <n>"),
        ("\x1b[31mred\x1b[0m   and\tspaces", "red and spaces"),
        ("first line\nsecond", "first line"),
        ("\n\n  later line", "later line"),
        ("", ""),
        ("assert x1 == utf8", "assert x1 == utf8"),
    ],
)
def test_what_varies_in_a_line_is_replaced_by_its_kind(text: str, wanted: str) -> None:
    assert normalise(text) == wanted


def test_without_a_trace_the_type_and_the_normalised_message_count() -> None:
    assert signature_of("KeyError", "user 42", "") == "KeyError: user <n>"
    assert signature_of("", "KeyError: user 42", "") == "KeyError: user <n>"
    assert signature_of("KeyError", "", "") == "KeyError"
    assert signature_of("", "", "boom 7\nmore") == "boom <n>"
    assert signature_of("", "", "") == ""


HOSTILE = [
    "a" * 500_000, "1" * 500_000, "1," * 200_000, "/" * 500_000, "at " * 100_000, "0x" * 200_000, "<n>, " * 100_000,
    ".:-" * 100_000, "\n" * 500_000, "at a(" * 100_000, '  File "' * 50_000, "#1 " * 100_000, "a@b." * 100_000,
    "expected " * 60_000, "A" * 100 + "Error" * 100_000, "(((((" * 100_000, "x://" * 100_000, "\\\\" * 200_000,
    " " * 500_000, "a1" * 250_000, "1:22:33" * 70_000, "thread '" * 60_000, "connection " * 50_000,
    "at " + "a." * 250_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_takes_no_long_time(text: str) -> None:
    many = "\n".join(text[n * 1200 : (n + 1) * 1200] for n in range(100))
    start = time.process_time()
    for kind, message, details in ((text, text, text), ("", text, many), ("", "", many)):
        assert len(signature_of(kind, message, details)) <= 500
        classify(kind, message, details)
    assert time.process_time() - start < 1.5


def test_classes_have_distinct_names() -> None:
    names = [name for name, _ in CLASSES]
    assert len(names) == len(set(names)) == 11


def test_every_pattern_of_a_class_has_a_literal_that_spares_most_texts() -> None:
    for name, words in CLASSES:
        for literal, pattern in words.patterns:
            assert len(literal.strip()) >= 2, (name, pattern.pattern)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Timed-Out", r"\btime[- ]?d?[- ]?out\b"),
        ("ECONNRESET", r"\bECONN(?:REFUSED|RESET|ABORTED)\b"),
        ("stack overflow", r"stack ?overflow"),
        ("toBeVisible", r"to(?:Be|Equal|Contain|Throw)\b"),
    ],
)
def test_the_literal_of_a_pattern_is_in_what_it_matches(text: str, pattern: str) -> None:
    from ci_bridge.analysis.classes import _Words

    assert _Words.literal_of(pattern) in text.lower()


def test_a_first_line_that_only_says_where_is_passed_over() -> None:
    first = signature_of("", "/ci/cart.cpp:9\nExpected equality of these values:\n  total\n  1", "")
    assert first == "Expected equality of these values: total <n>"
    assert first != signature_of("", "/ci/db.cpp:12\nValue of: db.open()", "")
    assert telling_line("unknown file") == "unknown file"
    assert "Value of" in signature_of("", "/ci/db.cpp:12", "/ci/db.cpp:12\nValue of: db.open()")


TELLING = {
    "gtest.xml": [
        'Expected equality of these values: total("apple", 100) Which is: 3999 4000',
        'Expected equality of these values: total("milk", 2) Which is: 238 237 two bottles <of milk>',
        'C++ exception with description "unknown article: unicorn" thrown in the test body.',
    ],
    "catch2.xml": ['total("milk", 3) == 356', "unknown article: unicorn"],
    "boost.xml": [
        'check total("milk", 3) == 356 has failed [357 != 356]',
        "std::out_of_range: unknown article: unicorn",
    ],
    "jest-junit.xml": [
        'Expected value to strictly be equal to: "99+" Received: "100"',
        'Expected value to strictly be equal to: "IV" Received: "4"',
    ],
    "playwright-junit.xml": ['Expected: "99+" Received: "100"', "Test timeout of 100ms exceeded."],
    "mocha-xunit.xml": [
        "Expected values to be strictly equal: '100' !== '99+'",
        "known since the beginning",
        "connect ECONNREFUSED badge.test:443",
    ],
    "junit5-console.xml": ["expected: <1141> but was: <1140>"],
    "phpunit.xml": [
        "Failed asserting that 119 is identical to 120.",
        "OutOfBoundsException: unknown article: unicorn",
        "This test did not perform any assertions",
    ],
    "rspec.xml": ["key not found: :unicorn", "expected: 356      got: 357  (compared using ==)"],
    "cargo.xml": ["assertion `left == right` failed: the price of a loaf left: Some(250) right: Some(251)"],
    "gotestsum.xml": ["cart_test.go:28: total is 419, not 420", "cart_test.go:42: tea weighs nothing", "Failed"],
    "nose2.xml": ["AssertionError: 9 != 0", "AssertionError: 5 != 4 : five articles, not four"],
    "subunit2junitxml.xml": ["AssertionError: 9 != 0", "AssertionError: 5 != 4 : five articles, not four"],
    "pytest-nunit.xml": [
        "TimeoutError: the warehouse did not answer within 3 seconds",
        "Failed",
        "Failed",
        "assert 0 == 500",
        "AssertionError: assert '-1.50 EUR' == '-0.50 EUR'",
    ],
    "bats-tap13.tap": ["""`[ "$(price bread)" = 251 ]' failed"""],
    "tap.tap": ["-99+ +100"],
}


def told(path: Path) -> list[tuple[str, str, str]]:
    with read_results([path], workspace=path.parent) as results:
        return [failure_text(case) for case in (*results.failures, *results.flaky)]


@pytest.mark.parametrize("name", TELLING)
def test_what_a_tool_really_wrote_has_a_telling_line(name: str, repo_root: Path) -> None:
    texts = told(repo_root / "tests" / "data" / name)
    lines = [telling_line(f"{message}\n{details}") for _, message, details in texts]
    assert lines == TELLING[name]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            (
                "\tcart_test.go:9: \n\t    \tError Trace:\t/ci/cart_test.go:9\n\t    \tError:      \tNot equal: \n"
                "\t    \t            \texpected: 1\n\t    \t            \tactual  : 2\n\t    \tTest: \tTestTotal\n"
            ),
            "Not equal: expected: 1 actual  : 2",
        ),
        ("expect(received).toBe(expected) // Object.is equality\nExpected: 4\nReceived: 3", "Expected: 4 Received: 3"),
        ("expect(received).resolves.toBe()\n\nReceived promise rejected", "Received promise rejected"),
        ("expect(received).toBe(expected)", "expect(received).toBe(expected)"),
        ("Error: expected 4 to equal 5\n    at Context.<anonymous> (a.js:1:2)", "Error: expected 4 to equal 5"),
        ("Expected: is <4>\n     but: was <5>", "Expected: is <4> but: was <5>"),
        ("Assert.Equal() Failure\nExpected: 1\nActual:   2", "Assert.Equal() Failure Expected: 1 Actual:   2"),
        (
            "Failed asserting that two strings are equal.\n--- Expected\n+++ Actual\n@@ @@\n-'a'\n+'b'\n",
            "Failed asserting that two strings are equal. -'a' +'b'",
        ),
        (
            (
                "thread 'cart' panicked at src/lib.rs:4:5:\nassertion `left == right` failed\n  left: 1\n right: 2\n"
                "note: run with `RUST_BACKTRACE=1` environment variable"
            ),
            "assertion `left == right` failed left: 1 right: 2",
        ),
        ("Failure/Error: a.should eq 4\n\n  expected: 4\n  got: 3", "Failure/Error: a.should eq 4 expected: 4 got: 3"),
        ("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nKeyError: 'x'", "KeyError: 'x'"),
        ("Error:", "Error:"),
        ("", ""),
    ],
)  # fmt: skip
def test_headlines_are_joined_to_what_they_announce(text: str, wanted: str) -> None:
    assert telling_line(text) == wanted


@pytest.mark.parametrize(
    "path", ["mocha.json", "gtest.xml", "node-junit.xml", "cucumber.json", "nose2.xml", "phpunit.xml"]
)
def test_unrelated_failures_of_one_file_are_different_errors(path: str, repo_root: Path) -> None:
    signatures = [signature_of(*texts) for texts in told(repo_root / "tests" / "data" / path)]
    assert len(set(signatures)) == len(signatures) > 1


PYTEST = "    def {0}():\n>       assert {1}\nE       assert {1}\n\ntests/test_a.py:{2}: AssertionError"


def pytest_signature(name: str, said: str, line: int = 1) -> str:
    return signature_of(
        "AssertionError", f"assert {said}", PYTEST.format(name, said, line), file="tests/test_a.py", name=name
    )


def test_where_the_trace_shows_the_test_alone_the_message_decides() -> None:
    assert pytest_signature("test_total", "41 == 42") != pytest_signature("test_name", '"bob" == "alice"')
    assert pytest_signature("test_a", "answer() == 'service is down'") == pytest_signature(
        "test_b", "answer() == 'service is down'", 9
    )


@pytest.mark.parametrize("said", ["False", "1 == 2", "None is not None", "0.1 == 0.3"])
def test_what_could_be_the_same_by_chance_is_one_error_within_one_test_only(said: str) -> None:
    assert pytest_signature("test_a[1]", said) == pytest_signature("test_a[2]", said, 7)
    assert pytest_signature("test_a", said) != pytest_signature("test_b", said)
    java = "org.opentest4j.AssertionFailedError", "expected: <true> but was: <false>", ""
    assert signature_of(*java, classname="shop.A", name="one") != signature_of(*java, classname="shop.A", name="two")


def test_numbers_too_rare_for_chance_are_one_error_in_every_test() -> None:
    assert pytest_signature("test_a", "503 == 200") == pytest_signature("test_b", "503 == 200")
    assert pytest_signature("test_a", "503 == 200") != pytest_signature("test_b", "404 == 200")


def test_one_error_below_many_tests_has_one_signature() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/ci/run.py", line 3, in main\n'
        '  File "/ci/tests/test_{0}.py", line {0}, in test_{0}\n    total()\n'
        '  File "/ci/shop/cart.py", line 9, in total\n    raise\nKeyError: {0}'
    )
    assert {signature_of("KeyError", str(n), trace.format(n)) for n in range(9)} == {"KeyError < shop/cart.py:total"}


def test_a_frame_without_a_name_joins_nothing_by_itself() -> None:
    trace = "Error: {0}\n    at World.<anonymous> (/ci/lib/world.js:18:10)"
    signatures = {signature_of("", "", trace.format(said)) for said in ("the till is busy", "no such article")}
    assert len(signatures) == 2


def test_what_says_nothing_but_that_it_failed_has_no_signature() -> None:
    for kind, message in (("", "Failed"), ("failure", ""), ("AssertionError", ""), ("assert", "test failure")):
        assert signature_of(kind, message, "") == ""
    assert signature_of("AssertionError", "", "", classname="A", name="t") == "AssertionError < A:t"


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/helpers.py", True), ("shop/test_cart.py", True), ("shop/cart_test.go", True), ("CartTest.java", True),
        ("shop/CartIT.java", True), ("spec/cart_spec.rb", True), ("src/cart.spec.ts", True),
        ("src/cart.test.tsx", True),
        ("steps/cart_steps.py", True), ("conftest.py", True), ("python/unittest_cart.py", True), ("TestCart.py", True),
        ("__tests__/cart.js", True), ("Tests/Cart.cs", True),
        ("shop/cart.py", False), ("shop/latest.py", False), ("shop/contest.py", False), ("src/inspector.ts", False),
        ("Greatest.java", False), ("src/audit.rs", False), ("shop/testimony.py", False), ("src/footsteps.go", False),
    ],
)  # fmt: skip
def test_test_code_is_known_by_its_file(path: str, is_test: bool) -> None:
    assert Frame(path).is_test_code() is is_test


def test_the_tests_own_file_and_class_are_test_code_under_any_name() -> None:
    assert Frame("cpp/cart.cpp").is_test_code(file="/ci/shop/cpp/cart.cpp")
    assert Frame("Checks.java", "shop.Checks.total").is_test_code(classname="shop.Checks")
    assert not Frame("Checks.java", "shop.Checksum.total").is_test_code(classname="shop.Checks")
