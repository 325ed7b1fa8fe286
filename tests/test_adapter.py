"""What only predicts, as a model like any other."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from ocbench import PluginError, Protocol, predictor

PROTOCOL = Protocol("tiny", 1, (16, 16), 3, ())


class Bright(nn.Module):
    """Two soft masks: what is dark, and what is bright."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        bright = images.amax(dim=1, keepdim=True) * self.scale
        return torch.cat([1 - bright, bright], dim=1), images


def built(predict, **settings):
    plugin = predictor("bright", predict)
    config = type(plugin.presets["*"])(**settings)
    assert [phase.steps for phase in plugin.scenarios["fit"](config)] == [0]
    return plugin.build(config, PROTOCOL)


@pytest.fixture
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_labels_become_one_hot(images):
    found = built(lambda batch: (batch.amax(dim=1) > 0.5).int() * 2).predict(images)
    assert found.weights.shape == (3, 4, 16, 16)
    assert found.weights.dtype == torch.float32
    torch.testing.assert_close(found.weights.argmax(1), (images.amax(dim=1) > 0.5).long() * 2)
    assert found.reconstruction is None


@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_saved_programs_predict_what_the_network_does(images, tmp_path, kind):
    path = tmp_path / f"net.{kind}"
    if kind == "pt2":
        batch = ({0: torch.export.Dim("batch", min=1, max=64)},)
        torch.export.save(torch.export.export(Bright(), (images,), dynamic_shapes=batch), path)
    else:
        torch.jit.save(torch.jit.trace(Bright(), images), str(path))
    model = built(path).eval()
    expected, rebuilt = Bright()(images)
    found = model.predict(images[:2])
    torch.testing.assert_close(found.weights, expected[:2])
    torch.testing.assert_close(found.reconstruction, rebuilt[:2])
    assert len(model.state_dict()) == 1


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("ending", ["pt", "pt2"])
def test_a_pickle_is_refused_and_never_run(tmp_path, ending):
    path = tmp_path / f"net.{ending}"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(PluginError, match=r"is no program[^$]*export the model where it lives"):
        built(path)
    with pytest.raises(PluginError, match="no program at"):
        built(tmp_path / "nothing.pt2")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda batch: batch.amax(dim=1), r"found +torch.float32 \[3, 16, 16\]"),
        (lambda batch: "masks", "found +str"),
        (lambda batch: torch.full((3, 16, 16), 4), r"expected +0\.\.3[^$]*found +4\.\.4"),
        (lambda batch: torch.rand(2, 4, 16, 16), "predict gave no masks"),
    ],
)
def test_wrong_answers_are_told(images, answer, words):
    with pytest.raises(PluginError, match=words):
        built(answer).predict(images)


def test_more_slots_than_objects_by_a_setting(images):
    model = built(lambda batch: torch.full((3, 16, 16), 4), slots=6)
    assert model.predict(images).weights.shape[1] == 6
