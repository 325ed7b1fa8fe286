"""AST-Seg: objects found by attention and soft-argmax, drawn as glimpses over a background model.

The records here are light: torch and transformers are imported by `build`, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocbench import ModelPlugin
from ocbench_models.ast_seg.presets import HEALTHY, PRESETS, SCENARIOS, UNET_PRESETS, VARIANTS, AstSegConfig

if TYPE_CHECKING:
    from ocbench import Protocol
    from ocbench_models.ast_seg.model import AstSeg

CITATION = (
    "Bruno Sauvalle and Arnaud de La Fortelle. Unsupervised multi-object segmentation using attention and soft-argmax. "
    "WACV 2023."
)


def build(config: AstSegConfig, protocol: Protocol) -> AstSeg:
    """The untrained network for the protocol's image size and number of objects."""
    from ocbench_models.ast_seg.model import AstSeg

    return AstSeg(config, protocol.size, config.object_slots(protocol.max_objects))


AST_SEG = ModelPlugin(
    name="ast-seg",
    summary="attention and soft-argmax over a SegFormer-B3 map, glimpses over a background model",
    presets=PRESETS,
    scenarios=SCENARIOS,
    build=build,
    published={
        "ct": "AST-Seg-B3-CT",
        "bt": "AST-Seg-B3-BT",
    },
    variants=VARIANTS,
    healthy=HEALTHY,
    citation=CITATION,
    license="Apache-2.0",
)

AST_SEG_UNET = ModelPlugin(
    name="ast-seg-unet",
    summary="AST-Seg with a U-Net instead of SegFormer-B3: nothing pretrained",
    presets=UNET_PRESETS,
    scenarios=SCENARIOS,
    build=build,
    published={"ct": "AST-Seg-B3-CT: using a Unet instead of Segformer feature generator"},
    citation=CITATION,
    license="Apache-2.0",
)
