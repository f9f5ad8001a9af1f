"""What `fit`, `evaluate` and `predict` of a CINN do with Keras's own options."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, FusedAdam, NonFiniteError, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling, SoftPermutation, Standardize
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


OPTIMIZERS = [FusedAdam, keras.optimizers.Adam, keras.optimizers.SGD]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip", [{}, {"global_clipnorm": 0.05}], ids=["free", "clipped"])
def test_a_scaled_loss_trains_as_an_unscaled_one(optimizer, clip):
    plain = trained(lambda: optimizer(0.01, **clip))
    # The scales are powers of 2, so that only Adam's epsilon could tell: float32 roundings.
    factor = trained(lambda: optimizer(0.01, **clip, loss_scale_factor=1024.0))
    np.testing.assert_allclose(factor, plain, rtol=1e-4, atol=1e-6)
    dynamic = trained(lambda: keras.optimizers.LossScaleOptimizer(optimizer(0.01, **clip)))
    np.testing.assert_allclose(dynamic, plain, rtol=1e-4, atol=1e-6)


def test_a_loss_scale_that_overflows_shrinks_and_training_goes_on():
    inner = keras.optimizers.SGD(0.01)
    model = make_model(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127))
    before = weights(model)
    x, label, _ = data()
    model.fit(batches(10 * x, label), epochs=8, verbose=0)
    assert float(model.optimizer.dynamic_scale) < 2.0**127
    assert np.abs(weights(model) - before).max() > 0.01


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("embedding", [False, True])
def test_accumulated_gradients_are_those_of_the_whole_batch(optimizer, embedding):
    def make(**options):
        return lambda: optimizer(0.01, **options)

    def conditioner():
        return LabelEmbedding(3, 2) if embedding else OneHot(3)

    whole = trained(make(), size=24, conditioner=conditioner())
    parts = trained(make(gradient_accumulation_steps=3), size=8, conditioner=conditioner())
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)  # sums in another order


@pytest.mark.parametrize("steps_per_execution", [1, 2])
@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda: FusedAdam(0.01, gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(FusedAdam(0.01)),
    ],
    ids=["accumulated", "scaled"],
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
@pytest.mark.parametrize("form", ["arrays", "dataset", "validation", "validation dataset"])
def test_weighted_likelihood(cond_shape, form):
    model = make_model(cond_shape=cond_shape)
    x, label, weight = data()
    cond = no_condition(label, model)
    expected = expected_nats(model, x, cond, weight)
    dataset = batches(x, label, weight)
    if cond_shape is None:
        dataset = dataset.map(lambda x, label, weight: (x, None, weight))
    if form == "arrays":
        found = model.evaluate(
            x, cond, sample_weight=weight, batch_size=7, verbose=0, return_dict=True
        )
    elif form == "dataset":
        found = model.evaluate(dataset, verbose=0, return_dict=True)
    else:
        model.optimizer.learning_rate = 0.0
        valid = dataset if "dataset" in form else (x, cond, weight)
        log = model.fit(x, cond, validation_data=valid, batch_size=7, verbose=0).history
        found = {name[4:]: value[0] for name, value in log.items() if name.startswith("val_")}
    np.testing.assert_allclose(found["nats_per_dim"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["bits_per_dim"], expected / np.log(2), rtol=1e-5)
    prior = 0.05 * np.sum(weights(model) ** 2)
    np.testing.assert_allclose(found["loss"], expected + prior, rtol=1e-5)


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


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_wrong_weights_stop_training(value):
    x, label, weight = data()
    weight[3] = value
    with pytest.raises(NonFiniteError, match="batch 1: sample_weight has values that are negative"):
        make_model().fit(batches(x, label, weight), verbose=0)


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


@pytest.mark.parametrize("metric", ["nats_per_dim", "bits_per_dim", "loss"])
@pytest.mark.parametrize("prefix", ["", "val_"])
def test_callbacks_know_that_less_is_better(metric, prefix, tmp_path):
    monitor, model, pair = prefix + metric, make_model(), data()[:2]
    stop = keras.callbacks.EarlyStopping(monitor, patience=1)
    plateau = keras.callbacks.ReduceLROnPlateau(monitor, patience=1)
    path = str(tmp_path / "{epoch}.keras")
    best = keras.callbacks.ModelCheckpoint(path, monitor=monitor, save_best_only=True)
    callbacks = [stop, plateau, best]
    history = model.fit(*pair, validation_data=pair, epochs=4, verbose=0, callbacks=callbacks)
    values = history.history[monitor]
    assert len(values) == 4 and values == sorted(values, reverse=True)
    assert stop.best == best.best == plateau.best == values[-1]
    assert len(list(tmp_path.iterdir())) == 4


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


@pytest.mark.parametrize(
    ("scale_of_x", "scale_of_cond", "told"),
    [(1, 1, None), (20, 20, None), (1000, 1, "x has"), (1, 1e4, "the condition has")],
)
def test_the_first_batch_tells_of_a_scale_far_off(scale_of_x, scale_of_cond, told):
    x, cond = (scale * data()[0] for scale in (scale_of_x, scale_of_cond))
    model = make_model(keras.optimizers.SGD(1e-9), cond_shape=(4,))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, cond, batch_size=8, epochs=2, verbose=0)
    texts = [str(w.message) for w in caught if "root mean square" in str(w.message)]
    assert [text[: len(told)] for text in texts] == [told] if told else not texts


def test_data_that_a_first_member_standardizes_are_not_warned_of():
    model = CINN(Chain([Chain([Standardize(5e3, 1e3)]), GlowCoupling(MLP([4]))]), (4,))
    model.compile("adam")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*root mean square")
        model.fit(5e3 + 1e3 * data()[0], verbose=0)


def test_raw_heavy_tails_that_diverge_are_told_to_standardize():
    x = np.exp(15 * data()[0])  # squares overflow
    model = make_model(cond_shape=None)
    with pytest.raises(NonFiniteError, match=r"; x has .* standardize it \(bijectors.Standardize"):
        model.fit(x, verbose=0)
