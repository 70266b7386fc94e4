"""Addresses on the code host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ci_bridge.models import BuildContext, Report
from ci_bridge.platforms.github import platform
from ci_bridge.protocols import NO_PAGES
from ci_bridge.web import page_links, source_links
from tests.report.builders import failed, judged, passed, report_of

SHA = "b" * 40
CONTEXT = BuildContext(
    "ci", repository_url="https://git.example/acme/shop", commit_sha="a" * 40, pr_head_sha=SHA, pr_number="42"
)
BLOB = f"https://git.example/acme/shop/blob/{SHA}"


def report(file: str = "tests/test_cart.py", **context: str | None) -> Report:
    case = failed(file=file, details="")
    return report_of([case, passed()], [judged(case)], context=replace(CONTEXT, **context))  # type: ignore[arg-type]


def test_a_failure_is_linked_at_the_head_commit() -> None:
    found = source_links(report(), platform.pages, ["tests/test_cart.py"])
    assert list(found.values()) == [("test_cart.py:12", f"{BLOB}/tests/test_cart.py#L12")]
    assert page_links(report(), platform.pages) == {
        "commit": f"https://git.example/acme/shop/commit/{SHA}",
        "pull_request": "https://git.example/acme/shop/pull/42",
    }


def test_a_path_is_quoted_whatever_it_is_called() -> None:
    name = 'a b/@me/#1?x=">%2e.py'
    (found,) = source_links(report(name), platform.pages, [name]).values()
    assert found[1] == f"{BLOB}/a%20b/%40me/%231%3Fx%3D%22%3E%252e.py#L12"


@pytest.mark.parametrize("file", ["src/other.py", "https://evil.example/test_cart.py", "../../etc/passwd", ""])
def test_what_is_no_tracked_file_has_no_link(file: str) -> None:
    assert not source_links(report(file), platform.pages, ["lib/passwd/x.py", "a/test_cart.py", "b/test_cart.py"])
    assert not source_links(report(file), platform.pages, [])


@pytest.mark.parametrize(
    "context",
    [
        {"repository_url": None},
        {"repository_url": "javascript:alert(1)"},
        {"repository_url": "acme/shop"},
        {"pr_head_sha": "main"},
        {"pr_head_sha": "../../x"},
        {"pr_head_sha": None, "commit_sha": None},
    ],
)
def test_without_a_repository_and_a_commit_there_is_no_link(context: dict[str, Any]) -> None:
    assert not source_links(report(**context), platform.pages, ["tests/test_cart.py"])
    assert "commit" not in page_links(report(**context), platform.pages)


def test_credentials_in_a_repositorys_url_are_in_no_link_and_odd_numbers_in_none_either() -> None:
    odd = report(repository_url="https://me:hidden@git.example/acme/shop/", pr_number="1/../../x")
    (found,) = source_links(odd, platform.pages, ["tests/test_cart.py"]).values()
    assert found[1].startswith(BLOB) and "hidden" not in str(page_links(odd, platform.pages))
    assert "pull_request" not in page_links(odd, platform.pages)


def test_a_host_whose_pages_are_not_known_has_no_links() -> None:
    assert not source_links(report(), NO_PAGES, ["tests/test_cart.py"]) and not page_links(report(), NO_PAGES)
