"""What a phase means for a model: who learns, by which optimisers, at which rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ocbench.errors import PluginError
from ocbench.plugin import Optimizer, Phase


def belongs(name: str, prefixes: Sequence[str]) -> bool:
    """Whether a parameter's name is one of the prefixes or lies below one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def set_learning(model: nn.Module, phase: Phase) -> None:
    """Makes learn what the phase trains; a module in which nothing learns goes to eval mode."""
    names = [name for name, _ in model.named_parameters()]
    for prefix in phase.trains:
        if not any(belongs(name, [prefix]) for name in names):
            raise PluginError(f"phase '{phase.name}' trains '{prefix}', but no parameter is called so")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not phase.trains or belongs(name, phase.trains))
        parameter.grad = None
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def optimizers(
    model: nn.Module, phase: Phase, before: Sequence[torch.optim.Optimizer] = ()
) -> list[torch.optim.Optimizer]:
    """The phase's optimisers over the parameters that learn; with `renew` False, moments move over from `before`."""
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    named = [n for n in learning if any(belongs(n, o.parameters) for o in phase.optimizers if o.parameters)]
    made, taken = [], set()
    for plan in phase.optimizers:
        mine = [n for n in learning if (belongs(n, plan.parameters) if plan.parameters else n not in named)]
        twice = taken.intersection(mine)
        if not mine or twice:
            fault = (
                f"'{min(twice)}' has two optimisers"
                if twice
                else f"no learning parameter below {plan.parameters or 'the rest'}"
            )
            raise PluginError(f"optimiser of phase '{phase.name}': {fault}")
        taken.update(mine)
        made.append(_optimizer(plan, [learning[name] for name in mine]))
    forgotten = set(learning) - taken
    if forgotten:
        raise PluginError(f"phase '{phase.name}' trains '{min(forgotten)}', which no optimiser holds")
    if not phase.renew:
        _carry_over(before, made)
    return made


def _carry_over(before: Sequence[torch.optim.Optimizer], after: Sequence[torch.optim.Optimizer]) -> None:
    moments = {parameter: state for optimizer in before for parameter, state in optimizer.state.items()}
    for optimizer in after:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter in moments:
                    optimizer.state[parameter] = moments[parameter]


def _optimizer(plan: Optimizer, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": plan.learning_rate, "weight_decay": plan.weight_decay}
    if plan.kind in ("adam", "adamw"):
        kind = torch.optim.Adam if plan.kind == "adam" else torch.optim.AdamW
        return kind(parameters, betas=plan.betas, eps=plan.eps, fused=True, **options)
    if plan.kind == "rmsprop":
        return torch.optim.RMSprop(parameters, alpha=plan.betas[1], eps=plan.eps, **options)
    if plan.kind == "sgd":
        return torch.optim.SGD(parameters, momentum=plan.betas[0], **options)
    raise PluginError(f"no optimiser '{plan.kind}'", expected="adam, adamw, rmsprop or sgd")


def set_rates(phase: Phase, made: Sequence[torch.optim.Optimizer], n: int) -> list[float]:
    """Sets and returns each optimiser's learning rate for the n-th update of the clock (from 1)."""
    rates = [plan.learning_rate * plan.schedule(n) for plan in phase.optimizers]
    for optimizer, rate in zip(made, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rates
