"""Reads the result files of test tools: finds the files, recognises each format, merges attempts.

Importing this package is cheap; the parsers are imported when the first file is sniffed.
"""

from __future__ import annotations

from ci_bridge.formats.plugin import Format, Limits, Sink, Source
from ci_bridge.formats.read import available, read_results

__all__ = ["Format", "Limits", "Sink", "Source", "available", "read_results"]
