"""The fixture ``github``: a stand-in that no test may leave with a breach of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fakes.github import FakeGitHub


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """GitHub on loopback. At the end the test fails on any request or answer outside of the contract, on credentials
    at an origin that they do not belong to, and on a fake that broke.
    """
    from tests.fakes.github import FakeGitHub  # only the tests that ask for it pay for the schema library

    fake = FakeGitHub()
    try:
        yield fake
        if found := fake.violations():
            pytest.fail("\n".join(found), pytrace=False)
    finally:
        fake.close()
