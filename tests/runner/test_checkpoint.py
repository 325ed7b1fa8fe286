"""A checkpoint is whole or absent, and a damaged one is never taken for a whole one."""

from __future__ import annotations

import logging
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ocbench import DataError, RunError
from ocbench.runner import checkpoint

STATE = {"phase": 1, "step": 3, "seconds": 0.5, "generators": [{"cpu": torch.get_rng_state()}], "optimizers": []}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved, loaded = network(0), network(1)
    checkpoint.save(tmp_path / "7", saved, STATE)
    assert checkpoint.fault(tmp_path / "7") is None
    checkpoint.load_weights(tmp_path / "7", loaded)
    assert checkpoint.weights_digest(loaded) == checkpoint.weights_digest(saved)
    found = checkpoint.load_state(tmp_path / "7")
    assert torch.equal(found["generators"][0].pop("cpu"), STATE["generators"][0]["cpu"])
    assert {**found, "generators": 0} == {**STATE, "generators": 0}


def test_views_that_share_memory_are_saved(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    checkpoint.save(tmp_path / "7", tied, {})
    checkpoint.load_weights(tmp_path / "7", tied)


def test_saving_twice_replaces(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "7", network(0), STATE)
    checkpoint.save(tmp_path / "7", network(1), STATE)
    loaded = network(2)
    checkpoint.load_weights(tmp_path / "7", loaded)
    assert checkpoint.weights_digest(loaded) == checkpoint.weights_digest(network(1))
    assert [path.name for path in tmp_path.iterdir()] == ["7"]


@pytest.mark.parametrize("change", ["weight", "statistics", "count", "type"])
def test_the_digest_of_weights_sees_every_parameter_and_buffer(change: str) -> None:
    net = network()
    before = checkpoint.weights_digest(net)
    assert checkpoint.weights_digest(network()) == before
    with torch.no_grad():
        if change == "weight":
            net[0].weight[0, 0, 0, 0] += 1e-7
        elif change == "statistics":
            net[1].running_var[3] += 1
        elif change == "count":
            net[1].num_batches_tracked += 1
        else:
            net.double()
    assert checkpoint.weights_digest(net) != before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "7"
    checkpoint.save(folder, network(), STATE)
    return folder


@given(
    name=st.sampled_from((checkpoint.WEIGHTS, checkpoint.STATE)),
    place=st.floats(0, 1, exclude_max=True),
    flip=st.integers(0, 255),
)
@settings(max_examples=60)
def test_no_cut_and_no_changed_byte_passes_for_whole(whole: Path, name: str, place: float, flip: int) -> None:
    damaged = whole.with_name("damaged")
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(whole, damaged)
    data = bytearray((damaged / name).read_bytes())
    offset = int(place * len(data))
    data[offset] ^= flip
    (damaged / name).write_bytes(data if flip else data[:offset])
    assert checkpoint.fault(damaged) is not None
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.load_weights(damaged, network())


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, checkpoint.STATE, checkpoint.DIGESTS])
def test_a_missing_file_is_a_fault(whole: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(whole, tmp_path / "7")
    (tmp_path / "7" / name).unlink()
    assert name in str(checkpoint.fault(tmp_path / "7"))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"model.safetensors": 7, "state.pt": 7}', "\xff"])
def test_digests_that_are_none_are_a_fault(whole: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(whole, tmp_path / "7")
    (tmp_path / "7" / checkpoint.DIGESTS).write_text(text, encoding="latin-1")
    assert checkpoint.fault(tmp_path / "7") is not None


def test_weights_of_another_model_are_refused(whole: Path) -> None:
    with pytest.raises(RunError, match=r"is not of this model(?s:.*)1\.running_mean"):
        checkpoint.load_weights(whole, nn.Sequential(nn.Conv2d(3, 4, 3)))
    with pytest.raises(RunError, match=r"is not of this model(?s:.*)size mismatch for 0\.weight"):
        checkpoint.load_weights(whole, nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(4)))


def saved_run(run_dir: Path, *updates: int) -> list[Path]:
    folders = [run_dir / "checkpoints" / f"{n:07d}" for n in updates]
    for folder in folders:
        checkpoint.save(folder, network(), STATE)
    return folders


def cut(folder: Path) -> None:
    data = (folder / checkpoint.WEIGHTS).read_bytes()
    (folder / checkpoint.WEIGHTS).write_bytes(data[: len(data) // 2])


def test_the_newest_whole_checkpoint_is_found_by_number(tmp_path: Path) -> None:
    assert checkpoint.newest_whole(tmp_path) is None
    folders = saved_run(tmp_path, 9, 10_000_000, 1_000_000)
    (tmp_path / "checkpoints" / "final").mkdir()
    (tmp_path / "checkpoints" / "0000011.1.part").mkdir()
    assert checkpoint.numbered(tmp_path) == [folders[0], folders[2], folders[1]]
    assert checkpoint.newest_whole(tmp_path) == folders[1]


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = saved_run(tmp_path, 3, 6, 9)
    cut(second)
    cut(third)
    with caplog.at_level(logging.WARNING, logger="ocbench"):
        assert checkpoint.newest_whole(tmp_path) == first
    assert [f"'{third}' is damaged" in caplog.text, f"'{second}' is damaged" in caplog.text] == [True, True]
    cut(first)
    with pytest.raises(RunError, match=r"every checkpoint of (?s:.*)0000003, 0000006, 0000009(?s:.*)--name"):
        checkpoint.newest_whole(tmp_path)


def test_the_last_checkpoints_and_the_ends_of_phases_stay(tmp_path: Path) -> None:
    saved_run(tmp_path, 2, 4, 5, 6, 8, 10)
    checkpoint.prune(tmp_path, 2, {5, 10})
    assert [int(folder.name) for folder in checkpoint.numbered(tmp_path)] == [5, 8, 10]


def test_a_full_disk_leaves_the_checkpoints_before_whole(tmp_path: Path) -> None:
    (folder,) = saved_run(tmp_path, 3)
    for name in ("0000006", "0000003"):
        with file_size_limit(1000), pytest.raises(DataError, match=f"cannot write '.*{name}"):
            checkpoint.save(folder.with_name(name), network(1), STATE)
    assert [path.name for path in folder.parent.iterdir()] == ["0000003"]
    loaded = network(2)
    checkpoint.load_weights(folder, loaded)
    assert checkpoint.weights_digest(loaded) == checkpoint.weights_digest(network(0))
