"""`nastransfer list|examples|loopback`: what there is by name."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.catalog.config import ExamplesConfig, ListConfig, LoopbackConfig, ShowConfig

_RUN = "nastransfer_nni.catalog.run"

LIST: cli.Commands = {
    name: cli.Command(summary, ListConfig, f"{_RUN}:{function}", examples=(f"nastransfer list {name}",))
    for name, summary, function in (
        ("datasets", "List the known data sets, and where they come from.", "datasets"),
        ("protocols", "List the training protocols.", "protocols"),
        ("strategies", "List the search strategies.", "list_strategies"),
        ("spaces", "List the search spaces.", "list_spaces"),
        ("proxies", "List the kinds of proxy sets.", "proxies"),
    )
}

STRATEGIES: cli.Commands = {
    "show": cli.Command(
        summary="Print a strategy with every option, and those of the search that belong to its method.",
        config=ShowConfig,
        target=f"{_RUN}:show_strategy",
        positional=("strategy",),
        examples=("nastransfer strategies show pc-darts", "nastransfer strategies show darts:order=2"),
    )
}

EXAMPLES = cli.Command(
    summary="List the example experiments and studies, or copy them to a folder.",
    config=ExamplesConfig,
    target=f"{_RUN}:examples",
    examples=("nastransfer examples --to experiments",),
)

LOOPBACK = cli.Command(
    summary="Print the NODE_OPTIONS that keep NNI's manager to this machine.",
    config=LoopbackConfig,
    target=f"{_RUN}:loopback",
    examples=("export NODE_OPTIONS=$(nastransfer loopback)",),
)

if __name__ == "__main__":
    cli.main(
        "python -m nastransfer_nni.catalog",
        {"list": LIST, "strategies": STRATEGIES, "examples": EXAMPLES, "loopback": LOOPBACK},
    )
