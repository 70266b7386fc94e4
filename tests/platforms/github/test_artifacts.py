"""Artifacts and the store: what is uploaded comes back, what is odd or untrusted does not."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_bridge.errors import (
    AuthenticationError,
    CIBridgeError,
    NotFoundError,
    PermissionDeniedError,
    PlatformError,
    TransientError,
)
from ci_bridge.models import Artifact, ArtifactQuery, StoredObject
from ci_bridge.platforms._http import ConflictError, Network
from ci_bridge.platforms.github import artifact_names, single_zip
from ci_bridge.platforms.github.adapter import GitHubActionAdapter
from ci_bridge.platforms.github.artifact_names import Label
from ci_bridge.platforms.github.results_service import ResultsService, backend_ids
from ci_bridge.protocols import Listing
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import job_environment
from tests.fakes.github_state import Run
from tests.fakes.server import Fault, Response, failing, moved, reset, truncated
from tests.platforms.github.opened import job_folder, open_env, open_job

SEGMENT = "ci-bridge-segment-"


@pytest.fixture
def adapter(github: FakeGitHub, tmp_path: Path) -> Iterator[GitHubActionAdapter]:
    opened = open_job(github, tmp_path)
    yield opened
    opened.close()


def error_of(call: Callable[[], object]) -> CIBridgeError:
    with pytest.raises(CIBridgeError) as caught:
        call()
    return caught.value


def zip_of(*members: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def store(github: FakeGitHub, run: Run, name: str, data: bytes = b"data", **more: object) -> str:
    return str(github.add_artifact(name, zip_of(("object", data)), run, **more).id)


# ---- names


TEXT = st.text(st.characters(exclude_categories=()), min_size=1, max_size=40)


@given(TEXT, st.text("abc~%() ", max_size=6), TEXT, st.booleans())
def test_a_name_comes_back_as_it_was(name: str, category: str, run_id: str, is_compressed: bool) -> None:
    name, run_id = (text.encode("utf-8", "replace").decode() for text in (name, run_id))
    label = Label(name, category, run_id, is_compressed)
    made = artifact_names.name_of(label)
    assert len(made) <= 250 and not set(made) & set('":<>|*?\r\n\\/')
    found = artifact_names.label_of(artifact_names.again(made, 3))
    assert (found.category, found.compressed) == (category, is_compressed)
    assert found.name == artifact_names.shown(name) and artifact_names.shown(found.name) == found.name
    assert artifact_names.member_of(found) == artifact_names.member_of(label)


def test_long_names_are_told_apart(adapter: GitHubActionAdapter, tmp_path: Path) -> None:
    source = tmp_path / "f"
    source.write_bytes(b"data")
    names = ["ä" * 3000 + end for end in "12"]
    for name in names:
        adapter.upload_artifact(source, Artifact("", name, "0190-run", "logs"), 3)
    for name in names:
        (found,) = adapter.list_artifacts(ArtifactQuery("0190-run", name, "logs"))
        adapter.download_artifact(found, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b"data"


def test_what_others_stored_has_its_own_name(github: FakeGitHub, adapter: GitHubActionAdapter, tmp_path: Path) -> None:
    github.add_artifact("coverage", zip_of(("report/coverage.xml", b"<x/>")), github.add_run())
    (found,) = adapter.list_artifacts(ArtifactQuery(name="coverage"))
    assert (found.name, found.run_id, found.category, found.compressed) == ("coverage", "", "", False)
    adapter.download_artifact(found, tmp_path / "coverage.xml")
    assert (tmp_path / "coverage.xml").read_bytes() == b"<x/>"


# ---- uploads


@pytest.mark.parametrize("camel", [False, True])
@pytest.mark.parametrize("size", [0, 1, 20 << 20])
def test_an_upload_is_what_people_download(
    github: FakeGitHub, adapter: GitHubActionAdapter, tmp_path: Path, size: int, camel: bool
) -> None:
    github.camel_case = camel
    source = tmp_path / "source"
    data = (hashlib.sha256(b"x").digest() * (size // 32 + 1))[:size]
    source.write_bytes(data)
    done = adapter.upload_artifact(source, Artifact("", "out/report.html", "0190-run", "reports", compressed=True), 5)
    (artifact,) = github.artifacts
    assert done.id == str(artifact.id) and done.size == size
    assert done.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert done.url == f"https://github.com/acme/shop/actions/runs/{adapter.context.build_id}/artifacts/{artifact.id}"
    assert done.expires_at and timedelta(days=4) < done.expires_at - datetime.now(UTC) <= timedelta(days=5)
    with zipfile.ZipFile(io.BytesIO(artifact.data)) as archive:
        assert archive.namelist() == ["report.html.gz"] and archive.read("report.html.gz") == data
    assert artifact.digest == f"sha256:{hashlib.sha256(artifact.data).hexdigest()}"
    blocks = github.blobs.requests("PUT", "comp=block&")
    assert len(blocks) == max(1, -(-len(artifact.data) // (8 << 20)))


def test_a_retention_beyond_the_repositorys_is_cut_to_it(github: FakeGitHub, tmp_path: Path) -> None:
    github.repository.retention = 7
    adapter = open_job(github, tmp_path)
    adapter.put_object("ci-bridge-base", b"data", 9000)
    assert [artifact.name for artifact in github.artifacts] == ["ci-bridge-base"]
    adapter.close()


@pytest.mark.parametrize("service", ["CreateArtifact", "FinalizeArtifact"])
def test_an_upload_whose_answer_was_lost_can_be_made_again(
    github: FakeGitHub, adapter: GitHubActionAdapter, service: str
) -> None:
    github.results.inject(reset(path=service, committed=True))
    assert isinstance(error_of(lambda: adapter.put_object(f"{SEGMENT}1", b"data", 3)), TransientError)
    again = adapter.put_object(f"{SEGMENT}1", b"data", 3)
    listed = adapter.list_siblings(SEGMENT)
    assert again.id in {one.id for one in listed} and {one.name for one in listed} == {f"{SEGMENT}1"}


def test_a_name_that_stays_taken_is_given_up(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    taken = Response.json(409, {"code": "already_exists", "msg": "taken"})
    github.results.inject(Fault("409", taken, path="CreateArtifact", times=None, honest=True))
    assert isinstance(error_of(lambda: adapter.put_object(f"{SEGMENT}1", b"data", 3)), ConflictError)
    assert len(github.results.requests(path="CreateArtifact")) == 5


@pytest.mark.parametrize("name", ["", "a/b", "a~raw", "ä", "x" * 201])
def test_an_object_that_would_not_be_found_again_is_not_stored(
    github: FakeGitHub, adapter: GitHubActionAdapter, name: str
) -> None:
    assert isinstance(error_of(lambda: adapter.put_object(name, b"", 1)), PlatformError)
    assert not github.results.log


def test_a_run_step_reads_the_store_and_is_told_why_it_cannot_write(github: FakeGitHub, tmp_path: Path) -> None:
    adapter = open_env(job_environment(github, job_folder(tmp_path), "push", uploads=False))
    number = store(github, github.add_run(), f"{SEGMENT}1")
    assert [one.id for one in adapter.list_objects(SEGMENT, 10)] == [number]  # type: ignore[attr-defined]
    error = error_of(lambda: adapter.put_object(f"{SEGMENT}2", b"", 1))  # type: ignore[attr-defined]
    assert isinstance(error, PermissionDeniedError) and "action" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        Response.json(200, {"ok": False}),
        Response.json(200, {"ok": True}),
        Response.json(200, {"ok": True, "signed_upload_url": 7}),
        Response.json(200, {"ok": True, "signed_upload_url": "file:///etc/passwd"}),
        Response.json(200, []),
        Response(200, b"hello", {"Content-Type": "text/plain"}),
        Response(200, b"<html>", {"Content-Type": "text/html"}),
    ],
)
def test_an_odd_answer_of_the_service_is_an_error(
    github: FakeGitHub, adapter: GitHubActionAdapter, answer: Response
) -> None:
    github.results.inject(Fault("odd", answer, path="CreateArtifact"))
    assert isinstance(error_of(lambda: adapter.put_object(f"{SEGMENT}1", b"data", 3)), PlatformError)


@pytest.mark.parametrize("fault", [failing(503), reset(), failing(403)])
def test_a_failing_blob_store_shows_no_signed_address(
    github: FakeGitHub, adapter: GitHubActionAdapter, fault: Fault
) -> None:
    github.blobs.inject(fault)
    error = error_of(lambda: adapter.put_object(f"{SEGMENT}1", b"data", 3))
    assert "storage" in str(error) and "sig=" not in str(error)


def claims(value: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    return f"e30.{body}.x"


def test_the_ids_are_those_of_the_token() -> None:
    assert backend_ids(claims({"scp": "Actions.Example Actions.Results:run-1:job-2 Other:3:4"})) == ("run-1", "job-2")


@pytest.mark.parametrize(
    "token",
    ["", "abc", "a.b.c", "a.!.c", claims([]), claims({}), claims({"scp": 7}), claims({"scp": "Actions.Results:x"})],
)
def test_a_token_that_may_not_upload_is_said_to_be_one(token: str) -> None:
    error = error_of(lambda: backend_ids(token))
    assert isinstance(error, AuthenticationError) and "ACTIONS_RUNTIME_TOKEN" in str(error)


def test_only_the_services_origin_is_used(github: FakeGitHub, tmp_path: Path) -> None:
    env = job_environment(github, tmp_path)
    env["ACTIONS_RESULTS_URL"] += "some/path?query=1"
    service = ResultsService(env, Network())
    archive = tmp_path / "a.zip"
    archive.write_bytes(zip_of(("a", b"b")))
    assert service.upload(archive, "a", 1).size == archive.stat().st_size
    service.close()


# ---- downloads


def test_the_bytes_are_fetched_without_any_header_of_ours(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    stored = adapter.put_object(f"{SEGMENT}1", b"data", 3)
    assert adapter.get_object(stored, 4) == b"data"
    (request,) = github.blobs.requests("GET")
    assert request.authorization is None and "x-github-api-version" not in request.headers


def test_an_object_larger_than_wanted_is_refused(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    big = b"\0" * (3 << 20)
    number = store(github, github.add_run(), f"{SEGMENT}1", big)
    stored = StoredObject(number, f"{SEGMENT}1", datetime.now(UTC))
    assert "more than is allowed" in str(error_of(lambda: adapter.get_object(stored, len(big) - 1)))
    noise = github.add_artifact(f"{SEGMENT}2", b"x" * (3 << 20), github.add_run())
    stored = StoredObject(str(noise.id), f"{SEGMENT}2", datetime.now(UTC))
    assert "larger than" in str(error_of(lambda: adapter.get_object(stored, 100)))


def lying_about_its_size() -> bytes:
    """An archive whose directory says 4 bytes where 40 000 come out."""
    data = bytearray(zip_of(("object", b"x" * 40_000)))
    directory = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, directory + 24, 4)
    return bytes(data)


def damaged() -> bytes:
    data = bytearray(zip_of(("object", bytes(range(256)) * 9)))
    data[60] ^= 0xFF
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(zip_of(("object", b"data")))
    for start, place in ((data.index(b"PK\x01\x02"), 8), (0, 6)):
        data[start + place] |= 1
    return bytes(data)


ODD = {
    "no zip": b"hello",
    "nothing": b"",
    "empty": zip_of(),
    "two files": zip_of(("object", b"a"), ("other", b"b")),
    "the same name twice": zip_of(("object", b"a"), ("Object", b"b")).replace(b"Object", b"object"),
    "another name": zip_of(("evil", b"a")),
    "a path upwards": zip_of(("../../object", b"a")),
    "a link": zip_of(("object", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777),
    "a device": zip_of(("object", b""), mode=stat.S_IFCHR | 0o666),
    "a folder": zip_of(("object/", b""), mode=stat.S_IFDIR | 0o755),
    "a lying size": lying_about_its_size(),
    "encrypted": encrypted(),
    "cut": zip_of(("object", b"data" * 99))[:-30],
    "damaged": damaged(),
    "a bomb": zip_of(("object", b"\0" * (70 << 20))),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_archive_is_refused(github: FakeGitHub, adapter: GitHubActionAdapter, name: str) -> None:
    artifact = github.add_artifact(f"{SEGMENT}1", ODD[name], github.add_run())
    stored = StoredObject(str(artifact.id), f"{SEGMENT}1", datetime.now(UTC))
    assert isinstance(error_of(lambda: adapter.get_object(stored, 100 << 20)), PlatformError)


def test_a_directory_of_very_many_files_is_not_even_read() -> None:
    entry = struct.pack("<4s4B4H3I5H2I", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = 100_000
    size = len(entry) * count
    last = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, size, 0, 0)
    stream = Watched(entry * count + last)
    error = error_of(lambda: list(single_zip.unpack(stream, title="x", limit=1 << 30)))
    assert "directory is longer than that of one file" in error.message
    assert stream.taken < 1 << 20


class Watched(io.BytesIO):
    """Counts the bytes that are read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_an_odd_artifact_does_not_replace_a_file(
    github: FakeGitHub, adapter: GitHubActionAdapter, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_text("before")
    name = artifact_names.name_of(Label("log", "logs", "0190-run", False))
    github.add_artifact(name, zip_of(("other", b"x")), github.add_run())
    (found,) = adapter.list_artifacts(ArtifactQuery(name="log"))
    assert isinstance(error_of(lambda: adapter.download_artifact(found, target)), PlatformError)
    assert target.read_text() == "before" and not list(tmp_path.glob("*.tmp"))


def test_an_expired_artifact_is_neither_listed_nor_found(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    number = store(github, github.add_run(), f"{SEGMENT}1", expires=datetime.now(UTC) - timedelta(days=1))
    assert list(adapter.list_artifacts(ArtifactQuery())) == []
    assert list(adapter.list_objects(SEGMENT, 10)) == []
    stored = StoredObject(number, f"{SEGMENT}1", datetime.now(UTC))
    assert isinstance(error_of(lambda: adapter.get_object(stored, 10)), NotFoundError)


def test_a_download_that_breaks_off_is_worth_another_try(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    stored = adapter.put_object(f"{SEGMENT}1", b"data", 3)
    github.blobs.inject(truncated(method="GET"))
    assert isinstance(error_of(lambda: adapter.get_object(stored, 10)), TransientError)
    assert adapter.get_object(stored, 10) == b"data"


@pytest.mark.parametrize("place", ["ftp://x/", "http://user@x/", "/relative"])
def test_bytes_at_a_strange_address_are_not_fetched(
    github: FakeGitHub, adapter: GitHubActionAdapter, place: str
) -> None:
    stored = adapter.put_object(f"{SEGMENT}1", b"data", 3)
    github.api.inject(moved(place, path="/zip"))
    assert isinstance(error_of(lambda: adapter.get_object(stored, 10)), PlatformError)


def test_a_blob_store_that_redirects_is_not_followed(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    stored = adapter.put_object(f"{SEGMENT}1", b"data", 3)
    github.blobs.inject(moved(f"{github.api_url}/user", method="GET"))
    assert isinstance(error_of(lambda: adapter.get_object(stored, 10)), PlatformError)


def test_packing_is_reproducible_and_unpacks_again(tmp_path: Path) -> None:
    source, first, second = (tmp_path / name for name in ("source", "1.zip", "2.zip"))
    source.write_bytes(b"line\n" * 500_000)
    for target in (first, second):
        single_zip.pack(source, "log", target, compress=True)
    assert first.read_bytes() == second.read_bytes()
    with first.open("rb") as stream:
        assert b"".join(single_zip.unpack(stream, title="x", limit=1 << 30)) == source.read_bytes()


# ---- the store


@pytest.fixture
def stranger(github: FakeGitHub) -> Run:
    fork = github.add_repository("stranger/shop", github.repository)
    return github.add_run("pull_request", "e" * 40, "main", head_repository=fork)


@pytest.mark.parametrize("event", ["push", "schedule", "workflow_dispatch", "repository_dispatch"])
def test_what_the_default_branch_stored_is_trusted(
    github: FakeGitHub, adapter: GitHubActionAdapter, event: str
) -> None:
    run = github.add_run(event)
    number = store(github, run, f"{SEGMENT}1", b"abc")
    (found,) = adapter.list_objects(SEGMENT, 10)
    assert (found.id, found.name, found.build_id) == (number, f"{SEGMENT}1", str(run.id))
    assert found.created_at.tzinfo is not None and adapter.get_object(found, 3) == b"abc"


def test_a_forks_branch_of_the_same_name_is_not(
    github: FakeGitHub, adapter: GitHubActionAdapter, stranger: Run
) -> None:
    store(github, stranger, f"{SEGMENT}1")
    assert list(adapter.list_objects(SEGMENT, 10)) == []


@pytest.mark.parametrize("event", ["workflow_run", "pull_request_target", "issue_comment", "pull_request"])
def test_an_event_that_strangers_cause_is_not(github: FakeGitHub, adapter: GitHubActionAdapter, event: str) -> None:
    store(github, github.add_run(event), f"{SEGMENT}1")
    assert list(adapter.list_objects(SEGMENT, 10)) == []


def test_other_branches_are_not(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    store(github, github.add_run("push", branch="feature"), f"{SEGMENT}1")
    store(github, github.add_run("push", branch=None), f"{SEGMENT}2")
    assert list(adapter.list_objects(SEGMENT, 10)) == []


@pytest.mark.parametrize(("is_protected", "expected"), [("true", 1), ("false", 0)])
def test_the_same_branch_is_if_it_is_protected(
    github: FakeGitHub, tmp_path: Path, is_protected: str, expected: int
) -> None:
    env = job_environment(github, job_folder(tmp_path), "push", branch="release/1")
    adapter = open_env({**env, "GITHUB_REF_PROTECTED": is_protected})
    store(github, github.add_run("push", branch="release/1"), f"{SEGMENT}1")
    store(github, github.add_run("push", branch="release/2"), f"{SEGMENT}2")
    assert len(adapter.list_objects(SEGMENT, 10)) == expected  # type: ignore[attr-defined]


def test_the_newest_are_listed_first_up_to_the_limit(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    run = github.add_run()
    numbers = [store(github, run, f"{SEGMENT}{number}") for number in range(30)]
    store(github, run, "coverage")
    store(github, run, "ci-bridge-base")
    assert [one.id for one in adapter.list_objects(SEGMENT, 5)] == numbers[:-6:-1]
    assert [one.id for one in adapter.list_objects(SEGMENT, 100)] == numbers[::-1]


def test_the_base_is_found_by_its_name_behind_many_others(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    run = github.add_run()
    number = store(github, run, "ci-bridge-base")
    for other in range(450):
        github.add_artifact(f"other-{other}", b"", run)
    before = len(github.calls)
    assert [one.id for one in adapter.list_objects("ci-bridge-base", 20)] == [number]
    assert len(github.calls) - before == 2  # the artifacts of this name, and what started their runs


def test_a_base_whose_upload_was_tried_twice_is_found_under_its_second_name(
    github: FakeGitHub, adapter: GitHubActionAdapter, tmp_path: Path
) -> None:
    main = open_job(github, tmp_path, "push")
    github.results.inject(reset(path="CreateArtifact", committed=True))
    error_of(lambda: main.put_object("ci-bridge-base", b"data", 3))
    stored = main.put_object("ci-bridge-base", b"data", 3)
    assert [artifact.name for artifact in github.artifacts] == ["ci-bridge-base~2"]
    assert [one.id for one in adapter.list_objects("ci-bridge-base", 20)] == [stored.id]


def test_reading_asks_for_few_pages_and_compacting_for_all(github: FakeGitHub, adapter: GitHubActionAdapter) -> None:
    run = github.add_run()
    number = store(github, run, f"{SEGMENT}1")
    for other in range(450):
        github.add_artifact(f"other-{other}", b"", run)
    brief = adapter.list_objects(SEGMENT, 100)
    assert isinstance(brief, Listing) and (list(brief), brief.is_whole) == ([], False) and len(github.calls) == 2
    whole = adapter.list_objects(SEGMENT, 20_000)
    assert isinstance(whole, Listing) and ([one.id for one in whole], whole.is_whole) == ([number], True)


def test_runs_behind_the_first_page_are_asked_for_where_that_is_worth_it(
    github: FakeGitHub, adapter: GitHubActionAdapter
) -> None:
    runs = [github.add_run("push" if number % 2 else "workflow_run") for number in range(130)]
    for run in runs:
        store(github, run, f"{SEGMENT}{run.id}")
    before = len(github.calls)
    brief = adapter.list_objects(SEGMENT, 100)
    assert isinstance(brief, Listing) and (len(brief), len(brief.unsure)) == (50, 30)
    assert len(github.calls) - before == 3  # two pages of artifacts, one of runs
    whole = adapter.list_objects(SEGMENT, 101)
    assert isinstance(whole, Listing) and (len(whole), len(whole.unsure)) == (65, 0)
    assert len(github.calls) - before == 6  # the same again, and the second page of runs


def test_the_default_branch_is_asked_for_where_the_event_does_not_tell(github: FakeGitHub, tmp_path: Path) -> None:
    env = job_environment(github, job_folder(tmp_path), "schedule")
    adapter = open_env({**env, "GITHUB_EVENT_PATH": ""})
    store(github, github.add_run(), f"{SEGMENT}1")
    for _ in range(2):
        assert len(adapter.list_objects(SEGMENT, 10)) == 1  # type: ignore[attr-defined]
    assert len(github.api.requests("GET", "/repos/acme/shop$")) == 1


def test_siblings_are_of_all_jobs_and_attempts_of_this_run_only(github: FakeGitHub, tmp_path: Path) -> None:
    run = github.add_run("pull_request", "b" * 40, "feature")
    legs = [open_job(github, tmp_path, run=run, job=f"leg-{number}") for number in range(3)]
    for number, leg in enumerate(legs):
        leg.put_object(f"{SEGMENT}{number}", b"%d" % number, 3)
    run.attempt = 2
    again = open_job(github, tmp_path, run=run, job="leg-0")
    again.put_object(f"{SEGMENT}0-again", b"4", 3)
    store(github, github.add_run(), f"{SEGMENT}other")
    found = again.list_siblings(SEGMENT)
    assert [again.get_object(one, 9) for one in found] == [b"0", b"1", b"2", b"4"]
    assert {one.build_id for one in found} == {str(run.id)}


def test_what_triggered_this_run_is_listed_newest_first(github: FakeGitHub, tmp_path: Path, stranger: Run) -> None:
    for number in range(3):
        store(github, stranger, f"ci-bridge-part-{number}")
    stranger.head_sha = "b" * 40
    adapter = open_job(github, tmp_path, "workflow_run")
    assert [one.name[-1] for one in adapter.list_triggering("ci-bridge-part-")] == ["2", "1", "0"]
    assert list(open_job(github, tmp_path, "push").list_triggering("ci-bridge-part-")) == []


def test_nothing_is_deleted(adapter: GitHubActionAdapter) -> None:
    assert adapter.store_expires
    stored = adapter.put_object("ci-bridge-base", b"x", 1)
    assert isinstance(error_of(lambda: adapter.delete_object(stored)), PlatformError)


def test_a_disk_that_takes_nothing_is_one_of_our_errors(
    adapter: GitHubActionAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = adapter.put_object(f"{SEGMENT}1", b"data", 3)
    source = tmp_path / "source"
    source.write_bytes(b"data")
    file = Artifact("", "log", "0190-run", "logs")
    listed = adapter.upload_artifact(source, file, 3)
    calls: list[Callable[[], object]] = [
        lambda: adapter.download_artifact(listed, tmp_path / "source" / "no-folder"),
        lambda: adapter.upload_artifact(tmp_path / "gone", file, 3),
    ]
    for call in calls:
        assert "artifact" in str(error_of(call))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no" / "such"))
    calls = [
        lambda: adapter.get_object(stored, 10),
        lambda: adapter.put_object(f"{SEGMENT}2", b"data", 3),
        lambda: adapter.upload_artifact(source, file, 3),
    ]
    for call in calls:
        assert isinstance(error_of(call), PlatformError)
