"""Forks: what the untrusted half collects, and what the trusted half believes of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_bridge.bundles import LIMITS, open_bundle
from ci_bridge.errors import ConfigError, PermissionDeniedError, ResultsError, TransientError
from ci_bridge.history import History
from ci_bridge.history.segments import decode, encode
from ci_bridge.models import BuildContext, PullRequest, RunState
from ci_bridge.protocols import Trigger
from ci_bridge.publishing import SUFFIX, Collection
from ci_bridge.reporting import ReportOutcome
from tests.fakes.adapter import FakeAdapter, FakeHost, JobAdapter, Put
from tests.fakes.clients import Clock, client_over

HEAD = "b" * 40
GREEN = '<testsuite name="s"><testcase classname="tests.a" name="test_one" time="0.5"/></testsuite>'
RED = (
    '<testsuite name="s"><testcase classname="tests.a" name="test_one" time="0.5"/>'
    '<testcase classname="tests.a" name="test_two"><failure type="AssertionError" message="41 != 42">trace</failure>'
    "</testcase></testsuite>"
)
FORK = BuildContext(
    "fake", repository="acme/shop", commit_sha="a" * 40, pr_head_sha=HEAD, branch="main", pr_number="42",
    pr_base_branch="main", build_id="700", is_fork=True, event="pull_request", default_branch="main",
)  # fmt: skip
TRUSTED = BuildContext(
    "fake", repository="acme/shop", commit_sha=HEAD, pr_head_sha=HEAD, branch="main", build_id="800", is_fork=True,
    event="workflow_run", default_branch="main",
)  # fmt: skip
UNTOLD = Trigger()
PULL = PullRequest("42", HEAD, "main", "mallory/shop", "main")


def collected(
    tmp_path: Path, host: FakeHost, text: str = GREEN, *, adapter: FakeAdapter | None = None, **config: Any
) -> Collection:
    """What a fork's job collects."""
    folder = tmp_path / "fork"
    folder.mkdir(exist_ok=True)
    (folder / "junit.xml").write_text(text, encoding="utf-8")
    context = replace(FORK, attempt=str(config.pop("attempt", 1)))

    async def go() -> Collection:
        job = adapter or JobAdapter(context=context, host=host)
        async with client_over(job, folder, context=context, config=config, env=config.pop("env", {})) as client:
            return await client.collect(["junit.xml"])

    return asyncio.run(go())


def published(
    tmp_path: Path, host: FakeHost, paths: list[Path] | None = None, *, context: BuildContext = TRUSTED,
    adapter: JobAdapter | None = None, trigger: Trigger = UNTOLD, clock: Clock | None = None, **config: Any,
) -> tuple[ReportOutcome, JobAdapter]:  # fmt: skip
    """What the project's own build makes of it. Its history is one file, as of a build that has read it."""
    adapter = adapter or JobAdapter(context=context, host=host, triggered_by="700", trigger=trigger)
    folder = tmp_path / "trusted"
    folder.mkdir(exist_ok=True)

    async def go() -> ReportOutcome:
        async with client_over(
            adapter, folder, context=context, config={"enable_history_tracking": False, **config}, clock=clock
        ) as c:
            return await c.publish(paths or [])

    return asyncio.run(go()), adapter


def host_with(*pulls: PullRequest) -> FakeHost:
    host = FakeHost()
    host.pulls.extend(pulls)
    return host


def channels(outcome: ReportOutcome) -> dict[str, str]:
    return {receipt.channel: receipt.state for receipt in outcome.report.receipts}


# ---- the whole way


def test_a_forks_failure_reaches_its_pull_request(tmp_path: Path):
    host = host_with(PULL)
    bundle = collected(tmp_path, host, RED)
    assert bundle.receipt.via == "store" and bundle.totals.failed == 1
    assert not host.comments["42"]
    outcome, adapter = published(tmp_path, host)
    [comment] = host.comments["42"]
    assert "1 failure" in comment.body and "41" in comment.body
    assert outcome.report.state is RunState.FAILURE
    [run] = adapter.runs.values()
    assert run.commit_sha == HEAD and run.pr_number == "42"
    assert adapter.outputs["failed"] == "1"
    assert "python" not in adapter.summaries[-1]  # this machine's facts are not those of the tests


def test_collecting_judges_shows_and_remembers_nothing(tmp_path: Path):
    adapter = JobAdapter(context=FORK, host=FakeHost())
    collected(tmp_path, adapter.host, RED, adapter=adapter)
    assert set(adapter.calls) <= {"put_object", "list_objects", "get_object"}
    assert not list((tmp_path / "fork").rglob("*.sqlite"))


def test_without_a_store_the_bundle_goes_up_as_an_artifact(tmp_path: Path):
    adapter = FakeAdapter(context=FORK)
    bundle = collected(tmp_path, FakeHost(), RED, adapter=adapter)
    [(artifact, data)] = adapter.artifacts
    assert (bundle.receipt.state, bundle.receipt.via) == ("sent", "artifact")
    assert artifact.name == bundle.path.name.removesuffix(SUFFIX) and artifact.category == "bundle"
    assert data == bundle.path.read_bytes()


def test_where_nothing_can_be_stored_the_bundle_waits_in_a_folder_that_can_be_published(tmp_path: Path):
    adapter = FakeAdapter(context=FORK)
    adapter.fail("upload_artifact", PermissionDeniedError("not from here"))
    bundle = collected(tmp_path, FakeHost(), RED, adapter=adapter)
    assert bundle.receipt.state == "degraded" and "upload" in bundle.receipt.reason
    assert bundle.path.name.endswith(SUFFIX)
    host = host_with(PULL)
    published(tmp_path, host, [bundle.path.parent])
    assert "1 failure" in host.comments["42"][0].body


def test_a_refused_upload_leaves_the_bundle_in_its_folder(tmp_path: Path):
    adapter = JobAdapter(context=FORK, host=FakeHost())
    adapter.fail("put_object", PermissionDeniedError("run: steps cannot upload"))
    bundle = collected(tmp_path, adapter.host, adapter=adapter)
    assert bundle.path.is_file() and "run: steps cannot upload" in bundle.receipt.reason


def test_a_put_whose_answer_was_lost_stores_one_bundle(tmp_path: Path):
    adapter = JobAdapter(context=FORK, host=FakeHost())
    adapter.fail("put_object", TransientError("502"), times=1, after=True)
    assert collected(tmp_path, adapter.host, adapter=adapter).receipt.via == "store"
    assert len(adapter.host.puts) == 1


def test_secrets_are_masked_before_they_are_bundled(tmp_path: Path):
    secret = "tr0ub4dor" + "-and-3-more"
    text = RED.replace("trace", f"login with {secret} failed")
    bundle = collected(tmp_path, FakeHost(), text, env={"DEPLOY_TOKEN": secret})
    parts = [row for batch in decode(bundle.path.read_bytes()).rows() for row in batch]
    assert secret not in repr(parts) and "login with" in repr(parts)


def test_a_lost_file_of_a_fork_is_never_green(tmp_path: Path):
    host = host_with(PULL)
    (tmp_path / "fork").mkdir()
    (tmp_path / "fork" / "broken.xml").write_text("<testsuite><testcase", encoding="utf-8")

    async def go() -> None:
        async with client_over(JobAdapter(context=FORK, host=host), tmp_path / "fork", context=FORK) as client:
            (tmp_path / "fork" / "junit.xml").write_text(GREEN, encoding="utf-8")
            await client.collect(["*.xml"])

    asyncio.run(go())
    outcome, _ = published(tmp_path, host)
    assert outcome.report.state is RunState.ERROR
    assert "could not be read" in host.comments["42"][0].body


def test_a_forks_matrix_is_published_as_one_report_with_a_row_per_shard(tmp_path: Path):
    host = host_with(PULL)
    for number in range(3):
        collected(tmp_path, host, RED if number else GREEN, shard=f"py 3.1{number}", shard_total=3)
    collected(tmp_path, host, GREEN, shard="py 3.11", shard_total=3, attempt=2)  # green at the second try
    outcome, adapter = published(tmp_path, host)
    [comment] = host.comments["42"]
    assert "3 of 3 shards" in comment.body and "py 3&#46;11" in comment.body
    assert "1 failure" in comment.body and outcome.report.state is RunState.FAILURE
    assert adapter.outputs["total"] == "4" and len(adapter.runs) == 1
    assert set(outcome.files) == {"json", "html", "markdown"}
    assert len(json.loads(outcome.files["json"].read_text())["shards"]) == 3


def test_a_missing_shard_of_a_fork_keeps_the_report_from_being_green(tmp_path: Path):
    host = host_with(PULL)
    collected(tmp_path, host, GREEN, shard="a", shard_total=2)
    outcome, _ = published(tmp_path, host)
    assert outcome.report.state is RunState.PENDING
    assert "waiting for 1 of 2 shards" in host.comments["42"][0].body.lower()


def test_a_fork_is_judged_by_mains_history_and_leaves_none_that_judges_others(tmp_path: Path):
    host, folder = host_with(PULL), tmp_path / "trusted"
    folder.mkdir()
    (folder / "junit.xml").write_text(RED, encoding="utf-8")
    main = BuildContext("fake", commit_sha="c" * 40, branch="main", build_id="600", event="push", default_branch="main")

    async def seed() -> None:
        async with client_over(FakeAdapter(context=main), folder, context=main) as client:
            await client.report(["junit.xml"])

    asyncio.run(seed())
    bundle = collected(tmp_path, host, RED.replace("test_one", "test_new"))

    async def go() -> ReportOutcome:
        adapter = JobAdapter(context=TRUSTED, host=host, triggered_by="700")
        history = folder / "distributed_test_results"
        async with client_over(adapter, folder, context=TRUSTED, config={"history_url": str(history)}) as client:
            return await client.publish([bundle.path])

    outcome = asyncio.run(go())
    assert "already failing" in host.comments["42"][0].body
    assert [str(one.verdict) for one in outcome.report.judgement.judged] == ["known"]
    with History.read(folder / "distributed_test_results" / "history.sqlite") as history:
        assert [row["id"] for row in history.runs(pr_number="42")] == [outcome.report.run.id]
        view = history.view(branch="main", shard="", build=None, pr=None, uid=None, now=outcome.report.run.completed_at)  # type: ignore[arg-type]
        assert [run.commit_sha for run in view.base_runs] == ["c" * 40]


# ---- whose pull request


def test_the_number_comes_from_the_code_host_and_never_from_the_bundle(tmp_path: Path):
    host = host_with(replace(PULL, number="77"))
    collected(tmp_path, host)  # its record says 42
    published(tmp_path, host)
    assert [number for number, comments in host.comments.items() if comments] == ["77"]


@pytest.mark.parametrize(
    ("pulls", "reason"),
    [
        ([], "no open pull request"),
        ([PULL, replace(PULL, number="43", head_repository="eve/shop")], "several open pull requests"),
        ([replace(PULL, number="1; rm -rf /")], "no comment"),
        ([replace(PULL, head_branch="other")], "of the branch that was built (main)"),
    ],
)
def test_without_a_sure_answer_nothing_is_commented_and_the_run_is_still_shown(
    tmp_path: Path, pulls: list[PullRequest], reason: str
):
    host = host_with(*pulls)
    collected(tmp_path, host)
    outcome, adapter = published(tmp_path, host)
    assert channels(outcome)["comment"] == "skipped" and channels(outcome)["run"] == "sent"
    assert not any(host.comments.values()) and len(adapter.runs) == 1
    assert any(reason in warning for warning in outcome.warnings)


def test_of_two_pull_requests_of_one_commit_that_of_the_branch_that_was_built_is_meant(tmp_path: Path):
    host = host_with(replace(PULL, number="43", head_branch="other"), PULL)
    collected(tmp_path, host)
    published(tmp_path, host)
    assert [number for number, comments in host.comments.items() if comments] == ["42"]


MALLORY = Trigger("700", 1, "Mallory/Shop", "main")


@pytest.mark.parametrize(
    ("pulls", "commented", "said"),
    [
        ([PULL, replace(PULL, number="43", head_repository="eve/shop")], "42", 0),
        ([replace(PULL, number="43", head_repository="eve/shop")], None, 1),
        ([replace(PULL, head_repository=None)], None, 1),  # the fork is gone
        ([replace(PULL, head_branch="main2")], None, 1),
        ([replace(PULL, number="41", base_branch="dev"), PULL], "42", 1),  # main before others
        ([replace(PULL, number="50", base_branch="dev"), replace(PULL, number="9", base_branch="v1")], "9", 1),
    ],
)
def test_fork_branch_and_commit_tell_together_which_pull_request_was_built(
    tmp_path: Path, pulls: list[PullRequest], commented: str | None, said: int
):
    host = host_with(*pulls)
    collected(tmp_path, host)
    outcome, _ = published(tmp_path, host, trigger=MALLORY)
    assert [number for number, comments in host.comments.items() if comments] == ([commented] if commented else [])
    assert sum("pull request" in warning for warning in outcome.warnings) == said


def test_a_code_host_that_does_not_answer_costs_the_comment_only(tmp_path: Path):
    host = host_with(PULL)
    collected(tmp_path, host)
    adapter = JobAdapter(context=TRUSTED, host=host, triggered_by="700")
    adapter.fail("pull_requests_of", PermissionDeniedError("pull-requests: read is missing"))
    outcome, _ = published(tmp_path, host, adapter=adapter)
    assert channels(outcome)["comment"] == "skipped" and channels(outcome)["run"] == "sent"
    assert any("pull-requests: read" in warning for warning in outcome.warnings)


# ---- hostile bundles


def bundle_bytes(tmp_path: Path, text: str = GREEN, **config: Any) -> bytes:
    return collected(tmp_path, FakeHost(), text, **config).path.read_bytes()


def with_record(data: bytes, **changes: Any) -> bytes:
    """The bundle with its run's record forged, and sealed again as any author could."""
    segment = decode(data)
    return encode(replace(segment.run, **changes), segment.rows())


def give(host: FakeHost, data: bytes, name: str = "ci-bridge-bundle-x") -> None:
    stored = JobAdapter(context=FORK, host=host).put_object(name, data, 1)
    assert host.puts[-1] == Put(stored, data)


@pytest.mark.parametrize(
    "damage",
    [lambda b: b"", lambda b: b[:-4], lambda b: b[:50] + b"!!" + b[52:], lambda b: b"PK\x03\x04" + b, lambda b: b * 2],
)
def test_a_damaged_bundle_is_refused(tmp_path: Path, damage: Any):
    with pytest.raises(ResultsError):
        open_bundle(damage(bundle_bytes(tmp_path)))


def test_a_bundle_of_another_commit_is_left_out(tmp_path: Path):
    host = host_with(PULL)
    give(host, with_record(bundle_bytes(tmp_path), sha="d" * 40))
    outcome, adapter = published(tmp_path, host, enable_history_tracking=True)
    assert outcome.report.state is RunState.ERROR and outcome.exit_code == 3
    [run], [comment] = adapter.runs.values(), host.comments["42"]
    assert run.state is RunState.ERROR and run.commit_sha == HEAD
    assert "another commit" in comment.body
    assert channels(outcome)["history"] == "skipped"  # there is nothing to remember


ODD_FACTS: list[Any] = [
    None, 3, {"files": 3}, {"files": [[1]]}, {"dropped": -1}, {"dropped": True}, {"shard_total": "9"}, {"notes": [3]},
]  # fmt: skip


@pytest.mark.parametrize("facts", ODD_FACTS, ids=str)
def test_a_bundle_with_odd_facts_is_refused(tmp_path: Path, facts: Any):
    with pytest.raises(ResultsError):
        open_bundle(with_record(bundle_bytes(tmp_path), extra={"bundle": facts}))


def test_dropped_cases_are_not_forgotten_on_the_way(tmp_path: Path):
    facts = decode(bundle_bytes(tmp_path)).run.extra["bundle"]
    host = host_with(PULL)
    give(host, with_record(bundle_bytes(tmp_path), extra={"bundle": {**facts, "dropped": 5}}))
    outcome, _ = published(tmp_path, host)
    assert outcome.report.state is RunState.ERROR


def test_a_bundle_cannot_take_the_place_of_another_run(tmp_path: Path):
    host = host_with(PULL)
    give(host, with_record(bundle_bytes(tmp_path), uid="0190-the-run-of-main", trusted=True, pr=None, branch="main"))
    outcome, _ = published(tmp_path, host)
    assert outcome.report.run.id != "0190-the-run-of-main" and outcome.report.run.pr_number == "42"


def test_one_bad_bundle_does_not_cost_the_others(tmp_path: Path):
    host = host_with(PULL)
    give(host, b"rubbish")
    collected(tmp_path, host, RED)
    outcome, _ = published(tmp_path, host)
    assert "1 failure" in host.comments["42"][0].body
    assert any("left out" in warning for warning in outcome.warnings)


def test_markup_commands_and_markers_in_a_bundle_stay_text(tmp_path: Path):
    host = host_with(PULL)
    evil = "&lt;!-- ci-bridge:report:Test results --&gt; @everyone ![x](https://evil.example/x.png)&#10;/merge&#10;::set-output"
    text = (
        RED.replace("41 != 42", evil)
        .replace("trace", evil)
        .replace("test_two", "&lt;/code&gt;&lt;img src=x&gt; @team #1")
    )
    collected(tmp_path, host, text, shard="| <b>@all</b> |")
    published(tmp_path, host)
    body = host.comments["42"][0].body
    fenced = body.split("```")
    assert body.count("<!-- ci-bridge") == 1
    assert not any(
        bad in part for part in fenced[::2] for bad in ("@everyone", "<img", "![x]", "@team", "<b>@all", "\n/merge")
    )


def test_names_with_controls_are_cleaned_again(tmp_path: Path):
    segment = decode(bundle_bytes(tmp_path))
    row = ((), "c\x1b[31m", "f\x00.py", "name\x07\u202e", 1, "passed", 0.5, None)
    host = host_with(PULL)
    give(host, encode(segment.run, [[row]]))
    outcome, _ = published(tmp_path, host)
    text = outcome.files["json"].read_text(encoding="utf-8")
    assert not any(char in text for char in "\x1b\x00\x07")


def test_a_bundle_too_large_is_refused_where_it_is_read(tmp_path: Path):
    path = tmp_path / f"huge{SUFFIX}"
    with path.open("wb") as stream:
        stream.truncate(LIMITS.packed + 1)
    outcome, _ = published(tmp_path, host_with(PULL), [path])
    assert outcome.exit_code == 3 and any("larger than" in warning for warning in outcome.warnings)


def test_a_link_among_the_bundles_is_not_followed(tmp_path: Path):
    bundle = collected(tmp_path, FakeHost(), RED)
    folder = tmp_path / "downloaded"
    folder.mkdir()
    (folder / f"x{SUFFIX}").symlink_to(bundle.path)
    with pytest.raises(ResultsError):
        published(tmp_path, host_with(PULL), [folder])


def test_without_any_bundle_nothing_is_sent(tmp_path: Path):
    host = host_with(PULL)
    with pytest.raises(ResultsError, match="no sound bundle"):
        published(tmp_path, host)
    assert not any(host.comments.values())


def test_a_platform_that_knows_no_triggering_build_wants_paths(tmp_path: Path):
    async def go() -> None:
        async with client_over(FakeAdapter(context=TRUSTED), tmp_path, context=TRUSTED) as client:
            await client.publish()

    with pytest.raises(ConfigError, match="triggered"):
        asyncio.run(go())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_bundle_is_refused_or_harmless(tmp_path: Path, data: st.DataObject):
    whole = tmp_path / "whole"
    if not whole.exists():
        whole.write_bytes(bundle_bytes(tmp_path, RED))
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        open_bundle(bytes(raw))
    except ResultsError:
        return
    assert bytes(raw) == whole.read_bytes()


@pytest.mark.parametrize("shards", [(), ("a", "b")])
def test_a_history_that_cannot_be_saved_counts_for_one_job_as_for_several(tmp_path: Path, shards: tuple[str, ...]):
    host = host_with(PULL)
    (tmp_path / "trusted" / "h" / "history.sqlite").mkdir(parents=True)  # a folder where the file belongs
    for shard in shards or (None,):
        config: dict[str, Any] = {"shard": shard, "shard_total": 2} if shard else {}
        collected(tmp_path, host, GREEN, **config)
    outcome, _ = published(tmp_path, host, enable_history_tracking=True, history_url="h", required_channels=["history"])
    assert outcome.exit_code == 4
    assert (tmp_path / "trusted" / "distributed_test_results" / "receipts.json").is_file()
