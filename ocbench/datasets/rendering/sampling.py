"""What stands in a scene: pure functions of a style, a layout and a random generator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ocbench.datasets.rendering import materials
from ocbench.datasets.rendering.camera import Camera
from ocbench.datasets.rendering.shapes import SHAPES

EYE = np.array([7.0, -6.4, 7.2])
TARGET = np.array([0.0, 0.0, 0.25])
FIELD_OF_VIEW = 32.0  # degrees
JITTER = 0.35  # of the eye, world units
FRAME = 0.86  # share of the half-frame within which centres must project
SIZES = (0.36, 0.5, 0.72)  # radius, world units
GROUND_TILES, BODY_TILES = 0.22, 0.55  # of a texture per world unit


@dataclass(frozen=True)
class Layout:
    """How many objects, how large, and where."""

    side: int  # pixels
    objects: tuple[int, int]
    scale: float  # of the sizes and the textures
    spread: float  # half side of the placement square, world units
    gap: float  # between footprints, world units
    jitter: float  # of the camera, as a share
    shadow: float  # strength of cast shadows and of the darkening near contacts


QUICK = Layout(64, (2, 4), 1.35, 2.3, 0.03, 0.3, 0.5)
FULL = Layout(128, (3, 10), 1.0, 3.8, 0.08, 1.0, 1.0)


@dataclass(frozen=True)
class Style:
    """Which shapes and materials there are."""

    name: str
    shapes: tuple[str, ...]
    materials: tuple[str, ...]
    grounds: tuple[str, ...]
    shared: bool = False  # one material for the ground and every object
    fixed_ground: bool = False  # the ground's texture never moves


_SOLIDS = ("sphere", "cube", "cylinder")
_STRANGE = ("cone", "torus", "icosahedron", "pyramid")
STYLES = {
    style.name: style
    for style in (
        Style("plain", _SOLIDS, materials.PLAIN, (materials.PLANE,), fixed_ground=True),
        Style("texfix", _SOLIDS, materials.TRAINING_NAMES, ("brick-1",), fixed_ground=True),
        Style("tex", _SOLIDS, materials.TRAINING_NAMES, materials.TRAINING_NAMES),
        Style("ood", _STRANGE, materials.UNSEEN_NAMES, materials.UNSEEN_NAMES),
        Style("camo", _SOLIDS, materials.TRAINING_NAMES, materials.TRAINING_NAMES, shared=True),
    )
}


@dataclass(frozen=True)
class Skin:
    """A material and how it lies: offset (tiles), rotation (radians), tiles per world unit."""

    material: str
    offset: tuple[float, float]
    rotation: float
    scale: float


@dataclass(frozen=True)
class Body:
    """One object."""

    shape: str
    centre: tuple[float, float, float]
    radius: float
    rotation: float  # about z, radians
    skin: Skin

    @cached_property
    def turn(self) -> np.ndarray:
        """World to object axes, float32 [3, 3]."""
        c, s = np.cos(self.rotation), np.sin(self.rotation)
        return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)

    def local(self, points: np.ndarray) -> np.ndarray:
        """World points in the unit space of the shape, float32 [3, n]."""
        return self.turn @ ((points - np.array(self.centre, np.float32)[:, None]) / np.float32(self.radius))


@dataclass(frozen=True)
class Stage:
    """A scene before it is drawn."""

    camera: Camera
    bodies: tuple[Body, ...]
    ground: Skin
    light: tuple[float, float, float]
    shadow: float


def sample(style: Style, layout: Layout, random: np.random.Generator, size: tuple[int, int]) -> Stage | None:
    """A stage, or None where the objects found no room; every draw is in a fixed order."""
    eye = EYE + random.uniform(-JITTER, JITTER, 3) * layout.jitter
    camera = Camera.looking_at(eye, TARGET, FIELD_OF_VIEW, size)
    count = int(random.integers(layout.objects[0], layout.objects[1] + 1))
    shared = str(random.choice(style.grounds))
    ground = _skin(shared, random, GROUND_TILES / layout.scale)
    if style.fixed_ground:
        ground = Skin(style.grounds[0], (0.13, 0.41), 0.35, GROUND_TILES / layout.scale)
    light = tuple(float(v) for v in np.array([-3.6, -7.0, 10.0]) + random.uniform(-0.6, 0.6, 3) * layout.jitter)
    bodies: list[Body] = []
    for _ in range(count):
        shape = SHAPES[str(random.choice(style.shapes))]
        radius = float(random.choice(SIZES)) * layout.scale * float(random.uniform(0.93, 1.07))
        place = _free_place(shape.footprint * radius, shape.base * radius, bodies, camera, layout, random)
        name = shared if style.shared else str(random.choice(style.materials))
        rotation, skin = float(random.uniform(0, 2 * np.pi)), _skin(name, random, BODY_TILES / layout.scale)
        if place is None:
            return None
        bodies.append(Body(shape.name, place, radius, rotation, skin))
    return Stage(camera, tuple(bodies), ground, light, layout.shadow)  # type: ignore[arg-type]


def _skin(name: str, random: np.random.Generator, scale: float) -> Skin:
    offset = random.random(2)
    turn, stretch = random.uniform(0, 2 * np.pi), random.uniform(0.8, 1.25)
    return Skin(name, (float(offset[0]), float(offset[1])), float(turn), float(scale * stretch))


def _free_place(
    footprint: float, base: float, bodies: list[Body], camera: Camera, layout: Layout, random: np.random.Generator
) -> tuple[float, float, float] | None:
    tries = np.append(random.uniform(-layout.spread, layout.spread, (40, 2)), np.full((40, 1), base), axis=1)
    free = np.abs(camera.project(tries)).max(axis=1) <= FRAME
    for body in bodies:
        apart = footprint + SHAPES[body.shape].footprint * body.radius + layout.gap
        free &= np.hypot(tries[:, 0] - body.centre[0], tries[:, 1] - body.centre[1]) >= apart
    x, y, z = (float(v) for v in tries[free.argmax()])
    return (x, y, z) if free.any() else None
