"""DARTS: differentiable architecture search (Liu, Simonyan, Yang, ICLR 2019)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search_spaces import Genotype
from search_spaces.cells.fast import FastCell
from search_spaces.cells.mixed import MixedCell
from search_spaces.cells.partial import PartialCell
from search_spaces.genotype import CANDIDATES, CONCAT, EDGES, KINDS
from search_spaces.nni_api import no_default_hook
from search_spaces.space import SpaceCell
from strategies.distributed import all_reduce_mean
from strategies.mixture import Mixture, MixtureStrategy
from strategies.options import DartsOptions
from strategies.supernet import Standing


class Darts(MixtureStrategy[DartsOptions]):
    """DARTS of first or second order.

    Every step updates the alphas by the gradient of the validation loss, at the current weights or, of second
    order, at the weights one step of SGD ahead, which depend on the alphas; then the weights by the gradient
    of the training loss. The alphas start at 1e-3 times a standard normal draw.

    Three options fight the collapse to skip connections: alphas that rest in the first epochs; a stop once
    the normal cell has come to a number of skips (DARTS+, Liang et al., 2019; a fresh table may have them by
    chance, so it takes an epoch with fewer first); and partial channels with weights of edges (PC-DARTS,
    Xu et al., ICLR 2020).
    """

    alphas: dict[str, nn.Parameter]

    def default_mutation_hooks(self) -> list[Any]:
        """The search-time cell asked for, and NNI's guard against cells that no hook has replaced."""
        return [self._search_cell, no_default_hook]

    def _search_cell(
        self, module: nn.Module, name: str, memo: dict[str, Any], options: dict[str, Any]
    ) -> Any:
        if self.options.partial_channels > 1:
            if not isinstance(module, SpaceCell):
                return None
            return PartialCell(module.geometry, self.options.partial_channels)
        if self.options.cell == "plain":
            return MixedCell.mutate(module, name, memo, options)
        cell = FastCell.mutate(module, name, memo, options)
        if cell is not None:
            cell.recompute = self.options.recompute
        return cell

    def start(self) -> None:
        """The alphas, one table for each kind of cell, the weights of edges if any, and their Adam."""
        self._had_fewer_skips = False
        if self.options.cell == "fast":
            self.supernet.stem.to(memory_format=torch.channels_last)
        device = self.evaluator.device
        self.alphas = {
            kind: nn.Parameter(1e-3 * torch.randn(EDGES, len(CANDIDATES)).to(device)) for kind in KINDS
        }
        if self.options.partial_channels > 1:
            self.alphas |= {
                f"{kind}/edges": nn.Parameter(1e-3 * torch.randn(EDGES).to(device)) for kind in KINDS
            }
        self.alpha_optimizer = torch.optim.Adam(
            self.alphas.values(),
            self.options.alpha_lr,
            betas=(0.5, 0.999),
            weight_decay=self.options.alpha_weight_decay,
        )

    def mixture(self) -> Mixture:
        """The choice on every edge; with edge weights, times their softmax over the edges into a node."""
        mixture = {kind: self.choice(self.alphas[kind]) for kind in KINDS}
        if self.options.partial_channels > 1:
            for kind in KINDS:
                nodes = torch.split(self.alphas[f"{kind}/edges"], list(CONCAT))
                mixture[kind] = mixture[kind] * torch.cat([node.softmax(dim=0) for node in nodes])[:, None]
        return mixture

    def choice(self, table: Tensor) -> Tensor:
        """Weights [14, 8] of the candidates from a table of alphas: their softmax."""
        return table.softmax(dim=-1)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Alphas and weights in turn, batch by batch."""
        average = self.average()
        for training, validation in self.paired_batches(epoch):
            if epoch >= self.options.frozen_epochs:
                self.alpha_step(training, validation)
            with torch.no_grad():
                self.mix(self.mixture())
            loss, logits = self.weight_step(*training)
            average.add(loss, logits, training[1])
        return average.figures()

    def alpha_step(self, training: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]) -> None:
        """One step of Adam on the alphas, by the loss on a batch of the alphas half."""
        mixture = self.mixture()
        leaves = {kind: weights.detach().requires_grad_() for kind, weights in mixture.items()}
        self.mix(leaves)
        if self.options.order == 1:
            gradients = self._by_mixture(validation, leaves)
        else:
            gradients = self._by_mixture_ahead(training, validation, leaves)
        tables = list(self.alphas.values())
        by_alphas = torch.autograd.grad(list(mixture.values()), tables, gradients)
        for table, gradient in zip(tables, by_alphas, strict=True):
            table.grad = gradient
        self.alpha_optimizer.step()

    def samples_of(self, epoch: int) -> int:
        """Of second order, three passes more over the weights half; while alphas rest, that half only."""
        if epoch < self.options.frozen_epochs:
            return self.evaluator.weights.samples
        ahead = 3 * self.evaluator.weights.samples if self.options.order == 2 else 0
        return super().samples_of(epoch) + ahead

    def stand(self, epoch: int) -> Standing:
        """As the mixture does; notes whether the normal cell has had fewer skips than are too many."""
        standing = super().stand(epoch)
        self._had_fewer_skips |= _skips(standing.genotype) < self.options.stop_skips
        return standing

    def is_over(self) -> bool:
        """Whether the normal cell has come to too many skips."""
        stop, genotype = self.options.stop_skips, self.result.genotype
        return bool(stop and genotype and self._had_fewer_skips and _skips(genotype) >= stop)

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        self.count(labels)
        return cross_entropy(self.supernet(images), labels)

    def _gradients(self, loss: Tensor, tensors: list[Tensor]) -> list[Tensor]:
        """Gradients of the whole batch's loss."""
        mine = torch.autograd.grad(loss, tensors, materialize_grads=True)
        return cast(list[Tensor], all_reduce_mean(mine, self.evaluator.processes))

    def _by_mixture(self, batch: tuple[Tensor, Tensor], mixture: Mixture) -> list[Tensor]:
        """Gradient of a batch's loss by the weights of the candidates; none is made for the supernet's."""
        with _held(self.supernet.parameters()):
            return self._gradients(self._loss(batch), list(mixture.values()))

    @torch.no_grad()
    def _by_mixture_ahead(
        self, training: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], mixture: Mixture
    ) -> list[Tensor]:
        """Gradient of L_val(w'(a), a) by the mixture a, where w' is w after one step of SGD on L_train(w, a).

        With the learning rate r, momentum and weight decay included in the step,

            dL_val/da - r * d2L_train/(da dw) * v,    v = dL_val/dw at w',

        and the product by central differences of dL_train/da at w +- v * 0.01 / norm(v). Weights and running
        statistics are left as they were.
        """
        supernet, group = self.supernet, self.optimizer.param_groups[0]
        weights, tables = list(supernet.parameters()), list(mixture.values())
        kept = [tensor.clone() for tensor in (*weights, *supernet.buffers())]
        before = kept[: len(weights)]
        try:
            with torch.enable_grad(), _held(tables):
                step = self._gradients(self._loss(training), weights)
            for weight, slope in zip(weights, step, strict=True):
                slope.add_(weight, alpha=group["weight_decay"])
                momentum = self.optimizer.state.get(weight, {}).get("momentum_buffer")
                if momentum is not None:
                    slope.add_(momentum, alpha=group["momentum"])
            torch._foreach_add_(weights, step, alpha=-group["lr"])
            with torch.enable_grad():
                gradients = self._gradients(self._loss(validation), [*tables, *weights])
            by_mixture, direction = gradients[: len(tables)], gradients[len(tables) :]
            norm = nn.utils.get_total_norm(direction)
            distance = 0.01 / norm.clamp_min(torch.finfo(norm.dtype).tiny)
            sides = []
            for sign in (1, -1):
                for weight, start, along in zip(weights, before, direction, strict=True):
                    weight.copy_(start + sign * distance * along)
                with torch.enable_grad():
                    sides.append(self._by_mixture(training, mixture))
        finally:
            torch._foreach_copy_([*weights, *supernet.buffers()], kept)
        factor = group["lr"] / (2 * distance)
        return [
            direct - factor * (ahead - behind)
            for direct, ahead, behind in zip(by_mixture, *sides, strict=True)
        ]

    def own_state(self) -> dict[str, Any]:
        """Alphas and their Adam."""
        return {
            "alphas": {kind: table.detach() for kind, table in self.alphas.items()},
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "had_fewer_skips": self._had_fewer_skips,
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Alphas and their Adam."""
        for kind, table in self.alphas.items():
            table.data.copy_(state["alphas"][kind])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
        self._had_fewer_skips = state["had_fewer_skips"]


def _skips(genotype: Genotype) -> int:
    return sum(name == "skip_connect" for name, _ in genotype.normal)


@contextlib.contextmanager
def _held(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Make no gradients for these leaves, not even on the way to others."""
    held = list(tensors)
    for tensor in held:
        tensor.requires_grad_(False)
    try:
        yield
    finally:
        for tensor in held:
            tensor.requires_grad_(True)
