"""A training step of Slot Attention as section 9 of the specification writes it, slot by slot."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocbench_models.slot_attention.model import SlotAttentionAutoencoder

from .literal_layers import conv, deconv, layer_norm, linear, rows_and_columns, weighted


def add_position(x: Tensor, project: nn.Module) -> Tensor:
    grid = rows_and_columns(*x.shape[2:], 0, x)
    return x + conv(torch.cat((grid, 1 - grid))[None], project)


def encode(images: Tensor, encoder: nn.Module) -> Tensor:
    """Tokens [B, H W, C]."""
    x = images
    for layer in weighted(encoder.convolutions):
        x = F.relu(conv(x, layer, stride=layer.stride[0], padding=2))
    x = add_position(x, encoder.position.project)
    if encoder.norm.weight.ndim == 3:  # over channels and positions
        x = layer_norm(x, encoder.norm)
    else:
        x = layer_norm(x.permute(0, 2, 3, 1), encoder.norm).permute(0, 3, 1, 2)
    first, second = weighted(encoder.mlp)
    return conv(F.relu(conv(x, first)), second).flatten(2).transpose(1, 2)


def attend(tokens: Tensor, slots: Tensor, attention: nn.Module, rounds: int) -> Tensor:
    """Slots [B, K, D] after all rounds."""
    tokens = layer_norm(tokens, attention.norm_tokens)
    k, v = linear(tokens, attention.key), linear(tokens, attention.value)
    first, second = weighted(attention.mlp)
    for _ in range(rounds):
        q = linear(layer_norm(slots, attention.norm_slots), attention.query)
        logits = torch.einsum("bkd,bnd->bkn", q, k) / slots.shape[2] ** 0.5
        shares = logits.softmax(dim=1) + 1e-8
        shares = shares / shares.sum(dim=2, keepdim=True)
        updates = torch.einsum("bkn,bnd->bkd", shares, v)
        found = []
        for number in range(slots.shape[1]):
            slot = attention.gru(updates[:, number], slots[:, number])
            found.append(slot + linear(F.relu(linear(layer_norm(slot, attention.norm_mlp), first)), second))
        slots = torch.stack(found, dim=1)
    return slots


def decode(slot: Tensor, decoder: nn.Module, side: int, size: tuple[int, ...]) -> Tensor:
    """[B, 4, H, W] of a slot [B, D]: colour and mask logit."""
    x = add_position(slot[:, :, None, None].repeat(1, 1, side, side), decoder.position.project)
    *doubling, same, last = weighted(decoder.layers)
    for layer in doubling:
        x = F.relu(deconv(x, layer, 2, 2, 1))
    x = F.relu(deconv(x, same, 1, 2, 0))
    x = deconv(x, last, 1, 1, 0)
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bicubic", align_corners=False)


def loss(model: SlotAttentionAutoencoder, images: Tensor, clock: Tensor) -> dict[str, Tensor]:
    start = model.start_slots
    noise = torch.randn(len(images), model.count, start.mean.shape[2], dtype=images.dtype)
    slots = start.mean + start.log_std.exp() * noise
    slots = attend(encode(images, model.encoder), slots, model.attention, model.attention.rounds)
    decoded = [decode(slot, model.decoder, model.decoder.side, images.shape[2:]) for slot in slots.unbind(1)]
    masks = torch.stack([x[:, 3:] for x in decoded]).softmax(dim=0)
    recon = sum(mask * x[:, :3] for mask, x in zip(masks, decoded, strict=True))
    return {"total": ((recon - images) ** 2).sum((1, 2, 3)).mean()}
