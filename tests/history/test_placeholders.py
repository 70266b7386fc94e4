"""The history's SQL runs on every Python from 3.11 on."""

from __future__ import annotations

import re
from pathlib import Path

import ci_bridge.history


def test_no_statement_numbers_its_placeholders() -> None:
    """Python 3.12.0 to 3.12.3 warn of `?1` bound from a sequence, and warnings are errors in some programs."""
    files = sorted(Path(ci_bridge.history.__file__).parent.glob("*.py"))
    assert len(files) > 5
    assert [path.name for path in files if re.search(r"\?[0-9]", path.read_text(encoding="utf-8"))] == []
