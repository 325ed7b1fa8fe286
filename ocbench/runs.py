"""The run directory: who writes what into it, and the records on disk.

run.json                 RunConfig: everything needed to repeat the run, written before the first step
scenes.txt               keys of the training scenes, one a line
log.jsonl                one JSON object per log step
checkpoints/<updates>/   and checkpoints/final/: the weights after the last update; a run is finished once it exists
scores/NAME.json, .jsonl ScoreSheet and one row a scene; NAME is <dataset>-<split>@<protocol>
panels/NAME.png          the first scenes of an evaluation; panels/training.png and curves.png: the training so far
gallery/NAME/            its best, worst and random scenes, for the HTML report
tensorboard/             event files, where TensorBoard is installed
ocbench.json, pulled.json, README.md    of a pulled run: what was published, where, and its card; it has no state.pt
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocbench import storage
from ocbench.errors import RunError

SHEET_SCHEMA = "ocbench.scores/1"
RUN_SCHEMA = "ocbench.run/1"
PULLED_SCHEMA = "ocbench.pulled/1"


@dataclass(frozen=True)
class RunConfig:
    """Everything needed to repeat a run."""

    model: str
    scenario: str
    preset: str
    dataset: str
    split: str
    protocol: str
    protocol_version: int
    size: tuple[int, int]  # (H, W)
    max_objects: int  # K
    fingerprint: str  # of the training split
    seed: int
    config: Mapping[str, Any]  # the model's settings after overrides
    overrides: tuple[str, ...] = ()  # what --set changed
    precision: str = "fp32"
    batch_size: int | None = None  # None: each phase's own
    steps: int | None = None  # at most this many updates in each phase: a trial
    deterministic: bool = False
    compile: bool = False
    stream: bool = False
    micro_batch: int | None = None  # scenes that a rank has in work at a time; None: its whole share of a batch
    init_from: str | None = None  # run and digest of the weights that it began with; None: random ones
    published: str | None = None  # the system of the published tables that preset, scenario and settings make
    has_background: bool = True
    partial: Mapping[str, Any] | None = None  # how the training set falls short of the protocol
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    shared: Mapping[str, str] = field(default_factory=dict)  # phase -> the run whose outcome was taken from the cache

    cost: Mapping[str, Any] = field(default_factory=dict)  # seconds, images, ranks, device, peak_bytes; of all calls

    # What may differ between two calls that are the same run.
    FREE = ("versions", "device", "shared", "micro_batch", "cost")

    @property
    def trained_on(self) -> str:
        """`dataset:split@protocol`."""
        return f"{self.dataset}:{self.split}@{self.protocol}"

    def save(self, run_dir: str | Path) -> None:
        """Writes run.json, whole or not at all."""
        record = {"schema": RUN_SCHEMA, **dataclasses.asdict(self)}
        write_json(Path(run_dir) / "run.json", record)

    @classmethod
    def load(cls, run_dir: str | Path) -> RunConfig:
        """The RunConfig of a run directory, or RunError."""
        path = Path(run_dir) / "run.json"
        record = read_json(path, RUN_SCHEMA, "run")
        known = {f.name for f in dataclasses.fields(cls)}
        record = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items() if k in known}
        try:
            return cls(**record)
        except TypeError as wrong:
            raise RunError(
                f"'{path}' lacks settings", found=str(wrong), hint="was it written by another version?"
            ) from None

    def difference(self, other: RunConfig) -> str | None:
        """The first setting that makes `other` another run, as 'name: here X, there Y', or None."""
        mine, theirs = (json.loads(json.dumps(dataclasses.asdict(c))) for c in (self, other))
        for name, value in mine.items():
            if name in self.FREE or value == theirs[name]:
                continue
            if isinstance(value, dict) and isinstance(theirs[name], dict):
                for key in sorted({*value, *theirs[name]}):
                    if value.get(key) != theirs[name].get(key):
                        return f"{name}.{key}: here {value.get(key)}, now {theirs[name].get(key)}"
            return f"{name}: here {value}, now {theirs[name]}"
        return None


@dataclass(frozen=True)
class MetricResult:
    """One metric over a split, as a fraction or in the metric's own unit (never per cent)."""

    metric: str
    label: str
    mean: float
    std: float  # over scenes, population
    scenes: int  # scenes in the mean
    undefined: int  # scenes whose score is NaN
    interval: tuple[float, float] | None  # bootstrap over scenes
    higher_is_better: bool = True
    scale: float = 1.0  # 100: shown per cent
    published: Mapping[str, Any] | None = None  # mean, std, runs, source of the published row; same unit as on screen


@dataclass(frozen=True)
class ScoreSheet:
    """All results of one run on one split."""

    run: Mapping[str, Any]  # name, model, scenario, preset, seed, dataset it was trained on
    dataset: str
    split: str
    protocol: str
    protocol_version: int
    fingerprint: str
    weights_digest: str
    scenes: int
    results: tuple[MetricResult, ...]
    special: Mapping[str, Any] = field(default_factory=dict)  # no_foreground, one_object, seen_in_training, partial
    environment: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)  # seconds, scenes_per_second
    settings: Mapping[str, Any] = field(default_factory=dict)  # seed, batch size, NaN policy, masks of the evaluation
    complete: bool = True

    def __getitem__(self, metric: str) -> MetricResult:
        for result in self.results:
            if result.metric == metric:
                return result
        raise KeyError(f"no '{metric}' in this sheet; it has {', '.join(r.metric for r in self.results)}")

    @property
    def name(self) -> str:
        """`<dataset>-<split>@<protocol>`: the stem of its files."""
        return sheet_name(self.dataset, self.split, self.protocol)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able record (NaN as null)."""
        record = {"schema": SHEET_SCHEMA, **dataclasses.asdict(self)}
        return _without_nan(record)

    def save(self, path: str | Path) -> None:
        """Writes the sheet, whole or not at all."""
        write_json(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> ScoreSheet:
        """The sheet at `path`, or RunError where it is missing, cut or of another schema."""
        record = read_json(Path(path), SHEET_SCHEMA, "score sheet")
        results = []
        for row in record.pop("results"):
            interval = row.pop("interval")
            numbers = {k: math.nan if row[k] is None else row[k] for k in ("mean", "std")}
            results.append(MetricResult(**{**row, **numbers, "interval": tuple(interval) if interval else None}))
        return cls(results=tuple(results), **record)


def short(partial: Mapping[str, Any]) -> str:
    """How a set falls short of its protocol, in words: "limit 40"."""
    return ", ".join(f"{name} {value}" for name, value in partial.items())


def sheet_name(dataset: str, split: str, protocol: str) -> str:
    """The stem of score and panel files."""
    return f"{dataset}-{split}@{protocol}"


def run_directory(
    runs_dir: str | Path, model: str, scenario: str, dataset: str, seed: int, name: str | None = None
) -> Path:
    """`<runs>/<model>-<scenario>-<dataset>-s<seed>`; `name` replaces all before `-s<seed>`."""
    return Path(runs_dir) / f"{name or f'{model}-{scenario}-{dataset}'}-s{seed}"


def is_finished(run_dir: str | Path) -> bool:
    """Whether the weights after the last update are there."""
    return (Path(run_dir) / "checkpoints" / "final" / "model.safetensors").is_file()


def is_published(folder: Path) -> bool:
    """Whether the folder is a publication, which holds run.json too, but is no run directory."""
    return (folder / "ocbench.json").is_file() and (folder / "model.safetensors").is_file()


def all_runs(runs_dir: str | Path) -> list[Path]:
    """Every run directory below `runs_dir`, oldest first."""
    found = [path.parent for path in Path(runs_dir).glob("*/run.json") if not is_published(path.parent)]
    return sorted(found, key=lambda path: ((path / "run.json").stat().st_mtime_ns, path.name))


def find_run(word: str, runs_dir: str | Path) -> Path:
    """The run directory that `word` means: a path, a name under `runs_dir`, or "last", the newest finished run."""
    if word == "last":
        finished = [path for path in all_runs(runs_dir) if is_finished(path)]
        if not finished:
            raise RunError(f"no finished run under '{runs_dir}'", hint="ocbench train MODEL, or ocbench demo")
        return max(finished, key=lambda p: (p / "checkpoints" / "final" / "model.safetensors").stat().st_mtime_ns)
    for path in (Path(word), Path(runs_dir) / word):
        if (path / "run.json").is_file() and not is_published(path):
            return path
    if is_published(Path(word)):
        raise RunError(f"'{word}' is a published run", hint=f"fetch it first: ocbench pull folder:{word}")
    known = ", ".join(path.name for path in all_runs(runs_dir)[-8:]) or "none"
    raise RunError(
        f"no run at '{word}'",
        expected="a run directory, its name, or 'last'",
        found=f"runs under '{runs_dir}': {known}",
    )


def pulled_from(run_dir: Path) -> str | None:
    """Where a pulled run was published, and at which commit; None for one that was trained here."""
    path = run_dir / "pulled.json"
    if not path.is_file():
        return None
    record = read_json(path, PULLED_SCHEMA, "record of a pull")
    return f"{record['from']}" + (f"   commit {record['commit']}" if record["commit"] else "")


def append_log(run_dir: str | Path, record: Mapping[str, Any]) -> None:
    """Adds one line to log.jsonl."""
    path = Path(run_dir) / "log.jsonl"
    line = json.dumps(_without_nan(dict(record))) + "\n"
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
    except OSError as wrong:
        raise storage.write_error(str(path), wrong, len(line)) from wrong


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The records of a JSON-lines file; a last line that a kill cut is left out, any other bad line is RunError."""
    return [record for _, record in json_lines(path)]


def json_lines(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each record of a JSON-lines file and the byte at which it begins, one at a time; as `read_log`."""
    if not Path(path).is_file():
        return
    with open(path, "rb") as file:
        start = 0
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
            except ValueError:
                if not file.read(1):  # the last line
                    return
                raise RunError(f"'{path}' is damaged at line {number}", hint="delete that line, or the file") from None
            yield start, record
            start += len(line)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all."""
    storage.make_folder(str(path.parent))
    storage.write_atomic(str(path), json.dumps(record, indent=1).encode())


def read_json(path: Path, schema: str, what: str) -> dict[str, Any]:
    """The record of a JSON file of that schema, without the schema's field; else RunError."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"no {what} at '{path}'") from None
    except (ValueError, UnicodeDecodeError) as wrong:
        raise RunError(f"the {what} '{path}' is damaged", found=str(wrong)) from None
    if not isinstance(record, dict) or record.pop("schema", None) != schema:
        raise RunError(f"'{path}' is not a {what} that this version reads", expected=f"schema {schema}")
    return record


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
