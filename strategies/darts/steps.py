"""The steps of differentiable search: of the alphas, of the shared weights, and of both at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from strategies.darts import checks, gradients
from strategies.darts.mixture import AlphaMixture
from strategies.darts.parts import perturbation
from strategies.darts.parts.freezing import Freezing
from strategies.darts.parts.perturbation import Rows
from strategies.darts.parts.regularization import penalty
from strategies.distributed import all_reduce_mean
from strategies.mixture import Batch, Mixture


class DartsSteps(AlphaMixture):
    """What `Darts` does with a batch of each split.

    Every step updates the alphas by the gradient of the validation loss, then the weights by the gradient of
    the training loss. First order takes the former at the current weights; second order takes it at the
    weights after one step of SGD, which depend on the alphas.
    """

    def setup(self) -> None:
        """Create the alphas, and note which operations may be frozen."""
        super().setup()
        options = self.options
        self._epoch_now = 0
        self._freezing = (
            Freezing(self.supernet, self.space, options.freeze_below, options.freeze_checks)
            if options.freeze_below
            else None
        )

    def alpha_step(self, training: Batch, validation: Batch) -> None:
        """One step of Adam on the alphas; arguments as in `alpha_grads`."""
        self.step_alphas(self.alpha_grads(training, validation))

    def alpha_grads(self, training: Batch, validation: Batch) -> list[Tensor]:
        """Gradients of the validation loss and of the regularization with respect to the alphas.

        Args:
            training: batch of the weight split, which only second order uses.
            validation: batch of the alpha split.
        """
        mixture = self.mixture()
        leaves = self._set_leaves(mixture)
        if self._freezing:
            loss = gradients.batch_loss(self, validation)
            mixture_grads, weight_grads = gradients.mixture_and_weights(self, loss, leaves)
            self._freezing.check(weight_grads)
        elif self.options.order == 1:
            mixture_grads = gradients.first_order(self, validation, leaves)
        else:
            mixture_grads = gradients.second_order(self, training, validation, leaves)
        return self._through(mixture, mixture_grads)

    def training_step(self, training: Batch) -> tuple[Tensor, Tensor]:
        """A step of the weights; returns what `weight_step` does."""
        with torch.no_grad():
            self.set_mixture(self.perturbed_mixture(training))
        return self.weight_step(*training)

    def joint_step(self, training: Batch) -> tuple[Tensor, Tensor]:
        """One step of alphas and weights by the same loss (Xie et al., ICLR 2019).

        Returns:
            Mean loss [] and logits [B, num_classes] of this process's share of the batch.
        """
        mixture = self.mixture()
        leaves = self._set_leaves(mixture)
        images, labels = training
        logits = self.supernet(images)
        loss = cross_entropy(logits, labels)
        mixture_grads, weight_grads = gradients.mixture_and_weights(self, loss, leaves)
        self.count_images(labels)
        self.step_alphas(self._through(mixture, mixture_grads))
        self.step_weights(weight_grads)
        return loss.detach(), logits.detach()

    def _set_leaves(self, mixture: Mixture) -> Mixture:
        """Let the cells use the values of a mixture, as leaves of autograd, which are returned."""
        leaves = {kind: weights.detach().requires_grad_() for kind, weights in mixture.items()}
        self.set_mixture(leaves)
        return leaves

    def _through(self, mixture: Mixture, mixture_grads: list[Tensor]) -> list[Tensor]:
        """Gradients with respect to the alphas, from those of the mixture, and of the regularization."""
        tables, options = list(self.alphas.values()), self.options
        outputs, grads = list(mixture.values()), list(mixture_grads)
        without_edges = {kind: self.alphas[kind] for kind in self.space.kinds}
        term = penalty(options, without_edges, self.kept, self._epoch_now)
        if term is not None:
            outputs, grads = [*outputs, term], [*grads, torch.ones_like(term)]
        return list(torch.autograd.grad(outputs, tables, grads, materialize_grads=True))

    def step_alphas(self, grads: Sequence[Tensor]) -> None:
        """Clip the gradients of the alphas and take a step of Adam."""
        for table, grad in zip(self.alphas.values(), grads, strict=True):
            table.grad = grad
        if self.options.alpha_clip_grad:
            nn.utils.clip_grad_norm_(self.alphas.values(), self.options.alpha_clip_grad)
        self.alpha_optimizer.step()

    def why_eager(self) -> str:
        """Which option rules CUDA graphs out; empty where none does."""
        return checks.why_eager(self.options, self.space)

    def step_weights(self, grads: Sequence[Tensor | None]) -> None:
        """A step of the shared weights, without those of frozen operations."""
        if self._freezing is None:
            super().step_weights(grads)
            return
        super().step_weights(self._freezing.without_frozen(grads))
        self._freezing.after_step([weight.grad for weight in self.shared_weights])

    def perturbed_mixture(self, training: Batch) -> Mixture:
        """The mixture for a step of the weights."""
        options, generator = self.options, self._generator
        if options.perturbation == "none":
            return self.mixture()
        assert generator is not None, "weights are perturbed in training only"
        epochs = self.search_epochs
        now = min(self._epoch_now, epochs)
        size = perturbation.radius(now, epochs, options.radius_min, options.radius)
        rows, kept = self._rows(), {kind: table.to(self.alphas[kind]) for kind, table in self.kept.items()}
        if options.perturbation == "random":
            return self._mixture_of(perturbation.random(rows, kept, size, generator))
        self.supernet.eval()
        found = perturbation.adversarial(
            rows,
            kept,
            size,
            generator,
            loss=lambda other: self._attacked_loss(other, training),
            gradient=lambda other: self._attack_gradient(other, training),
        )
        self.supernet.train()
        return self._mixture_of(found)

    def _attacked_loss(self, rows: Rows, batch: Batch) -> Tensor:
        """Training loss with other weights of the candidates, over all processes, []."""
        self.set_mixture(self._mixture_of(rows))
        loss = cross_entropy(self.supernet(batch[0]), batch[1])
        self.count_forward(batch[1])
        return cast(Tensor, all_reduce_mean([loss], self.evaluator.processes)[0])

    @torch.enable_grad()
    def _attack_gradient(self, rows: Rows, batch: Batch) -> Rows:
        """Gradient of the training loss with respect to the weights of the candidates, [14, 8] per kind."""
        leaves = {kind: row.detach().requires_grad_() for kind, row in rows.items()}
        self.set_mixture(self._mixture_of(leaves))
        grads = gradients.first_order(self, batch, leaves)
        return dict(zip(leaves, grads, strict=True))
