"""A search that takes seconds an epoch in a task of Slurm, and no longer than others elsewhere."""

import os
import time

from strategies.builtin import RandomWsOptions
from strategies.random_ws import RandomWs

EPOCH_SECONDS = 6


class Slow(RandomWsOptions):
    """Random search with weight sharing."""

    def create(self):
        return SlowSearch(self)


class SlowSearch(RandomWs):
    def begin_epoch(self, epoch):
        if "SLURM_JOB_ID" in os.environ:
            time.sleep(EPOCH_SECONDS)
        super().begin_epoch(epoch)
