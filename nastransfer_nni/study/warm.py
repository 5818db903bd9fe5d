"""What every job would do again: imports, the digits, the fonts and formulas of drawn cells.

Importing this module does it, once, in the server that worker processes are forked from. It computes nothing
with torch: a process that has started torch's threads cannot be forked safely.
"""

from __future__ import annotations

import gc
import io
from importlib import import_module

from matplotlib.backends.backend_agg import FigureCanvasAgg

from nastransfer_nni.architecture.drawing import draw_cell
from nastransfer_nni.architecture.file import read
from nastransfer_nni.base.imports import without_collection
from nastransfer_nni.data import loading
from nastransfer_nni.data.sources import SOURCES

MODULES = (
    "nastransfer_nni.search.experiment",
    "nastransfer_nni.transfer.training",
    "strategies.darts.search",
    "strategies.random",
    "strategies.scores.search",
    "tensorboard.plugins.hparams.metadata",  # the recorders' last step imports it
)
"""Modules that jobs import when they need them: timm's alone take half a second."""

with without_collection():
    for _name in MODULES:
        import_module(_name)
loading.load(SOURCES["digits"])
_figure = draw_cell(read("DARTS_V2").genotype, "normal")
_figure.savefig(io.BytesIO(), format="svg")
FigureCanvasAgg(_figure).draw()
gc.freeze()  # jobs never look at these objects again, and so share their memory
