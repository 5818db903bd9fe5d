"""Score the untrained network of a cell."""

from __future__ import annotations

from nastransfer_nni.base.files import finite, pretty
from nastransfer_nni.score.config import ScoreConfig
from nastransfer_nni.search.scoring import ScoreEvaluator


def score(config: ScoreConfig) -> dict[str, float]:
    """Score the network that a search with the strategy `score` would score, and print the scores by name.

    A score that is not finite, such as that of a cell without a path to its output, is printed as null.

    Raises:
        UserError: there is no such image set, or width and layers do not fit together.
    """
    search = config.search(f"score:by={config.by},batches={config.batches}", space=config.arch.space)
    scores = ScoreEvaluator(search).scores(config.arch.genotype)
    print(pretty({name: finite(value) for name, value in scores.items()}))
    return scores
