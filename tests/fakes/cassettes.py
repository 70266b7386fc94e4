"""Golden wire traces: what an adapter says and hears, recorded once and compared for ever.

``VCR_RECORD`` says how the tests that use them run: ``none`` (the default) replays and lets nothing else through;
``fake`` records anew against a stand-in; ``once`` records the real platform, where no cassette is there yet.

Nothing secret reaches a cassette: only harmless headers are kept, signatures in addresses are blanked, and the texts
that a test names are replaced, in what is recorded as in what is compared.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vcr  # type: ignore[import-untyped]
from vcr.stubs import VCRHTTPResponse  # type: ignore[import-untyped]

MODE = os.environ.get("VCR_RECORD", "none")  # read here: each test starts from a clean environment
VARIABLES: Mapping[str, str] = dict(os.environ) if MODE == "once" else {}
"""The maintainer's environment, where the real platform is recorded: token, repository, pull request."""

KEPT = frozenset({"accept", "content-type", "x-github-api-version", "x-ms-version", "x-ms-blob-content-type"})
"""Headers of requests that are compared."""
KEPT_ANSWERS = frozenset({"content-type", "content-length", "link", "location", "retry-after"})
_SIGNED = re.compile(r"\b(sig|se|st|sv|sks|ske|skt|skv|skoid|sktid)=[^&\s\"]+")
_EXPIRY = re.compile(r'("expires_at":\s*)"[^"]*"')
_TIMES = re.compile(r'("[a-z]+_at":\s*)"[^"]*"')
_MOMENT = r'\1"2026-01-01T00:00:00Z"'


@dataclass(frozen=True)
class Scrubber:
    """Makes a recording the same whoever made it, wherever and with whatever token.

    Attributes:
        replacements: Text -> what stands in the cassette instead, longest first.
    """

    replacements: Mapping[str, str]

    def text(self, text: str) -> str:
        """A text without what must not or need not be told."""
        for old, new in sorted(self.replacements.items(), key=lambda item: -len(item[0])):
            text = text.replace(old, new)
        return _SIGNED.sub(r"\1=scrubbed", text)

    def body(self, body: bytes, times: re.Pattern[str]) -> bytes:
        """The same of a body, and its times; one that is no text stays as it is."""
        try:
            return times.sub(_MOMENT, self.text(body.decode())).encode()
        except UnicodeDecodeError:
            return body

    def request(self, request: Any) -> Any:
        """A request as it is recorded and compared. vcr hands over a copy."""
        request.uri = self.text(request.uri)
        request.headers = {name: value for name, value in request.headers.items() if name.lower() in KEPT}
        if request.body:
            request.body = self.body(request.body, _EXPIRY)  # the other times are the test's own
        return request

    def response(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """An answer as it is recorded."""
        scrubbed = copy.deepcopy(dict(response))
        scrubbed["body"]["string"] = body = self.body(scrubbed["body"]["string"], _TIMES)
        scrubbed["headers"] = {
            name: [self.text(value) for value in values]
            for name, values in scrubbed["headers"].items()
            if name.lower() in KEPT_ANSWERS
        }
        for name in scrubbed["headers"]:
            if name.lower() == "content-length":
                scrubbed["headers"][name] = [str(len(body))]
        return scrubbed


def _read1(response: Any, amt: int = -1, decode_content: bool | None = None) -> bytes:
    """urllib3's ``read1``: vcr's own hands every argument to a BytesIO, which knows no ``decode_content``."""
    data: bytes = response._content.read1(amt)
    return data


@contextmanager
def cassette(path: Path, replacements: Mapping[str, str], mode: str = MODE) -> Iterator[None]:
    """Record to or replay from this file; at the end every recorded exchange must have been replayed."""
    scrubber = Scrubber(replacements)
    if mode == "fake":
        path.unlink(missing_ok=True)
    recorder = vcr.VCR(
        record_mode="none" if mode == "none" else "once",
        match_on=("method", "scheme", "host", "port", "path", "query", "body", "headers"),
        before_record_request=scrubber.request,
        before_record_response=scrubber.response,
        custom_patches=((VCRHTTPResponse, "read1", _read1),),
    )
    with recorder.use_cassette(str(path)) as tape:
        yield
    if mode == "none":
        assert tape.all_played, f"{path.name}: {len(tape) - tape.play_count} recorded exchanges were not asked for"
