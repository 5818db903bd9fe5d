"""A study file, and the jobs that follow from it. Nothing heavy is imported: a study is checked first."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, InstanceOf, ValidationInfo, field_validator, model_validator

import strategies
from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.config import Config, FromText
from nastransfer_nni.base.files import digest
from nastransfer_nni.base.yaml_file import read_yaml
from nastransfer_nni.data import sources
from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.spec import ProxySpec
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces.errors import UserError, unknown
from strategies import StrategySpec

BASELINE = "random"
"""Strategy of the baseline's cells: a random cell is drawn, and nothing is trained to choose it."""
ALL_IMAGES = "all"
"""Proxy of the baseline, which looks at no image."""

_SET_BY_THE_DESIGN = {
    "search": ("source", "proxy", "proxy_seed", "strategy", "seed", "out", "overwrite"),
    "transfer": ("arch", "target", "protocol", "seed", "out", "overwrite"),
}

# A text may occur several times in a study file. `Study.create` empties the caches for each file, because
# names may be folders and files, which change.
_strategy = cache(strategies.parse)
_source = cache(sources.check)
_proxy = cache(spec.parse)

StrategyOption = Annotated[InstanceOf[StrategySpec], FromText(_strategy)]
SourceOption = Annotated[InstanceOf[Source], FromText(_source)]
ProxyOption = Annotated[InstanceOf[ProxySpec], FromText(_proxy)]


@cache
def _any_cell() -> Architecture:
    """A cell in place of the one that a search has yet to find, to check a transfer's options with."""
    return read("DARTS_V2")


@dataclass(frozen=True)
class Job:
    """One search or one transfer of a study.

    Attributes:
        name: unique within the study; names the job's folder and log.
        kind: search or transfer.
        config: options of the job; a transfer's `arch` is replaced by what its search exports.
        search: name of the search whose cell is transferred; None for a search.
    """

    name: str
    kind: Literal["search", "transfer"]
    config: SearchConfig | TransferConfig
    search: str | None = None

    def folder(self, root: Path) -> Path:
        """Run directory of the job in the study's folder `root`."""
        return root / ("searches" if self.kind == "search" else "transfers") / self.name

    def log(self, root: Path) -> Path:
        """File with the job's output."""
        return root / "logs" / f"{self.name}.txt"

    def options(self, root: Path) -> SearchConfig | TransferConfig:
        """Options of the job with its folder and, for a transfer, the architecture that its search exported.

        Raises:
            UserError: the search has exported no architecture.
        """
        changes: dict[str, Any] = {"out": str(self.folder(root))}
        if self.search is not None:
            changes["arch"] = read(str(root / "searches" / self.search / "architecture.json"))
        return self.config.model_copy(update=changes)


def _refuse_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    texts = [getattr(value, "text", value) for value in values]
    for text in texts:
        if texts.count(text) > 1:
            raise UserError(f"{text!r} is listed twice")
    return values


class SearchedSource(Config):
    """An image set that a study searches on, with its proxy sets."""

    source: SourceOption = Field(description="image set to search on")
    proxies: tuple[ProxyOption, ...] = Field(min_length=1, description="proxy sets of this image set")

    _no_repeats = field_validator("proxies")(_refuse_repeats)

    @property
    def text(self) -> str:
        """The source's name as it was given."""
        return self.source.text


class Study(Config):
    """A paired design: every strategy gets the same proxy draws, search seeds and training seeds.

    The random baseline is always part of it: one pool of cells drawn without search, trained like all others.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the study's folder")
    strategies: tuple[StrategyOption, ...] = Field(
        min_length=1, description="strategies with their options; random is added by itself"
    )
    proxies: tuple[ProxyOption, ...] = Field(
        (ALL_IMAGES,), validate_default=True, min_length=1, description="proxy sets of every source"
    )
    sources: tuple[SearchedSource, ...] = Field(
        min_length=1, description="image sets to search on; a mapping gives each its own proxies"
    )
    proxy_seeds: tuple[int, ...] = Field(
        (0,), min_length=1, description="random seeds of every proxy that depends on one"
    )
    search_seeds: tuple[int, ...] = Field(
        (0, 1, 2), min_length=1, description="random seeds of the searches of every strategy and proxy"
    )
    random_cells: int = Field(8, ge=2, description="number of random cells in the baseline")
    targets: tuple[SourceOption, ...] = Field(min_length=1, description="image sets to train the cells on")
    protocols: tuple[str, ...] = Field(
        ("",), min_length=1, description="training protocols; empty: the target's own"
    )
    train_seeds: tuple[int, ...] = Field(
        (0,), min_length=1, description="random seeds of the trainings of every cell"
    )
    source_training: bool = Field(True, description="also train every cell on its source: source_top1")
    search: dict[str, Any] = Field(default_factory=dict, description="options that all searches share")
    transfer: dict[str, Any] = Field(default_factory=dict, description="options that all transfers share")

    _no_repeats = field_validator(
        "strategies",
        "proxies",
        "sources",
        "proxy_seeds",
        "search_seeds",
        "targets",
        "protocols",
        "train_seeds",
    )(_refuse_repeats)

    @field_validator("strategies")
    @classmethod
    def _baseline_is_not_listed(cls, values: tuple[StrategySpec, ...]) -> tuple[StrategySpec, ...]:
        if any(value.text == BASELINE for value in values):
            raise UserError("the random baseline is part of every study; random_cells sets its size")
        return values

    @field_validator("sources", mode="before")
    @classmethod
    def _sources_have_proxies(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Mapping):
            return [{"source": source, "proxies": proxies} for source, proxies in value.items()]
        if not isinstance(value, list | tuple):
            return value
        shared = info.data.get("proxies", ())
        return [item if isinstance(item, Mapping) else {"source": item, "proxies": shared} for item in value]

    @field_validator("search", "transfer")
    @classmethod
    def _options_are_known(cls, values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        kind = str(info.field_name)
        config: type[Config] = SearchConfig if kind == "search" else TransferConfig
        allowed = [name for name in config.model_fields if name not in _SET_BY_THE_DESIGN[kind]]
        for name in values:
            if name in _SET_BY_THE_DESIGN[kind]:
                raise UserError(f"{name!r} is set by the study's design")
            if name not in allowed:
                raise unknown(f"option of {kind}", name, allowed, config.renamed)
        return values

    @model_validator(mode="after")
    def _every_job_is_possible(self) -> Self:
        _ = self.jobs
        return self

    @classmethod
    def create(cls, options: Mapping[str, Any]) -> Self:
        """Make the study from the content of a study file.

        Raises:
            UserError: names the first option that does not fit, its value and what is allowed.
        """
        for parse in (_strategy, _source, _proxy):
            parse.cache_clear()
        return super().create(options)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a study file.

        Raises:
            UserError: names the file and what is wrong in it.
        """
        value = read_yaml(path, "study file")
        if not isinstance(value, dict):
            raise UserError(f"{path}: a study is a mapping; it may have: {', '.join(cls.model_fields)}")
        try:
            for name in value:
                if name not in cls.model_fields:
                    raise unknown("option", name, list(cls.model_fields))
            return cls.create(value)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Every search, in the order of the file, each followed by its transfers."""
        return tuple(
            itertools.chain.from_iterable((search, *self._transfers(search)) for search in self._searches())
        )

    def draws(self, proxy: ProxySpec) -> tuple[int, ...]:
        """Random seeds with which a proxy set is drawn: one for a proxy that does not depend on the seed."""
        return self.proxy_seeds if proxy.depends_on_seed else self.proxy_seeds[:1]

    def _searches(self) -> Iterator[Job]:
        pairs = [(item.source, proxy) for item in self.sources for proxy in item.proxies]
        for (source, proxy), strategy in itertools.product(pairs, self.strategies):
            draws = self.draws(proxy)
            for proxy_seed, seed in itertools.product(draws, self.search_seeds):
                draw = [f"draw{proxy_seed}"] if len(draws) > 1 else []
                yield self._search(
                    words=(strategy.text, source.text, proxy.text, *draw, f"seed{seed}"),
                    shared=self.search,
                    source=source,
                    proxy=proxy,
                    proxy_seed=proxy_seed,
                    strategy=strategy,
                    seed=seed,
                )
        # A budget would make the baseline a random search, which trains what it draws.
        without_budget = {name: value for name, value in self.search.items() if name != "budget"}
        for seed in range(self.random_cells):
            yield self._search(
                words=(BASELINE, f"seed{seed}"),
                shared=without_budget,
                source=self.sources[0].source,
                proxy=_proxy(ALL_IMAGES),
                proxy_seed=0,
                strategy=_strategy(BASELINE),
                seed=seed,
            )

    def _search(self, *, words: Sequence[str], shared: Mapping[str, Any], **options: Any) -> Job:
        try:
            return Job(slug(words), "search", SearchConfig.create({**shared, **options}))
        except UserError as error:
            raise UserError(f"search: {error}") from None

    def _transfers(self, search: Job) -> Iterator[Job]:
        assert isinstance(search.config, SearchConfig)
        is_baseline = search.config.strategy.text == BASELINE
        searched = [item.source for item in self.sources] if is_baseline else [search.config.source]
        targets = {target.text for target in self.targets}
        wanted = list(itertools.product(self.targets, self.protocols))
        if self.source_training:
            wanted += [(source, "") for source in searched if source.text not in targets]
        for (target, protocol), seed in itertools.product(wanted, self.train_seeds):
            options = {"arch": _any_cell(), "target": target, "protocol": protocol, "seed": seed}
            try:
                config = TransferConfig.create({**self.transfer, **options})
            except UserError as error:
                raise UserError(f"transfer: {error}") from None
            named = [protocol] if len(self.protocols) > 1 and protocol else []
            name = f"{search.name}--{slug((target.text, *named, f'train{seed}'))}"
            yield Job(name, "transfer", config, search.name)


def slug(words: Sequence[str]) -> str:
    """The words as a file name; a digest tells apart names in which characters had to be replaced."""
    text = "-".join(words)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_")
    return plain if plain == text else f"{plain}-{digest(text, 4)}"
