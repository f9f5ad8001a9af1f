"""What bounds the cost of a held-out pair far out: the remedies one by one, on inverse kinematics.

The posterior of four joints given a position lies on a surface, so that a flow learns narrow
densities: a pair that it hasn't seen the like of can lie 1000 of its standard deviations away.

    python benchmarks/tails.py [--rows=affine,splines]
"""

import json

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfp_cinn import CINN, FusedAdam
from tfp_cinn.bijectors import (
    Affine,
    Chain,
    Coupling,
    HeavyTails,
    RationalQuadraticSpline,
    SoftPermutation,
    Standardize,
)
from tfp_cinn.networks import MLP

_ROWS = flags.DEFINE_list("rows", None, "Which rows; all if not given.")
_EPOCHS = flags.DEFINE_integer("epochs", 15, "Of 39 steps.")
_PAIRS = 10_000
_SPLINE = RationalQuadraticSpline(bins=8)
_CASES = {
    "affine": {},
    "affine with clamp 1": {"transform": Affine(1.0)},
    "affine with c squashed to 3 sd": {"squash": 3.0},
    "affine with HeavyTails": {"tails": True},
    "splines": {"transform": _SPLINE, "blocks": 6},
    "splines with HeavyTails": {"transform": _SPLINE, "blocks": 6, "tails": True},
}


def draw(num, seed):
    """Return joints and positions of an arm (Kruse et al., arXiv 2101.10763, sec. 3.1)."""
    x = np.random.default_rng(seed).normal(size=(num, 4)) * [0.25, 0.5, 0.5, 0.5]
    angles, lengths = np.cumsum(x[:, 1:], axis=1), [0.5, 0.5, 1.0]
    position = [x[:, 0] + np.sin(angles) @ lengths, np.cos(angles) @ lengths]
    return np.float32(x), np.float32(np.stack(position, axis=1))


def build(x, cond, transform=None, blocks=12, squash=None, tails=False):
    """Build a flow with one remedy or none."""
    members = [Standardize(x.mean(0), x.std(0))]
    for k in range(blocks):
        subnet = MLP((64, 64), "silu", skip=True)
        members += [SoftPermutation(k), Coupling(subnet, transform or Affine(2.0))]
    members += [HeavyTails()] * tails
    raw = keras.Input(cond.shape[1:])
    features = keras.layers.Normalization(mean=cond.mean(0), variance=cond.var(0))(raw)
    if squash:
        features = squash * keras.ops.tanh(features / squash)
    conditioner = keras.Model(raw, features)
    return CINN(Chain(members), (4,), conditioner, cond.shape[1:], weight_prior=2e-4)


def main(_):
    """Train each, and print the nats of 20,000 held-out pairs as JSON."""
    x, cond = draw(_PAIRS, 0)
    held_out = draw(20_000, 1)
    batches = tf.data.Dataset.from_tensor_slices((x, cond)).shuffle(_PAIRS, seed=0).batch(256, True)
    epochs = _EPOCHS.value
    for row in _ROWS.value or _CASES:
        keras.utils.set_random_seed(0)
        model = build(x, cond, **_CASES[row])
        model.compile(FusedAdam(1e-3, global_clipnorm=10.0))
        decay = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 * 0.01 ** (epoch / epochs))
        model.fit(batches, epochs=epochs, callbacks=[decay], verbose=0)
        nats = -np.float64(model.distribution.log_prob(*held_out))
        figures = {"mean": nats.mean(), "median": np.median(nats), "worst": nats.max()}
        print(json.dumps({"row": row} | {k: round(float(v), 2) for k, v in figures.items()}))


if __name__ == "__main__":
    app.run(main)
