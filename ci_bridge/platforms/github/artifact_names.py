"""What the name of an artifact says.

An artifact's name is unique in its workflow run and is all that a listing tells of it, so it carries what ci-bridge
wants to know: ``<name>~<category>~<run id>~<gz or raw>``. An object of the store has the name that it was put under. A
name that was taken, by an upload whose answer was lost, gets ``~2`` and so on behind it.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

MAX_PART = 120
"""Characters of one part; a longer one is cut and told apart by a hash. GitHub takes 256 in all."""
_OURS = re.compile(r"(?P<name>[^~]+)~(?P<category>[^~]*)~(?P<run>[^~]*)~(?P<kind>gz|raw)(?:~[0-9]{1,2})?")
STORE_MEMBER = "object"
"""What the file inside a stored object is called."""
BUNDLE = "bundle"
_AGAIN = re.compile(r"~[0-9]{1,2}$")


class Label(NamedTuple):
    """An artifact's name taken apart."""

    name: str
    category: str
    run_id: str
    compressed: bool


def label_of(artifact_name: str) -> Label:
    """What an artifact's name says; one that others gave is only a name."""
    match = _OURS.fullmatch(artifact_name)
    if not match:
        return Label(artifact_name, "", "", False)
    return Label(unquote(match["name"]), unquote(match["category"]), unquote(match["run"]), match["kind"] == "gz")


def name_of(label: Label) -> str:
    """The artifact's name that says all this."""
    parts = (_part(label.name), _part(label.category, 20), _part(label.run_id, 64))
    return "~".join((*parts, "gz" if label.compressed else "raw"))


def member_of(label: Label) -> str:
    """What the file inside the artifact is called."""
    last = re.split(r"[/\\\\]", shown(label.name))[-1]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", last).lstrip(".-") or "file"
    return f"{name}.gz" if label.compressed else name


def shown(text: str) -> str:
    """A name as it comes back from a listing: cut, if it is very long."""
    return unquote(_part(text))


def is_object_name(name: str) -> bool:
    """True if an object of the store may be called so, and comes back under the same name."""
    return bool(re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name))


def stored_name(artifact_name: str) -> str | None:
    """The object's name that an artifact holds, None if it holds none.

    A job that may write no store uploads what it hands on to another build as a file of the category ``bundle``.
    """
    name, label = _AGAIN.sub("", artifact_name), label_of(artifact_name)
    if label.category == BUNDLE:
        name = label.name
    return name if is_object_name(name) else None


def again(artifact_name: str, attempt: int) -> str:
    """The name for another attempt; attempt 1 has the name itself."""
    return artifact_name if attempt == 1 else f"{artifact_name}~{attempt}"


def _part(text: str, limit: int = MAX_PART) -> str:
    quoted = _quoted(text)
    if len(quoted) <= limit:
        return quoted
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    text = text[:limit]
    while len(quoted := _quoted(text)) > limit - 9:
        text = text[:-1]
    return f"{quoted}-{digest}"


def _quoted(text: str) -> str:
    # "~" parts the parts, and quote() leaves it alone.
    return quote(text, safe=" ()[]+,@=", errors="replace").replace("~", "%7E")
