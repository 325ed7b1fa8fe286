"""Galleries as data: URIs. Photographs are made smaller with loss, label maps are not; all within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ocbench.gallery import Entry, Gallery
from ocbench.html.collect import Found, Scored

SLOTS = ("layers", "masks", "attention")  # grids of small pictures
SLOT_SIDE = 64  # pixels: more than the page shows of a slot
EXACT = ("truth", "prediction", "error")  # few colours: small as they are, and ugly with loss
T = TypeVar("T")
QUALITY = 82  # of WebP
BUDGET = 13_000_000  # characters of all pictures of a page, which is to stay under 15 MB


@dataclass(frozen=True)
class Shown:
    """One scene of a gallery with its pictures."""

    scored: Scored
    gallery: Gallery
    entry: Entry
    pictures: dict[str, str]  # name -> data: URI


def shown_scenes(found: Found) -> tuple[list[Shown], int]:
    """The scenes that fit into the budget, and how many do not.

    Runs take turns, and within a run the kinds do, so that what is left out is what there is most of.
    """
    kept: list[Shown] = []
    spent = 0
    queue = list(_in_turn([list(_by_kind(each)) for each in found.scored if each.gallery is not None]))
    for place, (scored, entry) in enumerate(queue):
        gallery = scored.gallery
        assert gallery is not None
        pictures = {name: data_uri(gallery, entry, name) for name in entry.pictures}
        spent += sum(map(len, pictures.values()))
        if spent > BUDGET:
            return kept, len(queue) - place
        kept.append(Shown(scored, gallery, entry, pictures))
    return kept, 0


def _by_kind(scored: Scored) -> Iterator[tuple[Scored, Entry]]:
    entries = scored.gallery.entries if scored.gallery else ()
    kinds = [[entry for entry in entries if entry.kind == kind] for kind in ("best", "worst", "random")]
    return ((scored, entry) for entry in _in_turn(kinds))


def _in_turn(lists: Sequence[Sequence[T]]) -> Iterator[T]:
    for place in range(max(map(len, lists), default=0)):
        yield from (each[place] for each in lists if place < len(each))


def data_uri(gallery: Gallery, entry: Entry, name: str) -> str:
    """The picture as a WebP data: URI."""
    if name in EXACT:
        assert gallery.folder is not None
        gallery.picture(entry, name)  # refuses what is missing or damaged
        data = (gallery.folder / entry.pictures[name]).read_bytes()
    else:
        from matplotlib.image import imsave

        file = io.BytesIO()
        picture = gallery.picture(entry, name)
        if name in SLOTS:
            picture = smaller(picture, max(gallery.size))
        imsave(file, picture, format="webp", pil_kwargs={"quality": QUALITY, "method": 4})
        data = file.getvalue()
    return "data:image/webp;base64," + base64.b64encode(data).decode()


def smaller(grid: np.ndarray, side: int) -> np.ndarray:
    """uint8 [h / n, w / n, 3] of uint8 [h, w, 3], means of n x n pixels: each slot, `side` pixels now, gets about 64.

    Where n does not divide a slot evenly, the grid stays as it is.
    """
    times = -(-side // SLOT_SIDE)
    height, width = grid.shape[:2]
    if side % times or height % times or width % times:
        return grid
    blocks = grid.reshape(height // times, times, width // times, times, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
