"""Pictures of stages that one can foresee: ids at pixel centres, soft shadows, contact, highlights, crisp edges."""

from dataclasses import replace

import numpy as np
import pytest

from ocbench.datasets.rendering import draw, sampling, surfaces, trace
from ocbench.datasets.rendering.camera import Camera
from ocbench.datasets.rendering.sampling import EYE, FIELD_OF_VIEW, FULL, STYLES, TARGET, Body, Skin, Stage

SIDE = 96
PLAIN = Skin("matte-gray", (0.0, 0.0), 0.0, 0.5)
GROUND = Skin("plane", (0.13, 0.41), 0.35, 0.22)
BALL = Body("sphere", (0.0, 0.0, 1.0), 1.0, 0.0, PLAIN)


def stage(*bodies, shadow=1.0, light=(-3.6, -7.0, 10.0)):
    camera = Camera.looking_at(EYE, TARGET, FIELD_OF_VIEW, (SIDE, SIDE))
    return Stage(camera, bodies, GROUND, light, shadow)


def pixel(where, on=None):
    """Row and column of a world point."""
    x, y = (on or stage(BALL)).camera.project(np.array(where))
    return int((1 - y) / 2 * SIDE), int((1 + x) / 2 * SIDE)


def brightness(picture, where):
    return int(picture[pixel(where)].sum())


@pytest.mark.parametrize("style", ["tex", "ood"])
def test_the_mask_is_what_a_finer_trace_meets_at_the_pixel_centres(style):
    for index in range(3):
        drawn = sampling.sample(STYLES[style], FULL, np.random.default_rng(index), (SIDE, SIDE))
        coarse, fine = draw.mask(drawn, SIDE, SIDE), trace.trace(drawn, 3 * SIDE, 3 * SIDE)[0]
        assert len(np.unique(coarse)) == len(drawn.bodies) + 1
        assert (coarse != fine[1::3, 1::3]).sum() <= 1  # rounding of float32 at an edge


def test_the_nearer_body_hides_the_other():
    towards = np.array(EYE) / np.linalg.norm(EYE[:2])
    behind = replace(BALL, centre=(-2 * towards[0], -2 * towards[1], 1.0))
    both = pixel(np.array(BALL.centre) + 0.6 * stage(BALL).camera.up)  # either ball alone would be seen there
    assert draw.mask(stage(BALL), SIDE, SIDE)[both] == draw.mask(stage(behind), SIDE, SIDE)[both] == 1
    assert draw.mask(stage(BALL, behind), SIDE, SIDE)[both] == 1
    assert draw.mask(stage(behind, BALL), SIDE, SIDE)[both] == 2


def test_a_ball_throws_a_soft_shadow_away_from_the_light():
    picture = draw.image(stage(BALL), SIDE, SIDE)
    shadow, open_ground = (0.9, 1.5, 0), (-0.9, -1.5, 0)
    assert brightness(picture, shadow) < 0.85 * brightness(picture, open_ground)
    half = draw.image(stage(BALL, shadow=0.5), SIDE, SIDE)
    assert brightness(picture, shadow) < brightness(half, shadow) < brightness(half, open_ground)
    moved = draw.image(stage(BALL, light=(3.6, 7.0, 10.0)), SIDE, SIDE)
    assert brightness(moved, open_ground) < 0.85 * brightness(moved, shadow)


def test_a_penumbra_is_wide_and_smooth():
    drawn = stage(BALL)
    ids, depth = trace.trace(drawn, 2 * SIDE, 2 * SIDE)
    rays = drawn.camera.rays(*drawn.camera.plane(2 * SIDE, 2 * SIDE))
    points = (drawn.camera.position[:, None] + depth.ravel() * rays).reshape(3, *ids.shape)
    points[2] += 0.004
    dark = np.where(ids == 0, trace.shadow(drawn, ids, points), np.nan)
    assert np.nanmin(dark) == 0
    assert np.nanmax(dark) == 1
    assert ((dark > 0.1) & (dark < 0.9)).sum() > 300
    assert np.nanmax(np.abs(np.diff(dark, axis=1))) < 0.35  # no dither: the pattern of 16 is averaged away


def test_the_ground_darkens_towards_a_contact():
    bare, picture = (draw.image(stage(replace(BALL, centre=(x, 0.0, 1.0))), SIDE, SIDE) for x in (-40.0, 0.0))
    places = [(-0.46 * s, -0.89 * s, 0) for s in (1.05, 1.5, 2.8)]  # towards the light: no cast shadow
    shares = [brightness(picture, place) / brightness(bare, place) for place in places]
    assert shares[0] < shares[1] < shares[2]
    assert shares[0] < 0.95
    assert shares[2] > 0.97


def test_a_metal_shines_where_a_matte_body_does_not():
    matte, metal = (replace(BALL, skin=replace(PLAIN, material=f"{finish}-red")) for finish in ("matte", "metal"))
    whitest = [draw.image(stage(body), SIDE, SIDE)[..., 2].astype(int) for body in (matte, metal)]
    inside = draw.mask(stage(BALL), SIDE, SIDE) == 1
    assert whitest[1][inside].max() > whitest[0][inside].max() + 60


def test_more_samples_a_pixel_smooth_the_edges_and_keep_the_rest():
    drawn = stage(BALL)
    rough, fine = (draw.image(drawn, SIDE, SIDE, samples).astype(int) for samples in (1, 4))
    usual = draw.image(drawn, SIDE, SIDE).astype(int)
    assert np.abs(usual - fine).mean() < np.abs(rough - fine).mean() < 3
    assert np.abs(rough.mean() - fine.mean()) < 0.5


def test_a_texture_bends_the_light_where_it_has_relief():
    for name, relief in (("matte-gray", False), ("brick-0", True), ("leather-1", True)):
        drawn = stage(replace(BALL, skin=replace(PLAIN, material=name)))
        ids, depth = trace.trace(drawn, SIDE, SIDE)
        points = drawn.camera.position[:, None] + depth.ravel() * drawn.camera.rays(*drawn.camera.plane(SIDE, SIDE))
        _, seen = surfaces.bodies(drawn, ids.ravel(), points, depth.ravel(), 0.005)
        np.testing.assert_allclose(np.linalg.norm(seen.normal, axis=0), 1, atol=1e-5)
        assert (np.abs(seen.normal - seen.facing).max() > 0.2) == relief


def test_colours_are_those_of_the_material():
    green = replace(BALL, skin=replace(PLAIN, material="matte-green"))
    red, other, blue = draw.image(stage(green), SIDE, SIDE)[pixel((0, 0, 0.6))].astype(int)
    assert other > 2 * max(red, blue)


def test_an_image_is_the_same_each_time_it_is_drawn():
    drawn = sampling.sample(STYLES["ood"], FULL, np.random.default_rng(4), (SIDE, SIDE))
    first = draw.image(drawn, SIDE, SIDE)
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(draw.image(drawn, SIDE, SIDE), first)
    assert draw.image(drawn, 48, 64).shape == (48, 64, 3)
