"""Verb: one update of the weights: rates, losses, gradients, optimisers; a batch that does not fit comes in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ocbench.loading import Batch
from ocbench.plugin import Phase
from ocbench.runner import device, phases
from ocbench.runner.state import TrainingState

Terms = Mapping[str, torch.Tensor]


def update(
    state: TrainingState, phase: Phase, step_module: nn.Module, batch: Batch, micro_batch: int | None = None
) -> tuple[Terms, list[float]]:
    """Does one update on this rank's share of a batch; its terms, detached, and the learning rates.

    `step_module` is the model's loss as `device.wrapped` gave it. At most `micro_batch` scenes are in work at a time,
    and their gradients are summed up: the same update but for rounding, for random draws, and for BatchNorm, which
    normalises over what is in work.
    """
    done = phase.clock_start + state.step
    clock = torch.full((), done, dtype=torch.int64, device=state.where.device)
    rates = phases.set_rates(phase, state.optimizers, done + 1)
    for optimizer in state.optimizers:
        optimizer.zero_grad(set_to_none=True)
    terms = _gradients(state, phase, step_module, batch, clock, micro_batch or len(batch.images))
    phases.check_gradients(phase, state.model, state.optimizers)
    if phase.clip_norm is not None:
        nn.utils.clip_grad_norm_(phases.parameters_of(state.optimizers), phase.clip_norm)
    for optimizer in state.optimizers:
        optimizer.step()
    state.step += 1
    state.recent.append(terms)
    if hasattr(state.model, "after_step"):
        model: Any = state.model
        with torch.no_grad():
            model.after_step(state.where.averaged(terms), phase.name, done + 1, state.optimizers)
    return terms, rates


def _gradients(
    state: TrainingState, phase: Phase, step_module: nn.Module, batch: Batch, clock: torch.Tensor, at_once: int
) -> Terms:
    """Adds up the gradients of the mean loss; the mean terms."""
    whole: dict[str, torch.Tensor] = {}
    for piece, share, is_last in _pieces(batch, at_once):
        arguments = (piece.images, phase.name, clock)
        more = () if piece.precomputed is None else (piece.precomputed,)
        with device.kept_apart(step_module, not is_last):
            with state.where.autocast():
                terms = step_module(*arguments, *more)
            phases.check_terms(phase, terms)
            (terms["total"] if share == 1 else terms["total"] * share).backward()
        for name, value in terms.items():
            # A copy: what a recorded graph gave is overwritten by its next run.
            part = value.detach().clone() if share == 1 else value.detach() * share
            whole[name] = whole[name] + part if name in whole else part
    return whole


def _pieces(batch: Batch, at_once: int) -> Iterator[tuple[Batch, float, bool]]:
    """Pieces of a batch, with their share of it and whether it is the last."""
    scenes = len(batch.images)
    for start in range(0, scenes, at_once):
        place = slice(start, min(start + at_once, scenes))
        more = None if batch.precomputed is None else batch.precomputed[place]
        yield Batch(batch.images[place], more), (place.stop - start) / scenes, place.stop == scenes
