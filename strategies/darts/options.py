"""The options of differentiable search: one for each part that the strategy is composed of.

Importing them imports neither torch nor NNI.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from search_spaces import Space
from strategies.darts import checks
from strategies.darts.sizes import CANDIDATES, EDGES_OF_NODES, PROJECTIONS
from strategies.options import Options

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy


def _values(value: Any) -> Any:
    """The values of `7/4`, of 7, or of a sequence."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split("/"))
    return value if isinstance(value, tuple | list) else (value,)


def _text(values: tuple[float, ...]) -> Any:
    """One value as it is, several as they are given: 7/4."""
    return values[0] if len(values) == 1 else "/".join(map(str, values))


_PER_STAGE = (BeforeValidator(_values), PlainSerializer(_text))


class DartsOptions(Options):
    """Differentiable search (Liu, Simonyan, Yang, ICLR 2019).

    Options that may differ between stages take one value, or one for each stage: `operations=7/4`.

    Attributes:
        published: values of a published method, the defaults of its options.
    """

    renamed: ClassVar[Mapping[str, str]] = {"alpha_learning_rate": "alpha_lr"}
    published: ClassVar[Mapping[str, Any]] = {}

    alpha_lr: float = Field(3e-4, gt=0, description="learning rate of the alphas' Adam")
    alpha_weight_decay: float = Field(1e-3, ge=0, description="weight decay of the alphas' Adam")
    alpha_beta1: float = Field(0.5, ge=0, lt=1, description="beta1 of the alphas' Adam")
    alpha_mean: float = Field(0.0, description="mean of the first alphas")
    alpha_scale: float = Field(1e-3, ge=0, description="standard deviation of the first alphas")
    alpha_clip_grad: float = Field(0.0, ge=0, description="largest norm of the alphas' gradient; 0: any")
    order: int = Field(
        1,
        ge=1,
        le=2,
        description="2: gradients of the alphas look one step of the weights ahead; about 2.5 times the time",
    )
    bilevel: bool = Field(
        True,
        description="true: alphas learn from the alpha split; false: from the weight split, with the weights",
    )
    weights_first: bool = Field(False, description="whether a step updates the weights before the alphas")
    nesterov: bool = Field(False, description="whether the weights' momentum is Nesterov's")
    cell: Literal["fast", "plain"] = Field(
        "fast", description="search-time cell; both give the same results up to rounding"
    )
    recompute: bool = Field(
        False, description="keep only the inputs of cells and compute the rest again: less memory, more time"
    )
    relaxation: Literal["softmax", "gumbel", "gumbel-hard", "dirichlet", "sigmoid"] = Field(
        "softmax", description="how alphas become weights of the candidates"
    )
    temperature: float = Field(1.0, gt=0, description="Gumbel: temperature in the first epoch")
    temperature_min: float = Field(
        0.33, gt=0, description="Gumbel: temperature in the last epoch; it falls linearly from epoch to epoch"
    )
    none: bool = Field(True, description="whether none is among the candidates")
    regularization: Literal["none", "beta", "zero-one", "l2"] = Field(
        "none", description="term that the loss of the alphas gets"
    )
    regularization_weight: float = Field(1.0, ge=0, description="weight of that term; beta: times the epoch")
    regularization_target: float = Field(0.0, description="l2: alpha that it pulls towards")
    perturbation: Literal["none", "random", "adversarial"] = Field(
        "none", description="perturbation of the candidates' weights in the step of the shared weights"
    )
    radius_min: float = Field(0.03, ge=0, description="largest perturbation in the first epoch")
    radius: float = Field(
        0.3, ge=0, description="largest perturbation after the last epoch; it grows linearly"
    )
    partial_channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], *_PER_STAGE] = Field(
        (1,), description="K: candidates process 1/K of the channels (PC-DARTS: 4); one value a stage"
    )
    edge_weights: bool | None = Field(
        None, description="whether edges have weights of their own; None: with partial channels"
    )
    skip_dropout: Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], *_PER_STAGE] = Field(
        (0.0,),
        description="dropout of skips at the start of a stage, from which it decays; one value a stage",
    )
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="probability with which the output of an edge is dropped, image by image, in the last "
        "epoch; it grows linearly from 0 (RobustDARTS: 0.2)",
    )
    operation_dropout: float = Field(
        0.0, ge=0, lt=1, description="probability with which a candidate of an edge is left out of a step"
    )
    freeze_below: float = Field(
        0.0,
        ge=0,
        le=1,
        description="similarity of its gradients below which an operation's weights are frozen; 0: never",
    )
    freeze_checks: int = Field(20, ge=1, description="number of steps over which that similarity is averaged")
    frozen_epochs: int = Field(
        0, ge=0, description="number of first epochs, of each stage, that train the weights only"
    )
    stop_skips: int = Field(
        0,
        ge=0,
        description="number of skips in the normal cell at which the search stops (DARTS+: 2); 0: never",
    )
    operations: Annotated[tuple[Annotated[int, Field(ge=2, le=CANDIDATES)], ...], *_PER_STAGE] = Field(
        (CANDIDATES,),
        description="candidates that an edge keeps, those of the largest alphas; one value a stage",
    )
    add_layers: Annotated[tuple[int, ...], *_PER_STAGE] = Field(
        (0,), description="cells that the supernet has besides those of the search; one value a stage"
    )
    restart: bool = Field(False, description="whether weights and alphas start again at each stage")
    max_skips: int | None = Field(
        None, ge=0, description="largest number of skips in the derived normal cell; None: any"
    )
    derivation: Literal["argmax", "projection"] = Field(
        "argmax",
        description="argmax: by the weights of the candidates; projection: by the accuracy without each",
    )
    projection_epochs: int = Field(
        5, ge=1, description="projection: epochs after each choice, besides those of the search"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        return {**cls.published, **values} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        checks.check_options(self)
        return self

    def stage_values(self) -> dict[str, tuple[float, ...]]:
        """Values of the options that may differ between stages: one value, or one for each stage."""
        return {
            name: getattr(self, name)
            for name in ("operations", "add_layers", "partial_channels", "skip_dropout")
        }

    def shown(self, name: str) -> str:
        """One of those options as it is given: `operations=7/4`."""
        return f"{name}={_text(getattr(self, name))}"

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults: they tell two uses of one strategy apart."""
        defaults = type(self)().model_dump()
        return {name: value for name, value in self.model_dump().items() if value != defaults[name]}

    @property
    def stages(self) -> int:
        """Number of stages."""
        return max(len(values) for values in self.stage_values().values())

    def in_stage(self, name: str, stage: int) -> Any:
        """Value of an option in a stage, from 0."""
        values = getattr(self, name)
        return values[stage] if len(values) > 1 else values[0]

    def stage_starts(self, epochs: int) -> list[int]:
        """The epochs with which the stages of a search of so many epochs start."""
        return [epochs * stage // self.stages for stage in range(self.stages)]

    def frozen(self, epochs: int) -> int:
        """Number of epochs, out of `epochs`, in which the alphas rest."""
        starts = self.stage_starts(epochs)
        lengths = [end - start for start, end in zip(starts, [*starts[1:], epochs], strict=True)]
        return sum(min(self.frozen_epochs, length) for length in lengths)

    @property
    def has_edge_weights(self) -> bool:
        """Whether edges have weights of their own."""
        return max(self.partial_channels) > 1 if self.edge_weights is None else self.edge_weights

    @property
    def is_sparse(self) -> bool:
        """Whether candidates of the weight 0 are left out."""
        return (
            self.relaxation == "gumbel-hard"
            or self.operation_dropout > 0
            or self.operations[-1] < CANDIDATES
            or self.derivation == "projection"
        )

    @property
    def extra_epochs(self) -> int:
        """Epochs of the projection, which come after those of the search."""
        return self.projection_epochs * (PROJECTIONS - 1) + 1 if self.derivation == "projection" else 0

    def total_epochs(self, epochs: int) -> int:
        """Epochs of a search of `epochs`, with those of a projection."""
        return epochs + self.extra_epochs

    def check_search(self, epochs: int, width: int, layers: int) -> None:
        """Refuse a search that the stages do not fit into; arguments as in `Options`."""
        checks.check_search(self, epochs, width, layers)

    def has_fast_cell(self, space: Space) -> bool:
        """Whether the supernet has the fast search-time cell rather than the plain one."""
        return self.cell == "fast" and not self.why_plain(space)

    def why_plain(self, space: Space) -> str:
        """Why the supernet cannot have the fast search-time cell; empty where it can."""
        if not space.has_fast_cell:
            return f"the fast ones do not compute {space.text}"
        return "the fast ones do not drop edges, as drop_path does" if self.drop_path else ""

    def check_space(self, space: Space) -> None:
        """Refuse a search space that a part of the method was not made for."""
        checks.check_space(self, space)

    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""
        strategy: Strategy = importlib.import_module("strategies.darts.search").Darts(self)
        return strategy

    def training_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that a search backpropagates.

        Each batch of the weight split comes with one of the alpha split; second order takes three more passes
        over the weight split, an attack seven. While the alphas are frozen, only the weight split is used.
        """
        learning = 0
        if self.bilevel:
            passes, rest = divmod(-(-weight_images // batch_size), -(-alpha_images // batch_size))
            learning = passes * alpha_images + rest * batch_size
        if self.order == 2:
            learning += 3 * weight_images
        every = weight_images * (8 if self.perturbation == "adversarial" else 1)
        total = self.total_epochs(epochs)
        return total * every + (total - self.frozen(epochs)) * learning

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that a search passes without a gradient, over all processes.

        The alpha split validates every epoch; an attack scores each batch of the weight split twice; a
        projection scores the supernet without each candidate, then without each edge.
        """
        passes = total = self.total_epochs(epochs)
        attacked = 2 * total * weight_images if self.perturbation == "adversarial" else 0
        if self.derivation == "projection":
            removals = sum(sum(range(3, edges + 1)) for edges in EDGES_OF_NODES)
            passes += 2 * (sum(EDGES_OF_NODES) * (CANDIDATES - 1) + removals)
        return passes * alpha_images + attacked

    def speed_probe(self) -> Options:
        """The same steps from the first epoch to the last."""
        rest = {"frozen_epochs": 0, "stop_skips": 0, "derivation": "argmax", "max_skips": None}
        first = {name: values[:1] for name, values in self.stage_values().items()}
        return self.model_copy(update=rest | first)
