"""Scores of untrained networks, beside slow and obvious computations."""

import numpy as np
import pytest
import torch
from torch import nn

import strategies
from search_spaces import Genotype
from search_spaces.errors import UserError
from search_spaces.network import DartsNetwork
from search_spaces.zoo import zoo
from strategies.scores import SCORES, Sees
from strategies.scores import find as find_all
from strategies.scores.search import combined


def find(name):
    (score,) = find_all(name)
    return score


CELL = zoo()["DARTS_V2"].genotype


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return DartsNetwork(CELL, width=2, layers=3, num_classes=4)


@pytest.fixture(scope="module")
def batches():
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(16, 3, 8, 8, generator=generator), torch.randint(4, (16,), generator=generator))
        for _ in range(2)
    ]


class Perceptron(nn.Module):
    """Two layers with a ReLU between them, whose gradients and patterns can be written down."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.one, self.two = nn.Linear(12, 40), nn.Linear(40, 3)

    def forward(self, x):
        return self.two(torch.relu(self.one(x.flatten(1))))


@pytest.fixture(scope="module")
def perceptron():
    return Perceptron()


@pytest.fixture(scope="module")
def small():
    generator = torch.Generator().manual_seed(2)
    return [
        (torch.randn(7, 3, 2, 2, generator=generator), torch.randint(3, (7,), generator=generator))
        for _ in range(2)
    ]


@pytest.mark.parametrize("name", SCORES)
def test_a_score_sees_no_more_than_it_declares(name, network, batches):
    score = find(name)
    value = score(network, batches)
    assert np.isfinite(value)
    shuffled = [(images, labels.roll(1)) for images, labels in batches]
    noise = [(torch.randn_like(images), labels) for images, labels in batches]
    assert (score(network, shuffled) == value) == (score.sees is not Sees.LABELS)
    assert (score(network, noise) == value) == (score.sees is Sees.NOTHING)


@pytest.mark.parametrize("name", SCORES)
def test_the_network_stays_as_it_is(name, network, batches):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    find(name)(network, batches)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_score_that_is_not_finite_is_never_the_best(perceptron, small):
    nan = [(images * float("nan"), labels) for images, labels in small]
    assert find("grad_norm")(perceptron, nan) == float("-inf")


def test_patterns_are_those_of_the_hidden_units(perceptron, small):
    logdets, counts = [], []
    for images, _ in small:
        signs = [[float(unit > 0) for unit in perceptron.one(image.flatten())] for image in images]
        kernel = [[sum(a == b for a, b in zip(x, y, strict=True)) for y in signs] for x in signs]
        logdets.append(np.log(abs(np.linalg.det(kernel))))
        counts.append(len({tuple(row[unit] for row in signs) for unit in range(40)}))
    assert find("nwot")(perceptron, small) == pytest.approx(np.mean(logdets), rel=1e-9)
    assert find("swap")(perceptron, small) == np.mean(counts)


def test_more_than_sixty_four_images_have_patterns_of_several_words(perceptron):
    images = torch.randn(130, 3, 2, 2, generator=torch.Generator().manual_seed(5))
    signs = (perceptron.one(images.flatten(1)) > 0).T.tolist()
    counted = find("swap")(perceptron, [(images, torch.zeros(130, dtype=torch.int64))])
    assert counted == len({tuple(row) for row in signs})


def _gradients(network, images, labels):
    network.zero_grad()
    nn.functional.cross_entropy(network(images), labels).backward()
    return [network.one.weight.grad.clone(), network.two.weight.grad.clone()]


def test_gradients_of_the_loss_are_those_of_backward(perceptron, small):
    gradients = [_gradients(perceptron, *batch) for batch in small]
    weights = [perceptron.one.weight, perceptron.two.weight]
    norms = [sum(g.square().sum().sqrt().item() for g in pair) for pair in gradients]
    saliency = [
        sum((w * g).abs().sum().item() for w, g in zip(weights, pair, strict=True)) for pair in gradients
    ]
    zico = 0.0
    for first, second in zip(*gradients, strict=True):
        mean, deviation = (first.abs() + second.abs()) / 2, (first - second).abs() / 2
        zico += (mean[deviation > 0] / deviation[deviation > 0]).sum().log().item()
    perceptron.zero_grad(set_to_none=True)
    assert find("grad_norm")(perceptron, small) == pytest.approx(np.mean(norms), rel=1e-5)
    assert find("snip")(perceptron, small) == pytest.approx(np.mean(saliency), rel=1e-5)
    assert find("zico")(perceptron, small) == pytest.approx(zico, rel=1e-4)


def test_zico_splits_a_single_batch_into_two(perceptron, small):
    images, labels = small[0]
    parts = [(images[:3], labels[:3]), (images[3:], labels[3:])]
    assert find("zico")(perceptron, [(images, labels)]) == find("zico")(perceptron, parts)


def test_jacobians_of_images_are_correlated(perceptron, small):
    values = []
    for images, _ in small:
        rows = []
        for image in images:
            single = image[None].clone().requires_grad_()
            perceptron(single).sum().backward()
            rows.append(single.grad.flatten().double().numpy())
        eigenvalues = np.linalg.eigvalsh(np.corrcoef(rows)) + 1e-5
        values.append(-sum(np.log(eigenvalues) + 1 / eigenvalues))
    perceptron.zero_grad(set_to_none=True)
    assert find("jacov")(perceptron, small) == pytest.approx(np.mean(values), rel=1e-4)


def test_synflow_of_a_chain_is_the_sum_over_paths(perceptron, small):
    one, two, bias = (
        parameter.detach().abs().double()
        for parameter in (perceptron.one.weight, perceptron.two.weight, perceptron.one.bias)
    )
    hidden = one.sum(1) + bias  # every path starts at an image of ones
    inner = sum(one[h].sum() * two[:, h].sum() for h in range(40))
    outer = sum(hidden[h] * two[:, h].sum() for h in range(40))
    assert find("synflow")(perceptron, small) == pytest.approx(float((inner + outer).log()))


def test_sizes_are_those_of_the_network(network, batches):
    assert find("params")(network, batches) == sum(p.numel() for p in network.parameters())
    assert find("count_sep_conv")(network, batches) == 5
    assert find("count_skip_connect")(network, batches) == 2


def test_counts_need_a_cell(perceptron, small):
    with pytest.raises(UserError, match="count_max_pool is a score of cells"):
        find("count_max_pool")(perceptron, small)


def test_an_unknown_score_is_named():
    with pytest.raises(UserError, match="nwot"):
        find("nwto")


@pytest.mark.slow
def test_scores_agree_with_published_accuracies_as_in_the_literature(real_data):
    """Kendall's tau with the 600-epoch top-1 of 107 published cells, beside figures for 214 such cells.

    The figures are from networks of width 8 and 5 layers and one batch; two samples of cells differ by up to
    two standard errors, 0.12.
    """
    import io
    import json

    import pandas as pd
    from PIL import Image
    from scipy import stats

    table = pd.read_csv(real_data / "darts_space_cifar10" / "architectures.csv")
    rows = pd.read_parquet(next((real_data / "cifar10").rglob("*test*.parquet"))).iloc[:16]
    pixels = [np.array(Image.open(io.BytesIO(image["bytes"])).convert("RGB")) for image in rows["image"]]
    images = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    batch = [(images, torch.tensor(rows["label"].to_numpy()))]
    published = {"count_sep_conv": 0.27, "nwot": 0.23, "mult_adds": 0.16, "synflow": 0.02}
    values = {name: [] for name in published}
    for text in table["genotype"]:
        torch.manual_seed(0)
        network = DartsNetwork(Genotype.from_dict(json.loads(text)), width=8, layers=5, num_classes=10)
        for name in published:
            values[name].append(find(name)(network, batch))
    for name, expected in published.items():
        tau = stats.kendalltau(values[name], table["final_top1"]).statistic
        assert tau == pytest.approx(expected, abs=0.12), name


def test_ranks_are_combined_as_in_az_nas():
    scores = [[3.0, 10.0], [1.0, 30.0], [2.0, 20.0], [0.0, 10.0]]
    ranks = [[4, 1.5], [2, 4], [3, 3], [1, 1.5]]
    expected = [sum(np.log(rank / 4) for rank in row) for row in ranks]
    assert combined(scores) == pytest.approx(expected)
    assert max(range(4), key=combined(scores).__getitem__) == 2  # good at both rather than best at one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score:by=nwto", "nwot"),
        ("score:by=nwot+nwot", "names a score twice"),
        ("score:by=nwot+", "unknown score"),
        ("score:population=5", "not supported with selection=random"),
        ("score:selection=evolution,population=5,tournament=6", "tournament=6 is larger"),
    ],
)
def test_searches_that_make_no_sense_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        strategies.parse(text)


def test_only_scores_that_need_gradients_backpropagate_images():
    options = strategies.parse("score:by=nwot+snip+zico,candidates=10,batches=2").options
    assert options.training_images(epochs=50, weight_images=1000, alpha_images=1000, batch_size=16) == 640
    assert options.forward_images(epochs=50, weight_images=20, alpha_images=99, batch_size=16) == 200


def test_the_jacobian_of_a_single_image_has_one_correlation(perceptron, small):
    images, labels = small[0]
    found = find("jacov")(perceptron, [(images[:1], labels[:1])])
    assert found == pytest.approx(-(np.log(1 + 1e-5) + 1 / (1 + 1e-5)))
