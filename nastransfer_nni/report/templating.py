"""The templates of pages and of Markdown."""

from __future__ import annotations

import html
import re

import jinja2

from nastransfer_nni.report.plots.inline import dark_colors
from nastransfer_nni.report.tables.text import markdown_text

HERE = "nastransfer_nni.report"


class Raw(str):
    """Markdown that is not escaped again."""


def template(name: str, package: str = HERE) -> jinja2.Template:
    """A template of a package, which may build on those of the report.

    Args:
        name: name of the file; one that ends in `.md.j2` is Markdown, others are HTML.
        package: package whose folder `templates` has the file.
    """
    is_markdown = name.endswith(".md.j2")
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(each) for each in dict.fromkeys((package, HERE))]),
        autoescape=not is_markdown,
        finalize=_in_markdown if is_markdown else None,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["dark_colors"] = dark_colors
    environment.filters["breakable"] = _breakable
    return environment.get_template(name)


def _breakable(text: str) -> str:
    """The text as HTML, in which a line may end between the steps and options of a proxy."""
    return re.sub(r"(?<=[,+/])(?=[A-Za-z])", "<wbr>", html.escape(text))


def _in_markdown(value: object) -> str:
    return value if isinstance(value, Raw) else markdown_text(str(value))
