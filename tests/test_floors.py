"""The house rules of the code: who may import whom, which package is named where, and what stays free of torch.

Imports are read from the source, those inside functions too; imports under `if TYPE_CHECKING:` are for the type checker
and do not count. Nothing but the door (`ocbench/__init__.py`) imports by a name held in a string.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ocbench

ROOT = Path(ocbench.__file__).parents[1]
DOOR = "ocbench/__init__.py"
MODELS = "_".join(("ocbench", "models"))  # the core's tests never write the word either

FLOORS = (
    ("ground", ("errors", "scene", "plugin")),
    ("tools", ("registry", "settings", "imaging", "remote", "storage", "executors", "launch", "formats")),
    (
        "rooms",
        (
            "datasets",
            "metrics",
            "shards",
            "transfer",
            "ranges",
            "runs",
            "panels",
            "published",
            "statistics",
            "slices",
            "label_maps",
            "adapter",
        ),
    ),
    (
        "joints",
        ("prepared", "cache", "loading", "recipe", "scoring", "sheets", "standing", "tables", "jobs", "gallery"),
    ),  # what brings two rooms together
    (
        "verbs",
        (
            "prepare",
            "download",
            "verify",
            "contents",
            "accounts",
            "runner",
            "score",
            "score_labels",
            "bridge",
            "foreign_side",
            "report",
            "html",
            "doctor",
            "hub",
        ),
    ),
    ("several verbs", ("plans", "reproduction", "contract", "scaffold")),
    ("words", ("cli", "__main__")),
)
FLOOR = {room: floor for floor, (_, rooms) in enumerate(FLOORS) for room in rooms}
STAIRS = {  # imports within one floor, each with its reason
    ("scene", "errors"): "records refuse bad input",
    ("storage", "remote"): "what a URL names is asked for there",
    ("cache", "prepared"): "the cache is filled from a prepared split",
    ("loading", "prepared"): "streams it",
    ("loading", "cache"): "reads it",
    ("recipe", "prepared"): "a run is told by the split that it trains on",
    ("slices", "statistics"): "a slice has an interval",
    ("sheets", "prepared"): "a sheet is told by the split that was scored",
    ("sheets", "scoring"): "a sheet holds the results of rows",
    ("html", "report"): "the same rows and published systems, as a page",
    ("jobs", "prepared"): "a job writes where a split lies",
    ("bridge", "foreign_side"): "both sides of one pipe",
    ("scaffold", "contract"): "the kinds of plug-ins",
    ("hub", "runner"): "what is published is built as a stranger would, before it is sent",
    ("reproduction", "plans"): "a table is many trainings, each scored",
    ("__main__", "cli"): "`python -m ocbench` is the command line",
}
ALLOWED = {  # third-party package -> the files and folders that may name it
    "torch": (
        "ocbench/loading.py",
        "ocbench/runner/",
        "ocbench/contract/",
        "ocbench/adapter.py",
        "ocbench/doctor.py",
        f"{MODELS}/",
    ),
    "torch.distributed": ("ocbench/runner/device.py",),
    "transformers": (f"{MODELS}/ast_seg/backbones.py",),
    "webdataset": ("ocbench/loading.py",),
    "h5py": ("ocbench/formats/hdf5.py",),
    "scipy": ("ocbench/metrics/", f"{MODELS}/references.py"),
    "PIL": ("ocbench/imaging.py",),
    "zlib_ng": ("ocbench/formats/tfrecord.py",),
    "google_crc32c": ("ocbench/formats/tfrecord.py", "ocbench/transfer.py"),
    "safetensors": ("ocbench/runner/checkpoint.py",),
    "fsspec": ("ocbench/remote.py", "ocbench/loading.py"),
    "dask": ("ocbench/executors.py",),
    "distributed": ("ocbench/executors.py",),
    "jinja2": ("ocbench/html/",),
    "matplotlib": ("ocbench/html/", "ocbench/panels.py"),
    "huggingface_hub": ("ocbench/hub/",),
    "rich": ("ocbench/cli/options.py",),
    "click": ("ocbench/cli/",),
    "numpy": ("ocbench/", f"{MODELS}/"),
}
NUMPY_FREE = ("ocbench/errors.py", "ocbench/registry.py", "ocbench/settings.py", "ocbench/cli/")


@cache
def sources(package: str) -> tuple[str, ...]:
    """Paths of the package's modules, relative to the checkout."""
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")))


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        yield child
        yield from nodes(child)


@cache
def imports(path: str) -> frozenset[str]:
    """Dotted names of all that a file imports or reaches; `from package import name` gives package.name."""
    found: set[str] = set()
    for node in nodes(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ALLOWED:  # torch.distributed
            found.add(ast.unparse(node))
    return frozenset(found)


def room(name: str) -> str:
    """The room of a dotted name of ours, for a public name that of its home."""
    home = ocbench._HOME.get(name.removeprefix("ocbench."), name)
    return home.removeprefix("ocbench.").split(".")[0]


def within(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in places)


def core() -> list[tuple[str, str]]:
    """(path, room) of every module but the door."""
    paths = (path for path in sources("ocbench") if path != DOOR)
    return [(path, path.split("/")[1].removesuffix(".py")) for path in paths]


def test_every_module_stands_on_a_floor():
    assert sorted({place for _, place in core()} - set(FLOOR)) == []


def test_a_module_imports_only_from_the_floors_below():
    wrong = []
    for path, mine in core():
        for name in sorted(imports(path)):
            if name.split(".")[0] != "ocbench" or name in ("ocbench.__version__", "ocbench.__all__"):
                continue
            other = room(name)
            if other != mine and FLOOR.get(other, len(FLOORS)) >= FLOOR[mine] and (mine, other) not in STAIRS:
                wrong.append(f"{path} ({FLOORS[FLOOR[mine]][0]}) imports {name}")
    assert wrong == []


def test_every_stair_is_walked():
    walked = {(mine, room(name)) for path, mine in core() for name in imports(path) if name.startswith("ocbench.")}
    assert sorted(set(STAIRS) - walked) == []


def test_third_party_packages_are_named_only_where_they_belong():
    wrong = []
    for path in sources("ocbench") + sources(MODELS):
        for name in sorted(imports(path)):
            package = name.split(".")[0]
            if package in sys.stdlib_module_names or package in ("ocbench", MODELS):
                continue
            places = ALLOWED.get(".".join(name.split(".")[:2]), ALLOWED.get(package, ()))
            if not within(path, places) or (package == "numpy" and within(path, NUMPY_FREE)):
                wrong.append(f"{path} imports {name}")
    assert wrong == []


def test_only_the_door_imports_by_a_name_in_a_string():
    wrong = [
        f"{path}:{node.lineno}"
        for path in sources("ocbench") + sources(MODELS)
        for node in nodes(tree(path))
        if path != DOOR and getattr(node, "id", getattr(node, "attr", None)) in ("import_module", "__import__")
    ]
    assert wrong == []


def test_the_core_and_its_tests_never_name_the_models():
    files = [p for folder in ("ocbench", "tests") for p in (ROOT / folder).rglob("*") if p.is_file()]
    texts = [p for p in files if p.suffix not in (".npz", ".pyc", ".png") and "models" not in p.relative_to(ROOT).parts]
    assert [str(p.relative_to(ROOT)) for p in texts if MODELS in p.read_text()] == []


def test_the_models_import_public_names_only():
    names = {name for path in sources(MODELS) for name in imports(path) if name.split(".")[0] == "ocbench"}
    assert sorted(names - {f"ocbench.{name}" for name in ocbench.__all__}) == []
    assert names


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Step of tests/light_commands.py -> heavy packages in memory after it; one process for all of them."""
    command = [sys.executable, str(ROOT / "tests" / "light_commands.py"), str(tmp_path_factory.mktemp("light"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_help_loads_nothing_heavy(loaded):
    helps = {step: heavy for step, heavy in loaded.items() if step.endswith("--help")}
    assert {step: heavy for step, heavy in helps.items() if heavy} == {}
    assert len(helps) > 8


def test_what_computes_no_gradients_never_loads_torch(loaded):
    assert {"list models", "verify mini-plain:val", "open_dataset", "score_scene", "ocbench.report"} < set(loaded)
    heavy = {"torch", "transformers", "webdataset"}
    assert {step: names for step, names in loaded.items() if heavy & set(names)} == {}
