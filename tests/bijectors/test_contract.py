"""What the base class promises, beyond the consistency of each bijector."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn import UsageError
from tfp_cinn.bijectors import (
    ActNorm,
    Affine,
    Bounded,
    Chain,
    Checkerboard,
    ConditionalBijector,
    Coupling,
    ElementwiseConditional,
    Embed,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    Linear,
    RandomPermutation,
    RationalQuadraticSpline,
    Reshape,
    Select,
    SoftPermutation,
    Squeeze,
    Standardize,
    arctan_clamp,
    arctan_unscaled_clamp,
    computing,
)
from tfp_cinn.bijectors.clamps import CLAMPS
from tfp_cinn.networks import MLP, ConvNet, strided_vector

tfb, tfd = tfp.bijectors, tfp.distributions


def perturbed_glow(dims=4, cond_shape=(3,), **kwargs):
    bijector = GlowCoupling(MLP([8], activation="tanh", init_std=0.4, zero_last=False), **kwargs)
    bijector.build((dims,), cond_shape)
    return bijector


def normal(dims):
    return tfd.MultivariateNormalDiag(tf.zeros(dims))


def count(graph, kind):
    graphs = [graph] + [f.graph for f in graph._functions.values() if hasattr(f, "graph")]
    return sum(op.type == kind for g in graphs for op in g.get_operations())


@pytest.mark.parametrize("call", ["log_prob", "sample"])
def test_each_subnet_runs_once_in_a_plain_transformed_distribution(call):
    # Two blocks of two subnets of two products each.
    chain = Chain([GlowCoupling(MLP([8])), RandomPermutation(0), GlowCoupling(MLP([8]))])
    td = tfd.TransformedDistribution(normal(6), chain)
    cond = tf.ones([5, 3])
    chain.build((6,), (3,))
    if call == "log_prob":
        traced = tf.function(lambda x: td.log_prob(x, bijector_kwargs={"cond": cond}))
        graph = traced.get_concrete_function(tf.TensorSpec([5, 6])).graph
    else:
        traced = tf.function(lambda: td.sample(5, bijector_kwargs={"cond": cond}))
        graph = traced.get_concrete_function().graph
    assert count(graph, "MatMul") == 8


def test_log_det_is_summed_over_the_event_dimensions_that_tfp_names():
    chain = Chain([SoftPermutation(0), ActNorm()])
    chain.build((2, 3, 4))
    for layer in chain.layers:
        for w in layer.trainable_weights:
            w.assign(0.3 * tf.random.normal(w.shape))
    base = tfd.Sample(tfd.Normal(0.0, 1.0), (2, 3, 4))
    td = tfd.TransformedDistribution(base, chain)
    x = tf.random.normal([5, 2, 3, 4])
    z, log_det = chain.inverse_and_log_det(x)
    assert log_det.shape == (5,)
    np.testing.assert_allclose(td.log_prob(x), base.log_prob(z) + log_det, rtol=1e-5)


@pytest.mark.parametrize("wrap", [tf.function, lambda f: f], ids=["graph", "eager"])
def test_a_frozen_layer_is_left_alone_by_a_plain_loop(wrap):
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    frozen = GlowCoupling(MLP([8], init_std=0.1, zero_last=False))
    chain = Chain([ActNorm(), frozen, Embed(network, GlowCoupling(MLP([8])))])
    chain.build((4,), (3,))
    td = tfd.TransformedDistribution(normal(4), chain)
    holder = tf.Module()
    holder.flow = td
    every = {id(v) for v in chain.variables}
    for layer in (*frozen.layers, network):
        layer.trainable = False
    x, cond = tf.random.normal([64, 4]), tf.random.normal([64, 3])

    @wrap
    def step(rate):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(td.log_prob(x, bijector_kwargs={"cond": cond}))
        variables = td.trainable_variables
        for v, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            v.assign_sub(rate * gradient)

    before = [v.numpy() for v in chain.variables]
    for _ in range(2):
        step(0.1)
    still = [np.array_equal(v, value) for v, value in zip(chain.variables, before, strict=True)]
    assert still == [False] * 2 + [True] * 10 + [False] * 8
    for module in (chain, td, holder):
        assert len(module.trainable_variables) == 10
        assert len(module.non_trainable_variables) == 10
        assert len(module.variables) == 20
    # A frozen weight can be read and set through what a module lists.
    listed = {v.name: v for v in td.non_trainable_variables}[network.weights[0].value.name]
    listed.assign(tf.ones([3, 2]))
    np.testing.assert_array_equal(network.weights[0], 1.0)
    for layer in (*frozen.layers, network):
        layer.trainable = True
    assert {id(v) for v in td.trainable_variables} == every


def test_plain_tfp_bijectors_are_members_of_a_chain():
    chain = Chain([tfb.Shift(0.5), tfb.Softplus(), perturbed_glow(3, None)])
    x = tf.constant([[1.0, 2.0, 3.0]])
    z, log_det = chain.inverse_and_log_det(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = chain.inverse(x)
    jacobian = tape.batch_jacobian(y, x)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian).logabsdet, atol=1e-5)
    np.testing.assert_allclose(chain.forward(tf.identity(z)), x, atol=1e-5)


def test_weights_of_a_first_call_inside_a_function_are_real_and_outlive_it():
    bijector = GlowCoupling(MLP([8]))
    td = tfd.TransformedDistribution(normal(4), bijector)
    assert td.trainable_variables == ()
    log_prob = tf.function(lambda x, c: td.log_prob(x, bijector_kwargs={"cond": c}))
    x, cond = tf.zeros([2, 4]), tf.zeros([2, 3])
    first = log_prob(x, cond)
    np.testing.assert_allclose(td.log_prob(x, bijector_kwargs={"cond": cond}), first, rtol=1e-5)
    assert len(td.trainable_variables) == 8
    assert {id(v) for v in td.trainable_variables} == {
        id(w.value) for layer in bijector.layers for w in layer.weights
    }


def test_batch_dimensions_of_condition_and_data_broadcast():
    bijector = perturbed_glow()
    x, cond = tf.random.normal([2, 1, 4]), tf.random.normal([3, 3])
    z, log_det = bijector.inverse_and_log_det(x, cond)
    assert z.shape == (2, 3, 4)
    assert log_det.shape == (2, 3)
    one, _ = bijector.inverse_and_log_det(x[1, 0], cond[2])
    np.testing.assert_allclose(z[1, 2], one, atol=1e-6)


@pytest.mark.parametrize("built", [True, False])
def test_event_shapes_with_batch_dimensions_are_tfps(built):
    chain = Chain([Squeeze(), GlowCoupling(ConvNet([4]), event_ndims=3)])
    if built:
        chain.build((4, 6, 2))
    for batch in ((), (5,), (None, 3)):
        assert chain.inverse_event_shape([*batch, 4, 6, 2]).as_list() == [*batch, 2, 3, 8]
        assert chain.forward_event_shape([*batch, 2, 3, 8]).as_list() == [*batch, 4, 6, 2]
    np.testing.assert_array_equal(chain.inverse_event_shape_tensor([5, 4, 6, 2]), [5, 2, 3, 8])
    np.testing.assert_array_equal(chain.forward_event_shape_tensor([7, 2, 3, 8]), [7, 4, 6, 2])
    if built:
        shape = tf.function(lambda x: chain.inverse_event_shape_tensor(tf.shape(x)))
        x = tf.zeros([5, 4, 6, 2])
        shape = shape.get_concrete_function(tf.TensorSpec([None, None, 6, None]))
        np.testing.assert_array_equal(shape(x), [5, 2, 3, 8])


def test_act_norm_normalizes_the_batch_it_is_calibrated_on_and_no_other_call_does():
    chain = Chain([perturbed_glow(4, (3,)), ActNorm(), SoftPermutation(0), ActNorm()])
    x, cond = 5 + 3 * tf.random.normal([256, 4]), tf.random.normal([256, 3])
    chain.build((4,), (3,))
    chain.inverse_and_log_det(x, cond)
    chain.forward_and_log_det(x, cond)
    act_norm = chain.bijectors[1]
    np.testing.assert_array_equal(act_norm.layers[0].weights[0], 0.0)
    chain.calibrate(x, cond)
    z, _ = chain.inverse_and_log_det(x, cond)
    np.testing.assert_allclose(tf.reduce_mean(z, 0), 0.0, atol=1e-4)
    np.testing.assert_allclose(tf.math.reduce_std(z, 0), 1.0, atol=1e-4)


@pytest.mark.parametrize("value", [3.0, 1e6, 0.0])
def test_act_norm_is_safe_with_a_batch_of_one(value):
    act_norm = ActNorm()
    act_norm.calibrate(tf.fill([1, 3], value))
    z, log_det = act_norm.inverse_and_log_det(tf.fill([1, 3], value))
    np.testing.assert_allclose(z, 0.0, atol=1e-6)
    np.testing.assert_array_equal(log_det, 0.0)


def test_random_permutation_is_freias_and_leaves_the_global_generator_alone():
    np.random.seed(7)
    expected_next = np.random.RandomState(7).rand()
    bijector = RandomPermutation(seed=3)
    z = bijector.inverse(tf.range(10.0)[tf.newaxis])
    assert np.random.rand() == expected_next
    # FrEIA's PermuteRandom: np.random.seed(seed); np.random.permutation(n).
    np.testing.assert_array_equal(z[0], np.random.RandomState(3).permutation(10))


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 7, 3)])
def test_soft_permutation_is_an_orthogonal_1x1_convolution(shape):
    bijector = SoftPermutation(seed=4)
    bijector.build(shape)
    x = tf.random.normal([6, *shape])
    z, ildj = bijector.inverse_and_log_det(x)
    (q,) = bijector.layers[0].get_weights()
    assert q.shape == (shape[-1], shape[-1])
    np.testing.assert_allclose(z, tf.nn.conv2d(x, q[np.newaxis, np.newaxis], 1, "SAME"), atol=1e-5)
    # orthogonal: decoding convolves with the transposed matrix
    again, fldj = bijector.forward_and_log_det(tf.identity(z))
    np.testing.assert_allclose(again, x, atol=1e-5)
    np.testing.assert_array_equal(ildj, np.zeros(6))
    np.testing.assert_array_equal(fldj, np.zeros(6))
    # The rounding of Q to float32 leaves some 1e-7 a channel and position: as good as exact.
    positions = shape[0] * shape[1]
    np.testing.assert_allclose(positions * np.linalg.slogdet(q.astype("float64"))[1], 0, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (1,)])
def test_a_linear_map_starts_as_the_soft_permutation_of_its_seed(shape):
    x = tf.random.normal([6, *shape])
    z, log_det = Linear(seed=4).inverse_and_log_det(x)
    np.testing.assert_allclose(z, SoftPermutation(seed=4).inverse(x), atol=1e-5)
    np.testing.assert_allclose(log_det, 0.0, atol=1e-6)


@pytest.mark.parametrize("clamp", CLAMPS.values(), ids=CLAMPS)
def test_clamps_are_odd_increasing_and_bounded(clamp):
    s = tf.constant([-1e6, -3.0, 0.0, 3.0, 1e6])
    a = clamp(s, 1.5).numpy()
    np.testing.assert_allclose(a, -a[::-1], atol=1e-6)
    assert np.all(np.diff(a) > 0)
    np.testing.assert_allclose(a[-1], 1.5, rtol=2e-3)  # 0.636 for 2/pi
    assert a[-1] <= 1.5


def test_the_arctan_clamps_differ_in_slope_and_agree_at_a_bound_of_one():
    s = tf.constant([-4.0, -0.3, 0.2, 5.0])
    np.testing.assert_array_equal(arctan_unscaled_clamp(s, 1.0), arctan_clamp(s, 1.0))
    # a * 0.636 * atan(s / a) against a * 0.636 * atan(s), each rounded a few times
    np.testing.assert_allclose(arctan_clamp(s, 0.6), 0.3816 * np.arctan(s / 0.6), rtol=1e-6)
    np.testing.assert_allclose(arctan_unscaled_clamp(s, 0.6), 0.3816 * np.arctan(s), rtol=1e-6)


class Unregistered(keras.layers.Layer):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: perturbed_glow().inverse_and_log_det(tf.zeros([2, 5]), tf.zeros([2, 3])),
         r"expected x of shape \[..., 4\], got \(2, 5\)"),
        (lambda: perturbed_glow().inverse_and_log_det(tf.zeros([2, 4]), tf.zeros([2, 2])),
         r"expected cond of shape \[..., 3\], got \(2, 2\)"),
        (lambda: perturbed_glow().inverse_and_log_det(tf.zeros([2, 4])), "got none"),
        (lambda: perturbed_glow().inverse_and_log_det(tf.zeros([2, 4]), {"a": tf.zeros([2, 3])}),
         "Select"),
        (lambda: perturbed_glow().inverse_and_log_det(tf.zeros([2, 4]), tf.zeros([2, 3], tf.int32)),
         "expected float features"),
        (lambda: perturbed_glow().build((5,), (3,)), "can't be built again"),
        (lambda: GlowCoupling(MLP([8])).build((1,)), "at least 2 channels"),
        (lambda: GlowCoupling(lambda n: keras.layers.Dense(n + 1)).build((4,)),
         "expected the subnet to map"),
        (lambda: GlowCoupling(keras.layers.Dense(4)), "a callable from the number of output"),
        (lambda: GlowCoupling(lambda c_in, c_out: None), "a callable of one argument"),
        (lambda: GlowCoupling(lambda n: n).build((4,)), "a Keras 3 layer, got a builtins.int"),
        (lambda: GlowCoupling(MLP([8]), clamp=0.0), "clamp: expected a positive"),
        (lambda: GlowCoupling(MLP([8]), clamp_type="relu"), ", ".join(CLAMPS)),
        (lambda: GlowCoupling(ConvNet([4]), event_ndims=3).build((4, 4, 2), (2, 2, 3)),
         r"expected a condition of shape \(K,\) or \(4, 4\).*; resize it, or pick another entry"),
        (lambda: GlowCoupling(MLP([8])).build((2, 3, 4)), "set event_ndims=3"),
        (lambda: ElementwiseConditional(MLP([8]), "cubic"), "expected a Transform, .* got 'cubic'"),
        (lambda: ElementwiseConditional(MLP([8]), Affine()).build((2,), (2, 2)), "to be vectors"),
        (lambda: Coupling(MLP([8]), Affine), "expected a Transform"),
        (lambda: Coupling(MLP([8]), Affine(), "halves"), "expected a Split, such as Halves"),
        (lambda: Coupling(MLP([8]), Affine(), order=(0, 2)), r"order: expected \(0, 1\)"),
        (lambda: Coupling(MLP([8]), Affine(), Checkerboard()).build((4,)), "even height and width"),
        (lambda: RationalQuadraticSpline(1), "bins: expected a whole number from 2"),
        (lambda: RationalQuadraticSpline(4, 0), "bound: expected a positive number, got 0"),
        (lambda: Chain([]), "at least one"),
        (lambda: Chain([Flatten(), GlowCoupling(ConvNet([4]), event_ndims=3)]), "put a Reshape"),
        (lambda: Chain([tfb.Shift(tf.Variable(0.0))]), "would be neither saved nor trained"),
        (lambda: Chain([tfb.Scale(tfp.util.TransformedVariable(1.0, tfb.Exp()))]), "nor trained"),
        (lambda: Reshape((2, 3), (5,)), "6 elements"),
        (lambda: Flatten().forward(tf.zeros([2, 12])), "call build"),
        (lambda: Standardize(0.0, 0.0), "positive std"),
        (lambda: Standardize([0.0] * 3, 1.0).build((2, 1)), "one for each of 1 channels"),
        (lambda: ActNorm().calibrate(tf.fill([2, 3], np.nan)), "finite data"),
        (lambda: HaarDownsampling().build((4, 5, 2)), r"by 2, got shape \(4, 5, 2\); crop"),
        (lambda: HaarDownsampling(0.0), "rebalance: expected a positive finite factor, got 0.0"),
        (lambda: HaarDownsampling().forward(tf.zeros([1, 2, 2, 6])), "C divisible by 4"),
        (lambda: Squeeze(2.0), "factor: expected an integer of 2 or more, got 2.0"),
        (lambda: FactorOut(3, ActNorm()).build((3,)), "keep to be at least 1 and less than the 3"),
        (lambda: FactorOut(1.5, Flatten()), "keep: expected a number of channels, got 1.5"),
        (lambda: FactorOut(1, ActNorm()).build((2, 2, 3)), "set event_ndims=3"),
        (lambda: FactorOut(1, tfb.Exp()), "rest: expected a bijector of this package, got Exp"),
        (lambda: Select(8, ActNorm()).build((3,), {8: (2,)}), "expected strings as keys"),
        (lambda: Select("a", ActNorm()).build((3,), (2,)), "key 'a'"),
        (lambda: Embed(lambda x: x, ActNorm()), "network: expected a Keras layer or model"),
        (lambda: Embed(keras.layers.Dense(2), ActNorm()).build((4,), None), "for its network"),
        (lambda: Embed(strided_vector((8, 8, 1), [2]), ActNorm()).build((4,), (4, 4, 1)),
         r"can't take a condition of shape \(4, 4, 1\)"),
        (lambda: Bounded(1, 1), "expected low < high, got low=1 and high=1"),
        (lambda: Bounded("a"), "expected numbers or None as bounds, got 'a'"),
        (lambda: Bounded([0, 1], 2).build((3,)), "one for each of 3 entries"),
        (lambda: Bounded([0, 1], [1, 2, 3]), "as many"),
        (lambda: computing(shards=0), "shards: expected a whole number of at least 1, got 0"),
        (lambda: computing(memory="disk"), 'memory: expected "store" or "recompute", got .disk'),
        (lambda: Chain([tfb.Exp()]).get_config(), "can't save the bijector exp; .*Bounded"),
        (lambda: GlowCoupling(lambda n: n).get_config(), "can't save the subnet <function"),
        (lambda: Embed(Unregistered(), ActNorm()).get_config(), "save the network unregistered"),
    ],
)  # fmt: skip
def test_wrong_input_is_answered_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_layers_that_were_not_built_are_refused():
    class Forgetful(ConditionalBijector):
        def __init__(self):
            super().__init__(1)
            self._dense = keras.layers.Dense(2)

        @property
        def layers(self):
            return [self._dense]

    with pytest.raises(UsageError, match="isn't built"):
        Forgetful().build((2,))


def test_the_contract_has_two_methods():
    class Shear(ConditionalBijector):
        def __init__(self):
            super().__init__(1)

        def _inverse_and_log_det(self, x, cond):
            return x + cond, tf.zeros(tf.shape(x)[:1])

        def _forward_and_log_det(self, z, cond):
            return z - cond, tf.zeros(tf.shape(z)[:1])

    td = tfd.TransformedDistribution(normal(2), Shear())
    got = td.log_prob(tf.ones([3, 2]), bijector_kwargs={"cond": tf.ones([3, 2])})
    np.testing.assert_allclose(got, normal(2).log_prob(tf.fill([3, 2], 2.0)))
