"""This package beside FrEIA on torch: the networks of the published minimal examples.

The same network with the same weights on the same batch and the same number of threads, in one
run, taking turns: this package, FrEIA as its users mostly run it, and FrEIA by `torch.compile` with
fused Adam. Needs `pip install "tfp-cinn[freia]"`, and g++ for `torch.compile`. Compilation takes
minutes; the time is printed and isn't part of the others.

    python benchmarks/freia.py [--network=lsun_minimal] [--batch_size=32] [--rounds=10]

First it is shown that all are the same function: z, log-densities, images of z and the losses
before and after a training step agree. A training step is forward, loss, backward and Adam as
published, for MNIST with clipping and a decay of weights, which here is the `weight_prior`. Beside
the MNIST network stand the bare matrix products of its pass or step, which TensorFlow computes in
the same run. Peak memory is that of a process that does three training steps and imports nothing of
the other side, beyond what its imports take.

Let nothing else run meanwhile: where threads have to share a core, torch loses more by it.
"""

import importlib
import json
import time
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
_SIDES = {"tfp_cinn": "freia_tf", "FrEIA": "freia_torch", "compiled": "freia_torch"}
_RIVALS = [name for name in _SIDES if name != "tfp_cinn"]
_PEAK = flags.DEFINE_enum(
    "peak", None, list(_SIDES), "Only print memory after the imports and peak, bytes."
)


class Network(NamedTuple):
    """What the sides are given, and the ratios hoped for: time to compiled FrEIA's, memory."""

    image_shape: tuple[int, ...]
    cond_shape: tuple[int, ...]
    targets: dict[str, float]


_NETWORKS = {
    "lsun_minimal": Network((64, 64, 2), (64, 64, 1), {"train step": 0.75, "peak memory": 1.0}),
    "mnist_minimal": Network(
        (28, 28, 1), (), {"train step": 0.7, "log_prob": 0.75, "sample": 0.75, "peak memory": 1.0}
    ),
}


def _make(name):
    network, size = _NETWORKS[_NETWORK.value], _BATCH_SIZE.value
    rng = np.random.RandomState(1)
    x = rng.randn(size, *network.image_shape).astype(np.float32)
    cond = rng.randint(0, 10, size).astype(np.int32)
    if network.cond_shape:
        cond = rng.randn(size, *network.cond_shape).astype(np.float32)
    make = importlib.import_module(_SIDES[name]).Side
    more = {"compiled": True} if name == "compiled" else {}
    return make(_NETWORK.value, x, cond, _THREADS.value, **more)


def _check_same_function(sides):
    """Give all the same weights, and compare them."""
    ours = sides["tfp_cinn"]
    ours.perturb()
    for name in _RIVALS:
        sides[name].load(ours.weights(sides[name].names()))
    z, answers, first = ours.encode(), {}, {}
    for name, side in sides.items():
        start = time.perf_counter()
        answers[name] = {
            "z": side.encode(),
            "x of z": side.decode(z),
            "log_prob": side.log_prob(),
            "loss": np.array(side.step()),
            "loss after a step": np.array(side.step()),
        }
        first[name] = time.perf_counter() - start
    differences = {
        f"{what} ({rival})": float(
            np.abs(answer - answers[rival][what]).max() / np.abs(answers[rival][what]).max()
        )
        for rival in _RIVALS
        for what, answer in answers["tfp_cinn"].items()
    }
    text = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    print(f"the same function: largest difference over largest value: {text}", flush=True)
    compilation = first["compiled"] - first["FrEIA"]
    print(f"torch.compile took {compilation:.0f} s", flush=True)
    for what, value in differences.items():
        # Rounding decides the direction of Adam's step where a gradient is next to nothing, and
        # Keras adds epsilon to the root before its bias is corrected, torch afterwards.
        assert value < (1e-2 if "after" in what else 1e-4), what
    return {"differences": differences, "compilation_s": round(compilation, 1)}


def _print_peak():
    importlib.import_module(_SIDES[_PEAK.value])
    start = measure.memory("VmRSS")
    side = _make(_PEAK.value)
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
    result |= {"threads": _THREADS.value} | _check_same_function(sides)

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

    print(f"{'ms an image, median [quartiles]':34}" + "".join(f"{name:>24}" for name in sides)
          + "   ratio  to compiled  target" + "   products  ratio" * bool(products))  # fmt: skip
    for what in ("train step", "log_prob", "sample"):
        cells, medians = "", {}
        for name in [name for name in (*sides, "products") if (what, name) in seconds]:
            each = 1e3 * np.array(seconds[what, name]) / _BATCH_SIZE.value
            low, median, high = measure.quartiles(each)
            if name in sides:
                cells += f"{f'{median:.3g} [{low:.3g}, {high:.3g}]':>24}"
            medians[name] = round(float(median), 3)
        ratios = {
            name: round(measure.ratio(seconds[what, "tfp_cinn"], seconds[what, name]), 4)
            for name in medians
            if name != "tfp_cinn"
        }
        line = f"{what:34}{cells}{ratios['FrEIA']:8.3f}{ratios['compiled']:13.3f}"
        line += f"{network.targets.get(what, ''):>8}"
        if what in products:
            line += f"{medians['products']:11.3g}{ratios['products']:7.3f}"
        result[what] = {"ms_an_image": medians, "ratios": ratios}
        print(line)

    beyond = {}
    for name in ("tfp_cinn", "FrEIA"):
        start, peak = json.loads(measure.rerun(f"--peak={name}"))
        beyond[name] = peak - start
        result.setdefault("memory_bytes", {})[name] = {"imports": start, "peak": peak}
    cells = "".join(f"{size / 2**30:24.2f}" for size in beyond.values())
    print(f"{'peak memory beyond imports, GiB':34}{cells}{'':24}"
          f"{beyond['tfp_cinn'] / beyond['FrEIA']:8.3f}{'':13}"
          f"{network.targets['peak memory']:>8}")  # fmt: skip

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


if __name__ == "__main__":
    app.run(main)
