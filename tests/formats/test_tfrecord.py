"""TFRecords: known answers, every order and storage, every kind of damage, and no memory for a false length."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc

import numpy as np
import pytest
import tfrecord_sources as sources
from hypothesis import given
from hypothesis import strategies as st

from ocbench.errors import DataError
from ocbench.formats import tfrecord

PAYLOADS = [b"abc", b"", bytes(range(256)) * 40]
BARE = b"".join(sources.frame(payload) for payload in PAYLOADS)
NAME = "a.tfrecords"


def read(data: bytes) -> list[bytes]:
    return list(tfrecord.records(io.BytesIO(data), NAME))


@pytest.mark.parametrize(("data", "crc"), [(b"123456789", 0xC78AB0E5), (b"", 0xA282EAD8)])
def test_known_checksums(data: bytes, crc: int) -> None:
    assert tfrecord.masked_crc(data) == crc


def test_known_frame_and_example() -> None:
    frame = bytes.fromhex("0300000000000000b099490e6162636e57f121")
    assert read(frame) == [b"abc"]
    payload = bytes.fromhex("0a220a0d0a016112080a060a01000a01ff0a110a0178120c120a0a080000803f000020c0")
    found = tfrecord.example(payload, "it")
    assert found["a"].tolist() == [0, 255]
    assert found["x"].tolist() == [1.0, -2.5]


@pytest.mark.parametrize("stored", [BARE, sources.squeezed(BARE), sources.squeezed(BARE[:20], BARE[20:], b"")])
def test_records_come_in_order_from_one_or_several_members_or_bare(stored: bytes) -> None:
    assert read(stored) == PAYLOADS


def test_a_stream_that_gives_few_bytes_at_a_time_is_read_whole() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            return super().read(min(size, 7) if size > 12 else size)

    assert list(tfrecord.records(Slow(sources.squeezed(BARE)), NAME)) == PAYLOADS
    assert list(tfrecord.records(Slow(BARE), NAME)) == PAYLOADS


def test_a_record_of_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "PIECE", 1000)
    assert read(sources.squeezed(BARE)) == PAYLOADS


SQUEEZED = sources.squeezed(BARE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SQUEEZED[:-20], "'a.tfrecords' ends early\n  found .* whole records before, at byte .*\n  hint .*again"),
        (BARE[:21], "ends early\n  found     1 whole records before, at byte 21"),
        (BARE[:30], "ends early\n  found     1 whole records before"),
        (BARE[:-1], "ends early\n  found     2 whole records before"),
        (BARE[:13] + b"X" + BARE[14:], "has a record whose checksum is wrong\n  found     0 whole records"),
        (BARE[:19] + b"\1" + BARE[20:], "has a damaged length of a record\n  found     1 whole"),
        (SQUEEZED[:12] + b"\xff" * 8 + SQUEEZED[20:], "is damaged: |has a damaged length|checksum"),
        (SQUEEZED + b"garbage", "ends early|is damaged"),
        (b"<!DOCTYPE html><html>", "is no TFRecord file\n.*1f 8b.*\n.*3c 21 .*DOCTYPE.*\n.*error page"),
        (b"PK\3\4" + bytes(20), "is no TFRecord file\n.*\n.*50 4b 03 04"),
        (b"", "is no TFRecord file\n.*\n  found     an empty file"),
        (b"\x1f\x8b", "ends early"),
    ],
)  # fmt: skip
def test_damage_is_told_with_the_records_before_it(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(data)


@pytest.mark.parametrize("length", [1 << 25, 1 << 40, (1 << 64) - 1])
def test_a_false_length_asks_for_no_memory(length: int) -> None:
    header = struct.pack("<Q", length)
    data = sources.squeezed(header + sources.masked_crc(header) + b"short")
    tracemalloc.start()
    with pytest.raises(DataError, match=r"ends early|has a damaged length"):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * tfrecord.PIECE


def test_lists_are_read_however_they_are_stored() -> None:
    floats = np.array([1.5, -2.0, 3.25], "<f4")
    one_by_one = sources.delimited(0x12, b"".join(b"\x0d" + value.tobytes() for value in floats))
    whole = sources.delimited(0x0A, sources.delimited(0x0A, bytes(range(9))))
    uneven = sources.delimited(0x0A, sources.delimited(0x0A, b"ab") + sources.delimited(0x0A, b"c"))
    integers = sources.delimited(0x1A, sources.delimited(0x0A, b"\1\2"))
    features = {
        "pixels": np.arange(7, dtype=np.uint8), "floats": floats, "one": one_by_one, "whole": whole, "uneven": uneven,
        "integers": integers, "nothing": b"",
    }  # fmt: skip
    for order in (list(features), sorted(features, reverse=True)):
        found = tfrecord.example(sources.example(features, order), "it")
        assert found.keys() == features.keys() - {"integers", "nothing"}
        assert found["pixels"].tolist() == list(range(7))
        assert found["floats"].tolist() == found["one"].tolist() == floats.tolist()
        assert found["whole"].tolist() == list(range(9))
        assert found["uneven"].tobytes() == b"abc"


@pytest.mark.parametrize(
    "payload",
    [b"\x0a\xff\xff\xff\xff\x7f", b"\x0a\x05\x0a\x03\x0a\x01", b"\x0f", b"\x0a" + b"\xff" * 11, b"\x0a\x02\x0a\x00"],
)
def test_a_broken_example_is_a_data_error(payload: bytes) -> None:
    with pytest.raises(DataError, match=r"record 3 is no tf\.train\.Example"):
        tfrecord.example(payload, "record 3")


def test_many_odd_strings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "MOST_STRINGS", 10)
    for feature in (sources.delimited(0x0A, b"\x0a\x00" * 13), sources.delimited(0x12, b"\x0d\0\0\0\0" * 13)):
        with pytest.raises(DataError, match="a list of more than 10"):
            tfrecord.example(sources.example({"a": feature}), "it")


arrays = st.one_of(
    st.binary(max_size=60).map(lambda data: np.frombuffer(data, np.uint8)),
    st.lists(st.floats(width=32, allow_nan=False), max_size=9).map(lambda values: np.array(values, np.float32)),
)


@given(st.dictionaries(st.text(max_size=8), arrays, max_size=6))
def test_every_example_comes_back(features: dict[str, np.ndarray]) -> None:
    found = tfrecord.example(sources.example(features), "it")
    assert found.keys() == features.keys()
    for name, values in features.items():
        assert found[name].tolist() == values.tolist()


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Some bytes changed, cut out or put in."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(0, max(len(changed), 1)))
        kind = random.integers(0, 4)
        if kind == 0 and changed:
            changed[at] ^= 1 << int(random.integers(0, 8))
        elif kind == 1:
            del changed[at : at + int(random.integers(1, 40))]
        elif kind == 2:
            changed[at:at] = random.bytes(int(random.integers(1, 12)))
        else:
            changed = changed[:at]
    return bytes(changed)


def assert_reads_or_is_refused(seed: int) -> None:
    """Damage inside an Example, in its frames, or in the GZIP stream around them."""
    random = np.random.default_rng([27, seed])
    scene = {"image": np.arange(48, dtype=np.uint8), "x": np.arange(5, dtype=np.float32), "one": b"\x0a\x05\x0a\x03abc"}
    payload = sources.example(scene)
    payload = mutated(payload, random) if seed % 3 == 0 else payload
    bare = sources.frame(payload) * 3
    bare = mutated(bare, random) if seed % 3 == 1 else bare
    data = gzip.compress(bare, compresslevel=1, mtime=0) if seed % 2 else bare
    data = mutated(data, random) if seed % 3 == 2 else data
    try:
        for record in tfrecord.records(io.BytesIO(data), NAME):
            tfrecord.example(record, "it")
    except DataError:
        return


@pytest.mark.parametrize("seed", range(3))
def test_two_hundred_damaged_files_read_or_are_refused(seed: int) -> None:
    for number in range(67):
        assert_reads_or_is_refused(3 * number + seed)


@pytest.mark.slow
def test_four_thousand_damaged_files_read_or_are_refused() -> None:
    for number in range(4000):
        assert_reads_or_is_refused(1000 + number)
