"""Every operation has a kernel for GPUs, but the guard of a step that stops training."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from tfp_cinn import CINN, FusedAdam
from tfp_cinn.bijectors import Chain, GlowCoupling, SoftPermutation
from tfp_cinn.export.signatures import signatures
from tfp_cinn.networks import MLP, OneHot


def on_cpu_only(graph):
    """Operations of a graph, with their types, that TensorFlow computes only on a CPU."""
    definition = graph.as_graph_def()
    functions = definition.library.function
    nodes = [*definition.node, *(node for f in functions for node in f.node_def)]
    return {node.op for node in nodes if _registered(node, "CPU") and not _registered(node, "GPU")}


def _registered(node, device):
    found = kernels.get_registered_kernels_for_op(node.op).kernel
    return any(
        kernel.device_type in (device, "DEFAULT")
        and all(node.attr[c.name].type in c.allowed_values.list.type for c in kernel.constraint)
        for kernel in found
    )


def test_cpu_only_operations_are_found():
    graph = tf.function(tf.strings.length).get_concrete_function(tf.TensorSpec([], "string")).graph
    assert on_cpu_only(graph) == {"StringLength"}


@pytest.mark.parametrize("signature", ["sample", "log_prob", "encode", "decode"])
def test_signatures_stay_on_a_gpu(exported, signature):
    (function,) = (s for s in signatures(exported.model, "x", "c") if s.name == signature)
    specs = [feature.spec for feature in function.inputs]
    graph = tf.function(function, input_signature=specs).get_concrete_function().graph
    assert on_cpu_only(graph) == set()


def test_a_train_step_stays_on_a_gpu():
    chain = Chain([SoftPermutation(0), GlowCoupling(MLP([8]))])
    model = CINN(chain, (6,), OneHot(3), cond_shape=(), weight_prior=1e-2)
    model.compile(FusedAdam(1e-3, global_clipnorm=10.0))
    model.optimizer.build(model.trainable_variables)
    x, cond = np.zeros((4, 6), "float32"), np.zeros(4, "int32")
    step = tf.function(lambda x, cond: model.train_step((x, cond)), autograph=False)
    # The guard's Python runs at the first step and before a step that stops training.
    assert on_cpu_only(step.get_concrete_function(x, cond).graph) <= {"EagerPyFunc"}
