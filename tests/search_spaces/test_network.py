import copy

import pytest
import torch

from search_spaces import DartsNetwork, Genotype
from search_spaces.errors import UserError
from search_spaces.geometry import geometries
from search_spaces.network import AuxiliaryHead, FinalCell
from search_spaces.sizes import mult_adds, parameters
from search_spaces.zoo import zoo

SETTINGS = {
    "cifar": ("cifar", 10, 32),
    "imagenet": ("imagenet", 1000, 224),
    "imagenet22k": ("imagenet", 21841, 224),
}
SIZED = [(cell, setting) for cell in zoo().values() for setting in cell.sizes]
DARTS_V2 = zoo()["DARTS_V2"].genotype


def test_the_zoo_is_whole():
    assert len(zoo()) == 24
    assert len(SIZED) == 12


@pytest.mark.parametrize(("cell", "setting"), SIZED, ids=lambda value: getattr(value, "name", value))
def test_sizes_of_published_cells_to_the_last_digit(cell, setting):
    stem, classes, pixels = SETTINGS[setting]
    size = cell.sizes[setting]
    with torch.device("meta"):
        network = DartsNetwork(cell.genotype, int(size["width"]), int(size["layers"]), classes, stem)
    assert parameters(network) / 1e6 == size["params_m"]
    assert mult_adds(network, pixels) / 1e6 == size["mult_adds_m"]


@pytest.mark.parametrize("name", ["DARTS_V2", "PC_DARTS_image", "SNAS"])
@pytest.mark.parametrize(("stem", "pixels"), [("cifar", 16), ("imagenet", 64)])
def test_outputs_equal_nnis_hub_network_frozen_to_the_same_cell(name, stem, pixels):
    from nni.nas.hub.pytorch import DARTS

    from search_spaces import nni_api  # noqa: F401  (silences NNI's warnings on import)

    genotype = zoo()[name].genotype
    edges = {kind: [edge for node in genotype.nodes(kind) for edge in node] for kind in ("normal", "reduce")}
    sample = Genotype(tuple(edges["normal"]), tuple(edges["reduce"])).to_sample()
    torch.manual_seed(0)
    hub = DARTS(width=4, num_cells=4, dataset=stem).freeze(sample).double()
    classes = 10 if stem == "cifar" else 1000
    ours = DartsNetwork(genotype, 4, 4, classes, stem).double()
    theirs = list(hub.state_dict().values())
    assert [value.shape for value in theirs] == [value.shape for value in ours.state_dict().values()]
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs, strict=True)))
    images = torch.randn(2, 3, pixels, pixels, dtype=torch.float64)
    torch.testing.assert_close(ours(images), hub(images), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours.eval()(images), hub.eval()(images), rtol=1e-9, atol=1e-12)


def test_a_state_is_pooled_once_for_all_edges_with_the_same_pooling():
    torch.manual_seed(0)
    shared = DartsNetwork(DARTS_V2, 4, 3, 10).double()
    edges = [edge for node in DARTS_V2.nodes("reduce") for edge in node if "pool" in edge[0]]
    alone, pooled = copy.deepcopy(shared), []
    for module in alone.modules():
        if isinstance(module, FinalCell):
            module.computed_by = list(range(len(module.operations)))
    for module in shared.cells[-1].modules():
        if isinstance(module, torch.nn.MaxPool2d):
            module.register_forward_hook(lambda *_: pooled.append(1))
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    outputs = [network(images) for network in (shared, alone)]
    assert torch.equal(*outputs) and len(pooled) == len(set(edges)) < len(edges)
    for output in outputs:
        output.square().sum().backward()
    for one, other in zip(shared.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-9)


def test_equal_genotypes_load_each_others_weights():
    swapped = Genotype(tuple(DARTS_V2.normal[i ^ 1] for i in range(8)), DARTS_V2.reduce)
    one, other = (DartsNetwork(genotype, 4, 5, 10) for genotype in (DARTS_V2, swapped))
    other.load_state_dict(one.state_dict())
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(one.eval()(images), other.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize("layers", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_reduction_cells_are_at_a_third_and_two_thirds(layers, stem):
    plan = geometries(4, layers, stem)
    assert [i for i, cell in enumerate(plan) if cell.kind == "reduce"] == sorted(
        {layers // 3, 2 * layers // 3}
    )
    network = DartsNetwork(DARTS_V2, 2, layers, 7, stem, auxiliary=True)
    logits, auxiliary = network.forward_with_auxiliary(torch.randn(2, 3, 32, 32))
    assert logits.shape == auxiliary.shape == (2, 7)


@pytest.mark.parametrize(
    ("width", "layers", "stem"), [(0, 8, "cifar"), (4, 0, "cifar"), (4, 8, "mnist"), (3, 8, "imagenet")]
)
def test_impossible_networks_are_refused(width, layers, stem):
    with pytest.raises(UserError, match=r"at least 1|unknown stem|even width"):
        geometries(width, layers, stem)


@pytest.mark.parametrize(("stem", "pixels"), [("cifar", 8), ("imagenet", 7)])
def test_auxiliary_pooling_is_the_published_one_at_the_published_size(stem, pixels):
    head = AuxiliaryHead(6, 10, stem).eval()
    x = torch.randn(3, 6, pixels, pixels)
    stride = {"cifar": 3, "imagenet": 2}[stem]
    pooled = torch.nn.functional.avg_pool2d(x.relu(), 5, stride=stride, count_include_pad=False)
    assert pooled.shape[-2:] == (2, 2)
    torch.testing.assert_close(head(x), head.classifier(head.features(pooled).flatten(1)))
    has_second_norm = isinstance(head.features[4], torch.nn.BatchNorm2d)
    assert has_second_norm == (stem == "cifar")
    assert head(torch.randn(3, 6, 2, 2)).shape == (3, 10)


def test_drop_path_spares_identity_skips_and_keeps_the_mean():
    network = DartsNetwork(DARTS_V2, 4, 5, 10)
    skips = sum(isinstance(op, torch.nn.Identity) for cell in network.cells for op in cell.operations)
    drops = [m for m in network.modules() if type(m).__name__ == "DropPath"]
    assert len(drops) == 8 * 5 - skips
    network.set_drop_path_rate(0.3)
    torch.manual_seed(0)
    dropped = drops[0](torch.ones(20_000, 1, 1, 1))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert dropped.mean() == pytest.approx(1, abs=0.02)
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network.eval()(images), network.eval()(images), rtol=0, atol=0)
