"""The network of the paper's minimal MNIST example, which the benchmarks measure, and its floor.

784 dimensions, 20 Glow blocks, subnets 512 wide, 24.3 million weights; random images and weights.
"""

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn import architectures, data

WEIGHT_PRIOR = 1e-5


def make_model(subnet_dtype=None):
    """The model, not compiled, and the mean and standard deviation of its `Standardize`."""
    rng = np.random.RandomState(0)
    split = data.Split(rng.randint(0, 256, (64, 28, 28, 1)).astype("uint8"), np.zeros(64, "int32"))
    images = data.LabeledImages("noise", split, split, split, 10, 256)
    keras.utils.set_random_seed(0)
    model = architectures.build(
        "dense_glow",
        images,
        init_std=0.01,
        zero_last=False,
        subnet_dtype=subnet_dtype,
        weight_prior=WEIGHT_PRIOR,
    )
    return model, images.mean, images.std


def products(batch_size):
    """The matrix products of one pass, and of a training step: forward and two for backward.

    They don't wait for each other, unlike a flow's. Each has operands of its own: TensorFlow would
    compute the same product only once.
    """

    def normal(*shape):
        return tf.random.normal(shape)

    networks = [
        (
            (normal(batch_size, 402), normal(batch_size, 512), normal(batch_size, 784)),
            (tf.Variable(normal(402, 512)), tf.Variable(normal(512, 784))),
        )
        for _ in range(40)
    ]

    def forward():
        return [t for (x, h, _), (a, b) in networks for t in (x @ a, h @ b)]

    def backward():
        return [
            tf.matmul(left, right, transpose_a=ta, transpose_b=tb)
            for (x, h, y), (a, b) in networks
            for left, right, ta, tb in (
                (y, b, False, True),
                (h, y, True, False),
                (h, a, False, True),
                (x, h, True, False),
            )
        ]

    # A sum over one element of each keeps the products from being pruned and costs nothing.
    one_pass = tf.function(lambda: tf.add_n([t[0, 0] for t in forward()]))
    step = tf.function(lambda: tf.add_n([t[0, 0] for t in forward() + backward()]))
    return one_pass, step
