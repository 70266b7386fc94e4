"""Keeps secrets out of everything that is written: results, reports, comments, artifacts, history, log.

Two kinds are known: the exact values of our tokens and of the environment's variables named like secrets, in every
spelling that programs print them in; and texts that look like a token of a well-known format.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"

MIN_LENGTH = 8
"""Characters that a variable's value must have to count as a secret; shorter ones occur in ordinary text."""

MIN_OWN_LENGTH = 4
"""Characters that one of our own secrets must have to be looked for."""
_MAX_SECRETS = 1000

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|(?:PRIVATE|ACCESS|SIGNING|ENCRYPTION|LICENSE)_?KEY|CREDENTIAL"
    r"|(?:^|_)(?:AUTH|PASS|PWD|PAT|JWT|DSN)(?:_|$)|CONNECTION_?STRING|WEBHOOK",
    re.IGNORECASE,
)
_PLAIN_NAME = re.compile(
    r"^(?:OLD)?PWD$|^TOKENIZERS|(?:^|_)(?:SOCK|SOCKET|FILE|PATH|DIR|HOME|HOST|NAME|USER|USERNAME|EMAIL|METHOD|TYPE|MODE"
    r"|ISSUER|ENABLED|EXPIRY|EXPIRES|EXPIRATION|TTL|TIMEOUT|LENGTH|ALGORITHM|SCOPES?|VERSION|KEY_ID)(?:_[A-Z]{1,3})?$",
    re.IGNORECASE,
)
_PLAIN_VALUE = re.compile(
    r"(?i:password|postgres|changeme|disabled|required|optional|undefined|username|localhost|anonymous)|\d{1,11}"
    r"|\$[({].*"  # a variable that nobody filled in
)
_ADDRESS_NAME = re.compile(r"(?:^|_)(?:URL|URI|ENDPOINT|ADDRESS)$", re.IGNORECASE)
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w.@+-]+(?:[/\\][\w.@+-]+)+[/\\]?")
_MIXED = re.compile(r"(?=[^/\\]*[0-9])(?=[^/\\]*[a-z])(?=[^/\\]*[A-Z])[\w+-]{13,}")


class Masker:
    """Replaces secrets by ``***``.

    Args:
        secrets: Exact values; those under four characters would hide ordinary text and are left out.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        plain: dict[str, None] = {}
        encoded: dict[str, None] = {}
        known = dict.fromkeys(secret.strip() for secret in secrets)
        for secret in list(known)[:_MAX_SECRETS]:
            if len(secret) >= MIN_OWN_LENGTH:
                plain.update(dict.fromkeys(_spellings(secret)))
            if len(secret) >= MIN_LENGTH:
                encoded.update(dict.fromkeys(_base64_cores(secret)))
        self._needles = tuple(plain)
        self._cores = tuple(core for core in encoded if core not in plain)
        self._flat = {needle: "".join(needle.split()) for needle in (*self._needles, *self._cores)}
        self._joints: dict[str, re.Pattern[str]] = {}
        needles = sorted(set(self._flat.values()))
        self._ignored = bytes(set(range(256)) - _alphabet_for(needles))
        self._traces = tuple({_bytes(needle).translate(None, self._ignored)[:24] for needle in needles})
        beginnings = dict.fromkeys(needle[:12] for needle in (*self._needles, *self._cores))
        words = (*beginnings, *dict.fromkeys(hint[0] for hint in _HINTS))
        self._short = re.compile("|".join(map(re.escape, words)))

    @classmethod
    def from_environment(cls, env: Mapping[str, str], secrets: Iterable[str] = ()) -> Masker:
        """A masker for the secrets of this environment.

        Args:
            env: Values of variables named like secrets count if they have at least eight characters and are no path,
                number or placeholder; so do passwords inside any variable's URL.
            secrets: Our own tokens.
        """
        return cls((*secrets, *_secrets_of(env)))

    def suspects(self, text: str) -> bool:
        """False if :meth:`clean` would not change the text; cheap enough to ask about everything.

        A longer text is boiled down to its rarer characters. A secret leaves an exact trace in them, however it is
        wrapped over lines, and so few of them are left that many traces can be looked for.
        """
        if len(text) < _SHORT and "\n" not in text and "\r" not in text:
            return self._short.search(text) is not None
        if self._traces:
            rare = _bytes(text).translate(None, self._ignored)
            for trace in self._traces:
                if trace in rare:
                    return True
        if len(text) <= _BLOCK:
            return _looks_like_a_token(text)
        return any(
            _looks_like_a_token(text[start : start + _BLOCK + _OVERLAP]) for start in range(0, len(text), _BLOCK)
        )

    def clean(self, text: str) -> str:
        """The text with every secret replaced by ``***``; time is linear in its length."""
        spans = [*self._exact_spans(text), *_format_spans(text)]
        if not spans:
            return text
        spans.sort()
        pieces: list[str] = []
        position = 0
        for start, end in spans:
            if start >= position:
                pieces += (text[position:start], MASK)
            position = max(position, end)
        pieces.append(text[position:])
        return "".join(pieces)

    def _exact_spans(self, text: str) -> Iterator[tuple[int, int]]:
        flat = "".join(text.split()) if "\n" in text or "\r" in text else ""
        for needle in (*self._needles, *self._cores):
            is_core = needle not in self._needles
            start = text.find(needle)
            while start >= 0:
                yield _grown(text, start, start + len(needle)) if is_core else (start, start + len(needle))
                start = text.find(needle, start + len(needle))
            if flat and self._flat[needle] in flat:
                for match in self._joint(needle).finditer(text):
                    if "\n" in match[0] or "\r" in match[0]:
                        yield _grown(text, *match.span()) if is_core else match.span()

    def _joint(self, needle: str) -> re.Pattern[str]:
        """Matches the needle wrapped over lines; possessive, so it never goes back."""
        if needle not in self._joints:
            self._joints[needle] = re.compile(r"\s*+".join(map(re.escape, self._flat[needle])))
        return self._joints[needle]


# ---- exact values


def _secrets_of(env: Mapping[str, str]) -> Iterator[str]:
    for name, raw in env.items():
        value = raw.strip()
        if len(value) < MIN_LENGTH:
            continue
        if "://" in value and "@" in value:
            yield from _passwords_in(value)
        if _SECRET_NAME.search(name) and not _PLAIN_NAME.search(name) and not _is_plain(name, value):
            yield value
            lines = value.splitlines()
            if len(lines) > 1:
                yield from (line.strip() for line in lines if len(line.strip()) >= MIN_LENGTH)


def _is_plain(name: str, value: str) -> bool:
    if _PLAIN_VALUE.fullmatch(value):
        return True
    if _ADDRESS_NAME.search(name) and "://" in value and "@" not in value and "webhook" not in name.lower():
        return True
    return bool(_PATH.fullmatch(value)) and not _MIXED.search(value)


def _passwords_in(value: str) -> Iterator[str]:
    for address in value.split():
        try:
            password = urlsplit(address).password
        except ValueError:
            continue
        if password and len(password) >= MIN_LENGTH:
            yield password
            yield unquote(password)


def _spellings(secret: str) -> Iterator[str]:
    """The secret as programs print it: as it is, escaped for URLs, JSON, HTML, source code and shells."""
    yield secret
    if len(secret) < MIN_LENGTH:
        return
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret), quote(secret, safe="!'()*~")):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    for as_ascii in (True, False):
        quoted = json.dumps(secret, ensure_ascii=as_ascii)[1:-1]
        yield quoted
        yield quoted.replace("/", "\\/")
        yield json.dumps(quoted, ensure_ascii=as_ascii)[1:-1]
        for upper in (True, False):
            yield re.sub(r"[&<>'=+]", lambda match, upper=upper: _unicode_escape(match[0], upper), quoted)  # type: ignore[misc]
    yield repr(secret)[1:-1]
    yield html.escape(secret)
    yield html.escape(secret).replace("&#x27;", "&#39;")
    yield html.escape(secret).replace("&#x27;", "&apos;")
    yield html.escape(secret, quote=False)
    yield secret.replace("'", "'\\''")


def _unicode_escape(char: str, upper: bool) -> str:
    return f"\\u{ord(char):04X}" if upper else f"\\u{ord(char):04x}"


def _base64_cores(secret: str) -> Iterator[str]:
    """What base64 makes of the secret wherever it begins in the encoded bytes, without the shared edges."""
    data = secret.encode("utf-8", "surrogatepass")
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + data).decode()
        core = encoded[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
        yield core
        yield core.replace("+", "-").replace("/", "_")


def _grown(text: str, start: int, end: int) -> tuple[int, int]:
    """The span of a base64 core with the characters at its edges that hold a rest of the secret's bits."""
    for _ in range(2):
        if start and text[start - 1] in _BASE64:
            start -= 1
        if end < len(text) and text[end] in _BASE64:
            end += 1
    return start, end


_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


_SHORT = 256
"""Characters up to which one search of a pattern is faster than boiling a text down."""

_BLOCK = 32 * 1024
_OVERLAP = 1024
"""Characters: more than lie between the parts of a hint."""

_RARE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""Rare in ordinary text, frequent in tokens."""

_BY_RARITY = b"zqjxkvwybgpfmucdlhrnsioate"
_TRACE_LENGTH = 6

_BLANK = _bytes(
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""The bytes of white space beyond ASCII. They leave no trace, for a secret may be wrapped at any white space."""


def _alphabet_for(needles: Iterable[str]) -> set[int]:
    """The rare characters, and as many more as it takes for every needle to leave a trace that tells it apart."""
    alphabet = set(_RARE)
    for needle in needles:
        data = _bytes(needle).translate(None, _BLANK)
        missing = _TRACE_LENGTH - sum(byte in alphabet for byte in data)
        others = [byte for byte in data if byte not in alphabet]
        for byte in sorted(set(others), key=lambda byte: (byte in _BY_RARITY, _BY_RARITY.find(byte))):
            if missing <= 0:
                break
            alphabet.add(byte)
            missing -= others.count(byte)
    return alphabet


# ---- well-known formats

_EDGE = r"(?<![A-Za-z0-9])"

_FORMATS: tuple[tuple[tuple[tuple[str, ...], ...], str], ...] = (
    # Hints, of one of which all parts must occur, the rarest first; then the pattern, of which the group ``secret``,
    # or else all, is masked.
    ((("ghp_",), ("gho_",), ("ghu_",), ("ghs_",), ("ghr_",)), _EDGE + r"gh[opusr]_[A-Za-z0-9_]{16,}"),
    ((("_pat_",),), _EDGE + r"[a-z]{2,8}_pat_[A-Za-z0-9]{20,}(?:_[A-Za-z0-9]{20,})?"),
    ((("glpat-",),), _EDGE + r"glpat-[\w.-]{16,}"),
    ((("xox",),), _EDGE + r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ((("AKIA",), ("ASIA",)), _EDGE + r"A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ((("AIza",),), _EDGE + r"AIza[\w-]{30,}"),
    ((("npm_",),), _EDGE + r"npm_[A-Za-z0-9]{30,}"),
    ((("pypi-AgE",),), r"pypi-AgE[\w-]{16,}"),
    ((("eyJ",),), r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){0,3}"),
    ((("k_live_",),), _EDGE + r"[sr]k_live_[A-Za-z0-9]{16,}"),
    ((("AZDO",),), _EDGE + r"[A-Za-z0-9]{40,90}AZDO[A-Za-z0-9]{4}(?![A-Za-z0-9])"),
    ((("ccountKey=",), ("ccessKey=",)), r"(?:Account|Access)Key=(?P<secret>[A-Za-z0-9+/]{20,}={0,2})"),
    ((("-TOKEN",),), r"(?:PRIVATE|JOB|DEPLOY)-TOKEN[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?P<secret>[^\s\"',;]{8,})"),
    (
        (("uthorization",), ("UTHORIZATION",)),
        (
            r"(?i:uthorization)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?i:bearer|basic|token|digest|apikey)\s{1,3}"
            r"|(?=[^\s\"',;]{0,200}\d))"
            r"(?P<secret>[^\s\"',;*]{8,})"
        ),
    ),
    ((("@", "://"),), r"://[^\s/@:\"'<>]{0,256}:(?P<secret>[^\s/@\"'<>]{1,512})@"),
    ((("@", "://"),), r"://(?P<secret>[^\s/@:\"'<>]{16,512})@"),
)
_PATTERNS = tuple((hints, re.compile(pattern)) for hints, pattern in _FORMATS)
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_MAX_KEY = 32 * 1024
_KEY_BODY = re.compile(r"(?:(?:\\[rn]|\s){0,8}[A-Za-z0-9+/=]{16,}+)*")
_HINTS = (*dict.fromkeys(hint for hints, _ in _FORMATS for hint in hints), ("PRIVATE KEY",))
_HINT_IGNORED = bytes(set(range(256)).difference(b"AIJKSTZDO_-:@ghkmpxyz"))
_HINT_TRACES: dict[bytes, list[tuple[str, ...]]] = {}
for _hint in _HINTS:
    _HINT_TRACES.setdefault(_bytes(_hint[0]).translate(None, _HINT_IGNORED), []).append(_hint)


def _looks_like_a_token(text: str) -> bool:
    rare = _bytes(text).translate(None, _HINT_IGNORED)
    for trace, hints in _HINT_TRACES.items():
        if trace in rare and any(all(part in text for part in hint) for hint in hints):
            return True
    return False


def _format_spans(text: str) -> Iterator[tuple[int, int]]:
    for hints, pattern in _PATTERNS:
        if any(all(part in text for part in hint) for hint in hints):
            group = "secret" if "secret" in pattern.groupindex else 0
            yield from (match.span(group) for match in pattern.finditer(text))
    if "PRIVATE KEY" in text:
        yield from _private_keys(text)


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    """The PEM blocks of private keys; of one that was cut off, what looks like its content."""
    position = 0
    searched = 0  # up to here there is no end of a block
    while begin := _KEY_BEGIN.search(text, position):
        body = _KEY_BODY.match(text, begin.end())
        position = body.end() if body else begin.end()
        limit = begin.end() + _MAX_KEY
        end = text.find("-----END", max(begin.end(), searched), limit)
        closing = text.find("-----", end + 8, end + 80) if end >= 0 else -1
        if closing >= 0:
            position = closing + 5
        elif end < 0:
            searched = limit
        yield begin.start(), position
