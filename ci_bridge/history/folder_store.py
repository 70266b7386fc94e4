"""A folder as the store that the history travels in: for machines that share one, and where nothing else is there.

An object is one file, made whole under another name and then renamed, so a reader never sees half of it and two writers
never meet. Its time is the file's modification time, which on a network share is the server's clock. What pull requests
put lies apart in ``untrusted/`` and is read by the jobs of the same build and its pull request only. Nothing is locked.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import stat
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ci_bridge.atomic import open_atomically, open_regular
from ci_bridge.errors import NotFoundError, PermissionDeniedError, PlatformError
from ci_bridge.models import StoredObject
from ci_bridge.protocols import Listing, SupportsStore

_PLACES = ("trusted", "untrusted")
_FILE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,200})~(?P<build>[0-9a-f]{12})~(?P<days>[0-9]{1,5})~[0-9a-f]{12}\Z")
_HISTORY = re.compile(r"ci-bridge(\..*)?[.-](base~|segment-)")
_LEFTOVER_AGE = timedelta(days=1)


class FolderStore(SupportsStore):
    """Immutable objects in a folder.

    Args:
        folder: Made when first written to.
        build: Names this build; the jobs of one build give the same.
        trusted: False for a pull request's build: what it puts is never listed for trusted builds.
    """

    store_expires = False

    def __init__(self, folder: Path, *, build: str = "", trusted: bool = True) -> None:
        self._folder, self._build, self._trusted = folder, build, trusted
        self._build_mark = hashlib.sha256(build.encode("utf-8", "replace")).hexdigest()[:12]

    def put_object(self, name: str, data: bytes, retention_days: int) -> StoredObject:
        place = self._folder / _PLACES[not self._trusted]
        file = f"{name}~{self._build_mark}~{retention_days}~{uuid.uuid4().hex[:12]}"
        if not _FILE.match(file):
            raise PlatformError(f"{name!r} cannot name an object of the history's store")
        path = place / file
        with _errors_of(path):
            place.mkdir(parents=True, exist_ok=True)
            with open_atomically(path) as stream:
                stream.write(data)
            stored = self._look(path)
        if stored is None:
            raise PlatformError(f"{path} has vanished right after it was written")
        self._tidy(stored.created_at)
        return stored

    def list_objects(
        self,
        prefix: str,
        limit: int,
        *,
        every_pipeline: bool = False,  # noqa: ARG002 whoever may write to the folder is trusted
    ) -> Sequence[StoredObject]:
        found = sorted(self._find("trusted", prefix), key=_age, reverse=True)
        own = [] if self._trusted else self._find("untrusted", prefix)
        return Listing(found[:limit], is_whole=len(found) < limit, own=own)

    def list_siblings(self, prefix: str) -> Sequence[StoredObject]:
        found = (one for place in _PLACES for one in self._find(place, prefix))
        return sorted((one for one in found if self._build and one.build_id == self._build), key=_age)

    def get_object(self, stored: StoredObject, limit: int) -> bytes:
        path = self._path(stored)
        with _errors_of(path), open_regular(path) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise PlatformError(f"{path} is larger than {limit} bytes")
        return data

    def delete_object(self, stored: StoredObject) -> None:
        path = self._path(stored)
        with _errors_of(path):
            path.unlink(missing_ok=True)

    def _path(self, stored: StoredObject) -> Path:
        place, _, name = stored.id.partition("/")
        if place not in _PLACES or not _FILE.match(name):
            raise NotFoundError(f"{stored.id!r} is not an object of {self._folder}")
        return self._folder / place / name

    def _find(self, place: str, prefix: str) -> Iterator[StoredObject]:
        folder = self._folder / place
        with _errors_of(folder):
            try:
                entries = [*folder.iterdir()]
            except FileNotFoundError:
                return
        for path in entries:
            if path.name.startswith(prefix) and (found := self._look(path)) is not None:
                yield found

    def _look(self, path: Path) -> StoredObject | None:
        """The object at ``path``; None if it is no plain file of ours or went away meanwhile."""
        match = _FILE.match(path.name)
        try:
            facts = path.lstat()
        except OSError:
            return None
        if match is None or not stat.S_ISREG(facts.st_mode):
            return None
        created = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=facts.st_mtime_ns // 1000)
        build = self._build if match["build"] == self._build_mark else None
        return StoredObject(f"{path.parent.name}/{path.name}", match["name"], created, facts.st_size, build)

    def _tidy(self, now: datetime) -> None:
        """Drop leftovers of killed writers, and what is past its time; the history's own is dropped by who compacts."""
        for place in _PLACES:
            with contextlib.suppress(OSError):
                for path in (self._folder / place).iterdir():
                    age = now - datetime.fromtimestamp(path.lstat().st_mtime, UTC)
                    match = _FILE.match(path.name)
                    leftover = path.name.startswith(".") and path.suffix == ".tmp" and age > _LEFTOVER_AGE
                    passing = match and (place == "untrusted" or not _HISTORY.match(path.name))
                    expired = passing and match and age > timedelta(days=int(match["days"]))
                    if leftover or expired:
                        path.unlink(missing_ok=True)


def _age(stored: StoredObject) -> tuple[datetime, str]:
    return stored.created_at, stored.id


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except OSError as error:
        kind = PermissionDeniedError if isinstance(error, PermissionError) else PlatformError
        raise kind(
            f"{path}: {error.strerror or error}", hint="history_url needs a folder that is writable, with free space"
        ) from error
