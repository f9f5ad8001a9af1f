"""What all baselines have."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.color import LAB_SCALES
from tfp_cinn.errors import UsageError
from tfp_cinn.tasks import Task

_BLOCK = 256  # images sampled together


class Baseline(keras.Model):
    """A conditional generator, in units of its own: x = shift + scale y.

    Subclasses have a `step`, a tf.function that does one step of training,
    `(x, cond, key, rate) -> {name: loss}`, and `_draw(cond, key, noisy) -> y`.

    Args:
        task: the data.
        bounded: whether y has to be in [-1, 1].

    Attributes:
        batch_size: of training.
        rate: learning rate at the start of training.

    Raises:
        UsageError: if the condition is an image of another size than x.
    """

    batch_size: int
    rate: float

    def __init__(self, task: Task, bounded: bool):
        super().__init__()
        self.kind = task.name
        self.image_shape = task.image_shape
        if self.kind == "classes":
            self.cond_dims = (task.num_classes,)
            self._shift = self._scale = task.images.levels / 2
        else:
            self.cond_dims = task.cond_shape
            if self.cond_dims[:2] != self.image_shape[:2]:
                raise UsageError(
                    f"cond_shape: expected that of x, {self.image_shape[:2]}, got "
                    f"{self.cond_dims[:2]}; make ab_size the size of the crops"
                )
            if self.kind == "colorization":
                self._shift = 0.0
                self._scale = 110.0 if bounded else np.array(LAB_SCALES[1:], np.float32)
            else:
                self._shift = self._scale = 0.5

    def own_units(self, x: tf.Tensor) -> tf.Tensor:
        """The y of an x."""
        return (x - self._shift) / self._scale

    def features(self, cond: tf.Tensor) -> tf.Tensor:
        """What networks see: images in [-1, 1], or one-hot labels of the noise's mean square."""
        if self.kind == "classes":
            classes = self.cond_dims[0]
            return math.sqrt(classes) * tf.one_hot(cond, classes)
        return cond * (2 / (100.0 if self.kind == "colorization" else 1.0)) - 1

    @tf.function(reduce_retracing=True, jit_compile=False)
    def _sample(self, cond, key, noisy):
        return self._shift + self._scale * self._draw(self.features(cond), key, noisy)

    def sample(
        self, cond: np.ndarray, num_samples: int, seed: int, noisy: bool = False
    ) -> np.ndarray:
        """Draw images, in the units of x.

        Args:
            cond: conditions, `[N, ...]`.
            num_samples: images of each.
            seed: the same seed gives the same images.
            noisy: whether to add the noise of a VAE's decoder; the others have none.

        Returns:
            float32 `[num_samples, N, H, W, C]`.
        """
        cond = np.asarray(cond)
        rows = np.tile(np.arange(len(cond)), num_samples)
        blocks = [
            self._sample(tf.constant(cond[rows[k : k + _BLOCK]]), key_of(seed, k), noisy).numpy()
            for k in range(0, len(rows), _BLOCK)
        ]
        return np.concatenate(blocks).reshape(num_samples, len(cond), *self.image_shape)

    def nats_per_dim(self, x: np.ndarray, cond: np.ndarray, seed: int) -> np.ndarray | None:
        """Upper bound on -log p(x | c) / D in nats/dim, `[N]`; None where there is no density."""
        return None

    @property
    def generator_weights(self) -> int:
        """How many weights sampling needs."""
        return count_weights(self.decoder)


def count_weights(model: keras.Model) -> int:
    """Number of trainable weights."""
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def key_of(seed: int, number: int) -> tf.Tensor:
    return tf.constant([seed % (1 << 63), number], tf.int64)
