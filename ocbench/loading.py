"""Training batches: from the decoded cache, or streamed from shards.

From the cache, batch n is a pure function of (seed, n): epoch e is one seeded permutation, cut into whole batches, so a
resumed run needs nothing but n. A rank takes its share of every batch. Streaming depends on the numbers of ranks and
workers, and a resumed run begins a new pass.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ocbench.cache import CachedSplit
from ocbench.errors import UsageError
from ocbench.prepared import PreparedSplit

RESIDENT_SHARE = 0.5  # of the free device memory that the images may take


@dataclass
class Batch:
    """What one rank sees of one update."""

    images: torch.Tensor  # float32 [B, 3, H, W] in [0, 1], on the device
    precomputed: torch.Tensor | None = None  # uint8 [B, C, H, W]


def as_floats(images: torch.Tensor) -> torch.Tensor:
    """uint8 to float32 in [0, 1]."""
    return images.float().div_(255)


class CachedBatches:
    """Batches gathered from the decoded scenes, which stay on the device where they fit."""

    def __init__(self, data: CachedSplit, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None:
        self.device, self.seed, self.rank, self.world = device, seed, rank, world
        self.scenes = len(data.keys)
        self.resident = (
            device.type == "cuda" and data.images.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
        )
        if self.resident:
            self.images = torch.from_numpy(np.ascontiguousarray(data.images)).to(device)
        else:
            # A private mapping: torch wants a writable array, and pages that nobody writes are not copied.
            self.images = torch.from_numpy(np.load(data.images.filename, mmap_mode="c"))
        self.precomputed: torch.Tensor | None = None
        self._order: tuple[tuple[int, int], np.ndarray] | None = None

    def indices(self, phase: int, n: int, batch_size: int) -> np.ndarray:
        """int64 [batch_size]: the scenes of the n-th batch (from 0) of a phase, over all ranks."""
        whole = self.scenes // batch_size
        if whole == 0:
            raise UsageError(f"a batch of {batch_size} scenes is larger than the {self.scenes} training scenes")
        epoch, place = divmod(n, whole)
        if self._order is None or self._order[0] != (phase, epoch):
            order = np.random.default_rng([self.seed, phase, epoch]).permutation(self.scenes)
            self._order = (phase, epoch), order
        return self._order[1][place * batch_size : (place + 1) * batch_size]

    def batch(self, phase: int, n: int, batch_size: int) -> Batch:
        """This rank's share of the n-th batch of a phase."""
        share = batch_size // self.world
        mine = self.indices(phase, n, batch_size)[self.rank * share : (self.rank + 1) * share]
        return self.gather(mine)

    def gather(self, indices: np.ndarray) -> Batch:
        """The scenes of these indices."""
        rows = torch.from_numpy(np.ascontiguousarray(indices))
        return Batch(
            as_floats(self._rows(self.images, rows)),
            None if self.precomputed is None else self._rows(self.precomputed, rows),
        )

    def sample(self, count: int) -> torch.Tensor:
        """float32 [n, 3, H, W]: seeded scenes for a phase's start, the same on every rank."""
        order = np.random.default_rng([self.seed, 1 << 20]).permutation(self.scenes)[:count]
        return self.gather(np.sort(order)).images

    def _rows(self, source: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if source.device == self.device:
            return source[rows.to(self.device)]
        picked = source[rows]
        return picked.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else picked


class StreamedBatches:
    """Batches straight from shards through webdataset, for sets larger than the disk cache may be."""

    def __init__(
        self, data: PreparedSplit, device: torch.device, seed: int, rank: int = 0, world: int = 1, workers: int = 0
    ) -> None:
        self.data, self.device, self.seed, self.rank, self.world, self.workers = (
            data,
            device,
            seed,
            rank,
            world,
            workers,
        )
        self.scenes, self.resident = len(data), False
        self._streams: dict[int, Iterator[torch.Tensor]] = {}

    def batch(self, phase: int, n: int, batch_size: int) -> Batch:
        """The next share of a batch; a phase begins its stream anew, after a resume with another order."""
        if phase not in self._streams:
            self._streams = {phase: self._images(batch_size // self.world, (self.seed, phase, n))}
        return Batch(as_floats(next(self._streams[phase]).to(self.device)))

    def sample(self, count: int) -> torch.Tensor:
        """float32 [n, 3, H, W]: the first scenes of the set."""
        picked = [torch.from_numpy(scene.image.copy()) for scene, _ in zip(self.data, range(count), strict=False)]
        return as_floats(torch.stack(picked).permute(0, 3, 1, 2).contiguous().to(self.device))

    def _images(self, batch_size: int, seed: tuple[int, int, int]) -> Iterator[torch.Tensor]:
        import webdataset

        paths = self.data.shard_paths()
        mine = paths[self.rank :: self.world]
        whole = bool(mine) and len(paths) >= self.world
        if not whole:
            raise UsageError(f"{len(paths)} shards cannot be streamed to {self.world} ranks", hint="leave --stream out")
        number = int(np.random.default_rng(list(seed)).integers(1 << 31))
        stream = (
            webdataset.WebDataset(mine, shardshuffle=len(mine), seed=number, empty_check=False)
            .shuffle(1000, initial=500, rng=random.Random(number))
            .map(_decoded)
        )
        loader = torch.utils.data.DataLoader(
            stream.repeat(), batch_size=batch_size, num_workers=min(self.workers, len(mine)), drop_last=True
        )
        yield from loader


def _decoded(sample: dict) -> torch.Tensor:
    from ocbench import imaging

    data = next(value for name, value in sample.items() if name.startswith("image."))
    return torch.from_numpy(imaging.decode_image(data).transpose(2, 0, 1).copy())
