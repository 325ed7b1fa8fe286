"""Boxes in cells, and decoders that grow an image out of channels."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import celu, group_norm

from ocbench_models.blocks.grids import cell_centres
from ocbench_models.blocks.subpixel import SubPixelLayer, sub_pixel_stack


def test_boxes_that_shift_by_nothing_lie_in_the_middle_of_their_cells() -> None:
    found = cell_centres(torch.zeros(1, 4, 2), 2)
    assert found.tolist() == [[[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]]  # x first, row by row


def test_boxes_shift_by_a_cell_at_most() -> None:
    far = torch.tensor([1000.0, -1000.0]).expand(1, 16, 2)
    moved = cell_centres(far, 4) - cell_centres(torch.zeros(1, 16, 2), 4)
    torch.testing.assert_close(moved, torch.tensor([0.5, -0.5]).expand(1, 16, 2))
    half = torch.full((1, 16, 2), 0.5493061443340548)  # the inverse of tanh at a half
    torch.testing.assert_close(
        cell_centres(half, 4) - cell_centres(torch.zeros(1, 16, 2), 4), torch.full((1, 16, 2), 0.25)
    )


def test_a_layer_spreads_channels_over_pixels_activates_then_normalises() -> None:
    torch.manual_seed(0)
    layer = SubPixelLayer(3, 4, 2, kernel=3, groups=2)
    nn.init.normal_(layer.norm.weight)
    features = torch.randn(2, 3, 5, 5)
    raw = layer.conv(features)
    spread = torch.zeros(2, 4, 10, 10)
    for row in range(2):
        for column in range(2):
            spread[:, :, row::2, column::2] = raw[:, 2 * row + column :: 4]
    expected = group_norm(celu(spread), 2, layer.norm.weight, layer.norm.bias)
    torch.testing.assert_close(layer(features), expected)


def test_a_stack_has_a_bare_last_layer_where_asked() -> None:
    plan = ((8, 4), (6, 2), (3, 1))
    bare, full = (sub_pixel_stack(5, plan, kernel=1, bare_last=last) for last in (True, False))
    features = torch.randn(2, 5, 1, 1)
    assert bare(features).shape == full(features).shape == (2, 3, 8, 8)
    assert bare[-1].norm is None
    assert full[-1].norm is not None
    assert [layer.conv.out_channels for layer in full] == [128, 24, 3]
