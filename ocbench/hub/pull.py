"""Verb: a publication -> a run directory: every file checked, written beside and renamed whole, none of it run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocbench import registry, storage
from ocbench.errors import PluginError, RunError, UnknownNameError, UsageError
from ocbench.hub.manifest import CARD, MANIFEST, STEM, WEIGHTS, Entry, Manifest
from ocbench.hub.places import Place, copy
from ocbench.runs import PULLED_SCHEMA, RunConfig, ScoreSheet, write_json

Progress = Callable[[int, int, str], None]
LARGEST_HEADER = 100_000_000  # bytes; the format's own limit


@dataclass(frozen=True)
class Found:
    """A publication at a certain commit."""

    place: Place
    manifest: Manifest


def look(place: Place) -> Found:
    """What is published at a place; RunError or UnknownNameError where it cannot be fetched or used here."""
    place = place.pinned()
    manifest = Manifest.parse(place.file(MANIFEST).read_bytes(), place.word)
    _check_model(manifest)
    return Found(place, manifest)


def pull(found: Found, runs_dir: str, name: str | None = None, progress: Progress | None = None) -> tuple[Path, bool]:
    """The run directory of a publication, and whether it was there already; RunError where it holds anything else."""
    place, manifest = found.place, found.manifest
    run_dir = Path(runs_dir) / _checked_name(name or place.name)
    if run_dir.exists():
        _refuse_other(run_dir, manifest)
        return run_dir, True
    with storage.replacing_folder(str(run_dir)) as folder:
        beside, done = Path(folder), 0
        for entry in manifest.files:
            _take(place, entry, beside / entry.local)
            done += entry.size
            if progress is not None:
                progress(done, manifest.size, entry.path)
        _complete(beside, found)
        _check(beside, found)
    return run_dir, False


def _check_model(manifest: Manifest) -> None:
    """Refuses a model that is not installed, and one of another distribution."""
    if not re.fullmatch(STEM, manifest.distribution) or not re.fullmatch(r"[A-Za-z0-9.+!-]+", manifest.version):
        raise RunError(f"{MANIFEST} names no distribution", found=repr(manifest.distribution + manifest.version)[:80])
    known = registry.names("model")
    wanted = f"{manifest.distribution}=={manifest.version}"
    if manifest.model not in known:
        raise UnknownNameError(
            "model", manifest.model, known,
            hint=f"it comes with the package '{manifest.distribution}'; if you trust it: pip install '{wanted}'",
        )  # fmt: skip
    if (owner := registry.distribution("model", manifest.model)) != manifest.distribution:
        raise PluginError(
            f"the model '{manifest.model}' is another one here",
            expected=f"that of '{manifest.distribution}'", found=f"that of '{owner}'",
        )  # fmt: skip


def _checked_name(name: str) -> str:
    if not re.fullmatch(STEM, name):
        raise UsageError(f"'{name}' is no name for a run", expected="letters, digits and . _ @ + -", hint="--name NAME")
    return name


def _refuse_other(run_dir: Path, manifest: Manifest) -> None:
    """RunError unless the folder holds the same run, file by file; the card does not count."""
    differing = [
        entry.local for entry in manifest.files
        if entry.path != CARD and _differs(run_dir / entry.local, entry)
    ]  # fmt: skip
    if differing:
        raise RunError(
            f"'{run_dir}' holds something else", found=f"other or no {', '.join(differing[:5])}",
            hint="choose a name: --name NAME, or move that folder away",
        )  # fmt: skip


def _differs(path: Path, entry: Entry) -> bool:
    if not path.is_file() or path.stat().st_size != entry.size:
        return True
    return storage.sha256_of(str(path)) != entry.sha256


def _take(place: Place, entry: Entry, target: Path) -> None:
    """Copies a file and checks the copy."""
    source = place.file(entry.path)
    storage.make_folder(str(target.parent))
    with open(target, "wb") as out:
        copy(source, out)
    if _differs(target, entry):
        raise RunError(
            f"'{entry.path}' of '{place.word}' is not what was published",
            expected=f"{entry.size:,} bytes, SHA-256 {entry.sha256[:16]}…",
            found=f"{target.stat().st_size:,} bytes, SHA-256 {storage.sha256_of(str(target))[:16]}…",
            hint=f"if it stays so, remove '{source}' and pull again, or tell who published it",
        )


def _complete(beside: Path, found: Found) -> None:
    """Adds what a run directory has that a publication lacks, and where it is from."""
    place, manifest = found.place, found.manifest
    digests = {entry.path: entry.sha256 for entry in manifest.files if entry.path == WEIGHTS}
    storage.write_atomic(str(beside / "checkpoints" / "final" / "digests.json"), json.dumps(digests).encode())
    storage.write_atomic(str(beside / MANIFEST), manifest.to_bytes())
    origin = {"from": place.word, "commit": place.commit, "run": manifest.run, "ocbench": manifest.ocbench}
    write_json(beside / "pulled.json", {"schema": PULLED_SCHEMA, **origin})


def _check(beside: Path, found: Found) -> None:
    """Whether it reads as a run; RunError tells what is wrong before anything is there."""
    run = RunConfig.load(beside)
    if run.model != found.manifest.model:
        raise RunError("run.json and ocbench.json differ", expected=found.manifest.model, found=str(run.model))
    for path in sorted((beside / "scores").glob("*.json")):
        if ScoreSheet.load(path).weights_digest != found.manifest.weights_digest:
            raise RunError(f"scores/{path.name} are of other weights than those published")
    _check_weights(beside / "checkpoints" / "final" / WEIGHTS)


def _check_weights(path: Path) -> None:
    """Whether the header is that of a safetensors file: its length, then JSON."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: Any = None
        if length <= min(LARGEST_HEADER, path.stat().st_size - 8):
            try:
                header = json.loads(file.read(length))
            except ValueError:
                header = None
    if not isinstance(header, dict):
        raise RunError(f"'{WEIGHTS}' is no safetensors file", hint="tell who published it")
