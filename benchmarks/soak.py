"""Whether a long run stays as it is: memory, disk and speed of a real training over many steps.

    python benchmarks/soak.py [--steps=20000] [--workdir=DIR]

A small flow of digits, trained by `training.train` with checkpoints every second, epochs of 100
steps, validation, metrics, TensorBoard and pictures. The workdir is removed afterwards unless it is
named.
"""

import json
import pathlib
import tempfile
import time

import keras
import numpy as np
from absl import app, flags
from measure import memory

from tfp_cinn.model import CINN
from tfp_cinn.training import default_config, train

_STEPS = flags.DEFINE_integer("steps", 20_000, "Training steps.", lower_bound=1000)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the run, kept.")

_EPOCH = 100
_ROWS = 10


class Watch(keras.callbacks.Callback):
    """Writes a row every so many steps."""

    def __init__(self, workdir, every):
        super().__init__()
        self.workdir, self.every, self.rows = workdir, every, []
        self._step, self._since = 0, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if self._step % self.every:
            return
        now = time.perf_counter()
        sizes = {p: p.stat().st_size for p in self.workdir.rglob("*") if p.is_file()}
        board = sum(size for p, size in sizes.items() if p.parent.name == "tensorboard")
        row = {
            "step": self._step,
            "rss_mib": round(memory("VmRSS") / 2**20, 1),
            "disk_mib": round(sum(sizes.values()) / 2**20, 2),
            "tensorboard_mib": round(board / 2**20, 2),
            "files": len(sizes),
            "steps_per_second": round(self.every / (now - self._since), 1),
        }
        if not self.rows:
            print("  ".join(row), flush=True)
        print("  ".join(f"{row[key]:>{len(key)}}" for key in row), flush=True)
        self.rows.append(row)
        self._since = now


def config():
    config = default_config()
    config.data.name = "digits"
    config.data.num_validation = 150
    config.model.update({"blocks": 1, "hidden": (16,), "act_norm": True, "dropout": 0.1})
    config.train.update({"batch_size": 32, "steps_per_epoch": _EPOCH, "milestones": ()})
    config.train.epochs = -(-_STEPS.value // _EPOCH)
    config.train.checkpoint_seconds = 1.0
    return config.to_dict()


def main(_):
    with tempfile.TemporaryDirectory() as temporary:
        workdir = pathlib.Path(_WORKDIR.value or temporary)
        watch = Watch(workdir, _STEPS.value // _ROWS)
        fit = CINN.fit
        CINN.fit = lambda model, *args, callbacks, **kwargs: fit(
            model, *args, callbacks=[*callbacks, watch], **kwargs
        )
        train(config(), workdir)
        rows = watch.rows
    # The first part of a run still fills caches.
    half = rows[len(rows) // 2 :]
    slope = np.polyfit([r["step"] for r in half], [r["rss_mib"] for r in half], 1)[0]
    result = {
        "steps": rows[-1]["step"],
        "rss_mib": [row["rss_mib"] for row in rows],
        "rss_kib_per_1000_steps_second_half": round(1000 * 1024 * slope, 1),
        "disk_mib": rows[-1]["disk_mib"],
        "tensorboard_mib": rows[-1]["tensorboard_mib"],
        "files": rows[-1]["files"],
        "steps_per_second": [row["steps_per_second"] for row in rows],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
