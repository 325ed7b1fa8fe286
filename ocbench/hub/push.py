"""Verb: a finished run -> a publication: what is sent, proved to build and to hold these weights, and sent."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ocbench import __version__, registry, settings, storage
from ocbench.errors import OcbenchError, RunError, UsageError
from ocbench.hub import private
from ocbench.hub.card import card
from ocbench.hub.manifest import CARD, FILES, MANIFEST, WEIGHTS, Entry, Manifest
from ocbench.hub.places import Place
from ocbench.runs import RUN_SCHEMA, RunConfig, ScoreSheet, is_finished, read_log

LARGEST = 20_000_000  # bytes of a log or a picture; larger ones stay here


@dataclass(frozen=True)
class Publication:
    """What is sent, and what there is to say about it."""

    manifest: Manifest
    files: Mapping[str, bytes | Path]  # by path in the publication, ocbench.json among them
    card: str
    notes: tuple[str, ...]  # what is left out, or published under another name


def publication(
    run_dir: Path, place: Place, *, instead: Sequence[str] = (), licence: str | None = None
) -> Publication:  # fmt: skip
    """What of a finished run is published; RunError where it is not finished, or would not be the same elsewhere.

    `instead` are KEY=VALUE for settings that name a folder of this machine: what others can find in its place.
    """
    if not is_finished(run_dir):
        raise RunError(
            f"'{run_dir}' is not finished", expected="weights after the last update", hint="train it to its end first"
        )
    here = RunConfig.load(run_dir)
    plugin = registry.model(here.model)
    run, notes = _for_others(here, instead)
    digest = _proved(run, run_dir)
    files: dict[str, bytes | Path] = {WEIGHTS: _weights(run_dir)}
    files["run.json"] = _json({"schema": RUN_SCHEMA, **dataclasses.asdict(run)})
    if (run_dir / "scenes.txt").is_file():  # an evaluation elsewhere must know them, too
        files["scenes.txt"] = (run_dir / "scenes.txt").read_bytes()
    sheets: list[ScoreSheet] = []
    for name, content, note in [*_scores(run_dir, digest, sheets), *_extras(run_dir)]:
        if note:
            notes.append(f"'{name}' stays here: {note}")
        else:
            files[name] = content
    if not sheets:
        notes.append("no scores to publish; ocbench evaluate makes them")
    owner = registry.distribution("model", run.model)
    manifest = Manifest(
        ocbench=__version__, run=run_dir.resolve().name, model=run.model, distribution=owner, version=version(owner),
        weights_digest=digest, files=tuple(_entry(name, content) for name, content in files.items()),
    )  # fmt: skip
    text = card(run, sheets, plugin, manifest, place.public, plugin.license if licence is None else licence)
    files[CARD] = text.encode()
    manifest = dataclasses.replace(manifest, files=(*manifest.files, _entry(CARD, files[CARD])))
    return Publication(manifest, {**files, MANIFEST: manifest.to_bytes()}, text, tuple(notes))


def push(what: Publication, place: Place, *, overwrite: bool = False, hidden: bool = False) -> str:
    """Sends a publication and returns where it is; RunError where another run, or anything else, lies there."""
    before = place.before()
    if before is not None and (before.run, before.model) != (what.manifest.run, what.manifest.model) and not overwrite:
        raise RunError(
            f"'{place.word}' holds another run", expected=what.manifest.run, found=before.run,
            hint="choose another place, or add --overwrite to replace it",
        )  # fmt: skip
    gone = sorted({entry.path for entry in before.files} - set(what.files)) if before else []
    return place.send(what.files, gone, f"{what.manifest.run}, by ocbench {__version__}", hidden)


def _for_others(run: RunConfig, instead: Sequence[str]) -> tuple[RunConfig, list[str]]:
    """The run as it is told to others: without places of this machine, or with what is named in their place."""
    local = [key for key, value in run.config.items() if private.scrubbed(value, {}) != value]
    for word in instead:
        if (key := word.partition("=")[0]) not in local:
            expected = ", ".join(local) or "no -s at all"
            raise UsageError(f"-s {word}: '{key}' names no place on this machine", expected=expected)
    told = dataclasses.asdict(run) | (_renamed(run, instead) if instead else {})
    told = private.scrubbed(told, private.names_of_machine())
    notes = [f"setting '{key}' is published as {told['config'][key]!r}" for key in local]
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in told.items()}
    return RunConfig(**fields), notes


def _renamed(run: RunConfig, instead: Sequence[str]) -> dict[str, Any]:
    """Settings and what they change of the preset, with some of them replaced."""
    preset = registry.model(run.model).presets[run.preset]
    config = settings.override(settings.from_json(type(preset), run.config), instead)
    return {"config": settings.to_json(config), "overrides": settings.differences(preset, config)}


def _proved(run: RunConfig, run_dir: Path) -> str:
    """The digest of the weights, after the model was built from what is published and has taken them."""
    from ocbench.runner import checkpoint, restore

    folder = checkpoint.final(run_dir)
    try:
        model = restore.build(run)
        checkpoint.load_weights(folder, model)
    except OcbenchError as wrong:
        raise RunError(
            "others could not build this model from what would be published", found=wrong.message,
            hint="say what stands for a folder of this machine: -s KEY=VALUE, such as a name on the hub",
        ) from wrong  # fmt: skip
    return checkpoint.weights_digest(model)


def _weights(run_dir: Path) -> Path:
    return run_dir / "checkpoints" / "final" / WEIGHTS


def _scores(run_dir: Path, digest: str, sheets: list[ScoreSheet]) -> Iterator[tuple[str, bytes | Path, str]]:
    """(path, content, why not) of each sheet and its rows; sheets of these weights are added to `sheets`."""
    names = private.names_of_machine()
    for path in sorted((run_dir / "scores").glob("*.json")):
        sheet, name = ScoreSheet.load(path), f"scores/{path.name}"
        if sheet.weights_digest != digest:
            yield name, b"", f"scores of other weights ({sheet.run.get('checkpoint', 'unknown')})"
            continue
        if not FILES.fullmatch(name):
            yield name, b"", "its name has unusual characters"
            continue
        sheets.append(sheet)
        yield name, _json(private.scrubbed(json.loads(path.read_text(encoding="utf-8")), names)), ""
        rows = path.with_suffix(".jsonl")
        if rows.is_file():
            yield f"scores/{rows.name}", rows, ""


def _extras(run_dir: Path) -> Iterator[tuple[str, bytes | Path, str]]:
    """(path, content, why not) of the log and the pictures."""
    log = run_dir / "log.jsonl"
    if log.is_file():
        lines = [json.dumps(private.scrubbed(line, private.names_of_machine())) + "\n" for line in read_log(log)]
        content = "".join(lines).encode()
        yield "log.jsonl", content, _too_large(len(content))
    for path in sorted((run_dir / "panels").glob("*.png")):
        name = f"panels/{path.name}"
        strange = "" if FILES.fullmatch(name) else "its name has unusual characters"
        yield name, path, strange or _too_large(path.stat().st_size)


def _too_large(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size > LARGEST else ""


def _entry(name: str, content: bytes | Path) -> Entry:
    if isinstance(content, bytes):
        return Entry(name, len(content), hashlib.sha256(content).hexdigest())
    return Entry(name, content.stat().st_size, storage.sha256_of(str(content)))


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1).encode()
