"""Small searches with every registered strategy, for the tests that run over the registry."""

import pytest

import strategies

SUPERNETS = [
    "darts",
    "darts:partial_channels=2,frozen_epochs=1,stop_skips=2",
    "darts:relaxation=gumbel",
    "gdas",
    "snas",
    "pc-darts:partial_channels=2,frozen_epochs=0",
    "fair-darts",
    "beta-darts",
    "sdarts-rs",
    "sdarts-adv",
    "darts+",
    "oles:freeze_checks=1,freeze_below=0.9",
    "random_ws:candidates=6,finalists=2,batches=2",
    "enas:controller_steps=2,aggregate=3,candidates=4,hidden=8",
    "nao:every=1,pool=4,new=2,top=2,batches=2,finalists=2,hidden=8,controller_epochs=5",
    "evolution:evaluate=supernet,population=4,tournament=2,candidates=8",
    "evolution:evaluate=supernet,selection=nsga2,population=4,offspring=2,generations=2",
]
"""Strategies on shared weights."""

_LIKE_DARTS = ("darts:relaxation", "gdas", "snas", "pc-darts", "fair", "beta", "sdarts-rs", "darts+", "oles")
SUPERNETS_ONCE = [
    pytest.param(text, marks=pytest.mark.slow) if text.startswith(_LIKE_DARTS) else text for text in SUPERNETS
]
"""The same; those whose images and limits are of the code that `darts` has are marked slow."""

STAGED = [
    "p-darts:frozen_epochs=0,add_layers=0/1/2",
    "drnas:partial_channels=2/1,frozen_epochs=0",
    "darts-pt:projection_epochs=1",
]
"""Strategies on shared weights whose searches are longer than one epoch."""

CANDIDATES = [
    "random:candidates=12",
    "evolution:population=4,tournament=3,candidates=16",
    "evolution:population=4,tournament=3,candidates=16,ahead=3",
    "evolution:selection=nsga2,population=6,offspring=4,generations=3",
    "local_search:init=3,candidates=16",
    "local_search:init=3,candidates=16,ahead=2",
    "local_search:init=3,candidates=16,move=best",
    "nao:evaluate=scratch,pool=8,new=4,top=4,hidden=8,controller_epochs=5",
    "score:by=nwot,candidates=12",
    "score:by=nwot+params,selection=evolution,population=4,tournament=3,candidates=16",
]
"""Strategies that train candidates."""


def named(cases):
    return {strategies.parse(text).name for text in cases}
