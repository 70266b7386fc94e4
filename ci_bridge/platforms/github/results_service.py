"""Artifacts, version 4: what an action uploads by, since the REST API cannot.

The runner gives ``ACTIONS_RESULTS_URL`` and ``ACTIONS_RUNTIME_TOKEN`` to actions, not to ``run:`` steps. GitHub
documents none of it; the calls are those of its own client, @actions/artifact. GitHub Enterprise Server does not have
the service.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ci_bridge.errors import AuthenticationError, PlatformError
from ci_bridge.platforms._http import Network, OriginSession

BLOCK = 8 << 20
"""Bytes of one block; GitHub's own client sends as many."""
_SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService/"
_SCOPE = re.compile(r"Actions\.Results:([^:\s]+):([^:\s]+)")


class Uploaded(NamedTuple):
    """An artifact as the service knows it."""

    id: str
    size: int
    created_at: datetime
    expires_at: datetime


class ResultsService:
    """Uploads files of the running build.

    Attributes:
        job: The service's id of this job's execution.

    Args:
        env: ``ACTIONS_RESULTS_URL``, ``ACTIONS_RUNTIME_TOKEN`` and ``GITHUB_RETENTION_DAYS``.
        network: Proxies and certificates.
        now: Answers the time in UTC.

    Raises:
        AuthenticationError: The token is none that may upload.
        ConfigError: The URL is none.
    """

    def __init__(
        self, env: Mapping[str, str], network: Network, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        token = env["ACTIONS_RUNTIME_TOKEN"]
        run, self.job = backend_ids(token)
        self._ids = {"workflow_run_backend_id": run, "workflow_job_run_backend_id": self.job}
        self._session = OriginSession(
            env["ACTIONS_RESULTS_URL"],
            title="GitHub's artifact service",
            network=network,
            credentials={"Authorization": f"Bearer {token}"},
            headers={"User-Agent": "ci-bridge", "Accept": "application/json"},
            token_name="ACTIONS_RUNTIME_TOKEN",  # noqa: S106 its name, not its value
            now=now,
        )
        self._now = now
        longest = env.get("GITHUB_RETENTION_DAYS", "")
        self._longest = int(longest) if re.fullmatch("[1-9][0-9]{0,8}", longest) else 90

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def upload(self, archive: Path, name: str, retention_days: int) -> Uploaded:
        """Store a zip file as an artifact of this build.

        Args:
            archive: The zip.
            name: Unique in the run.
            retention_days: At most what the repository allows.

        Raises:
            ConflictError: The run has an artifact of this name already.
            PlatformError: The service refuses or fails.
        """
        days = max(1, min(retention_days, self._longest))
        now = self._now()
        expires = now + timedelta(days=days)
        answer = self._call(
            "CreateArtifact", {"name": name, "version": 4, "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        )
        url = _field(answer, "signed_upload_url")
        size, digest = self._put(archive, url)
        answer = self._call("FinalizeArtifact", {"name": name, "size": str(size), "hash": f"sha256:{digest}"})
        return Uploaded(_field(answer, "artifact_id"), size, now, expires)

    def _put(self, archive: Path, url: str) -> tuple[int, str]:
        """Send the file in blocks; a single PUT is stored as an empty file by act's server. Answers size and digest."""
        digest, size = hashlib.sha256(), 0
        blocks: list[str] = []
        with self._session.elsewhere(url) as blobs, archive.open("rb") as stream:
            blobs.headers["x-ms-version"] = "2021-12-02"
            join = "&" if "?" in url else "?"
            while chunk := stream.read(BLOCK):
                digest.update(chunk)
                size += len(chunk)
                block = base64.b64encode(f"block-{len(blocks):08d}".encode()).decode()
                blocks.append(block)
                blobs.put(f"{url}{join}comp=block&blockid={quote(block, safe='')}", data=chunk)
            listed = "".join(f"<Latest>{block}</Latest>" for block in blocks)
            blobs.put(
                f"{url}{join}comp=blocklist",
                data=f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode(),
                headers={"Content-Type": "text/plain; charset=UTF-8", "x-ms-blob-content-type": "application/zip"},
            )
        return size, digest.hexdigest()

    def _call(self, method: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = self._session.post(f"{self._session.origin}{_SERVICE}{method}", json={**self._ids, **facts})
        try:
            values = answer.json()
        except ValueError:
            values = None
        if not isinstance(values, dict) or values.get("ok") is not True:
            raise PlatformError(f"GitHub's artifact service: {method} was not done")
        return values


def backend_ids(token: str) -> tuple[str, str]:
    """The run's and the job's id out of the runtime token's claim ``scp``. Its signature is the server's to check.

    Raises:
        AuthenticationError: The token holds none.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        scope = claims["scp"]
        found = _SCOPE.search(scope if isinstance(scope, str) else "")
    except (IndexError, ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        found = None
    if not found:
        raise AuthenticationError(
            "ACTIONS_RUNTIME_TOKEN holds no right to upload artifacts",
            hint="pass on the one that the runner gives to this action",
        )
    return found[1], found[2]


def _field(answer: Mapping[str, Any], name: str) -> str:
    """A field of an answer; the service spells it in either way."""
    first, *others = name.split("_")
    value = answer.get(name) or answer.get(first + "".join(word.title() for word in others))
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise PlatformError(f"GitHub's artifact service: its answer lacks {name}")
    return str(value)
