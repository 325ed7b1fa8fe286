"""The figures that a look at validation scenes gives, and its word about collapse."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ocbench import Phase, Prediction
from ocbench.runner.probe import Probe, interval

CPU = torch.device("cpu")


class Says(torch.nn.Module):
    """Predicts label maps made from the number of the batch's first scene."""

    def __init__(self, labels: Callable[[int, int], torch.Tensor]) -> None:
        super().__init__()
        self.labels, self.seen = labels, 0

    def predict(self, images: torch.Tensor, detail: bool = False) -> Prediction:
        labels = self.labels(self.seen, self.seen + len(images))
        self.seen += len(images)
        return Prediction(torch.nn.functional.one_hot(labels.long(), 8).permute(0, 3, 1, 2).float())


@pytest.fixture
def probe(squares: Any) -> Probe:
    return Probe(squares("val"), has_background=True)


def true_masks(probe: Probe) -> torch.Tensor:
    return torch.stack([torch.from_numpy(scene.mask) for scene in probe.scenes])


def test_true_masks_score_one(probe: Probe) -> None:
    masks = true_masks(probe)
    found = probe.look(Says(lambda start, stop: masks[start:stop]), CPU)
    assert found == {
        "probe_miou": pytest.approx(1), "probe_ari_fg": pytest.approx(1), "live_slots": 3,
        "foreground": pytest.approx(float((masks > 0).float().mean())),
    }  # fmt: skip
    assert probe.note == "probe mIoU 100.0   live slots 3"


def test_the_background_is_measured_where_it_is_to_be_seen(probe: Probe) -> None:
    class Draws(Says):
        def predict(self, images: torch.Tensor, detail: bool = False) -> Prediction:
            found = super().predict(images)
            masks = true_masks(probe)[self.seen - len(images) : self.seen]
            wrong = torch.where(masks[:, None] > 0, 0.9, images + 10 / 255)  # under objects nobody can tell
            found.layers = wrong[:, None].expand(-1, 8, -1, -1, -1)
            return found

    masks = true_masks(probe)
    found = probe.look(Draws(lambda start, stop: masks[start:stop]), CPU)
    assert found["background_error"] == pytest.approx(10, abs=1e-3)
    assert probe.shown[0].background is not None


@pytest.mark.parametrize("label", [0, 2])
def test_one_label_everywhere_is_no_or_nothing_but_foreground(probe: Probe, label: int) -> None:
    found = probe.look(Says(lambda start, stop: torch.full((stop - start, 16, 16), label)), CPU)
    assert found["foreground"] == pytest.approx(label / 2)
    assert found["live_slots"] == label / 2


def test_without_a_background_every_slot_counts(squares: Any, caplog: pytest.LogCaptureFixture) -> None:
    probe = Probe(squares("val"), has_background=False)
    with caplog.at_level(logging.WARNING, logger="ocbench"):
        found = probe.look(Says(lambda start, stop: torch.zeros(stop - start, 16, 16)), CPU)
    assert found["live_slots"] == 1
    assert caplog.text == ""


@pytest.mark.parametrize(("steps", "updates"), [((), 500), ((100,), 500), ((20_000, 40_000, 10), 2000)])
def test_looks_are_about_twenty_in_the_longest_phase(steps: tuple[int, ...], updates: int) -> None:
    assert interval([Phase("p", n) for n in steps]) == updates
