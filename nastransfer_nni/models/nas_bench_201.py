"""Networks of NAS-Bench-201 as a timm model; importing this module registers it.

import timm, nastransfer_nni.models
timm.create_model("nastransfer_nas_bench_201", architecture="|nor_conv_3x3~0|+|...|")
"""

# Without `from __future__ import annotations`: torch.jit.script of a graph that torch.fx has traced evaluates
# the annotations of `forward`, and does not evaluate those that are strings.
# ruff: noqa: SIM108 (TorchScript needs the branches)

from collections.abc import Iterator
from typing import Any

import torch
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from nastransfer_nni.models.cell_model import CellModel, Stage, Stages, configuration, create, eager
from search_spaces.errors import UserError
from search_spaces.nas_bench_201 import NasBench201Genotype
from search_spaces.nas_bench_201.genotype import KIND
from search_spaces.nas_bench_201.geometry import blocks
from search_spaces.nas_bench_201.network import NasBench201Network

__all__ = ["NasBench201Model"]

PUBLISHED = {"width": 16, "layers": 17, "num_classes": 10, "stem": "cifar"}
"""Size of the authors' networks for CIFAR-10."""


class NasBench201Model(CellModel, NasBench201Network):
    """The network of a cell of NAS-Bench-201 with the interface of timm's models; see `CellModel`."""

    genotype_class = NasBench201Genotype
    model_name = "nastransfer_nas_bench_201"

    def plan(self, width: int, layers: int, stem: str) -> tuple[Stages, list[Stage]]:
        """The maps of the stem, and of the cells and residual blocks."""
        before = {1: (width, "stem.1")}
        if stem == "imagenet":
            before = {2: (width // 2, "stem.2"), 4: (width, "stem.4"), 8: (width, "stem.7")}
        return before, [(block.channels, block.kind != KIND) for block in blocks(width, layers, stem)]

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> the last cell's output after BatchNorm and ReLU, [B, num_features, h, w]."""
        x = self.stem(x)
        for cell in self.cells:
            if torch.jit.is_scripting():  # type: ignore[attr-defined]
                x = cell(x)
            else:
                x = self.run_cell(cell, x)
        return self.last(x)

    @eager
    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, in_chans, H, W] -> logits and the auxiliary head's logits, [B, num_classes] each."""
        assert self.auxiliary_head is not None, "the network was built without an auxiliary head"
        x = self.stem(x)
        auxiliary = x
        for index, cell in enumerate(self.cells):
            x = self.run_cell(cell, x)
            if index == self.auxiliary_cell:
                auxiliary = x
        return self.forward_head(self.last(x)), self.auxiliary_head(auxiliary)

    @eager
    def finish(self, x: Tensor) -> Tensor:
        """BatchNorm and ReLU of the output of the last cell."""
        return self.last(x)

    @eager
    def end_early(self) -> None:
        """Leave out BatchNorm and ReLU, whose channels are those of the last cell."""
        self.last = nn.Sequential()

    @eager
    def maps(self, x: Tensor, end: int) -> Iterator[tuple[str, Tensor]]:
        """The outputs of the layers of the stem and of the first `end` cells and residual blocks."""
        for name, layer in self.stem.named_children():
            x = layer(x)
            yield f"stem.{name}", x
        for index, cell in enumerate(self.cells[:end]):
            x = self.run_cell(cell, x)
            yield f"cells.{index}", x


default_cfgs = generate_default_cfgs(
    {"nastransfer_nas_bench_201": configuration(first_conv="stem.0", num_classes=PUBLISHED["num_classes"])}
)


@register_model  # type: ignore[untyped-decorator]
def nastransfer_nas_bench_201(
    pretrained: bool = False,
    architecture: NasBench201Genotype | dict[str, Any] | str | None = None,
    **options: Any,
) -> NasBench201Model:
    """The network of `architecture`, in any form that `--arch` takes; of the published size unless given."""
    if architecture is None:
        raise UserError("nastransfer_nas_bench_201 needs architecture=..., a file or the text of a cell")
    options = PUBLISHED | options
    name = NasBench201Model.model_name
    return create(NasBench201Model, name, pretrained, architecture=architecture, **options)
