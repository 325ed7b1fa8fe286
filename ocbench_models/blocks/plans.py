"""How the channels of a U-Net grow and shrink. Free of torch: settings ask for it."""

from __future__ import annotations

Plan = tuple[tuple[int, ...], tuple[int, ...]]  # channels down, from the finest block, and up, from the coarsest


def levels(side: int) -> int:
    """Blocks of each path for an image side, a power of two: the lowest are 4 px wide. 5 at 64 px, 6 at 128."""
    return side.bit_length() - 2


def genesis_plan(width: int, side: int) -> Plan:
    """Of GENESIS-V2 and MONet-g: twice the width in the three coarsest blocks."""
    blocks = levels(side)
    return (*[width] * (blocks - 3), *[2 * width] * 3), (2 * width, 2 * width, *[width] * (blocks - 2))


def monet_plan(width: int, side: int) -> Plan:
    """Of MONet: doubled at every block, to eight times the width."""
    down = (width, 2 * width, 4 * width, *[8 * width] * (levels(side) - 3))
    return down, (*reversed(down[:-1]), width)
