"""A network that predicts the mean image of a condition."""

import tensorflow as tf

from reproduction.baselines.baseline import Baseline
from reproduction.baselines.networks import Seeds, decoder
from tfp_cinn.errors import UsageError
from tfp_cinn.fused_adam import FusedAdam
from tfp_cinn.tasks import Task

_SIZES = {"color_digits": ((96, 160), 85), "colorization": ((48, 96, 128), 166)}


class Regression(Baseline):
    """A U-Net that minimizes E |y - f(c)|^2: f(c) is the mean of y given c.

    Args:
        task: data whose conditions are images.
        seed: of the weights.

    Raises:
        UsageError: if the conditions are labels.
    """

    batch_size = 32
    rate = 1e-3

    def __init__(self, task: Task, seed: int):
        if task.name not in _SIZES:
            raise UsageError(
                f"regression: expected images as conditions, got {task.name!r}; use vae or gan"
            )
        super().__init__(task, bounded=False)
        widths, hidden = _SIZES[self.kind]
        self.decoder = decoder(self.image_shape, self.cond_dims, 0, widths, hidden, Seeds(seed))
        self._adam = FusedAdam(self.rate)
        self._adam.build(self.trainable_variables)

    @tf.function(jit_compile=False)
    def step(self, x, cond, key, rate):
        """One step of training."""
        with tf.GradientTape() as tape:
            y = self.decoder(self.features(cond), training=True)
            loss = tf.reduce_mean(tf.square(self.own_units(x) - y))
        self._adam.learning_rate.assign(rate)
        variables = self.trainable_variables
        self._adam.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}

    def _draw(self, cond, key, noisy):
        return self.decoder(cond, training=False)
