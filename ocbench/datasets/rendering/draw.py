"""From a stage to pixels: ids first, then light.

Shading works in linear light on float32 samples, several a pixel; the mask comes from a pass of its own, one ray through
each pixel's centre, so it does not depend on how finely the image is sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ocbench.datasets.rendering.camera import pixel_box
from ocbench.datasets.rendering.materials import LEVELS, SIDE, Material, material, texels
from ocbench.datasets.rendering.sampling import Body, Skin, Stage
from ocbench.datasets.rendering.shapes import SHAPES

F = np.float32
LIGHT_RADIUS = 1.1  # of the area light, world units
KEY, SKY, EARTH = F(2.05), np.array([0.50, 0.54, 0.60], F), np.array([0.27, 0.25, 0.23], F)
FILLS = ((np.array([0.9, 0.2, 0.45], F), F(0.26)), (np.array([0.3, -0.95, 0.35], F), F(0.2)))
GRID = np.argsort([0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5]).reshape(4, 4)  # ordered 4 x 4 pattern


@dataclass
class Samples:
    """What each ray met: depth, id and normal; all [H, W] or [H, W, 3]."""

    rays: np.ndarray
    depth: np.ndarray
    ids: np.ndarray
    normals: np.ndarray


def trace(stage: Stage, height: int, width: int) -> Samples:
    """The nearest surface along every ray; id 0 is the ground."""
    camera = stage.camera
    rays = camera.rays(height, width)
    depth = -camera.position[2] / np.minimum(rays[..., 2], F(-1e-6))
    ids = np.zeros((height, width), np.uint8)
    normals = np.zeros_like(rays)
    normals[..., 2] = 1
    for number, body in enumerate(stage.bodies, 1):
        shape = SHAPES[body.shape]
        box = pixel_box(camera.sphere_box(np.array(body.centre), shape.bound * body.radius), height, width)
        inner = rays[box]
        if inner.size == 0:
            continue
        turn = _turn(body)
        origin = np.broadcast_to(
            (camera.position - np.array(body.centre, F)) @ turn.T / F(body.radius), (inner[..., 0].size, 3)
        )
        t, normal = shape.intersect(np.ascontiguousarray(origin, F), inner.reshape(-1, 3) @ turn.T / F(body.radius))
        t = t.reshape(inner.shape[:2])
        nearer = t < depth[box]
        depth[box] = np.where(nearer, t, depth[box])
        ids[box] = np.where(nearer, np.uint8(number), ids[box])
        normals[box][nearer] = normal.reshape(inner.shape)[nearer] @ turn
    return Samples(rays, depth, ids, normals)


def mask(stage: Stage, height: int, width: int) -> np.ndarray:
    """uint8 [H, W]: the object at each pixel's centre, 0 for the ground."""
    return trace(stage, height, width).ids


def image(stage: Stage, height: int, width: int, samples: int = 2) -> np.ndarray:
    """uint8 [H, W, 3] sRGB, with `samples` x `samples` rays a pixel."""
    hits = trace(stage, height * samples, width * samples)
    points = stage.camera.position + hits.depth[..., None] * hits.rays
    colour, normals, shine, gloss, metal = _surfaces(stage, hits, points, height * samples)
    lit = 1 - F(stage.shadow) * _shade(stage, hits, points)
    radiance = _light(stage, hits, points, normals, colour, lit, shine, gloss, metal)
    shown = (1 - np.exp(-1.25 * radiance)) ** F(1 / 2.2)  # soft shoulder, then display gamma
    small = shown.reshape(height, samples, width, samples, 3).mean(axis=(1, 3))
    return (small * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row; three products, which is faster than a reduction over an axis of three."""
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


def _unit(a: np.ndarray) -> np.ndarray:
    return a / np.sqrt(np.maximum(_dot(a, a), F(1e-12)))[:, None]


def _turn(body: Body) -> np.ndarray:
    """World to object axes, float32 [3, 3]."""
    c, s = np.cos(body.rotation), np.sin(body.rotation)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], F)


def _surfaces(stage: Stage, hits: Samples, points: np.ndarray, rows: int) -> tuple[np.ndarray, ...]:
    """Colour, bumped normal, highlight strength, exponent and metalness of every sample."""
    flat = hits.ids.ravel()
    colour, normals = np.empty((flat.size, 3), F), hits.normals.reshape(-1, 3).copy()
    shine, gloss, metal = (np.empty(flat.size, F) for _ in range(3))
    texel = 2 * stage.camera.half[0] / rows  # world size of a sample at depth 1
    depth, at = hits.depth.ravel(), points.reshape(-1, 3)
    for number in range(len(stage.bodies) + 1):
        here = np.flatnonzero(flat == number)
        if here.size == 0:
            continue
        body = stage.bodies[number - 1] if number else None
        skin = body.skin if body else stage.ground
        found = material(skin.material)
        level = np.log2(np.maximum(depth[here] * F(texel * skin.scale * SIDE), 1)).astype(np.int64).clip(0, LEVELS - 1)
        turn = _turn(body) if body else np.eye(3, dtype=F)
        if body is None:
            local, inward = at[here], normals[here]
        else:
            local, inward = (at[here] - np.array(body.centre, F)) @ turn.T, normals[here] @ turn.T
        mapping = SHAPES[body.shape].mapping if body else "ground"
        rgb, bumped = _skinned(found, skin, mapping, local, inward, level)
        colour[here] = rgb
        normals[here] = bumped @ turn if body else bumped
        shine[here], gloss[here], metal[here] = found.shine, found.gloss, found.metal
    return colour, normals, shine, gloss, metal


def _skinned(
    found: Material, skin: Skin, mapping: str, local: np.ndarray, normal: np.ndarray, level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colour and bumped normal: the texture laid on by box, cylinder or blended triplanar mapping."""
    total, push = np.zeros((len(local), 3), F), np.zeros((len(local), 3), F)
    for weight, pick, across, along, u_axis, v_axis in _charts(mapping, local, normal):
        c, s = F(np.cos(skin.rotation)), F(np.sin(skin.rotation))
        u = (c * across + s * along) * F(skin.scale) + F(skin.offset[0])
        v = (c * along - s * across) * F(skin.scale) + F(skin.offset[1])
        texel = texels(found, u, v, level[pick])
        total[pick] += weight[:, None] * texel[:, :3]
        du, dv = c * texel[:, 3] - s * texel[:, 4], s * texel[:, 3] + c * texel[:, 4]
        push[pick] += weight[:, None] * (du[:, None] * u_axis + dv[:, None] * v_axis)
    bumped = normal - F(1.6) * push
    return total, _unit(bumped)


Chart = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _charts(mapping: str, p: np.ndarray, n: np.ndarray) -> Iterator[Chart]:
    """(weight, rows, u, v, u axis, v axis) of each chart of a mapping; coordinates in world units."""
    everything = np.arange(len(p))
    axes = np.eye(3, dtype=F)
    if mapping == "ground":
        yield np.ones(len(p), F), everything, p[:, 0], p[:, 1], axes[0], axes[1]
        return
    if mapping == "cylinder":
        side = np.flatnonzero(np.abs(n[:, 2]) < 0.5)
        top = np.flatnonzero(np.abs(n[:, 2]) >= 0.5)
        around = np.stack([-n[side, 1], n[side, 0], np.zeros(len(side), F)], 1)
        radius = np.hypot(p[side, 0], p[side, 1]).mean() if side.size else 1.0
        angle = np.arctan2(p[side, 1], p[side, 0]) * F(radius)
        yield np.ones(len(side), F), side, angle, p[side, 2], around, axes[2]
        yield np.ones(len(top), F), top, p[top, 0], p[top, 1], axes[0], axes[1]
        return
    weights = np.abs(n) ** 6 if mapping == "triplanar" else np.eye(3, dtype=F)[np.abs(n).argmax(axis=1)]
    weights = weights / weights.sum(axis=1, keepdims=True)
    for axis, (first, second) in enumerate(((1, 2), (0, 2), (0, 1))):
        rows = np.flatnonzero(weights[:, axis] > 0.01)
        yield weights[rows, axis], rows, p[rows, first], p[rows, second], axes[first], axes[second]


def _shade(stage: Stage, hits: Samples, points: np.ndarray) -> np.ndarray:
    """float32 [H W]: share of the area light that is hidden. One ray a sample, to one of 16 places on the light;
    a 4 x 4 box filter, kept within ground and within objects, then averages exactly those 16."""
    height, width = hits.ids.shape
    order = np.tile(GRID, (height // 4 + 1, width // 4 + 1))[:height, :width].ravel()
    angle, reach = order * F(2.399963), np.sqrt((order + F(0.5)) / 16) * F(LIGHT_RADIUS)
    light = np.array(stage.light, F) + np.stack([np.cos(angle) * reach, np.sin(angle) * reach, 0 * reach], 1).astype(F)
    at = points.reshape(-1, 3)
    start = at + F(0.004) * hits.normals.reshape(-1, 3)
    hidden = np.zeros(len(at), bool)
    for body in stage.bodies:
        rows = _reach(stage, body, height, width)
        rows = rows[~hidden[rows]]
        if rows.size == 0:
            continue
        shape, turn = SHAPES[body.shape], _turn(body)
        origin = (start[rows] - np.array(body.centre, F)) @ turn.T / F(body.radius)
        t, _ = shape.intersect(origin, (light[rows] - start[rows]) @ turn.T / F(body.radius))
        hidden[rows[t < 1]] = True
    dark, ground = hidden.reshape(height, width).astype(F), hits.ids == 0
    soft = np.where(ground, _within(dark, ground), _within(dark, ~ground))
    return soft.ravel()


def _within(field: np.ndarray, region: np.ndarray) -> np.ndarray:
    """4 x 4 box average over the samples of a region."""
    share = _box(region.astype(F))
    return _box(field * region) / np.maximum(share, F(1e-3))


def _box(field: np.ndarray) -> np.ndarray:
    rows = np.pad(field, ((2, 1), (0, 0)), mode="edge")
    rows = rows[:-3] + rows[1:-2] + rows[2:-1] + rows[3:]
    columns = np.pad(rows, ((0, 0), (2, 1)), mode="edge")
    return (columns[:, :-3] + columns[:, 1:-2] + columns[:, 2:-1] + columns[:, 3:]) / 16


def _reach(stage: Stage, body: Body, height: int, width: int) -> np.ndarray:
    """Flat indices of the samples in the screen box of the body together with its projected shadow."""
    shape = SHAPES[body.shape]
    centre, light, radius = np.array(body.centre), np.array(stage.light), shape.bound * body.radius
    bounds = [stage.camera.sphere_box(centre, radius)]
    spread = radius + LIGHT_RADIUS * (centre[2] + radius) / (light[2] - centre[2] - radius)
    for z in (centre[2] + radius, centre[2], 0.0):
        fall = centre + (centre - light) * (z / (light[2] - z))
        bounds.append(stage.camera.sphere_box(np.array([fall[0], fall[1], 0.0]), spread * light[2] / (light[2] - z)))
    low, high = np.min(bounds, axis=0), np.max(bounds, axis=0)
    rows, columns = pixel_box((low[0], high[1], low[2], high[3]), height, width)
    return (np.arange(rows.start, rows.stop)[:, None] * width + np.arange(columns.start, columns.stop)).ravel()


def _contact(stage: Stage, at: np.ndarray, normals: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Share of the sky that the objects hide: each as a sphere of its size."""
    open_sky = np.ones(len(at), F)
    for number, body in enumerate(stage.bodies, 1):
        offset = np.array(body.centre, F) - at
        square = np.maximum(_dot(offset, offset), F(body.radius**2))
        hidden = np.maximum(_dot(offset, normals), 0) * F(body.radius**2) / (square * np.sqrt(square))
        hidden[own == number] = 0
        open_sky *= 1 - F(0.75) * hidden
    return open_sky


def _light(
    stage: Stage, hits: Samples, points: np.ndarray, normals: np.ndarray, colour: np.ndarray, lit: np.ndarray,
    shine: np.ndarray, gloss: np.ndarray, metal: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Linear radiance, float32 [H, W, 3]: key light with shadow, fills, sky with contact darkening, highlight, mirror."""
    at, own = points.reshape(-1, 3), hits.ids.ravel()
    view = _unit(-hits.rays.reshape(-1, 3))
    towards = _unit(np.array(stage.light, F) - at)
    facing = np.maximum(_dot(normals, towards), 0)
    sky = _contact(stage, at, hits.normals.reshape(-1, 3), own)
    diffuse = (SKY + (EARTH - SKY) * (0.5 - 0.5 * normals[:, 2:3])) * sky[:, None]
    for direction, strength in FILLS:
        diffuse += (strength * np.maximum(normals @ (direction / np.linalg.norm(direction)), 0) * sky)[:, None]
    diffuse += (KEY * facing * lit * (0.6 + 0.4 * sky))[:, None]
    spark = shine * lit * np.maximum(_dot(normals, _unit(towards + view)), 0) ** gloss * F(1.3)
    radiance = colour * diffuse * (1 - F(0.75) * metal)[:, None] * F(0.62) + spark[:, None]
    mirror = np.flatnonzero(metal > 0)
    if mirror.size:
        radiance[mirror] += _mirrored(normals[mirror], view[mirror], colour[mirror], metal[mirror], sky[mirror])
    return radiance.reshape(*hits.ids.shape, 3)


def _mirrored(
    normals: np.ndarray, view: np.ndarray, colour: np.ndarray, metal: np.ndarray, sky: np.ndarray
) -> np.ndarray:
    """What a metal shows of a made-up surrounding, bright above and ground below, more of it at grazing angles."""
    cosine = _dot(normals, view).clip(0, 1)
    rise = 2 * cosine * normals[:, 2] - view[:, 2]
    above = 1 / (1 + np.exp(-(rise - 0.05) * 9))
    surround = 0.22 + above * (0.55 + 1.1 * np.maximum(rise - 0.55, 0))
    tint = colour + (1 - colour) * ((1 - cosine) ** 5)[:, None]
    return tint * (metal * surround * (0.5 + 0.5 * sky) * 1.5)[:, None]
