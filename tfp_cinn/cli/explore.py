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
FLAGS.list("cond", "Classes, photographs, or a file of conditions; held-out ones if not given.")
FLAGS.path("idx_dir", "Read the data here instead of where training did.")
FLAGS.path("folder", "The same for photographs.")
FLAGS.integer("seed", "The same seed draws the same pictures.", 0, lower_bound=0)
FLAGS.integer("steps", "Images of an interpolation or a walk.", 7, lower_bound=2, upper_bound=50)
FLAGS.integer("num_examples", "Held-out examples to judge, at most.", 1000, lower_bound=2)


def main(workdir, **options):
    """See `tfp_cinn.tasks.explore`."""
    from tfp_cinn import tasks

    tasks.explore(workdir, **options)
