"""What timm asks of every model of its own, asked of ours, the networks of cells of every search space."""

import copy
import math

import pytest
import timm
import torch
from timm.models import FeatureInfo, group_parameters
from timm.models._features import feature_take_indices
from timm.optim import create_optimizer_v2
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

import nastransfer_nni.models
from nastransfer_nni.models.cell_model import chosen_maps
from search_spaces import Genotype
from search_spaces.errors import UserError
from search_spaces.nas_bench_201.network import NasBench201Network
from search_spaces.network import DartsNetwork
from search_spaces.separable import use_loops
from search_spaces.zoo import zoo
from tests.search_spaces.nas_bench_201.cells import CELL

DARTS = ["nastransfer_darts_v2", "nastransfer_pdarts", "nastransfer_gdas_v1"]
NAS_BENCH_201 = "nastransfer_nas_bench_201"
NAMES = [*DARTS, NAS_BENCH_201]
BOTH = ["nastransfer_darts_v2", NAS_BENCH_201]
SMALL = {"width": 8, "layers": 5}
LARGE_IMAGES = {"architecture": CELL, "num_classes": 1000, "stem": "imagenet"}
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def create(name, **options):
    own = LARGE_IMAGES if name == NAS_BENCH_201 else {}
    return timm.create_model(name, **{**SMALL, **own, **options})


def images(model, batch=1, size=64):
    return torch.randn(batch, model.in_chans, size, size)


def test_every_published_cell_has_a_name_and_nastransfer_darts_takes_any(tmp_path):
    listed = set(timm.list_models("nastransfer_*"))
    assert listed == {"nastransfer_darts", NAS_BENCH_201, *(f"nastransfer_{name.lower()}" for name in zoo())}
    file = tmp_path / "found.json"
    file.write_text(str(zoo()["PDARTS"].genotype))
    for architecture in ("PDARTS", zoo()["PDARTS"].genotype, zoo()["PDARTS"].genotype.to_dict(), str(file)):
        model = create("nastransfer_darts", architecture=architecture)
        assert model.genotype == zoo()["PDARTS"].genotype
    for name in ("nastransfer_darts", NAS_BENCH_201):
        with pytest.raises(UserError, match="needs architecture"):
            create(name, architecture=None)
    with pytest.raises(UserError, match="of another search space"):
        create("nastransfer_darts", architecture=CELL)


def test_nas_bench_201_has_the_size_of_its_paper():
    model = timm.create_model(NAS_BENCH_201, architecture=CELL.to_dict())
    plain = NasBench201Network(CELL)
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }
    plain.load_state_dict(model.state_dict())
    x = images(model, 2, 32)
    torch.testing.assert_close(model.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("name", DARTS)
def test_default_size_is_the_published_one(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    cell = next(cell for cell in zoo().values() if f"nastransfer_{cell.name.lower()}" == name)
    plain = DartsNetwork(cell.genotype, 48, 14, 1000, "imagenet")
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_forward_and_gradient_checkpointing(name):
    model = create(name).eval()
    x = images(model, 2)
    outputs = model(x)
    assert outputs.shape == (2, 1000) and not outputs.isnan().any()
    model.set_grad_checkpointing()
    torch.testing.assert_close(model(x), outputs)
    model.train()
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("loops", [True, False], ids=["loops", "layers"])
@pytest.mark.parametrize("name", BOTH)
def test_gradient_checkpointing_changes_no_buffer_and_no_gradient(name, loops):
    """A cell that is computed again sees its batch twice, and running statistics once."""
    torch.manual_seed(0)
    model = create(name, num_classes=3).train()
    for module in model.modules():  # drawn anew in each pass
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if loops:
        use_loops(model)
    again = copy.deepcopy(model)
    again.set_grad_checkpointing()
    x = images(model, 4)
    for network in (model, again):
        network(x).square().sum().backward()
    for (key, one), other in zip(model.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(one, other), key
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("name", NAMES)
def test_backward_reaches_every_parameter(name):
    model = create(name, num_classes=42).train()
    outputs = model(images(model, 2))
    outputs.mean().backward()
    assert outputs.shape[-1] == 42
    assert [n for n, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_default_cfg_describes_the_model(name):
    model = create(name).eval()
    cfg = model.default_cfg
    state = model.state_dict()
    assert cfg["classifier"] + ".weight" in state and cfg["first_conv"] + ".weight" in state
    x = torch.randn(1, *cfg["input_size"])
    features = model.forward_features(x)
    assert features.shape[1:] == (model.num_features, *cfg["pool_size"])
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (1, model.head_hidden_size)
    torch.testing.assert_close(model.forward_head(features), model(x))
    model.reset_classifier(0)
    assert model.num_classes == 0
    torch.testing.assert_close(model(x), pooled)
    model.reset_classifier(0, "")
    torch.testing.assert_close(model(x), features)
    model = create(name, num_classes=0, global_pool="").eval()
    assert model(x).shape == features.shape
    model.reset_classifier(7, "avg")
    assert model(x).shape == (1, 7)


@pytest.mark.parametrize("name", BOTH)
def test_the_classifier_of_the_auxiliary_head_is_reset_along(name):
    model = create(name, auxiliary=True)
    model.reset_classifier(7)
    assert [logits.shape for logits in model.forward_with_auxiliary(images(model, 2))] == [(2, 7), (2, 7)]
    model.reset_classifier(0)
    assert model.auxiliary_head is None


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "catavgmax"])
def test_global_pooling_and_input_channels(pool):
    model = create("nastransfer_darts_v2", global_pool=pool, in_chans=1, num_classes=5).eval()
    assert model.global_pool.pool_type == pool
    assert model(images(model)).shape == (1, 5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("feature_cls", ["getter", "hook", "fx"])
def test_features_only(name, feature_cls):
    model = create(name, features_only=True, feature_cls=feature_cls).eval()
    channels, reductions = model.feature_info.channels(), model.feature_info.reduction()
    assert reductions == [2, 4, 8, 16, 32]
    maps = model(torch.randn(1, 3, 96, 96))
    assert [m.shape[1] for m in maps] == channels
    assert [m.shape[2] for m in maps] == [math.ceil(96 / r) for r in reductions]


@pytest.mark.parametrize("name", BOTH)
def test_features_are_those_of_the_whole_network_and_cells_behind_them_are_dropped(name):
    model = create(name).eval()
    some = create(name, features_only=True, out_indices=(1, 3)).eval()
    some.load_state_dict({f"model.{k}": v for k, v in model.state_dict().items()}, strict=False)
    x = images(model)
    features, maps = model.forward_intermediates(x)
    torch.testing.assert_close(features, model.forward_features(x))
    for one, other in zip(some(x), [maps[1], maps[3]], strict=True):
        torch.testing.assert_close(one, other)
    assert len(some.model.cells) < len(model.cells)
    (last_map,) = model.forward_intermediates(x, [-1], intermediates_only=True)
    assert torch.equal(model.finish(last_map), features)
    early, _ = model.forward_intermediates(x, [2], stop_early=True)
    assert torch.equal(early, maps[2])


@pytest.mark.parametrize("indices", [None, 2, 5, [0, 3], (-1, 1), [-5]])
def test_maps_are_chosen_as_by_timm(indices):
    assert chosen_maps(5, indices) == feature_take_indices(5, indices)


@pytest.mark.parametrize("indices", [0, 6, -1, [5], [-6], []])
def test_maps_that_do_not_exist_are_refused(indices):
    with pytest.raises(UserError, match="must name some of the 5 maps"):
        chosen_maps(5, indices)


@pytest.mark.parametrize("name", BOTH)
def test_the_small_stem_has_three_sizes_and_says_so(name):
    model = create(name, stem="cifar", num_classes=10).eval()
    assert model.default_cfg["input_size"] == (3, 32, 32)
    info = FeatureInfo(model.feature_info, (0, 1, 2))
    assert info.reduction() == [1, 2, 4]
    _, maps = model.forward_intermediates(images(model, size=32))
    assert [m.shape[1] for m in maps] == info.channels() and [m.shape[2] for m in maps] == [32, 16, 8]
    small = create(name, stem="cifar", features_only=True)
    assert len(small(images(model, size=32))) == 3


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_shallow_networks_have_features_too(layers):
    for stem in ("cifar", "imagenet"):
        model = create("nastransfer_darts_v2", layers=layers, stem=stem).eval()
        _, maps = model.forward_intermediates(images(model, size=64))
        expected = [(info["num_chs"], math.ceil(64 / info["reduction"])) for info in model.feature_info]
        assert [(m.shape[1], m.shape[2]) for m in maps] == expected


@pytest.mark.parametrize("name", NAMES)
def test_torchscript(name):
    model = create(name).eval()
    x = images(model)
    torch.testing.assert_close(torch.jit.script(model)(x), model(x))


@pytest.mark.parametrize("name", NAMES)
def test_fx(name):
    model = create(name).eval()
    x = images(model)
    _, nodes = get_graph_node_names(model)
    (traced,) = create_feature_extractor(
        model, eval_return_nodes=[nodes[-1]], train_return_nodes=[nodes[-1]]
    )(x).values()
    assert torch.equal(traced, model(x))


@pytest.mark.parametrize("name", BOTH)
def test_torchscript_of_the_graph_that_fx_traces(name):
    """What timm's own tests script: a traced network, and traced features."""
    model = create(name).eval()
    x = images(model)
    _, nodes = get_graph_node_names(model)
    traced = create_feature_extractor(
        model, eval_return_nodes=[nodes[-1]], train_return_nodes=[nodes[-1]]
    ).eval()
    torch.testing.assert_close(torch.jit.script(traced)(x)[nodes[-1]], model(x))
    features = create(name, features_only=True, feature_cfg={"feature_cls": "fx"}).eval()
    for scripted, eager in zip(torch.jit.script(features)(x), features(x), strict=True):
        torch.testing.assert_close(scripted, eager)


@pytest.mark.parametrize(
    "name", [*BOTH, *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name not in BOTH)]
)
def test_torch_export_with_any_batch(name):
    model = create(name).eval()
    program = torch.export.export(
        model, (images(model, 2),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    ).module()
    x = images(model, 3)
    torch.testing.assert_close(program(x), model(x))


@pytest.mark.parametrize("name", NAMES)
def test_parameter_groups_for_layer_wise_learning_rates(name):
    model = create(name)
    groups = group_parameters(model, model.group_matcher(), reverse=True)
    assert groups[f"{model.default_cfg['first_conv']}.weight"] == 0
    assert groups[next(name for name in groups if name.startswith("cells.0."))] == 1
    assert groups["classifier.weight"] == 1 + SMALL["layers"]
    create_optimizer_v2(model, "adamw", lr=0.1, weight_decay=0.1, layer_decay=0.9)


@pytest.mark.parametrize("name", BOTH)
def test_drop_rates(name):
    torch.manual_seed(0)
    model = create(name, drop_rate=0.5, drop_path_rate=0.5, stem="cifar")
    x = images(model, 4, 16)
    assert model.head_drop.p == 0.5
    assert not torch.equal(model.train().forward_features(x), model.forward_features(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("name", BOTH)
def test_a_model_without_auxiliary_head_loads_weights_of_one_with_it(name):
    trained = create(name, auxiliary=True).eval()
    plain = create(name).eval()
    plain.load_state_dict(trained.state_dict())
    x = images(plain)
    assert torch.equal(plain(x), trained(x))
    with pytest.raises(RuntimeError, match="auxiliary_head"):
        trained.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("name", BOTH)
def test_the_auxiliary_output_is_the_head_on_the_cell_at_two_thirds(name):
    model = create(name, auxiliary=True, stem="cifar", num_classes=10).eval()
    x = images(model, 2, 32)
    seen = []
    model.cells[2 * SMALL["layers"] // 3].register_forward_hook(lambda *args: seen.append(args[-1]))
    logits, auxiliary = model.forward_with_auxiliary(x)
    torch.testing.assert_close(logits, model(x))
    torch.testing.assert_close(auxiliary, model.auxiliary_head(seen[0]))


def test_in_half_the_precision_and_channels_last():
    model = create("nastransfer_darts_v2").eval()
    x = images(model)
    expected = model(x)
    model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x.contiguous(memory_format=torch.channels_last)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert (model(x) - expected).abs().max() < 0.1


def test_random_cells_train():
    import numpy as np

    rng = np.random.default_rng(0)
    for _ in range(5):
        model = nastransfer_nni.models.DartsModel(Genotype.random(rng), width=4, layers=3, num_classes=3)
        model(images(model, 2)).sum().backward()
        assert [n for n, parameter in model.named_parameters() if parameter.grad is None] == []
