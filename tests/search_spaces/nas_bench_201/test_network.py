"""The network, against the authors' code and the figures that they publish."""

import numpy as np
import pytest
import torch

from search_spaces import parse
from search_spaces.nas_bench_201 import NasBench201Genotype
from search_spaces.nas_bench_201.network import FinalCell, NasBench201Network
from search_spaces.sizes import mult_adds, parameters, part_mult_adds, part_parameters
from tests.search_spaces.nas_bench_201.cells import CELL, TEXT, output

SPACE = parse("nas_bench_201")

OTHER = "|none~0|+|skip_connect~0|nor_conv_3x3~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_1x1~2|"

AUTHORS = {
    TEXT: (
        [
            [0.130755964360572, 0.153665939503485, 0.314502482622533],
            [-0.112132696175064, -0.24579346028102, 0.309316258423926],
        ],
        8.486772495581727,
    ),
    OTHER: (
        [
            [-0.462009665121114, -0.290840624392764, -0.615502898672922],
            [0.014951396972109, -0.27272543555846, -0.778632452846289],
        ],
        6.88710283676168,
    ),
}
"""Logits, and the gradient's norm at the first convolution, of `TinyNetwork(4, 1, cell, 3)` of the authors'
code (github.com/D-X-Y/AutoDL-Projects, commit f46486e) in float64, made after `torch.manual_seed(0)`."""

PUBLISHED = [
    # github.com/D-X-Y/NATS-Bench, issue 24, and its parameters in NASLib's tests/test_nb201_search_space.py
    (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        10,
        32,
        15.64737,
        0.129306,
    ),
    (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        100,
        32,
        15.65322,
        None,
    ),
    (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        120,
        16,
        3.91948,
        None,
    ),
    # github.com/D-X-Y/NATS-Bench, issue 36
    (
        "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        10,
        32,
        113.95137,
        0.802426,
    ),
    # ResNet, in exps/NAS-Bench-201/visualize.py of the authors' code
    ("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|", 10, 32, 78.56, 0.559),
]
"""Cell, classes, pixels, FLOPs and parameters in millions."""


def digits(value):
    return len(str(value).partition(".")[2])


@pytest.mark.parametrize("text", AUTHORS)
def test_computes_what_the_authors_code_computes(text):
    logits, norm = AUTHORS[text]
    torch.manual_seed(0)
    with torch.device("cpu"):
        torch.set_default_dtype(torch.float64)
        try:
            network = NasBench201Network(NasBench201Genotype.from_text(text), 4, 5, 3)
        finally:
            torch.set_default_dtype(torch.float32)
    found = network(torch.sin(torch.arange(2 * 3 * 8 * 8, dtype=torch.float64) * 0.7).reshape(2, 3, 8, 8))
    torch.testing.assert_close(found, torch.tensor(logits, dtype=torch.float64), rtol=0, atol=1e-12)
    (grad,) = torch.autograd.grad(found.square().sum(), network.stem[0].weight)
    assert float(grad.norm()) == pytest.approx(norm, rel=1e-9)


def test_cell_adds_up_its_edges_at_every_node():
    rng = np.random.default_rng(0)
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    for _ in range(20):
        genotype = NasBench201Genotype.random(rng)
        cell = FinalCell(genotype, 4).double()
        weights = [op[1].weight if isinstance(op, torch.nn.Sequential) else None for op in cell.operations]
        torch.testing.assert_close(cell(x), output(x, genotype.operations, weights))


@pytest.mark.parametrize(("text", "classes", "pixels", "flops", "params"), PUBLISHED)
def test_has_the_published_size(text, classes, pixels, flops, params):
    genotype = NasBench201Genotype.from_text(text)
    with torch.device("meta"):
        network = NasBench201Network(genotype, num_classes=classes)
    counted = mult_adds(network, pixels)
    assert round((counted + classes) / 1e6, digits(flops)) == flops  # theirs count the classifier's bias
    assert SPACE.costs(16, 17, classes, "cifar", pixels)(genotype) == counted
    if params:
        assert round(parameters(network) / 1e6, digits(params)) == params


@pytest.mark.parametrize(("stem", "pixels"), [("cifar", 15), ("imagenet", 72)])
def test_sizes_add_up_for_any_image(stem, pixels):
    with torch.device("meta"):
        network = NasBench201Network(CELL, 6, 8, 7, stem)
    assert SPACE.costs(6, 8, 7, stem, pixels)(CELL) == mult_adds(network, pixels)
    assert SPACE.costs(6, 8, 7, stem, pixels, part_parameters)(CELL) == parameters(network)


def test_auxiliary_head_reads_the_second_residual_block():
    for layers in (5, 17):
        network = NasBench201Network(CELL, 4, layers, auxiliary=True)
        assert type(network.cells[network.auxiliary_cell]).__name__ == "ResidualBlock"
        assert network.auxiliary_head.features[0].in_channels == 16


def test_drop_path_drops_operations_but_no_skips():
    x = torch.randn(64, 4, 6, 6)
    cells = {
        name: FinalCell(NasBench201Genotype((name,) + ("none",) * 2 + ("none", "skip_connect", "none")), 4)
        for name in ("skip_connect", "nor_conv_1x1")
    }
    for name, cell in cells.items():
        for drop in cell.drop_paths:
            if not isinstance(drop, torch.nn.Identity):
                drop.rate.fill_(0.5)
                drop.is_active = True
        dropped = int((cell(x).abs().sum((1, 2, 3)) == 0).sum())
        assert dropped == 0 if name == "skip_connect" else 16 < dropped < 48


def test_sizes_are_those_of_the_published_table(real_data):
    """Of CIFAR-100's networks; 1% of the table's rows are wrong (github.com/D-X-Y/NATS-Bench, issue 36)."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(real_data / "transfer_tables" / "nas_bench_201_200.parquet").iloc[::50]
    setting = (16, 17, 100, "cifar", 32)
    sizes = [SPACE.costs(*setting, measure) for measure in (part_mult_adds, part_parameters)]
    equal = 0
    for text, flops, params in zip(table["cell"], table["flops_m"], table["params_m"], strict=True):
        genotype = NasBench201Genotype.from_text(text)
        found = [size(genotype) for size in sizes]
        equal += round((found[0] + 100) / 1e6, 2) == flops and round(found[1] / 1e6, 3) == params
    assert equal > 0.98 * len(table)
