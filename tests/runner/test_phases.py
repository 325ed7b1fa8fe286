"""Who learns, by which optimisers, at which rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ocbench import Optimizer, Phase, PluginError, WarmupThenDrops
from ocbench.runner import phases

CONTRACT = "loss breaks its contract in phase 'p'"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout())
        self.eyebrow = nn.Linear(3, 1)
        self.gain = nn.Parameter(torch.ones(1))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def learning(net: nn.Module) -> set[str]:
    return {name for name, parameter in net.named_parameters() if parameter.requires_grad}


EVERYTHING = {"eye.0.weight", "eye.0.bias", "eye.1.weight", "eye.1.bias", "eyebrow.weight", "eyebrow.bias", "gain"}


@pytest.mark.parametrize(
    ("trains", "expected"),
    [
        ((), EVERYTHING),
        (("eye",), {"eye.0.weight", "eye.0.bias", "eye.1.weight", "eye.1.bias"}),
        (("eyebrow", "gain"), {"eyebrow.weight", "eyebrow.bias", "gain"}),
        (("eye.0.weight",), {"eye.0.weight"}),
    ],
)
def test_only_what_the_phase_trains_learns(net: Net, trains: tuple[str, ...], expected: set[str]) -> None:
    """A prefix ends at a dot: `eye` is not `eyebrow`."""
    phases.set_learning(net, Phase("p", 1, trains))
    assert learning(net) == expected


def test_a_module_in_which_nothing_learns_is_in_eval_mode(net: Net) -> None:
    phases.set_learning(net, Phase("p", 1, ("eyebrow",)))
    assert not net.eye.training
    assert not net.eye[1].training
    assert net.training
    assert net.eyebrow.training
    phases.set_learning(net, Phase("q", 1))
    assert all(module.training for module in net.modules())


def test_an_unknown_prefix_is_named(net: Net) -> None:
    with pytest.raises(PluginError, match="phase 'p' trains 'ear', but no parameter is called so"):
        phases.set_learning(net, Phase("p", 1, ("eye", "ear")))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("adam", {"betas": (0.5, 0.9), "eps": 1e-6, "weight_decay": 0.01}),
        ("adamw", {"betas": (0.5, 0.9), "eps": 1e-6, "weight_decay": 0.01}),
        ("rmsprop", {"alpha": 0.9, "eps": 1e-6, "weight_decay": 0.01}),
        ("sgd", {"momentum": 0.5, "weight_decay": 0.01}),
    ],
)
def test_an_optimiser_is_what_its_record_says(net: Net, kind: str, expected: dict) -> None:
    plan = Optimizer(kind, 0.3, betas=(0.5, 0.9), eps=1e-6, weight_decay=0.01)  # type: ignore[arg-type]
    (made,) = phases.optimizers(net, Phase("p", 1, optimizers=(plan,)))
    assert type(made).__name__.lower() == kind
    assert {name: made.param_groups[0][name] for name in expected} == expected
    assert made.param_groups[0]["lr"] == 0.3
    assert len(phases.parameters_of([made])) == len(EVERYTHING)


def test_one_optimiser_takes_what_the_others_leave(net: Net) -> None:
    rest, named = Optimizer("adam"), Optimizer("sgd", parameters=("eye", "gain"))
    for plan in ((rest, named), (named, rest)):
        made = phases.optimizers(net, Phase("p", 1, optimizers=plan))
        held = {type(o).__name__: {id(p) for p in phases.parameters_of([o])} for o in made}
        assert held["Adam"] == {id(net.eyebrow.weight), id(net.eyebrow.bias)}
        assert held["SGD"] == {id(p) for p in (*net.eye.parameters(), net.gain)}


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ((Optimizer(parameters=("eye",)),), "trains 'eyebrow.bias', which no optimiser holds"),
        ((Optimizer(parameters=("eye",)), Optimizer(parameters=("eye.0",)), Optimizer()), "'eye.0.bias' has two"),
        ((Optimizer(), Optimizer(parameters=("ear",))), "no parameter learns for the optimiser of ear"),
        ((Optimizer(parameters=("eye", "eyebrow", "gain")), Optimizer()), "all that the others leave"),
        ((Optimizer("lion"),), "no optimiser 'lion'"),  # type: ignore[arg-type]
    ],
)
def test_optimisers_that_cannot_be_meant(net: Net, plan: tuple[Optimizer, ...], message: str) -> None:
    phase = Phase("p", 1, optimizers=plan)
    phases.set_learning(net, phase)
    with pytest.raises(PluginError, match=message):
        phases.optimizers(net, phase)


def step(net: Net, made: list[torch.optim.Optimizer]) -> None:
    net.eyebrow(net.eye(torch.ones(4, 2))).sum().add(net.gain.sum()).backward()
    for optimizer in made:
        optimizer.step()


def test_moments_are_kept_where_the_phase_says_so(net: Net) -> None:
    before = phases.optimizers(net, Phase("p", 1, ("eye", "eyebrow")))
    step(net, before)
    moments = before[0].state[net.eyebrow.weight]["exp_avg"].clone()
    new = phases.optimizers(net, Phase("q", 1, renew=True), before)
    assert not new[0].state
    kept = phases.optimizers(net, Phase("q", 1, renew=False, optimizers=(Optimizer(eps=1e-3),)), before)
    assert torch.equal(kept[0].state[net.eyebrow.weight]["exp_avg"], moments)
    assert kept[0].param_groups[0]["eps"] == 1e-3
    step(net, kept)
    assert kept[0].state[net.eyebrow.weight]["step"] == 2


def test_moments_do_not_move_between_kinds(net: Net) -> None:
    before = phases.optimizers(net, Phase("p", 1))
    with pytest.raises(PluginError, match="phase 'q' cannot keep moments from Adam to SGD"):
        phases.optimizers(net, Phase("q", 1, renew=False, optimizers=(Optimizer("sgd"),)), before)


def test_rates_follow_each_schedule(net: Net) -> None:
    warm = Optimizer(learning_rate=2.0, schedule=WarmupThenDrops(4, 2.0, ((6, 0.1),)))
    phase = Phase("p", 1, optimizers=(warm, Optimizer("sgd", 0.5, parameters=("gain",))))
    made = phases.optimizers(net, phase)
    found = [phases.set_rates(phase, made, n) for n in (1, 2, 3, 4, 5, 6, 7)]
    assert [rates[0] for rates in found] == pytest.approx([0.125, 0.5, 1.125, 2.0, 2.0, 0.2, 0.2])
    assert {rates[1] for rates in found} == {0.5}
    assert [optimizer.param_groups[0]["lr"] for optimizer in made] == found[-1]


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (Phase("late", 1, sample=8), "phase 'late' needs the model's 'start'"),
        (Phase("late", 0, sample=8), "phase 'late' needs the model's 'start'"),
        (Phase("late", 1, precompute=True), "phase 'late' needs the model's 'precompute'"),
        (Phase("late", 1, ("ear",)), "trains 'ear'"),
        (Phase("late", 1, renew=False, optimizers=(Optimizer("sgd"),)), "cannot keep moments"),
    ],
)
def test_a_late_phase_is_tried_on_before_the_first(net: Net, phase: Phase, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        phases.check(net, (Phase("early", 1), phase))


def test_a_phase_without_updates_trains_nothing_that_could_be_wrong(net: Net) -> None:
    phases.check(net, (Phase("early", 0, ("ear",)),))


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        ({"loss": torch.zeros(())}, "loss"),
        (torch.zeros(()), "Tensor"),
        ({"total": torch.zeros(3)}, r"'total': \[3\]"),
        ({"total": torch.zeros(()), "count": 3}, "'count': int"),
    ],
)
def test_a_loss_is_a_dict_of_scalars(terms: object, found: str) -> None:
    with pytest.raises(PluginError, match=f"{CONTRACT}(?s:.*){found}"):
        phases.check_terms(Phase("p", 1), terms)


def test_a_total_depends_on_what_learns() -> None:
    with pytest.raises(PluginError, match="'total' depends on nothing that learns in phase 'p'"):
        phases.check_terms(Phase("p", 1), {"total": torch.zeros(())})


def test_idle_parameters_are_named(net: Net) -> None:
    phase = Phase("p", 1)
    made = phases.optimizers(net, phase)
    net.eyebrow(net.eye(torch.ones(4, 2))).sum().backward()
    with pytest.raises(
        PluginError, match=r"phase 'p' trains parameters that take no part in 'total'\n  found     gain\n"
    ):
        phases.check_gradients(phase, net, made)
    (net.gain.sum() * 0).backward()
    phases.check_gradients(phase, net, made)
