import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from nastransfer_nni.base import torch_io as store
from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.training.checkpoints import Checkpoints
from nastransfer_nni.training.loaders import Loaders, loaders
from nastransfer_nni.training.loop import ComputeOptions, TrainingDiverged, train
from nastransfer_nni.training.objective import ModelWithLoss
from nastransfer_nni.training.observer import Observer
from nastransfer_nni.training.state import TrainingState
from search_spaces.errors import UserError
from tests.training.conftest import network, protocol


class Reports(Observer):
    """Keeps the metrics that are reported, without times."""

    def __init__(self):
        self.epochs, self.steps = {}, 0

    def step_done(self, progress, steps):
        self.steps += 1

    def epoch_done(self, epoch, step, train, validation):
        timed = ("seconds", "images_per_second")
        self.epochs[epoch] = (
            step,
            *({k: v for k, v in d.items() if k not in timed} for d in (train, validation)),
        )


def train_once(options, target, folder=None, stop_at=None, reports=None, workers=0, **compute):
    """Train; stop after `stop_at` steps, as SIGTERM would."""
    model, reports = network(options, target), reports or Reports()
    result = train(
        model,
        loaders(target, options, seed=3, processes=DistributedContext(), workers=workers),
        options,
        seed=3,
        compute=ComputeOptions(**compute),
        checkpoints=None if folder is None else Checkpoints(folder),
        observer=reports,
        is_interrupted=lambda: reports.steps == stop_at,
    )
    return model, result, reports


def equal_weights(one: nn.Module, other: nn.Module):
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for (_, a), b in pairs)


RECIPES = {
    "plain": {},
    "darts-cifar": {
        "auxiliary_weight": 0.4,
        "drop_path": 0.3,
        "cutout": 4,
        "color_jitter": (0.4, 0.4, 0.4, 0.2),
    },
    "modern": {"opt": "lamb", "mixup": 0.2, "cutmix": 1.0, "smoothing": 0.1, "model_ema": True, "drop": 0.1}
    | {"sched_on_updates": True, "warmup_epochs": 1, "bce_loss": True, "model_ema_warmup": True},
    "accumulated": {"grad_accum_steps": 3, "opt": "adamw", "amp": True},
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("small", name) for name in RECIPES),
        ("photo", "modern"),
        *(pytest.param("photo", name, marks=pytest.mark.slow) for name in RECIPES if name != "modern"),
    ],
)
def test_resume_is_bitwise_exact(kind, name, tmp_path, request):
    """Interrupted four times and resumed, training ends with the weights and metrics of an unbroken run."""
    target = request.getfixturevalue(f"{kind}_target")
    options = protocol(**RECIPES[name])
    if kind == "photo" and name == "modern":
        options = protocol(**RECIPES[name], aa="rand-m6-mstd0.5-inc1", reprob=0.5)
    reference, result, reports = train_once(options, target)
    steps = 3 * (len(target.train) // 6)
    assert reports.steps == steps
    stopped = Reports()
    for stop_at in (
        1,
        steps // 3,
        steps // 2 + 1,
        steps,
    ):  # twice mid-epoch, and after the last
        with pytest.raises(KeyboardInterrupt):
            train_once(options, target, tmp_path, stop_at, stopped)
        assert stopped.steps == stop_at
    model, resumed, _ = train_once(options, target, tmp_path, reports=stopped)
    assert stopped.steps == steps
    assert equal_weights(model, reference)
    assert stopped.epochs == reports.epochs
    assert replace(resumed, seconds=0, cpu_seconds=0) == replace(result, seconds=0, cpu_seconds=0)


def test_data_workers_do_not_change_the_result(photo_target):
    options = protocol(aa="rand-m6-mstd0.5-inc1", epochs=2)
    model, _, _ = train_once(options, photo_target)
    assert equal_weights(train_once(options, photo_target, workers=2)[0], model)


@pytest.mark.slow
def test_compute_options_do_not_change_the_result(photo_target):
    losses = []
    for changes in ({}, {"channels_last": False}, {"grad_checkpointing": True}, {"torchcompile": "eager"}):
        reports = train_once(protocol(epochs=1, lr=1e-4), photo_target, **changes)[2]
        losses.append(reports.epochs[0][1]["loss"])
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-4)


class MicroBatches:
    """The batches of a loader, in double precision and split into micro-batches."""

    def __init__(self, whole, parts):
        self._whole, self._parts = whole, parts

    def __iter__(self):
        for images, labels in self._whole:
            yield from zip(images.double().chunk(self._parts), labels.chunk(self._parts), strict=True)

    def __len__(self):
        return len(self._whole) * self._parts

    def set_epoch(self, epoch, start=0):
        self._whole.set_epoch(epoch, start // self._parts)


def test_accumulating_gradients_does_not_change_a_step(small_target):
    """With BatchNorm frozen, three parts of a batch give the gradient of the whole."""
    found = []
    for parts in (1, 3):
        options = protocol(grad_accum_steps=parts, epochs=1)
        model = network(options, small_target, torch.float64)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train = lambda mode=True, module=module: module
                nn.Module.train(module, False)
        whole = loaders(small_target, protocol(epochs=1), seed=3, processes=DistributedContext()).train
        data = loaders(small_target, options, seed=3, processes=DistributedContext())
        train(model, Loaders(MicroBatches(whole, parts), data.validation), options, seed=3)
        found.append(model)
    for a, b in zip(found[0].parameters(), found[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_the_loop_is_plain_sgd_with_clipping_decay_and_a_cosine(small_target):
    """Against the obvious loop over the same batches."""
    options = protocol(auxiliary_weight=0.4, clip_grad=1.0, smoothing=0.1, weight_decay=1e-3)
    model, _, reports = train_once(options, small_target, channels_last=False)
    other = network(options, small_target)
    optimizer = torch.optim.SGD(other.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
    batches = loaders(small_target, options, seed=3, processes=DistributedContext()).train
    for epoch in range(3):
        lr = 0.05 * (1 + math.cos(math.pi * epoch / 3)) / 2
        assert reports.epochs[epoch][1]["lr"] == pytest.approx(lr)
        optimizer.param_groups[0]["lr"] = lr
        batches.set_epoch(epoch)
        other.train()
        for images, labels in batches:
            logits, auxiliary = other.forward_with_auxiliary(images)
            soft = torch.full_like(logits, 0.1 / 3).scatter_(1, labels[:, None], 0.9 + 0.1 / 3)
            loss = -(soft * logits.log_softmax(1)).sum(1).mean()
            loss = loss - 0.4 * (soft * auxiliary.log_softmax(1)).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(other.parameters(), 1.0)
            optimizer.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_it_learns_colours(small_target, photo_target):
    for target, options in ((small_target, {}), (photo_target, {"scale": (0.5, 1.0)})):
        _, result, reports = train_once(protocol(epochs=8, **options), target)
        assert result.final.top1 == 100
        assert reports.epochs[7][1]["top1"] > 75 > reports.epochs[0][1]["top1"]


def test_every_readable_image_is_evaluated_once(small_target, photo_target):
    assert train_once(protocol(epochs=1), small_target)[1].final.images == 11
    options = protocol(epochs=1)
    data = loaders(photo_target, options, seed=3, processes=DistributedContext())
    result = train(network(options, photo_target), data, options)
    assert result.final.images == 10
    assert data.unreadable == ["photo5.jpg", "photo3.jpg"]


def test_an_unknown_compiler_backend_is_refused(small_target):
    with pytest.raises(
        UserError, match=r"unknown torch\.compile backend 'inducktor' \(did you mean 'inductor'"
    ):
        train_once(protocol(), small_target, torchcompile="inducktor")


def test_a_checkpoint_of_version_0_1_is_read(small_target):
    """Keys and values as that version wrote them, halfway through the second epoch."""
    recipe = protocol()
    model = network(recipe, small_target)
    old = {
        "version": 2,
        "epoch": 1,
        "state_dict": {name: value + 1 for name, value in model.state_dict().items()},
        "optimizer": torch.optim.SGD(model.parameters(), 0.05, momentum=0.9).state_dict(),
        "progress": {"epoch": 1, "step": 2, "top1": [30.0], "seconds": 4.5},
        "sums": torch.tensor([6.0, 3.0, 12.0, 12.0], dtype=torch.float64),
        "final": {"loss": 1.5, "top1": 30.0, "top5": 100.0, "images": 11},
    }
    state = TrainingState(model, recipe, DistributedContext(), steps=5)
    state.load(old)
    assert asdict(state.progress) == {**old["progress"], "cpu_seconds": 0.0}
    assert asdict(state.final) == old["final"]
    assert asdict(state.meter.compute()) == {"loss": 0.5, "top1": 25.0, "top5": 100.0, "images": 12}
    assert state.to_dict().keys() == old.keys()
    assert all(torch.equal(value, old["state_dict"][name]) for name, value in model.state_dict().items())


def test_a_broken_image_can_stop_the_run(photo_target):
    data = loaders(photo_target, protocol(), seed=3, processes=DistributedContext(), on_bad_image="stop")
    with pytest.raises(UserError, match=r"photo5\.jpg; --on-bad-image skip"):
        list(data.train)


def test_drop_path_grows_with_the_epoch(small_target):
    options, rates = protocol(epochs=4, drop_path=0.4), []
    model = network(options, small_target)
    model.set_drop_path_rate = rates.append
    train(model, loaders(small_target, options, seed=3, processes=DistributedContext()), options)
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_loss_that_is_not_finite_names_its_images_and_keeps_the_checkpoint(photo_target, tmp_path):
    options = protocol(epochs=4)
    broken = {"at": 6, "seen": 0}

    class Poisoned:
        def __init__(self, batches):
            self._batches = batches

        def __iter__(self):
            for images, labels in self._batches:
                broken["seen"] += 1
                yield (images * float("nan") if broken["seen"] == broken["at"] + 1 else images), labels

        def __len__(self):
            return len(self._batches)

        def __getattr__(self, name):
            return getattr(self._batches, name)

    data = loaders(photo_target, options, seed=3, processes=DistributedContext())
    poisoned = replace(data, train=Poisoned(data.train))
    with pytest.raises(TrainingDiverged, match="epoch 1, step 2 of 4") as caught:
        train(
            network(options, photo_target),
            poisoned,
            options,
            compute=ComputeOptions(recovery_interval=1),
            checkpoints=Checkpoints(tmp_path),
        )
    data.train.set_epoch(1)
    assert all(f"photo{row}.jpg" in str(caught.value) for row in data.train.rows(2)[:3])
    state = store.load(tmp_path / "last.pt")
    assert (state["progress"]["epoch"], state["progress"]["step"]) == (1, 2)
    assert all(value.isfinite().all() for value in state["state_dict"].values())


def test_outputs_that_are_not_numbers_end_the_training(small_target, tmp_path):
    """One step with a finite loss can spoil the weights, which only the evaluation shows."""
    options = protocol(epochs=1, batch_size=30, lr=1e30, clip_grad=0)
    with pytest.raises(TrainingDiverged, match="not numbers after epoch 0"):
        train_once(options, small_target, tmp_path)
    assert not (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("bce", [False, True])
def test_the_loss_is_the_one_of_the_recipe(mixed, bce, small_target):
    options = protocol(smoothing=0.2, bce_loss=bce, mixup=float(mixed))
    module = ModelWithLoss(network(options, small_target).eval(), options)
    images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    soft = torch.nn.functional.one_hot(labels, 3).float()
    target = soft if mixed else labels
    loss, logits = module(images, target)
    smoothed = soft if mixed else soft * 0.8 + 0.2 / 3
    if bce:
        expected = nn.functional.binary_cross_entropy_with_logits(logits, smoothed)
    else:
        expected = -(smoothed * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)


def test_the_averaged_weights_are_what_is_evaluated(small_target, tmp_path):
    options = protocol(model_ema=True, model_ema_decay=0.9)
    _, result, _ = train_once(options, small_target, tmp_path)
    state = store.load(tmp_path / "last.pt")
    model = network(options, small_target).eval()
    batches = loaders(small_target, options, seed=3, processes=DistributedContext()).validation
    losses = []
    for weights in ("state_dict", "state_dict_ema"):
        model.load_state_dict(state[weights])
        with torch.no_grad():
            parts = [nn.functional.cross_entropy(model(x), y, reduction="sum") for x, y in batches]
        losses.append(float(sum(parts)) / 11)
    assert result.final.loss == pytest.approx(losses[1], rel=1e-4) != pytest.approx(losses[0], rel=1e-4)


def test_the_best_epochs_are_kept(tmp_path):
    scores = [10.0, 30.0, 20.0, 30.0, 5.0, 40.0]
    kept = Checkpoints(tmp_path, history=3)
    for epoch in range(len(scores)):
        kept.save({"epoch": epoch})
        for _ in range(2):  # a killed run says so again
            kept.keep(scores[: epoch + 1])
    assert store.load(tmp_path / "best.pt") == {"epoch": 5}
    assert store.load(tmp_path / "last.pt") == {"epoch": 5}
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("best.pt", "epoch-0001.pt", "epoch-0003.pt", "epoch-0005.pt", "last.pt")
    ]


def test_timm_reads_our_checkpoints(small_target, tmp_path):
    from timm.models import load_checkpoint

    options = protocol(auxiliary_weight=0.4, model_ema=True, model_ema_decay=0.5)
    model, _, _ = train_once(options, small_target, tmp_path)
    other = network(protocol(), small_target)
    load_checkpoint(other, str(tmp_path / "last.pt"), use_ema=False)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items())
    load_checkpoint(other, str(tmp_path / "last.pt"))
    state = store.load(tmp_path / "last.pt")["state_dict_ema"]
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())


def test_batches_that_cannot_be_filled_or_shared_are_refused(small_target):
    with pytest.raises(UserError, match="more than the 30 images"):
        loaders(small_target, protocol(batch_size=32), seed=0, processes=DistributedContext())
    with pytest.raises(UserError, match="shared evenly by 4 processes"):
        loaders(small_target, protocol(batch_size=6), seed=0, processes=DistributedContext(world_size=4))
    with pytest.raises(UserError, match="even batch in every process, not 3"):
        loaders(
            small_target,
            protocol(batch_size=6, mixup=0.2),
            seed=0,
            processes=DistributedContext(world_size=2),
        )


def test_several_processes_see_every_image_once(small_target, photo_target):
    for target in (small_target, photo_target):
        options = protocol(batch_size=6)
        alone = loaders(target, options, seed=3, processes=DistributedContext())
        shared = [
            loaders(target, options, seed=3, processes=DistributedContext(rank, 3)) for rank in range(3)
        ]
        for number in range(len(alone.train)):
            rows = [row for one in shared for row in one.train.rows(number)]
            assert sorted(rows) == sorted(alone.train.rows(number))
        counts = [sum(len(labels) for _, labels in one.validation) for one in shared]
        assert sum(counts) == sum(len(labels) for _, labels in alone.validation)


@pytest.mark.parametrize("kind", ["small", "photo"])
def test_an_image_is_augmented_alike_on_any_number_of_processes(kind, request):
    target = request.getfixturevalue(f"{kind}_target")
    whole = target.train.select([row for row in range(len(target.train)) if row != 5])  # that one is broken
    target = replace(target, train=whole)
    options = protocol(batch_size=6, cutout=4, color_jitter=(0.4, 0.4, 0.4, 0.2))
    alone = next(iter(loaders(target, options, seed=3, processes=DistributedContext()).train))[0]
    for rank in range(3):
        part = next(iter(loaders(target, options, seed=3, processes=DistributedContext(rank, 3)).train))[0]
        assert torch.equal(part, alone[rank::3])


def test_epochs_differ_and_repeat(photo_target):
    data = loaders(photo_target, protocol(), seed=3, processes=DistributedContext()).train
    first = [images for images, _ in data]
    data.set_epoch(1)
    assert not torch.equal(next(iter(data))[0], first[0])
    data.set_epoch(0, 2)
    assert torch.equal(next(iter(data))[0], first[2])
    assert len({row for number in range(len(data)) for row in data.rows(number)}) == 24
    assert np.isfinite(first[0].numpy()).all()
