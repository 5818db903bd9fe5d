"""One process of a run on several; torchrun starts it. Writes what the run came to, in double precision."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from nastransfer_nni.base.distributed import distributed_context
from nastransfer_nni.training.checkpoints import Checkpoints
from nastransfer_nni.training.loaders import loaders
from nastransfer_nni.training.loop import train
from nastransfer_nni.training.observer import Observer
from nastransfer_nni.training.target import Target
from strategies import distributed
from tests.training.conftest import image_set, network, protocol


class Losses(Observer):
    """The loss of every epoch, here of one step each."""

    def __init__(self):
        self.train, self.validation = [], []

    def epoch_done(self, epoch, step, train, validation):
        self.train.append(train["loss"])
        self.validation.append(validation)


def frozen(model):
    """BatchNorm by its running figures, which no process's share of a batch changes."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train = lambda mode=True, module=module: nn.Module.train(module, False)
    return model


if __name__ == "__main__":
    distributed.AGREEMENT_SECONDS = 0  # the processes ask each other after every step
    out, epochs, stop_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    options = protocol(epochs=epochs, batch_size=24, lr=0.02, auxiliary_weight=0.4, cutout=2, smoothing=0.1)
    target = Target(image_set(30, [(8, 8)], kind="PNG"), image_set(11, [(8, 8)], "test", kind="PNG"), 8)
    with distributed_context(torch.device("cpu")) as processes:
        observer = Losses()
        try:
            result = train(
                frozen(network(options, target, torch.float64)),
                loaders(target, options, seed=3, processes=processes),
                options,
                seed=3,
                processes=processes,
                checkpoints=Checkpoints(out),
                observer=observer,
                is_interrupted=lambda: len(observer.train) == stop_at - 1 and processes.rank == 1,
            )
            if processes.rank == 0:
                found = {"final": asdict(result.final), "train": observer.train}
                (out / "found.json").write_text(json.dumps(found))
        except KeyboardInterrupt:
            (out / f"interrupted{processes.rank}").touch()
