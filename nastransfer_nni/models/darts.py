"""timm models of the DARTS space; importing this module registers them.

`nastransfer_darts` takes an architecture; each published cell has a name of its own:

    import timm, nastransfer_nni.models
    timm.create_model("nastransfer_darts", architecture="found.json", width=36, layers=20, stem="cifar")
    timm.create_model("nastransfer_darts_v2", num_classes=100)
"""

from __future__ import annotations

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
from search_spaces.network import DartsNetwork
from search_spaces.zoo import zoo

__all__ = ["DartsModel"]

Method = TypeVar("Method", bound=Callable[..., Any])


def _eager(method: Method) -> Method:
    """Leave a method out of TorchScript."""
    ignored: Method = torch.jit.ignore(method)  # type: ignore[no-untyped-call]
    return ignored


class DartsModel(DartsNetwork):
    """A genotype's network with timm's conventions; the weights are laid out as `DartsNetwork`'s.

    The auxiliary head is there only with `auxiliary=True` and takes part only in `forward_with_auxiliary`;
    its weights in a checkpoint are passed over by a model without one.

    Args:
        architecture: a genotype, its JSON form, a zoo name or a file, as `--arch` takes it.
        width: channels of the first cell's nodes.
        layers: number of cells.
        num_classes: size of the output; 0 gives the pooled features.
        in_chans: channels of the images.
        stem: `imagenet`, or `cifar` for images up to 64 px.
        global_pool: timm's pooling by name; empty for none.
        drop_rate: dropout before the classifier.
        drop_path_rate: chance that an operation is dropped for an image, the same in all cells.
        auxiliary: whether to add the auxiliary head.
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
        self.feature_info, self.feature_ends = _features(width, layers, stem, self.cells)
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes, global_pool)
        self.set_drop_path_rate(drop_path_rate)
        self.register_load_state_dict_pre_hook(_without_auxiliary)  # type: ignore[no-untyped-call]

    @_eager
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Parameter groups for layer-wise learning rates: the stem, then each cell."""
        return {"stem": r"^stem", "blocks": r"^cells\.(\d+)"}

    @_eager
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute each cell again in the backward pass instead of keeping its activations."""
        self.grad_checkpointing = enable

    @_eager
    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    @_eager
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Start a new last layer (and a new one for the auxiliary head), or with 0 classes have none."""
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
        """The last cell's output -> logits [B, num_classes], or what the classifier would read."""
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
            indices: which maps: the last n, a list, or all.
            norm: without meaning here; timm's interface has it.
            stop_early: compute no further than the last map asked for.
            output_fmt: `NCHW`.
            intermediates_only: leave out the features.

        Returns:
            The features and the list of maps, or the list alone.
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
        """Drop the cells behind the last map asked for, and the head; returns the maps' numbers."""
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


def _features(
    width: int, layers: int, stem: str, cells: nn.ModuleList
) -> tuple[list[dict[str, Any]], list[int]]:
    """The feature_info of timm (the last map of each size) and the cell that each map needs, -1 for none."""
    if stem == "imagenet":
        levels = {
            2: {"num_chs": width // 2, "reduction": 2, "module": "stem.first.2"},
            4: {"num_chs": width, "reduction": 4, "module": "stem.first"},
            8: {"num_chs": width, "reduction": 8, "module": "stem.second"},
        }
        reduction = 8
    else:
        levels = {1: {"num_chs": 3 * width, "reduction": 1, "module": "stem.first"}}
        reduction = 1
    ends = dict.fromkeys(levels, -1)
    channels = width
    for index in range(layers):
        if index in (layers // 3, 2 * layers // 3):
            reduction, channels = 2 * reduction, 2 * channels
        levels[reduction] = {"num_chs": 4 * channels, "reduction": reduction, "module": f"cells.{index}"}
        ends[reduction] = index
    assert len(cells) == layers
    return list(levels.values()), list(ends.values())


def _without_auxiliary(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Pass over the auxiliary head's weights where the model has no such head."""
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
    model: DartsModel = build_model_with_cfg(
        DartsModel, variant, pretrained, feature_cfg={"feature_cls": "getter"}, **options
    )
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
    """The network of `architecture`, which any form that `--arch` takes may name."""
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
