"""What kind of failure a text tells of.

All patterns are linear: they hold no nested or overlapping repetition, and see bounded lines only, because the texts
come from whoever wrote the tests.
"""

from __future__ import annotations

import re

from ci_bridge.analysis.telling import LONGEST_LINE, lines_of


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


_ASSERTION_TYPES = re.compile(
    "assert|expectation|ComparisonFailure|MultipleFailures|^failure$|shouldbe|^(?:check|require)(?:_|$)", re.IGNORECASE
)

CLASSES: tuple[tuple[str, _Words], ...] = (
    ("out of memory", _Words(
        r"out of memory", r"OutOfMemory", r"\bMemoryError\b", r"\boom[- ]?kill", r"heap limit", r"heap out of",
        r"cannot allocate memory", r"std::bad_alloc", r"\bENOMEM\b",
    )),
    ("infrastructure", _Words(
        r"connection (?:refused|reset|aborted|timed out)", r"Connection(?:Refused|Reset|Aborted)Error",
        r"\bECONN(?:REFUSED|RESET|ABORTED)\b", r"broken pipe",
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
        r"error (?:at|in|on|during) (?:the )?(?:setup|teardown|fixture)",
        r"failed (?:at|in|on|during) (?:the )?(?:setup|teardown|fixture)", r"fixture '[^']{1,80}' not found",
        r"\b(?:before|after)[ _-]?(?:all|each)?[\"']? hook", r"set ?up(?:class|method)? (?:failed|error|: )",
        r"before_(?:all|each|scenario|feature)", r"after_(?:all|each|scenario|feature)", r"@Before(?:All|Each|Class)\b",
        r"initializationError", r"suite failed to run",
        r"ambiguous step", r"multiple step definitions", r"collection (?:error|failure)", r"\bINTERNALERROR\b",
    )),
    ("missing dependency", _Words(
        r"ModuleNotFoundError", r"ImportError", r"cannot find (?:module|package|symbol)", r"ClassNotFoundException",
        r"NoClassDefFoundError", r"NoSuchMethodError", r"command not found", r"unresolved import",
        r"cannot open shared object", r"LoadError", r"Could not load file or assembly",
    )),
    ("not implemented", _Words(
        r"\b(?:undefined|pending) step", r"\.\.\. undefined in", r"UndefinedStepException", r"PendingException",
        r"NotImplementedE(?:rror|xception)", r"not (?:yet )?implemented",
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
        r"does not match", r"\bexpect\(", r"left == right", r"not equal",
        r"expected equality", r"\bvalue of: ", r"should (?:be|have|equal|contain)\b",
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
    lines = [*lines_of(details)]
    # The type and the message say more than the trace; no pattern matches across lines.
    for text in (f"{kind}: {message[:LONGEST_LINE]}", "\n".join([*lines[:20], *lines[20:][-5:]])):
        lowered = text.lower()
        for name, words in CLASSES:
            if words.found_in(text, lowered):
                return name
    return "exception" if kind or exception_type(lines) else "unknown"


_EXCEPTION = re.compile(
    r"^(?:E +)?(?:Caused by: |Uncaught |thread '[^']{0,80}' )?"
    r"((?!testtools\.)[A-Za-z_][\w.$]{2,120}(?:Error|Exception|Failure|Timeout|[Pp]anic))\b"
)


def exception_type(lines: list[str]) -> str:
    """The type of the exception that these lines tell of, empty if they tell of none."""
    for line in (*lines[:3], *reversed(lines)):
        if found := _EXCEPTION.match(line.strip()):
            return found[1]
    return "panic" if any("panicked at" in line or line.startswith("panic:") for line in lines[:20]) else ""
