"""How the things of the stand-in for GitHub look in its answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.github_state import Artifact, CheckRun, Comment, Pull, Repository, Run, Status, Token, stamp


class Show:
    """Turns what is remembered into JSON.

    Args:
        api_url: Start of every address.
        clock: Answers the present time.
    """

    def __init__(self, api_url: str, clock: Callable[[], datetime]) -> None:
        self.api_url = api_url
        self.clock = clock

    def url(self, repository: Repository) -> str:
        return f"{self.api_url}/repos/{repository.full_name}"

    def person(self, login: str) -> dict[str, Any]:
        name = login.removesuffix("[bot]")
        return {
            "id": 1 + sum(map(ord, login)), "node_id": f"U{name}", "login": login,
            "type": "Bot" if login.endswith("[bot]") else "User",
            "url": f"{self.api_url}/users/{name}", "html_url": f"https://github.com/{name}", "site_admin": False,
        }  # fmt: skip

    def repository(self, repository: Repository, token: Token | None = None) -> dict[str, Any]:
        owner, name = repository.full_name.split("/")
        shown = {
            "id": repository.id, "node_id": f"R{repository.id}", "name": name, "full_name": repository.full_name,
            "owner": self.person(owner), "private": repository.private, "fork": repository.fork,
            "default_branch": repository.default_branch, "url": self.url(repository),
            "html_url": f"https://github.com/{repository.full_name}",
        }  # fmt: skip
        if token:
            push = token.may("contents:write")
            shown["permissions"] = {"admin": False, "push": push, "pull": True}
        return shown

    def _run_repository(self, repository: Repository) -> dict[str, Any]:
        kept = ("id", "node_id", "name", "full_name", "private", "fork", "url", "html_url")
        shown = self.repository(repository)
        return {key: shown[key] for key in kept}

    def check_run(self, repository: Repository, run: CheckRun) -> dict[str, Any]:
        url = f"{self.url(repository)}/check-runs/{run.id}"
        page = f"https://github.com/{repository.full_name}/runs/{run.id}"
        return {
            "id": run.id, "node_id": f"CR{run.id}", "head_sha": run.sha, "external_id": run.external_id, "url": url,
            "html_url": page, "details_url": run.details_url or page, "status": run.status,
            "conclusion": run.conclusion, "started_at": run.started_at, "completed_at": run.completed_at,
            "name": run.name, "check_suite": {"id": 1 + int(run.sha[:7], 16)},
            "app": {"id": 15368, "slug": "github-actions", "name": "GitHub Actions"}, "pull_requests": [],
            "output": {
                "title": run.title, "summary": run.summary, "text": run.text,
                "annotations_count": len(run.annotations), "annotations_url": f"{url}/annotations",
            },
        }  # fmt: skip

    def comment(self, repository: Repository, comment: Comment) -> dict[str, Any]:
        page = f"https://github.com/{repository.full_name}/pull/{comment.number}"
        url = f"{self.url(repository)}/issues/comments/{comment.id}"
        return {
            "id": comment.id, "node_id": f"IC{comment.id}", "url": url,
            "html_url": f"{page}#issuecomment-{comment.id}",
            "issue_url": f"{self.url(repository)}/issues/{comment.number}", "body": comment.body,
            "user": self.person(comment.author) if comment.author else None, "author_association": "NONE",
            "created_at": stamp(comment.created), "updated_at": stamp(comment.updated or comment.created),
        }  # fmt: skip

    def pull(self, repository: Repository, pull: Pull) -> dict[str, Any]:
        head = self.repository(pull.head) if pull.head else None
        owner = pull.head.full_name.split("/")[0] if pull.head else "ghost"
        return {
            "id": pull.id, "node_id": f"PR{pull.id}", "number": pull.number, "state": pull.state, "title": "A change",
            "url": f"{self.url(repository)}/pulls/{pull.number}",
            "html_url": f"https://github.com/{repository.full_name}/pull/{pull.number}", "draft": False,
            "head": {"label": f"{owner}:{pull.branch}", "ref": pull.branch, "sha": pull.head_sha, "repo": head},
            "base": {
                "label": f"{repository.full_name.split('/')[0]}:{pull.base}", "ref": pull.base, "sha": pull.base_sha,
                "repo": self.repository(repository),
            },
        }  # fmt: skip

    def run(self, repository: Repository, run: Run) -> dict[str, Any]:
        url = f"{self.url(repository)}/actions/runs/{run.id}"
        return {
            "id": run.id, "node_id": f"WR{run.id}", "name": run.name, "display_title": "A change",
            "head_branch": run.head_branch, "head_sha": run.head_sha, "path": run.path, "run_number": run.number,
            "run_attempt": run.attempt, "event": run.event, "status": run.status, "conclusion": run.conclusion,
            "workflow_id": run.workflow_id, "url": url, "artifacts_url": f"{url}/artifacts",
            "html_url": f"https://github.com/{repository.full_name}/actions/runs/{run.id}",
            "created_at": stamp(run.started), "updated_at": stamp(run.started),
            "repository": self._run_repository(repository),
            "head_repository": self._run_repository(run.head_repository), "pull_requests": [],
        }  # fmt: skip

    def artifact(self, repository: Repository, artifact: Artifact) -> dict[str, Any]:
        url = f"{self.url(repository)}/actions/artifacts/{artifact.id}"
        run = artifact.run
        return {
            "id": artifact.id, "node_id": f"A{artifact.id}", "name": artifact.name,
            "size_in_bytes": len(artifact.data), "url": url, "archive_download_url": f"{url}/zip",
            "expired": artifact.expired(self.clock()), "created_at": stamp(artifact.created),
            "expires_at": stamp(artifact.expires or artifact.created + timedelta(days=90)),
            "updated_at": stamp(artifact.created), "digest": artifact.digest,
            "workflow_run": None if artifact.orphan else {
                "id": run.id, "repository_id": repository.id, "head_repository_id": run.head_repository.id,
                "head_branch": run.head_branch or "", "head_sha": run.head_sha,
            },
        }  # fmt: skip

    def status(self, repository: Repository, status: Status) -> dict[str, Any]:
        return {
            "id": status.id, "node_id": f"S{status.id}", "url": f"{self.url(repository)}/statuses/{status.sha}",
            "avatar_url": None, "state": status.state, "description": status.description,
            "target_url": status.target_url, "context": status.context, "created_at": stamp(status.created),
            "updated_at": stamp(status.created), "creator": self.person(status.creator),
        }  # fmt: skip
