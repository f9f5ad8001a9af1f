"""Draws what the latent space of a trained flow holds, a picture for each tool.

python bin/explore.py --workdir=runs/digits --what=interpolation,transfer --output=pictures

docs/latent.md says what the pictures show.
"""

from absl import flags

from tfp_cinn import tasks
from tfp_cinn.cli import app

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.", required=True)
_WHAT = flags.DEFINE_list(
    "what",
    None,
    "Of interpolation, transfer, temperature, walks, scales, likelihood and foreign; all that fit "
    "the run if not given.",
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write; WORKDIR/explore if not given.")
_COND = flags.DEFINE_list(
    "cond", None, "Classes by number or name, all if not given; or photographs, held-out if not."
)
_IDX_DIR = flags.DEFINE_string("idx_dir", None, "Read the data here instead of where training did.")
_FOLDER = flags.DEFINE_string("folder", None, "The same for photographs.")
_SEED = flags.DEFINE_integer("seed", None, "The same seed draws the same pictures.")
_STEPS = flags.DEFINE_integer("steps", None, "Images of an interpolation or a walk (7).")
_TEMPERATURES = flags.DEFINE_list("temperatures", None, "Of temperature (0, 0.25, ... 1.5).")
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", None, "Samples of each scale (4).")
_NUM_COMPONENTS = flags.DEFINE_integer("num_components", None, "Axes to walk along (5).")
_NUM_EXAMPLES = flags.DEFINE_integer(
    "num_examples", None, "Held-out examples for walks, likelihood and foreign, at most (1000)."
)
_SCALE = flags.DEFINE_integer("scale", None, "The scale to draw anew; each in turn if not given.")


def main(_):
    tasks.explore(
        _WORKDIR.value,
        what=_WHAT.value,
        output=_OUTPUT.value,
        cond=_COND.value,
        source=_IDX_DIR.value or _FOLDER.value,
        seed=_SEED.value,
        steps=_STEPS.value,
        temperatures=_TEMPERATURES.value,
        num_samples=_NUM_SAMPLES.value,
        num_components=_NUM_COMPONENTS.value,
        num_examples=_NUM_EXAMPLES.value,
        scale=_SCALE.value,
    )


if __name__ == "__main__":
    app.run(main)
