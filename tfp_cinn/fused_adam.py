"""Adam with one operation a weight."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["FusedAdam"]


@keras.saving.register_keras_serializable("tfp_cinn")
class FusedAdam(keras.optimizers.Adam):
    r"""`keras.optimizers.Adam`, with each weight updated by one TensorFlow operation.

        m <- m + (1 - beta_1) (g - m),    v <- v + (1 - beta_2) (g^2 - v)
        w <- w - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)

    The same numbers up to rounding, the same weights in a checkpoint. Keras makes a dozen passes
    over the memory of each weight for it, and four more to clip by `global_clipnorm`; here it is
    one, and one more to take the norm: gradients are only multiplied where they are too long.

    Source: Kingma and Ba, "Adam", arXiv 1412.6980, with epsilon added to the root before its bias
    is corrected ("epsilon hat" there), as in Keras.

    Args:
        *args: of `keras.optimizers.Adam`.
        **kwargs: likewise.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update one weight."""
        if self.amsgrad or not isinstance(gradient, tf.Tensor):  # sparse, for example
            super().update_step(gradient, variable, learning_rate)
            return
        index, dtype = self._get_variable_index(variable), variable.dtype
        step = keras.ops.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        if not self.global_clipnorm or not all(isinstance(g, tf.Tensor) for g in grads):
            return super()._clip_gradients(grads)
        norm = tf.linalg.global_norm(grads)
        # Also where the norm isn't finite, so that the weights show it.
        too_long = ~(norm <= self.global_clipnorm)
        return tf.cond(
            too_long, lambda: [g * (self.global_clipnorm / norm) for g in grads], lambda: grads
        )
