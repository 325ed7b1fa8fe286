"""The squared error is summed over pixels and channels, in the unit of images in [0, 1]."""

import math

import numpy as np
import pytest

from ocbench import Outcome, Scene, UsageError
from ocbench.metrics.reconstruction import MSE, mse, mse_mean


def outcome(image, reconstruction):
    return Outcome(Scene("scene", image, image[..., 0]), image[..., 0], reconstruction)


def test_the_error_by_hand():
    image = np.array([[[0, 255, 51]]], np.uint8)  # 0, 1, 0.2
    rebuilt = np.array([[[0.5, 1.0, 1.2]]], np.float32)
    assert mse(outcome(image, rebuilt)) == pytest.approx(0.25 + 0 + 1, rel=1e-6)
    assert mse_mean(outcome(image, rebuilt)) == pytest.approx(1.25 / 3, rel=1e-6)
    assert MSE.dialects["mean"] is mse_mean


def test_a_reconstruction_is_not_clamped():
    image = np.zeros((2, 2, 3), np.uint8)
    assert mse(outcome(image, np.full((2, 2, 3), -2, np.float32))) == 48
    assert mse(outcome(image, np.full((2, 2, 3), 3, np.float32))) == 108


def test_an_error_of_nothing_is_nothing(random):
    image = random.integers(0, 256, (8, 8, 3), np.uint8)
    assert mse(outcome(image, image.astype(np.float32) / np.float32(255))) == 0


def test_many_values_are_summed_to_the_last_digits(random):
    image = random.integers(0, 256, (256, 256, 3), np.uint8)
    rebuilt = random.random(image.shape, np.float32)
    literal = math.fsum((float(a) - b / 255) ** 2 for a, b in zip(rebuilt.flat, image.flat, strict=True))
    assert mse(outcome(image, rebuilt)) == pytest.approx(literal, rel=1e-6)


def test_without_a_reconstruction_there_is_no_error():
    assert MSE.needs_reconstruction
    assert not MSE.higher_is_better
    with pytest.raises(UsageError, match="needs a reconstruction"):
        mse(outcome(np.zeros((1, 1, 3), np.uint8), None))
