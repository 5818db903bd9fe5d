"""Hooks of mkdocs: the site has the folders of the project, so that a link works on GitHub and in it."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from nastransfer_nni.base.cli import Command, Commands, help_page
from nastransfer_nni.commands import COMMANDS

ROOT = Path(__file__).parents[1]
SHOWN = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "LICENSE",
    "docs/**/*",
    "experiments/*",
    "results/**/*",
    "benchmarks/results/**/*",
)
"""What the site has of the project: pages, and the files that they link to or show."""
COMMAND_PAGES = "<!-- every command -->"


class Notebook(File):
    """A notebook, which is a page like any other."""

    def is_documentation_page(self) -> bool:
        """True: mkdocs itself takes Markdown only."""
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ by those of the project, and keep those of the theme and of plugins."""
    others = [file for file in files if file.generated_by or file.src_dir != config.docs_dir]
    paths = sorted({path for pattern in SHOWN for path in ROOT.glob(pattern) if path.is_file()})
    shown = [path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts]
    kinds = {name: Notebook if name.endswith(".ipynb") else File for name in shown}
    return Files([*others, *(kind(name, str(ROOT), config.site_dir, False) for name, kind in kinds.items())])


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """Markdown of a notebook; None for Markdown, which mkdocs reads itself."""
    if not isinstance(page.file, Notebook):
        return None
    return "\n\n".join(map(_cell, json.loads(Path(page.file.abs_src_path).read_text("utf-8"))["cells"]))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put every command with its help where a page asks for them."""
    return markdown.replace(COMMAND_PAGES, "\n".join(_commands("nastransfer", COMMANDS)))


def _commands(program: str, commands: Commands) -> list[str]:
    lines: list[str] = []
    for name, entry in commands.items():
        words = f"{program} {name}"
        if isinstance(entry, Command):
            lines += [f"## {words}", "", "```text", help_page(words, entry), "```", ""]
        else:
            lines += _commands(words, entry)
    return lines


def _cell(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return text
    parts = [f"```python\n{text}\n```"]
    for is_text, group in itertools.groupby(cell["outputs"], _is_text):
        outputs = [output.get("data", {"text/plain": output.get("text", "")}) for output in group]
        if is_text:
            lines = ["".join(data["text/plain"]).rstrip() for data in outputs]
            parts.append("\n".join(["```text", *lines, "```"]))
        else:
            parts += map(_picture_or_table, outputs)
    return "\n\n".join(parts)


def _is_text(output: dict[str, Any]) -> bool:
    """Whether an output is text; coloured lines are so, too, although they come as HTML besides."""
    data = output.get("data", {})
    return "image/png" not in data and "<table" not in "".join(data.get("text/html", ""))


def _picture_or_table(data: dict[str, Any]) -> str:
    if "image/png" in data:
        return f"![What the cell above draws](data:image/png;base64,{''.join(data['image/png']).strip()})"
    return re.sub(r"<table [^>]*>", "<table>", "".join(data["text/html"]))  # the theme's table, not pandas'
