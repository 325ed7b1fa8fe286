"""Materials: made from their names alone, within range, tileable, and sampled at the level asked for."""

import numpy as np
import pytest

from ocbench.datasets.rendering.materials import (
    LEVELS,
    OFFSETS,
    PLAIN,
    PLANE,
    SIDE,
    TRAINING_NAMES,
    UNSEEN_NAMES,
    material,
    texels,
)

SOME = ("dunes-0", "brick-1", "cobbles-2", "rust-1", "dots-0", "plaid-1", PLANE, "metal-red", "matte-cyan")


def level_of(found, level):
    side = SIDE >> level
    return found.stack[:, OFFSETS[level] : OFFSETS[level] + side * side].reshape(6, side, side)


@pytest.mark.parametrize("name", [*TRAINING_NAMES, *UNSEEN_NAMES, *PLAIN[::5], PLANE])
def test_every_material_is_a_picture_with_unit_normals(name):
    found = material(name)
    assert found.stack.shape == (6, sum((SIDE >> level) ** 2 for level in range(LEVELS)))
    assert found.stack.dtype == np.float32
    assert found.stack[:3].min() >= 0
    assert found.stack[:3].max() <= 1
    np.testing.assert_allclose(np.linalg.norm(found.stack[3:], axis=0), 1, atol=1e-5)
    assert found.stack[5].min() > 0


def test_a_material_is_a_function_of_its_name():
    for name in SOME:
        np.testing.assert_array_equal(material.__wrapped__(name).stack, material(name).stack)
    assert not np.array_equal(material("brick-0").stack, material("brick-1").stack)


@pytest.mark.parametrize("name", [*TRAINING_NAMES[::3], *UNSEEN_NAMES[::2]])
def test_a_texture_has_no_seam(name):
    colour = level_of(material(name), 1)[:3]  # averaged once: grain of one texel is no seam
    for axis in (1, 2):
        steps = np.abs(np.diff(colour, axis=axis, append=colour.take([0], axis))).mean(axis=(0, 3 - axis))
        assert steps[-1] < 1.2 * steps[:-1].max()


def test_levels_keep_the_colour_on_the_whole():
    for name in SOME:
        means = [level_of(material(name), level)[:3].mean(axis=(1, 2)) for level in range(LEVELS)]
        np.testing.assert_allclose(means, np.repeat(means[:1], LEVELS, 0), atol=1e-4)


def test_texels_are_the_nearest_and_wrap_around():
    found = material("cobbles-2")
    u, v = np.array([0.0, 0.999, 0.5, -0.25], np.float32), np.array([0.0, 0.0, 0.25, 1.5], np.float32)
    for level in (0, 3):
        side = SIDE >> level
        expected = level_of(found, level)[:, [0, 0, side // 4, side // 2], [0, side - 1, side // 2, 3 * side // 4]]
        np.testing.assert_array_equal(texels(found, u, v, np.full(4, level)), expected)
        np.testing.assert_array_equal(texels(found, u + 2, v - 3, np.full(4, level)), expected)
