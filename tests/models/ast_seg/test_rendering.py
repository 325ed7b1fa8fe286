"""Glimpses, their places and their competition, against the authors' arrays and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ocbench_models.ast_seg.model import blend, entropy_loss, reconstruction_loss
from ocbench_models.ast_seg.presets import CLEVRTEX
from ocbench_models.ast_seg.rendering import GlimpseGenerator, composite, glimpse_widths
from ocbench_models.ast_seg.slots import decode
from ocbench_models.blocks.warping import place

CASES = [("iso", 64), ("aniso", 64), ("iso", 128), ("aniso", 128)]


@pytest.mark.parametrize("side", [64, 128])
def test_glimpse_generator(golden, fill, side):
    z = torch.from_numpy(golden[f"glimpse{side}_z"])
    generator = fill(GlimpseGenerator(z.shape[1], glimpse_widths(side)), 2)
    expected = golden[f"glimpse{side}_out"]
    assert generator.side == expected.shape[-1]
    np.testing.assert_allclose(generator(z).detach(), expected, atol=1e-5)


def test_glimpse_widths_are_those_of_the_paper():
    assert glimpse_widths(64) == (64, 32, 16, 8)
    assert glimpse_widths(128) == (128, 64, 32, 16, 8)
    assert GlimpseGenerator(16, (48, 24, 12)).side == 16


@pytest.mark.parametrize(("scaling", "side"), CASES)
def test_rendering(golden, enlarge, scaling, side):
    case = {key.split("_", 2)[2]: golden[key] for key in golden if key.startswith(f"render_{scaling}{side}_")}
    count, batch = case["pos"].shape[:2]
    config = replace(CLEVRTEX, scaling="isotropic" if scaling == "iso" else "anisotropic", what_size=0)
    latents = np.concatenate((case["pos"], case["scale_logit"], case["act_logit"]), axis=-1).swapaxes(0, 1)
    slots = decode(torch.from_numpy(latents), config)
    scales, centres = (t.transpose(0, 1).flatten(0, 1) for t in (slots.scales, slots.centres))
    theta = np.zeros_like(case["theta"])
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scales[:, 0], scales[:, 1], -scales * centres
    np.testing.assert_allclose(theta, case["theta"], atol=1e-5)

    glimpses = enlarge(case["glimpse8"], side // 2)
    placed = place(glimpses, scales, centres, (side, side)).unflatten(0, (count, batch))
    step = int(case["stride"][0])
    np.testing.assert_allclose(placed[..., ::step, ::step], case["warped"], atol=5e-5)
    np.testing.assert_allclose(placed.double().sum((-1, -2)), case["warped_sum"], rtol=1e-5)

    placed = placed.transpose(0, 1)
    weights = composite(placed[:, :, 3], slots.activations, torch.tensor(11.0))
    recon = blend(weights, enlarge(case["bg8"], side), placed[:, :, :3])
    np.testing.assert_allclose(weights.transpose(0, 1)[..., ::step, ::step], case["weights"], atol=4e-4)
    np.testing.assert_allclose(weights.transpose(0, 1).double().sum((-1, -2)), case["weights_sum"], rtol=1e-5)
    np.testing.assert_allclose(recon[..., ::step, ::step], case["recon"], atol=4e-4)
    np.testing.assert_array_equal(weights.argmax(1), case["seg"])
    loss = reconstruction_loss(recon, enlarge(case["target8"], side))
    assert float(loss) == pytest.approx(float(case["rec_loss"]), rel=1e-5)
    assert float(entropy_loss(weights)) == pytest.approx(float(case["entropy_loss"]), rel=1e-5)


@pytest.mark.parametrize(("scale", "pixels"), [(1.5, 1827.6), (4.0, 256.0)])
def test_a_full_mask_covers_the_area_of_its_scale(scale, pixels):
    mask = torch.ones(1, 1, 32, 32)
    drawn = place(mask, torch.full((1, 2), scale), torch.zeros(1, 2), (64, 64))
    assert float(drawn.sum()) == pytest.approx(pixels, rel=0.01)


def test_sampling_agrees_with_grid_sample():
    random = torch.Generator().manual_seed(3)
    glimpses = torch.rand(5, 4, 16, 16, generator=random)
    scales = 1.3 + 10 * torch.rand(5, 2, generator=random)
    centres = 2 * torch.rand(5, 2, generator=random) - 1
    theta = torch.zeros(5, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scales[:, 0], scales[:, 1], -scales * centres
    grid = torch.nn.functional.affine_grid(theta, [5, 4, 48, 64], align_corners=False)
    expected = torch.nn.functional.grid_sample(glimpses, grid, align_corners=False)
    torch.testing.assert_close(place(glimpses, scales, centres, (48, 64)), expected, atol=2e-5, rtol=0)


def test_extreme_activations_stay_finite():
    masks = torch.zeros(1, 2, 4, 4, requires_grad=True)
    activations = torch.tensor([[500.0, -500.0]], requires_grad=True)
    background = torch.tensor(11.0, requires_grad=True)
    weights = composite(masks, activations, background)
    entropy_loss(weights).backward()
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 4, 4))
    assert all(bool(t.grad.isfinite().all()) for t in (masks, activations, background))
