"""TeamCity: few variables, and two files of build parameters that they lead to.

Facts: JetBrains' documentation "List of Predefined Build Parameters", "Pull Requests" and "Service Messages".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import (
    Fact,
    Facts,
    Text,
    Variables,
    build_context,
    flag,
    is_set,
    joined,
    number_of,
    owns_nothing,
    pull_number,
    pull_ref,
    read_file,
    repository_path,
    short_branch,
    short_tag,
    text_of,
    via,
    without_slash,
)
from ci_bridge.platforms.teamcity.properties import parse_properties
from ci_bridge.protocols import Environment, Platform

_SECOND_FILE = "teamcity.configuration.properties.file"
_DEFAULT = "<default>"


def detect(env: Environment) -> bool:
    """True where the agent has set ``TEAMCITY_VERSION``. Its ``BUILD_NUMBER`` and ``BUILD_URL`` say nothing."""
    return is_set(env, "TEAMCITY_VERSION")


def read_context(env: Environment) -> BuildContext:
    """The build, from the variables and the properties files that ``TEAMCITY_BUILD_PROPERTIES_FILE`` leads to."""
    var = Variables(env)
    build = Parameters(var("TEAMCITY_BUILD_PROPERTIES_FILE"))
    address = build.of_root(r"vcsroot(?:\..+)?\.url")
    commit = (
        var("BUILD_VCS_NUMBER")
        or _agreed(var.matching("BUILD_VCS_NUMBER_.+"))
        or build.of_root(r"build\.vcs\.number(?:\..+)?")
    )
    return build_context(
        "teamcity",
        repository=via(address, repository_path),
        repository_url=address,
        commit_sha=commit,
        build_id=build("teamcity.build.id"),
        build_number=var("BUILD_NUMBER") or build("build.number"),
        build_url=var("BUILD_URL")
        or joined("{}/viewLog.html?buildId={}", without_slash(build("teamcity.serverUrl")), build("teamcity.build.id")),
        job_name=var("TEAMCITY_BUILDCONF_NAME") or build("teamcity.buildConfName"),
        pipeline_name=var("TEAMCITY_PROJECT_NAME") or build("teamcity.projectName"),
        actor=build("teamcity.build.triggeredBy.username"),
        server_url=build("teamcity.serverUrl"),
        workspace=build("teamcity.build.checkoutDir"),
        **_what_is_built(build, commit),
    )


def _what_is_built(build: Parameters, commit: Text) -> Facts:
    """The branch, the tag or the pull request."""
    logical, default = build("teamcity.build.branch"), via(build.of_root(r"vcsroot(?:\..+)?\.branch"), short_branch)
    # The root's own ref is exact; the logical name is what a branch specification made of it.
    ref = build.of_root(r"teamcity\.build\.vcs\.branch(?:\..+)?") or logical
    named = build("teamcity.pullRequest.number")
    number = via(named, number_of) or via(ref, pull_number)
    if not number and ref and logical and ref.value != f"refs/heads/{logical.value}":
        number = via(logical, pull_number)
    if not number:
        branch = default if ref and ref.value == _DEFAULT else via(ref, short_branch)
        return {"branch": branch, "tag": via(ref, short_tag), "default_branch": default}
    # The source's name is given only where it is in the same repository.
    source = build("teamcity.pullRequest.source.branch")
    found = pull_ref(ref.value) if ref else None
    return {
        "branch": via(source, short_branch),
        "pr_number": number,
        "pr_base_branch": via(build("teamcity.pullRequest.target.branch"), short_branch),
        "pr_head_sha": commit if found and found[1] in ("head", "from") else None,
        "is_fork": flag(not source, source or named) if named else None,
        "default_branch": default,
    }


class Parameters:
    """The build's parameters; what both files have, the first file decides.

    Args:
        file: The variable that names the first file. The first file names the second.
    """

    def __init__(self, file: Text) -> None:
        first = _read(file)
        second = text_of(first.get(_SECOND_FILE))
        self._files: tuple[tuple[str, Mapping[str, str]], ...] = (
            (file.origin if file else "", first),
            (_SECOND_FILE, _read(Fact(second, _SECOND_FILE) if second else None)),
        )

    def __call__(self, key: str) -> Text:
        for origin, properties in self._files:
            value = text_of(properties.get(key))
            if value is not None:
                return Fact(value, f"{origin}: {key}")
        return None

    def of_root(self, pattern: str) -> Text:
        """What the parameters with such a key agree on: there is one for each VCS root, or one without its name."""
        keys = sorted({key for _, properties in self._files for key in properties if re.fullmatch(pattern, key)})
        return _agreed([fact for key in keys if (fact := self(key))])


def _agreed(facts: list[Fact[str]]) -> Text:
    """The first of these facts if all have one value. With several roots nothing tells which one is meant."""
    return facts[0] if len({fact.value for fact in facts}) == 1 else None


def _read(file: Text) -> Mapping[str, str]:
    data = read_file(file.value) if file else None
    return parse_properties(data) if data else {}


platform = Platform(
    name="teamcity",
    title="TeamCity",
    priority=70,
    token_variables=("TEAMCITY_TOKEN",),
    # A service message is one wherever it stands in a line.
    log_command_patterns=(r"##teamcity\[",),
    detect=detect,
    read_context=read_context,
    owns_url=owns_nothing,
)
