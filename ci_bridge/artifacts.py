"""The staging folder: safe copies of files on their way to an artifact store."""

from __future__ import annotations

import codecs
import contextlib
import errno
import glob
import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from ci_bridge import atomic
from ci_bridge.atomic import open_atomically, write_atomically
from ci_bridge.errors import ConfigError, ResultsError
from ci_bridge.formats.files import OWN_FILES, OWN_FOLDERS, OWN_MARK, find_files, is_own
from ci_bridge.formats.plugin import Limits
from ci_bridge.models import FileState

COMPRESSED_SUFFIXES = frozenset(
    {
        *(".7z", ".br", ".bz2", ".gz", ".jar", ".nupkg", ".tgz", ".whl", ".xz", ".zip", ".zst", ".docx", ".xlsx"),
        *(".avif", ".gif", ".jpeg", ".jpg", ".mp4", ".png", ".webm", ".webp", ".woff2"),
    }
)
"""Files that would only grow."""

_CATEGORY_OF_SUFFIX = {
    **dict.fromkeys((".html", ".htm", ".xml", ".md", ".pdf", ".trx", ".tap"), "reports"),
    **dict.fromkeys((".log", ".txt", ".out", ".err", ".trace"), "logs"),
    **dict.fromkeys((".prom", ".metrics", ".prof", ".cpuprofile", ".hprof"), "metrics"),
}

_DROPPED_NAMES = frozenset({".git", ".env", "__pycache__", "node_modules"})
_CHUNK = 1 << 20


class Mask(Protocol):
    """Hides secrets; see :mod:`ci_bridge.masking`."""

    def clean(self, text: str) -> str: ...
    def suspects(self, text: str) -> bool: ...


def category_of(path: str | os.PathLike[str]) -> str:
    """The category that follows from a file's suffix: ``reports``, ``logs``, ``metrics``, else ``data``."""
    return _CATEGORY_OF_SUFFIX.get(Path(path).suffix.lower(), "data")


def is_compressible(path: str | os.PathLike[str]) -> bool:
    """False for files whose suffix says that they are compressed already."""
    return Path(path).suffix.lower() not in COMPRESSED_SUFFIXES


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; see :func:`ci_bridge.atomic.open_regular`.

    Raises:
        ResultsError: If it does not exist, is a link, or is no regular file.
    """
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(atomic.open_regular(path))
        except OSError as error:
            reason = "is a symbolic link" if error.errno == errno.ELOOP else (error.strerror or str(error)).lower()
            raise ResultsError(f"{path!s}: {reason}", hint="name a regular file") from error
        yield stream


def collect(path: Path) -> list[Path]:
    """The files to stage for a path: itself, or what a folder holds.

    Links, dotfiles, ``.git``, ``.env`` and caches inside a folder are dropped.

    Raises:
        ResultsError: If there is nothing to stage.
    """
    if path.is_symlink() or not path.is_dir():
        with open_regular(path):
            return [path]
    found: list[Path] = []
    for folder, folders, files in os.walk(path, followlinks=False):
        folders[:] = sorted(
            name for name in folders if not _is_dropped(name) and not (Path(folder) / name).is_symlink()
        )
        for name in sorted(files):
            candidate = Path(folder, name)
            if not _is_dropped(name) and stat.S_ISREG(candidate.lstat().st_mode):
                found.append(candidate)
    if not found:
        raise ResultsError(f"{path!s}: no regular file in this folder", hint="links and dotfiles are left out")
    return found


def _is_dropped(name: str) -> bool:
    return name.startswith(".") or name in _DROPPED_NAMES


def stage(source: Path, target: Path, *, compress: bool, mask: Mask | None = None) -> tuple[int, str]:
    """Copy a file into the staging folder, secrets masked in text, gzip-compressed if asked for.

    Args:
        source: Opened without following links.
        target: Appears whole or not at all.
        compress: Write a gzip with no name and no time in it, so equal input gives equal bytes.
        mask: Applied line by line to files that are UTF-8 text.

    Returns:
        Size in bytes and ``sha256:<hex>`` of what was written.

    Raises:
        ResultsError: If ``source`` is no readable regular file.
        OSError: If ``target`` cannot be written.
    """
    digest = hashlib.sha256()
    size = 0
    with open_regular(source) as stream, open_atomically(target) as out:
        packer = zlib.compressobj(6, zlib.DEFLATED, 31) if compress else None
        for chunk in _masked(stream, mask):
            data = packer.compress(chunk) if packer else chunk
            size += len(data)
            digest.update(data)
            out.write(data)
        if packer:
            data = packer.flush()
            size += len(data)
            digest.update(data)
            out.write(data)
    return size, f"sha256:{digest.hexdigest()}"


def _masked(stream: BinaryIO, mask: Mask | None) -> Iterator[bytes]:
    """Yield the file in chunks that end at line ends, secrets masked in whatever encoding they stand."""
    if mask is None:
        while chunk := stream.read(_CHUNK):
            yield chunk
        return
    start = stream.read(_CHUNK)
    encoding, width = "utf-8", 1
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if start.startswith(mark):
            encoding, width = name, 2
    newline = "\n".encode(encoding)
    rest, chunk = b"", start
    while chunk:
        data = rest + chunk
        cut = data.rfind(newline) + width
        while width == 2 and cut >= width and cut % 2:  # between two characters
            cut = data.rfind(newline, 0, cut - 1) + width
        if cut < width and len(data) < 8 * _CHUNK:
            rest = data
        else:
            cut = cut if cut >= width else len(data) // width * width
            rest = data[cut:]
            yield _mask_bytes(data[:cut], mask, encoding)
        chunk = stream.read(_CHUNK)
    if rest:
        yield _mask_bytes(rest, mask, encoding)


def _mask_bytes(data: bytes, mask: Mask, encoding: str) -> bytes:
    # What is no text comes through as it was: one odd byte must not let a secret beside it pass.
    errors = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
    try:
        text = data.decode(encoding, errors)
        return mask.clean(text).encode(encoding, errors) if mask.suspects(text) else data
    except UnicodeError:
        return data


def unpack(source: Path, target: Path, *, compressed: bool, limit: int = 4 << 30) -> None:
    """Write what an artifact held to ``target``.

    Args:
        source: The bytes as stored.
        target: Replaced as a whole; its folder is made if absent.
        compressed: Undo the gzip of :func:`stage`.
        limit: Bytes that may come out, so that a bomb fills no disk.

    Raises:
        ResultsError: If the stored bytes are damaged or too large.
        OSError: If ``target`` cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_regular(source) as raw, open_atomically(target) as out:
            stream = gzip.GzipFile(fileobj=raw) if compressed else raw
            written = 0
            while chunk := stream.read(_CHUNK):
                written += len(chunk)
                if written > limit:
                    raise ResultsError(f"{source.name}: unpacks to more than {limit} bytes")
                out.write(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ResultsError(f"{source.name}: damaged in the artifact store ({error})") from error


def staging_folder(directory: Path, workspace: Path) -> Path:
    """The staging folder's real path; it need not exist yet.

    A relative folder has to stay inside the workspace: a link that a pull request checks in must not lead our writing
    elsewhere.

    Raises:
        ConfigError: If it leads outside, or is no folder.
    """
    place, root = workspace / directory, workspace.resolve()
    target = place.resolve()
    if not directory.is_absolute() and not target.is_relative_to(root):
        raise ConfigError(
            f"artifact_dir = {str(directory)!r} leads outside the workspace",
            hint="give an absolute path if that is meant",
        )
    if place.is_symlink() or target == root or ".git" in target.parts:
        raise ConfigError(f"artifact_dir = {str(directory)!r} is no folder of its own", hint="name a new folder")
    for part in (target, *target.parents):
        if part.exists() and not part.is_dir():
            what = "is a file" if part == target else f"lies below {part.name}, which is a file"
            raise ConfigError(f"artifact_dir = {str(directory)!r} {what}, not a folder", hint="name a new folder")
    return target


def own_paths(directory: Path) -> list[Path]:
    """What is ours in the staging folder, and so never a result; other folders of ours are known by their mark."""
    return [directory / name for name in (*OWN_FILES, *OWN_FOLDERS)]


def claim_folder(directory: Path) -> None:
    """Make the staging folder ours, unless it holds somebody else's files under the names that we write.

    Raises:
        ConfigError: If it does.
    """
    if (directory / OWN_MARK).is_file():
        return
    for name in OWN_FILES:
        if os.path.lexists(directory / name):
            raise ConfigError(
                f"artifact_dir = {str(directory)!r} holds {name}, which ci-bridge did not write",
                hint="give artifact_dir a folder of its own",
            )
    # A folder that cannot be written is said by the delivery that needs it.
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        # Whatever stands there already is replaced, or left: a link is not followed, and no pipe waited on.
        write_atomically(directory / OWN_MARK, "The files in this folder are written and replaced by ci-bridge.\n")
        write_atomically(directory / ".gitignore", "*\n", over=False)


def refuse_results(directory: Path, patterns: Sequence[str], *, workspace: Path) -> None:
    """Refuse a staging folder in which result files lie: it hides itself from git, and its files are replaced.

    Folders below it may hold results, as ``build/test-results`` does where ``build`` is the staging folder.

    Raises:
        ConfigError: Names the first of them.
    """
    from ci_bridge.formats import read_results

    try:
        if not any(path.is_file() and not is_own(str(path)) for path in directory.iterdir()):
            return
    except OSError:
        return  # there is none yet
    found = find_files(patterns, workspace=workspace, limits=Limits(), exclude=own_paths(directory)).files
    beside = {one.path.name: one.shown for one in found if Path(os.path.realpath(one.path)).parent == directory}
    if not beside:
        return
    with read_results([f"{glob.escape(str(directory))}/*"], workspace=workspace, spool=False) as results:
        held = {Path(file.path).name for file in results.files if file.state is not FileState.IGNORED}
    if first := next((shown for name, shown in beside.items() if name in held), ""):
        raise ConfigError(
            f"artifact_dir = {str(directory)!r} is the folder of the results: {first} lies in it",
            hint="give artifact_dir a folder of its own; results may lie in folders below it",
        )
