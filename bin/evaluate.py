"""Measures a trained flow on test data, and its samples beside them.

python bin/evaluate.py --workdir=runs/digits
"""

from absl import flags

from tfp_cinn import tasks
from tfp_cinn.cli import app

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.", required=True)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Images a batch.", lower_bound=1)
_IDX_DIR = flags.DEFINE_string("idx_dir", None, "Read the data here instead of where training did.")
_FOLDER = flags.DEFINE_string("folder", None, "The same for photographs or a folder a class.")
_NUM_SAMPLES = flags.DEFINE_integer(
    "num_samples", None, "Samples of each class (100), or colorings of each image (8)."
)
_TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Factor on the latents of the samples, 0 or more."
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the samples and of the classifier that judges them.", lower_bound=0
)
_FEATURE_WEIGHTS = flags.DEFINE_string(
    "feature_weights",
    None,
    "Of keras.applications.InceptionV3, to judge colorings with instead of EfficientNet-Lite0.",
)


def main(_):
    tasks.evaluate(
        _WORKDIR.value,
        source=_IDX_DIR.value or _FOLDER.value,
        batch_size=_BATCH_SIZE.value,
        num_samples=_NUM_SAMPLES.value,
        temperature=_TEMPERATURE.value,
        seed=_SEED.value,
        feature_weights=_FEATURE_WEIGHTS.value,
    )


if __name__ == "__main__":
    app.run(main)
