"""Stick-breaking and the likelihood of mixtures, against the golden arrays and torch.distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_arrays import golden as golden_arrays
from torch.distributions import Categorical, MixtureSameFamily, Normal
from torch.nn.functional import logsigmoid

from ocbench_models.blocks.mixtures import blend, break_stick, mixture_nll

MONET_STDS = (0.09, 0.15, 0.15, 0.15, 0.15)


@pytest.fixture(scope="module")
def golden():
    return dict(golden_arrays("baselines_genesis_monet.npz"))


@pytest.fixture(params=[(torch.float64, 1e-6), (torch.float32, 1e-5)], ids=["float64", "float32"])
def precision(request):
    return request.param


def close(found, expected, bound):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found.detach().double().numpy(), expected, rtol=0, atol=bound * np.abs(expected).max())


def broken(logits):
    """Log masks [B, K, h, w] of logits [B, K - 1, h, w]."""
    scope, masks = torch.zeros_like(logits[:, 0]), []
    for each in logits.unbind(dim=1):
        mask, scope = break_stick(scope, logsigmoid(each), logsigmoid(-each))
        masks.append(mask)
    return torch.stack((*masks, scope), dim=1)


def test_stick(golden, precision):
    dtype, bound = precision
    close(broken(torch.from_numpy(golden["block_stick_logits"]).to(dtype)), golden["block_stick_log_m"], bound)


def test_pieces_of_the_stick_add_up():
    """Even where a share is so near to 0 or 1 that it could not be told from it."""
    logits = torch.tensor([[-200.0, 200.0, 0.0], [3.0, -1.0, 40.0]])[:, :, None, None]
    log_masks = broken(logits)
    assert torch.isfinite(log_masks).all()
    torch.testing.assert_close(log_masks.logsumexp(dim=1), torch.zeros(2, 1, 1))


@pytest.mark.parametrize("name", ["07", "monet"])
def test_likelihood(golden, precision, name):
    dtype, bound = precision
    images, means, log_masks = (
        torch.from_numpy(golden[f"block_nll_{each}"]).to(dtype) for each in ("x", "mu", "log_m")
    )
    means.requires_grad_()
    found = mixture_nll(images, means, log_masks, 0.7 if name == "07" else torch.tensor(MONET_STDS, dtype=dtype))
    close(found, golden[f"block_nll_{name}"], bound)
    found.sum().backward()
    close(means.grad, golden[f"block_nll_{name}_grad_mu"], bound)


def test_each_channel_is_its_own_mixture():
    torch.manual_seed(0)
    images, means = torch.rand(2, 3, 4, 5), torch.rand(2, 6, 3, 4, 5)
    log_masks = torch.randn(2, 6, 4, 5).log_softmax(dim=1)
    shares = Categorical(logits=log_masks.permute(0, 2, 3, 1)[:, None].expand(-1, 3, -1, -1, -1))
    mixture = MixtureSameFamily(shares, Normal(means.permute(0, 2, 3, 4, 1), 0.3))
    torch.testing.assert_close(mixture_nll(images, means, log_masks, 0.3), -mixture.log_prob(images).sum(dim=(1, 2, 3)))


def test_blend():
    weights = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)
    colours = torch.tensor([[0.0, 1.0, 0.4], [1.0, 1.0, 0.8]]).view(1, 2, 3, 1, 1)
    torch.testing.assert_close(blend(weights, colours).flatten(), torch.tensor([0.75, 1.0, 0.7]))
