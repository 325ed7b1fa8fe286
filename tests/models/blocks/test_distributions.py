"""Divergences and samples of latents, against arrays of the published code and torch.distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from golden_arrays import golden
from torch.distributions import Bernoulli, Normal, kl_divergence

from ocbench import UsageError
from ocbench_models.blocks.distributions import (
    bernoulli_kl,
    normal_kl,
    normal_log_prob,
    posterior_std,
    relaxed_bernoulli,
    start_at,
)

FILE = golden("baselines_sa_gnm.npz")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.golden
def test_golden_relaxed_bernoulli() -> None:
    logits, uniform = (torch.from_numpy(FILE[f"block_bern_{name}"]) for name in ("logit", "u"))
    for tau, expected in zip(FILE["block_bern_tau"], FILE["block_bern_sample"], strict=True):
        found = relaxed_bernoulli(logits, uniform, torch.tensor(float(tau)))
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.golden
def test_golden_bernoulli_kl() -> None:
    p, q, expected = (FILE[f"block_bernkl{name}"] for name in ("_p", "_q", ""))
    # the file's first argument is the posterior, whatever it is called
    found = bernoulli_kl(torch.from_numpy(p), torch.from_numpy(q))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5 * expected.max())


def test_the_normal_kl_and_density_are_those_of_torch() -> None:
    mean, prior_mean, value = (drawn(50, seed=seed) for seed in range(3))
    std, prior_std = drawn(50, seed=3).exp(), drawn(50, seed=4).exp()
    expected = kl_divergence(Normal(mean, std), Normal(prior_mean, prior_std))
    torch.testing.assert_close(normal_kl(mean, std, prior_mean, prior_std), expected)
    torch.testing.assert_close(normal_kl(mean, std), kl_divergence(Normal(mean, std), Normal(0.0, 1.0)))
    torch.testing.assert_close(normal_log_prob(value, mean, std), Normal(mean, std).log_prob(value))
    torch.testing.assert_close(normal_log_prob(value, mean, 0.2), Normal(mean, 0.2).log_prob(value))


def test_the_bernoulli_kl_is_that_of_torch_and_finite_at_the_ends() -> None:
    q, p = torch.sigmoid(drawn(50)), torch.sigmoid(drawn(50, seed=1))
    torch.testing.assert_close(bernoulli_kl(q, p), kl_divergence(Bernoulli(q), Bernoulli(p)))
    ends = torch.tensor([0.0, 1.0, 0.0, 1.0])
    found = bernoulli_kl(ends, ends.flip(0))
    torch.testing.assert_close(found, torch.full((4,), -math.log(1e-15)), rtol=1e-5, atol=0)
    assert bernoulli_kl(ends, ends).abs().max() == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_relaxed_bernoulli_has_the_closed_distribution(temperature: float) -> None:
    """P(sample < s) = sigmoid(temperature logit(s) - logits), by the change of variables of a logistic number."""
    uniform = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)  # evenly spread, so that shares are exact
    logits = torch.full_like(uniform, 0.7)
    found = relaxed_bernoulli(logits, uniform, torch.tensor(temperature))
    for bound in (0.1, 0.5, 0.9):
        expected = torch.sigmoid(torch.tensor(temperature * math.log(bound / (1 - bound)) - 0.7))
        assert (found < bound).double().mean().item() == pytest.approx(expected.item(), abs=1.5e-3)


def test_a_relaxed_bernoulli_is_finite_for_every_uniform_number() -> None:
    uniform = torch.tensor([0.0, 1e-9, 0.5, 1 - 2**-24])
    logits = torch.tensor([-8.8, 8.8, 8.8, 8.8], requires_grad=True)
    found = relaxed_bernoulli(logits, uniform, torch.tensor(0.5))
    found.sum().backward()
    assert 0 <= found.min() <= found.max() < 1
    assert torch.isfinite(logits.grad).all()


def test_the_bounded_standard_deviation() -> None:
    raw = torch.tensor([-200.0, -0.5, 3.0])
    torch.testing.assert_close(posterior_std(raw), torch.tensor([1e-8, math.log(2), math.log1p(math.exp(3.5))]))


@pytest.mark.parametrize("std", [0.01, 0.1, 1.0, 3.0])
def test_a_posterior_starts_as_wide_as_asked(std: float) -> None:
    layer = torch.nn.Linear(5, 4).double()
    means = layer.bias[:2].clone()
    start_at(layer, std)
    with pytest.raises(UsageError, match="standard deviation of 0"):
        start_at(layer, 0.0)
    made, raw = layer(torch.zeros(3, 5, dtype=torch.float64)).chunk(2, dim=1)
    assert torch.equal(made, means.expand(3, 2))
    assert torch.allclose(posterior_std(raw), torch.full((3, 2), std, dtype=torch.float64), rtol=1e-6)
