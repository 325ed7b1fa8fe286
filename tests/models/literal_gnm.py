"""A training step of GNM as section 6 of the specification writes it, cell by cell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from ocbench_models.gnm import GnmConfig
from ocbench_models.gnm.model import Gnm

from .literal_layers import clamp_through, conv, group_norm, layer_norm, linear, weighted

EPS = 1e-15
Q = dict[str, Normal | Tensor]


def normal(raw: Tensor) -> Normal:
    mean, std = raw.chunk(2, dim=1)
    return Normal(mean, F.softplus(std))


def draw(q: Normal, noise: Tensor) -> Tensor:
    return q.mean + q.stddev * noise


def by_position(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1)


def mlp(x: Tensor, net: nn.Module, bare_last: bool = True) -> Tensor:
    layers = weighted(net)
    while layers:
        x = linear(x, layers.pop(0))
        if layers or not bare_last:
            x = layer_norm(F.celu(x), layers.pop(0))
    return x


def encode(images: Tensor, net: nn.Module) -> Tensor:
    x, layers = images, weighted(net)
    for layer, norm in zip(layers[0::2], layers[1::2], strict=True):
        x = conv(x, layer, 2 if layer.weight.shape[2] == 4 else 1, padding=1)
        x = group_norm(F.celu(x), norm, 1)
    return x


def grow(x: Tensor, net: nn.Module) -> Tensor:
    """Sub-pixel layers, then a sigmoid; a layer without a norm has no activation either."""
    for layer in list(net)[:-1]:
        x = F.pixel_shuffle(conv(x, layer.conv, padding=layer.conv.weight.shape[2] // 2), layer.factor)
        if layer.norm is not None:
            x = group_norm(F.celu(x), layer.norm, 1)
    return torch.sigmoid(x)


def lstm(x: Tensor, h: Tensor, c: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor]:
    i, f, o, g = conv(torch.cat((x, h), dim=1), layer).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def struct_draw(e: Tensor, net: nn.Module, noise: Tensor) -> tuple[Tensor, Tensor, list[Normal], list[Normal]]:
    """The structure map, the samples, and posterior and prior of every step."""
    starts = (net.reader_hidden, net.reader_memory, net.writer_hidden, net.writer_memory)
    h_enc, c_enc, h_dec, c_dec = (start.repeat(len(e), 1, 1, 1) for start in starts)
    d, z, q, p = torch.zeros_like(e), [], [], []
    for step in range(noise.shape[1]):
        p.append(normal(mlp(by_position(h_dec), net.prior)))
        h_enc, c_enc = lstm(torch.cat((e, e - d, h_dec), dim=1), h_enc, c_enc, net.reader.conv)
        q.append(normal(mlp(by_position(h_enc), net.posterior)))
        z.append(draw(q[-1], noise[:, step]))
        spread = mlp(z[-1], net.spread, bare_last=False).reshape(e.shape)
        h_dec, c_dec = lstm(torch.cat((spread, d), dim=1), h_dec, c_dec, net.writer.conv)
        d = d + conv(h_dec, net.canvas, padding=1)
    return d, torch.cat(z, dim=1), q, p


def local(x: Tensor, net: nn.Module) -> list[Q]:
    """The distributions of every cell, [B, D] each, row by row; of presence the logit."""
    layers = weighted(net.trunk)
    for layer, norm in zip(layers[0::2], layers[1::2], strict=True):
        x = group_norm(F.celu(conv(x, layer)), norm, 1)
    pres = 8.8 * torch.tanh(conv(x, net.presence))
    where, depth, what = (conv(x, head) for head in (net.where, net.depth, net.what))
    grid = x.shape[2]
    return [
        {"pres": pres[:, :, i, j], **{name: normal(raw[:, :, i, j]) for name, raw in heads.items()}}
        for heads in ({"where": where, "depth": depth, "what": what},)
        for i in range(grid)
        for j in range(grid)
    ]


def warp(x: Tensor, box: Tensor, size: tuple[int, ...]) -> Tensor:
    """Places x [B, C, h, w] in boxes [B, 4] (widths and centres along x, y) of images."""
    scale = 1 / (box[:, :2] + EPS)
    theta = torch.zeros(len(x), 2, 3, dtype=x.dtype)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], -box[:, 2:] * scale
    grid = F.affine_grid(theta, [len(x), x.shape[1], *size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def boxes(where: Tensor, cell: int, grid: int) -> Tensor:
    """[B, 4] of a sample [B, 4]."""
    s, root = torch.sigmoid(where[:, 0]), torch.sqrt(torch.exp(where[:, 1]))
    x = 2 / grid * (cell % grid + 0.5 + torch.tanh(where[:, 2])) - 1
    y = 2 / grid * (cell // grid + 0.5 + torch.tanh(where[:, 3])) - 1
    return torch.stack((s / root, s * root, x, y), dim=1)


def render(model: Gnm, cells: list[dict[str, Tensor]], bg: Tensor, early: bool, size: tuple[int, ...]) -> Tensor:
    """The image that samples of the cells draw on a background [B, 3, H, W]."""
    masks, importances, painted = [], [], []
    for cell, z in enumerate(cells):
        picture = grow(z["what"][:, :, None, None], model.glimpses)
        pres = z["pres"].clamp(max=model.config.early_presence) if early else z["pres"]
        rgb, a = picture[:, :3], picture[:, 3:] * pres[:, :, None, None]
        box = boxes(z["where"], cell, model.config.grid)
        masks.append(warp(a, box, size))
        importances.append(warp(a * torch.sigmoid(-z["depth"])[:, :, None, None], box, size))
        painted.append(warp(a * rgb, box, size))
    normaliser = sum(importances) + EPS
    fg = sum(importance / normaliser * colour for importance, colour in zip(importances, painted, strict=True))
    alpha = clamp_through(sum(masks), EPS, 1)
    if early:
        alpha = torch.full_like(alpha, model.config.early_alpha)
    return fg + (1 - alpha) * bg


def bernoulli_kl(q: Tensor, p: Tensor | float) -> Tensor:
    p = torch.as_tensor(p, dtype=q.dtype)
    on = q * (torch.log(q + EPS) - torch.log(p + EPS))
    return on + (1 - q) * (torch.log(1 - q + EPS) - torch.log(1 - p + EPS))


def cell_terms(q: Q, p: Q, pres: Tensor, rho: float, config: GnmConfig) -> dict[str, Tensor]:
    """The divergences [B] of a cell from its learned and its fixed prior; `pres` is its sampled presence [B, 1]."""
    factor = clamp_through(pres, 1e-5, 1)
    on = torch.sigmoid(q["pres"])
    where = Normal(*(torch.tensor(v, dtype=pres.dtype) for v in (config.where_mean, config.where_std)))
    rest = Normal(torch.zeros((), dtype=pres.dtype), torch.ones((), dtype=pres.dtype))
    found = {
        "presence": bernoulli_kl(on, torch.sigmoid(p["pres"])),
        "fixed_presence": bernoulli_kl(on, rho),
        "fixed_where": kl_divergence(q["where"], where) * factor,
        "fixed_depth": kl_divergence(q["depth"], rest) * factor,
        "fixed_what": kl_divergence(q["what"], rest) * factor,
    }
    found |= {name: kl_divergence(q[name], p[name]) for name in ("where", "depth", "what")}
    return {name: value.sum(1) for name, value in found.items()}


def ramp(step: float, steps: tuple[int, int], values: tuple[float, float]) -> float:
    share = min(1.0, max(0.0, (step - steps[0]) / (steps[1] - steps[0])))
    return values[0] + (values[1] - values[0]) * share


def sampled(q: Q, u: Tensor, noise: dict[str, Tensor], temperature: float) -> dict[str, Tensor]:
    """What is drawn of a cell; `u` uniform, `noise` standard normal."""
    u = u.clamp(1.2e-7, 1 - 1.2e-7)
    pres = torch.sigmoid((q["pres"] + torch.log(u) - torch.log(1 - u)) / temperature).clamp(max=1 - 1.2e-7)
    return {"pres": pres, **{name: draw(q[name], value) for name, value in noise.items()}}


def loss(model: Gnm, images: Tensor, clock: Tensor) -> dict[str, Tensor]:
    config, batch, count, step = model.config, len(images), model.config.grid**2, clock.item()
    kind = {"dtype": images.dtype}
    u = torch.rand(batch, count, 1, **kind)
    n_bg = torch.randn(batch, config.background_size, **kind)
    n_scene = torch.randn(batch, config.global_rounds, config.global_size, **kind)
    sizes = {"where": 4, "depth": 1, "what": config.what_size}
    noise = {name: torch.randn(batch, count, size, **kind) for name, size in sizes.items()}

    e = encode(images, model.encoder)
    q_bg = normal(mlp(e.flatten(1), model.background_posterior))
    d, scene, q_scene, p_scene = struct_draw(e, model.draw, n_scene)
    p_bg = normal(mlp(scene, model.background_prior))
    q, p = local(e, model.local), local(d, model.local)
    temperature = ramp(step, config.temperature_steps, config.temperature)
    z = [sampled(q[c], u[:, c], {name: n[:, c] for name, n in noise.items()}, temperature) for c in range(count)]
    bg = grow(draw(q_bg, n_bg)[:, :, None, None], model.backgrounds)
    y = render(model, z, bg, 1 <= step < config.early_steps, images.shape[2:])

    rho = ramp(step, config.presence_prior_steps, config.presence_prior)
    cells = [cell_terms(q[c], p[c], z[c]["pres"], rho, config) for c in range(count)]
    terms = {name: sum(cell[name] for cell in cells) for name in cells[0]}
    rest = Normal(torch.zeros_like(q_bg.mean), torch.ones_like(q_bg.mean))
    terms["nll"] = -Normal(y, config.sigma).log_prob(images).sum((1, 2, 3))
    terms["background"], terms["fixed_background"] = kl_divergence(q_bg, p_bg).sum(1), kl_divergence(q_bg, rest).sum(1)
    terms["global"] = sum(kl_divergence(*pair).sum(1) for pair in zip(q_scene, p_scene, strict=True))
    means = {name: value.mean() for name, value in terms.items()}
    return {"total": total(means, step, config), **means}


def total(terms: dict[str, Tensor], step: float, config: GnmConfig) -> Tensor:
    """The terms weighted as they are after so many updates."""
    weights = {
        "global": ramp(step, config.global_weight_steps, config.global_weight),
        "fixed_where": ramp(step, config.where_weight_steps, config.where_weight),
        "fixed_background": ramp(step, config.background_weight_steps, config.background_weight),
    }
    return sum(weights.get(name, 1.0) * value for name, value in terms.items())
