"""MONet and MONet-g against the reference implementations, and their terms against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_arrays import golden
from torch.distributions import Categorical, Normal, kl_divergence

from ocbench_models.monet import MONET, MONET_G
from ocbench_models.monet.model import Monet, Scene, mask_kl

from .golden_weights import close, enlarged, fill

CONFIGS = {"monet": MONET, "monetg": MONET_G}
CASES = ("monet_64_", "monet_128_", "monetg_64_", "monetg_128_")
# Of images and of latents, absolute; of terms, GECO's state and gradient norms, relative; of gradients, relative to the
# largest; share of pixels that may be given to another slot.
BOUNDS = {
    torch.float64: (1e-6, 1e-6, 1e-9, 1e-9, 1e-8, 1e-6, 0.0),
    torch.float32: (2e-5, 5e-5, 1e-5, 1e-6, 5e-3, 3e-2, 1e-3),
}


@pytest.fixture(scope="module")
def arrays():
    return golden("baselines_genesis_monet.npz")


def built(arrays, case, dtype=torch.float64):
    side, slots = arrays[f"{case}size"].item(), arrays[f"{case}K"].item()
    model = Monet(CONFIGS[case.removeprefix("steps_").split("_")[0]], (side, side), slots)
    named = fill(list(model.parameters()), arrays, case, case)
    return model.to(dtype), named, enlarged(arrays[f"{case}image"], side, side, dtype)


@pytest.mark.parametrize(
    ("config", "side", "slots", "count"),
    [
        (MONET, 128, 11, 22_161_765),
        (MONET, 64, 7, 14_295_397),
        (MONET_G, 64, 7, 974_085),
        (MONET_G, 64, 9, 974_085),
        (MONET_G, 128, 11, 1_788_293),
    ],
)
def test_as_many_parameters_as_the_reference(config, side, slots, count):
    assert sum(p.numel() for p in Monet(config, (side, side), slots).parameters()) == count


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("case", CASES)
def test_scene_terms_and_gradients_of_the_reference(arrays, case, dtype):
    image_bound, latent_bound, term_bound, geco_bound, norm_bound, gradient_bound, moved = BOUNDS[dtype]
    model, named, images = built(arrays, case, dtype)
    scene = model(images, torch.from_numpy(arrays[f"{case}eps"]).to(dtype))
    step = images.shape[-1] // 32
    masks, decoded = scene.log_masks.exp(), scene.log_decoded.exp()
    recon = scene.reconstruction()
    for name, found, stride in (
        ("att", masks, step), ("dec", decoded, step), ("rgb", scene.colours, 2 * step), ("recon", recon, step),
    ):  # fmt: skip
        close(found[..., ::stride, ::stride], arrays[f"{case}{name}"], image_bound)
        close(found.double().sum((-2, -1)), arrays[f"{case}{name}_sum"], relative=term_bound)
    for name, found in (("seg_att", masks), ("seg_dec", decoded)):
        assert (found.argmax(1).numpy() != arrays[f"{case}{name}"]).mean() <= moved
    for name, found in (("mu", scene.mean), ("sigma", scene.std), ("z", scene.latent)):
        close(found, arrays[f"{case}{name}"], latent_bound)
    terms = model.terms(images, scene)
    for name, term in (("err", "error"), ("kl", "latent_kl"), ("kl_m", "mask_kl"), ("loss", "total")):
        close(terms[term], arrays[f"{case}{name}"], relative=term_bound)
    terms["total"].backward()
    norms = arrays[f"{case}grad_norms"]
    for i, (name, parameter) in enumerate(named.items()):
        assert parameter.grad.double().norm().item() == pytest.approx(norms[i], rel=norm_bound), name
        if f"{case}grad__{name}" in arrays.files:
            expected = arrays[f"{case}grad__{name}"]
            close(parameter.grad, expected, gradient_bound * np.abs(expected).max())
    if model.geco is not None:
        model.after_step(terms, "train", 1, [])
        close(model.geco.beta, arrays[f"{case}beta_after"], relative=geco_bound)
        close(model.geco.average, arrays[f"{case}ema_after"], relative=geco_bound)


@pytest.mark.parametrize("case", ["steps_monet_64_", "steps_monetg_64_"])
def test_training_steps_of_the_reference(arrays, case):
    model, _, images = built(arrays, case)
    rate = arrays[f"{case}lr"].item()
    optimizer = (torch.optim.Adam if model.geco else torch.optim.RMSprop)(model.parameters(), rate)
    for eps, expected in zip(arrays[f"{case}eps"], arrays[f"{case}log"], strict=True):
        terms = model.terms(images, model(images, torch.from_numpy(eps).double()))
        found = [terms[name].detach() for name in ("error", "latent_kl", "mask_kl", "total")]
        close(torch.stack(found), expected[:4], relative=1e-8)
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        if model.geco is not None:
            assert model.geco.beta.item() == pytest.approx(expected[4], rel=1e-8)
            model.after_step({"error": terms["error"]}, "train", 1, [])
            assert model.geco.beta.item() == pytest.approx(expected[5], rel=1e-8)
            assert model.geco.average.item() == pytest.approx(expected[6], rel=1e-8)


def test_mask_divergences_of_the_reference(arrays):
    for floor, name in ((0.0, "plain"), (1e-5, "floor")):
        masks = torch.from_numpy(arrays["block_klm_log_m"]).double().requires_grad_()
        logits = torch.from_numpy(arrays["block_klm_logits"]).double().requires_grad_()
        found = mask_kl(masks, logits.log_softmax(1), floor)
        expected = arrays[f"block_klm_{name}"]
        close(found if expected.ndim else found.sum(), expected, 1e-6 * np.abs(expected).max())
        found.sum().backward()
        for tensor, of in ((masks, "log_m"), (logits, "logits")):
            gradient = arrays[f"block_klm_{name}_grad_{of}"]
            close(tensor.grad, gradient, 1e-6 * np.abs(gradient).max())


def test_terms_are_those_of_torch_distributions():
    torch.manual_seed(0)
    log_masks, log_decoded = (torch.randn(2, 3, 4, 4).log_softmax(1) for _ in range(2))
    mean, std = torch.randn(2, 3, 5), torch.rand(2, 3, 5) + 0.1
    expected = kl_divergence(
        Categorical(log_masks.exp().permute(0, 2, 3, 1)), Categorical(log_decoded.exp().permute(0, 2, 3, 1))
    )
    assert torch.allclose(mask_kl(log_masks, log_decoded, 0.0), expected.sum((1, 2)), rtol=1e-5)
    latent = mean + std * torch.randn_like(std)
    scene = Scene(log_masks, torch.rand(2, 3, 3, 4, 4), log_decoded, mean, std, latent)
    exact = Monet(replace(MONET, width=4), (32, 32), 3)
    assert torch.allclose(exact.latent_kl(scene), kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum(2), rtol=1e-5)
    drawn = Monet(replace(MONET_G, width=4), (32, 32), 3)
    one = (Normal(mean, std).log_prob(latent) - Normal(0.0, 1.0).log_prob(latent)).sum(2)
    assert torch.allclose(drawn.latent_kl(scene), one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [MONET, MONET_G])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_images_give_finite_gradients(config, value):
    model = Monet(replace(config, width=8), (32, 32), 4)
    model.loss(torch.full((1, 3, 32, 32), value), "train", torch.tensor(0))["total"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_mean_is_drawn_if_asked():
    model = Monet(replace(MONET, width=8, latents="mean"), (32, 32), 4).eval()
    images = torch.rand(2, 3, 32, 32)
    first, second = model.predict(images), model.predict(images)
    assert torch.equal(first.reconstruction, second.reconstruction)
    assert torch.allclose(first.alternatives["decoded"].sum(1), torch.ones(2, 32, 32), atol=1e-5)


def test_the_vae_sees_plain_masks_and_starts_with_he_weights_where_asked():
    images, seen = torch.rand(2, 3, 32, 32), {}
    for kind in ("log", "plain"):
        config = replace(MONET, width=8, component_width=4, seen_mask=kind, he_weights=kind == "plain")
        model = Monet(config, (32, 32), 3)
        model.encoder.register_forward_pre_hook(lambda _, inputs, kind=kind: seen.update({kind: inputs[0]}))
        scene = model(images)
        masks = scene.log_masks.exp() if kind == "plain" else scene.log_masks
        assert torch.equal(seen[kind][:, 3], masks.flatten(0, 1))
        assert torch.equal(seen[kind][:3, :3], images[:1].expand(3, -1, -1, -1))
    layers = [each for each in (*model.encoder.layers, *model.decoder.layers) if hasattr(each, "bias")]
    assert not any(each.bias.any() for each in layers)
    assert model.encoder.layers[-3].weight.std().item() == pytest.approx((2 / 32) ** 0.5, rel=0.1)


@pytest.mark.parametrize("config", [MONET, MONET_G], ids=["exp", "softplus"])
def test_posteriors_start_narrow_where_asked(config):
    torch.manual_seed(0)
    images = torch.rand(4, 3, 32, 32)
    wide, narrow = (Monet(replace(config, width=8, first_std=std), (32, 32), 3)(images).std for std in (None, 0.1))
    assert wide.min() > 0.7
    assert narrow.mean().item() == pytest.approx(0.1, rel=0.2)
