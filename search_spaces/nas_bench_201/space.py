"""`NasBench201Space`: the space of NAS-Bench-201 as an NNI model space, with a choice for each edge."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from search_spaces.model_space import CellSpace, SearchedCell
from search_spaces.nas_bench_201.definition import NasBench201
from search_spaces.nas_bench_201.genotype import EDGES, KIND, LABELS, OPERATIONS, NasBench201Genotype
from search_spaces.nas_bench_201.geometry import Block, blocks
from search_spaces.nas_bench_201.network import (
    NasBench201Network,
    ResidualBlock,
    add_up,
    make_stem,
    operation,
)
from search_spaces.nni_api import LayerChoice, Sample, label_scope


class SpaceCell(SearchedCell, nn.Module):
    """A cell whose edges are NNI's choices of layers: [B, C, H, W] -> [B, C, H, W]."""

    geometry: Block

    def __init__(self, geometry: Block) -> None:
        super().__init__()
        self.geometry = geometry
        with label_scope(KIND):
            self.edges = nn.ModuleList(
                LayerChoice(
                    {name: operation(name, geometry.channels) for name in OPERATIONS},
                    label=f"op_{node}_{state}",
                )
                for node, state in EDGES
            )

    def forward(self, x: Tensor) -> Tensor:
        edges = list(self.edges)
        return add_up(x, lambda edge, state: edges[edge](state))


def label_prefix() -> str:
    """What NNI puts before the labels of a module made here: nothing, or `NAME/` in a space with a prefix."""
    with label_scope(KIND) as scope:
        return str(scope.name).removesuffix(KIND)


def own_genotype(sample: Sample, prefix: str = "") -> NasBench201Genotype:
    """The cell in the sample of a space that may have more choices.

    Args:
        sample: an NNI sample.
        prefix: what stands before the labels of the cell.

    Raises:
        UserError: a label is missing or does not fit.
    """
    return NasBench201Genotype.from_sample(
        {label: sample[prefix + label] for label in LABELS if prefix + label in sample}
    )


class NasBench201Space(CellSpace):
    """The space of NAS-Bench-201 for any number of classes, width and depth.

    Freezing builds the same `NasBench201Network` as the cell does; so does building the space inside NNI's
    `model_context`.

    Args:
        width: channels of the first stage.
        layers: number of cells and residual blocks, 3 * N + 2 for N cells a stage.
        num_classes: number of classes.
        stem: `cifar` (up to 64 px) or `imagenet`.
        auxiliary: whether final networks have the auxiliary head.

    Raises:
        UserError: width, layers or stem do not fit.
    """

    def __init__(
        self,
        width: int = 16,
        layers: int = 8,
        num_classes: int = 10,
        stem: str = "cifar",
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.space = NasBench201()
        self.options: dict[str, Any] = {
            "width": width,
            "layers": layers,
            "num_classes": num_classes,
            "stem": stem,
            "auxiliary": auxiliary,
        }
        self.label_prefix = label_prefix()
        plan = blocks(width, layers, stem)
        self.stem = make_stem(stem, width)
        self.cells = nn.ModuleList(SpaceCell(block) for block in plan if block.kind == KIND)
        self.residual_blocks = nn.ModuleList(
            ResidualBlock(block.previous, block.channels) for block in plan if block.kind != KIND
        )
        self.order = [block.kind for block in plan]
        self.last = nn.Sequential(nn.BatchNorm2d(plan[-1].channels), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(plan[-1].channels, num_classes)

    @classmethod
    def create_fixed_module(
        cls,
        sample: Sample,
        width: int = 16,
        layers: int = 8,
        num_classes: int = 10,
        stem: str = "cifar",
        auxiliary: bool = False,
    ) -> NasBench201Network:
        """Build the final network of a sample; NNI calls this inside `model_context`.

        Labels of other choices in the sample, such as those of the evaluator, are left alone.
        """
        genotype = own_genotype(sample, label_prefix())
        return NasBench201Network(genotype, width, layers, num_classes, stem, auxiliary)

    def freeze(self, sample: Sample) -> NasBench201Network:
        """Build the final network of an NNI sample, with new weights.

        Args:
            sample: an NNI sample of this space, or of one with more choices, whose labels are ignored.

        Raises:
            nni.mutable.SampleValidationError: the sample is not one of this space.
        """
        self.validate(sample)
        return NasBench201Network(own_genotype(sample, self.label_prefix), **self.options)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> logits [B, num_classes]."""
        cells, residual_blocks = iter(self.cells), iter(self.residual_blocks)
        x = self.stem(x)
        for kind in self.order:
            x = next(cells if kind == KIND else residual_blocks)(x)
        return self.classifier(self.pool(self.last(x)).flatten(1))
