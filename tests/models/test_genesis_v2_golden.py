"""GENESIS-V2 against the golden arrays of the reference code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_arrays import golden as golden_arrays

from ocbench_models.blocks.distributions import posterior_std
from ocbench_models.blocks.grids import ramps
from ocbench_models.genesis_v2 import PUBLISHED
from ocbench_models.genesis_v2.model import (
    GenesisV2,
    Noise,
    prior_std,
)

from .golden_weights import close, enlarged, fill

FILE = "baselines_genesis_monet.npz"
# dtype: (masks, images and latents, sums and losses, gradient norms, gradients)
BOUNDS = {torch.float64: (1e-6, 1e-6, 1e-9, 1e-8, 1e-6), torch.float32: (2e-5, 5e-5, 1e-5, 5e-3, 3e-2)}


@pytest.fixture(scope="module")
def golden():
    return dict(golden_arrays(FILE))


def reference_model(golden, case, dtype):
    """The network with the deterministic weights of a case, and its parameters in the order of the arrays."""
    size = int(golden[f"{case}_size"])
    config = replace(PUBLISHED, goal=float(golden[f"{case}_g"]))
    model = GenesisV2(config, (size, size), int(golden[f"{case}_K"]))
    special = {"colouring.gate": "gate", "colouring.log_variance": "log_v"}
    ordered = [value for name, value in model.named_parameters() if name not in special]
    with torch.no_grad():
        for name, array in special.items():
            model.get_parameter(name).fill_(float(golden[f"{case}_{array}"]))
    fill(ordered, golden, f"{case}_", f"{case}_")
    return model.to(dtype), ordered


def inputs(golden, case, dtype, step=None):
    """Images and noise of a case, or of one of its training steps."""
    size = int(golden[f"{case}_size"])
    images = enlarged(golden[f"{case}_image"], size, size, dtype)
    rand, eps = (golden[f"{case}_{name}"] for name in ("rand", "eps"))
    if step is not None:
        rand, eps = rand[step], eps[step]
    return images, Noise(torch.from_numpy(rand).to(dtype), torch.from_numpy(eps).to(dtype))


@pytest.fixture(
    scope="module",
    params=[("g2_64", torch.float64), ("g2_64", torch.float32), ("g2_128", torch.float64), ("g2_128", torch.float32)],
    ids=lambda each: f"{each[0]}-{str(each[1])[6:]}",
)
def case(request, golden):
    """Forward and backward of a case: (name, arrays, bounds, model, parameters, scene, terms)."""
    name, dtype = request.param
    model, ordered = reference_model(golden, name, dtype)
    images, noise = inputs(golden, name, dtype)
    scene = model(images, noise)
    terms = model.terms(images, scene)
    terms["total"].backward()
    arrays = {key.removeprefix(f"{name}_"): value for key, value in golden.items() if key.startswith(f"{name}_")}
    return name, arrays, BOUNDS[dtype], model, ordered, scene, terms


def test_masks_and_images(case):
    _, arrays, (images, _, sums, _, _), _, _, scene, _ = case
    stride = int(arrays["stride"])
    found = {
        "att": scene.log_attention.exp(),
        "dec": scene.log_masks.exp(),
        "rgb": scene.colours,
        "recon": scene.reconstruction(),
    }
    for name, value in found.items():
        step = 2 * stride if name == "rgb" else stride
        close(value[..., ::step, ::step], arrays[name], images)
        close(value.double().sum(dim=(-2, -1)), arrays[f"{name}_sum"], relative=sums)


def test_labels(case):
    _, arrays, (images, *_), _, _, scene, _ = case
    for name, value in (("seg_att", scene.log_attention), ("seg_dec", scene.log_masks)):
        wrong = (value.argmax(dim=1).numpy() != arrays[name]).mean()
        assert wrong <= (0 if images == 1e-6 else 1e-3)


def test_latents(case):
    _, arrays, (images, latents, *_), _, _, scene, _ = case
    close(scene.embedding[..., :: scene.embedding.shape[-1] // 16, :: scene.embedding.shape[-1] // 16],
          arrays["embedding"], images)  # fmt: skip
    close(scene.seeds, arrays["seeds"], images)
    for name, value in (("mu", scene.mean), ("sigma", scene.std), ("z", scene.latent)):
        close(value, arrays[name], latents)


def test_loss(case):
    _, arrays, (_, _, relative, _, _), model, _, scene, terms = case
    for name, value in (("err", terms["error"]), ("kl", terms["kl"]), ("loss", terms["total"])):
        close(value, arrays[name], relative=relative)
    close(scene.kl(), arrays["kl_slot"], relative * np.abs(arrays["kl_slot"]).max())
    assert model.geco.beta == arrays["beta_before"] == terms["beta"]


def test_gradients(case):
    _, arrays, (_, _, _, norms, full), model, ordered, _, _ = case
    names = [str(name) for name in arrays["param_names"]]
    found = dict(zip(names, (value.grad for value in ordered), strict=True))
    for name, norm in zip(names, arrays["grad_norms"], strict=True):
        if name != "embed2.bias":  # cancels in every distance
            close(found[name].double().norm(), norm, relative=norms)
    found |= {"gate": model.colouring.gate.grad, "log_v": model.colouring.log_variance.grad}
    checked = [key for key in arrays if key.startswith("grad__")]
    assert len(checked) == 14
    for key in checked:
        close(found[key.removeprefix("grad__")], arrays[key], full * np.abs(arrays[key]).max())


def test_first_update_of_geco(case):
    _, arrays, (images, *_), model, _, _, terms = case
    before = {name: value.clone() for name, value in model.geco.named_buffers()}
    model.after_step(terms, "train", 1, ())
    relative = 1e-9 if images == 1e-6 else 1e-6
    close(model.geco.beta, arrays["beta_after"], relative=relative)
    close(model.geco.average, arrays["ema_after"], relative=relative)
    model.geco.load_state_dict(before)


def test_training_steps(golden):
    model, _ = reference_model(golden, "steps_g2_64", torch.float64)
    adam = torch.optim.Adam(model.parameters(), float(golden["steps_g2_64_lr"]))
    for step, (error, kl, _, total, used, beta, average) in enumerate(golden["steps_g2_64_log"]):
        images, noise = inputs(golden, "steps_g2_64", torch.float64, step)
        terms = model.terms(images, model(images, noise))
        adam.zero_grad()
        terms["total"].backward()
        adam.step()
        model.after_step(terms, "train", step + 1, (adam,))
        found = [terms[name].item() for name in ("error", "kl", "total", "beta")]
        found += [model.geco.beta.item(), model.geco.average.item()]
        np.testing.assert_allclose(found, [error, kl, total, used, beta, average], rtol=1e-8)


@pytest.mark.parametrize(("name", "function"), [("prior", prior_std), ("posterior", posterior_std)])
def test_standard_deviations(golden, name, function):
    expected = golden[f"block_std_{name}"]
    close(function(torch.from_numpy(golden["block_std_raw"]).double()), expected, 1e-6 * expected.max())


def test_coordinates(golden):
    close(ramps(5, 5, torch.zeros((), dtype=torch.float64)), golden["block_coords"], 1e-6)
