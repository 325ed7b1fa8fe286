"""HDF5's filters undone: what h5py stores comes back, and no bytes give more than they may."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocbench.formats.hdf5_filters import FILTERS, undone

CONTENTS = st.one_of(
    st.binary(min_size=1, max_size=400),
    st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 90)), min_size=1, max_size=9).map(
        lambda pieces: b"".join(piece * times for piece, times in pieces)  # runs and references, near and far
    ),
)


@given(CONTENTS, st.sampled_from([None, "gzip", "lzf"]), st.booleans(), st.booleans(), st.sampled_from([1, 2, 8]))
def test_what_h5py_stores_comes_back(
    content: bytes, compression: str | None, shuffle: bool, fletcher32: bool, itemsize: int
) -> None:
    content += bytes(-len(content) % itemsize)
    data = np.frombuffer(content, f"u{itemsize}")
    with h5py.File(io.BytesIO(), "w") as file:
        dataset = file.create_dataset(
            "data", data=data, chunks=data.shape, compression=compression, shuffle=shuffle, fletcher32=fletcher32
        )
        file.flush()
        storage = dataset.id.get_create_plist()
        filters = [storage.get_filter(number)[0] for number in range(storage.get_nfilters())]
        skipped, stored = dataset.id.read_direct_chunk((0,))
    assert undone(stored, filters, skipped, len(content), itemsize) == content
    with pytest.raises(ValueError, match=r"in place of|no end"):
        undone(stored, filters, skipped, len(content) + 1, itemsize)


@settings(max_examples=300)
@given(st.binary(max_size=300), st.lists(st.sampled_from(sorted(FILTERS)), max_size=3), st.integers(0, 7))
def test_any_bytes_give_so_many_or_a_value_error(stored: bytes, filters: list[int], skipped: int) -> None:
    try:
        content = undone(stored, filters, skipped, 64, 4)
    except ValueError:
        return
    assert len(content) == 64


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"\x03abcd\x20", "lzf: no end after 7"),  # a reference without its distance
        (b"\x03abc", "lzf: no end after 4"),  # three of four literal bytes
        (b"\x20\x00", "before the start"),
        (b"\x00a" + b"\xe0\xff\x00" * 9, "lzf: no end after 265"),  # 264 bytes from one, again and again
    ],
)
def test_lzf_that_is_none(stored: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        undone(stored, [32000], 0, 100, 1)


@pytest.mark.parametrize("stored", [b"", b"a", b"abc", b"\0\0\0\1"])
def test_too_few_bytes_for_a_checksum(stored: bytes) -> None:
    with pytest.raises(ValueError, match=r"checksum|in place of"):
        undone(stored, [3], 0, 100, 1)
