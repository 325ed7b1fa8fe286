"""Batches: a pure function of seed, phase and number, shared by ranks; streams that show every scene once an epoch."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from itertools import chain
from pathlib import Path

import dots
import fsspec
import numpy as np
import pytest
import torch

from ocbench.cache import cached
from ocbench.errors import DataError, UsageError
from ocbench.loading import Batch, CachedBatches, StreamedBatches, as_floats
from ocbench.prepared import PreparedSplit

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> PreparedSplit:
    """Sixteen scenes in eight shards."""
    return dots.prepared(tmp_path_factory.mktemp("dots"), per_shard=2)


@pytest.fixture(scope="module")
def data(split: PreparedSplit, tmp_path_factory: pytest.TempPathFactory):
    return cached(split, str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def names(split: PreparedSplit) -> dict[bytes, int]:
    """Pixels -> place in the split."""
    return {scene.image.tobytes(): place for place, scene in enumerate(split)}


def places(batch: Batch, names: dict[bytes, int]) -> list[int]:
    """Which scenes a batch holds."""
    rows = (batch.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return [names[row.numpy().tobytes()] for row in rows]


# From the cache


def test_images_are_the_scenes_as_floats_from_0_to_1(data, split: PreparedSplit) -> None:
    images = CachedBatches(data, CPU, seed=0).gather(torch.tensor([3, 0])).images
    assert images.dtype == torch.float32
    assert images.shape == (2, 3, 16, 16)
    for row, place in zip(images, (3, 0), strict=True):
        assert np.array_equal((row * 255).round().numpy(), split[place].image.transpose(2, 0, 1))
    assert torch.equal(as_floats(torch.tensor([0, 255], dtype=torch.uint8)), torch.tensor([0.0, 1.0]))


def test_an_epoch_shows_every_scene_once_and_each_in_another_order(data, names) -> None:
    batches = CachedBatches(data, CPU, seed=0)
    epochs = [[places(batches.batch(0, 4 * epoch + n, 4), names) for n in range(4)] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(chain(*epoch)) == list(range(16))
    assert len({str(epoch) for epoch in epochs}) == 3


def test_scenes_that_fill_no_batch_are_left_to_another_epoch(data) -> None:
    batches = CachedBatches(data, CPU, seed=0)
    seen = [batches.indices(0, n, 5).tolist() for n in range(12)]
    for epoch in range(4):
        assert len(set(chain(*seen[3 * epoch : 3 * epoch + 3]))) == 15
    assert len(set(chain(*seen))) == 16


def test_a_batch_is_a_function_of_seed_phase_and_number_alone(data) -> None:
    straight = CachedBatches(data, CPU, seed=3)
    expected = {(phase, n): straight.indices(phase, n, 4).tolist() for phase in (0, 1) for n in range(9)}
    jumping = CachedBatches(data, CPU, seed=3)
    for phase, n in sorted(expected, key=lambda place: hash((place, "any order"))):
        assert jumping.indices(phase, n, 4).tolist() == expected[phase, n]
    resumed = CachedBatches(data, CPU, seed=3)
    assert torch.equal(resumed.batch(1, 7, 4).images, straight.batch(1, 7, 4).images)
    others = [CachedBatches(data, CPU, seed=4).indices(0, 0, 16), straight.indices(1, 0, 16)]
    assert all(other.tolist() != straight.indices(0, 0, 16).tolist() for other in others)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_shares_of_the_ranks_are_the_batch(data, names, world: int) -> None:
    ranks = [CachedBatches(data, CPU, 0, rank, world) for rank in range(world)]
    for n in (0, 5):
        shares = [places(rank.batch(0, n, 8), names) for rank in ranks]
        assert [len(share) for share in shares] == [8 // world] * world
        assert list(chain(*shares)) == ranks[0].indices(0, n, 8).tolist()


@pytest.mark.parametrize("count", [1, 5, 16, 99])
def test_the_sample_of_a_phase_is_the_same_on_every_rank(data, names, count: int) -> None:
    samples = [CachedBatches(data, CPU, 0, rank, 4).sample(count) for rank in range(4)]
    assert len(set(places(Batch(samples[0]), names))) == min(count, 16)
    assert all(torch.equal(sample, samples[0]) for sample in samples)


def test_what_was_precomputed_comes_with_its_scenes(data) -> None:
    batches = CachedBatches(data, CPU, seed=0)
    assert batches.batch(0, 0, 4).precomputed is None
    batches.precomputed = torch.arange(16, dtype=torch.uint8).reshape(16, 1, 1, 1)
    found = batches.batch(0, 2, 4).precomputed
    assert found is not None
    assert found.flatten().tolist() == batches.indices(0, 2, 4).tolist()


def test_what_is_picked_ahead_is_the_batch_that_is_asked_for(data) -> None:
    plain, ahead = CachedBatches(data, CPU, seed=0), CachedBatches(data, CPU, seed=0)
    assert not plain.ahead
    ahead.ahead = True
    asked = [(0, 0, 4), (0, 1, 4), (0, 2, 4), (0, 2, 4), (0, 9, 4), (1, 10, 4), (1, 11, 8), (1, 12, 8)]
    for at in asked:  # straight on, again, onward by a jump, in another phase, in another size
        assert torch.equal(ahead.batch(*at).images, plain.batch(*at).images)
    for batches in (plain, ahead):
        batches.precomputed = torch.arange(16, dtype=torch.uint8).reshape(16, 1, 1, 1)
    for n in (13, 14):
        one, other = ahead.batch(1, n, 8), plain.batch(1, n, 8)
        assert torch.equal(one.precomputed, other.precomputed)
        assert torch.equal(one.images, other.images)
    ahead.precomputed = None
    assert ahead.batch(1, 15, 8).precomputed is None


def test_a_batch_larger_than_the_set_is_refused(data) -> None:
    with pytest.raises(UsageError, match="a batch of 17 scenes is larger than the 16 training scenes"):
        CachedBatches(data, CPU, seed=0).batch(0, 0, 17)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("share", [0.5, 0.0])
def test_batches_on_the_device_are_those_on_the_host(data, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr("ocbench.loading.RESIDENT_SHARE", share)
    there = CachedBatches(data, torch.device("cuda:0"), seed=0)
    assert there.resident == (share > 0)
    found = there.batch(0, 1, 4).images
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), CachedBatches(data, CPU, seed=0).batch(0, 1, 4).images, rtol=0, atol=1e-7)


# Streamed


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (2, 0), (1, 2)])
def test_a_stream_shows_a_rank_each_of_its_scenes_once_an_epoch(
    split: PreparedSplit, names, monkeypatch: pytest.MonkeyPatch, world: int, workers: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(world))  # as torchrun sets them
    seen = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        stream = StreamedBatches(split, CPU, 0, rank, world, workers)
        share = 16 // world
        epochs = [[place for _ in range(4) for place in places(stream.batch(0, 0, 4), names)] for _ in range(2)]
        assert [Counter(epoch).most_common(1)[0][1] for epoch in epochs] == [1, 1]
        assert {len(epoch) for epoch in epochs} == {share}
        assert epochs[0] != epochs[1]
        seen += epochs[0]
    assert sorted(seen) == list(range(16))


def test_a_stream_depends_on_seed_and_phase_and_place_of_resume(split: PreparedSplit, names) -> None:
    def first(seed: int, phase: int, n: int) -> list[int]:
        return places(StreamedBatches(split, CPU, seed).batch(phase, n, 16), names)

    assert first(0, 0, 0) == first(0, 0, 0)
    assert len({tuple(first(*start)) for start in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 7))}) == 4


def test_a_stream_draws_nothing_from_the_loop_s_generator(split: PreparedSplit) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    StreamedBatches(split, CPU, 0).batch(0, 0, 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_sample_of_a_stream_is_the_same_on_every_rank(split: PreparedSplit) -> None:
    samples = [StreamedBatches(split, CPU, 0, rank, 2).sample(5) for rank in range(2)]
    assert torch.equal(samples[0], samples[1])
    assert np.array_equal((samples[0][4] * 255).round().numpy(), split[4].image.transpose(2, 0, 1))


def test_a_stream_of_the_first_scenes_shows_no_other(split: PreparedSplit, names) -> None:
    stream = StreamedBatches(split.first(5), CPU, 0)
    assert sorted(places(stream.batch(0, 0, 5), names)) == [0, 1, 2, 3, 4]


def test_a_stream_may_be_remote(split: PreparedSplit, names) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(split.directory, "/loading-test/train", recursive=True)
    stream = StreamedBatches(PreparedSplit("memory://loading-test/train"), CPU, 0)
    assert sorted(places(stream.batch(0, 0, 16), names)) == list(range(16))
    memory.rm("/loading-test", recursive=True)


def test_fewer_shards_than_ranks_cannot_be_streamed(split: PreparedSplit) -> None:
    with pytest.raises(UsageError, match=r"8 shards cannot be streamed to 9 ranks\n.*leave --stream out"):
        StreamedBatches(split, CPU, 0, rank=0, world=9)


def test_a_damaged_shard_is_noticed_before_the_stream_begins(split: PreparedSplit, tmp_path: Path) -> None:
    cut = PreparedSplit(shutil.copytree(split.directory, tmp_path / "train"))
    os.truncate(f"{cut.directory}/000003.tar", 3 * 1024)
    with pytest.raises(DataError, match=r"000003\.tar' is cut or damaged"):
        StreamedBatches(cut, CPU, 0)
