"""Failures with one cause share a signature, in every language, and a hostile text takes no longer than another."""

from __future__ import annotations

import time

import pytest

from ci_bridge.analysis import classify, signature_of, telling_line
from ci_bridge.analysis.signature import CLASSES, normalise


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
        ("", "failed on setup with \"KeyError: 'x'\"", "", "exception"),
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
    if "failed on setup" in message:
        wanted = "unknown"
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
        "ValueError < shop/cart.py:total < tests/test_cart.py:test_total",
    ),
    "pytest": (
        "AssertionError",
        (
            "    def test_total():\n>       total()\n\ntests/test_cart.py:{1}: \n_ _ _ _\n\n>   assert 0\n"
            "E   assert {1}\n\nshop/cart.py:{1}: AssertionError"
        ),
        "AssertionError < shop/cart.py < tests/test_cart.py",
    ),
    "java": (
        "java.lang.IllegalStateException",
        (
            "java.lang.IllegalStateException: {1}\n\tat com.shop.Cart.total(Cart.java:{1})\n"
            "\tat com.shop.CartTest.total(CartTest.java:{1})\n"
            "\tat java.base/jdk.internal.reflect.Method.invoke(Method.java:568)\n"
            "\tat org.junit.Runner.run(Runner.java:1)"
        ),
        "java.lang.IllegalStateException < Cart.java:com.shop.Cart.total < CartTest.java:com.shop.CartTest.total",
    ),
    "javascript": (
        "TypeError",
        (
            "TypeError: {1}\n    at Cart.total (/home/{0}/src/cart.ts:{1}:7)\n"
            "    at async /home/{0}/src/cart.test.ts:{1}:3\n"
            "    at run (/home/{0}/node_modules/jest/build/run.js:1:2)\n    at node:internal/process/task_queues:95:5"
        ),
        "TypeError < src/cart.ts:Cart.total < src/cart.test.ts",
    ),
    "go": (
        "",
        (
            "panic: {1}\n\ngoroutine 7 [running]:\nshop.(*Cart).Total(0xc000)\n\t/home/{0}/shop/cart.go:{1} +0x1d\n"
            "shop.TestTotal(0xc000)\n\t/home/{0}/shop/cart_test.go:{1} +0x2a\n"
            "testing.tRunner()\n\t/usr/local/go/src/testing/testing.go:1689 +0xfb"
        ),
        "panic < shop/cart.go < shop/cart_test.go",
    ),
    "csharp": (
        "System.InvalidOperationException",
        (
            "   at Shop.Cart.Total(Int32 n) in /home/{0}/Shop/Cart.cs:line {1}\n"
            "   at Shop.Tests.CartTest.Total() in /home/{0}/Tests/CartTest.cs:line {1}\n"
            "   at System.RuntimeMethodHandle.InvokeMethod(Object target)"
        ),
        "System.InvalidOperationException < Shop/Cart.cs:Shop.Cart.Total < Tests/CartTest.cs:Shop.Tests.CartTest.Total",
    ),
    "ruby": (
        "RuntimeError",
        (
            "RuntimeError: {1}\n./lib/cart.rb:{1}:in 'total'\n./spec/cart_spec.rb:{1}:in 'block (2 levels) in <top>'\n"
            "/var/{0}/gems/rspec-core/lib/example.rb:263:in 'run'"
        ),
        "RuntimeError < lib/cart.rb:total < spec/cart_spec.rb:block (2 levels) in <top>",
    ),
    "php": (
        "Shop\\CartException",
        (
            "Shop\\CartException: {1}\n\n/home/{0}/src/Cart.php:{1}\n/home/{0}/tests/CartTest.php:{1}\n"
            "/home/{0}/vendor/phpunit/phpunit/src/TestCase.php:1"
        ),
        "Shop\\CartException < src/Cart.php < tests/CartTest.php",
    ),
    "rust": (
        "",
        "thread 'cart::total' panicked at src/cart.rs:{1}:5:\nassertion `left == right` failed\n  left: {1}",
        "panic < src/cart.rs",
    ),
}


@pytest.mark.parametrize("language", TRACES)
def test_a_stack_trace_gives_type_and_last_own_frames_without_lines_and_folders(language: str) -> None:
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
        ("got [1, 2, 3, 4]", "got [<list>]"),
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
    assert len(names) == len(set(names)) == 10


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
    from ci_bridge.analysis.signature import _Words

    assert _Words.literal_of(pattern) in text.lower()


def test_a_first_line_that_only_says_where_is_passed_over() -> None:
    first = signature_of("", "/ci/cart.cpp:9\nExpected equality of these values:", "")
    assert first != signature_of("", "/ci/db.cpp:12\nValue of: db.open()", "")
    assert "Expected equality" in first
    assert telling_line("unknown file") == "unknown file"
    assert "Value of" in signature_of("", "/ci/db.cpp:12", "/ci/db.cpp:12\nValue of: db.open()")
