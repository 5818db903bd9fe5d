"""One process of a search on several, in double precision; torchrun starts it. Writes its result.

A single process splits each batch as two processes would, so that BatchNorm has the same statistics.
"""

import sys
from pathlib import Path

import torch

import strategies
from nastransfer_nni.base.distributed import distributed_context
from search_spaces import DartsSpace
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.interfaces import SearchContext
from strategies.supernet import Schedule, SupernetEvaluator


class Share:
    """This process's share of batches of 8 images, every second image where there are two processes."""

    def __init__(self, images, labels, processes):
        self._batches = [
            (batch[processes.rank :: processes.world_size], of_them[processes.rank :: processes.world_size])
            for batch, of_them in zip(images.split(8), labels.split(8), strict=True)
        ]
        self.batch_size, self.samples = 8 // processes.world_size, len(labels) // processes.world_size

    def set_epoch(self, epoch): ...

    def __len__(self):
        return len(self._batches)

    def __iter__(self):
        return iter(self._batches)


class Silent:
    def expect(self, total): ...
    def log(self, split, step, epoch, **values): ...
    def record(self, epoch, genotype, mixture, top1): ...
    def advance(self, epoch, done, total): ...


def in_two_shares(space):
    """A forward pass of two shares; running statistics become the mean of what each share makes of them."""
    forward = space.forward

    def both(images):
        running = [buffer.data for buffer in space.buffers() if buffer.is_floating_point()]
        before = [buffer.clone() for buffer in running]
        logits = torch.empty(len(images), 10)
        logits[0::2] = forward(images[0::2])
        first = [buffer.clone() for buffer in running]
        torch._foreach_copy_(running, before)
        logits[1::2] = forward(images[1::2])
        torch._foreach_lerp_(running, first, 0.5)
        return logits

    return both


if __name__ == "__main__":
    out, name = Path(sys.argv[1]), sys.argv[2]
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    labels = torch.arange(32) % 10
    images = torch.randn(32, 3, 8, 8) + labels[:, None, None, None] / 5
    space = DartsSpace(4, 3, 10)
    strategy = strategies.parse(name).create()
    with distributed_context(torch.device("cpu")) as processes:
        weights, alphas = (
            Share(images[half], labels[half], processes) for half in (slice(16), slice(16, 32))
        )
        evaluator = SupernetEvaluator(
            weights,
            alphas,
            alphas,
            Schedule(epochs=2),
            Silent(),
            context=SearchContext(seed=3),
            processes=processes,
        )
        if processes.world_size == 1:
            space.forward = in_two_shares(space)
        strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
        found = {
            "genotype": str(strategy.result.genotype),
            "score": strategy.result.score,
            "samples": strategy.result.training_images,
            "weights": dict(strategy.supernet.named_parameters()),
            "own": strategy.search_state_dict(),
        }
        torch.save(found, out / f"{processes.world_size}-{processes.rank}.pt")
