"""Tells what a name means that a JUnit file holds more than once, by where it stands and by who wrote the file.

Gradle's test-retry, gotestsum, xcbeautify and their like write an attempt as another case of the same suite element. No
tool is known that writes it into a further suite element; there it is the test of another file, browser or run. And
some tools write each test once, with its last outcome, so that no name seen again is an attempt.
"""

from __future__ import annotations

from ci_bridge.formats.plugin import Part

_MOST_PATHS = 100_000
# Who writes each test once: by the name of the root or of a suite, or by its attributes.
_ONCE_NAMES = frozenset({"jest tests", "vitest tests", "Mocha Tests", "rspec"})
_ONCE_KEYS = frozenset(
    {
        ("name", "time", "disabled", "errors", "tests", "failures", "skipped", "hostname"),  # Node.js
        ("name", "tests", "errors", "failures", "skipped", "time", "timestamp"),  # Robot Framework
    }
)
_ONCE_TIMESTAMP = " GMT"  # Mocha writes the time as HTTP does
_DIRECTIVES = "TAP Tests"


class Places:
    """The suite elements of one file.

    Attributes:
        has_directives: The file is node-tap's, whose cases have the properties ``skip`` and ``todo``.
    """

    def __init__(self) -> None:
        self.has_directives = False
        self._once: Part | None = None
        self._opened: dict[tuple[str, ...], tuple[str, str]] = {}

    def enter(self, kind: str, path: tuple[str, ...], attributes: dict[str, str]) -> Part | None:
        """The part that an element's cases belong to; None for the first suite of a path.

        Args:
            kind: ``testsuite`` or ``testsuites``.
            path: Names of the open suites.
            attributes: Of the element.
        """
        self.has_directives = self.has_directives or attributes.get("name") == _DIRECTIVES
        if self._once is None and _writes_once(attributes):
            self._once = Part(attempts=False)
        if kind == "testsuites":  # only Node.js is known to write cases right here
            return self._once or Part(attempts=False)
        told = attributes.get("hostname", ""), attributes.get("package", "")
        if (first := self._opened.get(path)) is None:
            if len(self._opened) >= _MOST_PATHS:
                return self._once or Part()
            self._opened[path] = told
            return self._once
        label = next((text for text, before in zip(told, first, strict=True) if text != before), "")
        return Part(attempts=self._once is None, label=label)


def _writes_once(attributes: dict[str, str]) -> bool:
    return (
        attributes.get("name", "").rstrip("0123456789") in _ONCE_NAMES  # several processes make it "rspec2"
        or attributes.get("timestamp", "").endswith(_ONCE_TIMESTAMP)
        or tuple(attributes) in _ONCE_KEYS
    )
