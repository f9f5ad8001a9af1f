"""A conditional variational autoencoder."""

import math

import keras
import numpy as np
import tensorflow as tf

from reproduction.baselines.baseline import Baseline, key_of
from reproduction.baselines.networks import Seeds, decoder, encoder
from tfp_cinn.fused_adam import FusedAdam
from tfp_cinn.tasks import Task

# Dimensions of z, the encoder's widths, the decoder's, and that of the vectors between.
_SIZES = {
    "classes": (32, (16, 32), (16, 32), 2240),
    "color_digits": (32, (64, 128), (64, 128), 197),
    "colorization": (64, (32, 64, 96), (32, 64, 96), 201),
}
_LOG_2PI = math.log(2 * math.pi)


class VAE(Baseline):
    """q(z | x, c) and p(y | z, c) = N(mu(z, c), sigma^2), z ~ N(0, 1).

    Minimizes -E_q log p(y | z, c) + KL(q || N(0, 1)). There is one sigma for each channel, learned,
    so that a weight of 1 on KL is right (Rybkin et al.: Simple and effective VAE training with
    calibrated decoders, 2020, arXiv:2006.13202). What `sample` returns is mu, without the decoder's
    noise, as is usual, unless it is to be `noisy`.

    Args:
        task: the data.
        seed: of the weights.
    """

    def __init__(self, task: Task, seed: int):
        super().__init__(task, bounded=False)
        self.batch_size, self.rate = (128, 2e-3) if self.kind == "classes" else (32, 1e-3)
        self._dims, down, up, hidden = _SIZES[self.kind]
        seeds, shapes = Seeds(seed), (self.image_shape, self.cond_dims)
        self.encoder = encoder(*shapes, 2 * self._dims, down, hidden, seeds)
        self.decoder = decoder(*shapes, self._dims, up, hidden, seeds)
        self.log_sigma = self.add_weight(
            shape=self.image_shape[2:],
            initializer=keras.initializers.Constant(-1.0),
            name="log_sigma",
        )
        self._adam = FusedAdam(self.rate)
        self._adam.build(self.trainable_variables)

    @tf.function(jit_compile=False)
    def step(self, x, cond, key, rate):
        """One step of training."""
        y, cond = self.own_units(x), self.features(cond)
        noise = tf.random.stateless_normal([tf.shape(y)[0], self._dims], key)
        with tf.GradientTape() as tape:
            mean, log_std = tf.split(self.encoder([y, cond], training=True), 2, axis=-1)
            z = mean + tf.exp(log_std) * noise
            nats = tf.reduce_mean(-self._log_likelihood(y, z, cond, training=True))
            kl = tf.square(mean) + tf.exp(2 * log_std) - 1 - 2 * log_std
            kl = tf.reduce_mean(tf.reduce_sum(kl / 2, axis=-1))
            loss = (nats + kl) / math.prod(self.image_shape)
        self._adam.learning_rate.assign(rate)
        variables = self.trainable_variables
        self._adam.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss, "kl": kl}

    def _log_likelihood(self, y, z, cond, training):
        """Of y given z and c, `[B]`."""
        mean = self.decoder([cond, z], training=training)
        log_sigma = tf.convert_to_tensor(self.log_sigma)
        scores = tf.square((y - mean) * tf.exp(-log_sigma)) / 2 + log_sigma + _LOG_2PI / 2
        return -tf.reduce_sum(scores, axis=[1, 2, 3])

    def _draw(self, cond, key, noisy):
        z_key, noise_key = tf.unstack(tf.random.experimental.stateless_split(key, 2))
        z = tf.random.stateless_normal([tf.shape(cond)[0], self._dims], z_key)
        y = self.decoder([cond, z], training=False)
        if noisy:
            noise = tf.random.stateless_normal(tf.shape(y), noise_key)
            y += tf.exp(tf.convert_to_tensor(self.log_sigma)) * noise
        return y

    @tf.function(reduce_retracing=True, jit_compile=False)
    def reconstruct(self, x: tf.Tensor, cond: tf.Tensor) -> tf.Tensor:
        """The decoder's image of the encoder's mean, `[N, H, W, C]` in the units of x."""
        y, cond = self.own_units(x), self.features(cond)
        mean, _ = tf.split(self.encoder([y, cond], training=False), 2, axis=-1)
        return self._shift + self._scale * self.decoder([cond, mean], training=False)

    def nats_per_dim(
        self, x: np.ndarray, cond: np.ndarray, seed: int, num_samples: int = 64
    ) -> np.ndarray:
        """Importance-weighted upper bound on -log p(x | c) / D, in nats/dim in the units of x.

            -log 1/K sum_k p(x | z_k, c) p(z_k) / q(z_k | x, c)   for z_k ~ q(z | x, c)

        Its mean is at least -log p(x | c), and falls as K rises.

        Args:
            x: images `[N, H, W, C]`.
            cond: conditions `[N, ...]`.
            seed: of the z.
            num_samples: K.

        Returns:
            `[N]`.

        References:
            Y. Burda, R. Grosse, R. Salakhutdinov: Importance weighted autoencoders, 2015,
            arXiv:1509.00519.
        """
        each = max(1, 1024 // num_samples)
        bounds = [
            self._bound(
                tf.constant(x[k : k + each]), cond[k : k + each], key_of(seed, k), num_samples
            )
            for k in range(0, len(x), each)
        ]
        dims = math.prod(self.image_shape)
        log_scale = np.mean(np.log(self._scale))
        return np.concatenate([b.numpy() for b in bounds]) / dims + log_scale

    @tf.function(reduce_retracing=True, jit_compile=False)
    def _bound(self, x, cond, key, num_samples):
        y, cond = self.own_units(x), self.features(cond)
        mean, log_std = tf.split(self.encoder([y, cond], training=False), 2, axis=-1)
        mean, log_std, y, cond = (
            tf.repeat(t, num_samples, axis=0) for t in (mean, log_std, y, cond)
        )
        noise = tf.random.stateless_normal(tf.shape(mean), key)
        z = mean + tf.exp(log_std) * noise
        ratio = (tf.square(noise) - tf.square(z)) / 2 + log_std  # log p(z) - log q(z)
        weights = self._log_likelihood(y, z, cond, False) + tf.reduce_sum(ratio, axis=-1)
        weights = tf.reshape(weights, [-1, num_samples])
        return math.log(num_samples) - tf.reduce_logsumexp(weights, axis=1)
