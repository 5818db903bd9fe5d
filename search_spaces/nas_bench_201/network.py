"""The final network of a cell of NAS-Bench-201 (Dong and Yang, ICLR 2020, section 2.1), in plain torch.

Blocks, their order and their weights are those of the authors' `TinyNetwork`
(github.com/D-X-Y/AutoDL-Projects, xautodl/models/cell_infers/tiny_network.py, commit f46486e).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from search_spaces.geometry import auxiliary_cell
from search_spaces.nas_bench_201.genotype import EDGES, KIND, NasBench201Genotype
from search_spaces.nas_bench_201.geometry import Block, blocks
from search_spaces.network import AuxiliaryHead, CellNetwork, DropPath, Stem
from search_spaces.operations import relu_conv_bn
from search_spaces.pooling import AveragePool


class Zero(nn.Module):
    """The operation `none`: zeros of the shape of the input, through which gradients of zero flow."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0


def operation(name: str, channels: int, affine: bool = True) -> nn.Module:
    """An operation of an edge: [B, channels, H, W] -> [B, channels, H, W].

    Args:
        name: one of `OPERATIONS`.
        channels: channels of the input and of the output.
        affine: whether BatchNorm has a learned scale and shift; not during a search.
    """
    if name == "none":
        return Zero()
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return AveragePool(kernel=3, stride=1)
    return relu_conv_bn(channels, channels, affine, kernel=int(name[-1]))


def add_up(x: Tensor, term: Callable[[int, Tensor], Tensor]) -> Tensor:
    """The output of a cell: each node adds up a term of every edge that enters it.

    Args:
        x: the input of the cell, [B, channels, H, W].
        term: what an edge makes of the node that it reads; it gets the number of the edge and that node.
    """
    states, total = [x], x
    for edge, (node, state) in enumerate(EDGES):
        total = term(edge, x) if state == 0 else total + term(edge, states[state])
        if state == node - 1:
            states.append(total)
    return total


class FinalCell(nn.Module):
    """A cell of the final network: [B, channels, H, W] -> [B, channels, H, W]."""

    def __init__(self, genotype: NasBench201Genotype, channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(operation(name, channels) for name in genotype.operations)
        self.drop_paths = nn.ModuleList(
            DropPath() if name in ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3") else nn.Identity()
            for name in genotype.operations
        )
        self.inputs = [state for _, state in EDGES]

    def forward(self, x: Tensor) -> Tensor:
        states, total = [x], x
        for index, (op, drop) in enumerate(zip(self.operations, self.drop_paths)):  # noqa: B905 (TorchScript)
            state = self.inputs[index]
            out = drop(op(states[state]))
            total = out if state == 0 else total + out
            if state == len(states) - 1:  # the last edge of the node
                states.append(total)
        return total


class ResidualBlock(nn.Module):
    """A residual block of stride 2: [B, C, H, W] -> [B, channels, ceil(H / 2), ceil(W / 2)]."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.convolution1 = relu_conv_bn(in_channels, channels, kernel=3, stride=2)
        self.convolution2 = relu_conv_bn(channels, channels, kernel=3)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True), nn.Conv2d(in_channels, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(x) + self.convolution2(self.convolution1(x))


def make_stem(kind: str, width: int, in_chans: int = 3) -> nn.Sequential:
    """The layers before the first cell: [B, in_chans, H, W] -> [B, width, h, w].

    Args:
        kind: `cifar`, which keeps the size, or `imagenet`, which divides it by 8 as that of DARTS does.
        width: channels of the first stage.
        in_chans: channels of the images.
    """
    if kind == "imagenet":
        stem = Stem(kind, width, in_chans)
        return nn.Sequential(*stem.first, *cast(nn.Sequential, stem.second))
    return nn.Sequential(nn.Conv2d(in_chans, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))


class NasBench201Network(CellNetwork):
    """The final network of a cell: [B, in_chans, H, W] -> logits [B, num_classes].

    The authors' network is that of `width=16`, `layers=17` and `stem="cifar"`. They have neither the stem for
    large images nor the auxiliary head; both are those of DARTS.

    Args:
        genotype: the cell.
        width: channels of the first stage; they double at each residual block.
        layers: number of cells and residual blocks, 3 * N + 2 for N cells a stage.
        num_classes: number of classes.
        stem: `cifar` (up to 64 px) or `imagenet`.
        auxiliary: whether to add the auxiliary head, on the second residual block; `forward` never uses it.
        in_chans: channels of the images.

    Raises:
        UserError: width, layers or stem do not fit (`blocks`).
    """

    def __init__(
        self,
        genotype: NasBench201Genotype,
        width: int = 16,
        layers: int = 17,
        num_classes: int = 10,
        stem: str = "cifar",
        auxiliary: bool = False,
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        plan = blocks(width, layers, stem)
        self.genotype = genotype
        self.num_classes = num_classes
        self.num_features = plan[-1].channels
        self.auxiliary_cell = auxiliary_cell(layers)
        self.stem = make_stem(stem, width, in_chans)
        self.cells = nn.ModuleList(make_block(genotype, block) for block in plan)
        self.last = nn.Sequential(nn.BatchNorm2d(self.num_features), nn.ReLU())
        self.auxiliary_head = (
            AuxiliaryHead(plan[self.auxiliary_cell].channels, num_classes, stem) if auxiliary else None
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(self.num_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> logits [B, num_classes]."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        return self.classifier(self.pool(self.last(x)).flatten(1))


def make_block(genotype: NasBench201Genotype, block: Block) -> nn.Module:
    """A cell of the final network, or a residual block."""
    if block.kind == KIND:
        return FinalCell(genotype, block.channels)
    return ResidualBlock(block.previous, block.channels)
