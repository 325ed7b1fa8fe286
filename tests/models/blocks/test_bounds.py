"""Bounds with the gradient of none."""

import pytest
import torch

from ocbench_models.blocks.bounds import clamp_straight_through


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.99), (1e-5, 1.0)])
def test_clamp_lets_gradient_through(low, high):
    values = torch.tensor([-1.0, 0.5, 3.0], requires_grad=True)
    clamped = clamp_straight_through(values, low, high)
    clamped.sum().backward()
    torch.testing.assert_close(clamped, torch.tensor([low, 0.5, high]), atol=1e-7, rtol=0)
    assert values.grad.tolist() == [1, 1, 1]
