"""Train a conditional flow.

tfp-cinn train --config=digits --workdir=runs/digits [--config.train.epochs=3]

--strategy=mirrored uses all GPUs of this machine, --strategy=multi_worker all machines that the
variable TF_CONFIG names; docs/distributed.md says more.
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.config()
FLAGS.path("workdir", "Folder for all results.", required=True)
FLAGS.string("strategy", "On which devices to train: none, mirrored or multi_worker.", "none")
FLAGS.number("wait", "Seconds to wait until all workers are there.", 300.0, lower_bound=0.0)


def main(**given):
    """See `tfp_cinn.training.train`."""
    from tfp_cinn.training import train

    train(**given)
