"""Annotations: the right file and line, or none."""

from __future__ import annotations

import pytest

from ci_bridge.models import Attempt, BuildContext, Case, Outcome, Severity, Verdict
from ci_bridge.report import build_annotations
from ci_bridge.report.annotations import locate
from ci_bridge.report.source_index import Frame, SourceIndex, frames_of
from tests.report.builders import failed, flaky, judged, report_of
from tests.report.test_escape import FORBIDDEN, NASTY, given

TRACKED = (
    "setup.py",
    "tests/test_cart.py",
    "tests/test_ws.py",
    "tests/unit/test_cart.py",
    "src/main/java/com/acme/Foo.java",
    "src/test/java/com/acme/FooTest.java",
    "a/src/test/java/com/acme/TwinTest.java",
    "b/src/test/java/com/acme/TwinTest.java",
    "web/src/cart.test.js",
    "cart/cart_test.go",
    "order/cart_test.go",
    "Shop.Tests/CartTests.cs",
    "spec/cart_spec.rb",
    "tests/CartTest.php",
    "src/cart.rs",
)


def red(**fields: object) -> Case:
    return Case("t", outcome=Outcome.FAILED, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reported", "found"),
    [
        ("tests/test_cart.py", "tests/test_cart.py"),
        ("./tests/test_cart.py", "tests/test_cart.py"),
        ("tests//test_cart.py", "tests/test_cart.py"),
        ("tests\\test_cart.py", "tests/test_cart.py"),
        ("C:\\build\\repo\\tests\\unit\\test_cart.py", "tests/unit/test_cart.py"),
        ("/home/runner/work/shop/shop/tests/test_cart.py", "tests/test_cart.py"),
        ("/ws/tests/test_cart.py", "tests/test_cart.py"),
        ("file:///app/web/src/cart.test.js", "web/src/cart.test.js"),
        ("com/acme/FooTest.java", "src/test/java/com/acme/FooTest.java"),
        ("../src/cart.rs", "src/cart.rs"),
        ("github.com/acme/shop/cart/cart_test.go", "cart/cart_test.go"),
        ("/app/setup.py", "setup.py"),
        ("com/acme/TwinTest.java", None),
        ("cart_test.go", None),
        ("test_cart.py", None),
        ("other/test_cart.py", None),
        ("/elsewhere/lib/test_cart.py", None),
        ("/ws/generated/test_cart.py", None),
        ("test_cart.pyc", None),
        ("../../etc/passwd", None),
        ("/etc/passwd", None),
        ("", None),
        ("tests/test_cart.py\0", None),
        ("x" * 5000, None),
    ],
)
def test_a_path_means_the_one_tracked_file_that_it_ends_like(reported: str, found: str | None) -> None:
    assert SourceIndex(TRACKED, "/ws").find(reported) == found


def test_a_frame_of_somebody_elses_file_is_not_taken_for_ours() -> None:
    index = SourceIndex((*TRACKED, "case.py", "requests/api.py"))
    assert index.find("/usr/lib/python3.11/unittest/case.py", from_trace=True) is None
    assert index.find("/venv/lib/site-packages/requests/api.py", from_trace=True) is None
    assert index.find("web/node_modules/x/setup.py", from_trace=True) is None


@given(NASTY)
def test_any_path_gives_a_tracked_file_or_none(text: str) -> None:
    assert SourceIndex(TRACKED, "/ws").find(text) in (None, *TRACKED)


@pytest.mark.parametrize(
    ("trace", "frames"),
    [
        (
            'Traceback (most recent call last):\n  File "/a/outer.py", line 3, in f\n  File "/a/inner.py", line 9',
            [Frame("/a/inner.py", 9), Frame("/a/outer.py", 3)],
        ),
        ("tests/test_cart.py:14: AssertionError", [Frame("tests/test_cart.py", 14)]),
        (
            (
                "\tat org.junit.Assert.fail(Assert.java:89)\n\tat com.acme.FooTest.adds(FooTest.java:42)\n"
                "\tat java.base/java.lang.Thread.run(Thread.java:8)"
            ),
            [
                Frame("org/junit/Assert.java", 89),
                Frame("com/acme/FooTest.java", 42),
                Frame("java/lang/Thread.java", 8),
            ],
        ),
        ("\tat com.acme.FooTest$Inner.lambda$adds$0(FooTest.java:7)", [Frame("com/acme/FooTest.java", 7)]),
        (
            "Error: x\n    at Object.<anonymous> (/app/web/src/cart.test.js:5:13)\n    at file:///app/web/src/cart.js:2:1",
            [Frame("/app/web/src/cart.test.js", 5), Frame("/app/web/src/cart.js", 2)],
        ),
        ("    cart_test.go:12: total = 41, want 42", [Frame("cart_test.go", 12)]),
        (
            "   at Shop.Tests.CartTests.Total() in /src/Shop.Tests/CartTests.cs:line 17",
            [Frame("/src/Shop.Tests/CartTests.cs", 17)],
        ),
        ("   at A.B() in C:\\src\\My App\\CartTests.cs:line 17", [Frame("C:\\src\\My App\\CartTests.cs", 17)]),
        ("./spec/cart_spec.rb:8:in `block (2 levels) in <top (required)>'", [Frame("./spec/cart_spec.rb", 8)]),
        ("#0 /app/tests/CartTest.php(23): Cart->total()", [Frame("/app/tests/CartTest.php", 23)]),
        ("/app/tests/CartTest.php:23", [Frame("/app/tests/CartTest.php", 23)]),
        ("thread 'tests::total' panicked at src/cart.rs:31:9:\nassertion failed", [Frame("src/cart.rs", 31)]),
        ("nothing here: 12:30", []),
    ],
)
def test_frames_are_read_innermost_first(trace: str, frames: list[Frame]) -> None:
    assert list(frames_of(trace)) == frames


def test_a_long_hostile_trace_is_read_in_time() -> None:
    assert list(frames_of(("at " * 20_000 + "(" * 20_000 + "\n") * 50)) == []
    assert list(frames_of("x." * 50_000 + ":1")) == []


@pytest.mark.parametrize(
    ("case", "place"),
    [
        (failed(), ("tests/test_cart.py", 12)),
        (failed(line=None), ("tests/test_cart.py", 14)),
        (failed(line=None, details=""), ("tests/test_cart.py", 1)),
        (red(classname="com.acme.FooTest", details="\tat com.acme.FooTest.a(FooTest.java:42)"), (TRACKED[5], 42)),
        (red(classname="com.acme.FooTest$Inner"), (TRACKED[5], 1)),
        (
            red(
                classname="com.acme.FooTest",
                details="\tat com.acme.Foo.x(Foo.java:3)\n\tat com.acme.FooTest.a(FooTest.java:42)",
            ),
            (TRACKED[5], 42),
        ),
        (red(classname="tests.unit.test_cart.TestTotal"), ("tests/unit/test_cart.py", 1)),
        (red(classname="com.acme.TwinTest", details="\tat com.acme.TwinTest.a(TwinTest.java:4)"), None),
        (red(classname="github.com/acme/shop/cart", details="    cart_test.go:12: no"), ("cart/cart_test.go", 12)),
        (red(suite=("example.test/shop/order",), details="    cart_test.go:12: no"), ("order/cart_test.go", 12)),
        (red(details="    cart_test.go:12: no"), None),
        (red(message="at src/cart.rs:31:9"), ("src/cart.rs", 31)),
        (red(classname="setup"), ("setup.py", 1)),
        (red(classname="some.thing.setup"), None),
        (red(classname="github.com/acme/shop/gone", details="    setup.py:12: no"), ("setup.py", 12)),
        (red(classname="github.com/acme/shop/gone", details="    cart_test.go:12: no"), None),
        (red(file="tests/gone.py", line=3), None),
        (
            Case(
                "t", file="tests/test_ws.py",
                attempts=(Attempt(Outcome.FAILED, details="tests/test_ws.py:5: x"),),
            ),
            ("tests/test_ws.py", 5),
        ),
    ],
)  # fmt: skip
def test_a_case_is_found_by_its_file_its_class_or_its_trace(case: Case, place: tuple[str, int] | None) -> None:
    assert locate(case, SourceIndex(TRACKED)) == place


def test_new_failures_come_first_and_the_total_counts_all() -> None:
    known, new, shaky = failed("known"), failed("new"), flaky()
    nowhere = failed("nowhere", file="gone.py", details="")
    report = report_of(
        [known, new, shaky, nowhere],
        [judged(known, Verdict.KNOWN), judged(new), judged(shaky, Verdict.FLAKY), judged(nowhere)],
    )
    found, placed, wanted = build_annotations(report, mode="all", limit=2, tracked=TRACKED)
    assert [annotation.title.rsplit("::", 1)[-1] for annotation in found] == ["new", "test_reconnect"]
    assert (placed, wanted) == (3, 4)
    assert [annotation.severity for annotation in found] == [Severity.FAILURE, Severity.NOTICE]
    failures, *numbers = build_annotations(report, mode="failures", limit=50, tracked=TRACKED)
    assert [annotation.severity for annotation in failures] == [Severity.FAILURE, Severity.WARNING]
    assert numbers == [2, 3]
    assert build_annotations(report, mode="none", tracked=TRACKED) == ([], 0, 0)


def test_an_annotation_says_what_failed_and_why() -> None:
    report = report_of([failed()], [judged(failed(), text="first seen here")])
    (annotation,), *_ = build_annotations(report, tracked=TRACKED)
    assert annotation.title == "New failure: tests/test_cart.py::test_total"
    assert annotation.message.startswith("AssertionError: 41 != 42\nfirst seen here\nTraceback")


def test_the_workspace_of_the_build_is_known() -> None:
    report = report_of([failed(file="/ws/test_cart.py")], context=BuildContext("local", workspace="/ws"))
    assert build_annotations(report, tracked=(*TRACKED, "test_cart.py"))[0][0].file == "test_cart.py"


def test_nothing_tracked_means_no_annotations() -> None:
    assert build_annotations(report_of([failed()]), tracked=()) == ([], 0, 1)


@given(NASTY)
def test_titles_are_one_visible_line(text: str) -> None:
    report = report_of([failed(text, message=text, type=text)])
    for annotation in build_annotations(report, tracked=TRACKED)[0]:
        assert not FORBIDDEN.search(annotation.title)
        assert "\n" not in annotation.title
        assert "\x1b" not in annotation.message
