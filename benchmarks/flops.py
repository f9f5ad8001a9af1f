"""What each published network costs: weights, products of a training step, and memory.

    python benchmarks/flops.py [--networks=color_mnist,...] [--batch_sizes=1,8]

Products are counted in the graph of a training step at batch size 1, forward and backward: every
matrix product and convolution, two operations a multiplication with its addition, and nothing else.
All of them are proportional to the batch size, and printed for the published one. Memory is the
largest resident size of a fresh process that does two steps of `fit` with Adam, for each of
`--batch_sizes`. Images are random.
"""

import json
import re
import types
from typing import Any, NamedTuple

import keras
import measure
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfp_cinn import architectures, data


class Network(NamedTuple):
    """A published network."""

    architecture: str
    image_shape: tuple[int, ...]
    cond_shape: tuple[int, ...]
    batch_size: int
    fields: dict[str, Any] = {}


_DIGIT, _LAB = (28, 28, 1), (64, 64, 2)
_NETWORKS = {
    "mnist_minimal": Network("dense_glow", _DIGIT, (), 256),
    "mnist_paper": Network("dense_glow", _DIGIT, (), 512, {"blocks": 24, "hidden": (512,) * 3}),
    "color_mnist": Network("color_mnist", (28, 28, 3), _DIGIT, 512),
    "lsun_minimal": Network("colorization_minimal", _LAB, (64, 64, 1), 128),
    "imagenet": Network("colorization_imagenet", _LAB, (256, 256, 1), 48),
}
_NAMES = flags.DEFINE_list("networks", list(_NETWORKS), "Which networks.")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8"], "Images a batch, to measure memory.")
_PEAK = flags.DEFINE_integer("peak", None, "Only print the peak memory of this batch size, bytes.")


def make(name):
    """The model, and a function of a batch size that makes a batch for it."""
    network = _NETWORKS[name]
    image_shape, cond_shape = network.image_shape, network.cond_shape
    rng = np.random.RandomState(0)
    if cond_shape:
        images = types.SimpleNamespace(image_shape=image_shape, cond_shape=cond_shape)
    else:
        split = data.Split(rng.randint(0, 256, (64, *image_shape)).astype("uint8"), [0] * 64)
        images = data.LabeledImages("noise", split, split, split, 10, 256)

    def batch(size):
        x = tf.constant(rng.rand(size, *image_shape).astype("float32"))
        if not cond_shape:
            return x, tf.zeros([size], tf.int32)
        return x, tf.constant(rng.rand(size, *cond_shape).astype("float32"))

    keras.utils.set_random_seed(0)
    return architectures.build(network.architecture, images, **network.fields), batch


def count_products(graph):
    """Floating-point operations of all matrix products and convolutions of a graph.

    Args:
        graph: a `tf.Graph` without unknown dimensions.
    """
    total = 0
    for op in graph.get_operations():
        if op.type == "MatMul":
            rows, inner = op.inputs[0].shape
            rows, inner = (inner, rows) if op.get_attr("transpose_a") else (rows, inner)
            total += 2 * rows * inner * op.outputs[0].shape[1]
        elif op.type == "Conv2D":
            height, width, channels_in, _ = op.inputs[1].shape
            total += 2 * height * width * channels_in * op.outputs[0].shape.num_elements()
        elif op.type == "Conv2DBackpropInput":
            height, width, channels_in, _ = op.inputs[1].shape
            total += 2 * height * width * channels_in * op.inputs[2].shape.num_elements()
        elif op.type == "Conv2DBackpropFilter":
            height, width, channels_in, _ = op.outputs[0].shape
            total += 2 * height * width * channels_in * op.inputs[2].shape.num_elements()
        elif re.search("Conv|MatMul|Einsum", op.type):
            raise NotImplementedError(f"{op.name}: a product of type {op.type}")
    return total


def _step_graph(model, batch):
    @tf.function
    def step(x, cond):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model((x, cond), training=True))
        return tape.gradient(loss, [w.value for w in model.trainable_weights])

    return step.get_concrete_function(*batch).graph


def _count_weights(layers):
    return sum(int(np.prod(w.shape)) for layer in layers for w in layer.trainable_weights)


def _print_peak(name, batch_size):
    model, batch = make(name)
    model.compile(keras.optimizers.Adam(1e-6))
    model.fit(tf.data.Dataset.from_tensors(batch(batch_size)).repeat(2), verbose=0)
    print(measure.memory())


def _peak(name, batch_size):
    return int(measure.rerun(f"--networks={name}", f"--peak={batch_size}"))


def main(_):
    if _PEAK.value:
        _print_peak(_NAMES.value[0], _PEAK.value)
        return
    sizes = [int(size) for size in _BATCH_SIZES.value]
    print("| | weights: flow | conditioner | batch | GFLOP a step |", end="")
    print("".join(f" GiB at {n} |" for n in sizes))
    print("|---" * (5 + len(sizes)) + "|")
    result = {}
    for name in _NAMES.value:
        model, batch = make(name)
        batch_size = _NETWORKS[name].batch_size
        gflop = batch_size * count_products(_step_graph(model, batch(1))) / 1e9
        flow, conditioner = map(_count_weights, (model.flow_layers, [model.conditioner]))
        del model
        peaks = {size: _peak(name, size) for size in sizes}
        memory = " | ".join(f"{peak / 2**30:.2f}" for peak in peaks.values())
        row = f"| {name} | {flow:,} | {conditioner:,} | {batch_size} | {gflop:,.0f} | {memory} |"
        print(row, flush=True)
        result[name] = {
            "weights": {"flow": flow, "conditioner": conditioner},
            "batch_size": batch_size,
            "gflop_a_step": round(gflop, 1),
            "peak_bytes": peaks,
        }
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
