"""AST-Seg whole: images -> maps -> slots -> glimpses -> image and masks, and the losses that train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ocbench import Prediction, UsageError
from ocbench_models.ast_seg.backbones import SegFormer, map_generator
from ocbench_models.ast_seg.background import BackgroundAutoencoder, StillBackground, robust_loss
from ocbench_models.ast_seg.presets import AstSegConfig
from ocbench_models.ast_seg.rendering import GlimpseGenerator, composite, glimpse_widths
from ocbench_models.ast_seg.slots import Refiner, Slots, attention, decode, soft_argmax
from ocbench_models.blocks import mixtures
from ocbench_models.blocks.warping import place

MOST_SLOTS = 254  # with the background, what fits a label map


def reconstruction_loss(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Scalar: mean over pixels of the squared L1 distance of two colours; both float [B, 3, H, W] in [0, 1]."""
    return (reconstruction - images).abs().sum(dim=1).square().mean()


def entropy_loss(weights: Tensor) -> Tensor:
    """Scalar: mean over pixels of the squared entropy (nats) of the layer shares, float [B, S, H, W]."""
    return (weights * torch.log(weights + 1e-20)).sum(dim=1).square().mean()


def entropy_factor(clock: Tensor, warmup: int, weight: float = 0.01) -> Tensor:
    """Factor of the entropy loss after `clock` updates: quadratic up to `weight` at `warmup` updates."""
    return weight * (clock / max(1, warmup)).clamp(max=1).square()


class Foreground(nn.Module):
    """All that finds and draws objects, and the activation of the background that competes with them."""

    def __init__(self, config: AstSegConfig, side: int, slots: int) -> None:
        super().__init__()
        self.config, self.slots = config, slots
        self.map_generator = map_generator(config, slots)
        self.refiner = Refiner(config) if config.refiner == "transformer" else None
        self.glimpses = GlimpseGenerator(config.what_size, config.glimpse_widths or glimpse_widths(side))
        self.background_activation = nn.Parameter(torch.tensor(float(config.background_activation)))

    def forward(self, images: Tensor) -> Slots:
        return self.read(self.map_generator(images))

    def read(self, maps: Tensor) -> Slots:
        """The slots that maps, float [B, K + F, h, w], stand for."""
        with torch.autocast(maps.device.type, enabled=False):
            latents = soft_argmax(maps, self.slots)
            return decode(self.refiner(latents) if self.refiner is not None else latents, self.config)

    def draw(self, slots: Slots, size: tuple[int, int], shown: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Layer shares [B, K + 1, H, W] and colours [B, K, 3, H, W] of the slots; `shown` [K] hides those at 0."""
        batch, count = slots.activations.shape
        glimpses = self.glimpses(slots.what.flatten(0, 1))
        scales, centres = slots.scales.flatten(0, 1), slots.centres.flatten(0, 1)
        # Colours and masks are drawn apart: cutting the large result would cost a large gradient of zeros each.
        colours = place(glimpses[:, :3], scales, centres, size).unflatten(0, (batch, count))
        masks = place(glimpses[:, 3:], scales, centres, size).view(batch, count, *size)
        if shown is not None:
            masks = masks * shown[None, :, None, None]
        return composite(masks, slots.activations, self.background_activation), colours


class AstSeg(nn.Module):
    """Implements `ocbench.Model`; slot 0 is the background."""

    def __init__(self, config: AstSegConfig, size: tuple[int, int], slots: int) -> None:
        super().__init__()
        height, width = size
        smallest = 16 if config.map_generator == "small" else 32
        if height != width or height % smallest:
            raise UsageError(
                "ast-seg cannot see images of this size",
                expected=f"square images with a side divisible by {smallest}",
                found=f"{height} x {width}",
            )
        if not 1 <= slots <= MOST_SLOTS:
            raise UsageError(f"ast-seg cannot have {slots} object slots", expected=f"1 to {MOST_SLOTS}")
        self.config, self.size = config, (height, width)
        self.foreground = Foreground(config, height, slots)
        self.background: StillBackground | BackgroundAutoencoder
        if config.background == "still":
            self.background = StillBackground(height)
        else:
            self.background = BackgroundAutoencoder(config.background, height, config.background_width)

    def start(self, phase: str, images: Tensor) -> None:
        """Loads pretrained weights; before the background phase, makes a still background the median of `images`."""
        generator = self.foreground.map_generator
        if isinstance(generator, SegFormer):
            generator.load_pretrained()
        if phase == "background" and isinstance(self.background, StillBackground):
            self.background.set_to_median(images)

    def precompute(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, H, W]: the backgrounds of frozen phases, rounded."""
        return (self.background(images) * 255).round().clamp(0, 255).to(torch.uint8)

    def loss(self, images: Tensor, phase: str, clock: Tensor, precomputed: Tensor | None = None) -> dict[str, Tensor]:
        """Scalars to log; "total" is the robust loss in the phase `background` and the paper's 3.4 in all others."""
        if phase == "background":
            return self._background_loss(images)
        if precomputed is not None:
            backgrounds = precomputed.float() / 255
        elif phase == "foreground":
            with torch.no_grad():
                backgrounds = self.background(images)
        else:
            backgrounds = self.background(images)
        slots = self.foreground(images)
        with torch.autocast(images.device.type, enabled=False):
            weights, colours = self.foreground.draw(slots, self.size)
            difference = reconstruction_loss(blend(weights, backgrounds.float(), colours), images.float())
            entropy = entropy_loss(weights)
            factor = entropy_factor(clock, self.config.entropy_warmup, self.config.entropy_weight)
            total = difference + factor.to(entropy.dtype) * entropy
        return {
            "total": total,
            "reconstruction": difference.detach(),
            "entropy": entropy.detach(),
            "foreground": 1 - weights[:, 0].detach().mean(),
            "clamped": slots.clamped,
        }

    def _background_loss(self, images: Tensor) -> dict[str, Tensor]:
        if isinstance(self.background, StillBackground):
            raise UsageError("a still background has nothing to learn in the phase 'background'")
        drawn = self.background.reconstruct(images * 255)
        with torch.autocast(images.device.type, enabled=False):
            total = robust_loss(
                drawn.float(), images.float() * 255, self.config.background_beta, self.config.background_tau
            )
        return {"total": total}

    def predict(self, images: Tensor, detail: bool = False) -> Prediction:
        """Shares of background and slots, and the image that they make."""
        maps = self.foreground.map_generator(images)
        found = self._predict(images, self.foreground.read(maps), detail)
        if detail:
            looked = attention(maps, self.foreground.slots)
            found.attention = torch.cat((torch.zeros_like(looked[:, :1]), looked), dim=1)
        return found

    def edit(self, images: Tensor, drop: Sequence[int], move: Mapping[int, tuple[float, float]]) -> Prediction:
        """The scene without the slots `drop`, or with slots moved by (dx, dy); slots count from 1, 0 is background."""
        count = self.foreground.slots
        for slot in (*drop, *move):
            if not 1 <= slot <= count:
                raise UsageError(f"slot {slot} is no object slot", expected=f"1 to {count}")
        slots = self.foreground(images)
        shift = torch.zeros(count, 2)
        for slot, step in move.items():
            shift[slot - 1] = torch.tensor(step)
        shown = torch.ones(count)
        shown[[slot - 1 for slot in drop]] = 0
        moved = (slots.centres + shift.to(images.device)).clamp(-1, 1)
        return self._predict(images, replace(slots, centres=moved), True, shown.to(images.device))

    def _predict(self, images: Tensor, slots: Slots, detail: bool, shown: Tensor | None = None) -> Prediction:
        weights, colours = self.foreground.draw(slots, self.size, shown)
        backgrounds = self.background(images).float()
        found = Prediction(weights=weights, reconstruction=blend(weights, backgrounds, colours))
        if detail:
            found.layers = torch.cat((backgrounds[:, None], colours), dim=1)
            found.centres = torch.cat((torch.zeros_like(slots.centres[:, :1]), slots.centres), dim=1)
        return found


def blend(weights: Tensor, backgrounds: Tensor, colours: Tensor) -> Tensor:
    """float [B, 3, H, W]: backgrounds [B, 3, H, W] and colours [B, K, 3, H, W] mixed by shares [B, K + 1, H, W]."""
    return mixtures.blend(weights, torch.cat((backgrounds[:, None], colours), dim=1))
