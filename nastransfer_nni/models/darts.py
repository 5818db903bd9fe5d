"""Final networks as timm models; importing this module registers them.

`nastransfer_darts` takes an architecture; each published cell has a name of its own:

    import timm, nastransfer_nni.models
    timm.create_model("nastransfer_darts", architecture="found.json", width=36, layers=20, stem="cifar")
    timm.create_model("nastransfer_darts_v2", num_classes=100)
"""

# Without `from __future__ import annotations`: torch.jit.script of a graph that torch.fx has traced evaluates
# the annotations of `forward`, and does not evaluate those that are strings.

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from timm.models._manipulate import checkpoint
from torch import Tensor, nn

from nastransfer_nni.architecture import file
from search_spaces import Genotype
from search_spaces.errors import UserError
from search_spaces.geometry import geometries
from search_spaces.network import DartsNetwork
from search_spaces.zoo import zoo

__all__ = ["DartsModel"]

Method = TypeVar("Method", bound=Callable[..., Any])


def _eager(method: Method) -> Method:
    """Leave a method out of TorchScript."""
    ignored: Method = torch.jit.ignore(method)  # type: ignore[no-untyped-call]
    return ignored


class DartsModel(DartsNetwork):
    """The network of a genotype with the interface of timm's models; its weights have `DartsNetwork`'s names.

    The auxiliary head exists only with `auxiliary=True` and is used only by `forward_with_auxiliary`. A model
    without it ignores its weights in a checkpoint.

    Args:
        architecture: a genotype, its JSON form, the name of a published cell or a file, as `--arch` takes it.
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
        feature_info: channels, reduction and module of the last map of each size, for timm.
        feature_ends: index of the last cell that each of those maps needs; -1: none.

    Raises:
        UserError: the architecture cannot be read, or width, layers and stem do not fit together.
    """

    def __init__(
        self,
        architecture: Genotype | dict[str, Any] | str,
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
            _genotype(architecture), width, layers, max(num_classes, 1), stem, auxiliary, in_chans
        )
        del self.pool
        self.drop_rate = drop_rate
        self.global_pool: Any = None
        self.in_chans = in_chans
        self.grad_checkpointing = False
        self.feature_info, self.feature_ends = _features(width, layers, stem)
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes, global_pool)
        self.set_drop_path_rate(drop_path_rate)
        self.register_load_state_dict_pre_hook(_without_auxiliary)  # type: ignore[no-untyped-call]

    @_eager
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns of the parameter groups for layer-wise learning rates: the stem, then each cell."""
        return {"stem": r"^stem", "blocks": r"^cells\.(\d+)"}

    @_eager
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each cell in the backward pass instead of storing its activations."""
        self.grad_checkpointing = enable

    @_eager
    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    @_eager
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

    @_eager
    def _cell(self, cell: nn.Module, s0: Tensor, s1: Tensor) -> Tensor:
        recompute = self.grad_checkpointing and torch.is_grad_enabled()
        return checkpoint(cell, s0, s1) if recompute else cell(s0, s1)

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> the last cell's output [B, num_features, h, w]."""
        s0, s1 = self.stem(x)
        for cell in self.cells:
            if torch.jit.is_scripting():  # type: ignore[attr-defined]
                s0, s1 = s1, cell(s0, s1)
            else:
                s0, s1 = s1, self._cell(cell, s0, s1)
        return s1

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last cell's output [B, num_features, h, w] -> logits [B, num_classes].

        With `pre_logits` the classifier is left out: -> [B, head_hidden_size].
        """
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> logits [B, num_classes]."""
        return self.forward_head(self.forward_features(x))

    @_eager
    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, in_chans, H, W] -> logits and the auxiliary head's logits, [B, num_classes] each."""
        assert self.auxiliary_head is not None, "the network was built without an auxiliary head"
        s0, s1 = self.stem(x)
        auxiliary = s1
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, self._cell(cell, s0, s1)
            if index == self.auxiliary_cell:
                auxiliary = s1
        return self.forward_head(s1), self.auxiliary_head(auxiliary)

    @_eager
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
        taken, last = feature_take_indices(len(self.feature_info), indices)
        maps: dict[str, Tensor] = {}
        for name, layer in self.stem.first.named_children():
            x = maps[f"stem.first.{name}"] = layer(x)
        s0 = maps["stem.first"] = x
        s1 = maps["stem.second"] = self.stem.second(x)
        end = self.feature_ends[last] + 1 if stop_early else len(self.cells)
        for index, cell in enumerate(self.cells[:end]):
            s0, s1 = s1, self._cell(cell, s0, s1)
            maps[f"cells.{index}"] = s1
        intermediates = [maps[self.feature_info[index]["module"]] for index in taken]
        return intermediates if intermediates_only else (s1, intermediates)

    @_eager
    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove the cells after the last of the maps `indices`, and the head; returns the maps' indices."""
        taken, last = feature_take_indices(len(self.feature_info), indices)
        is_cut = self.feature_ends[last] + 1 < len(self.cells)
        self.cells = self.cells[: self.feature_ends[last] + 1]
        if is_cut:
            self.num_features = self.feature_info[last]["num_chs"]
        if prune_head or is_cut:
            self.reset_classifier(0, "")
        return list(taken)


def _genotype(architecture: Genotype | dict[str, Any] | str) -> Genotype:
    if isinstance(architecture, Genotype):
        return architecture
    if isinstance(architecture, dict):
        return Genotype.from_dict(architecture)
    return file.read(str(architecture)).genotype


def _features(width: int, layers: int, stem: str) -> tuple[list[dict[str, Any]], list[int]]:
    """The last map of each size.

    Returns:
        `feature_info` of timm, and for each map the index of the last cell that it needs, -1 for none.
    """
    plan = geometries(width, layers, stem)
    before_cells = {1: (plan[0].previous, "stem.first")}
    if stem == "imagenet":
        before_cells = {
            2: (width // 2, "stem.first.2"),
            4: (plan[0].before_previous, "stem.first"),
            8: (plan[0].previous, "stem.second"),
        }
    maps = {reduction: (channels, name, -1) for reduction, (channels, name) in before_cells.items()}
    reduction = max(maps)
    for index, cell in enumerate(plan):
        reduction *= 2 if cell.kind == "reduce" else 1
        maps[reduction] = (cell.out_channels, f"cells.{index}", index)
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


def _cfg(**changes: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem.first.0",
        "classifier": "classifier",
        **changes,
    }


def _create(variant: str, pretrained: bool, **options: Any) -> DartsModel:
    if options.get("stem") == "cifar":
        small = {"input_size": (options.get("in_chans", 3), 32, 32), "pool_size": (8, 8), "crop_pct": 1.0}
        options["pretrained_cfg_overlay"] = small | (options.get("pretrained_cfg_overlay") or {})
    if options.get("features_only"):
        options.setdefault("out_indices", (0, 1, 2) if options.get("stem") == "cifar" else (0, 1, 2, 3, 4))
    features = {"feature_cls": "getter", **(options.pop("feature_cfg", None) or {})}
    model: DartsModel = build_model_with_cfg(DartsModel, variant, pretrained, feature_cfg=features, **options)
    return model


def _zoo_name(cell: str) -> str:
    return f"nastransfer_{cell.lower()}"


default_cfgs = generate_default_cfgs(
    {"nastransfer_darts": _cfg(), **{_zoo_name(cell): _cfg() for cell in zoo()}}
)


@register_model  # type: ignore[untyped-decorator]
def nastransfer_darts(
    pretrained: bool = False, architecture: Genotype | dict[str, Any] | str | None = None, **options: Any
) -> DartsModel:
    """The network of `architecture`, in any form that `--arch` takes; further options as for `DartsModel`."""
    if architecture is None:
        raise UserError("nastransfer_darts needs architecture=..., a file or the name of a published cell")
    return _create("nastransfer_darts", pretrained, architecture=architecture, **options)


def _register(cell: str) -> None:
    def entry(pretrained: bool = False, **options: Any) -> DartsModel:
        return _create(_zoo_name(cell), pretrained, architecture=zoo()[cell].genotype, **options)

    entry.__name__ = entry.__qualname__ = _zoo_name(cell)
    entry.__doc__ = f"The published cell {cell}; width 48, 14 layers and the ImageNet stem unless given."
    globals()[entry.__name__] = register_model(entry)


for _cell_name in zoo():
    _register(_cell_name)
