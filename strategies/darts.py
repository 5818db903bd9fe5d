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
from strategies.builtin import DartsOptions
from strategies.distributed import all_reduce_mean
from strategies.mixture import Batch, Mixture, MixtureStrategy
from strategies.supernet import Snapshot


class Darts(MixtureStrategy[DartsOptions]):
    """DARTS of first or second order.

    Every step updates the alphas by the gradient of the validation loss, then the weights by the gradient of
    the training loss. First order takes the former at the current weights; second order takes it at the
    weights after one step of SGD, which depend on the alphas. The alphas start at 1e-3 times a standard
    normal draw.

    Three options work against the collapse to skip connections. `frozen_epochs` trains the weights alone at
    first. `stop_skips` stops the search once the normal cell has that many skips (DARTS+, Liang et al.,
    2019); since fresh alphas may have them by chance, an epoch with fewer must come first. `partial_channels`
    passes a part of the channels through the candidates and learns weights of edges (PC-DARTS, Xu et al.,
    ICLR 2020).

    Attributes:
        alphas: architecture parameters, [14, 8] per kind of cell; with partial channels also
            `normal/edges` and `reduce/edges`, [14] each.
    """

    alphas: dict[str, nn.Parameter]

    def default_mutation_hooks(self) -> list[Any]:
        """The search-time cell of the options, and NNI's guard against cells that no hook has replaced."""
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

    def setup(self) -> None:
        """Create the alphas, the weights of edges if there are any, and their Adam."""
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
        """Weights of the candidates, [14, 8] per kind of cell.

        With partial channels they are multiplied by the softmax of the edges' weights over the edges into a
        node.
        """
        mixture = {kind: self.choice(self.alphas[kind]) for kind in KINDS}
        if self.options.partial_channels > 1:
            for kind in KINDS:
                nodes = torch.split(self.alphas[f"{kind}/edges"], list(CONCAT))
                mixture[kind] = mixture[kind] * torch.cat([node.softmax(dim=0) for node in nodes])[:, None]
        return mixture

    def choice(self, table: Tensor) -> Tensor:
        """Weights of the candidates from a table of alphas, by softmax over each edge: [14, 8] -> [14, 8]."""
        return table.softmax(dim=-1)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train alphas and weights in turn, batch by batch."""
        meter = self.meter()
        for training, validation in self.paired_batches(epoch):
            if epoch >= self.options.frozen_epochs:
                self.alpha_step(training, validation)
            with torch.no_grad():
                self.set_mixture(self.mixture())
            loss, logits = self.weight_step(*training)
            meter.add(loss, logits, training[1])
        return meter.loss_and_top1()

    def alpha_step(self, training: Batch, validation: Batch) -> None:
        """One step of Adam on the alphas.

        Args:
            training: batch of the weight split, which only second order uses.
            validation: batch of the alpha split.
        """
        mixture = self.mixture()
        leaves = {kind: weights.detach().requires_grad_() for kind, weights in mixture.items()}
        self.set_mixture(leaves)
        if self.options.order == 1:
            mixture_grads = self._mixture_grads(validation, leaves)
        else:
            mixture_grads = self._second_order_grads(training, validation, leaves)
        tables = list(self.alphas.values())
        alpha_grads = torch.autograd.grad(list(mixture.values()), tables, mixture_grads)
        for table, grad in zip(tables, alpha_grads, strict=True):
            table.grad = grad
        self.alpha_optimizer.step()

    def training_images(self, epoch: int) -> int:
        """Images of both splits; of second order, three more passes over the weight split.

        While the alphas are frozen, images of the weight split alone.
        """
        if epoch < self.options.frozen_epochs:
            return self.evaluator.weights.samples
        second_order = 3 * self.evaluator.weights.samples if self.options.order == 2 else 0
        return super().training_images(epoch) + second_order

    def derive(self, epoch: int) -> Snapshot:
        """Derive the genotype, and note whether its normal cell has fewer skips than `stop_skips`."""
        snapshot = super().derive(epoch)
        self._had_fewer_skips |= _skips(snapshot.genotype) < self.options.stop_skips
        return snapshot

    def is_over(self) -> bool:
        """Whether the normal cell has reached `stop_skips` skips, after an epoch with fewer."""
        stop, genotype = self.options.stop_skips, self.result.genotype
        return bool(stop and genotype and self._had_fewer_skips and _skips(genotype) >= stop)

    def _loss(self, batch: Batch) -> Tensor:
        images, labels = batch
        self.count_images(labels)
        return cross_entropy(self.supernet(images), labels)

    def _grads(self, loss: Tensor, tensors: list[Tensor]) -> list[Tensor]:
        """Gradients of the loss of the whole batch, of which each process has computed a share."""
        own = torch.autograd.grad(loss, tensors, materialize_grads=True)
        return cast(list[Tensor], all_reduce_mean(own, self.evaluator.processes))

    def _mixture_grads(self, batch: Batch, mixture: Mixture) -> list[Tensor]:
        """Gradients of a batch's loss with respect to the mixture, [14, 8] each; none of the weights."""
        with frozen(self.supernet.parameters()):
            return self._grads(self._loss(batch), list(mixture.values()))

    @torch.no_grad()
    def _second_order_grads(self, training: Batch, validation: Batch, mixture: Mixture) -> list[Tensor]:
        """Gradients of L_val(w'(a), a) with respect to the mixture a, [14, 8] each.

        w' is w after one step of SGD on L_train(w, a), momentum and weight decay included:

            dL_val/da - lr * d2L_train/(da dw) * v,    v = dL_val/dw, both at w'

        (Liu, Simonyan, Yang, ICLR 2019, equation 7). The product comes from central differences (equation 8),

            (dL_train/da at w + epsilon * v  -  dL_train/da at w - epsilon * v) / (2 * epsilon),

        with epsilon = 0.01 / norm(v). Weights and running statistics are restored.
        """
        supernet, group = self.supernet, self.optimizer.param_groups[0]
        weights, tables = list(supernet.parameters()), list(mixture.values())
        saved = [tensor.clone() for tensor in (*weights, *supernet.buffers())]
        saved_weights = saved[: len(weights)]
        try:
            with torch.enable_grad(), frozen(tables):
                train_grads = self._grads(self._loss(training), weights)
            # w' = w - lr * (dL_train/dw + weight_decay * w + momentum * buffer): the step that SGD would take
            for weight, grad in zip(weights, train_grads, strict=True):
                grad.add_(weight, alpha=group["weight_decay"])
                buffer = self.optimizer.state.get(weight, {}).get("momentum_buffer")
                if buffer is not None:
                    grad.add_(buffer, alpha=group["momentum"])
            torch._foreach_add_(weights, train_grads, alpha=-group["lr"])
            with torch.enable_grad():
                grads = self._grads(self._loss(validation), [*tables, *weights])
            mixture_grads, v = grads[: len(tables)], grads[len(tables) :]
            norm = nn.utils.get_total_norm(v)
            epsilon = 0.01 / norm.clamp_min(torch.finfo(norm.dtype).tiny)
            perturbed_grads = []  # dL_train/da at w + epsilon * v and at w - epsilon * v
            for sign in (1, -1):
                for weight, saved_weight, direction in zip(weights, saved_weights, v, strict=True):
                    weight.copy_(saved_weight + sign * epsilon * direction)
                with torch.enable_grad():
                    perturbed_grads.append(self._mixture_grads(training, mixture))
        finally:
            torch._foreach_copy_([*weights, *supernet.buffers()], saved)
        factor = group["lr"] / (2 * epsilon)
        return [
            grad - factor * (plus - minus)
            for grad, plus, minus in zip(mixture_grads, *perturbed_grads, strict=True)
        ]

    def search_state_dict(self) -> dict[str, Any]:
        """Alphas and their Adam, and whether an epoch had fewer skips than `stop_skips`."""
        return {
            "alphas": {kind: table.detach() for kind, table in self.alphas.items()},
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "had_fewer_skips": self._had_fewer_skips,
        }

    def load_search_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `search_state_dict` returned."""
        for kind, table in self.alphas.items():
            table.data.copy_(state["alphas"][kind])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
        self._had_fewer_skips = state["had_fewer_skips"]


def _skips(genotype: Genotype) -> int:
    return sum(name == "skip_connect" for name, _ in genotype.normal)


@contextlib.contextmanager
def frozen(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Compute no gradients for these leaf tensors inside the block."""
    leaves = list(tensors)
    for tensor in leaves:
        tensor.requires_grad_(False)
    try:
        yield
    finally:
        for tensor in leaves:
            tensor.requires_grad_(True)
