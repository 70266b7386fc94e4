"""How platforms are found: our folders, other packages' entry points, and what is wrong with some of those."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from ci_bridge import platforms
from ci_bridge.errors import MissingDependencyError, PlatformNotFoundError
from ci_bridge.models import BuildContext, Credentials
from tests.platforms.scenarios import scenario

MODULE = """
from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import owns_nothing
from ci_bridge.protocols import Platform

def platform_called(name, priority, detect=lambda env: env.get("BUILDER") == "yes", read=None):
    return Platform(name=name, title=name.title(), priority=priority, token_variables=(), log_command_patterns=(),
                    detect=detect, read_context=read or (lambda env: BuildContext(name, build_id=env.get("BUILD"))),
                    owns_url=owns_nothing)
"""

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package as pip would: its module, and metadata with entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))
    installed: list[str] = []

    def install(code: str, entry_points: str) -> None:
        module = f"builder_{len(installed)}"
        installed.append(module)
        (tmp_path / f"{module}.py").write_text(MODULE + textwrap.dedent(code))
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[ci_bridge.platforms]\n{entry_points.format(module=module)}\n")
        importlib.invalidate_caches()
        platforms._found.cache_clear()

    yield install
    for module in installed:
        sys.modules.pop(module, None)
    platforms._found.cache_clear()


def test_another_packages_platform_is_found_detected_and_loaded(install: Install) -> None:
    install('platform = platform_called("builder", 5)', "builder = {module}:platform")
    assert platforms.problems() == {}
    assert platforms.load("Builder").title == "Builder"
    assert platforms.read_environment({"BUILDER": "yes", "BUILD": "7"}) == BuildContext("builder", build_id="7")
    assert platforms.read_environment({"BUILD": "7"}, "builder").build_id == "7"
    assert platforms.detect({}).name == "local"


@pytest.mark.parametrize(("priority", "winner"), [(5, "builder"), (15, "github"), (2_000_000, "github")])
def test_another_packages_platform_takes_its_place_in_the_order(install: Install, priority: int, winner: str) -> None:
    install(f'platform = platform_called("builder", {priority})', "builder = {module}:platform")
    assert platforms.detect({"GITHUB_ACTIONS": "true", "BUILDER": "yes"}).name == winner


def test_another_package_cannot_take_a_name_of_ours(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install('platform = platform_called("github", 1)', "github = {module}:platform")
    assert platforms.load("github").title == "GitHub Actions"
    assert [platform.name for platform in platforms.available()].count("github") == 1
    assert "the name is taken" in platforms.problems()["github"]
    assert "the name is taken" in caplog.text


def test_another_package_cannot_take_a_name_of_ours_in_disguise(install: Install) -> None:
    install('platform = platform_called("github", 1)', "builder = {module}:platform")
    assert platforms.detect({"BUILDER": "yes"}).name == "local"
    assert "its platform is called 'github'" in platforms.problems()["builder"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no\\nluck')", "RuntimeError: no luck"),
        ("import a_package_that_is_not_there", "ModuleNotFoundError: No module named 'a_package_that_is_not_there'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("syntax error", "SyntaxError"),
        ("pass", "AttributeError"),
        ("platform = 'builder'", "it is no ci_bridge.protocols.Platform"),
    ],
)
def test_a_broken_package_costs_only_its_own_platform(
    install: Install, caplog: pytest.LogCaptureFixture, code: str, reason: str
) -> None:
    install(code, "builder = {module}:platform")
    assert platforms.read_environment({"TRAVIS": "true"}).platform == "travis"
    assert reason in platforms.problems()["builder"]
    assert "\n" not in platforms.problems()["builder"]
    assert reason in caplog.text
    with pytest.raises(PlatformNotFoundError, match="builder") as caught:
        platforms.load("builder")
    assert reason in str(caught.value)


def test_a_platform_that_raises_when_asked_is_passed_over(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install(
        'platform = platform_called("builder", 5, detect=lambda env: env["NOT_THERE"])', "builder = {module}:platform"
    )
    assert platforms.detect({"TRAVIS": "true"}).name == "travis"
    assert "KeyError" in caplog.text


def test_a_platform_that_raises_when_reading_gives_its_name(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install('platform = platform_called("builder", 5, read=lambda env: 1 / 0)', "builder = {module}:platform")
    assert platforms.read_environment({"BUILDER": "yes"}) == BuildContext("builder")
    assert "ZeroDivisionError" in caplog.text


def test_a_platform_that_raises_over_an_address_does_not_own_it(install: Install) -> None:
    install(
        "from dataclasses import replace\n"
        'platform = replace(platform_called("builder", 5), owns_url=lambda url: 1 / 0, fill=lambda *args: 1 / 0)',
        "builder = {module}:platform",
    )
    assert platforms.code_host_of("https://github.com/acme/cart") is platforms.load("github")
    context = BuildContext("builder")
    assert platforms.fill_from_git(context, Path("/")) is context


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("githib", "did you mean 'github'?"),
        ("github-actions", "did you mean 'github'?"),
        ("CircleCI", "did you mean 'circle'?"),
        ("azure-devops", "did you mean 'azure'?"),
        ("bitbucket-pipelines", "did you mean 'bitbucket'?"),
        ("travis-ci", "did you mean 'travis'?"),
        ("buildkite", "known are github, gitlab, azure"),
        ("local.git", "did you mean 'local'?"),
        ("_read", "known are"),
        ("", "known are"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(PlatformNotFoundError) as caught:
        platforms.load(name)
    assert hint in caught.value.hint
    assert repr(name) in caught.value.message


def test_an_unknown_ci_system_is_an_error_too() -> None:
    with pytest.raises(PlatformNotFoundError, match="githib"):
        platforms.read_environment({"GITHUB_ACTIONS": "true"}, "githib")


def test_asking_for_one_of_ours_by_name_looks_at_no_other_package() -> None:
    script = """
import sys
from ci_bridge import platforms
platforms.read_environment({}, "gitlab")
assert "importlib.metadata" not in sys.modules
assert "ci_bridge.platforms.github" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_platform_without_adapter_delivers_as_local(tmp_path: Path) -> None:
    for platform in platforms.available():
        adapter = platforms.open_adapter(platform, {}, Credentials(directory=tmp_path))
        if platform.connect is None:
            assert adapter.context.platform == "local"
        adapter.close()


def test_a_missing_sdk_names_the_extra() -> None:
    def connect(env: object, credentials: object) -> NoReturn:
        raise AssertionError(importlib.import_module("an_sdk_that_is_not_there"))

    platform = replace(platforms.load("github"), connect=connect)
    with pytest.raises(MissingDependencyError) as caught:
        platforms.open_adapter(platform, {}, Credentials())
    assert "an_sdk_that_is_not_there" in caught.value.message
    assert caught.value.hint == "pip install 'ci-bridge[github]'"


def test_a_missing_module_of_our_own_is_not_taken_for_an_sdk() -> None:
    def connect(env: object, credentials: object) -> NoReturn:
        raise AssertionError(importlib.import_module("ci_bridge.not_there"))

    with pytest.raises(ModuleNotFoundError):
        platforms.open_adapter(replace(platforms.load("github"), connect=connect), {}, Credentials())


@pytest.mark.parametrize(("name", "word"), [("gitea", "Gitea"), ("forgejo-pull-request", "Forgejo"), ("act", "act")])
def test_the_api_of_a_runner_that_speaks_alike_is_refused(name: str, word: str) -> None:
    from ci_bridge.platforms.github import api_refused

    sample = scenario("github", name)
    assert platforms.detect(sample.env).name == "github"
    assert word in (api_refused(sample.env) or "")


@pytest.mark.parametrize("name", ["push", "pull-request", "enterprise-server"])
def test_the_api_of_github_itself_is_not_refused(name: str) -> None:
    from ci_bridge.platforms.github import api_refused

    sample = scenario("github", name)
    assert api_refused({**sample.env, "ACT": "false", "GITEA_ACTIONS": ""}) is None


def test_a_merge_request_is_looked_for_where_it_lives() -> None:
    from ci_bridge.platforms.gitlab import merge_request_project, pull_request_elsewhere

    fork = scenario("gitlab", "merge-request-from-fork").env
    assert (merge_request_project(fork), pull_request_elsewhere(fork)) == ("77", None)
    external = scenario("gitlab", "external-pull-request").env
    assert merge_request_project(external) is None
    assert "acme/cart" in (pull_request_elsewhere(external) or "")
