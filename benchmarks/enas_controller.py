"""Does ENAS's controller find what pays? On a made-up reward, without any training, from many seeds.

    python -m benchmarks.enas_controller                   # 20 seeds, minutes

The reward looks like an accuracy: 50%, and up to 10 points more, a third each for one operation in the normal
cell, one in the reduction cell, and one input.
The controller has found them when a cell among 200 drawn has all three, and each is more probable than before
(p < 0.001). The constants of ENAS keep an operation's probability below 0.29, an input's below 0.9.
Writes benchmarks/results/enas_controller.json.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from nastransfer_nni.base.files import write_json
from search_spaces import Genotype
from strategies.builtin import EnasOptions
from strategies.controller import Reinforce

RESULTS = Path(__file__).parent / "results"
WANTED = {"normal operation": "sep_conv_5x5", "reduce operation": "dil_conv_3x3", "input": 3}
MAX_DRAWS = 1000


def choices(genotype: Genotype) -> dict[str, list[Any]]:
    """What a cell has where something is wanted: one operation each, and node 4's two inputs."""
    return {
        "normal operation": [genotype.normal[0][0]],
        "reduce operation": [genotype.reduce[5][0]],
        "input": [state for _, state in genotype.normal[4:6]],
    }


def share(genotype: Genotype) -> float:
    """Share of what is wanted that the cell has."""
    has = choices(genotype)
    return sum(WANTED[place] in has[place] for place in WANTED) / len(WANTED)


def rewards(genotypes: Sequence[Genotype]) -> list[float]:
    """What the controller is trained by: accuracies of several cells, from 0 to 1."""
    return [0.5 + 0.1 * share(genotype) for genotype in genotypes]


def frequencies(controller: Reinforce, seed: int) -> tuple[dict[str, Counter[Any]], float]:
    """How often each choice is drawn, and the best share among the first 200 cells."""
    with torch.no_grad():
        cells = controller.controller(MAX_DRAWS, torch.Generator().manual_seed(seed)).genotypes
    counts: dict[str, Counter[Any]] = {place: Counter() for place in WANTED}
    for cell in cells:
        for place, values in choices(cell).items():
            counts[place].update(values)
    return counts, max(share(cell) for cell in cells[:200])


def run(seed: int, steps: int) -> dict[str, Any]:
    """Train one controller; returns the probability of every wanted choice before and after."""
    reinforce = Reinforce(EnasOptions(), seed)
    before, _ = frequencies(reinforce, seed + 1000)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        reinforce.step(rewards, generator)
    after, best = frequencies(reinforce, seed + 2000)
    found = best == 1 and all(
        stats.fisher_exact(
            [[count, MAX_DRAWS - count] for count in (counts[WANTED[place]], before[place][WANTED[place]])],
            alternative="greater",
        ).pvalue
        < 1e-3
        for place, counts in after.items()
    )
    return {
        "seed": seed,
        "found": found,
        "before": {place: counts[WANTED[place]] / MAX_DRAWS for place, counts in before.items()},
        "after": {place: counts[WANTED[place]] / MAX_DRAWS for place, counts in after.items()},
    }


def main() -> None:
    """Train a controller from each seed and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    runs = []
    for seed in range(options.seeds):
        runs.append(run(seed, options.steps))
        probabilities = ", ".join(
            f"{place} {runs[-1]['before'][place]:.2f} -> {p:.2f}" for place, p in runs[-1]["after"].items()
        )
        print(f"seed {seed:>2}: {'found' if runs[-1]['found'] else 'NOT FOUND'}; {probabilities}", flush=True)
    print(f"found from {sum(run['found'] for run in runs)} of {len(runs)} seeds")
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "enas_controller.json", {"options": vars(options), "runs": runs})


if __name__ == "__main__":
    main()
