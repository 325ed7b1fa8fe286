"""GNM's terms and parts against closed forms, its predictions, and what the training loop asks of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from ocbench import Protocol, UsageError
from ocbench_models.gnm import CLEVR, CLEVRTEX, GNM, GnmConfig
from ocbench_models.gnm.model import Gnm, Noise

from .golden_weights import close

SMALL = replace(CLEVR, what_size=8, background_size=4, global_rounds=2, global_size=4)


def built(config: GnmConfig = CLEVR, side: int = 32, seed: int = 0) -> Gnm:
    torch.manual_seed(seed)
    return GNM.build(config, Protocol("tiny", 1, (side, side), 6, ()))


def images(count: int = 2, side: int = 32) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(4))


# closed forms


def test_terms_are_those_of_torch_distributions() -> None:
    model, batch, clock = built(SMALL), images(), torch.tensor(200)
    with torch.no_grad():
        latents = model.infer(batch, model.noise(batch), clock)
        picture = model.render(latents, clock)
        found = model.terms(batch, latents, picture, clock)
    q, p = latents.q, latents.p
    present = latents.presence
    zero = Normal(torch.zeros(()), torch.ones(()))
    box = Normal(torch.tensor(SMALL.where_mean), torch.tensor(SMALL.where_std))
    prior = Bernoulli(torch.tensor(0.1 + (0.001 - 0.1) * 200 / 4000))
    expected = {
        "nll": -Normal(picture.image, SMALL.sigma).log_prob(batch),
        "presence": kl_divergence(Bernoulli(logits=q.presence), Bernoulli(logits=p.presence)),
        "where": kl_divergence(Normal(*q.where), Normal(*p.where)),
        "depth": kl_divergence(Normal(*q.depth), Normal(*p.depth)),
        "what": kl_divergence(Normal(*q.what), Normal(*p.what)),
        "background": kl_divergence(Normal(*latents.q_background), Normal(*latents.p_background)),
        "global": kl_divergence(Normal(*latents.q_scene), Normal(*latents.p_scene)),
        "fixed_presence": kl_divergence(Bernoulli(logits=q.presence), prior),
        "fixed_where": kl_divergence(Normal(*q.where), box) * present,
        "fixed_depth": kl_divergence(Normal(*q.depth), zero) * present,
        "fixed_what": kl_divergence(Normal(*q.what), zero) * present,
        "fixed_background": kl_divergence(Normal(*latents.q_background), zero),
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.sum() / len(batch), rtol=1e-4, atol=1e-4)


def test_a_box_is_where_its_latents_say() -> None:
    model, batch = built(SMALL), images(1)
    latents = model.infer(batch, model.noise(batch), torch.tensor(0))
    latents.where = torch.zeros(1, 16, 4)
    latents.where[0, 6] = torch.tensor([0.0, math.log(4), 0.0, math.inf])  # row 1, column 2; a cell further down
    shares, centres = latents.boxes(4)
    close(shares[0, 6], np.array([0.25, 1.0]), 1e-6)
    close(centres[0, 6], np.array([0.25, 0.25]), 1e-6)
    close(centres[0, 1], np.array([-0.25, -0.75]), 1e-6)


def test_early_updates_hold_alpha_and_cap_presence() -> None:
    model, batch = built(SMALL), images()
    latents = model.infer(batch, model.noise(batch), torch.tensor(0))
    latents.presence = torch.full_like(latents.presence, 0.9999)
    first, early, late = (model.render(latents, torch.tensor(clock)) for clock in (0, 499, 500))
    assert early.alpha.unique().tolist() == pytest.approx([0.9])
    torch.testing.assert_close(first.masks, late.masks)
    torch.testing.assert_close(early.masks * 0.9999 / 0.99, late.masks)
    torch.testing.assert_close(early.background, late.background)


# prediction


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("value", [0.0, 1.0, None])
def test_predictions_of_any_batch_and_of_empty_pictures(count: int, value: float | None) -> None:
    batch = images(count) if value is None else torch.full((count, 3, 32, 32), value)
    model = built(SMALL).eval()
    with torch.no_grad():
        found = model.predict(batch, detail=True)
        terms = model.loss(batch, "all", torch.tensor(7))
    assert found.weights.shape == (count, 17, 32, 32)
    assert found.weights.min() >= 0
    torch.testing.assert_close(found.weights.sum(1), torch.ones(count, 32, 32))
    assert found.layers.shape == (count, 17, 3, 32, 32)
    assert found.centres.shape == (count, 17, 2)
    assert all(torch.isfinite(term) for term in terms.values())


def test_alphas_that_add_up_to_more_than_one_leave_no_background() -> None:
    model = built(SMALL).eval()
    with torch.no_grad():
        model.local.presence.bias.fill_(9.0)
        model.local.where.bias[0] = 3.0  # every box as large as the image
        model.glimpses[-2].conv.bias.fill_(4.0)
        weights = model.predict(images()).weights
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 32, 32))
    assert weights[:, 0, 8:24, 8:24].max() == 0


def test_one_seed_agrees_and_two_differ() -> None:
    first, same, other = (built(SMALL, seed=seed) for seed in (0, 0, 1))
    batch = images()

    def total(model: Gnm, seed: int) -> float:
        torch.manual_seed(seed)
        return float(model.loss(batch, "all", torch.tensor(0))["total"].detach())

    assert total(first, 3) == total(same, 3)
    assert total(first, 3) != total(first, 4)
    assert total(first, 3) != total(other, 3)


def test_means_do_not_depend_on_the_seed() -> None:
    model = built(replace(SMALL, latents="mean")).eval()
    with torch.no_grad():
        weights = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            weights.append(model.predict(images()).weights)
        latents = model.infer(images(), model.noise(images(), mean=True), model.reached)
    assert torch.equal(*weights)
    assert torch.equal(latents.what, latents.q.what.mean)
    torch.testing.assert_close(latents.presence, torch.sigmoid(latents.q.presence))


def test_evaluation_goes_by_the_update_that_training_reached() -> None:
    def predicted(reference: bool, reached: int) -> Tensor:
        model = built(replace(SMALL, reference=reference)).eval()
        model.after_step({}, "all", reached, ())
        other = built(replace(SMALL, reference=reference), seed=9).eval()
        other.load_state_dict(model.state_dict())  # what was reached is in the checkpoint
        torch.manual_seed(2)
        with torch.no_grad():
            return other.predict(images()).weights

    assert torch.equal(predicted(True, 20_000), predicted(False, 0))
    assert torch.equal(predicted(True, 100), predicted(True, 0))
    assert not torch.equal(predicted(False, 20_000), predicted(False, 0))
    assert torch.equal(predicted(False, 30_000), predicted(False, 20_000))


def test_an_edited_scene_lacks_and_moves_slots() -> None:
    model = built(SMALL).eval()

    def edited(**changes) -> object:
        torch.manual_seed(5)
        with torch.no_grad():
            return model.edit(images(), **({"drop": (), "move": {}} | changes))

    torch.manual_seed(5)
    with torch.no_grad():
        plain = model.predict(images())
    assert torch.equal(edited().weights, plain.weights)
    assert edited(drop=[3]).weights[:, 3].max() == 0
    moved = edited(move={3: (0.5, -0.25)}).centres - edited().centres
    close(moved[:, 3], np.array([[0.5, -0.25]] * 2), 1e-6)
    assert moved[:, 4:].abs().max() == 0
    with pytest.raises(UsageError, match="slot 17"):
        edited(drop=[17])


# what the loop asks for


@pytest.mark.parametrize(
    ("size", "changes"),
    [((64, 96), {}), ((48, 48), {}), ((16, 16), {}), ((64, 64), {"grid": 5}), ((64, 64), {"glimpse_side": 20})],
)
def test_sizes_that_cannot_be_drawn_are_refused(size: tuple[int, int], changes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="gnm cannot"):
        GNM.build(replace(CLEVR, **changes), Protocol("odd", 1, size, 6, ()))


@pytest.mark.parametrize("side", [8, 16, 32])
def test_smaller_glimpses(side: int) -> None:
    model = built(replace(SMALL, glimpse_side=side))
    assert model.glimpses(torch.zeros(3, 8, 1, 1)).shape == (3, 4, side, side)
    assert torch.isfinite(model.loss(images(), "all", torch.tensor(0))["total"])


@pytest.mark.parametrize(("side", "grid"), [(32, 8), (64, 2), (64, 8), (256, 4)])
def test_other_sizes_and_grids(side: int, grid: int) -> None:
    model, batch = built(replace(SMALL, grid=grid), side).eval(), images(1, side)
    with torch.no_grad():
        found = model.predict(batch)
    assert found.weights.shape == (1, 1 + grid**2, side, side)
    assert found.reconstruction.shape == batch.shape


def test_every_parameter_learns_at_every_kind_of_update() -> None:
    model = built(SMALL).train()
    for clock in (0, 3, 499, 500, 200_000):
        model.zero_grad(set_to_none=True)
        model.loss(images(), "all", torch.tensor(clock))["total"].backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_double_precision_agrees_with_single() -> None:
    model, batch = built(SMALL), images()
    noise = model.noise(batch)
    with torch.no_grad():
        single = model.objective(batch, noise, torch.tensor(600))
        double = model.double().objective(batch.double(), Noise(*(n.double() for n in noise)), torch.tensor(600))
    assert double["total"].dtype == torch.float64
    assert float(double["total"]) == pytest.approx(float(single["total"]), rel=1e-5)


def test_in_bf16_the_latents_and_the_loss_stay_in_fp32() -> None:
    model, batch = built(SMALL).eval(), images()
    noise, clock = model.noise(batch), torch.tensor(600)
    whole = model.objective(batch, noise, clock)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        latents = model.infer(batch, noise, clock)
        mixed = model.objective(batch, noise, clock)
    sampled = (latents.presence, latents.where, latents.depth, latents.what, latents.background)
    assert {value.dtype for value in sampled} == {torch.float32}
    assert {value.dtype for value in mixed.values()} == {torch.float32}
    assert float(mixed["total"].detach()) == pytest.approx(float(whole["total"].detach()), rel=0.05)


def test_the_optimiser_is_the_published_one() -> None:
    (phase,) = GNM.scenarios["default"](CLEVRTEX)
    (optimizer,) = phase.optimizers
    assert (phase.steps, phase.batch_size, phase.clip_norm) == (300_000, 32, 1.0)
    assert (optimizer.kind, optimizer.learning_rate, optimizer.betas[1], optimizer.eps) == ("rmsprop", 1e-4, 0.99, 1e-8)
    assert [optimizer.schedule(n) for n in (1, 300_000)] == [1.0, 1.0]
    assert replace(CLEVR, sigma=0.5) == CLEVRTEX


def test_the_background_may_learn_alone_first() -> None:
    config = replace(SMALL, background_steps=7)
    first, second = GNM.scenarios["default"](config)
    assert (first.name, first.steps, second.name, second.steps) == ("background", 7, "all", config.steps)
    assert len(GNM.scenarios["default"](SMALL)) == 1
    model, batch = built(config), images()
    noise = model.noise(batch)
    found = model.ground(batch, noise)
    found["total"].backward()
    learning = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learning == {name for name, _ in model.named_parameters() if name.startswith(first.trains)}
    with torch.no_grad():
        latents = model.infer(batch, noise, torch.tensor(0))
        drawn = model.render(latents, torch.tensor(0)).background
    nll = -Normal(drawn, config.sigma).log_prob(batch).sum() / 2
    kl = kl_divergence(Normal(*latents.q_background), Normal(torch.zeros(()), torch.ones(()))).sum() / 2
    torch.testing.assert_close(found["total"].detach(), nll + 50 * kl, rtol=1e-5, atol=0)
    model.after_step({}, "background", 7, ())
    assert model.reached == 0


def test_a_warm_up_and_a_drop_of_the_rate() -> None:
    (phase,) = GNM.scenarios["default"](replace(SMALL, warmup=4, steps=10, drop_at=0.8))
    assert [phase.optimizers[0].schedule(n) for n in (1, 2, 4, 8, 9)] == [0.25, 0.5, 1, 1, 0.1]


def test_small_steps_after_the_early_ones_where_asked() -> None:
    (phase,) = GNM.scenarios["default"](replace(SMALL, warmup=2, early_steps=3, settle_steps=4, steps=10, drop_at=0.8))
    rates = [phase.optimizers[0].schedule(n) for n in range(1, 11)]
    assert rates == pytest.approx([0.5, 1, 0.05, 0.05, 0.05, 0.05, 1, 1, 0.1, 0.1])


@pytest.mark.parametrize("name", GNM.presets)
def test_every_ramp_of_a_preset_ends_within_its_training(name: str) -> None:
    config = GNM.presets[name]
    for field in ("presence_prior", "where_weight", "background_weight", "global_weight", "temperature"):
        first, last = getattr(config, f"{field}_steps")
        assert 0 <= first < last <= config.steps
    assert config.early_steps + config.settle_steps < config.steps
    assert config.warmup <= config.early_steps or not config.settle_steps  # a warm-up hides the small rate
