"""What a recipe says of images: how they are normalized, flipped, repeated, and which are trained on."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import sources
from nastransfer_nni.training.loaders import loaders
from nastransfer_nni.training.loop import train
from nastransfer_nni.training.target import normalized, open_target
from search_spaces.errors import UserError
from tests.training.conftest import network, protocol

ALONE = DistributedContext()


def folders(root, sizes, classes="ab"):
    """Class folders with an image of each size in every class, for training and for testing."""
    for part in ("train", "test"):
        for number, name in enumerate(classes):
            for size in sizes:
                path = root / part / name / f"{size}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (size, size), (90 * number, 60, 30)).save(path)
    return sources.check(str(root))


def test_a_target_of_one_class_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has images of one class \(a\), so there is nothing to learn"):
        open_target(folders(tmp_path, [8], "a"), protocol())


def test_enlarging_more_than_four_times_is_warned_about(tmp_path, caplog):
    source = folders(tmp_path, [16])
    assert open_target(source, protocol(img_size=64)).pixels == 64 and not caplog.records
    open_target(source, protocol(img_size=80))
    assert "images of at most 16 px are enlarged to 80 px; --img-size 16" in caplog.text


def test_many_sizes_need_one_and_the_message_names_a_fitting_one(tmp_path):
    with pytest.raises(UserError, match=r"many sizes, up to 20 px: choose one, such as --img-size 20"):
        open_target(folders(tmp_path, [16, 20]), protocol())


@pytest.mark.parametrize("kind", ["small", "photo"])
def test_mean_and_std_of_the_recipe_win(kind, request):
    target = request.getfixturevalue(f"{kind}_target")
    options = protocol(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3), no_aug=True)
    seen = []
    for recipe in (protocol(no_aug=True), options):
        images = normalized(target.train, recipe)
        data = loaders(
            type(target)(images, normalized(target.validation, recipe), target.pixels),
            recipe,
            seed=3,
            processes=ALONE,
        )
        seen.append((next(iter(data.train))[0], images.source))
    (one, before), (other, after) = seen
    mean, std = (
        torch.tensor([getattr(s, n) for s in (before, after)])[..., None, None] for n in ("mean", "std")
    )
    torch.testing.assert_close(other * std[1] + mean[1], one * std[0] + mean[0], rtol=1e-4, atol=1e-5)


def test_without_augmentation_an_epoch_holds_the_images_as_they_are(small_target):
    data = loaders(
        small_target, protocol(no_aug=True, cutout=4, color_jitter=(1, 1, 1)), seed=3, processes=ALONE
    )
    shift, spread = (
        torch.tensor(getattr(small_target.train.source, name))[:, None, None] for name in ("mean", "std")
    )
    for number, (images, _) in enumerate(data.train):
        rows = data.train.rows(number)
        plain = np.stack([np.asarray(small_target.train.image(row)) for row in rows]).transpose(0, 3, 1, 2)
        torch.testing.assert_close(images * spread + shift, torch.tensor(plain) / 255, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["small", "photo"])
@pytest.mark.parametrize(("hflip", "share"), [(0.0, 0), (1.0, 1)])
def test_the_rate_of_mirror_images_is_the_recipes(kind, hflip, share, request):
    target = request.getfixturevalue(f"{kind}_target")
    options = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "train_interpolation": "bilinear"}
    with_it, without = (
        loaders(target, protocol(hflip=rate, **options), seed=3, processes=ALONE).train
        for rate in (hflip, 0.0)
    )
    one, other = (next(iter(batches))[0] for batches in (with_it, without))
    if share == 0:
        assert torch.equal(one, other)
    elif kind == "small":  # drawn from the same numbers, so that only the mirror differs
        assert torch.equal(one, other.flip(3))
    else:
        assert not torch.equal(one, other)


@pytest.mark.parametrize("kind", ["small", "photo"])
def test_the_last_batch_is_kept_where_the_recipe_says_so(kind, request):
    """As 50,000 images of CIFAR make 521 steps of 96, not 520."""
    target = request.getfixturevalue(f"{kind}_target")
    count = len(target.train)
    recipe = protocol(batch_size=16, drop_last=False, epochs=1)
    steps = []
    for processes in (ALONE, DistributedContext(1, 2)):
        data = loaders(target, recipe, seed=3, processes=processes).train
        steps.append(len(data))
        assert sum(len(labels) for _, labels in data) == count // processes.world_size
    assert steps == [-(-count // 16), -(-count // 16)]
    dropped = loaders(target, protocol(batch_size=16, epochs=1), seed=3, processes=ALONE).train
    assert len(dropped) == count // 16
    whole = loaders(target, recipe, seed=3, processes=ALONE)
    seen = []
    model = network(recipe, target)
    model.register_forward_hook(lambda _, images, __: seen.append(len(images[0])) if model.training else None)
    train(model, whole, recipe)
    assert sum(seen) == count and len(seen) == steps[0]


def test_a_last_batch_of_one_image_is_dropped(small_target):
    recipe = protocol(batch_size=29, drop_last=False)
    assert len(loaders(small_target, recipe, seed=3, processes=ALONE).train) == 1
    mixed = protocol(batch_size=8, drop_last=False, mixup=0.2)
    assert len(loaders(small_target, mixed, seed=3, processes=ALONE).train) == 3


@pytest.mark.parametrize("kind", ["small", "photo"])
def test_repeated_images_come_three_times_and_differ(kind, request):
    target = request.getfixturevalue(f"{kind}_target")
    recipe = protocol(aug_repeats=3, batch_size=6)
    data = loaders(target, recipe, seed=3, processes=ALONE).train
    rows = [row for number in range(len(data)) for row in data.rows(number)]
    assert set(Counter(rows).values()) <= {3, len(rows) % 3} and len(rows) == len(data) * 6
    images = next(iter(data))[0]
    assert not torch.equal(images[0], images[1])


def test_training_on_some_images_keeps_the_classes_in_proportion():
    source = sources.check("digits")
    some, whole = (open_target(source, protocol(), train_images=count, seed=1) for count in (200, None))
    other = open_target(source, protocol(), train_images=200, seed=2)
    assert len(some.train) == len(other.train) == 200 and set(some.train.keys) < set(whole.train.keys)
    assert set(some.train.keys) != set(other.train.keys)
    expected = np.bincount(whole.train.labels) * 200 / len(whole.train)
    assert np.abs(np.bincount(some.train.labels) - expected).max() < 1
    with pytest.raises(UserError, match="--train-images 1,500: digits train has 1,437 images"):
        open_target(source, protocol(), train_images=1500)


def test_parts_to_train_and_to_evaluate_on_must_not_overlap():
    source = sources.check("digits")
    parts = {"train_split": "train[:400]", "val_split": "train[400:]+test"}
    assert len(open_target(source, protocol(), **parts).validation) == 1397
    with pytest.raises(UserError, match=r"--train-split train\[:500\] and --val-split .* share 100 images"):
        open_target(source, protocol(), **parts | {"train_split": "train[:500]"})
