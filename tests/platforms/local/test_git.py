"""What git fills in: real repositories, made here, in every state that a checkout can be in."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ci_bridge import platforms
from ci_bridge.models import BuildContext
from ci_bridge.platforms.local import git as local_git

LOCAL = BuildContext("local")
IDENTITY = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *IDENTITY, "-c", "protocol.file.allow=always", *arguments],
        cwd=directory, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit on main."""
    path = tmp_path / "work"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    (path / "sub").mkdir()
    (path / "sub" / "file").write_text("text")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "-m", "first")
    return path


def filled(directory: Path) -> dict[str, object]:
    context = platforms.fill_from_git(LOCAL, directory)
    assert set(context.origins) == {name for name, value in context.values().items() if value} - {"platform"}
    return {name: value for name, value in context.values().items() if value is not None and name != "platform"}


def test_a_checkout_tells_commit_branch_and_folder(repository: Path) -> None:
    expected = {"workspace": str(repository), "commit_sha": git(repository, "rev-parse", "HEAD"), "branch": "main"}
    expected["default_branch"] = "main"
    assert filled(repository) == expected
    assert filled(repository / "sub") == expected
    assert platforms.fill_from_git(LOCAL, repository).origins["commit_sha"] == "GIT: HEAD"


@pytest.mark.parametrize(
    ("origin", "url", "name"),
    [
        ("https://bot:not-a-token@code.example:8443/acme/cart.git", "https://code.example:8443/acme/cart", "acme/cart"),
        ("https://not-a-token@code.example/acme/cart", "https://code.example/acme/cart", "acme/cart"),
        ("git@code.example:group/sub/cart.git", "https://code.example/group/sub/cart", "group/sub/cart"),
        ("/srv/git/cart.git", None, None),
    ],
)
def test_origin_tells_the_repository_without_credentials(
    repository: Path, origin: str, url: str | None, name: str | None
) -> None:
    git(repository, "remote", "add", "origin", origin)
    context = platforms.fill_from_git(LOCAL, repository)
    assert (context.repository_url, context.repository) == (url, name)
    assert "not-a-token" not in repr(context.values())


def test_a_shorthand_of_the_users_configuration_is_expanded(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "work:acme/cart")
    git(repository, "config", "url.https://code.example/.insteadOf", "work:")
    assert filled(repository)["repository_url"] == "https://code.example/acme/cart"


def test_a_clone_tells_the_default_branch(repository: Path, tmp_path: Path) -> None:
    git(repository, "branch", "trunk/x")
    git(repository, "symbolic-ref", "HEAD", "refs/heads/trunk/x")
    git(tmp_path, "clone", "--quiet", str(repository), "copy")
    git(tmp_path / "copy", "checkout", "--quiet", "-b", "feature/x")
    found = filled(tmp_path / "copy")
    assert (found["branch"], found["default_branch"]) == ("feature/x", "trunk/x")


def test_a_shallow_clone_is_no_exception(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "copy")
    assert filled(tmp_path / "copy")["commit_sha"] == git(repository, "rev-parse", "HEAD")


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    assert set(filled(repository)) == {"workspace", "commit_sha", "default_branch"}


def test_a_tag_that_is_checked_out_is_named(repository: Path) -> None:
    git(repository, "tag", "v1/2")
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "second")
    git(repository, "checkout", "--quiet", "v1/2")
    found = filled(repository)
    assert found["tag"] == "v1/2"
    assert "branch" not in found


def test_on_a_branch_a_tag_at_the_same_commit_says_nothing(repository: Path) -> None:
    git(repository, "tag", "v1")
    assert "tag" not in filled(repository)


def test_an_annotated_tag_counts_and_of_several_the_newest(repository: Path) -> None:
    for day, name in ((1, "zz-old"), (2, "aa-new")):
        date = f"2026-01-0{day}T00:00:00Z"
        subprocess.run(
            ["git", *IDENTITY, "tag", "-a", name, "-m", name], cwd=repository, check=True,
            env={**os.environ, "GIT_COMMITTER_DATE": date},
        )  # fmt: skip
    git(repository, "checkout", "--quiet", "--detach")
    assert filled(repository)["tag"] == "aa-new"


def test_a_repository_without_commits_tells_its_branch(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk")
    assert filled(tmp_path) == {"workspace": str(tmp_path), "branch": "trunk"}


def test_a_second_work_tree_tells_its_own_branch(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "--quiet", "-b", "feature/x", str(tmp_path / "second"))
    assert filled(tmp_path / "second")["branch"] == "feature/x"
    assert filled(tmp_path / "second")["workspace"] == str(tmp_path / "second")


def test_what_is_known_already_is_kept(repository: Path) -> None:
    known = BuildContext("local", branch="known", origins={"branch": "somewhere"})
    context = platforms.fill_from_git(known, repository)
    assert (context.branch, context.origins["branch"]) == ("known", "somewhere")
    assert context.commit_sha


def test_the_context_of_another_platform_is_left_alone(repository: Path) -> None:
    known = BuildContext("travis")
    assert platforms.fill_from_git(known, repository) is known


def test_outside_of_a_checkout_nothing_is_filled(tmp_path: Path) -> None:
    assert platforms.fill_from_git(LOCAL, tmp_path) is LOCAL
    assert platforms.fill_from_git(LOCAL, tmp_path / "not-there") is LOCAL
    assert platforms.fill_from_git(LOCAL, tmp_path / "nul\x00") is LOCAL
    assert platforms.fill_from_git(LOCAL, tmp_path / ("x" * 5000)) is LOCAL
    (tmp_path / "file").write_text("")
    assert platforms.fill_from_git(LOCAL, tmp_path / "file") is LOCAL


@pytest.mark.parametrize("head", ["", "garbage", "ref: refs/heads/\n", "ref: ../../x", "\x00" * 100])
def test_a_damaged_repository_fills_nothing_wrong(repository: Path, head: str) -> None:
    (repository / ".git" / "HEAD").write_text(head)
    assert "commit_sha" not in filled(repository)


def test_a_git_file_that_leads_nowhere_fills_nothing(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /not/there\n")
    assert platforms.fill_from_git(LOCAL, tmp_path) is LOCAL


def test_without_git_nothing_is_filled(repository: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert local_git.fill_from_git(LOCAL, repository, env={"PATH": str(empty)}) is LOCAL


def test_a_git_that_hangs_is_given_up(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(local_git, "TIMEOUT", 0.2)
    start = time.monotonic()
    assert local_git.fill_from_git(LOCAL, repository, env={"PATH": f"{slow.parent}:{os.environ['PATH']}"}) is LOCAL
    assert time.monotonic() - start < 20


def test_the_variables_of_a_hook_do_not_lead_to_another_repository(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet", "--initial-branch=other")
    env = {**os.environ, "GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": "/not/there"}
    before = dict(env)
    assert local_git.fill_from_git(LOCAL, repository, env=env).branch == "main"
    assert env == before


def test_a_checkout_that_belongs_to_somebody_else_is_read(repository: Path) -> None:
    # What git itself offers to test this, since only root could give the files away.
    env = {**os.environ, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    refused = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, env=env, capture_output=True, check=False)
    assert refused.returncode != 0
    assert local_git.fill_from_git(LOCAL, repository / "sub", env=env).branch == "main"


@pytest.mark.parametrize(
    ("branches", "configured", "expected"),
    [
        (["main", "master"], "", "main"),
        (["master"], "", "master"),
        (["main", "trunk"], "trunk", "trunk"),
        (["main"], "trunk", "main"),
        (["develop"], "", None),
    ],
)
def test_without_a_clone_the_first_branch_by_convention_is_the_default(
    repository: Path, branches: list[str], configured: str, expected: str | None
) -> None:
    git(repository, "checkout", "--quiet", "-b", "feature")
    git(repository, "branch", "--quiet", "-D", "main")
    for branch in branches:
        git(repository, "branch", "--quiet", branch)
    if configured:
        git(repository, "config", "init.defaultBranch", configured)
    assert filled(repository).get("default_branch") == expected


def test_at_most_five_processes_run_and_none_reaches_for_the_network(repository: Path, tmp_path: Path) -> None:
    real = shutil.which("git")
    log = tmp_path / "log"
    recorder = tmp_path / "bin" / "git"
    recorder.parent.mkdir()
    recorder.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\nexec "{real}" "$@"\n')
    recorder.chmod(0o755)
    env = {**os.environ, "PATH": f"{recorder.parent}:{os.environ['PATH']}"}
    git(repository, "remote", "add", "origin", "https://192.0.2.1/acme/cart.git")
    git(repository, "checkout", "--quiet", "--detach")
    context = local_git.fill_from_git(LOCAL, repository, env=env)
    assert context.repository == "acme/cart"
    calls = log.read_text().splitlines()
    assert len(calls) <= 5
    assert all("-c protocol.allow=never" in call for call in calls)


def test_nothing_that_the_repository_configures_is_run(repository: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for key in ("core.fsmonitor", "core.sshCommand", "gpg.program", "core.pager", "credential.helper", "core.askPass"):
        git(repository, "config", key, f"touch {trap}")
    hook = repository / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    git(repository, "config", "log.showSignature", "true")
    git(repository, "config", "remote.origin.url", "ssh://code.example/acme/cart.git")
    trap.unlink(missing_ok=True)
    assert filled(repository)["repository"] == "acme/cart"
    assert not trap.exists()
