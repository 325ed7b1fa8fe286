"""The code blocks of README.md and docs/, and the rules by which a test runs them in small.

A page shows the true command. The test runs the same words and adds to them, by verb, what makes a trial of it
(`trial`): fewer scenes, two updates a phase, a small network. What cannot run here is in NOT_RUN or has a stand-in,
each with its reason.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
)

SCENES = "16"  # of each split of the built-in sets
STEPS = "2"  # updates in each phase
SMALL = {  # model -> the published one at a size for a test
    "ast-seg": (
        "decoder_width=16", "refiner_layers=1", "refiner_width=16", "refiner_heads=2", "refiner_feed_forward=16",
        "what_size=4", "background_width=0.05", "batch_size=4", "background_batch_size=4",
    ),
    "slot-attention": ("channels=8", "slots=3", "batch_size=2"),
    "monet": ("width=4", "component_width=4", "slots=3", "batch_size=2"),
    "genesis-v2": ("width=8", "decoder_width=8", "slots=3", "batch_size=2"),
    "gnm": ("glimpse_side=8", "batch_size=2"),
}  # fmt: skip

# Beginning of a line, or a line within a script that is then left out whole -> why it is not run.
NOT_RUN = {
    "bash tools/test.sh": "these very tests",
    "torchrun ": "several processes: tests/runner has them",
    "srun ": "a cluster",
    "#SBATCH ": "a cluster: tests/test_launch.py has its environment",
}
# Beginning of a line -> what is run in its place.
STAND_INS = {
    "bash tools/demo.sh": "ocbench demo",  # sets up an environment, then this
}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int  # of its fence, from 1
    language: str  # bash, console or python
    code: str
    needs: str | None = None  # the verb that it is about, where that verb may not be there yet


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page that claim to run, in order; `<!-- needs: VERB -->` may stand in the line before."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fence = r"^(?:<!-- needs: (\w+) -->\n)?```(bash|sh|console|python)\n(.*?)^```"
    for found in re.finditer(fence, text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, found.start(2)) + 1
        yield Block(page, line, found[2], found[3], found[1])


def lines(block: Block) -> list[str]:
    """The commands of a block of bash or console, without comments, prompts and output; a script is one line."""
    if "#!" in block.code:
        return [block.code]
    text = block.code.replace("\\\n", " ")
    if block.language == "console":
        text = "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in stripped if line]


def not_run(line: str) -> str | None:
    """The beginning in NOT_RUN that the line has, or that a line of the script has."""
    return next((b for b in NOT_RUN for part in line.splitlines() if part.startswith(b)), None)


def trial(words: Sequence[str], weights: Path) -> list[str]:
    """The words of a command after `ocbench`, with what makes it small."""
    verb, *rest = words
    built_in = any(word.startswith("mini") for word in rest)
    extra: list[str] = []
    if verb == "prepare" and words[1] == "clevrtex":
        extra = ["--partial"]
    elif verb == "prepare" and built_in:
        extra = ["--limit", SCENES, "--executor", "local:1"]
    elif verb == "train":
        settings = () if built_in else SMALL.get(rest[0], ())
        settings += (f"weights={weights}",) if settings and rest[0] == "ast-seg" else ()
        extra = ["--steps", STEPS, *(word for setting in settings for word in ("--set", setting))]
    elif verb == "demo" or (verb == "reproduce" and "mini" in rest and "-n" not in rest):
        extra = ["--limit", SCENES, "--steps", STEPS]
    elif verb == "report" and "--paired" in rest:
        extra = ["--allow-partial"]
    return [verb, *rest, *extra]


def words(line: str) -> list[str]:
    """A line as the shell would cut it."""
    return shlex.split(line)
