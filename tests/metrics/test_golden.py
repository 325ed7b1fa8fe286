"""The published evaluators' values on the golden cases, to the tolerances of the specification."""

import numpy as np
import pytest
from golden_arrays import golden

from ocbench import Outcome, Scene
from ocbench.metrics.reconstruction import mse
from ocbench.metrics.segmentation import ari_fg, miou, miou_fg, miou_fg_official, msc_fg

DEGENERATE = {  # name of the case -> miou, miou_fg, ari_fg, msc_fg as the specification's tables print them for set a
    "no_foreground_pred_all_bg": (1, np.nan, 1, 0),
    "no_foreground_pred_objects": (0.124, 0, 1, 0),
    "pred_all_background": (0.124, 0, 0, 0.051),
    "one_object_perfect": (1, 1, 1, 1),
    "one_object_pred_all_bg": (0.493, 0, 1, 0.015),
    "one_object_split_in_two": (0.511, 0.267, 0, 0.533),
    "one_object_fg_uniform_bg_split": (0.502, 0.5, 1, 1),
    "one_fg_pixel_hit": (1, 1, 1, 1),
    "two_fg_pixels_two_objects_perfect": (1, 1, 1, 1),
    "two_fg_pixels_two_objects_merged": (0.5, 0.25, 0, 0.5),
    "no_true_background_all_one_object": (1, np.nan, 1, 1),
    "no_true_background_two_objects": (1, 2, 1, 1),
    "no_true_background_pred_single": (0.25, 0.5, 0, 0.5),
    "eleven_true_one_pred": (0.019, 0, 0, 0.079),
    "all_objects_missed_equal_count_false": (0.25, 0, 0, 0.071),
}


def outcomes(arrays, name):
    predicted, true = arrays[f"{name}_pred"], arrays[f"{name}_true"]
    images, rebuilt = arrays[f"{name}_img_true"], arrays[f"{name}_img_pred"].astype(np.float32)
    return [
        Outcome(
            Scene("case", images[case % len(images)].transpose(1, 2, 0), mask),
            labels,
            rebuilt[case % len(rebuilt)].transpose(1, 2, 0),
        )
        for case, (labels, mask) in enumerate(zip(predicted, true, strict=True))
    ]


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize(
    ("metric", "peer", "absolute", "relative"),
    [
        (miou, "clevrtex_eval__mIoU", 1e-12, 0),
        (miou_fg_official, "clevrtex_eval__mIoU_fg", 1e-12, 0),
        (ari_fg, "clevrtex_eval__ARI_FG", 1e-12, 0),
        (ari_fg, "sklearn__ari_fg", 1e-12, 0),
        (msc_fg, "ast__msc_fg", 1e-6, 0),
        (msc_fg, "genesis__msc_fg", 1e-6, 0),
        (mse, "clevrtex_eval__MSE", 0, 1e-6),
    ],
)
def test_values_equal_the_published_evaluators(name, metric, peer, absolute, relative):
    arrays = golden("metrics.npz")
    expected = arrays[f"{name}__{peer}"]
    values = np.array([metric(case) for case in outcomes(arrays, name)])
    assert len(expected) == len(arrays[f"{name}_names"]) > 0
    np.testing.assert_allclose(values, expected, rtol=relative, atol=absolute)


@pytest.mark.parametrize("name", ["a", "b"])
def test_miou_fg_is_the_official_value_wherever_that_is_finite(name):
    arrays = golden("metrics.npz")
    official = arrays[f"{name}__clevrtex_eval__mIoU_fg"]
    expected = np.where(np.isfinite(official), official, np.nan)
    values = np.array([miou_fg(case) for case in outcomes(arrays, name)])
    assert np.isnan(expected).any()
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", DEGENERATE)
def test_a_degenerate_scene_scores_what_the_specification_prints(case):
    arrays = golden("metrics.npz")
    place = list(arrays["a_names"]).index(f"deg_{case}")
    outcome = outcomes(arrays, "a")[place]
    found = [metric(outcome) for metric in (miou, miou_fg, ari_fg, msc_fg)]
    np.testing.assert_allclose(found, DEGENERATE[case], rtol=0, atol=5.1e-4)
