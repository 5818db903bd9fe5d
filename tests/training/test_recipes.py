import math

import pytest
from timm.data import create_transform
from timm.optim import get_optimizer_info, list_optimizers
from torch import nn

from nastransfer_nni.data.sources import SOURCES, Source
from nastransfer_nni.training.objective import optimizer, scheduler
from nastransfer_nni.training.recipes import PRESETS, Recipe, default_for, resolve
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
    assert shown("large-batch-imagenet", *schedule) == (250, 1024, "momentum", 0.5, "poly", 3e-5, 5.0, 0.1)
    assert shown("yang-224", *network) == (36, 8, 0.4, 0.2, 0, 224)
    assert shown("yang-224", "epochs", "batch_size") == (600, 96)
    for name in ("darts-imagenet", "yang-224"):
        assert PRESETS[name].color_jitter == (0.4, 0.4, 0.4, 0.2)
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
    assert linear[5:] == pytest.approx([0.5 * (1 - epoch / 250) for epoch in range(5, 250)])
    assert linear[:5] == sorted(linear[:5]) and linear[4] < 0.5


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
    assert default_for(Source("a folder")) == "yang-224"


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
