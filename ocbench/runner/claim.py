"""Whose a run directory is: found to be this run's, refused, or made this run's; and where the run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from ocbench import storage
from ocbench.errors import RunError
from ocbench.recipe import with_later_settings
from ocbench.runner import checkpoint
from ocbench.runs import RunConfig, is_finished


def is_done(run: RunConfig, run_dir: Path, resume: str) -> bool:
    """Whether nothing is left to train; RunError where the folder holds anything but this run."""
    hint = f"choose a name: --name {_free_name(run_dir)}"
    if not (run_dir / "run.json").is_file():
        strange = [path.name for path in run_dir.glob("*") if path.suffix != ".part"]  # what a killed write left
        if strange:
            raise RunError(f"'{run_dir}' holds something that is no run", found=", ".join(strange[:5]), hint=hint)
        return False
    difference = with_later_settings(RunConfig.load(run_dir)).difference(run)
    if difference is not None:
        raise RunError(f"'{run_dir}' holds another run", found=difference, hint=hint)
    if resume == "never":
        raise RunError(f"'{run_dir}' holds a run already", hint=f"leave '--resume never' out, or {hint}")
    return resume == "auto" and is_finished(run_dir)


def claim(run: RunConfig, run_dir: Path, keys: Sequence[str]) -> None:
    """Writes run.json and the keys of the training scenes, where a call before did not; removes what it left half."""
    if not (run_dir / "run.json").is_file():
        run.save(run_dir)  # first of all: a folder that holds something else is nobody's
    if not (run_dir / "scenes.txt").is_file():
        storage.write_atomic(str(run_dir / "scenes.txt"), ("\n".join(keys) + "\n").encode())
    storage.make_folder(str(run_dir / "checkpoints"))
    for folder in (run_dir, run_dir / "checkpoints"):
        storage.clear_parts(str(folder))


def checkpoint_to_resume(run: RunConfig, run_dir: Path, resume: str) -> Path | None:
    """The newest whole checkpoint, or the one that was named; None where there is none yet."""
    if resume in ("auto", "never"):
        return checkpoint.newest_whole(run_dir)
    folder = Path(resume).resolve()
    if not folder.is_dir():
        there = ", ".join(str(path) for path in checkpoint.numbered(run_dir)) or "none"
        raise RunError(f"no checkpoint at '{resume}'", expected="auto, never, or a checkpoint's folder", found=there)
    origin = folder.parents[1]
    if (origin / "run.json").is_file():
        difference = with_later_settings(RunConfig.load(origin)).difference(run)
        if difference is not None:
            raise RunError(f"'{resume}' is a checkpoint of another run", found=difference)
    return folder


def _free_name(run_dir: Path) -> str:
    stem, _, seed = run_dir.name.rpartition("-s")
    taken = {path.name for path in run_dir.parent.glob("*")}
    return next(f"{stem}-{n}" for n in count(2) if f"{stem}-{n}-s{seed}" not in taken)
