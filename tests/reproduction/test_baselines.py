"""What a cINN is compared with."""

import math

import numpy as np
import pytest
import tensorflow as tf

from reproduction import baselines
from reproduction.baselines.baseline import count_weights, key_of
from reproduction.tasks.task import config_of
from tfp_cinn import UsageError, tasks

RUNS = [("classes", "gan"), ("color_digits", "vae"), ("color_digits", "regression")]


def task_of(name, **fields):
    return tasks.without_data(config_of(name, **fields))


@pytest.fixture(scope="module")
def data():
    names = {"classes": "digits", "color_digits": "color_digits"}
    return {kind: tasks.load(config_of(name)) for kind, name in names.items()}


def batch_of(task, size):
    return [part.numpy() for part in next(iter(task.training_batches(size, 0)))]


def perturbed(model):
    rng = np.random.default_rng(0)
    model.set_weights([w + 0.02 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("name", "fields", "weights"),
    [
        ("fashion_mnist", {}, 7.3e6),
        ("color_digits", {}, 857_760),
        ("photos", {"data__size": 32, "data__ab_size": 32}, 1_495_688),
    ],
)
def test_they_are_of_the_size_of_the_cinn(name, fields, weights):
    task = task_of(name, **fields)
    for method in baselines.METHODS:
        if (name, method) != ("fashion_mnist", "regression"):
            model = baselines.build(method, task, 0)
            assert abs(count_weights(model) / weights - 1) < 0.1
            assert 0 < model.generator_weights <= count_weights(model)


# The pairs that learn enough within seconds.
@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "method"),
    [("classes", "vae"), ("color_digits", "gan"), ("color_digits", "regression")],
)
def test_training_lowers_the_loss_and_samples_have_the_units_of_x(data, kind, method):
    model, told = baselines.build(method, data[kind], 0), []
    seconds = 12.0 if method == "gan" else 8.0  # making the graph takes up to half of it
    history = baselines.train(model, data[kind], seconds, 0, lambda *args: told.append(args))
    assert seconds <= history[-1]["seconds"] < seconds + 2 and history[-1]["epoch"] > 0
    assert all(0 < share <= 1 and math.isfinite(losses["loss"]) for share, losses in told)
    assert history[-1]["loss"] < history[0]["loss"]
    x, cond = batch_of(data[kind], 20)
    samples = model.sample(cond, 30, 0)  # more than one block
    assert samples.shape == (30, *x.shape) and samples.dtype == np.float32
    # Images are those of the data, blurred maybe: of their mean, and within their range.
    np.testing.assert_allclose(samples.mean(), x.mean(), atol=0.5 * x.std())
    assert 0.1 * x.std() < samples.std() < 2 * x.std()
    if method == "vae":
        again = model.reconstruct(x, cond).numpy()
        assert again.shape == x.shape
        assert np.mean((again - x) ** 2) < 0.9 * np.mean((samples[0] - x) ** 2)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "method"), RUNS)
def test_seeds_decide_and_steps_change_every_weight(data, kind, method):
    x, cond = batch_of(data[kind], 3)
    models = [baselines.build(method, data[kind], seed) for seed in (5, 5, 6)]
    before = [m.get_weights() for m in models]
    trained = [w.numpy() for w in models[0].trainable_weights]
    for model in models[:2]:
        model.step(x, cond, key_of(1, 0), tf.constant(1e-3))
    for weight, old in zip(models[0].trainable_weights, trained, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0, weight.path
    for weights in (before, [m.get_weights() for m in models]):
        for one, same in zip(*weights[:2], strict=True):
            np.testing.assert_allclose(one, same, rtol=1e-4, atol=1e-6)
    assert max(np.abs(a - b).max() for a, b in zip(before[0], before[2], strict=True)) > 0.01
    model = models[0]
    first, other, again = (model.sample(cond, 2, seed) for seed in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    if method == "regression":
        np.testing.assert_allclose(first[0], first[1], atol=1e-6)
        np.testing.assert_allclose(first, other, atol=1e-6)
    else:
        assert np.abs(first - other).max() > 1e-3 < np.abs(first[0] - first[1]).max()
    if method == "gan":
        assert model.nats_per_dim(x, cond, 0) is None  # only a VAE has a density


def test_the_bound_is_one_and_exact_where_the_posterior_is(data):
    task = data["classes"]
    x, cond = batch_of(task, 8)
    model = perturbed(baselines.build("vae", task, 0))
    # A decoder that sees only its last bias: y ~ N(bias, sigma^2), whatever z.
    kernel, bias = model.decoder.layers[-2].weights
    kernel.assign(tf.zeros_like(kernel))
    sigma = np.exp(model.log_sigma.numpy())
    y = model.own_units(x)
    nats = ((y - bias.numpy()) / sigma) ** 2 / 2 + np.log(sigma * math.sqrt(2 * math.pi))
    exact = nats.mean(axis=(1, 2, 3)) + math.log(model._scale)
    bounds = [model.nats_per_dim(x, cond, 0, k).mean() for k in (1, 16, 256)]
    assert bounds[0] > bounds[1] > bounds[2] > exact.mean()
    # Now the encoder says N(0, 1), which is the posterior.
    for weight in model.encoder.layers[-1].weights:
        weight.assign(tf.zeros_like(weight))
    np.testing.assert_allclose(model.nats_per_dim(x, cond, 0), exact, atol=1e-4)


def test_a_method_that_does_not_fit_is_refused(data):
    for method in ("regression", "flow"):
        with pytest.raises(UsageError):
            baselines.build(method, data["classes"], 0)
    for size, ab_size in ((32, 16), (36, 36)):
        with pytest.raises(UsageError):
            photos = task_of("photos", data__size=size, data__ab_size=ab_size)
            baselines.build("vae", photos, 0)
