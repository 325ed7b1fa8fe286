"""Verb: a model that lives in a Python of its own draws label maps for prepared scenes; only images are handed over.

The other Python runs `foreign_side.py` with the user's script, which defines

    predict(images) -> labels, or (labels, reconstructions)

    images           uint8 [B, H, W, 3]
    labels           integers [B, H, W] in 0..255, or soft masks, floats [B, S, H, W]
    reconstructions  floats [B, H, W, 3], images in [0, 1]

What it returns is written as `ocbench score` reads it, a file a scene. Scenes whose files are there are not asked for
again.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ocbench import foreign_side, imaging, storage
from ocbench.errors import PluginError, RunError, UsageError
from ocbench.prepared import PreparedSplit
from ocbench.scene import Scene, labels_of

SCHEMA = "ocbench.bridge/1"
LAST_LINES = 12  # of what the other side said, in an error
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Drawn:
    """Where the files lie and how many were made in this call."""

    labels: Path
    reconstructions: Path | None
    made: int


def draw(
    script: str, scenes: PreparedSplit, out: str | Path, *, python: str = "python3", batch_size: int = 16,
    progress: Progress = lambda done, of, what: None,
) -> Drawn:  # fmt: skip
    """Label maps of all scenes below `out`; PluginError with its last lines where the other side fails."""
    out = Path(out)
    _claim(out, script, scenes)
    todo = [at for at, key in enumerate(scenes.keys) if not (out / "labels" / f"{key}.png").is_file()]
    progress(len(scenes) - len(todo), len(scenes), "")
    if todo:
        with _other_side(python, script) as ask:
            for start in range(0, len(todo), batch_size):
                batch = [scenes[at] for at in todo[start : start + batch_size]]
                _write(out, batch, *ask(np.stack([scene.image for scene in batch])))
                progress(len(scenes) - len(todo) + start + len(batch), len(scenes), "")
    rebuilt = out / "reconstructions"
    return Drawn(out / "labels", rebuilt if rebuilt.is_dir() else None, len(todo))


def _claim(out: Path, script: str, scenes: PreparedSplit) -> None:
    """Refuses a folder with the label maps of another script or of other scenes."""
    if not Path(script).is_file():
        raise UsageError(f"no script at '{script}'", expected="a file that defines predict(images)")
    mine = {"schema": SCHEMA, "script": storage.sha256_of(script), "fingerprint": scenes.manifest.fingerprint}
    note = out / "bridge.json"
    if note.is_file():
        there = json.loads(note.read_text())
        other = [word for word in mine if there.get(word) != mine[word]]
        if other:
            raise RunError(f"'{out}' holds label maps of another {other[0]}", hint="choose another --out")
    elif out.is_dir() and any(out.iterdir()):
        raise RunError(f"'{out}' holds something else", hint="choose another --out")
    (out / "labels").mkdir(parents=True, exist_ok=True)
    storage.write_atomic(str(note), json.dumps(mine).encode())


@contextmanager
def _other_side(python: str, script: str) -> Iterator[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    """A function that sends images and returns labels and reconstructions; its process ends with the block."""
    with tempfile.TemporaryFile() as said:
        command = [python, str(foreign_side.__file__), script]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        except OSError as wrong:
            raise UsageError(f"'{python}' cannot be started", found=str(wrong), hint="--python PATH") from None
        assert process.stdin is not None
        assert process.stdout is not None
        give, take = process.stdin, process.stdout

        def ask(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            try:
                foreign_side.send(give, images)
                labels, rebuilt = foreign_side.receive(take), foreign_side.receive(take)
            except (OSError, ValueError, EOFError, struct.error) as wrong:
                raise _failed(process, said, f"{type(wrong).__name__}: {wrong}") from None
            if labels is None or rebuilt is None:
                raise _failed(process, said, "no answer")
            return labels, rebuilt

        try:
            yield ask
        finally:
            process.kill()
            process.wait()
            give.close()
            take.close()


def _failed(process: subprocess.Popen[Any], said: IO[bytes], found: str) -> PluginError:
    """What went wrong on the other side, in its own last words."""
    try:
        found = f"exit code {process.wait(timeout=10)}"
    except subprocess.TimeoutExpired:
        process.kill()
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:]
    return PluginError(
        "the script failed in its own Python", found="\n            ".join([found, *lines]),
        hint="mend the script and give the same command again: scenes that are done stay",
    )  # fmt: skip


def _write(out: Path, batch: Sequence[Scene], labels: np.ndarray, rebuilt: np.ndarray) -> None:
    """One file a scene, the reconstruction first: a label map says that all of its scene is there."""
    size = batch[0].mask.shape
    for scene, found in zip(batch, _labels(labels, len(batch), size), strict=True):
        if rebuilt.size:
            place = out / "reconstructions" / f"{scene.key}.npy"
            place.parent.mkdir(exist_ok=True)
            buffer = io.BytesIO()
            np.save(buffer, _picture(rebuilt, len(batch), size)[batch.index(scene)], allow_pickle=False)
            storage.write_atomic(str(place), buffer.getvalue())
        storage.write_atomic(str(out / "labels" / f"{scene.key}.png"), imaging.encode_labels(found))


def _labels(found: np.ndarray, count: int, size: tuple[int, ...]) -> list[np.ndarray]:
    """uint8 [H, W] of each scene."""
    if found.dtype.kind == "f" and found.ndim == 4 and found.shape[0] == count and found.shape[2:] == size:
        return [labels_of(each) for each in found]
    whole = found.dtype.kind in "iub" and found.shape == (count, *size)
    if not whole or found.min() < 0 or found.max() > 255:
        among = f" in {found.min()}..{found.max()}" if whole else ""
        height, width = size
        raise PluginError(
            "predict returned no label maps",
            expected=f"integers [{count}, {height}, {width}] in 0..255, or floats [{count}, S, {height}, {width}]",
            found=f"{found.dtype} {list(found.shape)}{among}",
        )
    return list(found.astype(np.uint8))


def _picture(found: np.ndarray, count: int, size: tuple[int, ...]) -> np.ndarray:
    """float32 [B, H, W, 3]."""
    if found.dtype.kind != "f" or found.shape != (count, *size, 3):
        raise PluginError(
            "predict returned no reconstructions", expected=f"floats [{count}, {size[0]}, {size[1]}, 3] in [0, 1]",
            found=f"{found.dtype} {list(found.shape)}",
        )  # fmt: skip
    return found.astype(np.float32)
