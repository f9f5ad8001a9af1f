"""What each architecture costs: weights, products of a training step, and memory.

    python benchmarks/flops.py [--architectures=color_mnist,...] [--batch_sizes=1,8]

Products are counted in the graph of a training step at batch size 1, forward and backward: every
matrix product and convolution, two operations a multiplication with its addition, and nothing else.
Memory is the largest resident size of a fresh process that does two steps of `fit` with Adam, for
each batch size. Images are random.
"""

import pathlib
import re
import subprocess
import sys
import types

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfp_cinn import architectures, data

_SHAPES = {
    "dense_glow": ((28, 28, 1), ()),
    "color_mnist": ((28, 28, 3), (28, 28, 1)),
    "colorization_minimal": ((64, 64, 2), (64, 64, 1)),
    "colorization_imagenet": ((64, 64, 2), (256, 256, 1)),
}
_ARCHITECTURES = flags.DEFINE_list("architectures", list(_SHAPES), "Which, at their defaults.")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8"], "Images a batch, to measure memory.")
_PEAK = flags.DEFINE_integer("peak", None, "Only print the peak memory of this batch size, bytes.")


def make(name):
    """The model, and a function of a batch size that makes a batch for it."""
    image_shape, cond_shape = _SHAPES[name]
    rng = np.random.RandomState(0)
    if cond_shape:
        images = types.SimpleNamespace(image_shape=image_shape, cond_shape=cond_shape)
    else:
        split = data.Split(rng.randint(0, 256, (64, *image_shape)).astype("uint8"), [0] * 64)
        images = data.LabelledImages("noise", split, split, split, 10, 256)

    def batch(size):
        x = tf.constant(rng.rand(size, *image_shape).astype("float32"))
        if not cond_shape:
            return x, tf.zeros([size], tf.int32)
        return x, tf.constant(rng.rand(size, *cond_shape).astype("float32"))

    keras.utils.set_random_seed(0)
    return architectures.build(name, images), batch


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
    # Not getrusage: its peak survives exec, and would be that of the parent.
    status = pathlib.Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024)


def _peak(name, batch_size):
    arguments = [sys.executable, sys.argv[0], f"--architectures={name}", f"--peak={batch_size}"]
    return int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


def main(_):
    if _PEAK.value:
        _print_peak(_ARCHITECTURES.value[0], _PEAK.value)
        return
    sizes = [int(size) for size in _BATCH_SIZES.value]
    print("| | flow | conditioner | GFLOP | " + " | ".join(f"GiB at {n}" for n in sizes) + " |")
    print("|---" * (4 + len(sizes)) + "|")
    for name in _ARCHITECTURES.value:
        model, batch = make(name)
        gflop = count_products(_step_graph(model, batch(1))) / 1e9
        flow, conditioner = (
            f"{_count_weights(layers):,}" for layers in (model.flow_layers, [model.conditioner])
        )
        del model
        peaks = " | ".join(f"{_peak(name, size) / 2**30:.2f}" for size in sizes)
        print(f"| `{name}` | {flow} | {conditioner} | {gflop:.3g} | {peaks} |", flush=True)


if __name__ == "__main__":
    app.run(main)
