"""A study file, and the jobs that follow from it. Nothing heavy is imported: a study is checked first."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

import strategies
from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.config import Config, FromText
from nastransfer_nni.base.paths import expanded, names_folder, names_from
from nastransfer_nni.base.reading import read_yaml
from nastransfer_nni.data import sources
from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.spec import ProxySpec
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study.jobs import Job, slug, training_seed
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces import Space, registry
from search_spaces.errors import UserError, unknown
from strategies import StrategySpec
from strategies.builtin import SharedStreamRandomOptions

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


MAX_JOBS = 100_000
"""Largest number of jobs of a study, and of its random seeds of one kind."""


def _counted(value: Any) -> Any:
    """Random seeds from 0, where their number is given."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if value > MAX_JOBS:
        raise UserError(f"at most {MAX_JOBS:,} random seeds")
    return tuple(range(value))


Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_counted), Field(min_length=1)]
"""Random seeds: a list of them, or their number."""
StrategyOption = Annotated[InstanceOf[StrategySpec], FromText(_strategy)]
SourceOption = Annotated[InstanceOf[Source], FromText(_source)]
ProxyOption = Annotated[InstanceOf[ProxySpec], FromText(_proxy)]


@cache
def _any_cell(space: Space) -> Architecture:
    """A cell in place of the one that a search has yet to find, to check a transfer's options with."""
    if space == registry.default():
        return read("DARTS_V2")
    return Architecture(space.random(np.random.default_rng(0)), "any", text="any", space=space)


def _refuse_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    texts = [getattr(value, "text", value) for value in values]
    for text, times in Counter(texts).items():
        if times > 1:
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
    """A design in which every strategy gets the same proxy draws and search seeds.

    The proxy draws are what the strategies share: they cancel where two strategies are compared. Every cell
    is trained with random seeds of its own, which follow from `train_seeds` and from the search that found
    it. The random baseline is always part of a study: one pool of cells drawn without search, trained like
    all others.

    Under the rules of version 0.1, which a folder that it began keeps, every cell is trained with the
    `train_seeds` themselves, and a random cell is the first candidate of a search with the same seed.
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
    proxy_seeds: Seeds = Field((0,), description="random seeds of every proxy that depends on one")
    search_seeds: Seeds = Field(
        (0, 1, 2),
        description="random seeds of the searches of every strategy and proxy, on each draw of the proxy",
    )
    draw_per_search: bool = Field(
        False,
        description="draw the proxy anew for every search, with the search's seed: the same draws for all "
        "strategies",
    )
    random_cells: int = Field(8, ge=2, le=MAX_JOBS, description="number of random cells in the baseline")
    targets: tuple[SourceOption, ...] = Field(min_length=1, description="image sets to train the cells on")
    protocols: tuple[str, ...] = Field(
        ("",), min_length=1, description="training protocols; empty: the target's own"
    )
    train_seeds: Seeds = Field((0,), description="random seeds of the trainings of every cell")
    disjoint: bool = Field(
        False,
        description="refuse a study in which searches, trainings and evaluations share an image, by content",
    )
    source_training: bool = Field(True, description="also train every cell on its source: source_top1")
    search: dict[str, Any] = Field(default_factory=dict, description="options that all searches share")
    transfer: dict[str, Any] = Field(default_factory=dict, description="options that all transfers share")
    primary: Literal["mean", "probability"] = Field(
        "mean", description="estimate that decides: relative improvement of the mean, or probability to win"
    )
    margin: str = Field(
        "0.5sd", description="largest difference that counts as equivalent: 0.5sd of random cells, 0.5%, ..."
    )
    looks: tuple[float, ...] = Field(
        (), description="looks at the results before the end, as fractions of the planned runs; the last is 1"
    )
    rules: Literal["0.1", "0.2"] = Field(
        "0.2", description="version of this program by whose rules random seeds follow from the file"
    )

    _folder: Path = PrivateAttr(default_factory=names_folder)

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

    @field_validator("margin", mode="before")
    @classmethod
    def _margin_is_one(cls, value: Any) -> str:
        from nastransfer_nni.report.statistics.margin import Margin  # imports pandas, which takes seconds

        return str(Margin.parse(value))

    @model_validator(mode="after")
    def _design_fits_together(self) -> Self:
        if self.draw_per_search and "proxy_seeds" in self.model_fields_set:
            raise UserError("draw_per_search draws with the search_seeds: leave out proxy_seeds")
        if self.looks:
            from nastransfer_nni.report.statistics.looks import Looks  # imports scipy, which takes seconds

            Looks(times=self.looks, units=self.units, random_units=self.random_cells)
        return self

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
        searches = self.random_cells + len(self.strategies) * sum(
            len(self.search_seeds) * (1 if self.draw_per_search else len(self.draws(proxy)))
            for item in self.sources
            for proxy in item.proxies
        )
        trainings = len(self.targets) * len(self.protocols) * len(self.train_seeds)
        if searches * (1 + trainings) > MAX_JOBS:
            raise UserError(
                f"{searches:,} searches with {trainings:,} trainings each are more than {MAX_JOBS:,} jobs"
            )
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
        """Read a study file; relative names in it are looked up in its folder, then in the working directory.

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
            with names_from(expanded(path).absolute().parent):
                return cls.create(value)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Every search, in the order of the file, each followed by its transfers."""
        return tuple(
            itertools.chain.from_iterable((search, *self.transfers(search)) for search in self._searches())
        )

    def changed(self, **options: Any) -> Self:
        """The study with other options.

        Raises:
            UserError: an option does not fit.
        """
        return self.replaced({**self.content, **options})

    def replaced(self, content: Mapping[str, Any]) -> Self:
        """A study of another content whose relative names are looked up in the same folder.

        Raises:
            UserError: an option does not fit.
        """
        with names_from(self._folder):
            return self.create(content)

    @property
    def content(self) -> dict[str, Any]:
        """The options that are not at their defaults, as a study file has them."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def folder(self) -> Path:
        """Folder in which relative names are looked up first."""
        return self._folder

    def draws(self, proxy: ProxySpec) -> tuple[int, ...]:
        """Random seeds with which a proxy set is drawn: one for a proxy that does not depend on the seed."""
        if not proxy.depends_on_seed:
            return self.proxy_seeds[:1]
        return self.search_seeds if self.draw_per_search else self.proxy_seeds

    def seeds(self, proxy: ProxySpec) -> list[tuple[int, int]]:
        """Seeds of the draw and of the search, for every search of a strategy on a proxy set."""
        if self.draw_per_search and proxy.depends_on_seed:
            return [(seed, seed) for seed in self.search_seeds]
        return list(itertools.product(self.draws(proxy), self.search_seeds))

    @property
    def units(self) -> int:
        """Largest number of independent units of an arm: proxy draws if there are several, else searches."""
        draws = (len(self.draws(proxy)) for item in self.sources for proxy in item.proxies)
        return max(count if count > 1 else len(self.search_seeds) for count in draws)

    @property
    def units_of(self) -> dict[str, int]:
        """Number of independent units of an arm by source and proxy, where it is two or more."""
        found = {}
        for item in self.sources:
            for proxy in item.proxies:
                draws = len(self.draws(proxy))
                found[f"{item.text} / {proxy.text}"] = draws if draws > 1 else len(self.search_seeds)
        return {place: count for place, count in found.items() if count > 1}

    def _searches(self) -> Iterator[Job]:
        pairs = [(item.source, proxy) for item in self.sources for proxy in item.proxies]
        for (source, proxy), strategy in itertools.product(pairs, self.strategies):
            is_named = len(self.draws(proxy)) > 1 and not self.draw_per_search
            for proxy_seed, seed in self.seeds(proxy):
                draw = [f"draw{proxy_seed}"] if is_named else []
                yield self._search(
                    words=(strategy.text, source.text, proxy.text, *draw, f"seed{seed}"),
                    shared=self.search,
                    source=source,
                    proxy=proxy,
                    proxy_seed=proxy_seed,
                    strategy=strategy,
                    seed=seed,
                )
        yield from map(self.random_cell, range(self.random_cells))

    def random_cell(self, seed: int) -> Job:
        """The search that draws a random cell; the baseline has those of the seeds from 0 on."""
        # A budget would make the baseline a random search, which trains what it draws.
        without_budget = {name: value for name, value in self.search.items() if name != "budget"}
        baseline = _strategy(BASELINE)
        if self.rules == "0.1":
            baseline = replace(baseline, options=SharedStreamRandomOptions())
        return self._search(
            words=(BASELINE, f"seed{seed}"),
            shared=without_budget,
            source=self.sources[0].source,
            proxy=_proxy(ALL_IMAGES),
            proxy_seed=0,
            strategy=baseline,
            seed=seed,
        )

    def _search(self, *, words: Sequence[str], shared: Mapping[str, Any], **options: Any) -> Job:
        try:
            return Job(slug(words), "search", SearchConfig.create({**shared, **options}))
        except UserError as error:
            raise UserError(f"search: {error}") from None

    def transfers(self, search: Job) -> Iterator[Job]:
        """The trainings of the cell that a search finds."""
        assert isinstance(search.config, SearchConfig)
        is_baseline = search.config.strategy.text == BASELINE
        searched = [item.source for item in self.sources] if is_baseline else [search.config.source]
        targets = {target.text for target in self.targets}
        wanted = list(itertools.product(self.targets, self.protocols))
        if self.source_training:
            wanted += [(source, "") for source in searched if source.text not in targets]
        arch = _any_cell(search.config.space)
        for (target, protocol), seed in itertools.product(wanted, self.train_seeds):
            options = {"arch": arch, "target": target, "protocol": protocol, "seed": seed}
            if self.rules != "0.1":
                # all networks of a target are judged on the same held-out images
                options |= {"seed": training_seed(seed, search.config), "val_seed": 0}
            try:
                config = TransferConfig.create({**options, **self.transfer})
            except UserError as error:
                raise UserError(f"transfer: {error}") from None
            named = [protocol] if len(self.protocols) > 1 and protocol else []
            name = f"{search.name}--{slug((target.text, *named, f'train{seed}'))}"
            yield Job(name, "transfer", config, search.name)
