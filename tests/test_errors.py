import pytest
import tensorflow as tf

from tfp_cinn import NonFiniteError, UsageError


@pytest.mark.parametrize("kind", [UsageError, NonFiniteError])
def test_errors_keep_their_kind_in_traced_functions(kind):
    @tf.function
    def traced(x):
        if x > 0:  # for AutoGraph
            x += 1
        raise kind("expected something else")

    with pytest.raises(kind, match="expected something else"):
        traced(tf.constant(1))
