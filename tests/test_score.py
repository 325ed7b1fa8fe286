"""`ocbench.score_scene`: the scores of label maps that anyone made."""

import numpy as np
import pytest

import ocbench
from ocbench import DataError, UnknownNameError, UsageError

MASK = np.array([[0, 0, 1, 1], [0, 0, 2, 2]])
LABELS = np.array([[3, 3, 0, 0], [3, 3, 0, 0]])
SCORES = {"miou": 1.5 / 3, "miou_fg": 0.5 / 2, "ari_fg": 0.0, "msc_fg": 0.5}
IMAGE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


def test_the_call_as_printed_scores_every_metric_of_the_tables():
    reconstruction = IMAGE / 255 + 0.5
    found = ocbench.score_scene(MASK, LABELS, IMAGE, reconstruction)
    assert found == pytest.approx({**SCORES, "mse": 24 * 0.25})
    assert {type(value) for value in found.values()} == {float}


@pytest.mark.parametrize("pictures", [(), (IMAGE,)])
def test_without_a_reconstruction_there_is_no_mse(pictures):
    assert ocbench.score_scene(MASK, LABELS, *pictures) == pytest.approx(SCORES)


def test_a_float_image_is_scored_as_it_is(random):
    image = random.random((2, 4, 3))
    reconstruction = random.random((2, 4, 3))
    found = ocbench.score_scene(MASK, LABELS, image, reconstruction)
    assert found["mse"] == pytest.approx(((image - reconstruction) ** 2).sum(), rel=1e-6)
    bytes_as_floats = ocbench.score_scene(MASK, LABELS, IMAGE.astype(np.float32) / np.float32(255), reconstruction)
    assert bytes_as_floats["mse"] == pytest.approx(
        ocbench.score_scene(MASK, LABELS, IMAGE, reconstruction)["mse"], rel=1e-6
    )


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint16])
def test_label_maps_may_be_of_any_whole_type_and_lists(dtype):
    mask, labels = np.array([[0, 1], [0, 1]], dtype), np.array([[1, 0], [1, 0]], dtype)
    assert ocbench.score_scene(mask, labels)["miou"] == 1
    assert ocbench.score_scene(mask.tolist(), labels.tolist())["miou"] == 1


def test_metrics_are_chosen_by_name_and_dialect(toy):
    found = ocbench.score_scene(MASK, LABELS, metrics=["ari_fg", "miou@union", "foreground_error"])
    assert found == pytest.approx({"ari_fg": 0, "miou@union": 0.5, "foreground_error": 1})
    with pytest.raises(UnknownNameError, match="no metric named 'mIoU'"):
        ocbench.score_scene(MASK, LABELS, metrics=["mIoU"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": LABELS[:1]}, r"'labels' and 'mask' differ in size\n  expected  \(2, 4\)\n  found     \(1, 4\)"),
        (
            {"mask": MASK.astype(float)},
            r"'mask' is not a label map\n  expected  integers \[H, W\]\n  found     float64",
        ),
        ({"labels": LABELS[None]}, r"'labels' is not a label map\n.*\n  found     int64 \(1, 2, 4\)"),
        ({"mask": np.zeros((0, 4), int)}, r"'mask' is not a label map"),
        ({"labels": LABELS - 1}, r"'labels' has labels out of range\n  expected  0\.\.255\n  found     -1\.\.2"),
        ({"mask": MASK * 128}, r"'mask' has labels out of range\n.*\n  found     0\.\.256"),
        (
            {"image": IMAGE[..., :1]},
            r"'image' is no RGB picture .*\n  expected  uint8 or float \(2, 4, 3\)\n  found .*1\)",
        ),
        ({"image": IMAGE.astype(int)}, r"'image' is no RGB picture .*\n.*\n  found     int64"),
        ({"image": IMAGE / 100}, r"'image' is out of range\n  expected  0\.\.1\n  found     0\.\.2\.3"),
        ({"image": IMAGE / 100 - 0.1}, r"'image' is out of range"),
        ({"image": IMAGE * np.nan}, r"'image' is out of range"),
        ({"reconstruction": IMAGE}, r"'reconstruction' is no RGB .*\n  expected  float \(2, 4, 3\)\n  found     uint8"),
        ({"reconstruction": IMAGE.transpose(2, 0, 1) / 255}, r"'reconstruction' is no RGB .*\n.*\n.*\(3, 2, 4\)"),
    ],
)
def test_input_that_is_not_as_said_is_refused(change, words):
    scene = {"mask": MASK, "labels": LABELS, "image": IMAGE, "reconstruction": IMAGE / 255} | change
    with pytest.raises(DataError, match=words):
        ocbench.score_scene(**scene)


def test_a_reconstruction_of_nothing_is_refused():
    with pytest.raises(UsageError, match="'reconstruction' without 'image'"):
        ocbench.score_scene(MASK, LABELS, reconstruction=IMAGE / 255)
