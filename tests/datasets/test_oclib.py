"""object-centric-library's HDF5 files: pixels, labels and facts whatever the dtypes; every bad file; the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import hdf5_sources
import numpy as np
import pytest
from hdf5_sources import COMPACT, WIDE

from ocbench import registry, shards
from ocbench.datasets import oclib
from ocbench.errors import DataError
from ocbench.scene import Part, check_scene

SOURCES = (oclib.CLEVR, oclib.CLEVRTEX, oclib.OBJECTSROOM, oclib.SHAPESTACKS)
COUNT = 12
every_source = pytest.mark.parametrize("source", SOURCES, ids=[source.dataset for source in SOURCES])


@every_source
@pytest.mark.parametrize("dtypes", [COMPACT, WIDE])
def test_scenes_are_the_rows_of_the_file(tmp_path: Path, source: oclib.Source, dtypes: dict[str, str]) -> None:
    hdf5_sources.write(tmp_path / source.name, source, COUNT, dtypes)
    assert oclib.parts(str(tmp_path), source) == {"hdf5": Part(COUNT, seekable=True, expected=source.scenes)}
    scenes = list(oclib.read(str(tmp_path), source, 2, 50))
    assert [scene.key for scene in scenes] == [f"{source.dataset}-oclib-{index:06d}" for index in range(2, COUNT)]
    for index, scene in enumerate(scenes, 2):
        row = hdf5_sources.drawn(source, index)
        labels = row["mask"][..., 0]
        check_scene(scene, source.max_objects)
        assert np.array_equal(scene.image, row["image"])
        assert json.loads(json.dumps(scene.meta)) == {
            "index": index, "num_objects": index % (source.max_objects + 1),
            "visibility": row["visibility"].ravel().tolist(),
            **{name: row[name].ravel().tolist() for name in source.facts},
        }  # fmt: skip
        if source is not oclib.OBJECTSROOM:
            assert np.array_equal(scene.mask, labels)
            assert scene.background_parts is None


def test_the_four_backgrounds_of_objectsroom_are_one_and_their_parts_are_kept(tmp_path: Path) -> None:
    hdf5_sources.write(tmp_path / oclib.OBJECTSROOM.name, oclib.OBJECTSROOM, 4)
    scene = list(oclib.read(str(tmp_path), oclib.OBJECTSROOM, 0, 4))[3]
    labels = hdf5_sources.drawn(oclib.OBJECTSROOM, 3)["mask"][..., 0]
    assert set(np.unique(labels)) == set(range(7))
    for label in range(7):
        there = labels == label
        assert set(scene.mask[there]) == {max(label - 3, 0)}
        assert set(scene.background_parts[there]) == {label if label < 4 else 0}


def test_the_library_counts_less_than_no_object_where_a_wall_is_out_of_view(tmp_path: Path) -> None:
    changed(tmp_path, oclib.OBJECTSROOM, "num_actual_objects", lambda rows: rows.astype("i4") * 0 - 1)
    assert next(oclib.read(str(tmp_path), oclib.OBJECTSROOM, 0, 1)).meta["num_objects"] == 0


@every_source
def test_both_dtypes_give_equal_shards(tmp_path: Path, source: oclib.Source) -> None:
    written = []
    for name, dtypes in (("compact", COMPACT), ("wide", WIDE)):
        hdf5_sources.write(tmp_path / name / source.name, source, 5, dtypes)
        scenes = oclib.read(str(tmp_path / name), source, 0, 5)
        written.append(shards.write_shard(str(tmp_path / name / "000000.tar"), scenes).sha256)
    assert written[0] == written[1]


def test_facts_may_be_lists_or_lacking(tmp_path: Path) -> None:
    colours = np.full((5, 7, 4), 0.5, "f4")
    colours[0, 6] = np.nan, 1, 0, np.inf
    path = changed(tmp_path, oclib.SHAPESTACKS, "rgba", lambda rows: colours)
    with h5py.File(path, "a") as file:
        del file["size"]
    meta = next(oclib.read(str(path), oclib.SHAPESTACKS, 0, 1)).meta
    assert meta["rgba"] == [[0.5] * 4] * 6 + [[None, 1, 0, None]]
    assert "size" not in meta


def test_a_folder_without_the_file_has_no_part(tmp_path: Path) -> None:
    (tmp_path / "clevr_10-style.hdf5").touch()
    assert oclib.parts(str(tmp_path), oclib.CLEVR) == {}
    with pytest.raises(DataError, match=r"no 'clevr_10-full.hdf5' in "):
        list(oclib.read(str(tmp_path), oclib.CLEVR, 0, 1))


# bad files


def changed(folder: Path, source: oclib.Source, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A file of five scenes with one dataset changed."""
    path = hdf5_sources.write(folder / source.name, source, 5)
    with h5py.File(path, "a") as file:
        rows = change(file[name][()])
        del file[name]
        file[name] = rows
    return path


def with_value(value: float, dtype: str, place: tuple[int, ...] = (3, 0)) -> Callable[[np.ndarray], np.ndarray]:
    def change(rows: np.ndarray) -> np.ndarray:
        rows = rows.astype(dtype)
        rows[place] = value
        return rows

    return change


@pytest.mark.parametrize("name", ["image", "mask", "visibility", "num_actual_objects", "material"])
def test_another_length_or_shape_is_refused(tmp_path: Path, name: str) -> None:
    changed(tmp_path, oclib.CLEVR, name, lambda rows: rows[:-1])
    with pytest.raises(DataError, match="has another length than image"):
        oclib.parts(str(tmp_path), oclib.CLEVR)
    changed(tmp_path, oclib.CLEVR, name, lambda rows: rows[:, None])
    with pytest.raises(DataError, match=f"dataset '{name}' of .* has a wrong shape"):
        oclib.parts(str(tmp_path), oclib.CLEVR)


@pytest.mark.parametrize("name", ["image", "mask", "visibility", "num_actual_objects"])
def test_a_lacking_dataset_is_refused(tmp_path: Path, name: str) -> None:
    path = hdf5_sources.write(tmp_path / oclib.CLEVR.name, oclib.CLEVR, 5)
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(DataError, match=f"lacks dataset '{name}'"):
        oclib.parts(str(tmp_path), oclib.CLEVR)


def test_one_mask_an_object_is_refused_by_its_shape(tmp_path: Path) -> None:
    changed(tmp_path, oclib.CLEVR, "mask", lambda rows: np.zeros((5, 11, 128, 128, 1), "u1"))
    with pytest.raises(DataError, match=r"dataset 'mask' of .* has a wrong shape"):
        oclib.parts(str(tmp_path), oclib.CLEVR)


def test_more_scenes_than_published_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hdf5_sources.write(tmp_path / oclib.SHAPESTACKS.name, oclib.SHAPESTACKS, 5)
    fewer = replace(oclib.SHAPESTACKS, scenes=4)
    with pytest.raises(DataError, match="has too many scenes") as caught:
        oclib.parts(str(tmp_path), fewer)
    assert (caught.value.expected, caught.value.found) == ("4 at most", "5")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("image", lambda rows: rows.astype("f4") / 255, "the image of scene 0 of '.*' was scaled to 0..1"),
        ("image", with_value(256, "i4"), "the image of scene 3 of '.*' has values out of range"),
        ("image", with_value(-1, "f8"), "the image of scene 3 of '.*' has values out of range"),
        ("image", with_value(7.5, "f4"), "the image of scene 3 of '.*' has values that are not whole"),
        ("image", with_value(float("nan"), "f4"), "the image of scene 3 of '.*' has values that are not whole"),
        ("image", with_value(float("inf"), "f4"), "the image of scene 3 of '.*' has values out of range"),
        ("mask", with_value(11, "u1"), "the mask of scene 3 of '.*' has values out of range"),
        ("mask", with_value(-1, "i8"), "the mask of scene 3 of '.*' has values out of range"),
        ("mask", with_value(0.5, "f4"), "the mask of scene 3 of '.*' has values that are not whole"),
        ("num_actual_objects", with_value(float("nan"), "f4"), "'num_actual_objects' of scene 3 .* is no number"),
        ("num_actual_objects", with_value(11, "u1"), "'num_actual_objects' of scene 3 .* is no number of objects"),
        ("num_actual_objects", with_value(-1, "i4"), "'num_actual_objects' of scene 3 .* is no number of objects"),
        ("num_actual_objects", with_value(2.5, "f4"), "'num_actual_objects' of scene 3 .* is no number of objects"),
    ],
)
def test_bad_values_are_named_by_their_scene(tmp_path: Path, name: str, change: Callable, message: str) -> None:
    changed(tmp_path, oclib.CLEVR, name, change)
    with pytest.raises(DataError, match=message):
        list(oclib.read(str(tmp_path), oclib.CLEVR, 0, 5))


# the records


def test_downloads_are_the_published_files() -> None:
    for source in SOURCES:
        download = oclib.download(source)
        assert download.urls == (f"https://data-download.compute.dtu.dk/multi_object_datasets/{source.name}",)
        assert (download.checksum or "").removeprefix("sha256:") == source.sha256
        assert len(source.sha256) == 64
        assert "LICENSE" in download.license_note


# the command line


def test_prepare_verify_train_and_evaluate(ocbench: Callable, toy: Path, tmp_path: Path) -> None:
    raw = tmp_path / "data" / "raw" / "clevrtex"
    hdf5_sources.write(raw / oclib.CLEVRTEX.name, oclib.CLEVRTEX, 40, compression="gzip", chunks=True)
    ended = ocbench("prepare", "clevrtex", "--protocol", "oclib", "--executor", "local:1")
    assert ended.code == 5
    assert "hdf5 50,000" in ended.err
    assert "hdf5 40" in ended.err
    ended = ocbench("prepare", "clevrtex", "--protocol", "oclib", "--partial", "--executor", "local:1")
    assert ended.code == 0, ended.err
    prepared = tmp_path / "data" / "shards" / "clevrtex" / "oclib"
    keys = {path.parent.name: json.loads(path.read_text())["shards"] for path in prepared.glob("*/manifest.json")}
    assert {split: (len(found[0]["keys"]), found[0]["keys"][0]) for split, found in keys.items()} == {
        "train": (32, "clevrtex-oclib-000000"), "val": (4, "clevrtex-oclib-000032"),
        "test": (4, "clevrtex-oclib-000036"),
    }  # fmt: skip
    assert ocbench("verify", "clevrtex:train,val,test@oclib", "--deep").code == 0
    trained = ocbench("train", "toy", "--data", "clevrtex@oclib", "--steps", 1, "--device", "cpu")
    assert trained.code == 0, trained.err
    evaluated = ocbench("evaluate", "--device", "cpu")
    assert evaluated.code == 0, evaluated.err
    assert "mIoU" in evaluated.out


def test_other_protocols_say_what_lacks(ocbench: Callable, tmp_path: Path) -> None:
    hdf5_sources.write(tmp_path / "raw" / oclib.CLEVRTEX.name, oclib.CLEVRTEX, 4)
    ended = ocbench("prepare", "clevrtex", "--raw", tmp_path / "raw", "--protocol", "ast-paper")
    assert ended.code == 5
    assert "lacks 'camo', which split 'train' is made of" in ended.err
    assert "parts: hdf5" in ended.err
    assert "name a --protocol that is made of the parts found" in ended.err


WIRED = [source for source in SOURCES if source.dataset in registry.names("dataset")]


@pytest.mark.parametrize("source", WIRED, ids=[source.dataset for source in WIRED])
def test_every_dataset_reads_its_file_and_names_it_where_nothing_lies(tmp_path: Path, source: oclib.Source) -> None:
    spec = registry.dataset(source.dataset)
    with pytest.raises(DataError, match=source.name):
        spec.parts(str(tmp_path))
    hdf5_sources.write(tmp_path / source.name, source, 4)
    assert spec.parts(str(tmp_path)) == {"hdf5": Part(4, seekable=True, expected=source.scenes)}
    assert next(spec.read(str(tmp_path), "hdf5", 3, 4)).key == f"{source.dataset}-oclib-000003"
    assert spec.protocol("oclib") == oclib.protocol(source)
    assert oclib.download(source) in spec.downloads
