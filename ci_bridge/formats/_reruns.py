"""Tells a rerun from another execution of the same tests, so that no failure is taken for a flaky one by mistake.

The same test in two files may be a retry, or one leg of a matrix, one module of a build, one browser. Only what says so
makes a file a rerun of an earlier one:

* Its name or its folder has the word (``rerun``, ``retry``, ``attempt-2``, ``run-2``, ``flaky``, ``last-failed``), and
  without that word and its number both have the same name in the same folder (``junit.xml`` and ``junit-2-retry.xml``,
  ``attempt-1/junit.xml`` and ``attempt-2/junit.xml``); the rest may also be missing (``retry.xml``).
* Both lie in one folder, their names differ in a plain number only (``junit-1.xml`` and ``junit-2.xml``), both tell
  when they began, and the later one began after the earlier one had ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_WORD = r"re-?runs?|retry|retries|retried|flaky|last-?failed"
_COUNTED = r"attempts?|runs?|try|tries|round|pass|iteration"
_NUMBER = r"[-_. ]?[0-9]{1,3}(?![0-9.])"
_SAYS_SO = re.compile(
    rf"(?<![a-z])(?:(?<![0-9.])[0-9]{{1,3}}[-_ ])?(?:(?:{_WORD})(?:[-_. ]?(?:{_COUNTED}))?(?:{_NUMBER})?"
    rf"|(?:{_COUNTED}){_NUMBER})(?![a-z0-9])"
)
_FIRST = re.compile(r"(?<![a-z])(?:first|initial|original)(?![a-z])")
_PLAIN_NUMBER = re.compile(r"(?<![0-9a-z.])[0-9]{1,3}(?![0-9a-z.])")
_SEPARATORS = re.compile(r"[-_. ]{2,}|^[-_. ]+|[-_. ]+$")


def _tidy(text: str) -> str:
    return _SEPARATORS.sub(lambda match: "-" if match.start() > 0 and match.end() < len(text) else "", text)


@dataclass(slots=True)
class Execution:
    """One file as an execution of tests.

    Attributes:
        path: As shown, its parts separated by slashes.
        started: When it began, None if it does not say.
        seconds: How long its tests took together.
    """

    path: str
    started: datetime | None = None
    seconds: float = 0.0
    folder: str = field(init=False)
    stem: str = field(init=False)
    rank: int = field(init=False)
    """0 for what no word makes a rerun; then by the words and their numbers."""
    _bare_folder: str = field(init=False)
    _bare_name: str = field(init=False)

    def __post_init__(self) -> None:
        folder, _, name = self.path.lower().rpartition("/")
        self.folder, self.stem = folder, (stem := name.rpartition(".")[0] or name)
        parts = [part for part in folder.split("/") if part]
        words = [match[0] for part in (*parts, stem) for match in _SAYS_SO.finditer(part)]
        self.rank = sum(int(found[0]) if (found := re.search("[0-9]+", word)) else 1 for word in words)
        self._bare_folder = "/".join(filter(None, (_tidy(_FIRST.sub("", _SAYS_SO.sub("", part))) for part in parts)))
        self._bare_name = _tidy(_FIRST.sub("", _SAYS_SO.sub("", stem)))

    def is_rerun_of(self, earlier: Execution) -> bool:
        """True if something shows that this file tells of a further execution of the earlier one's tests."""
        if self.rank > earlier.rank and self._bare_folder == earlier._bare_folder:
            names = self._bare_name, earlier._bare_name
            if not names[0] or names[0] == names[1] or names[0] == _without_number(names[1]):
                return True
        return (
            self.folder == earlier.folder
            and self.stem != earlier.stem
            and _PLAIN_NUMBER.sub("#", self.stem) == _PLAIN_NUMBER.sub("#", earlier.stem)
            and self.started is not None
            and earlier.started is not None
            and self.started >= earlier.started + timedelta(seconds=earlier.seconds)
        )


def _without_number(name: str) -> str:
    return _tidy(_PLAIN_NUMBER.sub("", name))
