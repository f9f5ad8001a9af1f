import random

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn import data
from tfp_cinn.data import Split
from tfp_cinn.metrics import classifier as module
from tfp_cinn.metrics import is_recognized, train_classifier


def test_recognizes_held_out_digits_and_nothing_in_noise(digits, classifier):
    right = is_recognized(classifier, digits.test)
    assert right.shape == (297,) and right.dtype == bool
    # 0.99 was measured; its standard error on 297 images is 0.006.
    assert right.mean() > 0.95
    shuffled = Split(digits.test.images, np.roll(digits.test.labels, 1))
    assert is_recognized(classifier, shuffled).mean() < 0.3
    noise = np.random.RandomState(0).randint(0, 17, (300, 8, 8, 1)).astype(np.uint8)
    labels = (np.arange(300) % 10).astype(np.int32)
    assert is_recognized(classifier, Split(noise, labels)).mean() < 0.3


def test_is_a_function_of_the_seed_and_leaves_global_randomness_alone(digits, monkeypatch):
    monkeypatch.setattr(module, "_MAX_EPOCHS", 3)
    few = Split(digits.train.images[:40], digits.train.labels[:40])
    images = data.LabeledImages("few", few, few, digits.test, 10, 17)

    def weights(seed):
        return np.concatenate([w.ravel() for w in train_classifier(images, seed).get_weights()])

    keras.utils.set_random_seed(1)
    expected = random.random(), np.random.rand(), tf.random.normal([]), keras.random.normal([])
    keras.utils.set_random_seed(1)
    first = weights(3)
    got = random.random(), np.random.rand(), tf.random.normal([]), keras.random.normal([])
    assert got == expected
    keras.utils.set_random_seed(2)
    # Threads may add in another order.
    np.testing.assert_allclose(weights(3), first, atol=1e-3)
    assert np.abs(weights(4) - first).max() > 0.01


def test_trains_on_fewer_images_than_a_batch_and_on_constant_ones(monkeypatch):
    monkeypatch.setattr(module, "_MAX_EPOCHS", 1)
    few = Split(np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 1], np.int32))
    classifier = train_classifier(data.LabeledImages("few", few, few, few, 2, 17))
    assert np.isfinite(classifier.predict(np.zeros((1, 8, 8, 1)), verbose=0)).all()
