"""timm models of the DARTS space, registered by importing this package, and trained networks read back.

import timm, nastransfer_nni.models
timm.create_model("nastransfer_darts", architecture="found.json", width=36, layers=20, stem="cifar")
"""

from nastransfer_nni.models.darts import DartsModel

__all__ = ["DartsModel"]
