"""Slot Attention against the reference implementation, and its loss against its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_arrays import golden

from ocbench import registry
from ocbench_models.blocks.grids import position_channels
from ocbench_models.slot_attention import BENCHMARK, MINI_PLAIN, train
from ocbench_models.slot_attention.model import SlotAttentionAutoencoder

from .golden_weights import check_gradients, close, enlarged, fill

CASES = ("sa128_", "sa64_", "sarect_")


@pytest.fixture(scope="module")
def arrays():
    return golden("baselines_sa_gnm.npz")


@pytest.mark.parametrize(("side", "slots", "count"), [(128, 11, 2_987_524), (64, 4, 1_414_660)])
def test_as_many_parameters_as_the_reference(side, slots, count):
    model = SlotAttentionAutoencoder(BENCHMARK, (side, side), slots)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize("case", CASES)
def test_scene_and_loss_and_gradients_of_the_reference(arrays, case):
    _, slots, height, width = arrays[f"{case}bkhw"]
    model = SlotAttentionAutoencoder(BENCHMARK, (int(height), int(width)), int(slots))
    named = fill(list(model.parameters()), arrays, "sa_", case)
    images = enlarged(arrays[f"{case}image"], int(height), int(width))
    scene = model(images, torch.from_numpy(arrays[f"{case}noise"]))
    step = 16 if case == "sa128_" else 8
    close(scene.features[:, :, ::step, ::step], arrays[f"{case}features"], 1e-4)
    close(torch.stack(scene.slots), arrays[f"{case}slots"], 2e-5)
    close(scene.weights[..., ::4, ::4], arrays[f"{case}weights"], 3e-5)
    close(scene.weights.double().sum((2, 3)), arrays[f"{case}weights_sum"], relative=1e-5)
    close(scene.colours[..., ::16, ::16], arrays[f"{case}rgb"], 2e-4)
    recon = scene.reconstruction()
    close(recon[..., ::4, ::4], arrays[f"{case}recon"], 2e-4)
    assert (scene.weights.argmax(1).numpy() != arrays[f"{case}seg"]).mean() <= 1e-3
    loss = (recon - images).square().sum((1, 2, 3)).mean()
    close(loss, arrays[f"{case}loss"].reshape(()), relative=1e-5)
    loss.backward()
    norms = next(name for name in arrays.files if name.startswith(case) and name.endswith("grad_norm"))
    check_gradients(arrays, case, norms.removesuffix("grad_norm"), named)


def test_rates_of_the_reference(arrays):
    schedule = train(BENCHMARK)[0].optimizers[0]
    for done, rate in zip(arrays["sa_lr_updates_done"], arrays["sa_lr"], strict=True):
        assert schedule.learning_rate * schedule.schedule(int(done) + 1) == pytest.approx(float(rate), rel=1e-9)


def test_position_channels_of_the_reference(arrays):
    expected = arrays["block_position_grid"]
    assert np.array_equal(position_channels(*expected.shape[1:], like=torch.zeros(())).numpy(), expected)


def test_the_original_has_a_norm_of_any_size_and_no_projection_bias():
    config = replace(BENCHMARK, norm="channel", projection_bias=False, glorot=True)
    small, large = (SlotAttentionAutoencoder(config, (side, side), 4) for side in (64, 128))
    large.load_state_dict(small.state_dict())
    assert sum(p.numel() for p in small.parameters()) == 2_987_524 - 2 * 64 * 128**2 + 128 - 3 * 64


def test_the_loss_is_the_squared_error_of_what_predict_shows():
    model = SlotAttentionAutoencoder(MINI_PLAIN, (64, 64), 5).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    loss = model.loss(images, "train", torch.tensor(0))["total"]
    torch.manual_seed(1)
    found = model.predict(images, detail=True)
    assert loss.item() == pytest.approx((found.reconstruction - images).square().sum().item() / 2, rel=1e-6)
    assert torch.allclose((found.weights[:, :, None] * found.layers).sum(1), found.reconstruction, atol=1e-6)
    assert torch.allclose(found.attention.sum(1), torch.ones_like(found.attention[:, 0]), atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_images_give_finite_gradients(value):
    model = SlotAttentionAutoencoder(MINI_PLAIN, (64, 64), 5)
    model.loss(torch.full((1, 3, 64, 64), value), "train", torch.tensor(0))["total"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_presets_have_the_published_slots():
    expected = {"clevrtex": 11, "clevr": 11, "shapestacks": 9, "objectsroom": 7}
    for preset, slots in expected.items():
        protocol = registry.dataset(preset).protocols[0]
        assert (registry.model("slot-attention").presets[preset].slots or protocol.max_objects + 1) == slots
