"""A small CLEVRTEX: twelve scenes of `camo` in folders of five, and a reader that takes them for all there are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sources

from ocbench.datasets import clevrtex_inventory

COUNT = 12


@pytest.fixture(scope="session")
def whole_camo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clevrtex")
    sources.write_clevrtex(root, "camo", COUNT, folder_size=5)
    return root


@pytest.fixture
def camo(whole_camo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds `clevrtex_camo`, never changed; the public distribution has its scenes and ten of outd."""
    monkeypatch.setitem(clevrtex_inventory.SCENES, "camo", COUNT)
    monkeypatch.setitem(clevrtex_inventory.SCENES, "outd", 10)
    return whole_camo


@pytest.fixture
def camo_copy(camo: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(camo / "clevrtex_camo", tmp_path / "raw" / "clevrtex_camo")).parent
