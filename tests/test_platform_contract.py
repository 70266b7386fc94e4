"""What every platform must keep, for each one present, and for the fake that the other tests trust."""

from __future__ import annotations

import importlib
import importlib.util
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from ci_bridge import platforms, protocols
from ci_bridge.errors import CIBridgeError, NotFoundError
from ci_bridge.models import (
    Annotation,
    Artifact,
    ArtifactQuery,
    BuildContext,
    CommitStatus,
    Credentials,
    Metric,
    RunState,
    Severity,
    StatusState,
    TestRun,
)
from ci_bridge.protocols import Adapter, Platform
from tests.fakes.adapter import FakeAdapter

PLATFORMS = platforms.available()
SHA = "a1b2c3d4" * 5
CONNECTED = [platform for platform in PLATFORMS if platform.connect is not None]


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
class TestPlatform:
    def test_its_name_is_its_folder(self, platform: Platform, repo_root: Path) -> None:
        folder = repo_root / "ci_bridge" / "platforms" / platform.name
        assert (folder / "__init__.py").is_file()
        assert (folder / "README.md").is_file()

    def test_it_does_not_claim_an_empty_environment(self, platform: Platform) -> None:
        assert platform.detect(MappingProxyType({})) is (platform.name == "local")

    def test_an_empty_environment_names_the_platform_only(self, platform: Platform) -> None:
        context = platform.read_context(MappingProxyType({}))
        assert context.values() == BuildContext(platform.name).values()

    def test_its_priority_is_its_own(self, platform: Platform) -> None:
        assert [other.name for other in PLATFORMS if other.priority == platform.priority] == [platform.name]

    def test_its_log_patterns_are_regular_expressions(self, platform: Platform) -> None:
        for pattern in platform.log_command_patterns:
            re.compile(pattern)

    def test_it_owns_no_foreign_url(self, platform: Platform) -> None:
        assert not platform.owns_url("https://code.example.org/team/app")
        assert not platform.owns_url("")
        assert not platform.owns_url("not a url")

    def test_its_readme_names_its_token_variables(self, platform: Platform, repo_root: Path) -> None:
        text = (repo_root / "ci_bridge" / "platforms" / platform.name / "README.md").read_text()
        assert [name for name in platform.token_variables if name not in text] == []


def adapters_with(*roles: type) -> list[str]:
    """The adapters that fill these roles, the fake among them."""
    found = []
    for name in ("fake", *(platform.name for platform in CONNECTED)):
        with tempfile.TemporaryDirectory() as folder, opened(name, Path(folder)) as adapter:
            if all(isinstance(adapter, role) for role in roles):
                found.append(name)
    return found


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Adapter]:
    """The adapter with all that it can do, over its platform's fake where ``contract.py`` beside its tests opens it."""
    if name == "fake":
        yield FakeAdapter()
    elif importlib.util.find_spec(f"tests.platforms.{name}.contract"):
        with importlib.import_module(f"tests.platforms.{name}.contract").opened(folder) as adapter:
            yield adapter
    else:
        adapter = platforms.open_adapter(platforms.load(name), {}, Credentials(directory=folder / "out"))
        yield adapter
        adapter.close()


@pytest.fixture
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Adapter]:
    with opened(request.param, tmp_path) as found:
        yield found


def every(*roles: type) -> pytest.MarkDecorator:
    """Run a test with each adapter that fills these roles."""
    return pytest.mark.parametrize("adapter", adapters_with(*roles), indirect=True)


def run_of(**facts: object) -> TestRun:
    return replace(TestRun(id="0190-run", name="unit", commit_sha=SHA), **facts)  # type: ignore[arg-type]


@every()
def test_every_role_is_subclassed_not_imitated(adapter: Adapter) -> None:
    names = {base.__name__ for base in type(adapter).__mro__}
    claimed = {name for name, role in protocols.ROLES.items() if role.__name__ in names}
    assert protocols.capabilities_of(adapter) == claimed
    assert claimed


@every(protocols.SupportsTestRuns)
def test_a_test_run_is_created_then_updated(adapter: Adapter) -> None:
    assert isinstance(adapter, protocols.SupportsTestRuns)
    remote = adapter.create_test_run(run_of())
    again = adapter.update_test_run(remote.id, run_of(status="completed", state=RunState.SUCCESS))
    assert again.id == remote.id


@every(protocols.SupportsComments)
def test_comments_are_listed_oldest_first_and_replaced_in_place(adapter: Adapter) -> None:
    assert isinstance(adapter, protocols.SupportsComments)
    first = adapter.create_comment("42", "one\nÄ")
    second = adapter.create_comment("42", "two")
    adapter.create_comment("43", "elsewhere")
    adapter.update_comment("42", first.id, "one, better")
    listed = list(adapter.list_comments("42"))
    assert [(comment.id, comment.body) for comment in listed] == [(first.id, "one, better"), (second.id, "two")]
    assert {comment.author for comment in listed} == {adapter.whoami()}


@every(protocols.SupportsComments)
def test_updating_a_comment_that_is_gone_is_not_found(adapter: Adapter) -> None:
    assert isinstance(adapter, protocols.SupportsComments)
    with pytest.raises(NotFoundError):
        adapter.update_comment("42", "999", "text")


@every(protocols.SupportsStatus)
def test_a_status_replaces_the_one_with_its_context(adapter: Adapter) -> None:
    assert isinstance(adapter, protocols.SupportsStatus)
    for state in StatusState:
        adapter.set_status(CommitStatus(SHA, state, "unit / 3.12", "text", None))


@every(protocols.SupportsSummary, protocols.SupportsOutputs)
def test_summary_outputs_and_masks_are_taken(adapter: Adapter) -> None:
    assert isinstance(adapter, protocols.SupportsSummary)
    assert isinstance(adapter, protocols.SupportsOutputs)
    adapter.write_summary("# text")
    adapter.set_outputs({"total": "3"})
    adapter.add_mask("not-a-secret")
    assert adapter.max_summary_size > 0


@every(protocols.SupportsTestRuns, protocols.SupportsAnnotations)
def test_annotations_are_taken_after_the_test_run(adapter: Adapter) -> None:
    assert isinstance(adapter, protocols.SupportsTestRuns)
    assert isinstance(adapter, protocols.SupportsAnnotations)
    adapter.create_test_run(run_of())
    adapter.annotate([Annotation("a.py", 3, Severity.FAILURE, "title", "message")])
    adapter.annotate([])
    assert adapter.max_annotations > 0


@every(protocols.SupportsMetrics)
def test_metrics_are_taken(adapter: Adapter) -> None:
    assert isinstance(adapter, protocols.SupportsMetrics)
    adapter.record_metric(Metric("latency", 1.25, "ms", "0190-run"))


@every(protocols.SupportsStore)
def test_a_stored_object_is_found_and_read_back(adapter: Adapter) -> None:
    assert isinstance(adapter, protocols.SupportsStore)
    data = bytes(range(256)) * 4
    stored = [adapter.put_object(f"ci-bridge-segment-{number}", data, 3) for number in range(2)]
    adapter.put_object("ci-bridge-base", b"other", 3)
    # Newest first, or of one build and oldest first; without a build there are no siblings.
    found = adapter.list_siblings("ci-bridge-segment-") or adapter.list_objects("ci-bridge-segment-", 10)[::-1]
    assert [one.name for one in found] == [one.name for one in stored]
    assert adapter.get_object(stored[0], len(data)) == data
    with pytest.raises(CIBridgeError):
        adapter.get_object(stored[0], len(data) - 1)


@every(protocols.SupportsUpload, protocols.SupportsDownload)
def test_an_artifact_comes_back_byte_for_byte(adapter: Adapter, tmp_path: Path) -> None:
    assert isinstance(adapter, protocols.SupportsUpload) and isinstance(adapter, protocols.SupportsDownload)
    source = tmp_path / "source.bin"
    source.write_bytes(bytes(range(256)) * 50)
    stored = adapter.upload_artifact(source, Artifact("", "../we ird/näme:*", "0190-run", "data"), 30)
    assert stored.size == 12_800 and stored.digest.startswith("sha256:")
    assert stored.created_at is not None and stored.expires_at is not None
    assert timedelta(days=29) < stored.expires_at - datetime.now(UTC) <= timedelta(days=30)
    [listed] = adapter.list_artifacts(ArtifactQuery(name="../we ird/näme:*"))
    assert listed.name == "../we ird/näme:*"
    target = tmp_path / "target.bin"
    adapter.download_artifact(listed, target)
    assert target.read_bytes() == source.read_bytes()
    assert not (tmp_path / "we ird").exists()


@every(protocols.SupportsUpload, protocols.SupportsDownload)
def test_artifacts_are_listed_newest_first_and_by_query(adapter: Adapter, tmp_path: Path) -> None:
    assert isinstance(adapter, protocols.SupportsUpload) and isinstance(adapter, protocols.SupportsDownload)
    source = tmp_path / "f.txt"
    for text, run_id in (("old", "run-1"), ("new", "run-2")):
        source.write_text(text)
        adapter.upload_artifact(source, Artifact("", "log", run_id, "logs"), 1)
    newest, oldest = adapter.list_artifacts(ArtifactQuery(name="log"))
    assert (newest.run_id, oldest.run_id) == ("run-2", "run-1")
    assert [a.run_id for a in adapter.list_artifacts(ArtifactQuery(run_id="run-1"))] == ["run-1"]
    assert list(adapter.list_artifacts(ArtifactQuery(category="reports"))) == []


@every(protocols.SupportsDownload)
def test_an_artifact_that_is_gone_is_not_found(adapter: Adapter, tmp_path: Path) -> None:
    assert isinstance(adapter, protocols.SupportsDownload)
    with pytest.raises(NotFoundError):
        adapter.download_artifact(Artifact("no/such/thing", "x"), tmp_path / "x")
