"""A pinhole camera whose rays are affine in the pixel and not normalised, so that `t` along a ray is the depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

F = np.float32


@dataclass(frozen=True)
class Camera:
    """Position, orthonormal axes and half-extents of the image plane at depth 1."""

    position: np.ndarray  # float32 [3], world units
    right: np.ndarray
    up: np.ndarray
    forward: np.ndarray
    half: tuple[float, float]  # half height and half width of the view at depth 1

    @classmethod
    def looking_at(cls, position: np.ndarray, target: np.ndarray, fov: float, size: tuple[int, int]) -> Camera:
        """A camera with z upwards; `fov` in degrees is the vertical field of view, `size` is (H, W)."""
        forward = np.asarray(target, np.float64) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        half = float(np.tan(np.radians(fov) / 2))
        up = np.cross(right, forward)
        arrays = (np.asarray(a, F) for a in (position, right, up, forward))
        return cls(*arrays, half=(half, half * size[1] / size[0]))

    def rays(self, height: int, width: int) -> np.ndarray:
        """Directions through the pixel centres, float32 [H, W, 3], each with depth 1 per unit of t."""
        y = (1 - (2 * np.arange(height, dtype=F) + 1) / height) * F(self.half[0])
        x = ((2 * np.arange(width, dtype=F) + 1) / width - 1) * F(self.half[1])
        return self.forward + x[None, :, None] * self.right + y[:, None, None] * self.up

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] to (x, y) in [-1, 1] (right, up), float64 [..., 2]."""
        offset = np.asarray(points, np.float64) - self.position
        depth = offset @ self.forward
        return np.stack([offset @ self.right / depth / self.half[1], offset @ self.up / depth / self.half[0]], -1)

    def sphere_box(self, centre: np.ndarray, radius: float) -> tuple[float, float, float, float]:
        """Exact screen bounds (left, right, bottom, top in [-1, 1] units) of a sphere in front of the camera.

        In the plane of one image axis and the depth, the tangent lines from the eye to the circle bound it.
        """
        offset = np.asarray(centre, np.float64) - self.position
        depth = float(offset @ self.forward)
        bounds = []
        for axis, half in ((self.right, self.half[1]), (self.up, self.half[0])):
            across = float(offset @ axis)
            reach = depth * depth - radius * radius
            if reach <= 0:  # the eye is within the slab of the sphere: no tangent
                bounds += [-np.inf, np.inf]
                continue
            root = radius * np.sqrt(max(across * across + reach, 0.0))
            bounds += [(across * depth - root) / reach / half, (across * depth + root) / reach / half]
        return bounds[0], bounds[1], bounds[2], bounds[3]


def pixel_box(bounds: tuple[float, float, float, float], height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns whose centres may lie within screen bounds."""
    left, right, bottom, top = np.clip(bounds, -1.5, 1.5)
    columns = slice(max(0, int((left + 1) / 2 * width) - 1), max(0, min(width, int((right + 1) / 2 * width) + 2)))
    rows = slice(max(0, int((1 - top) / 2 * height) - 1), max(0, min(height, int((1 - bottom) / 2 * height) + 2)))
    return rows, columns
