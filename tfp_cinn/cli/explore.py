"""Draw what the latent space of a trained flow holds, a picture for each tool.

tfp-cinn explore --workdir=runs/digits --what=interpolation,transfer --output=pictures

docs/latent.md explains the pictures.
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.path("workdir", "Folder of a training run.", required=True)
FLAGS.list(
    "what",
    "Of interpolation, transfer, temperature, walks, scales, likelihood and foreign; all that fit "
    "the run if not given.",
)
FLAGS.path("output", "Folder to write; WORKDIR/explore if not given.")
FLAGS.list(
    "cond", "Classes by number or name, all if not given; or photographs, held-out ones if not."
)
FLAGS.path("idx_dir", "Read the data here instead of where training did.")
FLAGS.path("folder", "The same for photographs.")
FLAGS.integer("seed", "The same seed draws the same pictures.")
FLAGS.integer("steps", "Images of an interpolation or a walk (7).")
FLAGS.list("temperatures", "Of temperature (0, 0.25, ... 1.5).")
FLAGS.integer("num_samples", "Samples of each scale (4).")
FLAGS.integer("num_components", "Axes to walk along (5).")
FLAGS.integer(
    "num_examples", "Held-out examples for walks, likelihood and foreign, at most (1000)."
)
FLAGS.integer("scale", "The scale to draw anew; each in turn if not given.")


def main(workdir, **options):
    """See `tfp_cinn.tasks.explore`."""
    from tfp_cinn import tasks

    tasks.explore(workdir, **options)
