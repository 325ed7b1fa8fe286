"""Slot Attention: slots that compete for the pixels of an encoder, each decoded to an image and a mask.

Its objective is the squared error of the reconstruction, and nothing else. "Benchmark" is the implementation behind the
published figures of the CLEVRTEX tables, "original" that of the Slot Attention paper. The records here are light: torch
is imported by `build`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ocbench import ModelPlugin, Optimizer, Phase
from ocbench_models.blocks.schedules import WarmupThenDecay

if TYPE_CHECKING:
    from ocbench import Protocol
    from ocbench_models.slot_attention.model import SlotAttentionAutoencoder


@dataclass(frozen=True)
class SlotAttentionConfig:
    """Every setting of Slot Attention; the defaults are the benchmark's for CLEVR and CLEVRTEX."""

    slots: int | None = None  # None: the most objects of the protocol, and one for the background
    channels: int = 64  # of every convolution
    encoder_strides: tuple[int, ...] = (1, 1, 1, 1)  # of the 5x5 convolutions
    norm: Literal["joint", "channel"] = "joint"  # over all features of an image, or (original) at each position
    slot_size: int = 64
    slot_mlp: int = 128  # hidden numbers of the MLP that refines a slot
    rounds: int = 3  # of attention
    projection_bias: bool = True  # of queries, keys and values; original: none
    glorot: bool = False  # original: Glorot weights of convolutions and projections, uniform start of the slots
    decoder_side: int = 8  # of the grid over which a slot is broadcast
    decoder_doublings: int = 4  # the decoder draws at decoder_side * 2^doublings; other sizes are resized

    steps: int = 500_000
    batch_size: int = 64  # scenes per update
    learning_rate: float = 4e-4
    warmup: int = 10_000  # updates until the full rate, linear
    halve_every: int = 100_000  # updates


BENCHMARK = SlotAttentionConfig()
# Made for many updates a minute: short stacks, tokens of 4 px, drawn at 16 px. Slots part after some 4000 updates.
# Glorot weights, so that what is seen counts beside positions; the library's were tried for 1400 updates only.
MINI_PLAIN = replace(
    BENCHMARK,
    channels=32,
    encoder_strides=(2, 2),
    norm="channel",
    slot_size=32,
    slot_mlp=64,
    glorot=True,
    decoder_doublings=1,
    steps=8000,
    batch_size=8,
    learning_rate=1e-3,
    warmup=300,
    halve_every=4000,
)
# Not trained yet: 128 px and ten objects, for minutes of one GPU.
MINI_GPU = replace(
    BENCHMARK,
    encoder_strides=(1, 2, 2, 1),
    norm="channel",
    glorot=True,
    steps=8000,
    batch_size=32,
    warmup=1000,
    halve_every=4000,
)

PRESETS = {
    "clevrtex": BENCHMARK,
    "clevr": BENCHMARK,
    "shapestacks": replace(BENCHMARK, slots=9),
    "objectsroom": replace(BENCHMARK, slots=7),
    "mini-plain": MINI_PLAIN,
    "mini-fixed": MINI_PLAIN,
    "mini-tex": MINI_PLAIN,
    "mini-gpu": MINI_GPU,
}


def train(config: SlotAttentionConfig) -> tuple[Phase, ...]:
    """One phase, in which everything learns."""
    schedule = WarmupThenDecay(config.warmup, 0.5, config.halve_every)
    adam = Optimizer("adam", config.learning_rate, schedule=schedule)
    return (Phase("train", config.steps, batch_size=config.batch_size, optimizers=(adam,)),)


def build(config: SlotAttentionConfig, protocol: Protocol) -> SlotAttentionAutoencoder:
    """The untrained network for the protocol's image size and number of objects."""
    from ocbench_models.slot_attention.model import SlotAttentionAutoencoder

    return SlotAttentionAutoencoder(config, protocol.size, config.slots or protocol.max_objects + 1)


SLOT_ATTENTION = ModelPlugin(
    name="slot-attention",
    summary="slots compete for the pixels of an encoder; each is decoded to an image and a mask",
    presets=PRESETS,
    scenarios={"default": train},
    build=build,
    has_background=False,
    published={"default": "SA"},
    citation=(
        "Francesco Locatello, Dirk Weissenborn, Thomas Unterthiner, Aravindh Mahendran, Georg Heigold, "
        "Jakob Uszkoreit, Alexey Dosovitskiy and Thomas Kipf. Object-centric learning with slot attention. "
        "NeurIPS 2020."
    ),
    license="Apache-2.0",
)
