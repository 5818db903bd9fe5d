"""Score the untrained network of a cell."""

from __future__ import annotations

from nastransfer_nni.base.files import pretty
from nastransfer_nni.score.config import ScoreConfig
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.scoring import ScoreEvaluator

_OF_A_SEARCH = (
    "source",
    "proxy",
    "proxy_seed",
    "img_size",
    "seed",
    "batch_size",
    "width",
    "layers",
    "stem",
    "device",
)


def score(config: ScoreConfig) -> dict[str, float]:
    """Score the network that a search with the strategy `score` would score, and print the scores by name.

    Raises:
        UserError: there is no such image set, or width and layers do not fit together.
    """
    options = {name: getattr(config, name) for name in _OF_A_SEARCH}
    strategy = f"score:by={config.by},batches={config.batches}"
    search = SearchConfig.create({**options, "strategy": strategy})
    scores = ScoreEvaluator(search).scores(config.arch.genotype)
    print(pretty(scores))
    return scores
