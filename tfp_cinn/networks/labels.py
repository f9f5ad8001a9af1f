"""Conditioners for class labels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.errors import UsageError

__all__ = ["LabelEmbedding", "OneHot"]


class _LabelConditioner(keras.layers.Layer):
    """Checks labels and looks their features up in a table `[num_classes, features]`."""

    def __init__(self, num_classes: int, **kwargs):
        if num_classes < 1:
            raise UsageError(f"num_classes: expected at least 1, got {num_classes}")
        super().__init__(**kwargs)
        self.num_classes = int(num_classes)

    def _table(self) -> tf.Tensor:
        raise NotImplementedError

    def call(self, labels):
        """Return the features `[..., features]` of integer labels `[...]`.

        Raises:
            UsageError: if the labels aren't integers or, in eager mode, one is out of range. In a
                graph, such a label's features are NaN, and other rows are unaffected.
        """
        labels = tf.convert_to_tensor(labels)
        if not labels.dtype.is_integer:
            raise UsageError(
                f"label: expected an integer 0 to {self.num_classes - 1}, got dtype "
                f"{labels.dtype.name}"
            )
        labels = tf.cast(labels, tf.int64)  # tf.gather doesn't take 8-bit integers
        valid = (labels >= 0) & (labels < self.num_classes)
        if tf.executing_eagerly() and not tf.reduce_all(valid):
            bad = tf.boolean_mask(labels, ~valid).numpy()
            raise UsageError(
                f"label {bad[0]} is out of range: expected 0 to {self.num_classes - 1}"
                + (f" ({bad.size} labels are)" if bad.size > 1 else "")
            )
        features = tf.gather(self._table(), tf.where(valid, labels, tf.zeros_like(labels)))
        return tf.where(valid[..., tf.newaxis], features, features.dtype.as_numpy_dtype("nan"))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"num_classes": self.num_classes}


@keras.saving.register_keras_serializable("tfp_cinn")
class OneHot(_LabelConditioner):
    """One-hot vector of an integer label, the paper's condition for MNIST: `[...]` to `[..., K]`.

    Args:
        num_classes: K; labels are 0 to K - 1.
        **kwargs: of `keras.layers.Layer`.
    """

    def _table(self):
        return tf.eye(self.num_classes, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Return the shape `[..., K]`."""
        return (*input_shape, self.num_classes)


@keras.saving.register_keras_serializable("tfp_cinn")
class LabelEmbedding(_LabelConditioner):
    """Trained vector for each integer label: `[...]` to `[..., units]`.

    Unlike `keras.layers.Embedding`, it rejects labels out of range.

    Args:
        num_classes: number of classes K; labels are 0 to K - 1.
        units: length of the vector.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, num_classes: int, units: int, **kwargs):
        super().__init__(num_classes, **kwargs)
        self.units = int(units)

    def build(self, input_shape):
        """Create the table `[K, units]`."""
        self.embeddings = self.add_weight(
            shape=(self.num_classes, self.units), initializer="normal", name="embeddings"
        )

    def _table(self):
        return tf.convert_to_tensor(self.embeddings)

    def compute_output_shape(self, input_shape):
        """Return the shape `[..., units]`."""
        return (*input_shape, self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"units": self.units}
