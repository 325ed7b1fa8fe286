"""A stranger's package, from scaffold to table: built, installed beside the wheel, checked, trained, scored, published.

Every command is a process of the stranger's own environment, which sees the tested dependencies and the built wheel but
not this checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")


class Stranger:
    """An environment of its own and the commands that run in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        venv.create(place / "venv", with_pip=False)
        self.python = place / "venv" / "bin" / "python"
        paths = sysconfig.get_paths(vars={"base": str(place / "venv"), "platbase": str(place / "venv")})
        seen = Path(paths["purelib"]) / "tested.pth"  # a path file there is not followed, hence no editable install
        seen.write_text(sysconfig.get_paths()["purelib"] + "\n")
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("OCBENCH", "PYTHON", "COVERAGE"))
        } | {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}

    def run(self, *words: str | Path) -> str:
        """Standard output of a command that must end well."""
        done = subprocess.run(
            [str(self.python), *map(str, words)], cwd=self.place, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def ocbench(self, *words: str | Path) -> str:
        return self.run("-m", "ocbench", *words)


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    built = tmp_path / "built"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(built), str(ROOT)], check=True)
    found = Stranger(tmp_path)
    found.run(*INSTALL, *built.glob("*.whl"))
    where = found.run("-c", "import ocbench; print(ocbench.__file__)").strip()
    assert Path(where).is_relative_to(tmp_path), where
    return found


@pytest.mark.slow
def test_a_scaffolded_model_goes_from_an_empty_folder_to_a_table_and_back_from_the_hub(stranger: Stranger) -> None:
    stranger.ocbench("plugin", "new", "model", "sprites-net")
    stranger.run(*INSTALL, stranger.place / "sprites-net")
    assert "sprites-net" in stranger.ocbench("list", "models")
    stranger.run("-m", "pytest", "-q", "-p", "no:cacheprovider", stranger.place / "sprites-net")
    stranger.ocbench("plugin", "check", "sprites-net")

    stranger.ocbench("prepare", "mini-plain", "--limit", "64", "--executor", "local:1", "-q")
    stranger.ocbench("train", "sprites-net", "--data", "mini-plain", "--steps", "50", "--device", "cpu", "-q")
    stranger.ocbench("train", "ast-seg", "--data", "mini-plain", "--steps", "2", "--device", "cpu", "-q")
    runs = sorted(path.name for path in (stranger.place / "runs").iterdir())
    for run in runs:
        stranger.ocbench("evaluate", run, "--device", "cpu", "-q")
    table = stranger.ocbench("report", *runs)
    assert "sprites-net" in table
    assert "ast-seg" in table

    (mine,) = (run for run in runs if run.startswith("sprites-net"))
    shared = stranger.place / "shared"
    stranger.ocbench("push", mine, f"folder:{shared}")
    stranger.ocbench("pull", f"folder:{shared}", "--name", "again")
    stranger.ocbench("evaluate", "again", "--device", "cpu", "--overwrite", "-q")
    first, second = (
        json.loads(next((stranger.place / "runs" / run / "scores").glob("*.json")).read_text())["results"]
        for run in (mine, "again")
    )
    assert first == second
    assert (stranger.place / "runs" / "again" / "checkpoints" / "final" / "model.safetensors").exists()
