"""GNM whole: image -> latents of scene, background and cells -> image and masks, and the terms that train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ocbench import Prediction, UsageError
from ocbench_models.blocks.bounds import clamp_straight_through
from ocbench_models.blocks.distributions import bernoulli_kl, normal_kl, normal_log_prob, relaxed_bernoulli
from ocbench_models.blocks.grids import cell_centres
from ocbench_models.blocks.schedules import linear_ramp
from ocbench_models.blocks.warping import place
from ocbench_models.gnm import GnmConfig
from ocbench_models.gnm.networks import (
    WIDTH,
    Local,
    LocalHeads,
    Normal,
    StructDraw,
    background_decoder,
    encoder,
    glimpse_decoder,
    mlp,
    normal,
)

SMALLEST = 1e-15  # added to divisors; least alpha of a pixel
LEAST_PRESENCE = 1e-5  # by which the KL of a cell's latents is multiplied
SIDES = (32, 64, 128, 256)  # of an image
GRIDS = (2, 4, 8)  # cells along a side
GLIMPSES = (8, 16, 32, 64)  # sides


class Noise(NamedTuple):
    """What a sample of all latents takes: standard normal but for `presence`, which is uniform in [0, 1)."""

    background: Tensor  # float [B, background_size]
    scene: Tensor  # float [B, rounds, global_size]
    presence: Tensor  # float [B, G G, 1]
    where: Tensor  # float [B, G G, 4]
    depth: Tensor  # float [B, G G, 1]
    what: Tensor  # float [B, G G, what_size]


@dataclass
class Latents:
    """Posteriors q given the image, priors p given the global latent, and samples of the posteriors."""

    q_scene: Normal  # [B, rounds, global_size]
    p_scene: Normal
    q_background: Normal  # [B, background_size]
    p_background: Normal
    q: Local  # [B, G G, ...]
    p: Local
    structure: Tensor  # [B, 128, G, G], which `p` is read from
    background: Tensor  # [B, background_size]
    presence: Tensor  # [B, G G, 1], in (0, 1), not yet capped
    where: Tensor  # [B, G G, 4], before any squashing
    depth: Tensor  # [B, G G, 1]
    what: Tensor  # [B, G G, what_size]

    def boxes(self, grid: int) -> tuple[Tensor, Tensor]:
        """Shares of the image side [B, G G, 2] and centres [B, G G, 2] in [-1, 1] units, along x and y."""
        scale, stretch = torch.sigmoid(self.where[..., :1]), torch.exp(self.where[..., 1:2]).sqrt()
        return torch.cat((scale / stretch, scale * stretch), dim=-1), cell_centres(self.where[..., 2:], grid)


@dataclass
class Picture:
    """What latents look like. H W pixels."""

    masks: Tensor  # float [B, G G, H, W]: alpha of each cell
    foreground: Tensor  # float [B, 3, H, W], premultiplied
    alpha: Tensor  # float [B, 1, H, W] in [0, 1]: of the foreground
    background: Tensor  # float [B, 3, H, W] in (0, 1)
    layers: Tensor | None = None  # float [B, G G, 3, H, W]: colours of each cell, where asked for

    @property
    def image(self) -> Tensor:
        return self.foreground + (1 - self.alpha) * self.background


class Gnm(nn.Module):
    """Implements `ocbench.Model`; slot 0 is the background."""

    reached: Tensor

    def __init__(self, config: GnmConfig, size: tuple[int, int]) -> None:
        super().__init__()
        side, grid = size[0], config.grid
        if size[1] != side or side not in SIDES:
            raise UsageError(
                "gnm cannot see images of this size",
                expected=f"square images with a side of {_one_of(SIDES)}",
                found=f"{size[0]} x {size[1]}",
            )
        if grid not in GRIDS:
            raise UsageError(f"gnm cannot have {grid} cells along a side", expected=_one_of(GRIDS))
        if config.glimpse_side not in GLIMPSES:
            raise UsageError(f"gnm cannot draw glimpses of {config.glimpse_side} px", expected=_one_of(GLIMPSES))
        self.config, self.size = config, size
        flat, latent = WIDTH * grid**2, 2 * config.background_size
        self.encoder = encoder((side // grid).bit_length() - 1)
        self.background_posterior = mlp((flat, 512, 256, latent))
        self.draw = StructDraw(grid, config.global_rounds, config.global_size)
        self.local = LocalHeads(config.what_size)
        self.background_prior = mlp((config.global_rounds * config.global_size, 128, 64, latent))
        self.glimpses = glimpse_decoder(config.what_size, config.glimpse_side)
        self.backgrounds = background_decoder(config.background_size, side)
        self.register_buffer("reached", torch.zeros((), dtype=torch.int64))  # updates done

    def temperature(self, clock: Tensor) -> Tensor:
        return linear_ramp(clock, *self.config.temperature_steps, *self.config.temperature)

    def presence_prior(self, clock: Tensor) -> Tensor:
        return linear_ramp(clock, *self.config.presence_prior_steps, *self.config.presence_prior)

    def is_early(self, clock: Tensor) -> Tensor:
        """Bool: whether the foreground is forced to show (not at the very first update, as in the published code)."""
        return (clock >= 1) & (clock < self.config.early_steps)

    def noise(self, images: Tensor, mean: bool = False) -> Noise:
        """Random numbers of a batch, or those that give the means."""
        config, batch, cells = self.config, len(images), self.config.grid**2
        kind: dict[str, Any] = {"device": images.device, "dtype": torch.promote_types(images.dtype, torch.float32)}

        def draw(*shape: int) -> Tensor:
            return torch.zeros(batch, *shape, **kind) if mean else torch.randn(batch, *shape, **kind)

        uniform = torch.full((batch, cells, 1), 0.5, **kind) if mean else torch.rand(batch, cells, 1, **kind)
        background, scene = draw(config.background_size), draw(config.global_rounds, config.global_size)
        return Noise(background, scene, uniform, draw(cells, 4), draw(cells, 1), draw(cells, config.what_size))

    def infer(self, images: Tensor, noise: Noise, clock: Tensor) -> Latents:
        """The latents of images float [B, 3, H, W] in [0, 1] after `clock` updates."""
        encoding = self.encoder(images)
        q_background = normal(self.background_posterior(encoding.flatten(1)))
        structure, scene, q_scene, p_scene = self.draw(encoding, noise.scene)
        p_background = normal(self.background_prior(scene))
        p, q = self.local(structure), self.local(encoding)
        with torch.autocast(images.device.type, enabled=False):
            return Latents(
                q_scene, p_scene, q_background, p_background, q, p, structure,
                background=q_background.sample(noise.background),
                presence=relaxed_bernoulli(q.presence, noise.presence, self.temperature(clock)),
                where=q.where.sample(noise.where),
                depth=q.depth.sample(noise.depth),
                what=q.what.sample(noise.what),
            )  # fmt: skip

    def render(self, latents: Latents, clock: Tensor, detail: bool = False, shift: Tensor | None = None) -> Picture:
        """What the sampled latents look like after `clock` updates; `shift` [G G, 2] moves the boxes."""
        batch, cells = latents.presence.shape[:2]
        glimpses = self.glimpses(latents.what.flatten(0, 1)[:, :, None, None])
        background = self.backgrounds(latents.background[:, :, None, None]).to(latents.what.dtype)
        with torch.autocast(background.device.type, enabled=False):
            early = self.is_early(clock)
            capped = latents.presence.clamp(max=self.config.early_presence)
            presence = torch.where(early, capped, latents.presence)
            shares, centres = latents.boxes(self.config.grid)
            centres = centres if shift is None else centres + shift
            colours, alphas = glimpses.to(latents.what.dtype).split((3, 1), dim=1)
            alphas = alphas * presence.view(-1, 1, 1, 1)
            nearness = alphas * torch.sigmoid(-latents.depth).view(-1, 1, 1, 1)
            parts = (alphas, nearness, alphas * colours, *((colours,) if detail else ()))
            scales = 1 / (shares.flatten(0, 1) + SMALLEST)
            drawn = place(torch.cat(parts, dim=1), scales, centres.flatten(0, 1), self.size).unflatten(
                0, (batch, cells)
            )
            masks, nearness, painted, *layers = drawn.split((1, 1, 3, 3)[: len(parts)], dim=2)
            importance = nearness / (nearness.sum(dim=1, keepdim=True) + SMALLEST)
            alpha = clamp_straight_through(masks.sum(dim=1), SMALLEST, 1.0)
            alpha = torch.where(early, torch.full_like(alpha, self.config.early_alpha), alpha)
            foreground = (importance * painted).sum(dim=1)
        return Picture(masks.squeeze(2), foreground, alpha, background, layers[0] if layers else None)

    def terms(self, images: Tensor, latents: Latents, picture: Picture, clock: Tensor) -> dict[str, Tensor]:
        """Scalars, means over the batch: the error, and the KL of each latent from its learned and its fixed prior."""
        config, q, p = self.config, latents.q, latents.p
        prior = self.presence_prior(clock).to(q.presence)
        probability = torch.sigmoid(q.presence)
        present = clamp_straight_through(latents.presence, LEAST_PRESENCE, 1.0)
        box = (
            torch.tensor(v, device=images.device, dtype=present.dtype) for v in (config.where_mean, config.where_std)
        )
        rest = Normal(present.new_zeros(()), present.new_ones(()))
        found = {
            "nll": -normal_log_prob(images.to(present.dtype), picture.image, config.sigma),
            "presence": bernoulli_kl(probability, torch.sigmoid(p.presence)),
            "where": q.where.kl(p.where),
            "depth": q.depth.kl(p.depth),
            "what": q.what.kl(p.what),
            "background": latents.q_background.kl(latents.p_background),
            "global": latents.q_scene.kl(latents.p_scene),
            "fixed_presence": bernoulli_kl(probability, prior),
            "fixed_where": q.where.kl(Normal(*box)) * present,
            "fixed_depth": q.depth.kl(rest) * present,
            "fixed_what": q.what.kl(rest) * present,
            "fixed_background": latents.q_background.kl(rest),
        }
        return {name: value.flatten(1).sum(dim=1).mean() for name, value in found.items()}

    def weights_of_terms(self, clock: Tensor) -> dict[str, Tensor]:
        """Scalars: factors of those terms that do not weigh 1 at all times."""
        config = self.config
        return {
            "global": linear_ramp(clock, *config.global_weight_steps, *config.global_weight),
            "fixed_where": linear_ramp(clock, *config.where_weight_steps, *config.where_weight),
            "fixed_background": linear_ramp(clock, *config.background_weight_steps, *config.background_weight),
        }

    def loss(self, images: Tensor, phase: str, clock: Tensor, precomputed: Tensor | None = None) -> dict[str, Tensor]:
        """Scalars to log: "total", its terms (nats), and the factors of those that do not weigh 1 at all times."""
        noise = self.noise(images)
        return self.ground(images, noise) if phase == "background" else self.objective(images, noise, clock)

    def ground(self, images: Tensor, noise: Noise) -> dict[str, Tensor]:
        """The terms of a background that draws the whole image, at the first weight of its KL."""
        found = normal(self.background_posterior(self.encoder(images).flatten(1)))
        drawn = self.backgrounds(found.sample(noise.background)[:, :, None, None])
        with torch.autocast(images.device.type, enabled=False):
            nll = -normal_log_prob(images, drawn.to(images.dtype), self.config.sigma).sum(dim=(1, 2, 3)).mean()
            kl = normal_kl(*found).sum(dim=1).mean()
            total = nll + self.config.background_weight[0] * kl
        return {"total": total, "nll": nll.detach(), "fixed_background": kl.detach()}

    def objective(self, images: Tensor, noise: Noise, clock: Tensor) -> dict[str, Tensor]:
        """What `loss` returns, for given random numbers."""
        latents = self.infer(images, noise, clock)
        picture = self.render(latents, clock)
        with torch.autocast(images.device.type, enabled=False):
            terms = self.terms(images, latents, picture, clock)
            factors = self.weights_of_terms(clock)
            weighted = [value * factors[name].to(value) if name in factors else value for name, value in terms.items()]
            total = torch.stack(weighted).sum()
        logged = {name: value.detach() for name, value in terms.items()}
        logged["foreground"] = picture.masks.detach().sum(dim=1).clamp(max=1).mean()
        return {"total": total, **logged, **{f"weight_{name}": value for name, value in factors.items()}}

    def after_step(
        self, terms: Mapping[str, Tensor], phase: str, n: int, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Keeps the clock, which temperature and cap are read from at evaluation."""
        if phase == "all":  # a first phase has a clock of its own
            self.reached.fill_(n)

    def predict(self, images: Tensor, detail: bool = False) -> Prediction:
        """Shares of background and cells, and the image that they make."""
        return self._predict(images, detail)

    def edit(self, images: Tensor, drop: Sequence[int], move: Mapping[int, tuple[float, float]]) -> Prediction:
        """The scene without the slots `drop`, or with slots moved by (dx, dy); slots count from 1, 0 is background."""
        cells = self.config.grid**2
        for slot in (*drop, *move):
            if not 1 <= slot <= cells:
                raise UsageError(f"slot {slot} is no object slot", expected=f"1 to {cells}")
        shift, shown = torch.zeros(cells, 2), torch.ones(cells, 1)
        for slot, step in move.items():
            shift[slot - 1] = torch.tensor(step)
        shown[[slot - 1 for slot in drop]] = 0
        return self._predict(images, True, shift.to(images), shown.to(images))

    def _predict(
        self, images: Tensor, detail: bool, shift: Tensor | None = None, shown: Tensor | None = None
    ) -> Prediction:
        clock = torch.zeros_like(self.reached) if self.config.reference else self.reached
        latents = self.infer(images, self.noise(images, mean=self.config.latents == "mean"), clock)
        if shown is not None:
            latents.presence = latents.presence * shown
        picture = self.render(latents, clock, detail, shift)
        background = (1 - picture.masks.sum(dim=1, keepdim=True)).clamp(min=0)
        shares = torch.cat((background, picture.masks), dim=1)
        found = Prediction(shares / shares.sum(dim=1, keepdim=True), picture.image)
        if picture.layers is not None:
            found.layers = torch.cat((picture.background[:, None], picture.layers), dim=1)
            centres = latents.boxes(self.config.grid)[1]
            centres = centres if shift is None else centres + shift
            found.centres = torch.cat((torch.zeros_like(centres[:, :1]), centres), dim=1)
        return found


def _one_of(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))
