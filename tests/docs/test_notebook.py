"""The quick-start notebook runs from start to end, and is committed with its output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_is_committed_with_its_output():
    cells = code_cells(nbformat.read(NOTEBOOK, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(bool(cell.outputs) for cell in cells) > len(cells) / 2
    plots = [cell.outputs[-1].data for cell in cells if cell.source.endswith(".plot()")]
    assert ["image/png" in plot for plot in plots] == [True, True]


@pytest.mark.slow
def test_the_notebook_runs_from_start_to_end(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_RUNS", str(tmp_path / "runs"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    shown = [[output.output_type for output in cell.outputs] for cell in code_cells(notebook)]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    now = [[output.output_type for output in cell.outputs] for cell in code_cells(notebook)]
    assert ["error" in kinds for kinds in now] == [False] * len(now)
    assert [("execute_result" in kinds) for kinds in now] == [("execute_result" in kinds) for kinds in shown]
