"""The settings of AST-Seg, one preset per dataset, and the three training scenarios as phases.

"Paper" is Sauvalle and de La Fortelle, Unsupervised multi-object segmentation using attention and soft-argmax. The
defaults below are the paper's for CLEVRTEX; image size and number of objects come from the dataset's protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ocbench import Band, Optimizer, Phase, Variant, WarmupThenDrops


@dataclass(frozen=True)
class AstSegConfig:
    """Every setting of AST-Seg; the defaults are the paper's for CLEVRTEX."""

    # map generator (paper 3.1)
    map_generator: Literal["segformer", "unet", "small"] = "segformer"  # small: the quick start's
    weights: str = "nvidia/mit-b3"  # a name on the hub, or a folder with config.json and model.safetensors
    pretrained: bool = True  # False: the backbone starts from random weights (Table 4)
    backbone_depths: tuple[int, ...] | None = None  # blocks of the four stages; None: those of `weights`
    backbone_widths: tuple[int, ...] | None = None  # channels of the four stages; None: those of `weights`
    backbone_heads: tuple[int, ...] | None = None  # attention heads of the four stages; None: those of `weights`
    drop_path: float = 0.1  # rate of the last SegFormer block, linear from 0
    decoder_width: int = 768  # channels of the SegFormer head
    decoder_dropout: float = 0.1  # rate before the last layer of the SegFormer head
    unet_widths: tuple[int, ...] = (80, 128, 192, 256, 256, 256)  # channels, finest level first (Table 8)
    small_widths: tuple[int, ...] = (16, 32, 48, 64)  # channels at strides 2, 4, 8 and 16
    attention_gain: float = 1.0  # factor on the initial attention rows of the last layer

    # slots (paper 3.2)
    slots: int | None = None  # object slots; None: the most objects of the protocol, by the next two settings
    slots_per_object: int = 1  # Table 4, "K = 2 x maximum number of objects"
    extra_slots: int = 0  # Table 4, "K = 1 + maximum number of objects"
    refiner: Literal["transformer", "none"] = "transformer"  # none: Table 4, "without transformer encoder"
    refiner_layers: int = 6
    refiner_width: int = 256  # channels
    refiner_heads: int = 8
    refiner_feed_forward: int = 512  # channels
    refiner_dropout: float = 0.1  # rate
    refiner_pre_norm: bool = False  # normalise before each sub-layer instead of after it
    refiner_residual: bool = False  # add the refined latent to the one that came in
    refiner_output_std: float | None = None  # initial weights of the last projection; None: PyTorch's default

    # rendering (paper 3.3, Table 7)
    scaling: Literal["isotropic", "anisotropic"] = "anisotropic"  # one scale per glimpse, or one per axis
    scale_min: float = 1.3  # image sides per glimpse side; the largest glimpse
    scale_max: float = 24.0  # image sides per glimpse side; the smallest glimpse
    what_size: int = 32  # numbers that describe an appearance
    glimpse_widths: tuple[int, ...] | None = None  # channels of the generator; None: Table 7 for the image side
    activation_index: Literal["paper", "code"] = "paper"  # code: always the fifth number of a latent
    activation_cap: float | None = None  # logits a become cap * tanh(a / cap); None: no cap
    background_activation: float = 11.0  # initial activation logit of the background

    # background (paper 3.4; widths in the authors' code)
    background: Literal["complex", "simple", "still"] = "complex"  # two autoencoders, or one learnable image
    background_width: float = 1.0  # share of the published channels
    background_steps: int = 500_000  # updates of phase 1 (Table 6)
    background_rate: float = 2e-3  # learning rate of phase 1
    background_batch_size: int = 128  # scenes per update of phase 1
    background_drop_at: float = 0.8  # share of phase 1 after which its rate is a tenth
    background_beta: float = 6.0  # strength of the robust weights
    background_tau: float = 0.25  # error at which the robust weights saturate
    background_sample: int = 1000  # scenes whose median is the still background
    store_backgrounds: bool = True  # keep frozen backgrounds as 8-bit images instead of drawing them at each update

    # losses and optimiser (paper 3.4, Table 6)
    entropy_weight: float = 0.01  # factor of the pixel entropy loss
    entropy_warmup: int = 10_000  # updates until that factor is reached
    foreground_steps: int = 30_000  # updates with a frozen background
    joint_steps: int = 95_000  # updates in which everything learns
    batch_size: int = 64  # scenes per update
    learning_rate: float = 4e-5
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-9  # early gradients are of this size: do not raise it
    warmup: int = 5000  # updates until the full learning rate, quadratic
    drop_at: float = 0.9  # share of all updates from which the rate is a tenth

    def object_slots(self, max_objects: int) -> int:
        """K, for scenes of at most `max_objects` objects."""
        return self.slots or self.slots_per_object * max_objects + self.extra_slots

    @property
    def steps(self) -> int:
        """All updates of the foreground model."""
        return self.foreground_steps + self.joint_steps

    @property
    def scale_logits(self) -> int:
        """Scale numbers of a latent: 1 (isotropic) or 2."""
        return 1 if self.scaling == "isotropic" else 2

    @property
    def feature_size(self) -> int:
        """Numbers of a latent without its position: scale, activation, appearance."""
        return self.scale_logits + 1 + self.what_size


CLEVRTEX = AstSegConfig()
SHAPESTACKS = replace(CLEVRTEX, scaling="isotropic")
CLEVR = replace(CLEVRTEX, scaling="isotropic", background="simple", background_steps=2500)
OBJECTSROOM = replace(CLEVRTEX, store_backgrounds=False)  # a million scenes: 12 GB of stored backgrounds

MINI_PLAIN = replace(
    CLEVRTEX,
    map_generator="small",
    attention_gain=6.0,
    refiner_layers=2,
    refiner_width=64,
    refiner_heads=4,
    refiner_feed_forward=128,
    refiner_dropout=0.0,
    refiner_pre_norm=True,
    refiner_residual=True,
    refiner_output_std=0.02,
    scaling="isotropic",
    scale_max=12.0,
    what_size=16,
    glimpse_widths=(48, 24, 12),
    background_activation=2.0,
    background="still",
    activation_cap=5.0,
    entropy_weight=0.1,  # ten times the paper's: with few updates, idle slots would split objects instead of hiding
    entropy_warmup=800,
    foreground_steps=2700,
    joint_steps=300,
    batch_size=16,
    learning_rate=1e-3,
    warmup=100,
)
MINI_FIXED = replace(
    MINI_PLAIN,
    small_widths=(16, 32, 96, 128),
    what_size=32,
    entropy_warmup=8000,
    foreground_steps=9000,
    joint_steps=1000,
    drop_at=0.8,
)
# At this width and batch the published rate (2e-3) and strength (6) of phase 1 ended in one grey image for all scenes;
# so did strength 1 alone (docs/ast-seg.md).
MINI_TEX = replace(
    MINI_FIXED,
    background="simple",
    background_width=0.25,
    background_steps=2500,
    background_batch_size=32,
    background_rate=5e-4,
    background_beta=1.0,
)
# For one GPU, 128 px and ten objects (mini-tex@full): the paper's networks from random weights, in minutes.
MINI_GPU = replace(
    MINI_FIXED,
    map_generator="segformer",
    pretrained=False,
    refiner_width=256,
    refiner_heads=8,
    refiner_feed_forward=512,
    scaling="anisotropic",
    scale_max=24.0,
    glimpse_widths=None,
    background="simple",
    background_steps=3000,
    background_batch_size=64,
    background_rate=5e-4,
    background_beta=1.0,
    entropy_warmup=4000,
    foreground_steps=4500,
    joint_steps=500,
    batch_size=32,
    learning_rate=2e-4,
    warmup=200,
)

PRESETS = {
    "clevrtex": CLEVRTEX,
    "clevr": CLEVR,
    "shapestacks": SHAPESTACKS,
    "objectsroom": OBJECTSROOM,
    "mini-plain": MINI_PLAIN,
    "mini-fixed": MINI_FIXED,
    "mini-tex": MINI_TEX,
    "mini-gpu": MINI_GPU,
}
UNET_PRESETS = {name: replace(preset, map_generator="unet") for name, preset in PRESETS.items()}

# By tools/learn_bands.py, of four runs (`ct` seed 2, `frozen` seeds 0 to 2) that found the objects.
HEALTHY = {
    "mini-fixed": (
        Band("foreground", 0.0602, 0.264, helps="another seed; scenario ct; a later entropy_warmup"),
        Band("live_slots", 2, 6, helps="another seed; a smaller entropy_weight"),
        Band("background_error", 0, 6.38, after=0.0, helps="a lower background_rate, more background_steps"),
    ),
}

# What alone decides the outcome of phase 1, so that other seeds and ablations may share it.
BACKGROUND_SETTINGS = (
    "background",
    "background_width",
    "background_steps",
    "background_rate",
    "background_batch_size",
    "background_drop_at",
    "background_beta",
    "background_tau",
    "background_sample",
)


def curriculum(config: AstSegConfig) -> tuple[Phase, ...]:
    """Scenario `ct`: background alone, foreground on a frozen background, then both."""
    joint = replace(_joint(config, config.joint_steps), clock_start=config.foreground_steps, sample=0)
    return (_background(config), _foreground(config, config.foreground_steps), joint)


def together(config: AstSegConfig) -> tuple[Phase, ...]:
    """Scenario `bt`: background and foreground from the first update on."""
    return (_joint(config, config.steps),)


def frozen(config: AstSegConfig) -> tuple[Phase, ...]:
    """Scenario `frozen`: background alone, then foreground on it to the end."""
    return (_background(config), _foreground(config, config.steps))


SCENARIOS = {"ct": curriculum, "bt": together, "frozen": frozen}

# The rows of Table 4; a change that a preset already has is none there.
VARIANTS = (
    Variant("no transformer", ("refiner=none",), published="AST-Seg-B3-CT: model without transformer encoder"),
    Variant("K + 1 slots", ("extra_slots=1",), published="AST-Seg-B3-CT: K = 1 + maximum number of objects"),
    Variant("2 K slots", ("slots_per_object=2",), published="AST-Seg-B3-CT: K = 2 x maximum number of objects"),
    Variant(
        "U-Net", ("map_generator=unet",),
        published="AST-Seg-B3-CT: using a Unet instead of Segformer feature generator",
    ),
    Variant(
        "random backbone", ("pretrained=false",),
        published="AST-Seg-B3-CT: random initialization of Segformer backbone",
    ),
    Variant("no entropy loss", ("entropy_weight=0",), published="AST-Seg-B3-CT: training without pixel entropy loss"),
    Variant(
        "frozen background", scenario="frozen",
        published="AST-Seg-B3-CT: training using frozen pretrained background model",
    ),
    Variant("isotropic scaling", ("scaling=isotropic",), published="AST-Seg-B3-CT: isotropic scaling"),
    Variant("anisotropic scaling", ("scaling=anisotropic",), published="AST-Seg-B3-CT: anisotropic scaling"),
    Variant("activation as the authors' code reads it", ("activation_index=code",)),
)  # fmt: skip


def _background(config: AstSegConfig) -> Phase:
    if config.background == "still":
        steps, sample = 0, config.background_sample
    else:
        steps, sample = config.background_steps, _weights_sample(config)
    drop = round(config.background_drop_at * config.background_steps) + 1
    return Phase(
        "background",
        steps=steps,
        trains=("background",),
        batch_size=config.background_batch_size,
        optimizers=(Optimizer("adamw", config.background_rate, schedule=WarmupThenDrops(drops=((drop, 0.1),))),),
        sample=sample,
        depends_on=BACKGROUND_SETTINGS,
    )


def _foreground(config: AstSegConfig, steps: int) -> Phase:
    return Phase(
        "foreground",
        steps=steps,
        trains=("foreground",),
        batch_size=config.batch_size,
        optimizers=(_adam(config),),
        sample=_weights_sample(config),
        precompute=config.store_backgrounds and config.background != "still",
    )


def _joint(config: AstSegConfig, steps: int) -> Phase:
    return Phase(
        "joint",
        steps=steps,
        batch_size=config.batch_size,
        optimizers=(_adam(config),),
        sample=_weights_sample(config),
    )


def _adam(config: AstSegConfig) -> Optimizer:
    schedule = WarmupThenDrops(config.warmup, 2.0, ((round(config.drop_at * config.steps), 0.1),))
    return Optimizer("adam", config.learning_rate, config.betas, config.eps, schedule=schedule)


def _weights_sample(config: AstSegConfig) -> int:
    """One scene where `start` has pretrained weights to load: before the first update, so that a lack shows at once."""
    return int(config.map_generator == "segformer" and config.pretrained)
