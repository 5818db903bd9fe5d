"""The final network: stacked cells of one genotype, in plain torch, so that it runs wherever torch does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.genotype import INPUTS, Genotype
from search_spaces.geometry import CellGeometry, auxiliary_cell, geometries
from search_spaces.operations import operation, preprocess

AUXILIARY_PIXELS = {"cifar": 8, "imagenet": 7}
"""Size in px of the maps for which each stem's auxiliary head was designed, from images of 32 or 224 px."""


class Stem(nn.Module):
    """The layers before the first cell, which return its two inputs.

    [B, in_chans, H, W] -> for `cifar` the same map [B, 3 * width, H, W] twice; for `imagenet` maps
    [B, width, H / 4, W / 4] and [B, width, H / 8, W / 8].

    Args:
        kind: `cifar` or `imagenet`.
        width: channels of the first cell's nodes.
        in_chans: channels of the images.
    """

    def __init__(self, kind: str, width: int, in_chans: int = 3) -> None:
        super().__init__()
        if kind == "cifar":
            self.first = nn.Sequential(
                nn.Conv2d(in_chans, 3 * width, 3, padding=1, bias=False), nn.BatchNorm2d(3 * width)
            )
            self.second: nn.Module = nn.Identity()
        else:
            half = width // 2
            self.first = nn.Sequential(
                nn.Conv2d(in_chans, half, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(),
                nn.Conv2d(half, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
            )
            self.second = nn.Sequential(
                nn.ReLU(), nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(x)
        return first, self.second(first)


class DropPath(nn.Module):
    """Set the maps of some images to 0 while training, and scale the others to keep the mean.

    The rate is a tensor: a compiled network is not compiled again when it changes from epoch to epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rate: Tensor
        self.register_buffer("rate", torch.zeros(()), persistent=False)
        self.is_active = False

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.is_active):
            return x
        keep = 1 - self.rate
        kept = torch.rand((x.shape[0], 1, 1, 1), device=x.device) < keep
        return x * (kept / keep).to(x.dtype)


class FinalCell(nn.Module):
    """A cell of the final network: the outputs of two cells -> the concatenation of its nodes.

    [B, C0, H0, W0] and [B, C1, H, W] -> [B, nodes * channels, H / stride, W / stride]. ReLU is applied to a
    state once for all convolutions that read it, in place of their own, and a state is pooled once for all
    edges with the same pooling.
    """

    def __init__(self, genotype: Genotype, geometry: CellGeometry) -> None:
        super().__init__()
        channels = geometry.channels
        self.preprocess0 = preprocess(geometry.before_previous, channels, geometry.follows_reduction)
        self.preprocess1 = preprocess(geometry.previous, channels, follows_reduction=False)
        edges = [edge for node in genotype.nodes(geometry.kind) for edge in node]
        self.inputs = [state for _, state in edges]
        self.operations = nn.ModuleList(
            operation(name, channels, geometry.stride(state)) for name, state in edges
        )
        pools = [
            (name, state) if "pool" in name else (index, state) for index, (name, state) in enumerate(edges)
        ]
        self.computed_by = [pools.index(pool) for pool in pools]  # the first edge with the same result
        self.convolves = [isinstance(op, nn.Sequential) for op in self.operations]
        self.activates = [
            any(reads and state == index for reads, state in zip(self.convolves, self.inputs, strict=True))
            for index in range(INPUTS + geometry.nodes)
        ]
        for op, convolves in zip(self.operations, self.convolves, strict=True):
            if convolves:
                op[0] = nn.Identity()  # type: ignore[operator]
        self.drop_paths = nn.ModuleList(
            nn.Identity() if isinstance(op, nn.Identity) else DropPath() for op in self.operations
        )

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        active = [self.activate(state, index) for index, state in enumerate(states)]
        first = states[0]
        pooled: dict[int, Tensor] = {}
        for index, (op, drop) in enumerate(zip(self.operations, self.drop_paths)):  # noqa: B905 (TorchScript)
            state = self.inputs[index]
            if self.computed_by[index] != index:
                out = pooled[self.computed_by[index]]
            else:
                out = op(active[state] if self.convolves[index] else states[state])
                if index in self.computed_by[index + 1 :]:
                    pooled[index] = out
            out = drop(out)
            if index % 2 == 0:
                first = out
            else:
                states.append(first + out)
                active.append(self.activate(states[-1], len(states) - 1))
        return torch.cat(states[2:], dim=1)

    def activate(self, state: Tensor, index: int) -> Tensor:
        """ReLU of a state if a convolution reads it, else the state."""
        return torch.relu(state) if self.activates[index] else state


class AuxiliaryHead(nn.Module):
    """The classifier on a middle cell that helps training: [B, channels, H, W] -> [B, num_classes].

    Its 5x5 average pooling reduces maps of the size for which it was designed to 2x2; maps of any other size
    are pooled adaptively to 2x2. As published, the ImageNet head has no second BatchNorm.
    """

    def __init__(self, channels: int, num_classes: int, stem: str) -> None:
        super().__init__()
        self.pixels = AUXILIARY_PIXELS[stem]
        self.pool = nn.AvgPool2d(5, stride=3 if stem == "cifar" else 2, count_include_pad=False)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768) if stem == "cifar" else nn.Identity(),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        fits = x.shape[-2:] == (self.pixels, self.pixels)
        x = self.pool(x) if fits else nn.functional.adaptive_avg_pool2d(x, 2)
        return self.classifier(self.features(x).flatten(1))


class CellNetwork(nn.Module):
    """A final network, whose cells drop paths while they are trained."""

    def set_drop_path_rate(self, rate: float) -> None:
        """Set the probability with which training drops an operation of an image; identity skips stay."""
        for module in self.modules():
            if isinstance(module, DropPath):
                module.rate.fill_(rate)
                module.is_active = rate > 0


class DartsNetwork(CellNetwork):
    """The final network of a genotype: [B, in_chans, H, W] -> logits [B, num_classes].

    The layout of its weights depends only on the genotype's canonical form, so that equal genotypes can load
    each other's checkpoints.

    Args:
        genotype: the normal and the reduction cell.
        width: channels of the first cell's nodes; even with the ImageNet stem. They double at each of the two
            reduction cells.
        layers: number of cells; at least 1.
        num_classes: number of classes.
        stem: `cifar` (up to 64 px) or `imagenet`.
        auxiliary: whether to add the auxiliary head; `forward` never uses it.
        in_chans: channels of the images.

    Raises:
        UserError: width, layers or stem do not fit (`geometries`).
    """

    def __init__(
        self,
        genotype: Genotype,
        width: int,
        layers: int,
        num_classes: int,
        stem: str = "cifar",
        auxiliary: bool = False,
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        plan = geometries(width, layers, stem, nodes=len(genotype.nodes("normal")))
        self.genotype = genotype
        self.num_classes = num_classes
        self.num_features = plan[-1].out_channels
        self.auxiliary_cell = auxiliary_cell(layers)
        self.stem = Stem(stem, width, in_chans)
        self.cells = nn.ModuleList(FinalCell(genotype, geometry) for geometry in plan)
        self.auxiliary_head = (
            AuxiliaryHead(plan[self.auxiliary_cell].out_channels, num_classes, stem) if auxiliary else None
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(self.num_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> logits [B, num_classes]."""
        s0, s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.classifier(self.pool(s1).flatten(1))

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, in_chans, H, W] -> logits and logits of the auxiliary head, [B, num_classes] each."""
        assert self.auxiliary_head is not None, "the network was built without an auxiliary head"
        s0, s1 = self.stem(x)
        auxiliary = s1
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1)
            if index == self.auxiliary_cell:
                auxiliary = s1
        return self.classifier(self.pool(s1).flatten(1)), self.auxiliary_head(auxiliary)
