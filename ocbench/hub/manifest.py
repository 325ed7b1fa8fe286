"""What a published run holds: `ocbench.json` names every file with size and digest, and nothing else is ever read.

A publication is README.md (the model card), model.safetensors (the weights after the last update), run.json,
scenes.txt, log.jsonl, scores/ and panels/. No file in it is code or a pickle: fetching one can run nothing.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any

from ocbench.errors import RunError

SCHEMA = "ocbench.published/1"
MANIFEST, CARD, WEIGHTS = "ocbench.json", "README.md", "model.safetensors"
STEM = r"[A-Za-z0-9][A-Za-z0-9._@+-]*"
FILES = re.compile(
    rf"README\.md|model\.safetensors|run\.json|scenes\.txt|log\.jsonl|scores/{STEM}\.jsonl?|panels/{STEM}\.png"
)
EXPECTED = "README.md, model.safetensors, run.json, scenes.txt, log.jsonl, scores/*.json, *.jsonl, panels/*.png"
NEEDED = (WEIGHTS, "run.json")


@dataclass(frozen=True)
class Entry:
    """A published file."""

    path: str  # in the publication, with /
    size: int  # bytes
    sha256: str

    @property
    def local(self) -> str:
        """Its path in a run directory."""
        return f"checkpoints/final/{WEIGHTS}" if self.path == WEIGHTS else self.path


@dataclass(frozen=True)
class Manifest:
    """Whose weights are published, which plug-in builds their model, and every file."""

    ocbench: str  # version that published it
    run: str  # name of the run directory
    model: str
    distribution: str  # that offers the model
    version: str  # of the distribution
    weights_digest: str  # as in score sheets
    files: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Size of all files."""
        return sum(entry.size for entry in self.files)

    def to_bytes(self) -> bytes:
        """What ocbench.json holds; the same for the same files."""
        return (json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, indent=1) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Manifest:
        """What a stranger may have written; RunError where it is of another schema or names a wrong file."""
        try:
            record = json.loads(data)
        except ValueError as wrong:
            raise _wrong(where, "JSON", str(wrong)) from None
        if not isinstance(record, dict) or record.pop("schema", None) != SCHEMA:
            raise RunError(
                f"'{where}' holds no run that this version reads", expected=f"schema {SCHEMA} in {MANIFEST}",
                hint="a newer ocbench may have published it",
            )  # fmt: skip
        files = record.pop("files", None)
        if not isinstance(files, list):
            raise _wrong(where, "a list of files", repr(files)[:80])
        words = {field.name for field in dataclasses.fields(cls)} - {"files"}
        if set(record) != words or not all(isinstance(value, str) for value in record.values()):
            raise _wrong(where, "the words " + ", ".join(sorted(words)), ", ".join(sorted(map(str, record))))
        manifest = cls(**record, files=tuple(_entry(file, where) for file in files))
        paths = [entry.path for entry in manifest.files]
        if len(set(paths)) < len(paths) or not set(NEEDED) <= set(paths):
            raise _wrong(where, f"every file once, {' and '.join(NEEDED)} among them", ", ".join(paths)[:200])
        return manifest


def _entry(record: Any, where: str) -> Entry:
    kinds = {"path": str, "size": int, "sha256": str}
    if not isinstance(record, dict) or {name: type(value) for name, value in record.items()} != kinds:
        raise _wrong(where, "files with path, size and sha256", repr(record)[:120])
    entry = Entry(**record)
    if not FILES.fullmatch(entry.path):
        raise RunError(
            f"'{where}' names a file that no run has: nothing is fetched", expected=EXPECTED,
            found=repr(entry.path)[:120], hint="do not trust this publication",
        )  # fmt: skip
    if entry.size < 0 or not re.fullmatch("[0-9a-f]{64}", entry.sha256):
        raise _wrong(where, "sizes and SHA-256 digests", repr(record)[:160])
    return entry


def _wrong(where: str, expected: str, found: str) -> RunError:
    return RunError(f"the {MANIFEST} of '{where}' is damaged", expected=expected, found=found)
