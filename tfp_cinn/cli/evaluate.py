"""Measure a trained flow on test data, and its samples beside them.

tfp-cinn evaluate --workdir=runs/digits
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.path("workdir", "Folder of a training run.", required=True)
FLAGS.integer("batch_size", "Examples a batch.", lower_bound=1)
FLAGS.path("idx_dir", "Read the data here instead of where training did.")
FLAGS.path("folder", "The same for photographs, or a folder a class.")
FLAGS.integer(
    "num_samples",
    "Samples of each class (100), of each condition (1000 of arrays), or colorings of each image "
    "(8).",
)
FLAGS.number("temperature", "Factor on the latents of the samples, 0 or more (1).")
FLAGS.integer("seed", "Of the samples and of the classifier that judges them (0).", lower_bound=0)


def main(workdir, **options):
    """See `tfp_cinn.tasks.evaluate`."""
    from tfp_cinn import tasks

    tasks.evaluate(workdir, **options)
