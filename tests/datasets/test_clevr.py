"""CLEVR with masks: exact pixels, labels and facts, every bad source, and the protocols against pixels done by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tfrecord_sources as sources

import ocbench
from ocbench import imaging, jobs, open_dataset
from ocbench.datasets import clevr
from ocbench.errors import DataError, UnknownNameError
from ocbench.scene import Part, Scene

COUNT = 12
SAMPLE = Path(ocbench.__file__).parents[2] / "shared" / "samples" / "clevr_with_masks"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clevr")
    sources.write_clevr(folder, COUNT)
    return folder


def scenes(source: Path, start: int = 0, stop: int = COUNT, **reading: str) -> list[Scene]:
    return list(clevr.read(str(source), "clevr", start, stop, **reading))


def test_scenes_come_in_order_with_their_pixels_and_labels(raw: Path) -> None:
    found = scenes(raw, 3, 8)
    assert [scene.key for scene in found] == [f"clevr-{index:06d}" for index in range(3, 8)]
    for index, scene in enumerate(found, 3):
        features = sources.clevr_scene(index)
        assert np.array_equal(scene.image, features["image"])
        assert np.array_equal(scene.mask, features["mask"][..., 0].argmax(axis=0))
        assert scene.meta["num_objects"] == 3 + index % 8 == scene.mask.max()


def test_facts_of_the_objects(raw: Path) -> None:
    (scene,) = scenes(raw, 0, 1)
    assert scene.meta["index"] == 0
    assert [thing["label"] for thing in scene.meta["objects"]] == [1, 2, 3]
    assert scene.meta["objects"][1] == {
        "label": 2, "size": "large", "material": "rubber", "shape": "cube", "color": "green", "rotation": 0.5,
        "coords": [0.5, -0.5, 1.5], "pixel_coords": [1.5, 1.75, 2.0],
    }  # fmt: skip


def test_colours_may_be_swapped(raw: Path) -> None:
    plain, swapped = scenes(raw, 2, 3)[0], scenes(raw, 2, 3, channel_order="bgr")[0]
    assert np.array_equal(plain.image[:, :, ::-1], swapped.image)
    assert clevr.AST_EXACT.reading == {"channel_order": "bgr"}


@pytest.mark.parametrize("name", [clevr.FILE, f"clevr_with_masks_{clevr.FILE}"])
def test_what_lies_there(tmp_path: Path, name: str) -> None:
    path = sources.write_clevr(tmp_path, 3, name)
    for source in (tmp_path, path):
        assert clevr.parts(str(source)) == {"clevr": Part(None, seekable=False, expected=100_000)}
        assert clevr.parts(str(source), partial=True)["clevr"].scenes == 3


@pytest.mark.parametrize("written", ["entries", "one string", "members"])
def test_other_ways_of_writing_a_record_give_the_same_scenes(tmp_path: Path, raw: Path, written: str) -> None:
    features = [sources.clevr_scene(index) for index in range(2)]
    order = reversed(features[0]) if written == "entries" else features[0]
    if written == "one string":
        whole = {
            name: sources.delimited(0x0A, sources.delimited(0x0A, values.tobytes()))
            for name, values in features[0].items()
            if values.dtype == np.uint8
        }
        features[0] = features[0] | whole
    frames = [sources.frame(sources.example(features[0], list(order))), sources.frame(sources.example(features[1]))]
    members = frames if written == "members" else [b"".join(frames)]
    (tmp_path / clevr.FILE).write_bytes(sources.squeezed(*members))
    for there, here in zip(scenes(raw, 0, 2), scenes(tmp_path), strict=True):
        assert np.array_equal(there.image, here.image)
        assert np.array_equal(there.mask, here.mask)
        assert there.meta == here.meta


def test_masks_that_are_no_partition_go_to_the_largest_value(tmp_path: Path) -> None:
    features = sources.clevr_scene(0)
    features["mask"][:, 0, 0] = 0
    features["mask"][2:4, 0, 0, 0] = 200, 100
    features["mask"][:, 0, 1] = 0
    sources.write(tmp_path / clevr.FILE, [features])
    assert scenes(tmp_path)[0].mask[0, :2].tolist() == [2, 0]


def room_under_this_name(folder: Path) -> None:
    sources.write(folder / clevr.FILE, [sources.room_scene("train", 0)])


def changed(**features: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: sources.write(folder / clevr.FILE, [sources.clevr_scene(0) | features]) and None


def cut(folder: Path) -> None:
    path = sources.write_clevr(folder, 3)
    path.write_bytes(path.read_bytes()[:-3000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (room_under_this_name, "record 0 of .* is of another dataset\n.*230,400.*\n.*12,288 values, as in objectsroom"),
        (changed(mask=np.zeros(10 * 240 * 320, np.uint8)), "another number of masks\n.*11 of 240x320\n.*10 masks"),
        (changed(visibility=np.ones(7, np.float32)), "lacks facts of its objects\n.*visibility of 11 entities"),
        (changed(color=np.full(11, np.nan, np.float32)), r"lacks facts of its objects\n.*color of 11 entities"),
        (changed(color=np.full(11, 9, np.uint8)), r"has an unknown color\n.*codes 1\.\.8\n  found     9"),
        (changed(image=np.zeros(5, np.float32)), "lacks 'image'"),
        (cut, "ends early\n.*whole records before"),
        (lambda folder: (folder / clevr.FILE).write_text("<html>404</html>"), "is no TFRecord file"),
    ],
)  # fmt: skip
def test_a_bad_file_is_told(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(tmp_path)
    with pytest.raises(DataError, match=message):
        scenes(tmp_path)


def test_nothing_there_and_one_file_twice(tmp_path: Path) -> None:
    for source in (tmp_path / clevr.FILE, tmp_path / "missing"):
        with pytest.raises(DataError, match=f"no raw CLEVR under '{source}'"):
            clevr.parts(str(source))
    with pytest.raises(DataError, match=r"no raw CLEVR under '.*'\n.*clevr_with_masks_train.*clevr_10-full\.hdf5.*\n"):
        clevr.parts(str(tmp_path))
    for name in clevr.NAMES["clevr"]:
        sources.write_clevr(tmp_path, 1, name)
    with pytest.raises(DataError, match="one file under two names"):
        clevr.parts(str(tmp_path))
    with pytest.raises(UnknownNameError, match="no part of clevr named 'rooms'"):
        clevr.read(str(tmp_path), "rooms", 0, 1)


@pytest.mark.parametrize(
    ("name", "top", "left", "scale", "shift"),
    [("ast-paper", 24, 64, 1.5, 0.5), ("clevrtex-benchmark", 24, 64, 1.5, 0), ("genesis", 24, 64, 1.5, 0),
     ("iodine-crop", 29, 64, 1.5, 0.5), ("slot-attention", 29, 64, 1.5, 0.5), ("clevr6-ctb", 0, 40, 1.875, 0)],
)  # fmt: skip
def test_a_protocol_s_crop_and_filters_pick_the_pixels_that_they_say(
    name: str, top: int, left: int, scale: float, shift: float
) -> None:
    """Every pixel of this picture tells its own place, so that each picked one can be checked by hand."""
    rows, columns = np.mgrid[:240, :320]
    image = np.dstack([rows, columns % 256, columns // 256]).astype(np.uint8)
    scene = Scene("clevr-000000", image, (rows % 8).astype(np.uint8))
    protocol = clevr.DATASET.protocol(name)
    fitted, _ = jobs.fit(scene, protocol, max_objects=10)
    assert fitted.mask.shape == (128, 128)
    picked = [top + int((place + shift) * scale) for place in range(128)]
    assert fitted.mask[:, 5].tolist() == [row % 8 for row in picked]
    if name == "genesis":
        assert fitted.image[:, 0, 0].tolist() == picked
        assert fitted.image[0, :10, 1].tolist() == [left + int(place * 1.5) for place in range(10)]
    else:  # a ramp stays one under both linear filters, but for the edges and the rounding
        centres = top + (np.arange(1, 127) + 0.5) * scale - 0.5
        assert np.abs(fitted.image[1:-1, 0, 0] - centres).max() <= 0.5
    assert int(fitted.image[0, 0, 1]) in (left, left + 1)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the real scene is not here")
@pytest.mark.parametrize(
    ("name", "areas"),
    [
        ("clevrtex-benchmark", (11496, 567, 1041, 121, 0, 366, 0, 2793)),
        ("ast-paper", (11483, 576, 1031, 121, 0, 371, 0, 2802)),
        ("iodine-crop", (11408, 574, 1031, 121, 0, 370, 0, 2880)),
    ],
)
def test_the_real_scene_rebuilt_as_a_record(tmp_path: Path, name: str, areas: tuple[int, ...]) -> None:
    image = imaging.decode_image((SAMPLE / "CLEVR_image_0.png").read_bytes())[:, :, ::-1]
    masks = [imaging.decode_labels((SAMPLE / f"CLEVR_mask_0_{k}.png").read_bytes()) for k in range(11)]
    features = sources.clevr_features(np.ascontiguousarray(image), np.zeros((240, 320), np.uint8), 7)
    sources.write(tmp_path / clevr.FILE, [features | {"mask": np.stack(masks)[..., None]}])
    (scene,) = scenes(tmp_path)
    assert np.bincount(scene.mask.ravel()).tolist() == [64448, 1286, 2337, 273, 452, 823, 577, 6604]
    assert scene.image[92, 216, 0] > scene.image[92, 216, 2]  # object 1 is red
    fitted, lost = jobs.fit(scene, clevr.DATASET.protocol(name))
    assert np.bincount(fitted.mask.ravel()).tolist() == list(areas)
    assert lost
    assert (fitted.meta["num_objects"], fitted.meta["visible_objects"]) == (7, 5)


def test_from_the_command_line(ocbench: Callable, raw: Path, tmp_path: Path) -> None:
    """One pass for all splits; the same shards with workers, and from the file cut into members."""
    ended = ocbench("prepare", "clevr", "--raw", raw)
    assert ended.code == 5
    assert not list((tmp_path / "data").rglob("manifest.json"))
    fingerprints = []
    for workers in (1, 2):
        words = ("--partial", "--data-dir", tmp_path / f"d{workers}", "--executor", f"local:{workers}", "--json", "-q")
        ended = ocbench("prepare", "clevr", "--raw", raw, *words)
        assert ended.code == 0, ended.err
        fingerprints.append([(split["fingerprint"], split["shards"]) for split in json.loads(ended.out)["splits"]])
    assert fingerprints[0] == fingerprints[1]
    ended = ocbench("prepare", "clevr", "--raw", raw, "--partial", "--protocol", "clevr6", "--executor", "local:1")
    assert ended.code == 0, ended.err
    six = list(open_dataset("clevr", "train", "clevr6", str(tmp_path / "data")))
    assert {scene.meta["num_objects"] for scene in six} <= set(range(3, 7))
    assert len(six) == sum(3 + index % 8 <= 6 for index in range(2, 12))
    assert all(scene.meta["visible_objects"] < scene.meta["num_objects"] for scene in islice(six, 3))
    assert ocbench("verify", "clevr@clevr6", "--deep").code == 0
