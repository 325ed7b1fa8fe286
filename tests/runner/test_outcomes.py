"""From predictions to outcomes: seeds, batches, ties, and predictions that break the contract."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ocbench import Outcome, PluginError, Prediction, RunError, Scene, UnknownNameError
from ocbench.runner.outcomes import images_of, outcomes, predict, predicted

CPU = torch.device("cpu")


@pytest.fixture
def scenes(random: np.random.Generator) -> list[Scene]:
    images = random.integers(0, 256, (7, 4, 6, 3), dtype=np.uint8)
    return [Scene(f"s{i}", image, np.zeros((4, 6), np.uint8)) for i, image in enumerate(images)]


class Model(torch.nn.Module):
    """Predicts what the test says, and notes the sizes of its batches."""

    def __init__(self, prediction: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.prediction, self.sizes = prediction, list[int]()

    def predict(self, images: torch.Tensor, detail: bool = False) -> Any:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.sizes.append(len(images))
        return self.prediction(images)


def drawn(images: torch.Tensor) -> Prediction:
    """Random shares of three slots, and the images themselves."""
    return Prediction(torch.rand(len(images), 3, *images.shape[2:]).softmax(dim=1), images)


def labels(found: Any) -> np.ndarray:
    return np.stack([outcome.labels for outcome in found])


def test_every_scene_has_its_outcome_in_order(scenes: list[Scene]) -> None:
    model = Model(drawn)
    found = list(outcomes(model, scenes, CPU, batch_size=3))
    assert [outcome.scene for outcome in found] == scenes
    assert model.sizes == [3, 3, 1]
    for outcome, scene in zip(found, scenes, strict=True):
        np.testing.assert_allclose(outcome.reconstruction, scene.image / 255, atol=1e-7)


def test_images_are_float_in_0_to_1_channels_first(scenes: list[Scene]) -> None:
    images = images_of(scenes[:2], CPU)
    assert images.dtype == torch.float32
    np.testing.assert_allclose(images.numpy(), np.stack([s.image for s in scenes[:2]]).transpose(0, 3, 1, 2) / 255)


def test_random_predictions_do_not_depend_on_where_an_evaluation_began(scenes: list[Scene]) -> None:
    whole = labels(outcomes(Model(drawn), scenes, CPU, batch_size=3))
    torch.rand(5)
    middle = labels(predicted(Model(drawn).eval(), scenes[3:6], CPU, 0, 3, None))
    assert (middle == whole[3:6]).all()
    assert (labels(outcomes(Model(drawn), scenes, CPU, batch_size=3, seed=1)) != whole).any()


def test_the_lowest_slot_wins_a_tie(scenes: list[Scene]) -> None:
    def tied(images: torch.Tensor) -> Prediction:
        weights = torch.tensor([0.2, 0.4, 0.4]).view(1, 3, 1, 1).expand(len(images), 3, *images.shape[2:])
        return Prediction(weights)

    (outcome, *_) = outcomes(Model(tied), scenes, CPU, batch_size=7)
    assert (outcome.labels == 1).all()
    assert outcome.labels.dtype == np.uint8
    assert outcome.reconstruction is None


def test_a_confidence_is_the_mean_winning_weight_of_its_segment(scenes: list[Scene]) -> None:
    def halves(images: torch.Tensor) -> Prediction:
        weights = torch.zeros(len(images), 4, *images.shape[2:])
        weights[:, 0, :, :3], weights[:, 2, :, :3] = 0.75, 0.25
        weights[:, 3, :2, 3:], weights[:, 3, 2:, 3:], weights[:, 0, 2:, 3:] = 1.0, 0.6, 0.4
        return Prediction(weights)

    outcome: Outcome = next(iter(outcomes(Model(halves), scenes, CPU, batch_size=7)))
    np.testing.assert_allclose(outcome.confidences, [0.75, 0, 0, 0.8], atol=1e-6)


def test_other_masks_are_found_by_name(scenes: list[Scene]) -> None:
    def two(images: torch.Tensor) -> Prediction:
        first, second = torch.eye(2)[:, None, :, None, None].expand(2, len(images), 2, *images.shape[2:])
        return Prediction(first, alternatives={"attention": second})

    assert (labels(outcomes(Model(two), scenes, CPU, batch_size=7)) == 0).all()
    assert (labels(outcomes(Model(two), scenes, CPU, batch_size=7, masks="attention")) == 1).all()
    with pytest.raises(UnknownNameError, match=r"no set of masks named 'attenton'(?s:.*)attention"):
        list(outcomes(Model(two), scenes, CPU, batch_size=7, masks="attenton"))


@pytest.mark.parametrize("shape", [(7, 3, 4), (7, 4, 6), (6, 3, 4, 6), (7, 3, 6, 4), (7, 0, 4, 6), (7, 256, 4, 6), ()])
@pytest.mark.parametrize("masks", [None, "other"])
def test_weights_of_a_wrong_shape_are_told(scenes: list[Scene], shape: tuple[int, ...], masks: str | None) -> None:
    right, wrong = torch.ones(7, 1, 4, 6), torch.ones(shape)
    prediction = Prediction(right, alternatives={"other": wrong}) if masks else Prediction(wrong)
    with pytest.raises(PluginError, match=r"wrong shape of the predicted weights(?s:.*)\[7, S, 4, 6\](?s:.*)found"):
        list(outcomes(Model(lambda images: prediction), scenes, CPU, batch_size=7, masks=masks))


def test_a_reconstruction_of_a_wrong_shape_is_told(scenes: list[Scene]) -> None:
    prediction = Prediction(torch.ones(7, 1, 4, 6), torch.ones(7, 1, 4, 6))
    with pytest.raises(
        PluginError, match=r"wrong shape of the predicted reconstruction(?s:.*)\[7, 3, 4, 6\](?s:.*)\[7, 1, 4, 6\]"
    ):
        list(outcomes(Model(lambda images: prediction), scenes, CPU, batch_size=7))


def test_weights_that_are_not_finite_are_told_with_their_scene(scenes: list[Scene]) -> None:
    weights = torch.ones(7, 2, 4, 6)
    weights[4, 1, 2, 2] = float("nan")
    with pytest.raises(RunError, match="the predicted weights are not finite\n  found     scene 's4'"):
        list(outcomes(Model(lambda images: Prediction(weights)), scenes, CPU, batch_size=7))


def test_detail_is_asked_for(scenes: list[Scene]) -> None:
    asked = []

    def answering(images: torch.Tensor, detail: bool) -> Prediction:
        asked.append(detail)
        return drawn(images)

    for detail in (False, True):
        predict(SimpleNamespace(predict=answering), images_of(scenes, CPU), 0, 0, detail=detail)
    assert asked == [False, True]
