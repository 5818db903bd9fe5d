"""DARTS: differentiable architecture search (Liu, Simonyan, Yang, ICLR 2019), epoch by epoch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from strategies.darts.parts import perturbation
from strategies.darts.steps import DartsSteps
from strategies.derivation import skips
from strategies.supernet import Snapshot


class Darts(DartsSteps):
    """DARTS of first or second order, with parts of other methods in place of its own where options say so.

    The alphas start at 1e-3 times a standard normal draw.
    """

    former_names = ("Gumbel",)

    def setup(self) -> None:
        """Create the alphas and what the parts remember."""
        super().setup()
        self._had_fewer_skips = False

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
        extra = self.set_temperature(epoch)
        alpha_grads, training_step = self.graphed(
            {"the step of the alphas": self.alpha_grads, "the step of the weights": self.training_step}
        )
        try:
            for training, validation in self.paired_batches(epoch):
                if learns and not options.bilevel:
                    meter.add(*self.joint_step(training), training[1])
                    continue
                if learns and not options.weights_first:
                    self.step_alphas(alpha_grads(training, validation))
                loss, logits = training_step(training)
                meter.add(loss, logits, training[1])
                if learns and options.weights_first:
                    self.step_alphas(alpha_grads(training, validation))
        finally:
            self._generator = None
        return meter.loss_and_top1() | extra

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
        return self.pass_validation().compute().top1

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
