"""How many calls of the API each job makes: the table in the platform's README, row by row."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.client import Client
from ci_bridge.history.segments import encode
from ci_bridge.platforms import github as platform
from tests.fakes.clients import client_over
from tests.fakes.github import FakeGitHub
from tests.fakes.github_env import HEAD
from tests.history.samples import record, rows
from tests.platforms.github.opened import open_job
from tests.platforms.github.test_artifacts import SEGMENT, zip_of
from tests.platforms.github.test_delivery import receipt, results

README = Path(platform.__file__).with_name("README.md").read_text(encoding="utf-8")
TABLE = README.partition("| job | calls |\n|---|---|\n")[2].partition("\n\n")[0]
ROWS: Mapping[str, str] = dict(re.findall(r"^\| (.+) \| ([0-9ks +]+) \|$", TABLE, re.MULTILINE))
"""What a job does -> its calls, such as ``12 + s``."""

Work = Callable[[Client, str], Coroutine[Any, Any, Any]]
Counted = Iterator[tuple[str, int, dict[str, int]]]
"""Row, calls that were made, and what the row's letters stand for."""


@dataclass
class Company:
    """A repository with a past. What happens in it happens ``ago`` before now."""

    github: FakeGitHub
    folder: Path
    ago: timedelta = timedelta()
    jobs: int = 0
    outcome: Any = None

    def __post_init__(self) -> None:
        self.github.limit.hourly = 100_000
        self.github.clock = lambda: datetime.now(UTC) - self.ago

    def do(self, event: str, work: Work | None = None, **job: Any) -> int:
        """A job; what it costs. By default it reports; ``job``: of :func:`job_environment`, and options."""
        before = len(self.github.calls)
        self.jobs += 1
        folder = self.folder / f"work-{self.jobs}"
        folder.mkdir()
        path = str(results(folder))
        own = {key: job.pop(key) for key in ("run", "job", "number", "base", "branch") if key in job}
        adapter = open_job(self.github, self.folder, event, **own)

        async def go() -> Any:
            async with client_over(adapter, folder, config=job, context=adapter.context, platform="github") as client:
                return await (work(client, path) if work else client.report([path]))

        self.outcome = asyncio.run(go())
        return len(self.github.calls) - before

    def build(self) -> int:
        """A build of main that ended here with a segment."""
        run = self.github.add_run()
        data = encode(record(0, f"run-{run.id}"), rows({"test_1": "P"}))
        self.github.add_artifact(f"{SEGMENT}{run.id}", zip_of(("object", data)), run)
        return run.id

    def noise(self, runs: int, artifacts: int) -> None:
        """Builds of main without a segment, and what other tools kept of them."""
        for _ in range(runs):
            run = self.github.add_run()
        for number in range(artifacts):
            self.github.add_artifact(f"coverage-{number}", b"", run)

    def with_base(self, ago: timedelta = timedelta(minutes=50)) -> Company:
        """Where a push has made a base."""
        self.ago = ago
        self.do("push")
        self.ago /= 2
        assert self.github.artifacts[-1].name == "ci-bridge-base"
        return self


@pytest.fixture
def company(github: FakeGitHub, tmp_path: Path) -> Company:
    return Company(github, tmp_path)


def first_push(company: Company) -> Counted:
    yield "push, the first", company.do("push"), {}


def later_builds(company: Company) -> Counted:
    company.with_base()
    # A tag's build is not one of the default branch, and what it stores is read by nobody.
    for segments, event in enumerate(("push", "schedule", "workflow_dispatch", "tag", "merge_group")):
        yield "push, schedule, dispatch, tag, merge queue", company.do(event), {"s": min(segments, 3)}


def push_that_makes_a_base(company: Company) -> Counted:
    company.with_base(timedelta(hours=4))
    for _ in range(25):
        company.build()
    company.ago = timedelta()
    yield "push that makes a base", company.do("push"), {"s": 25}
    assert company.github.artifacts[-1].name == "ci-bridge-base"


def pull_request(company: Company) -> Counted:
    company.with_base()
    for segments in range(2):
        number = 50 + segments
        yield "pull request, its first build", company.do("pull_request", number=number), {"s": segments}
        for own in range(1, 6):
            calls = company.do("pull_request", number=number)
            yield "pull request, its next builds", calls, {"s": segments + min(own, 3)}
        company.build()
    yield "pull request, its first build", company.do("pull_request_target", number=60), {"s": 2}
    yield "pull request, its next builds", company.do("pull_request_target", number=60), {"s": 3}


def pull_request_into_another_branch(company: Company) -> Counted:
    company.with_base()
    yield "pull request into another branch, its first build", company.do("pull_request", base="next"), {"s": 0}
    company.github.repository.protected.add("next")
    company.do("push", branch="next")
    row = "the same, where that branch is protected and has a history"
    yield row, company.do("pull_request", base="next", number=50), {"s": 1}


def fork(company: Company) -> Counted:
    company.with_base()
    yield "`collect`", company.do("fork", lambda client, path: client.collect([path])), {}
    yield "`publish`, of one job", company.do("workflow_run", lambda client, _: client.publish()), {"s": 0}
    assert receipt(company.outcome, "comment").state == "sent"


def matrix(company: Company) -> Counted:
    company.with_base()
    run = company.github.add_run("pull_request", HEAD, "feature")
    for leg in range(1, 15):
        if leg == 13:
            for number in range(70):  # as of twelve jobs with all formats
                company.github.add_artifact(f"coverage-{number}", b"", run)
        calls = company.do(
            "pull_request", run=run, job=f"test-{leg}", shard=f"py{leg}", shard_total=14, result_format="json"
        )
        place = {
            1: "matrix, the job that is first to end",
            13: "the same, once the build has stored more than 100 artifacts",
            14: "the same, once the build has stored more than 100 artifacts",
        }
        yield place.get(leg, "matrix, the job that is k-th to end"), calls, {"k": leg, "s": 0}
    (comment,) = company.github.comments(42)
    assert "14 of 14 shards" in comment.body


def live(company: Company) -> Counted:
    company.with_base()
    for updates in (0, 1, 3):

        async def run(client: Client, path: str, updates: int = updates) -> Any:
            shown = await client.begin_run()
            for _ in range(updates):
                await client.update_test_run(shown.id, {"status": "running"})
            return await client.report([path], test_run_id=shown.id)

        calls = company.do("pull_request", run, number=50 + updates, update_interval=0)
        yield "`run`, in a pull request's first build, with k updates", calls, {"k": updates, "s": 0}


SCENARIOS = (
    first_push,
    later_builds,
    push_that_makes_a_base,
    pull_request,
    pull_request_into_another_branch,
    fork,
    matrix,
    live,
)


def value(row: str, letters: Mapping[str, int]) -> int:
    """What a row of the table says for these numbers."""
    return sum(letters[term] if term.isalpha() else int(term) for term in ROWS[row].split(" + "))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_a_job_makes_as_many_calls_as_the_table_says(company: Company, scenario: Callable[[Company], Counted]) -> None:
    found = [(row, letters, calls) for row, calls, letters in scenario(company)]
    assert found == [(row, letters, value(row, letters)) for row, letters, _ in found]


BUSY = "pull request where other builds are many"


@pytest.mark.parametrize(
    ("segments", "runs", "artifacts", "read"), [(10, 40, 18, 3), (20, 15, 12, 7), (30, 8, 9, 10), (30, 12, 3, 8)]
)
def test_a_pull_request_of_a_busy_repository_makes_no_more_calls_than_the_table_says(
    company: Company, segments: int, runs: int, artifacts: int, read: int
) -> None:
    company.with_base()
    stored = []
    for _ in range(segments):
        company.noise(runs, artifacts)
        stored.append(company.build())
    company.ago = timedelta()
    calls = company.do("pull_request")
    assert calls == value(BUSY, {"s": read}) == 12 + read
    said = receipt(company.outcome, "history").reason
    assert "read base of" in said and f"+ {read} of " in said
    assert any("were left" in warning for warning in company.outcome.warnings)


@pytest.mark.parametrize("hundreds", [0, 1, 2])
def test_many_comments_cost_a_call_for_each_further_hundred_and_two_in_the_first_build(
    company: Company, hundreds: int
) -> None:
    company.with_base()
    for _ in range(100 * hundreds + 50):
        company.github.add_comment(42, "Nice.", "octocat")
    assert company.do("pull_request") == value("pull request, its first build", {"s": 0}) + 2 * hundreds
    assert company.do("pull_request") == value("pull request, its next builds", {"s": 1}) + hundreds


def test_every_row_of_the_table_has_been_counted() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert len(ROWS) == len(TABLE.splitlines()) and all(f'"{row}"' in source for row in ROWS)
