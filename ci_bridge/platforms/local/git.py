"""What a checkout tells of itself, by at most five calls of git: no shell, no network, no hook, no exception."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import Fact, Facts, Text, build_context, repository_path, short_branch, via

TIMEOUT = 5.0
"""Seconds that one call of git may take."""

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ORIGIN_HEAD = "refs/remotes/origin/HEAD"
# They point git at another repository than the folder's, as inside a hook. Other GIT_ variables stay.
_REDIRECTING = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}
_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",  # of a partial clone
    "LC_ALL": "C",
}


def fill_from_git(context: BuildContext, directory: Path, *, env: Mapping[str, str] | None = None) -> BuildContext:
    """Fill the absent fields of a context from a checkout.

    Args:
        context: What is known already; kept.
        directory: Anywhere inside the checkout's work tree.
        env: Environment of the git processes; the process's own where None.

    Returns:
        The context with ``workspace``, ``commit_sha``, ``branch``, ``default_branch``, ``repository_url``,
        ``repository`` and, on a detached head only, ``tag`` as far as git tells them; unchanged without git, outside
        of a checkout and where git does not answer in time.
    """
    top = _work_tree(directory)
    if not top:
        return context
    found = _read(top, os.environ if env is None else env)
    filled = build_context(context.platform, **found)
    values = {name: value for name, value in filled.values().items() if value and getattr(context, name) is None}
    origins = {name: origin for name, origin in filled.origins.items() if name in values}
    return replace(context, **values, origins={**context.origins, **origins}) if values else context


def _work_tree(directory: Path) -> Path | None:
    """The folder at or above this one that holds ``.git``: a folder, or a file in work trees and submodules."""
    try:
        start = directory.resolve()
        return next((folder for folder in (start, *start.parents) if os.path.lexists(folder / ".git")), None)
    except (OSError, ValueError, RuntimeError):
        return None


def _read(directory: Path, env: Mapping[str, str]) -> Facts:
    def git(*arguments: str) -> list[str]:
        return _run(directory, arguments, env)

    # One call; it prints what it finds and stops at the first revision that does not exist.
    lines = git("rev-parse", "--show-toplevel", "HEAD", "--symbolic-full-name", "HEAD", _ORIGIN_HEAD)
    if not lines[0]:
        return {}
    top, sha, ref, default = (*lines, "", "", "")[:4]
    facts: Facts = {"workspace": Fact(top, "GIT: work tree")}
    if _SHA.fullmatch(sha):
        facts["commit_sha"] = Fact(sha, "GIT: HEAD")
    else:  # no commit yet
        ref = "".join(git("symbolic-ref", "--quiet", "HEAD"))
    facts["branch"] = via(_fact(ref, "HEAD"), short_branch)
    if default != _ORIGIN_HEAD:
        facts["default_branch"] = via(_fact(default.removeprefix("refs/remotes/origin/"), _ORIGIN_HEAD), short_branch)
    else:
        # Nobody cloned this, or the remote was added later: what its first branch is called by convention.
        configured = "".join(git("config", "--get", "init.defaultBranch"))
        usual = list(dict.fromkeys(filter(None, (configured, "main", "master"))))
        there = git("for-each-ref", "--format=%(refname)", *(f"refs/heads/{name}" for name in usual))
        found = next((name for name in usual if f"refs/heads/{name}" in there), "")
        facts["default_branch"] = _fact(found, "init.defaultBranch" if found == configured else f"refs/heads/{found}")
    origin = _fact("".join(git("ls-remote", "--get-url", "origin")), "remote.origin.url")
    facts["repository_url"], facts["repository"] = origin, via(origin, repository_path)
    if ref == "HEAD":
        tags = git(
            "for-each-ref", "--points-at=HEAD", "--sort=-creatordate", "--format=%(refname:strip=2)", "refs/tags"
        )
        facts["tag"] = _fact("".join(tags[:1]), "refs/tags")
    return facts


def _fact(value: str, source: str) -> Text:
    return Fact(value, f"GIT: {source}") if value else None


def _run(directory: Path, arguments: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The lines that git printed, one empty line if there are none. Its exit code adds nothing to them."""
    # In a container the checkout often belongs to another user; these calls run nothing that it configures.
    options = ["-C", str(directory), "-c", "safe.directory=*", "-c", "protocol.allow=never"]
    try:
        done = subprocess.run(
            ["git", *options, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            env={**{name: value for name, value in env.items() if name not in _REDIRECTING}, **_QUIET},
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return [""]
    return done.stdout.decode("utf-8", "replace").removesuffix("\n").split("\n")
