"""GENESIS-V2 by itself: sizes, settings, masks, prior, loss and random numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence

from ocbench import UsageError, registry
from ocbench_models.blocks.grids import ramps
from ocbench_models.genesis_v2 import CLEVRTEX, GENESIS_V2, PRESETS, PUBLISHED
from ocbench_models.genesis_v2.model import (
    GenesisV2,
    InstanceColouring,
    Noise,
    Prior,
)

TINY = replace(PUBLISHED, width=8, latent_size=4, feature_size=8, decoder_width=8, prior_size=8)
CLOCK = torch.zeros((), dtype=torch.int64)


def tiny(slots=4, side=32, **settings):
    torch.manual_seed(0)
    return GenesisV2(replace(TINY, **settings), (side, side), slots)


@pytest.mark.parametrize(("side", "slots", "count"), [(128, 11, 2_840_270), (64, 7, 2_729_422), (64, 9, 2_729_422)])
def test_parameter_count(side, slots, count):
    model = GenesisV2(PUBLISHED, (side, side), slots)
    assert sum(value.numel() for value in model.parameters()) == count


def test_presets():
    for name, slots in (("clevrtex", 11), ("clevr", 11), ("shapestacks", 9), ("objectsroom", 7)):
        config, protocol = PRESETS[name], registry.dataset(name).protocols[0]
        assert (config.slots or protocol.max_objects + 1) == slots
        assert (config.error_goal, config.pixel_std, config.steps, config.batch_size) == (0.5655, 0.7, 500_000, 32)
    assert replace(CLEVRTEX, reference=True).error_goal == 0.5
    assert replace(PRESETS["clevr"], reference=True).error_goal == 0.5655
    for name, config in PRESETS.items():
        best = math.log(config.pixel_std) + 0.5 * math.log(2 * math.pi)  # of a perfect reconstruction
        assert config.error_goal > best, f"the goal of {name} cannot be reached"


def test_plan():
    (phase,) = GENESIS_V2.scenarios["default"](PUBLISHED)
    (adam,) = phase.optimizers
    assert (phase.steps, phase.batch_size, phase.clip_norm) == (500_000, 32, None)
    assert (adam.kind, adam.learning_rate, adam.schedule(1), adam.schedule(400_000)) == ("adam", 1e-4, 1.0, 1.0)


@pytest.mark.parametrize("side", [64, 128])
def test_geco_of_the_size(side):
    geco = GenesisV2(TINY, (side, side), 3).geco
    assert geco.goal == pytest.approx(TINY.goal * 3 * side**2)
    assert geco.rate == pytest.approx(TINY.geco_rate * (64 / side) ** 2)


def test_masks_start_as_blobs_around_the_seeds():
    colouring = InstanceColouring(8, 8, 3)
    uniform = torch.zeros(1, 1, 5, 9)
    uniform[0, 0, 1, 2], uniform[0, 0, 4, 8] = 0.9, 0.8
    embedding, seeds, log_masks = colouring(torch.rand(1, 8, 5, 9), uniform)
    grid = ramps(5, 9, embedding)
    assert torch.equal(embedding[0, 6:], grid)
    assert not embedding[0, :6].any()
    assert torch.equal(seeds[0, 0, 6:], grid[:, 1, 2])
    assert torch.equal(seeds[0, 1, 6:], grid[:, 4, 8])
    masks = log_masks[0].exp()
    torch.testing.assert_close(masks.sum(dim=0), torch.ones(5, 9))
    # 2^(-3 d^2) of what is left, kept within 1 % and 99 %
    shares = [
        2 ** (-3 * (grid - grid[:, row, column, None, None]).square().sum(dim=0)) for row, column in [(1, 2), (4, 8)]
    ]
    first, second = (share.clamp(0.01, 0.99) for share in shares)
    torch.testing.assert_close(masks, torch.stack((first, (1 - first) * second, (1 - first) * (1 - second))))


def test_seeds_avoid_what_is_taken():
    """After the first slot took its neighbourhood, a pixel beside the first seed needs a far larger draw."""
    colouring = InstanceColouring(8, 8, 3)
    uniform = torch.zeros(1, 1, 16, 16)
    uniform[0, 0, 2, 2], uniform[0, 0, 2, 3], uniform[0, 0, 12, 12] = 0.9, 0.89, 0.2
    _, seeds, _ = colouring(torch.rand(1, 8, 16, 16), uniform)
    assert torch.equal(seeds[0, 1, 6:], ramps(16, 16, seeds)[:, 12, 12])


def test_closed_gate_lets_gradient_to_itself_alone():
    model = tiny()
    images = torch.rand(2, 3, 32, 32)
    model.loss(images, "train", CLOCK)["total"].backward()
    assert not model.colouring.embed.weight.grad.any()
    assert model.colouring.gate.grad.any()
    assert model.colouring.log_variance.grad.any()


def test_prior_reads_only_slots_before():
    torch.manual_seed(0)
    prior, latents = Prior(4, 8), torch.randn(2, 5, 4, requires_grad=True)
    mean, std = prior(latents)
    assert not mean[:, 0].any()
    assert (std[:, 0] == 1).all()
    mean[:, 3].sum().backward()
    assert latents.grad[:, :3].any(dim=2).all()
    assert not latents.grad[:, 3:].any()


def test_loss_is_what_distributions_say():
    model = tiny().double()
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    scene = model(images)
    model.geco.beta.fill_(0.3)
    terms = model.terms(images, scene)
    shares = Categorical(probs=scene.log_masks.exp().permute(0, 2, 3, 1)[:, None].expand(-1, 3, -1, -1, -1))
    mixture = MixtureSameFamily(shares, Normal(scene.colours.permute(0, 2, 3, 4, 1), 0.7))
    error = -mixture.log_prob(images).sum(dim=(1, 2, 3)).mean()
    posterior, prior = Normal(scene.mean, scene.std), Normal(scene.prior_mean, scene.prior_std)
    kl = (posterior.log_prob(scene.latent) - prior.log_prob(scene.latent)).sum(dim=(1, 2)).mean()
    torch.testing.assert_close(terms["error"], error)
    torch.testing.assert_close(terms["kl"], kl)
    torch.testing.assert_close(terms["total"], error + 0.3 * kl)


def test_sampled_divergence_is_right_on_average():
    model = tiny()
    images = torch.rand(1, 3, 32, 32).expand(256, -1, -1, -1)
    noise = model.noise(images)
    with torch.no_grad():
        scene = model(images, Noise(noise.uniform[:1].expand(256, -1, -1, -1), noise.normal))
    exact = kl_divergence(Normal(scene.mean, scene.std), Normal(scene.prior_mean, scene.prior_std)).sum(dim=2)
    spread = (scene.kl() - exact).std(dim=0) / 16
    assert ((scene.kl() - exact).mean(dim=0).abs() < 4 * spread).all()


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_plain_images(batch, value):
    model = tiny()
    images = torch.full((batch, 3, 32, 32), value)
    terms = model.loss(images, "train", CLOCK)
    terms["total"].backward()
    assert all(torch.isfinite(each) for each in terms.values())
    assert all(torch.isfinite(each.grad).all() for each in model.parameters())
    with torch.no_grad():
        found = model.eval().predict(images, detail=True)
    for masks in (found.weights, found.alternatives["attention"]):
        assert masks.shape == (batch, 4, 32, 32)
        torch.testing.assert_close(masks.sum(dim=1), torch.ones(batch, 32, 32))
    torch.testing.assert_close(found.reconstruction, (found.weights[:, :, None] * found.layers).sum(dim=1))
    assert torch.equal(found.attention, found.alternatives["attention"])


def drawn(model, images, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        return model(images)


def test_draws_follow_the_seed():
    model, images = tiny(), torch.rand(2, 3, 32, 32)
    first, again, other = (drawn(model, images, seed) for seed in (1, 1, 2))
    assert torch.equal(first.log_masks, again.log_masks)
    assert not torch.equal(first.log_masks, other.log_masks)
    assert not torch.equal(first.log_attention, other.log_attention)


def test_posteriors_start_narrow_where_asked():
    torch.manual_seed(0)
    images = torch.rand(4, 3, 32, 32)
    wide, narrow = tiny()(images).std, tiny(first_std=0.1)(images).std
    assert 0.7 < wide.mean() < 1.3
    assert narrow.mean().item() == pytest.approx(0.1, rel=0.4)


def test_means_at_evaluation_alone():
    model, images = tiny(latents="mean"), torch.rand(2, 3, 32, 32)
    scene = drawn(model, images, 1)
    assert not torch.equal(scene.latent, scene.mean)
    scene = drawn(model.eval(), images, 1)
    assert torch.equal(scene.latent, scene.mean)
    scene = drawn(tiny().eval(), images, 1)
    assert not torch.equal(scene.latent, scene.mean)


def test_mixed_precision_keeps_the_loss_in_float32():
    model, images = tiny(), torch.rand(2, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        scene = model(images)
        terms = model.terms(images, scene)
    assert all(value.dtype == torch.float32 for value in (*vars(scene).values(), *terms.values()))
    terms["total"].backward()
    assert all(torch.isfinite(each.grad).all() for each in model.parameters())


def test_weight_of_the_divergence_moves_after_a_step():
    model = tiny()
    terms = model.loss(torch.rand(2, 3, 32, 32), "train", CLOCK)
    assert model.geco.beta == 1
    model.after_step(terms, "train", 1, ())
    assert model.geco.beta < 1  # far from the goal
    assert terms["beta"] == 1
    assert {"geco.beta", "geco.average", "geco.started"} <= model.state_dict().keys()


@pytest.mark.parametrize(("size", "slots"), [((64, 48), 4), ((16, 16), 4), ((96, 96), 4), ((64, 64), 1)])
def test_refusals(size, slots):
    with pytest.raises(UsageError):
        GenesisV2(TINY, size, slots)
