"""What `fit`, `evaluate` and `predict` of a CINN do with Keras's own options."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, FusedAdam, NonFiniteError, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling, SoftPermutation
from tfp_cinn.networks import MLP, LabelEmbedding, OneHot

ROWS = 24


def make_model(optimizer=None, conditioner=None, cond_shape=(), seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    flow = [SoftPermutation(0), GlowCoupling(MLP([8], init_std=0.1, zero_last=False))]
    if cond_shape == () and conditioner is None:
        conditioner = OneHot(3)
    model = CINN(Chain(flow), (4,), conditioner, cond_shape, weight_prior=0.1)
    model.compile(optimizer or keras.optimizers.SGD(0.1), **kwargs)
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


def trained(make_optimizer, epochs=2, size=8, **kwargs):
    model = make_model(make_optimizer(), **kwargs)
    model.fit(batches(*data()[:2], size=size), epochs=epochs, verbose=0)
    return weights(model)


def test_a_scaled_loss_trains_as_an_unscaled_one():
    def make(**options):
        return FusedAdam(0.01, global_clipnorm=0.05, **options)

    plain = trained(make)
    # The scales are powers of 2, so that only Adam's epsilon could tell: float32 roundings.
    factor = trained(lambda: make(loss_scale_factor=1024.0))
    np.testing.assert_allclose(factor, plain, rtol=1e-4, atol=1e-6)
    dynamic = trained(lambda: keras.optimizers.LossScaleOptimizer(make()))
    np.testing.assert_allclose(dynamic, plain, rtol=1e-4, atol=1e-6)


def test_a_loss_scale_that_overflows_shrinks_and_training_goes_on():
    inner = keras.optimizers.SGD(0.01)
    model = make_model(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127))
    before = weights(model)
    x, label, _ = data()
    model.fit(batches(10 * x, label), epochs=8, verbose=0)
    assert float(model.optimizer.dynamic_scale) < 2.0**127
    assert np.abs(weights(model) - before).max() > 0.01


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole = trained(lambda: FusedAdam(0.01), size=24, conditioner=LabelEmbedding(3, 2))
    parts = trained(
        lambda: FusedAdam(0.01, gradient_accumulation_steps=3), conditioner=LabelEmbedding(3, 2)
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)  # sums in another order


@pytest.mark.parametrize(
    ("make_optimizer", "steps_per_execution"),
    [
        (lambda: FusedAdam(0.01, gradient_accumulation_steps=2), 2),
        (lambda: keras.optimizers.LossScaleOptimizer(FusedAdam(0.01)), 2),
    ],
    ids=["accumulated-by-two", "scaled"],
)
def test_the_bad_batch_is_named(make_optimizer, steps_per_execution):
    x, label, _ = data(48)
    x[34] = np.nan  # the fifth batch of 8
    model = make_model(make_optimizer(), steps_per_execution=steps_per_execution)
    model.fit(batches(x[:32], label[:32]), verbose=0)
    before = weights(model)
    with pytest.raises(NonFiniteError, match="epoch 1, batch 5: the data x hold NaN"):
        model.fit(batches(x, label), verbose=0)
    assert np.all(np.isfinite(weights(model))) and np.any(weights(model) != before)


def expected_nats(model, x, label, weight):
    log_prob = model.distribution.log_prob(x, label).numpy()
    return -np.sum(weight * log_prob) / np.sum(weight) / 4


def no_condition(cond, model):
    return None if model.cond_shape is None else cond


@pytest.mark.parametrize("cond_shape", [(), None], ids=["conditional", "without"])
def test_weighted_likelihood(cond_shape):
    model = make_model(keras.optimizers.SGD(0.0), cond_shape=cond_shape)
    x, label, weight = data()
    cond = no_condition(label, model)
    dataset = batches(x, label, weight)
    if cond_shape is None:
        dataset = dataset.map(lambda x, label, weight: (x, None, weight))
    arrays = {"sample_weight": weight, "batch_size": 7}
    options = {"verbose": 0, "return_dict": True}
    found = [model.evaluate(x, cond, **arrays, **options), model.evaluate(dataset, **options)]
    for valid in (dataset, (x, cond, weight)):
        log = model.fit(x, cond, validation_data=valid, batch_size=7, verbose=0).history
        found.append({name[4:]: log[name][0] for name in log if name.startswith("val_")})
    nats = expected_nats(model, x, cond, weight)
    prior = 0.05 * np.sum(weights(model) ** 2)
    expected = {"nats_per_dim": nats, "bits_per_dim": nats / np.log(2), "loss": nats + prior}
    for values in found:
        for name, value in expected.items():
            np.testing.assert_allclose(values[name], value, rtol=1e-5)


def weighted_step(model, *arguments, **kwargs):
    before = weights(model)
    log = model.fit(*arguments, **kwargs, verbose=0, shuffle=False).history
    return weights(model) - before, log["nats_per_dim"][0]


@pytest.mark.parametrize("cond_shape", [(), None], ids=["conditional", "without"])
def test_whole_weights_train_as_repeated_rows(cond_shape):
    x, label, _ = data()
    count = np.arange(ROWS) % 3
    models = [make_model(cond_shape=cond_shape) for _ in range(2)]
    cond = no_condition(label, models[0])
    again = None if cond is None else np.repeat(label, count)
    repeated = weighted_step(models[0], np.repeat(x, count, axis=0), again, batch_size=ROWS)
    weight = count.astype("float32")
    weighted = weighted_step(models[1], x, cond, sample_weight=weight, batch_size=ROWS)
    np.testing.assert_allclose(weighted[0], repeated[0], atol=1e-6)  # float32 sums in other order
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-5)


@pytest.mark.parametrize("form", ["arrays", "dataset"])
def test_class_weights(form):
    x, label, _ = data()
    by_class = {0: 0.2, 1: 3.0, 2: 0.0}
    weight = np.array([by_class[k] for k in label], "float32")
    given = (x, label) if form == "arrays" else (batches(x, label, size=ROWS),)
    one, other = make_model(), make_model()
    by_class = weighted_step(one, *given, class_weight=by_class, batch_size=None)
    if form == "arrays":
        by_row = weighted_step(other, x, label, sample_weight=weight)
    else:
        by_row = weighted_step(other, batches(x, label, weight, size=ROWS))
    np.testing.assert_allclose(by_class[0], by_row[0], atol=1e-6)
    np.testing.assert_allclose(by_class[1], by_row[1], rtol=1e-5)


def test_wrong_weights_stop_training():
    model, (x, label, weight) = make_model(), data()
    for value in (-1.0, np.nan, np.inf):
        weight[3] = value
        with pytest.raises(NonFiniteError, match="batch 1: sample_weight has values that are neg"):
            model.fit(batches(x, label, weight), verbose=0)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda x, c, w: make_model(cond_shape=None).fit(batches(x, w)), "expected x alone"),
        (lambda x, c, w: make_model(cond_shape=None).fit(batches(x, c, w)), "expected x alone, or"),
        (lambda x, c, w: make_model().fit(batches(x, c, w[:, None])), "sample_weight of shape"),
        (lambda x, c, w: make_model().fit(x, sample_weight=w), "sample_weight needs x and cond"),
        (lambda x, c, w: make_model(cond_shape=(4,)).fit(x, x, class_weight={0: 1}), "cond_shape="),
        (lambda x, c, w: make_model().export("there"), r"export_model\(model, 'there'\)"),
    ],
)
def test_what_cannot_be_meant_is_answered_in_one_line(run, message):
    with pytest.raises(UsageError, match=message) as caught:
        run(*data())
    assert "\n" not in str(caught.value)


def test_callbacks_know_that_less_is_better(tmp_path):
    model, pair = make_model(), data()[:2]
    monitors = [v + m for v in ("", "val_") for m in ("nats_per_dim", "bits_per_dim", "loss")]
    stops, plateaus, saves = (
        {m: make(monitor=m) for m in monitors}
        for make in (
            lambda monitor: keras.callbacks.EarlyStopping(monitor, patience=1),
            lambda monitor: keras.callbacks.ReduceLROnPlateau(monitor, patience=1),
            lambda monitor: keras.callbacks.ModelCheckpoint(
                str(tmp_path / (monitor + "{epoch}.keras")), monitor=monitor, save_best_only=True
            ),
        )
    )
    callbacks = [*stops.values(), *plateaus.values(), *saves.values()]
    history = model.fit(*pair, validation_data=pair, epochs=3, verbose=0, callbacks=callbacks)
    for monitor in monitors:
        values = history.history[monitor]
        assert len(values) == 3 and values == sorted(values, reverse=True)
        for kind in (stops, plateaus, saves):
            assert kind[monitor].best == values[-1]
    assert len(list(tmp_path.iterdir())) == 18


def test_predict_takes_what_fit_takes():
    model, (x, label, weight) = make_model(), data()
    expected = model.distribution.log_prob(x, label)
    for given in (batches(x, label), batches(x, label, weight), (x, label)):
        np.testing.assert_allclose(model.predict(given, verbose=0), expected, rtol=1e-5)
    model.fit((x, label), verbose=0)
    without = make_model(cond_shape=None)
    expected = without.distribution.log_prob(x)
    for given in (x, batches(x), batches(x).map(lambda x: x)):
        np.testing.assert_allclose(without.predict(given, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_a_frozen_model_fits_without_moving(memory):
    x, label, _ = data()
    model = make_model(FusedAdam(0.01))
    model.trainable = False
    model.compile(FusedAdam(0.01), memory=memory)
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
    model = make_model(keras.optimizers.SGD(1e-9), cond_shape=(4,))
    for scale_of_x, scale_of_cond, told in [
        (1, 1, None), (20, 20, None), (1000, 1, "x has"), (1, 1e4, "the condition has"),
    ]:  # fmt: skip
        x, cond = (scale * data()[0] for scale in (scale_of_x, scale_of_cond))
        model.optimizer.iterations.assign(0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(x, cond, batch_size=8, epochs=2, verbose=0)
        texts = [str(w.message) for w in caught if "root mean square" in str(w.message)]
        assert [text[: len(told)] for text in texts] == [told] if told else not texts


def test_data_whose_squares_overflow_are_told_to_standardize():
    x = np.exp(15 * data()[0])
    with pytest.raises(NonFiniteError, match=r"; x has .* standardize it \(bijectors.Standardize"):
        make_model(cond_shape=None).fit(x, verbose=0)
