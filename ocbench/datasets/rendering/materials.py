"""Materials: tileable maps of 256 x 256 texels, linear RGB and height gradient, made from the material's name alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

F = np.float32
SIDE = 256
LEVELS = 8  # 256, 128, ..., 2
Field = np.ndarray  # float64 [SIDE, SIDE]
Colours = list[np.ndarray]  # three linear RGB triples, from dark to light use


@dataclass(frozen=True)
class Material:
    """A mip stack in one array, so that a texel of any level is one gather."""

    stack: np.ndarray  # float32 [texels of all levels, 5]: linear RGB, height gradient along u and v
    shine: float  # strength of the highlight, 0..1
    gloss: float  # its exponent
    metal: float = 0.0  # share of mirrored environment


def linear(colour: str) -> np.ndarray:
    """'rrggbb' in sRGB to linear RGB."""
    return (np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)]) / 255.0) ** 2.2


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


Family = Callable[[np.random.Generator, Colours], tuple[np.ndarray, Field]]


def _dunes(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    ridge = 0.5 + 0.5 * np.sin(2 * np.pi * (7 * _Y + 1.1 * noise(r, 3, 3)))
    return blend(0.75 * ridge + 0.5 * (noise(r, 8) - 0.5), *c), 2.0 * ridge


def _marble(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    vein = np.abs(np.sin(np.pi * (2 * _X + _Y + 3.0 * noise(r, 3, 6, 0.6))))
    return blend(vein**0.6, *c), 0.4 * noise(r, 16)


def _wood(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    grain = 5 * _Y + 1.6 * noise(r, 2, 3)
    rings = grain - np.floor(grain)
    fibre = noise(r, 4, 2) * 0.4 + 0.6 * np.roll(np.repeat(r.random((64, 1)), 4, 0), 3, 0)
    return blend(0.65 * rings + 0.35 * fibre, *c), 1.0 * rings + 0.5 * fibre


def _brick(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    rows, columns = 8, 4
    row = np.floor(_Y * rows)
    x = _X * columns + 0.5 * (row % 2)
    fy, fx = _Y * rows - row, x - np.floor(x)
    edge = np.minimum(np.minimum(fy, 1 - fy), 2.0 * np.minimum(fx, 1 - fx))
    body = step(edge, 0.1, 0.08)
    tone = r.random((rows, columns))[row.astype(int), np.floor(x).astype(int) % columns]
    colour = blend(0.55 * tone + 0.6 * (noise(r, 16) - 0.2), c[0], c[1])
    return colour * body[..., None] + c[2] * (1 - body[..., None]), 3.0 * body + 0.8 * noise(r, 32)


def _tiles(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    n = 5
    fy, fx = _Y * n % 1, _X * n % 1
    body = step(np.minimum(np.minimum(fy, 1 - fy), np.minimum(fx, 1 - fx)), 0.05, 0.04)
    tone = r.random((n, n))[(_Y * n).astype(int), (_X * n).astype(int)]
    colour = blend(0.6 * tone + 0.5 * noise(r, 6), c[0], c[1])
    return colour * body[..., None] + c[2] * (1 - body[..., None]), 3.0 * body


def _checker(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    n = 6
    odd = ((_Y * n).astype(int) + (_X * n).astype(int)) % 2
    return blend(odd * 1.0, c[0], c[2]) * (0.85 + 0.3 * noise(r, 8))[..., None], 0.4 * noise(r, 16)


def _stripes(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    wave = step(np.abs(((8 * _X) % 1) - 0.5), 0.25, 0.06)
    return blend(wave, c[0], c[2]) * (0.9 + 0.2 * noise(r, 8))[..., None], 1.2 * wave


def _cobbles(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    border, centre, tone = cells(r, 7)
    body = step(border, 0.12, 0.12)
    colour = blend(0.7 * tone + 0.5 * (noise(r, 12) - 0.2), c[1], c[2])
    return colour * body[..., None] + c[0] * (1 - body[..., None]), 4.0 * np.minimum(border, 0.5) - 1.5 * centre


def _granite(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    grain = 0.5 * noise(r, 64, 2) + 0.3 * r.random((SIDE, SIDE)) + 0.2 * noise(r, 12)
    return blend(2.2 * (grain - 0.28), *c), 0.8 * grain


def _leather(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    border, _, tone = cells(r, 16, 1.0)
    crease = step(border, 0.12, 0.2)
    return blend(0.55 * crease + 0.25 * tone + 0.3 * noise(r, 4), *c), 2.0 * crease


def _weave(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    n = 12
    over = ((_Y * n).astype(int) + (_X * n).astype(int)) % 2 == 0
    across, along = np.sin(np.pi * (_Y * n % 1)), np.sin(np.pi * (_X * n % 1))
    height = np.where(over, across * (0.6 + 0.4 * along), along * (0.6 + 0.4 * across))
    colour = np.where(over[..., None], c[1], c[2]) * (0.35 + 0.65 * height)[..., None]
    return colour * (0.8 + 0.4 * noise(r, 10))[..., None], 2.5 * height


def _rust(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    patch = step(noise(r, 4, 6, 0.6), 0.5, 0.1)
    crust = blend(noise(r, 24), c[0], c[1])
    return crust * patch[..., None] + c[2] * (1 - patch[..., None]), 1.5 * patch * noise(r, 32) + patch


def _dots(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    n = 6
    row = np.floor(_Y * n)
    fy, fx = _Y * n - row - 0.5, (_X * n + 0.5 * (row % 2)) % 1 - 0.5
    dot = 1 - step(np.hypot(fy, fx), 0.3, 0.08)
    return blend(dot, c[2], c[0]), 1.2 * dot + 0.2 * noise(r, 16)


def _zigzag(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    wave = step(np.abs((6 * _Y + np.abs((8 * _X) % 2 - 1)) % 1 - 0.5), 0.25, 0.06)
    return blend(wave, c[0], c[2]), 1.0 * wave + 0.2 * noise(r, 16)


def _plaid(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    across, down = (step(np.abs((4 * t) % 1 - 0.5), 0.28, 0.05) for t in (_X, _Y))
    thin = 1 - step(np.abs((4 * _X) % 1 - 0.5) * 1.0, 0.06, 0.04) * step(np.abs((4 * _Y) % 1 - 0.5), 0.06, 0.04)
    colour = blend(0.5 * (across + down), c[2], c[1], c[0])
    return colour * (1 - 0.35 * thin)[..., None], 0.5 * noise(r, 64, 2)


def _cracks(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    border, _, tone = cells(r, 5, 1.0)
    body = step(border + 0.25 * (noise(r, 12) - 0.5), 0.07, 0.06)
    colour = blend(0.5 * tone + 0.4 * noise(r, 16), c[1], c[2])
    return colour * body[..., None] + c[0] * (1 - body[..., None]), 3.0 * body


def _waves(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * _Y + 0.35 * np.sin(2 * np.pi * 3 * _X)))
    return blend(wave, *c), 2.0 * wave


def _plain(r: np.random.Generator, c: Colours) -> tuple[np.ndarray, Field]:
    return np.broadcast_to(c[0], (SIDE, SIDE, 3)).copy(), np.zeros((SIDE, SIDE))


# family -> maker, highlight, and three colourways of three colours each.
TRAINING: dict[str, tuple[Family, float, list[str]]] = {
    "dunes": (_dunes, 0.05, ["b98a50 dcb27a f2d9a8", "7a5a86 b48ec0 e6cdea", "4f7d75 86b5a6 cfe6d8"]),
    "marble": (_marble, 0.5, ["5f5a57 cfc9c2 f7f4ef", "1c3a2c 5b9473 d4ead8", "4a1626 a8525f f0cdc6"]),
    "wood": (_wood, 0.2, ["4a2a14 8f5a2c c58a4e", "2a1a12 543522 7d5334", "8a6a3a c9a86a e8d3a0"]),
    "brick": (_brick, 0.05, ["8f3a28 c0593c d8cfc4", "5f6570 8d949e c4c6c8", "a8884a d6b878 6f5f48"]),
    "tiles": (_tiles, 0.6, ["1f4f9a 3f86c8 eef2f4", "1f7a68 58b8a0 f0ead8", "a83a3a d87858 f4e8d8"]),
    "checker": (_checker, 0.4, ["1c1c20 808080 f2f2ee", "8a6a10 c8a020 141414", "1f5fa8 6f9fd0 f0f4f8"]),
    "stripes": (_stripes, 0.3, ["c02a20 d87060 f8f0e8", "1f3a7a 6a7ab0 f0d890", "1f7a3a 70b080 f4f6ec"]),
    "cobbles": (_cobbles, 0.1, ["5a3a14 d08a28 f0b848", "2f5f78 58a8b8 c8ecdc", "3a0c10 881820 c03030"]),
    "granite": (_granite, 0.35, ["26262a 88888c e8e8e8", "4a2420 a86a5a e8c0b0", "1a2a48 4a6a98 c0d0e8"]),
    "leather": (_leather, 0.3, ["2a140c 6f3a1c 9a5c30", "0f2a14 2f6a30 68a050", "240c0c 681418 a02c28"]),
    "weave": (_weave, 0.1, ["3a2a1a a8884a d8bc80", "101c30 28487a 88a8d8", "3a0f24 98285a e090a8"]),
    "rust": (_rust, 0.2, ["5a240c b4541c 8a9296", "3a2418 884828 3f7a78", "6a3a10 d0882c 4a4a52"]),
}
UNSEEN: dict[str, tuple[Family, float, list[str]]] = {
    "dots": (_dots, 0.4, ["f0f0ea a8a8a8 c8285a", "28304a 687088 f4d03c"]),
    "zigzag": (_zigzag, 0.3, ["241c4a 706898 f08c70", "f8f0d8 a8a890 187878"]),
    "plaid": (_plaid, 0.1, ["8a1420 c87878 f4ead0", "14482c 508868 d8e4b0"]),
    "cracks": (_cracks, 0.15, ["3a2c1c a88c60 e0c898", "f07818 2a2428 4a4448"]),
    "waves": (_waves, 0.4, ["14506a 4898b0 e4f4f0", "5a2c5a b070a0 f8dcd8"]),
}
CLEVR_COLOURS = {
    "gray": "575757", "red": "ad2323", "blue": "2a4bd7", "green": "1d6914",
    "brown": "814a19", "purple": "8126c0", "cyan": "29d0d0", "yellow": "ffee33",
}  # fmt: skip
PLAIN = tuple(f"{finish}-{colour}" for finish in ("matte", "metal") for colour in CLEVR_COLOURS)
TRAINING_NAMES = tuple(f"{name}-{i}" for name, (_, _, ways) in TRAINING.items() for i in range(len(ways)))
UNSEEN_NAMES = tuple(f"{name}-{i}" for name, (_, _, ways) in UNSEEN.items() for i in range(len(ways)))
PLANE = "plane"  # the grey ground of the plain style


@cache
def material(name: str) -> Material:
    """The material of that name, built on first use."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    kind, _, variant = name.partition("-")
    if name == PLANE:
        grain = 0.40 * (0.97 + 0.06 * noise(random, 8))
        return Material(_stack(np.repeat(grain[..., None], 3, 2), np.zeros((SIDE, SIDE))), 0.0, 8)
    if kind in ("matte", "metal"):
        colour, height = _plain(random, [linear(CLEVR_COLOURS[variant])])
        return Material(_stack(colour, height), *((0.15, 12, 0.0) if kind == "matte" else (0.9, 60, 0.55)))
    family, shine, ways = (TRAINING if kind in TRAINING else UNSEEN)[kind]
    colour, height = family(random, [linear(c) for c in ways[int(variant)].split()])
    return Material(_stack(colour, height), shine, 40)


def _stack(colour: np.ndarray, height: Field) -> np.ndarray:
    """All mip levels one after the other; gradients are per texture width, halved in effect by averaging."""
    along = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    down = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    level = np.concatenate([np.clip(colour, 0, 1), along[..., None], down[..., None]], -1)
    levels = []
    for _ in range(LEVELS):
        levels.append(level.reshape(-1, 5))
        level = (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2]) / 4
    return np.concatenate(levels).astype(F)


OFFSETS = np.cumsum([0] + [(SIDE >> level) ** 2 for level in range(LEVELS - 1)])


def texels(found: Material, u: np.ndarray, v: np.ndarray, level: np.ndarray) -> np.ndarray:
    """float32 [n, 5] at texture coordinates (1 = one tile) and integer mip levels, nearest texel."""
    side = SIDE >> level
    x = np.floor(u * side).astype(np.int64) & (side - 1)
    y = np.floor(v * side).astype(np.int64) & (side - 1)
    return found.stack[OFFSETS[level] + y * side + x]
