import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.networks import MLP, ConvNet, DenseConvNet, LabelEmbedding, OneHot


@pytest.mark.parametrize(
    "make",
    [
        MLP([7, 5]),
        MLP([7], skip=True),
        ConvNet([7, 5], kernel_size=1),
        DenseConvNet([7, 5], kernel_size=3),
    ],
)
def test_makers_give_new_networks_of_the_width_asked_for(make):
    a, b = make(6), make(6)
    x = tf.random.normal([2, 4, 3, 8])
    assert a(x).shape == b(x).shape == (2, 4, 3, 6)
    assert not {id(w) for w in a.weights} & {id(w) for w in b.weights}
    np.testing.assert_array_equal(a(x), 0.0)  # identity-friendly start
    assert np.abs(a.weights[0]).max() > 0


def test_init_std_draws_all_weights_and_biases_anew():
    net = MLP([400], init_std=0.01, zero_last=False)(300)
    net.build((None, 200))
    values = [w.numpy() for w in net.weights]
    for value in values:
        np.testing.assert_allclose(value.std(), 0.01, rtol=0.2)
    assert np.abs(values[1][:300] - values[3]).max() > 0.01
    other = MLP([400], init_std=0.01, zero_last=False)(300)
    other.build((None, 200))
    assert np.abs(other.weights[0].numpy() - values[0]).max() > 0.01


@pytest.mark.parametrize(
    "maker",
    [
        MLP([3], "tanh", dropout=0.2, init_std=0.1),
        ConvNet([3], kernel_size=5, negative_slope=0.05),
        DenseConvNet([3, 2], "elu", kernel_size=5, init_std=0.1, negative_slope=0.0),
    ],
)
def test_makers_are_rebuilt_from_their_config(maker):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(maker))
    assert type(copy) is type(maker)
    assert vars(copy) == vars(maker)


@pytest.mark.parametrize(("maker", "spatial"), [(MLP, ()), (ConvNet, (1, 1))])
def test_a_leaky_relu_has_the_slope_asked_for(maker, spatial):
    net = maker([1], zero_last=False, negative_slope=0.05)(1)
    x = np.reshape([-2.0, 3.0], (2, *spatial, 1)).astype("float32")
    net(x)
    for w in net.weights:  # kernels of one at their center
        middle = tuple(n // 2 for n in w.shape)
        w.assign(np.zeros(w.shape))
        if len(middle) > 1:
            value = w.numpy()
            value[middle] = 1
            w.assign(value)
    np.testing.assert_allclose(np.ravel(net(x)), [-0.1, 3.0], rtol=1e-6)


def test_densely_connected_layers_see_all_before_them():
    net = DenseConvNet([2, 3], init_std=0.5, zero_last=False)(4)
    x = np.random.RandomState(0).randn(2, 3, 4, 5).astype("float32")
    y = net(x).numpy()
    (w1, b1), (w2, b2), (w3, b3) = ([w.numpy() for w in net.weights[k : k + 2]] for k in (0, 2, 4))

    def leaky(t):
        return np.where(t > 0, t, 0.01 * t)

    h1 = leaky(x @ w1[0, 0] + b1)
    h2 = leaky(np.concatenate([x, h1], -1) @ w2[0, 0] + b2)
    expected = np.concatenate([x, h1, h2], -1) @ w3[0, 0] + b3
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_label_embedding_trains_the_rows_it_looks_up():
    layer = LabelEmbedding(4, 3)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(tf.constant([1, 1, 3])))
    gradient = tape.gradient(total, layer.embeddings.value)
    np.testing.assert_array_equal(tf.convert_to_tensor(gradient)[:, 0], [0, 2, 0, 1])


@pytest.mark.parametrize("layer", [OneHot(3), LabelEmbedding(3, 2)])
def test_labels_are_checked(layer):
    with pytest.raises(UsageError, match="label 3 is out of range: expected 0 to 2") as caught:
        layer(tf.constant([0, 3]))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"\(2 labels are\)"):
        layer(tf.constant([-1, 1, 5]))
    with pytest.raises(UsageError, match="expected an integer"):
        layer(tf.constant([0.0]))
    got = tf.function(layer)(tf.constant([1, -1, 3])).numpy()
    np.testing.assert_array_equal(np.isnan(got).all(axis=1), [False, True, True])


@pytest.mark.parametrize("maker", [MLP, DenseConvNet])
def test_makers_keep_the_dtype_policy_that_they_were_made_with(maker):
    x = tf.random.normal([2, 3, 3, 4])
    mixed = maker([5], zero_last=False, negative_slope=0.1, dtype="mixed_bfloat16")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        by_default = maker([5], zero_last=False, negative_slope=0.1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert vars(by_default) == vars(mixed)
    net = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(mixed))(2)
    exact = maker([5], zero_last=False, negative_slope=0.1)(2)
    assert net(x).dtype == "bfloat16" and exact(x).dtype == "float32"
    assert {w.dtype for w in net.weights} == {"float32"}
    exact.set_weights(net.get_weights())
    error = np.abs(np.asarray(net(x), "float32") - exact(x)).max() / np.abs(exact(x)).max()
    assert 0 < error < 0.03  # 8 bits of mantissa, after two layers


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("mixed_float16", "dtype: mixed_float16 needs its loss scaled"),
        ("bfloat17", 'expected a Keras dtype policy such as "mixed_bfloat16", got .bfloat17'),
    ],
)
def test_unsuitable_dtype_policies_are_refused(dtype, message):
    with pytest.raises(UsageError, match=message) as caught:
        MLP(dtype=dtype)
    assert "\n" not in str(caught.value)
