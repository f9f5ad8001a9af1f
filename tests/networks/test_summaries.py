"""Summary networks: what a flow given a set or a series may rely on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, UsageError, load_model
from tfp_cinn.bijectors import Chain, GlowCoupling
from tfp_cinn.export import export_model
from tfp_cinn.export.session import SavedModelSession
from tfp_cinn.networks import MLP, DeepSet, SeriesFeatures, SetTransformer

NETWORKS = {
    "deep set": lambda: DeepSet(4, 8),
    "set transformer": lambda: SetTransformer(4, 8, heads=2, induced=3, blocks=1),
    "series": lambda: SeriesFeatures(4, 8, heads=2, layers=2),
}
M, D = 7, 2
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(5, M, D)).astype("float32")
# All, the first ones, some, one, none.
MASK = np.array([[1] * 7, [1] * 4 + [0] * 3, [0, 1, 0, 0, 1, 1, 0], [1] + [0] * 6, [0] * 7])
X = RNG.normal(size=(5, 3)).astype("float32")
COND = {"points": POINTS, "points_mask": MASK.astype("float32")}


def perturbed(model):
    rng = np.random.default_rng(1)
    for w in model.weights:
        w.assign(w + 0.3 * rng.normal(size=w.shape))
    return model


def flow(name):
    shape = {"points": (M, D), "points_mask": (M,)}
    chain = Chain([GlowCoupling(MLP([6]))])
    return perturbed(CINN(chain, (3,), NETWORKS[name](), cond_shape=shape))


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


def test_padding_changes_nothing_and_points_do(name):
    dist = flow(name).distribution
    log_prob = dist.log_prob(X, COND).numpy()
    there = MASK[..., None] > 0
    padded = COND | {"points": np.where(there, POINTS, 1e3 * POINTS - 7)}
    np.testing.assert_allclose(dist.log_prob(X, padded), log_prob, atol=1e-5)
    changed = dist.log_prob(X, COND | {"points": np.where(there, POINTS + 1, POINTS)})
    assert (np.abs(changed - log_prob) > 1e-4).tolist() == [True] * 4 + [False]
    fewer = dist.log_prob(X, COND | {"points_mask": COND["points_mask"] * (np.arange(M) > 0)})
    assert np.abs(fewer - log_prob)[[0, 1, 3]].min() > 1e-4


def test_more_room_changes_nothing(name):
    """Rows at the end, and a mask of ones, are as if they weren't there."""
    network = NETWORKS[name]()
    alone = network(POINTS)
    perturbed(network)
    alone = network(POINTS)
    for more in (0, 1, 6):
        wide = np.concatenate([POINTS, RNG.normal(size=(5, more, D))], axis=1)
        mask = np.repeat([[1] * M + [0] * more], 5, axis=0)
        got = network({"a": tf.cast(wide, tf.float32), "a_mask": mask})
        np.testing.assert_allclose(got, alone, atol=1e-5)


@pytest.mark.parametrize("name", ["deep set", "set transformer"])
def test_sets_have_no_order(name):
    dist = flow(name).distribution
    order = np.array([RNG.permutation(M) for _ in range(5)])
    same = {k: np.take_along_axis(v, order.reshape(5, M, *[1] * (v.ndim - 2)), 1)
            for k, v in COND.items()}  # fmt: skip
    np.testing.assert_allclose(dist.log_prob(X, same), dist.log_prob(X, COND), atol=1e-5)


def test_series_have_an_order():
    dist = flow("series").distribution
    back = COND | {"points": POINTS[:, ::-1]}
    assert np.abs(dist.log_prob(X, back) - dist.log_prob(X, COND))[0] > 1e-4


def test_gradients_reach_every_weight_unless_frozen(name):
    model = flow(name)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.distribution.log_prob(X, COND))
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert np.abs(gradient).max() > 0, weight.path
    number = len(model.trainable_weights)
    model.conditioner.trainable = False
    assert len(model.trainable_weights) == number - len(model.conditioner.weights)


def test_saved_with_its_weights(name, tmp_path):
    model = flow(name)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras").distribution
    log_prob = model.distribution.log_prob(X, COND)
    np.testing.assert_array_equal(loaded.log_prob(X, COND), log_prob)


@pytest.mark.long
def test_served_as_computed_here(name, tmp_path):
    model = flow(name)
    log_prob = model.distribution.log_prob(X, COND).numpy()
    with SavedModelSession(export_model(model, tmp_path / "m", batch_sizes=[1, 5])) as session:
        cond = {f"cond_{key}": value for key, value in COND.items()}
        answer = session.predict("log_prob", {"x": X, **cond})
    np.testing.assert_allclose(answer["log_prob"], log_prob, atol=1e-5)


def test_float64(name):
    single = flow(name)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        double = flow(name)
        double.set_weights(single.get_weights())
        log_prob = double.distribution.log_prob(X, COND)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    assert log_prob.dtype == tf.float64
    np.testing.assert_allclose(log_prob, single.distribution.log_prob(X, COND), atol=1e-4)


@pytest.mark.parametrize(
    ("make", "inputs", "message"),
    [
        (DeepSet, {"a": POINTS, "b": MASK}, "or NAME and NAME_mask, got a, b"),
        (DeepSet, POINTS[0], r"values \[N, M, D\]"),
        (lambda: SetTransformer(4, 6, heads=4), POINTS, "a multiple of the 4 heads, got 6"),
    ],
)
def test_wrong_input_is_refused_in_a_line(make, inputs, message):
    with pytest.raises(UsageError, match=message) as caught:
        make()(inputs)
    assert "\n" not in str(caught.value)
