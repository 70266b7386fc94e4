"""All escaping, one function per context. Whoever writes data anywhere calls the function of that place.

Data is every text that a test, a file, a branch or a person outside the project may have chosen. The functions take
any text, lone surrogates included, and never fail on it but where their description says so. What they return is
safe in *their* context only.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from ci_bridge.errors import ConfigError

_JOINER = "\u200d"
# What emoji are made of: faces, signs, skin tones.
_EMOJI = "[\u2194\u2195\u2600-\u27bf\u2b1b\U0001f000-\U0001faff]"
# Characters that a reader does not see or that change what he sees, and no line ends: C0 but tab and line feed, DEL,
# C1, soft hyphen, bidirectional controls, zero-width and invisible ones, line and paragraph separators, lone
# surrogates, interlinear marks, non-characters and the tag characters of plane 14. A zero-width joiner between two
# emoji is seen: it makes one of them (a family, a flag).
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
    f"|\u200d(?:(?!{_EMOJI})|(?<!{_EMOJI}.)(?<!{_EMOJI}\ufe0f.))"
)
_XML_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_XML_TEXT = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_XML_ATTRIBUTE = re.compile("[&<>\"'\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
_SPACES = re.compile(r"\s+")
_PUNCTUATION = {ord(char): f"&#{ord(char)};" for char in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"}


def _name_of(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def reveal(text: str) -> str:
    r"""Write unseen characters (controls, bidirectional and zero-width ones, lone surrogates) as ``\x1b``, ``\u202e``.

    Tab and line feed stay; line ends become line feeds.
    """
    if text.isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub(_name_of, text)


def fold(text: str, limit: int = 0) -> str:
    """Make one visible line of a text: line ends and runs of white space become a space.

    Args:
        text: Data.
        limit: Characters to keep, 0 for all; a longer text ends in ``…``.
    """
    if limit and len(text) > limit * 4:
        text = text[: limit * 4] + "…"  # what is far beyond the limit need not be looked at
    line = _SPACES.sub(" ", reveal(_LINE_END.sub(" ", text))).strip()
    return f"{line[: limit - 1].rstrip().rstrip(_JOINER)}…" if limit and len(line) > limit else line


# HTML and XML ---------------------------------------------------------------------------------------------------------


def html_text(text: str) -> str:
    """For the text of an HTML element or a quoted attribute."""
    return html.escape(reveal(text))


def json_in_script(value: Any) -> str:
    """JSON for ``<script type="application/json">``.

    Raises:
        ValueError: For NaN and infinities, which JSON does not know.
    """
    return guard_script(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def guard_script(json_text: str) -> str:
    r"""Make JSON safe inside a script element: ``< > &`` and the line separators as ``\u003c``.

    They occur in JSON within strings only, where the escape means the same.
    """
    text = json_text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    if text.isascii():
        return text
    return without_surrogates(text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def without_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot hold, by U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _xml_entity(match: re.Match[str]) -> str:
    char = match[0]
    return _XML_ENTITIES.get(char, "\ufffd")


_XML_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


def xml_text(text: str) -> str:
    """For the text of an XML element. Characters that XML 1.0 forbids or discourages become U+FFFD."""
    return _XML_TEXT.sub(_xml_entity, text) if _XML_TEXT.search(text) else text


def xml_attribute(text: str) -> str:
    """For a quoted XML attribute; tabs and line feeds survive a parser's normalisation."""
    return _XML_ATTRIBUTE.sub(_xml_entity, text) if _XML_ATTRIBUTE.search(text) else text


# Markdown -------------------------------------------------------------------------------------------------------------


def markdown_inline(text: str, limit: int = 0) -> str:
    """For a paragraph, a list item, a heading or a table cell of Markdown: ``<code>`` on one line.

    Every ASCII punctuation mark is a numeric entity, so no mention, reference, closing word, link, image, tag, table
    border or comment marker can form; hosts do not look for mentions in ``<code>``.

    Args:
        text: Data.
        limit: Characters of data to keep, 0 for all.

    Returns:
        Empty for blank data.
    """
    line = fold(text, limit)
    return f"<code>{line.translate(_PUNCTUATION)}</code>" if line else ""


_PROSE_WORD = re.compile(
    r"(?![0-9a-f]{7,40}\b)\(?(?:[A-Za-z]{1,30}|[0-9]{1,6}(?:[.,][0-9]{1,6})?|[0-9]{4}-[0-9]{2}-[0-9]{2})[,;:%]?\)?[,;:]?"
    r"|[·—→×%]"
)


def markdown_prose(text: str, limit: int = 300) -> str:
    """For sentences that we wrote around data we no longer see apart: plain words stay, the rest becomes ``<code>``.

    Never put it at the start of a line.
    """
    out: list[str] = []
    odd: list[str] = []
    for word in [*fold(text, limit).split(" "), ""]:
        if word and not _PROSE_WORD.fullmatch(word):
            odd.append(word)
            continue
        if odd:
            out.append(markdown_inline(" ".join(odd)))
            odd = []
        if word:
            out.append(word.replace("(", "&#40;").replace(")", "&#41;"))
    return " ".join(out)


def markdown_cell(text: str, limit: int = 0) -> str:
    """For a table cell; a blank cell stays blank."""
    return markdown_inline(text, limit)


_FENCE_LINE = re.compile(r"^(?=\s*(?:```|~~~))", re.MULTILINE)
_BACKTICKS = re.compile("`+")


def markdown_block(text: str, limit: int = 0) -> str:
    """For long data in Markdown: a fenced block that no line of the data can close.

    The fence is longer than any run of backticks in the data. Lines that look like a fence get a bar in front all the
    same: some code hosts look for commands in comments with a pattern that knows fences of three only. ``<!--`` is
    broken so that no comment marker is found in data.

    Args:
        text: Data.
        limit: Characters of data to keep, 0 for all; the middle is cut, as both ends of a trace matter.
    """
    body = reveal(text).expandtabs(4).rstrip("\n")
    if limit and len(body) > limit:
        head, tail = body[: limit // 3], body[limit // 3 - limit :]
        # Whole lines, where they are not so long that most would be lost.
        head = head[:end] if (end := head.rfind("\n")) > len(head) // 2 else head
        tail = tail[start + 1 :] if 0 <= (start := tail.find("\n")) < len(tail) // 2 else tail
        body = f"{head}\n[… {len(body) - len(head) - len(tail)} characters left out …]\n{tail}"
    body = _FENCE_LINE.sub("│ ", body).replace("<!--", "<! --")
    fence = "`" * max(3, *(len(run) + 1 for run in _BACKTICKS.findall(body)), 3)
    return f"{fence}text\n{body}\n{fence}"


_COMMAND = re.compile(r"^\s*/[a-z_]+")
_FENCE = re.compile(r"^ {0,3}(`{3,}(?=[^`]*$)|~{3,})")


def refuse_commands(body: str) -> str:
    """The last guard of a comment: a code host executes lines like ``/merge`` with our token's rights.

    Returns:
        ``body``, unchanged.

    Raises:
        ConfigError: If a line outside of a fenced block starts with a slash and a word.
    """
    fence = ""
    for number, line in enumerate(_LINE_END.split(body), 1):
        opening = _FENCE.match(line)
        if fence:
            if opening and opening[1].startswith(fence) and not line.strip(" \t`~"):
                fence = ""
        elif opening:
            fence = opening[1]
        elif _COMMAND.match(line):
            raise ConfigError(
                f"line {number} of the comment would be executed as a command by the code host: {fold(line, 60)!r}",
                hint="put other text before the slash",
            )
    return body


_MARKER = re.compile(r"<!(?=--\s*ci-bridge:)", re.IGNORECASE)


def marker(key: str) -> str:
    """The hidden first line by which a comment is found again; different keys give different markers."""
    return f"<!-- ci-bridge:{quote(key, safe='', errors='replace').replace('-', '%2D')} -->"


def with_marker(body: str, key: str) -> str:
    """Put the marker of ``key`` on the first line and break whatever looks like one of ours in the body."""
    return f"{marker(key)}\n{_MARKER.sub('&lt;!', body)}"


# Logs and terminals ---------------------------------------------------------------------------------------------------

_HASHES = re.compile(r"##(?=[A-Za-z\[])")
_COLONS = re.compile(r"^((?:\s|\x1b\[[0-9;]*m)*):(?=:)")


def break_commands(line: str, patterns: Iterable[str | re.Pattern[str]] = ()) -> str:
    r"""Put a backslash into what a log viewer would execute in a line: ``##[``, ``##word`` and a leading ``::``.

    Args:
        line: One line, its unseen characters already revealed.
        patterns: Regular expressions of further commands, from the platforms; trusted.
    """
    if "##" in line:
        line = _HASHES.sub(r"#\\#", line)
    if "::" in line:
        line = _COLONS.sub(r"\1:\\", line)
    for pattern in patterns:
        line = re.sub(pattern, _broken, line)
        if (left := re.search(pattern, line)) and left[0]:
            line = re.sub(pattern, _spelled, line)
    return line


def _broken(match: re.Match[str]) -> str:
    text = match[0]
    return f"{text[0]}\\{text[1:]}" if len(text) > 1 else _spelled(match)


def _spelled(match: re.Match[str]) -> str:
    return "".join(f"\\x{ord(char):02x}" for char in match[0])


def log_lines(text: str, *, prefix: str = "", patterns: Sequence[str | re.Pattern[str]] = ()) -> list[str]:
    """The lines of a text, fit for a build log or a terminal.

    Args:
        text: Data; split wherever some log viewer starts a new line (CR, LF, NEL, LS, PS, VT, FF, the separators).
        prefix: Put before every line; ours, not data.
        patterns: See :func:`break_commands`.
    """
    return [prefix + break_commands(reveal(line), patterns) for line in _LINE_END.split(text)]


def escape_log(text: str, *, prefix: str = "", patterns: Sequence[str | re.Pattern[str]] = ()) -> str:
    """Like :func:`log_lines`, as one text with line feeds."""
    return "\n".join(log_lines(text, prefix=prefix, patterns=patterns))


def log_line(text: str, limit: int = 0, patterns: Sequence[str | re.Pattern[str]] = ()) -> str:
    """The whole text as one line for a log or a terminal, white space folded; ``limit`` as in :func:`fold`."""
    return break_commands(fold(text, limit), patterns)


# Cells and links ------------------------------------------------------------------------------------------------------


def csv_cell(text: str) -> str:
    """For a text cell of a CSV file that a spreadsheet opens: an apostrophe before what would be a formula."""
    cell = reveal(text)
    return f"'{cell}" if cell.lstrip()[:1] in tuple("=+-@|＝＋－＠") or cell[:1] in ("\t", "\n") else cell


def safe_url(url: str) -> str:
    """A link target: ``http``, ``https`` or a relative path, without credentials, fit for HTML and Markdown.

    Returns:
        The URL with everything unusual percent-encoded; empty if it must not be linked.
    """
    if _UNSEEN.search(url) or any(char.isspace() for char in url.strip()) or "\\" in url:
        return ""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    query, fragment = _quoted(parts.query), _quoted(parts.fragment)
    if parts.scheme in ("http", "https"):
        if not host or not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+", host):
            return ""
        netloc = f"[{host}]" if ":" in host else host
        netloc += f":{port}" if port is not None else ""
        return urlunsplit((parts.scheme, netloc, _quoted(parts.path), query, fragment))
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("//") or ":" in parts.path:
        return ""
    return urlunsplit(("", "", _quoted(parts.path), query, fragment))


def _quoted(part: str) -> str:
    return quote(part, safe="/:@!$&+,;=~*?%").replace("*", "%2A")


def markdown_link(label: str, url: str, escape_label: Callable[[str], str] = markdown_prose) -> str:
    """A Markdown link; only the label where the target must not be linked, and a path as it stands."""
    target = safe_url(url)
    text = escape_label(label)
    if target.startswith(("http://", "https://")):
        return f"[{text}](<{target}>)"
    return f"{text} {markdown_inline(url)}" if target else text


_USERINFO = re.compile(r"(?<=://)[^/?#\s@]{1,500}@")


def without_credentials(text: str) -> str:
    """A text without the user and password of any URL in it; for places that show URLs but do not link them."""
    return _USERINFO.sub("", text) if "@" in text else text
