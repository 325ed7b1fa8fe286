"""What a checkpoint holds is taken up, and nothing poisoned is ever saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import Tiny

from ocbench import Optimizer, Phase, RunError
from ocbench.runner import checkpoint, phases
from ocbench.runner.device import Place
from ocbench.runner.state import TrainingState

PLAN = (Phase("early", 4), Phase("late", 6, optimizers=(Optimizer(parameters=("left",)), Optimizer("sgd", 0.1))))


@pytest.fixture
def state(tmp_path: Path) -> TrainingState:
    """Two updates into the late phase."""
    made = TrainingState(Tiny(), PLAN, tmp_path, Place(torch.device("cpu")), phase=1)
    made.optimizers = phases.optimizers(made.model, PLAN[1])
    update(made)
    update(made)
    return made


def update(state: TrainingState) -> None:
    total = state.model.loss(torch.rand(2, 3, 4, 4), "late", torch.tensor(state.step))["total"]
    total.backward()
    for optimizer in state.optimizers:
        optimizer.step()
    state.step += 1
    state.recent.append({"total": total.detach(), "part": torch.tensor(2.0)})


def fresh(state: TrainingState, *plan: Phase) -> TrainingState:
    return TrainingState(Tiny(), plan or PLAN, state.run_dir, state.where)


def test_a_resumed_state_is_the_saved_one(state: TrainingState) -> None:
    state.began -= 100
    state.save()
    drawn = torch.rand(3)
    taken = fresh(state)
    taken.resume(state.run_dir / "checkpoints" / "0000006")
    assert (taken.phase, taken.step, taken.updates) == (1, 2, 6)
    assert taken.seconds > 100
    assert torch.equal(torch.rand(3), drawn)
    for here, there in zip(taken.optimizers, state.optimizers, strict=True):
        assert type(here) is type(there)
    moments = taken.optimizers[0].state[taken.model.left]
    assert torch.equal(moments["exp_avg"], state.optimizers[0].state[state.model.left]["exp_avg"])
    assert moments["step"] == 2


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (PLAN[:1], r"is of another plan\n  found     step 2 of phase 2"),
        ((PLAN[0], Phase("late", 1)), r"is of another plan\n  found     step 2 of phase 2"),
        ((PLAN[0], Phase("late", 6)), "has other optimisers than the plan"),
    ],
)
def test_another_plan_is_refused(state: TrainingState, plan: tuple[Phase, ...], message: str) -> None:
    state.save()
    with pytest.raises(RunError, match=message):
        fresh(state, *plan).resume(state.run_dir / "checkpoints" / "0000006")


def test_nothing_goes_on_from_the_end(state: TrainingState) -> None:
    with pytest.raises(RunError, match="is the end of a run, from which nothing goes on"):
        fresh(state).resume(state.finish())


def test_on_another_number_of_ranks_random_draws_begin_anew(state: TrainingState) -> None:
    two = Place(state.where.device, world=2)
    state.save()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    TrainingState(Tiny(), PLAN, state.run_dir, two).resume(state.run_dir / "checkpoints" / "0000006")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_total_that_is_not_finite_is_told_with_its_step_and_terms(state: TrainingState, value: float) -> None:
    for total in (1.0, value, float("nan"), 1.0):
        state.step += 1
        state.recent.append({"total": torch.tensor(total), "part": torch.tensor(state.step / 2)})
    message = rf"not finite: the loss in phase 'late', step 4\n  found     total {value:.4g}, part 2\n"
    with pytest.raises(RunError, match=message):
        state.save()
    assert checkpoint.numbered(state.run_dir) == []


def test_finite_totals_are_looked_at_once(state: TrainingState) -> None:
    state.refuse_poison()
    assert state.recent == []
    state.refuse_poison()


def test_weights_that_are_not_finite_are_not_saved_under_a_finite_total(state: TrainingState) -> None:
    with torch.no_grad():
        state.model.right.fill_(float("nan"))
    with pytest.raises(RunError, match=r"not finite: the weights in phase 'late', step 2\n  found     right\n"):
        state.save()
    assert checkpoint.numbered(state.run_dir) == []


def test_the_log_is_cut_back_to_the_updates_done(state: TrainingState) -> None:
    lines = [{"updates": n} for n in (5, 6, 7)]
    log = state.run_dir / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in [{"event": "note"}, *lines]) + '{"upda')
    state.rewind_log()
    assert [json.loads(line) for line in log.read_text().splitlines()] == [{"event": "note"}, *lines[:2]]


def test_checkpoints_at_the_ends_of_phases_stay(state: TrainingState) -> None:
    state.phase, state.step = 0, 4
    state.optimizers = phases.optimizers(state.model, PLAN[0])
    state.save()
    state.phase = 1
    for step in range(1, 7):
        state.step = step
        state.save()
    assert [int(folder.name) for folder in checkpoint.numbered(state.run_dir)] == [4, 8, 9, 10]


def test_what_is_saved_beside_is_the_state_of_that_moment(state: TrainingState) -> None:
    expected = checkpoint.weights_of(state.model)
    moments = checkpoint.copied([optimizer.state_dict() for optimizer in state.optimizers])
    held, put = [], state.writer.put
    state.writer.put = held.append  # type: ignore[method-assign, assignment]
    state.save(beside=True)
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter.add_(1)
        for optimizer in state.optimizers:
            for moment in optimizer.state.values():
                moment.clear()
    put(held[0])
    state.writer.wait()
    folder = checkpoint.numbered(state.run_dir)[-1]
    found = checkpoint.load_state(folder)
    torch.testing.assert_close(found["optimizers"], moments, rtol=0, atol=0)
    torch.testing.assert_close(dict(checkpoint.read(folder / checkpoint.WEIGHTS)), expected, rtol=0, atol=0)
