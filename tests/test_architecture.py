"""The dependency rules of docs/design.md, read off the source: imports, names, who may look at the world outside."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ci_bridge.options import NOT_YET, Settings, platform_names

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ci_bridge"

SDKS = {"github", "gitlab", "jenkinsapi", "azure", "msrest", "apprise", "boto3", "botocore", "psycopg"}
PLATFORM_WORDS = ("github", "gitlab", "jenkins", "azure", "circle", "travis", "bitbucket", "teamcity")
FORBIDDEN_WORDS = {"util", "utils", "helper", "helpers", "manager", "managers", "base", "common", "misc"}

ALLOWED = {
    "models": set(),
    "errors": set(),
    "protocols": {"models", "errors"},
    "options": {"models", "errors"},
    "names": set(),
    "option_values": {"models", "errors", "options", "names"},
    "config": {"models", "errors", "options", "option_values"},
    "masking": {"models", "errors"},
    "retry": {"models", "errors"},
    "formats": {"models", "errors", "formats"},
    "history": {"models", "errors", "protocols", "atomic", "history"},
    "analysis": {"models", "errors", "analysis"},
    "report": {"models", "errors", "analysis", "report", "_version"},
}
"""Part of the package -> the parts that it may import. ``report`` also says which version wrote it."""

FROM_OUTSIDE = {
    "os.environ", "os.getenv", "os.environb", "sys.argv", "sys.stdin", "time.time", "time.time_ns", "random.random",
    "random.randint", "random.choice", "random.uniform", "random.getrandbits", "datetime.utcnow", "datetime.today",
}  # fmt: skip
"""Names through which a module would look at the world by itself."""

SUPPLIERS = {"cli", "__main__", "console"}
"""Parts that hand the real environment, arguments and streams to the others."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(path: Path) -> str:
    """The first level under the package: ``formats`` for ``ci_bridge/formats/junit.py``."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """The dotted names that a module imports; with ``only_at_import``, those that importing it imports at once."""
    package = name_of(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    nodes = list(ast.walk(tree_of(path)))
    if only_at_import:
        nodes = list(nodes_run_at_import(tree_of(path)))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (start, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def nodes_run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from nodes_run_at_import(child)


def own_parts(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports_of(path) if name.startswith("ci_bridge.")}


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the string constants that are prose: docstrings, and texts after an assignment that explain it."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def words_in_code(path: Path) -> Iterator[tuple[int, str]]:
    """Identifiers and strings with their lines; prose and comments left out."""
    tree = tree_of(path)
    prose = docstrings(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in prose:
            yield line, node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        elif isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            yield line, node.attr
        elif isinstance(node, ast.arg):
            yield line, node.arg
        elif isinstance(node, ast.keyword):
            yield line, node.arg or ""
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield line, node.name
        elif isinstance(node, ast.alias):
            yield line, f"{node.name} {node.asname or ''}"


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---- rule 1 and 2: who imports whom


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_a_part_imports_only_what_it_may(path: Path):
    allowed = ALLOWED.get(part_of(path))
    if allowed is not None:
        assert own_parts(path) <= allowed


@pytest.mark.parametrize("part", ["models", "errors"])
def test_models_and_errors_need_only_the_standard_library(part: str):
    names = {name.split(".")[0] for name in imports_of(PACKAGE / f"{part}.py")}
    assert names <= sys.stdlib_module_names | {"__future__"}


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_only_the_surface_imports_the_client(path: Path):
    if part_of(path) not in {"cli", "running", "integrations", "__init__", "client", "preparation"}:
        assert "client" not in own_parts(path)


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_nothing_imports_the_command_line(path: Path):
    if part_of(path) not in {"cli", "__main__"}:
        assert "cli" not in own_parts(path)


@pytest.mark.parametrize("path", sorted((PACKAGE / "platforms").rglob("*.py")), ids=by_name)
def test_a_platform_knows_the_domain_and_no_other_platform(path: Path):
    own = path.relative_to(PACKAGE / "platforms").parts[0]
    for name in imports_of(path):
        words = name.split(".")
        if words[0] != "ci_bridge":
            continue
        if words[1] == "platforms":
            assert len(words) < 3 or words[2] == own or words[2].startswith("_") or own == "__init__.py", name
        elif own != "__init__.py":
            allowed = {"models", "errors", "protocols", "names", "atomic", "artifacts", "report"}
            assert words[1] in allowed or words[1:3] == ["history", "folder_store"], name


# ---- rule 3: one SDK per file, lazily


def test_each_sdk_is_imported_in_one_file_only():
    users: dict[str, set[str]] = {}
    for path in modules():
        for name in imports_of(path):
            if name.split(".")[0] in SDKS:
                users.setdefault(name.split(".")[0], set()).add(by_name(path))
    assert all(len(files) == 1 for files in users.values()), users


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_no_sdk_and_nothing_heavy_is_imported_by_importing_a_module(path: Path):
    at_once = {name.split(".")[0] for name in imports_of(path, only_at_import=True)}
    if path.name != "adapter.py":
        assert not at_once & SDKS
    assert not at_once & {"jinja2", "rich", "sqlite_utils", "lxml"}


@pytest.mark.parametrize("command", [["--version"], ["detect"]])
def test_the_command_line_starts_without_any_sdk(command: list[str], tmp_path: Path):
    heavy = SDKS | {"jinja2", "requests", "sqlite_utils", "lxml", "rich", "asyncio"}
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['ci-bridge', *{command!r}]\n"
        "try: runpy.run_module('ci_bridge', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print('loaded', sorted(sys.modules.keys() & {heavy - {'asyncio'}!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "loaded []", done.stdout + done.stderr


# ---- rule 4: no platform's name outside its folder


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_no_platforms_name_occurs_in_code_outside_its_own_folder(path: Path):
    folder = path.relative_to(PACKAGE).parts
    own = folder[1] if folder[0] == "platforms" and len(folder) > 2 else ""
    pattern = re.compile("|".join(word for word in PLATFORM_WORDS if word != own), re.IGNORECASE)
    found = [f"line {line}: {word}" for line, word in words_in_code(path) if pattern.search(word)]
    assert not found


def test_every_platform_present_is_one_of_the_known_words():
    assert set(platform_names()) - {"local"} <= set(PLATFORM_WORDS)


# ---- rule 5: the world outside is handed in


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_only_the_surface_looks_at_environment_arguments_clock_and_chance(path: Path):
    if part_of(path) in SUPPLIERS:
        return
    inside_defaults = {id(node) for default in defaults_in(path) for node in ast.walk(default)}
    found = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in FROM_OUTSIDE and id(node) not in inside_defaults
    ]
    assert not found


def defaults_in(path: Path) -> Iterator[ast.expr]:
    """Where the real thing is what the rule asks for: defaults of parameters and fields, and ``… if x is None …``."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.arguments):
            yield from (default for default in (*node.defaults, *node.kw_defaults) if default is not None)
        elif isinstance(node, ast.ClassDef):
            yield from (field.value for field in node.body if isinstance(field, ast.AnnAssign) and field.value)
        elif isinstance(node, ast.IfExp) and ast.unparse(node.test).endswith((" is None", " is not None")):
            yield node


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_nothing_but_the_surface_prints(path: Path):
    if part_of(path) in SUPPLIERS:
        return
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    assert not [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id in ("print", "input")]


# ---- names and sizes


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_no_module_or_class_is_named_for_nothing(path: Path):
    words = set(re.split(r"[_\W]+", path.stem.lower()))
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            words |= {word.lower() for word in re.findall(r"[A-Z][a-z]+", node.name)}
    assert not words & FORBIDDEN_WORDS


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_a_module_can_be_read_in_one_sitting(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 700


def test_the_design_names_every_part():
    house = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").split("## The house")[1].split("```")[1]
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    missing = {part for part in parts if not part.startswith("_") and part not in re.findall(r"\w+", house)}
    assert not missing


# ---- what a Python that we promise gets wrong


def risky(parsed: Any, *, inside: bool = False) -> bool:
    """Whether a possessive group holds more than single characters and possessive runs of them."""
    for operation, argument in parsed:
        kind = str(operation)
        simple = kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN")
        run = (
            kind == "POSSESSIVE_REPEAT" and len(argument[2]) == 1 and str(argument[2][0][0]) in ("LITERAL", "ANY", "IN")
        )
        if inside and not simple and not run:
            return True
        for part in argument if isinstance(argument, (tuple, list)) else ():
            for body in part if isinstance(part, list) else [part]:
                if type(body).__name__ == "SubPattern" and risky(body, inside=kind == "POSSESSIVE_REPEAT" and not run):
                    return True
    return False


def is_risky(pattern: str | bytes, flags: int = 0) -> bool:
    return risky(importlib.import_module("re._parser").parse(pattern, flags))


@pytest.mark.parametrize("path", modules(), ids=by_name)
def test_no_pattern_is_of_the_kind_that_python_before_3_11_5_matches_wrongly(path: Path):
    for node in ast.walk(tree_of(path)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile"):
            continue
        pattern = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        if isinstance(pattern, str | bytes):
            flags = re.VERBOSE if "re.VERBOSE" in ast.unparse(node) else 0
            assert not is_risky(pattern, flags), f"{by_name(path)}:{node.lineno}, see CPython's issue 106052"


def test_possessive_groups_that_can_step_back_are_seen():
    assert is_risky("(?:ab?c)++")
    assert is_risky(r"(?:(?:\\[rn]|\s){0,8}+[A-Z]{16,}+)*+")
    assert is_risky('x|(?:<[a-z]*+(?:"[^"]*+")*+>)++')
    assert not is_risky(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?')
    assert not is_risky(r"(?:(?:\\[rn]|\s){0,8}[A-Z]{16,}+)*")


# ---- options


def settings_read() -> dict[str, set[str]]:
    """Option -> files that read it as an attribute of something called settings."""
    names = {field.name for field in fields(Settings)}
    readers: dict[str, set[str]] = {}
    for path in modules():
        if part_of(path) in {"config", "options", "option_values"}:
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr in names and "settings" in ast.unparse(node.value).lower():
                readers.setdefault(node.attr, set()).add(by_name(path))
    return readers


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_an_option_is_read_or_declared_missing_but_never_idle(name: str):
    is_missing = name in NOT_YET and not NOT_YET[name].values
    assert (name in settings_read()) != is_missing
