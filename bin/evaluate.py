"""Measures a trained flow on test data, and its samples beside them.

python bin/evaluate.py --workdir=runs/digits
"""

from absl import flags

from tfp_cinn import app
from tfp_cinn.evaluation import evaluate

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.", required=True)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 250, "Images a batch.", lower_bound=1)
_IDX_DIR = flags.DEFINE_string("idx_dir", None, "Read the data here instead of where training did.")
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 100, "Samples of each class.", lower_bound=2)
_TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Factor on the latents of the samples, 0 or more."
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the samples and of the classifier that judges them.", lower_bound=0
)


def main(_):
    evaluate(
        _WORKDIR.value,
        batch_size=_BATCH_SIZE.value,
        idx_dir=_IDX_DIR.value,
        num_samples=_NUM_SAMPLES.value,
        temperature=_TEMPERATURE.value,
        seed=_SEED.value,
    )


if __name__ == "__main__":
    app.run(main)
