"""One list of figures as a table, as JSON, and as the evaluation of a card."""

import json
import math

from tfp_cinn.metrics import Figure
from tfp_cinn.tasks.evaluation import as_json, from_json, table

FIGURES = [
    Figure(1.23456, 0.0123, "nats", "nats/dim", "lower is better"),
    Figure(5.0, 0.0, "count", "images", "that were measured"),
    Figure(math.nan, math.inf, "lost", "1", "not finite"),
    Figure(0.9, 0.01, "accuracy", "share", "recognized", "real"),
    Figure(0.8, 0.02, "accuracy", "share", "recognized", "samples"),
    Figure(4.0, 0.5, "distance", "levels", "of two images", "real"),
    Figure(3.0, 0.5, "distance", "levels", "of two images", "samples"),
    *(Figure(k / 10, 0.1, "hue", "degrees", "by class", f"class {k}") for k in range(5)),
]


def test_json_has_no_nan_and_gives_the_figures_back():
    result = json.loads(json.dumps(as_json(FIGURES), allow_nan=False))
    assert result["nats"] == {
        "mean": 1.23456, "standard_error": 0.0123, "unit": "nats/dim", "meaning": "lower is better",
    }  # fmt: skip
    assert result["lost"]["mean"] is None and result["lost"]["standard_error"] is None
    assert list(result["accuracy"]) == ["real", "samples"]
    assert len(result["hue"]) == 5
    # A card holds only figures with both numbers.
    others = {"seed": 3, "by_class": {"0": 1.0}, "text": {"mean": "2", "standard_error": "1"}}
    assert from_json(result | others) == [each for each in FIGURES if each.name != "lost"]
    old = {"bits": {"mean": 2.5, "standard_error": 0.1}}
    assert from_json(old) == [Figure(2.5, 0.1, "bits", "", "")]


def test_a_table_has_a_block_for_what_figures_are_of_and_a_line_for_each_meaning():
    lines = table(FIGURES).splitlines()
    assert lines[1].split() == ["nats", "1.235", "+-", "0.012", "nats/dim"]
    assert lines[2].split() == ["count", "5", "images"]
    assert lines[3].split() == ["lost", "nan", "1"]
    assert lines[4].split() == ["real", "samples", "unit"]
    assert lines[5].split() == ["accuracy", "0.900", "+-", "0.010", "0.800", "+-", "0.020", "share"]
    assert lines[6].split() == ["distance", "4.00", "+-", "0.50", "3.00", "+-", "0.50", "levels"]
    # More classes than names: they go down.
    assert lines[7].split() == ["hue"]
    assert lines[9].split() == ["class", "1", "0.10", "+-", "0.10"]
    assert lines[13].split() == ["unit", "degrees"]
    assert lines[-1].split(maxsplit=1) == ["hue", "by class"]
    assert len(lines) == 14 + 6
