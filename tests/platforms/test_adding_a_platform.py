"""docs/adding-a-platform.md: its example is loaded as another package's platform and does what the page says."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from ci_bridge import platforms
from ci_bridge.models import BuildContext, Credentials
from ci_bridge.protocols import ROLES, Platform, SupportsSummary, capabilities_of

ENV = {
    "CI": "woodpecker",
    "CI_REPO": "acme/cart",
    "CI_COMMIT_SHA": "a1" * 20,
    "CI_COMMIT_PULL_REQUEST": "42",
    "CI_REPO_URL": "",
}


@pytest.fixture
def page(repo_root: Path) -> str:
    return (repo_root / "docs" / "adding-a-platform.md").read_text(encoding="utf-8")


@pytest.fixture
def example(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (entry_points,) = re.findall(r'^\[project\.entry-points\."(.*?)"\]\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    package, metadata = tmp_path / "my_package", tmp_path / "my_package-1.0.dist-info"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "woodpecker.py").write_text(code)
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{entry_points[0]}]\n{entry_points[1].replace(chr(34), '')}")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    platforms._found.cache_clear()
    yield platforms.load("woodpecker")
    for name in ("my_package", "my_package.woodpecker"):
        sys.modules.pop(name, None)
    platforms._found.cache_clear()


def test_the_example_is_found_and_reads_its_environment(example: Platform) -> None:
    assert platforms.problems() == {}
    assert platforms.detect(ENV) is example
    context = platforms.read_environment(ENV)
    assert context == BuildContext("woodpecker", repository="acme/cart", commit_sha="a1" * 20, pr_number="42")
    assert context.origins["repository"] == "CI_REPO"
    assert platforms.detect({"CI": "true"}).name == "local"


def test_the_example_connects_and_delivers(example: Platform, tmp_path: Path) -> None:
    adapter = platforms.open_adapter(example, ENV, Credentials(directory=tmp_path / "out"))
    assert adapter.context.platform == "woodpecker"
    assert capabilities_of(adapter) == {"summary"}
    assert isinstance(adapter, SupportsSummary)
    assert Path(adapter.write_summary("# All green") or "").read_text() == "# All green"
    adapter.close()


def test_the_page_names_every_field_of_the_record_and_every_role(page: str) -> None:
    table = page.partition("## The record")[2].partition("## The adapter")[0]
    described = re.findall(r"^\| `(\w+)", table, re.MULTILINE)
    assert described == [field.name for field in fields(Platform)]
    assert [role.__name__ for role in ROLES.values() if f"`{role.__name__}`" not in page] == []
