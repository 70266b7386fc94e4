"""The secret options are hidden in the CI system's own log, and only where a command to it cannot do harm."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci_bridge import platforms
from ci_bridge.client import Client
from ci_bridge.config import LoadedSettings, Secret, load_settings
from ci_bridge.errors import PlatformError
from ci_bridge.models import BuildContext
from ci_bridge.platforms.github.runner import RunnerAdapter
from ci_bridge.protocols import Adapter
from tests.fakes.adapter import FakeAdapter

TOKEN = "made-up-" + "api-value"
OTHER = Secret("other-" + "value")
HOOK = "https://chat.example/hooks/" + "made-up-path"
KEY = "-----BEGIN-----\r\nfirst-line\n\n  second-line  \nab\n-----END-----"


def with_secrets(folder: Path, **secrets: Any) -> LoadedSettings:
    """The default settings but for these; some of them no configuration may set yet."""
    loaded = load_settings(env={}, directory=folder)
    return replace(loaded, settings=replace(loaded.settings, **secrets))


def hidden_by(adapter: Adapter, folder: Path, *, stdout_is_data: bool = False, **secrets: Any) -> None:
    """Open a client over this adapter as the command line does."""
    client = Client(
        loaded=with_secrets(folder, **secrets), platform=platforms.load("local"), context=adapter.context,
        adapter=adapter, workspace=folder, env={},
    )  # fmt: skip
    client.hide_secrets(stdout_is_data=stdout_is_data)
    asyncio.run(client.aclose())


def test_every_secret_option_is_hidden(tmp_path: Path) -> None:
    adapter = FakeAdapter()
    hidden_by(adapter, tmp_path, api_token=Secret(TOKEN), code_host_token=OTHER, notification_urls=(Secret(HOOK),))
    assert adapter.masks == [TOKEN, OTHER.reveal(), HOOK]


def test_each_line_of_a_secret_is_hidden_and_short_ones_never(tmp_path: Path) -> None:
    adapter = FakeAdapter()
    hidden_by(adapter, tmp_path, api_token=Secret(KEY), code_host_token=Secret("abc"))
    assert adapter.masks == ["-----BEGIN-----", "first-line", "second-line", "-----END-----"]


def test_without_secrets_nothing_is_said(tmp_path: Path) -> None:
    adapter = FakeAdapter()
    hidden_by(adapter, tmp_path)
    assert adapter.calls["add_mask"] == 0


def test_where_stdout_is_data_the_log_says_that_nothing_is_hidden(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ci_bridge")
    adapter = FakeAdapter()
    hidden_by(adapter, tmp_path, api_token=Secret(TOKEN), stdout_is_data=True)
    assert adapter.masks == [] and "stdout is data" in caplog.text and TOKEN not in caplog.text


def test_a_platform_that_refuses_costs_a_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ci_bridge")
    adapter = FakeAdapter()
    adapter.fail("add_mask", PlatformError("no"))
    hidden_by(adapter, tmp_path, api_token=Secret(TOKEN))
    assert "cannot be told to hide secrets: no" in caplog.text


def test_a_webhooks_address_is_masked_in_what_is_delivered(tmp_path: Path) -> None:
    loaded = with_secrets(tmp_path, notification_urls=(Secret(HOOK),))
    adapter = FakeAdapter()

    async def tell() -> None:
        client = Client(
            loaded=loaded, platform=platforms.load("local"), context=adapter.context, adapter=adapter,
            workspace=tmp_path, env={},
        )  # fmt: skip
        await client.write_summary(f"posting to {HOOK} failed")
        await client.aclose()

    asyncio.run(tell())
    assert adapter.summaries == ["posting to *** failed"]


def test_the_runner_reads_one_command_for_each_line(tmp_path: Path) -> None:
    out = io.StringIO()
    adapter = RunnerAdapter(BuildContext("github"), {}, stdout=out)
    hidden_by(adapter, tmp_path, api_token=Secret("50%-of-" + "it"), code_host_token=Secret(KEY))
    assert out.getvalue().splitlines() == [
        "::add-mask::50%25-of-it",
        "::add-mask::-----BEGIN-----",
        "::add-mask::first-line",
        "::add-mask::second-line",
        "::add-mask::-----END-----",
    ]


def test_a_secret_is_never_written_into_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as out, pytest.raises(PlatformError, match="stdout is a file"):
        RunnerAdapter(BuildContext("github"), {}, stdout=out).add_mask(TOKEN)
    assert path.read_text() == ""


def test_a_closed_stdout_is_an_error_of_ours() -> None:
    out = io.StringIO()
    out.close()
    with pytest.raises(PlatformError, match="stdout"):
        RunnerAdapter(BuildContext("github"), {}, stdout=out).add_mask(TOKEN)


@pytest.mark.parametrize(
    "words", [["summary", "hello"], ["summary", "hello", "--json"], ["report"], ["report", "--json"], ["config"]]
)
def test_what_the_environment_holds_is_not_printed_to_be_hidden(tmp_path: Path, words: list[str]) -> None:
    """The runner hides what it hands to a step by itself; a pipe behind the command would keep what is printed."""
    done = run_in_a_job(tmp_path, ["-m", "ci_bridge", *words], CI_BRIDGE_API_TOKEN=TOKEN)
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(("arguments", "is_told"), [("", True), (", stdout_is_data=True", False)])
def test_what_a_program_hands_over_is_hidden_unless_its_stdout_is_data(
    tmp_path: Path, arguments: str, is_told: bool
) -> None:
    program = f"""
import asyncio, ci_bridge
async def main():
    async with ci_bridge.open_client({{"api_token": "made-up-" + "api-value"}}{arguments}) as client:
        await client.write_summary("hello")
asyncio.run(main())
"""
    done = run_in_a_job(tmp_path, ["-c", program])
    assert done.stdout == (f"::add-mask::{TOKEN}\n" if is_told else "") and TOKEN not in done.stderr


def run_in_a_job(folder: Path, words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "GITEA_ACTIONS": "true",  # so that no server is spoken to
    }
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=env | variables, capture_output=True, text=True, check=False
    )
