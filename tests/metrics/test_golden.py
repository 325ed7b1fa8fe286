"""The published evaluators' values on the golden cases, to the tolerances of the specification."""

import numpy as np
import pytest
from golden_arrays import golden

from ocbench import Outcome, Scene, registry
from ocbench.metrics.clustering import ari_fg
from ocbench.metrics.covering import msc_fg
from ocbench.metrics.segmentation import miou, miou_fg
from ocbench.scoring import pooled, scores_of

OURS = [name for name in registry.names("metric") if registry.distribution("metric", name) == "ocbench"]

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
            arrays[f"{name}_conf"][case],
        )
        for case, (labels, mask) in enumerate(zip(predicted, true, strict=True))
    ]


FLOAT32 = 3e-7  # of peers that compute in float32
PEERS = {  # metric -> published code's columns, each with the tolerance of the specification
    "miou": {"clevrtex_eval__mIoU": 1e-12, "ast_in_mixed_batch__mIoU": 1e-12},
    "miou_fg@official": {"clevrtex_eval__mIoU_fg": 1e-12},
    "miou_gt": {"clevrtex_eval__mIoU_gt": 1e-12, "oclf__miou": FLOAT32, "vqvfm__miou": FLOAT32,
                "videosaur__miou": FLOAT32},
    "miou_fg_gt": {"oclf__miou_fg": FLOAT32, "vqvfm__miou_fg": FLOAT32, "videosaur__miou_fg": FLOAT32},
    "ari": {"clevrtex_eval__ARI": 1e-12, "sklearn__ari": 1e-12, "object_centric_library__ari": FLOAT32},
    "ari_fg": {"clevrtex_eval__ARI_FG": 1e-12, "sklearn__ari_fg": 1e-12, "genesis__ari_fg": FLOAT32,
               "ast_in_mixed_batch__ari_fg": FLOAT32},
    "msc_fg": {"ast__msc_fg": 1e-6, "genesis__msc_fg": 1e-6},
    "sc_fg": {"ast__scaled_sc_fg": 1e-6, "genesis__sc_fg": 1e-6},
    "msc": {"genesis__msc": 1e-6, "ast_in_mixed_batch__msc": 1e-6},
    "sc": {"genesis__sc": 1e-6, "ast_in_mixed_batch__scaled_sc": 1e-6},
    "mbo": {"oclf__mbo_fg": FLOAT32, "vqvfm__mbo_fg": FLOAT32, "videosaur__mbo_fg": FLOAT32},
    "dice": {"clevrtex_eval__DICE": FLOAT32},
    "dice_fg@official": {"clevrtex_eval__DICE_FG": FLOAT32},
    "acc": {"clevrtex_eval__acc": 0},
    "recovery": {"oclf__recovery_fg": FLOAT32}, "corloc": {"oclf__corloc_fg": 0},
    "recovery@oclf-box": {"oclf__bbox_recall_fg": FLOAT32}, "corloc@oclf-box": {"oclf__bbox_corloc_fg": 0},
    "precision@inclusive": {"unsupobjseg__precision": 1e-6}, "recall@inclusive": {"unsupobjseg__recall": 1e-6},
    "f1@inclusive": {"unsupobjseg__f1": 1e-6}, "pq@inclusive": {"unsupobjseg__pq": 1e-6},
    "ap50@inclusive": {"unsupobjseg__ap50": 1e-6},
}  # fmt: skip
ALSO_NAN = ("clevrtex_eval__mIoU_fg",)  # columns in which NaN is the value; elsewhere it says: left out, or raised


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("metric", PEERS)
def test_values_equal_the_published_evaluators(name, metric):
    arrays = golden("metrics.npz")
    found = registry.metric(metric)
    rows = [row[metric] for row in scores_of(outcomes(arrays, name), [found])]
    values = np.array([pooled(found, [row]) for row in rows] if found.pool else rows)
    for peer, tolerance in PEERS[metric].items():
        expected = arrays[f"{name}__{peer}"]
        told = np.ones(len(expected), bool) if peer in ALSO_NAN else ~np.isnan(expected)
        told &= ~((expected == 0) & np.isnan(values) & (found.pool is not None))  # without objects and predictions
        assert len(expected) == len(values)
        assert told.sum() > 0.9 * len(values)
        np.testing.assert_allclose(values[told], expected[told], rtol=0, atol=tolerance, err_msg=peer)


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_squared_error_equals_the_published_evaluators(name):
    arrays = golden("metrics.npz")
    values = [row["mse"] for row in scores_of(outcomes(arrays, name), [registry.metric("mse")])]
    np.testing.assert_allclose(values, arrays[f"{name}__clevrtex_eval__MSE"], rtol=1e-6)


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize(
    ("metric", "peer"), [("ap50", "AP05"), ("pq", "PQ"), ("f1", "F1"), ("precision", "precision"), ("recall", "recall")]
)
def test_pooled_values_equal_the_published_ones_of_the_set(name, metric, peer):
    arrays = golden("metrics.npz")
    found = registry.metric(f"{metric}@inclusive")
    regular = outcomes(arrays, name)[: int(arrays[f"{name}_n_regular"])]
    value = pooled(found, [row[found.name] for row in scores_of(regular, [found])])
    assert value == pytest.approx(float(arrays[f"{name}_dataset__unsupobjseg__{peer}"]), abs=1e-6)


def test_every_scene_has_its_own_value_whatever_is_scored_beside_it():
    arrays = golden("metrics.npz")
    metrics = [registry.metric(name) for name in OURS]
    several = scores_of(outcomes(arrays, "a"), metrics)
    alone = [scores_of([outcome], metrics)[0] for outcome in outcomes(arrays, "a")]
    assert repr(several) == repr(alone)


def test_values_equal_the_evaluation_of_the_authors_of_ast_seg():
    arrays = golden("ast_seg.npz")
    images, rebuilt = (arrays[f"metric_mse_{word}"].transpose(0, 2, 3, 1) for word in "xy")
    cases = [
        Outcome(Scene("case", images[i], mask), labels, rebuilt[i].astype(np.float32) / 255)
        for i, (mask, labels) in enumerate(zip(arrays["metric_true"], arrays["metric_pred"], strict=True))
    ]
    columns = {"miou": "miou", "ari": "ari", "ari_fg": "ari_fg", "msc": "msc", "sc": "scaled_sc", "msc_fg": "msc_fg",
               "sc_fg": "scaled_sc_fg", "mse": "mse"}  # fmt: skip
    rows = scores_of(cases, [registry.metric(name) for name in columns])
    for name, column in columns.items():
        relative = 1e-5 if name == "mse" else 0
        expected = arrays[f"metric_{column}"]
        assert len(expected) == len(rows) > 0
        np.testing.assert_allclose([row[name] for row in rows], expected, rtol=relative, atol=1e-6, err_msg=name)


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
