"""Where rays meet the shapes, normals there, and how a texture is laid on, each in the shape's own unit space.

Vectors are float32 [3, n]. `hit(origin, direction)` gives t, infinity for a miss, of the nearest surface in front of
the origin ([3, 1] or [3, n]); directions need not be normalised. `normal(points)` is the outward one at surface points.
Misses run through as NaN, so callers silence NumPy's warnings of invalid values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

F = np.float32
MISS = F(np.inf)
NEAR = F(1e-4)  # hits nearer than this are the surface that the ray left
GOLDEN = (1 + 5**0.5) / 2


@dataclass(frozen=True)
class Shape:
    """A shape of unit size that rests on the plane z = -base."""

    name: str
    hit: Callable[[np.ndarray, np.ndarray], np.ndarray]
    normal: Callable[[np.ndarray], np.ndarray]
    base: float  # distance from the centre to the plane it rests on
    bound: float  # radius of its bounding sphere
    footprint: float  # radius of its circle on the ground
    mapping: str  # box, cylinder or triplanar


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of vectors [3, n] or [3, 1], float32 [n]."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(a: np.ndarray) -> np.ndarray:
    """The vectors [3, n] at length 1."""
    return a / np.sqrt(dot(a, a))


def _off_zero(a: np.ndarray) -> np.ndarray:
    """The values, to divide by."""
    return np.where(np.abs(a) < 1e-9, F(1e-9), a)


def _nearest(enter: np.ndarray, leave: np.ndarray) -> np.ndarray:
    """The first end of the stretch within a solid that lies in front of the origin; NaN at either end is a miss."""
    return np.where(enter < leave, np.where(enter > NEAR, enter, np.where(leave > NEAR, leave, MISS)), MISS)


def _roots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both roots of a t^2 + 2 b t + c, for a > 0 the smaller one first; NaN where there is none."""
    root = np.sqrt(b * b - a * c)
    return (-b - root) / a, (-b + root) / a


def _between(origin: np.ndarray, direction: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the rays enter and leave the slab of coordinates within -half..half."""
    inverse = 1 / _off_zero(direction)
    middle, extent = -origin * inverse, half * np.abs(inverse)
    return middle - extent, middle + extent


def _sphere(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    return _nearest(*_roots(dot(direction, direction), dot(origin, direction), dot(origin, origin) - 1))


def _cube(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    enter, leave = _between(origin, direction, CUBE)
    return _nearest(enter.max(axis=0), leave.min(axis=0))


def _cube_normal(points: np.ndarray) -> np.ndarray:
    size = np.abs(points)
    return np.where(size == size.max(axis=0), np.sign(points), F(0))


def _convex(planes: np.ndarray, offsets: np.ndarray) -> tuple[Callable, Callable]:
    """`hit` and `normal` of the solid of all p with planes @ p <= offsets; unit normals [m, 3], offsets [m]."""
    normals, heights = planes.astype(F), offsets.astype(F)[:, None]

    def hit(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        speed = normals @ direction
        t = (heights - normals @ origin) / _off_zero(speed)
        return _nearest(np.where(speed < 0, t, -MISS).max(axis=0), np.where(speed < 0, MISS, t).min(axis=0))

    def normal(points: np.ndarray) -> np.ndarray:
        return normals[(normals @ points - heights).argmax(axis=0)].T

    return hit, normal


def _cylinder(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    side_in, side_out = _roots(
        direction[0] ** 2 + direction[1] ** 2,
        origin[0] * direction[0] + origin[1] * direction[1],
        origin[0] ** 2 + origin[1] ** 2 - CYLINDER**2,
    )
    cap_in, cap_out = _between(origin[2], direction[2], CYLINDER)
    return _nearest(np.maximum(side_in, cap_in), np.minimum(side_out, cap_out))


def _cylinder_normal(points: np.ndarray) -> np.ndarray:
    across = np.maximum(np.hypot(points[0], points[1]), F(1e-6))
    capped = np.abs(points[2]) > across
    flat = np.where(capped, F(0), points / across)
    flat[2] = np.where(capped, np.sign(points[2]), F(0))
    return flat


def _cone(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Upright, the apex at z = CONE, closed below at z = -CONE, where its radius is CONE."""
    drop, fall = (CONE - origin[2]) / 2, -direction[2] / 2  # the radius there, and how it grows along the ray
    a = direction[0] ** 2 + direction[1] ** 2 - fall**2
    b = origin[0] * direction[0] + origin[1] * direction[1] - drop * fall
    c = origin[0] ** 2 + origin[1] ** 2 - drop**2
    best = np.full(direction.shape[1], MISS, F)
    for t in _roots(_off_zero(a), b, c):
        good = (t > NEAR) & (t < best) & (np.abs(origin[2] + t * direction[2]) <= CONE)
        best = np.where(good, t, best)
    base = (-CONE - origin[2]) / _off_zero(direction[2])
    within = (origin[0] + base * direction[0]) ** 2 + (origin[1] + base * direction[1]) ** 2 < CONE**2
    return np.where(within & (base > NEAR) & (base < best), base, best)


def _cone_normal(points: np.ndarray) -> np.ndarray:
    slant = np.stack([points[0], points[1], (CONE - points[2]) / 4])
    slant /= np.sqrt(np.maximum(dot(slant, slant), F(1e-12)))
    below = points[2] < -CONE + 1e-3
    return np.where(below, np.array([[0], [0], [-1]], F), slant)


def _torus(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Lying flat; sphere tracing within the upright cylinder that holds it."""
    low, high = _between(origin[2], direction[2], TUBE)
    near, far = _roots(
        direction[0] ** 2 + direction[1] ** 2,
        origin[0] * direction[0] + origin[1] * direction[1],
        origin[0] ** 2 + origin[1] ** 2 - (RING + TUBE) ** 2,
    )
    start, end = np.maximum(np.maximum(low, near), NEAR), np.minimum(high, far)
    found = np.full(direction.shape[1], MISS, F)
    rays = np.flatnonzero(start < end)
    p, d, t, end = (np.broadcast_to(origin, direction.shape)[:, rays], direction[:, rays], start[rays], end[rays])
    speed = np.sqrt(dot(d, d))
    for _ in range(28):
        gap = _tube_gap(p + t * d)
        t = np.minimum(t + gap / speed, end)
    hit = (t < end) & (gap < 0.003)
    found[rays[hit]] = t[hit]
    return found


def _tube_gap(points: np.ndarray) -> np.ndarray:
    """Distance to the tube's surface; by np.sqrt, which is much faster than np.hypot."""
    return np.sqrt((np.sqrt(points[0] ** 2 + points[1] ** 2) - RING) ** 2 + points[2] ** 2) - TUBE


def _torus_normal(points: np.ndarray) -> np.ndarray:
    inner = points[:2] * (1 - RING / np.maximum(np.hypot(points[0], points[1]), F(1e-6)))
    return unit(np.concatenate([inner, points[2:]]))


def _icosahedron() -> tuple[np.ndarray, np.ndarray]:
    """Unit face normals and in-radius of the icosahedron of circumradius 1.05, turned to rest on a face."""
    signs = [(s, t) for s in (-1, 1) for t in (-1, 1)]
    normals: list[tuple[float, float, float]] = [(s, t, u) for s, t in signs for u in (-1, 1)]
    for s, t in signs:
        first, second = s / GOLDEN, t * GOLDEN
        normals += [(0, first, second), (first, second, 0), (second, 0, first)]
    faces = np.array(normals, np.float64) / np.sqrt(3)
    down = faces[0]  # turn this one to -z
    axis = np.cross(down, [0, 0, -1])
    sine, cosine = np.linalg.norm(axis), -down[2]
    x, y, z = axis / sine
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + sine * cross + (1 - cosine) * cross @ cross
    return faces @ turn.T, np.full(20, 1.05 * 0.794654)


def _pyramid(half: float = 0.9, height: float = 1.6) -> tuple[np.ndarray, np.ndarray]:
    """Square pyramid centred at half its height."""
    sides = np.array([[1, 0, half / height], [-1, 0, half / height], [0, 1, half / height], [0, -1, half / height]])
    length = np.linalg.norm(sides[0])
    planes = np.concatenate([sides / length, [[0, 0, -1]]])
    return planes, np.array([half / length / 2] * 4 + [height / 2])


CUBE, CYLINDER, CONE = 0.78, 0.86, 0.95  # half heights
RING, TUBE = 0.72, 0.3  # radii of the torus
_BALL = _icosahedron()

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("sphere", _sphere, lambda points: points, 1.0, 1.0, 1.0, "triplanar"),
        Shape("cube", _cube, _cube_normal, CUBE, CUBE * 3**0.5, CUBE * 2**0.5, "box"),
        Shape("cylinder", _cylinder, _cylinder_normal, CYLINDER, CYLINDER * 2**0.5, CYLINDER, "cylinder"),
        Shape("cone", _cone, _cone_normal, CONE, CONE * 2**0.5, CONE, "triplanar"),
        Shape("torus", _torus, _torus_normal, TUBE, RING + TUBE, RING + TUBE, "triplanar"),
        Shape("icosahedron", *_convex(*_BALL), float(_BALL[1][0]), 1.05, 1.04, "box"),
        Shape("pyramid", *_convex(*_pyramid()), 0.8, (2 * 0.9**2 + 0.8**2) ** 0.5, 0.9 * 2**0.5, "box"),
    )
}
