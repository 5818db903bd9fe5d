"""DARTS: differentiable architecture search (Liu, Simonyan, Yang, ICLR 2019), and what it is composed of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search_spaces.model_space import SearchTimeCell
from strategies.distributed import all_reduce_mean
from strategies.mixture import Batch, Mixture
from strategies.parts import perturbation
from strategies.parts.derivation import skips
from strategies.parts.freezing import Freezing
from strategies.parts.perturbation import Rows
from strategies.parts.regularization import penalty
from strategies.parts.relaxation import RELAXATIONS
from strategies.parts.selection import Selection
from strategies.staged import StagedStrategy
from strategies.supernet import Snapshot


class Darts(StagedStrategy):
    """DARTS of first or second order, with a part of other methods in place of its own where options say so.

    Every step updates the alphas by the gradient of the validation loss, then the weights by the gradient of
    the training loss. First order takes the former at the current weights; second order takes it at the
    weights after one step of SGD, which depend on the alphas. The alphas start at 1e-3 times a standard
    normal draw.

    Attributes:
        relaxation: how the alphas become weights of the candidates.
    """

    former_names = ("Gumbel",)

    def setup(self) -> None:
        """Create the alphas and what the parts remember."""
        super().setup()
        options = self.options
        self.relaxation = RELAXATIONS[options.relaxation](options)
        self._had_fewer_skips, self._epoch_now = False, 0
        self._generator: torch.Generator | None = None
        self._selection = (
            Selection(self.evaluator.context, self.space) if options.derivation == "projection" else None
        )
        self._freezing = (
            Freezing(self.supernet, self.space, options.freeze_below, options.freeze_checks)
            if options.freeze_below
            else None
        )

    # The mixture

    def mixture(self) -> Mixture:
        """Weights of the candidates, [edges, candidates] each: drawn while training, else as they are."""
        return self._mixture_of(self._rows())

    def _rows(self) -> Rows:
        """Weights of the candidates, before those of edges."""
        rows, generator = {}, self._generator
        for kind in self.space.kinds:
            kept = self.kept.get(kind)
            if generator is None:
                rows[kind] = self.relaxation.expected(self.alphas[kind], kept)
            else:
                rows[kind] = self._dropped(self.relaxation.sample(self.alphas[kind], kept, generator))
        return rows

    def _dropped(self, row: Tensor) -> Tensor:
        """Leave candidates out at random; the others keep the sum of an edge's weights."""
        rate = self.options.operation_dropout
        if not rate:
            return row
        stays = torch.empty(row.shape).bernoulli_(1 - rate, generator=self._generator).to(row)
        left = (row * stays).sum(dim=-1, keepdim=True)
        stays = torch.where(left > 0, stays, torch.ones_like(stays))
        return (
            row * stays * (row.sum(dim=-1, keepdim=True) / (row * stays).sum(dim=-1, keepdim=True)).detach()
        )

    def _mixture_of(self, rows: Rows) -> Mixture:
        """The rows times the softmax of the edges' weights over the edges into a node, if there are any."""
        mixture = self._selection.applied(rows) if self._selection else dict(rows)
        if self.options.has_edge_weights:
            for kind in self.space.kinds:
                nodes = torch.split(
                    self.alphas[f"{kind}/edges"], [node.edges for node in self.space.node_inputs]
                )
                mixture[kind] = mixture[kind] * torch.cat([node.softmax(dim=0) for node in nodes])[:, None]
        return mixture

    def validation_mixture(self, mixture: Mixture) -> Mixture:
        """The weights with which the supernet is validated."""
        return {kind: self.relaxation.validated(weights) for kind, weights in mixture.items()}

    def set_mixture(self, mixture: Mixture) -> None:
        """Set the weights that the supernet's cells use from now on, and which candidates they compute."""
        super().set_mixture(mixture)
        if self.options.is_sparse or not self.space.is_complete:
            computed = {kind: (weights != 0).tolist() for kind, weights in mixture.items()}
            for cell in cast(Iterable[SearchTimeCell], self.supernet.cells):
                cell.computed = computed[cell.geometry.kind]

    # An epoch

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train alphas and weights in turn, batch by batch."""
        options, meter = self.options, self.meter()
        self._epoch_now = epoch
        learns = not self.is_frozen(epoch)
        self.set_dropout(epoch)
        if self._selection and epoch >= self.search_epochs:
            self._project(epoch - self.search_epochs)
        seed = int(self.rng(epoch).integers(2**62))
        self._generator = torch.Generator().manual_seed(seed)
        extra = self._set_temperature(epoch)
        try:
            for training, validation in self.paired_batches(epoch):
                if learns and not options.bilevel:
                    meter.add(*self.joint_step(training), training[1])
                    continue
                if learns and not options.weights_first:
                    self.alpha_step(training, validation)
                with torch.no_grad():
                    self.set_mixture(self._perturbed_mixture(training))
                loss, logits = self.weight_step(*training)
                meter.add(loss, logits, training[1])
                if learns and options.weights_first:
                    self.alpha_step(training, validation)
        finally:
            self._generator = None
        return meter.loss_and_top1() | extra

    def _set_temperature(self, epoch: int) -> dict[str, float]:
        """Set the temperature of an epoch; returns it as a metric where it matters."""
        options = self.options
        if not options.relaxation.startswith("gumbel"):
            return {}
        progress = min(1.0, epoch / max(1, self.search_epochs - 1))
        temperature = options.temperature + progress * (options.temperature_min - options.temperature)
        self.relaxation.temperature = temperature
        return {"temperature": temperature}

    def alpha_step(self, training: Batch, validation: Batch) -> None:
        """One step of Adam on the alphas.

        Args:
            training: batch of the weight split, which only second order uses.
            validation: batch of the alpha split.
        """
        mixture = self.mixture()
        leaves = {kind: weights.detach().requires_grad_() for kind, weights in mixture.items()}
        self.set_mixture(leaves)
        if self._freezing:
            tensors = [*leaves.values(), *self.shared_weights]
            own = torch.autograd.grad(self._loss(validation), tensors, allow_unused=True)
            grads = all_reduce_mean(own, self.evaluator.processes)
            mixture_grads = cast(list[Tensor], grads[: len(leaves)])
            self._freezing.check(grads[len(leaves) :])
        elif self.options.order == 1:
            mixture_grads = self._mixture_grads(validation, leaves)
        else:
            mixture_grads = self._second_order_grads(training, validation, leaves)
        self._step_alphas(mixture, mixture_grads)

    def joint_step(self, training: Batch) -> tuple[Tensor, Tensor]:
        """One step of alphas and weights by the same loss (Xie et al., ICLR 2019).

        Returns:
            Mean loss [] and logits [B, num_classes] of this process's share of the batch.
        """
        mixture = self.mixture()
        leaves = {kind: weights.detach().requires_grad_() for kind, weights in mixture.items()}
        self.set_mixture(leaves)
        images, labels = training
        logits = self.supernet(images)
        loss = cross_entropy(logits, labels)
        tensors = [*leaves.values(), *self.shared_weights]
        own = torch.autograd.grad(loss, tensors, allow_unused=True)
        grads = all_reduce_mean(own, self.evaluator.processes)
        self.count_images(labels)
        self._step_alphas(mixture, cast(list[Tensor], grads[: len(leaves)]))
        self.step_weights(grads[len(leaves) :])
        return loss.detach(), logits.detach()

    def _tables(self) -> dict[str, Tensor]:
        """The alphas of the candidates, without those of edges."""
        return {kind: self.alphas[kind] for kind in self.space.kinds}

    def _step_alphas(self, mixture: Mixture, mixture_grads: list[Tensor]) -> None:
        """A step of Adam by the gradients of the mixture and of the regularization."""
        tables, options = list(self.alphas.values()), self.options
        outputs, grads = list(mixture.values()), list(mixture_grads)
        term = penalty(options, self._tables(), self.kept, self._epoch_now)
        if term is not None:
            outputs, grads = [*outputs, term], [*grads, torch.ones_like(term)]
        alpha_grads = torch.autograd.grad(outputs, tables, grads, materialize_grads=True)
        for table, grad in zip(tables, alpha_grads, strict=True):
            table.grad = grad
        if options.alpha_clip_grad:
            nn.utils.clip_grad_norm_(tables, options.alpha_clip_grad)
        self.alpha_optimizer.step()

    def step_weights(self, grads: Sequence[Tensor | None]) -> None:
        """A step of the shared weights, without those of frozen operations."""
        if self._freezing is None:
            super().step_weights(grads)
            return
        super().step_weights(self._freezing.without_frozen(grads))
        self._freezing.after_step([weight.grad for weight in self.shared_weights])

    @torch.no_grad()
    def _project(self, epoch: int) -> None:
        """Make the choice of an epoch of the projection, one in each kind of cell, if it has one."""
        assert self._selection is not None
        if epoch % self.options.projection_epochs:
            return
        rng = self.rng(epoch, 5)
        for kind in self.space.kinds:
            self._selection.decide(kind, rng, self._top1_without)
        self.supernet.train()

    def _top1_without(self, kind: str, without: Tensor) -> float:
        """Validation accuracy in percent without some candidates, bool [edges, 8], in training mode."""
        mixture = self.mixture()
        mixture[kind] = mixture[kind] * ~without.to(mixture[kind].device)
        self.set_mixture(mixture)
        self.supernet.train()
        meter = self.meter()
        for images, labels in self.evaluator.validation:
            logits = self.supernet(images)
            self.count_forward(labels)
            meter.add(cross_entropy(logits, labels), logits, labels)
        return meter.compute().top1

    def _perturbed_mixture(self, training: Batch) -> Mixture:
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
        with frozen(self.shared_weights):
            grads = self._grads(self._loss(batch), list(leaves.values()))
        return dict(zip(leaves, grads, strict=True))

    def training_images(self, epoch: int) -> int:
        """Images of both splits; more passes over the weight split of second order (3) and of an attack (7).

        While the alphas are frozen, those of the alpha split are left out.
        """
        options, weights = self.options, self.evaluator.weights.samples
        every = (
            weights * (1 + perturbation.ATTACK_STEPS) if options.perturbation == "adversarial" else weights
        )
        if self.is_frozen(epoch):
            return every
        learning = super().training_images(epoch) - weights if options.bilevel else 0
        return every + learning + (3 * weights if options.order == 2 else 0)

    def derive(self, epoch: int) -> Snapshot:
        """Derive the genotype, and note whether its normal cell has fewer skips than `stop_skips`."""
        snapshot = super().derive(epoch)
        self._had_fewer_skips |= skips(snapshot.genotype, self.space) < self.options.stop_skips
        return snapshot

    def is_over(self) -> bool:
        """Whether the normal cell has reached `stop_skips` skips, after an epoch with fewer."""
        stop, genotype = self.options.stop_skips, self.result.genotype
        return bool(stop and genotype and self._had_fewer_skips and skips(genotype, self.space) >= stop)

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
        with frozen(self.shared_weights):
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
        weights, tables = self.shared_weights, list(mixture.values())
        floats = [*weights, *(buffer for buffer in supernet.buffers() if buffer.is_floating_point())]
        counts = [buffer for buffer in supernet.buffers() if not buffer.is_floating_point()]
        lists = [tensors for tensors in (floats, counts) if tensors]  # one kernel copies one type
        saved = [[torch.empty_like(tensor) for tensor in tensors] for tensors in lists]
        for copies, tensors in zip(saved, lists, strict=True):
            torch._foreach_copy_(copies, tensors)
        saved_weights = saved[0][: len(weights)]
        try:
            with torch.enable_grad(), frozen(tables):
                train_grads = self._grads(self._loss(training), weights)
            # w' = w - lr * (dL_train/dw + weight_decay * w + momentum * buffer): the step that SGD would take
            torch._foreach_add_(train_grads, weights, alpha=group["weight_decay"])
            states = [self.optimizer.state.get(weight, {}) for weight in weights]
            buffers = [state.get("momentum_buffer") for state in states]
            moving = [pair for pair in zip(train_grads, buffers, strict=True) if pair[1] is not None]
            if moving:
                grads_of_moving, present = zip(*moving, strict=True)
                torch._foreach_add_(grads_of_moving, present, alpha=group["momentum"])
            torch._foreach_add_(weights, train_grads, alpha=-group["lr"])
            with torch.enable_grad():
                grads = self._grads(self._loss(validation), [*tables, *weights])
            mixture_grads, v = grads[: len(tables)], grads[len(tables) :]
            norm = nn.utils.get_total_norm(v)
            epsilon = 0.01 / norm.clamp_min(torch.finfo(norm.dtype).tiny)
            perturbed_grads = []  # dL_train/da at w + epsilon * v and at w - epsilon * v
            for sign in (1, -1):
                steps = torch._foreach_mul(v, sign * epsilon)
                torch._foreach_copy_(weights, torch._foreach_add(saved_weights, steps))
                with torch.enable_grad():
                    perturbed_grads.append(self._mixture_grads(training, mixture))
        finally:
            for copies, tensors in zip(saved, lists, strict=True):
                torch._foreach_copy_(tensors, copies)
        factor = group["lr"] / (2 * epsilon)
        return [
            grad - factor * (plus - minus)
            for grad, plus, minus in zip(mixture_grads, *perturbed_grads, strict=True)
        ]

    def search_state_dict(self) -> dict[str, Any]:
        """Alphas and their Adam, and whether an epoch had fewer skips than `stop_skips`."""
        state = {
            "alphas": {kind: table.detach() for kind, table in self.alphas.items()},
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "had_fewer_skips": self._had_fewer_skips,
            "stage": self.stage,
            "kept": dict(self.kept),
        }
        remembered = {"freezing": self._freezing, "selection": self._selection}
        return state | {name: part.state_dict() for name, part in remembered.items() if part}

    def load_search_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `search_state_dict` returned."""
        for kind, table in self.alphas.items():
            table.data.copy_(state["alphas"][kind])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
        self._had_fewer_skips = state["had_fewer_skips"]
        self.kept = {kind: table.to(self.evaluator.device) for kind, table in state.get("kept", {}).items()}
        if self._freezing:
            self._freezing.load_state_dict(state["freezing"])
        if self._selection:
            self._selection.load_state_dict(state["selection"])


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
