"""Training batches: from the decoded cache, or streamed from shards.

From the cache, batch n is a pure function of (seed, n): epoch e is one seeded permutation, cut into whole batches, so a
resumed run needs nothing but n. A rank takes its share of every batch. Streaming depends on the numbers of ranks and
workers, and a resumed run begins a new pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch

from ocbench import storage
from ocbench.cache import CachedSplit
from ocbench.errors import UsageError
from ocbench.imaging import decode_image
from ocbench.prepared import PreparedSplit

RESIDENT_SHARE = 0.5  # of the free device memory that the images may take
SHUFFLED = 1000  # scenes among which a stream draws the next one


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
        # A private mapping: torch wants a writable array, and pages that nobody writes are not copied.
        self.images = torch.from_numpy(np.load(str(data.images.filename), mmap_mode="c"))
        if self.resident:
            self.images = self.images.to(device)
        self.ahead = device.type == "cuda" and not self.resident  # pick the next batch while this one is in work
        self._thread = ThreadPoolExecutor(1, "batches")
        self._next: tuple[tuple[int, int, int], Future[list[torch.Tensor]]] | None = None
        self.precomputed = None
        self._order: tuple[tuple[int, int], torch.Tensor] | None = None

    def indices(self, phase: int, n: int, batch_size: int) -> torch.Tensor:
        """int64 [batch_size]: the scenes of the n-th batch (from 0) of a phase, over all ranks; beside the images."""
        whole = self.scenes // batch_size
        if whole == 0:
            raise UsageError(f"a batch of {batch_size} scenes is larger than the {self.scenes} training scenes")
        epoch, place = divmod(n, whole)
        if self._order is None or self._order[0] != (phase, epoch):
            order = np.random.default_rng([self.seed, phase, epoch]).permutation(self.scenes)
            # A whole epoch at once: a copy to the device at every update would hold the host up.
            self._order = (phase, epoch), torch.from_numpy(order).to(self.images.device)
        return self._order[1][place * batch_size : (place + 1) * batch_size]

    @property
    def precomputed(self) -> torch.Tensor | None:
        """uint8 [N, C, H, W]: what comes with the images, for as long as a phase says so."""
        return self._precomputed

    @precomputed.setter
    def precomputed(self, rows: torch.Tensor | None) -> None:
        self._precomputed, self._next = rows, None  # what was picked ahead lacks it

    def batch(self, phase: int, n: int, batch_size: int) -> Batch:
        """This rank's share of the n-th batch of a phase."""
        if self._next is not None and self._next[0] == (phase, n, batch_size):
            picked = self._next[1].result()
        else:
            picked = self._pick(self._mine(phase, n, batch_size))
        if self.ahead:
            work = self._thread.submit(self._pick, self._mine(phase, n + 1, batch_size))
            self._next = (phase, n + 1, batch_size), work
        return self._moved(picked)

    def gather(self, rows: torch.Tensor) -> Batch:
        """The scenes of these indices, int64 [B] beside the images."""
        return self._moved(self._pick(rows))

    def _mine(self, phase: int, n: int, batch_size: int) -> torch.Tensor:
        share = batch_size // self.world
        return self.indices(phase, n, batch_size)[self.rank * share : (self.rank + 1) * share]

    def _pick(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Rows of the images, and of what was precomputed, where they lie; pinned where they are to be moved."""
        sources = [self.images] if self._precomputed is None else [self.images, self._precomputed]
        picked = [source.index_select(0, rows) for source in sources]  # on a CPU six times as fast as source[rows]
        return [one.pin_memory() for one in picked] if self.device.type == "cuda" and not self.resident else picked

    def _moved(self, picked: Sequence[torch.Tensor]) -> Batch:
        images, *more = (one.to(self.device, non_blocking=True) for one in picked)
        return Batch(as_floats(images), *more)

    def sample(self, count: int) -> torch.Tensor:
        """float32 [n, 3, H, W]: seeded scenes for a phase's start, the same on every rank."""
        order = np.random.default_rng([self.seed, 1 << 20]).permutation(self.scenes)[:count]
        return self.gather(torch.from_numpy(np.sort(order)).to(self.images.device)).images


class StreamedBatches:
    """Batches straight from shards through webdataset, for sets larger than the disk cache may be.

    A rank has its own shards; it sees each of their scenes once an epoch, shards and scenes in another order each time.
    """

    def __init__(
        self, data: PreparedSplit, device: torch.device, seed: int, rank: int = 0, world: int = 1, workers: int = 0
    ) -> None:
        self.data, self.device, self.seed, self.workers = data, device, seed, workers
        self.scenes, self.resident = len(data), False
        shards = [shard for shard in data.manifest.shards if shard.keys]
        if len(shards) < world:
            raise UsageError(f"{len(shards)} shards cannot be streamed to {world} ranks", hint="leave --stream out")
        mine = shards[rank::world]
        self._paths = [data.checked_path(shard) for shard in mine]
        self._keys = frozenset(key for shard in mine for key in shard.keys)
        self._streams: dict[int, Iterator[torch.Tensor]] = {}
        self._rank, self._world = rank, world

    def batch(self, phase: int, n: int, batch_size: int) -> Batch:
        """The next share of a batch; a phase begins its stream anew, after a resume with another order."""
        if phase not in self._streams:
            seed = int(np.random.default_rng([self.seed, self._rank, phase, n]).integers(1 << 31))
            share = batch_size // self._world
            self._streams = {phase: _streamed(self._paths, self._keys, share, self.workers, seed)}
        return Batch(as_floats(next(self._streams[phase]).to(self.device)))

    def sample(self, count: int) -> torch.Tensor:
        """float32 [n, 3, H, W]: the first scenes of the set, the same on every rank."""
        picked = [torch.from_numpy(scene.image.copy()) for scene in islice(self.data, count)]
        return as_floats(torch.stack(picked).permute(0, 3, 1, 2).contiguous().to(self.device))


def _streamed(
    paths: Sequence[str], keys: frozenset[str], batch_size: int, workers: int, seed: int
) -> Iterator[torch.Tensor]:
    """uint8 [batch_size, 3, H, W], without end: the scenes of these keys."""
    import webdataset

    stream = webdataset.DataPipeline(
        webdataset.SimpleShardList(paths),
        webdataset.split_by_worker,
        webdataset.detshuffle(len(paths), initial=len(paths), seed=seed),
        _opened,
        webdataset.tariterators.tar_file_expander,
        webdataset.tariterators.group_by_keys,
        webdataset.select(partial(_is_listed, keys)),
        webdataset.detshuffle(SHUFFLED, initial=SHUFFLED // 2, seed=seed),
        webdataset.map(_decoded),
    ).repeat()
    yield from torch.utils.data.DataLoader(
        stream, batch_size=batch_size, num_workers=min(workers, len(paths)),
        generator=torch.Generator().manual_seed(seed),  # else the loop's own generator would be drawn from
    )  # fmt: skip


def _opened(shards: Iterable[dict]) -> Iterator[dict]:
    """webdataset's records of shards with their open files, local or remote."""
    for shard in shards:
        with storage.open_binary(shard["url"]) as file:
            yield shard | {"stream": file}


def _is_listed(keys: frozenset[str], sample: dict) -> bool:
    return sample["__key__"] in keys


def _decoded(sample: dict) -> torch.Tensor:
    """uint8 [3, H, W]."""
    data = next(value for name, value in sample.items() if name.startswith("image."))
    return torch.from_numpy(decode_image(data, f"image of '{sample['__key__']}'").transpose(2, 0, 1).copy())
