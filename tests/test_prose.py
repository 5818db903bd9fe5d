"""Prose that an engineer of the field reads without stopping: whole phrases, and none of our own dialect."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path
    for room in ("nastransfer_nni", "search_spaces", "strategies", "benchmarks")
    for path in (ROOT / room).rglob("*.py")
)
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "experiments/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

FRAGMENTS = re.compile(r"^\s+\w+(?: \([^)]*\))?: (of|its|likewise|as|where|at|with|to)\b", re.MULTILINE)
"""An attribute or argument that is explained by half a sentence."""

RIDDLES = re.compile(r"^(Nothing\b|See `|As the options|Likewise|All but )")
"""A docstring that says nothing to somebody who meets it alone."""

DIALECT = re.compile(
    r"\b(whence|reckon\w*|strangers?|not to be had|go on from|goes on|stands? at|stood at|told again|"
    r"told apart|is told|are told|mend(s|ed|able)?|standings?|halves|lifeline|brought to|bring to|"
    r"in all but|heaviest|peers|k-centre|an epoch each|a row an?|a line an?|beside it|comes? to nought)\b",
    re.IGNORECASE,
)
"""Words of an earlier dialect; the standard ones are resume, derive, replay, fix and weight split."""


def docstrings(path):
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


def comments(path):
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
    yield from ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_explains_itself_in_whole_phrases(path):
    found = []
    for line, text in docstrings(path):
        found += [f"{line}: {match.group().strip()}" for match in FRAGMENTS.finditer(text)]
        found += [f"{line}: {match.group()}" for match in [RIDDLES.search(text)] if match]
    for line, text in [*docstrings(path), *comments(path)]:
        found += [f"{line}: {match.group()}" for match in DIALECT.finditer(text)]
    assert not found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_speak_plainly(path):
    lines = path.read_text("utf-8").splitlines()
    found = [
        f"{number}: {match.group()}"
        for number, line in enumerate(lines, 1)
        for match in DIALECT.finditer(line)
    ]
    assert not found
