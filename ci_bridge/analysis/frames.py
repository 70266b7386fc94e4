"""The frames of a stack trace that are the project's own, in every language.

All patterns are linear: they hold no nested or overlapping repetition, and see bounded lines only, because the texts
come from whoever wrote the tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the project's own.

    Attributes:
        file: The last two parts of its path: what differs from one machine to the next lies before them.
        function: As the trace tells it, empty if it does not.
    """

    file: str
    function: str = ""

    @property
    def text(self) -> str:
        """``file:function``."""
        return f"{self.file}:{self.function}" if self.function else self.file

    @property
    def is_named(self) -> bool:
        """True if its function has a name by which to tell it from others."""
        return bool(self.function) and not _NAMELESS.search(self.function)

    def is_test_code(self, file: str = "", classname: str = "") -> bool:
        """True for a frame of the test itself and of other test code.

        Args:
            file: The test's own, if it is known.
            classname: The same.
        """
        if (file and self.file == short_path(file)) or (classname and self.function.startswith(f"{classname}.")):
            return True
        return bool(_TEST_CODE.search(self.file))


_NAMELESS = re.compile(r"<anonymous>|<lambda>|<top|<main>|\bblock (?:\(|in )|^block|\{\{?closure|\$?lambda\$")

_TEST_CODE = re.compile(
    r"(?:^|[^A-Za-z])(?:[Uu]nit|conf)?[Tt]ests?(?![a-z])|(?:^|[^A-Za-z])[Ss]pecs?(?![a-z])|__tests__"
    r"|[a-z0-9](?:Tests?|TestCase|Spec|Specs|IT)(?![A-Za-z])|(?:^|/)Test[A-Z]|(?:^|[^A-Za-z])steps(?![a-z])|_testmain"
)
"""Files and folders that hold tests, by the habits of all languages: ``tests/``, ``test_a.py``, ``CartTest.java``."""


@dataclass(frozen=True, slots=True)
class _Language:
    """How a language writes a frame.

    Attributes:
        frame: Groups ``file`` and, where it is on the line, ``function``.
        foreign: Frames that are not the project's own.
        mark: Stands in every text that holds a frame, so that most texts are passed over at once.
        above: Finds the ``function`` on the line before where it is not on the frame's own.
        innermost_first: The order of its stack traces.
    """

    frame: re.Pattern[str]
    foreign: re.Pattern[str]
    mark: str
    above: re.Pattern[str] | None = None
    innermost_first: bool = True


_PYTEST = _Language(  # tests/test_x.py:12: AssertionError, below the function's source
    re.compile(r"^(?P<file>[\w./\\-]{1,300}\.py):\d+: ?(?:in )?(?P<function>(?!\w*(?:Error|Exception))\w{0,100})"),
    re.compile(r"site-packages|dist-packages|[/\\]lib[/\\]python\d|_pytest"),
    mark=".py:",
    innermost_first=False,
)

_LANGUAGES = (
    _Language(  # Python
        re.compile(r'^\s*File "(?P<file>[^"]{1,400})", line \d+, in (?P<function>[^\n]{1,200})$'),
        re.compile(r"site-packages|dist-packages|[/\\]lib[/\\]python\d|^<|_pytest|[/\\]unittest[/\\]"),
        mark='File "',
        innermost_first=False,
    ),
    _PYTEST,
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
        above=re.compile(r"^\s*\d{1,4}: (?:0x[0-9a-f]{1,16} - )?(?P<function>[^\s:][^\s]{0,250})$"),
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
        above=re.compile(r"^(?:[^\s()]{1,250}/)?(?P<function>[\w.-]{1,100}(?:\(\*?\w{1,100}\))?[\w.]{0,100})\("),
    ),
)


_PYTEST_SOURCE = re.compile(r"^\s{0,8}(?:async )?def (?P<function>\w{1,100})\(")


def own_frames(lines: list[str]) -> list[Frame]:
    """The project's own frames, innermost first, each once."""
    text = "\n".join(lines)
    for language in _LANGUAGES:
        if language.mark not in text:
            continue
        if found := [*dict.fromkeys(_frames_in(language, lines))]:
            return found if language.innermost_first else found[::-1]
    return []


def _frames_in(language: _Language, lines: list[str]) -> list[Frame]:
    found: list[Frame] = []
    before = source = ""
    for line in lines:
        if frame := language.frame.search(line):
            function = frame["function"] or ""
            if not function and language.above and (above := language.above.search(before)):
                function = above["function"]
            # A function is foreign by its package where the file tells none.
            where = function.strip() if "at " in line[:12] else frame["file"]
            if not (language.foreign.search(frame["file"]) or language.foreign.search(where)):
                found.append(Frame(short_path(frame["file"]), _bare(function or source)))
            source = ""
        elif language is _PYTEST and not source and (shown := _PYTEST_SOURCE.match(line)):
            source = shown["function"]
        before = line
    return found


def short_path(path: str) -> str:
    """The last two parts of a path."""
    return "/".join(path.replace("\\", "/").rstrip("/").split("/")[-2:])


def _bare(function: str) -> str:
    return re.sub(r"0x[0-9a-f]+|\d{4,}", "#", function.strip())
