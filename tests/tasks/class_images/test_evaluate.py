import json

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.tasks.class_images import evaluate as run
from tfp_cinn.tasks.class_images.evaluate import evaluate
from tfp_cinn.tasks.report import ROWS


@pytest.fixture(autouse=True)
def trained_once(monkeypatch, classifier):
    monkeypatch.setattr(run, "train_classifier", lambda images, seed: classifier)


@pytest.fixture
def copies(digits):
    """Stands for samples: 8 training images of each class, in bin centers."""
    rows = [digits.train.images[digits.train.labels == k][:8] for k in range(10)]
    return np.stack(rows).astype(np.float32) + 0.5


def strict_json(text):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_table_then_one_line_of_json(workdir, capsys):
    result = evaluate(workdir.path, num_samples=20)
    lines = capsys.readouterr().out.splitlines()
    assert (
        strict_json(lines[-1]) == result == strict_json((workdir / "evaluation.json").read_text())
    )
    rows = lines[2:-1]
    assert [row.split()[0] for row in rows] == list(ROWS)
    assert len({row.index("+-") for row in lines[1:-1]}) == 1
    assert ROWS.keys() <= result.keys()


def test_noise_is_told_from_digits(workdir):
    result = evaluate(workdir.path, num_samples=50)
    mean = {name: result[name]["mean"] for name in ROWS}
    assert mean["cnn_accuracy_real"] > 0.95
    assert mean["cnn_accuracy_samples"] < 0.3
    assert len(result["cnn_accuracy_samples_by_class"]) == 10
    assert mean["diversity_ratio"] > 1.3
    assert mean["neighbor_distance_samples"] > 2 * mean["neighbor_distance_real"]
    assert abs(mean["latent_std"] - 1) < 0.02


def test_copies_are_recognized_as_digits_and_as_copies(workdir, copies, monkeypatch):
    monkeypatch.setattr(run, "draw", lambda *_: copies)
    result = evaluate(workdir.path, num_samples=8)
    assert result["neighbor_distance_samples"] == {"mean": 0.0, "standard_error": 0.0}
    assert result["cnn_accuracy_samples"]["mean"] > 0.95
    assert 0.8 < result["diversity_ratio"]["mean"] < 1.2


def test_collapsed_samples_are_seen(workdir, copies, monkeypatch):
    monkeypatch.setattr(run, "draw", lambda *_: copies[:, :1].repeat(8, axis=1))
    result = evaluate(workdir.path, num_samples=8)
    assert result["diversity_ratio"]["mean"] == 0.0
    assert result["cnn_accuracy_samples"]["mean"] > 0.95


def test_samples_that_are_not_numbers_are_counted(workdir, copies, monkeypatch, capsys):
    copies[3, 2, 0, 0], copies[4, 1] = np.nan, np.inf
    monkeypatch.setattr(run, "draw", lambda *_: copies)
    assert evaluate(workdir.path, num_samples=8)["non_finite_samples"] == 2
    assert "2 samples have NaN" in capsys.readouterr().out


def test_samples_follow_temperature_and_seed(workdir):
    distances = [
        evaluate(workdir.path, num_samples=4, **kwargs)["pair_distance_samples"]["mean"]
        for kwargs in ({}, {"batch_size": 60}, {"seed": 1}, {"temperature": 0.0})
    ]
    assert distances[0] == distances[1] != distances[2]
    assert distances[3] == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 1}, "num_samples: expected 2 or more"),
        ({"temperature": float("nan")}, "temperature: expected"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_wrong_arguments(workdir, arguments, message):
    with pytest.raises(UsageError, match=message):
        evaluate(workdir.path, **arguments)


def test_a_config_that_lacks_the_name(workdir):
    config = workdir.config()
    del config["data"]["name"]
    (workdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="config.json: lacks the field 'name'"):
        evaluate(workdir.path)


def test_a_config_without_data(workdir):
    (workdir / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="lacks the field 'data'"):
        evaluate(workdir.path)
