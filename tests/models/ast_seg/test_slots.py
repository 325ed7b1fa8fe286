"""Soft-argmax, refinement and the decoding of latents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ocbench_models.ast_seg.presets import CLEVR, CLEVRTEX, MINI_PLAIN
from ocbench_models.ast_seg.slots import Refiner, decode, soft_argmax
from ocbench_models.blocks.grids import ramps


@pytest.mark.parametrize("case", ["sq", "rect"])
def test_soft_argmax(golden, case):
    maps, expected = golden[f"softargmax_{case}_map"], golden[f"softargmax_{case}_latents"]
    found = soft_argmax(torch.from_numpy(maps), expected.shape[0])
    np.testing.assert_allclose(found.transpose(0, 1), expected, atol=1e-5)
    np.testing.assert_allclose(
        ramps(*maps.shape[2:], like=torch.zeros(())).flip(0)[None], golden[f"softargmax_{case}_posmap"], atol=1e-6
    )


def test_one_column_moves_a_sharp_peak_by_its_width():
    maps = torch.zeros(2, 1, 8, 12)
    maps[0, 0, 3, 5] = maps[1, 0, 3, 6] = 50
    first, second = soft_argmax(maps, 1)[:, 0]
    torch.testing.assert_close(second - first, torch.tensor([2 / 11, 0.0]))


@pytest.mark.parametrize(("down", "right"), [(0, 3), (4, 0), (-2, 5), (3, -1)])
def test_what_moves_by_cells_is_found_moved_by_as_much(down, right):
    """The paper's argument for soft-argmax: away from the borders it is equivariant, and appearance does not change."""
    torch.manual_seed(1)
    maps = torch.zeros(2, 3 + 4, 24, 32, dtype=torch.float64)
    maps[:, :3] = -1000.0  # no attention there
    maps[:, :, 8:14, 10:20] = 3 * torch.randn(2, 7, 6, 10, dtype=torch.float64)
    before, after = (soft_argmax(m, 3) for m in (maps, maps.roll((down, right), (2, 3))))
    step = torch.tensor([2 * right / 31, 2 * down / 23], dtype=torch.float64)
    torch.testing.assert_close(after[..., :2] - before[..., :2], step.expand(2, 3, 2), atol=1e-12, rtol=0)
    torch.testing.assert_close(after[..., 2:], before[..., 2:], atol=1e-12, rtol=0)


def test_refiner(golden, fill):
    given, expected = golden["refine_in"], golden["refine_out"]
    refiner = fill(Refiner(CLEVRTEX), 1)
    shapes = [str(tuple(p.shape)) for p in refiner.parameters()]
    assert shapes == list(golden["refine_param_shapes"])
    found = refiner(torch.from_numpy(given).transpose(0, 1)).transpose(0, 1)
    np.testing.assert_allclose(found.detach(), expected, atol=1e-4)


@pytest.mark.parametrize("config", [CLEVRTEX, MINI_PLAIN])
def test_slots_are_a_set(config):
    torch.manual_seed(0)
    refiner = Refiner(config).eval()
    latents = torch.randn(2, 5, 2 + config.feature_size)
    order = [3, 0, 4, 1, 2]
    torch.testing.assert_close(refiner(latents)[:, order], refiner(latents[:, order]), atol=1e-5, rtol=1e-5)


def test_a_residual_refiner_starts_near_its_input():
    torch.manual_seed(0)
    latents = torch.randn(2, 5, 2 + MINI_PLAIN.feature_size)
    refined = Refiner(MINI_PLAIN)(latents)
    assert (refined - latents).abs().max().item() < 1.0


def test_activation_index_of_paper_and_code():
    latents = torch.arange(2.0 + CLEVR.feature_size)[None, None]
    assert decode(latents, CLEVR).activations.item() == 3
    assert decode(latents, replace(CLEVR, activation_index="code")).activations.item() == 4
    assert decode(latents, CLEVR).what[0, 0, 0] == 4
    wide = torch.arange(2.0 + CLEVRTEX.feature_size)[None, None]
    for index in ("paper", "code"):
        assert decode(wide, replace(CLEVRTEX, activation_index=index)).activations.item() == 4


def test_decoding_clamps_positions_and_bounds_scales():
    latents = torch.zeros(1, 2, 2 + CLEVRTEX.feature_size, requires_grad=True)
    shifted = latents + torch.tensor([1.5, -0.5] + [0.0] * CLEVRTEX.feature_size)
    slots = decode(shifted, CLEVRTEX)
    slots.centres.sum().backward()
    assert slots.centres[0, 0].tolist() == [1.0, -0.5]
    assert latents.grad[0, 0, :2].tolist() == [0.0, 1.0]
    assert float(slots.clamped) == 0.5
    torch.testing.assert_close(slots.scales, torch.full((1, 2, 2), 12.65))


def test_activation_cap():
    latents = torch.full((1, 1, 2 + CLEVR.feature_size), 100.0)
    assert decode(latents, replace(CLEVR, activation_cap=5.0)).activations.item() == pytest.approx(5.0)
