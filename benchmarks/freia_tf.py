"""The networks of the published minimal examples in this package, for `freia.py`."""

import math
import types

import keras
import minimal
import numpy as np
import tensorflow as tf

from tfp_cinn import FusedAdam, architectures
from tfp_cinn.bijectors import computing
from tfp_cinn.color import LAB_OFFSETS, LAB_SCALES
from tfp_cinn.interop import export_freia


class Side:
    """A network of this package, trained by Keras on one batch.

    Args:
        network: "lsun_minimal" or "mnist_minimal".
        x: standardized images, `[N, H, W, C]`; the flow is given them in the units of its data.
        cond: gray images likewise, or labels `[N]`.
        threads: number of threads.
    """

    def __init__(self, network, x, cond, threads):
        # Dense networks: a thread for each shard of the batch. Convolutions: all threads for each.
        dense = network == "mnist_minimal"
        tf.config.threading.set_intra_op_parallelism_threads(1 if dense else threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        if dense:
            self._model, self._mean, self._std = minimal.make_model()
            optimizer = FusedAdam(5e-4, epsilon=1e-8, global_clipnorm=10.0)
        else:
            data = types.SimpleNamespace(image_shape=(64, 64, 2), cond_shape=(64, 64, 1))
            keras.utils.set_random_seed(0)
            self._model = architectures.build("colorization_minimal", data)
            self._mean, self._std = np.float32(LAB_OFFSETS[1:]), np.float32(LAB_SCALES[1:])
            optimizer = FusedAdam(1e-3, epsilon=1e-8)
        shards = threads if dense else 1
        self._model.compile(optimizer, shards=shards)
        self._dense = dense
        self._x = tf.Variable(tf.zeros(x.shape), trainable=False)
        self._cond = tf.Variable(tf.zeros(cond.shape, cond.dtype), trainable=False)
        self.give(x, cond)
        self._scale = float(np.mean(np.log(self._std)))  # nats/dim, of standardizing
        dist, one = self._model.distribution, tf.constant(self._cond[:1])

        def compiled(function):
            def run(*args):
                with computing(shards=shards):
                    return function(*args)

            return tf.function(run)

        self._log_prob = compiled(lambda: dist.log_prob(self._x.value(), self._cond.value()))
        self._encode = compiled(lambda: dist.encode(self._x.value(), self._cond.value()))
        self._decode = compiled(lambda z: dist.decode(z, self._cond.value()))
        self.sample = compiled(lambda: dist.sample(self._cond.value()))
        self.eight_samples = {
            "of one condition": compiled(lambda: dist.sample(one, sample_shape=8)),
            "of it eight times": compiled(lambda: dist.sample(tf.repeat(one, 8, axis=0))),
            "conditioner, once": compiled(
                lambda: tf.add_n([tf.reduce_sum(f) for f in tf.nest.flatten(dist.features(one))])
            ),
        }

    def give(self, x, cond):
        """Give it another batch of the same size."""
        self._x.assign(np.float32(self._mean + self._std * x))
        if not self._dense:
            cond = np.float32(LAB_OFFSETS[0] + LAB_SCALES[0] * cond)
        self._cond.assign(cond)

    def products(self):
        """The bare matrix products of a pass or step, where the network is made of such."""
        if not self._dense:
            return {}
        one_pass, step = minimal.products(self._x.shape[0])
        return {"train step": step, "log_prob": one_pass, "sample": one_pass}

    def perturb(self):
        """Take the network far from the identity and from its symmetric start."""
        rng = np.random.RandomState(0)
        for weight in self._model.trainable_weights:
            weight.assign_add(0.01 * rng.randn(*weight.shape))

    def weights(self, names):
        """The weights by their names in PyTorch."""
        return export_freia(self._model, names)

    def step(self):
        """One training step; returns its loss, that of the published code."""
        logs = self._model.train_on_batch(self._x.value(), self._cond.value(), return_dict=True)
        return float(logs["nats_per_dim"]) - self._scale - 0.5 * math.log(2 * math.pi)

    def encode(self):
        """Latents of the batch, `[N, D]`, each scale channels first."""
        z = self._encode().numpy()
        parts = [
            np.moveaxis(z[:, a:b].reshape(-1, *shape), -1, 1).reshape(len(z), -1)
            for a, b, shape in self._model.bijector.latent_scales
        ]
        return np.concatenate(parts, axis=1)

    def decode(self, z):
        """Standardized images of latents as `encode` has them."""
        parts = [
            np.moveaxis(z[:, a:b].reshape(-1, shape[-1], *shape[:-1]), 1, -1).reshape(len(z), -1)
            for a, b, shape in self._model.bijector.latent_scales
        ]
        x = self._decode(tf.constant(np.concatenate(parts, axis=1)))
        return (x.numpy() - self._mean) / self._std

    def log_prob(self):
        """Log-densities `[N]` of the batch standardized, nats."""
        return self._log_prob().numpy() + self._model.dimensions * self._scale
