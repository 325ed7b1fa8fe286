"""What the compiler and mixed precision need: one graph a phase without host reads, and fp32 where it must stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ocbench import Protocol
from ocbench_models.ast_seg import AST_SEG
from ocbench_models.ast_seg.presets import CLEVRTEX, AstSegConfig

SMALL = replace(
    CLEVRTEX, pretrained=False, backbone_depths=(1,) * 4, backbone_widths=(8, 8, 16, 16), backbone_heads=(1, 1, 2, 2),
    decoder_width=16, unet_widths=(8,) * 6, refiner_layers=1, refiner_width=16, refiner_feed_forward=16,
    background_width=0.05, glimpse_widths=(16, 8, 8, 8),
)  # fmt: skip
PROTOCOL = Protocol("tiny", 1, (64, 64), 3, ())
CLOCK = torch.tensor(3)


def built(config: AstSegConfig) -> nn.Module:
    torch.manual_seed(0)
    return AST_SEG.build(config, PROTOCOL)


@pytest.mark.parametrize(
    ("phase", "generator"),
    [("background", "small"), ("foreground", "segformer"), ("foreground", "unet"), ("joint", "small")],
)
def test_a_phase_is_one_graph(phase: str, generator: str) -> None:
    torch._dynamo.reset()
    model = built(replace(SMALL, map_generator=generator)).train()
    images = torch.rand(2, 3, 64, 64)

    def step(images: Tensor, clock: Tensor) -> Tensor:
        return model.loss(images, phase, clock)["total"]

    compiled: Callable = torch.compile(step, fullgraph=True, backend="eager")  # a break or a host read is an error
    torch.manual_seed(1)
    found = compiled(images, CLOCK)
    torch.manual_seed(1)
    torch.testing.assert_close(found, step(images, CLOCK))
    found.backward()
    trained = model.background if phase == "background" else model.foreground
    assert all(parameter.grad is not None for parameter in trained.parameters())


@pytest.mark.parametrize("generator", ["segformer", "unet"])
def test_in_bf16_latents_compositing_and_losses_stay_in_fp32(generator: str) -> None:
    model = built(replace(SMALL, map_generator=generator, background_activation=0.0)).eval()
    images = torch.rand(2, 3, 64, 64)
    whole = model.loss(images, "joint", CLOCK)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = model.foreground.map_generator(images)
        mixed = model.loss(images, "joint", CLOCK)
        weights = model.predict(images).weights
    assert maps.dtype == torch.bfloat16
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 64, 64))
    for name in ("total", "reconstruction", "entropy"):
        assert mixed[name].dtype == torch.float32
        torch.testing.assert_close(mixed[name], whole[name], rtol=0.02, atol=1e-4)
