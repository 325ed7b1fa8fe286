"""Writes tests/metrics/golden.json: the slow literal definitions of the metrics, on every fourth golden label map.

python tools/golden_scores.py
"""

import json
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from golden_arrays import golden
from literal_metrics import LITERAL, Case

RESULT = TESTS / "metrics" / "golden.json"
EVERY = 4  # golden cases to one that is scored


def main() -> None:
    arrays, scores = golden("metrics.npz"), {}
    for name in list(arrays["a_names"])[::EVERY]:
        place = list(arrays["a_names"]).index(name)
        case = Case(arrays["a_true"][place], arrays["a_pred"][place])
        scores[str(name)] = {metric: score(case) for metric, score in LITERAL.items()}
        print(name, file=sys.stderr)
    RESULT.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
