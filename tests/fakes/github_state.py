"""What the stand-in for GitHub remembers, and the refusals that hang on it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

PERMISSIONS = ("actions", "checks", "contents", "issues", "metadata", "pull-requests", "statuses")


def stamp(moment: datetime) -> str:
    """As GitHub writes it, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors

    @classmethod
    def invalid(cls, resource: str, place: str, message: str) -> Self:
        """422 for one field."""
        error = {"resource": resource, "field": place, "code": "custom", "message": message}
        return cls(422, "Validation Failed", [error])


@dataclass
class Token:
    """Credentials of the API.

    Attributes:
        kind: ``installation`` (the job's own and other apps'), ``classic`` or ``fine-grained``.
        permissions: Name in a workflow's ``permissions:`` -> ``read`` or ``write``.
        scopes: Of a classic token.
        viewer: What GraphQL calls its owner, where that differs from ``login``.
        repository: The only repository that it sees; any if empty.
    """

    secret: str
    kind: str
    login: str
    permissions: Mapping[str, str]
    scopes: Sequence[str] = ("repo", "workflow")
    viewer: str = ""
    repository: str = ""

    def may(self, need: str) -> bool:
        """True if it has a permission, such as ``checks:write``."""
        name, _, level = need.partition(":")
        if self.kind == "classic":
            return (name, level) != ("checks", "write") and "repo" in self.scopes
        return self.permissions.get(name) in (("write",) if level == "write" else ("read", "write"))

    def refusal(self, need: str, private: bool) -> tuple[int, str]:
        """How GitHub words that it has not."""
        if self.kind == "classic":
            if need == "checks:write":
                return 403, "You must authenticate via a GitHub App."
            return (404, "Not Found") if private else (403, "Must have push access to repository")
        who = "integration" if self.kind == "installation" else "personal access token"
        return 403, f"Resource not accessible by {who}"


@dataclass(eq=False)
class Repository:
    """One repository.

    Attributes:
        known: The commits it has; None for any that looks like one.
        private: Where True, reading needs permissions too.
        retention: Most days that an artifact may be kept.
        protected: Branches that the project's rules protect.
    """

    id: int
    full_name: str
    fork: bool = False
    private: bool = True
    default_branch: str = "main"
    retention: int = 90
    known: set[str] | None = None
    protected: set[str] = field(default_factory=set)
    check_runs: list[CheckRun] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    pulls: dict[int, Pull] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)

    def must_know(self, sha: str) -> None:
        """Refuse a commit that is not there."""
        if not re.fullmatch(r"(?!0{40})[0-9a-f]{40}", sha) or (self.known is not None and sha not in self.known):
            raise Refusal(422, f"No commit found for SHA: {sha}")


@dataclass(eq=False)
class Pull:
    """A pull request. ``head`` is None where its fork was deleted."""

    id: int
    number: int
    head_sha: str
    branch: str
    head: Repository | None
    base: str
    base_sha: str = "c" * 40
    commits: tuple[str, ...] = ()
    state: str = "open"
    locked: bool = False


@dataclass(eq=False)
class Comment:
    """A comment of a pull request."""

    id: int
    number: int
    body: str
    author: str
    created: datetime
    updated: datetime | None = None
    edits: int = 0


@dataclass(frozen=True)
class Status:
    """One commit status; the newest of its context counts."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: str
    created: datetime


@dataclass(eq=False)
class CheckRun:
    """A check run; annotations of all requests are kept."""

    id: int
    sha: str
    created: datetime
    name: str = ""
    status: str = "queued"
    conclusion: str | None = None
    external_id: str | None = ""
    details_url: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: list[Mapping[str, Any]] = field(default_factory=list)
    changes: list[Mapping[str, Any]] = field(default_factory=list)

    def change(self, sent: Mapping[str, Any], now: datetime, *, creating: bool) -> None:
        """Apply the body of a request, or refuse it whole."""
        _check_run_must_be_sound(sent, creating=creating)
        for name in ("name", "external_id", "details_url", "started_at", "completed_at", "status"):
            if name in sent:
                setattr(self, name, sent[name])
        if sent.get("conclusion"):
            self.conclusion, self.status = sent["conclusion"], "completed"
            self.completed_at = sent.get("completed_at") or stamp(now)
        elif self.status != "completed":
            self.conclusion = self.completed_at = None
        output = sent.get("output", {})
        self.title = output.get("title", self.title)
        self.summary = output.get("summary", self.summary)
        self.text = output.get("text", self.text)
        self.annotations.extend(output.get("annotations", ()))
        self.changes.append(sent)


def _check_run_must_be_sound(sent: Mapping[str, Any], *, creating: bool) -> None:
    def refuse(reason: str) -> Refusal:
        return Refusal(422, f"Invalid request.\n\n{reason}")

    if creating and not sent.get("name"):
        raise refuse('No subschema in "anyOf" matched.\n"name" wasn\'t supplied.')
    if (sent.get("status") == "completed" or sent.get("completed_at")) and not sent.get("conclusion"):
        raise refuse("Missing required parameter: conclusion.")
    if sent.get("conclusion") == "stale":
        raise refuse("stale is not a member of the conclusions that may be set.")
    output = sent.get("output")
    if output is None:
        return
    missing = [name for name in (("title", "summary") if creating else ("summary",)) if name not in output]
    if missing:
        raise refuse(f'"{missing[0]}" wasn\'t supplied.')
    for name in ("summary", "text"):
        size = len(output.get(name) or "")
        if size > 65535:
            raise refuse(f"Only 65535 characters are allowed; {size} were supplied.")
    annotations = output.get("annotations", [])
    if len(annotations) > 50:
        raise refuse(f"No more than 50 items are allowed; {len(annotations)} were supplied.")
    for annotation in annotations:
        if reason := _wrong_with(annotation):
            raise refuse(reason)


def _wrong_with(annotation: Mapping[str, Any]) -> str:
    for name in ("path", "start_line", "end_line", "annotation_level", "message"):
        if name not in annotation:
            return f'"{name}" wasn\'t supplied.'
    if not annotation["path"] or annotation["start_line"] < 1 or annotation["end_line"] < annotation["start_line"]:
        return "An annotation's path or lines are invalid."
    if annotation["start_line"] != annotation["end_line"] and {"start_column", "end_column"} & annotation.keys():
        return "Columns are allowed within one line only."
    if not annotation["message"] or len(annotation["message"].encode()) > 65536:
        return "An annotation's message is blank or larger than 64 KB."
    if len(annotation.get("raw_details", "").encode()) > 65536 or len(annotation.get("title", "")) > 255:
        return "An annotation's title or details are too long."
    return ""


@dataclass(eq=False)
class Run:
    """A workflow run, all attempts."""

    id: int
    repository: Repository
    event: str
    head_sha: str
    head_branch: str | None
    head_repository: Repository
    number: int
    started: datetime
    attempt: int = 1
    path: str = ".github/workflows/tests.yml"
    name: str = "Tests"
    workflow_id: int = 77
    status: str = "in_progress"
    conclusion: str | None = None
    jobs: list[Job] = field(default_factory=list)
    backend: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def file(self) -> str:
        """Name of its workflow's file; ``path`` may bear a ref behind it."""
        return self.path.partition("@")[0].rpartition("/")[2]


@dataclass(eq=False)
class Job:
    """A job of one attempt of a run, with the token that its runner hands to actions."""

    id: int
    name: str
    run: Run
    attempt: int
    started: datetime
    backend: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def runtime_token(self) -> str:
        """A web token without a signature whose ``scp`` names run and job."""
        scopes = f"Actions.Example Actions.Results:{self.run.backend}:{self.backend}"
        parts = ({"alg": "none", "typ": "JWT"}, {"scp": scopes, "iss": "fake", "job": self.id})
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        return ".".join([*encoded, "fake"])


@dataclass(eq=False)
class Artifact:
    """A stored zip.

    Attributes:
        gone: True for one that expired before its time.
        orphan: True where its run was deleted: the listing then does not tell which it was.
    """

    id: int
    name: str
    data: bytes
    run: Run
    created: datetime
    expires: datetime | None = None
    gone: bool = False
    orphan: bool = False

    @property
    def blob(self) -> str:
        """Its name in the blob store."""
        return f"artifact-{self.id}"

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    def expired(self, now: datetime) -> bool:
        return self.gone or (self.expires is not None and self.expires <= now)
