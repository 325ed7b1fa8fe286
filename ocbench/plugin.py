"""What a model must say to be trained and scored: torch-free records and one typing protocol.

A plug-in is one `ModelPlugin` named by an entry point of the group `ocbench.models`. The module that its `build`
returns inherits nothing but `torch.nn.Module`; `Model` below documents its methods. Rules that the loop relies on:

* every learning parameter takes part in `total` at every step (times zero where a step has no use for it);
* what a model carries from step to step is a buffer, hence in the checkpoint;
* `clock` is a 0-d int64 tensor of the updates already done; what changes a value over time is a tensor expression of
  it, what changes the structure of the computation is another phase;
* random numbers come from torch's own generators, whose states are in the checkpoint; `after_step`, which must do the
  same on every rank, draws from none but one that it seeds by `n`;
* no host read (`.item()`, `.cpu()`) inside `loss`; the batch size is not part of the model;
* parts that must stay fp32 say so with a disabled autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch

    from ocbench.scene import Protocol as DataProtocol


@dataclass(frozen=True)
class Constant:
    """Learning-rate multiplier 1 at every update."""

    def __call__(self, n: int) -> float:
        return 1.0


@dataclass(frozen=True)
class WarmupThenDrops:
    """Learning-rate multiplier (n / warmup)^power for n < warmup, then 1, multiplied by each drop from its update on.

    AST-Seg (paper section 3.4): WarmupThenDrops(5000, 2.0, ((112_500, 0.1),)).
    """

    warmup: int = 0  # updates
    power: float = 2.0
    drops: tuple[tuple[int, float], ...] = ()  # (first update concerned, factor)

    def __call__(self, n: int) -> float:
        if n < self.warmup:
            return (n / self.warmup) ** self.power
        value = 1.0
        for start, factor in self.drops:
            if n >= start:
                value *= factor
        return value


@dataclass(frozen=True)
class Optimizer:
    """One optimiser of a phase; its schedule is called with n = 1 for the first update of the clock."""

    kind: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)  # rmsprop: (unused, alpha); sgd: (momentum, unused)
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: Callable[[int], float] = Constant()
    parameters: tuple[str, ...] = ()  # name prefixes; () = whatever no other optimiser of the phase names


@dataclass(frozen=True)
class Phase:
    """A stretch of training in which the same parts learn by the same rule."""

    name: str  # handed to `loss`
    steps: int  # optimiser updates; 0 for a phase that is only `start`
    trains: tuple[str, ...] = ()  # name prefixes that learn; all else is frozen, wholly frozen modules in eval mode
    batch_size: int = 1  # scenes per update, over all ranks
    optimizers: tuple[Optimizer, ...] = (Optimizer(),)
    clip_norm: float | None = None  # one limit over all gradients
    renew: bool = True  # False: the optimisers of the phase before go on with their moments
    clock_start: int = 0  # updates already counted when the phase begins
    sample: int = 0  # training images handed to `start`; 0 = `start` is not called
    precompute: bool = False  # store `precompute` for every training scene and gather it like the images
    depends_on: tuple[str, ...] | None = None  # settings that alone decide the outcome; None = never reused


@dataclass
class Prediction:
    """What a model makes of a batch. B batch, S slots, H W pixels."""

    weights: torch.Tensor  # float32 [B, S, H, W], >= 0, sums to 1 over S
    reconstruction: torch.Tensor | None = None  # float32 [B, 3, H, W], images in [0, 1], never clamped
    layers: torch.Tensor | None = None  # float32 [B, S, 3, H, W], what each slot draws; only with detail
    centres: torch.Tensor | None = None  # float32 [B, S, 2], x and y in [-1, 1]; only with detail
    alternatives: Mapping[str, torch.Tensor] | None = None  # other masks that papers score, like `weights`
    attention: torch.Tensor | None = None  # float32 [B, S, h, w], where each slot looked; only with detail


class Model(Protocol):
    """The methods of a built model. `loss` and `predict` are required, the rest only where the model needs it."""

    def loss(
        self, images: torch.Tensor, phase: str, clock: torch.Tensor, precomputed: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Scalars: "total" is minimised, the rest is logged. `images` float32 [B, 3, H, W] in [0, 1]."""
        ...

    def predict(self, images: torch.Tensor, detail: bool = False) -> Prediction:
        """Slots of a batch, in eval mode and under no_grad."""
        ...

    def start(self, phase: str, images: torch.Tensor) -> None:
        """Optional: before the phase, `Phase.sample` training images, the same on every rank."""
        ...

    def precompute(self, images: torch.Tensor) -> torch.Tensor:
        """Optional: uint8 [B, C, H, W], once per training scene; its rows come back to `loss` as `precomputed`.

        Made anew when a run is resumed, hence by nothing that the phase trains.
        """
        ...

    def after_step(
        self, terms: Mapping[str, torch.Tensor], phase: str, n: int, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Optional: after the n-th update of the clock, under no_grad; `terms` are averaged over the ranks."""
        ...

    def edit(self, images: torch.Tensor, drop: Sequence[int], move: Mapping[int, tuple[float, float]]) -> Prediction:
        """Optional: the same scene without some slots, or with slots elsewhere (dx, dy in [-1, 1] units)."""
        ...


@dataclass(frozen=True)
class Variant:
    """A change of a model that its authors report: one row of their ablation table."""

    summary: str
    settings: tuple[str, ...] = ()  # KEY=VALUE, as of `train --set`
    scenario: str | None = None  # None: the default one
    published: str | None = None  # its system in the published tables


@dataclass(frozen=True)
class Band:
    """Where a figure of the probe lies in healthy runs of a preset, from a share of all updates on."""

    figure: str  # foreground, live_slots, background_error, probe_miou, probe_ari_fg
    low: float
    high: float
    after: float = 0.5
    helps: str = "another seed, or a lower learning rate"  # what usually does, in words


@dataclass(frozen=True)
class ModelPlugin:
    """Everything that the core must know of a model, in one record named by one entry point."""

    name: str
    summary: str
    presets: Mapping[str, Any]  # preset name -> frozen config dataclass; the first names the default dataset
    scenarios: Mapping[str, Callable[[Any], tuple[Phase, ...]]]  # the first is the default
    build: Callable[[Any, DataProtocol], Any]  # (config, protocol) -> torch.nn.Module
    has_background: bool = True  # whether slot 0 is the background
    published: Mapping[str, str] = field(default_factory=dict)  # scenario -> system in the published tables
    variants: tuple[Variant, ...] = ()
    healthy: Mapping[str, tuple[Band, ...]] = field(default_factory=dict)  # preset -> bands learned from its runs
    citation: str = ""
    license: str = ""
