"""Whether a training has collapsed: figures of the probe against the bands in which healthy runs lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ocbench.plugin import Band

IN_A_ROW = 2  # looks outside of a band before it is told
ANY_MODEL = Band("foreground", 0.001, 0.98, after=0.5, helps="another seed, a lower rate, a longer first phase")


class Watch:
    """Counts looks outside of the bands; each band is told of once a call."""

    def __init__(self, bands: Sequence[Band], has_background: bool) -> None:
        known = {band.figure for band in bands}
        self.bands = [*bands, *([ANY_MODEL] if has_background and ANY_MODEL.figure not in known else [])]
        self._outside: Counter[str] = Counter()

    def look(self, found: Mapping[str, float], share: float) -> list[str]:
        """What to tell after a look when that share of all updates is done."""
        told = []
        for band in self.bands:
            value = found.get(band.figure)
            if value is None or share < band.after or band.low <= value <= band.high:
                self._outside[band.figure] = 0
                continue
            self._outside[band.figure] += 1
            if self._outside[band.figure] == IN_A_ROW:
                told.append(
                    f"has it collapsed? {band.figure} is {value:.3g}, where healthy runs have {band.low:g} to "
                    f"{band.high:g}; what usually helps: {band.helps}"
                )
        return told
