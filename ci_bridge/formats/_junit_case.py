"""One JUnit test case with its result elements, and how they become an outcome and attempts."""

from __future__ import annotations

from dataclasses import replace

from ci_bridge.formats.plugin import CappedText
from ci_bridge.models import Attempt, Outcome, Row

RANK = {Outcome.PASSED: 0, Outcome.SKIPPED: 1, Outcome.FAILED: 2, Outcome.ERROR: 3}
"""The worst of several results counts."""

FINAL = {
    "failure": Outcome.FAILED,
    "error": Outcome.ERROR,
    "skipped": Outcome.SKIPPED,
    "disabled": Outcome.SKIPPED,
    "ignored": Outcome.SKIPPED,
}
_FLAKY = {"flakyFailure": Outcome.FAILED, "flakyError": Outcome.ERROR}
_RERUN = {"rerunFailure": Outcome.FAILED, "rerunError": Outcome.ERROR}
RESULTS = FINAL | _FLAKY | _RERUN

# Words of the attributes ``status`` and ``result``: GoogleTest, CTest, Bazel, and what in-house writers come up with.
WORDS = {
    word: outcome
    for outcome, words in {
        Outcome.PASSED: "run passed pass success successful succeeded ok completed complete done executed "
        "finished fixed",
        Outcome.SKIPPED: "disabled notrun notexecuted skipped skip suppressed ignored ignore inconclusive pending todo "
        "excluded filtered notstarted",
        Outcome.FAILED: "failed fail failure failing unsuccessful ko regression",
        Outcome.ERROR: "error errored crashed crash broken aborted timeout timedout",
    }.items()
    for word in words.split()
}  # fmt: skip


class Result:
    """One result element of a case: a failure, an error, a skip, or one of surefire's earlier attempts."""

    def __init__(self, kind: str, attributes: dict[str, str], limit: int, seconds: float = 0.0) -> None:
        self.kind = kind
        self.outcome = RESULTS[kind]
        self.seconds = seconds
        self.type = attributes.get("type", "")
        self.message = attributes.get("message", "")
        self.text = CappedText(limit)
        self.output = CappedText(limit)
        self.error_output = CappedText(limit)

    def attempt(self) -> Attempt:
        return Attempt(
            self.outcome, self.seconds, self.type, self.message, str(self.text).strip("\n"), str(self.output),
            str(self.error_output),
        )  # fmt: skip


_MOST_RESULTS = 50


class OpenCase:
    """The case whose children are being read.

    Args:
        row: What the start tag says.
        stated: The outcome that its attributes state, None where they state none or a pass.
        limit: Characters of each text to keep.
    """

    def __init__(self, row: Row, stated: Outcome | None, limit: int) -> None:
        self.row = row
        self.stated = stated
        self.results: list[Result] = []
        self.path: list[str] = []
        self.output = CappedText(limit)
        self.error_output = CappedText(limit)

    def add(self, result: Result) -> None:
        """Take a result; of a flood of them some are dropped, but never what makes the case red."""
        if len(self.results) >= _MOST_RESULTS:
            dropped = self.results.pop()
            if dropped.kind in FINAL and RANK[dropped.outcome] > RANK[self.stated or Outcome.PASSED]:
                self.stated = dropped.outcome
        self.results.append(result)

    def add_directive(self, property: dict[str, str]) -> None:  # noqa: A002 - the element's own name
        """Take TAP's ``skip`` or ``todo``, which node-tap writes as a property of the case."""
        name, value = property.get("name", ""), property.get("value", "")
        if name in ("skip", "todo") and value != "false":
            self.add(Result("skipped", {"type": name, "message": "" if value == "true" else value}, len(value)))


def settle(case: OpenCase) -> tuple[Attempt, tuple[Attempt, ...]]:
    """The last attempt of a case and the earlier ones, from its result elements.

    Surefire writes a test that passed in the end with ``flaky…`` elements only, and one that failed to the end with
    ``failure`` or ``error`` for the first attempt and ``rerun…`` for the later ones. What Node.js and node-tap call a
    todo may fail without any harm.
    """
    stated = case.stated
    if todo := next((result for result in case.results if result.kind == "skipped" and result.type == "todo"), None):
        reason = "" if todo.message == "true" else todo.message
        return replace(todo.attempt(), message=f"todo: {reason}".removesuffix(": ")), ()
    if len(case.results) == 1 and stated is None and case.results[0].kind in FINAL:
        return case.results[0].attempt(), ()
    final = [result.attempt() for result in case.results if result.kind in FINAL]
    flaky = [result.attempt() for result in case.results if result.kind in _FLAKY]
    rerun = [result.attempt() for result in case.results if result.kind in _RERUN]
    if stated is not None and RANK[stated] > max((RANK[attempt.outcome] for attempt in final), default=0):
        final.insert(0, Attempt(stated))
    executions = [*flaky, *([_worst(final)] if final else []), *rerun]
    if not final and not rerun:
        executions.append(Attempt(Outcome.PASSED))
    return executions[-1], tuple(executions[:-1])


def _worst(results: list[Attempt]) -> Attempt:
    """Several results of one attempt as one: the worst outcome with its message, and the texts of all."""
    if len(results) == 1:
        return results[0]
    worst = max(results, key=lambda result: RANK[result.outcome])
    texts = [worst.details]
    for result in results:
        if result is not worst:
            head = ": ".join(filter(None, (result.type, result.message)))
            texts.append("\n".join(filter(None, (head, result.details))))
    return Attempt(
        worst.outcome, 0.0, worst.type, worst.message, "\n\n".join(filter(None, texts)),
        "".join(result.output for result in results), "".join(result.error_output for result in results),
    )  # fmt: skip
