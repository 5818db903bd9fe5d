import math

import pytest
from PIL import Image
from timm.data import create_transform
from timm.optim import get_optimizer_info, list_optimizers
from torch import nn

from nastransfer_nni.data import sources
from nastransfer_nni.data.sources import SOURCES, Source
from nastransfer_nni.training.objective import optimizer, scheduler
from nastransfer_nni.training.protocols import PRESETS, default_for, resolve
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces.errors import UserError


def test_the_published_protocols():
    """Liu et al. 2019 (darts-*), Xu et al. 2020 (large-batch-imagenet), Yang et al. 2020 (yang-224)."""

    def shown(name, *options):
        return tuple(getattr(PRESETS[name], option) for option in options)

    network = ("width", "layers", "auxiliary_weight", "drop_path", "cutout", "img_size")
    schedule = ("epochs", "batch_size", "opt", "lr", "sched", "weight_decay", "clip_grad", "smoothing")
    assert shown("darts-cifar", *network) == (36, 20, 0.4, 0.2, 16, 0)
    assert shown("darts-cifar", *schedule) == (600, 96, "momentum", 0.025, "cosine", 3e-4, 5.0, 0.0)
    assert shown("darts-imagenet", *network) == (48, 14, 0.4, 0.0, 0, 224)
    assert shown("darts-imagenet", *schedule) == (250, 128, "momentum", 0.1, "step", 3e-5, 5.0, 0.1)
    assert shown("large-batch-imagenet", *network) == shown("darts-imagenet", *network)
    assert shown("large-batch-imagenet", *schedule) == (250, 1024, "momentum", 0.5, "p-darts", 3e-5, 5.0, 0.1)
    assert shown("yang-224", *network) == (36, 8, 0.4, 0.2, 16, 224)
    assert shown("yang-224", "epochs", "batch_size") == (600, 96)
    for name in ("darts-imagenet", "large-batch-imagenet", "yang-224"):
        assert PRESETS[name].color_jitter == (0.4, 0.4, 0.4, 0.2)
        resizing = ("interpolation", "train_interpolation")  # torchvision's default
        assert shown(name, *resizing) == ("bilinear", "bilinear") and PRESETS[name].keeps_last
    assert PRESETS["darts-cifar"].keeps_last
    modern = PRESETS["timm-modern"]
    assert modern.opt == "lamb" and modern.aa.startswith("rand-") and modern.model_ema and modern.amp
    assert modern.mixup and modern.cutmix and modern.amp_dtype == "bfloat16"


def rates(recipe, steps=1):
    """The learning rate of every epoch, or of every optimizer step if the recipe updates it then."""
    sgd = optimizer(nn.Linear(1, 1), recipe)
    schedule, rates = scheduler(sgd, recipe, steps), []
    for epoch in range(recipe.epochs):
        schedule.step(epoch)
        for step in range(steps if recipe.sched_on_updates else 1):
            if recipe.sched_on_updates:
                schedule.step_update(epoch * steps + step)
            rates.append(sgd.param_groups[0]["lr"])
    return rates


def test_learning_rates_are_those_of_the_papers():
    cosine = [0.025 * (1 + math.cos(math.pi * epoch / 600)) / 2 for epoch in range(600)]
    assert rates(PRESETS["darts-cifar"]) == pytest.approx(cosine)
    assert rates(PRESETS["darts-imagenet"]) == pytest.approx([0.1 * 0.97**epoch for epoch in range(250)])
    linear = rates(PRESETS["large-batch-imagenet"])
    assert [round(rate, 2) for rate in linear[:5]] == [0.10, 0.20, 0.30, 0.40, 0.49]
    assert [round(rate, 4) for rate in linear[-5:]] == [0.0020, 0.0016, 0.0012, 0.0008, 0.0004]
    assert linear[5:245] == pytest.approx([0.5 * (245 - epoch) / 245 for epoch in range(5, 245)])
    assert rates(resolve("large-batch-imagenet", {"epochs": 6}))[-1] == pytest.approx(0.5 / 6)


def test_the_recipe_of_nas_bench_201():
    """Dong and Yang, ICLR 2020, table 2: SGD with Nesterov's momentum, cosine to 0, decay of every weight."""
    recipe = PRESETS["nas-bench-201"]
    assert (recipe.width, recipe.layers, recipe.epochs, recipe.batch_size) == (16, 17, 200, 256)
    assert (recipe.auxiliary_weight, recipe.drop_path, recipe.cutout, recipe.clip_grad) == (0, 0, 0, 0)
    (group,) = optimizer(nn.BatchNorm2d(1), recipe).param_groups
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 5e-4)
    assert rates(recipe) == pytest.approx([0.05 * (1 + math.cos(math.pi * e / 200)) for e in range(200)])


def test_the_recipes_of_resnet_strikes_back():
    """Wightman, Touvron, Jegou, 2021, table 2."""
    shown = [
        tuple(getattr(PRESETS[f"timm-a{number}"], option) for option in row)
        for row in [("img_size", "epochs", "batch_size", "lr", "weight_decay", "drop_path", "aug_repeats")]
        for number in (1, 2, 3)
    ]
    assert shown == [
        (224, 600, 2048, 5e-3, 0.01, 0.05, 3),
        (224, 300, 2048, 5e-3, 0.02, 0.05, 3),
        (160, 100, 2048, 8e-3, 0.02, 0.0, 0),
    ]
    for number, smoothing, mixed, policy in ((1, 0.1, 0.2, "m7"), (2, 0.0, 0.1, "m7"), (3, 0.0, 0.1, "m6")):
        recipe = PRESETS[f"timm-a{number}"]
        assert (recipe.smoothing, recipe.mixup, recipe.cutmix) == (smoothing, mixed, 1.0)
        assert recipe.bce_loss and recipe.opt == "lamb" and recipe.crop_pct == 0.95
        assert (
            recipe.aa == f"rand-{policy}-mstd0.5-inc1" and recipe.warmup_epochs == 5 and not recipe.clip_grad
        )


HASHES_OF_0_1 = {
    "darts-cifar": "23ced8abee",
    "darts-imagenet": "1595f0ac03",
    "large-batch-imagenet": "2623d681d5",
    "yang-224": "5855e7eadd",
    "timm-modern": "59a37fa6d6",
    "digits": "8ed2f375b2",
    "fashion-mnist": "8bfb727710",
}


def test_hashes_of_version_0_1_belong_to_its_recipes():
    """Rows of version 0.1 are pooled with those of unchanged recipes, and with no others."""
    assert {name: resolve(name, {}, version="0.1").hash for name in HASHES_OF_0_1} == HASHES_OF_0_1
    changed = {name for name, hash in HASHES_OF_0_1.items() if PRESETS[name].hash != hash}
    assert changed == {"darts-cifar", "darts-imagenet", "large-batch-imagenet", "yang-224"}
    assert len({recipe.hash for recipe in PRESETS.values()}) == len(PRESETS)
    for option, value in {"no_aug": True, "mean": 0.5, "hflip": 0.5, "drop_last": False}.items():
        assert resolve("digits", {option: value}).hash != PRESETS["digits"].hash


def test_the_learning_rate_can_change_with_every_step():
    recipe = Recipe(protocol="test", epochs=4, lr=0.1, sched_on_updates=True)
    cosine = [0.1 * (1 + math.cos(math.pi * step / 20)) / 2 for step in range(20)]
    assert rates(recipe, steps=5) == pytest.approx(cosine)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_an_optimizer_that_takes_its_options(name):
    created = optimizer(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), PRESETS[name])
    without_decay = [group for group in created.param_groups if group["weight_decay"] == 0]
    assert bool(without_decay) == PRESETS[name].filter_bias_and_bn


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", list_optimizers())
def test_every_optimizer_of_timm_is_created_or_refused(name):
    info = get_optimizer_info(name)
    betas = tuple([0.9, 0.99, 0.999][: info.num_betas]) if info.has_betas else ()
    for options in ({}, {"opt_eps": 1e-6 if info.has_eps else 0, "opt_betas": betas, "momentum": 0.5}):
        try:
            created = optimizer(nn.Linear(2, 2), Recipe(protocol="test", opt=name, lr=0.1, **options))
        except UserError as error:
            assert "needs" in str(error)
        else:
            assert created.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opt": "adamww"}, "unknown optimizer 'adamww' \\(did you mean 'adamw'"),
        ({"opt": "ahead_adamw"}, "unknown optimizer 'ahead_adamw'"),
        ({"opt": "adahessian"}, "second derivatives"),
        ({"opt": "adamw", "opt_betas": (0.9,)}, "takes 2 --opt-betas"),
        ({"opt": "adamw", "opt_betas": (0.9, 1.0)}, "from 0 to below 1"),
        ({"opt": "momentum", "opt_betas": (0.9, 0.99)}, "takes no --opt-betas"),
        ({"opt": "momentum", "opt_eps": 1e-6}, "takes no --opt-eps"),
        ({"opt": "sgd", "momentum": 0}, "--momentum above 0"),
    ],
)
def test_what_an_optimizer_does_not_take_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        optimizer(nn.Linear(2, 2), Recipe(protocol="test", **options))


def test_lookahead_wraps_any_optimizer():
    assert (
        type(optimizer(nn.Linear(2, 2), Recipe(protocol="test", opt="lookahead_adamw"))).__name__
        == "Lookahead"
    )


@pytest.mark.parametrize(
    "policy",
    [
        "",
        "original-mstd0.5",
        "originalr",
        "v0",
        "3a",
        "rand-m9-n3-mstd0.5-mmax12-inc1-p0.4",
        "augmix-m5-w4-d2-b1",
    ],
)
def test_timm_takes_every_policy_that_is_accepted(policy):
    assert Recipe(protocol="test", aa=policy).aa == policy
    create_transform(8, is_training=True, auto_augment=policy or None)


@pytest.mark.parametrize(
    "policy", ["rand-x5", "rand-m5.5", "rand-m", "original-m5", "augmix-n3", "randy", "v1"]
)
def test_other_policies_are_refused(policy):
    with pytest.raises(UserError, match="--aa: must be original, v0, 3a, rand or augmix"):
        Recipe.create({"protocol": "test", "aa": policy})


def test_defaults_by_target():
    assert {name: default_for(source) for name, source in SOURCES.items()} == {
        "digits": "digits",
        "fashion_mnist": "fashion-mnist",
        "cifar10": "darts-cifar",
        "cifar100": "darts-cifar",
        "mit67": "yang-224",
        "flowers102": "yang-224",
        "tiny_imagenet": "darts-cifar",
        "mini_imagenet": "yang-224",
        "imagenet1k": "darts-imagenet",
        "imagenet22k": "darts-imagenet",
    }
    assert default_for(Source("no such folder")) == "yang-224"


@pytest.mark.parametrize(
    ("sizes", "name"), [([16], "darts-cifar"), ([64, 20], "darts-cifar"), ([80], "yang-224")]
)
def test_a_set_of_ones_own_gets_the_protocol_of_its_images(sizes, name, tmp_path):
    for number, size in enumerate(sizes * 2):
        path = tmp_path / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size)).save(path)
    source = sources.check(str(tmp_path))
    assert default_for(source) == name
    assert default_for(source, version="0.1") == "yang-224"
    chosen = TransferConfig.create({"arch": "DARTS_V2", "target": source})
    assert chosen.recipe.protocol == name
    assert chosen.recipe.cutout == (8 if sizes == [16] else 16)
    assert TransferConfig.create({"arch": "DARTS_V2", "target": source, "cutout": 3}).recipe.cutout == 3


def test_the_hash_depends_on_the_training_and_not_on_the_name():
    changed = resolve("darts-cifar", {"epochs": 10})
    assert changed.protocol == "darts-cifar" and changed.epochs == 10 and changed.lr == 0.025
    assert changed.hash != PRESETS["darts-cifar"].hash
    same = Recipe(**{**PRESETS["darts-cifar"].model_dump(), "protocol": "mine"})
    assert same.hash == PRESETS["darts-cifar"].hash
    transfers = [
        TransferConfig.create({"arch": "DARTS_V2", **options}).protocol_hash
        for options in ({}, {"seed": 3}, {"max_mult_adds": "600M"}, {"val_share": 0.2})
    ]
    assert transfers[0] == transfers[1] == PRESETS["digits"].hash
    assert len(set(transfers)) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 10, "grad_accum_steps": 4}, "multiple of grad_accum_steps"),
        ({"aa": "rand-mm"}, "must be original"),
        ({"color_jitter": (0.4,)}, "one, three or four"),
        ({"clip_mode": "norms"}, "--clip-mode"),
        ({"crop_pct": 0}, "--crop-pct"),
        ({"std": 0}, "std must be above 0"),
        ({"mean": (0.5, 0.5)}, "--mean"),
        ({"interpolation": "cubic"}, "--interpolation"),
        ({"sched": "wsd"}, "here 1 of 600 epochs; write 2 epochs or more, or a share such as 0.2"),
        ({"sched": "wsd", "decay_epochs": 601}, "here 601 of 600 epochs"),
    ],
)
def test_what_does_not_fit_is_refused(changes, said):
    with pytest.raises(UserError, match=said):
        resolve("darts-cifar", changes)
    with pytest.raises(UserError, match="unknown protocol 'darts_cifar'"):
        resolve("darts_cifar", {})


def test_the_stem_follows_the_size():
    assert [PRESETS["darts-cifar"].stem_for(pixels) for pixels in (8, 64, 65, 224)] == [
        *("cifar", "cifar", "imagenet", "imagenet")
    ]
    assert resolve("darts-cifar", {"stem": "imagenet"}).stem_for(32) == "imagenet"


@pytest.mark.parametrize("decay", [0.2, 2])
def test_wsd_decays_at_the_end(decay):
    recipe = resolve("darts-cifar", {"sched": "wsd", "epochs": 10, "decay_epochs": decay, "warmup_epochs": 0})
    found = rates(recipe)
    assert found[:9] == [recipe.lr] * 9
    assert found[9] < recipe.lr
