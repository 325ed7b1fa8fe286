"""A pinhole camera whose rays are affine in the pixel and not normalised, so that `t` along a ray is the depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

F = np.float32


@dataclass(frozen=True)
class Camera:
    """Position, orthonormal axes and half-extents of the image plane at depth 1."""

    position: np.ndarray  # float32 [3], world units
    right: np.ndarray  # level: its z is 0
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
        eye, right, up, forward = np.stack([position, right, up, forward]).astype(F)
        return cls(eye, right, up, forward, (half, half * size[1] / size[0]))

    def plane(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of the pixel centres at depth 1: float32 [H], upwards, and [W], to the right."""
        y = (1 - (2 * np.arange(height, dtype=F) + 1) / height) * F(self.half[0])
        x = ((2 * np.arange(width, dtype=F) + 1) / width - 1) * F(self.half[1])
        return y, x

    def rays(self, y: np.ndarray, x: np.ndarray, inward: np.ndarray | None = None) -> np.ndarray:
        """Directions through the plane's points, float32 [3, len(y) * len(x)], of depth 1; `inward` turns the axes."""
        axes = np.stack([self.forward, self.up, self.right], 1)
        forward, up, right = (axes if inward is None else inward @ axes).T[..., None]
        return ((forward + up * y)[:, :, None] + (right * x)[:, None, :]).reshape(3, -1)

    def ground_depth(self, y: np.ndarray) -> np.ndarray:
        """float32 [len(y)]: depth of the plane z = 0 along the rays of each row; the horizon is never in view."""
        return -self.position[2] / (self.forward[2] + self.up[2] * y)

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
            root = radius * np.sqrt(across * across + reach)
            bounds += [(across * depth - root) / reach / half, (across * depth + root) / reach / half]
        return bounds[0], bounds[1], bounds[2], bounds[3]


def pixel_box(bounds: tuple[float, float, float, float], height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns whose centres may lie within screen bounds."""
    left, right, bottom, top = np.clip(bounds, -1.5, 1.5)
    columns = slice(max(0, int((left + 1) / 2 * width) - 1), max(0, min(width, int((right + 1) / 2 * width) + 2)))
    rows = slice(max(0, int((1 - top) / 2 * height) - 1), max(0, min(height, int((1 - bottom) / 2 * height) + 2)))
    return rows, columns
