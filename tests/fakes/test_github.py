"""The stand-in for GitHub remembers what it is told and refuses what GitHub refuses."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from github import Auth, Github
from github.Repository import Repository

from ci_bridge.platforms.github import read_context
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import BASE, HEAD, MERGE, job_environment, runtime
from tests.fakes.github_results import TWIRP
from tests.fakes.github_state import Job

OUTPUT: dict[str, Any] = {"title": "t", "summary": "s"}
ANNOTATION = {"path": "a.py", "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "m"}


def repository(github: FakeGitHub, token: str | None = None) -> Repository:
    """PyGithub over the stand-in, as little clever as it can be made."""
    client = Github(
        base_url=github.api_url,
        auth=Auth.Token(token or github.add_token()),
        lazy=True,
        retry=None,
        seconds_between_requests=0,
        seconds_between_writes=0,
    )
    return client.get_repo("acme/shop")


def call(github: FakeGitHub, method: str, path: str, token: str | None = None, **more: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token or github.add_token()}", "Accept": "application/json"}
    return requests.request(method, github.api_url + path, headers=headers, timeout=5, allow_redirects=False, **more)


# -- check runs and statuses -------------------------------------------------------------------------------------------


def test_a_check_run_keeps_the_annotations_of_all_requests(github: FakeGitHub) -> None:
    repo = repository(github)
    run = repo.create_check_run("tests", HEAD, external_id="7", status="in_progress", output=OUTPUT)
    for size in (50, 20):
        run.edit(output={**OUTPUT, "annotations": [ANNOTATION] * size})
    run.edit(conclusion="failure")
    (found,) = repo.get_commit(HEAD).get_check_runs(check_name="tests")
    assert (found.external_id, found.status, found.conclusion) == ("7", "completed", "failure")
    assert found.output.annotations_count == len(github.check_runs[0].annotations) == 70
    assert repo.get_check_run(run.id).output.title == "t"


def test_only_the_latest_check_run_of_a_name_is_listed_unless_all_are_asked_for(github: FakeGitHub) -> None:
    repo = repository(github)
    for number in range(3):
        repo.create_check_run("tests", HEAD, external_id=str(number))
    commit = repo.get_commit(HEAD)
    assert [run.external_id for run in commit.get_check_runs()] == ["2"]
    assert [run.external_id for run in commit.get_check_runs(filter="all")] == ["2", "1", "0"]


REFUSED: Mapping[str, Mapping[str, Any]] = {
    "51 annotations": {"output": {**OUTPUT, "annotations": [ANNOTATION] * 51}},
    "long text": {"output": {**OUTPUT, "text": "x" * 65_536}},
    "no summary": {"output": {"title": "t"}},
    "no conclusion": {"status": "completed"},
    "stale": {"conclusion": "stale"},
    "line 0": {"output": {**OUTPUT, "annotations": [{**ANNOTATION, "start_line": 0}]}},
    "lines backwards": {"output": {**OUTPUT, "annotations": [{**ANNOTATION, "start_line": 2}]}},
    "no path": {"output": {**OUTPUT, "annotations": [{**ANNOTATION, "path": ""}]}},
    "no message": {"output": {**OUTPUT, "annotations": [{**ANNOTATION, "message": ""}]}},
    "long message": {"output": {**OUTPUT, "annotations": [{**ANNOTATION, "message": "ä" * 40_000}]}},
    "long title": {"output": {**OUTPUT, "annotations": [{**ANNOTATION, "title": "x" * 256}]}},
    "columns over lines": {"output": {**OUTPUT, "annotations": [{**ANNOTATION, "end_line": 2, "start_column": 1}]}},
    "field missing": {"output": {**OUTPUT, "annotations": [{"path": "a.py"}]}},
    "unknown commit": {"head_sha": "not-a-sha"},
    "no name": {"name": ""},
}


@pytest.mark.parametrize("what", REFUSED)
def test_one_wrong_value_refuses_the_whole_check_run(github: FakeGitHub, what: str) -> None:
    body = {"name": "tests", "head_sha": HEAD, **REFUSED[what]}
    answer = call(github, "POST", "/repos/acme/shop/check-runs", json=body)
    assert answer.status_code == 422
    assert github.check_runs == []
    github.forgive()


def test_the_last_status_of_a_context_counts(github: FakeGitHub) -> None:
    commit = repository(github).get_commit(HEAD)
    commit.create_status("pending", context="tests")
    commit.create_status("success", "https://example.test/1", "all is well", "tests")
    status = github.statuses(HEAD)["tests"]
    assert (status.state, status.description, status.target_url) == ("success", "all is well", "https://example.test/1")
    assert len(github.repository.statuses) == 2


def test_a_status_refuses_long_descriptions_unknown_states_and_the_thousand_and_first(github: FakeGitHub) -> None:
    path, token = f"/repos/acme/shop/statuses/{HEAD}", github.add_token()
    long = call(github, "POST", path, token, json={"state": "success", "description": "x" * 141})
    assert long.json()["errors"][0]["field"] == "description"
    assert call(github, "POST", path, token, json={"state": "green"}).status_code == 422
    github.forgive()
    call(github, "POST", path, token, json={"state": "success", "context": "tests"})
    github.repository.statuses *= 1000
    last = call(github, "POST", path, token, json={"state": "success", "context": "tests"})
    assert (last.status_code, len(github.repository.statuses)) == (422, 1000)


def test_what_hangs_on_the_merge_commit_is_not_shown_on_the_pull_request(github: FakeGitHub) -> None:
    github.add_pull(42, HEAD)
    repo = repository(github)
    for sha in (HEAD, MERGE):
        repo.create_check_run("tests", sha)
        repo.get_commit(sha).create_status("success", context=sha)
    runs, statuses = github.shown_on(42)
    assert [run.sha for run in runs] == [HEAD]
    assert set(statuses) == {HEAD}


# -- comments and pull requests ----------------------------------------------------------------------------------------


def test_comments_are_paged_and_written_by_the_tokens_owner(github: FakeGitHub) -> None:
    github.add_pull(42, HEAD)
    for number in range(205):
        github.add_comment(42, f"text {number}", "octocat")
    token = github.add_token()
    issue = repository(github, token).get_issue(42)
    issue.create_comment("ours").edit("ours, again")
    comments = list(issue.get_comments())
    assert len(comments) == 206
    assert (comments[-1].user.login, comments[-1].body) == ("github-actions[bot]", "ours, again")
    page = call(github, "GET", "/repos/acme/shop/issues/42/comments?per_page=100&page=2", token)
    assert [link["rel"] for link in requests.utils.parse_header_links(page.headers["Link"])] == [
        "prev", "next", "last", "first",
    ]  # fmt: skip
    assert page.links["next"]["url"].endswith("per_page=100&page=3")
    comments[-1].delete()
    assert len(github.comments(42)) == 205
    assert call(github, "DELETE", f"/repos/acme/shop/issues/comments/{comments[-1].id}", token).status_code == 404


def test_a_comment_is_neither_blank_nor_longer_than_65536_characters(github: FakeGitHub) -> None:
    github.add_pull(42, HEAD)
    path, token = "/repos/acme/shop/issues/42/comments", github.add_token()
    for body in (" ", "x" * 65_537):
        assert call(github, "POST", path, token, json={"body": body}).status_code == 422
    github.forgive()
    assert call(github, "POST", path, token, json={"body": "ä" * 65_536}).status_code == 201


def test_a_locked_or_missing_pull_request_takes_no_comment(github: FakeGitHub) -> None:
    github.add_pull(42, HEAD).locked = True
    token = github.add_token()
    locked = call(github, "POST", "/repos/acme/shop/issues/42/comments", token, json={"body": "b"})
    assert (locked.status_code, "locked" in locked.text) == (403, True)
    assert call(github, "POST", "/repos/acme/shop/issues/43/comments", token, json={"body": "b"}).status_code == 404


def test_an_author_whose_account_is_gone_is_null(github: FakeGitHub) -> None:
    github.add_pull(42, HEAD)
    github.add_comment(42, "old", "")
    assert call(github, "GET", "/repos/acme/shop/issues/42/comments").json()[0]["user"] is None


def test_pull_requests_from_forks_are_found_by_their_branch_and_others_by_their_commit_too(github: FakeGitHub) -> None:
    fork = github.add_repository("stranger/shop", github.repository)
    github.add_pull(42, HEAD, head=fork)
    github.add_pull(43, BASE).head = None
    github.add_pull(44, MERGE[:-1] + "b", branch="other")
    (pull,) = repository(github).get_pulls(state="open", head="stranger:feature")
    assert (pull.number, pull.head.repo.full_name) == (42, "stranger/shop")
    assert [pull.number for pull in repository(github).get_pulls(head="no branch")] == [44, 43, 42]
    assert list(repository(github).get_commit(HEAD).get_pulls()) == []
    assert call(github, "GET", f"/repos/acme/shop/commits/{BASE}/pulls").json()[0]["head"]["repo"] is None
    assert list(repository(github).get_commit(MERGE).get_pulls()) == []


# -- who may do what ---------------------------------------------------------------------------------------------------

WRITES = {
    "checks": ("POST", "/repos/acme/shop/check-runs", {"name": "tests", "head_sha": HEAD}),
    "statuses": ("POST", f"/repos/acme/shop/statuses/{HEAD}", {"state": "success"}),
    "pull-requests": ("POST", "/repos/acme/shop/issues/42/comments", {"body": "b"}),
}
READS = {
    "checks": f"/repos/acme/shop/commits/{HEAD}/check-runs",
    "pull-requests": "/repos/acme/shop/issues/42/comments",
    "actions": "/repos/acme/shop/actions/artifacts",
}


@pytest.mark.parametrize("permission", WRITES)
def test_a_missing_permission_refuses_its_own_calls_only(github: FakeGitHub, permission: str) -> None:
    github.add_pull(42, HEAD)
    given = {name: "write" for name in WRITES if name != permission}
    token = github.add_token(permissions=given)
    for name, (method, path, body) in WRITES.items():
        answer = call(github, method, path, token, json=body)
        assert answer.status_code == (403 if name == permission else 201)
        if name == permission:
            assert answer.json()["message"] == "Resource not accessible by integration"


def test_either_of_two_permissions_allows_comments(github: FakeGitHub) -> None:
    github.add_pull(42, HEAD)
    token = github.add_token(permissions={"issues": "write"})
    assert call(github, *WRITES["pull-requests"][:2], token, json={"body": "b"}).status_code == 201


@pytest.mark.parametrize("what", WRITES)
def test_a_forks_token_reads_but_never_writes(github: FakeGitHub, what: str) -> None:
    github.add_pull(42, HEAD)
    token = github.add_token("fork")
    method, path, body = WRITES[what]
    assert call(github, method, path, token, json=body).status_code == 403
    assert {call(github, "GET", path, token).status_code for path in READS.values()} == {200}


@pytest.mark.parametrize("what", READS)
def test_reading_needs_a_permission_in_private_repositories_only(github: FakeGitHub, what: str) -> None:
    github.add_pull(42, HEAD)
    token = github.add_token(permissions={})
    assert call(github, "GET", READS[what], token).status_code == 403
    github.repository.private = False
    assert call(github, "GET", READS[what], token).status_code == 200


def test_a_classic_token_writes_all_but_checks(github: FakeGitHub) -> None:
    github.add_pull(42, HEAD)
    token = github.add_token("classic")
    answers = {name: call(github, *call_[:2], token, json=call_[2]) for name, call_ in WRITES.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "checks": 403, "statuses": 201, "pull-requests": 201,
    }  # fmt: skip
    assert answers["checks"].json()["message"] == "You must authenticate via a GitHub App."
    assert answers["statuses"].headers["X-OAuth-Scopes"] == "repo, workflow"


def test_a_classic_token_without_scope_does_not_see_a_private_repository(github: FakeGitHub) -> None:
    token = github.add_token("classic", scopes=())
    method, path, body = WRITES["statuses"]
    assert call(github, method, path, token, json=body).status_code == 404
    github.repository.private = False
    assert call(github, method, path, token, json=body).status_code == 403


def test_a_fine_grained_token_is_refused_in_its_own_words(github: FakeGitHub) -> None:
    method, path, body = WRITES["statuses"]
    answer = call(github, method, path, github.add_token("fine-grained", {"checks": "write"}), json=body)
    assert answer.json()["message"] == "Resource not accessible by personal access token"


def test_a_token_sees_only_its_own_repository(github: FakeGitHub) -> None:
    token = github.add_token(repository="acme/other")
    assert call(github, "GET", "/repos/acme/shop", token).status_code == 404


def test_wrong_and_absent_tokens_are_told_apart_from_missing_rights(github: FakeGitHub) -> None:
    assert call(github, "GET", "/repos/acme/shop", "no-such-token").status_code == 401
    headers = {"Accept": "application/json"}
    answer = requests.get(f"{github.api_url}/repos/acme/shop", headers=headers, timeout=5)
    assert (answer.status_code, answer.json()["message"]) == (401, "Requires authentication")
    assert "no Authorization" in github.forgive()[0]


def test_an_apps_token_cannot_read_user_but_graphql_names_it(github: FakeGitHub) -> None:
    _, answer = repository(github).requester.graphql_query("query { viewer { login } }", {})
    assert answer["data"]["viewer"]["login"] == "github-actions[bot]"
    refused = call(github, "GET", "/user")
    assert (refused.status_code, refused.json()["message"]) == (403, "Resource not accessible by integration")
    assert call(github, "GET", "/user", github.add_token("classic")).json()["login"] == "octocat"


def test_the_hourly_limit_is_counted_down_to_a_refusal(github: FakeGitHub) -> None:
    github.limit.hourly = 2
    token = github.add_token()
    answers = [call(github, "GET", "/repos/acme/shop", token) for _ in range(3)]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert [answer.status_code for answer in answers] == [200, 200, 403]


def test_limits_by_rule_are_within_the_contract(github: FakeGitHub) -> None:
    github.api.inject(github.secondary_limit())
    github.api.inject(github.primary_limit())
    token = github.add_token()
    first, second, third = (call(github, "GET", "/repos/acme/shop", token) for _ in range(3))
    assert (first.status_code, "secondary rate limit" in first.text, "Retry-After" in first.headers) == (
        403,
        True,
        False,
    )
    assert (second.status_code, second.headers["X-RateLimit-Remaining"]) == (403, "0")
    assert third.status_code == 200


# -- artifacts ---------------------------------------------------------------------------------------------------------


def test_artifacts_are_listed_newest_first_with_the_run_they_come_from(github: FakeGitHub) -> None:
    fork = github.add_repository("stranger/shop", github.repository)
    ours, theirs = github.add_run(), github.add_run("pull_request", HEAD, "main", head_repository=fork)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number, run in enumerate((ours, theirs, ours)):
        github.add_artifact("history", b"PK", run, created=start + timedelta(days=number))
    github.add_artifact("other", b"PK", ours)
    repo = repository(github)
    found = list(repo.get_artifacts(name="history"))
    assert [artifact.created_at.day for artifact in found] == [3, 2, 1]
    listed = call(github, "GET", "/repos/acme/shop/actions/artifacts?name=history").json()["artifacts"]
    assert [item["workflow_run"]["head_repository_id"] == fork.id for item in listed] == [False, True, False]
    assert [item["workflow_run"]["head_branch"] for item in listed] == ["main"] * 3
    assert {artifact.name for artifact in repo.get_workflow_run(ours.id).get_artifacts()} == {"history", "other"}
    events = {
        run["id"]: run["event"]
        for run in call(github, "GET", "/repos/acme/shop/actions/runs?branch=main").json()["workflow_runs"]
    }
    assert events == {ours.id: "push", theirs.id: "pull_request"}
    github.hidden.add(found[0].id)
    assert repo.get_artifacts(name="history").totalCount == 2


def test_a_download_leads_to_another_origin_for_one_minute(github: FakeGitHub) -> None:
    artifact = github.add_artifact("a", b"PK data", github.add_run())
    path = f"/repos/acme/shop/actions/artifacts/{artifact.id}/zip"
    place = call(github, "GET", path).headers["Location"]
    assert place.startswith(github.blobs.origin)
    assert requests.get(place, timeout=5).content == b"PK data"
    now = github.clock()
    github.clock = lambda: now + timedelta(seconds=61)
    assert requests.get(place, timeout=5).status_code == 403


def test_an_expired_artifact_is_gone(github: FakeGitHub) -> None:
    run = github.add_run()
    for more in ({"gone": True}, {"expires": github.clock() - timedelta(seconds=1)}):
        artifact = github.add_artifact("a", b"PK", run, **more)
        assert call(github, "GET", f"/repos/acme/shop/actions/artifacts/{artifact.id}/zip").status_code == 410
    listed = call(github, "GET", "/repos/acme/shop/actions/artifacts").json()["artifacts"]
    assert [item["expired"] for item in listed] == [True, True]


def test_an_artifact_whose_run_is_gone_does_not_tell_it(github: FakeGitHub) -> None:
    github.add_artifact("a", b"PK", github.add_run(), orphan=True)
    assert call(github, "GET", "/repos/acme/shop/actions/artifacts").json()["artifacts"][0]["workflow_run"] is None


# -- uploads -----------------------------------------------------------------------------------------------------------


def twirp(github: FakeGitHub, job: Job, method: str, token: str = "", **fields: Any) -> requests.Response:
    ids = {"workflow_run_backend_id": job.run.backend, "workflow_job_run_backend_id": job.backend}
    headers = {"Authorization": f"Bearer {token or job.runtime_token}"}
    url = f"{runtime(github, job)['ACTIONS_RESULTS_URL'].rstrip('/')}{TWIRP}{method}"
    return requests.post(url, json={**ids, **fields}, headers=headers, timeout=5)


def put(url: str, data: bytes, *, size: int = 4) -> list[requests.Response]:
    """Upload in blocks, the last answer being the list's."""
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    keys = [base64.b64encode(f"{number:06}".encode()).decode() for number in range(len(blocks))]
    answers = [
        requests.put(url, params={"comp": "block", "blockid": key}, data=block, timeout=5)
        for key, block in zip(keys, blocks, strict=True)
    ]
    listed = "".join(f"<Latest>{key}</Latest>" for key in keys)
    body = f"<?xml version='1.0' encoding='utf-8'?><BlockList>{listed}</BlockList>".encode()
    return [*answers, requests.put(url, params={"comp": "blocklist"}, data=body, timeout=5)]


def upload(github: FakeGitHub, job: Job, name: str, data: bytes) -> str:
    url = twirp(github, job, "CreateArtifact", name=name, version=4).json()["signed_upload_url"]
    assert {answer.status_code for answer in put(url, data)} == {201}
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    answer = twirp(github, job, "FinalizeArtifact", name=name, size=str(len(data)), hash=digest)
    return str(answer.json()["artifact_id"])


@pytest.fixture
def job(github: FakeGitHub) -> Job:
    return github.add_job(github.add_run())


def test_an_upload_appears_in_the_rest_api_and_in_the_service(github: FakeGitHub, job: Job) -> None:
    key = upload(github, job, "results", b"PK some bytes")
    (artifact,) = repository(github).get_artifacts()
    assert (str(artifact.id), artifact.size_in_bytes) == (key, 13)
    (listed,) = twirp(github, job, "ListArtifacts", name_filter="results").json()["artifacts"]
    assert (listed["database_id"], listed["size"]) == (key, "13")
    assert listed["digest"] == f"sha256:{hashlib.sha256(b'PK some bytes').hexdigest()}"
    url = twirp(github, job, "GetSignedArtifactURL", name="results").json()["signed_url"]
    assert requests.get(url, timeout=5).content == b"PK some bytes"
    assert twirp(github, job, "ListArtifacts", name_filter="other").json() == {}


def test_the_service_can_write_its_fields_in_camel_case(github: FakeGitHub, job: Job) -> None:
    github.camel_case = True
    assert "signedUploadUrl" in twirp(github, job, "CreateArtifact", name="results", version=4).json()


def test_a_name_is_taken_within_its_run_and_no_other(github: FakeGitHub, job: Job) -> None:
    upload(github, job, "results", b"PK")
    sibling = github.add_job(job.run)
    taken = twirp(github, sibling, "CreateArtifact", name="results", version=4)
    assert (taken.status_code, taken.json()["code"]) == (409, "already_exists")
    upload(github, github.add_job(github.add_run()), "results", b"PK")


def test_the_service_refuses_wrong_names_versions_sizes_hashes_and_dates(github: FakeGitHub, job: Job) -> None:
    assert twirp(github, job, "CreateArtifact", name="a/b", version=4).status_code == 400
    assert twirp(github, job, "CreateArtifact", name="a", version=7).status_code == 400
    far = (github.clock() + timedelta(days=400)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert twirp(github, job, "CreateArtifact", name="a", version=4, expires_at=far).status_code == 400
    url = twirp(github, job, "CreateArtifact", name="a", version=4).json()["signed_upload_url"]
    assert twirp(github, job, "FinalizeArtifact", name="a", size="2").status_code == 400
    put(url, b"PK")
    assert twirp(github, job, "FinalizeArtifact", name="a", size="3").status_code == 400
    wrong = f"sha256:{'0' * 64}"
    assert twirp(github, job, "FinalizeArtifact", name="a", size="2", hash=wrong).status_code == 400
    assert twirp(github, job, "FinalizeArtifact", name="b", size="2").status_code == 404
    assert github.artifacts == []
    github.forgive()


def test_the_service_knows_each_job_by_its_own_token(github: FakeGitHub, job: Job) -> None:
    other = github.add_job(job.run)
    assert twirp(github, job, "ListArtifacts", token=other.runtime_token).status_code == 403
    assert twirp(github, job, "ListArtifacts", token="no-such-token").status_code == 401
    scopes = json.loads(base64.urlsafe_b64decode(job.runtime_token.split(".")[1] + "=="))["scp"]
    assert f"Actions.Results:{job.run.backend}:{job.backend}" in scopes.split()


def test_the_blob_store_refuses_what_azures_does(github: FakeGitHub, job: Job) -> None:
    url = twirp(github, job, "CreateArtifact", name="a", version=4).json()["signed_upload_url"]
    assert requests.put(url, data=b"whole", timeout=5).status_code == 400
    unknown = b"<BlockList><Latest>bm9uZQ==</Latest></BlockList>"
    assert requests.put(url, params={"comp": "blocklist"}, data=unknown, timeout=5).status_code == 400
    assert requests.put(url, params={"comp": "blocklist"}, data=b"<", timeout=5).status_code == 400
    for key, status in (("YWFh", 201), ("YWFhYWFh", 400)):
        assert requests.put(url, params={"comp": "block", "blockid": key}, data=b"x", timeout=5).status_code == status
    assert requests.put(url.replace("sig=fake", "sig=forged"), data=b"x", timeout=5).status_code == 403
    assert requests.get(url, timeout=5).status_code == 403
    github.forgive()


# -- what no test may leave behind -------------------------------------------------------------------------------------


def test_credentials_in_the_blob_store_are_a_violation(github: FakeGitHub, job: Job) -> None:
    url = twirp(github, job, "CreateArtifact", name="a", version=4).json()["signed_upload_url"]
    headers = {"Authorization": f"Bearer {github.add_token()}"}
    put_ = {"comp": "block", "blockid": "YWFh"}
    assert requests.put(url, params=put_, data=b"x", headers=headers, timeout=5).status_code == 400
    assert any("blobs: PUT" in line and "bore credentials" in line for line in github.forgive())
    github.blobs.log.clear()


@pytest.mark.parametrize("where", ["header", "query", "body"])
def test_credentials_at_a_stranger_are_a_violation(github: FakeGitHub, where: str) -> None:
    token = github.add_token()
    more = {"header": {"headers": {"X-Token": token}}, "query": {"params": {"t": token}}, "body": {"data": token}}
    requests.post(github.stranger.origin, timeout=5, **more[where])  # type: ignore[arg-type]
    assert github.violations() == ["a stranger: POST / bore credentials"]
    github.stranger.log.clear()


def test_the_tokens_of_api_and_service_are_not_to_be_mixed_up(github: FakeGitHub, job: Job) -> None:
    call(github, "GET", "/repos/acme/shop", job.runtime_token)
    twirp(github, job, "ListArtifacts", token=github.add_token())
    assert [line.split(":")[0] for line in github.violations()] == ["api", "results"]
    for server in github.servers:
        server.log.clear()


def test_a_call_that_the_contract_lacks_is_a_violation(github: FakeGitHub) -> None:
    assert call(github, "GET", "/rate_limit").status_code == 404
    assert github.forgive() == ["github: GET /rate_limit: the contract has no such operation"]


# -- jobs --------------------------------------------------------------------------------------------------------------

EVENTS: Mapping[str, Mapping[str, Any]] = {
    "push": {"commit_sha": MERGE, "branch": "main", "pr_number": None},
    "tag": {"commit_sha": MERGE, "tag": "v1.0", "branch": None},
    "schedule": {"commit_sha": MERGE, "branch": "main"},
    "workflow_dispatch": {"branch": "main"},
    "pull_request": {
        "commit_sha": MERGE,
        "pr_head_sha": HEAD,
        "pr_number": "42",
        "branch": "feature",
        "is_fork": False,
    },
    "fork": {"commit_sha": MERGE, "pr_head_sha": HEAD, "pr_number": "42", "is_fork": True},
    "pull_request_target": {"commit_sha": BASE, "pr_head_sha": HEAD, "pr_number": "42", "is_fork": False},
    "fork_target": {"commit_sha": BASE, "pr_head_sha": HEAD, "pr_number": "42", "is_fork": True},
    "merge_group": {"commit_sha": MERGE, "pr_head_sha": None, "pr_number": "42", "pr_base_branch": "main"},
    "workflow_run": {"commit_sha": HEAD, "pr_head_sha": HEAD, "is_fork": True},
}


@pytest.mark.parametrize("event", EVENTS)
def test_a_jobs_environment_reads_as_the_event_that_it_is(github: FakeGitHub, tmp_path: Path, event: str) -> None:
    env = job_environment(github, tmp_path, event)
    context = read_context(env)
    assert {name: getattr(context, name) for name in EVENTS[event]} == EVENTS[event]
    assert context.build_id is not None
    assert int(context.build_id) in github.repository.runs
    assert context.api_url == github.api_url
    token = github.tokens[env["GITHUB_TOKEN"]]
    assert token.may("checks:write") == (event != "fork")
    assert env["ACTIONS_RUNTIME_TOKEN"] in github.jobs


def test_legs_of_a_matrix_share_their_run_and_nothing_else(github: FakeGitHub, tmp_path: Path) -> None:
    run = github.add_run()
    environments = []
    for leg in range(3):
        folder = tmp_path / str(leg)
        folder.mkdir()
        environments.append(job_environment(github, folder, run=run, job=f"test ({leg})"))
    assert {env["GITHUB_RUN_ID"] for env in environments} == {str(run.id)}
    for name in ("ACTIONS_RUNTIME_TOKEN", "GITHUB_TOKEN", "GITHUB_OUTPUT", "GITHUB_WORKSPACE"):
        assert len({env[name] for env in environments}) == 3


def test_a_run_step_gets_no_runtime_token(github: FakeGitHub, tmp_path: Path) -> None:
    env = job_environment(github, tmp_path, uploads=False, token=None)
    assert not {"ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL", "GITHUB_TOKEN"} & env.keys()


def test_many_jobs_at_once_lose_nothing(github: FakeGitHub) -> None:
    github.add_pull(42, HEAD)
    run = github.add_run()

    def work(number: int) -> None:
        repo = repository(github)
        check = repo.create_check_run(f"tests {number}", HEAD, output=OUTPUT)
        check.edit(conclusion="success")
        repo.get_issue(42).create_comment(f"comment {number}")
        upload(github, github.add_job(run), f"results-{number}", b"PK%d" % number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    assert len({run.id for run in github.check_runs}) == 24
    assert {comment.body for comment in github.comments(42)} == {f"comment {number}" for number in range(24)}
    assert {artifact.name for artifact in github.artifacts} == {f"results-{number}" for number in range(24)}


def test_an_enterprise_servers_prefix_stands_before_every_path(tmp_path: Path) -> None:
    github = FakeGitHub(prefix="/api/v3")
    try:
        env = job_environment(github, tmp_path)
        assert env["GITHUB_API_URL"] == f"{github.api.origin}/api/v3"
        repo = repository(github, env["GITHUB_TOKEN"])
        assert repo.default_branch == "main"
        _, answer = repo.requester.graphql_query("query { viewer { login } }", {})
        assert answer["data"]["viewer"]["login"]
        assert github.violations() == []
    finally:
        github.close()
