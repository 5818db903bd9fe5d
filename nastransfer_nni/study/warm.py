"""What every job would do again: imports, the digits, the fonts and formulas of drawn cells.

Importing this module does it, once, in the server that worker processes are forked from. It computes nothing
with torch: a process that has started torch's threads cannot be forked safely.
"""

from __future__ import annotations

import io

import tensorboard.plugins.hparams.metadata  # noqa: F401  the recorders' last step imports it
from matplotlib.backends.backend_agg import FigureCanvasAgg

import strategies.darts
import strategies.random  # noqa: F401
from nastransfer_nni.architecture.drawing import draw_cell
from nastransfer_nni.architecture.file import read
from nastransfer_nni.data import loading
from nastransfer_nni.data.sources import SOURCES

loading.load(SOURCES["digits"])
_figure = draw_cell(read("DARTS_V2").genotype, "normal")
_figure.savefig(io.BytesIO(), format="svg")
FigureCanvasAgg(_figure).draw()
