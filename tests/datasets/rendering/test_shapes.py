"""Ray hits and normals of every shape, against the solids themselves: a point is inside or it is not."""

import numpy as np
import pytest

from ocbench.datasets.rendering.shapes import CONE, CUBE, CYLINDER, RING, SHAPES, TUBE, _icosahedron, _pyramid, dot

F = np.float32
STEP = 0.002


def within_planes(planes, offsets):
    return lambda p: (planes @ p <= offsets[:, None]).all(axis=0)


INSIDE = {  # name -> whether points [3, n] are in the solid
    "sphere": lambda p: dot(p, p) <= 1,
    "cube": lambda p: np.abs(p).max(axis=0) <= CUBE,
    "cylinder": lambda p: (np.hypot(p[0], p[1]) <= CYLINDER) & (np.abs(p[2]) <= CYLINDER),
    "cone": lambda p: (np.hypot(p[0], p[1]) <= (CONE - p[2]) / 2) & (np.abs(p[2]) <= CONE),
    "torus": lambda p: (np.hypot(p[0], p[1]) - RING) ** 2 + p[2] ** 2 <= TUBE**2,
    "icosahedron": within_planes(*_icosahedron()),
    "pyramid": within_planes(*_pyramid()),
}


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


def hits(shape, origin, direction):
    with np.errstate(invalid="ignore"):
        return shape.hit(origin, direction)


def rays(random, count):
    """Origins on a ball of radius 3, and directions of any length towards points near the shape."""
    origin = random.normal(size=(3, count))
    origin *= 3 / np.linalg.norm(origin, axis=0)
    return origin.astype(F), ((random.uniform(-0.9, 0.9, (3, count)) - origin) * random.uniform(0.2, 3, count)).astype(
        F
    )


def test_a_ray_stops_where_it_first_enters_the_solid(shape, random):
    origin, direction = rays(random, 300)
    t = hits(shape, origin, direction)
    length = np.linalg.norm(direction, axis=0)
    places = np.arange(0, 6, STEP)  # along the ray, world units
    steps = origin[:, :, None] + (direction / length)[:, :, None] * places
    inside = INSIDE[shape.name](steps.reshape(3, -1)).reshape(len(t), len(places))
    first = np.where(inside.any(axis=1), places[inside.argmax(axis=1)], np.inf)
    assert 50 < np.isfinite(first).sum() < 300
    both = np.isfinite(first) & np.isfinite(t)
    assert (np.isfinite(first) ^ np.isfinite(t)).sum() <= 3  # rays that graze an edge between two steps
    apart = np.abs(t[both] * length[both] - first[both])
    assert np.percentile(apart, 95) < 2 * STEP
    assert apart.max() < 0.02


def test_normals_point_out_of_the_solid(shape, random):
    origin, direction = rays(random, 300)
    t = hits(shape, origin, direction)
    hit = np.isfinite(t)
    points = origin[:, hit] + t[hit] * direction[:, hit]
    normal = shape.normal(points)
    assert np.linalg.norm(normal, axis=0) == pytest.approx(1, abs=1e-3)
    assert np.mean(dot(normal, direction[:, hit]) < 1e-3) > 0.98
    assert np.mean(INSIDE[shape.name](points - 0.02 * normal)) > 0.97
    assert not INSIDE[shape.name](points + 0.02 * normal).any()


def test_a_ray_that_leaves_the_surface_does_not_meet_it_again_at_once(shape, random):
    origin, direction = rays(random, 300)
    t = hits(shape, origin, direction)
    hit = np.isfinite(t)
    points = origin[:, hit] + t[hit] * direction[:, hit]
    normal = shape.normal(points)
    again = hits(shape, points + F(0.004) * normal, normal * 0.1)
    assert np.isinf(again).mean() == 1 if shape.name != "torus" else np.isinf(again).mean() > 0.7


def test_sizes_hold_the_solid(shape, random):
    points = random.uniform(-1.5, 1.5, (3, 400_000))
    solid = points[:, INSIDE[shape.name](points)]
    assert np.linalg.norm(solid, axis=0).max() == pytest.approx(shape.bound, abs=0.07)
    assert np.linalg.norm(solid, axis=0).max() <= shape.bound + 1e-6
    assert np.hypot(solid[0], solid[1]).max() <= shape.footprint + 1e-6
    assert solid[2].min() == pytest.approx(-shape.base, abs=0.03)
    assert solid[2].min() >= -shape.base - 1e-6


def test_a_ray_that_goes_away_meets_nothing(shape, random):
    origin, direction = rays(random, 50)
    assert np.isinf(hits(shape, origin, -direction)).all()
