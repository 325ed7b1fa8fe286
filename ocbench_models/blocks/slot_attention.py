"""Slots that compete for tokens, round after round (Slot Attention, algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_SHARE = 1e-8  # added to every share of a token, so that a slot that got none divides by more than zero


class SlotAttention(nn.Module):
    """Rounds of attention, softmax over slots, GRU and MLP; keys and values are computed once."""

    def __init__(self, token_size: int, slot_size: int, mlp_size: int, rounds: int, bias: bool = True) -> None:
        super().__init__()
        self.rounds = rounds
        self.norm_tokens = nn.LayerNorm(token_size)
        self.key = nn.Linear(token_size, slot_size, bias=bias)
        self.value = nn.Linear(token_size, slot_size, bias=bias)
        self.norm_slots = nn.LayerNorm(slot_size)
        self.query = nn.Linear(slot_size, slot_size, bias=bias)
        self.gru = nn.GRUCell(slot_size, slot_size)
        self.norm_mlp = nn.LayerNorm(slot_size)
        self.mlp = nn.Sequential(nn.Linear(slot_size, mlp_size), nn.ReLU(), nn.Linear(mlp_size, slot_size))

    def forward(self, tokens: Tensor, slots: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Shares of the tokens in the last round, float [B, K, N], and the slots after each, float [B, K, slot_size].

        `tokens` float [B, N, token_size], `slots` float [B, K, slot_size]: where they start. A token's shares add up
        to 1 over the slots.
        """
        tokens = self.norm_tokens(tokens)
        keys, values = self.key(tokens), self.value(tokens)
        found: list[Tensor] = []
        for _ in range(self.rounds):
            queries = self.query(self.norm_slots(slots)) * slots.shape[-1] ** -0.5
            shares = torch.softmax(queries @ keys.transpose(1, 2), dim=1)
            claims = shares + SMALLEST_SHARE
            updates = (claims / claims.sum(dim=2, keepdim=True)) @ values
            slots = self.gru(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
            slots = slots + self.mlp(self.norm_mlp(slots))
            found.append(slots)
        return shares, found
