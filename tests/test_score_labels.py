"""`ocbench score`: the sheet of a run from its saved label maps, in every format, and what is refused."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ocbench
from ocbench.runs import ScoreSheet

RUN = "toy-curriculum-squares-s0"
METRICS = "miou,miou_fg,miou@union,ari_fg,msc_fg,pq"
STEM = "squares-test@native"


@pytest.fixture
def call(ocbench: Callable, workplace: Path) -> Callable:
    """Calls the command line, in the folder that holds data and runs; what it prints, once it has ended as expected."""

    def called(words: str, code: int = 0) -> Any:
        ended = ocbench(*words.split())
        assert ended.code == code, ended.err
        return ended

    return called


@pytest.fixture
def saved(workplace: Path, call: Callable) -> Path:
    """A folder of label maps that `evaluate` saved."""
    call(f"evaluate {RUN} --metrics {METRICS} --save-labels {workplace / 'saved'} -q")
    return workplace / "saved"


def arrays(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def as_arrays(folder: Path, to: Path) -> Path:
    to.mkdir()
    for key, labels in arrays(folder).items():
        np.save(to / f"{key}.npy", labels.astype(np.int64))
    return to


def as_soft(folder: Path, to: Path) -> Path:
    to.mkdir()
    for key, labels in arrays(folder).items():
        np.savez(to / f"{key}.npz", np.moveaxis(np.eye(256, dtype=np.float32)[labels][..., :9], -1, 0))
    return to


def as_one_file(folder: Path, to: Path) -> Path:
    np.savez(to.with_suffix(".npz"), **arrays(folder))
    return to.with_suffix(".npz")


def as_stack(folder: Path, to: Path) -> Path:
    found, keys = arrays(folder), ocbench.open_dataset("squares", data_dir=str(folder.parent / "data")).keys
    np.save(to.with_suffix(".npy"), np.stack([found[key] for key in keys]))
    return to.with_suffix(".npy")


def as_tar(folder: Path, to: Path) -> Path:
    with tarfile.open(to.with_suffix(".tar"), "w") as tar:
        for path in sorted(folder.iterdir(), reverse=True):
            tar.add(path, f"{path.stem}.labels.png")
    return to.with_suffix(".tar")


def as_colours(folder: Path, to: Path) -> Path:
    to.mkdir()
    ramp = np.arange(256)
    colours = np.stack([ramp, 255 - ramp, ramp * 7 % 256], axis=1).astype(np.uint8)  # in the order of the labels
    for key, labels in arrays(folder).items():
        Image.fromarray(colours[labels]).save(to / f"{key}.png")
    return to


def sheet(workplace: Path, run: str) -> ScoreSheet:
    return ScoreSheet.load(workplace / "runs" / run / "scores" / f"{STEM}.json")


def rows(workplace: Path, run: str) -> list[dict]:
    text = (workplace / "runs" / run / "scores" / f"{STEM}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()[1:]]


FORMATS = {"png": lambda folder, to: folder, "npy": as_arrays, "soft": as_soft, "npz": as_one_file, "stack": as_stack,
           "tar": as_tar, "colours": as_colours}  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_saved_label_maps_give_the_sheet_of_the_run(saved: Path, call: Callable, workplace: Path, kind: str) -> None:
    labels = FORMATS[kind](saved, workplace / "again")
    call(f"score {labels} --data squares --name again --metrics {METRICS} --seed 4")
    mine, theirs = sheet(workplace, "again-labels-squares-s4"), sheet(workplace, RUN)
    if kind == "colours":  # which have an order, but no numbers: on these the plain mIoU depends
        for name in ("miou@union", "ari_fg", "msc_fg", "pq"):
            assert mine[name] == theirs[name]
        return
    assert mine.results == theirs.results
    assert (mine.fingerprint, mine.scenes, mine.special["partial"]) == (theirs.fingerprint, 24, None)
    assert rows(workplace, "again-labels-squares-s4") == rows(workplace, RUN)


def test_scoring_needs_no_torch(saved: Path, workplace: Path) -> None:
    words = ["score", str(saved), "--data", "squares:test", "--data-dir", str(workplace / "data")]
    words += ["--runs-dir", str(workplace / "runs")]
    code = (
        f"import sys\nfrom ocbench.cli import main\ntry:\n    main({words!r})\nexcept SystemExit as stop:\n"
        "    assert stop.code == 0, stop.code\nprint(sorted(set(sys.modules) & {'torch', 'transformers'}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


def test_a_report_lays_scored_label_maps_beside_runs(saved: Path, call: Callable, workplace: Path) -> None:
    call(f"score {saved} --data squares --name theirs --metrics {METRICS} -q")
    told = call("report")
    assert told.out.count("| theirs labels") == 1
    assert "toy curriculum" in told.out


def test_reconstructions_are_scored_too(saved: Path, call: Callable, workplace: Path) -> None:
    (workplace / "drawn").mkdir()
    for scene in ocbench_scenes(workplace):
        np.save(workplace / "drawn" / f"{scene.key}.npy", scene.image.astype(np.float32) / 255 + 0.5)
    call(f"score {saved} --data squares --reconstructions {workplace / 'drawn'} --metrics mse@mean")
    assert sheet(workplace, "saved-labels-squares-s0")["mse@mean"].mean == pytest.approx(0.25, rel=1e-6)


def ocbench_scenes(workplace: Path) -> list:
    return list(ocbench.open_dataset("squares", data_dir=str(workplace / "data")))


def test_a_csv_file_matches_other_names(saved: Path, call: Callable, workplace: Path) -> None:
    with open(workplace / "map.csv", "w", newline="") as file:
        for number, path in enumerate(sorted(saved.iterdir())):
            csv.writer(file).writerow([path.stem, f"out/{number}.png"])
            path.rename(saved / f"{number}.png")
    call(f"score {saved} --data squares --map {workplace / 'map.csv'} --metrics {METRICS}")
    assert sheet(workplace, "saved-labels-squares-s0").results == sheet(workplace, RUN).results


def first(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def spoil_missing(folder: Path) -> None:
    first(folder).unlink()


def spoil_extra(folder: Path) -> None:
    shutil.copy(first(folder), folder / "stranger.png")


def spoil_unreadable(folder: Path) -> None:
    first(folder).write_bytes(first(folder).read_bytes()[:40])


def spoil_size(folder: Path) -> None:
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(first(folder))


def spoil_range(folder: Path) -> None:
    path = first(folder)
    np.save(path.with_suffix(".npy"), np.asarray(Image.open(path)).astype(int) + 1000)
    path.unlink()


FAULTS = {  # fault -> what is done, what is told, scenes left when it is allowed
    "missing": (
        spoil_missing,
        r"1 label maps in (?s:.*) are missing(?s:.*)--allow missing leaves these scenes out",
        23,
    ),
    "extra": (spoil_extra, r"1 label maps in (?s:.*) are extra: 'stranger'", 24),
    "unreadable": (spoil_unreadable, r"1 of 24 label maps are faulty: (?s:.*) cannot be decoded", 23),
    "size": (spoil_size, r"1 of 24 label maps are faulty: (?s:.*) has 5x5\n  expected  \d+x\d+(?s:.*)--resize", 23),
    "range": (spoil_range, r"1 of 24 label maps are faulty: (?s:.*)out of range(?s:.*)--allow range renumbers", 24),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_counted_named_and_refused_unless_allowed(
    saved: Path, call: Callable, workplace: Path, fault: str
) -> None:
    spoil, told, left = FAULTS[fault]
    spoil(saved)
    refused = call(f"score {saved} --data squares", code=5)
    assert re.search(told, refused.err), refused.err
    assert not (workplace / "runs" / "saved-labels-squares-s0" / "scores" / f"{STEM}.json").exists()
    call(f"score {saved} --data squares --allow {fault}")
    found = sheet(workplace, "saved-labels-squares-s0")
    assert found.scenes == left
    assert (found.special["partial"] is None) == (left == 24)
