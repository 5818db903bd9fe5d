"""Final networks as timm models, which importing this package registers, and the reader of trained networks.

import timm, nastransfer_nni.models
timm.create_model("nastransfer_darts", architecture="found.json", width=36, layers=20, stem="cifar")
"""

from nastransfer_nni.models.cell_model import CellModel
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.models.nas_bench_201 import NasBench201Model

__all__ = ["CellModel", "DartsModel", "NasBench201Model"]
