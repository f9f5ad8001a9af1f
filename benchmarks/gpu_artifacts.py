"""What `gpu.py` runs: networks of this package as StableHLO, with answers of TensorFlow on a CPU.

    python benchmarks/gpu_artifacts.py --output=artifacts [--batch_sizes=1,64,1024]

Needs `pip install "tfp-cinn[freia,jax]"`. Writes a folder for each network: the digits' flow of
configs/digits.py, the published minimal networks of MNIST and LSUN, and a posterior of ten numbers
given ten. Weights are random, since times don't depend on them. Each has `float32` and, where its
subnets can compute in it, `bfloat16`: `log_prob` and `sample`, and for the published networks
`train_step`: forward, backward and Adam.
"""

import argparse
import json
import pathlib
import types

import keras
import minimal
import numpy as np
import tensorflow as tf

from tfp_cinn import architectures, data
from tfp_cinn.color import LAB_OFFSETS, LAB_SCALES
from tfp_cinn.export.signatures import signatures
from tfp_cinn.export.stablehlo import lower, named_weights, with_weights, write_stablehlo
from tfp_cinn.interop import export_freia

_ROWS = 4  # whose answers are recorded; rows don't depend on each other


def make(name, subnet_dtype=None):
    """The model of a name, away from the identity."""
    keras.utils.set_random_seed(0)
    if name == "digits":
        images = data.load("digits")
        fields = {"blocks": 12, "hidden": (128,), "permutation": "soft"}
        model = architectures.build("dense_glow", images, subnet_dtype=subnet_dtype, **fields)
    elif name == "mnist_minimal":
        model, *_ = minimal.make_model(subnet_dtype)
    elif name == "lsun_minimal":
        shapes = types.SimpleNamespace(image_shape=(64, 64, 2), cond_shape=(64, 64, 1))
        model = architectures.build("colorization_minimal", shapes, subnet_dtype=subnet_dtype)
    else:
        part = {"shape": (10,), "mean": np.zeros(10), "std": np.ones(10)}
        shapes = types.SimpleNamespace(
            event_shape=(10,),
            cond_shape=(10,),
            moments=(np.zeros(10), np.ones(10)),
            bounds=None,
            parts={"cond": part},
        )
        model = architectures.build("from_shapes", shapes)
    rng = np.random.RandomState(1)
    for weight in model.trainable_weights:
        weight.assign_add(0.01 * rng.randn(*weight.shape))
    return model


def train_step(model, learning_rate, clip_norm=None):
    """One step of maximum likelihood and Adam, `f(state, x, cond) -> (state, loss)`.

    The state has `weights`, the moments `m` and `v`, and `step`, from 0; see `first_state`.
    """
    trainable = {id(w) for w in model.trainable_weights}
    names = [
        n for n, w in zip(named_weights(model), model.weights, strict=True) if id(w) in trainable
    ]

    def step(state, x, cond):
        with tf.GradientTape() as tape:
            tape.watch([state["weights"][name] for name in names])
            with with_weights(model, state["weights"]):
                log_prob = model.distribution.log_prob(x, cond)
            squares = tf.add_n([tf.nn.l2_loss(state["weights"][name]) for name in names])
            loss = model.weight_prior * squares - tf.reduce_mean(log_prob) / model.dimensions
        gradients = tape.gradient(loss, [state["weights"][name] for name in names])
        if clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
        count = state["step"] + 1
        rate = learning_rate * tf.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        new = {"weights": dict(state["weights"]), "m": {}, "v": {}, "step": count}
        for name, gradient in zip(names, gradients, strict=True):
            m = new["m"][name] = state["m"][name] + 0.1 * (gradient - state["m"][name])
            v = new["v"][name] = state["v"][name] + 0.001 * (gradient**2 - state["v"][name])
            new["weights"][name] -= rate * m / (tf.sqrt(v) + 1e-8)
        return new, loss

    return step


def first_state(model):
    """The state before the first step."""
    weights = {name: tf.convert_to_tensor(w) for name, w in named_weights(model).items()}
    trainable = {id(w) for w in model.trainable_weights}
    moments = {
        name: tf.zeros_like(weights[name])
        for name, w in zip(weights, model.weights, strict=True)
        if id(w) in trainable
    }
    return {"weights": weights, "m": moments, "v": moments, "step": tf.zeros([])}


def rows_of(model, count):
    """Values for every input of the signatures."""
    rng = np.random.RandomState(2)
    labels = model.cond_shape == ()
    cond = rng.randint(0, 10, count) if labels else rng.randn(count, *model.cond_shape)
    values = {
        "cond": cond.astype("int32" if labels else "float32"),
        "seed": rng.randint(0, 2**31 - 1, (count, 2)).astype("int32"),
        "temperature": np.ones(count, "float32"),
    }
    sample = model.distribution.sample(values["cond"], seed=1)
    return values | {"x": sample.numpy()}


def main():
    names = "digits,mnist_minimal,lsun_minimal,posterior"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="Folder to make.")
    parser.add_argument("--batch_sizes", default="1,64,1024", help="Rows a batch.")
    parser.add_argument("--networks", default=names, help="Which networks.")
    options = parser.parse_args()
    sizes = [int(n) for n in options.batch_sizes.split(",")]
    for name in options.networks.split(","):
        folder = options.output / name
        model = make(name)
        values, answers = rows_of(model, _ROWS), {}
        served = {
            s.name: s for s in signatures(model, "x", "cond") if s.name in ("sample", "log_prob")
        }
        for signature in served.values():
            answers |= signature(*(tf.constant(values[f.name]) for f in signature.inputs))
        folder.mkdir(parents=True)
        np.savez(folder / "inputs.npz", **values)
        np.savez(folder / "answers.npz", **{key: t.numpy() for key, t in answers.items()})
        for dtype, subnet_dtype in (("float32", None), ("bfloat16", "mixed_bfloat16")):
            if name == "posterior" and subnet_dtype:
                continue
            model = make(name, subnet_dtype)
            chosen = [s for s in signatures(model, "x", "cond") if s.name in served]
            write_stablehlo(folder / dtype, model, chosen, sizes)
            if name.endswith("minimal"):
                _write_train_step(folder / dtype, name, model, values, sizes)
            print(f"{name} {dtype}", flush=True)
        if name.endswith("minimal"):
            _write_freia(folder, name, values, answers["log_prob"].numpy())


def _write_freia(folder, name, values, log_prob):
    """What FrEIA's network needs, which takes standardized values."""
    from freia_networks import NETWORKS  # and torch

    names = list(NETWORKS[name]().state_dict())
    np.savez(folder / "freia.npz", **export_freia(make(name), names))
    cond = values["cond"]
    if name == "mnist_minimal":
        _, mean, std = minimal.make_model()
    else:
        mean, std = np.float32(LAB_OFFSETS[1:]), np.float32(LAB_SCALES[1:])
        cond = np.float32((cond - LAB_OFFSETS[0]) / LAB_SCALES[0])
    x = np.float32((values["x"] - mean) / std)
    log_prob = log_prob + x[0].size * np.mean(np.log(std))
    np.savez(folder / "freia_inputs.npz", x=x, cond=cond, log_prob=np.float32(log_prob))


def _write_train_step(folder, name, model, values, sizes):
    rate, clip_norm = (5e-4, 10.0) if name == "mnist_minimal" else (1e-3, None)
    step, state = train_step(model, rate, clip_norm), first_state(model)
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), state)
    for rows in sizes:
        batch = [
            tf.TensorSpec([rows, *values[key].shape[1:]], values[key].dtype)
            for key in ("x", "cond")
        ]
        (folder / f"train_step-{rows}.jax").write_bytes(lower(step, specs, *batch))
    state, first = step(state, *(tf.constant(values[key]) for key in ("x", "cond")))
    _, second = step(state, *(tf.constant(values[key]) for key in ("x", "cond")))
    recorded = {
        "rows": _ROWS,
        "losses": [float(first), float(second)],
        "trained": sorted(specs["m"]),
    }
    (folder / "train_step.json").write_text(json.dumps(recorded))


if __name__ == "__main__":
    main()
