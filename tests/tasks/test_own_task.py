"""A task of a user's own, in its own file, through the programs; and the walls around tasks."""

import ast
import importlib.util
import pathlib
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
    from tfp_cinn import CINN, tasks
    from tfp_cinn.bijectors import Chain, GlowCoupling
    from tfp_cinn.networks import MLP

    @tasks.register("line")
    class Line(tasks.Task):
        event_shape, cond_shape = (2,), (3,)

        @classmethod
        def load(cls, section, model):
            return cls()

        def training_batches(self, batch_size, seed, epoch):
            x = np.random.default_rng(seed).normal(size=(64, 2)).astype("float32")
            cond = np.repeat(x[:, :1], 3, axis=1)
            return tf.data.Dataset.from_tensor_slices((x, cond)).batch(batch_size, True)

        def validation_batches(self, batch_size):
            return self.training_batches(min(batch_size, 64), 1, 0)

        def build(self, model):
            return CINN(Chain([GlowCoupling(MLP((8,)))]), (2,), cond_shape=(3,))
"""


@pytest.fixture
def line(tmp_path):
    """The file, imported; the task is forgotten afterwards."""
    from tfp_cinn.tasks import task

    path = tmp_path / "my_problem.py"
    path.write_text(textwrap.dedent(OWN))
    spec = importlib.util.spec_from_file_location("my_problem", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield "line"
    task._TASKS.pop("line", None)


@pytest.mark.slow
def test_a_task_of_one_class_goes_through_the_programs(line, tmp_path):
    run, cond = tmp_path / "run", tmp_path / "cond.npy"
    config = default_config().to_dict()
    config |= {"data": {"kind": line}, "model": {}}
    config["train"] |= {"epochs": 1, "batch_size": 32}
    train(config, run)
    figures = tasks.evaluate(run)
    assert figures["nats_per_dim"]["mean"] == pytest.approx(1.4, abs=0.6)  # 1.42 of N(0, 1)
    assert "bits_per_dim" not in figures
    np.save(cond, np.zeros((4, 3), np.float32))
    drawn = tasks.sample(run, cond=[str(cond)], num_samples=5)
    with np.load(drawn) as arrays:
        assert arrays["x"].shape == (5, 4, 2) and arrays["log_prob"].shape == (5, 4)
    with pytest.raises(UsageError, match="'line' has nothing to explore with"):
        tasks.explore(run)
    export_run(run, tmp_path / "models" / "line")
    # Whoever doesn't have the class draws all the same: a card makes nothing import code.
    from tfp_cinn.tasks import task

    task._TASKS.pop("line")
    output = tmp_path / "asked.npz"
    ask_for_samples(
        saved_model=tmp_path / "models" / "line", cond=[str(cond)], num_samples=5, output=output
    )
    with np.load(output) as arrays:
        x, log_prob = arrays["x"], arrays["log_prob"]
    assert x.shape == (5, 4, 2) and np.isfinite(log_prob).all()
    model = tfp_cinn.workdir.Workdir(run).load_model()
    expected = model.distribution.log_prob(x, np.zeros((4, 3), np.float32))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)  # float32
    with pytest.raises(UsageError, match="expected one of .*got 'line'"):
        tasks.evaluate(run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((4, 2)), r"expected numbers of shape \['conditions', 3\] as cond, got float64"),
        (np.full((4, 3), np.nan), "expected finite cond"),
        (np.zeros((0, 3)), "one row or more"),
        (np.array(["a"]), "expected numbers"),
        (None, "can't be read as .npy or .npz"),
    ],
)
def test_wrong_conditions_are_one_line(tmp_path, content, message):
    path = tmp_path / "c.npy"
    path.write_bytes(b"x") if content is None else np.save(path, content)
    with pytest.raises(UsageError, match=message) as caught:
        tasks.Task.read_conditions([str(path)], (3,))
    assert "\n" not in str(caught.value)


def test_conditions_by_part(tmp_path):
    np.savez(tmp_path / "c.npz", cond_a=np.zeros((4, 3)), cond_b=np.arange(4))
    shapes = {"a": (3,), "b": ()}
    parts = tasks.Task.read_conditions([str(tmp_path / "c.npz")], shapes)
    assert {key: part.shape[1:] for key, part in parts.items()} == shapes


def test_a_name_is_taken_once():
    with pytest.raises(UsageError, match="ClassImages has this name"):
        tasks.register("classes")(type("Other", (tasks.Task,), {}))


def test_nobody_outside_names_a_task():
    folder = pathlib.Path(tfp_cinn.__file__).parent
    rooms = {path.name for path in (folder / "tasks").iterdir() if (path / "task.py").exists()}
    words = {cls.__name__ for cls in tasks.task._TASKS.values()}
    words |= {f"tfp_cinn.tasks.{room}" for room in rooms}
    for program in ("training", "export", "client", "cli"):
        for path in (folder / program).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    module = node.module or ""
                    said = {".".join(module.split(".")[:3]), *(a.name for a in node.names)}
                    known = {("client", "tfp_cinn.tasks.colorization")}  # reads photographs
                    assert not {w for w in words & said if (program, w) not in known}, path
