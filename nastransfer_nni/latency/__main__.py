"""`python -m nastransfer_nni.latency`: measure the parts of final networks on this machine."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.latency.config import LatencyConfig

COMMAND = cli.Command(
    summary="Measure the latency of the parts of final networks, for --max-latency of a search.",
    config=LatencyConfig,
    target="nastransfer_nni.latency.run:measure_latency",
    examples=(
        "nastransfer measure-latency --width 36 --layers 20 --out latency.json",
        "nastransfer measure-latency --width 36 --layers 20 --check 20   # compare sums with whole networks",
        "nastransfer measure-latency --width 48 --layers 14 --num-classes 1000 --img-size 224 --device cuda",
    ),
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.latency", COMMAND)
