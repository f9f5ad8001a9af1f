"""Splits: which entries a coupling changes, and which it reads meanwhile."""

from __future__ import annotations

import abc

import keras
import tensorflow as tf

from tfp_cinn.bijectors.serialization import Saved
from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError

__all__ = ["Checkerboard", "Halves", "Split"]


class Split(Saved, abc.ABC):
    """Parts the entries of x in two, which a coupling joins again.

    To be saved, a subclass is registered with `keras.saving.register_keras_serializable`.
    """

    @abc.abstractmethod
    def shapes(self, event_shape: Shape) -> tuple[Shape, Shape]:
        """Return the shapes of the two parts of an x of `event_shape`.

        Raises:
            UsageError: if such an x can't be parted.
        """

    @abc.abstractmethod
    def split(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Return the two parts of x, `[N, *event_shape]`."""

    @abc.abstractmethod
    def join(self, parts: list[tf.Tensor]) -> tf.Tensor:
        """Undo `split`."""

    def align(self, cond: tf.Tensor) -> tf.Tensor:
        """Bring a condition of x's resolution, `[N, ..., K]`, to that of the parts."""
        return cond


@keras.saving.register_keras_serializable("tfp_cinn")
class Halves(Split):
    """x = [x_1 | x_2] along the channels, x_1 of floor(C/2)."""

    def shapes(self, event_shape):
        """Return the shapes of both halves."""
        *space, channels = event_shape
        if channels < 2:
            raise UsageError(f"expected at least 2 channels to split, got {channels}")
        return (*space, channels // 2), (*space, channels - channels // 2)

    def split(self, x):
        """Return x_1 and x_2."""
        first = x.shape[-1] // 2
        return tf.split(x, [first, x.shape[-1] - first], axis=-1)

    def join(self, parts):
        """Return [x_1 | x_2]."""
        return tf.concat(parts, axis=-1)


@keras.saving.register_keras_serializable("tfp_cinn")
class Checkerboard(Split):
    """x_1 on the squares with row + column even, x_2 on the others, for maps `[H, W, C]`.

    H and W are even. Subnets see half the resolution: of each 2 x 2 places, the two that belong to
    a part lie in its channels, `[H/2, W/2, 2C]`, and all four of a map condition, `[H/2, W/2, 4K]`.
    """

    def shapes(self, event_shape):
        """Return `[H/2, W/2, 2C]` twice."""
        if len(event_shape) != 3 or event_shape[0] % 2 or event_shape[1] % 2:
            raise UsageError(
                "Checkerboard expects maps [H, W, C] of even height and width, got shape "
                f"{event_shape}"
            )
        height, width, channels = event_shape
        return ((height // 2, width // 2, 2 * channels),) * 2

    def split(self, x):
        """Return the two colors of squares."""
        a, b, c, d = tf.split(self.align(x), 4, axis=-1)
        return [tf.concat([a, d], axis=-1), tf.concat([b, c], axis=-1)]

    def join(self, parts):
        """Put the squares back."""
        (a, d), (b, c) = (tf.split(part, 2, axis=-1) for part in parts)
        return tf.nn.depth_to_space(tf.concat([a, b, c, d], axis=-1), 2)

    def align(self, cond):
        """Return `[N, H/2, W/2, 4K]`."""
        return tf.nn.space_to_depth(cond, 2)
