"""Runs what must stay light in one fresh process and prints, after each step, which heavy packages it has loaded.

python tests/light_commands.py FOLDER        (tests/test_floors.py reads the JSON)
"""

import contextlib
import importlib
import io
import json
import pkgutil
import sys
from pathlib import Path

HEAVY = ("numpy", "scipy", "torch", "transformers", "webdataset")
WITH_TORCH = ("ocbench.loading", "ocbench.runner", "ocbench.contract.models", "ocbench.contract.predictions")

folder = Path(sys.argv[1])
loaded: dict[str, list[str]] = {}


def note(step: str) -> None:
    loaded[step] = [name for name in HEAVY if name in sys.modules]


def command(*words: object) -> None:
    from ocbench.cli import main

    places = ["--data-dir", folder / "data", "--runs-dir", folder / "runs"] if "--help" not in words else []
    shown = io.StringIO()
    code = None
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            main([str(word) for word in (*words, *places)])
        except SystemExit as stop:
            code = stop.code
    assert code == 0, shown.getvalue()
    note(" ".join(str(word) for word in words[:2]))


def scored_run() -> Path:
    """A run directory with one score sheet."""
    from ocbench.runs import MetricResult, RunConfig, ScoreSheet

    run = folder / "runs" / "toy-only-squares-s0"
    RunConfig(
        model="toy", scenario="only", preset="*", dataset="squares", split="train", protocol="native",
        protocol_version=1, size=(16, 16), max_objects=3, fingerprint="f", seed=0, config={},
    ).save(run)  # fmt: skip
    ScoreSheet(
        run={"name": run.name, "seed": 0}, dataset="squares", split="test", protocol="native", protocol_version=1,
        fingerprint="f", weights_digest="w", scenes=2, results=(MetricResult("miou", "mIoU", 0.5, 0.1, 2, 0, None),),
    ).save(run / "scores" / "squares-test@native.json")  # fmt: skip
    return run


def main() -> None:
    from ocbench.cli import cli

    for verb in (None, *cli.commands):
        command(*([verb] if verb else []), "--help")
    command("list", "models")
    command("prepare", "mini-plain", "--splits", "val", "--limit", 2, "--executor", "local:1")
    command("verify", "mini-plain:val")
    command("report", scored_run())

    import ocbench

    [*_, scene] = ocbench.open_dataset("mini-plain", split="val", data_dir=str(folder / "data"))
    note("open_dataset")
    ocbench.score_scene(scene.mask, scene.mask)
    note("score_scene")
    for module in pkgutil.walk_packages(ocbench.__path__, "ocbench."):
        if not module.name.startswith(WITH_TORCH) and module.name != "ocbench.__main__":
            importlib.import_module(module.name)
            note(module.name)
    print(json.dumps(loaded))


main()
