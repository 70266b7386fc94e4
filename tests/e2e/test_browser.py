"""The HTML report in a real browser, with a hundred thousand tests in it."""

from __future__ import annotations

import re
import time

import pytest

from tests.e2e.conftest import Browser, run_cli

pytestmark = pytest.mark.e2e

CASES = 100_000
FAILURES = 25
HOSTILE = "&lt;img src=x onerror=alert(1)&gt;&lt;script&gt;alert(2)&lt;/script&gt;"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report of a large run with a few failures, hostile names among them."""
    folder = tmp_path_factory.mktemp("large")
    with (folder / "large.xml").open("w", encoding="utf-8") as stream:
        stream.write('<testsuite name="large">\n')
        for number in range(CASES):
            name = (
                f'<testcase classname="shop.module_{number % 100}" name="test_case_{number}" time="0.{number % 997:03}"'
            )
            if number % (CASES // FAILURES):
                stream.write(f"{name}/>\n")
            else:
                stream.write(f'{name}><failure message="{HOSTILE}">{HOSTILE} in {number}</failure></testcase>\n')
        stream.write("</testsuite>\n")
    done = run_cli("report", "large.xml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return (folder / "distributed_test_results/report.html").as_uri()


def shown(browser: Browser) -> list[int]:
    """The two numbers of ``25 of 100 000``."""
    text = browser.script("return document.getElementById('shown').textContent")
    return [int(re.sub(r"\D", "", part)) for part in text.split(" of ")]


def background(browser: Browser) -> int:
    """The brightness of the page's background, 0 to 765."""
    color = browser.script("return getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", color)[:3])


def test_a_report_of_100_000_tests_opens_fast_and_without_a_complaint(browser: Browser, report: str):
    start = time.monotonic()
    browser.open(report)
    assert shown(browser) == [CASES, CASES]
    assert time.monotonic() - start < 5
    assert browser.console() == []
    assert browser.script("return document.getElementById('rows').children.length") < 200


def test_nothing_is_requested_and_nothing_of_the_data_is_run(browser: Browser, report: str):
    browser.open(report)
    assert browser.script("return performance.getEntriesByType('resource').length") == 0
    assert browser.script("return document.querySelectorAll('img').length") == 0
    assert browser.script("return document.scripts.length") == 1
    assert "<img src=x" in browser.script("return document.body.textContent")
    assert browser.console() == []


def test_filter_search_and_order_find_tests_quickly(browser: Browser, report: str):
    browser.open(report)
    browser.click("[data-filter='red']")
    browser.wait("return document.getElementById('shown').textContent.startsWith(arguments[0])", str(FAILURES))
    assert shown(browser) == [FAILURES, CASES]
    browser.click("[data-filter='']")
    browser.type("#search", "module_7 case_99907")
    browser.wait("return document.getElementById('rows').children.length === 1", seconds=3)
    assert "test_case_99907" in browser.script("return document.getElementById('rows').textContent")
    assert browser.console() == []


def test_scrolling_to_the_end_shows_the_last_test(browser: Browser, report: str):
    browser.open(report)
    browser.script("const box = document.getElementById('list'); box.scrollTop = box.scrollHeight")
    browser.wait("return document.getElementById('rows').textContent.includes(arguments[0])", f"test_case_{CASES - 1}")


def test_dark_mode_is_dark_and_light_mode_is_light(browser: Browser, report: str):
    brightness = {}
    for mode in ("dark", "light"):
        browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
        browser.open(report)
        brightness[mode] = background(browser)
    assert brightness["dark"] < 150
    assert brightness["light"] > 600


def test_every_failure_can_be_read_without_javascript(browser: Browser, report: str):
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(report)
    text = browser.devtools("DOM.getOuterHTML", nodeId=browser.devtools("DOM.getDocument")["root"]["nodeId"])[
        "outerHTML"
    ]
    assert text.count('class="why"') >= FAILURES
    assert "Search and filters need JavaScript" in text


def test_a_narrow_window_does_not_scroll_sideways(browser: Browser, report: str):
    browser.devtools("Emulation.setDeviceMetricsOverride", width=380, height=800, deviceScaleFactor=1, mobile=True)
    browser.open(report)
    assert browser.script("return document.documentElement.scrollWidth <= window.innerWidth")
