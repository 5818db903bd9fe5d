"""The Python examples of docs/data.md and docs/transfer.md run as they are."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "changes"), [("data", {}), ("transfer", {'"epochs": 5': '"epochs": 1'})])
def test_the_example_from_python_runs(page, changes):
    text = (DOCS / f"{page}.md").read_text()
    code = re.search(r"## From Python\n\n```python\n(.*?)```", text, re.DOTALL)[1]
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    exec(compile(code, f"{page}.md", "exec"), {})
