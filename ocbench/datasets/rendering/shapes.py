"""Ray intersection, normals and texture mapping of the shapes, in their own unit space.

All arrays are float32 structures of n rows. `intersect` gives t (infinity for a miss) of the nearest hit in front of the
origin, and the outward normal there. Directions need not be normalised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

F = np.float32
MISS = F(np.inf)
NEAR = F(1e-4)  # hits nearer than this are the surface that the ray left
GOLDEN = (1 + 5**0.5) / 2

Hit = tuple[np.ndarray, np.ndarray]
Intersect = Callable[[np.ndarray, np.ndarray], Hit]


@dataclass(frozen=True)
class Shape:
    """A shape of unit size that rests on the plane z = -base."""

    name: str
    intersect: Intersect
    base: float  # distance from the centre to the plane it rests on
    bound: float  # radius of its bounding sphere
    footprint: float  # radius of its circle on the ground
    mapping: str  # box, cylinder or triplanar


def _first(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """The nearer of two roots that lies in front of the origin."""
    return np.where(near > NEAR, near, np.where(far > NEAR, far, MISS))


def sphere(origin: np.ndarray, direction: np.ndarray) -> Hit:
    """Unit sphere."""
    a = np.einsum("ij,ij->i", direction, direction)
    b = np.einsum("ij,ij->i", origin, direction)
    c = np.einsum("ij,ij->i", origin, origin) - 1
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0))
    t = np.where(square > 0, _first((-b - root) / a, (-b + root) / a), MISS)
    return t, origin + np.where(np.isfinite(t), t, 0)[:, None] * direction


def convex(planes: np.ndarray, offsets: np.ndarray) -> Intersect:
    """The solid of all p with planes @ p <= offsets; unit normals [m, 3], offsets [m]."""
    normals, heights = planes.astype(F), offsets.astype(F)

    def intersect(origin: np.ndarray, direction: np.ndarray) -> Hit:
        speed = direction @ normals.T
        speed = np.where(np.abs(speed) < 1e-9, F(1e-9), speed)
        t = (heights - origin @ normals.T) / speed
        entering = np.where(speed < 0, t, -MISS)
        leaving = np.where(speed > 0, t, MISS)
        face_in, face_out = entering.argmax(axis=1), leaving.argmin(axis=1)
        rows = np.arange(len(t))
        enter, leave = entering[rows, face_in], leaving[rows, face_out]
        hit = enter < leave
        outside = enter > NEAR
        found = np.where(hit, np.where(outside, enter, np.where(leave > NEAR, leave, MISS)), MISS)
        return found, normals[np.where(outside, face_in, face_out)]

    return intersect


def cylinder(origin: np.ndarray, direction: np.ndarray, radius: float = 0.86, half: float = 0.86) -> Hit:
    """Upright closed cylinder."""
    a = direction[:, 0] ** 2 + direction[:, 1] ** 2
    b = origin[:, 0] * direction[:, 0] + origin[:, 1] * direction[:, 1]
    square = b * b - a * (origin[:, 0] ** 2 + origin[:, 1] ** 2 - F(radius * radius))
    root = np.sqrt(np.maximum(square, 0))
    a = np.maximum(a, F(1e-12))
    side_in, side_out = (-b - root) / a, (-b + root) / a
    rise = np.where(np.abs(direction[:, 2]) < 1e-9, F(1e-9), direction[:, 2])
    low, high = (-half - origin[:, 2]) / rise, (half - origin[:, 2]) / rise
    cap_in, cap_out = np.minimum(low, high), np.maximum(low, high)
    enter, leave = np.maximum(side_in, cap_in), np.minimum(side_out, cap_out)
    hit = (square > 0) & (enter < leave)
    t = np.where(hit, _first(enter, leave), MISS)
    point = origin + np.where(np.isfinite(t), t, 0)[:, None] * direction
    capped = np.where(enter > NEAR, cap_in > side_in, cap_out < side_out)
    normal = point / F(radius)
    normal[:, 2] = 0
    normal[capped] = 0
    normal[capped, 2] = np.sign(point[capped, 2])
    return t.astype(F), normal.astype(F)


def cone(origin: np.ndarray, direction: np.ndarray, radius: float = 0.95, height: float = 1.9) -> Hit:
    """Upright cone, apex at height / 2, closed below."""
    slope = F(radius / height)
    apex = F(height / 2)
    oz, dz = apex - origin[:, 2], -direction[:, 2]
    a = direction[:, 0] ** 2 + direction[:, 1] ** 2 - (slope * dz) ** 2
    b = origin[:, 0] * direction[:, 0] + origin[:, 1] * direction[:, 1] - slope * slope * oz * dz
    c = origin[:, 0] ** 2 + origin[:, 1] ** 2 - (slope * oz) ** 2
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0))
    a = np.where(np.abs(a) < 1e-9, F(1e-9), a)
    best = np.full(len(a), MISS, F)
    normal = np.zeros_like(origin)
    for t in ((-b - root) / a, (-b + root) / a):
        z = origin[:, 2] + t * direction[:, 2]
        good = (square > 0) & (t > NEAR) & (t < best) & (z <= apex) & (z >= -apex)
        best = np.where(good, t, best)
    point = origin + np.where(np.isfinite(best), best, 0)[:, None] * direction
    normal[:, :2] = point[:, :2]
    normal[:, 2] = slope * slope * (apex - point[:, 2])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    rise = np.where(np.abs(direction[:, 2]) < 1e-9, F(1e-9), direction[:, 2])
    floor = (-apex - origin[:, 2]) / rise
    at = origin[:, :2] + floor[:, None] * direction[:, :2]
    good = (floor > NEAR) & (floor < best) & ((at * at).sum(axis=1) < radius * radius)
    normal[good] = [0, 0, -1]
    return np.where(good, floor, best).astype(F), normal.astype(F)


def torus(origin: np.ndarray, direction: np.ndarray, ring: float = 0.72, tube: float = 0.3, steps: int = 28) -> Hit:
    """Torus lying flat, by sphere tracing from where the ray meets its bounding sphere."""
    speed = np.linalg.norm(direction, axis=1)
    b = np.einsum("ij,ij->i", origin, direction) / (speed * speed)
    square = b * b - (np.einsum("ij,ij->i", origin, origin) - (ring + tube) ** 2) / (speed * speed)
    t = np.where(square > 0, np.maximum(-b - np.sqrt(np.maximum(square, 0)), NEAR), 0).astype(F)
    end = np.where(square > 0, -b + np.sqrt(np.maximum(square, 0)), -1)
    for _ in range(steps):
        point = origin + t[:, None] * direction
        gap = np.hypot(np.hypot(point[:, 0], point[:, 1]) - F(ring), point[:, 2]) - F(tube)
        t = t + np.where(t < end, gap / speed, 0).astype(F)
    point = origin + t[:, None] * direction
    across = np.maximum(np.hypot(point[:, 0], point[:, 1]), 1e-9)
    centre = np.zeros_like(point)
    centre[:, :2] = point[:, :2] / across[:, None] * F(ring)
    normal = point - centre
    length = np.linalg.norm(normal, axis=1)
    hit = (t < end) & (np.abs(length - tube) < 0.01)
    return np.where(hit, t, MISS).astype(F), (normal / np.maximum(length, 1e-9)[:, None]).astype(F)


def _icosahedron() -> tuple[np.ndarray, np.ndarray]:
    """Unit face normals and in-radius of the icosahedron of circumradius 1.05, turned to rest on a face."""
    corners = [(s, t) for s in (-1, 1) for t in (-1, 1)]
    normals = [(s, t, u) for s, t in corners for u in (-1, 1)]
    for s, t in corners:
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


CUBE = 0.78  # half side
_AXES = np.concatenate([np.eye(3), -np.eye(3)])
_BALL = _icosahedron()

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("sphere", sphere, 1.0, 1.0, 1.0, "triplanar"),
        Shape("cube", convex(_AXES, np.full(6, CUBE)), CUBE, CUBE * 3**0.5, CUBE * 2**0.5, "box"),
        Shape("cylinder", cylinder, 0.86, 0.86 * 2**0.5, 0.86, "cylinder"),
        Shape("cone", cone, 0.95, 0.95 * 2**0.5, 0.95, "triplanar"),
        Shape("torus", torus, 0.3, 1.02, 1.02, "triplanar"),
        Shape("icosahedron", convex(*_BALL), float(_BALL[1][0]), 1.05, 1.0, "box"),
        Shape("pyramid", convex(*_pyramid()), 0.8, (2 * 0.9**2 + 0.8**2) ** 0.5, 0.9 * 2**0.5, "box"),
    )
}
