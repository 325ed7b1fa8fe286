"""Which surface each ray meets, and which samples lie in shadow. Vectors are float32 [3, n]."""

from __future__ import annotations

import functools

import numpy as np

from ocbench.datasets.rendering.camera import pixel_box
from ocbench.datasets.rendering.sampling import Body, Stage
from ocbench.datasets.rendering.shapes import SHAPES, dot

F = np.float32
LIGHT_RADIUS = 1.1  # of the area light, world units
PATTERN = np.argsort([0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5]).reshape(4, 4)  # ordered 4 x 4


def trace(stage: Stage, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The body met by the ray through each pixel's centre (uint8 [H, W], 0 the ground), and its depth (float32)."""
    camera = stage.camera
    y, x = camera.plane(height, width)
    ids = np.zeros((height, width), np.uint8)
    depth = np.repeat(camera.ground_depth(y)[:, None], width, 1)
    for number, body in enumerate(stage.bodies, 1):
        shape = SHAPES[body.shape]
        box = pixel_box(camera.sphere_box(np.array(body.centre), shape.bound * body.radius), height, width)
        before = depth[box]
        rays = camera.rays(y[box[0]], x[box[1]], body.turn / F(body.radius))
        with np.errstate(invalid="ignore"):
            t = shape.hit(body.local(camera.position[:, None]), rays).reshape(before.shape)
        nearer = t < before
        depth[box] = np.where(nearer, t, before)
        ids[box][nearer] = number
    return ids, depth


def shadow(stage: Stage, ids: np.ndarray, points: np.ndarray) -> np.ndarray:
    """float32 [H, W]: share of the area light that is hidden from the samples at `points` [3, H, W].

    One ray a sample goes to one of 16 places on the light, in an ordered pattern; a 4 x 4 box filter, kept within the
    ground and within the bodies, then averages exactly those 16.
    """
    height, width = ids.shape
    light = np.array(stage.light, F)[:, None, None] + _places(height, width)
    hidden = np.zeros(ids.shape, bool)
    for body in stage.bodies:
        box = _reach(stage, body, height, width)
        start = body.local(points[:, *box].reshape(3, -1))
        towards = body.local(light[:, *box].reshape(3, -1)) - start
        with np.errstate(invalid="ignore"):
            t = SHAPES[body.shape].hit(start, towards)
        hidden[box] |= (t < 1).reshape(hidden[box].shape)
    ground = ids == 0
    return np.where(ground, _within(hidden, ground), _within(hidden, ~ground))


def open_sky(stage: Stage, points: np.ndarray, facing: np.ndarray, own: np.ndarray | int) -> np.ndarray:
    """float32 [n]: the share of the sky that bodies other than their `own` leave to the points, each body a sphere."""
    left = np.ones(points.shape[1], F)
    for number, body in enumerate(stage.bodies, 1):
        offset = np.array(body.centre, F)[:, None] - points
        square = np.maximum(dot(offset, offset), body.radius**2)
        hidden = np.maximum(dot(offset, facing), 0) * body.radius**2 / (square * np.sqrt(square))
        left *= 1 - 0.75 * stage.shadow * np.where(own == number, 0, hidden)
    return left


@functools.cache
def _places(height: int, width: int) -> np.ndarray:
    """Each sample's place on the light, from its centre: float32 [3, H, W]."""
    order = np.tile(PATTERN, (height // 4 + 1, width // 4 + 1))[:height, :width]
    angle, reach = order * 2.399963, np.sqrt((order + 0.5) / 16) * LIGHT_RADIUS
    return np.stack([np.cos(angle) * reach, np.sin(angle) * reach, np.zeros_like(reach)]).astype(F)


def _reach(stage: Stage, body: Body, height: int, width: int) -> tuple[slice, slice]:
    """The samples in the screen box of the body together with its projected shadow."""
    centre, light, radius = np.array(body.centre), np.array(stage.light), SHAPES[body.shape].bound * body.radius
    bounds = [stage.camera.sphere_box(centre, radius)]
    spread = radius + LIGHT_RADIUS * (centre[2] + radius) / (light[2] - centre[2] - radius)
    for z in (centre[2] + radius, centre[2], 0.0):
        fall = centre + (centre - light) * (z / (light[2] - z))
        bounds.append(stage.camera.sphere_box(np.array([fall[0], fall[1], 0.0]), spread * light[2] / (light[2] - z)))
    low, high = np.min(bounds, axis=0), np.max(bounds, axis=0)
    return pixel_box((low[0], high[1], low[2], high[3]), height, width)


def _within(field: np.ndarray, region: np.ndarray) -> np.ndarray:
    """4 x 4 box average of a bool field over the samples of a region, float32 [H, W]."""
    return _box(field & region) / np.maximum(_box(region), F(1))


def _box(field: np.ndarray) -> np.ndarray:
    """Sums over 4 x 4 samples, uint8 [H, W]."""
    rows = np.pad(field.astype(np.uint8), ((2, 1), (2, 1)), mode="edge")
    rows = rows[:-3] + rows[1:-2] + rows[2:-1] + rows[3:]
    return rows[:, :-3] + rows[:, 1:-2] + rows[:, 2:-1] + rows[:, 3:]
