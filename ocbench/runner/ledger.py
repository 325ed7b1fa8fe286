"""What a run has cost so far, in its run.json: written when a call ends, by itself or because it was asked to stop."""

from __future__ import annotations

from dataclasses import replace

from ocbench.runner import device
from ocbench.runner.state import TrainingState
from ocbench.runs import RunConfig


def enter(state: TrainingState) -> None:
    """Writes the cost of the updates done, over all calls: seconds of the whole, and the memory of one rank."""
    if not state.where.writes:
        return
    run = RunConfig.load(state.run_dir)  # as it is by now: a phase may have come from another run
    cost = {
        "seconds": round(state.seconds, 1),
        "images": images(state, run),
        "ranks": state.where.world,
        "device": device.name(state.where.device),
        "peak_bytes": max(device.peak_bytes(state.where.device), run.cost.get("peak_bytes", 0)),
    }
    replace(run, cost=cost).save(state.run_dir)


def images(state: TrainingState, run: RunConfig) -> int:
    """Training images seen in the updates done, those of a shared phase not counted."""
    done = [phase.steps for phase in state.plan[: state.phase]]
    done += [state.step] if state.phase < len(state.plan) else []
    return sum(
        steps * phase.batch_size for steps, phase in zip(done, state.plan, strict=False) if phase.name not in run.shared
    )
