"""How surfaces look in the light of a stage: a key light with shadow, two fills, the sky, highlights and mirrors."""

from __future__ import annotations

import numpy as np

from ocbench.datasets.rendering.sampling import Stage
from ocbench.datasets.rendering.shapes import dot, unit
from ocbench.datasets.rendering.surfaces import Surface

F = np.float32
KEY, SKY, EARTH = 1.1, np.array([[0.77], [0.81], [0.87]], F), np.array([[0.42], [0.40], [0.38]], F)
FILLS = ((unit(np.array([[0.9], [0.2], [0.45]], F)), 0.26), (unit(np.array([[0.3], [-0.95], [0.35]], F)), 0.2))


def radiance(
    stage: Stage, points: np.ndarray, rays: np.ndarray, surface: Surface, lit: np.ndarray, sky: np.ndarray
) -> np.ndarray:
    """Linear radiance towards the eye, float32 [3, n]; `lit` and `sky` are the visible shares of key light and sky."""
    normal, view = surface.normal, -unit(rays)
    towards = unit(np.array(stage.light, F)[:, None] - points)
    key = KEY * np.maximum(dot(normal, towards), 0) * lit * (0.6 + 0.4 * sky)
    fill = sum(strength * np.maximum(dot(normal, direction), 0) for direction, strength in FILLS) * sky
    ambient = ((SKY + EARTH) / 2 + (SKY - EARTH) / 2 * normal[2]) * sky
    shown = surface.colour * (ambient + (key + fill)) * (0.74 * (1 - 0.75 * surface.metal))
    if np.any(surface.shine):  # the plane of the plain style has no highlight
        spark = np.exp(surface.gloss * (dot(normal, unit(towards + view)) - 1))  # nearly cos^gloss, and faster
        shown += surface.shine * 1.3 * lit * spark
    if np.any(surface.metal):
        shown += _mirrored(normal, view, towards, surface.colour) * (surface.metal * (0.5 + 0.5 * sky))
    return shown


def _mirrored(normal: np.ndarray, view: np.ndarray, towards: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """What a metal shows of a made-up room: lit ground, dark walls, a bright ceiling, and the lamp as a soft box.

    It is tinted by the metal's colour, less so at grazing angles.
    """
    cosine = dot(normal, view).clip(0, 1)
    mirrored = 2 * cosine * normal - view
    rise = mirrored[2]
    room = np.where(rise < 0, 0.16 + 0.5 * np.sqrt(np.maximum(-rise, 0)), 0.16 + 1.3 * rise**2)
    lamp = 2.2 / (1 + np.exp(-40 * (dot(mirrored, towards) - 0.93)))
    return (colour + (1 - colour) * (1 - cosine) ** 5) * (room + lamp)
