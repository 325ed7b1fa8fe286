"""Share of pixels on which 'label 0 means background' is wrong."""

from ocbench import Metric


def foreground_error(outcome):
    return float(((outcome.labels > 0) != (outcome.scene.mask > 0)).mean())


FOREGROUND_ERROR = Metric(
    name="foreground_error", label="FG error", score=foreground_error, higher_is_better=False, scale=100
)
