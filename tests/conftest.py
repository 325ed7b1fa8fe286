"""Fixtures that several tests share: the installed toy package, the command line, prepared toy shards."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("ocbench", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ocbench")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What compares with golden arrays carries that mark, so that it can be run by itself on another device."""
    for item in items:
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker("golden")


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the package of tests/plugin_package; on PYTHONPATH it is a third party's."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(HERE / "plugin_package")], check=True)
    return target


@pytest.fixture
def toy(toy_site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy package found through its entry points in this process and in every process started from it."""
    monkeypatch.syspath_prepend(str(toy_site))
    monkeypatch.setenv("PYTHONPATH", str(toy_site), prepend=os.pathsep)
    importlib.invalidate_caches()
    return toy_site


@pytest.fixture(scope="session")
def finished_toy(toy_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ (squares prepared, all splits) and runs/ (toy-curriculum-squares-s0, two updates a phase)."""
    from ocbench.cli import main

    place = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(toy_site))
        patch.setenv("OCBENCH_DATA", str(place / "data"))
        patch.setenv("OCBENCH_RUNS", str(place / "runs"))
        for words in ("prepare squares --executor local:1 -q", "train toy --steps 2 --device cpu -q"):
            with pytest.raises(SystemExit) as stop:
                main(words.split())
            assert not stop.value.code
    return place


@pytest.fixture
def workplace(finished_toy: Path, toy: Path, tmp_path: Path) -> Path:
    """The same in tmp_path, where the `ocbench` fixture works, to be changed at will."""
    for name in ("data", "runs"):
        shutil.copytree(finished_toy / name, tmp_path / name)
    return tmp_path


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


@pytest.fixture
def ocbench(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Calls the command line in this process, with data and runs under tmp_path; returns Finished(code, out, err)."""
    monkeypatch.setenv("OCBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OCBENCH_RUNS", str(tmp_path / "runs"))

    def call(*words: object) -> Finished:
        from ocbench.cli import main

        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Finished(int(stop.value.code or 0), out, err)

    return call


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)
