"""Batches of labeled images: noise, reproducibility, and what is kept or dropped."""

import gc
import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn.data import Split, dequantize, evaluation_batches, paint_digits, training_batches
from tfp_cinn.errors import UsageError

COUNT = 301  # more than a block of held-out images
BUILDERS = pytest.mark.parametrize("build", [training_batches, evaluation_batches])
DRAWS = pytest.mark.parametrize("draw", [dequantize(3.0), paint_digits(256, 0.1)])


@pytest.fixture(scope="module")
def split():
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (COUNT, 9, 8, 1)).astype(np.uint8)
    return Split(images, np.arange(COUNT, dtype=np.int32) % 10)


@pytest.fixture(scope="module")
def numbered(split):
    """Labels that say which image it is."""
    return Split(split.images, np.arange(COUNT, dtype=np.int32))


def epoch(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True)]


@BUILDERS
def test_types_shapes_and_numbers(split, build):
    dataset = build(split, 10)
    x, label = next(iter(dataset))
    assert (x.dtype, x.shape) == (tf.float32, (10, 9, 8, 1))
    assert (label.dtype, label.shape) == (tf.int32, (10,))
    assert dataset.element_spec[0].shape[1:] == (9, 8, 1)
    training = build is training_batches
    assert [len(label) for _, label in dataset] == [10] * 30 + [1] * (not training)
    assert len(dataset) == 31 - training
    if not training:
        assert list(build(Split(split.images[:0], split.labels[:0]), 10)) == []


@BUILDERS
@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_uniform_noise_stays_in_its_bin_with_its_moments(numbered, build, seed):
    x, labels = epoch(build(numbered, COUNT, seed=seed))
    np.testing.assert_array_equal(np.sort(labels), np.arange(COUNT))
    noise = x.astype(np.float64) - numbered.images[labels]
    assert noise.min() >= 0 and noise.max() < 1
    # Five standard errors of the mean, and of the variance (whose kurtosis term is 1/180).
    assert abs(noise.mean() - 0.5) < 5 * math.sqrt(1 / 12 / noise.size)
    assert abs(noise.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / noise.size)
    assert len(np.unique(noise, axis=0)) == COUNT


@BUILDERS
def test_noise_never_rounds_up_to_the_next_level(build):
    # At the top level float32 is coarsest: noise of 23 bits would round one sum in 2**17 up to 256,
    # 16 of these pixels.
    top = Split(np.full((8, 512, 512, 1), 255, np.uint8), np.zeros(8, np.int32))
    assert epoch(build(top, 8))[0].max() < 256


def test_gaussian_noise_has_its_standard_deviation(numbered):
    x, labels = epoch(training_batches(numbered, COUNT, dequantize(20.0)))
    noise = (x.astype(np.float64) - numbered.images[labels] - 0.5) / 20.0
    # Five standard errors of the mean, of the standard deviation and of the fourth moment.
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert abs(noise.std() - 1) < 5 / math.sqrt(2 * noise.size)
    assert abs((noise**4).mean() - 3) < 5 * math.sqrt(96 / noise.size)


@DRAWS
def test_training_is_a_function_of_seed_and_epoch_which_all_differ(split, draw):
    tf.random.set_seed(1)
    state = np.random.get_state()[1].copy()
    first = training_batches(split, 100, draw, seed=7)
    second = training_batches(split, 100, draw, seed=7)
    gc.collect()  # what counts the epochs must live as long as the data set
    epochs = [epoch(first) for _ in range(2)]
    tf.random.set_seed(2)
    for number in (0, 1):
        given = number if number else tf.constant(0, tf.int64)
        by_number = training_batches(split, 100, draw, seed=7, epoch=given)
        assert len(by_number) == 3
        for again in (epoch(second), epoch(by_number)):
            for one, other in zip(epochs[number], again, strict=True):
                np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    others = [epochs[1], epoch(training_batches(split, 100, draw, seed=8))]
    for other in others:
        assert (epochs[0][0] == other[0]).mean() < 0.1


def test_neither_order_nor_noise_comes_again(numbered):
    dataset = training_batches(numbered, COUNT)
    (x1, order1), (x2, order2) = epoch(dataset), epoch(dataset)
    assert not np.array_equal(order1, np.arange(COUNT)) and not np.array_equal(order1, order2)
    noise1, noise2 = x1 - numbered.images[order1], x2 - numbered.images[order2]
    # Neither the noise of a place in the epoch nor that of an image comes again: two draws of 16
    # bits coincide in one pixel of 65,536, and rounding of v + noise makes that a few more.
    assert (noise1 == noise2).mean() < 1e-3
    assert (noise1[np.argsort(order1)] == noise2[np.argsort(order2)]).mean() < 1e-3
    same = Split(np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32))
    assert len(np.unique(epoch(training_batches(same, 1))[0], axis=0)) == 4


@DRAWS
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_evaluation_is_in_order_and_depends_on_the_image_alone(split, draw, batch_size):
    x, cond = epoch(evaluation_batches(split, 100, draw))
    again = epoch(evaluation_batches(split, batch_size, draw))
    np.testing.assert_array_equal(again[0], x)
    np.testing.assert_array_equal(again[1], cond)
    expected = split.labels if cond.ndim == 1 else split.images / np.float32(255)
    np.testing.assert_array_equal(cond, expected)
    shorter = Split(split.images[:290], split.labels[:290])
    # Blurs of fewer images are summed in another order.
    few = epoch(evaluation_batches(shorter, batch_size, draw))[0]
    np.testing.assert_allclose(few, x[:290], atol=1e-5)
    assert not np.array_equal(epoch(evaluation_batches(split, 100, draw, seed=1))[0], x)
    assert len(np.unique(x, axis=0)) == COUNT


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: training_batches(s, COUNT + 1), f"is {COUNT + 1}, expected .*at most {COUNT}"),
        (lambda s: training_batches(s, 0), "batch_size is 0, expected at least 1"),
        (lambda s: evaluation_batches(s, -3), "batch_size is -3, expected at least 1"),
        (lambda s: dequantize(-1.0), "noise_std is -1.0,"),
        (lambda s: paint_digits(17, math.nan), "noise_std is nan,"),
    ],
)
def test_wrong_arguments(split, call, message):
    with pytest.raises(UsageError, match=message):
        call(split)
