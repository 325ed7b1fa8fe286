"""GENESIS-V2: pixels are coloured by instance, and masks grow around random seeds; no slot comes before another.

The objective is the likelihood of the image as a mixture over the decoded masks and the divergence of the latents from
a prior that reads them one after the other, weighted by GECO. "Benchmark" is the implementation behind the published
figures of the CLEVRTEX tables. The records here are light: torch is imported by `build`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ocbench import ModelPlugin, Optimizer, Phase, Variant

if TYPE_CHECKING:
    from ocbench import Protocol
    from ocbench_models.genesis_v2.model import GenesisV2


@dataclass(frozen=True)
class GenesisV2Config:
    """Every setting of GENESIS-V2; the defaults are the published ones."""

    slots: int | None = None  # None: the most objects of the protocol, and one for the background
    width: int = 64  # channels of the U-Net's first blocks and of the two heads; a multiple of 8
    embedding_size: int = 8  # numbers by which pixels are told apart; the last two start as row and column
    latent_size: int = 64
    feature_size: int = 128  # numbers of a slot before its posterior
    decoder_width: int = 64  # channels; a multiple of 8
    prior_size: int = 256  # numbers of the prior's LSTM
    first_std: float | None = None  # of the posterior at the first update, about; None: near 1, as published
    latents: Literal["sample", "mean"] = "sample"  # of evaluation; the seeds of the masks are random either way

    pixel_std: float = 0.7  # of a colour
    goal: float = 0.5655  # GECO's error, nats per value; out of reach below log(pixel_std) + 0.919, here 0.5623
    reference: bool = False  # take `reference_goal` for the goal, as the benchmark's command for the dataset does
    reference_goal: float = 0.5655
    geco_rate: float = 1e-5  # at 64 px; falls with the number of pixels

    steps: int = 500_000
    batch_size: int = 32  # scenes per update
    learning_rate: float = 1e-4

    @property
    def error_goal(self) -> float:
        """GECO's goal, nats per value."""
        return self.reference_goal if self.reference else self.goal


PUBLISHED = GenesisV2Config()
# The benchmark's goal for CLEVRTEX cannot be reached: the weight of the divergence falls to its floor, and what is left
# is a plain autoencoder. We take the goal of all other datasets.
CLEVRTEX = replace(PUBLISHED, reference_goal=0.5)
# A standard deviation of 0.7 leaves the colours of a few thousand updates undecided. The goal is a mean squared error
# of 0.003; a faster GECO takes all weight off the divergence before there is a scene. With posteriors that start
# as wide as the prior, some seeds never learn to say much with their latents, and do not part the objects.
MINI_PLAIN = replace(
    PUBLISHED,
    width=32,
    latent_size=16,
    feature_size=64,
    decoder_width=16,
    prior_size=64,
    first_std=0.1,
    pixel_std=0.2,
    goal=-0.6525,
    geco_rate=2e-6,
    steps=4500,
    batch_size=8,
    learning_rate=7e-4,
)
# Not tried yet: the loss of MINI_PLAIN at 128 px and ten objects.
MINI_GPU = replace(
    PUBLISHED,
    width=32,
    decoder_width=32,
    first_std=0.1,
    pixel_std=0.2,
    goal=-0.6525,
    geco_rate=2e-6,
    steps=4000,
    learning_rate=4e-4,
)

PRESETS = {
    "clevrtex": CLEVRTEX,
    "clevr": PUBLISHED,
    "shapestacks": replace(PUBLISHED, slots=9),
    "objectsroom": replace(PUBLISHED, slots=7),
    "mini-plain": MINI_PLAIN,
    "mini-fixed": MINI_PLAIN,
    "mini-tex": MINI_PLAIN,
    "mini-gpu": MINI_GPU,
}


def train(config: GenesisV2Config) -> tuple[Phase, ...]:
    """One phase, in which everything learns."""
    adam = Optimizer("adam", config.learning_rate)
    return (Phase("train", config.steps, batch_size=config.batch_size, optimizers=(adam,)),)


def build(config: GenesisV2Config, protocol: Protocol) -> GenesisV2:
    """The untrained network for the protocol's image size and number of objects."""
    from ocbench_models.genesis_v2.model import GenesisV2

    return GenesisV2(config, protocol.size, config.slots or protocol.max_objects + 1)


GENESIS_V2 = ModelPlugin(
    name="genesis-v2",
    summary="masks grow around random seeds in an embedding of the pixels; each slot has a VAE's latent",
    presets=PRESETS,
    scenarios={"default": train},
    build=build,
    has_background=False,
    published={"default": "GENESIS-V2"},
    variants=(Variant("the goal of the benchmark's command", ("reference=true",), published="GENESIS-V2"),),
    citation=(
        "Martin Engelcke, Oiwi Parker Jones and Ingmar Posner. GENESIS-V2: inferring unordered object representations "
        "without iterative refinement. NeurIPS 2021."
    ),
    license="Apache-2.0",
)
