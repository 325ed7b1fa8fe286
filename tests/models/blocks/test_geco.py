"""GECO against the golden arrays, and by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_arrays import golden as golden_arrays

from ocbench_models.blocks.geco import LIMITS, Geco

CASES = ("cross64", "cross128", "floor128", "rise64", "ceiling64")


@pytest.fixture(scope="module")
def golden():
    return dict(golden_arrays("baselines_genesis_monet.npz"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_sequences(golden, case, dtype):
    """Loss with the weight before each update; average and weight after it."""
    side = int(golden[f"geco_{case}_size"])
    geco = Geco(float(golden[f"geco_{case}_g"]) * 3 * side**2, 1e-5 * (64 / side) ** 2).to(dtype)
    geco.beta.fill_(float(golden[f"geco_{case}_beta0"]))
    losses, averages, weights = [], [], []
    for error, kl in zip(golden[f"geco_{case}_err"], golden[f"geco_{case}_kl"], strict=True):
        error, kl = (torch.tensor(float(value), dtype=dtype) for value in (error, kl))
        losses.append(geco(error, kl).item())
        geco.update(error)
        averages.append(geco.average.item())
        weights.append(geco.beta.item())
    wide, narrow = (1e-9, 1e-9) if dtype == torch.float64 else (1e-3, 1e-5)
    np.testing.assert_allclose(losses, golden[f"geco_{case}_loss"], rtol=wide)
    np.testing.assert_allclose(averages, golden[f"geco_{case}_ema"], rtol=narrow)
    np.testing.assert_allclose(weights, golden[f"geco_{case}_beta"], rtol=wide)


def test_no_gradient_but_that_of_the_sum():
    geco = Geco(10.0, 0.1)
    geco.beta.fill_(0.25)
    error, kl = (torch.tensor(value, requires_grad=True) for value in (3.0, 2.0))
    geco(error, kl).backward()
    assert (error.grad, kl.grad) == (1, 0.25)


def test_first_update_takes_the_error_whole():
    geco = Geco(10.0, 0.01)
    geco.update(torch.tensor(4.0))
    assert geco.average == 4
    geco.update(torch.tensor(5.0))
    assert geco.average.item() == pytest.approx(4.01)


@pytest.mark.parametrize(("error", "factor"), [(8.0, 0.01 * 10 * 2), (12.0, 0.01 * -2), (10.0, 0.0)])
def test_grows_ten_times_faster_than_it_falls(error, factor):
    geco = Geco(10.0, 0.01)
    geco.update(torch.tensor(error))
    assert geco.beta.item() == pytest.approx(np.exp(factor))


@pytest.mark.parametrize(("error", "limit"), [(1e9, LIMITS[0]), (-1e9, LIMITS[1])])
def test_stays_within_its_limits(error, limit):
    geco = Geco(10.0, 1.0)
    geco.update(torch.tensor(error))
    assert geco.beta.item() == pytest.approx(limit)


def test_state_is_whole():
    """A copy from the saved state goes on as the original does."""
    first, second = Geco(10.0, 0.01), Geco(10.0, 0.01)
    first.update(torch.tensor(4.0))
    second.load_state_dict(first.state_dict())
    for geco in (first, second):
        geco.update(torch.tensor(6.0))
    assert (first.beta, first.average) == (second.beta, second.average)
