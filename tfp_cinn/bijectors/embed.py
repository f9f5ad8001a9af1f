"""A network of its own for the condition of some bijectors."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors.condition_adapter import ConditionAdapter
from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.serialization import is_registered
from tfp_cinn.bijectors.shapes import infer_cond_shape, map_shape
from tfp_cinn.errors import UsageError

__all__ = ["Embed"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Embed(ConditionAdapter):
    r"""Hands a network's output for the condition on to a bijector: f(z; network(c)).

    A coupling, or a chain of them, thereby has a conditioning network of its own, trained with the
    flow. All its subnets are given that network's output, as in each coupling block of the paper's
    ImageNet network.

    `CINN.fit` runs the network as Keras does in training: with dropout, and with batch
    normalization by the statistics of the batch, of which it takes running averages. Everywhere
    else, `log_prob`, `sample`, `encode` and `decode` outside of `fit`, and its validation, the
    network runs in inference mode, with the averages: no row sees another, and decoding undoes
    encoding. The network runs once a call for every row of x, also where several rows, such as the
    samples of one condition, share theirs.

    Args:
        network: a Keras layer or model of one batch dimension, for no other bijector's use.
        bijector: f, the bijector that is given the network's output.
        name: name of the bijector.

    Raises:
        UsageError: if the network isn't a Keras layer; when it is built, if there is no condition
            or the network can't take it.
    """

    def __init__(
        self, network: keras.layers.Layer, bijector: ConditionalBijector, name: str | None = None
    ):
        if not isinstance(network, keras.layers.Layer):
            raise UsageError(f"network: expected a Keras layer or model, got {network!r}")
        super().__init__(bijector, name=name)
        self._network = network

    @property
    def network(self) -> keras.layers.Layer:
        """The network of the condition."""
        return self._network

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The network, and the Keras layers of the bijector."""
        return [self._network, *super().layers]

    conditional = True  # even if only the network looks at the condition

    def adapt(self, cond: Any) -> Any:
        """Returns network(cond), in the dtype of cond."""
        dtype = keras.tree.flatten(cond)[0].dtype
        return keras.tree.map_structure(lambda f: tf.cast(f, dtype), self._network(cond))

    def _adapted_shape(self, cond_shape):
        if cond_shape is None:
            raise UsageError(f"{self.name}: expected a condition for its network, got none")
        zeros = map_shape(lambda s: tf.zeros((1, *s), keras.config.floatx()), cond_shape)
        try:
            features = self._network(zeros)
        except UsageError:
            raise
        except ValueError as error:  # Keras tells of the shape in several lines
            raise UsageError(
                f"{self.name}: its network {self._network.name} can't take a condition of shape "
                f"{cond_shape} ({str(error).strip().splitlines()[-1]})"
            ) from error
        return infer_cond_shape(self.name, features, 1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments.

        Raises:
            UsageError: if Keras couldn't rebuild the network or the bijector.
        """
        if not is_registered(self._network):
            raise UsageError(
                f"{self.name}: can't save the network {self._network.name}; register its class "
                "with keras.saving.register_keras_serializable"
            )
        network = keras.saving.serialize_keras_object(self._network)
        return super().get_config() | {"network": network}
