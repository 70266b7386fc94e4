"""A job that other things run in: planted files, links, pipes and ids in the folders that we work in."""

from __future__ import annotations

import asyncio
import codecs
import errno
import gzip
import json
import os
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.arguments import uuid7
from ci_bridge.delivery import upsert_comment
from ci_bridge.errors import ConfigError, PermissionDeniedError, PlatformError
from ci_bridge.history import History
from ci_bridge.models import Artifact, ArtifactQuery, BuildContext, Comment, Metric, RunState, Verdict
from ci_bridge.platforms.local.adapter import LocalAdapter
from ci_bridge.report.escape import marker
from ci_bridge.run_mark import RunMark
from tests.fakes.adapter import FakeAdapter, FakeHost
from tests.fakes.clients import PULL_REQUEST, client_over
from tests.test_delivery import GREEN, MAIN, RED, receipt_of, report
from tests.test_travels import PUSH, job

SECRET = "correct-horse-" + "battery"
ENV = {"DEPLOY_TOKEN": SECRET}


def mark_of(workspace: Path) -> Path:
    return workspace / "distributed_test_results" / "current-run.json"


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
class TestPlantedInTheStagingFolder:
    @pytest.mark.parametrize("kind", ["device", "pipe", "folder", "deep", "endless"])
    def test_the_mark_of_what_was_read_costs_nothing(self, tmp_path: Path, kind: str) -> None:
        mark = mark_of(tmp_path).with_name("history.sqlite.read.json")
        mark.parent.mkdir()
        if kind == "device":
            mark.symlink_to("/dev/zero")
        elif kind == "pipe":
            os.mkfifo(mark)
        elif kind == "folder":
            (mark / "held").mkdir(parents=True)
        else:
            build = json.dumps([PUSH.platform, PUSH.build_id, PUSH.attempt, PUSH.job_id, PUSH.job_name])
            endless = '{"build": %s, "base": null, "read": Infinity, "left": 0, "waiting": [], "own": 0}'
            mark.write_text("[" * 200_000 if kind == "deep" else endless % json.dumps(build))
        outcome = report(tmp_path, RED, adapter=job(FakeHost(), PUSH), context=PUSH)
        assert receipt_of(outcome, "history").state == "sent"
        assert outcome.warnings == ()

    @pytest.mark.parametrize("kind", ["link", "pipe"])
    @pytest.mark.parametrize("name", [".ci-bridge", ".gitignore"])
    def test_what_marks_the_folder_is_not_written_elsewhere(self, tmp_path: Path, name: str, kind: str) -> None:
        folder = mark_of(tmp_path).parent
        folder.mkdir()
        os.mkfifo(folder / name) if kind == "pipe" else (folder / name).symlink_to(tmp_path / "precious")
        assert report(tmp_path, GREEN).files
        assert not (tmp_path / "precious").exists()

    def test_a_pipe_in_the_place_of_numbers_is_not_waited_for(self, tmp_path: Path) -> None:
        adapter = LocalAdapter(BuildContext("local"), tmp_path)
        (tmp_path / "metrics").mkdir()
        os.mkfifo(tmp_path / "metrics" / "no-run.jsonl")
        with pytest.raises(PlatformError):
            adapter.record_metric(Metric("requests", 1.0))


class TestTheMarkOfTheRun:
    def test_a_pull_request_cannot_replace_a_run_of_main(self, tmp_path: Path) -> None:
        main = report(tmp_path, GREEN)
        planted = {"id": main.report.run.id, "build": "777", "shard": "", "taken": False}
        mark_of(tmp_path).write_text(json.dumps(planted))
        for build in ("777", "778"):
            outcome = report(tmp_path, RED, context=replace(PULL_REQUEST, build_id=build))
            assert [judged.verdict for judged in outcome.report.judgement.judged] == [Verdict.NEW]
            assert outcome.report.run.id != main.report.run.id
        with History.read(tmp_path / "distributed_test_results" / "history.sqlite") as history:
            assert {row["id"] for row in history.runs(branch="main")} == {main.report.run.id}

    def test_the_history_itself_refuses_the_id_of_another_builds_run(self, tmp_path: Path) -> None:
        from ci_bridge.errors import HistoryError
        from ci_bridge.history import RunRecord

        main = report(tmp_path, GREEN).report.run
        path = tmp_path / "distributed_test_results" / "history.sqlite"
        with pytest.raises(HistoryError, match="another build"), History.writing(path) as history:
            history.record(RunRecord(main.id, main.created_at, branch="feature", pr="42"), ())

    @pytest.mark.parametrize(
        "planted",
        [
            '{"id": "x\\nreport-path=/etc/passwd", "build": "1", "shard": "", "taken": false}',
            '{"id": "../../../x", "build": "1", "shard": "", "taken": false}',
            json.dumps({"id": str(uuid.uuid4()), "build": "1", "shard": "", "taken": False}),
            '{"id": 5}',
            "[" * 100_000,
            "[]",
            "",
            "x" * 1_000_000,
        ],
        ids=["newline", "path", "uuid4", "number", "deep", "list", "empty", "large"],
    )
    def test_only_an_id_of_our_making_is_taken_up(self, tmp_path: Path, planted: str) -> None:
        report(tmp_path, GREEN)
        mark_of(tmp_path).write_text(planted)
        outcome = report(tmp_path, GREEN, context=replace(MAIN, build_id="1"))
        assert uuid.UUID(outcome.report.run.id).version == 7
        assert "\n" not in outcome.report.run.id

    def test_a_pipe_in_its_place_hangs_nothing(self, tmp_path: Path) -> None:
        report(tmp_path, GREEN)
        mark_of(tmp_path).unlink()
        os.mkfifo(mark_of(tmp_path))
        assert report(tmp_path, GREEN).exit_code == 0

    def test_a_mark_is_shared_by_the_processes_of_one_job(self, tmp_path: Path) -> None:
        from datetime import UTC, datetime

        now = datetime(2026, 1, 1, tzinfo=UTC)
        mark = RunMark(tmp_path / "m.json", "build", "")
        first = mark.join(now)
        assert mark.begin(now) == first
        mark.finish(first)
        assert mark.join(now) == first and mark.begin(now) != first
        assert RunMark(tmp_path / "m.json", "another", "").join(now) != first

    def test_reports_that_overlap_are_runs_of_their_own(self, tmp_path: Path) -> None:
        from datetime import UTC, datetime, timedelta

        now = datetime(2026, 1, 1, tzinfo=UTC)
        mark = RunMark(tmp_path / "m.json", "build", "", "unit")
        numbers = mark.join(now)
        first, second = mark.begin(now), mark.begin(now + timedelta(seconds=1))
        assert first == numbers != second
        assert mark.join(now) == second  # what is recorded now belongs to the newest run, whoever ends first
        assert not mark.finish(second)
        assert mark.finish(first)  # it took the place of the other one, which has the same name
        assert mark.join(now) == second

    @pytest.mark.skipif(os.name == "nt", reason="a lock of POSIX")
    def test_a_planted_lock_stops_nothing(self, tmp_path: Path) -> None:
        from datetime import UTC, datetime

        (tmp_path / "m.json.lock").symlink_to(tmp_path / "elsewhere")
        mark, now = RunMark(tmp_path / "m.json", "build", ""), datetime(2026, 1, 1, tzinfo=UTC)
        assert mark.begin(now) == mark.join(now) != mark.begin(now)
        assert not (tmp_path / "elsewhere").exists()


class TestTheStagingFolder:
    @pytest.mark.parametrize("name", ["report.xml", "report.html", "report.md", "summary.md"])
    @pytest.mark.parametrize("formats", ["all", "json"])
    def test_somebody_elses_file_under_our_name_is_not_touched(self, tmp_path: Path, name: str, formats: str) -> None:
        (tmp_path / "reports").mkdir()
        (tmp_path / "reports" / name).write_text(GREEN)
        with pytest.raises(ConfigError, match="did not write"):
            report(tmp_path, GREEN, config={"artifact_dir": "reports", "result_format": formats})
        assert (tmp_path / "reports" / name).read_text() == GREEN

        assert [path.name for path in (tmp_path / "reports").iterdir()] == [name]

    @pytest.mark.parametrize("patterns", [["reports/*.xml"], ["reports"], ["**/*.xml"], ["reports/TEST-a.xml"]])
    @pytest.mark.parametrize("text", [GREEN, "", "garbage"])
    def test_the_folder_of_the_results_is_refused_and_left_as_it_is(
        self, tmp_path: Path, patterns: list[str], text: str
    ) -> None:
        (tmp_path / "reports").mkdir()
        (tmp_path / "reports" / "TEST-a.xml").write_text(text)
        adapter = FakeAdapter()

        async def body() -> None:
            async with client_over(adapter, tmp_path, config={"artifact_dir": "reports"}) as client:
                await client.report(patterns)

        with pytest.raises(ConfigError, match=r"is the folder of the results: reports/TEST-a.xml lies in it"):
            asyncio.run(body())
        assert [path.name for path in (tmp_path / "reports").iterdir()] == ["TEST-a.xml"]
        assert not adapter.comments and not adapter.summaries

    def test_results_below_it_and_other_files_in_it_are_no_reason_to_refuse_it(self, tmp_path: Path) -> None:
        (tmp_path / "build" / "test-results").mkdir(parents=True)
        (tmp_path / "build" / "test-results" / "TEST-a.xml").write_text(GREEN)
        (tmp_path / "build" / "notes.txt").write_text("no result")

        async def body() -> tuple[int, ...]:
            totals = []
            for _ in range(2):
                async with client_over(FakeAdapter(), tmp_path, config={"artifact_dir": "build"}) as client:
                    totals.append((await client.report(["build"])).report.results.totals.total)
            return tuple(totals)

        assert asyncio.run(body()) == (2, 2)

    @pytest.mark.parametrize("target", [".", ".git", "src"])
    def test_a_link_or_a_folder_of_others_is_refused(self, tmp_path: Path, target: str) -> None:
        (tmp_path / ".git").mkdir()
        (tmp_path / "src").mkdir()
        (tmp_path / "distributed_test_results").symlink_to(tmp_path / target)
        with pytest.raises(ConfigError, match="folder of its own"):
            report(tmp_path, GREEN)

    def test_it_is_ignored_by_git_and_swept_of_what_a_killed_process_left(self, tmp_path: Path) -> None:
        report(tmp_path, GREEN)
        folder = tmp_path / "distributed_test_results"
        assert (folder / ".gitignore").read_text() == "*\n"
        old, young = folder / ".report.json.x.tmp", folder / ".report.json.y.tmp"
        for path in (old, young):
            path.write_text("half")
        os.utime(old, (1, 1))
        report(tmp_path, GREEN)
        assert not old.exists() and young.exists()


class TestTheArtifactIndex:
    @pytest.mark.parametrize(
        "planted",
        [
            "[]",
            '{"name": 5}',
            "[" * 100_000,
            '{"id": "", "name": "", "expires_at": "2020-01-01T00:00:00+00:00"}',
            json.dumps(
                {
                    "name": "n", "run_id": "r", "category": "c", "digest": "", "size": 1, "compressed": False,
                    "created_at": "2020-01-01T00:00:00", "expires_at": "2020-01-01T00:00:00",
                }
            ),
        ],
        ids=["list", "number", "deep", "no-id", "naive-time"],
    )  # fmt: skip
    def test_a_planted_entry_is_passed_over(self, tmp_path: Path, planted: str) -> None:
        adapter = LocalAdapter(BuildContext("local"), tmp_path)
        folder = tmp_path / "artifacts" / "r" / "c"
        folder.mkdir(parents=True)
        (folder / "evil").write_text("x")
        (folder / ".evil.artifact.json").write_text(planted)
        os.mkfifo(folder / ".pipe.artifact.json")
        (tmp_path / "f").write_text("data")
        adapter.upload_artifact(tmp_path / "f", Artifact("", "good", "r", "c"), 1)
        assert [artifact.name for artifact in adapter.list_artifacts(ArtifactQuery())] == ["good"]

    def test_an_entry_cannot_name_a_file_elsewhere(self, tmp_path: Path) -> None:
        adapter = LocalAdapter(BuildContext("local"), tmp_path / "out")
        (tmp_path / "precious").write_text("x")
        (tmp_path / "f").write_text("data")
        adapter.upload_artifact(tmp_path / "f", Artifact("", "good", "r", "c"), 1)
        [index] = (tmp_path / "out").rglob(".*.artifact.json")
        facts = json.loads(index.read_text())
        facts |= {"id": "../../../precious", "expires_at": "2020-01-01T00:00:00+00:00"}
        index.write_text(json.dumps(facts))
        adapter.upload_artifact(tmp_path / "f", Artifact("", "other", "r", "c"), 1)
        assert (tmp_path / "precious").exists()

    def test_two_files_of_one_name_are_both_kept(self, tmp_path: Path) -> None:
        adapter = LocalAdapter(BuildContext("local"), tmp_path / "out")
        for text in ("one", "two"):
            (tmp_path / "f").write_text(text)
            adapter.upload_artifact(tmp_path / "f", Artifact("", "log.txt", "r", "logs"), 1)
        kept = adapter.list_artifacts(ArtifactQuery(name="log.txt"))
        assert sorted(Path(artifact.url or "").read_text() for artifact in kept) == ["one", "two"]

    def test_a_link_among_the_folders_makes_nothing_outside(self, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "comments").symlink_to(tmp_path / "outside")
        with pytest.raises(PermissionDeniedError):
            LocalAdapter(BuildContext("local"), tmp_path / "out").create_comment("7", "x")
        assert list((tmp_path / "outside").iterdir()) == []


class TestSecrets:
    def test_no_call_of_the_api_lets_one_through(self, tmp_path: Path) -> None:
        context = BuildContext("fake", branch=f"b-{SECRET}", commit_sha="a" * 40)
        (tmp_path / "f.txt").write_text("x")

        async def body() -> None:
            adapter = LocalAdapter(context, tmp_path / "distributed_test_results")
            async with client_over(adapter, tmp_path, env=ENV, context=context) as client:
                run = await client.create_test_run(
                    {"name": f"n {SECRET}", "system_info": {"x": SECRET}, "extra": [SECRET, {SECRET: 1}]}
                )
                await client.update_test_run(run.id, {"status": "completed", "note": SECRET})
                await client.record_performance_metric(run.id, SECRET, f"m {SECRET}", 1.0, SECRET)
                await client.set_status("a" * 40, "success", f"c {SECRET}", SECRET, f"https://x.example/?t={SECRET}")
                await client.upload_artifact(run.id, "f.txt", f"name {SECRET}")
                await client.add_pr_comment("7", SECRET)
                await client.write_summary(SECRET)

        asyncio.run(body())
        for path in tmp_path.rglob("*"):
            assert SECRET not in path.name
            if path.is_file():
                data = path.read_bytes()
                assert SECRET.encode() not in (gzip.decompress(data) if path.suffix == ".gz" else data), path

    def test_a_comment_that_falls_back_is_masked_too(self, tmp_path: Path) -> None:
        adapter, log = FakeAdapter(), list[str]()
        adapter.fail("create_comment", PermissionDeniedError("403"))

        async def body() -> None:
            async with client_over(adapter, tmp_path, env=ENV, log=log) as client:
                await client.add_pr_comment("7", f"it is {SECRET}")
                adapter.fail("write_summary", PermissionDeniedError("403"))
                await client.add_pr_comment("7", f"it is {SECRET}")

        asyncio.run(body())
        assert SECRET not in "".join([*adapter.summaries, *log]) and adapter.summaries and log

    @pytest.mark.parametrize(
        "data",
        [
            b"caf\xe9\ntoken " + SECRET.encode() + b"\n",
            codecs.BOM_UTF16_LE + f"line\ntoken {SECRET}\n".encode("utf-16-le"),
            codecs.BOM_UTF16_BE + f"line\ntoken {SECRET}\n".encode("utf-16-be"),
            codecs.BOM_UTF16_LE + (f"Ċ line\ntoken {SECRET}\n" * 60_000).encode("utf-16-le"),
        ],
        ids=["latin-1", "utf-16-le", "utf-16-be", "large-utf-16"],
    )
    def test_artifacts_are_masked_in_every_encoding(self, tmp_path: Path, data: bytes) -> None:
        adapter = FakeAdapter()
        (tmp_path / "x.log").write_bytes(data)

        async def body() -> None:
            async with client_over(adapter, tmp_path, env=ENV) as client:
                await client.upload_artifact("r", "x.log")

        asyncio.run(body())
        kept = adapter.content("x.log")
        assert SECRET.encode() not in kept.replace(b"\0", b"")
        assert b"token" in kept.replace(b"\0", b"")


class TestRacesAndBadValues:
    def test_two_racing_creators_leave_one_comment(self, tmp_path: Path) -> None:
        adapter = LocalAdapter(BuildContext("local"), tmp_path)
        ready = threading.Barrier(8)

        def job(number: int) -> None:
            ready.wait()
            upsert_comment(adapter, "7", f"{marker('k')}\nfrom {number}", "k")

        threads = [threading.Thread(target=job, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bodies = [comment.body for comment in adapter.list_comments("7")]
        assert sum(body.startswith(marker("k")) for body in bodies) == 1

    def test_a_comment_that_took_long_to_write_is_not_older_than_one_that_was_there(self, tmp_path: Path) -> None:
        adapter = LocalAdapter(BuildContext("local"), tmp_path)
        written = os.link
        first: list[Comment] = []

        def slow(source: str, target: Path) -> None:  # another job is quicker, just before the file gets its name
            if not first:
                first.append(Comment("", "", ""))
                first[0] = adapter.create_comment("7", "quick")
            written(source, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "link", slow)
            adapter.create_comment("7", "slow")
        assert [comment.body for comment in adapter.list_comments("7")] == ["quick", "slow"]

    def test_a_deleted_comment_is_not_mistaken_for_the_next_one(self, tmp_path: Path) -> None:
        adapter = LocalAdapter(BuildContext("local"), tmp_path)
        gone = adapter.create_comment("7", "gone")
        adapter.delete_comment("7", gone.id)
        adapter.create_comment("7", "stays")
        adapter.delete_comment("7", gone.id)  # by a job that had seen it
        assert [comment.body for comment in adapter.list_comments("7")] == ["stays"]

    def test_comments_are_told_apart_where_there_are_no_hard_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, "not on this file system")

        monkeypatch.setattr(os, "link", refuse)
        adapter = LocalAdapter(BuildContext("local"), tmp_path)
        for number in range(3):
            adapter.create_comment("7", str(number))
        assert [comment.body for comment in adapter.list_comments("7")] == ["0", "1", "2"]

    def test_a_younger_comment_gives_way_to_an_older_one(self) -> None:
        class Racing(FakeAdapter):
            def create_comment(self, pr_number: str, body: str) -> Comment:
                if not self.comments[pr_number]:  # another job is quicker
                    super().create_comment(pr_number, f"{marker('k')}\ntheirs")
                return super().create_comment(pr_number, body)

        adapter = Racing()
        upsert_comment(adapter, "7", f"{marker('k')}\nours", "k")
        assert [comment.body for comment in adapter.comments["7"]] == [f"{marker('k')}\nours"]

    @pytest.mark.parametrize("duration", ["abc", {}, float("nan"), float("inf")])
    def test_a_bad_duration_is_refused_and_poisons_nothing(self, tmp_path: Path, duration: Any) -> None:
        async def body() -> list[dict[str, Any]]:
            async with client_over(FakeAdapter(), tmp_path) as client:
                made = await client.create_test_run({})
                with pytest.raises(ConfigError, match=r"summary\.duration"):
                    await client.update_test_run(made.id, {"status": "completed", "summary": {"duration": duration}})
                await client.update_test_run(made.id, {"status": "completed", "summary": {"duration": 2}})
                return await client.get_test_history()

        [row] = asyncio.run(body())
        assert (row["status"], row["duration"]) == ("completed", 2.0)

    def test_an_end_time_ends_a_run(self, tmp_path: Path) -> None:
        async def body() -> Any:
            async with client_over(FakeAdapter(), tmp_path) as client:
                made = await client.create_test_run({})
                await client.update_test_run(made.id, {"end_time": "2026-01-01T00:00:00"})
                return client.get_ci_status()["test_run_status"]

        assert asyncio.run(body()) == "completed"

    def test_a_slow_save_of_the_history_is_not_cut_short(self, tmp_path: Path) -> None:
        outcome = report(tmp_path, GREEN, config={"deadline_seconds": 0})
        assert receipt_of(outcome, "history").state == "sent"
        assert receipt_of(outcome, "artifacts").state == "failed"

    def test_a_branch_without_a_past_is_compared_with_the_default_branch(self, tmp_path: Path) -> None:
        report(tmp_path, GREEN)
        feature = replace(MAIN, branch="feature", default_branch="main", build_id="2")
        outcome = report(tmp_path, RED, context=feature)
        assert [judged.verdict for judged in outcome.report.judgement.judged] == [Verdict.NEW]

    def test_failures_that_do_not_fail_the_build_do_not_look_green(self, tmp_path: Path) -> None:
        outcome = report(tmp_path, RED, config={"fail_on": "errors"})
        assert outcome.report.state is RunState.SUCCESS
        text = (tmp_path / "distributed_test_results" / "report.md").read_text()
        assert "✅" not in text and "⚠️" in text

    def test_ids_sort_by_time(self) -> None:
        from datetime import UTC, datetime

        ids = [uuid7(datetime(2026, 1, day, tzinfo=UTC)) for day in range(1, 20)]
        assert ids == sorted(ids)
