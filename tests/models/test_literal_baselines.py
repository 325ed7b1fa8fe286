"""A training step of a baseline is that of its specification: terms and gradients of all weights, in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ocbench import ModelPlugin, Protocol
from ocbench_models.genesis_v2 import CLEVRTEX as GENESIS
from ocbench_models.genesis_v2 import GENESIS_V2
from ocbench_models.gnm import CLEVR as GNM_CLEVR
from ocbench_models.gnm import CLEVRTEX as GNM_CLEVRTEX
from ocbench_models.gnm import GNM
from ocbench_models.monet import MONET, MONET_G, MONET_G_PLUGIN, MONET_PLUGIN
from ocbench_models.slot_attention import BENCHMARK, SLOT_ATTENTION

from .literal_baselines import LOSSES, LiteralGeco

SA = replace(BENCHMARK, channels=8, slot_size=12, slot_mlp=16, decoder_doublings=2)
ORIGINAL = {"norm": "channel", "projection_bias": False, "glorot": True}
SMALL_MONET = {"width": 8, "component_width": 8, "latent_size": 6}
G2 = replace(GENESIS, width=16, latent_size=6, feature_size=16, decoder_width=16, prior_size=12)
SMALL_GNM = {"glimpse_side": 16, "what_size": 8}
CASES = {  # plugin, settings, clock
    "slot attention": (SLOT_ATTENTION, SA, 0),
    "slot attention, resized": (SLOT_ATTENTION, replace(SA, decoder_doublings=3), 0),
    "slot attention, original": (SLOT_ATTENTION, replace(SA, **ORIGINAL), 0),
    "slot attention, strided": (SLOT_ATTENTION, replace(SA, **ORIGINAL, encoder_strides=(1, 2, 2, 1)), 0),
    "monet": (MONET_PLUGIN, replace(MONET, **SMALL_MONET), 0),
    "monet-g": (MONET_G_PLUGIN, replace(MONET_G, **SMALL_MONET), 0),
    "monet-g, as monet": (MONET_G_PLUGIN, replace(MONET_G, **SMALL_MONET, geco=False, background_std=0.1), 0),
    "genesis-v2": (GENESIS_V2, G2, 0),
    "genesis-v2, reference": (GENESIS_V2, replace(G2, reference=True), 0),
    "gnm, first step": (GNM, replace(GNM_CLEVRTEX, **SMALL_GNM), 0),
    "gnm, early": (GNM, replace(GNM_CLEVRTEX, **SMALL_GNM), 250),
    "gnm, late": (GNM, replace(GNM_CLEVR, **SMALL_GNM), 3000),
    "gnm, glimpses as large as the image": (GNM, replace(GNM_CLEVR, what_size=8, glimpse_side=32), 200_000),
}


def built(plugin: ModelPlugin, config: object, slots: int = 4) -> torch.nn.Module:
    """In float64, no weight at a special value: neither the gate of GENESIS-V2 nor the first states of GNM are 0."""
    torch.manual_seed(0)
    model = plugin.build(config, Protocol("tiny", 1, (32, 32), slots - 1, ())).double().train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def gradients(model: torch.nn.Module, terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names, weights = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(terms["total"], weights), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_training_step_is_that_of_the_specification(case):
    plugin, config, at = CASES[case]
    model = built(plugin, config)
    images, clock = torch.rand(2, 3, 32, 32, dtype=torch.float64), torch.tensor(at, dtype=torch.float64)
    torch.manual_seed(5)
    found = model.loss(images, "all", clock)
    torch.manual_seed(5)
    expected = LOSSES[plugin.name](model, images, clock)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-12, rtol=1e-12)
    ours, literal = gradients(model, found), gradients(model, expected)
    most = max(gradient.abs().max().item() for gradient in literal.values())
    for name, gradient in literal.items():
        # Biases that cancel have a gradient of rounding alone.
        within = max(1e-10 * gradient.abs().max().item(), 1e-14 * most)
        torch.testing.assert_close(ours[name], gradient, atol=within, rtol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("case", ["monet-g", "genesis-v2", "genesis-v2, reference"])
def test_the_weight_of_the_divergence_moves_as_specified(case):
    plugin, config, _ = CASES[case]
    model = built(plugin, config)
    geco = LiteralGeco(config.error_goal if plugin is GENESIS_V2 else config.goal, 3 * 32 * 32, 32)
    for step in range(3):
        images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
        torch.manual_seed(step)
        found = model.loss(images, "train", torch.tensor(step))
        torch.manual_seed(step)
        expected = LOSSES[plugin.name](model, images, torch.tensor(step), geco.beta)
        torch.testing.assert_close(found["total"], expected["total"], atol=0, rtol=1e-12)
        model.after_step(found, "train", step + 1, ())
        geco.update(expected["error"].item())
    assert abs(geco.beta - 1) > 1e-3
