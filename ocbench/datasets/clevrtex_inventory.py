"""Which files of CLEVRTEX are there, and in what words the rest is missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ocbench.datasets import faults

# Scenes of each variant in the public distribution, and the number of archives that they come in.
SCENES = {"full": 50_000, "outd": 10_000, "camo": 20_000, "pbg": 20_000, "vbg": 20_000, "grassbg": 20_000}
ARCHIVES = {variant: 5 if variant == "full" else 1 for variant in SCENES}

ENDINGS = {"image": ".png", "labels": "_flat.png", "metadata": ".json"}


@dataclass
class Inventory:
    """Which files of one variant a source holds."""

    variant: str
    places: dict[str, dict[int, str]] = field(default_factory=lambda: {kind: {} for kind in ENDINGS})
    twice: list[str] = field(default_factory=list)
    misplaced: Counter[str] = field(default_factory=Counter)  # folder or archive named after another -> files

    def add(self, kind: str, index: int, place: str) -> bool:
        """Notes a file in a folder or archive; False where it was there already."""
        known = self.places[kind]
        if index in known:
            self.twice.append(f"{index:06d}{ENDINGS[kind]} (in '{known[index]}' and '{place}')")
            return False
        known[index] = place
        return True

    @property
    def stop(self) -> int:
        """One above the highest index of an image."""
        return max(self.places["image"], default=-1) + 1

    def faults(self) -> list[str]:
        """What is wrong with the files that are there, a line for each kind of fault."""
        images, labels, metadata = (self.places[kind].keys() for kind in ENDINGS)
        found = [
            f"{count:,} files in '{place}', named after another variant" for place, count in self.misplaced.items()
        ]
        found += faults.counted("files twice", self.twice)
        found += faults.counted("images without a label map (_flat.png)", _numbers(images - labels))
        found += faults.counted("label maps without an image", _numbers(labels - images))
        if metadata:  # where no scene has any, somebody left them out on purpose
            found += faults.counted("scenes without metadata (.json)", _numbers((images & labels) - metadata))
        found += faults.counted("indices too high", _numbers(i for i in images if i >= SCENES[self.variant]))
        return [f"{self.variant}: {fault}" for fault in found]

    def shortage(self) -> list[str]:
        """Which scenes of the public distribution are not there, in one line; none where all are."""
        images, expected = self.places["image"], SCENES[self.variant]
        missing = [index for index in range(expected) if index not in images]
        if not missing:
            return []
        text = f"{self.variant}: {expected - len(missing):,} of {expected:,} scenes; missing "
        if len(missing) <= faults.SHOWN:
            return [text + ", ".join(_numbers(missing))]
        return [text + ", ".join(faults.few(_by_thousand(missing, expected)))]


def _by_thousand(missing: Sequence[int], expected: int) -> list[str]:
    """The missing indices by the folder of a thousand that they belong to; folders wholly missing are joined."""
    described: list[str] = []
    run: list[int] = []
    for thousand, count in sorted(Counter(index // 1000 for index in missing).items()):
        size = min(1000, expected - 1000 * thousand)
        if count < size:
            described.append(f"{count:,} of the {size:,} of folder {thousand}")
            run = []
        elif run and run[-1] == thousand - 1:
            run.append(thousand)
            described[-1] = f"all of folders {run[0]} to {thousand}"
        else:
            run = [thousand]
            described.append(f"all of folder {thousand}")
    return described


def _numbers(indices: Iterable[int]) -> list[str]:
    return [f"{index:06d}" for index in sorted(indices)]


def refuse(found: Sequence[str], where: str, hint: str | None = None) -> None:
    """Raises one DataError that lists the faults of a source, if there are any."""
    faults.refuse(
        found,
        f"the raw CLEVRTEX in '{where}' is not whole",
        expected="every index from 0 on, once, each with image, _flat.png and .json",
        hint=hint or "unpack the archives again, one by one, or leave them packed: they are read as they are",
    )
