"""Verb: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from ocbench import __version__, registry, storage
from ocbench.errors import OcbenchError
from ocbench.prepared import PreparedSplit, prepared_splits, split_directory
from ocbench.runs import all_runs, is_finished

ENOUGH = 2e9  # bytes free: the built-in data, their cache and some runs


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    found: str
    hint: str = ""


def checks(data_dir: str, runs_dir: str) -> list[Check]:
    """Every check, in the order in which one would mend things."""
    return [*_versions(), *_devices(), *_places(data_dir, runs_dir), *_plugins(), *_data(data_dir), *_runs(runs_dir)]


def _versions() -> Iterator[Check]:
    python = platform.python_version()
    yield Check("python", sys.version_info >= (3, 11), python, "" if sys.version_info >= (3, 11) else "3.11 or newer")
    yield Check("ocbench", True, __version__)
    needed = [r for r in requires("ocbench") or () if "extra ==" not in r]
    for requirement in sorted(needed):
        name = re.split(r"[^\w.-]", requirement)[0]
        try:
            yield Check(name, True, version(name))
        except PackageNotFoundError:
            yield Check(name, False, "missing", f"pip install -c constraints.txt '{requirement}'")


def _devices() -> Iterator[Check]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("cpu", True, f"{cores} cores, {torch.get_num_threads()} threads for torch")
    for number in range(torch.cuda.device_count()):
        memory = torch.cuda.mem_get_info(number)
        free = f"{memory[0] / 2**30:.0f} of {memory[1] / 2**30:.0f} GiB free"
        yield Check(f"cuda:{number}", True, f"{torch.cuda.get_device_name(number)}, {free}")
    if not torch.cuda.is_available():
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a CPU build"
        yield Check("cuda", True, f"none; {built}", "the built-in data train on a CPU; the published ones want a GPU")


def _places(data_dir: str, runs_dir: str) -> Iterator[Check]:
    for name, place in (("data-dir", data_dir), ("runs-dir", runs_dir)):
        if storage.is_remote(place):
            yield Check(name, True, f"'{place}', not on this machine")
            continue
        there = os.path.abspath(place)
        while not os.path.isdir(there):
            there = os.path.dirname(there)
        free = shutil.disk_usage(there).free
        writable = os.access(there, os.W_OK)
        found = f"'{place}', {free / 1e9:,.0f} GB free" + ("" if writable else ", not writable")
        fine = writable and free > ENOUGH
        yield Check(name, fine, found, "" if fine else f"free some space, or name another place: --{name}")


def _plugins() -> Iterator[Check]:
    for kind in ("dataset", "metric", "model"):
        names = registry.names(kind)
        yield Check(f"{kind}s", bool(names), ", ".join(names) or "none", "" if names else registry.INSTALL_HINT)
        for name in names:
            try:
                getattr(registry, kind)(name)
            except OcbenchError as wrong:
                yield Check(f"{kind} {name}", False, " ".join(wrong.message.split()), wrong.hint or "")


def _data(data_dir: str) -> Iterator[Check]:
    for name in registry.names("dataset"):
        try:
            protocols = registry.dataset(name).protocols
        except OcbenchError:
            continue  # told by _plugins
        for protocol in protocols:
            for split in prepared_splits(data_dir, name, protocol):
                word = f"{name}:{split}@{protocol.name}"
                try:
                    found = PreparedSplit(split_directory(data_dir, name, protocol.name, split))
                    short = ", not the whole split" if found.manifest.incomplete() else ""
                    yield Check(word, True, f"{len(found):,} scenes{short}")
                except OcbenchError as wrong:
                    yield Check(word, False, wrong.message, wrong.hint or "")


def _runs(runs_dir: str) -> Iterator[Check]:
    found = all_runs(runs_dir)
    finished = sum(is_finished(path) for path in found)
    yield Check("runs", True, f"{len(found)} under '{runs_dir}', {finished} finished", "" if found else "ocbench demo")
