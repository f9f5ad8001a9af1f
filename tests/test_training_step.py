"""What `fit`, `evaluate` and `predict` of a CINN do with Keras's own options."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, FusedAdam, NonFiniteError, UsageError
from tfp_cinn.bijectors import AffineCoupling, Chain, SoftPermutation
from tfp_cinn.networks import MLP, LabelEmbedding, OneHot

ROWS = 24


def make_model(optimizer, conditioner=None, cond_shape=(), **kwargs):
    keras.utils.set_random_seed(0)
    flow = [SoftPermutation(0), AffineCoupling(MLP([8], init_std=0.1, zero_last=False))]
    if cond_shape == () and conditioner is None:
        conditioner = OneHot(3)
    model = CINN(Chain(flow), (4,), conditioner, cond_shape, weight_prior=0.1)
    model.compile(optimizer, **kwargs)
    model.optimizer.build(model.trainable_variables)
    return model


@functools.cache
def traced(cond_shape):
    """A model whose steps are traced once for all tests, and its variables' first values."""
    model = make_model(keras.optimizers.SGD(0.1), cond_shape=cond_shape)
    return model, [(v, v.numpy()) for v in model.variables + model.optimizer.variables]


def fresh(cond_shape=(), rate=0.1):
    model, start = traced(cond_shape)
    for v, value in start:
        v.assign(value)
    model.optimizer.learning_rate = rate
    return model


def data(rows=ROWS):
    rng = np.random.RandomState(0)
    x = rng.randn(rows, 4) * np.linspace(0.3, 2, rows)[:, None]
    weight = rng.exponential(size=rows) * (rng.rand(rows) > 0.2)
    return x.astype("float32"), rng.randint(0, 3, rows).astype("int32"), weight.astype("float32")


def batches(*arrays, size=8):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(size)


def weights(model):
    return np.concatenate([w.numpy().ravel() for w in model.trainable_weights])


def trained(optimizer, size=8, **kwargs):
    model = make_model(optimizer, LabelEmbedding(3, 2), **kwargs)
    model.fit(batches(*data()[:2], size=size), epochs=2, verbose=0)
    return model, weights(model)


def assert_the_bad_batch_is_named(model):
    x, label, _ = data(48)
    x[34] = np.nan  # the fifth batch of 8
    before = weights(model)
    with pytest.raises(NonFiniteError, match="epoch 1, batch 5: the data x hold NaN"):
        model.fit(batches(x, label), verbose=0)
    assert np.all(np.isfinite(weights(model))) and np.any(weights(model) != before)


def test_a_scaled_loss_trains_as_an_unscaled_one_and_shrinks_on_overflow():
    _, plain = trained(FusedAdam(0.01, global_clipnorm=0.05))
    optimizer = keras.optimizers.LossScaleOptimizer(FusedAdam(0.01, global_clipnorm=0.05))
    model, scaled = trained(optimizer, steps_per_execution=2)
    # The scale is a power of 2, so that only Adam's epsilon could tell: float32 roundings.
    np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=1e-6)
    assert_the_bad_batch_is_named(model)
    before = weights(model)
    optimizer.dynamic_scale.assign(2.0**127)
    x, label, _ = data()
    model.fit(batches(10 * x, label), epochs=8, verbose=0)
    assert float(optimizer.dynamic_scale) < 2.0**127
    assert np.abs(weights(model) - before).max() > 0.01


def test_accumulated_gradients_are_those_of_the_whole_batch():
    _, whole = trained(FusedAdam(0.01), size=24)
    model, parts = trained(FusedAdam(0.01, gradient_accumulation_steps=3))
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)  # sums in another order
    assert_the_bad_batch_is_named(model)


def expected_nats(model, x, label, weight):
    log_prob = model.distribution.log_prob(x, label).numpy()
    return -np.sum(weight * log_prob) / np.sum(weight) / 4


conditional_or_not = pytest.mark.parametrize("cond_shape", [(), None], ids=["labels", "without"])


@conditional_or_not
def test_weighted_likelihood(cond_shape):
    model, (x, label, weight) = fresh(cond_shape, rate=0.0), data()
    cond = None if cond_shape is None else label
    dataset = batches(x, label, weight)
    if cond is None:
        dataset = dataset.map(lambda x, label, weight: (x, None, weight))
    options = {"verbose": 0, "return_dict": True}
    found = [
        model.evaluate(x, cond, sample_weight=weight, batch_size=7, **options),
        model.evaluate(dataset, **options),
    ]
    log = model.fit(x, cond, validation_data=(x, cond, weight), batch_size=7, verbose=0).history
    found.append({name[4:]: log[name][0] for name in log if name.startswith("val_")})
    nats = expected_nats(model, x, cond, weight)
    prior = 0.05 * np.sum(weights(model) ** 2)
    expected = {"nats_per_dim": nats, "bits_per_dim": nats / np.log(2), "loss": nats + prior}
    for values in found:
        for name, value in expected.items():
            np.testing.assert_allclose(values[name], value, rtol=1e-5)


def weighted_step(cond_shape, *arguments, **kwargs):
    """By how much one step moves the weights, and its nats/dim."""
    model = fresh(cond_shape)
    before = weights(model)
    log = model.fit(*arguments, **kwargs, verbose=0, shuffle=False).history
    return np.append(weights(model) - before, log["nats_per_dim"][0])


@conditional_or_not
def test_whole_weights_train_as_repeated_rows(cond_shape):
    x, label, _ = data()
    count = np.arange(ROWS) % 3
    cond, again = (None, None) if cond_shape is None else (label, np.repeat(label, count))
    repeated = weighted_step(cond_shape, np.repeat(x, count, axis=0), again, batch_size=ROWS)
    weight = count.astype("float32")
    weighted = weighted_step(cond_shape, x, cond, sample_weight=weight, batch_size=ROWS)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-5, atol=1e-6)  # sums in other order


def test_class_weights():
    x, label, _ = data()
    by_class = {0: 0.2, 1: 3.0, 2: 0.0}
    weight = np.array([by_class[k] for k in label], "float32")
    by_row = weighted_step((), batches(x, label, weight, size=ROWS))
    for given in ((x, label), (batches(x, label, size=ROWS),)):
        moved = weighted_step((), *given, class_weight=by_class, batch_size=None)
        np.testing.assert_allclose(moved, by_row, rtol=1e-5, atol=1e-6)


def test_wrong_weights_stop_training():
    x, label, weight = data()
    for value in (-1.0, np.nan, np.inf):
        weight[3] = value
        with pytest.raises(NonFiniteError, match="batch 1: sample_weight has values that are neg"):
            fresh().fit(batches(x, label, weight), verbose=0)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda x, c, w: fresh(None).fit(batches(x, w)), "expected x alone"),
        (lambda x, c, w: fresh(None).fit(batches(x, c, w)), "expected x alone, or"),
        (lambda x, c, w: fresh().fit(batches(x, c, w[:, None])), "sample_weight of shape"),
        (lambda x, c, w: fresh().fit(x, sample_weight=w), "sample_weight needs x and cond"),
        (lambda x, c, w: fresh((4,)).fit(x, x, class_weight={0: 1}), "cond_shape="),
        (lambda x, c, w: fresh().export("there"), r"export_model\(model, 'there'\)"),
    ],
)
def test_what_cannot_be_meant_is_answered_in_one_line(run, message):
    with pytest.raises(UsageError, match=message) as caught:
        run(*data())
    assert "\n" not in str(caught.value)


def test_callbacks_know_that_less_is_better(tmp_path):
    pair, kinds = data()[:2], keras.callbacks
    callbacks = []
    for monitor in ("bits_per_dim", "val_nats_per_dim"):
        path = str(tmp_path / (monitor + "{epoch}.weights.h5"))
        callbacks += [
            kinds.EarlyStopping(monitor, patience=1),
            kinds.ReduceLROnPlateau(monitor, patience=1),
            kinds.ModelCheckpoint(path, monitor, save_best_only=True, save_weights_only=True),
        ]
    history = fresh().fit(*pair, validation_data=pair, epochs=3, verbose=0, callbacks=callbacks)
    for callback in callbacks:
        values = history.history[callback.monitor]
        assert len(values) == 3 and values == sorted(values, reverse=True)
        assert callback.best == values[-1]
    assert len(list(tmp_path.iterdir())) == 6


def test_predict_takes_what_fit_takes():
    model, (x, label, weight) = fresh(), data()
    expected = model.distribution.log_prob(x, label)
    for given in (batches(x, label), batches(x, label, weight), (x, label)):
        np.testing.assert_allclose(model.predict(given, verbose=0), expected, rtol=1e-5)
    model.fit((x, label), verbose=0)
    without = fresh(None)
    expected = without.distribution.log_prob(x)
    for given in (x, batches(x), batches(x).map(lambda x: x)):
        np.testing.assert_allclose(without.predict(given, verbose=0), expected, rtol=1e-5)


def test_a_frozen_model_fits_without_moving():
    x, label, _ = data()
    model = make_model("sgd")
    model.trainable = False
    model.compile(FusedAdam(0.01), memory="recompute")
    before = [w.numpy() for w in model.weights]
    log = model.fit(x, label, epochs=2, verbose=0).history
    for w, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(w.numpy(), value)
    expected = expected_nats(model, x, label, np.ones(ROWS))
    np.testing.assert_allclose(log["nats_per_dim"], expected, rtol=1e-5)
    x[3] = np.nan
    with pytest.raises(NonFiniteError, match="epoch 1, batch 1: the data x hold NaN"):
        model.fit(x, label, verbose=0)


def test_the_first_batch_tells_of_a_scale_far_off():
    for scale_of_x, scale_of_cond, told in [
        (1, 1, None), (20, 20, None), (1000, 1, "x has"), (1, 1e4, "the condition has"),
    ]:  # fmt: skip
        x, cond = (scale * data()[0] for scale in (scale_of_x, scale_of_cond))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fresh((4,), rate=1e-9).fit(x, cond, batch_size=8, epochs=2, verbose=0)
        texts = [str(w.message) for w in caught if "root mean square" in str(w.message)]
        assert [text[: len(told)] for text in texts] == [told] if told else not texts


def test_data_whose_squares_overflow_are_told_to_standardize():
    x = np.exp(15 * data()[0])
    with pytest.raises(NonFiniteError, match=r"; x has .* standardize it \(bijectors.Standardize"):
        fresh(None).fit(x, verbose=0)
