"""Simulated studies with known effects."""

import json

import numpy as np
import pandas as pd

from search_spaces import Genotype

STRATEGIES = {"darts": 0.10, "enas": -0.45, "evolution": 0.55, "nsga2": 0.40, "random_ws": 0.05}
"""Points of top-1 by which each strategy is better than a random cell."""
PROXIES = {("imagenet1k", "classes:100"): 0.1, ("imagenet1k", "images:0.1"): 0.0, ("cifar10", "all"): -0.1}
SECONDS = {"darts": 9e3, "enas": 1.6e4, "evolution": 2.4e5, "nsga2": 2.1e5, "random_ws": 8e3}


def study(
    seed=0,
    draws=4,
    searches=2,
    trainings=1,
    random_cells=16,
    strategies=STRATEGIES,
    proxies=PROXIES,
    targets=("imagenet1k",),
    deviations=(0.08, 0.2, 0.1),
):
    """A results table of the full form.

    Args:
        deviations: standard deviations between proxy draws, searches and trainings, in points of top-1.
    """
    rng = np.random.default_rng(seed)
    rows = []

    def add(target, strategy, source, proxy, proxy_seed, search_seed, mean, source_mean, seconds, samples):
        genotype = Genotype.random(rng)
        effect = deviations[1] * rng.normal()
        source_top1 = source_mean + 0.6 * effect + 0.15 * rng.normal()
        params = int(rng.normal(4.6e6, 3e5))
        for train_seed in range(trainings):
            top1 = mean + effect + deviations[2] * rng.normal()
            rows.append(
                {
                    "target": target,
                    "protocol": "large-batch-imagenet",
                    "protocol_hash": "3f9c0a71d2",
                    "strategy": strategy,
                    "strategy_options": json.dumps({"order": 2}) if strategy == "darts" else "",
                    "source": source,
                    "proxy": proxy,
                    "proxy_seed": proxy_seed,
                    "search_seed": search_seed,
                    "train_seed": train_seed,
                    "genotype": json.dumps(genotype.to_dict()),
                    "search_score": 60 + rng.normal(),
                    "source_top1": round(source_top1, 3),
                    "top1": round(top1, 3),
                    "top5": round(top1 + 17.5, 3),
                    "params": params,
                    "mult_adds": int(params * 113),
                    "parameter_free_share": genotype.parameter_free_share,
                    "search_seconds": seconds * rng.uniform(0.9, 1.1),
                    "search_samples": samples,
                    "train_seconds": 2e5 * rng.uniform(0.9, 1.1),
                    "run": f"runs/transfer-{target}-{strategy}-{len(rows):04d}",
                }
            )

    for target in targets:
        for (source, proxy), shift in proxies.items():
            draw_effects = deviations[0] * rng.normal(size=draws)
            for strategy, effect in strategies.items():
                for draw in range(draws):
                    for search in range(searches):
                        mean = 73.5 + effect + shift + draw_effects[draw]
                        source_mean = 95.0 + 0.8 * effect
                        seconds = SECONDS.get(strategy, 1e4)
                        cost = seconds, 400 if seconds > 1e5 else ""
                        add(
                            target,
                            strategy,
                            source,
                            proxy,
                            draw,
                            draw * searches + search,
                            mean,
                            source_mean,
                            *cost,
                        )
        for cell in range(random_cells):
            add(target, "random", next(iter(proxies))[0], "", "", cell, 73.5, 95.0, 0, "")
    return pd.DataFrame(rows)


if __name__ == "__main__":
    import sys

    study().to_csv(sys.stdout, index=False)
