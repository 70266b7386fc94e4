"""Addresses on the code host: only ever built from the repository's own URL, a commit and a tracked path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from urllib.parse import quote

from ci_bridge.models import Report
from ci_bridge.protocols import WebPages
from ci_bridge.report.annotations import locate
from ci_bridge.report.escape import safe_url
from ci_bridge.report.source_index import SourceIndex
from ci_bridge.report.wording import all_judged

MOST_SOURCES = 5_000
"""Cases that get an address; more are listed nowhere one by one."""

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def page_links(report: Report, pages: WebPages) -> dict[str, str]:
    """Addresses of what was built: ``commit`` and ``pull_request``, as far as they are known."""
    base, context = _base(report), report.context
    sha, number = _sha(report), context.pr_number or ""
    found = {
        "commit": pages.commit.format(sha=sha) if sha else "",
        "pull_request": pages.pull_request.format(number=number) if number.isascii() and number.isdigit() else "",
    }
    return {key: f"{base}/{path}" for key, path in found.items() if base and path}


def source_links(report: Report, pages: WebPages, tracked: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Where in the code the judged cases are: identity -> ``file:line`` and the page that shows it at the head commit.

    Args:
        report: The run.
        pages: Of the repository's code host.
        tracked: The repository's files. A case whose file is not one of them has no place, as with annotations.
    """
    base, sha = _base(report), _sha(report)
    if not (base and sha and pages.line and tracked):
        return {}
    index = SourceIndex(tracked, report.context.workspace)
    found = {}
    for judged in islice(all_judged(report), MOST_SOURCES):
        if (place := locate(judged.case, index)) is not None:
            path, line = place
            address = pages.line.format(sha=sha, path=quote(path, safe="/", errors="replace"), line=line)
            found[judged.case.identity] = (f"{path.rsplit('/', 1)[-1]}:{line}", f"{base}/{address}")
    return found


def _base(report: Report) -> str:
    url = safe_url(report.context.repository_url or "").rstrip("/")
    return url if "://" in url else ""


def _sha(report: Report) -> str:
    sha = report.run.commit_sha or report.context.status_sha or ""
    return sha if _SHA.fullmatch(sha) else ""
