"""What kind of failure a text tells of, and which failures have the same cause.

All patterns are linear: they hold no nested or overlapping repetition, and see bounded lines only, because the texts
come from whoever wrote the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

LONGEST_LINE = 1000
MOST_LINES = 400
FRAMES = 3
LONGEST_SIGNATURE = 500


class _Words:
    """Patterns of which one has to be found, upper and lower case alike.

    Looking for a literal is twenty times quicker than for a pattern, so each pattern is tried only where a literal that
    it cannot do without stands in the text.
    """

    _VARIABLE = re.compile(r"\(\?[:!=<][^()]*\)[?*]?|\[[^\]]*\](?:\{[^}]*\}|[?*+])?|.\?|\.\{[^}]*\}|\\[a-zA-Z]|[\\^$.]")

    def __init__(self, *patterns: str) -> None:
        self.patterns = [(self.literal_of(pattern), re.compile(pattern, re.IGNORECASE)) for pattern in patterns]

    @classmethod
    def literal_of(cls, pattern: str) -> str:
        """The longest text, in lower case, that every match of the pattern holds."""
        return max((part.lower() for part in cls._VARIABLE.split(pattern)), key=len)

    def found_in(self, text: str, lowered: str) -> bool:
        """True if one of them is in the text, which is given in lower case too."""
        return any(literal in lowered and pattern.search(text) for literal, pattern in self.patterns)


_ASSERTION_TYPES = re.compile("assert|expectation|ComparisonFailure|MultipleFailures|^failure$|shouldbe", re.IGNORECASE)

CLASSES: tuple[tuple[str, _Words], ...] = (
    ("out of memory", _Words(
        r"out of memory", r"OutOfMemory", r"\bMemoryError\b", r"\boom[- ]?kill", r"heap limit", r"heap out of",
        r"cannot allocate memory", r"std::bad_alloc", r"\bENOMEM\b",
    )),
    ("infrastructure", _Words(
        r"connection (?:refused|reset|aborted|timed out)", r"\bECONN(?:REFUSED|RESET|ABORTED)\b", r"broken pipe",
        r"no route to host", r"network is unreachable", r"name or service not known", r"could not resolve host",
        r"getaddrinfo", r"\bENOTFOUND\b", r"\bEAI_AGAIN\b", r"temporary failure in name resolution",
        r"no space left", r"\bENOSPC\b", r"disk quota", r"too many open files", r"\bEMFILE\b",
        r"\b50[234] (?:bad gateway|service|gateway)", r"bad gateway", r"service unavailable", r"too many requests",
        r"certificate verify failed", r"ssl(?:error| handshake)", r"docker daemon", r"image pull", r"runner.{0,40}lost",
        r"UnknownHostException", r"ConnectException", r"address already in use", r"\bEADDRINUSE\b",
    )),
    ("timeout", _Words(
        r"\btime[- ]?d?[- ]?out\b", r"timed out", r"TimeoutE(?:rror|xception)", r"deadline exceeded", r"\bETIMEDOUT\b",
        r"exceeded timeout", r"TestTimedOut",
    )),
    ("crash", _Words(
        r"segmentation fault", r"\bSIG(?:SEGV|ABRT|BUS|ILL|KILL|FPE)\b", r"core dumped", r"access violation",
        r"fatal error: (?:runtime|stack)", r"stack ?overflow", r"maximum call stack", r"RecursionError",
        r"worker .{0,40}crashed", r"process (?:crashed|was killed)", r"AddressSanitizer", r"ThreadSanitizer",
    )),
    ("setup", _Words(
        r"error (?:at|in|during) (?:the )?(?:setup|teardown|fixture)",
        r"failed (?:at|in|during) (?:the )?(?:setup|teardown|fixture)", r"fixture '[^']{1,80}' not found",
        r"\b(?:before|after)[ _-]?(?:all|each)?[\"']? hook", r"\bset ?up(?:class|method)? (?:failed|error)",
        r"before_(?:all|each|scenario|feature)", r"after_(?:all|each|scenario|feature)", r"@Before(?:All|Each|Class)\b",
        r"initializationError", r"suite failed to run", r"collection (?:error|failure)", r"\bINTERNALERROR\b",
    )),
    ("missing dependency", _Words(
        r"ModuleNotFoundError", r"ImportError", r"cannot find (?:module|package|symbol)", r"ClassNotFoundException",
        r"NoClassDefFoundError", r"NoSuchMethodError", r"command not found", r"unresolved import",
        r"cannot open shared object", r"LoadError", r"Could not load file or assembly",
    )),
    ("compilation", _Words(
        r"SyntaxError", r"IndentationError", r"compilation (?:error|failed)", r"build failed", r"\berror\[E\d{4}\]",
        r"error TS\d{4}", r"error CS\d{4}", r"undefined: \w",
    )),
    ("snapshot", _Words(
        r"snapshot .{0,60}(?:mismatch|match|obsolete|differ)", r"toMatchSnapshot", r"screenshot .{0,60}differ",
    )),
    ("permission", _Words(
        r"permission denied", r"\bEACCES\b", r"\bEPERM\b", r"access (?:is )?denied", r"\bunauthorized\b",
    )),
    ("assertion", _Words(
        r"\bassert", r"expected .{0,200}(?:but|got|to |received|actual)", r"to(?:Be|Equal|Contain|Throw)\b",
        r"does not match", r"\bexpect\(", r"left == right", r"not equal", r"should (?:be|have|equal|contain)\b",
    )),
)  # fmt: skip
"""Failure class and what tells it, in this order. The first that matches wins."""


def classify(kind: str, message: str, details: str) -> str:
    """The class of a failure.

    Args:
        kind: Exception or failure type. An assertion's type decides at once, whatever its message quotes.
        message: One line.
        details: Stack trace; its first 20 and last 5 lines are looked at.

    Returns:
        One of the names in :data:`CLASSES`, ``exception`` where only a type is known, else ``unknown``.
    """
    kind = kind[:LONGEST_LINE]
    if _ASSERTION_TYPES.search(kind.rsplit(".", 1)[-1]):
        return "assertion"
    lines = [*_lines(details)]
    # The type and the message say more than the trace; no pattern matches across lines.
    for text in (f"{kind}: {message[:LONGEST_LINE]}", "\n".join([*lines[:20], *lines[20:][-5:]])):
        lowered = text.lower()
        for name, words in CLASSES:
            if words.found_in(text, lowered):
                return name
    return "exception" if kind or _exception_type(lines) else "unknown"


def signature_of(kind: str, message: str, details: str) -> str:
    """A text that failures with the same cause share.

    The exception's type and the last three frames of the project's own code, without line numbers; where there is no
    stack trace, the first line with everything variable in it replaced.
    """
    lines = [*_lines(details)]
    exception = kind[:LONGEST_LINE].strip() or _exception_type(lines)
    frames = [*islice(_own_frames(lines), FRAMES)]
    first = normalise("\n".join([message, *lines]))
    if frames:
        return " < ".join([exception or first or "failure", *frames])[:LONGEST_SIGNATURE]
    if exception and not first.startswith(exception):
        first = f"{exception}: {first}" if first else exception
    return first[:LONGEST_SIGNATURE]


def _lines(text: str) -> Iterator[str]:
    for line in text[: LONGEST_LINE * MOST_LINES].splitlines()[:MOST_LINES]:
        yield line[:LONGEST_LINE]


_ONLY_A_PLACE = re.compile(r"\s*(?:(?:[A-Za-z]:)?[^\s:]{1,400}\.\w{1,8}(?::\d{1,9}){1,2}:?|unknown file:?|Failed)\s*")


def telling_line(text: str) -> str:
    """The first line that says more than where it happened; the first line that is not empty where none does.

    GoogleTest and others begin a message with ``file:line`` alone.
    """
    lines = [line for line in _lines(text) if line.strip()]
    return next((line for line in lines if not _ONLY_A_PLACE.fullmatch(line)), lines[0] if lines else "")


_EXCEPTION = re.compile(
    r"^(?:E +)?(?:Caused by: |Uncaught |thread '[^']{0,80}' )?"
    r"([A-Za-z_][\w.$]{2,120}(?:Error|Exception|Failure|Timeout|[Pp]anic))\b"
)


def _exception_type(lines: list[str]) -> str:
    for line in (*lines[:3], *reversed(lines)):
        if found := _EXCEPTION.match(line.strip()):
            return found[1]
    return "panic" if any("panicked at" in line or line.startswith("panic:") for line in lines[:20]) else ""


# --- stack traces ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Language:
    """How a language writes a frame.

    Attributes:
        frame: Groups ``file`` and, where it is on the line, ``function``.
        foreign: Frames that are not the project's own.
        mark: Stands in every text that holds a frame, so that most texts are passed over at once.
        innermost_first: The order of its stack traces.
    """

    frame: re.Pattern[str]
    foreign: re.Pattern[str]
    mark: str
    innermost_first: bool = True


_LANGUAGES = (
    _Language(  # Python
        re.compile(r'^\s*File "(?P<file>[^"]{1,400})", line \d+, in (?P<function>[^\n]{1,200})$'),
        re.compile(r"site-packages|dist-packages|[/\\]lib[/\\]python\d|^<|_pytest|[/\\]unittest[/\\]"),
        mark='File "',
        innermost_first=False,
    ),
    _Language(  # pytest's own style: tests/test_x.py:12: AssertionError
        re.compile(r"^(?P<file>[\w./\\-]{1,300}\.py):\d+: ?(?P<function>(?!\w*(?:Error|Exception))\w{0,100})"),
        re.compile(r"site-packages|dist-packages|[/\\]lib[/\\]python\d|_pytest"),
        mark=".py:",
        innermost_first=False,
    ),
    _Language(  # C#: at Shop.Cart.Total(Int32 n) in /src/Cart.cs:line 12
        re.compile(
            r"^\s*at (?P<function>[\w.`<>+\[\],]{1,250})\([^)]{0,400}\) in (?P<file>[^:]{1,3}[^:]{1,400}):line \d+"
        ),
        re.compile(r"^(?:System|Xunit|NUnit|Microsoft|Moq|FluentAssertions)\."),
        mark=":line ",
    ),
    _Language(  # Java, Kotlin, Scala: at com.shop.Cart.total(Cart.java:12)
        re.compile(
            r"^\s*at (?:[\w.@-]{1,100}/)?(?P<function>[\w.$<>]{1,250})"
            r"\((?P<file>[\w$-]{1,100}\.(?:java|kt|scala|groovy)):\d+\)"
        ),
        re.compile(
            r"^(?:java|javax|jdk|sun|com\.sun|kotlin|scala|groovy|org\.(?:junit|testng|hamcrest|assertj|mockito|gradle"
            r"|apache\.maven|springframework|codehaus))\."
        ),
        mark="at ",
    ),
    _Language(  # JavaScript, TypeScript: at total (src/cart.js:1:2), at src/cart.js:1:2
        re.compile(
            r"^\s*at (?:async )?(?:(?P<function>[^\s(][^(]{0,200}) \()?(?:file://)?(?P<file>[^\s():]{1,3}[^():]{1,400}):\d+:\d+\)?"
        ),
        re.compile(r"node_modules|node:|^internal/"),
        mark="at ",
    ),
    _Language(  # Rust's backtrace: at ./src/cart.rs:12:5
        re.compile(r"^\s*at (?P<file>[^\s:]{1,400}\.rs):\d+(?::\d+)?(?P<function>)"),
        re.compile(r"/rustc/|\.cargo/registry"),
        mark=".rs:",
    ),
    _Language(  # Rust's message: panicked at src/cart.rs:12:5
        re.compile(r"panicked at (?P<function>)(?:'[^']{0,300}', )?(?P<file>[^\s:]{1,400}\.rs):\d+"),
        re.compile(r"/rustc/|\.cargo/registry"),
        mark="panicked at",
    ),
    _Language(  # Ruby: spec/cart_spec.rb:12:in 'total'
        re.compile(r"^\s*(?:# |from )?(?P<file>[^\s:]{1,400}\.rb):\d+(?::in [`'](?P<function>[^'`]{1,200})')?"),
        re.compile(r"/gems/|/lib/ruby/|<internal:"),
        mark=".rb:",
    ),
    _Language(  # PHP: #0 /src/Cart.php(12): Shop\Cart->total()
        re.compile(r"^\s*(?:#\d+ )?(?P<file>[^\s:(]{1,400}\.php)(?:\(\d+\): (?P<function>[\w\\>:-]{1,200})|:\d+$)"),
        re.compile(r"/vendor/|phpunit"),
        mark=".php",
    ),
    _Language(  # Go: /src/cart.go:12 +0x1d in a panic, cart_test.go:12: in a test
        re.compile(r"^\s*(?P<file>[^\s:]{1,400}\.go):\d+(?P<function>)(?:\s\+0x|:|$)"),
        re.compile(r"/usr/local/go/|/go/src/(?:runtime|testing|reflect)|/pkg/mod/|^\$GOROOT"),
        mark=".go:",
    ),
)


def _own_frames(lines: list[str]) -> Iterator[str]:
    """``file:function`` of the project's own frames, innermost first."""
    text = "\n".join(lines)
    for language in _LANGUAGES:
        if language.mark not in text:
            continue
        found = []
        for line in lines:
            if frame := language.frame.search(line):
                text = f"{_short(frame['file'])}:{_bare(frame['function'] or '')}".rstrip(":")
                where = f"{frame['function'] or ''}" if "at " in line[:12] else frame["file"]
                if not (language.foreign.search(frame["file"]) or language.foreign.search(where.strip())):
                    found.append(text)
        if found:
            yield from dict.fromkeys(found if language.innermost_first else reversed(found))
            return


def _short(path: str) -> str:
    """The last two parts of a path: what differs from one machine to the next lies before them."""
    return "/".join(path.replace("\\", "/").rstrip("/").split("/")[-2:])


def _bare(function: str) -> str:
    return re.sub(r"0x[0-9a-f]+|\d{4,}", "#", function.strip())


# --- one line --------------------------------------------------------------------------------------------------------

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\x1b\[[0-9;]{0,20}[A-Za-z]", ""),
        (r"\b[a-z][a-z0-9+.-]{1,12}://[^\s'\"<>)]{1,300}", "<url>"),
        (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<uuid>"),
        (r"\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}\b", "<mail>"),
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
        (r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?\b", "<time>"),
        (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?\b", "<ip>"),
        (r"\b0[xX][0-9a-fA-F]{1,32}\b", "<hex>"),
        (r"\b(?=[a-f]{0,39}\d)(?=\d{0,39}[a-f])[0-9a-f]{7,64}\b", "<hash>"),
        (r"(?:\b[A-Za-z]:\\|\\\\)[^\s:\"'<>|]{1,300}", "<path>"),
        (r"(?:(?<=\s)|(?<=['\"(=\[])|^)(?:~|\.{0,2})/[^\s:\"'()\[\]]{1,300}", "<path>"),
        (
            (r"(?<![\w.])[-+]?\d{1,40}(?:[.,]\d{1,40})?(?:[eE][-+]?\d{1,4})?\s?"
            r"(?:ms|us|ns|s|sec|seconds?|min|[KMG]i?B|bytes?|%)(?!\w)"),
            "<amount>",
        ),
        (r"(?<![A-Za-z])[-+]?\d{1,80}(?:\.\d{1,80})?(?:[eE][-+]?\d{1,4})?", "<n>"),
        (r"(?:<n>[,; ]{1,3}){2,}<n>", "<list>"),
        (r"\s+", " "),
    )
)  # fmt: skip
"""Applied in this order to the first line of a message."""


def normalise(text: str) -> str:
    """The first line of a message with everything variable in it replaced by its kind."""
    line = telling_line(text)
    for pattern, replacement in _RULES:
        line = pattern.sub(replacement, line)
    return line.strip()[:LONGEST_SIGNATURE]
