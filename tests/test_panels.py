"""Pictures of outcomes: colours that match, and a PNG with every column there is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ocbench import Outcome, Scene
from ocbench.panels import BACKGROUND, COLOURS, Panel, coloured, heat_maps, overlay, places, slot_rows, write_panels

MASK = np.repeat(np.repeat(np.array([[0, 0, 1], [0, 2, 1], [0, 2, 0]], np.uint8), 4, 0), 4, 1)


def outcome(labels: np.ndarray, reconstruction: np.ndarray | None = None) -> Outcome:
    return Outcome(Scene("a", np.zeros((*MASK.shape, 3), np.uint8), MASK), labels, reconstruction)


def test_heat_goes_from_black_to_white_each_map_on_its_own_scale():
    maps = np.array([[[0.0, 0.5], [0.25, 1.0]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    heat = heat_maps(np.concatenate((maps[:1] / 10, maps)), (6, 4))
    assert heat.shape == (3, 6, 4, 3)
    assert np.allclose(heat[0], heat[1])
    assert not heat[2].any()
    assert heat[0, 0, 0].tolist() == [0, 0, 0]
    assert heat[0, 5, 3].tolist() == [1, 1, 1]
    assert np.allclose(heat[0, 2, 2], [1, 0.5, 0])
    assert (heat[0, :3, :2] == heat[0, 0, 0]).all()


def test_a_pair_has_one_colour_and_the_background_none():
    names = np.array([7, 3, 5], np.uint8)  # background, object 1, object 2 under other names
    true, predicted = places(outcome(names[MASK]))
    assert true == {1: 0, 2: 1}
    assert predicted == {3: 0, 5: 1}
    assert (coloured(MASK, true) == coloured(names[MASK], predicted)).all()
    assert tuple(coloured(MASK, true)[0, 0]) == BACKGROUND
    assert tuple(coloured(MASK, true)[0, -1]) == COLOURS[0]


def test_a_missed_object_is_dark_and_a_spare_segment_has_a_colour_of_its_own():
    labels = np.where(MASK == 1, 0, MASK).astype(np.uint8)
    labels[:4, :4] = 9
    true, predicted = places(outcome(labels))
    assert predicted == {2: true[2], 9: 2}


def test_all_background_is_all_dark():
    assert places(outcome(np.zeros_like(MASK)))[1] == {}


@pytest.mark.parametrize(
    ("parts", "columns"), [((), 3), (("reconstruction",), 4), (("reconstruction", "background"), 5)]
)
def test_the_picture_has_a_column_for_all_there_is(tmp_path, parts, columns):
    drawn = np.full((*MASK.shape, 3), 1.5, np.float32)  # not clamped
    one = outcome(MASK, drawn if "reconstruction" in parts else None)
    panel = Panel(one, {"mIoU": 100.0}, drawn if "background" in parts else None)
    write_panels(tmp_path / "deep" / "picture.png", [panel, panel])
    with Image.open(tmp_path / "deep" / "picture.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    found = (pixels == COLOURS[0]).all(axis=2)
    runs = np.flatnonzero(np.diff(np.pad(found.any(axis=0).astype(int), 1)) == 1)
    assert len(runs) == 2  # truth and prediction
    white = np.flatnonzero((pixels < 250).any(axis=2).any(axis=0))
    assert pixels.shape[1] == pytest.approx(110 * (1.35 * columns + 0.9), abs=2)
    assert white.size


def test_an_overlay_tints_and_outlines_all_but_the_background():
    image = np.full((24, 24, 3), 100, np.uint8)
    labels = np.zeros((12, 12), np.uint8)
    labels[4:8, 4:8] = 3
    drawn = overlay(image, labels, background=0)
    assert tuple(drawn[0, 0]) == (100, 100, 100)
    assert tuple(drawn[12, 12]) == tuple(np.rint(50 + np.array(COLOURS[0]) / 2).astype(int))
    assert tuple(drawn[8, 12]) == (255, 255, 255)
    assert (overlay(image, labels, background=3)[12, 12] == 100).all()


def test_slots_stand_in_columns():
    rows = [np.zeros((3, 64, 64, 3)), np.ones((3, 64, 64, 3))]
    drawn = slot_rows(rows)
    assert drawn.shape == (2 * 128 + 2, 3 * 128 + 4, 3)
    assert not drawn[:128, :128].any()
    assert drawn[130:].min() == 255
