"""The camera: where a point falls, which pixels a ball may touch, and that the horizon never comes into view."""

import itertools

import numpy as np
import pytest

from ocbench.datasets.rendering.camera import Camera, pixel_box
from ocbench.datasets.rendering.sampling import EYE, FIELD_OF_VIEW, JITTER, TARGET

CAMERA = Camera.looking_at(EYE, TARGET, FIELD_OF_VIEW, (48, 64))


def test_axes_are_orthonormal_and_the_target_lies_in_the_middle():
    axes = np.stack([CAMERA.right, CAMERA.up, CAMERA.forward]).astype(float)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    assert CAMERA.right[2] == 0
    np.testing.assert_allclose(CAMERA.project(TARGET), [0, 0], atol=1e-6)


def test_rays_and_projection_are_inverse(random):
    y, x = CAMERA.plane(48, 64)
    points = CAMERA.position[:, None] + random.uniform(3, 20, 48 * 64) * CAMERA.rays(y, x)
    screen = CAMERA.project(points.T).reshape(48, 64, 2)
    np.testing.assert_allclose(screen[0, :, 0], (2 * np.arange(64) + 1) / 64 - 1, atol=1e-4)
    np.testing.assert_allclose(screen[:, 5, 1], 1 - (2 * np.arange(48) + 1) / 48, atol=1e-4)


def test_the_length_of_a_ray_is_its_depth():
    rays = CAMERA.rays(*CAMERA.plane(5, 7))
    np.testing.assert_allclose(CAMERA.forward @ rays, 1, atol=1e-6)


def test_the_ground_is_met_at_the_depth_of_its_row():
    y, x = CAMERA.plane(48, 64)
    depth = np.repeat(CAMERA.ground_depth(y), 64)
    points = CAMERA.position[:, None] + depth * CAMERA.rays(y, x)
    np.testing.assert_allclose(points[2], 0, atol=2e-5)


@pytest.mark.parametrize("corner", [*itertools.product([-JITTER, JITTER], repeat=3)])
def test_the_horizon_is_never_seen(corner):
    camera = Camera.looking_at(EYE + np.array(corner), TARGET, FIELD_OF_VIEW, (128, 128))
    depth = camera.ground_depth(np.array([-camera.half[0], camera.half[0]], np.float32))
    assert 5 < depth[0] < depth[1] < 25


def test_the_box_of_a_ball_holds_it_tightly(random):
    centre, radius = np.array([1.0, -1.5, 0.7]), 0.7
    shell = random.normal(size=(200_000, 3))
    shell = CAMERA.project(centre + radius * shell / np.linalg.norm(shell, axis=1, keepdims=True))
    left, right, bottom, top = CAMERA.sphere_box(centre, radius)
    np.testing.assert_allclose([*shell.min(axis=0), *shell.max(axis=0)], [left, bottom, right, top], atol=1e-3)


@pytest.mark.parametrize(
    ("bounds", "rows", "columns"),
    [
        ((-1, 1, -1, 1), slice(0, 10), slice(0, 20)),
        ((-9, 9, -9, 9), slice(0, 10), slice(0, 20)),
        ((-0.05, 0.05, -0.05, 0.05), slice(3, 7), slice(8, 12)),
    ],
)
def test_pixel_boxes_stay_within_the_image(bounds, rows, columns):
    assert pixel_box(bounds, 10, 20) == (rows, columns)


def test_a_box_beside_the_image_is_empty():
    rows, columns = pixel_box((1.2, 1.4, -0.1, 0.1), 10, 20)
    assert len(range(20)[columns]) <= 1
    assert len(range(10)[rows]) > 0
