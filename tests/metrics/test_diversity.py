import math

import numpy as np

from tfp_cinn.data import Split
from tfp_cinn.metrics import neighbor_distance, pair_distance


def split(images, labels):
    return Split(np.asarray(images, np.uint8), np.asarray(labels, np.int32))


def test_pair_distance_is_the_rms_over_all_pairs_of_a_class(digits):
    squares = []
    for label in range(10):
        x = digits.test.images[digits.test.labels == label].reshape(-1, 64).astype(float)
        pairs = ((x[:, None] - x[None]) ** 2).mean(axis=2)
        squares.append(pairs.sum() / (len(x) * (len(x) - 1)))
    # The same sum in another order.
    assert math.isclose(pair_distance(digits.test).mean, np.mean(squares) ** 0.5, rel_tol=1e-9)


def test_pair_distance_standard_error_is_the_spread_over_samples():
    rng = np.random.RandomState(0)
    labels = np.repeat(np.arange(2), 60)
    # Images of a common brightness, so that pixels are not independent.
    draws = [
        pair_distance(split(rng.randint(0, 100, (120, 1, 1, 1)) + np.zeros((2, 2, 1)), labels))
        for _ in range(400)
    ]
    means, errors = np.array([(each.mean, each.standard_error) for each in draws]).T
    # The spread of 400 draws has a relative error of 0.035.
    assert math.isclose(means.std(), errors.mean(), rel_tol=0.15)


def test_collapsed_samples_have_no_diversity(digits):
    labels = np.repeat(np.arange(10), 5)
    first = np.stack([digits.test.images[digits.test.labels == k][0] for k in range(10)])
    collapsed = pair_distance(split(first[labels], labels))
    assert (collapsed.mean, collapsed.standard_error) == (0.0, 0.0)


def test_a_class_of_one_image_is_left_out(digits):
    part = Split(digits.test.images[:40], digits.test.labels[:40].copy())
    expected = pair_distance(part)
    images = np.concatenate([part.images, part.images[:1]])
    assert pair_distance(split(images, [*part.labels, 99])) == expected
    assert math.isnan(pair_distance(split(images[:1], [0])).mean)


def test_copies_of_training_images_are_at_distance_0(digits):
    copies = Split(digits.train.images[::7], digits.train.labels[::7])
    assert neighbor_distance(copies, digits.train).mean == 0.0
    assert neighbor_distance(digits.test, digits.train).mean > 1.0


def test_neighbor_distance_is_to_the_nearest_of_the_same_class():
    reference = split([[[[0]]], [[[100]]], [[[60]]]], [0, 0, 1])
    distance = neighbor_distance(split([[[[61]]], [[[55]]]], [0, 1]), reference)
    assert distance.mean == (39 + 5) / 2
    assert math.isnan(neighbor_distance(split([[[[1]]]], [5]), reference).mean)


def test_neighbor_distance_is_exact_for_bright_images_of_many_pixels():
    rng = np.random.RandomState(0)
    images = rng.randint(200, 256, (50, 28, 28, 1))
    moved = images.copy()
    moved[:, 0, 0] = 190
    shift = np.abs(images[:, 0, 0, 0] - 190.0) / 28
    labels = np.zeros(50)
    # float32 of an exact integer.
    got = neighbor_distance(split(moved, labels), split(images, labels)).mean
    assert math.isclose(got, shift.mean(), rel_tol=1e-5)
