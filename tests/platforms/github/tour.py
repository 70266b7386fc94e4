"""One walk through everything that the adapter can do, in a fixed order and with fixed words.

What every call must look like is held against the contract; what all of them look like on the wire is in the cassettes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ci_bridge.models import (
    Annotation,
    Artifact,
    ArtifactQuery,
    Comment,
    CommitStatus,
    RunState,
    Severity,
    StatusState,
    StoredObject,
    TestRun,
)
from ci_bridge.platforms.github.adapter import GitHubAdapter
from ci_bridge.protocols import SupportsUpload
from tests.fakes.github_env import HEAD

MOMENT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN = TestRun(
    id="01958f3e-0000-7000-8000-000000000001",
    name="Tests",
    commit_sha=HEAD,
    branch="feature",
    pr_number="42",
    created_at=MOMENT,
    title="Running",
)
DONE = TestRun(
    id=RUN.id,
    name="Tests",
    commit_sha=HEAD,
    branch="feature",
    pr_number="42",
    status="completed",
    created_at=MOMENT,
    completed_at=MOMENT,
    state=RunState.FAILURE,
    title="60 of 100 failed",
    text="60 of 100 failed.",
)
ANNOTATIONS = [
    Annotation("tests/test_cart.py", line, Severity.FAILURE, f"test_{line}", "assert 1 == 2") for line in range(1, 61)
]
BODY = "<!-- ci-bridge:tests -->\n60 of 100 failed."


def show(adapter: GitHubAdapter) -> str:
    """A check run with annotations, and a commit status; answers the check run's id."""
    remote = adapter.create_test_run(RUN)
    assert adapter.create_test_run(RUN).id == remote.id  # as after a restart
    adapter.annotate(ANNOTATIONS)
    adapter.update_test_run(remote.id, DONE)
    adapter.set_status(CommitStatus(HEAD, StatusState.FAILURE, "ci-bridge", "60 of 100 failed"))
    return remote.id


def talk(adapter: GitHubAdapter) -> Comment:
    """Two comments of which one stays, changed."""
    assert [pull.number for pull in adapter.pull_requests_of(HEAD)] == ["42"]
    assert adapter.whoami() == "github-actions[bot]"
    assert [comment.author for comment in adapter.list_comments("42")] == ["octocat"]
    first, second = (adapter.create_comment("42", BODY) for _ in range(2))
    adapter.delete_comment("42", second.id)
    return adapter.update_comment("42", first.id, BODY + "\nAgain.")


def keep(adapter: GitHubAdapter, folder: Path) -> tuple[Artifact, StoredObject]:
    """A file and an object stored, found and read back."""
    assert isinstance(adapter, SupportsUpload)
    source, back = folder / "report.json", folder / "back.json"
    source.write_text('{"total": 100}', encoding="utf-8")
    kept = adapter.upload_artifact(source, Artifact("", "report.json", RUN.id, "reports"), 30)
    put = adapter.put_object("history-segment", b"one segment", 7)
    read(adapter, back)
    return kept, put


def read(adapter: GitHubAdapter, to: Path) -> None:
    """What was kept is found and read back."""
    (found,) = adapter.list_artifacts(ArtifactQuery(name="report.json"))
    adapter.download_artifact(found, to)
    (sibling,) = adapter.list_siblings("history-")
    assert adapter.get_object(sibling, 1000) == b"one segment"


def remember(adapter: GitHubAdapter) -> list[str]:
    """The names of the trusted objects, found as the base is: by the whole name."""
    return [stored.name for stored in adapter.list_objects("history-base", 10)]
