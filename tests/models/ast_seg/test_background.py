"""The background autoencoder, its robust loss, and the still image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ocbench import UsageError
from ocbench_models.ast_seg.background import BackgroundAutoencoder, StillBackground, layer_plan, robust_loss

COUNTS = {
    ("simple", 64): (2_942_624, 7_679_368),
    ("complex", 64): (2_900_096, 43_572_712),
    ("simple", 128): (3_590_944, 9_331_080),
    ("complex", 128): (21_183_616, 48_633_192),
}


@pytest.mark.parametrize(("kind", "side"), [("simple", 64), ("complex", 64), ("simple", 128)])
def test_autoencoder(golden, enlarge, fill, kind, side):
    case = f"bgae_{side}{kind}"
    network = BackgroundAutoencoder(kind, side)
    fill(network.encoder, 3)
    fill(network.generator, 4)
    assert [str(tuple(p.shape)) for p in network.parameters()] == list(golden[f"{case}_param_shapes"])
    counts = [len(list(part.parameters())) for part in (network.encoder, network.generator)]
    assert counts == golden[f"{case}_nparams"].tolist()
    images = enlarge(golden[f"{case}_image8"], side).float()
    with torch.no_grad():
        latent, drawn = network.encoder(images).flatten(1), network.reconstruct(images)
        plain = network(images / 255)
    np.testing.assert_allclose(latent, golden[f"{case}_latent"], atol=1e-4)
    step = int(golden[f"{case}_stride"][0])
    np.testing.assert_allclose(drawn[..., ::step, ::step], golden[f"{case}_out"], atol=5e-3)
    torch.testing.assert_close(plain, drawn[:, :3] / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kind", "side"), COUNTS)
def test_parameter_counts(kind, side):
    with torch.device("meta"):
        network = BackgroundAutoencoder(kind, side)
    found = tuple(sum(p.numel() for p in part.parameters()) for part in (network.encoder, network.generator))
    assert found == COUNTS[kind, side]


@pytest.mark.parametrize("case", ["w64", "w128", "w150"])
def test_robust_loss(golden, case):
    drawn = torch.from_numpy(golden[f"bgloss_{case}_pred"]).requires_grad_()
    value = robust_loss(drawn, torch.from_numpy(golden[f"bgloss_{case}_image"]).float())
    value.backward()
    assert value.item() == pytest.approx(float(golden[f"bgloss_{case}_value"]), rel=1e-5)
    expected = golden[f"bgloss_{case}_grad"]
    np.testing.assert_allclose(drawn.grad, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


def test_layer_plan():
    assert [side for side, *_ in layer_plan(128)] == [128, 64, 32, 16, 8, 4, 2]
    assert [kernel for _, kernel, _, _ in layer_plan(64)] == [5, 5, 5, 5, 4, 2]


def test_a_side_without_published_widths_is_refused():
    with pytest.raises(UsageError, match="no layers for images of side 96"):
        BackgroundAutoencoder("simple", 96)


def test_narrower_autoencoder_keeps_latent_and_output():
    network = BackgroundAutoencoder("complex", 64, width=0.1)
    assert network.encoder(torch.zeros(2, 3, 64, 64)).shape == (2, 16, 1, 1)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 64, 64)


def test_still_background_is_grey_then_the_median():
    still = StillBackground(2)
    assert still(torch.zeros(5, 3, 2, 2)).mean().item() == 0.5
    images = torch.zeros(3, 3, 2, 2)
    images[1], images[2] = 0.25, 1.0
    still.set_to_median(images)
    torch.testing.assert_close(still.image.data, torch.full((3, 2, 2), 0.25))
    assert still.image.requires_grad
