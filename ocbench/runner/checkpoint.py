"""The training state on disk: a folder that is whole or absent.

`model.safetensors` holds weights and buffers, `state.pt` (loaded weights-only) optimisers, phase, step and the
generators of each rank, `digests.json` the SHA-256 of both. Configuration comes from run.json, never from here.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from ocbench import storage
from ocbench.errors import RunError

log = logging.getLogger(__name__)
WEIGHTS, STATE, DIGESTS, FINAL = "model.safetensors", "state.pt", "digests.json", "final"


def save(folder: Path, model: nn.Module, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint of the model as it is; see `write`."""
    write(folder, weights_of(model), state)


def write(folder: Path, weights: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Writes a checkpoint beside its place and renames it; DataError on a full disk, which leaves the others whole."""
    pickled = io.BytesIO()
    torch.save(dict(state), pickled)
    files = {WEIGHTS: as_bytes(weights), STATE: pickled.getvalue()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    with storage.replacing_folder(str(folder)) as beside:
        for name, data in {**files, DIGESTS: json.dumps(digests).encode()}.items():
            storage.write_atomic(f"{beside}/{name}", data)


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all parameters and buffers, on the host."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}


def copied(value: Any) -> Any:
    """The same nest of dicts and lists with copies of its tensors, on the host."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


def as_bytes(weights: Mapping[str, torch.Tensor]) -> bytes:
    """What a file of weights holds."""
    return safetensors.torch.save(dict(weights))


def read(path: Path) -> dict[str, torch.Tensor]:
    """What `as_bytes` made, from a file known to be whole."""
    return safetensors.torch.load_file(path)


def weights_digest(model: nn.Module) -> str:
    """Hexadecimal SHA-256 of names, types, shapes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(weights_of(model).items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()


def fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        digests = json.loads((folder / DIGESTS).read_text())
        for name in (WEIGHTS, STATE) if STATE in digests else (WEIGHTS,):  # a pulled run has no state
            if not (folder / name).is_file():
                return f"'{name}' is missing"
            if storage.sha256_of(str(folder / name)) != digests[name]:
                return f"'{name}' has {(folder / name).stat().st_size:,} bytes that are not those written"
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        return f"{type(wrong).__name__}: {wrong}"
    return None


def load_weights(folder: Path, model: nn.Module) -> None:
    """Fills the model; RunError where the checkpoint is damaged or of another model."""
    wrong = fault(folder)
    if wrong is not None:
        raise RunError(f"checkpoint '{folder}' is damaged", found=wrong, hint="name another one, or train again")
    try:
        model.load_state_dict(read(folder / WEIGHTS))
    except RuntimeError as mismatch:
        lines = str(mismatch).splitlines()
        raise RunError(
            f"checkpoint '{folder}' is not of this model", found=" ".join(line.strip() for line in lines[1:3])
        ) from None


def load_state(folder: Path) -> dict[str, Any]:
    """The training state of a checkpoint that `load_weights` accepted; RunError where it is of a pulled run."""
    if STATE not in json.loads((folder / DIGESTS).read_text()):
        raise RunError(f"'{folder}' holds weights alone, from which no training goes on", hint="--init-from RUN begins")
    return torch.load(folder / STATE, map_location="cpu", weights_only=True)


def final(run_dir: Path) -> Path:
    """The checkpoint after the last update; RunError where the run has not come so far, or it is damaged."""
    folder = run_dir / "checkpoints" / FINAL
    if (wrong := fault(folder)) is not None:
        raise RunError(f"no whole final weights in '{run_dir}'", found=wrong, hint="train it to its end first")
    return folder


def identity(folder: Path) -> str:
    """Run and weights of a checkpoint, in a word."""
    digests = json.loads((folder / DIGESTS).read_text())
    return f"{folder.resolve().parents[1].name} {digests[WEIGHTS][:16]}"


def numbered(run_dir: Path) -> list[Path]:
    """The checkpoints of a run by updates done, newest last."""
    folder = run_dir / "checkpoints"
    found = [path for path in folder.glob("*") if path.name.isdigit()] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name))


def newest_whole(run_dir: Path) -> Path | None:
    """The newest checkpoint that is whole; damaged ones are passed over with a warning. RunError if all are damaged."""
    found = numbered(run_dir)
    for path in reversed(found):
        wrong = fault(path)
        if wrong is None:
            return path
        log.warning("checkpoint '%s' is damaged (%s); going back to the one before", path, wrong)
    if found:
        raise RunError(
            f"every checkpoint of '{run_dir}' is damaged", found=", ".join(path.name for path in found),
            hint="move the run directory away, or choose another --name",
        )  # fmt: skip
    return None


def prune(run_dir: Path, keep: int, always: set[int]) -> None:
    """Removes all but the last `keep` checkpoints and those after `always` updates."""
    for path in numbered(run_dir)[:-keep]:
        if int(path.name) not in always:
            storage.remove(str(path))
