"""The shared U-Net, against a literal one; golden arrays hold it within GENESIS-V2 and MONet."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, linear, relu

from ocbench_models.blocks.unet import UNet

DOWN, UP = (4, 6, 8), (6, 4, 2)


def group_norm(channels):
    return nn.GroupNorm(2, channels)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


def literal(model, images):
    """The map again, layer after layer, from the parameters in their order alone."""
    values = iter(model.parameters())

    def block(features):
        kernel, scale, shift = next(values), next(values), next(values)
        features = conv2d(features, kernel, padding=1)
        grouped = features.unflatten(1, (2, -1))
        mean = grouped.mean(dim=(2, 3, 4), keepdim=True)
        variance = grouped.var(dim=(2, 3, 4), keepdim=True, correction=0)
        normal = ((grouped - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        return relu(normal * scale[:, None, None] + shift[:, None, None])

    fine = block(images)
    middle = block(fine[:, :, ::2, ::2])
    coarse = block(middle[:, :, ::2, ::2])
    vector = coarse.flatten(1)
    for _ in range(3):
        vector = relu(linear(vector, next(values), next(values)))
    up = block(torch.cat((vector.view_as(coarse), coarse), dim=1))
    for skip in (middle, fine):
        up = block(torch.cat((up.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), skip), dim=1))
    assert next(values, None) is None
    return up


def test_literally():
    torch.manual_seed(0)
    model, images = UNet(3, DOWN, UP, group_norm, 16).double(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value))
    torch.testing.assert_close(model(images), literal(model, images))


@pytest.mark.parametrize("norm", [group_norm, instance_norm])
def test_shape_and_gradients(norm):
    torch.manual_seed(0)
    model = UNet(4, DOWN, UP, norm, 32)
    features = model(torch.rand(3, 4, 32, 32))
    assert features.shape == (3, 2, 32, 32)
    assert (features >= 0).all()
    features.square().sum().backward()
    assert all(torch.isfinite(value.grad).all() and value.grad.any() for value in model.parameters())


def test_images_of_a_batch_keep_apart():
    torch.manual_seed(0)
    model, images = UNet(3, DOWN, UP, instance_norm, 16), torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_size_of_the_bottleneck():
    first, _, last = (stage[0] for stage in UNet(3, DOWN, UP, group_norm, 32).bottleneck)
    assert (first.in_features, first.out_features) == (8 * 8 * 8, 128)
    assert (last.in_features, last.out_features) == (128, 8 * 8 * 8)


@pytest.mark.parametrize(("down", "up", "side"), [(DOWN, UP[:2], 16), (DOWN, UP, 18)])
def test_refusals(down, up, side):
    with pytest.raises(ValueError, match="no U-Net"):
        UNet(3, down, up, group_norm, side)
