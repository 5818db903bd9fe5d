"""Final networks as timm models; importing this module registers them.

`nastransfer_darts` takes an architecture; each published cell has a name of its own:

    import timm, nastransfer_nni.models
    timm.create_model("nastransfer_darts", architecture="found.json", width=36, layers=20, stem="cifar")
    timm.create_model("nastransfer_darts_v2", num_classes=100)
"""

# Without `from __future__ import annotations`: torch.jit.script of a graph that torch.fx has traced evaluates
# the annotations of `forward`, and does not evaluate those that are strings.

from collections.abc import Iterator
from typing import Any

import torch
from timm.models import generate_default_cfgs, register_model
from torch import Tensor

from nastransfer_nni.models.cell_model import CellModel, Stage, Stages, configuration, create, eager
from search_spaces import Genotype
from search_spaces.errors import UserError
from search_spaces.geometry import geometries
from search_spaces.network import DartsNetwork
from search_spaces.zoo import zoo

__all__ = ["DartsModel"]


class DartsModel(CellModel, DartsNetwork):
    """The network of a genotype of DARTS with the interface of timm's models; see `CellModel`."""

    genotype_class = Genotype
    model_name = "nastransfer_darts"

    def plan(self, width: int, layers: int, stem: str) -> tuple[Stages, list[Stage]]:
        """The maps of the stem and of the cells."""
        plan = geometries(width, layers, stem, nodes=len(self.genotype.nodes("normal")))
        before = {1: (plan[0].previous, "stem.first")}
        if stem == "imagenet":
            before = {
                2: (width // 2, "stem.first.2"),
                4: (plan[0].before_previous, "stem.first"),
                8: (plan[0].previous, "stem.second"),
            }
        return before, [(cell.out_channels, cell.kind == "reduce") for cell in plan]

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> the last cell's output [B, num_features, h, w]."""
        s0, s1 = self.stem(x)
        for cell in self.cells:
            if torch.jit.is_scripting():  # type: ignore[attr-defined]
                s0, s1 = s1, cell(s0, s1)
            else:
                s0, s1 = s1, self.run_cell(cell, s0, s1)
        return s1

    @eager
    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, in_chans, H, W] -> logits and the auxiliary head's logits, [B, num_classes] each."""
        assert self.auxiliary_head is not None, "the network was built without an auxiliary head"
        s0, s1 = self.stem(x)
        auxiliary = s1
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, self.run_cell(cell, s0, s1)
            if index == self.auxiliary_cell:
                auxiliary = s1
        return self.forward_head(s1), self.auxiliary_head(auxiliary)

    @eager
    def maps(self, x: Tensor, end: int) -> Iterator[tuple[str, Tensor]]:
        """The outputs of the layers of the stem and of the first `end` cells."""
        for name, layer in self.stem.first.named_children():
            x = layer(x)
            yield f"stem.first.{name}", x
        s0, s1 = x, self.stem.second(x)
        yield "stem.first", s0
        yield "stem.second", s1
        for index, cell in enumerate(self.cells[:end]):
            s0, s1 = s1, self.run_cell(cell, s0, s1)
            yield f"cells.{index}", s1


def _zoo_name(cell: str) -> str:
    return f"nastransfer_{cell.lower()}"


default_cfgs = generate_default_cfgs(
    {
        "nastransfer_darts": configuration(first_conv="stem.first.0"),
        **{_zoo_name(cell): configuration(first_conv="stem.first.0") for cell in zoo()},
    }
)


@register_model  # type: ignore[untyped-decorator]
def nastransfer_darts(
    pretrained: bool = False, architecture: Genotype | dict[str, Any] | str | None = None, **options: Any
) -> DartsModel:
    """The network of `architecture`, in any form that `--arch` takes; further options as for `DartsModel`."""
    if architecture is None:
        raise UserError("nastransfer_darts needs architecture=..., a file or the name of a published cell")
    return create(DartsModel, "nastransfer_darts", pretrained, architecture=architecture, **options)


def _register(cell: str) -> None:
    def entry(pretrained: bool = False, **options: Any) -> DartsModel:
        return create(DartsModel, _zoo_name(cell), pretrained, architecture=zoo()[cell].genotype, **options)

    entry.__name__ = entry.__qualname__ = _zoo_name(cell)
    entry.__doc__ = f"The published cell {cell}; width 48, 14 layers and the ImageNet stem unless given."
    globals()[entry.__name__] = register_model(entry)


for _cell_name in zoo():
    _register(_cell_name)
