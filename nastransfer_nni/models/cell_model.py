"""Interface of timm's models for the final networks of every search space."""

# Without `from __future__ import annotations`: torch.jit.script of a graph that torch.fx has traced evaluates
# the annotations of `forward`, and does not evaluate those that are strings.

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import create_classifier
from timm.models import build_model_with_cfg
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from nastransfer_nni.architecture import file
from search_spaces import AbstractGenotype
from search_spaces.errors import UserError
from search_spaces.network import AuxiliaryHead

Method = TypeVar("Method", bound=Callable[..., Any])
Model = TypeVar("Model", bound="CellModel")

Stages = dict[int, tuple[int, str]]
"""Channels and names of maps, by how often the image is as large in each direction."""

Stage = tuple[int, bool]
"""Channels of the output of a cell, and whether it divides the size by two."""


def eager(method: Method) -> Method:
    """Leave a method out of TorchScript."""
    ignored: Method = torch.jit.ignore(method)  # type: ignore[no-untyped-call]
    return ignored


@contextlib.contextmanager
def _unchanged_statistics(cell: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are while a cell is computed again, which has updated them before."""
    norms = [module for module in cell.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    counts = [count for norm in norms if (count := norm.num_batches_tracked) is not None]
    before = [count.clone() for count in counts]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for count, value in zip(counts, before, strict=True):
            count.copy_(value)


class CellModel(nn.Module, ABC):
    """A network of cells with the interface of timm's models, on top of the plain network of its space.

    A subclass is `class DartsModel(CellModel, DartsNetwork)`; its weights are those of the plain network. The
    auxiliary head exists only with `auxiliary=True` and is used only by `forward_with_auxiliary`. A model
    without it ignores its weights in a checkpoint.

    Args:
        architecture: a genotype, its JSON form, the content of architecture.json, or what `--arch` takes.
        width: channels of a node in the first cell; even with the ImageNet stem.
        layers: number of cells.
        num_classes: size of the output; 0: the pooled features are returned.
        in_chans: channels of the images.
        stem: `imagenet`, or `cifar` for images up to 64 px.
        global_pool: name of timm's pooling; empty: none.
        drop_rate: dropout rate before the classifier.
        drop_path_rate: probability that an operation is dropped for an image, the same in all cells.
        auxiliary: whether to add the auxiliary head.

    Attributes:
        genotype_class: class of the architectures; set by subclasses.
        model_name: name of the entry point that takes an architecture; set by subclasses.
        feature_info: channels, reduction and module of the last map of each size, for timm.
        feature_ends: index of the last cell that each of those maps needs; -1: none.

    Raises:
        UserError: the architecture cannot be read or is of another space, or width, layers and stem do not
            fit together.
    """

    genotype_class: type[AbstractGenotype]
    model_name: str

    if TYPE_CHECKING:  # what the plain network has; TorchScript evaluates annotations of the class
        genotype: Any
        stem: Any
        classifier: Any
        cells: nn.ModuleList
        num_features: int
        auxiliary_cell: int
        auxiliary_head: AuxiliaryHead | None
        set_drop_path_rate: Callable[[float], None]

    def __init__(
        self,
        architecture: AbstractGenotype | dict[str, Any] | str,
        width: int = 48,
        layers: int = 14,
        num_classes: int = 1000,
        in_chans: int = 3,
        stem: str = "imagenet",
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        auxiliary: bool = False,
    ) -> None:
        super().__init__(
            self.read(architecture), width, layers, max(num_classes, 1), stem, auxiliary, in_chans
        )
        del self.pool
        self.drop_rate = drop_rate
        self.global_pool: Any = None
        self.in_chans = in_chans
        self.grad_checkpointing = False
        self.feature_info, self.feature_ends = feature_maps(*self.plan(width, layers, stem))
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes, global_pool)
        self.set_drop_path_rate(drop_path_rate)
        self.register_load_state_dict_pre_hook(_without_auxiliary)  # type: ignore[no-untyped-call]

    @eager
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns of the parameter groups for layer-wise learning rates: the stem, then each cell."""
        return {"stem": r"^stem", "blocks": r"^cells\.(\d+)"}

    @eager
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each cell in the backward pass instead of storing its activations."""
        self.grad_checkpointing = enable

    @eager
    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    @eager
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer, and that of the auxiliary head, by new ones; 0 classes: by none."""
        if global_pool is None:
            global_pool = self.global_pool.pool_type
        where = next(self.parameters())
        factory: dict[str, Any] = {"device": where.device, "dtype": where.dtype}
        self.num_classes = num_classes
        self.global_pool, self.classifier = create_classifier(
            self.num_features, num_classes, pool_type=global_pool, **factory
        )
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        if num_classes == 0:
            self.auxiliary_head = None
        elif self.auxiliary_head is not None and self.auxiliary_head.classifier.out_features != num_classes:
            hidden = self.auxiliary_head.classifier.in_features
            self.auxiliary_head.classifier = nn.Linear(hidden, num_classes, **factory)
        self.train(self.training)

    @eager
    def finish(self, x: Tensor) -> Tensor:
        """What `forward_features` makes of the output of the last cell: here nothing."""
        return x

    @eager
    def end_early(self) -> None:
        """Remove what stands between the last cell and the pooling."""

    @abstractmethod
    @eager
    def maps(self, x: Tensor, end: int) -> Iterator[tuple[str, Tensor]]:
        """The outputs of the stem and of the first `end` cells with the names of their modules, in order."""

    @eager
    def run_cell(self, cell: nn.Module, *states: Tensor) -> Tensor:
        """The output of a cell, which is computed again in the backward pass to save memory if asked for."""
        if not (self.grad_checkpointing and torch.is_grad_enabled()):
            return cell(*states)
        if torch.compiler.is_compiling():  # the compiler updates buffers once
            return checkpoint(cell, *states, use_reentrant=False)
        return checkpoint(
            cell,
            *states,
            use_reentrant=False,
            context_fn=lambda: (contextlib.nullcontext(), _unchanged_statistics(cell)),
        )

    @abstractmethod
    def plan(self, width: int, layers: int, stem: str) -> tuple[Stages, list[Stage]]:
        """The maps of a network, from which the last of each size are listed.

        Returns:
            Channels and name of the maps of each reduction before the cells, and for each cell its channels
            and whether it divides the size by two.
        """

    @classmethod
    def read(cls, architecture: AbstractGenotype | dict[str, Any] | str) -> AbstractGenotype:
        """The genotype in any form that `--arch` takes.

        Raises:
            UserError: it cannot be read, or is of another space.
        """
        if isinstance(architecture, dict) and "genotype" not in architecture:
            return cls.genotype_class.from_dict(architecture)
        if isinstance(architecture, dict):
            found = file.from_dict(architecture, name=cls.model_name).genotype
        elif isinstance(architecture, AbstractGenotype):
            found = architecture
        else:
            found = file.read(str(architecture)).genotype  # a path, too
        if not isinstance(found, cls.genotype_class):
            raise UserError(f"{cls.__name__} builds networks of another search space than that of {found}")
        return found

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> the features that are pooled, [B, num_features, h, w]."""

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last cell's output [B, num_features, h, w] -> logits [B, num_classes].

        With `pre_logits` the classifier is left out: -> [B, head_hidden_size].
        """
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> logits [B, num_classes]."""
        return self.forward_head(self.forward_features(x))

    @eager
    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The last map of each size, as listed in `feature_info`.

        Args:
            x: images [B, in_chans, H, W].
            indices: the last n maps, a list of their indices, or None for all.
            norm: ignored; part of timm's interface.
            stop_early: stop after the last of the maps.
            output_fmt: must be `NCHW`.
            intermediates_only: return the maps only.

        Returns:
            The output of the last computed cell and the list of maps, each [B, channels, h, w]; or the list.

        Raises:
            UserError: `output_fmt` is not `NCHW`.
        """
        if output_fmt != "NCHW":
            raise UserError(f"output_fmt must be NCHW, not {output_fmt!r}")
        taken, last = chosen_maps(len(self.feature_info), indices)
        end = self.feature_ends[last] + 1 if stop_early else len(self.cells)
        maps: dict[str, Tensor] = {}
        for name, last_map in self.maps(x, end):
            maps[name] = x = last_map
        intermediates = [maps[self.feature_info[index]["module"]] for index in taken]
        if intermediates_only:
            return intermediates
        return x if end < len(self.cells) else self.finish(x), intermediates

    @eager
    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove the cells after the last of the maps `indices`, and the head; returns the maps' indices."""
        taken, last = chosen_maps(len(self.feature_info), indices)
        is_cut = self.feature_ends[last] + 1 < len(self.cells)
        self.cells = self.cells[: self.feature_ends[last] + 1]
        if is_cut:
            self.num_features = self.feature_info[last]["num_chs"]
            self.end_early()
        if prune_head or is_cut:
            self.reset_classifier(0, "")
        return list(taken)


def chosen_maps(count: int, indices: int | Sequence[int] | None) -> tuple[list[int], int]:
    """Which of `count` maps timm's option `indices` asks for, counted from the first, and the last of them.

    Args:
        count: number of maps.
        indices: the last n maps, a list of their indices (negative ones count from the end), or None for all.

    Raises:
        UserError: there is no such map.
    """
    if indices is None or isinstance(indices, int):
        indices = range(-(count if indices is None else indices), 0)
    if not indices or not all(-count <= index < count for index in indices):
        raise UserError(f"indices must name some of the {count} maps of different sizes")
    taken = [index % count for index in indices]
    return taken, max(taken)


def feature_maps(before: Stages, cells: Sequence[Stage]) -> tuple[list[dict[str, Any]], list[int]]:
    """The last map of each size.

    Args:
        before: channels and name of the maps before the cells, by reduction.
        cells: channels of the output of each cell, and whether it divides the size by two.

    Returns:
        `feature_info` of timm, and for each map the index of the last cell that it needs, -1 for none.
    """
    maps = {reduction: (channels, name, -1) for reduction, (channels, name) in before.items()}
    reduction = max(maps)
    for index, (channels, is_reduction) in enumerate(cells):
        reduction *= 2 if is_reduction else 1
        maps[reduction] = (channels, f"cells.{index}", index)
    info = [
        {"num_chs": channels, "reduction": reduction, "module": name}
        for reduction, (channels, name, _) in maps.items()
    ]
    return info, [last_cell for _, _, last_cell in maps.values()]


def _without_auxiliary(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Remove the auxiliary head's weights from a state dict if the model has no such head."""
    if getattr(module, "auxiliary_head", None) is None:
        for name in [name for name in state_dict if name.startswith(f"{prefix}auxiliary_head.")]:
            del state_dict[name]


def configuration(**changes: Any) -> dict[str, Any]:
    """Timm's configuration of a model, of images as ImageNet's unless changed."""
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "classifier": "classifier",
        **changes,
    }


def create(model_class: type[Model], variant: str, pretrained: bool, **options: Any) -> Model:
    """A model with timm's configuration; called by the entry points.

    Args:
        model_class: class of the model.
        variant: name of the entry point.
        pretrained: whether timm shall load weights, which only networks of the Hub or of a folder have.
        **options: arguments of the model, and those that timm handles.
    """
    is_described = isinstance(options.get("pretrained_cfg"), dict)  # by the config.json of a trained network
    if options.get("stem") == "cifar" and not is_described:
        small = {"input_size": (options.get("in_chans", 3), 32, 32), "pool_size": (8, 8), "crop_pct": 1.0}
        options["pretrained_cfg_overlay"] = small | (options.get("pretrained_cfg_overlay") or {})
    if options.get("features_only"):
        options.setdefault("out_indices", (0, 1, 2) if options.get("stem") == "cifar" else (0, 1, 2, 3, 4))
    features = {"feature_cls": "getter", **(options.pop("feature_cfg", None) or {})}
    model: Model = build_model_with_cfg(model_class, variant, pretrained, feature_cfg=features, **options)
    return model
