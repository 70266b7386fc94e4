"""The results service and the blob store of the stand-in for GitHub."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from tests.fakes.github_state import Artifact, Job, stamp
from tests.fakes.server import Request, Response

if TYPE_CHECKING:
    from tests.fakes.github import FakeGitHub

TWIRP = "/twirp/github.actions.results.api.v1.ArtifactService/"


@dataclass
class Blob:
    """One blob: blocks wait until a list makes a content of them."""

    blocks: dict[str, bytes] = field(default_factory=dict)
    content: bytes | None = None


class Blobs:
    """Answers signed addresses only, and refuses whoever brings an Authorization header along.

    Attributes:
        content: Name -> blob, what jobs upload.
    """

    def __init__(self, github: FakeGitHub) -> None:
        self.github = github
        self.content: dict[str, Blob] = {}
        self._signatures: dict[str, tuple[str, str, datetime]] = {}

    def sign(self, origin: str, blob: str, rights: str, until: datetime) -> str:
        signature = f"fake+{secrets.token_urlsafe(9)}/="
        with self.github.lock:
            self._signatures[signature] = (blob, rights, until)
        query = urlencode({"se": stamp(until), "sp": rights, "sig": signature})
        return f"{origin}/actions-results/{blob}?{query}"

    def __call__(self, request: Request) -> Response:
        with self.github.lock:
            if request.authorization is not None:
                return _xml(400, "InvalidAuthenticationInfo")
            name = request.parts[-1]
            signed = self._signatures.get(request.query.get("sig", ""))
            right = "w" if request.method == "PUT" else "r"
            if not signed or signed[0] != name or right not in signed[1] or signed[2] < self.github.clock():
                return _xml(403, "AuthenticationFailed")
            return self._get(name) if request.method == "GET" else self._put(name, request)

    def _get(self, name: str) -> Response:
        for repository in self.github.repositories.values():
            for artifact in repository.artifacts:
                if artifact.blob == name:
                    return Response(200, artifact.data, {"Content-Type": "application/zip"})
        return _xml(404, "BlobNotFound")

    def _put(self, name: str, request: Request) -> Response:
        blob = self.content.setdefault(name, Blob())
        if request.query.get("comp") == "block":
            key = request.query.get("blockid", "")
            try:
                sizes = {len(base64.b64decode(other, validate=True)) for other in (key, *blob.blocks)}
            except binascii.Error:
                sizes = set()
            if len(sizes) != 1 or max(sizes) > 64 or not key:
                return _xml(400, "InvalidBlobOrBlock")
            blob.blocks[key] = request.body
        elif request.query.get("comp") == "blocklist":
            try:
                keys = [element.text or "" for element in ET.fromstring(request.body)]
            except ET.ParseError:
                return _xml(400, "InvalidXmlDocument")
            if any(key not in blob.blocks for key in keys):
                return _xml(400, "InvalidBlockList")
            blob.content = b"".join(blob.blocks[key] for key in keys)
        else:
            return _xml(400, "MissingRequiredHeader")
        return Response(201)


def _xml(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return Response(status, body.encode(), {"Content-Type": "application/xml"})


@dataclass
class _Upload:
    blob: str
    job: Job
    expires: datetime | None


class Results:
    """The Twirp service, JSON flavour. A name is immutable within one run, whatever the job or attempt."""

    def __init__(self, github: FakeGitHub) -> None:
        self.github = github
        self._open: dict[tuple[int, str], _Upload] = {}

    def __call__(self, request: Request) -> Response:
        with self.github.lock:
            secret = (request.authorization or "").removeprefix("Bearer ")
            job = self.github.jobs.get(secret)
            if job is None:
                return _twirp(401, "unauthenticated", "invalid runtime token")
            method = getattr(self, f"_{request.path.removeprefix(TWIRP)}", None)
            if method is None:
                return _twirp(404, "bad_route", "no such method")
            sent = request.json()
            ids = (sent.get("workflow_run_backend_id"), sent.get("workflow_job_run_backend_id"))
            if ids != (job.run.backend, job.backend):
                return _twirp(403, "permission_denied", "the token is another job's")
            answer = method(job, sent)
            return answer if isinstance(answer, Response) else Response.json(200, self._spelt(answer))

    def _spelt(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._spelt(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        camel = self.github.camel_case
        return {
            (re.sub(r"_(\w)", lambda hit: hit[1].upper(), key) if camel else key): self._spelt(item)
            for key, item in value.items()
        }

    def _find(self, job: Job, name: str) -> Artifact | None:
        return next(
            (a for a in job.run.repository.artifacts if a.run is job.run and a.name == name and not a.gone), None
        )

    def _CreateArtifact(self, job: Job, sent: Mapping[str, Any]) -> Response | dict[str, Any]:
        name = sent.get("name", "")
        if not name or re.search(r'[":<>|*?\r\n\\/]', name):
            return _twirp(400, "invalid_argument", "the name is empty or has a forbidden character")
        if sent.get("version") != 4:
            return _twirp(400, "invalid_argument", "unknown version")
        if (job.run.id, name) in self._open or self._find(job, name):
            return _twirp(409, "already_exists", "an artifact with this name already exists on the workflow run")
        expires = datetime.fromisoformat(sent["expires_at"]) if "expires_at" in sent else None
        now = self.github.clock()
        if expires and not now < expires.astimezone(UTC) <= now + timedelta(days=job.run.repository.retention, hours=1):
            return _twirp(400, "invalid_argument", "expires_at is outside of the repository's retention")
        upload = self._open[job.run.id, name] = _Upload(f"upload-{self.github.next_id()}", job, expires)
        return {"ok": True, "signed_upload_url": self.github.signed_url(upload.blob, "cw", timedelta(hours=1))}

    def _FinalizeArtifact(self, job: Job, sent: Mapping[str, Any]) -> Response | dict[str, Any]:
        upload = self._open.get((job.run.id, sent.get("name", "")))
        if upload is None or upload.job is not job:
            return _twirp(404, "not_found", "no artifact of this name waits to be finalized")
        blob = self.github.blob_store.content.get(upload.blob)
        data = blob.content if blob else None
        if data is None or str(len(data)) != sent.get("size"):
            return _twirp(400, "invalid_argument", "the size is not that of the stored blob")
        if sent.get("hash", "") not in ("", f"sha256:{hashlib.sha256(data).hexdigest()}"):
            return _twirp(400, "invalid_argument", "the hash is not that of the stored blob")
        del self._open[job.run.id, sent["name"]]
        artifact = self.github.add_artifact(sent["name"], data, job.run, expires=upload.expires)
        return {"ok": True, "artifact_id": str(artifact.id)}

    def _ListArtifacts(self, job: Job, sent: Mapping[str, Any]) -> dict[str, Any]:
        name, number = sent.get("name_filter"), sent.get("id_filter")
        found = [
            {
                "workflow_run_backend_id": job.run.backend,
                "workflow_job_run_backend_id": job.backend,
                "database_id": str(artifact.id),
                "name": artifact.name,
                "size": str(len(artifact.data)),
                "created_at": stamp(artifact.created),
                "digest": artifact.digest,
            }
            for artifact in job.run.repository.artifacts
            if artifact.run is job.run and name in (None, artifact.name) and number in (None, str(artifact.id))
        ]
        return {"artifacts": found} if found else {}

    def _GetSignedArtifactURL(self, job: Job, sent: Mapping[str, Any]) -> Response | dict[str, Any]:
        artifact = self._find(job, sent.get("name", ""))
        if artifact is None:
            return _twirp(404, "not_found", "no such artifact")
        return {"signed_url": self.github.signed_url(artifact.blob, "r", timedelta(minutes=10))}


def _twirp(status: int, code: str, message: str) -> Response:
    return Response.json(status, {"code": code, "msg": message}, {"Content-Type": "application/json"})
