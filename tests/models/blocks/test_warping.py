"""Spatial transformers, against arrays of the published code and torch's own sampler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_arrays import golden
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from ocbench_models.blocks.warping import extract, place, sampling_weights

FILE = golden("baselines_sa_gnm.npz")
IMAGES = torch.rand(5, 2, 6, 9, generator=torch.Generator().manual_seed(0))
SHARES = torch.tensor([[1.0, 1.0], [0.5, 0.25], [0.3, 1.4], [0.05, 0.1], [2.0, 0.9]])
CENTRES = torch.tensor([[0.0, 0.0], [0.25, -0.5], [-0.9, 1.0], [0.1, 0.2], [1.5, -1.5]])


def sampled(images: Tensor, scales: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    matrices = torch.cat((torch.diag_embed(scales), shifts[:, :, None]), dim=2)
    grid = affine_grid(matrices, [*images.shape[:2], *size], align_corners=False)
    return grid_sample(images, grid, padding_mode="zeros", align_corners=False)


@pytest.mark.golden
def test_golden_place_and_extract() -> None:
    images, where = torch.from_numpy(FILE["block_stn_image"]), torch.from_numpy(FILE["block_stn_where"])
    shares, centres = where[:, :2], where[:, 2:]
    for name, found in (
        ("place", place(images, 1 / shares, centres, (20, 24))),
        ("extract", extract(images, shares, centres, (8, 7))),
    ):
        np.testing.assert_allclose(found.numpy(), FILE[f"block_stn_{name}"], rtol=0, atol=1e-5)


def test_the_two_are_those_of_torch() -> None:
    torch.testing.assert_close(
        place(IMAGES, 1 / SHARES, CENTRES, (16, 12)), sampled(IMAGES, 1 / SHARES, -CENTRES / SHARES, (16, 12)),
        rtol=0, atol=1e-5,
    )  # fmt: skip
    torch.testing.assert_close(
        extract(IMAGES, SHARES, CENTRES, (5, 7)), sampled(IMAGES, SHARES, CENTRES, (5, 7)), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("warp", [place, extract])
def test_gradients_are_those_of_differences(warp) -> None:
    images, shares = IMAGES.double().requires_grad_(), (0.37 + SHARES.double()).requires_grad_()
    centres = (0.0123 + CENTRES.double()).requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: warp(*a, (4, 5)), (images, shares, centres), eps=1e-7, atol=1e-5)


def test_a_glimpse_of_the_whole_image_is_the_image() -> None:
    ones, zeros = torch.ones(5, 2), torch.zeros(5, 2)
    torch.testing.assert_close(place(IMAGES, ones, zeros, (6, 9)), IMAGES)
    torch.testing.assert_close(extract(IMAGES, ones, zeros, (6, 9)), IMAGES)


def test_a_glimpse_lies_where_it_is_put_with_nothing_around_it() -> None:
    glimpse = torch.ones(1, 1, 4, 4)
    found = place(glimpse, torch.tensor([[4.0, 2.0]]), torch.tensor([[0.5, -0.5]]), (16, 16))[0, 0]
    expected = torch.zeros(16, 16)
    expected[0:8, 10:14] = 1  # a quarter wide, half high; right, and up
    assert (found - expected).abs().max() <= 0.5  # its rim is half a source pixel soft
    assert found[2:6, 11:13].min() == 1
    assert found[9:].max() == 0
    assert found[:, :9].max() == 0


def test_what_was_placed_can_be_extracted() -> None:
    glimpses = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    shares, centres = torch.tensor([[0.5, 0.25], [0.25, 0.5]]), torch.tensor([[0.0, 0.25], [-0.5, 0.0]])
    drawn = place(glimpses, 1 / shares, centres, (256, 256))
    torch.testing.assert_close(extract(drawn, shares, centres, (4, 4)), glimpses, rtol=0, atol=0.04)


def test_weights_of_a_target_add_up_to_one_inside_and_to_none_outside() -> None:
    weights = sampling_weights(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]), 8, 12)
    torch.testing.assert_close(weights[0, 1:-1].sum(1), torch.ones(10))
    assert weights[1, :3].max() == 0
    assert weights.min() >= 0


def test_a_target_like_its_source_takes_each_column_as_it_is() -> None:
    weights = sampling_weights(torch.tensor([1.0]), torch.tensor([0.0]), 4, 4)
    torch.testing.assert_close(weights[0], torch.eye(4))
