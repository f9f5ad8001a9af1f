import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_cinn import ConditionalTransformedDistribution, UsageError
from tfp_cinn.bijectors import (
    AffineCoupling,
    Chain,
    Flatten,
    GlowCoupling,
    RandomPermutation,
    Select,
    Standardize,
)
from tfp_cinn.distribution import standard_normal
from tfp_cinn.networks import MLP, LabelEmbedding, OneHot

tfd = tfp.distributions

SHAPE = (2, 3, 1)


def make_chain(activation="tanh"):
    subnet = MLP([16], activation=activation, init_std=0.4, zero_last=False)
    return Chain(
        [Standardize(1.0, 2.0), Flatten(), AffineCoupling(subnet), RandomPermutation(0)]
        + [AffineCoupling(subnet)]
    )


@pytest.fixture
def dist():
    return ConditionalTransformedDistribution(
        standard_normal((6,)), make_chain(), OneHot(4), cond_shape=(), event_shape=SHAPE
    )


class CountingConditioner(keras.layers.Layer):
    """Counts calls and rows in eager mode."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def call(self, c):
        self.rows.append(int(c.shape[0]))
        return 2.0 * c


@pytest.mark.parametrize(
    ("cond", "sample_shape", "expected"),
    [
        (3, (), ()),
        (3, 5, (5,)),
        ([1, 2], (), (2,)),
        ([1, 2], (4, 3), (4, 3, 2)),
        ([[0, 1, 2], [3, 0, 1]], 2, (2, 2, 3)),
    ],
)
def test_sample_shapes(dist, cond, sample_shape, expected):
    x = dist.sample(cond, sample_shape)
    assert x.shape == expected + SHAPE
    assert dist.log_prob(x, cond).shape == expected
    assert dist.encode(x, cond).shape == (*expected, 6)


def test_log_prob_is_the_change_of_variables_by_autodiff(dist):
    x = tf.random.normal([3, *SHAPE])
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = dist.encode(x, [0, 1, 2])
    jacobian = tf.reshape(tape.batch_jacobian(z, x), [3, 6, 6])
    normal = -0.5 * tf.reduce_sum(z**2, -1) - 3 * np.log(2 * np.pi)
    expected = normal + np.linalg.slogdet(jacobian.numpy().astype(float)).logabsdet
    np.testing.assert_allclose(dist.log_prob(x, [0, 1, 2]), expected, rtol=1e-5)


def test_same_seed_same_sample_and_other_seed_other_sample(dist):
    draw = tf.function(lambda: dist.sample([1, 2], 3, seed=11))
    first = dist.sample([1, 2], 3, seed=11)
    np.testing.assert_array_equal(first, dist.sample([1, 2], 3, seed=11))
    np.testing.assert_allclose(first, draw(), atol=1e-5)
    np.testing.assert_allclose(draw(), draw(), atol=0)
    assert np.abs(first - dist.sample([1, 2], 3, seed=12)).max() > 0.1
    assert np.abs(first - dist.sample([1, 2], 3, seed=11 + 2**32)).max() > 0.1
    assert np.abs(dist.sample([1]) - dist.sample([1])).max() > 1e-3


def test_a_negative_temperature_in_a_graph_gives_nan_in_its_own_row(dist):
    draw = tf.function(lambda t: dist.sample([1, 2], seed=0, temperature=t))
    x = draw(tf.constant([-1.0, 1.0])).numpy()
    assert np.all(np.isnan(x[0]))
    np.testing.assert_allclose(x[1], dist.sample([1, 2], seed=0)[1], atol=1e-5)


def test_float64_data_and_byte_labels_are_taken(dist):
    x = np.random.RandomState(0).randn(3, *SHAPE)
    labels = np.array([0, 1, 2])
    expected = dist.log_prob(x.astype("float32"), labels)
    np.testing.assert_array_equal(dist.log_prob(x, labels.astype("uint8")), expected)


def test_temperature_scales_the_latents(dist):
    z = dist.encode(dist.sample(1, 7, seed=3), 1)
    half = dist.encode(dist.sample(1, 7, seed=3, temperature=0.5), 1)
    np.testing.assert_allclose(half, 0.5 * z, atol=1e-5)
    mode = dist.sample(1, 7, temperature=0.0)
    expected = np.broadcast_to(dist.decode(tf.zeros(6), 1), mode.shape)
    np.testing.assert_allclose(mode, expected, rtol=1e-5, atol=1e-6)  # some float32 roundings
    by_row = dist.encode(dist.sample([1, 1], seed=3, temperature=[0.0, 1.0]), [1, 1])
    assert np.abs(by_row[0]).max() < 1e-5 < 0.1 < np.abs(by_row[1]).max()


def test_sample_and_log_prob_agree(dist):
    x, log_prob = dist.sample_and_log_prob([0, 1, 2], 5, seed=1)
    np.testing.assert_allclose(log_prob, dist.log_prob(tf.identity(x), [0, 1, 2]), atol=1e-4)
    np.testing.assert_array_equal(x, dist.sample([0, 1, 2], 5, seed=1))


def test_conditioner_runs_once_on_the_condition_as_given():
    conditioner = CountingConditioner()
    dist = ConditionalTransformedDistribution(
        standard_normal((4,)),
        GlowCoupling(MLP([8])),
        conditioner,
        cond_shape=(3,),
        event_shape=(4,),
    )
    conditioner.rows.clear()
    x = dist.sample(tf.ones([2, 3]), sample_shape=8)
    assert conditioner.rows == [2]
    dist.log_prob(x, tf.ones([2, 3]))
    assert conditioner.rows == [2, 2]


def test_no_stale_values_after_a_weight_update_in_eager_mode(dist):
    x, cond = tf.random.normal([3, *SHAPE]), tf.constant([0, 1, 2])
    given = dist.given(cond)
    z = tf.random.normal([3, 6])
    calls = {
        "log_prob": lambda: dist.log_prob(x, cond),
        "encode": lambda: dist.encode(x, cond),
        "decode": lambda: dist.decode(z, cond),
        "given.log_prob": lambda: given.log_prob(x),
        "forward_log_det": lambda: dist.bijector.forward_log_det_jacobian(
            z, cond=dist.features(cond)
        ),
        "inverse_log_det": lambda: dist.bijector.inverse_log_det_jacobian(
            x, cond=dist.features(cond)
        ),
    }
    before = {name: call().numpy() for name, call in calls.items()}
    for variable in dist.trainable_variables:
        variable.assign_add(0.3 * tf.random.normal(variable.shape))
    for name, call in calls.items():
        assert np.abs(call() - before[name]).max() > 1e-3, name


def test_given_is_an_ordinary_transformed_distribution(dist):
    given = dist.given([0, 1, 2])
    assert given.batch_shape == (3,)
    assert given.event_shape == SHAPE
    x = given.sample(5, seed=tfp.random.sanitize_seed(4))
    assert x.shape == (5, 3, *SHAPE)
    np.testing.assert_allclose(
        given.log_prob(tf.identity(x)), dist.log_prob(tf.identity(x), [0, 1, 2]), atol=1e-5
    )
    x, log_prob = given.experimental_sample_and_log_prob(4)
    np.testing.assert_allclose(log_prob, given.log_prob(tf.identity(x)), atol=1e-4)
    assert {id(v) for v in given.trainable_variables} == {
        id(v) for v in dist.bijector.trainable_variables
    }
    assert dist.given(2).batch_shape == ()
    assert dist.given(2).sample(6).shape == (6, *SHAPE)


def test_moments_and_quantiles_of_given_are_those_of_its_draws(dist):
    shifted = ConditionalTransformedDistribution(
        standard_normal((6,)), Chain([Standardize(5.0, 2.0), Flatten()]), event_shape=SHAPE
    )
    one = shifted.given()
    # Standard errors over 4000 draws: 0.03 of the mean, 0.02 of the deviation, 0.06 of quantiles.
    np.testing.assert_allclose(one.mean(4000, seed=0), np.full(SHAPE, 5.0), atol=0.15)
    np.testing.assert_allclose(one.stddev(4000, seed=0), np.full(SHAPE, 2.0), atol=0.12)
    found = one.quantile([0.025, 0.975], 4000, seed=0)
    expected = np.reshape([5 - 3.92, 5 + 3.92], (2, 1, 1, 1)) * np.ones(SHAPE)
    np.testing.assert_allclose(found, expected, atol=0.3)
    two = dist.given([1, 2])
    assert two.quantile(0.5).shape == two.mean().shape == two.stddev().shape == (2, *SHAPE)
    np.testing.assert_array_equal(two.mean(seed=1), two.mean(seed=1))
    assert (two.mean() != two.mean()).numpy().any()
    spoiled = tf.function(lambda label: dist.given(label).quantile([0.1, 0.5]))
    assert (np.isnan(spoiled(tf.constant([1, 9]))) == [[[[False]]], [[[True]]]]).all()


def test_given_works_with_a_batch_size_known_at_run_time_only(dist):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def draw(cond):
        given = dist.given(cond)
        x = given.sample(4)
        return x, given.log_prob(x)

    x, log_prob = draw(tf.constant([1, 2, 3]))
    assert x.shape == (4, 3, *SHAPE)
    np.testing.assert_allclose(log_prob, dist.log_prob(tf.identity(x), [1, 2, 3]), atol=1e-4)


def test_dynamic_batches_of_several_dimensions(dist):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, *SHAPE], tf.float32),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def log_prob(x, cond):
        return dist.log_prob(x, cond)

    x = tf.random.normal([2, 3, *SHAPE])
    np.testing.assert_allclose(
        log_prob(x, tf.constant([0, 1, 2])), dist.log_prob(x, [0, 1, 2]), atol=1e-4
    )
    assert log_prob(tf.zeros([0, 3, *SHAPE]), tf.constant([0, 1, 2])).shape == (0, 3)


def test_conditions_of_several_parts():
    inputs = {
        "label": keras.Input((), dtype="int32", name="label"),
        "v": keras.Input((3,), name="v"),
    }
    conditioner = keras.Model(
        inputs, {"a": LabelEmbedding(4, 5)(inputs["label"]), "b": inputs["v"]}
    )
    subnet = MLP([8], activation="tanh", init_std=0.4, zero_last=False)
    dist = ConditionalTransformedDistribution(
        standard_normal((4,)),
        Chain([Select("a", GlowCoupling(subnet)), Select("b", GlowCoupling(subnet))]),
        conditioner,
        cond_shape={"label": (), "v": (3,)},
        event_shape=(4,),
    )
    cond = {"label": [1, 2], "v": tf.ones([2, 3])}
    x = dist.sample(cond, 5)
    assert x.shape == (5, 2, 4)
    other = {"label": [1, 2], "v": tf.zeros([2, 3])}
    assert np.abs(dist.log_prob(x, cond) - dist.log_prob(x, other)).max() > 1e-3
    with pytest.raises(UsageError, match=r"keys \['label', 'v'\]"):
        dist.sample({"label": [1, 2]})


X = tf.zeros([3, *SHAPE])


def test_given_can_be_indexed_and_put_into_other_distributions(dist):
    labels = tf.constant([[0, 1, 2], [3, 2, 1]])
    given = dist.given(labels)
    for index in (0, (slice(None), 1), (..., 2), (tf.newaxis, 1, slice(0, 2)), (1, 2)):
        part = given[index]
        assert part.batch_shape == labels[index].shape
        np.testing.assert_allclose(
            part.log_prob(X[0]), dist.log_prob(X[0], labels[index]), rtol=1e-5
        )
    parts = dist.log_prob(X[:, None], labels[0]).numpy()
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=[0.2, 0.3, 0.5]), given[0])
    expected = np.log(np.exp(parts) @ [0.2, 0.3, 0.5])
    np.testing.assert_allclose(mixture.log_prob(X), expected, rtol=1e-5)
    assert mixture.sample(4).shape == (4, *SHAPE)
    three = tfd.Sample(dist.given(1), 3)
    np.testing.assert_allclose(three.log_prob(X), np.sum(dist.log_prob(X, 1)), rtol=1e-5)
    joint = tfd.JointDistributionSequential(
        [tfd.Categorical(probs=[0.25] * 4), lambda k: dist.given(k)]
    )
    np.testing.assert_allclose(
        joint.log_prob([2, X[0]]), np.log(0.25) + dist.log_prob(X[0], 2), rtol=1e-5
    )
    assert joint.sample(seed=1)[1].shape == SHAPE


@pytest.mark.parametrize("hold", [False, True])
def test_a_keras_model_that_calls_the_distribution_has_to_hold_its_layers(dist, hold):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dist = dist
            if hold:
                self.flow_layers = dist.layers

        def call(self, inputs):
            return self.dist.log_prob(*inputs)

    model, inputs = Model(), (X, tf.constant([0, 1, 2]))
    if hold:
        np.testing.assert_array_equal(model(inputs), dist.log_prob(*inputs))
        assert len(model.trainable_weights) == len(dist.trainable_variables) == 8
        return
    for call in (model, tf.function(model)):
        with pytest.raises(UsageError, match=r"add self.flow_layers = distribution.layers"):
            call(inputs)
    for layer in dist.layers:
        layer.trainable = False
    model(inputs)  # as it is, it needs no training


def diag(**kwargs):
    return tfd.MultivariateNormalDiag(**{"loc": tf.zeros(6), "scale_diag": tf.ones(6)} | kwargs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distribution": diag(loc=tf.Variable(tf.zeros(6)))}, "without variables.*ActNorm"),
        (
            {"conditioner": tf_keras.Sequential([tf_keras.layers.Dense(2)])},
            r"conditioner: expected a Keras 3 layer or model.*got a tf_keras.*\.Sequential; write",
        ),
        ({"conditioner": tf.Module()}, "conditioner: expected a Keras 3 layer.*Module"),
        (
            {"conditioner": keras.models.Model(V := keras.Input((3,)), [V, V])},
            r"a tensor or a dict of tensors, got .*name the parts in a dict",
        ),
        ({"bijector": [GlowCoupling(MLP([4]))]}, r"such as Chain\(\[...\]\), got a list"),
        ({"cond_shape": (4,)}, r"can't take a condition of cond_shape=\(4,\) \(.*axis -1"),
    ],
)
def test_parts_that_could_not_be_trained_or_do_not_fit_are_refused(change, message):
    parts = {
        "distribution": standard_normal((6,)),
        "bijector": make_chain(),
        "conditioner": keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]),
        "cond_shape": (3,),
    }
    with pytest.raises(UsageError, match=message) as caught:
        ConditionalTransformedDistribution(**parts | change, event_shape=SHAPE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda d: d.sample(3),
            r"one sample of class 3, or 3 samples\? Write sample\(3, sample_shape",
        ),
        (lambda d: d[0], r"dist.given\(cond\)"),
        (lambda d: tfd.Sample(d, 3), r"dist.given\(cond\)"),
        (lambda d: tfd.JointDistributionSequential([d]).sample(), r"dist.given\(cond\)"),
        (lambda d: d.given([0, 1])[0, 1], "expected indices of batch shape"),
        (lambda d: d.log_prob(X, list("abc")), "expected numbers, got strings"),
        (lambda d: d.log_prob(tf.zeros([3, 2, 2, 1]), [0, 1, 2]), r"\[..., 2, 3, 1\], got \(3, 2"),
        (lambda d: d.log_prob(tf.cast(X, tf.int32), [0, 1, 2]), "int32, expected a float"),
        (lambda d: d.log_prob(X, [0, 1]), r"x \(3,\) and cond \(2,\) don't broadcast"),
        (lambda d: d.log_prob(X, [0, 1, 4]), "label 4 is out of range: expected 0 to 3"),
        (lambda d: d.log_prob(X, [0.0, 1.0, 2.0]), "expected integer labels, got dtype float32"),
        (lambda d: d.sample(), "expected a condition"),
        (
            lambda d: d.sample([1], temperature=-0.5),
            "temperature: expected a finite number, 0 or more, got -0.5",
        ),
        (lambda d: d.sample([1], temperature=np.inf), "temperature: expected a finite number"),
        (lambda d: d.sample([1], seed=-1), "seed: expected"),
        (lambda d: d.sample([1], seed=1.5), "seed: expected an integer"),
        (lambda d: d.sample([1], seed=(1, 2, 3)), "seed: expected an integer or two"),
        (lambda d: d.decode(tf.zeros([5]), 1), r"expected z of shape \[..., 6\], got \(5,\)"),
    ],
)
def test_wrong_input_is_answered_in_one_line(dist, call, message):
    with pytest.raises(UsageError, match=message) as caught:
        call(dist)
    assert "\n" not in str(caught.value)


def test_a_label_out_of_range_in_a_graph_gives_nan_in_its_own_row():
    chain = make_chain("relu")  # which turns NaN into 0 where it is fused
    dist = ConditionalTransformedDistribution(
        standard_normal((6,)), chain, OneHot(4), (), event_shape=SHAPE
    )
    labels = tf.constant([0, 9, 2])
    log_prob = tf.function(dist.log_prob)(X, labels).numpy()
    assert np.isnan(log_prob[1])
    expected = dist.log_prob(X[:2], [0, 2])
    np.testing.assert_allclose(log_prob[[0, 2]], expected, rtol=1e-5)  # some float32 roundings
    given = tf.function(lambda: dist.given(labels).log_prob(X))().numpy()
    np.testing.assert_array_equal(np.isnan(given), [False, True, False])
    x = tf.function(lambda c: dist.sample(c, 5, seed=0))(labels).numpy()
    assert np.all(np.isnan(x[:, 1]))
    assert np.all(np.isfinite(x[:, [0, 2]]))


@pytest.mark.parametrize(("value", "jit_compile"), [(np.nan, None), (np.inf, True)])
def test_a_condition_that_is_not_finite_spoils_its_row_alone(value, jit_compile):
    # Fused in a graph, the conditioner's ReLU turns NaN into 0.
    conditioner = keras.Sequential(
        [keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)]
    )
    dist = ConditionalTransformedDistribution(
        standard_normal((6,)), make_chain(), conditioner, (2,), event_shape=SHAPE
    )

    @tf.function(jit_compile=jit_compile)
    def of_the_others(cond):
        with tf.GradientTape() as tape:
            tape.watch(cond)
            log_prob = dist.log_prob(X, cond)
            loss = log_prob[0] + log_prob[2]
        return log_prob, tape.gradient(loss, cond)

    cond = np.random.RandomState(1).randn(3, 2).astype("float32")
    expected, expected_gradient = of_the_others(tf.constant(cond))
    cond[1, 0] = value
    log_prob, gradient = of_the_others(tf.constant(cond))
    np.testing.assert_array_equal(np.isnan(log_prob), [False, True, False])
    for got, finite in ((log_prob, expected), (gradient, expected_gradient)):
        np.testing.assert_allclose(
            got.numpy()[[0, 2]], finite.numpy()[[0, 2]], rtol=1e-4, atol=1e-5
        )
    x = dist.sample(cond, 5, seed=0)
    np.testing.assert_array_equal(np.isnan(x).all((0, 2, 3, 4)), [False, True, False])
