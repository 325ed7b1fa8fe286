"""The five baselines as their specification writes them: the reference of what `ocbench_models` computes.

`LOSSES[name](model, images, clock)` gives the terms of `model.loss(images, phase, clock)`, from the same weights and
the same random numbers, drawn in the same order, in the plainest form: slot by slot, cell by cell, with the
distributions of torch, `affine_grid` and `grid_sample`. Models with GECO also take its weight.
"""

from __future__ import annotations

from math import exp

from . import literal_genesis_v2, literal_gnm, literal_monet, literal_slot_attention

LOSSES = {
    "slot-attention": literal_slot_attention.loss,
    "monet": literal_monet.loss,
    "monet-g": literal_monet.loss,
    "genesis-v2": literal_genesis_v2.loss,
    "gnm": literal_gnm.loss,
}


class LiteralGeco:
    """Section 0.7 of the specification, variant A, in plain numbers."""

    def __init__(self, goal: float, values: int, side: int, rate: float = 1e-5) -> None:
        self.goal, self.rate = goal * values, rate * (64 / side) ** 2
        self.beta, self.average = 1.0, None

    def update(self, error: float) -> None:
        self.average = error if self.average is None else 0.99 * self.average + 0.01 * error
        slack = self.goal - self.average
        self.beta = self.beta * exp(self.rate * (10 if slack > 0 else 1) * slack)
        self.beta = min(1e10, max(1e-10, self.beta))
