"""What subnets in bfloat16 cost in accuracy and gain in time.

A flow is trained on scikit-learn's digits, then the same weights compute in float32, with subnets
under Keras's mixed_bfloat16, and in float64, of which the differences are printed: z, log-det,
nats/dim, round trip, and gradient, with activations stored and rebuilt. Steps of the paper's
minimal MNIST network are timed both ways, in turn.

    python benchmarks/precision.py [--epochs=20] [--rounds=10] [--batch_size=256]
"""

import json

import keras
import measure
import minimal
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfp_cinn import architectures, data
from tfp_cinn.bijectors import computing
from tfp_cinn.bijectors.recompute import reconstruction_errors

_EPOCHS = flags.DEFINE_integer("epochs", 20, "Epochs of training on digits.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "How often each is timed.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Images a batch.", lower_bound=1)

_DTYPES = ("float32", "mixed_bfloat16", "float64")


def _digits_model(digits, dtype):
    """The flow of the README's first example, deeper."""
    return architectures.build(
        "dense_glow",
        digits,
        blocks=12,
        hidden=(128,),
        permutation="soft",
        act_norm=True,
        subnet_dtype=dtype,
    )


def _encode(model, x, label, dtype):
    """z, log-det, x decoded again, gradients of the mean log-likelihood, reconstruction error."""
    x = tf.constant(x, dtype)
    cond = tf.one_hot(label, 10, dtype=dtype)
    variables = model.bijector.trainable_variables
    gradients = {}
    for memory in ("store", "recompute"):
        with computing(memory=memory), tf.GradientTape() as tape:
            z, log_det = model.bijector.inverse_and_log_det(x, cond)
            loss = tf.reduce_mean(0.5 * tf.reduce_sum(z**2, axis=1) - log_det)
        with reconstruction_errors() as errors:
            found = tape.gradient(loss, variables)
        gradients[memory] = np.concatenate([np.ravel(g).astype("float64") for g in found])
    again, _ = model.bijector.forward_and_log_det(tf.identity(z), cond)
    exact = [np.asarray(t).astype("float64") for t in (z, log_det, again)]
    return *exact, gradients, float(errors[0])


def _accuracy():
    """Errors against float64 of one trained flow, as printed."""
    digits = data.load("digits")
    keras.utils.set_random_seed(0)
    trained = _digits_model(digits, "float32")
    batches = data.training_batches(digits.train, 64)
    x, label = next(iter(batches))
    trained.bijector.calibrate(x, trained.distribution.features(label))
    trained.compile(keras.optimizers.Adam(1e-3, global_clipnorm=10.0))
    trained.fit(batches, epochs=_EPOCHS.value, verbose=0)
    rng = np.random.RandomState(0)
    x = digits.test.images[:256].astype("float64")
    x, label = x + rng.rand(*x.shape), digits.test.labels[: len(x)]
    results = {}
    for dtype in _DTYPES:
        model = _digits_model(digits, dtype)
        model.set_weights(trained.get_weights())
        results[dtype] = _encode(model, x, label, "float64" if dtype == "float64" else "float32")
    dimensions = trained.dimensions

    def nats(z, log_det):
        return (0.5 * np.sum(z**2, axis=1) - log_det) / dimensions + 0.5 * np.log(2 * np.pi)

    def off(gradient):
        return np.linalg.norm(gradient - exact["store"]) / np.linalg.norm(exact["store"])

    z, log_det, _, exact, _ = results["float64"]
    table = {}
    for dtype in _DTYPES[:2]:
        z_, log_det_, again, gradients, error = results[dtype]
        table[dtype] = {
            "z, RMS": np.sqrt(np.mean((z_ - z) ** 2)),
            "z, largest": np.abs(z_ - z).max(),
            "log-det, nats, RMS": np.sqrt(np.mean((log_det_ - log_det) ** 2)),
            "nats/dim of one image, RMS": np.sqrt(
                np.mean((nats(z_, log_det_) - nats(z, log_det)) ** 2)
            ),
            "nats/dim, mean": np.abs(np.mean(nats(z_, log_det_)) - np.mean(nats(z, log_det))),
            "x encoded and decoded, gray levels of 17, RMS": np.sqrt(np.mean((again - x) ** 2)),
            "gradient, relative": off(gradients["store"]),
            'gradient with memory="recompute", relative': off(gradients["recompute"]),
            "its reconstruction_error": error,
        }
    print(f"{'error against float64':48}{_DTYPES[0]:>16}{_DTYPES[1]:>16}")
    for name in table["float32"]:
        print(f"{name:48}" + "".join(f"{table[dtype][name]:16.1e}" for dtype in _DTYPES[:2]))
    print(f"(of {np.mean(nats(z, log_det)):.3f} nats/dim)")
    return {dtype: {k: float(v) for k, v in rows.items()} for dtype, rows in table.items()}


def _speed():
    """Seconds of training steps, alternating."""
    rng = np.random.RandomState(1)
    x = tf.constant(rng.rand(_BATCH_SIZE.value, 28, 28, 1) * 256, tf.float32)
    label = tf.constant(rng.randint(0, 10, _BATCH_SIZE.value), tf.int32)
    calls = {}
    for dtype in _DTYPES[:2]:
        model = minimal.make_model(dtype)[0]
        model.compile(keras.optimizers.Adam(5e-4, global_clipnorm=10.0))
        model.optimizer.build(model.trainable_variables)
        for name, call in (
            ("train step", lambda model=model: model.train_step((x, label))["loss"]),
            ("log_prob", lambda model=model: model.distribution.log_prob(x, label)),
        ):
            calls[name, dtype] = tf.function(call, autograph=False)
            calls[name, dtype]()
    seconds = {key: [] for key in calls}
    for _ in range(_ROUNDS.value):
        for key, call in calls.items():
            seconds[key].append(measure.seconds(call))
    result = {}
    print(f"{'ms: median [quartiles]':24}{_DTYPES[0]:>24}{_DTYPES[1]:>24}   ratio")
    for name in ("train step", "log_prob"):
        cells = ""
        for dtype in _DTYPES[:2]:
            low, median, high = measure.quartiles(1e3 * np.array(seconds[name, dtype]))
            cells += f"{f'{median:.0f} [{low:.0f}, {high:.0f}]':>24}"
        result[name] = measure.ratio(seconds[name, _DTYPES[1]], seconds[name, _DTYPES[0]])
        print(f"{name:24}{cells}   {result[name]:.3f}")
    return result


def main(_):
    result = {"errors": _accuracy(), "ratio": _speed(), "batch_size": _BATCH_SIZE.value}
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
