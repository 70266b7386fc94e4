"""What the runner takes from a step without any token: the summary, outputs, masks, and for actions also artifacts.

Facts: GitHub's documentation "Workflow commands", the source of actions/runner 2.336 for the limits.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from typing import TextIO

from ci_bridge.atomic import private_folder
from ci_bridge.errors import PermissionDeniedError, PlatformError
from ci_bridge.models import Artifact, BuildContext
from ci_bridge.platforms._http import ConflictError
from ci_bridge.platforms.github import artifact_names, single_zip
from ci_bridge.platforms.github.results_service import ResultsService, Uploaded
from ci_bridge.protocols import ExplainsGaps, SupportsOutputs, SupportsSummary, SupportsUpload

SUMMARY_LIMIT = 1024 * 1024
"""Bytes of one step's summary; a larger one is dropped as a whole."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ATTEMPTS = 5


class RunnerAdapter(SupportsSummary, SupportsOutputs, ExplainsGaps):
    """A step whose job passes no token: what goes through the runner's files.

    Args:
        context: The build.
        env: ``GITHUB_STEP_SUMMARY`` and ``GITHUB_OUTPUT`` name the files.
        stdout: Where the runner reads commands.
        delimiter: Answers a text that nobody can guess.
        no_api: Why the API is not spoken to.
        no_uploads: Why no artifact can be uploaded.
    """

    def __init__(
        self,
        context: BuildContext,
        env: Mapping[str, str],
        *,
        stdout: TextIO,
        delimiter: Callable[[], str] = lambda: secrets.token_hex(16),
        no_api: str = "",
        no_uploads: str = "",
    ) -> None:
        self._context = context
        self._summary = env.get("GITHUB_STEP_SUMMARY", "")
        self._outputs = env.get("GITHUB_OUTPUT", "")
        self._stdout = stdout
        self._delimiter = delimiter
        self._gaps = {"upload": no_uploads, "metrics": ""}
        self._no_api = no_api

    @property
    def context(self) -> BuildContext:
        """The build that this adapter delivers for."""
        return self._context

    def close(self) -> None:
        """Nothing is held open."""

    def why_not(self, capability: str) -> str:
        return self._gaps.get(capability, self._no_api)

    @property
    def max_summary_size(self) -> int:
        """Bytes that are left: the step may have written to its summary before, and too much costs all of it."""
        try:
            written = Path(self._summary).stat().st_size if self._summary else 0
        except OSError:
            written = 0
        return max(0, SUMMARY_LIMIT - written - 1)

    def write_summary(self, markdown: str) -> str | None:
        data = markdown.encode("utf-8", "replace") + b"\n"
        with _runner_file(self._summary, "GITHUB_STEP_SUMMARY") as path:
            if path.stat().st_size + len(data) > SUMMARY_LIMIT:
                raise PlatformError("the step's summary would exceed 1 MiB, and the runner would drop all of it")
            _append(path, data)
        return self._context.build_url

    def set_outputs(self, outputs: Mapping[str, str]) -> str | None:
        text = ""
        for name, value in outputs.items():
            if not _NAME.fullmatch(name):
                raise PlatformError(f"{name!r} is no name of an output")
            end = f"ci-bridge-{self._delimiter()}"
            if end in value or end in name:
                raise PlatformError(f"the output {name} holds its own delimiter")
            text += f"{name}<<{end}\n{value}\n{end}\n"
        with _runner_file(self._outputs, "GITHUB_OUTPUT") as path:
            _append(path, text.encode("utf-8", "replace"))
        return None

    def add_mask(self, secret: str) -> None:
        if not secret.strip():
            return
        if _is_file(self._stdout):
            raise PlatformError("stdout is a file: no runner reads it, and the secret would stay in it")
        try:
            self._stdout.write(f"::add-mask::{_escaped(secret)}\n")
            self._stdout.flush()
        except (OSError, ValueError) as error:  # closed, which is a ValueError, or nobody reads it any more
            raise PlatformError(f"stdout: {error}") from error


class ActionRunnerAdapter(RunnerAdapter, SupportsUpload):
    """A step of an action whose job passes no token: its runtime token uploads artifacts too.

    Args:
        context: The build.
        env: As for :class:`RunnerAdapter`.
        stdout: As for :class:`RunnerAdapter`.
        service: The artifact service.
        no_api: As for :class:`RunnerAdapter`.
    """

    def __init__(
        self,
        context: BuildContext,
        env: Mapping[str, str],
        *,
        stdout: TextIO,
        service: ResultsService,
        no_api: str = "",
    ) -> None:
        super().__init__(context, env, stdout=stdout, no_api=no_api)
        self._service = service

    def close(self) -> None:
        super().close()
        self._service.close()

    def upload_artifact(self, path: Path, artifact: Artifact, retention_days: int) -> Artifact:
        return upload(self._service, self._context, path, artifact, retention_days)


def upload(
    service: ResultsService, context: BuildContext, path: Path, artifact: Artifact, retention_days: int
) -> Artifact:
    """Store a file as an artifact whose name says what it is."""
    label = artifact_names.Label(artifact.name, artifact.category, artifact.run_id, artifact.compressed)
    name, member = artifact_names.name_of(label), artifact_names.member_of(label)
    stored = store(service, path, name, member, retention_days, compress=not artifact.compressed)
    with disk_errors(name), path.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    url = f"{context.build_url}/artifacts/{stored.id}" if context.build_url else None
    return replace(
        artifact,
        id=stored.id,
        size=path.stat().st_size,
        digest=f"sha256:{digest}",
        url=url,
        created_at=stored.created_at,
        expires_at=stored.expires_at,
    )


def store(
    service: ResultsService, path: Path, name: str, member: str, retention_days: int, *, compress: bool
) -> Uploaded:
    """Store a file, called ``member`` inside, under a name, or under the name with a number where it is taken.

    An artifact is never replaced, and one whose upload broke off still holds its name.

    Raises:
        PlatformError: The service refuses or fails.
    """
    with disk_errors(name), private_folder("zip") as folder:
        archive = folder / "artifact.zip"
        single_zip.pack(path, member, archive, compress=compress)
        for attempt in range(1, _ATTEMPTS):
            try:
                return service.upload(archive, artifact_names.again(name, attempt), retention_days)
            except ConflictError:
                continue
        return service.upload(archive, artifact_names.again(name, _ATTEMPTS), retention_days)


@contextmanager
def disk_errors(name: str) -> Iterator[None]:
    """What the disk says while an artifact is on its way, as our error.

    Raises:
        PlatformError: Instead of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise PlatformError(f"artifact {name}: {error.strerror or error}", hint="the disk may be full") from error


@contextmanager
def _runner_file(name: str, variable: str) -> Iterator[Path]:
    """The file that the runner reads; a container that was started without it has none."""
    if not name:
        raise PlatformError(f"{variable} is not set", hint="run this inside a step of a workflow")
    try:
        path = Path(name)
        path.touch(exist_ok=True)
        yield path
    except OSError as error:
        kind = PermissionDeniedError if isinstance(error, PermissionError) else PlatformError
        raise kind(f"{variable}: {error.strerror or error}", hint="the runner's files must be writable") from error


def _append(path: Path, data: bytes) -> None:
    """Append in one write: other processes of the step write there too."""
    # A pipe that nobody reads would keep us waiting.
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def _is_file(stream: TextIO) -> bool:
    """True if the stream was redirected to a file on a disk."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # none of the system's
        return False


def _escaped(data: str) -> str:
    """The data of a workflow command, as GitHub's own toolkit escapes it."""
    return data.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
