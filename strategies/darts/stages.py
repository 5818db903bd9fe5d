"""Differentiable search in stages: the supernet, the candidates and the alphas of each."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces.cells.widening import same_name, widen
from search_spaces.model_space import SearchTimeCell
from search_spaces.nni_api import RawFormatModelSpace
from strategies.darts.options import DartsOptions
from strategies.darts.sizes import CANDIDATES
from strategies.mixture import MixtureStrategy

DROPOUT_DECAY = 0.2
"""Rate of the exponential by which the dropout of skips falls, epoch by epoch, once the alphas learn."""

PROJECTION_LR = 0.1
"""Learning rate of the weights throughout a projection, as a fraction of that at the start of the search: the
authors' code of DARTS-PT makes a cosine for it, but takes no step of that (sota/cnn/projection.py)."""


class StagedStrategy(MixtureStrategy[DartsOptions]):
    """Base of `Darts`: what changes from stage to stage, if there are several.

    A stage keeps the candidates of the largest alphas. With `restart`, P-DARTS (Chen et al., ICCV 2019), it
    has a new supernet, alphas and learning rate; without, DrNAS (Chen et al., ICLR 2021), it keeps weights
    and alphas, with more channels copied from those there are, and a new optimizer with the old momentum,
    whose learning rate starts again and falls in proportion to the cosine of the whole search.

    Attributes:
        stage: number of the stage, from 0.
        alphas: architecture parameters, [edges, candidates] per kind of cell ([14, 8] for DARTS); with
            weights of edges also `normal/edges` and `reduce/edges`, [edges] each.
        kept: which candidates there are, bool [edges, candidates] per kind of cell; empty: all.
    """

    stage: int = 0
    alphas: dict[str, nn.Parameter]
    kept: dict[str, Tensor]
    _layers: int | None = None
    """Cells of the search, where stages have others; None: the supernet has as many."""

    def search_cell(self, cell: Any) -> SearchTimeCell:
        """The search-time cell of the options, which is the plain one where the space has no fast one."""
        is_plain = not self.options.has_fast_cell(self.space)
        parts = self.options.in_stage("partial_channels", self.stage)
        made: Any = self.space.mixed_cell(cell, is_plain, parts)
        if not is_plain:
            made.recompute = self.options.recompute
        return cast(SearchTimeCell, made)

    def setup(self) -> None:
        """Create the supernet of the first stage, its alphas, and their Adam."""
        options, device = self.options, self.evaluator.device
        self.stage, self.max_skips = 0, options.max_skips
        self._lay_out(self.supernet)
        if max(map(abs, options.add_layers)):
            self._layers = self.supernet.options["layers"]
            self._renew_supernet()
        self._renew_alphas()
        self.kept = {}
        if not (options.none and self.space.is_complete):
            allowed = np.array([options.none or name != "none" for name in self.space.candidates])
            self.kept = {
                kind: torch.from_numpy(offered & allowed).to(device)
                for kind, offered in self.space.offered.items()
            }

    def _lay_out(self, supernet: Any) -> None:
        """Give the stem the layout of maps, which the fast cells follow on a GPU and share on a CPU."""
        if self.options.has_fast_cell(self.space):
            compute, device = self.evaluator.compute, self.evaluator.device
            is_last = not compute.amp if device.type == "cpu" else compute.channels_last
            supernet.stem.to(memory_format=torch.channels_last if is_last else torch.contiguous_format)

    @property
    def search_epochs(self) -> int:
        """Epochs of the search, without those of a projection."""
        return self.epochs - self.options.extra_epochs

    def planned_images(self, epochs: int) -> int:
        """Images that this process backpropagates in a search of so many epochs and a projection."""
        self.epochs = self.options.total_epochs(epochs)
        return super().planned_images(self.epochs)

    def cosine_epochs(self) -> int:
        """Epochs in which the learning rate falls first: of the first stage, or of the search."""
        return self._stage_end(0) if self.options.restart else self.search_epochs

    def renew_optimizer(
        self, epochs: int, lr: float | None = None, min_lr: float | None = None, nesterov: bool = False
    ) -> None:
        """Create the optimizer of the shared weights, with the momentum of the options, and its cosine."""
        super().renew_optimizer(epochs, lr, min_lr, nesterov or self.options.nesterov)

    def _stage_start(self, stage: int) -> int:
        return self.options.stage_starts(self.search_epochs)[stage]

    def _stage_end(self, stage: int) -> int:
        return [*self.options.stage_starts(self.search_epochs)[1:], self.search_epochs][stage]

    def begin_epoch(self, epoch: int) -> None:
        """Enter the stage, or the projection, that starts with `epoch`."""
        options = self.options
        if epoch == 0:
            size = self.supernet.options
            options.check_search(self.search_epochs, size["width"], self._layers or size["layers"])
        elif options.stages > 1 and epoch in options.stage_starts(self.search_epochs):
            self._enter_stage(self.stage + 1)
        elif options.extra_epochs and epoch == self.search_epochs:
            lr = self.evaluator.schedule.lr * PROJECTION_LR
            self.renew_optimizer(options.extra_epochs, lr, min_lr=lr)

    def prepare_to_load(self, state: dict[str, Any]) -> None:
        """Give the supernet the form of the stage that a checkpoint is of."""
        stage = state.get("stage", 0)
        while self.stage < stage:
            self.stage += 1
            if self.options.restart or self._widens():
                self._renew_supernet()
        self.renew_optimizer(self.cosine_epochs())

    def _enter_stage(self, stage: int) -> None:
        options = self.options
        self.stage = stage
        self._prune(options.in_stage("operations", stage))
        if options.restart:
            self._renew_supernet()
            with self._own_draws(2):
                self._renew_alphas()
            self.renew_optimizer(self._stage_end(stage) - self._stage_start(stage))
            return
        before, optimizer, scheduler = self.supernet, self.optimizer, self.scheduler
        momentum = {
            same_name(name): optimizer.state[weight].get("momentum_buffer")
            for name, weight in before.named_parameters()
            if weight in optimizer.state
        }
        if self._widens():
            self._renew_supernet()
            generator = torch.Generator().manual_seed(self._draw_seed(3))
            grown = widen(before, self.supernet, generator)
            growths = {same_name(name): growth for name, growth in grown.items()}
            momentum = {
                name: buffer if buffer is None else growths[name].of(buffer)
                for name, buffer in momentum.items()
            }
        self.renew_optimizer(self.search_epochs)
        for name, weight in self.supernet.named_parameters():
            if (buffer := momentum.get(same_name(name))) is not None:
                self.optimizer.state[weight]["momentum_buffer"] = buffer
        self.scheduler.load_state_dict(scheduler.state_dict())

    def _widens(self) -> bool:
        values = self.options.partial_channels
        return len(values) > 1 and values[self.stage] != values[self.stage - 1]

    def _prune(self, count: int) -> None:
        """Keep the candidates of the largest alphas on every edge; the alphas of the others become 0."""
        if count == CANDIDATES:
            return
        with torch.no_grad():
            for kind in self.space.kinds:
                table, kept = self.alphas[kind], self.kept.get(kind)
                among = table if kept is None else table.masked_fill(~kept, -torch.inf)
                best = among.topk(count, dim=-1).indices
                self.kept[kind] = torch.zeros_like(table, dtype=torch.bool).scatter(-1, best, True)
                table.mul_(self.kept[kind])

    def _renew_supernet(self) -> None:
        """Create the supernet of the stage, with new weights."""
        size = dict(self.supernet.options)
        if self._layers is not None:
            size["layers"] = self._layers + self.options.in_stage("add_layers", self.stage)
        with self._own_draws(1):
            space = self.mutate_model(self.space.model_space(**size)).to(self.evaluator.device)
        self._lay_out(space)
        evaluator = cast(Any, self)._mutated_model_space.evaluator
        self._mutated_model_space = RawFormatModelSpace(space, evaluator)

    def _renew_alphas(self) -> None:
        options, device = self.options, self.evaluator.device
        shape = (self.space.edges, len(self.space.candidates))
        self.alphas = {
            kind: nn.Parameter(options.alpha_mean + options.alpha_scale * torch.randn(shape).to(device))
            for kind in self.space.kinds
        }
        if options.has_edge_weights:
            self.alphas |= {
                f"{kind}/edges": nn.Parameter(options.alpha_scale * torch.randn(shape[:1]).to(device))
                for kind in self.space.kinds
            }
        self.alpha_optimizer = torch.optim.Adam(
            self.alphas.values(),
            options.alpha_lr,
            betas=(options.alpha_beta1, 0.999),
            weight_decay=options.alpha_weight_decay,
        )

    def _draw_seed(self, purpose: int) -> int:
        return int(self.rng(self.stage, purpose).integers(2**62))

    @contextlib.contextmanager
    def _own_draws(self, purpose: int) -> Iterator[None]:
        """Draw from a stream of the stage's own, the same in every process."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._draw_seed(purpose))
            yield

    def is_frozen(self, epoch: int) -> bool:
        """Whether the alphas rest in `epoch`."""
        starts = self.options.stage_starts(self.search_epochs)
        start = max(start for start in starts if start <= epoch)
        return epoch < self.search_epochs and epoch - start < self.options.frozen_epochs

    def set_dropout(self, epoch: int) -> None:
        """Set the dropout of skips and of edges for an epoch, and the generator of their draws."""
        rate, drop_path = self._skip_dropout(epoch), self._drop_path(epoch)
        if not (max(self.options.skip_dropout) or self.options.drop_path):
            return
        rank = self.evaluator.processes.rank
        seed = int(self.rng(epoch, 4, rank).integers(2**62))
        generator = torch.Generator(self.evaluator.device).manual_seed(seed)
        for cell in cast(Iterable[SearchTimeCell], self.supernet.cells):
            cell.skip_dropout, cell.drop_path, cell.generator = rate, drop_path, generator

    def _drop_path(self, epoch: int) -> float:
        """The dropout of edges: it grows linearly from 0 to that of the options in the last epoch."""
        return self.options.drop_path * min(1.0, epoch / max(1, self.search_epochs - 1))

    def _skip_dropout(self, epoch: int) -> float:
        """The dropout of skips: it falls linearly while the alphas rest, then exponentially."""
        rate: float = self.options.in_stage("skip_dropout", self.stage)
        if not rate:
            return 0.0
        start, end = self._stage_start(self.stage), self._stage_end(self.stage)
        done, frozen = epoch - start, self.options.frozen_epochs
        if done < frozen:
            rate *= (end - epoch - 1) / (end - start)
        else:
            rate *= math.exp(-DROPOUT_DECAY * (done - frozen))
        return rate
