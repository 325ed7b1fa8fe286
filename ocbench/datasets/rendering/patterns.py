"""Patterns: tileable maps of 256 x 256 texels, colour and height, drawn by NumPy from a generator and three colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIDE = 256
Field = np.ndarray  # float64 [SIDE, SIDE]
Colours = list[np.ndarray]  # three linear RGB triples, from dark to light use
Family = Callable[[np.random.Generator, Colours], tuple[np.ndarray, Field]]  # -> colour [SIDE, SIDE, 3], height


_Y, _X = np.mgrid[0:SIDE, 0:SIDE] / SIDE  # texture coordinates in [0, 1)


def noise(random: np.random.Generator, cells: int, octaves: int = 5, gain: float = 0.5) -> Field:
    """Tileable fractal noise, about 0..1, standard deviation about 0.16."""
    total, weight, norm = np.zeros((SIDE, SIDE)), 1.0, 0.0
    for octave in range(octaves):
        n = min(cells * 2**octave, SIDE)
        grid = random.random((n, n))
        y, x = _Y * n, _X * n
        y0, x0 = y.astype(int), x.astype(int)
        fy, fx = (f * f * (3 - 2 * f) for f in (y - y0, x - x0))
        y1, x1 = (y0 + 1) % n, (x0 + 1) % n
        low = grid[y0, x0] * (1 - fx) + grid[y0, x1] * fx
        high = grid[y1, x0] * (1 - fx) + grid[y1, x1] * fx
        total += weight * (low * (1 - fy) + high * fy)
        norm += weight
        weight *= gain
    return total / norm


def cells(random: np.random.Generator, count: int, jitter: float = 0.8) -> tuple[Field, Field, Field]:
    """Tileable Voronoi cells: distance to the nearest border, distance to the centre, and a random number per cell."""
    gy, gx = np.mgrid[0:count, 0:count]
    py = (gy + 0.5 + jitter * (random.random((count, count)) - 0.5)) / count
    px = (gx + 0.5 + jitter * (random.random((count, count)) - 0.5)) / count
    tone = random.random((count, count))
    cy, cx = (_Y * count).astype(int), (_X * count).astype(int)
    first = np.full((SIDE, SIDE), np.inf)
    second, mine = first.copy(), np.zeros((SIDE, SIDE))
    for dy in (-2, -1, 0, 1, 2):
        for dx in (-2, -1, 0, 1, 2):
            y, x = (cy + dy) % count, (cx + dx) % count
            oy = np.abs(py[y, x] - _Y)
            ox = np.abs(px[y, x] - _X)
            distance = np.hypot(np.minimum(oy, 1 - oy), np.minimum(ox, 1 - ox)) * count
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            mine = np.where(nearer, tone[y, x], mine)
            first = np.where(nearer, distance, first)
    return second - first, first, mine


def step(field: Field, edge: float, width: float) -> Field:
    """0 below the edge, 1 above, smooth over `width`."""
    t = np.clip((field - edge) / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def blend(field: Field, *colours: np.ndarray) -> np.ndarray:
    """Colours laid evenly over 0..1, float64 [SIDE, SIDE, 3]."""
    place = np.clip(field, 0, 1) * (len(colours) - 1)
    low = np.minimum(place.astype(int), len(colours) - 2)
    share = (place - low)[..., None]
    table = np.stack(colours)
    return table[low] * (1 - share) + table[low + 1] * share


def dunes(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    ridge = 0.5 + 0.5 * np.sin(2 * np.pi * (7 * _Y + 1.1 * noise(r, 3, 3)))
    return blend(0.75 * ridge + 0.5 * (noise(r, 8) - 0.5), *c), 2.0 * ridge


def marble(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    vein = np.abs(np.sin(np.pi * (2 * _X + _Y + 3.0 * noise(r, 3, 6, 0.6))))
    return blend(vein**0.6, *c), 0.4 * noise(r, 16)


def wood(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    grain = 5 * _Y + 1.6 * noise(r, 2, 3)
    rings = grain - np.floor(grain)
    fibre = noise(r, 4, 2) * 0.4 + 0.6 * np.roll(np.repeat(r.random((64, 1)), 4, 0), 3, 0)
    return blend(0.65 * rings + 0.35 * fibre, *c), 1.0 * rings + 0.5 * fibre


def brick(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    rows, columns = 8, 4
    row = np.floor(_Y * rows)
    x = _X * columns + 0.5 * (row % 2)
    fy, fx = _Y * rows - row, x - np.floor(x)
    edge = np.minimum(np.minimum(fy, 1 - fy), 2.0 * np.minimum(fx, 1 - fx))
    body = step(edge, 0.1, 0.08)
    tone = r.random((rows, columns))[row.astype(int), np.floor(x).astype(int) % columns]
    colour = blend(0.55 * tone + 0.6 * (noise(r, 16) - 0.2), c[0], c[1])
    return colour * body[..., None] + c[2] * (1 - body[..., None]), 3.0 * body + 0.8 * noise(r, 32)


def tiles(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    n = 5
    fy, fx = _Y * n % 1, _X * n % 1
    body = step(np.minimum(np.minimum(fy, 1 - fy), np.minimum(fx, 1 - fx)), 0.05, 0.04)
    tone = r.random((n, n))[(_Y * n).astype(int), (_X * n).astype(int)]
    colour = blend(0.6 * tone + 0.5 * noise(r, 6), c[0], c[1])
    return colour * body[..., None] + c[2] * (1 - body[..., None]), 3.0 * body


def checker(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    n = 6
    odd = ((_Y * n).astype(int) + (_X * n).astype(int)) % 2
    return blend(odd * 1.0, c[0], c[2]) * (0.85 + 0.3 * noise(r, 8))[..., None], 0.4 * noise(r, 16)


def stripes(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    wave = step(np.abs(((8 * _X) % 1) - 0.5), 0.25, 0.06)
    return blend(wave, c[0], c[2]) * (0.9 + 0.2 * noise(r, 8))[..., None], 1.2 * wave


def cobbles(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    border, centre, tone = cells(r, 7)
    body = step(border, 0.12, 0.12)
    colour = blend(0.7 * tone + 0.5 * (noise(r, 12) - 0.2), c[1], c[2])
    return colour * body[..., None] + c[0] * (1 - body[..., None]), 4.0 * np.minimum(border, 0.5) - 1.5 * centre


def granite(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    grain = 0.5 * noise(r, 64, 2) + 0.3 * r.random((SIDE, SIDE)) + 0.2 * noise(r, 12)
    return blend(2.2 * (grain - 0.28), *c), 0.8 * grain


def leather(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    border, _, tone = cells(r, 16, 1.0)
    crease = step(border, 0.12, 0.2)
    return blend(0.55 * crease + 0.25 * tone + 0.3 * noise(r, 4), *c), 2.0 * crease


def weave(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    n = 12
    over = ((_Y * n).astype(int) + (_X * n).astype(int)) % 2 == 0
    across, along = np.sin(np.pi * (_Y * n % 1)), np.sin(np.pi * (_X * n % 1))
    height = np.where(over, across * (0.6 + 0.4 * along), along * (0.6 + 0.4 * across))
    colour = np.where(over[..., None], c[1], c[2]) * (0.35 + 0.65 * height)[..., None]
    return colour * (0.8 + 0.4 * noise(r, 10))[..., None], 2.5 * height


def rust(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    patch = step(noise(r, 4, 6, 0.6), 0.5, 0.1)
    crust = blend(noise(r, 24), c[0], c[1])
    return crust * patch[..., None] + c[2] * (1 - patch[..., None]), 1.5 * patch * noise(r, 32) + patch


def dots(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    n = 6
    row = np.floor(_Y * n)
    fy, fx = _Y * n - row - 0.5, (_X * n + 0.5 * (row % 2)) % 1 - 0.5
    dot = 1 - step(np.hypot(fy, fx), 0.3, 0.08)
    return blend(dot, c[2], c[0]), 1.2 * dot + 0.2 * noise(r, 16)


def zigzag(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    wave = step(np.abs((6 * _Y + np.abs((8 * _X) % 2 - 1)) % 1 - 0.5), 0.25, 0.06)
    return blend(wave, c[0], c[2]), 1.0 * wave + 0.2 * noise(r, 16)


def plaid(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    across, down = (step(np.abs((4 * t) % 1 - 0.5), 0.28, 0.05) for t in (_X, _Y))
    thin = 1 - step(np.abs((4 * _X) % 1 - 0.5) * 1.0, 0.06, 0.04) * step(np.abs((4 * _Y) % 1 - 0.5), 0.06, 0.04)
    colour = blend(0.5 * (across + down), c[2], c[1], c[0])
    return colour * (1 - 0.35 * thin)[..., None], 0.5 * noise(r, 64, 2)


def cracks(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    border, _, tone = cells(r, 5, 1.0)
    body = step(border + 0.25 * (noise(r, 12) - 0.5), 0.07, 0.06)
    colour = blend(0.5 * tone + 0.4 * noise(r, 16), c[1], c[2])
    return colour * body[..., None] + c[0] * (1 - body[..., None]), 3.0 * body


def waves(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * _Y + 0.35 * np.sin(2 * np.pi * 3 * _X)))
    return blend(wave, *c), 2.0 * wave
