"""An update in pieces is the update of the whole batch, and says where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ocbench.loading import Batch
from ocbench.plugin import Optimizer, Phase
from ocbench.runner import device, phases
from ocbench.runner.state import TrainingState
from ocbench.runner.update import update

PHASE = Phase("only", 9, batch_size=7, optimizers=(Optimizer("sgd", 0.1, betas=(0.9, 0.0)),), clip_norm=0.05)


class Scaled(nn.Module):
    """A loss that is a mean over scenes, with a part for what was precomputed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3)
        self.seen: list[int] = []

    def loss(self, images: torch.Tensor, phase: str, clock: torch.Tensor, precomputed: Any = None) -> dict:
        self.seen.append(len(images))
        rows = self.layer(images).square().mean((1, 2, 3)) * (1 if precomputed is None else precomputed.double())
        return {"total": rows.mean() * torch.exp(-clock / 3), "plain": rows.mean()}


def trained(micro_batch: int | None, precomputed: bool) -> tuple[Scaled, list[dict[str, float]]]:
    """The model after three updates, and their terms."""
    torch.manual_seed(0)
    model = Scaled().double()
    state = TrainingState(model, (PHASE,), Path("."), device.Place(torch.device("cpu")))
    state.optimizers = phases.optimizers(model, PHASE)
    step, told = device.wrapped(model, state.where), []
    for _ in range(3):
        batch = Batch(torch.rand(7, 3, 5, 5).double(), torch.arange(7, dtype=torch.uint8) if precomputed else None)
        terms, rates = update(state, PHASE, step, batch, micro_batch)
        assert rates == [0.1]
        told.append({name: float(value) for name, value in terms.items()})
    assert (state.step, len(state.recent)) == (3, 3)
    return model, told


@pytest.mark.parametrize("precomputed", [False, True])
@pytest.mark.parametrize(("micro_batch", "pieces"), [(1, [1] * 7), (3, [3, 3, 1]), (6, [6, 1]), (7, [7]), (99, [7])])
def test_pieces_add_up_to_the_batch(micro_batch: int, pieces: list[int], precomputed: bool) -> None:
    whole, expected = trained(None, precomputed)
    split, found = trained(micro_batch, precomputed)
    assert split.seen == pieces * 3
    assert whole.seen == [7] * 3
    torch.testing.assert_close(split.state_dict(), whole.state_dict(), rtol=1e-12, atol=1e-15)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-12)


def test_a_run_in_pieces_says_what_that_changes(training: Any) -> None:
    told: list[str] = []
    fields = {"micro_batch": 5, "steps": 2}
    training("toy", fields=fields, say=lambda word, text: told.append(text))
    assert any("batch 16 in pieces of 5 on each rank; BatchNorm normalises over 5" in text for text in told)
    whole: list[str] = []
    training("toy", name="whole-s0", fields={"steps": 2}, say=lambda word, text: whole.append(text))
    assert not any("pieces" in text for text in whole)
