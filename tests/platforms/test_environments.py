"""Every sample environment gives its record, and reading it leaves the world as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

import pytest

from ci_bridge import platforms
from ci_bridge.models import BuildContext
from ci_bridge.protocols import Platform
from tests.platforms.scenarios import Scenario, scenarios

ALL = scenarios()
FIELDS = [field.name for field in fields(BuildContext) if field.name != "origins"]


@pytest.mark.parametrize("sample", ALL, ids=str)
def test_a_sample_environment_gives_its_record(sample: Scenario, tmp_path: Path) -> None:
    context = platforms.read_environment(sample.environment(tmp_path))
    assert context.values() == {**dict.fromkeys(FIELDS), **sample.expected}


@pytest.mark.parametrize("sample", ALL, ids=str)
def test_every_value_names_a_variable_or_a_file_that_the_sample_has(sample: Scenario, tmp_path: Path) -> None:
    env = sample.environment(tmp_path)
    context = platforms.read_environment(env)
    assert set(context.origins) == {name for name in FIELDS if getattr(context, name) is not None} - {"platform"}
    for origin in context.origins.values():
        for part in origin.split(", "):
            source = part.partition(": ")[0]
            assert env.get(source) or any(source in str(text) for text in sample.files.values()), origin


@pytest.mark.parametrize("sample", ALL, ids=str)
def test_no_sample_leads_to_an_address_with_credentials(sample: Scenario, tmp_path: Path) -> None:
    context = platforms.read_environment(sample.environment(tmp_path))
    for name in FIELDS:
        if name.endswith("_url"):
            assert "@" not in (getattr(context, name) or "")
    assert "not-a-" not in str(context.values())


@pytest.mark.parametrize("sample", ALL, ids=str)
def test_an_explicit_ci_system_is_believed(sample: Scenario, tmp_path: Path) -> None:
    env = sample.environment(tmp_path)
    for platform in platforms.available():
        assert platforms.read_environment(env, platform.name).platform == platform.name
        assert platforms.read_environment(env, f" {platform.name.upper()} ").platform == platform.name


def test_every_platform_has_at_least_eight_samples() -> None:
    count = Counter(sample.platform for sample in ALL)
    assert {platform.name: count[platform.name] >= 8 for platform in platforms.available()} == dict.fromkeys(
        count, True
    )


def test_reading_uses_neither_the_process_environment_nor_the_network(tmp_path: Path) -> None:
    # A process of its own, because an audit hook cannot be taken off again.
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(platforms.__file__).parents[2])!r})
from pathlib import Path
from types import MappingProxyType
from ci_bridge import platforms
from tests.platforms.scenarios import scenarios
platforms.available()
class Forbidden(dict):
    def fail(self, *args, **kwargs):
        raise AssertionError("os.environ was read")
    __getitem__ = __contains__ = __iter__ = get = keys = items = copy = fail
folder = Path({str(tmp_path)!r})
samples = [(sample, sample.environment(folder / str(number))) for number, sample in enumerate(scenarios())
           if not (folder / str(number)).mkdir()]
os.environ = Forbidden()
opened = []
def hook(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.putenv")):
        raise AssertionError(event)
    if event == "open" and isinstance(args[0], (str, bytes)):
        opened.append((os.fsdecode(args[0]), args[2]))
sys.addaudithook(hook)
for sample, env in samples:
    opened.clear()
    context = platforms.read_environment(env)
    assert context.platform == sample.expected["platform"], sample
    for path, flags in opened:
        if path.endswith((".py", ".pyc")):
            continue
        assert path.startswith(str(folder)), path
        assert flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) == 0, path
print(len(samples))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert int(done.stdout) == len(ALL)


def test_detection_imports_no_sdk_and_nothing_heavy() -> None:
    script = """
import sys
from ci_bridge import platforms
platforms.read_environment({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": "/nowhere"})
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        *("github", "gitlab", "jenkinsapi", "azure", "requests", "urllib3", "aiohttp", "httpx", "boto3", "psycopg"),
        *("rich", "jinja2", "sqlite_utils", "lxml", "apprise", "subprocess", "ssl", "asyncio"),
    }


MARKS = {
    "github": {"GITHUB_ACTIONS": "true"},
    "gitlab": {"GITLAB_CI": "true"},
    "azure": {"TF_BUILD": "True"},
    "circle": {"CIRCLECI": "true"},
    "bitbucket": {"BITBUCKET_BUILD_NUMBER": "7"},
    "travis": {"TRAVIS": "true"},
    "teamcity": {"TEAMCITY_VERSION": "2024.12"},
    "jenkins": {"JENKINS_URL": "https://jenkins.example/"},
}


@pytest.mark.parametrize("outer", MARKS)
@pytest.mark.parametrize("inner", MARKS)
def test_of_two_nested_systems_the_one_earlier_in_the_documented_order_wins(outer: str, inner: str) -> None:
    order = list(MARKS)
    winner = min(outer, inner, key=order.index)
    assert platforms.detect({**MARKS[outer], **MARKS[inner]}).name == winner
    assert platforms.detect({**MARKS[inner], **MARKS[outer]}).name == winner


def test_the_platforms_are_asked_in_the_documented_order() -> None:
    assert [platform.name for platform in platforms.available()] == [*MARKS, "local"]


@pytest.mark.parametrize("name", MARKS)
def test_a_mark_counts_whatever_its_case_and_not_when_empty_or_false(name: str) -> None:
    ((variable, value),) = MARKS[name].items()
    for spelled in (value.upper(), value.lower(), f" {value} "):
        assert platforms.detect({variable: spelled}).name == name
    for no in ("", "  ", "false", "False", "FALSE"):
        assert platforms.detect({variable: no}).name == "local"


@pytest.mark.parametrize("name", ["github", "gitlab", "azure", "circle", "travis"])
@pytest.mark.parametrize("value", ["1", "yes", "on", "0", "truely", "true,false"])
def test_a_mark_with_another_value_than_the_documented_one_is_none(name: str, value: str) -> None:
    assert platforms.detect(dict.fromkeys(MARKS[name], value)).name == "local"


def test_reading_does_not_change_the_process_environment(tmp_path: Path) -> None:
    before = dict(os.environ)
    for sample in ALL:
        platforms.read_environment(sample.environment(tmp_path))
    assert dict(os.environ) == before


def test_a_read_only_mapping_is_enough() -> None:
    assert platforms.read_environment(MappingProxyType({"TRAVIS": "true"})).platform == "travis"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("github", "::error::text"),
        ("github", "\u2003 ::add-mask::x"),
        ("github", "some text ##[group]x"),
        ("azure", "some text ##vso[task.setvariable variable=x]y"),
        ("azure", "##VSO[task.complete]"),
        ("azure", "##[error]x"),
        ("gitlab", "\x1b[0Ksection_start:1700000000:name\r\x1b[0K"),
        ("gitlab", "section_end:1700000000:name"),
        ("teamcity", "text ##teamcity[buildProblem description='x']"),
        ("travis", "travis_fold:start:x"),
        ("travis", "travis_time:end:x"),
        ("jenkins", "\x1b[8mha:AAAA\x1b[0mtext"),
    ],
)
def test_a_log_command_of_the_platform_matches_its_patterns(name: str, line: str) -> None:
    patterns = platforms.load(name).log_command_patterns
    assert any(re.search(pattern, line) for pattern in patterns)


@pytest.mark.parametrize("platform", platforms.available(), ids=lambda platform: platform.name)
def test_the_log_patterns_leave_ordinary_lines_alone_and_stay_fast(platform: Platform) -> None:
    for line in ("tests/test_a.py::test_b FAILED", "std::string", "section one", "a # b", " " * 200_000):
        assert not any(re.search(pattern, line) for pattern in platform.log_command_patterns)


@pytest.mark.parametrize(
    ("url", "owner"),
    [
        ("https://github.com/acme/cart", "github"),
        ("git@github.com:acme/cart.git", "github"),
        ("ssh://git@ssh.github.com:443/acme/cart.git", "github"),
        ("https://user:not-a-token@GitHub.com/acme/cart", "github"),
        ("https://corp.ghe.com/acme/cart", "github"),
        ("https://gitlab.com/group/sub/cart.git", "gitlab"),
        ("https://dev.azure.com/fabrikam/Shop/_git/cart", "azure"),
        ("git@ssh.dev.azure.com:v3/fabrikam/Shop/cart", "azure"),
        ("https://fabrikam.visualstudio.com/_git/cart", "azure"),
        ("http://bitbucket.org/acme/cart", "bitbucket"),
        ("https://github.com.evil.example/acme/cart", None),
        ("https://github.com@evil.example/acme/cart", None),
        ("https://evil.example/github.com/acme", None),
        ("https://evil.example\\@github.com/acme", None),
        ("https://notgithub.com/acme/cart", None),
        ("https://evilghe.com/acme/cart", None),
        ("https://gitlab.corp.example/acme/cart", None),
        ("/srv/git/github.com", None),
        ("C:\\github.com\\cart", None),
        ("javascript:github.com", None),
        ("", None),
    ],
)
def test_the_code_host_of_an_address_is_decided_by_its_host_alone(url: str, owner: str | None) -> None:
    found = platforms.code_host_of(url)
    assert (found.name if found else None) == owner
