"""Reads a set of result files, each with the format that its content shows."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ci_bridge.errors import ResultsError
from ci_bridge.formats._reruns import Execution
from ci_bridge.formats.plugin import Format, Limits, Source
from ci_bridge.models import FileState, InputFile

if TYPE_CHECKING:
    import os
    from datetime import datetime

    from ci_bridge.formats._clean import Mask
    from ci_bridge.formats.collect import Collected
    from ci_bridge.formats.files import Found

ENTRY_POINTS = "ci_bridge.formats"
_STRUCTURED = {".xml": b"<", ".trx": b"<", ".json": b"{[", ".jsonl": b"{[", ".ndjson": b"{["}
_NAME = re.compile(rb"[A-Za-z_][\w:.-]{0,60}")


def available() -> tuple[Format, ...]:
    """Every format that is installed, in the order in which they are asked: ours, then those of other packages."""
    return (*_ours(), *_theirs()[0])


@cache
def _ours() -> tuple[Format, ...]:
    package = importlib.import_module(__package__ or "ci_bridge.formats")
    names = (module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    found = [module.FORMAT for module in modules if isinstance(getattr(module, "FORMAT", None), Format)]
    return tuple(sorted(found, key=lambda item: (-item.priority, item.name)))


@cache
def _theirs() -> tuple[tuple[Format, ...], tuple[str, ...]]:
    """The formats of other packages, and what is wrong with those that cannot be used."""
    from importlib.metadata import entry_points  # slow to import, and rarely needed

    formats: list[Format] = []
    problems = []
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            loaded = entry.load()
        except Exception as error:  # noqa: BLE001 - whatever a foreign module does on import
            problems.append(f"the format {entry.name!r} of another package cannot be loaded: {error}")
            continue
        found = getattr(loaded, "FORMAT", loaded)
        if isinstance(found, Format):
            formats.append(found)
    return tuple(sorted(formats, key=lambda item: (-item.priority, item.name))), tuple(problems)


def read_results(
    patterns: Sequence[str | os.PathLike[str]],
    *,
    workspace: Path,
    limits: Limits | None = None,
    time_unit: str = "seconds",
    mask: Mask | None = None,
    spool: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
    exclude: Sequence[Path] = (),
    formats: Sequence[Format] | None = None,
) -> Collected:
    """Read all files that the patterns find. One bad file never costs the others.

    Args:
        patterns: Paths, folders or globs, relative to the workspace; see :func:`ci_bridge.formats.files.find_files`.
        workspace: Folder that the job works in; nothing outside is read unless a pattern spells it out.
        limits: Caps on everything.
        time_unit: ``seconds`` or ``milliseconds``: the unit of durations that name none.
        mask: Hides secrets in everything that is kept.
        spool: Keep every row; without, ``rows()`` raises and less is written to disk.
        on_progress: Called with the bytes read so far and the bytes of all files.
        exclude: Folders that are never read, such as our own output.
        formats: The formats to recognise, in the order in which they are asked; None is all that are installed.

    Returns:
        The results; close them, or use them as a context manager.

    Raises:
        ResultsError: The temporary folder is full.
    """
    from ci_bridge.formats.collect import Collected
    from ci_bridge.formats.files import find_files

    limits = limits or Limits()
    collected = Collected(limits, mask, spool=spool, workspace=workspace)
    try:
        search = find_files(patterns, workspace=workspace, limits=limits, exclude=exclude)
        for text in search.notes:
            collected.add_note(text)
        for rejected in search.rejected:
            collected.add_file(rejected)
        size = sum(found.size for found in search.files)
        reading = _Reading(collected, formats, limits, time_unit, size, on_progress)
        for found, chosen, started in _in_order_of_execution(reading.recognise(search.files)):
            reading.read(found, chosen, started)
        collected.finish()
    except BaseException:
        collected.close()
        raise
    return collected


class _Reading:
    """Recognises and reads files, one after the other."""

    def __init__(
        self,
        collected: Collected,
        formats: Sequence[Format] | None,
        limits: Limits,
        time_unit: str,
        size: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._collected = collected
        self._formats = formats
        self._limits = limits
        self._time_unit = time_unit
        self._size = size
        self._done = 0
        self._on_progress = on_progress

    def recognise(self, files: Sequence[Found]) -> list[tuple[Found, Format, datetime | None]]:
        """The files that are test results, with their formats and the time that their run began."""
        from ci_bridge.formats.files import HEAD, head_of, open_file, started_at

        recognised = []
        for found in files:
            try:
                with open_file(found, self._limits) as stream:
                    head = head_of(stream.read(HEAD))
            except (ResultsError, OSError) as error:
                self._unreadable(found, str(error))
                continue
            if chosen := self._format_of(head):
                recognised.append((found, chosen, started_at(head)))
            else:
                self._not_recognised(found, head)
        return recognised

    def _format_of(self, head: bytes) -> Format | None:
        if not head:
            return None
        if self._formats is not None:
            return next((item for item in self._formats if item.sniff(head)), None)
        if chosen := next((item for item in _ours() if item.sniff(head)), None):
            return chosen
        formats, problems = _theirs()
        for problem in problems:
            if problem not in self._collected.notes:
                self._collected.add_note(problem)
        return next((item for item in formats if item.sniff(head)), None)

    def _not_recognised(self, found: Found, head: bytes) -> None:
        if not head:
            self._unreadable(found, "it is empty; the tool that should have written it probably crashed")
            return
        starts = _STRUCTURED.get(found.path.suffix.lower())
        name = _NAME.match(root) if (root := _root_of(head)) else None
        if root == b"" or (starts is not None and head[:1] not in starts):
            self._unreadable(found, f"it is damaged: it holds no {'XML element' if root == b'' else 'such data'}")
        elif found.is_named:
            self._unreadable(found, "it is no test result of a format that is known here")
        else:
            kind = f" (its root element is <{name[0].decode()}>)" if name else ""
            self._collected.add_file(
                InputFile(found.shown, "", FileState.IGNORED, note=f"it is no test result that is known here{kind}")
            )

    def _unreadable(self, found: Found, note: str) -> None:
        self._collected.add_file(InputFile(found.shown, "", FileState.UNREADABLE, note=note, incomplete=True))

    def read(self, found: Found, chosen: Format, started: datetime | None) -> None:
        """Read one file, whose run began at ``started``."""
        from ci_bridge.formats.files import open_file

        failure: ResultsError | None = None
        start = self._done
        self._collected.start_file(started)
        try:
            with open_file(found, self._limits, self._progress) as stream:
                source = Source(
                    stream, found.shown, self._limits, self._time_unit, found.size, self._collected.clean_name
                )
                chosen.parse(source, self._collected)
        except ResultsError as error:
            failure = error
        except OSError as error:
            failure = ResultsError(f"it cannot be read: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 - a fault in one parser must not cost the other files
            failure = ResultsError(f"the reader of {chosen.title} failed: {type(error).__name__}: {error}")
        self._collected.finish_file(found.shown, chosen.name, failure)
        self._done = start + found.size
        self._progress(0)

    def _progress(self, count: int) -> None:
        self._done += count
        if self._on_progress is not None:
            self._on_progress(min(self._done, self._size), self._size)


def _root_of(head: bytes) -> bytes | None:
    """Name of the first element and what follows it; empty if XML has none, None if this is no XML."""
    if not head.startswith(b"<"):
        return None
    from ci_bridge.formats._xml import root_name

    return root_name(head).encode()


def _in_order_of_execution(
    files: Sequence[tuple[Found, Format, datetime | None]],
) -> list[tuple[Found, Format, datetime | None]]:
    """Reruns after first runs as far as names tell, and those that tell when they began in that order.

    The files without a time keep their places.
    """
    order = sorted(files, key=lambda entry: Execution(entry[0].shown).rank)
    dated = iter(sorted((entry for entry in order if entry[2] is not None), key=_began))
    return [entry if entry[2] is None else next(dated) for entry in order]


def _began(entry: tuple[Found, Format, datetime | None]) -> datetime:
    assert entry[2] is not None
    return entry[2]
