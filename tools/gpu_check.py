"""The steps of gpu_check.sh, in an order that keeps the GPU to itself while it is measured.

First the tests and three short trainings of AST-Seg, while the steps to be measured are compiled; then the
measurements, one at a time; last the scores. What does not fit into the time is skipped, and said to be.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "2", "TRANSFORMERS_VERBOSITY": "error"}

import bench_gpu
import torch

ROOT = Path(__file__).parents[1]
RESULT, RUNS = ROOT / "benchmarks" / "gpu.json", ROOT / "benchmarks" / "gpu"
SECONDS = float(os.environ.get("SECONDS_IN_ALL", "520"))
MEASURING, SCORING = 130.0, 60.0  # seconds kept free for them
TRAININGS = {  # words of `ocbench train`
    "ct": ("ast-seg", "--scenario", "ct"),
    "bt": ("ast-seg", "--scenario", "bt"),
    "unet": ("ast-seg-unet", "--scenario", "ct"),
}
METRICS = "miou,miou_fg,ari_fg,msc_fg,mse"
TRIAL = os.environ.get("TRIAL")  # updates a phase: a rehearsal


class Check:
    """One run of all: its clock, its folder, and what it found."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.began = folder, time.monotonic()
        self.found: dict[str, Any] = {"command": "bash tools/gpu_check.sh", "skipped": []}
        os.environ |= {"OCBENCH_DATA": str(folder / "data"), "OCBENCH_RUNS": str(folder / "runs")}

    @property
    def left(self) -> float:
        return SECONDS - (time.monotonic() - self.began)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:4.0f} s] {text}", flush=True)

    def skip(self, what: str) -> None:
        self.found["skipped"].append(what)
        self.say(f"skipped: {what}")

    def start(self, name: str, *words: str, **more: str) -> subprocess.Popen:
        """A command in the background, its output in a file of that name."""
        with open(self.folder / f"{name}.txt", "w") as out:
            return subprocess.Popen([sys.executable, *words], stdout=out, stderr=out, cwd=ROOT, env=os.environ | more)

    def output(self, name: str) -> str:
        return (self.folder / f"{name}.txt").read_text()

    def wait(self, name: str, process: subprocess.Popen, until: float) -> bool:
        """Whether the command ended well while more than `until` seconds of the whole were left."""
        try:
            code = process.wait(max(1.0, self.left - until))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.skip(f"{name}: no time left")
            return False
        if code not in (0, 75):  # 75: a training that ended at its --max-hours
            self.skip(f"{name}: exit code {code}: {' '.join(self.output(name).split()[-40:])}")
        return code in (0, 75)


def compiling(check: Check) -> dict[str, subprocess.Popen]:
    """Starts every case of the step benchmark; each compiles, then waits for its turn."""
    shared = {"PARALLEL": str(check.folder), "TORCHINDUCTOR_COMPILE_THREADS": "3"}
    return {case: check.start(case, "tools/bench_gpu.py", case, **shared) for case in bench_gpu.CASES}


def trainings(check: Check) -> dict[str, subprocess.Popen]:
    """Draws the built-in set and starts to train on it; the trainings share the card and stop themselves in time."""
    words = ("-m", "ocbench", "prepare", "mini-tex", "--protocol", "full", *(("--limit", "64") if TRIAL else ()))
    if not check.wait("prepare", check.start("prepare", *words), MEASURING + SCORING):
        return {}
    check.say("mini-tex@full is drawn")
    hours = f"{max(check.left - MEASURING - SCORING, 1) / 3600:.5f}"
    words = ("--data", "mini-tex@full", "--preset", "mini-tex" if TRIAL else "mini-gpu", "--max-hours", hours)
    words += (
        "--device",
        bench_gpu.HERE,
        "--no-phase-cache",
        *(("--steps", TRIAL, "--batch-size", "2") if TRIAL else ()),
    )
    if bench_gpu.HERE == "cuda":  # uncompiled, the launching of kernels takes most of the time
        words += ("--precision", "bf16", "--compile")
    return {
        name: check.start(name, "-m", "ocbench", "train", *model, *words, "--name", name)
        for name, model in TRAININGS.items()
    }


def tests(check: Check) -> None:
    """The tests that need a GPU, and every golden array on it."""
    marked = check.start(
        "tests", "-m", "pytest", "-p", "no:cacheprovider", "-m", "gpu or golden",
        "tests/models", "tests/test_loading.py", "tests/cli/test_gpu.py", OCBENCH_TEST_DEVICE=bench_gpu.HERE,
    )  # fmt: skip
    check.wait("tests", marked, MEASURING + SCORING)
    counts = re.findall(r"(\d+) (passed|failed|skipped|error)", check.output("tests"))
    check.found["tests"] = {kind: int(count) for count, kind in counts}
    check.found["tests_failed"] = re.findall(r"^FAILED (\S+)", check.output("tests"), re.MULTILINE)
    check.say(f"tests on {bench_gpu.HERE}: " + ", ".join(f"{count} {kind}" for count, kind in counts))


def steps(check: Check, cases: dict[str, subprocess.Popen], running: dict[str, subprocess.Popen]) -> None:
    """When the trainings have ended and the cases are compiled, measures one after the other, alone."""
    for name, process in running.items():
        check.wait(name, process, MEASURING + SCORING - 30)
    check.say("trainings have ended")
    while check.left > SCORING + MEASURING / 2 and not all(
        (check.folder / f"{case}.ready").exists() or process.poll() is not None for case, process in cases.items()
    ):
        time.sleep(0.5)
    check.say("steps are compiled")
    (check.folder / "go").touch()
    rows: dict[str, Any] = {}
    for case, process in cases.items():
        check.wait(case, process, SCORING)
        measured = check.folder / f"{case}.json"
        rows |= json.loads(measured.read_text()) if measured.exists() else {}
    check.found["steps"] = rows
    for name, row in rows.items():
        print(bench_gpu.shown(name, row), flush=True)


def scores(check: Check) -> None:
    """Evaluates what was trained, and keeps its records and pictures."""
    shutil.rmtree(RUNS, ignore_errors=True)
    words = ("--split", "test,ood,camo", "--metrics", METRICS, "--panels", "6", "--checkpoint", "last")
    words += ("--device", bench_gpu.HERE, "--gallery", "0")
    trained = [f"{name}-s0" for name in TRAININGS if (check.folder / "runs" / f"{name}-s0" / "checkpoints").is_dir()]
    scoring = {run: check.start(f"score-{run}", "-m", "ocbench", "evaluate", run, *words) for run in trained}
    for run, process in scoring.items():
        check.wait(f"score-{run}", process, 10)
        made = check.folder / "runs" / run
        for path in [*made.glob("*.json*"), *made.glob("*.png"), *made.glob("scores/*.json"), *made.glob("panels/*")]:
            kept = RUNS / run / path.relative_to(made)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
    for sheet in sorted(RUNS.glob("*/scores/*.json")):
        means = {result["metric"]: result["mean"] for result in json.loads(sheet.read_text())["results"]}
        check.found.setdefault("scores", {})[f"{sheet.parts[-3]} {sheet.stem}"] = means
        print(f"{sheet.parts[-3]:<8} {sheet.stem:<24} " + "  ".join(f"{k} {v:.3f}" for k, v in means.items()))


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        check = Check(Path(folder))
        card = torch.cuda.get_device_name() if bench_gpu.HERE == "cuda" else "none: a rehearsal"
        check.found |= {"card": card, "torch": torch.__version__, "cores": os.cpu_count()}
        check.say(f"{card}, torch {torch.__version__}")
        cases, running = compiling(check), trainings(check)
        tests(check)
        steps(check, cases, running)
        scores(check)
        check.found["seconds"] = round(time.monotonic() - check.began)
        if bench_gpu.HERE == "cuda":
            RESULT.write_text(json.dumps(check.found, indent=1) + "\n")
        logs = os.environ.get("LOGS")
        for path in sorted(Path(folder).glob("*.txt")) if logs else ():
            shutil.copyfile(path, Path(str(logs)) / path.name)
        check.say(f"wrote {RESULT.relative_to(ROOT)}" if bench_gpu.HERE == "cuda" else "rehearsed; nothing is written")


if __name__ == "__main__":
    main()
