"""The fast cell against the plain one, and the plain one against arithmetic written out by hand."""

import itertools
import platform

import pytest
import torch
from torch import nn
from torch.nn import functional

from search_spaces.cells.compiled import cell as compiled_cell
from search_spaces.cells.compiled import kernels
from search_spaces.cells.compiled.cell import run
from search_spaces.cells.fast import FastCell, FastPartialCell
from search_spaces.cells.mixed import MixedCell
from search_spaces.cells.partial import PartialCell
from search_spaces.genotype import OPERATIONS
from search_spaces.geometry import CellGeometry


@pytest.fixture(params=["compiled", "torch"])
def loops(request, monkeypatch):
    """Both ways through the fast cell, each of which must be taken."""
    if request.param == "torch":
        monkeypatch.setattr(kernels, "library", lambda: None)
    elif kernels.library() is None:
        pytest.skip("no C++ compiler here")
    runs = []
    monkeypatch.setattr(
        compiled_cell, "run", lambda *args, **options: runs.append(1) or run(*args, **options)
    )
    yield request.param
    assert bool(runs) == (request.param == "compiled")


def cells(kind, channels, follows_reduction=False, dtype=torch.float64, parts=1):
    """A plain cell with statistics of its own, and a fast one with the same state."""
    torch.manual_seed(channels)
    geometry = CellGeometry(kind, 6, 7, channels, follows_reduction)
    made = [MixedCell, FastCell] if parts == 1 else [PartialCell, FastPartialCell]
    plain, fast = (make(geometry, *([parts] if parts > 1 else [])).to(dtype) for make in made)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def inputs(batch, height, width, follows_reduction=False, dtype=torch.float64):
    factor = 2 if follows_reduction else 1
    s0 = torch.randn(batch, 6, factor * height, factor * width, dtype=dtype)
    return s0, torch.randn(batch, 7, height, width, dtype=dtype), torch.randn(14, 8, dtype=dtype)


def everything(cell, s0, s1, alphas):
    """Output, gradients by alphas, inputs and weights of a curved function of it, then the buffers."""
    leaves = [tensor.clone().requires_grad_() for tensor in (alphas, s0, s1)]
    cell.weights = leaves[0].softmax(-1)
    out = cell(*leaves[1:])
    slope = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view(out.shape)
    gradients = torch.autograd.grad((out * slope + out**3).sum(), [*leaves, *cell.parameters()])
    return [out.detach(), *gradients, *cell.buffers()]


def assert_same(ours, theirs, tolerance=1e-9):
    for one, other in zip(ours, theirs, strict=True):
        error = (one.double() - other.double()).abs().max() / other.double().abs().max().clamp_min(1e-30)
        assert error < tolerance


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "channels", "size"),
    [
        ("normal", 8, (3, 9, 7)),
        ("normal", 5, (2, 4, 11)),  # channels that fill no vector
        ("normal", 20, (2, 8, 8)),  # more than two vectors, the last one not full
        ("normal", 6, (3, 1, 1)),  # a single pixel, whose stride torch leaves open
        ("reduce", 4, (3, 8, 6)),
        ("reduce", 7, (2, 9, 5)),  # odd sides: the last odd pixel lies beyond the border
    ],
)
def test_equals_the_plain_cell(kind, channels, size, training, recompute):
    plain, fast = cells(kind, channels)
    given = inputs(*size)
    fast.recompute = recompute
    plain.train(training), fast.train(training)
    assert_same(everything(fast, *given), everything(plain, *given))


@pytest.mark.usefixtures("loops")
def test_equals_the_plain_cell_behind_a_reduction_and_again():
    plain, fast = cells("normal", 6, follows_reduction=True)
    for _ in range(2):  # running statistics go on from where they are
        given = inputs(2, 5, 6, follows_reduction=True)
        assert_same(everything(fast, *given), everything(plain, *given))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("channels", [8, 16, 40])
def test_single_precision(channels):
    plain, fast = cells("reduce", channels, dtype=torch.float32)
    given = inputs(4, 8, 8, dtype=torch.float32)
    assert_same(everything(fast, *given), everything(plain, *given), tolerance=2e-4)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_gradients_of_what_is_asked_for(kind, parts, recompute):
    """Alphas alone, with weights that need none; weights alone; one input alone."""
    plain, fast = cells(kind, 4, parts=parts)
    fast.recompute = recompute
    s0, s1, alphas = inputs(2, 6, 6)
    results = []
    for cell in (fast, plain):
        weights = list(cell.parameters())
        cell.weights = alphas.clone().requires_grad_()
        for weight in weights:
            weight.requires_grad_(False)
        (by_alphas,) = torch.autograd.grad(cell(s0, s1).pow(2).sum(), cell.weights)
        leaf = s1.clone().requires_grad_()
        (by_input,) = torch.autograd.grad(cell(s0, leaf).pow(2).sum(), leaf)
        for weight in weights:
            weight.requires_grad_(True)
        cell.weights = alphas
        results.append([by_alphas, by_input, *torch.autograd.grad(cell(s0, s1).pow(2).sum(), weights)])
    assert_same(*results)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "channels", "parts", "size"),
    [
        ("normal", 8, 4, (3, 5, 4)),
        ("normal", 9, 3, (2, 4, 6)),  # channels that fill no vector
        ("normal", 4, 4, (3, 1, 1)),
        ("reduce", 6, 2, (2, 7, 5)),  # odd sides
    ],
)
def test_equals_the_plain_cell_of_partial_channels(kind, channels, parts, size, training, recompute):
    made = cells(kind, channels, parts=parts)
    made[1].recompute = recompute
    given = inputs(*size)
    plain, fast = (everything(cell.train(training), *given) for cell in made)
    assert_same(fast, plain)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(("channels", "parts"), [(16, 4), (32, 2)])
def test_single_precision_of_partial_channels(channels, parts):
    plain, fast = cells("reduce", channels, dtype=torch.float32, parts=parts)
    given = inputs(4, 8, 8, dtype=torch.float32)
    assert_same(everything(fast, *given), everything(plain, *given), tolerance=2e-4)


@pytest.mark.usefixtures("loops")
def test_of_equal_maxima_the_first_takes_the_gradient():
    plain, fast = cells("normal", 4)
    s0, _, alphas = inputs(2, 6, 6)
    s1 = torch.ones(2, 7, 6, 6, dtype=torch.float64)
    for cell in (plain, fast):  # as in training, a state of equal pixels would be 0 after BatchNorm
        cell.preprocess1[2].eval()
    alphas[:, 1] += 5  # max pooling
    found, expected = (everything(cell, s0.round(), s1, alphas) for cell in (fast, plain))
    assert expected[3].abs().max() > 0, "the gradient of equal maxima"
    assert_same(found, expected)


@pytest.mark.skipif(kernels.library() is None, reason="no C++ compiler here")
def test_max_pooling_of_a_map_that_is_not_a_number_anywhere_is_torchs():
    plain, fast = cells("normal", 4)
    s0, s1, alphas = inputs(1, 5, 5)
    s0[0, 0, 2, 2] = float("nan")
    results = []
    for cell in (plain, fast):
        cell.eval()
        cell.weights, cell.computed = alphas.softmax(-1), [[False, True, *[False] * 6]] * 14
        results.append(cell(s0, s1).isnan())
    assert results[0].any() and not results[0].all()
    assert torch.equal(*results)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_dropped_skips_are_the_plain_cells(kind):
    made = cells(kind, 5)
    given = inputs(3, 6, 5)
    for cell in made:
        cell.skip_dropout, cell.generator = 0.5, torch.Generator().manual_seed(3)
    assert_same(*(everything(cell, *given) for cell in reversed(made)))


@pytest.mark.usefixtures("loops")
def test_weights_may_lie_in_memory_in_any_order():
    plain, fast = cells("normal", 4)
    s0, s1, _ = inputs(2, 5, 5)
    plain.weights = fast.weights = torch.rand(8, 14, dtype=torch.float64).T
    assert_same([fast(s0, s1)], [plain(s0, s1)])


@pytest.mark.parametrize("frozen", ["some", "all"])
def test_frozen_statistics_are_used_as_the_plain_cell_does(frozen):
    """In a cell that trains; the loops have one mode for all BatchNorm, so torch computes this."""
    made, given = cells("normal", 4), inputs(2, 5, 5)
    for cell in made:
        norms = [module for module in cell.edges.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms[:: 3 if frozen == "some" else 1]:
            norm.eval()
    assert_same(*(everything(cell, *given) for cell in reversed(made)))


@pytest.mark.usefixtures("loops")
def test_states_of_different_sizes_are_an_error():
    _, fast = cells("normal", 4)
    s0, _, fast.weights = inputs(2, 5, 5)
    with pytest.raises((ValueError, RuntimeError), match="size"):
        fast(s0, torch.randn(2, 7, 4, 4, dtype=torch.float64))


def test_a_batch_without_images_changes_no_statistics():
    _, fast = cells("normal", 4)
    fast.weights = torch.rand(14, 8, dtype=torch.float64)
    before = {name: value.clone() for name, value in fast.edges.named_buffers()}
    fast.preprocess0, fast.preprocess1 = nn.Identity(), nn.Identity()
    assert fast(*(torch.zeros(0, 4, 5, 5, dtype=torch.float64) for _ in range(2))).shape == (0, 16, 5, 5)
    for name, value in fast.edges.named_buffers():
        if "num_batches" not in name:
            assert torch.equal(value, before[name]), name


@pytest.mark.skipif(kernels.library() is None, reason="no C++ compiler here")
def test_results_do_not_depend_on_the_number_of_threads():
    _, fast = cells("normal", 16, dtype=torch.float32)
    fast.weights = torch.randn(14, 8).softmax(-1)
    states = [torch.randn(5, 16, 16, 16, requires_grad=True) for _ in range(2)]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            out = run(fast._layers, *states, fast.weights, training=True, recompute=False)
            weights = list(fast.edges.parameters())
            results.append([out, *torch.autograd.grad(out.pow(2).sum(), [*states, *weights])])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_state_dict_is_the_plain_cells():
    plain, fast = cells("reduce", 4)
    assert list(plain.state_dict()) == list(fast.state_dict())
    plain.load_state_dict(fast.state_dict())


def one_image(pixels):
    return (torch.ones(1, channels, pixels, pixels, dtype=torch.float64) for channels in (6, 7))


def test_one_value_per_channel_is_refused_in_training():
    _, fast = cells("reduce", 4)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fast(*one_image(1))


@pytest.mark.usefixtures("loops")
def test_one_value_per_channel_of_a_node_is_refused_in_training():
    _, fast = cells("reduce", 4)
    fast.weights = torch.zeros(14, 8, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"more than (1|one) value per channel"):
        fast(*one_image(2))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names levels of x86-64")
@pytest.mark.skipif(kernels.library() is None, reason="no C++ compiler here")
@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v2"])
def test_processors_with_narrower_vectors_compute_the_same(level, monkeypatch):
    """Without AVX-512, and without AVX: the loops' vectors are as wide as the processor's."""
    flags = [f"-march={level}" if flag == "-march=native" else flag for flag in kernels._FLAGS]
    monkeypatch.setattr(kernels, "_FLAGS", tuple(flags))
    kernels.library.cache_clear()
    try:
        assert kernels.library() is not None
        for channels in (4, 12, 20):
            plain, fast = cells("reduce", channels)
            given = inputs(2, 9, 6)
            assert_same(everything(fast, *given), everything(plain, *given))
        plain, fast = cells("normal", 16, dtype=torch.float32)
        given = inputs(4, 8, 8, dtype=torch.float32)
        assert_same(everything(fast, *given), everything(plain, *given), tolerance=2e-4)
    finally:
        kernels.library.cache_clear()


def test_plain_cell_against_its_definition():
    """A node is the weighted sum of all candidates on all earlier states, written out with functions."""
    plain, _ = cells("normal", 4)
    s0, s1, alphas = inputs(2, 6, 5)
    plain.weights = alphas.softmax(-1)
    parameters = dict(plain.named_parameters())

    def norm(x):
        return functional.batch_norm(x, None, None, training=True)

    def convolve(x, prefix, first, kernel, dilation):
        depthwise, pointwise = (parameters[f"{prefix}.{first + k}.weight"] for k in (1, 2))
        x = functional.relu(x)
        x = functional.conv2d(x, depthwise, padding=dilation * (kernel // 2), dilation=dilation, groups=4)
        return norm(functional.conv2d(x, pointwise))

    def candidate(name, x, prefix):
        kernel = int(name[-1]) if name[-1].isdigit() else 0
        if name == "max_pool_3x3":
            return norm(functional.max_pool2d(x, 3, 1, 1))
        if name == "avg_pool_3x3":
            window = torch.ones(4, 1, 3, 3, dtype=x.dtype)
            total, pixels = (
                functional.conv2d(y, window, padding=1, groups=4) for y in (x, torch.ones_like(x))
            )
            return norm(total / pixels)
        if name == "skip_connect":
            return x
        once = convolve(x, prefix, 0, kernel, 2 if name.startswith("dil") else 1)
        return convolve(once, prefix, 4, kernel, 1) if name.startswith("sep") else once

    states = [
        norm(functional.conv2d(functional.relu(x), parameters[f"preprocess{k}.1.weight"]))
        for k, x in enumerate((s0, s1))
    ]
    rows = itertools.count()
    for _ in range(4):
        node = 0
        for x in list(states):
            edge = next(rows)
            for column, name in enumerate(OPERATIONS):
                weight = plain.weights[edge, column + 1]
                node = node + weight * candidate(name, x, f"edges.{edge}.candidates.{column}")
        states.append(node)
    assert_same([plain(s0, s1)], [torch.cat(states[2:], dim=1)])
