"""The built-in datasets: rendered on the spot, nothing to download, the split structure of CLEVRTEX.

    mini-plain  CLEVR-like objects on a grey plane; also solvable without learning
    mini-fixed  textured objects on one brick ground
    mini-tex    textured objects on any ground, with `ood` (unseen shapes and materials) and `camo` (one material)

A scene is a pure function of style, protocol, split and index: any subset, in any order, by any number of workers, is
the same on one machine. Across machines its parameters are, and its pixels up to rounding. Changing how scenes are
sampled makes a new protocol version.
"""

from __future__ import annotations

import functools
import itertools
import math
import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from ocbench.datasets.rendering import draw, sampling
from ocbench.datasets.rendering.sampling import FULL, QUICK, STYLES, Stage
from ocbench.errors import DataError
from ocbench.scene import DatasetSpec, Part, Protocol, Scene, Split

GENERATOR = 1  # version of everything below this line that decides a pixel
LAYOUTS = {"quick": QUICK, "full": FULL}
COUNTS = {
    "quick": {"train": 2000, "val": 500, "test": 500, "ood": 500, "camo": 500},
    "full": {"train": 10_000, "val": 1000, "test": 1000, "ood": 1000, "camo": 1000},
}
SEEDS = {"train": 11, "val": 12, "test": 13, "ood": 14, "camo": 15}
VISIBLE = 0.004  # least share of the pixels that every object shows


def render(style: str, layout: str, seed: int, index: int) -> tuple[Stage, np.ndarray, np.ndarray]:
    """The stage, image (uint8 [H, W, 3]) and mask (uint8 [H, W]) of one scene."""
    plan, identity = LAYOUTS[layout], (seed, zlib.crc32(style.encode()), index)
    size, least = (plan.side, plan.side), math.ceil(VISIBLE * plan.side**2)
    randoms = (np.random.default_rng((*identity, attempt)) for attempt in itertools.count())
    stages = (sampling.sample(STYLES[style], plan, random, size) for random in randoms)
    drawn = ((stage, draw.mask(stage, *size)) for stage in stages if stage is not None)
    stage, mask = next(pair for pair in drawn if _least_visible(*pair) >= least)  # seldom more than one attempt
    return stage, draw.image(stage, *size), mask


def _least_visible(stage: Stage, mask: np.ndarray) -> int:
    """Pixels of the object that shows fewest."""
    return int(np.bincount(mask.ravel(), minlength=len(stage.bodies) + 1)[1:].min())


def _dataset(name: str, title: str, styles: Mapping[str, str]) -> DatasetSpec:
    """A record whose parts are called <protocol>-<split>; `styles` maps split to style."""
    return DatasetSpec(
        name=name,
        title=title,
        protocols=tuple(_protocol(layout, styles) for layout in LAYOUTS),
        parts=functools.partial(_parts, styles),
        read=functools.partial(_read, name, styles),
        needs_source=False,
        citation="rendered by ocbench; cite the toolkit",
        license="Apache-2.0",
    )


def _parts(styles: Mapping[str, str], source: str | None, partial: bool = False) -> dict[str, Part]:
    return {
        f"{layout}-{split}": Part(scenes=COUNTS[layout][split], seekable=True, expected=COUNTS[layout][split])
        for layout in LAYOUTS
        for split in styles
    }


def _read(
    name: str, styles: Mapping[str, str], source: str | None, part: str, start: int, stop: int
) -> Iterator[Scene]:
    layout, _, split = part.partition("-")
    if layout not in LAYOUTS or split not in styles:
        raise DataError(f"{name} has no part '{part}'", expected=", ".join(_parts(styles, None)))
    for index in range(start, stop):
        stage, image, mask = render(styles[split], layout, SEEDS[split], index)
        yield Scene(f"{name}-{layout}-{split}-{index:06d}", image, mask, _meta(stage, styles[split]))


def _protocol(layout: str, styles: Mapping[str, str]) -> Protocol:
    plan, counts = LAYOUTS[layout], COUNTS[layout]
    low, high = plan.objects
    return Protocol(
        name=layout,
        version=1,
        size=(plan.side, plan.side),
        max_objects=high,
        splits=tuple(Split(s, f"{layout}-{s}", 0, counts[s], scenes=counts[s]) for s in styles),
        summary=f"{plan.side} px, {low} to {high} objects, shadows at {plan.shadow:.0%}",
    )


def _meta(stage: Stage, style: str) -> dict[str, object]:
    return {
        "generator": GENERATOR,
        "style": style,
        "ground": stage.ground.material,
        "objects": [
            {
                "shape": body.shape,
                "material": body.skin.material,
                "size": round(body.radius, 4),
                "position": [round(v, 4) for v in body.centre],
                "rotation": round(body.rotation, 4),
            }
            for body in stage.bodies
        ],
    }


MINI_PLAIN = _dataset("mini-plain", "Built-in, plain", dict.fromkeys(("train", "val", "test"), "plain"))
MINI_FIXED = _dataset(
    "mini-fixed", "Built-in, textured on one ground", dict.fromkeys(("train", "val", "test"), "texfix")
)
MINI_TEX = _dataset(
    "mini-tex", "Built-in, textured",
    {"train": "tex", "val": "tex", "test": "tex", "ood": "ood", "camo": "camo"},
)  # fmt: skip
