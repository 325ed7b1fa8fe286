"""From a stage to pixels: ids first, then light.

Shading works in linear light on float32 samples, several a pixel; the mask comes from a pass of its own, one ray
through each pixel's centre, so it does not depend on how finely the image is sampled. Vectors are [3, n].
"""

from __future__ import annotations

import numpy as np

from ocbench.datasets.rendering import surfaces
from ocbench.datasets.rendering.light import radiance
from ocbench.datasets.rendering.sampling import Stage
from ocbench.datasets.rendering.surfaces import AXES
from ocbench.datasets.rendering.trace import open_sky, shadow, trace

F = np.float32
BAND = 8192  # ground samples shaded at once: they stay in the processor's cache
LIFT = F(0.004)  # of the start of shadow rays above their surface, world units
STEPS = 1400  # of the tone table per square root of radiance
TONE = (255 * (1 - np.exp(-1.25 * (np.arange(4096) / STEPS) ** 2)) ** (1 / 2.2)).astype(F)  # soft shoulder, then gamma


def mask(stage: Stage, height: int, width: int) -> np.ndarray:
    """uint8 [H, W]: the object at each pixel's centre, 0 for the ground."""
    return trace(stage, height, width)[0]


def image(stage: Stage, height: int, width: int, samples: int = 2) -> np.ndarray:
    """uint8 [H, W, 3] sRGB, with `samples` x `samples` rays a pixel."""
    shape, camera = (height * samples, width * samples), stage.camera
    ids, depth = trace(stage, *shape)
    y, x = camera.plane(*shape)
    rays = camera.rays(y, x)
    points = camera.position[:, None] + depth.ravel() * rays
    texel = 2 * camera.half[0] / shape[0]
    here, seen = surfaces.bodies(stage, ids.ravel(), points, depth.ravel(), texel)
    lifted = points + LIFT * AXES[2]
    lifted[:, here] = points[:, here] + LIFT * seen.facing
    lit = 1 - F(stage.shadow) * shadow(stage, ids, lifted.reshape(3, *shape)).ravel()
    shown = np.empty_like(points)
    sky = _ground_sky(stage, height, width).repeat(samples, 0).repeat(samples, 1).ravel()
    rows = max(1, BAND // shape[1])
    for top in range(0, shape[0], rows):
        band = slice(top * shape[1], (top + rows) * shape[1])
        there = points[:, band].reshape(3, -1, shape[1])
        below = surfaces.ground(stage, there, camera.ground_depth(y[top : top + rows])[:, None], texel)
        shown[:, band] = radiance(stage, points[:, band], rays[:, band], below, lit[band], sky[band])
    sky = open_sky(stage, points[:, here], seen.facing, ids.ravel()[here])
    shown[:, here] = radiance(stage, points[:, here], rays[:, here], seen, lit[here], sky)
    return _developed(shown.reshape(3, *shape), samples)


def _ground_sky(stage: Stage, height: int, width: int) -> np.ndarray:
    """float32 [H, W]: the share of the sky that the ground sees at each pixel's centre."""
    y, x = stage.camera.plane(height, width)
    depth = np.repeat(stage.camera.ground_depth(y), width)
    points = stage.camera.position[:, None] + depth * stage.camera.rays(y, x)
    return open_sky(stage, points, AXES[2], 0).reshape(height, width)


def _developed(shown: np.ndarray, samples: int) -> np.ndarray:
    """Linear radiance, float32 [3, h, w], to uint8 [H, W, 3] sRGB; samples are averaged as they look, not as light."""
    tones = TONE.take((np.sqrt(shown) * STEPS).astype(np.int32), mode="clip")
    rows = sum(tones[:, i::samples] for i in range(samples))
    pixels = sum(rows[:, :, i::samples] for i in range(samples))
    return (pixels.transpose(1, 2, 0) / samples**2 + 0.5).astype(np.uint8)
