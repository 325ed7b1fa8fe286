"""What a sample looks like before light falls on it: textures laid on the ground and on bodies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ocbench.datasets.rendering.materials import LEVELS, SIDE, Material, material, texels
from ocbench.datasets.rendering.sampling import Skin, Stage
from ocbench.datasets.rendering.shapes import SHAPES, unit

F = np.float32
AXES = np.eye(3, dtype=F)[..., None]
SLANT = 1.3  # how much larger a sample is on the ground than head on
TIES = np.array([[1.0], [1.01], [1.02]], F)  # a face that is turned alike to two axes takes the later one throughout


@dataclass
class Surface:
    """Samples of a surface; float32, vectors [3, n], numbers [n] or one for all."""

    colour: np.ndarray  # linear RGB
    facing: np.ndarray  # the shape's own normal
    normal: np.ndarray  # the same with the bumps of the texture
    shine: np.ndarray | float
    gloss: np.ndarray | float
    metal: np.ndarray | float


def ground(stage: Stage, points: np.ndarray, depth: np.ndarray, texel: float) -> Surface:
    """The ground at `points`, [3, h, w], seen from `depth`, [h, 1]; `texel` is the size of a sample at depth 1."""
    found, skin = material(stage.ground.material), stage.ground
    level = _level(depth, SLANT * texel, skin)
    colour, across, along, out = _texture(found, skin, points[0], points[1], level)
    return Surface(colour, AXES[2], np.stack([across, along, out]), found.shine, found.gloss, found.metal)


def bodies(
    stage: Stage, ids: np.ndarray, points: np.ndarray, depth: np.ndarray, texel: float
) -> tuple[np.ndarray, Surface]:
    """Which of the flat samples show a body (int64 [n], body by body), and the surface there."""
    rows, parts = [], []
    for number, body in enumerate(stage.bodies, 1):
        here = np.flatnonzero(ids == number)
        shape, found = SHAPES[body.shape], material(body.skin.material)
        local = body.local(points[:, here])
        normal = shape.normal(local)
        level = _level(depth[here], texel, body.skin)
        colour, bumped = _dressed(found, body.skin, shape.mapping, local * F(body.radius), normal, level)
        rows.append(here)
        finish = np.repeat(np.array([[found.shine], [found.gloss], [found.metal]], F), len(here), 1)
        parts.append(np.concatenate([colour, body.turn.T @ normal, body.turn.T @ bumped, finish]))
    every = np.concatenate(parts, axis=1)
    return np.concatenate(rows), Surface(every[:3], every[3:6], every[6:9], *every[9:])


def _level(depth: np.ndarray, texel: float, skin: Skin) -> np.ndarray:
    """The mip level whose texels are about as large as a sample, int32."""
    return (np.log2(np.maximum(depth * (texel * skin.scale * SIDE), 1)) + 0.5).astype(np.int32).clip(0, LEVELS - 1)


def _texture(
    found: Material, skin: Skin, across: np.ndarray, along: np.ndarray, level: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Colour [3, n], and the normal's part [n] along each coordinate (world units) of the chart and outwards."""
    c, s = float(np.cos(skin.rotation)), float(np.sin(skin.rotation))
    u = (c * across + s * along) * skin.scale + skin.offset[0]
    v = (c * along - s * across) * skin.scale + skin.offset[1]
    texel = texels(found, u, v, level)
    return texel[:3], c * texel[3] - s * texel[4], s * texel[3] + c * texel[4], texel[5]


def _dressed(
    found: Material, skin: Skin, mapping: str, points: np.ndarray, normal: np.ndarray, level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colour and bumped normal: the texture laid on by box, cylinder or blended triplanar mapping."""
    colour, bumped = np.zeros_like(points), np.zeros_like(points)
    for weight, across, along, axis_across, axis_along in _charts(mapping, points, normal):
        rgb, a, b, out = _texture(found, skin, across, along, level)
        colour += weight * rgb
        bumped += weight * (out * normal + a * axis_across + b * axis_along)
    return colour, unit(bumped)


Chart = tuple[np.ndarray | float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _charts(mapping: str, p: np.ndarray, n: np.ndarray) -> Iterator[Chart]:
    """(weight, both coordinates in world units, the axis of each) of every chart of a mapping."""
    if mapping == "triplanar":
        squares = n * n
        weights = squares * squares * squares
        weights /= weights.sum(axis=0)
        for weight, (first, second) in zip(weights, ((1, 2), (0, 2), (0, 1)), strict=True):
            yield weight, p[first], p[second], AXES[first], AXES[second]
    elif mapping == "cylinder":
        capped = np.abs(n[2]) > 0.5
        across = np.where(capped, p[0], np.arctan2(p[1], p[0]) * np.hypot(p[0], p[1]))
        around = np.where(capped, AXES[0], np.stack([-n[1], n[0], n[2]]))
        yield 1.0, across, np.where(capped, p[1], p[2]), around, np.where(capped, AXES[1], AXES[2])
    else:  # box: the face that looks most along an axis is laid out along the two others
        axis = (np.abs(n) * TIES).argmax(axis=0)
        one, other = np.where(axis == 0, 1, 0), np.where(axis == 2, 1, 2)
        across, along = np.where(axis == 0, p[1], p[0]), np.where(axis == 2, p[1], p[2])
        yield 1.0, across, along, AXES[one, :, 0].T, AXES[other, :, 0].T
