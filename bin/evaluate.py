"""Measures a trained flow on test data.

python bin/evaluate.py --workdir=runs/digits
"""

from absl import flags

from tfp_cinn import app
from tfp_cinn.evaluation import evaluate

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.", required=True)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 250, "Images a batch.", lower_bound=1)
_IDX_DIR = flags.DEFINE_string("idx_dir", None, "Read the data here instead of where training did.")


def main(_):
    evaluate(_WORKDIR.value, batch_size=_BATCH_SIZE.value, idx_dir=_IDX_DIR.value)


if __name__ == "__main__":
    app.run(main)
