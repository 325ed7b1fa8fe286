from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mini_plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with mini-plain, 32 scenes to train on and 8 to score."""
    from ocbench import jobs, prepare, registry

    folder, spec = tmp_path_factory.mktemp("data"), registry.dataset("mini-plain")
    for split, limit in (("train", 32), ("test", 8)):
        options = jobs.Options(executor="local:1", limit=limit)
        prepare.prepare(jobs.plan(spec, spec.protocol(), str(folder), splits=(split,), options=options))
    return folder
