"""Where the templates and schemas are, in a checkout and in an installed wheel, and how they are rendered."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_bridge.errors import ConfigError
from ci_bridge.report.escape import markdown_inline, reveal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment, Template
    from markupsafe import Markup

COMMENT_TEMPLATES = ("default", "minimal", "detailed")
_PACKAGE = Path(__file__).resolve().parent.parent


def _folder(installed: str, checkout: str) -> Path:
    # The wheel puts both folders inside the package; in a checkout they stand beside it.
    inside = _PACKAGE / installed
    return inside if inside.is_dir() else _PACKAGE.parent / checkout


def template_root() -> Path:
    """The folder of all templates."""
    return _folder("templates", "templates")


def template_folder() -> Path:
    """The folder of the message templates."""
    return template_root() / "messages"


def schema_path(name: str = "report-1") -> Path:
    """The published JSON schema of our own report; it is also in the wheel, so that validators find it."""
    return _folder("schemas", "docs/schemas") / f"{name}.schema.json"


def template_text(name: str) -> str:
    """One of our template files as it stands."""
    return (template_folder() / name).read_text(encoding="utf-8")


def ours(text: str) -> Markup:
    """Mark a text as ready for its template: built from constants, numbers and the functions of ``escape``."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - the one place; see above


def _finalize_markdown(value: Any) -> Any:
    # Plain text is data: it becomes inline code, whatever filters a template put it through.
    return ours(markdown_inline(value)) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _finalize_html(value: Any) -> Any:
    return reveal(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _environment(finalize: Callable[[Any], Any]) -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(template_folder()),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


def markdown_environment() -> Environment:
    """Renders Markdown: plain text becomes inline code, only ``Markup`` passes as it is."""
    return _environment(_finalize_markdown)


def html_environment() -> Environment:
    """Renders HTML with autoescape; unseen characters are revealed."""
    return _environment(_finalize_html)


def load_file(path: Path) -> Template:
    """Read a user's own Markdown template.

    Raises:
        ConfigError: If it cannot be read or is none; names the file and the line.
    """
    from jinja2 import TemplateSyntaxError

    environment = markdown_environment()
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"pr_comment_template {path}: {_reason(error)}", hint=_choices()) from error
    try:
        code = environment.compile(source, filename=str(path))
    except TemplateSyntaxError as error:
        raise ConfigError(f"pr_comment_template {path}, line {error.lineno}: {error.message}") from error
    return environment.template_class.from_code(environment, code, environment.make_globals(None))


def render_file(path: Path, values: Mapping[str, Any]) -> str:
    """Render a user's own Markdown template in a sandbox.

    Raises:
        ConfigError: If it cannot be read or rendered; names the file and the line.
    """
    from jinja2 import TemplateError

    template = load_file(path)
    try:
        return template.render(values)
    except (
        TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise ConfigError(f"pr_comment_template {path}, line {_line(error, path)}: {error}") from error


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "is not UTF-8 text"


def _choices() -> str:
    return f"one of {', '.join(COMMENT_TEMPLATES)}, or the path of a Jinja2 template"


def _line(error: BaseException, path: Path) -> int | str:
    # Jinja2 rewrites the traceback so that its frames name the template's own lines.
    line: int | str = "?"
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
