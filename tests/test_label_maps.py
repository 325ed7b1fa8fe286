"""Label maps of other tools: every way of storing them, what is read, and what is refused."""

from __future__ import annotations

import io
import tarfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocbench import DataError, label_maps
from ocbench.label_maps import Stored, label_map, reconstruction

LABELS = {f"scene-{n}": np.random.default_rng(n).integers(0, 5, (6, 8)).astype(np.uint8) for n in range(3)}
PALETTE = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 200, 100, 0]


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def png(array: np.ndarray, palette: bool = False) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    if palette:
        picture = Image.frombytes("P", array.shape[::-1], array.tobytes())
        picture.putpalette(PALETTE)
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def colours(labels: np.ndarray) -> np.ndarray:
    return np.array(PALETTE, np.uint8).reshape(-1, 3)[labels]


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.eye(5, dtype=np.float32)[labels], -1, 0)


FILES = {  # name -> the bytes of one label map
    "grey.png": lambda labels: png(labels),
    "palette.png": lambda labels: png(labels, palette=True),
    "labels.npy": lambda labels: npy(labels.astype(np.int64)),
    "labels.npz": lambda labels: npz(anything=labels),
    "soft.npy": lambda labels: npy(one_hot(labels)),
    "column.npy": lambda labels: npy(one_hot(labels)[:, None]),
    "channel.npy": lambda labels: npy(labels[..., None].astype(np.int32)),
}
WHOLE = {  # name of one file for all scenes -> its bytes
    "all.npy": lambda: npy(np.stack(list(LABELS.values()))),
    "soft.npy": lambda: npy(np.stack([one_hot(labels) for labels in LABELS.values()])),
    "all.npz": lambda: npz(**LABELS),
    "keys.npz": lambda: npz(keys=np.array(list(LABELS)), masks=np.stack(list(LABELS.values()))),
    "order.npz": lambda: npz(masks=np.stack(list(LABELS.values()))),
}


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    with ExitStack() as stack:
        found = label_maps.found(str(path), stack)
        named = dict(zip(LABELS, found, strict=True)) if isinstance(found, list) else found
        return {key: label_map(stored) for key, stored in named.items()}


def check(found: dict[str, np.ndarray]) -> None:
    assert set(found) == set(LABELS)
    for key, labels in LABELS.items():
        assert found[key].dtype == np.uint8
        assert np.array_equal(found[key], labels)


@pytest.mark.parametrize("kind", FILES)
def test_a_folder_of_files(tmp_path: Path, kind: str) -> None:
    for key, labels in LABELS.items():
        (tmp_path / f"{key}.{kind}").write_bytes(FILES[kind](labels))
    (tmp_path / "notes.txt").write_text("not a label map")
    check(read(tmp_path))


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_tar_shards_alone_and_in_a_folder(tmp_path: Path, kind: str, ending: str) -> None:
    files = {f"deep/{key}.{kind}": FILES[kind](labels) for key, labels in reversed(LABELS.items())}
    check(read(pack(tmp_path / f"000000.{ending}", files)))
    check(read(tmp_path))


@pytest.mark.parametrize("name", WHOLE)
def test_one_file_of_arrays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WHOLE[name]())
    check(read(tmp_path / name))


def test_flat_colours_become_one_label_each() -> None:
    labels = LABELS["scene-0"]
    found = label_map(Stored("x", lambda: png(colours(labels))))
    assert len(np.unique(found)) == len(np.unique(labels))
    assert all(len(np.unique(found[labels == label])) == 1 for label in np.unique(labels))
    smooth = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    with pytest.raises(DataError, match="400 colours: drawn with smooth edges"):
        label_map(Stored("x", lambda: png(smooth)))


def test_the_lowest_soft_mask_wins_a_tie() -> None:
    assert (label_map(Stored("x", lambda: np.full((3, 2, 2), 0.25, np.float32))) == 0).all()


@pytest.mark.parametrize("high", [256, 70_000])
def test_labels_out_of_range_are_refused_or_renumbered(high: int) -> None:
    array = np.array([[0, 3], [high, -1]])
    with pytest.raises(DataError, match=rf"out of range(?s:.*)-1..{high}, 4 different ones(?s:.*)--allow range"):
        label_map(Stored("x", lambda: array))
    assert label_map(Stored("x", lambda: array), compact=True).tolist() == [[1, 2], [3, 0]]


@pytest.mark.parametrize(
    "value",
    [np.zeros((4, 4)), np.zeros(7, int), np.zeros((0, 4), int), np.zeros((2, 3, 4), int), np.array([["a"]]),
     np.full((2, 3, 3), np.nan)],
)  # fmt: skip
def test_what_is_no_label_map_is_refused(value: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"'x' is no label map|not finite"):
        label_map(Stored("x", lambda: value))


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.npy", b"no array"), ("a.npz", b"PK\x03\x04cut"), ("a.png", b"no png"), ("a.npy", npy(np.array([{}])))],
)
def test_what_cannot_be_read_is_a_data_error(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with ExitStack() as stack, pytest.raises(DataError, match=r"cannot be (read|decoded)"):
        label_map(label_maps.found(str(tmp_path), stack)["a"])  # type: ignore[call-overload]


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.labels.npy"):
        (tmp_path / name).write_bytes(npy(LABELS["scene-0"]))
    with pytest.raises(DataError, match="has two of 'a'"):
        read(tmp_path)


def test_nothing_there_and_unknown_formats_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no label maps in"):
        read(tmp_path)
    with pytest.raises(DataError, match="no label maps at"):
        read(tmp_path / "absent")
    (tmp_path / "labels.h5").touch()
    with pytest.raises(DataError, match=r"no known format(?s:.*)\.h5"):
        read(tmp_path / "labels.h5")


def test_reconstructions_are_floats_in_0_to_1() -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    floats = image.astype(np.float32) / np.float32(255)
    for value in (png(image), image, floats, floats.transpose(2, 0, 1)):
        np.testing.assert_array_equal(reconstruction(Stored("x", lambda value=value: value)), floats)
    with pytest.raises(DataError, match="is no reconstruction"):
        reconstruction(Stored("x", lambda: floats[..., 0]))
