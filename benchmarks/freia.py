"""This package beside FrEIA on torch: the networks of the published minimal examples.

The same network with the same weights on the same batch and the same number of threads, both in
one run, taking turns. Needs `pip install "tfp-cinn[freia]"`.

    python benchmarks/freia.py [--network=lsun_minimal] [--batch_size=32] [--rounds=10]

First it is shown that the two are the same function: z, log-densities, images of z and the losses
before and after a training step agree. A training step is forward, loss, backward and Adam as
published, for MNIST with clipping and a decay of weights, which here is the `weight_prior`. Beside
the MNIST network stand the bare matrix products of its pass or step, which TensorFlow computes in
the same run. Peak memory is that of a process that does three training steps and imports nothing of
the other side.

Let nothing else run meanwhile: where threads have to share a core, torch loses more by it.
"""

import importlib
import json
from typing import NamedTuple

import measure
import numpy as np
from absl import app, flags

_NETWORK = flags.DEFINE_enum(
    "network", "lsun_minimal", ["lsun_minimal", "mnist_minimal"], "Which network."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images a batch.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "How often each is measured.", lower_bound=2)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of each side.", lower_bound=1)

# Imported one by one, so that neither is part of the other's peak memory.
_SIDES = {"tfp_cinn": "freia_tf", "FrEIA": "freia_torch"}
_PEAK = flags.DEFINE_enum("peak", None, list(_SIDES), "Only print memory at start and peak, bytes.")


class Network(NamedTuple):
    """What the two sides are given, and the ratios hoped for."""

    image_shape: tuple[int, ...]
    cond_shape: tuple[int, ...]
    targets: dict[str, float]


_NETWORKS = {
    "lsun_minimal": Network(
        (64, 64, 2), (64, 64, 1), {"train step": 0.75, "sample": 0.8, "peak memory": 1.0}
    ),
    "mnist_minimal": Network(
        (28, 28, 1), (), {"train step": 0.7, "log_prob": 0.75, "sample": 0.75, "peak memory": 1.0}
    ),
}


def _make(side):
    network, size = _NETWORKS[_NETWORK.value], _BATCH_SIZE.value
    rng = np.random.RandomState(1)
    x = rng.randn(size, *network.image_shape).astype(np.float32)
    cond = rng.randint(0, 10, size).astype(np.int32)
    if network.cond_shape:
        cond = rng.randn(size, *network.cond_shape).astype(np.float32)
    make = importlib.import_module(_SIDES[side]).Side
    return make(_NETWORK.value, x, cond, _THREADS.value)


def _check_same_function(ours, theirs):
    """Give both the same weights, and compare them."""
    ours.perturb()
    theirs.load(ours.weights(theirs.names()))
    z = theirs.encode()
    pairs = {
        "z": (ours.encode(), z, 1e-4),
        "x of z": (ours.decode(z), theirs.decode(z), 1e-4),
        "log_prob": (ours.log_prob(), theirs.log_prob(), 1e-4),
        "loss": (np.array(ours.step()), np.array(theirs.step()), 1e-4),
        # Rounding decides the direction of Adam's step where a gradient is next to nothing, and
        # Keras adds epsilon to the root before its bias is corrected, torch afterwards.
        "loss after a step": (np.array(ours.step()), np.array(theirs.step()), 1e-2),
    }
    differences = {}
    for name, (a, b, tolerance) in pairs.items():
        differences[name] = float(np.abs(a - b).max() / np.abs(b).max())
        assert differences[name] < tolerance, (name, differences)
    text = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    print(f"the same function: largest difference over largest value: {text}", flush=True)
    return differences


def _print_peak():
    side = _make(_PEAK.value)
    start = measure.memory("VmRSS")
    for _ in range(3):
        side.step()
    print(json.dumps([start, measure.memory()]))


def main(_):
    if _PEAK.value:
        _print_peak()
        return
    network = _NETWORKS[_NETWORK.value]
    sides = {name: _make(name) for name in _SIDES}
    result = {"network": _NETWORK.value, "batch_size": _BATCH_SIZE.value}
    result |= {"threads": _THREADS.value, "differences": _check_same_function(*sides.values())}

    eight, products = sides["tfp_cinn"].eight_samples, sides["tfp_cinn"].products()
    calls = {
        ("train step", name): side.step for name, side in sides.items()
    } | {
        (what, name): getattr(side, what)
        for what in ("log_prob", "sample")
        for name, side in sides.items()
    } | {("eight", name): call for name, call in eight.items()}  # fmt: skip
    calls |= {(what, "products"): call for what, call in products.items()}
    seconds = {key: [] for key in calls}
    for round_ in range(_ROUNDS.value + 1):  # the first one warms up
        for key, call in calls.items():
            elapsed = measure.seconds(call)
            if round_:
                seconds[key].append(elapsed)

    print(f"{'ms an image, median [quartiles]':34}{'tfp_cinn':>24}{'FrEIA':>24}   ratio  target"
          f"{'   products  ratio' if products else ''}")  # fmt: skip
    for what in ("train step", "log_prob", "sample"):
        cells, medians = "", {}
        for name in [name for name in (*sides, "products") if (what, name) in seconds]:
            each = 1e3 * np.array(seconds[what, name]) / _BATCH_SIZE.value
            low, median, high = measure.quartiles(each)
            if name in sides:
                cells += f"{f'{median:.3g} [{low:.3g}, {high:.3g}]':>24}"
            medians[name] = round(float(median), 3)
        ratio = measure.ratio(seconds[what, "tfp_cinn"], seconds[what, "FrEIA"])
        line = f"{what:34}{cells}{ratio:8.3f}{_target(network, what)}"
        result[what] = {"ms_an_image": medians, "ratio": round(ratio, 4)}
        if what in products:
            over = measure.ratio(seconds[what, "tfp_cinn"], seconds[what, "products"])
            line += f"{medians['products']:11.3g}{over:7.3f}"
            result[what]["ratio_to_products"] = round(over, 4)
        print(line)

    memories = {name: json.loads(measure.rerun(f"--peak={name}")) for name in sides}
    (_, ours), (_, theirs) = memories.values()
    cells = "".join(
        f"{f'{peak / 2**30:.2f} ({start / 2**30:.2f})':>24}" for start, peak in memories.values()
    )
    print(f"{'peak memory, GiB (before training)':34}{cells}{ours / theirs:8.3f}"
          f"{_target(network, 'peak memory')}")  # fmt: skip
    result["memory_bytes"] = {
        name: {"start": start, "peak": peak} for name, (start, peak) in memories.items()
    }

    medians = {name: 1e3 * float(np.median(seconds["eight", name])) for name in eight}
    share = measure.ratio(
        seconds["eight", "conditioner, once"], seconds["eight", "of one condition"]
    )
    saved = measure.ratio(
        seconds["eight", "of one condition"], seconds["eight", "of it eight times"]
    )
    print(
        f"eight samples, tfp_cinn: {medians['of one condition']:.0f} ms of one condition, of which "
        f"the conditioner {100 * share:.1f} %; {medians['of it eight times']:.0f} ms of the same "
        f"condition given eight times (ratio {saved:.3f})"
    )
    result["eight_samples"] = {
        "ms": {name: round(median, 2) for name, median in medians.items()},
        "conditioner_share": round(share, 4),
        "ratio_to_eight_conditions": round(saved, 4),
    }
    print(json.dumps(result))


def _target(network, what):
    return f"{network.targets[what]:8.2f}" if what in network.targets else ""


if __name__ == "__main__":
    app.run(main)
