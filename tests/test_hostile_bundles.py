"""Bundles of plain malice: whoever opened the pull request wrote them, with whatever program they liked."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci_bridge import publishing
from ci_bridge.bundles import LIMITS, MOST_STORED, bundle_of, open_bundle, results_of
from ci_bridge.errors import NotFoundError, PermissionDeniedError, ResultsError
from ci_bridge.formats.collect import Collected
from ci_bridge.history.envelope import Packer, unpack
from ci_bridge.history.segments import decode
from ci_bridge.masking import Masker
from ci_bridge.models import FileState, InputFile, RunState, StoredObject
from ci_bridge.protocols import Trigger
from ci_bridge.publishing import SUFFIX
from tests.fakes.adapter import FakeHost, JobAdapter
from tests.fakes.clients import Clock
from tests.test_publishing import (
    GREEN,
    PULL,
    RED,
    TRUSTED,
    bundle_bytes,
    channels,
    collected,
    give,
    host_with,
    published,
    with_record,
)


@pytest.fixture
def bundle(tmp_path: Path) -> bytes:
    return bundle_bytes(tmp_path, RED)


def lines_of(data: bytes) -> list[Any]:
    lines: list[Any] = [json.loads(line) for line in b"".join(unpack(data, 1 << 30)).splitlines()]
    return lines


def sealed(lines: Iterable[Any]) -> bytes:
    """Lines as any author could seal them; text and bytes are taken as they are."""
    packer = Packer(6)
    for line in lines:
        text = line if isinstance(line, str | bytes) else json.dumps(line)
        packer.write((text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")) + b"\n")
    return packer.finish()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in nested containers."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def with_value(lines: list[Any], path: tuple[Any, ...], value: Any) -> list[Any]:
    changed: list[Any] = json.loads(json.dumps(lines))
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


ODD: tuple[Any, ...] = (
    None, True, -1, 1 << 70, 0.5, 1e308, "", "\ud800", "x" * 70_000, [], [[]], {}, {"a": 1}, ["\u202e"],
    "\x1b[31m::x::",
)  # fmt: skip


def test_a_value_of_the_wrong_kind_anywhere_is_refused_or_harmless(bundle: bytes) -> None:
    lines, taken = lines_of(bundle), 0
    for path in places(lines):
        for value in ODD:
            try:
                opened = open_bundle(sealed(with_value(lines, path, value)))
            except ResultsError:
                continue
            taken += 1
            assert len(opened.title) <= 200 and len(opened.shard) <= 200 and len(opened.job) <= 200
            with results_of([opened], Masker()) as results:
                assert results.totals.total <= 2
                text = repr((results.files, results.notes, results.failures, list(results.rows())))
                assert "\x1b" not in text and not re.search("[\ud800-\udfff]", text)
    assert taken > 40  # what nobody reads may be anything


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "1.5", "-0.5"])
def test_numbers_that_are_none_are_refused(bundle: bytes, number: str) -> None:
    head, cases = (json.dumps(line) for line in lines_of(bundle))
    for old in (r'"ms": \[[0-9]+', r'"dropped": [0-9]+', r'"ts": [0-9]+'):
        forged = [re.sub(old, lambda match: re.sub(r"[0-9]+$", number, match[0]), line) for line in (head, cases)]
        assert forged != [head, cases]
        with pytest.raises(ResultsError):
            open_bundle(sealed(forged))


@pytest.mark.parametrize(
    "line",
    ["[" * 100_000, '{"names":' + "[" * 100_000, '{"a":' * 100_000, "", "[]", "3", '"x"', "{", b"\xff\xfe", "{}\x00"],
    ids=lambda line: str(line[:12]),
)
def test_a_line_that_is_no_object_is_refused(bundle: bytes, line: str | bytes) -> None:
    with pytest.raises(ResultsError):
        open_bundle(sealed([lines_of(bundle)[0], line]))
    with pytest.raises(ResultsError):
        open_bundle(sealed([line]))


def test_a_bomb_is_given_up_before_it_is_unpacked(bundle: bytes) -> None:
    head = lines_of(bundle)[0]
    bombs = {
        "a line of more than": [b" " * (64 << 20)],
        "more than 100000 lines": [b"{}\n" * 300_000] * 100,
    }
    for reason, pieces in bombs.items():
        packer = Packer(6)
        packer.write(json.dumps(head).encode() + b"\n")
        for piece in pieces:
            packer.write(piece)
        data = packer.finish()
        assert len(data) < 1 << 20
        with pytest.raises(ResultsError, match=reason):
            open_bundle(data)


def test_the_first_line_has_a_cap_of_its_own(bundle: bytes) -> None:
    head, cases = lines_of(bundle)
    with pytest.raises(ResultsError, match="256 KiB"):
        open_bundle(sealed([{**head, "junk": "x" * LIMITS.head}, cases]))
    open_bundle(sealed([{**head, "junk": "x" * 1000}, cases]))


def test_a_newer_version_is_refused_in_words_that_help(bundle: bytes) -> None:
    head, cases = lines_of(bundle)
    newer = [with_value([head], (0, "run", "extra", "bundle", "version"), 2)[0], {**head, "ci_bridge_segment": 9}]
    for first in newer:
        with pytest.raises(ResultsError, match=r"newer ci-bridge.*same ci-bridge"):
            open_bundle(sealed([first, cases]))


def test_a_million_remarks_and_endless_names_leave_a_bundle_that_can_be_read() -> None:
    record = decode(bundle_of_nothing()).run
    results = Collected()
    for number in range(100):
        results.add_file(InputFile(f"{number}/" + "é" * 4000, "junit", FileState.UNREADABLE, note="\U0001f600" * 2000))
    for number in range(1000):
        results.add_note(f"{number} " + "\U0001f600" * 2000)
    results.finish()
    opened = open_bundle(bundle_of(record, results, title="\U0001f600" * 5000, shard_total=3))
    assert opened.files[0].state is FileState.UNREADABLE and len(opened.notes) > 3
    assert len(opened.title.encode()) <= 200


def bundle_of_nothing() -> bytes:
    from datetime import UTC, datetime

    from ci_bridge.history.recording import RunRecord

    results = Collected()
    results.finish()
    record = RunRecord(uid="1", ts=datetime(2026, 1, 1, tzinfo=UTC), platform="fake")
    return bundle_of(record, results, title="Test results", shard_total=None)


# ---- what it claims


EVIL = "<!-- ci-bridge:report:Test results --> @everyone ![x](https://e.example/x.png) fixes #1 [a](javascript:b)"
COMMANDS = "\n/merge\n/approve\n::set-output name=total::0\n##[error]x\n##vso[task.complete]\r::stop::x\u2028::x"


def test_nothing_in_a_bundle_gets_out_of_the_text_it_is(tmp_path: Path, bundle: bytes) -> None:
    evil = EVIL + COMMANDS
    lines = lines_of(bundle)
    facts = lines[0]["run"]["extra"]["bundle"]
    facts |= {"notes": [evil], "files": [[evil, evil, "unreadable", 0, evil, True]]}
    lines[0]["run"] |= {"job": evil[:200], "shard": evil[:200], "branch": evil, "platform": evil, "repo": evil}
    lines[1]["messages"][0] |= {"message": evil, "details": evil, "type": evil, "signature": evil}
    lines[1]["names"] = sorted(f"{evil}\x1f{evil}\x1f../../etc/passwd\x1f{n}{evil}" for n in range(2))
    host = host_with(PULL)
    give(host, sealed(lines))
    log = tmp_path / "log"
    outcome, adapter = published(tmp_path, host)
    [comment] = host.comments["42"]
    for text in (comment.body, *adapter.summaries):
        # Of fenced blocks nothing is rendered; nothing else may hold any of it as markup.
        outside = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"@everyone|!\[|\]\(javascript|#1\b|^\s*/(merge|approve)|^\s*::", outside, re.MULTILINE)
        assert outside.count("<!-- ci-bridge") == (text is comment.body)
    assert comment.body.count("\n<!--") == 0
    assert all("\n" not in value or name == "json" for name, value in adapter.outputs.items())
    assert "e.example" not in "".join(adapter.outputs.values())
    assert not log.exists() and outcome.report.state is RunState.ERROR
    assert not any(path.name == "passwd" for path in tmp_path.rglob("*"))


def test_numbers_rights_and_verdicts_that_it_claims_are_not_believed(tmp_path: Path, bundle: bytes) -> None:
    lines = lines_of(bundle)
    lines[0]["run"] |= {
        "pr": "1", "repo": "acme/other", "trusted": True, "status": "success", "branch": "release", "build": "1",
        "uid": "the-run-of-main", "counts": [9, 0, 0, 0, 0, 1], "ts": 4_000_000_000_000,
    }  # fmt: skip
    lines[0] |= {"forgotten": True, "verdict": "fixed"}
    facts = lines[0]["run"]["extra"]["bundle"]
    facts |= {"state": "success", "verdicts": {"known": 1}, "pr_number": 1, "conclusion": "success"}
    lines[0]["run"]["extra"] |= {"pr_number": "1", "name": "Required check"}
    lines[1]["messages"][0] |= {"verdict": "known", "outcome": "passed"}
    host = host_with(PULL, replace(PULL, number="1", head_sha="d" * 40))
    give(host, sealed(lines))
    outcome, adapter = published(tmp_path, host)
    assert [number for number, comments in host.comments.items() if comments] == ["42"]
    assert (adapter.outputs["failed"], adapter.outputs["unjudged-failures"]) == ("1", "1")
    assert adapter.outputs["conclusion"] == "failure"
    [run] = adapter.runs.values()
    assert run.name == "Test results" and run.branch == "main" and run.id != "the-run-of-main"
    assert outcome.report.run.pr_number == "42"


# ---- several


def of_job(data: bytes, job: str | None, shard: str = "", attempt: int = 1) -> bytes:
    return with_record(data, job=job, shard=shard, attempt=str(attempt))


def state_of(tmp_path: Path, *datas: bytes, **more: Any) -> tuple[RunState, dict[str, str], FakeHost]:
    host = host_with(PULL)
    for number, data in enumerate(datas):
        give(host, data, f"ci-bridge-bundle-x{number}")
    outcome, adapter = published(tmp_path, host, **more)
    return outcome.report.state, adapter.outputs, host


@pytest.fixture
def green(tmp_path: Path) -> bytes:
    return bundle_bytes(tmp_path, GREEN)


def test_another_bundle_of_the_same_job_and_attempt_hides_no_failure(tmp_path: Path, bundle: bytes) -> None:
    hiding = GREEN.replace("test_one", "test_two")
    forged = bundle_bytes(tmp_path, hiding)
    for order in ((bundle, forged), (forged, bundle)):
        state, outputs, host = state_of(tmp_path, *(of_job(data, "unit") for data in order))
        assert state is RunState.FAILURE and outputs["failed"] == "1" and outputs["total"] == "2"
        assert "test&#95;two" in host.comments["42"][0].body


def test_the_same_bundle_uploaded_twice_counts_once(tmp_path: Path, bundle: bytes) -> None:
    assert state_of(tmp_path, bundle, bundle)[1]["total"] == "2"


def test_a_later_attempt_replaces_the_jobs_earlier_one(tmp_path: Path, bundle: bytes, green: bytes) -> None:
    for order in ((bundle, green), (green, bundle)):
        datas = [of_job(data, "unit", attempt=2 if data is green else 1) for data in order]
        state, outputs, _ = state_of(tmp_path, *datas, trigger=Trigger("700", 2))
        assert state is RunState.SUCCESS and outputs["failed"] == "0"


def test_an_attempt_that_the_build_never_had_hides_nothing_and_is_never_green(
    tmp_path: Path, bundle: bytes, green: bytes
) -> None:
    state, outputs, host = state_of(
        tmp_path, of_job(bundle, "unit"), of_job(green, "unit", attempt=999), trigger=Trigger("700", 1)
    )
    assert state is RunState.ERROR and outputs["failed"] == "1"
    assert "claims attempt 999" in html.unescape(host.comments["42"][0].body)


def test_a_job_whose_name_looks_like_anothers_row_hides_nothing(tmp_path: Path, bundle: bytes, green: bytes) -> None:
    datas = [of_job(bundle, "a", "b"), of_job(green, "a / b"), of_job(green, None, "a / b"), of_job(green, "a / b *")]
    state, outputs, _ = state_of(tmp_path, *datas)
    assert state is RunState.FAILURE and outputs["shards"] == "4" and outputs["failed"] == "1"


def test_a_million_shards_are_only_a_number(tmp_path: Path, bundle: bytes) -> None:
    lines = lines_of(of_job(bundle, None, "a"))
    lines[0]["run"]["extra"] = {"bundle": {**lines_of(bundle)[0]["run"]["extra"]["bundle"], "shard_total": 10**6}}
    state, _, host = state_of(tmp_path, sealed(lines))
    assert state is RunState.FAILURE and len(host.comments["42"][0].body) < 10_000


def test_whatever_is_left_out_keeps_the_report_from_being_green(tmp_path: Path, green: bytes) -> None:
    for rest in ([], [of_job(green, "other")]):
        state, _, host = state_of(tmp_path, of_job(green, "unit"), *rest, b"rubbish")
        assert state is RunState.ERROR
        assert "1 file could not be read" in host.comments["42"][0].body


def test_a_bundle_of_another_report_is_none_of_this_ones_business(tmp_path: Path) -> None:
    host = host_with(PULL)
    collected(tmp_path, host, GREEN)
    collected(tmp_path, host, RED, comment_title="Lint")
    outcome, adapter = published(tmp_path, host)
    assert outcome.report.state is RunState.SUCCESS and adapter.outputs["total"] == "1"
    assert adapter.calls["get_object"] == 1  # its name says whose it is


@pytest.mark.parametrize(
    ("cap", "value", "reason"),
    [
        ("MOST_BUNDLES", 2, "there are more than 2"),
        ("MOST_BYTES", 1000, "more than 1000 bytes"),
        ("MOST_CASES", 2, "more than 2 cases"),
    ],
)
def test_more_than_there_may_be_is_left_out_and_said(
    tmp_path: Path, green: bytes, monkeypatch: pytest.MonkeyPatch, cap: str, value: int, reason: str
) -> None:
    monkeypatch.setattr(publishing, cap, value)
    datas = [of_job(green, f"job {number}") for number in range(4)]
    assert 300 < len(datas[0]) < 700
    state, outputs, host = state_of(tmp_path, *datas)
    assert state is RunState.ERROR and 1 <= int(outputs["total"]) <= 2
    assert reason in html.unescape(host.comments["42"][0].body)
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for number, data in enumerate(datas):
        (folder / f"{number}{SUFFIX}").write_bytes(data)
    outcome, _ = published(tmp_path, host_with(PULL), [folder])
    assert outcome.report.state is RunState.ERROR


class SlowClock(Clock):
    """Each look at it takes a minute."""

    def __call__(self) -> float:
        self.now += 61
        return self.now


def test_checking_bundles_does_not_take_for_ever(tmp_path: Path, green: bytes) -> None:
    datas = [of_job(green, f"job {number}") for number in range(9)]
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for number, data in enumerate(datas):
        (folder / f"{number}{SUFFIX}").write_bytes(data)
    outcome, _ = published(tmp_path, host_with(PULL), [folder], clock=SlowClock())
    assert len(outcome.report.shards) < 9 and outcome.report.state is RunState.ERROR
    assert any("take more than 120 s" in warning for warning in outcome.warnings)


def trusted_half(host: FakeHost, adapter: type[JobAdapter] = JobAdapter) -> JobAdapter:
    return adapter(context=TRUSTED, host=host, triggered_by="700")


def junk(host: FakeHost, count: int, size: int) -> None:
    """Objects beside the bundles that the store says are this large."""
    for number in range(count):
        give(host, b"rubbish", f"ci-bridge-bundle-evil-{number}")
        host.puts[-1] = replace(host.puts[-1], stored=replace(host.puts[-1].stored, size=size))


def test_what_the_store_tells_is_too_large_is_refused_without_a_download(tmp_path: Path) -> None:
    host = host_with(PULL)
    collected(tmp_path, host, RED)
    junk(host, 8, MOST_STORED + 1)
    outcome, adapter = published(tmp_path, host)
    assert adapter.calls["get_object"] == 1
    assert outcome.report.state is RunState.ERROR and adapter.outputs["failed"] == "1"
    assert sum(f"more than the {LIMITS.packed} of a bundle" in warning for warning in outcome.warnings) == 8


def test_what_is_put_beside_a_sound_bundle_does_not_use_up_what_there_is_for_it(tmp_path: Path) -> None:
    host = host_with(PULL)
    collected(tmp_path, host, RED)
    junk(host, 30, LIMITS.packed)
    outcome, adapter = published(tmp_path, host)
    assert outcome.report.state is RunState.ERROR and adapter.outputs["failed"] == "1"
    assert adapter.calls["get_object"] == 1 + 3  # with the bundle's own bytes there is no room for a fourth


def test_a_fetch_that_fails_counts_its_bytes(tmp_path: Path) -> None:
    host = host_with(PULL)
    junk(host, 30, LIMITS.packed)
    adapter = trusted_half(host)
    adapter.fail("get_object", NotFoundError("gone"))
    outcome, _ = published(tmp_path, host, adapter=adapter)
    assert adapter.calls["get_object"] == 4
    assert any("more than 134217728 bytes" in warning for warning in outcome.warnings)


class SlowStore(JobAdapter):
    """Whose downloads take 50 seconds each."""

    clock: Clock

    def get_object(self, stored: StoredObject, limit: int) -> bytes:
        self.clock.now += 50
        return super().get_object(stored, limit)


@pytest.mark.parametrize("fails", [False, True])
def test_fetching_has_a_time_of_its_own_and_takes_none_of_the_deliveries(tmp_path: Path, fails: bool) -> None:
    host, adapter = host_with(PULL), SlowStore(context=TRUSTED, triggered_by="700")
    adapter.host, adapter.clock = host, Clock()
    for number in range(9):
        collected(tmp_path, host, RED, shard=f"leg {number}")
    if fails:
        adapter.fail("get_object", PermissionDeniedError("actions: read is missing"))
    outcome, _ = published(tmp_path, host, adapter=adapter, clock=adapter.clock, deadline_seconds=30)
    assert adapter.calls["get_object"] == 3  # 120 s, and what is begun is ended
    sent = channels(outcome)
    assert {sent[name] for name in ("run", "comment", "summary", "outputs")} == {"sent"}, outcome.report.receipts
    [run], [comment] = adapter.runs.values(), host.comments["42"]
    assert run.state is RunState.ERROR and ("actions: read" in html.unescape(comment.body)) == fails
