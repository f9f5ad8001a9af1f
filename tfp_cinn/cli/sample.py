"""Draw samples of a trained flow into a picture or an array file.

tfp-cinn sample --workdir=runs/digits --cond=3 --num_samples=64 --output=x.png
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.path("workdir", "Folder of a training run.", required=True)
FLAGS.list(
    "cond",
    "Classes by number or name, all if not given; image files to color; or a .npy, .npz file.",
)
FLAGS.integer("num_samples", "Samples of each condition.", 12, lower_bound=1)
FLAGS.number("temperature", "Factor on the latents, 0 or more.", 1.0)
FLAGS.integer("seed", "The same seed draws the same samples.", 0, lower_bound=0)
FLAGS.path("output", ".npz, .png or what else the task can write; a file in WORKDIR if not given.")
FLAGS.path("truth", "Of arrays: .npy or .npz of the true x, to be marked in pictures.")


def main(workdir, **options):
    """See `tfp_cinn.tasks.sample`."""
    from tfp_cinn import tasks

    tasks.sample(workdir, **options)
