"""`ocbench predict` on pictures of all shapes: what it writes, that masks are the model's, and what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import ocbench as package
from ocbench import imaging

RUN = "toy-curriculum-squares-s0"


@pytest.fixture
def pictures(workplace):
    """Six scenes of the test split as pictures: as they are, wide, tall, JPEG, grey, turned by EXIF."""
    folder = workplace / "own"
    folder.mkdir()
    scenes = package.open_dataset("squares", "test", data_dir=str(workplace / "data"))[:6]
    exact, wide, tall, small, grey, turned = (Image.fromarray(scene.image) for scene in scenes)
    exact.save(folder / "a exact.png")
    wide.resize((90, 60)).save(folder / "b-wide.png")
    tall.resize((40, 70)).save(folder / "c-tall.jpg")
    small.resize((200, 200)).save(folder / "d.jpeg", quality=95)
    grey.convert("L").save(folder / "e-grey.png")
    marked = Image.Exif()
    marked[0x0112] = 6  # to be turned by a quarter
    turned.resize((90, 60)).save(folder / "f-turned.jpg", exif=marked)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_each_picture_gets_its_mask_overlay_reconstruction_and_slots(ocbench, workplace, pictures):
    ended = ocbench("predict", "last", pictures, "--out", workplace / "out", "--device", "cpu")
    assert ended.code == 0, ended.err
    names = sorted(f"{path.stem}.png" for path in pictures.iterdir() if path.suffix != ".txt")
    for kind in ("masks", "overlays", "reconstructions", "slots"):
        assert sorted(path.name for path in (workplace / "out" / kind).iterdir()) == names
    record = json.loads((workplace / "out" / "predictions.json").read_text())
    assert [one["size"] for one in record["pictures"]] == [[16, 16], [60, 90], [70, 40], [200, 200], [16, 16], [90, 60]]
    for one, name in zip(record["pictures"], names, strict=True):
        labels = imaging.decode_labels((workplace / "out" / "masks" / name).read_bytes())
        assert labels.shape == (16, 16)
        assert one["segments"] == [int(label) for label in np.unique(labels) if label]
        assert one["foreground"] == pytest.approx((labels > 0).mean(), abs=1e-4)
    assert imaging.decode_image((workplace / "out" / "sheet.png").read_bytes()).std() > 10
    assert "6 from" in ended.err


def test_masks_of_the_test_split_score_as_its_evaluation_does(ocbench, workplace):
    folder = workplace / "own"
    folder.mkdir()
    for scene in package.open_dataset("squares", "test", data_dir=str(workplace / "data")):
        (folder / f"{scene.key}.png").write_bytes(imaging.encode_image(scene.image, "png"))
    assert ocbench("predict", RUN, folder, "--out", workplace / "out", "--fit", "none").code == 0
    scored = ocbench("score", workplace / "out" / "masks", "--data", "squares:test", "--metrics", "miou", "--json")
    evaluated = ocbench("evaluate", RUN, "--metrics", "miou", "--json")
    means = [json.loads(ended.out) for ended in (scored, evaluated)]
    assert means[0]["sheets"][0]["results"][0]["mean"] == means[1]["sheets"][0]["results"][0]["mean"]


def test_what_cannot_be_read_is_named_before_anything_is_written(ocbench, workplace, pictures):
    (pictures / "z-cut.png").write_bytes((pictures / "b-wide.png").read_bytes()[:100])
    ended = ocbench("predict", RUN, pictures, "--out", workplace / "out")
    assert ended.code == 5
    assert "1 of 7 pictures cannot be read" in ended.err
    assert "z-cut.png" in ended.err
    assert not (workplace / "out").exists()
    ended = ocbench("predict", RUN, pictures, "--out", workplace / "out", "--skip-unreadable")
    assert ended.code == 0
    assert "skipped" in ended.err
    assert len(json.loads((workplace / "out" / "predictions.json").read_text())["unreadable"]) == 1


def test_nothing_of_the_users_is_replaced(ocbench, workplace, pictures):
    words = ("predict", RUN, pictures / "d.jpeg", "--out")
    for options in ((), ("--overwrite",)):
        ended = ocbench(*words, pictures, *options)
        assert ended.code == 2
        assert "is not empty" in ended.err
    assert (pictures / "notes.txt").exists()
    assert ocbench(*words, workplace / "out").code == 0
    ended = ocbench(*words, workplace / "out")
    assert ended.code == 2
    assert "--overwrite" in ended.err
    assert ocbench("predict", RUN, pictures, "--out", workplace / "out", "--overwrite").code == 0
    assert len(list((workplace / "out" / "masks").iterdir())) == 6


@pytest.mark.parametrize(
    ("spoil", "words", "code", "says"),
    [
        (lambda folder: None, ("--fit", "none"), 5, "--fit crop"),
        (lambda folder: shutil.copy(folder / "d.jpeg", folder / "b-wide.webp"), (), 5, "two of 'b-wide'"),
        (lambda folder: shutil.rmtree(folder), (), 5, "no pictures at"),
        (lambda folder: [path.unlink() for path in folder.glob("[a-f]*")], (), 5, "no pictures in"),
        (lambda folder: None, ("--masks", "others"), 3, "set of masks"),
        (lambda folder: None, ("--checkpoint", "77"), 6, "no checkpoint '77'"),
    ],
)
def test_what_cannot_be_meant_ends_in_one_error(ocbench, workplace, pictures, spoil, words, code, says):
    spoil(pictures)
    ended = ocbench("predict", RUN, pictures, "--out", workplace / "out", *words)
    assert ended.code == code, ended.err
    assert says in ended.err
    assert not (workplace / "out").exists()


def test_a_dry_run_writes_nothing(ocbench, workplace, pictures):
    ended = ocbench("predict", RUN, pictures, "--out", workplace / "out", "--dry-run", "--limit", 2, "--json")
    assert json.loads(ended.out)["pictures"] == ["a exact.png", "b-wide.png"]
    assert not (workplace / "out").exists()
