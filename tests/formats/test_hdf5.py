"""HDF5: every storage gives the same rows, every bad file a DataError, and no file takes more memory than it may."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5_storm
import numpy as np
import pytest

from ocbench.errors import DataError
from ocbench.formats import hdf5

ROWS = 9
SHAPE = (5, 6, 3)


def written(fill: Callable[[h5py.File], object], **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as root:
        fill(root)
    return file


def rows(file: io.BytesIO, start: int = 0, stop: int = ROWS, tail: tuple[int, ...] = SHAPE) -> np.ndarray:
    with hdf5.opened(file, "scenes.hdf5") as tables:
        return np.stack(list(tables.column("image", tail).read(start, stop)))


def fault(file: io.BytesIO, tail: tuple[int, ...] = SHAPE) -> DataError:
    with pytest.raises(DataError) as caught:
        rows(file, tail=tail)
    return caught.value


def image(random: np.random.Generator, dtype: str = "u1") -> np.ndarray:
    """Noise above stripes, so that every compressor has both to work on."""
    data = random.integers(0, 256, (ROWS, *SHAPE)).astype(dtype)
    data[:, 2:] = 7
    return data


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i8", "f4", "f8", "?"])
@pytest.mark.parametrize("chunks", [None, (1, *SHAPE), (2, 4, 6, 2), (20, 5, 6, 3)])
def test_any_dtype_and_chunk_gives_the_rows(random: np.random.Generator, dtype: str, chunks: tuple | None) -> None:
    data = image(random, dtype)
    options = {"chunks": chunks, "maxshape": (None,) * 4} if chunks else {}  # a chunk may be larger than the dataset
    file = written(lambda root: root.create_dataset("image", data=data, **options))
    assert np.array_equal(rows(file), data)
    assert np.array_equal(rows(file, 3, 8), data[3:8])
    assert np.array_equal(rows(file, 7, 100), data[7:])


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("fletcher32", [False, True])
@pytest.mark.parametrize("libver", [None, "latest"])
def test_any_filters_give_the_rows(
    random: np.random.Generator, libver: str | None, fletcher32: bool, shuffle: bool, compression: str | None
) -> None:
    data, filters = image(random, "i4"), {"compression": compression, "shuffle": shuffle, "fletcher32": fletcher32}
    file = written(lambda root: root.create_dataset("image", data=data, chunks=(4, 5, 3, 3), **filters), libver=libver)
    assert np.array_equal(rows(file), data)


def test_blocks_are_cut_where_chunks_are(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a block holds several chunks, each fetched once, or a chunk several blocks, rows come right."""
    data = image(random)
    fetched: list[int] = []
    plain = hdf5.Column._chunk
    monkeypatch.setattr(hdf5.Column, "_chunk", lambda self, corner: (fetched.append(corner[0]), plain(self, corner))[1])
    for chunk, block, expected in ((2, 5, [0, 2, 4, 6, 8]), (4, 1, [0] * 4 + [4] * 4 + [8])):
        monkeypatch.setattr(hdf5, "BLOCK", block * data[0].nbytes)
        file = written(lambda root, chunk=chunk: root.create_dataset("image", data=data, chunks=(chunk, *SHAPE)))
        fetched.clear()
        assert np.array_equal(rows(file), data)
        assert fetched == expected


def test_memory_is_that_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 rows of 48 KB are read in less than a fifth of what they hold."""
    monkeypatch.setattr(hdf5, "BLOCK", 1 << 20)
    data = np.zeros((400, 128, 128, 3), np.uint8)
    for options in ({}, {"chunks": (10, 128, 128, 3), "compression": "gzip"}):
        file = written(lambda root, options=options: root.create_dataset("image", data=data, **options))
        with hdf5.opened(file, "scenes.hdf5") as tables:
            column = tables.column("image", (128, 128, 3))
            tracemalloc.start()
            assert sum(1 for _ in column.read(0, 400)) == 400
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < data.nbytes / 5


# no HDF5 file


def test_what_is_no_hdf5_file_is_named() -> None:
    assert "is a web page" in fault(io.BytesIO(b"<!DOCTYPE html><html></html>")).message
    assert fault(io.BytesIO(b"\x1f\x8b" + b"\0" * 90)).found == "first bytes 1f 8b 00 00 00 00 00 00"
    assert fault(io.BytesIO(b"")).found == "an empty file"
    assert "cannot read 'scenes.hdf5'" in fault(io.BytesIO(b"\x89HDF\r\n\x1a\n")).message


def test_a_file_cut_short_is_damaged(random: np.random.Generator) -> None:
    whole = written(lambda root: root.create_dataset("image", data=image(random))).getvalue()
    for length in (len(whole) - 1, len(whole) // 2, 100):
        error = fault(io.BytesIO(whole[:length]))
        assert error.message == "cannot read 'scenes.hdf5'"
        assert "download it again" in (error.hint or "")


# what is not there, or not as it should be


def test_a_missing_dataset_is_named_beside_those_found() -> None:
    error = fault(written(lambda root: (root.create_group("train"), root.create_group("test"))))
    assert error.message == "'scenes.hdf5' lacks dataset 'image'"
    assert error.found == "'test', 'train'"
    assert fault(written(lambda root: None)).found == "nothing"
    assert "is no dataset" in fault(written(lambda root: root.create_group("image"))).message


@pytest.mark.parametrize("shape", [(ROWS, 5, 6, 4), (ROWS, 5, 6), (5, 6, 3), (ROWS, 3, 5, 6), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    error = fault(written(lambda root: root.create_dataset("image", data=np.zeros(shape, "u1"))))
    assert error.message == "dataset 'image' of 'scenes.hdf5' has a wrong shape"
    assert (error.expected, error.found) == ("[N, 5, 6, 3]", str(list(shape)))
    assert (
        "has a wrong shape" in fault(written(lambda root: root.create_dataset("image", dtype="u1"))).message
    )  # no shape


@pytest.mark.parametrize("dtype", ["S4", h5py.string_dtype(), "c8", [("r", "u1"), ("g", "u1")], h5py.vlen_dtype("u1")])
def test_other_than_plain_numbers_is_refused(dtype: Any) -> None:
    file = written(lambda root: root.create_dataset("image", shape=(ROWS, 3), dtype=dtype))
    assert "does not hold plain numbers" in fault(file, tail=(3,)).message


def test_numbers_of_odd_bits_are_refused() -> None:
    def odd(root: h5py.File) -> None:
        kind = h5py.h5t.STD_U16LE.copy()
        kind.set_precision(12)
        h5py.h5d.create(root.id, b"image", kind, h5py.h5s.create_simple((ROWS, 3)))

    assert "does not hold plain numbers" in fault(written(odd), tail=(3,)).message


# other files


def test_links_are_refused_and_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.hdf5", "w") as other:
        other["image"] = np.zeros((ROWS, *SHAPE), "u1")
    for link in (h5py.ExternalLink(str(tmp_path / "other.hdf5"), "image"), h5py.SoftLink("/elsewhere")):
        file = written(lambda root, link=link: root.__setitem__("image", link))
        assert fault(file).message == "dataset 'image' of 'scenes.hdf5' is a link to another place"


def test_external_storage_and_virtual_datasets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(ROWS * 90))
    shape = (ROWS, *SHAPE)
    virtual = h5py.VirtualLayout(shape, "u1")
    virtual[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "image", shape)
    for file in (
        written(lambda root: root.create_dataset("image", shape, "u1", external=[(str(tmp_path / "secret"), 0, 810)])),
        written(lambda root: root.create_virtual_dataset("image", virtual)),
    ):
        assert fault(file).message == "dataset 'image' of 'scenes.hdf5' lies in other files"


# storage


def test_a_dataset_in_the_header_is_refused() -> None:
    def compact(root: h5py.File) -> None:
        storage = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        storage.set_layout(h5py.h5d.COMPACT)
        h5py.h5d.create(root.id, b"image", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((ROWS, 3)), storage)

    assert "has a storage that is not read" in fault(written(compact), tail=(3,)).message


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("LARGEST_CHUNK", 71, "too large"), ("MOST_PIECES", 11, "too small"), ("MOST_REPEATS", 1, "across too many rows")],
)
def test_absurd_chunks_are_refused(monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str) -> None:
    """Chunks of 72 bytes, twelve to a row, each across two blocks, at limits just met and just missed."""
    data = np.zeros((ROWS, *SHAPE), "u1")
    file = written(lambda root: root.create_dataset("image", data=data, chunks=(8, 3, 3, 1)))
    for name, just_met in (("BLOCK", 4 * 90), ("LARGEST_CHUNK", 72), ("MOST_PIECES", 12), ("MOST_REPEATS", 2)):
        monkeypatch.setattr(hdf5, name, just_met)
    assert np.array_equal(rows(file), data)
    monkeypatch.setattr(hdf5, limit, value)
    assert f"has chunks {message}" in fault(file).message


def test_a_huge_declared_shape_takes_no_memory() -> None:
    """A million million rows of 4 MB, of which not one is there."""
    shape = (1 << 40, 1024, 1024, 4)
    file = written(lambda root: root.create_dataset("image", shape, "u1", chunks=(1, 1024, 1024, 4)), libver="latest")
    tracemalloc.start()
    with pytest.raises(DataError, match=r"chunk at \[0, 0, 0, 0\] .* was never written"):
        rows(file, stop=1 << 40, tail=shape[1:])
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_unknown_filters_are_refused() -> None:
    file = written(lambda root: root.create_dataset("image", (ROWS, *SHAPE), "i4", chunks=True, scaleoffset=3))
    error = fault(file)
    assert "has filters that are not read" in error.message
    assert "scaleoffset (6)" in (error.found or "")


def test_what_was_never_written_is_refused() -> None:
    assert (
        "was never written" in fault(written(lambda root: root.create_dataset("image", (ROWS, *SHAPE), "u1"))).message
    )
    file = written(lambda root: root.create_dataset("image", (ROWS, *SHAPE), "u1", chunks=(1, *SHAPE)))
    assert "the chunk at [0, 0, 0, 0] of dataset 'image' of 'scenes.hdf5' was never written" in fault(file).message


def stored(content: bytes, **options: Any) -> io.BytesIO:
    """A file whose only chunk is stored as these bytes."""

    def fill(root: h5py.File) -> None:
        dataset = root.create_dataset("image", (1, *SHAPE), "u1", chunks=(1, *SHAPE), **options)
        dataset.id.write_direct_chunk((0, 0, 0, 0), content)

    return written(fill)


@pytest.mark.parametrize(
    ("content", "options", "found"),
    [
        (zlib.compress(bytes(89)), {"compression": "gzip"}, "89 bytes in place of 90"),
        (zlib.compress(bytes(1 << 26))[:90], {"compression": "gzip"}, "gzip: no end after 94 bytes"),
        (zlib.compress(bytes(90))[:-1], {"compression": "gzip"}, "gzip: no end after 90 bytes"),
        (b"no gzip stream", {"compression": "gzip"}, "gzip: Error -3"),
        (bytes(89), {}, "89 bytes in place of 90"),
        (bytes(89) + b"\1" + bytes(4), {"fletcher32": True}, "a wrong checksum"),
    ],
)
def test_a_damaged_chunk_is_refused(content: bytes, options: dict, found: str) -> None:
    """libhdf5 itself gives 89 bytes of the file and one of its memory, or crashes."""
    error = fault(stored(content, **options))
    assert error.message == "the chunk at [0, 0, 0, 0] of dataset 'image' of 'scenes.hdf5' is damaged"
    assert found in (error.found or "")


@pytest.mark.skipif(h5py.version.hdf5_version_tuple < (2, 0, 0), reason="HDF5 1.14 does not write such a chunk")
def test_a_chunk_stored_in_too_many_bytes_is_not_fetched() -> None:
    error = fault(stored(bytes(1 << 20), compression="gzip"))
    assert error.found == "1,048,576 bytes for 90"


# any damage


def storm(first: int, count: int) -> dict[str, list[int]]:
    command = [sys.executable, hdf5_storm.__file__, str(first), str(count)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=600).stdout)


def check(ended: dict[str, list[int]]) -> None:
    assert set(ended) == {"read", "DataError"}, {how: numbers[:9] for how, numbers in ended.items()}


def test_damaged_files_are_read_or_refused() -> None:
    check(storm(0, 200))


@pytest.mark.slow
def test_2_000_damaged_files_are_read_or_refused() -> None:
    check(storm(200, 2000))
