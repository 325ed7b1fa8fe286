"""The metrics of segments, word by word from their definitions, over sets of pixels: slow, and no line of ours.

`tools/golden_scores.py` writes their values on the golden label maps to golden.json; a property test compares them with
the fast ones on random label maps.
"""

import math
from fractions import Fraction
from functools import cache

import numpy as np
from scipy.optimize import linear_sum_assignment

CHANNELS = 24
HALF = np.float32(0.5)


def sets(labels):
    """Label -> set of its pixels."""
    found = {}
    for place, label in enumerate(labels.flat):
        found.setdefault(int(label), set()).add(place)
    return found


class Case:
    """A true and a predicted label map as sets of pixels."""

    def __init__(self, mask, labels):
        self.true, self.predicted = sets(mask), sets(labels)
        self.objects = {t: pixels for t, pixels in self.true.items() if t > 0}
        self.boxes = {"true": boxes(mask), "predicted": boxes(labels)}
        # Kept, because every metric asks for them.
        self.iou, self.official, self.tight = cache(self._iou), cache(self._official), cache(self._tight)

    def _iou(self, p, t):
        """float32, 0 where both are empty."""
        one, other = self.predicted.get(p, set()), self.true.get(t, set())
        return np.float32(len(one & other)) / np.float32(len(one | other)) if one | other else np.float32(0)

    def dice(self, p, t):
        one, other = self.predicted.get(p, set()), self.true.get(t, set())
        return 2 * len(one & other) / (len(one) + len(other)) if one or other else 0.0

    def best(self, t):
        return float(max(self.iou(p, t) for p in self.predicted))

    def _official(self):
        """The predicted slot of each true slot, and whether the pair is live; 24 channels."""
        iou = np.array([[self.iou(p, t) for p in range(CHANNELS)] for t in range(CHANNELS)])
        _, partners = linear_sum_assignment(iou, maximize=True)
        return [(t, int(p), t in self.true or int(p) in self.predicted) for t, p in enumerate(partners)]

    def _tight(self):
        true, predicted = sorted(self.true), sorted(self.predicted)
        rows, columns = linear_sum_assignment([[self.iou(p, t) for p in predicted] for t in true], maximize=True)
        return [(true[row], predicted[column]) for row, column in zip(rows, columns, strict=True)]


def boxes(labels):
    """Label -> first and last row, first and last column."""
    found = {}
    for label in set(labels.flat):
        rows, columns = np.nonzero(labels == label)
        found[int(label)] = (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max()))
    return found


def ratio(above, below):
    return above / below if below else math.nan


def miou(case):
    pairs = case.official()
    return sum(float(case.iou(p, t)) for t, p, _ in pairs) / sum(live for *_, live in pairs)


def miou_fg(case):
    pairs = case.official()
    return ratio(sum(float(case.iou(p, t)) for t, p, _ in pairs if t), sum(live for *_, live in pairs) - 1)


def miou_fg_exact(case):
    pairs = [pair for pair in case.official() if pair[0] > 0]
    return ratio(sum(float(case.iou(p, t)) for t, p, _ in pairs), sum(live for *_, live in pairs))


def miou_union(case):
    overlapping = [case.iou(p, t) for t, p in case.tight() if case.iou(p, t) > 0]
    return float(sum(map(float, overlapping))) / (len(case.true) + len(case.predicted) - len(overlapping))


def miou_tight(case):
    return sum(float(case.iou(p, t)) for t, p in case.tight()) / max(len(case.true), len(case.predicted))


def miou_gt(case):
    return sum(float(case.iou(p, t)) for t, p, _ in case.official()) / len(case.true)


def miou_fg_gt(case):
    if not case.objects:
        return math.nan
    iou = [[case.iou(p, t) for p in range(CHANNELS)] for t in case.objects]
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return sum(float(iou[row][column]) for row, column in zip(rows, columns, strict=True)) / len(case.objects)


def dice(case):
    pairs = case.official()
    return sum(case.dice(p, t) for t, p, _ in pairs) / sum(live for *_, live in pairs)


def dice_fg(case):
    pairs = case.official()
    return ratio(sum(case.dice(p, t) for t, p, _ in pairs if t), sum(live for *_, live in pairs) - 1)


def acc(case):
    return float(len(case.true) == len(case.predicted))


def count_error(case):
    return float(abs(len(case.predicted) - len(case.true)))


def rand_index(true, predicted):
    """Hubert and Arabie's, from pairs of pixels, as a fraction; both arguments label -> set of pixels."""
    pixels = set().union(*true.values()) if true else set()
    together = sum(math.comb(len(p & t), 2) for p in predicted.values() for t in true.values())
    by_label = sum(math.comb(len(p & pixels), 2) for p in predicted.values())
    by_id = sum(math.comb(len(t), 2) for t in true.values())
    if together == by_label == by_id:
        return Fraction(1)
    expected = Fraction(by_label * by_id, math.comb(len(pixels), 2))
    return (together - expected) / (Fraction(by_label + by_id, 2) - expected)


def ari(case):
    return float(rand_index(case.true, case.predicted))


def ari_fg(case):
    return float(rand_index(case.objects, case.predicted))


def covering(case, segments, weighted):
    if not segments:
        return math.nan
    weights = {t: len(pixels) if weighted else 1 for t, pixels in segments.items()}
    return sum(case.best(t) * weight for t, weight in weights.items()) / sum(weights.values())


def or_zero(value):
    return 0.0 if math.isnan(value) else value


def recovered(values):
    return [value > HALF for value in values]


def recovery(case):
    found = recovered(case.best(t) for t in case.objects)
    return ratio(sum(found), len(found))


def corloc(case):
    found = recovered(case.best(t) for t in case.objects)
    return float(any(found)) if found else math.nan


def box_best(case, t):
    top, bottom, left, right = case.boxes["true"][t]
    one = {(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)}
    found = []
    for top, bottom, left, right in case.boxes["predicted"].values():
        other = {(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)}
        found.append(len(one & other) / len(one | other))
    return max(found)


def box_recovery(case):
    found = recovered(box_best(case, t) for t in case.objects)
    return ratio(sum(found), len(found))


def counts(case):
    """TP, FP, FN and the sum of the IoUs of the TPs."""
    kept = [p for p in case.predicted if not case.iou(p, 0) >= HALF]
    hits = [(p, t) for p in kept for t in case.objects if case.iou(p, t) > HALF]
    quality = sum(float(case.iou(p, t)) for p, t in hits)
    return len(hits), len(kept) - len(hits), len(case.objects) - len(hits), quality


def precision(case):
    tp, fp, _, _ = counts(case)
    return ratio(tp, tp + fp)


def recall(case):
    tp, _, fn, _ = counts(case)
    return ratio(tp, tp + fn)


def f1(case):
    tp, fp, fn, _ = counts(case)
    return ratio(tp, tp + fp / 2 + fn / 2)


def pq(case):
    tp, fp, fn, quality = counts(case)
    return ratio(quality, tp + fp / 2 + fn / 2)


LITERAL = {
    "miou": miou, "miou@union": miou_union, "miou@tight": miou_tight, "miou_fg": miou_fg,
    "miou_fg@exact": miou_fg_exact, "miou_gt": miou_gt, "miou_fg_gt": miou_fg_gt, "dice": dice, "dice_fg": dice_fg,
    "acc": acc, "count_error": count_error, "ari": ari, "ari_fg": ari_fg,
    "msc_fg": lambda case: or_zero(covering(case, case.objects, False)),
    "sc_fg": lambda case: or_zero(covering(case, case.objects, True)),
    "msc": lambda case: covering(case, case.true, False), "sc": lambda case: covering(case, case.true, True),
    "mbo": lambda case: covering(case, case.objects, False), "recovery": recovery, "corloc": corloc,
    "recovery@box": box_recovery, "precision": precision, "recall": recall, "f1": f1, "pq": pq,
}  # fmt: skip
# Those that depend on the partitions alone, background apart. The plain ones of the mIoU family depend on names too.
NAMELESS = [name for name in LITERAL if name.split("@")[0] not in ("miou", "miou_fg", "dice", "dice_fg")]
NAMELESS += ["miou@union", "miou@tight"]
