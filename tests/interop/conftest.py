import keras
import pytest


@pytest.fixture
def tolerance():
    """Relative to the largest value, in float64, in which Keras builds meanwhile.

    Rounding alone stays a tenth of it.
    """
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield 1e-10
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
