"""Train the conditioner of an image's colors to predict these, without a flow.

tfp-cinn pretrain --config=photos --output=runs/conditioner.weights.h5
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.config()
FLAGS.path("output", "File for the weights.", required=True)
FLAGS.integer("epochs", "How often to go through the data.", 10)


def main(**given):
    """See `tfp_cinn.training.pretrain`."""
    from tfp_cinn.training import pretrain

    pretrain(**given)
