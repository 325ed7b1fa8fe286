"""What is computed faster equals what the paper writes: values, gradients, statistics of batches; in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from literal_ast_seg import literal

from ocbench import Protocol
from ocbench_models.ast_seg import AST_SEG
from ocbench_models.ast_seg.presets import AstSegConfig

SEGFORMER = {
    "map_generator": "segformer", "pretrained": False, "backbone_depths": (1, 1, 2, 1), "decoder_width": 24,
    "backbone_widths": (8, 16, 24, 32), "backbone_heads": (1, 2, 2, 4),
}  # fmt: skip
UNET = {"map_generator": "unet", "unet_widths": (8, 12, 12, 16, 16, 16)}
CAPLESS = {"activation_cap": None, "attention_gain": 3.0, "background_activation": 1.0}  # objects that are there


@pytest.fixture
def pair(request, tiny: AstSegConfig):
    """A model in float64 and the same computed literally."""
    torch.manual_seed(0)
    config = replace(tiny, **CAPLESS, **request.param)
    model = AST_SEG.build(config, Protocol("tiny", 1, (64, 64), 4, ())).double()
    return model, literal(model)


def step(model: torch.nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)  # for dropout
    terms = model.loss(images, "joint", torch.tensor(5000.0), None)
    terms["total"].backward()
    return terms


@pytest.mark.parametrize("batch", [2, 20])
@pytest.mark.parametrize(
    "pair",
    [SEGFORMER, SEGFORMER | {"scaling": "anisotropic"}, UNET, UNET | {"refiner": "none"}],
    ids=["segformer", "anisotropic", "unet", "no refiner"],
    indirect=True,
)
def test_a_training_step_is_that_of_the_paper(pair, batch):
    images = torch.rand(batch, 3, 64, 64, dtype=torch.float64)
    found, expected = (step(model.train(), images) for model in pair)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-12, rtol=1e-12)
    assert found["foreground"] > 0.005  # there are objects to differ in
    fast, slow = (dict(model.named_parameters()) for model in pair)
    for name, parameter in slow.items():
        if parameter.grad is not None:
            largest = parameter.grad.abs().max().item()
            torch.testing.assert_close(fast[name].grad, parameter.grad, atol=1e-11 * max(1.0, largest), rtol=1e-9)
    torch.testing.assert_close(dict(pair[0].named_buffers()), dict(pair[1].named_buffers()), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("pair", [SEGFORMER, UNET], ids=["segformer", "unet"], indirect=True)
def test_a_prediction_is_that_of_the_paper(pair):
    images = torch.rand(3, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        found, expected = (model.eval().predict(images, detail=True) for model in pair)
    for name in ("weights", "reconstruction", "layers", "centres"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-12, rtol=0)
