"""A study file, and the jobs that it means. Light to import: a study is checked before anything is loaded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

import strategies
from nastransfer_nni.base.config import Config
from nastransfer_nni.base.files import digest
from nastransfer_nni.proxy import spec
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces.errors import UserError, unknown

BASELINE = "random"
_LISTS = ("strategies", "proxies", "proxy_seeds", "search_seeds", "targets", "protocols", "train_seeds")
_ANY_CELL = "DARTS_V2"
"""Stands for the cell that a search has yet to find, where a transfer's options are checked."""
_SET_BY_THE_DESIGN = {
    "search": ("source", "proxy", "proxy_seed", "strategy", "seed", "out", "overwrite"),
    "transfer": ("arch", "target", "protocol", "seed", "out", "overwrite"),
}


@dataclass(frozen=True)
class Job:
    """One search or one transfer of a study.

    Attributes:
        name: unique within the study; names its folder and its log.
        kind: search or transfer.
        config: its options; a transfer's `arch` is filled in with what its search exports.
        search: the search whose cell is transferred.
    """

    name: str
    kind: Literal["search", "transfer"]
    config: SearchConfig | TransferConfig
    search: str | None = None

    def folder(self, root: Path) -> Path:
        """Its run directory in a study's folder."""
        return root / ("searches" if self.kind == "search" else "transfers") / self.name

    def log(self, root: Path) -> Path:
        """What it printed."""
        return root / "logs" / f"{self.name}.txt"

    def options(self, root: Path) -> SearchConfig | TransferConfig:
        """Its options with every path filled in."""
        changes: dict[str, Any] = {"out": str(self.folder(root))}
        if self.search is not None:
            changes["arch"] = str(root / "searches" / self.search / "architecture.json")
        return self.config.model_copy(update=changes)


class Study(Config):
    """A paired design: every strategy meets the same proxy draws, search seeds and training seeds.

    The random baseline is always there: one pool of cells drawn without search, trained like all others.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the study's folder")
    strategies: tuple[str, ...] = Field(min_length=1, description="strategies with options, random left out")
    sources: dict[str, tuple[str, ...]] | tuple[str, ...] = Field(
        min_length=1, description="image sets to search on; as a mapping, with proxies of their own"
    )
    proxies: tuple[str, ...] = Field(("all",), min_length=1, description="proxy sets of every source")
    proxy_seeds: tuple[int, ...] = Field((0,), min_length=1, description="draws of every random proxy")
    search_seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="searches of every cell")
    random_cells: int = Field(8, ge=2, description="size of the pool of random cells")
    targets: tuple[str, ...] = Field(min_length=1, description="image sets to train the cells on")
    protocols: tuple[str, ...] = Field(("",), min_length=1, description="empty: the target's own")
    train_seeds: tuple[int, ...] = Field((0,), min_length=1, description="trainings of every cell")
    source_training: bool = Field(True, description="also train every cell on its source: source_top1")
    search: dict[str, Any] = Field(default_factory=dict, description="options that all searches share")
    transfer: dict[str, Any] = Field(default_factory=dict, description="options that all transfers share")

    @field_validator(*_LISTS)
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in values:
            if values.count(value) > 1:
                raise UserError(f"{value!r} stands there twice")
        return values

    @field_validator("strategies")
    @classmethod
    def _strategies_are_known(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            strategies.parse(value)
            if value == BASELINE:
                raise UserError("the random baseline is part of every study; random_cells says how many")
        return values

    @field_validator("search", "transfer")
    @classmethod
    def _options_are_shared_ones(cls, values: dict[str, Any], info: Any) -> dict[str, Any]:
        for name in values:
            if name in _SET_BY_THE_DESIGN[info.field_name]:
                raise UserError(f"{name!r} is set by the study's design")
        return values

    @model_validator(mode="after")
    def _every_job_is_possible(self) -> Self:
        for _ in self.jobs:
            pass
        return self

    @classmethod
    def read(cls, path: str) -> Self:
        """Read a study file.

        Raises:
            UserError: names the file and what is wrong in it.
        """
        try:
            value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"no study file {path!r}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(value, dict):
            raise UserError(f"{path}: a study is a mapping; it may have: {', '.join(cls.model_fields)}")
        for name in value:
            if name not in cls.model_fields:
                raise UserError(f"{path}: {unknown('option', name, list(cls.model_fields))}")
        try:
            return cls.create(value)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @property
    def proxies_of(self) -> dict[str, tuple[str, ...]]:
        """The proxies of every source."""
        if isinstance(self.sources, dict):
            return self.sources
        return dict.fromkeys(self.sources, self.proxies)

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Every search, in the order of the file, each followed by its transfers."""
        return tuple(
            itertools.chain.from_iterable((search, *self._transfers(search)) for search in self._searches())
        )

    def _searches(self) -> Iterator[Job]:
        cells = ((source, proxy) for source, proxies in self.proxies_of.items() for proxy in proxies)
        for (source, proxy), strategy in itertools.product(cells, self.strategies):
            draws = self.proxy_seeds if is_random(proxy) else self.proxy_seeds[:1]
            for proxy_seed, seed in itertools.product(draws, self.search_seeds):
                words = (
                    strategy,
                    source,
                    proxy,
                    *([f"draw{proxy_seed}"] if len(draws) > 1 else []),
                    f"seed{seed}",
                )
                yield self._search(words, source, proxy, proxy_seed, strategy, seed)
        for seed in range(self.random_cells):
            yield self._search((BASELINE, f"seed{seed}"), next(iter(self.sources)), "all", 0, BASELINE, seed)

    def _search(
        self, words: tuple[str, ...], source: str, proxy: str, proxy_seed: int, strategy: str, seed: int
    ) -> Job:
        # The baseline is a draw without any training: a budget would make it a random search.
        shared = {k: v for k, v in self.search.items() if (k, strategy) != ("budget", BASELINE)}
        config = SearchConfig.create(
            {
                **shared,
                "source": source,
                "proxy": proxy,
                "proxy_seed": proxy_seed,
                "strategy": strategy,
                "seed": seed,
            }
        )
        return Job(slug(words), "search", config)

    def _transfers(self, search: Job) -> Iterator[Job]:
        assert isinstance(search.config, SearchConfig)
        wanted = list(itertools.product(self.targets, self.protocols))
        own = search.config.strategy == BASELINE
        for source in (self.sources if own else (search.config.source,)) if self.source_training else ():
            if source not in self.targets:
                wanted.append((source, ""))
        for (target, protocol), seed in itertools.product(wanted, self.train_seeds):
            config = TransferConfig.create(
                {**self.transfer, "arch": _ANY_CELL, "target": target, "protocol": protocol, "seed": seed}
            )
            words = (target, *([protocol] if len(self.protocols) > 1 and protocol else []), f"train{seed}")
            yield Job(f"{search.name}--{slug(words)}", "transfer", config, search.name)


def is_random(proxy: str) -> bool:
    """Whether another proxy seed chooses other images."""
    return not spec.is_manifest(proxy) and any(step.kind != "all" for step in spec.parse_steps(proxy))


def slug(words: tuple[str, ...]) -> str:
    """The words as a file name; what had to be replaced in them is told apart by a digest."""
    text = "-".join(words)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_")
    return plain if plain == text else f"{plain}-{digest(text, 4)}"
