"""Materials: tileable texture maps with their highlight and mirror, made from the material's name alone."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from ocbench.datasets.rendering import patterns
from ocbench.datasets.rendering.patterns import SIDE, Family, Field

F = np.float32
LEVELS = 8  # of the mip stack: 256, 128, ..., 2 texels a side
OFFSETS = np.cumsum([0] + [(SIDE >> level) ** 2 for level in range(LEVELS - 1)]).astype(np.int32)
BUMP = 1.6  # how steep a height map looks


@dataclass(frozen=True)
class Material:
    """A mip stack in one array, so that a texel of any level is one gather."""

    stack: np.ndarray  # float32 [6, texels of all levels]: linear RGB, and the unit normal along u, v and outwards
    shine: float  # strength of the highlight, 0..1
    gloss: float  # its exponent
    metal: float = 0.0  # share of mirrored environment


# family -> maker, highlight, and three colourways of three colours each.
TRAINING: dict[str, tuple[Family, float, list[str]]] = {
    "dunes": (patterns.dunes, 0.05, ["b98a50 dcb27a f2d9a8", "7a5a86 b48ec0 e6cdea", "4f7d75 86b5a6 cfe6d8"]),
    "marble": (patterns.marble, 0.5, ["5f5a57 cfc9c2 f7f4ef", "1c3a2c 5b9473 d4ead8", "4a1626 a8525f f0cdc6"]),
    "wood": (patterns.wood, 0.2, ["4a2a14 8f5a2c c58a4e", "2a1a12 543522 7d5334", "8a6a3a c9a86a e8d3a0"]),
    "brick": (patterns.brick, 0.05, ["8f3a28 c0593c d8cfc4", "6f757f 8d949e 787d86", "a8884a d6b878 6f5f48"]),
    "tiles": (patterns.tiles, 0.6, ["1f4f9a 3f86c8 eef2f4", "1f7a68 58b8a0 f0ead8", "a83a3a d87858 f4e8d8"]),
    "checker": (patterns.checker, 0.4, ["1c1c20 808080 f2f2ee", "8a6a10 c8a020 141414", "1f5fa8 6f9fd0 f0f4f8"]),
    "stripes": (patterns.stripes, 0.3, ["c02a20 d87060 f8f0e8", "1f3a7a 6a7ab0 f0d890", "1f7a3a 70b080 f4f6ec"]),
    "cobbles": (patterns.cobbles, 0.1, ["5a3a14 d08a28 f0b848", "2f5f78 58a8b8 c8ecdc", "3a0c10 881820 c03030"]),
    "granite": (patterns.granite, 0.35, ["26262a 88888c e8e8e8", "4a2420 a86a5a e8c0b0", "1a2a48 4a6a98 c0d0e8"]),
    "leather": (patterns.leather, 0.3, ["2a140c 6f3a1c 9a5c30", "0f2a14 2f6a30 68a050", "240c0c 681418 a02c28"]),
    "weave": (patterns.weave, 0.1, ["3a2a1a a8884a d8bc80", "101c30 28487a 88a8d8", "3a0f24 98285a e090a8"]),
    "rust": (patterns.rust, 0.2, ["5a240c b4541c 8a9296", "3a2418 884828 3f7a78", "6a3a10 d0882c 4a4a52"]),
}
UNSEEN: dict[str, tuple[Family, float, list[str]]] = {
    "dots": (patterns.dots, 0.4, ["f0f0ea a8a8a8 c8285a", "28304a 687088 f4d03c"]),
    "zigzag": (patterns.zigzag, 0.3, ["241c4a 706898 f08c70", "f8f0d8 a8a890 187878"]),
    "plaid": (patterns.plaid, 0.1, ["8a1420 c87878 f4ead0", "14482c 508868 d8e4b0"]),
    "cracks": (patterns.cracks, 0.15, ["3a2c1c a88c60 e0c898", "f07818 2a2428 4a4448"]),
    "waves": (patterns.waves, 0.4, ["14506a 4898b0 e4f4f0", "5a2c5a b070a0 f8dcd8"]),
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
    flat = np.zeros((SIDE, SIDE))
    if name == PLANE:
        grain = 0.275 * (0.97 + 0.06 * patterns.noise(random, 8))
        return Material(_stack(np.repeat(grain[..., None], 3, 2), flat), 0.0, 8)
    if kind in ("matte", "metal"):
        colour = np.broadcast_to(linear(CLEVR_COLOURS[variant]), (SIDE, SIDE, 3))
        return Material(_stack(colour, flat), *((0.15, 12, 0.0) if kind == "matte" else (0.9, 60, 0.8)))
    family, shine, ways = (TRAINING if kind in TRAINING else UNSEEN)[kind]
    colour, height = family(random, [linear(c) for c in ways[int(variant)].split()])
    return Material(_stack(colour, height), shine, 40)


def linear(colour: str) -> np.ndarray:
    """'rrggbb' in sRGB to linear RGB."""
    return (np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)]) / 255.0) ** 2.2


def _stack(colour: np.ndarray, height: Field) -> np.ndarray:
    """Colour and normal of all mip levels in a row; a level averages the colours and slopes of the one before."""
    slopes = [(np.roll(height, 1, axis) - np.roll(height, -1, axis)) * (BUMP / 2) for axis in (1, 0)]
    level = np.stack([*np.clip(colour, 0, 1).transpose(2, 0, 1), *slopes, np.ones_like(height)])
    levels = []
    for _ in range(LEVELS):
        levels.append(level.reshape(6, -1))
        level = (level[:, ::2, ::2] + level[:, 1::2, ::2] + level[:, ::2, 1::2] + level[:, 1::2, 1::2]) / 4
    stack = np.concatenate(levels, axis=1)
    stack[3:] /= np.linalg.norm(stack[3:], axis=0)
    return stack.astype(F)


def texels(found: Material, u: np.ndarray, v: np.ndarray, level: np.ndarray) -> np.ndarray:
    """float32 [6, n] at texture coordinates (1 = one tile) and integer mip levels, nearest texel."""
    side = (SIDE >> level).astype(np.int32)
    x = np.floor(u * side.astype(F)).astype(np.int32) & (side - 1)
    y = np.floor(v * side.astype(F)).astype(np.int32) & (side - 1)
    return found.stack.take((OFFSETS[level] + y * side + x).ravel(), axis=1)
