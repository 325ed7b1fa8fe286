"""The rules for models, tried with the very functions that the training loop uses."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from ocbench import settings
from ocbench.contract import Rule, source
from ocbench.contract.predictions import TOLERANCE, check_prediction
from ocbench.errors import PluginError
from ocbench.plugin import ModelPlugin, Phase, Prediction
from ocbench.runner import device, phases
from ocbench.scene import Protocol

SMALL = Protocol("contract-small", 1, (64, 64), 3, ())
LARGE = Protocol("contract-large", 1, (128, 128), 6, ())
PREFERRED = ("mini-plain", "*")  # the presets meant for a CPU
HERE = device.Place(torch.device("cpu"))
SCENES = 2  # in a batch
LOOKED_AT = 16  # images handed to `start`, at most


class Subject:
    """A model under test, in its preset for a CPU."""

    def __init__(self, plugin: ModelPlugin, assignments: tuple[str, ...]) -> None:
        self.plugin = plugin
        self.preset = next((name for name in PREFERRED if name in plugin.presets), next(iter(plugin.presets)))
        self.config = settings.override(plugin.presets[self.preset], assignments)

    def plan(self, scenario: str | None = None) -> tuple[Phase, ...]:
        return self.plugin.scenarios[scenario or next(iter(self.plugin.scenarios))](self.config)

    def built(self, protocol: Protocol = SMALL, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        return self.plugin.build(self.config, protocol)

    def started(self, protocol: Protocol = SMALL, seed: int = 0) -> Any:
        """A model that every phase of its first scenario has shown its images to, in eval mode."""
        model = self.built(protocol, seed)
        for phase in self.plan():
            show(model, phase, protocol)
        return model.eval()

    def steps(self) -> Iterator[tuple[str, Phase]]:
        """Scenario and phase, for each phase with updates."""
        for scenario in self.plugin.scenarios:
            for phase in self.plan(scenario):
                if phase.steps:
                    yield scenario, phase


def images(protocol: Protocol = SMALL, count: int = SCENES) -> torch.Tensor:
    """float32 [count, 3, H, W]: smooth grounds with a square each, the same at every call."""
    random = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 4, 4, generator=random)
    made = nn.functional.interpolate(coarse, protocol.size, mode="bilinear")
    side = protocol.size[0] // 4
    made[:, :, side : 2 * side, side : 2 * side] = torch.rand(count, 3, 1, 1, generator=random)
    return made


def show(model: Any, phase: Phase, protocol: Protocol = SMALL) -> None:
    if phase.sample:
        with torch.no_grad():
            model.start(phase.name, images(protocol, min(phase.sample, LOOKED_AT)))


def predicted(model: Any, batch: torch.Tensor, detail: bool = False) -> Prediction:
    torch.manual_seed(7)
    with torch.no_grad():
        return model.predict(batch, detail)


def sound_plan(subject: Subject) -> str:
    """Every scenario: something to do, parts that exist, clocks that add up, rates that are numbers."""
    model, names = subject.built(), []
    for scenario in subject.plugin.scenarios:
        plan = subject.plan(scenario)
        if any(p.requires_grad for p in model.parameters()) and not any(phase.steps or phase.sample for phase in plan):
            raise PluginError(
                f"scenario '{scenario}' has no updates and looks at no images, but there is what could learn"
            )
        for at, phase in enumerate(plan):
            _check_clock(plan, at)
            _check_rates(phase)
            for name in phase.depends_on or ():
                if not hasattr(subject.config, name):
                    raise PluginError(f"phase '{phase.name}' depends on '{name}', which is no setting")
        phases.check(copy.deepcopy(model), plan)
        names.append(f"{scenario}: {len(plan)}")
    return "phases of " + ", ".join(names)


def _check_clock(plan: tuple[Phase, ...], at: int) -> None:
    """A clock starts anew or goes on where phases before it left theirs."""
    before = [0]
    for phase in reversed(plan[:at]):
        before.append(before[-1] + phase.steps)
    starts = {0, *before, *(phase.clock_start + phase.steps for phase in plan[:at])}
    if plan[at].clock_start not in starts:
        expected = ", ".join(map(str, sorted(starts)))
        raise PluginError(
            f"phase '{plan[at].name}' starts its clock at {plan[at].clock_start}, which no phases before it add up to",
            found=f"sums {expected}",
        )


def _check_rates(phase: Phase) -> None:
    for plan in phase.optimizers if phase.steps else ():
        for n in (1, 2, phase.steps // 2 or 1, phase.steps):
            rate = plan.learning_rate * plan.schedule(phase.clock_start + n)
            if not math.isfinite(rate) or rate < 0:
                raise PluginError(f"phase '{phase.name}' has the learning rate {rate} at update {n}")


def builds(subject: Subject) -> str:
    kind = type(subject.config)
    if not dataclasses.is_dataclass(kind) or not vars(kind)["__dataclass_params__"].frozen:
        raise PluginError(f"the preset '{subject.preset}' is no frozen dataclass")
    settings.from_json(kind, settings.to_json(subject.config))
    counts = []
    for protocol in (SMALL, LARGE):
        model = subject.built(protocol)
        if not isinstance(model, nn.Module):
            raise PluginError(f"build gave a {type(model).__name__}", expected="a torch.nn.Module")
        counts.append(f"{protocol.size[0]} px, K = {protocol.max_objects}")
    return f"{' and '.join(counts)}; preset '{subject.preset}'"


def sound_prediction(subject: Subject) -> str:
    seen = []
    for protocol in (SMALL, LARGE):
        batch = images(protocol)
        found = predicted(subject.started(protocol), batch, detail=True)
        check_prediction(found, batch)
        seen.append(str(found.weights.shape[1]))
    return f"slots: {' and '.join(seen)}"


def any_batch(subject: Subject) -> str:
    model, batch = subject.started(), images(count=3)
    state = torch.get_rng_state()
    together = predicted(model, batch)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with torch.no_grad():
        model.predict(batch)
    drew = not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(state)
    if drew:
        return "left out: the model draws random numbers when it predicts"
    alone = predicted(model, batch[1:2])
    apart = (alone.weights[0] - together.weights[1]).abs().max().item()
    if apart > TOLERANCE:
        raise PluginError(f"a scene predicted alone and in a batch differs by {apart:.3g} in 'weights'")
    return f"largest difference {apart:.1g}"


def repeatable(subject: Subject) -> str:
    first, second = (_made(subject) for _ in range(2))
    for name, value in first.items():
        if not torch.equal(value, second[name]):
            raise PluginError(f"the {name} of one seed differs between two builds")
    return f"two builds, one seed: {', '.join(first)}"


def _made(subject: Subject) -> dict[str, torch.Tensor]:
    """What a model of a fixed seed gives."""
    model = subject.started(seed=3)
    found = {f"loss of '{phase.name}'": loss_of(model, phase, 0)["total"].detach() for _, phase in subject.steps()}
    return {**found, "prediction": predicted(model.eval(), images()).weights}


def loss_of(model: Any, phase: Phase, done: int, step: Callable[..., Any] | None = None) -> dict[str, torch.Tensor]:
    """The terms of a phase on the contract's images, under a fixed seed."""
    show(model, phase)
    phases.set_learning(model, phase)
    batch, clock = images(), torch.tensor(phase.clock_start + done)
    more: tuple[torch.Tensor, ...] = ()
    if phase.precompute:
        with torch.no_grad():
            stored = model.precompute(batch)
        if stored.dtype != torch.uint8 or stored.ndim != 4 or len(stored) != len(batch):
            raise PluginError(f"precompute gave {stored.dtype} {list(stored.shape)}, not uint8 [{len(batch)}, C, H, W]")
        more = (stored,)
    torch.manual_seed(5)
    return (device.wrapped(model, HERE) if step is None else step)(batch, phase.name, clock, *more)


def learns(subject: Subject) -> str:
    """Every phase of every scenario, at its first, middle and last update."""
    count = 0
    for scenario, phase in subject.steps():
        model = subject.built()
        phases.set_learning(model, phase)
        made = phases.optimizers(model, dataclasses.replace(phase, renew=True))
        for done in sorted({0, phase.steps // 2, phase.steps - 1}):
            for optimizer in made:
                optimizer.zero_grad(set_to_none=True)
            terms = loss_of(model, phase, done)
            phases.check_terms(phase, terms)
            where = f"phase '{phase.name}' of '{scenario}', update {done + 1}"
            for name, value in terms.items():
                if not torch.isfinite(value):
                    raise PluginError(f"{where}: '{name}' is {value.item()}")
            terms["total"].backward()
            phases.check_gradients(phase, model, made)
            bad = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
            if bad:
                raise PluginError(f"{where}: the gradient of '{bad[0]}' is not finite")
            phases.set_rates(phase, made, phase.clock_start + done + 1)
            for optimizer in made:
                optimizer.step()
            if hasattr(model, "after_step"):
                with torch.no_grad():
                    model.after_step(
                        {k: v.detach() for k, v in terms.items()}, phase.name, phase.clock_start + done + 1, made
                    )
            count += 1
    return f"{count} updates" if count else "left out: the model has no updates"


def _drawing(model: Any, phase: Phase, done: int) -> tuple[torch.Tensor, bool]:
    """The total, and whether random numbers were drawn for it: a compiler draws others."""
    total = loss_of(model, phase, done)["total"]
    after = torch.get_rng_state()
    torch.manual_seed(5)
    return total, not torch.equal(after, torch.get_rng_state())


def one_graph(subject: Subject) -> str:
    """A compiled loss may neither break nor be compiled again when the clock moves on."""
    graphs = 0

    def backend(graph: Any, _: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    done = 0
    for _, phase in list(subject.steps()):
        torch.compiler.reset()
        model = subject.built()
        step = torch.compile(device.wrapped(model, HERE), backend=backend, fullgraph=True)
        graphs = 0
        for clock in (0, 1, phase.steps - 1):
            plain, drew = _drawing(copy.deepcopy(model), phase, clock)
            compiled = loss_of(model, phase, clock, step)["total"]
            if not drew and not torch.allclose(plain, compiled, rtol=1e-4):
                raise PluginError(f"phase '{phase.name}': compiled, 'total' is {compiled:.6g}, not {plain:.6g}")
        if graphs > 1:
            raise PluginError(f"phase '{phase.name}' is compiled {graphs} times for one shape: read on the host?")
        done += 1
    torch.compiler.reset()
    return f"{done} phases" if done else "left out: the model has no updates"


def whole_state(subject: Subject) -> str:
    model = subject.started()
    for _, phase in list(subject.steps())[:1]:
        loss_of(model, phase, 0)
    other = subject.built(seed=99)
    other.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    first, second = (predicted(each.eval(), images()).weights for each in (model, other))
    if not torch.equal(first, second):
        raise PluginError(
            "a model with the loaded state predicts otherwise: something it needs is neither parameter nor buffer"
        )
    return f"{len(model.state_dict())} tensors"


RULES = (
    Rule("record", "a citation and a licence", lambda subject: source.named(subject.plugin)),
    Rule("imports", "public names of ocbench alone", lambda subject: source.public_imports_only(subject.plugin.build)),
    Rule("builds", "frozen settings, any size and K of the protocol", builds),
    Rule("plan", "phases whose parts exist, clocks that add up, finite rates", sound_plan),
    Rule("prediction", "float32 weights [B, S, H, W], not negative, summing to 1", sound_prediction),
    Rule("any batch", "in eval mode a scene's prediction without regard to its batch", any_batch),
    Rule("repeatable", "the same seed, the same model, loss and prediction", repeatable),
    Rule("learns", "finite terms with a 'total'; a gradient for all that learns, at every update", learns),
    Rule("one graph", "a loss that compiles whole, once for all clocks, with no host read", one_graph),
    Rule("whole state", "all that a prediction needs in parameters and buffers", whole_state),
)
