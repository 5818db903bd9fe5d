"""Skips in the normal cell of S2, and whether regularization keeps them off (Zela et al., ICLR 2020).

    NASTRANSFER_DATA=data python -m benchmarks.robust_darts                 # 5 minutes of one core
    NASTRANSFER_DATA=data python -m benchmarks.robust_darts --published     # on a GPU

S2 has two candidates on every edge, a skip and a separable convolution. There a search by DARTS is reported
to collapse to skips, more of them the longer it lasts, unless the weights are regularized: by a larger weight
decay (27e-4 instead of 3e-4), or by dropping the outputs of edges with a probability that grows to 0.2.

The searches here are much smaller than the published ones: on CIFAR-10 at 16 px, on 600 images for the
weights and as many for the alphas, with a supernet of four cells of width 4, and 152 steps instead of 19,500.
The alphas learn twenty times as fast, so that they can move a sixth as far. With momentum, the larger weight
decay takes a twentieth from a weight in such a search, and would take nearly all of it in a published one, so
that little difference between the arms is to be expected. The authors add cutout where they drop edges; here
there is none.

Shown is the number of skips among the eight operations of the normal cell. Searches that have ended are not
run again. Writes benchmarks/results/robust_darts_s2.json and .md, with `--published` those of another name.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import nastransfer_nni
from nastransfer_nni.base.files import write_json, write_text
from search_spaces import parse

RESULTS = Path(__file__).parent / "results"
SPACE = "darts-s2"
SETTING = {
    "source": "cifar10",
    "proxy": "images:0.024",
    "img_size": 16,
    "epochs": 4,
    "batch_size": 16,
    "width": 4,
    "layers": 4,
    "workers": 0,
}
ALPHA_LR = 6e-3
PUBLISHED = {"source": "cifar10", "epochs": 50, "batch_size": 64, "width": 16, "layers": 8}
"""The authors' setting: github.com/automl/RobustDARTS, src/search/args.py; alphas learn at 3e-4."""
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("", {}),
    "L2 27e-4": ("", {"weight_decay": 27e-4}),
    "drop-path 0.2": (",drop_path=0.2", {}),
}
"""For each arm the further options of the strategy, and those of the search."""


def skips(run: Path) -> list[int]:
    """Skips in the normal cell after every epoch of a search."""
    space = parse(SPACE)
    lines = [json.loads(line) for line in (run / "architectures.jsonl").read_text("utf-8").splitlines()]
    cells = [space.from_dict(line["genotype"]).edges("normal") for line in lines]
    return [sum(name == "skip_connect" for name, _ in cell) for cell in cells]


def mixture(run: Path) -> float:
    """Mean weight of the skips on the edges of the normal cell after the last epoch."""
    last = json.loads((run / "architectures.jsonl").read_text("utf-8").splitlines()[-1])
    column = parse(SPACE).candidates.index("skip_connect")
    return float(np.mean([row[column] for row in last["mixture"]["normal"]]))


def search(arm: str, seed: int, setting: dict[str, Any], alpha_lr: float, out: Path) -> dict[str, Any]:
    """Search, or take the search that has ended.

    Args:
        arm: one of `ARMS`.
        seed: random seed of the search.
        setting: options that all searches share.
        alpha_lr: learning rate of the alphas.
        out: folder of the searches.

    Returns:
        What is shown of the search.
    """
    options, further = ARMS[arm]
    run = out / f"{arm.replace(' ', '-')}-seed{seed}"
    strategy = f"darts:alpha_lr={alpha_lr}{options}"
    found = nastransfer_nni.search(
        strategy=strategy, space=SPACE, seed=seed, out=str(run), **{**setting, **further}
    )
    counts = skips(run)
    return {
        "arm": arm,
        "seed": seed,
        "skips": counts[-1],
        "skips_by_epoch": counts,
        "skip_weight": round(mixture(run), 4),
        "top1": found.summary["top1"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The table of all searches, and the means of the arms."""
    lines = [
        "| regularization | seed | skips of 8 | mean weight of a skip | supernet top-1, % |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = (row["arm"], row["seed"], row["skips"], f"{row['skip_weight']:.3f}", f"{row['top1']:.1f}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    means = []
    for arm in ARMS:
        counts = [row["skips"] for row in rows if row["arm"] == arm]
        if counts:
            means.append(f"{arm}: {np.mean(counts):.1f} ({min(counts)} to {max(counts)})")
    return "\n".join([*lines, "", f"Mean number of skips and range over seeds: {'; '.join(means)}.", ""])


def main() -> None:
    """Search with every arm and seed, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of random seeds")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/robust_darts_s2"), help="folder of the searches"
    )
    parser.add_argument("--published", action="store_true", help="search at the authors' size")
    options = parser.parse_args()
    setting, alpha_lr = (PUBLISHED, 3e-4) if options.published else (SETTING, ALPHA_LR)
    rows = [
        search(arm, seed, setting, alpha_lr=alpha_lr, out=options.out)
        for seed in range(options.seeds)
        for arm in ARMS
    ]
    rows.sort(key=lambda row: (list(ARMS).index(row["arm"]), row["seed"]))
    name = "robust_darts_s2_published" if options.published else "robust_darts_s2"
    content = {"space": SPACE, "alpha_lr": alpha_lr, **setting, "rows": rows}
    write_json(RESULTS / f"{name}.json", content)
    write_text(RESULTS / f"{name}.md", table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
