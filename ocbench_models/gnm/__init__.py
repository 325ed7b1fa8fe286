"""GNM: objects on a grid of cells, whose latents have a learned prior that knows the whole scene.

The records here are light: torch is imported by `build`, not before. "Published" is the training code as the
CLEVRTEX benchmark ran it; image size comes from the dataset's protocol, the number of slots from the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ocbench import ModelPlugin, Optimizer, Phase, Variant, WarmupThenDrops

if TYPE_CHECKING:
    from ocbench import Protocol
    from ocbench_models.gnm.model import Gnm

CITATION = (
    "Jindong Jiang and Sungjin Ahn. Generative neurosymbolic machines. NeurIPS 2020. "
    "Settings: Laurynas Karazija, Iro Laina and Christian Rupprecht. ClevrTex: a texture-rich benchmark for "
    "unsupervised multi-object segmentation. NeurIPS Datasets and Benchmarks 2021."
)


@dataclass(frozen=True)
class GnmConfig:
    """Every setting of GNM; the defaults are the benchmark's for CLEVRTEX.

    A ramp is its two ends, and the updates from and until which it runs; it is linear, and constant outside.
    """

    # slots and latents
    grid: int = 4  # cells along a side, a slot each
    what_size: int = 64  # numbers that describe an appearance
    glimpse_side: int = 64  # pixels of the picture of an object, whatever its size in the image
    background_size: int = 10  # numbers that describe a background
    global_rounds: int = 4  # times that the global latent looks at the scene
    global_size: int = 32  # numbers of the global latent, each round
    latents: Literal["sample", "mean"] = "sample"  # what is drawn at evaluation; training samples
    reference: bool = False  # evaluate as the published code does: as if no update were done, with temperature 1

    # loss
    sigma: float = 0.5  # standard deviation of a colour value; 0.2 for CLEVR
    presence_prior: tuple[float, float] = (0.1, 0.001)  # ramp: probability that a cell has an object
    presence_prior_steps: tuple[int, int] = (0, 4000)
    where_weight: tuple[float, float] = (10.0, 1.0)  # ramp: of the KL of boxes to their fixed prior
    where_weight_steps: tuple[int, int] = (0, 500)
    background_weight: tuple[float, float] = (50.0, 1.0)  # ramp: of the KL of the background to its fixed prior
    background_weight_steps: tuple[int, int] = (0, 50_000)
    global_weight: tuple[float, float] = (0.0, 1.0)  # ramp: of the KL of the global latent
    global_weight_steps: tuple[int, int] = (0, 100_000)
    where_mean: tuple[float, float, float, float] = (-1.5, 0.0, 0.0, 0.0)  # fixed prior: scale, ratio, x, y, as logits
    where_std: tuple[float, float, float, float] = (0.1, 0.3, 1.0, 1.0)
    temperature: tuple[float, float] = (1.0, 0.5)  # ramp: of the relaxed presence
    temperature_steps: tuple[int, int] = (1000, 20_000)
    early_steps: int = 500  # from update 1 until here, the next two hold
    early_alpha: float = 0.9  # share of the foreground in every pixel, whatever the cells say
    early_presence: float = 0.99  # most that a cell can be present

    # optimiser
    background_steps: int = 0  # updates in which the background learns alone, before the others; not published
    steps: int = 300_000  # updates
    batch_size: int = 32  # scenes per update
    learning_rate: float = 1e-4
    warmup: int = 0  # updates until that rate is reached, linear; rmsprop's first steps are ten times too large
    settle_steps: int = 0  # updates after `early_steps` at a twentieth of the rate; not published
    drop_at: float = 1.0  # share of the updates after which the rate is a tenth
    clip_norm: float = 1.0  # limit of the norm of all gradients


CLEVRTEX = GnmConfig()
CLEVR = replace(CLEVRTEX, sigma=0.2)
SHAPESTACKS = CLEVR  # no settings are published for these two
OBJECTSROOM = CLEVR

# Cells that paint badly at first are switched off within a hundred updates, and seldom come back. So the ground is
# learned first; then cells are forced to show until they paint well, and give the empty ground back of themselves.
# While they are forced, presence has next to no gradient, and rmsprop forgets how large one is: its first steps after
# that are too large and switched all cells off, with one seed of two for good. Hence the small rate then.
MINI_PLAIN = replace(
    CLEVR,
    glimpse_side=16,
    where_mean=(-1.2, 0.0, 0.0, 0.0),  # boxes of a quarter of the side,
    where_std=(0.5, 0.3, 1.0, 1.0),  # and of an eighth to 0.4 of it: the published ones cut large objects up
    sigma=0.1,  # a quarter of the published pixels: as many nats in all
    presence_prior_steps=(300, 3000),
    background_weight=(50.0, 50.0),
    background_weight_steps=(0, 1000),
    global_weight_steps=(0, 2000),
    temperature_steps=(300, 2000),
    early_steps=250,
    background_steps=200,
    steps=5000,
    batch_size=8,
    learning_rate=3e-4,
    warmup=240,
    settle_steps=200,
    drop_at=0.8,
)
# The next two have not been trained yet.
MINI_TEX = replace(MINI_PLAIN, sigma=0.25, background_weight=(50.0, 1.0), background_weight_steps=(0, 2500))
# For one GPU, 128 px and ten objects (mini-tex@full): the published networks and likelihood, in minutes.
MINI_GPU = replace(MINI_TEX, glimpse_side=64, sigma=0.5, steps=9000, batch_size=32)

PRESETS = {
    "clevrtex": CLEVRTEX,
    "clevr": CLEVR,
    "shapestacks": SHAPESTACKS,
    "objectsroom": OBJECTSROOM,
    "mini-plain": MINI_PLAIN,
    "mini-fixed": MINI_PLAIN,
    "mini-tex": MINI_TEX,
    "mini-gpu": MINI_GPU,
}


def default(config: GnmConfig) -> tuple[Phase, ...]:
    """Everything learns from the first update to the last; before that, where asked for, the background alone."""
    drops: tuple[tuple[int, float], ...] = ((round(config.drop_at * config.steps) + 1, 0.1),)
    if config.settle_steps:
        drops = ((config.early_steps, 0.05), (config.early_steps + config.settle_steps, 20.0), *drops)
    schedule = WarmupThenDrops(config.warmup, power=1.0, drops=drops)
    optimizer = Optimizer("rmsprop", config.learning_rate, betas=(0.0, 0.99), schedule=schedule)
    everything = Phase(
        "all",
        steps=config.steps,
        batch_size=config.batch_size,
        optimizers=(optimizer,),
        clip_norm=config.clip_norm,
    )
    if not config.background_steps:
        return (everything,)
    trains = ("encoder", "background_posterior", "backgrounds")
    return (replace(everything, name="background", steps=config.background_steps, trains=trains), everything)


def build(config: GnmConfig, protocol: Protocol) -> Gnm:
    """The untrained network for the protocol's image size."""
    from ocbench_models.gnm.model import Gnm

    return Gnm(config, protocol.size)


GNM = ModelPlugin(
    name="gnm",
    summary="objects on a 4 x 4 grid of cells, under a prior that draws the whole scene in four rounds",
    presets=PRESETS,
    scenarios={"default": default},
    build=build,
    published={"default": "GNM"},
    variants=(Variant("evaluated as the published code does", ("reference=true",), published="GNM"),),
    citation=CITATION,
    license="Apache-2.0",
)
