"""MONet: the attention network, the component VAE, and the three terms of the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ocbench import Prediction
from ocbench_models.blocks.decoders import ValidBroadcastDecoder
from ocbench_models.blocks.distributions import normal_kl, normal_log_prob, posterior_std, raw_of, start_at
from ocbench_models.blocks.geco import Geco
from ocbench_models.blocks.mixtures import blend, break_stick, mixture_nll
from ocbench_models.blocks.plans import genesis_plan, monet_plan
from ocbench_models.blocks.unet import UNet, check_side
from ocbench_models.monet import MonetConfig


@dataclass
class Scene:
    """What a batch became. B batch, K slots, D numbers of a latent."""

    log_masks: Tensor  # float [B, K, H, W], cut by the attention network; their exponentials sum to 1
    colours: Tensor  # float [B, K, 3, H, W] in (0, 1)
    log_decoded: Tensor  # float [B, K, H, W], the masks that the VAE decodes, the same way
    mean: Tensor  # float [B, K, D]
    std: Tensor  # float [B, K, D]
    latent: Tensor  # float [B, K, D]

    def reconstruction(self) -> Tensor:
        """float [B, 3, H, W]."""
        return blend(self.log_masks.exp(), self.colours)


def instance_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


class Cutter(nn.Module):
    """The attention network: log masks, one after the other, each from the image and what is not yet explained."""

    def __init__(self, config: MonetConfig, side: int) -> None:
        super().__init__()
        plan = genesis_plan if config.plan == "genesis" else monet_plan
        self.unet = UNet(4, *plan(config.width, side), instance_norm, side)
        self.last = nn.Conv2d(config.width, 1, 1)

    def forward(self, images: Tensor, slots: int) -> Tensor:
        """float [B, K, H, W]."""
        scope = torch.zeros_like(images[:, :1])
        masks = []
        for _ in range(slots - 1):
            logits = self.last(self.unet(torch.cat((images, scope), dim=1)))
            mask, scope = break_stick(scope, logsigmoid(logits), logsigmoid(-logits))
            masks.append(mask)
        return torch.cat((*masks, scope), dim=1)


class ComponentEncoder(nn.Module):
    """[N, 4, S, S] to [N, 2 D]: four strided convolutions and two linear layers."""

    def __init__(self, latent_size: int, width: int, side: int) -> None:
        super().__init__()
        widths = (4, width, width, 2 * width, 2 * width)
        layers: list[nn.Module] = []
        for above, below in pairwise(widths):
            layers += [nn.Conv2d(above, below, 3, 2, 1), nn.ReLU()]
        hidden = 8 * width
        layers += [nn.Flatten(), nn.Linear(2 * width * (side // 16) ** 2, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, 2 * latent_size))

    def forward(self, seen: Tensor) -> Tensor:
        return self.layers(seen)


class Monet(nn.Module):
    """Implements `ocbench.Model`; the first slot often takes the background, but nothing makes it."""

    def __init__(self, config: MonetConfig, size: tuple[int, int], slots: int) -> None:
        super().__init__()
        side = check_side("monet", size)
        self.config, self.slots = config, slots
        self.cutter = Cutter(config, side)
        self.encoder = ComponentEncoder(config.latent_size, config.component_width, side)
        self.decoder = ValidBroadcastDecoder(config.latent_size, config.component_width, 4, size)
        values = 3 * side * side
        self.geco = Geco(config.goal * values, config.geco_rate * (64 / side) ** 2) if config.geco else None
        if config.he_weights:
            self.encoder.apply(_he)
            self.decoder.apply(_he)
        if config.first_std is not None:
            raw = math.log if config.latent_std == "exp" else raw_of
            start_at(self.encoder.layers[-1], config.first_std, raw)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Scene:
        """The scene of images [B, 3, H, W]; `noise` [B, K, D] stands for the standard normal draws."""
        log_masks = self.cutter(images, self.slots)
        wide = torch.promote_types(log_masks.dtype, torch.float32)
        masks = (log_masks.exp() if self.config.seen_mask == "plain" else log_masks).unsqueeze(2)
        shown = images[:, None].expand(-1, self.slots, -1, -1, -1)
        seen = torch.cat((masks, shown) if self.config.mask_first else (shown, masks), dim=2)
        mean, raw = self.encoder(seen.flatten(0, 1)).to(wide).chunk(2, dim=1)
        std = raw.exp() if self.config.latent_std == "exp" else posterior_std(raw)
        if noise is None:
            noise = torch.randn_like(mean)
        if self.config.latents == "mean" and not self.training:
            noise = torch.zeros_like(noise)
        latent = mean + std * noise.reshape(mean.shape)
        drawn = self.decoder(latent).to(wide)
        drawn, mean, std, latent = (each.unflatten(0, (-1, self.slots)) for each in (drawn, mean, std, latent))
        return Scene(
            log_masks.to(wide), drawn[:, :, :3].sigmoid(), drawn[:, :, 3].log_softmax(dim=1), mean, std, latent
        )

    def loss(self, images: Tensor, phase: str, clock: Tensor, precomputed: Tensor | None = None) -> dict[str, Tensor]:
        """Error, divergence of the latents and of the masks: sums over an image, averaged over the batch."""
        return self.terms(images, self(images))

    def terms(self, images: Tensor, scene: Scene) -> dict[str, Tensor]:
        """The loss of a scene."""
        with torch.autocast(images.device.type, enabled=False):
            stds = images.new_full((self.slots,), self.config.foreground_std)
            stds[0] = self.config.background_std
            error = mixture_nll(images, scene.colours, scene.log_masks, stds).mean()
            latents = self.latent_kl(scene).sum(dim=1).mean()
            masks = mask_kl(scene.log_masks, scene.log_decoded, self.config.mask_floor).mean()
            if self.geco is None:
                total = error + self.config.latent_weight * latents + self.config.mask_weight * masks
            else:
                total = self.geco(error, latents + masks)
        found = {"total": total, "error": error.detach(), "latent_kl": latents.detach(), "mask_kl": masks.detach()}
        return found if self.geco is None else {**found, "beta": self.geco.beta.clone()}

    def latent_kl(self, scene: Scene) -> Tensor:
        """float [B, K], nats."""
        if self.config.exact_kl:
            return normal_kl(scene.mean, scene.std).sum(dim=2)
        posterior = normal_log_prob(scene.latent, scene.mean, scene.std)
        return (posterior - normal_log_prob(scene.latent, 0.0, 1.0)).sum(dim=2)

    def after_step(
        self, terms: Mapping[str, Tensor], phase: str, n: int, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Moves GECO's weight, where there is one."""
        if self.geco is not None:
            self.geco.update(terms["error"])

    def predict(self, images: Tensor, detail: bool = False) -> Prediction:
        """The masks that were cut; those that the VAE decodes as an alternative."""
        scene = self(images)
        return Prediction(
            weights=scene.log_masks.exp(),
            reconstruction=scene.reconstruction(),
            layers=scene.colours if detail else None,
            alternatives={"decoded": scene.log_decoded.exp()},
        )


def mask_kl(log_masks: Tensor, log_decoded: Tensor, floor: float) -> Tensor:
    """float [B]: divergence of decoded from cut masks, both log masks [B, K, H, W], summed over the pixels.

    With a floor, masks below it are raised to it, without a gradient, and each pixel's masks are normalised again.
    """
    if floor:
        log_masks, log_decoded = (_floored(each, floor) for each in (log_masks, log_decoded))
    return (log_masks.exp() * (log_masks - log_decoded)).sum(dim=(1, 2, 3))


def _floored(log_masks: Tensor, floor: float) -> Tensor:
    masks = log_masks.exp().clamp(min=floor)
    return masks.log() - masks.sum(dim=1, keepdim=True).log()


def _he(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)
