"""Holds what does not fit in memory: rows in a private temporary file, and failures beyond a budget of text."""

from __future__ import annotations

import io
import marshal
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, cast, overload

from ci_bridge.errors import ResultsError
from ci_bridge.formats._clean import shortened, text_size
from ci_bridge.models import Case, Row, case_of_row, row_of_case

_IN_MEMORY = 4 << 20
_OBJECT_SIZE = 600  # a held case without its texts, its place in the dictionary included
_LENGTH_BITS = 32


class Spool:
    """An append-only file of records, in memory while it is small, without a name once it is on disk.

    The records are in :mod:`marshal`'s format, which only this process reads back.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = io.BytesIO()
        self._is_on_disk = False
        self._end = 0

    def append(self, record: list[Row]) -> int:
        """Write a record.

        Returns:
            Its place, for :meth:`read`.

        Raises:
            ResultsError: The temporary folder is full or cannot be written.
        """
        raw = marshal.dumps(record)
        try:
            if self._end + len(raw) > _IN_MEMORY and not self._is_on_disk:
                self._move_to_disk()
            self._file.seek(self._end)
            self._file.write(raw)
        except OSError as error:
            raise ResultsError(
                f"a temporary file cannot be written: {error}", hint="point TMPDIR to a folder with space"
            ) from error
        place = self._end << _LENGTH_BITS | len(raw)
        self._end += len(raw)
        return place

    def _move_to_disk(self) -> None:
        file = tempfile.TemporaryFile(prefix="ci-bridge-")  # noqa: SIM115 - closed by close()
        self._file.seek(0)
        shutil.copyfileobj(self._file, file)
        self._file, self._is_on_disk = file, True

    def read(self, place: int) -> list[Row]:
        """Read a record back."""
        self._file.seek(place >> _LENGTH_BITS)
        raw = self._file.read(place & ((1 << _LENGTH_BITS) - 1))
        return cast("list[Row]", marshal.loads(raw))  # noqa: S302 - written by this object, into a file without a name

    def close(self) -> None:
        """Drop the file."""
        self._file.close()


class CaseStore:
    """Cases by identity hash, in the order in which they came: whole in memory up to a budget, then short on disk.

    Args:
        budget: Characters of text and names that are held in memory.
    """

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._held: dict[int, Case | int] = {}
        self._file: Spool | None = None

    def __contains__(self, key: int) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[int]:
        return iter(self._held)

    @property
    def is_over_budget(self) -> bool:
        """True if the texts of some cases are cut."""
        return self._file is not None

    def get(self, key: int) -> Case:
        """The case; its texts are cut if it came when the budget was used up."""
        held = self._held[key]
        if isinstance(held, Case):
            return held
        assert self._file is not None
        return case_of_row(self._file.read(held)[0])

    def put(self, key: int, case: Case) -> None:
        """Store a case, in the place of an earlier one with this key."""
        earlier = self._held.get(key)
        if isinstance(earlier, Case):
            self._left += _size_of(earlier)
        if (size := _size_of(case)) <= self._left:
            self._left -= size
            self._held[key] = case
            return
        if self._file is None:
            self._file = Spool()
        self._held[key] = self._file.append([row_of_case(shortened(case))])

    def close(self) -> None:
        """Drop the file."""
        if self._file is not None:
            self._file.close()


class Cases(Sequence[Case]):
    """Cases of a store, loaded one at a time where they are on disk.

    Args:
        store: Where they are.
        keys: Which ones, in order.
    """

    def __init__(self, store: CaseStore, keys: Sequence[int]) -> None:
        self._store = store
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Case]: ...
    def __getitem__(self, index: int | slice) -> Case | Sequence[Case]:
        if isinstance(index, slice):
            return Cases(self._store, self._keys[index])
        return self._store.get(self._keys[index])

    def __repr__(self) -> str:
        return f"<{len(self)} cases>"


def _size_of(case: Case) -> int:
    return _OBJECT_SIZE + len(case.name) + text_size(case)
