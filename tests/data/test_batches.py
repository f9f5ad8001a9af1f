"""Batches: dequantization, reproducibility, and what is kept or dropped."""

import gc
import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn.data import Split, evaluation_batches, training_batches
from tfp_cinn.errors import UsageError

COUNT = 101


@pytest.fixture(scope="module")
def split():
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (COUNT, 28, 28, 1)).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(COUNT)
    return Split(images, np.arange(COUNT, dtype=np.int32))


def epoch(dataset):
    xs, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(xs), np.concatenate(labels)


@pytest.mark.parametrize("build", [training_batches, evaluation_batches])
def test_types_and_shapes(split, build):
    dataset = build(split, 10)
    x, label = next(iter(dataset))
    assert (x.dtype, x.shape) == (tf.float32, (10, 28, 28, 1))
    assert (label.dtype, label.shape) == (tf.int32, (10,))
    assert dataset.element_spec[0].shape[1:] == (28, 28, 1)
    training = build is training_batches
    assert [len(label) for _, label in dataset] == [10] * 10 + [1] * (not training)
    assert len(dataset) == 11 - training
    if not training:
        assert list(build(Split(split.images[:0], split.labels[:0]), 10)) == []


def test_every_training_image_comes_once_an_epoch(split):
    dataset = training_batches(split, COUNT)
    for _ in range(3):
        np.testing.assert_array_equal(np.sort(epoch(dataset)[1]), np.arange(COUNT))


@pytest.mark.parametrize("build", [training_batches, evaluation_batches])
@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_floor_recovers_the_level(split, build, seed):
    x, labels = epoch(build(split, COUNT, seed=seed))
    np.testing.assert_array_equal(np.floor(x), split.images[labels])


@pytest.mark.parametrize("build", [training_batches, evaluation_batches])
def test_noise_never_rounds_up_to_the_next_level(build):
    # At the top level float32 is coarsest: noise of 23 bits would round one sum in 2**17 up to 256,
    # 16 of these pixels.
    top = Split(np.full((8, 512, 512, 1), 255, np.uint8), np.zeros(8, np.int32))
    assert epoch(build(top, 8))[0].max() < 256


@pytest.mark.parametrize("build", [training_batches, evaluation_batches])
def test_uniform_noise_has_the_moments_of_its_bin(split, build):
    x, labels = epoch(build(split, COUNT))
    noise = x.astype(np.float64) - split.images[labels]
    # Five standard errors of the mean, and of the variance (whose kurtosis term is 1/180).
    assert abs(noise.mean() - 0.5) < 5 * math.sqrt(1 / 12 / noise.size)
    assert abs(noise.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / noise.size)
    assert len(np.unique(noise, axis=0)) == COUNT


@pytest.mark.parametrize("noise_std", [0.5, 20.0])
def test_gaussian_noise_has_its_standard_deviation(split, noise_std):
    x, labels = epoch(training_batches(split, COUNT, noise_std=noise_std))
    noise = (x.astype(np.float64) - split.images[labels] - 0.5) / noise_std
    # Five standard errors of the mean, of the standard deviation and of the fourth moment.
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert abs(noise.std() - 1) < 5 / math.sqrt(2 * noise.size)
    assert abs((noise**4).mean() - 3) < 5 * math.sqrt(96 / noise.size)


@pytest.mark.parametrize("noise_std", [0.0, 3.0])
def test_training_is_a_function_of_the_seed(split, noise_std):
    tf.random.set_seed(1)
    first = training_batches(split, 10, noise_std=noise_std, seed=7)
    epochs = [epoch(first) for _ in range(3)]
    tf.random.set_seed(2)
    np.random.seed(2)
    state = np.random.get_state()[1].copy()
    second = training_batches(split, 10, noise_std=noise_std, seed=7)
    gc.collect()  # what counts the epochs must live as long as the data set
    for one in epochs:
        other = epoch(second)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    other = epoch(training_batches(split, 10, noise_std=noise_std, seed=8))
    assert not np.array_equal(epochs[0][1], other[1])


@pytest.mark.parametrize("number", [0, 2])
def test_an_epoch_is_a_function_of_its_number(split, number):
    whole = epoch(training_batches(split, 10, noise_std=3.0, seed=3).repeat(3))
    for given in (number, tf.constant(number, tf.int64)):
        batches = training_batches(split, 10, noise_std=3.0, seed=3, epoch=given)
        assert batches.cardinality() == 10
        for one, other in zip(epoch(batches), whole, strict=True):
            np.testing.assert_array_equal(one, other[100 * number :][:100])


@pytest.mark.parametrize("noise_std", [0.0, 3.0])
def test_every_epoch_has_its_own_order_and_noise(split, noise_std):
    dataset = training_batches(split, COUNT, noise_std=noise_std)
    (x1, order1), (x2, order2) = epoch(dataset), epoch(dataset)
    assert not np.array_equal(order1, np.arange(COUNT))
    assert not np.array_equal(order1, order2)
    noise1, noise2 = x1 - split.images[order1], x2 - split.images[order2]
    # Neither the noise of a place in the epoch nor that of an image comes again: two draws of 16
    # bits coincide in one pixel of 65,536, and rounding of v + noise makes that a few more.
    assert (noise1 == noise2).mean() < 1e-3
    assert (noise1[np.argsort(order1)] == noise2[np.argsort(order2)]).mean() < 1e-3


def test_batches_of_an_epoch_have_their_own_noise():
    same = Split(np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32))
    x, _ = epoch(training_batches(same, 1))
    assert len(np.unique(x, axis=0)) == 4


def test_evaluation_is_in_order_and_always_alike(split):
    dataset = evaluation_batches(split, 10)
    x, labels = epoch(dataset)
    np.testing.assert_array_equal(labels, split.labels)
    np.testing.assert_array_equal(epoch(dataset)[0], x)
    assert not np.array_equal(epoch(evaluation_batches(split, 10, seed=1))[0], x)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_evaluation_noise_depends_on_the_image_alone(split, batch_size):
    x, _ = epoch(evaluation_batches(split, 10))
    np.testing.assert_array_equal(epoch(evaluation_batches(split, batch_size))[0], x)
    shorter = Split(split.images[:51], split.labels[:51])
    np.testing.assert_array_equal(epoch(evaluation_batches(shorter, batch_size))[0], x[:51])


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (training_batches, {"batch_size": 102}, f"is 102 but the split has {COUNT} images"),
        (training_batches, {"batch_size": 0}, "batch_size is 0, expected at least 1"),
        (evaluation_batches, {"batch_size": -3}, "batch_size is -3, expected at least 1"),
        (training_batches, {"noise_std": -1.0}, "noise_std is -1.0,"),
        (training_batches, {"noise_std": math.nan}, "noise_std is nan,"),
    ],
)
def test_wrong_arguments(split, build, arguments, message):
    with pytest.raises(UsageError, match=message):
        build(split, **{"batch_size": 10} | arguments)
