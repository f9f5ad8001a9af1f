"""Memory and time of a training step against depth, with activations stored and rebuilt.

A chain of Glow couplings with 3x3 convolutions and soft permutations on feature maps of 64 x 64, in
which activations outweigh the weights by far. Each depth is measured in a process of its own, where
steps with memory="store" and memory="recompute" alternate.

    python benchmarks/memory.py [--depths=8,32,128] [--batch_size=8] [--picture=memory_depth.png]
"""

import json
import os

# On many CPUs TensorFlow's usual allocator doesn't count the memory of tensors; this one does.
os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = "1"

import keras
import matplotlib
import measure
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfp_cinn
from tfp_cinn.bijectors import Chain, GlowCoupling, SoftPermutation
from tfp_cinn.networks import ConvNet

_DEPTHS = flags.DEFINE_list("depths", ["8", "32", "128"], "Numbers of blocks.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Feature maps a batch.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 6, "Training steps of each kind.", lower_bound=1)
_PICTURE = flags.DEFINE_string("picture", None, "Where to draw the table, if anywhere.")
_ONE = flags.DEFINE_integer("one", None, "Only measure this depth, and print it as JSON.")

_SHAPE, _HIDDEN, _COND = (64, 64, 4), 16, 2
_MODES = ("store", "recompute")


def _make_step(memory, depth, batch):
    """A function that takes a training step of a new network and returns what it reports."""
    keras.utils.set_random_seed(0)
    members = []
    for k in range(depth):
        subnet = ConvNet([_HIDDEN], zero_last=False)
        members += [SoftPermutation(k), GlowCoupling(subnet, clamp=1.0, event_ndims=3)]
    model = tfp_cinn.CINN(Chain(members), _SHAPE, cond_shape=(*_SHAPE[:2], _COND))
    # Small enough for 128 blocks, and not the identity.
    model.set_weights([0.1 * w if w.ndim == 4 else w for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(1e-4), memory=memory)
    model.optimizer.build(model.trainable_variables)
    return tf.function(lambda: model.train_step(batch), autograph=False)


def _measure(depth):
    """Bytes and seconds of a step of each kind, and the reconstruction error."""
    rng = np.random.RandomState(0)
    batch = tuple(
        tf.constant(rng.randn(_BATCH_SIZE.value, *shape), tf.float32)
        for shape in (_SHAPE, (*_SHAPE[:2], _COND))
    )
    steps = {memory: _make_step(memory, depth, batch) for memory in _MODES}
    reports = {memory: step() for memory, step in steps.items()}
    taken, seconds = {}, {memory: [] for memory in _MODES}
    for _ in range(_STEPS.value):
        for memory, step in steps.items():
            # TensorFlow's own count of tensors: the process as a whole peaks while graphs are made.
            tf.config.experimental.reset_memory_stats("CPU:0")
            seconds[memory].append(measure.seconds(lambda step=step: step()["loss"]))
            info = tf.config.experimental.get_memory_info("CPU:0")
            taken[memory] = info["peak"] - info["current"]
    return {
        "bytes": taken,
        "seconds": {memory: float(np.median(s)) for memory, s in seconds.items()},
        "ratio": measure.ratio(seconds["recompute"], seconds["store"]),
        "reconstruction_error": float(reports["recompute"]["reconstruction_error"]),
    }


def main(_):
    if _ONE.value:
        print(json.dumps(_measure(_ONE.value)))
        return
    print(f"{'':8}{'activations, MiB':>24}{'step, s':>24}{'time':>8}{'error':>12}")
    print(f"{'blocks':8}{'store':>12}{'recompute':>12}{'store':>12}{'recompute':>12}{'ratio':>8}")
    results = {}
    for depth in map(int, _DEPTHS.value):
        found = json.loads(measure.rerun(f"--one={depth}").splitlines()[-1])
        results[depth] = found
        cells = "".join(f"{found['bytes'][memory] / 2**20:12.0f}" for memory in _MODES)
        cells += "".join(f"{found['seconds'][memory]:12.2f}" for memory in _MODES)
        error = found["reconstruction_error"]
        print(f"{depth:<8}{cells}{found['ratio']:8.2f}{error:12.1e}", flush=True)
    first, *_, last = results
    growth = {m: results[last]["bytes"][m] / results[first]["bytes"][m] for m in _MODES}
    if _PICTURE.value:
        _draw(results, _PICTURE.value)
    print(
        f"activations at {last} blocks over {first}:", *(f"{m} {g:.2f}" for m, g in growth.items())
    )
    print(json.dumps({"batch_size": _BATCH_SIZE.value, "growth": growth, "results": results}))


def _draw(results, path):
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    depths = list(results)
    for axis, key, unit, label in (
        (axes[0], "bytes", 2**20, "memory that a step takes, MiB"),
        (axes[1], "seconds", 1, "time of a step, s"),
    ):
        for memory, marker in zip(_MODES, "os", strict=True):
            values = [results[depth][key][memory] / unit for depth in depths]
            axis.plot(depths, values, marker=marker, label=f'memory="{memory}"')
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(depths, depths)
        axis.set_xlabel("blocks")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    app.run(main)
