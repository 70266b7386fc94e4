"""What platforms share in reading: addresses, files that may be anything, refs; and what no environment may cause."""

from __future__ import annotations

import json
import os
import string
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_bridge import platforms
from ci_bridge.platforms import _read
from tests.platforms.scenarios import scenario, scenarios

SECRET = "not-a-token"


@pytest.mark.parametrize(
    ("address", "web"),
    [
        ("https://code.example/acme/cart", "https://code.example/acme/cart"),
        ("https://code.example/acme/cart.git", "https://code.example/acme/cart"),
        ("https://code.example/acme/cart.git/", "https://code.example/acme/cart"),
        (f"https://user:{SECRET}@code.example:8443/a/b/c.git", "https://code.example:8443/a/b/c"),
        (f"https://{SECRET}@code.example/a/b", "https://code.example/a/b"),
        (f"https://user:with@{SECRET}@code.example/a/b", "https://code.example/a/b"),
        (f"https://code.example/a/b?private_token={SECRET}#{SECRET}", "https://code.example/a/b"),
        ("http://code.example/a/b", "http://code.example/a/b"),
        ("git@code.example:a/b.git", "https://code.example/a/b"),
        ("code.example:a/b", "https://code.example/a/b"),
        ("git@code.example:/a/b.git", "https://code.example/a/b"),
        ("ssh://git@code.example:2222/a/b.git", "https://code.example/a/b"),
        ("git+ssh://git@code.example/a/b", "https://code.example/a/b"),
        ("git://code.example:9418/a/b.git", "https://code.example/a/b"),
        ("https://[2001:db8::1]:8443/a/b", "https://[2001:db8::1]:8443/a/b"),
        ("git@[2001:db8::1]:a/b", "https://[2001:db8::1]/a/b"),
        ("https://code.example/Web Shop/_git/cart", "https://code.example/Web%20Shop/_git/cart"),
        ("https://code.example", None),
        ("https://code.example/", None),
        ("/srv/git/cart.git", None),
        ("../cart", None),
        ("file:///srv/git/cart.git", None),
        ("C:\\git\\cart", None),
        ("C:/git/cart", None),
        ("https://user:not/a/token@code.example/a/b", None),
        ("https://code.example\\@evil.example/a", None),
        ("https://code.example/a\nb", None),
        ("https://[::1/a/b", None),
        ("ext::sh -c evil", None),
        ("javascript://code.example/a", None),
        ("origin", None),
        ("", None),
    ],
)
def test_a_repository_address_becomes_a_web_address_without_credentials(address: str, web: str | None) -> None:
    assert _read.repository_url(address) == web


@pytest.mark.parametrize(
    ("address", "cleaned"),
    [
        ("https://ci.example/job/a/14/", "https://ci.example/job/a/14/"),
        ("https://ci.example:8443/x?buildId=1&view=logs", "https://ci.example:8443/x?buildId=1&view=logs"),
        ("https://ci.example/x?a=1&access_token=" + SECRET + "&b=", "https://ci.example/x?a=1&b="),
        ("https://ci.example/x?token=" + SECRET, "https://ci.example/x"),
        ("https://ci.example/x#step:3", "https://ci.example/x#step:3"),
        ("https://ci.example/x#access_token=" + SECRET, "https://ci.example/x"),
        (f"https://u:{SECRET}@ci.example/x", "https://ci.example/x"),
        (
            f"https://ci.example/go?to=https://u:{SECRET}@other.example/",
            "https://ci.example/go?to=https://other.example/",
        ),
        ("ftp://ci.example/x", None),
        ("vstfs:///Build/Build/1", None),
        ("javascript:alert(1)", None),
        ("https:///x", None),
        ("https://ci.example/\x1b[31m", None),
    ],
)
def test_a_build_address_loses_nothing_but_its_credentials(address: str, cleaned: str | None) -> None:
    assert _read.web_url(address) == cleaned


@pytest.mark.parametrize("value", ["0", "007", "-1", "+1", "1.0", "٣", "1e3", "12a", "", "9" * 40])
def test_what_is_no_plain_number_is_no_pull_request(value: str) -> None:
    assert _read.number_of(value) is None
    assert platforms.read_environment({"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": value}).pr_number is None


@pytest.mark.parametrize(
    ("url", "number", "repository"),
    [
        ("https://github.com/acme/cart/pull/42", "42", "https://github.com/acme/cart"),
        ("https://github.com/acme/cart/pull/42/files?w=1", "42", "https://github.com/acme/cart"),
        ("https://bitbucket.org/acme/cart/pull-requests/42", "42", "https://bitbucket.org/acme/cart"),
        ("https://gitlab.com/a/b/c/-/merge_requests/7", "7", "https://gitlab.com/a/b/c"),
        ("https://dev.azure.com/f/p/_git/r/pullrequest/9", "9", "https://dev.azure.com/f/p/_git/r"),
        ("https://github.com/acme/cart/issues/42", None, None),
        ("https://github.com/acme/pull/42x", None, None),
    ],
)
def test_the_address_of_a_pull_request_tells_number_and_repository(
    url: str, number: str | None, repository: str | None
) -> None:
    assert (_read.number_in_url(url), _read.repository_in_url(url)) == (number, repository)


def test_an_address_of_the_greatest_length_takes_little_time() -> None:
    for unit in ("/pull/1/", "/", "pull/", "@", ":", "%", "https://a@"):
        url = "https://code.example/a" + unit * (130_000 // len(unit)) + "\n"
        start = time.process_time()
        for read in (_read.number_in_url, _read.repository_in_url, _read.repository_url, _read.web_url, _read.pull_ref):
            read(url)
        assert time.process_time() - start < 2


def event_file(path: object) -> dict[str, str]:
    return {**scenario("github", "event-file-missing").env, "GITHUB_EVENT_PATH": str(path)}


class TestEventFile:
    """``expected`` of the sample without an event file is what must be left of each of these."""

    expected = scenario("github", "event-file-missing").expected

    def left(self, path: object) -> dict[str, Any]:
        context = platforms.read_environment(event_file(path))
        return {name: value for name, value in context.values().items() if value is not None}

    def test_a_folder_in_its_place_is_passed_over(self, tmp_path: Path) -> None:
        assert self.left(tmp_path) == self.expected

    def test_a_fifo_in_its_place_is_passed_over_without_waiting(self, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        assert self.left(fifo) == self.expected

    def test_what_a_fifo_holds_is_not_read(self, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        descriptor = os.open(fifo, os.O_RDWR)
        try:
            os.write(descriptor, b'{"repository": {"default_branch": "main"}}')
            assert self.left(fifo) == self.expected
        finally:
            os.close(descriptor)

    def test_a_device_in_its_place_is_passed_over(self) -> None:
        assert self.left("/dev/zero") == self.expected

    def test_a_name_that_no_file_can_have_is_passed_over(self) -> None:
        assert self.left("event\x00.json") == self.expected
        assert self.left("x" * 5000) == self.expected

    def test_a_loop_of_links_is_passed_over(self, tmp_path: Path) -> None:
        loop = tmp_path / "loop"
        loop.symlink_to(loop)
        assert self.left(loop) == self.expected

    def test_a_file_over_the_size_limit_is_not_read(self, tmp_path: Path) -> None:
        event = tmp_path / "event.json"
        event.write_text('{"number": 7, "repository": {"default_branch": "main"}}' + " " * _read.MAX_FILE_SIZE)
        assert self.left(event) == self.expected

    def test_a_file_just_below_the_size_limit_is_read(self, tmp_path: Path) -> None:
        event = tmp_path / "event.json"
        text = '{"repository": {"default_branch": "main"}}'
        event.write_text(text + " " * (_read.MAX_FILE_SIZE - len(text)))
        assert self.left(event)["default_branch"] == "main"

    @pytest.mark.parametrize(
        "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 100_000, "NaN", '"text"', "\x00", "{" + "\ud800"]
    )
    def test_content_that_breaks_parsers_is_passed_over(self, tmp_path: Path, text: str) -> None:
        event = tmp_path / "event.json"
        event.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert self.left(event) == self.expected

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    def test_any_unicode_encoding_is_read(self, tmp_path: Path, encoding: str) -> None:
        event = tmp_path / "event.json"
        event.write_bytes('{"repository": {"default_branch": "größe"}}'.encode(encoding))
        assert self.left(event)["default_branch"] == "größe"

    def test_lone_surrogates_become_text_that_can_be_written(self, tmp_path: Path) -> None:
        event = tmp_path / "event.json"
        event.write_text('{"repository": {"default_branch": "a\\ud800b"}}')
        assert self.left(event)["default_branch"] == "a\ufffdb"

    def test_a_number_beyond_all_sense_is_no_number(self, tmp_path: Path) -> None:
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 10**30}}))
        assert self.left(event)["pr_number"] == "42"  # from the ref


def test_bytes_that_are_no_text_in_a_variable_become_text_that_can_be_written() -> None:
    context = platforms.read_environment({"TRAVIS": "true", "TRAVIS_BRANCH": os.fsdecode(b"caf\xe9")})
    assert context.branch == "caf\ufffd"


def test_blank_values_are_absent_and_blanks_around_values_are_dropped() -> None:
    context = platforms.read_environment({"TRAVIS": "true", "TRAVIS_COMMIT": " \t ", "TRAVIS_BRANCH": " main "})
    assert (context.commit_sha, context.branch) == (None, "main")


def test_origins_name_variables_and_keys_of_files(tmp_path: Path) -> None:
    context = platforms.read_environment(scenario("github", "pull-request").environment(tmp_path))
    assert context.origins["commit_sha"] == "GITHUB_SHA"
    assert context.origins["pr_head_sha"] == "GITHUB_EVENT_PATH: pull_request.head.sha"
    assert context.origins["build_url"] == "GITHUB_SERVER_URL, GITHUB_REPOSITORY, GITHUB_RUN_ID"
    context = platforms.read_environment(scenario("teamcity", "first-file-wins").environment(tmp_path))
    assert context.origins["build_id"] == "TEAMCITY_BUILD_PROPERTIES_FILE: teamcity.build.id"
    assert context.origins["branch"] == "teamcity.configuration.properties.file: teamcity.build.branch"


# What no environment may cause ----------------------------------------------------------------------------------------

NAMES = sorted({name for sample in scenarios() for name in sample.env})
SAMPLE_VALUES = sorted({value for sample in scenarios() for value in sample.env.values()})
AFFIXES = [
    "refs/heads/",
    "refs/pull/",
    "refs/tags/",
    "origin/",
    "https://",
    f"https://u:{SECRET}@",
    "git@h:",
    "$(",
    "/pull/",
]
PIECES = st.sampled_from([*AFFIXES, *SAMPLE_VALUES, "42", "/merge", ".git", "@", ":", "/", "%", "[", "]", "<default>"])
VALUES = st.one_of(
    st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=5).map("".join),
    st.text(alphabet=st.characters(codec=None), max_size=40),
)
ENVIRONMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=40)


@settings(max_examples=300, deadline=None)
@given(env=ENVIRONMENTS, name=st.sampled_from([platform.name for platform in platforms.available()]))
def test_no_values_of_known_variables_raise_or_leak_credentials(env: dict[str, str], name: str) -> None:
    before = dict(env)
    for context in (platforms.read_environment(env), platforms.read_environment(env, name)):
        for field, value in context.values().items():
            if field == "is_fork":
                assert value in (None, True, False)
                continue
            assert value is None or (isinstance(value, str) and value == value.strip() and value)
            assert value is None or value.encode("utf-8")
            if value and field.endswith("_url"):
                parts = urlsplit(value)
                assert parts.scheme in ("http", "https")
                assert parts.hostname
                assert "@" not in parts.netloc
                assert SECRET + "@" not in value
        assert context.pr_number is None or set(context.pr_number) <= set(string.digits)
        assert set(context.origins) == {f for f, v in context.values().items() if v is not None} - {"platform"}
    assert env == before


EVENT_KEYS = sorted(
    {"base", "event", "full_name", "head", "head_branch", "head_sha", "issue", "merge_group", "number", "pull_request"}
    | {"default_branch", "pull_requests", "ref", "repo", "repository", "sha", "workflow_run"}
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just({"full_name": "a/b"})),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(EVENT_KEYS),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
)
EVENT_NAMES = ["push", "pull_request", "pull_request_target", "workflow_run", "issue_comment", "merge_group", ""]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=60), JSON.map(lambda v: json.dumps(v).encode())),
    word=st.sampled_from(EVENT_NAMES),
)
def test_no_content_of_an_event_file_raises(content: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_bytes(content)
    context = platforms.read_environment({**event_file(tmp_path / "event.json"), "GITHUB_EVENT_NAME": word})
    assert context.build_id == "9001"
    for field, value in context.values().items():
        assert value is None or isinstance(value, bool if field == "is_fork" else str), field


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.binary(max_size=80), second=st.binary(max_size=80))
def test_no_content_of_properties_files_raises(first: bytes, second: bytes, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(first + b"\nteamcity.configuration.properties.file=" + os.fsencode(two))
    two.write_bytes(second)
    env = {"TEAMCITY_VERSION": "1", "TEAMCITY_BUILD_PROPERTIES_FILE": str(one), "BUILD_NUMBER": "5"}
    assert platforms.read_environment(env).build_number == "5"
