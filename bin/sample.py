"""Draws samples of a trained flow into a picture or an array file.

python bin/sample.py --workdir=runs/digits --cond=3 --num_samples=64 --output=x.png
"""

from absl import flags

from tfp_cinn import tasks
from tfp_cinn.cli import app

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.", required=True)
_COND = flags.DEFINE_list(
    "cond", None, "Classes by number or name, all if not given; or image files to color."
)
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 12, "Samples of each condition.", lower_bound=1)
_TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "Factor on the latents, 0 or more.")
_SEED = flags.DEFINE_integer("seed", 0, "The same seed draws the same samples.", lower_bound=0)
_OUTPUT = flags.DEFINE_string(
    "output", None, ".png or .npz to write; WORKDIR/samples.png if not given."
)


def main(_):
    tasks.sample(
        _WORKDIR.value,
        cond=_COND.value,
        num_samples=_NUM_SAMPLES.value,
        temperature=_TEMPERATURE.value,
        seed=_SEED.value,
        output=_OUTPUT.value,
    )


if __name__ == "__main__":
    app.run(main)
