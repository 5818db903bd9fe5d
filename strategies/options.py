"""The options of every strategy: frozen, typed, checked, and light to import."""

from __future__ import annotations

import difflib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from search_spaces.errors import UserError

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy


class Options(BaseModel, ABC):
    """Base of a strategy's options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def changed(self) -> dict[str, Any]:
        """The options that are not at their default: what tells two uses of a strategy apart."""
        return self.model_dump(exclude_defaults=True)

    @abstractmethod
    def implementation(self) -> str:
        """The strategy's class as `module:class`, imported when it is created."""

    @property
    def shares_weights(self) -> bool:
        """Whether it searches on a supernet rather than by training candidates."""
        return True

    def scored_images(self, epochs: int, batch: int, validation: int) -> int:
        """Images that shared weights score without a gradient, in a search of so many epochs.

        Args:
            epochs: epochs of the search.
            batch: images of a validation batch.
            validation: images of the validation half.
        """
        return epochs * validation


class DartsOptions(Options):
    """Differentiable search (Liu, Simonyan, Yang, ICLR 2019)."""

    alpha_lr: float = Field(3e-4, gt=0, description="Adam's learning rate for the alphas")
    alpha_weight_decay: float = Field(1e-3, ge=0, description="Adam's weight decay for the alphas")
    order: int = Field(
        1, ge=1, le=2, description="2: alphas look one step of the weights ahead; about 2.5 times the time"
    )
    cell: Literal["fast", "plain"] = Field(
        "fast", description="the search-time cell; both give the same up to rounding"
    )
    recompute: bool = Field(
        False, description="keep cells' inputs only and compute the rest again: less memory, more time"
    )

    frozen_epochs: int = Field(0, ge=0, description="first epochs that train the weights only")
    stop_skips: int = Field(
        0, ge=0, description="stop when the normal cell comes to as many skips (DARTS+: 2); 0: never"
    )
    partial_channels: int = Field(
        1, ge=1, description="candidates see one channel in so many, and edges have weights (PC-DARTS: 4)"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.recompute and self.cell == "plain":
            raise UserError("recompute is no option of cell=plain")
        if self.partial_channels > 1 and (self.recompute or self.cell == "plain"):
            raise UserError("partial_channels has a cell of its own: leave cell and recompute alone")
        return self

    def implementation(self) -> str:
        """See `Options`."""
        return "strategies.darts:Darts"


class GumbelOptions(DartsOptions):
    """DARTS on sampled, relaxed choices: Gumbel-softmax (Xie et al., ICLR 2019; Dong and Yang, CVPR 2019)."""

    temperature: float = Field(1.0, gt=0, description="of the Gumbel-softmax in the first epoch")
    temperature_min: float = Field(0.33, gt=0, description="in the last epoch; it falls linearly")

    def implementation(self) -> str:
        """See `Options`."""
        return "strategies.gumbel:Gumbel"


class RandomOptions(Options):
    """Uniform draws over the cells."""

    candidates: int = Field(
        1, ge=1, description="cells drawn; 1: no training, the study's baseline; more: the best once trained"
    )

    def implementation(self) -> str:
        """See `Options`."""
        return "strategies.random:RandomSearch"

    @property
    def shares_weights(self) -> bool:
        """See `Options`."""
        return False


class RandomWsOptions(Options):
    """Random search with weight sharing (Li and Talwalkar, UAI 2019)."""

    candidates: int = Field(1000, ge=1, description="random cells that are screened in the end")
    batches: int = Field(10, ge=1, description="validation batches that screen a cell")
    finalists: int = Field(10, ge=1, description="the best of them, scored on the whole validation half")

    def implementation(self) -> str:
        """See `Options`."""
        return "strategies.random_ws:RandomWs"

    def scored_images(self, epochs: int, batch: int, validation: int) -> int:
        """See `Options`."""
        return self.candidates * min(self.batches * batch, validation) + self.finalists * validation


class EnasOptions(Options):
    """Controller and shared weights (Pham et al., ICML 2018)."""

    controller_lr: float = Field(3.5e-3, gt=0, description="Adam's learning rate")
    controller_steps: int = Field(30, ge=1, description="controller steps after every epoch of the weights")
    aggregate: int = Field(10, ge=1, description="cells that a controller step draws and averages over")
    hidden: int = Field(64, ge=1, description="size of the LSTM")
    baseline_decay: float = Field(0.99, ge=0, lt=1, description="of the average reward")
    entropy_weight: float = Field(1e-4, ge=0, description="of the entropy in the reward")
    tanh_constant: float = Field(1.10, gt=0, description="largest logit of an input")
    op_tanh_reduction: float = Field(2.5, gt=0, description="how many times smaller that of an operation is")
    temperature: float = Field(1.0, gt=0, description="of all logits; some ports use 5.0")
    candidates: int = Field(10, ge=1, description="cells drawn in the end, scored on the validation half")

    def implementation(self) -> str:
        """See `Options`."""
        return "strategies.enas:Enas"

    def scored_images(self, epochs: int, batch: int, validation: int) -> int:
        """See `Options`."""
        return epochs * self.controller_steps * self.aggregate * batch + self.candidates * validation


class EvolutionOptions(Options):
    """Regularized evolution (Real et al., AAAI 2019) and NSGA-Net (Lu et al., GECCO 2019)."""

    selection: Literal["regularized", "nsga2"] = Field(
        "regularized", description="regularized: for accuracy; nsga2: for accuracy and mult_adds"
    )
    evaluate: Literal["scratch", "supernet"] = Field(
        "scratch", description="candidates are trained, or scored under shared weights trained before"
    )
    population: int | None = Field(None, ge=2, description="None: 100 for regularized, 40 for nsga2")
    tournament: int = Field(25, ge=1, description="regularized: candidates that compete to be a parent")
    candidates: int = Field(1000, ge=1, description="regularized: candidates in all")
    ahead: int = Field(
        0, ge=0, description="regularized: candidates proposed before the oldest is known; 0: one per worker"
    )
    offspring: int = Field(20, ge=1, description="nsga2: children of a generation")
    generations: int = Field(30, ge=0, description="nsga2: generations after the first population")
    choose: Literal["lowest_error", "knee"] = Field(
        "lowest_error", description="nsga2: the member of the front that is exported"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        other = {
            "regularized": ("offspring", "generations", "choose"),
            "nsga2": ("tournament", "candidates", "ahead"),
        }[self.selection]
        for name in other:
            if name in self.changed():
                raise UserError(f"{name} is no option of selection={self.selection}")
        if self.selection == "regularized" and self.tournament > self.population_size:
            raise UserError(f"a tournament of {self.tournament} needs as large a population")
        return self

    @property
    def population_size(self) -> int:
        """Candidates that live at a time."""
        return self.population or (100 if self.selection == "regularized" else 40)

    @property
    def total(self) -> int:
        """Candidates in all."""
        if self.selection == "regularized":
            return self.candidates
        return self.population_size + self.generations * self.offspring

    def implementation(self) -> str:
        """See `Options`."""
        return f"strategies.evolution:{'Evolution' if self.evaluate == 'scratch' else 'SupernetEvolution'}"

    @property
    def shares_weights(self) -> bool:
        """See `Options`."""
        return self.evaluate == "supernet"

    def scored_images(self, epochs: int, batch: int, validation: int) -> int:
        """See `Options`."""
        return self.total * validation


@dataclass(frozen=True)
class Entry:
    """A strategy that can be asked for by name.

    Attributes:
        summary: what it does, in one line.
        options: its options.
    """

    summary: str
    options: type[Options]


STRATEGIES: dict[str, Entry] = {
    "darts": Entry("softmax-weighted operations, alphas and weights trained in turn", DartsOptions),
    "gumbel": Entry("darts on Gumbel-softmax draws of the operations", GumbelOptions),
    "enas": Entry("an LSTM controller trained by REINFORCE on shared weights", EnasOptions),
    "random_ws": Entry("random search with weight sharing", RandomWsOptions),
    "evolution": Entry("regularized evolution, or NSGA-Net's, of trained candidates", EvolutionOptions),
    "random": Entry("a uniform draw, or the best of several once trained", RandomOptions),
}


@dataclass(frozen=True)
class StrategySpec:
    """A strategy with its options, as `--strategy` names it.

    Attributes:
        text: the text that it was read from.
        name: name of the strategy.
        options: options of the strategy, defaults filled in.
    """

    text: str
    name: str
    options: Options

    def create(self) -> Strategy:
        """Make the NNI strategy."""
        module, cls = self.options.implementation().split(":")
        return getattr(importlib.import_module(module), cls)(self.options)


def check(name: str, options: dict[str, Any]) -> Options:
    """The options of the strategy `name`, defaults filled in.

    Raises:
        UserError: says in one line what is not known or out of range, and what is allowed.
    """
    if name not in STRATEGIES:
        raise UserError(
            f"unknown strategy {name!r}{_near(name, list(STRATEGIES))}; known: {', '.join(STRATEGIES)}"
        )
    model = STRATEGIES[name].options
    known = list(model.model_fields)
    for option in options:
        if option not in known:
            raise UserError(
                f"{name} has no option {option!r}{_near(option, known)}; it has: {', '.join(known)}"
            )
    try:
        return model(**options)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        where = f"{name}:{first['loc'][0]}" if first["loc"] else name
        raise UserError(f"{where}: {message} (got {first['input']!r})") from None


def parse(text: str) -> StrategySpec:
    """Read `name` or `name:option=value,option=value`.

    Raises:
        UserError: as `check`, or the text is not of that form.
    """
    name, colon, rest = text.partition(":")
    options: dict[str, str] = {}
    for part in rest.split(",") if colon else []:
        option, equals, value = part.partition("=")
        if not equals or not option.strip():
            raise UserError(f"{text!r}: after the colon come option=value pairs, not {part!r}")
        options[option.strip()] = value.strip()
    return StrategySpec(text, name, check(name, options))


def upgrade(text: str) -> str:
    """A strategy's text as version 0.1 wrote it, with today's names of its options."""
    name, colon, rest = text.partition(":")
    pairs = dict(part.partition("=")[::2] for part in rest.split(",")) if rest else {}
    return (
        name + colon + ",".join(f"{option}={value}" for option, value in upgrade_options(name, pairs).items())
    )


def upgrade_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the strategy `name` as version 0.1 called them, by their names of today."""
    renamed = {"alpha_learning_rate": "alpha_lr", "controller_learning_rate": "controller_lr"}
    if name == "random":
        renamed["samples"] = "candidates"
    return {renamed.get(option, option): value for option, value in options.items()}


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
