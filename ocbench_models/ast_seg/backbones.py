"""Map generators: images float [B, 3, H, W] in [0, 1] -> maps [B, C, h, w], attention logits first.

SegFormer (paper 3.1) and the small one of the quick start give a map of a quarter of the image side, the U-Net
(paper Table 8) one of the full side. Images go in as they are: no normalisation, no resizing.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocbench import PluginError
from ocbench_models.ast_seg.convolutional import SmallMapGenerator, UNet
from ocbench_models.ast_seg.presets import AstSegConfig
from ocbench_models.ast_seg.weight_names import in_file, in_network

log = logging.getLogger(__name__)

# Depths, widths and heads of the public backbones, so that none is looked up to build a network offline.
KNOWN = {
    "nvidia/mit-b0": ((2, 2, 2, 2), (32, 64, 160, 256), (1, 2, 5, 8)),
    "nvidia/mit-b1": ((2, 2, 2, 2), (64, 128, 320, 512), (1, 2, 5, 8)),
    "nvidia/mit-b2": ((3, 4, 6, 3), (64, 128, 320, 512), (1, 2, 5, 8)),
    "nvidia/mit-b3": ((3, 4, 18, 3), (64, 128, 320, 512), (1, 2, 5, 8)),
    "nvidia/mit-b4": ((3, 8, 27, 3), (64, 128, 320, 512), (1, 2, 5, 8)),
    "nvidia/mit-b5": ((3, 6, 40, 3), (64, 128, 320, 512), (1, 2, 5, 8)),
}
WEIGHTS_HINT = (
    "name a local folder that holds config.json and model.safetensors: --set weights=FOLDER; "
    "or start from random weights: --set pretrained=false"
)


class SegFormer(nn.Module):
    """The SegFormer of transformers with its decode head computed in a cheaper order, raw logits at a quarter."""

    def __init__(self, config: AstSegConfig, channels: int) -> None:
        super().__init__()
        from transformers import SegformerForSemanticSegmentation

        self.weights = config.weights
        self.network = SegformerForSemanticSegmentation(segformer_config(config, channels))
        self.pending = config.pretrained  # whether pretrained weights are still to be loaded
        if not config.pretrained:
            log.warning(
                "pretrained=false: the SegFormer backbone STARTS FROM RANDOM WEIGHTS, "
                "which cost 1 to 18 points of mIoU in Table 4 of the paper"
            )
        self.register_state_dict_post_hook(_names_of_files)
        self.register_load_state_dict_pre_hook(_names_of_network)
        self.register_load_state_dict_post_hook(SegFormer._restored)

    @property
    def last(self) -> nn.Conv2d:
        """The layer that gives the maps."""
        return self.network.decode_head.classifier

    def _restored(self, incompatible: Any) -> None:
        """A state that was loaded in full (a checkpoint) takes the place of the pretrained weights."""
        if not incompatible.missing_keys:
            self.pending = False

    def load_pretrained(self) -> None:
        """Puts the weights that the settings name into the backbone, once; PluginError where they cannot be had."""
        if self.pending:
            self.network.segformer.load_state_dict(pretrained_state(self.weights, self.network.config))
            self.pending = False

    def forward(self, images: Tensor) -> Tensor:
        if self.pending:
            self.load_pretrained()
        maps, features = [], images
        for stage in self.network.segformer.stages:
            features = stage(features)
            maps.append(features)
        return decode_maps(self.network.decode_head, maps)


def _names_of_files(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        state[prefix + in_file(name[len(prefix) :])] = state.pop(name)


def _names_of_network(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        state[prefix + in_network(name[len(prefix) :])] = state.pop(name)


def decode_maps(head: Any, maps: list[Tensor]) -> Tensor:
    """What the SegFormer decode head makes of the stage maps, finest first, in a cheaper order.

    A 1x1 convolution and a bilinear resize commute: each stage meets its own block of the fusing weight before it is
    resized, and its two linear maps become one where that costs less. Exact but for rounding. Pixels stay rows of
    channels to the end, so that no memory is walked across.
    """
    fine = (maps[0].shape[-2], maps[0].shape[-1])
    blocks = head.linear_fuse.weight.flatten(1).chunk(len(maps), dim=1)  # of the coarsest stage first
    total: Tensor | None = None
    for features, projection, block in zip(reversed(maps), reversed(head.linear_projections), blocks, strict=True):
        linear = projection.proj
        tokens = features.flatten(2).transpose(1, 2)
        if features.shape[1] < tokens.shape[0] * tokens.shape[1]:
            fused = F.linear(tokens, block @ linear.weight, block @ linear.bias)
        else:
            fused = F.linear(linear(tokens), block)
        fused = resized(fused.unflatten(1, features.shape[-2:]), fine)
        total = fused if total is None else total + fused
    assert total is not None
    rows = head.batch_norm(total.flatten(0, 2)[:, :, None, None])
    rows = head.dropout(head.activation(rows)).flatten(1)
    found = F.linear(rows, head.classifier.weight.flatten(1), head.classifier.bias)
    return found.unflatten(0, total.shape[:3]).permute(0, 3, 1, 2)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """float [B, H, W, C]: maps [B, h, w, C] at `size`, bilinear as of `F.interpolate`, as two matrix products.

    Unlike its gradient on a GPU, theirs is the same from run to run.
    """
    rows, columns = (_weights(small, large, maps) for small, large in zip(maps.shape[1:3], size, strict=True))
    wide = maps if columns is None else torch.matmul(columns, maps)
    return wide if rows is None else torch.matmul(rows, wide.flatten(2)).unflatten(2, wide.shape[2:])


def _weights(small: int, large: int, like: Tensor) -> Tensor | None:
    """float [large, small]: linear interpolation along one axis, or None where there is nothing to do."""
    if small == large:
        return None
    units = torch.eye(small, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)
    return F.interpolate(units[None], size=large, mode="linear", align_corners=False)[0].T.to(like.dtype)


def segformer_config(config: AstSegConfig, channels: int) -> Any:
    """The transformers configuration for the settings: sizes of `weights` unless they are given."""
    from transformers import SegformerConfig

    sizes = (config.backbone_depths, config.backbone_widths, config.backbone_heads)
    if all(sizes) or config.weights in KNOWN:
        known = KNOWN.get(config.weights, sizes)
        found = SegformerConfig(num_encoder_blocks=4, sr_ratios=[8, 4, 2, 1], reshape_last_stage=True)
        found.depths, found.hidden_sizes, found.num_attention_heads = (list(s) for s in known if s is not None)
    else:
        found = _read_config(config.weights)
    for name, given in zip(("depths", "hidden_sizes", "num_attention_heads"), sizes, strict=True):
        if given is not None:
            setattr(found, name, list(given))
    found.drop_path_rate = config.drop_path
    found.decoder_hidden_size = config.decoder_width
    found.classifier_dropout_prob = config.decoder_dropout
    found.hidden_dropout_prob = found.attention_probs_dropout_prob = 0.0
    found.num_labels = channels
    return found


def _read_config(weights: str) -> Any:
    from transformers import SegformerConfig

    try:
        return SegformerConfig.from_pretrained(weights, local_files_only=_is_folder(weights))
    except Exception as cause:  # whatever the hub, the file system or the parser of JSON raises
        raise _missing(weights, cause) from cause


def pretrained_state(weights: str, network_config: Any) -> dict[str, Tensor]:
    """The backbone's state dict from a folder or the hub; PluginError unless every tensor is there and fits."""
    from transformers import SegformerModel

    try:
        loaded: Any = SegformerModel.from_pretrained(
            weights,
            config=network_config,
            local_files_only=_is_folder(weights),
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as cause:  # whatever the hub, the file system or the reader of weights raises
        raise _missing(weights, cause) from cause
    model, report = loaded
    absent = sorted(report["missing_keys"]) + sorted(str(k) for k in report.get("mismatched_keys", ()))
    if absent:
        raise PluginError(
            f"pretrained weights '{weights}' lack {len(absent)} tensors of the SegFormer backbone",
            expected=f"all {len(model.state_dict())} tensors of a backbone of depths {network_config.depths}",
            found=f"no fitting '{absent[0]}'",
            hint=WEIGHTS_HINT,
        )
    log.info("pretrained SegFormer weights from '%s'", weights)
    return model.state_dict()


def _is_folder(weights: str) -> bool:
    """Whether the setting means a folder of this machine: it exists, or is written like a path and not like a name."""
    return Path(weights).is_dir() or weights.startswith((".", "/", "~")) or weights.count("/") != 1


def _missing(weights: str, cause: Exception) -> PluginError:
    return PluginError(
        f"no pretrained SegFormer weights at '{weights}'",
        expected="a folder, or a name on the hub that this machine can reach or has in its cache",
        found=f"{type(cause).__name__}: {str(cause).strip().splitlines()[0] if str(cause).strip() else ''}"[:200],
        hint=WEIGHTS_HINT,
    )


def map_generator(config: AstSegConfig, slots: int) -> nn.Module:
    """The map generator that the settings name, its attention rows scaled by `attention_gain`."""
    channels = slots + config.feature_size
    network: SegFormer | UNet | SmallMapGenerator
    if config.map_generator == "segformer":
        network = SegFormer(config, channels)
    elif config.map_generator == "unet":
        network = UNet(channels, config.unet_widths)
    else:
        network = SmallMapGenerator(channels, config.small_widths)
    with torch.no_grad():
        network.last.weight[:slots] *= config.attention_gain
    return network
