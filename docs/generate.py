"""Writes what follows from the code: pages, and both actions' inputs and outputs. Run it from anywhere."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from ci_bridge import platforms
from ci_bridge.options import NOT_YET, Option, options
from ci_bridge.protocols import ROLES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "configuration.md"
CAPABILITIES = ROOT / "docs" / "capabilities.md"
ACTION = ROOT / "action.yml"
COMPOSITE = ROOT / "composite" / "action.yml"
GUIDE = ROOT / "docs" / "getting-started-github.md"

_SHOWN = re.compile(r"(<!-- (templates/[\w./-]+\.yml) -->\n\n)(?:```yaml\n.*?^```\n)?", re.MULTILINE | re.DOTALL)
"""A remark that names a file, and the block below it that shows the file."""

FROM_THE_JOB = {
    "api_token": "github.token",
    "shard": "toJSON(matrix)",
    "shard_total": "strategy.job-total",
}
"""Option -> what the workflow alone knows. Inputs have no other defaults, so that configuration files can speak."""

FROM_THE_RUNTIME = ("ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL")
"""Variables that the runner gives to actions, but not to the steps of a composite one."""

OUTPUTS = {
    "conclusion": "success, failure, error or no_results",
    "total": "Number of cases: passed + failed + error + skipped",
    "passed": "Number of passed cases, those that passed on retry included; the comment counts these as flaky instead",
    "failed": "Number of failed cases, errors not included; what the comment calls failed is failed + error",
    "error": "Number of cases that broke",
    "skipped": "Number of skipped cases",
    "new-failures": "Failures that this change brought, errors included",
    "known-failures": "Failures that were there before",
    "unjudged-failures": "Failures without a history to judge them by",
    "flaky": "Cases judged flaky: passed on retry, or failed and known to fail now and then",
    "fixed": "Cases that failed before and pass now",
    "shards": "Number of parallel jobs whose results are in these numbers",
    "run-id": "The test run's id in the history",
    "report-path": "The HTML report, else another one, below the workspace",
    "comment-url": "Address of the comment",
    "json": "The numbers in one JSON object, for fromJSON()",
}
"""Output -> what it holds; a test holds them against what the report hands out."""

INTRODUCTION = """\
# Configuration

<!-- Written by docs/generate.py out of ci_bridge/options.py; change it there. -->

Every option has one name. It can be set in five places; a later one wins:

| place | how `fail_on` is spelt there |
|---|---|
| `ci-bridge.toml`, or `[tool.ci-bridge]` in `pyproject.toml` | `fail_on = "failures"` or `fail-on = "failures"` |
| environment | `CI_BRIDGE_FAIL_ON=failures` |
| input of the action | `fail-on: failures` |
| the `config` argument of the Python API | `{"fail_on": "failures"}` |
| command line | `--fail-on failures` |

`ci-bridge config` prints the value of every option and where it came from. Secrets are shown as `***`.

* The configuration file is looked for in the folder that ci-bridge runs in. Where there is a `ci-bridge.toml`, the table in
  `pyproject.toml` is ignored as a whole, with a warning. A file may have 256 KiB; a link out of the folder is not followed.
* In TOML a value has its proper type: `true`, `3`, `"text"`, `["a", "b"]`. A list may also be written like a variable.
* In variables and inputs, truth values are `true false yes no on off 1 0` in any case, and lists are separated by commas or
  line breaks. An empty variable or input is unset.
* An unknown key, variable, input or flag and a value that is not allowed are errors: the exit code is 2, nothing is sent, and
  the message lists every problem at once. Variables that begin with `CI_BRIDGE_` belong to ci-bridge; beside the options only
  `CI_BRIDGE_VERSION` and `CI_BRIDGE_IMAGE` (for pinning a release in a pipeline) and `CI_BRIDGE_INPUTS` (set by the image)
  are accepted.

## Options
"""  # noqa: E501 - lines of a page

TRUST = """\
## Whose word counts

On a pull request the checkout belongs to whoever opened it, and so does a configuration file in it. Such a file is not
trusted. The options marked T are ignored there, each with a warning; set them by an input, a variable or a flag. They are
those by which a pull request could send results or credentials elsewhere ({redirecting}), or touch what other runs recorded
({touching}). So is a template given by its path, and a template that lies inside an untrusted checkout is ignored whoever
names it, and so are patterns in `results` that are absolute or hold `..`. A file that is a token's home is no better for being trusted: {tokens} in any file are an error.

`fail_on`, `strict` and `required_channels` may stand in an untrusted file. Their defaults are the laxest values there are, so
ignoring them would hide failures instead of showing them. To make a gate binding for everybody, set them by an input, a
variable or a flag: those beat the file.
"""  # noqa: E501 - lines of a page


def configuration_page() -> str:
    """The text of docs/configuration.md."""
    trusted = [option for option in options() if option.trusted_only and option.in_file]
    touching = ("artifact_dir", "history_key", "history_retention_days")
    rows = [INTRODUCTION, "| option | default | allowed | what it does |", "|---|---|---|---|", *map(_row, options())]
    legend = (
        "\nS: secret, never shown. T: not from an untrusted file, see below. "
        "N: not available in this version; only the default is accepted, or, where a value is named, anything else.\n"
    )
    trust = TRUST.format(
        redirecting=_names(option.name for option in trusted if option.name not in touching),
        touching=_names(touching),
        tokens=_names(option.name for option in options() if not option.in_file),
    )
    return "\n".join([*rows, legend, trust])


CAPABILITIES_INTRODUCTION = """\
# Platforms and capabilities

<!-- Written by docs/generate.py out of ci_bridge/platforms; change it there. -->

Where two platforms claim one environment, the one further up wins; `ci_system` decides otherwise. A platform without an
adapter in this version is detected and described in full, and delivers to files as `local` does; every receipt says so.

| `ci_system` | platform | delivers in this version | token is looked for in |
|---|---|---|---|
"""

ROLES_INTRODUCTION = """
## What an adapter can do

`ci_client.capabilities` names the roles that the adapter in use fills: those that this job's tokens allow.

| capability | what it means | filled by |
|---|---|---|
"""


def capabilities_page() -> str:
    """The text of docs/capabilities.md."""
    rows, filled = [], dict[str, list[str]]()
    for platform in platforms.available():
        delivers = "itself" if platform.connect else "as `local`"
        tokens = ", ".join(f"`{name}`" for name in platform.token_variables)
        page = f"[{platform.title}](../ci_bridge/platforms/{platform.name}/README.md)"
        rows.append(f"| `{platform.name}` | {page} | {delivers} | {tokens} |")
        if platform.connect:
            for role in _most_that_it_can(platform.name):
                filled.setdefault(role, []).append(platform.name)
    roles = [
        f"| `{name}` | {(role.__doc__ or '').partition('. ')[0].rstrip('.')} | {', '.join(filled.get(name, []))} |"
        for name, role in ROLES.items()
    ]
    return CAPABILITIES_INTRODUCTION + "\n".join(rows) + "\n" + ROLES_INTRODUCTION + "\n".join(roles) + "\n"


def _most_that_it_can(name: str) -> set[str]:
    """The roles of a platform's fullest adapter; what a job gets depends on its tokens."""
    module = importlib.import_module(f"ci_bridge.platforms.{name}.adapter")
    classes = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    return max(({role for role in ROLES if ROLES[role] in one.__mro__} for one in classes), key=len)


def action_inputs() -> str:
    """The ``inputs`` of an action."""
    lines = ["inputs:"]
    for option in options():
        lines.append(f"  {option.hyphenated}:")
        lines.append(f"    description: {json.dumps(_description(option), ensure_ascii=False)}")
        if option.name in FROM_THE_JOB:
            lines.append(f"    default: ${{{{ {FROM_THE_JOB[option.name]} }}}}")
    return "\n".join(lines) + "\n"


def action_outputs(step: str | None = None) -> str:
    """The ``outputs`` of an action; a composite one names the step that they come from."""
    lines = ["outputs:"]
    for name, text in OUTPUTS.items():
        lines += [f"  {name}:", f"    description: {json.dumps(text + '.')}"]
        lines += [f"    value: ${{{{ steps.{step}.outputs.{name} }}}}"] if step else []
    return "\n".join(lines) + "\n"


def action_with(declared: str, action: str) -> str:
    """The text of action.yml with other inputs and outputs."""
    before, rest = action.split("\ninputs:\n", 1)
    return f"{before}\n{declared}\nruns:\n" + rest.split("\nruns:\n", 1)[1]


def container_action() -> str:
    """The text of action.yml."""
    return action_with(action_inputs() + "\n" + action_outputs(), ACTION.read_text(encoding="utf-8"))


def composite_action() -> str:
    """The text of composite/action.yml. Inputs reach the step as variables: in a script they would be code."""
    # A container action has this input without saying so.
    command = "  args:\n    description: Another command than `report`, and its arguments.\n"
    declared = action_inputs() + command + "\n" + action_outputs("report")
    handed = "".join(f"        {name}: ${{{{ steps.runtime.outputs.{name} }}}}\n" for name in FROM_THE_RUNTIME)
    handed += "".join(
        f"        INPUT_{option.name.upper()}: ${{{{ inputs.{option.hyphenated} }}}}\n" for option in options()
    )
    handed += "        INPUT_ARGS: ${{ inputs.args }}\n"
    before, after = action_with(declared, COMPOSITE.read_text(encoding="utf-8")).split("      env:\n", 1)
    rest = after.split("\n    - ", 1)[1]
    return f"{before}      env:\n{handed}\n    - {rest}"


def _row(option: Option) -> str:
    marks = [mark for mark, is_set in (("S", option.secret), ("T", option.trusted_only)) if is_set]
    if option.name in NOT_YET:
        values = NOT_YET[option.name].values
        marks.append(f"N for `…{values}…`" if values else "N")
    allowed = _allowed(option).replace("|", "\\|")
    return (
        f"| `{option.name}` | {_default(option)} | {allowed} | {option.help}{''.join(f' ({mark})' for mark in marks)} |"
    )


def _default(option: Option) -> str:
    return f"`{option.default_text}`" if option.default_text else ""


def _allowed(option: Option) -> str:
    if option.choices:
        words = ", ".join(f"`{choice}`" for choice in option.choices)
        more = ", or a path" if option.shape == "template" else ""
        return f"any of {words}" if option.type == "list" else words + more
    if option.type in ("integer", "number"):
        kind = "whole number" if option.type == "integer" else "number"
        unit = f" {option.unit}" if option.unit else ""
        return f"{kind}, {option.minimum:g} to {option.maximum:.15g}{unit}"
    if option.shape == "platform":
        return "`auto` or the name of a platform, see [platforms](../ci_bridge/platforms)"
    return {
        "url": "`https://…` or `http://…`, without a password",
        "store": "a folder, `s3://…` or `postgresql://…`",
        "folder": "a folder of its own",
        "key": "letters, digits, `.`, `-`, `_`",
    }.get(option.shape, {"boolean": "`true`, `false`", "list": "list of texts"}.get(option.type, "text"))


def _description(option: Option) -> str:
    facts = []
    if option.choices:
        facts.append(("any of " if option.type == "list" else "") + ", ".join(option.choices))
        facts[-1] += " or a path" if option.shape == "template" else ""
    if option.unit:
        facts.append(f"in {option.unit}")
    if option.default_text:
        facts.append(f"default {option.default_text}")
    if option.name in NOT_YET:
        values = NOT_YET[option.name].values
        facts.append(
            f"{values} addresses are not available in this version" if values else "not available in this version"
        )
    return option.help + (f" ({'; '.join(facts)})" if facts else "") + "."


def _names(names: Iterable[str]) -> str:
    words = [f"`{name}`" for name in names]
    return ", ".join(words[:-1]) + " and " + words[-1]


def guide_page() -> str:
    """The guide as it stands, each template that it shows brought up to date."""
    return _SHOWN.sub(
        lambda match: f"{match[1]}```yaml\n{(ROOT / match[2]).read_text(encoding='utf-8')}```\n",
        GUIDE.read_text(encoding="utf-8"),
    )


def write() -> None:
    """Write all of them."""
    GUIDE.write_text(guide_page(), encoding="utf-8")
    CAPABILITIES.write_text(capabilities_page(), encoding="utf-8")
    PAGE.write_text(configuration_page(), encoding="utf-8")
    ACTION.write_text(container_action(), encoding="utf-8")
    COMPOSITE.write_text(composite_action(), encoding="utf-8")


if __name__ == "__main__":
    write()
