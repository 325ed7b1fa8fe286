"""The published evaluators' values on the golden cases, to the tolerances of the specification."""

import numpy as np
import pytest
from golden_arrays import golden

from ocbench.metrics.reconstruction import mse
from ocbench.metrics.segmentation import ari_fg, miou, miou_fg, miou_fg_official, msc_fg
from ocbench.scene import Outcome, Scene


def outcomes(arrays, name):
    predicted, true = arrays[f"{name}_pred"], arrays[f"{name}_true"]
    images, rebuilt = arrays[f"{name}_img_true"], arrays[f"{name}_img_pred"].astype(np.float32)
    for case, (labels, mask) in enumerate(zip(predicted, true, strict=True)):
        image = images[case % len(images)].transpose(1, 2, 0)
        yield Outcome(Scene("case", image, mask), labels, rebuilt[case % len(rebuilt)].transpose(1, 2, 0))


@pytest.mark.parametrize("name", ["a", "b"])
def test_values_equal_the_published_evaluators(name):
    arrays = golden("metrics.npz")
    cases = list(outcomes(arrays, name))
    assert len(cases) == len(arrays[f"{name}_names"]) > 0
    for metric, peer, tolerance in (
        (miou, "clevrtex_eval__mIoU", 1e-12),
        (miou_fg_official, "clevrtex_eval__mIoU_fg", 1e-12),
        (ari_fg, "clevrtex_eval__ARI_FG", 1e-12),
        (ari_fg, "sklearn__ari_fg", 1e-12),
        (msc_fg, "ast__msc_fg", 1e-6),
        (msc_fg, "genesis__msc_fg", 1e-6),
    ):
        values = np.array([metric(case) for case in cases])
        np.testing.assert_allclose(values, arrays[f"{name}__{peer}"], rtol=0, atol=tolerance, err_msg=peer)
    values = np.array([mse(case) for case in cases])
    np.testing.assert_allclose(values, arrays[f"{name}__clevrtex_eval__MSE"], rtol=1e-6)


@pytest.mark.parametrize("name", ["a", "b"])
def test_miou_fg_is_the_official_value_wherever_that_is_a_score(name):
    arrays = golden("metrics.npz")
    official = arrays[f"{name}__clevrtex_eval__mIoU_fg"]
    ours = np.array([miou_fg(case) for case in outcomes(arrays, name)])
    sound = np.isfinite(official) & (official <= 1)
    assert 0 < sound.sum() < len(ours)
    np.testing.assert_allclose(ours[sound], official[sound], rtol=0, atol=1e-12)
    assert np.all(np.isnan(ours[~sound]) | (ours[~sound] <= 1))
