"""What a phase means for a run and its model: how much is done, who learns, by which optimisers, at which rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ocbench.errors import PluginError, UsageError
from ocbench.plugin import ModelPlugin, Optimizer, Phase
from ocbench.runs import RunConfig


def planned(plugin: ModelPlugin, config: Any, run: RunConfig) -> tuple[Phase, ...]:
    """The phases of the scenario, under the run's limits on steps and batch size."""
    changed = []
    for phase in plugin.scenarios[run.scenario](config):
        for name in phase.depends_on or ():
            if not hasattr(config, name):
                raise PluginError(f"phase '{phase.name}' depends on '{name}', which is no setting of '{plugin.name}'")
        steps = phase.steps if run.steps is None else min(phase.steps, run.steps)
        changed.append(replace(phase, steps=steps, batch_size=run.batch_size or phase.batch_size))
    return tuple(changed)


def check_batches(plan: Sequence[Phase], scenes: int, stream: bool, world: int) -> None:
    """Refuses batches that some phase could not get, before the run directory is claimed."""
    for phase in plan:
        if phase.batch_size % world:
            raise UsageError(
                f"a batch of {phase.batch_size} cannot be shared equally by {world} ranks", hint="another --batch-size"
            )
        if phase.steps and phase.batch_size > scenes:
            found = f"phase '{phase.name}': batch {phase.batch_size}; training scenes: {scenes}"
            raise UsageError("a batch is larger than the training set", found=found, hint="a smaller --batch-size")
        if stream and phase.precompute:
            raise UsageError(f"phase '{phase.name}' stores what it precomputes", hint="leave --stream out")


def belongs(name: str, prefixes: Sequence[str]) -> bool:
    """Whether a parameter's name is one of the prefixes or lies below one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def check(model: nn.Module, plan: Sequence[Phase]) -> None:
    """Tries every phase on; PluginError where one would fail, so that a long run does not end in its last phase."""
    made: list[torch.optim.Optimizer] = []
    for phase in plan:
        for wanted, method in ((phase.sample, "start"), (phase.precompute, "precompute")):
            if wanted and not hasattr(model, method):
                raise PluginError(f"phase '{phase.name}' needs the model's '{method}', but it has none")
        if phase.steps:
            set_learning(model, phase)
            made = optimizers(model, phase, made)


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
    made: list[torch.optim.Optimizer] = []
    taken: set[str] = set()
    for plan in phase.optimizers:
        mine = [n for n in learning if (belongs(n, plan.parameters) if plan.parameters else n not in named)]
        twice = taken.intersection(mine)
        if twice:
            raise PluginError(f"phase '{phase.name}': '{min(twice)}' has two optimisers")
        if not mine:
            below = ", ".join(plan.parameters) or "(all that the others leave)"
            raise PluginError(f"phase '{phase.name}': no parameter learns for the optimiser of {below}")
        taken.update(mine)
        made.append(_optimizer(plan, [learning[name] for name in mine]))
    forgotten = set(learning) - taken
    if forgotten:
        raise PluginError(f"phase '{phase.name}' trains '{min(forgotten)}', which no optimiser holds")
    if not phase.renew:
        _carry_over(phase, before, made)
    return made


def _carry_over(phase: Phase, before: Sequence[torch.optim.Optimizer], after: Sequence[torch.optim.Optimizer]) -> None:
    holders = {parameter: optimizer for optimizer in before for parameter in parameters_of([optimizer])}
    for optimizer in after:
        for parameter in parameters_of([optimizer]):
            holder = holders.get(parameter)
            if holder is not None and type(holder) is not type(optimizer):
                kinds = f"{type(holder).__name__} to {type(optimizer).__name__}"
                raise PluginError(f"phase '{phase.name}' cannot keep moments from {kinds}", hint="renew=True")
            if holder is not None and parameter in holder.state:
                optimizer.state[parameter] = holder.state[parameter]


def parameters_of(made: Sequence[torch.optim.Optimizer]) -> list[nn.Parameter]:
    """The parameters that the optimisers hold, in their order."""
    return [parameter for optimizer in made for group in optimizer.param_groups for parameter in group["params"]]


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


def check_terms(phase: Phase, terms: Any) -> None:
    """PluginError where the loss is no mapping of scalars with a 'total' to minimise."""
    wrong = None
    if not isinstance(terms, Mapping) or "total" not in terms:
        wrong = ", ".join(terms) if isinstance(terms, Mapping) else type(terms).__name__
    else:
        for name, value in terms.items():
            if not isinstance(value, torch.Tensor) or value.ndim:
                wrong = f"'{name}': {list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__}"
    if wrong is not None:
        expected = "a dict of 0-d tensors, 'total' among them"
        raise PluginError(
            f"the model's loss breaks its contract in phase '{phase.name}'", expected=expected, found=wrong
        )
    if not terms["total"].requires_grad:
        raise PluginError(f"the model's 'total' depends on nothing that learns in phase '{phase.name}'")


def check_gradients(phase: Phase, model: nn.Module, made: Sequence[torch.optim.Optimizer]) -> None:
    """PluginError where a learning parameter took no part in the total."""
    if any(parameter.grad is None for parameter in parameters_of(made)):
        idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        raise PluginError(
            f"phase '{phase.name}' trains parameters that take no part in 'total'",
            found=", ".join(idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else ""),
            hint="name in `trains` what learns, or add what is unused times zero",
        )


def set_rates(phase: Phase, made: Sequence[torch.optim.Optimizer], n: int) -> list[float]:
    """Sets and returns each optimiser's learning rate for the n-th update of the clock (from 1)."""
    rates = [plan.learning_rate * plan.schedule(n) for plan in phase.optimizers]
    for optimizer, rate in zip(made, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rates
