"""The HTML page in a real browser; needs Chromium on the PATH (``make test-all``)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ci_bridge.models import Report
from ci_bridge.report import write_html
from tests.report.builders import ManyResults, failed, flaky, passed, report_of, rich_report

pytestmark = pytest.mark.e2e


def open_page(report: Report, folder: Path) -> tuple[str, str]:
    """The document after its script ran, and what the browser complained of."""
    page = folder / "report.html"
    with page.open("w", encoding="utf-8", newline="\n") as stream:
        write_html(report, stream)
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "install Chromium for the end-to-end tests"
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, check=True, timeout=120, text=True,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_the_list_shows_the_tests_and_the_browser_has_no_complaint(tmp_path: Path) -> None:
    document, complaints = open_page(rich_report(), tmp_path)
    assert complaints == ""
    assert '<small id="shown">24 of 24</small>' in document
    assert 'title="tests.test_shop::test_ok_0"' in document
    assert not re.search(r'<div id="browse" hidden', document)


def test_a_hundred_thousand_tests_are_all_there_and_few_are_drawn(tmp_path: Path) -> None:
    document, complaints = open_page(report_of(ManyResults(100_000, [failed()])), tmp_path)
    assert complaints == ""
    assert "100\u202f001 of 100\u202f001" in document
    assert document.count("<li ") < 60


def test_the_list_begins_with_the_failures(tmp_path: Path) -> None:
    cases = [*(passed(f"test_ok_{number}") for number in range(40)), flaky(), failed()]
    document, complaints = open_page(report_of(cases), tmp_path)
    assert complaints == ""
    listed = re.findall(r'<li [^>]*><span class="what is-.">([^<]*)</span>', document)
    assert listed[:3] == ["failed", "flaky", "passed"]
