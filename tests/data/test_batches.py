import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision import transforms
from torchvision.transforms import _functional_tensor
from torchvision.transforms import functional as reference

from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.data.sources import SOURCES, check

PLAIN = Augmentation(mean=(0, 0, 0), std=(1 / 255,) * 3)  # what comes out are the pixels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(count=64, size=12):
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=generator(1))


def every_crop(image, padding, size):
    padded = torch.nn.functional.pad(image, (padding,) * 4)
    places = range(2 * padding + 1)
    return {(y, x): padded[:, y : y + size, x : x + size] for y in places for x in places}


def test_every_crop_and_flip_occurs_and_nothing_else():
    image = random_images(1)
    draws = Augmentation(padding=2, flip=True, mean=PLAIN.mean, std=PLAIN.std)(
        image.repeat(2000, 1, 1, 1), generator()
    )
    names = {crop.numpy().tobytes(): name for name, crop in every_crop(image[0], 2, 12).items()}
    flipped = {crop.flip(2).numpy().tobytes(): name for name, crop in every_crop(image[0], 2, 12).items()}
    seen = [(draw.round().byte().numpy().tobytes()) for draw in draws]
    straight = [names[content] for content in seen if content in names]
    mirrored = [flipped[content] for content in seen if content in flipped]
    assert len(straight) + len(mirrored) == 2000
    assert abs(len(mirrored) - 1000) < 120
    counts = np.unique(straight + mirrored, axis=0, return_counts=True)[1]
    assert len(counts) == 25 and stats.chisquare(counts).pvalue > 1e-4


def test_normalisation_is_torchvisions():
    images = random_images()
    source = SOURCES["cifar10"]
    expected = reference.normalize(images.float() / 255, source.mean, source.std)
    torch.testing.assert_close(Augmentation.none(source)(images, generator()), expected, atol=1e-5, rtol=1e-5)


def test_colour_jitter_is_torchvisions_one_image_at_a_time():
    images = random_images(60)
    images[0] = images[0, :1]  # grey
    strength = (0.4, 0.5, 0.6, 0.2)
    ours = Augmentation(jitter=strength, mean=(0, 0, 0), std=(1, 1, 1))(images, generator())
    draws, orders = generator(), list(itertools.permutations(range(4)))
    chosen = torch.randint(len(orders), (60,), generator=draws).tolist()
    uniform = torch.stack([torch.rand(60, generator=draws) for _ in strength], dim=1).tolist()
    steps = (
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        _functional_tensor.adjust_hue,
    )
    assert len(set(chosen)) > 15, "many orders are met"
    for number, image in enumerate(images.float() / 255):
        for step in orders[chosen[number]]:
            centre = 0.0 if steps[step] is _functional_tensor.adjust_hue else 1.0
            factor = centre + (2 * uniform[number][step] - 1) * strength[step]
            image = steps[step](image, factor)
        torch.testing.assert_close(ours[number], image, atol=2e-5, rtol=0)


def test_cutout_is_a_clipped_square_around_any_pixel():
    draws = Augmentation(cutout=4, mean=(-1, -1, -1), std=(1 / 255,) * 3)(
        torch.zeros(3000, 3, 8, 8, dtype=torch.uint8), generator()
    )
    shapes = {}
    for y in range(8):
        for x in range(8):
            hole = torch.ones(8, 8, dtype=torch.bool)
            hole[max(y - 2, 0) : y + 2, max(x - 2, 0) : x + 2] = False
            shapes[hole.numpy().tobytes()] = (y, x)
    found = [shapes[(draw[0] != 0).numpy().tobytes()] for draw in draws]
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 64 and stats.chisquare(counts).pvalue > 1e-4


def test_equal_in_distribution_to_torchvision_on_real_images(real_data):
    images = load(check("cifar10"), "test").select(range(0, 10000, 5))
    content = InMemoryImages.of(images)
    source, jitter = images.source, (0.4, 0.4, 0.4, 0.2)
    ours = Augmentation(padding=4, flip=True, jitter=jitter, mean=source.mean, std=source.std)(
        content.images, generator()
    )
    torch.manual_seed(0)
    one_by_one = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(*jitter),
            transforms.ToTensor(),
            transforms.Normalize(source.mean, source.std),
        ]
    )
    theirs = torch.stack([one_by_one(images.image(row)) for row in range(len(images))])
    for name, measure in {
        "mean of an image": lambda batch: batch.mean((1, 2, 3)),
        "spread of an image": lambda batch: batch.std((1, 2, 3)),
        "red against blue": lambda batch: (batch[:, 0] - batch[:, 2]).mean((1, 2)),
        "left against right": lambda batch: batch[..., :16].mean((1, 2, 3)) - batch[..., 16:].mean((1, 2, 3)),
        "a corner": lambda batch: batch[:, 1, 0, 0],
        "the middle": lambda batch: batch[:, 0, 16, 16],
    }.items():
        assert stats.ks_2samp(measure(ours).numpy(), measure(theirs).numpy()).pvalue > 1e-3, name


def test_digits_are_not_mirrored_but_clothes_are():
    assert not Augmentation.standard(SOURCES["digits"]).flip
    assert Augmentation.standard(SOURCES["fashion_mnist"]).flip
    assert Augmentation.standard(SOURCES["cifar10"], cutout=16).padding == 4


@pytest.fixture
def numbered():
    """50 images whose pixels and label say their row."""
    rows = torch.arange(50)
    return InMemoryImages(rows.byte().view(-1, 1, 1, 1).expand(50, 3, 4, 4).contiguous(), rows, ("x",) * 50)


def epoch_of(loader, epoch, start=0):
    loader.set_epoch(epoch, start)
    return [(images.clone(), labels.tolist()) for images, labels in loader]


def test_an_epoch_depends_on_seed_and_number_alone(numbered):
    shaken = Augmentation(padding=1, flip=True, cutout=2, mean=PLAIN.mean, std=PLAIN.std)
    loader = BatchLoader(numbered, 8, shaken, seed=3)
    first, second = epoch_of(loader, 0), epoch_of(loader, 1)
    again = epoch_of(BatchLoader(numbered, 8, shaken, seed=3), 1)
    assert [labels for _, labels in second] == [labels for _, labels in again]
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(second, again, strict=True))
    assert [labels for _, labels in first] != [labels for _, labels in second]
    assert epoch_of(BatchLoader(numbered, 8, shaken, seed=4), 1)[0][1] != second[0][1]
    later = epoch_of(loader, 1, start=4)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(second[4:], later, strict=True))


def test_images_and_labels_stay_together_and_come_once(numbered):
    loader = BatchLoader(numbered, 8, PLAIN)
    batches = epoch_of(loader, 0)
    assert all(images[:, 0, 0, 0].round().long().tolist() == labels for images, labels in batches)
    assert sorted(label for _, labels in batches for label in labels) == list(range(50))
    assert (len(loader), loader.samples) == (7, 50)
    assert epoch_of(BatchLoader(numbered, 8, PLAIN, shuffle=False), 5)[0][1] == list(range(8))


def test_an_incomplete_batch_can_be_left_out(numbered):
    loader = BatchLoader(numbered, 8, PLAIN, drop_last=True)
    assert (len(loader), loader.samples, len(epoch_of(loader, 0))) == (6, 48, 6)


@pytest.mark.parametrize(("shuffle", "seen"), [(True, 48), (False, 50)])
def test_ranks_share_an_epoch(numbered, shuffle, seen):
    shares = [BatchLoader(numbered, 8, PLAIN, shuffle=shuffle, rank=rank, world_size=3) for rank in range(3)]
    labels = [[label for _, batch in epoch_of(share, 2) for label in batch] for share in shares]
    assert len(set().union(*map(set, labels))) == sum(map(len, labels)) == seen
    assert not shuffle or len(set(map(len, labels))) == 1
