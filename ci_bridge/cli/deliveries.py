"""Commands that deliver one thing: ``comment``, ``status``, ``summary`` and ``artifact``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ci_bridge.cli.frame import finish, flags_of, with_client
from ci_bridge.cli.program import Group, Job, common
from ci_bridge.console import minute, print_json, print_table
from ci_bridge.errors import ConfigError

if TYPE_CHECKING:
    from ci_bridge.client import Client
    from ci_bridge.models import Receipt

_file = click.option(
    "--file",
    "-f",
    type=click.File("r", encoding="utf-8", errors="replace"),
    help="Read the text from a file, - for stdin.",
)


@click.command(cls=Job)
@click.argument("text", required=False)
@_file
@click.option("--pr", help="Number of the pull request; by default that of the build.")
@click.option("--key", default="comment", show_default=True, help="The comment with this key is updated.")
@common
def comment(text: str | None, file: Any, pr: str | None, key: str, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Comment on the pull request.

    The next comment with the same key replaces this one.

    \b
    Example:
      ci-bridge comment --pr 42 'Coverage is **91 %**'
    """
    body = _text_of(text, file)

    async def job(client: Client) -> Receipt:
        number = pr or client.context.pr_number
        if not number:
            raise ConfigError("this build has no pull request", hint="name one with --pr")
        return await client.add_pr_comment(number, body, key=key)

    finish(with_client(job, flags_of(pairs)), as_json=as_json)


@click.command(cls=Job)
@click.argument("state", type=click.Choice(["pending", "success", "failure", "error"]))
@click.option("--context", "-c", default="ci-bridge", show_default=True, help="Name of the status.")
@click.option("--description", "-d", default="", help="One line.")
@click.option("--url", help="Where a click leads.")
@click.option("--sha", help="The commit; by default that of the build.")
@common
def status(
    state: str,
    context: str,
    description: str,
    url: str | None,
    sha: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
) -> None:
    """Set a status on the commit.

    \b
    Example:
      ci-bridge status success -c deploy/preview -d 'is up' --sha abcdef123456
    """

    async def job(client: Client) -> Receipt:
        commit = sha or client.context.status_sha
        if not commit:
            raise ConfigError("the commit is not known", hint="name one with --sha")
        return await client.set_status(commit, state, context, description, url)

    finish(with_client(job, flags_of(pairs)), as_json=as_json)


@click.command(cls=Job)
@click.argument("text", required=False)
@_file
@common
def summary(text: str | None, file: Any, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Show Markdown on the build's own page.

    \b
    Example:
      ci-bridge summary '## Deployed to preview'
    """
    body = _text_of(text, file)
    receipt = with_client(lambda client: client.write_summary(body), flags_of(pairs))
    finish(receipt, as_json=as_json)


@click.group(cls=Group)
def artifact() -> None:
    """Keep files beyond the build, and fetch them.

    \b
    Example:
      ci-bridge artifact list
    """


@artifact.command("upload")
@click.argument("paths", nargs=-1, required=True)
@click.option("--name", help="For people and for `download`; by default the file's name.")
@click.option("--category", help="One of artifact_categories; by default it follows from the suffix.")
@click.option("--run", help="The test run it belongs to; by default this build's.")
@common
def artifact_upload(
    paths: tuple[str, ...],
    name: str | None,
    category: str | None,
    run: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
) -> None:
    """Keep files beyond the build.

    \b
    Example:
      ci-bridge artifact upload README.md --name 'Read me'
    """
    if name and len(paths) > 1:
        raise click.UsageError("--name is for one path; without it each file keeps its own name")
    names = {paths[0]: name} if name else _names_of(paths)

    async def job(client: Client) -> list[Receipt]:
        run_id = run or await client.current_run_id()
        return [await client.upload_artifact(run_id, path, names[path], category=category) for path in names]

    finish(*with_client(job, flags_of(pairs)), as_json=as_json)


def _names_of(paths: Sequence[str]) -> dict[str, str | None]:
    """What kept files are called: as the client does it, but by their paths where two would share a name."""
    given = list(dict.fromkeys(paths))
    names = Counter(Path(path).name for path in given)
    folders = len(given) > 1 and any(Path(path).is_dir() for path in given)
    clash = folders or max(names.values()) > 1
    return {path: Path(os.path.relpath(path)).as_posix() if clash else None for path in given}


@artifact.command("download")
@click.argument("name")
@click.argument("output", required=False)
@click.option("--run", help="The test run it belongs to; by default the newest that has it.")
@common
def artifact_download(name: str, output: str | None, run: str | None, as_json: bool, pairs: tuple[str, ...]) -> None:
    """Fetch the newest kept file of this name.

    It goes to OUTPUT, by default to a file of its name here.

    \b
    Example:
      ci-bridge artifact download 'Read me' readme-copy.md
    """
    # The stored name is data: only its last component can become a file name here.
    target = output or Path(name.replace("\\", "/")).name or "artifact"
    receipt = with_client(lambda client: client.download_artifact(run, name, target), flags_of(pairs))
    finish(receipt, as_json=as_json)


@artifact.command("list")
@click.option("--run", help="Only of this test run.")
@click.option("--category", help="Only of this category.")
@common
def artifact_list(run: str | None, category: str | None, as_json: bool, pairs: tuple[str, ...]) -> None:
    """List kept files, newest first.

    \b
    Example:
      ci-bridge artifact list --category reports
    """
    found = with_client(lambda client: client.list_artifacts(run, category=category), flags_of(pairs), prints=True)
    if as_json:
        from dataclasses import asdict

        print_json([asdict(item) for item in found])
        return
    print_table(
        ("name", "category", "bytes", "created", "expires", "run"),
        [
            (item.name, item.category, str(item.size), minute(item.created_at), minute(item.expires_at), item.run_id)
            for item in found
        ],
    )


def _text_of(text: str | None, file: Any) -> str:
    if (text is None) == (file is None):
        raise click.UsageError("give the text as an argument, or a file with --file (- for stdin)")
    return text if text is not None else str(file.read())
