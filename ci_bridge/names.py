"""Names of bounded length that never pass for each other."""

from __future__ import annotations

import hashlib


def short_hash(text: str) -> str:
    """Stands for a text in an object's name."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def told_apart(text: str, limit: int, whole: str = "") -> str:
    """The text as a name of at most ``limit`` characters, which no other text gets.

    Args:
        text: What people are to read.
        limit: At least 40.
        whole: What it stands for, should that be more than the text says. Then, and where the text is cut, a hash of
            it comes last.
    """
    if len(text) <= limit and whole in ("", text):
        return text
    room = limit - 13
    cut = text if len(text) <= room else f"{text[: room - 1].rstrip()}…"
    return f"{cut} {short_hash(whole or text)}"
