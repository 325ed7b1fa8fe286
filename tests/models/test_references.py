"""The models that learn nothing, on images whose answer can be seen."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from ocbench import Protocol, UsageError
from ocbench_models.references import BLANK, GRID, KMEANS, MEDIAN, MedianConfig, kmeans_labels, shadow, split

PROTOCOL = Protocol("tiny", 1, (32, 32), 3, ())
ALL = {"blank": BLANK, "grid": GRID, "kmeans": KMEANS, "median": MEDIAN}


def built(plugin, **changes):
    return plugin.build(replace(plugin.presets["*"], **changes), PROTOCOL)


@pytest.fixture
def scene():
    """A grey ground with an even shadow, a red and a blue disc that touch; float32 [32, 32, 3], masks [32, 32]."""
    image = np.full((32, 32, 3), 0.6, np.float32)
    mask = np.zeros((32, 32), np.uint8)
    y, x = np.mgrid[:32, :32]
    image[24:28, 4:28] *= 0.7
    for label, (cx, colour) in enumerate(((10, (0.8, 0.1, 0.1)), (21, (0.1, 0.1, 0.8))), start=1):
        disc = (x - cx) ** 2 + (y - 14) ** 2 <= 36
        image[disc], mask[disc] = colour, label
    return image, mask


@pytest.mark.parametrize("name", ALL)
def test_weights_are_one_hot_and_do_not_depend_on_the_batch(name, random):
    images = torch.from_numpy(random.random((3, 3, 32, 32), dtype=np.float32))
    model = built(ALL[name])
    for phase in ALL[name].scenarios["fit"](ALL[name].presets["*"]):
        assert phase.steps == 0
        if phase.sample:
            model.start(phase.name, images)
    together = model.predict(images, detail=True)
    assert together.weights.dtype == torch.float32
    assert set(together.weights.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(together.weights.sum(1), torch.ones(3, 32, 32))
    torch.testing.assert_close(together.layers.sum(1), together.reconstruction)
    alone = model.predict(images[1:2])
    assert torch.equal(alone.weights, together.weights[1:2])
    assert torch.equal(alone.reconstruction, together.reconstruction[1:2])


@pytest.mark.parametrize("name", ALL)
def test_no_loss(name):
    with pytest.raises(UsageError, match="learns nothing"):
        built(ALL[name]).loss(torch.zeros(1, 3, 32, 32), "fit", torch.tensor(0))


def test_blank_draws_the_mean_image():
    model = built(BLANK)
    model.start("fit", torch.stack((torch.zeros(3, 32, 32), torch.ones(3, 32, 32))))
    found = model.predict(torch.rand(2, 3, 32, 32))
    assert found.weights.shape == (2, 1, 32, 32)
    torch.testing.assert_close(found.reconstruction, torch.full((2, 3, 32, 32), 0.5))


def test_grid_has_equal_cells():
    found = built(GRID).predict(torch.rand(1, 3, 32, 32))
    assert found.weights.sum((2, 3)).tolist() == [[64.0] * 16]
    assert found.weights[0, 5, 8, 8] == 1


def test_kmeans_groups_colours_largest_first(scene):
    image, mask = scene
    labels, drawn = kmeans_labels(image, image, replace(KMEANS.presets["*"], clusters=4))
    assert (labels[(mask == 0) & (image[:, :, 0] > 0.5)] == 0).all()
    assert len(np.unique(labels)) == 4
    np.testing.assert_allclose(drawn, image, atol=1e-6)


def test_kmeans_of_one_colour_is_one_group():
    labels, drawn = kmeans_labels(np.full((8, 8, 3), 0.3), np.zeros((8, 8, 3)), KMEANS.presets["*"])
    assert not labels.any()
    np.testing.assert_allclose(drawn, 0.3)


def test_median_finds_touching_discs_and_no_shadow(scene):
    image, mask = scene
    model = built(MEDIAN)
    model.start("fit", torch.full((3, 3, 32, 32), 0.6))
    found = model.predict(torch.from_numpy(image).permute(2, 0, 1)[None])
    labels = found.weights.argmax(1)[0].numpy()
    assert labels.max() == 2
    assert np.mean((labels > 0) == (mask > 0)) > 0.98
    assert labels[14, 10] != labels[14, 21]
    assert not labels[24:28].any()
    np.testing.assert_allclose(found.reconstruction[0, :, 0, 0], 0.6)


def test_shadow_is_an_even_darkening():
    picture = np.full((1, 4, 3), 0.6)
    image = picture * np.array([1.2, 0.8, 0.2, 1.0])[None, :, None]
    image[0, 3] = (0.6, 0.3, 0.3)
    assert shadow(image, picture, MedianConfig()).tolist() == [[False, True, False, False]]


def test_split_of_nothing_and_of_a_speck():
    assert not split(np.zeros((8, 8), bool), 3).any()
    speck = np.zeros((8, 8), bool)
    speck[3, 3] = True
    assert split(speck, 3).sum() == 1


def test_records_load_without_torch_and_scipy():
    code = "import sys, ocbench_models.references; print(sorted({'torch', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
