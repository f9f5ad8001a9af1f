"""Train a small flow and draw docs/images/how_it_works.png: `python tools/draw_how_it_works.py`."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tfp_cinn
from tfp_cinn import bijectors as b
from tfp_cinn import networks

ANGLES = np.float32([[-1.0], [0.0], [1.0]])


def draw_pairs(num, angles, rng):
    """Return points x of two moons that are turned by the angle c in radians."""
    t, upper = rng.uniform(0, np.pi, num), rng.integers(0, 2, num)
    sign = 2 * upper - 1
    moons = np.stack([np.cos(t) - 0.5 * sign, sign * (np.sin(t) - 0.25)], axis=-1)
    moons += 0.05 * rng.normal(size=moons.shape)
    turn = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    return np.einsum("ijn,nj->ni", turn, moons).astype("float32")


def main():
    """Train, and draw data, the way from x to z, and samples."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1.2, 1.2, 20_000).astype("float32")
    x, cond = draw_pairs(len(angles), angles, rng), angles[:, None]

    flow = []
    for k in range(8):
        flow += [b.SoftPermutation(k), b.GlowCoupling(networks.MLP([64, 64], "silu"), clamp=2.0)]
    model = tfp_cinn.CINN(b.Chain(flow), (2,), cond_shape=(1,))
    steps = 60 * len(x) // 256
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)))
    dataset = tf.data.Dataset.from_tensor_slices((x, cond))
    model.fit(dataset.shuffle(len(x)).batch(256), epochs=60, verbose=2)

    figure, axes = plt.subplots(3, 5, figsize=(10, 6.4), layout="constrained")
    shown = 3000
    for row, angle in enumerate(ANGLES):
        at = np.repeat(angle[None], shown, axis=0)
        values = draw_pairs(shown, at[:, 0], rng)
        color = np.arctan2(values[:, 1], values[:, 0])
        stages = {"data x": values}
        for k, bijector in enumerate(flow):
            values = bijector.inverse_and_log_det(values, at)[0].numpy()
            if k in (5, 9, 15):
                stages[f"after {(k + 1) // 2} blocks"] = values
        stages["latents z"] = stages.pop("after 8 blocks")
        for axis, (title, points) in zip(axes[row], stages.items(), strict=False):
            axis.scatter(*points.T, s=1, c=color, cmap="twilight", linewidths=0)
            axis.set_title(title if row == 0 else "", fontsize=10)
        drawn = model.distribution.sample(angle, shown, seed=0).numpy()
        axes[row, 4].scatter(*drawn.T, s=1, c="C0", linewidths=0)
        axes[row, 4].set_title("samples f\u207b\u00b9(z; c)" if row == 0 else "", fontsize=10)
        axes[row, 0].set_ylabel(f"c = {angle[0]:g}", fontsize=10)
    for axis in axes.flat:
        axis.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    figure.savefig("docs/images/how_it_works.png", dpi=110)


if __name__ == "__main__":
    main()
