"""A task of a user's own, in its own file, through the programs."""

import importlib.util
import textwrap

import numpy as np
import pytest

import tfp_cinn
from tfp_cinn import UsageError, tasks
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.export import export_run
from tfp_cinn.training import default_config, train

OWN = """
    import numpy as np
    import tensorflow as tf
    from tfp_cinn import CINN, metrics, tasks
    from tfp_cinn.bijectors import Chain, GlowCoupling
    from tfp_cinn.networks import MLP

    @metrics.metric("1", "mean distance of test data from the origin")
    def mean_radius(batches):
        x = np.concatenate([x for x, _ in batches])
        return metrics.Figure.average(np.linalg.norm(x, axis=1))

    @tasks.register("line")
    class Line(tasks.Task):
        event_shape, cond_shape = (2,), (3,)
        x_meaning, cond_meaning = "a point", "where it is"

        def training_batches(self, batch_size, seed, epoch):
            x = np.random.default_rng(seed).normal(size=(64, 2)).astype("float32")
            cond = np.repeat(x[:, :1], 3, axis=1)
            return tf.data.Dataset.from_tensor_slices((x, cond)).batch(batch_size, True)

        def validation_batches(self, batch_size):
            return self.training_batches(min(batch_size, 64), 1, 0)

        def build(self, model):
            return CINN(Chain([GlowCoupling(MLP((8,)))]), (2,), cond_shape=(3,))

        def measure(self, model, batch_size=64):
            return [*super().measure(model, batch_size), mean_radius(self.test_batches(64))]
"""


@pytest.fixture
def line(tmp_path, monkeypatch):
    """The file, imported; the task is forgotten afterwards."""
    monkeypatch.setattr(tasks.task, "_TASKS", dict(tasks.task._TASKS))
    path = tmp_path / "my_problem.py"
    path.write_text(textwrap.dedent(OWN))
    spec = importlib.util.spec_from_file_location("my_problem", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return "line"


@pytest.mark.long  # a fresh process replays the export
def test_a_task_of_one_class_goes_through_the_programs(line, tmp_path, capsys):
    run, cond = tmp_path / "run", tmp_path / "cond.npy"
    config = default_config().to_dict()
    config |= {"data": {"task": line}, "model": {}}
    config["train"] |= {"epochs": 1, "batch_size": 32}
    train(config, run)
    figures = tasks.evaluate(run)
    assert figures["nats_per_dim"]["mean"] == pytest.approx(1.4, abs=0.6)  # 1.42 of N(0, 1)
    assert figures["mean_radius"]["meaning"] == "mean distance of test data from the origin"
    assert "bits_per_dim" not in figures
    with pytest.raises(UsageError, match="temperature: not an option of the task 'line'"):
        tasks.evaluate(run, temperature=0.5)
    with pytest.raises(UsageError, match="folder: the data of .* don't come from one"):
        tasks.evaluate(run, folder=tmp_path)
    np.save(cond, np.zeros((4, 3), np.float32))
    with np.load(tasks.sample(run, cond=[str(cond)], num_samples=5)) as arrays:
        drawn = dict(arrays)
    assert drawn["x"].shape == (5, 4, 2) and drawn["log_prob"].shape == (5, 4)
    assert set(tasks.explore(run, ["transfer"], cond=[str(cond)])["pictures"]) == {"transfer"}
    page = (export_run(run, tmp_path / "models" / "line") / "MODEL_CARD.md").read_text()
    assert "mean distance of test data from the origin" in page and "where it is" in page
    # Whoever doesn't have the class draws all the same: a card makes nothing import code.
    tasks.task._TASKS.pop("line")
    output = tmp_path / "asked.npz"
    ask_for_samples(
        saved_model=tmp_path / "models" / "line", cond=[str(cond)], num_samples=5, output=output
    )
    with np.load(output) as arrays:
        # Another batch, other rounding.
        for key, value in drawn.items():
            np.testing.assert_allclose(arrays[key], value, rtol=1e-4, atol=1e-4)
    model = tfp_cinn.workdir.Workdir(run).load_model()
    expected = model.distribution.log_prob(drawn["x"], np.zeros((4, 3), np.float32))
    np.testing.assert_allclose(drawn["log_prob"], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(UsageError, match="task.json: expected one of .*got 'line'"):
        tasks.sample(run)


def test_a_name_is_taken_once():
    with pytest.raises(UsageError, match="ClassImages has this name"):
        tasks.register("classes")(type("Other", (tasks.Task,), {}))


def test_a_run_of_an_earlier_version_is_refused_in_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(UsageError, match="of an earlier version, without task.json; train again"):
        tasks.sample(tmp_path)


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ({"kind": "classes", "dataset": "d", "class_names": ["a"], "levels": 2}, "ClassImages"),
        ({"dataset": "d", "class_names": ["a"], "levels": 2}, "ClassImages"),
        ({"kind": "arrays", "facts": {"x": 1, "cond": 2, "columns": 3, "categories": 4,
                                      "missing": 5}}, "Arrays"),
        ({"kind": "colorization", "dataset": "photographs"}, "Colorization"),
        ({"kind": "color_digits", "dataset": "mnist"}, "ColorDigits"),
        ({"kind": "somebody's"}, "Task"),
        ({}, "Task"),
    ],
)  # fmt: skip
def test_cards_of_the_first_version_are_read(card, name):
    assert type(tasks.restore(card)).__name__ == name


def test_a_card_that_lacks_something_is_refused():
    with pytest.raises(UsageError, match="'classes' is described without levels; train"):
        tasks.restore({"task": "classes", "class_names": ["a"]})
